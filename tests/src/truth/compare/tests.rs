use super::{Options, Report, Seen, compare};
use crate::truth::{Entry, Role, TruthLog, Way, disagreements};
use serde_json::{Value, json};

const CLIENT: u32 = 10;
const SERVER: u32 = 20;

fn log(role: Role, pid: u32, session: &str, entries: Vec<Entry>) -> TruthLog {
    TruthLog {
        path: "memory".into(),
        role,
        peer: "peer".into(),
        pid,
        entries: entries.into_iter().map(|entry| Entry { session: session.into(), ..entry }).collect(),
        sessions: vec![session.into()],
        blind: false,
        unordered: false,
        ended: true,
    }
}

fn entry(way: Way, name: &str) -> Entry {
    Entry { direction: Some(way), size: 7, sha256: name.into(), method: Some("ping".into()), id: Some(json!(7)), ..Entry::default() }
}

fn pair(names: &[&str]) -> Vec<TruthLog> {
    let all = |way| names.iter().map(|name| entry(way, name)).collect();
    vec![log(Role::Client, CLIENT, "s", all(Way::Sent)), log(Role::Server, SERVER, "s", all(Way::Received))]
}

fn event(client: u32, server: u32, name: &str) -> Value {
    json!({"client": {"pid": client}, "server": {"pid": server}, "message":
        {"direction": "CLIENT_TO_SERVER", "type": "REQUEST", "method": "ping", "requestId": "7", "sizeBytes": "7", "sha256": name}})
}

fn report(logs: &[TruthLog], events: &[Value]) -> Report {
    compare(logs, &Seen::all(events), &Options::default())
}

#[test]
fn each_message_once_with_both_processes_is_right() {
    let report = report(&pair(&["a", "b"]), &[event(CLIENT, SERVER, "a"), event(CLIENT, SERVER, "b"), json!({"sensor": {}})]);
    assert!(report.is_right(), "{report}");
    assert_eq!((report.expected, report.found), (2, 2));
}

#[test]
fn what_is_wrong_is_named() {
    let report = report(
        &pair(&["a", "b", "c", "d"]),
        &[
            event(CLIENT, SERVER, "b"),
            event(CLIENT, SERVER, "a"),
            event(CLIENT, SERVER, "a"),
            event(CLIENT, 99, "c"),
            event(CLIENT, SERVER, "x"),
            event(98, 99, "y"),
        ],
    );
    assert_eq!(
        [
            report.missing.len(),
            report.surplus.len(),
            report.duplicates.len(),
            report.wrong_process.len(),
            report.out_of_order.len(),
            report.strangers
        ],
        [1, 1, 1, 1, 1, 1],
        "{report}"
    );
}

#[test]
fn equal_messages_of_two_sessions_are_told_apart_by_their_processes() {
    let mut logs = pair(&["a"]);
    logs.push(log(Role::Client, 11, "t", vec![entry(Way::Sent, "a")]));
    logs.push(log(Role::Server, 21, "t", vec![entry(Way::Received, "a")]));
    assert!(report(&logs, &[event(11, 21, "a"), event(CLIENT, SERVER, "a")]).is_right());
    let crossed = report(&logs, &[event(11, SERVER, "a"), event(CLIENT, 21, "a")]);
    assert_eq!(crossed.wrong_process.len(), 2, "{crossed}");
}

#[test]
fn each_hop_of_a_relay_is_a_session_and_a_blind_relay_is_known_by_its_pid() {
    let relay = 15;
    let blind = |role, session: &str| TruthLog { blind: true, ..log(role, relay, session, Vec::new()) };
    let logs = [
        log(Role::Client, CLIENT, "s", vec![entry(Way::Sent, "a")]),
        blind(Role::Server, "s"),
        blind(Role::Client, "s/1"),
        log(Role::Server, SERVER, "s/1", vec![entry(Way::Received, "a")]),
    ];
    assert!(report(&logs, &[event(CLIENT, relay, "a"), event(relay, SERVER, "a")]).is_right());
    assert!(!report(&logs, &[event(CLIENT, SERVER, "a"), event(relay, SERVER, "a")]).is_right());
    assert!(disagreements(&logs).is_empty());
}

#[test]
fn a_message_of_a_killed_sender_is_required_only_if_it_arrived() {
    let mut logs = pair(&["a"]);
    logs[0].entries.push(Entry { session: "s".into(), ..entry(Way::Sent, "b") });
    assert_eq!(report(&logs, &[event(CLIENT, SERVER, "a")]).missing.len(), 1);
    logs[0].ended = false;
    assert!(report(&logs, &[event(CLIENT, SERVER, "a")]).is_right());
    assert!(report(&logs, &[event(CLIENT, SERVER, "a"), event(CLIENT, SERVER, "b")]).is_right());
}

#[test]
fn noise_and_what_went_before_the_sensor_must_not_be_reported() {
    let mut logs = pair(&["a", "b"]);
    logs[0].entries[0].noise = true;
    logs[1].entries[0].noise = true;
    logs[0].entries[1].unseen = true;
    assert!(report(&logs, &[]).is_right());
    let wrong = report(&logs, &[event(CLIENT, SERVER, "a"), event(CLIENT, SERVER, "b")]);
    assert_eq!(wrong.surplus.len() + wrong.duplicates.len(), 2, "{wrong}");
}

#[test]
fn the_two_ends_disagree_where_a_message_is_lost() {
    let mut logs = pair(&["a", "b"]);
    assert!(disagreements(&logs).is_empty());
    logs[1].entries.pop();
    assert_eq!(disagreements(&logs).len(), 1);
}
