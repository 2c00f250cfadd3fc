//! Wireshark's own reader opens recordings, and shows what is in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{ANSWER, CALL, LINE, all, header, written};
use recording::{Item, Level, writer};
use std::io::Write as _;
use std::process::Command;

/// Runs tshark on a recording, and gives what it printed; `None` where there is no tshark.
fn tshark(file: &[u8], arguments: &[&str]) -> Option<String> {
    let mut kept = tempfile::NamedTempFile::with_suffix(".pcapng").unwrap();
    kept.write_all(file).unwrap();
    let output = match Command::new("tshark").arg("-r").arg(kept.path()).args(arguments).env("LC_ALL", "C.UTF-8").output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("SKIPPED: there is no tshark here; `cargo xtask setup tests` installs it");
            return None;
        }
        Err(error) => panic!("tshark: {error}"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

fn file(level: Level) -> Vec<u8> {
    written(&header(level), &all(level), writer::Options::default())
}

/// Values of a field, one a packet that passes the filter.
fn fields(file: &[u8], filter: &str, field: &str) -> Option<Vec<String>> {
    let printed = tshark(file, &["-Y", filter, "-T", "fields", "-e", field])?;
    Some(printed.lines().map(str::to_owned).collect())
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_payload_of_each_packet_is_that_of_its_item() {
    for level in [Level::Full, Level::Redacted] {
        let items = all(level);
        let expected = items.iter().filter_map(|item| match item {
            Item::Chunk(chunk) => Some(chunk.bytes.to_vec()),
            Item::Message(message) => Some([message.bytes, b"\n"].concat()),
            _ => None,
        });
        let Some(payloads) = fields(&file(level), "exported_pdu.ipv4_src || exported_pdu.ipv6_src", "exported_pdu.exported_pdu") else {
            return;
        };
        let payloads: Vec<Vec<u8>> =
            payloads.iter().filter(|line| *line != "<MISSING>" && !line.is_empty()).map(|line| unhex(line)).collect();
        assert_eq!(payloads, expected.collect::<Vec<_>>());
    }
}

/// The strings of a JSON value by their path, as Wireshark names it.
fn strings(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => members.iter().for_each(|(key, value)| strings(value, &format!("{path}/{key}"), found)),
        serde_json::Value::Array(values) => values.iter().for_each(|value| strings(value, &format!("{path}/[]"), found)),
        serde_json::Value::String(text) => found.push(format!("{path}:{text}")),
        other => found.push(format!("{path}:{other}")),
    }
}

#[test]
fn json_is_dissected_to_what_the_items_hold() {
    for level in [Level::Full, Level::Redacted] {
        let filter = "json && (exported_pdu.ipv4_src || exported_pdu.ipv6_src)";
        let Some(shown) = tshark(&file(level), &["-Y", filter, "-T", "fields", "-e", "json.path_with_value", "-E", "aggregator=\u{1f}"])
        else {
            return;
        };
        let shown: Vec<Vec<String>> = shown
            .lines()
            .map(|line| {
                let mut paths: Vec<String> = line.split('\u{1f}').map(str::to_owned).collect();
                paths.sort();
                paths
            })
            .collect();
        let expected: Vec<Vec<String>> = (0..7)
            .map(|index| {
                let text = [CALL, ANSWER, LINE][index % 3];
                let mut found = Vec::new();
                strings(&serde_json::from_slice(text).unwrap(), "", &mut found);
                found.sort();
                found
            })
            .collect();
        // tshark shows a control character its own way.
        let plain = |all: Vec<Vec<String>>| -> Vec<Vec<String>> {
            all.into_iter()
                .map(|paths| paths.into_iter().map(|path| path.replace('\u{1b}', "").replace("\\033", "").replace("\\x1b", "")).collect())
                .collect()
        };
        assert_eq!(plain(shown), plain(expected));
    }
}

#[test]
fn a_person_sees_who_spoke_and_what_is_missing() {
    let Some(comments) = fields(&file(Level::Full), "frame.comment", "frame.comment") else { return };
    assert_eq!(comments.len(), 11);
    let pipe = "pipe 501: 110 bytes at 0, written by process 4711 /usr/bin/node, read by process 4712 /usr/bin/python3.13␛]0;x␇";
    assert_eq!(comments[1], pipe);
    let gap = "GAP in pipe 501: 4096 bytes are missing: the ring buffer was full; the process's memory could not be read, written by";
    assert!(comments[8].starts_with(gap), "{}", comments[8]);
    // What the sensor told of itself; captured text in it cannot deceive.
    assert!(comments[0].contains("LOSS since the sensor started: 3 in KERNEL, 300 bytes, RING_FULL"), "{}", comments[0]);
    assert!(comments[0].contains("BLIND SPOT TLS_LIBRARY process 99 /opt/evil\\u{202e}␊GAP␛[31m: statically"), "{}", comments[0]);
    assert_eq!(fields(&file(Level::Full), "frame.comment contains \"GAP in\"", "frame.number").unwrap().len(), 2);
    let redacted = fields(&file(Level::Redacted), "frame.comment contains \"redacted\"", "frame.comment").unwrap();
    assert!(redacted[0].contains("the original had 114 bytes, SHA-256 "), "{}", redacted[0]);
    let sensor = fields(&file(Level::Full), "json.value.string == \"RING_FULL\"", "frame.number").unwrap();
    assert_eq!(sensor.len(), 2, "the sensor's events are dissected as JSON");
}

#[test]
fn packets_are_found_by_address_port_time_and_direction() {
    let file = file(Level::Full);
    let count = |filter: &str| fields(&file, filter, "frame.number").map(|lines| lines.len());
    let Some(tcp) = count("ip.addr == 192.0.2.7 && exported_pdu.dst_port == 8080") else { return };
    assert_eq!(tcp, 2);
    assert_eq!(count("ipv6.addr == 2001:db8::8"), Some(1));
    // Both directions of the terminal.
    assert_eq!(count("ipv6.addr == fd6d:6370:4:0:ffff:8881:4444:0 && ipv6.addr == fd6d:6370:5:0:ffff:8881:4444:0"), Some(2));
    // Every pipe is in one network.
    assert_eq!(count("ipv6.src == fd6d:6370:1::/48"), Some(3));
    assert_eq!(count("frame.time == \"2026-01-31 14:00:03.000000001\""), Some(1));
    assert_eq!(count("frame.packet_flags_direction == 2 && json"), Some(7));
}
