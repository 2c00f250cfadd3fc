//! The units, under a systemd of their own.

use super::{
    machine::Machine,
    package::package,
    process::{Lines, is_answered_call, output, wait_for},
};
use end_to_end::harness::beside;
use serde_json::Value;

const TAIL: [&str; 5] = ["tail", "--json", "--since", "1h", "--token-file"];
/// The machine shares the host's kernel but has a pid namespace of its own, so the sensor needs the host's `/proc`. And a watchdog
/// that is fast enough to be watched.
const DROP_INS: &str = "for unit in mcp-sensor mcp-collector; do
        mkdir -p /etc/systemd/system/$unit.service.d
        printf '[Service]\\nWatchdogSec=2s\\n' >/etc/systemd/system/$unit.service.d/watchdog.conf
    done
    printf '[Service]\\nBindPaths=/run/host/proc:/proc\\n' >/etc/systemd/system/mcp-sensor.service.d/host-proc.conf";
/// The services, in the order in which they start.
const NAMES: [&str; 2] = ["mcp-collector.service", "mcp-sensor.service"];

#[test]
fn installed_services_show_a_tool_call_and_stop_in_order() {
    let machine = Machine::boot(package(), &beside("peer"));
    output(machine.enter("sh").args(["-euc", DROP_INS]));
    output(&mut machine.enter("/opt/mcp-sensor/systemd/install"));
    for unit in NAMES {
        // Restarted by `install`, which waits until each has told that it is ready.
        assert_eq!(machine.property(unit, "ActiveState"), "active", "{unit}: {}", journal(&machine));
        assert_ne!(machine.property(unit, "User"), "root");
        let first = machine.property(unit, "WatchdogTimestampMonotonic");
        wait_for("the watchdog is told again", || (machine.property(unit, "WatchdogTimestampMonotonic") != first).then_some(()));
    }
    assert_eq!(machine.property("mcp-sensor.service", "StatusText"), "capturing");

    let mut tail = Lines::start(machine.enter("mcp-collector").args(TAIL).arg("/etc/mcp-sensor/reader.token"));
    tail.event("the sensor captures", |event| event["sensor"]["state"] == "READY");
    let client = ["peer", "client", "--tool", "echo", "--calls", "3", "--linger-ms", "500", "--", "peer", "server"];
    output(machine.enter("systemd-run").args(["--quiet", "--wait", "--unit=assistant", "--uid=nobody"]).args(client));
    // The sensor sees the whole machine, and with it the calls of the tests beside this one.
    let is_assistant = |event: &Value| event["client"]["systemdUnit"] == "assistant.service";
    let call = tail.event("the tool call", |event| is_answered_call(event) && is_assistant(event));
    for end in ["client", "server"] {
        assert_eq!(call[end]["exe"], "/usr/bin/peer", "{call:#}");
        assert_eq!(call[end]["exeSha256"].as_str().map(str::len), Some(64), "{call:#}");
        assert_eq!(call[end]["systemdUnit"], "assistant.service", "{call:#}");
    }

    drop(tail);
    output(machine.enter("systemctl").args(["reload", "mcp-sensor"]));
    for unit in NAMES.iter().rev() {
        output(machine.enter("systemctl").args(["stop", unit]));
        assert_eq!(machine.property(unit, "Result"), "success", "{}", journal(&machine));
        assert_eq!(machine.property(unit, "ExecMainStatus"), "0", "{}", journal(&machine));
        assert_eq!(machine.property(unit, "NRestarts"), "0");
    }

    output(machine.enter("/opt/mcp-sensor/systemd/uninstall").arg("--purge"));
    let left = "! ls /usr/bin/mcp-* /etc/mcp-sensor /var/lib/mcp-collector /etc/systemd/system/mcp-*.service 2>/dev/null";
    output(machine.enter("sh").args(["-c", left]));
}

fn journal(machine: &Machine) -> String {
    output(machine.enter("journalctl").args(["--no-pager", "--unit=mcp-*"]))
}
