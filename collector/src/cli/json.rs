//! Messages of the contract as JSON for programs: the proto3 form, one object a line, safe on a terminal.

use present::sanitize::is_unsafe;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

use super::failure::{Exit, Failure};

/// Appends `message`, of the contract's type `name`, and a line end.
pub(super) fn write(name: &str, message: &impl Message, out: &mut Vec<u8>) -> Result<(), Failure> {
    let failed =
        |error: Box<dyn std::error::Error + Send + Sync>| Failure::new(Exit::Failed, format!("cannot write {name} as JSON")).because(error);
    let pool = DescriptorPool::decode(mcp_sensor_proto::DESCRIPTOR).map_err(|error| failed(error.into()))?;
    let descriptor = pool
        .get_message_by_name(&format!("mcp_sensor.v1.{name}"))
        .ok_or_else(|| Failure::new(Exit::Failed, format!("{name} is not in the contract")))?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice()).map_err(|error| failed(error.into()))?;
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::new(&mut text);
    dynamic.serialize_with_options(&mut serializer, &SerializeOptions::new()).map_err(|error| failed(error.into()))?;
    escape(&String::from_utf8_lossy(&text), out);
    out.push(b'\n');
    Ok(())
}

/// JSON in which what a terminal would obey is escaped. Such characters stand only in strings.
fn escape(json: &str, out: &mut Vec<u8>) {
    for character in json.chars() {
        if is_unsafe(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        } else {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use mcp_sensor_proto::v1::{Peer, SessionSummary};

    use super::*;

    #[test]
    fn a_line_is_json_that_no_terminal_obeys() {
        let hostile = "\u{1b}[2J\u{9b}\u{202e}\u{2028}\u{e0041}\n";
        let client = Peer { name: hostile.to_owned(), ..Peer::default() };
        let summary = SessionSummary { client: Some(client), messages: 7, ..SessionSummary::default() };
        let mut out = Vec::new();
        write("SessionSummary", &summary, &mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.is_ascii() && line.ends_with('\n') && line.lines().count() == 1, "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["client"]["name"], hostile);
        assert_eq!(value["messages"], "7");
    }
}
