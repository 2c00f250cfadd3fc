//! Patterns in which `*` stands for any characters and `?` for one.

/// True where the pattern is like the whole text. Takes time in proportion to pattern times text at most.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and where the text went on behind it.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(b'?') => {
                at += 1;
                read += 1;
                while text.get(read).is_some_and(|byte| byte & 0xc0 == 0x80) {
                    read += 1;
                }
            }
            Some(byte) if Some(byte) == text.get(read) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((place, then)) = star else { return false };
                star = Some((place, then + 1));
                at = place + 1;
                read = then + 1;
            }
        }
    }
    pattern.get(at..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, text) in [("*", ""), ("a*c", "abbc"), ("a?c", "aäc"), ("*.js", "x.js"), ("**", "x"), ("a", "a"), ("*a*b*", "xaxbx")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a?c", "ac"), ("*.js", "x.ts"), ("a", "b"), ("a*b", "ac"), ("?", "")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
        assert!(!matches(&"*a".repeat(200), &"b".repeat(20_000)));
    }
}
