//! Every way of moving bytes, and every odd row: the raw peer's own suite (`peer selftest --list` names the cases). What the sensor
//! says live is also what its recording of all of it says when it is replayed.

use end_to_end::harness::{beside, end_with_this_process};
use std::process::Command;

#[test]
fn every_way_of_moving_bytes_is_seen_whole() {
    let sensor = std::env::var_os("MCP_SENSOR_BIN").unwrap_or_else(|| beside("mcp-sensor").into());
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.args(["selftest", "--record", "--sensor"]).arg(sensor);
    end_with_this_process(&mut command);
    let output = command.output().expect("the peer starts");
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("SELFTEST PASSED"), "the suite did not come to its end");
    assert!(text.contains("come out of the recordings as they were"), "the recordings were not compared");
}
