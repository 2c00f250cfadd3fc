//! Just enough of Rust's syntax to tell code from comments and literals.

/// The numbers (from 1) of the lines on which `word` stands as a word of code: not inside a comment, string or character literal.
pub fn lines_with_word(source: &str, word: &str) -> Vec<usize> {
    let mut lines = Vec::new();
    for (index, line) in code_only(source).lines().enumerate() {
        let mut words = line.split(|character: char| !is_word(character));
        if words.any(|candidate| candidate == word) {
            lines.push(index + 1);
        }
    }
    lines
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The source with every comment and literal left out, and every line break kept.
fn code_only(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '/' if rest.starts_with("//") => Some(rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => Some(block_comment(rest)),
            '"' => Some(string(rest)),
            'r' | 'b' | 'c' if !after_word => raw_string(rest),
            '\'' => character_literal(rest),
            _ => None,
        };
        let length = skipped.unwrap_or(first.len_utf8());
        let (token, remainder) = rest.split_at(length);
        if skipped.is_none() {
            code.push(first);
        } else {
            // Words on either side of a comment are two words.
            code.push(' ');
            code.extend(token.chars().filter(|character| *character == '\n'));
        }
        after_word = skipped.is_none() && is_word(first);
        rest = remainder;
    }
    code
}

/// The length of the block comment at the start; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut position = 0;
    while let Some(rest) = text.get(position..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            position += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            position += 2;
            if depth == 0 {
                return position;
            }
        } else {
            position += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of the string literal at the start, which is a quote.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (position, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return position + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw string (`r"…"`, `br#"…"#`) at the start, if there is one.
fn raw_string(text: &str) -> Option<usize> {
    let after_prefix = text.trim_start_matches(['b', 'c']);
    let after_r = after_prefix.strip_prefix('r')?;
    let opening = after_r.trim_start_matches('#');
    let hashes = after_r.len() - opening.len();
    let body = opening.strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    let body_length = body.find(&closing).map_or(body.len(), |end| end + closing.len());
    Some(text.len() - body.len() + body_length)
}

/// The length of a character literal at the start, which is an apostrophe; a lifetime is none.
fn character_literal(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        let (position, _) = characters.skip(1).find(|(_, character)| *character == '\'')?;
        return Some(position + 1);
    }
    let (position, second) = characters.next()?;
    (second == '\'').then_some(position + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_found_with_its_line() {
        let source = "fn a() {\n    unsafe { b() }\n}\nunsafe fn b() {}\n#[unsafe(no_mangle)]\n";
        assert_eq!(lines_with_word(source, "unsafe"), [2, 4, 5]);
    }

    #[test]
    fn comments_literals_and_longer_words_are_no_code() {
        let source = r####"
#![forbid(unsafe_code)] // unsafe
/* unsafe /* unsafe */ unsafe */
let a = "unsafe \" unsafe";
let b = r#"unsafe " unsafe"#;
let c = br"unsafe\";
let d = ('"', '\'', '\u{22}', 'x');
/// unsafe
fn e<'a>(f: &'a str) {}
"####;
        assert_eq!(lines_with_word(source, "unsafe"), [0_usize; 0]);
    }

    #[test]
    fn literals_that_look_odd_do_not_hide_what_follows() {
        for odd in ["'\"'", "'\\''", "b'\"'", "\"\\\\\"", "r\"\\\"", "/**/", "<'a>", "br##\"\"# \"##", "for"] {
            let source = format!("let x = {odd}; unsafe {{}}");
            assert_eq!(lines_with_word(&source, "unsafe"), [1], "{odd}");
        }
    }

    #[test]
    fn a_literal_over_several_lines_keeps_the_count() {
        assert_eq!(lines_with_word("let a = \"\n\n\";\nunsafe {}", "unsafe"), [4]);
    }
}
