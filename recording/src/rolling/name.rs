//! Names of the files: `mcp-sensor-<node>-<UTC time>-<n>.pcapng[.zst][.age]`.

use prost_types::Timestamp;

/// What a name holds.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Name {
    /// When the file was begun: `20260131T140000Z`. Sorts by time.
    pub time: String,
    /// Tells files of one second apart.
    pub number: u32,
}

/// The node's name as a part of a file's name.
pub fn node(node: &str) -> String {
    let safe = |character: char| if character.is_ascii_alphanumeric() || "._-".contains(character) { character } else { '_' };
    let name: String = node.chars().take(64).map(safe).collect();
    if name.is_empty() { "node".to_owned() } else { name }
}

/// A moment (nanoseconds since 1970) as it stands in a name.
pub fn time(now: u64) -> String {
    let seconds = i64::try_from(now / 1_000_000_000).unwrap_or(i64::MAX);
    // RFC 3339 without a part of a second: `2026-01-31T14:00:00Z`.
    Timestamp { seconds, nanos: 0 }.to_string().replace(['-', ':'], "")
}

impl Name {
    /// The file's name.
    pub fn file(&self, node: &str, zstd: bool, age: bool) -> String {
        let Self { time, number } = self;
        let (zstd, age) = (if zstd { ".zst" } else { "" }, if age { ".age" } else { "" });
        format!("mcp-sensor-{node}-{time}-{number}.pcapng{zstd}{age}")
    }

    /// What a file's name says; `None` where it is no recording of this node.
    pub fn parse(file: &str, node: &str) -> Option<Self> {
        let rest = file.strip_prefix("mcp-sensor-")?.strip_prefix(node)?.strip_prefix('-')?;
        let rest = rest.strip_suffix(".age").unwrap_or(rest);
        let rest = rest.strip_suffix(".zst").unwrap_or(rest).strip_suffix(".pcapng")?;
        let (time, number) = rest.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let (day, clock) = time.strip_suffix('Z')?.split_once('T')?;
        if day.len() != 8 || clock.len() != 6 || !digits(day) || !digits(clock) || !digits(number) {
            return None;
        }
        Some(Self { time: time.to_owned(), number: number.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_it_was_made_of() {
        let name = Name { time: time(1_769_868_000_999_999_999), number: 3 };
        for (zstd, age, expected) in [
            (false, false, "mcp-sensor-web-1-20260131T140000Z-3.pcapng"),
            (true, true, "mcp-sensor-web-1-20260131T140000Z-3.pcapng.zst.age"),
        ] {
            assert_eq!(name.file("web-1", zstd, age), expected);
            assert_eq!(Name::parse(expected, "web-1"), Some(name.clone()));
        }
    }

    #[test]
    fn files_of_others_are_not_ours() {
        for other in [
            "mcp-sensor-web-1-20260131T140000Z-3.pcapng",
            "mcp-sensor-web-20260131T140000Z-3.pcapng.bak",
            "mcp-sensor-web-20260131T140000Z-.pcapng",
            "mcp-sensor-web-20260131T140000Z-+3.pcapng",
            "mcp-sensor-web-2026013T140000Z-3.pcapng",
            "mcp-sensor-web-1.pcapng",
            "notes.txt",
        ] {
            assert_eq!(Name::parse(other, "web"), None, "{other}");
        }
    }

    #[test]
    fn a_node_cannot_lead_out_of_the_folder() {
        assert_eq!(node("../../etc/x y\n"), ".._.._etc_x_y_");
        assert_eq!(node(""), "node");
    }
}
