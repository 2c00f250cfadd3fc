//! A pid that comes into use again between the decision and the signal.

use super::{PIDS, Running, await_that};
use mcp_sensor_proto::v1::action::{Delivered, Kind, Outcome, Target};
use sensor_core::{
    event::{Framing, Implementation, Session, SessionId, Transport},
    input::ProcessId,
    redact::Level,
};
use sensor_ebpf::{ExitRecord, ForkRecord, RecordHeader, RecordKind};
use sensor_user::{
    agent,
    capture::Record,
    identity::Known,
    respond::{By, Enforcement, Exempt, Order, Responder, Settings},
};
use std::{
    process::{Command, Stdio},
    sync::PoisonError,
    time::Instant,
};

/// Pids that are given out again; `MCP_LONG_TRIES` asks for another number (`cargo xtask long`: 10,000).
const TRIES: usize = 1_000;
const TICK: u64 = 10_000_000;
const LAST_PID: &str = "/proc/sys/kernel/ns_last_pid";

fn start() -> Running {
    Running::start(Command::new("/bin/sleep").arg("1000").stdin(Stdio::null()))
}

fn tick_of(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().split(' ').nth(19).unwrap().parse().unwrap()
}

fn header(process: ProcessId, kind: RecordKind) -> RecordHeader {
    let ProcessId { pid, start_time } = process;
    RecordHeader { kind: kind as u8, end: 0, loss: 0, flags: 0, length: 0, time: start_time, start_time, pid, tid: pid }
}

/// When the end of the process is heard of.
#[derive(Clone, Copy, Debug)]
enum News {
    /// Before the order.
    Before,
    /// Between the order and the moment when it is certain who has the pid.
    Between,
    /// Never: the record was lost.
    Never,
}

#[test]
fn pid_reused_again_and_again_and_never_the_wrong_one_is_signalled() {
    let _pids = PIDS.write().unwrap_or_else(PoisonError::into_inner);
    let (mut tries, mut missed, mut same_tick) = (0, 0, 0);
    let wanted = std::env::var("MCP_LONG_TRIES").map_or(TRIES, |tries| tries.parse().unwrap());
    let mut known = Known::live(agent::identities(Level::Redacted), 0);
    while tries < wanted {
        assert!(missed < 20 * wanted, "pids cannot be given out again here: {LAST_PID}");
        let news = [News::Before, News::Between, News::Between, News::Between, News::Never][tries % 5];
        let mut victim = start();
        let pid = victim.0.id();
        let process = ProcessId { pid, start_time: tick_of(pid) * TICK + 1 };
        let identities = known.identities().unwrap();
        identities.fork(&ForkRecord { header: header(process, RecordKind::Fork), parent_start_time: 1, parent_pid: 1, padding: 0 });
        // What it runs is known, and the next one will run the same.
        identities.get(process);
        if matches!(news, News::Never) {
            // Where its end is never heard of, it is the tick that tells.
            await_that("another tick", || {
                let clock = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                u64::try_from(clock.tv_sec).unwrap() * 100 + u64::try_from(clock.tv_nsec).unwrap() / TICK > process.start_time / TICK
            });
        }
        victim.0.kill().unwrap();
        victim.0.wait().unwrap();
        std::fs::write(LAST_PID, (pid - 1).to_string()).unwrap();
        let mut other = start();
        if other.0.id() != pid {
            missed += 1;
            continue;
        }
        tries += 1;
        same_tick += usize::from(tick_of(pid) == process.start_time / TICK);

        let settings = Settings { mode: Enforcement::On, exempt: Exempt::default(), actions_per_minute: 100 };
        let mut responder = Responder::new(settings, std::process::id(), None, None, 1);
        let exit = ExitRecord { header: header(process, RecordKind::Exit), status: 9, padding: 0 };
        let session = Session {
            id: SessionId(1),
            transport: Transport::Pipe,
            framing: Framing::Ndjson,
            protocol_version: String::new(),
            late_attach: false,
            client: None,
            server: Some(process),
            client_info: Implementation::default(),
            server_info: Implementation::default(),
            relay_of: None,
            probe: false,
            tunnel: None,
        };
        let order = Order {
            kind: Kind::Kill,
            target: Target::Server,
            tree: tries % 7 == 0,
            by: By::Rule { rule: "r", finding_id: "f" },
            session: &session,
            client: None,
            server: Some(process),
            delivered: Delivered::Yes,
            decided: Instant::now(),
        };
        let hear_exit = |known: &mut Known, responder: &mut Responder| {
            known.identities().unwrap().exit(&exit);
            responder.record(&Record::Exit(exit), known);
        };
        // The pipeline is as far as the victim's first milliseconds.
        responder.tick(process.start_time + TICK / 2, &mut known);
        if matches!(news, News::Before) {
            hear_exit(&mut known, &mut responder);
        }
        responder.act(&order, &mut known);
        if matches!(news, News::Between) {
            hear_exit(&mut known, &mut responder);
        }
        responder.tick(process.start_time + 3 * TICK, &mut known);
        let done = responder.take_done();
        assert_eq!(done.len(), 1, "{news:?}");
        let action = &done[0].action;
        assert_eq!((action.outcome(), action.latency_ns), (Outcome::Gone, None), "{news:?}: {}", action.detail);
        assert!(other.0.try_wait().unwrap().is_none(), "{news:?}: the wrong process was killed");
    }
    println!("{tries} pids came into use again, {same_tick} of them in the same tick; {missed} were taken by others meanwhile");
    assert!(same_tick > 0, "the test proves nothing about ticks");
}
