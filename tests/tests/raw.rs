//! Every way of moving bytes, and every odd row: the raw peer's own suite (`peer selftest --list` names the cases).

use end_to_end::harness::{beside, end_with_this_process};
use std::process::Command;

/// Runs the suite, and gives what it printed.
#[expect(clippy::expect_used, reason = "serves tests only")]
fn selftest(arguments: &[&str]) -> String {
    let sensor = std::env::var_os("MCP_SENSOR_BIN").unwrap_or_else(|| beside("mcp-sensor").into());
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.arg("selftest").arg("--sensor").arg(sensor).args(arguments);
    end_with_this_process(&mut command);
    let output = command.output().expect("the peer starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("SELFTEST PASSED"), "the suite did not come to its end");
    text
}

/// Then once more with some of them: what the sensor says live is also what its recording says when it is replayed; what it shows
/// redacted, what a redacted one says. One after the other, for each runs a sensor.
#[test]
fn every_way_of_moving_bytes_is_seen_whole_and_a_recording_says_the_same() {
    selftest(&[]);
    let text = selftest(&["--record", "--cases", "pipe*,socketpair*,relay*,late*,swap-fd,odd-f36,odd-f44open"]);
    assert!(text.contains("come out of the recordings as they were"), "the recordings were not compared");
}
