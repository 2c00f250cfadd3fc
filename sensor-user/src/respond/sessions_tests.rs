//! The rows of `CASES.md` that are decided by who spoke where.

use super::*;
use sensor_core::event::{EventId, Framing, Implementation, Marks, Message, MessageType};

fn process(pid: u32) -> ProcessId {
    ProcessId { pid, start_time: 1_000_000_000 * Time::from(pid) }
}

fn session(id: u64, client: Option<u32>, server: Option<u32>) -> Session {
    Session {
        id: SessionId(id),
        transport: Transport::Pipe,
        framing: Framing::Ndjson,
        protocol_version: String::new(),
        late_attach: false,
        client: client.map(process),
        server: server.map(process),
        client_info: Implementation::default(),
        server_info: Implementation::default(),
        relay_of: None,
        probe: false,
        tunnel: None,
    }
}

fn message(direction: MessageDirection) -> Body<'static> {
    Body::Message(Message {
        direction,
        r#type: MessageType::Request,
        method: "tools/call",
        request_id: "1",
        target: "echo",
        size: 10,
        sha256: [0; 32],
        body: "",
        truncated: false,
        marks: Marks::default(),
        task_id: "",
        related_request_id: "",
        said: sensor_core::event::Said::default(),
    })
}

impl Sessions {
    fn hear(&mut self, session: &Session, client: Option<u32>, server: Option<u32>, reader_in_doubt: bool, body: Body<'_>) {
        let (client, server) = (client.map(process), server.map(process));
        self.seen(&Event { id: EventId(1), time: 5, session, client, server, reader_in_doubt, body });
    }

    /// A request from one to the other.
    fn request(&mut self, session: &Session, client: u32, server: u32) {
        self.hear(session, Some(client), Some(server), false, message(MessageDirection::ClientToServer));
    }

    fn end(&mut self, session: &Session) {
        self.hear(session, None, None, false, Body::Session(SessionState::Closed));
    }

    /// Whom an action by hand is aimed at, all being alive.
    fn by_hand(&self, session: &Session, target: Target) -> Result<Aim, String> {
        self.aim(session, target, None, None, |_| true).map_err(|refusal| refusal.0)
    }
}

fn only(pid: u32) -> Result<Aim, String> {
    Ok(Aim { processes: vec![process(pid)], ..Aim::default() })
}

#[test]
fn direct_child() {
    let mut sessions = Sessions::default();
    let one = session(1, Some(10), Some(20));
    sessions.request(&one, 10, 20);
    assert_eq!(sessions.by_hand(&one, Target::Server), only(20));
    assert_eq!(sessions.by_hand(&one, Target::Client), only(10));
    let both = sessions.by_hand(&one, Target::Both).unwrap();
    assert_eq!(both.processes, [process(20), process(10)]);
}

#[test]
fn relay() {
    let mut sessions = Sessions::default();
    let first = session(1, Some(10), Some(20));
    let second = Session { relay_of: Some(first.id), ..session(2, Some(20), Some(30)) };
    let third = Session { relay_of: Some(second.id), ..session(3, Some(30), Some(40)) };
    for (session, client, server) in [(&first, 10, 20), (&second, 20, 30), (&third, 30, 40)] {
        sessions.request(session, client, server);
    }
    for session in [&first, &second, &third] {
        assert_eq!(sessions.by_hand(session, Target::Server), only(40));
        assert_eq!(sessions.by_hand(session, Target::Client), only(10));
    }
    // The relay read this very message of the first session; it is not who answers.
    let aim = sessions.aim(&first, Target::Server, Some(process(10)), Some(process(20)), |_| true).unwrap();
    assert_eq!(aim.processes, [process(40)]);
    assert!(sessions.named(&first, Target::Server, 20).is_err());
    assert_eq!(sessions.named(&first, Target::Server, 40), Ok(process(40)));
    // The last one ends: what is behind the relay then is the one before.
    sessions.end(&third);
    assert_eq!(sessions.by_hand(&first, Target::Server), only(30));
}

#[test]
fn a_relay_that_shows_late_counts_from_then_on() {
    let mut sessions = Sessions::default();
    let (first, second) = (session(1, Some(10), Some(20)), session(2, Some(20), Some(30)));
    sessions.request(&first, 10, 20);
    sessions.request(&second, 20, 30);
    assert_eq!(sessions.by_hand(&first, Target::Server), only(20));
    sessions.request(&Session { relay_of: Some(first.id), ..second }, 20, 30);
    assert_eq!(sessions.by_hand(&first, Target::Server), only(30));
}

#[test]
fn relay_that_splits() {
    let mut sessions = Sessions::default();
    let first = session(1, Some(10), Some(20));
    sessions.request(&first, 10, 20);
    for (id, server) in [(2, 30), (3, 40)] {
        sessions.request(&Session { relay_of: Some(first.id), ..session(id, Some(20), Some(server)) }, 20, server);
    }
    assert!(sessions.by_hand(&first, Target::Server).unwrap_err().contains("several servers"));
    assert_eq!(sessions.by_hand(&first, Target::Client), only(10));
}

#[test]
fn relay_forgotten() {
    let mut sessions = Sessions::default();
    let second = Session { relay_of: Some(SessionId(1)), ..session(2, Some(20), Some(30)) };
    sessions.request(&second, 20, 30);
    assert!(sessions.by_hand(&second, Target::Client).unwrap_err().contains("not known any more"));
    assert_eq!(sessions.by_hand(&second, Target::Server), only(30));
    // Relays in a circle are no way to an end.
    let mut sessions = Sessions::default();
    for (id, other) in [(1, 2), (2, 1)] {
        sessions.request(&Session { relay_of: Some(SessionId(other)), ..session(id, Some(20), Some(30)) }, 20, 30);
    }
    let circle = Session { relay_of: Some(SessionId(2)), ..session(1, None, None) };
    assert!(sessions.by_hand(&circle, Target::Client).unwrap_err().contains("too many relays"));
    assert!(sessions.by_hand(&circle, Target::Server).unwrap_err().contains("too many relays"));
}

#[test]
fn workers() {
    let mut sessions = Sessions::default();
    let pool = session(1, Some(10), Some(22));
    for worker in [20, 21, 22] {
        sessions.request(&pool, 10, worker);
    }
    let aim = sessions.aim(&pool, Target::Server, Some(process(10)), Some(process(21)), |worker| worker.pid != 20).unwrap();
    assert_eq!((aim.processes, aim.others), (vec![process(21)], vec![process(22)]));
}

#[test]
fn workers_in_doubt() {
    let mut sessions = Sessions::default();
    let pool = session(1, Some(10), Some(20));
    sessions.hear(&pool, Some(10), Some(20), true, message(MessageDirection::ClientToServer));
    assert!(sessions.by_hand(&pool, Target::Server).unwrap_err().contains("other processes may have read it"));
    let doubtful = |direction| Event {
        id: EventId(1),
        time: 5,
        session: &pool,
        client: Some(process(10)),
        server: Some(process(20)),
        reader_in_doubt: true,
        body: message(direction),
    };
    assert_eq!(peers_of(&doubtful(MessageDirection::ClientToServer)), (Some(process(10)), None));
    assert_eq!(peers_of(&doubtful(MessageDirection::ServerToClient)), (None, Some(process(20))));
}

#[test]
fn workers_by_hand() {
    let mut sessions = Sessions::default();
    let pool = session(1, Some(10), Some(21));
    sessions.request(&pool, 10, 20);
    sessions.request(&pool, 10, 21);
    let why = sessions.by_hand(&pool, Target::Server).unwrap_err();
    assert!(why.contains("20, 21"), "{why}");
    // One of them ends: there is no doubt any more.
    let aim = sessions.aim(&pool, Target::Server, None, None, |worker| worker.pid != 20).unwrap();
    assert_eq!(aim.processes, [process(21)]);
}

#[test]
fn worker_of_two_sessions() {
    let mut sessions = Sessions::default();
    let (pool, other) = (session(1, Some(10), Some(21)), session(2, Some(11), Some(21)));
    sessions.request(&pool, 10, 20);
    sessions.request(&pool, 10, 21);
    sessions.request(&other, 11, 21);
    let others = |sessions: &Sessions| sessions.aim(&pool, Target::Server, None, Some(process(20)), |_| true).unwrap().others;
    assert_eq!(others(&sessions), []);
    sessions.end(&other);
    assert_eq!(others(&sessions), [process(21)]);
}

#[test]
fn shared_pipe() {
    let mut sessions = Sessions::default();
    let shared = session(1, Some(11), Some(20));
    sessions.request(&shared, 10, 20);
    sessions.request(&shared, 11, 20);
    let aim = sessions.aim(&shared, Target::Client, Some(process(10)), Some(process(20)), |_| true).unwrap();
    assert_eq!(aim.processes, [process(10)]);
    assert!(sessions.by_hand(&shared, Target::Client).is_err());
}

#[test]
fn one_process() {
    let mut sessions = Sessions::default();
    let own = session(1, Some(10), Some(10));
    sessions.request(&own, 10, 10);
    assert_eq!(sessions.by_hand(&own, Target::Server), Err("client and server are one process".to_owned()));
    assert_eq!(sessions.by_hand(&own, Target::Client), only(10));
}

#[test]
fn remote() {
    let mut sessions = Sessions::default();
    let far = Session { transport: Transport::Tcp, ..session(1, Some(10), None) };
    sessions.hear(&far, Some(10), None, false, message(MessageDirection::ClientToServer));
    assert!(sessions.by_hand(&far, Target::Server).unwrap_err().contains("not on this host"));
    assert_eq!(sessions.by_hand(&far, Target::Client), only(10));
}

#[test]
fn unknown() {
    let sessions = Sessions::default();
    assert!(sessions.by_hand(&session(1, None, None), Target::Server).unwrap_err().contains("not known"));
}

#[test]
fn exec_since() {
    let mut sessions = Sessions::default();
    let one = session(1, Some(10), Some(20));
    sessions.request(&one, 10, 20);
    sessions.exec(process(20));
    sessions.exec(process(99));
    assert!(sessions.by_hand(&one, Target::Server).unwrap_err().contains("began another program"));
    // The new program speaks in the same session.
    sessions.request(&one, 10, 20);
    assert_eq!(sessions.by_hand(&one, Target::Server), only(20));
    assert_eq!(sessions.changed, 0);
}

#[test]
fn both() {
    let mut sessions = Sessions::default();
    let one = session(1, Some(10), None);
    sessions.hear(&one, Some(10), None, false, message(MessageDirection::ClientToServer));
    let aim = sessions.by_hand(&one, Target::Both).unwrap();
    assert_eq!(aim.processes, [process(10)]);
    assert!(aim.refused.is_some());
    assert!(sessions.by_hand(&session(2, None, None), Target::Both).is_err());
}

#[test]
fn a_session_is_found_by_the_beginning_of_its_id() {
    let mut sessions = Sessions::default();
    let (one, two) = (session(0x1234_0000_0000_0001, Some(10), Some(20)), session(0x1234_0000_0000_0002, Some(11), Some(21)));
    sessions.request(&one, 10, 20);
    sessions.request(&two, 11, 21);
    assert_eq!(sessions.find("1234000000000001").unwrap().id, one.id);
    for (prefix, why) in [("1234", "2 sessions begin with"), ("", "no session"), ("ffff", "no session"), ("x\u{1b}", "no session")] {
        assert!(sessions.find(prefix).unwrap_err().contains(why), "{prefix}");
    }
    sessions.end(&two);
    assert_eq!(sessions.find("1234").unwrap().id, one.id);
    assert!(sessions.find("1234000000000002").unwrap_err().contains("has closed"));
}

#[test]
fn a_hundred_thousand_sessions_and_processes_stay_few() {
    let mut sessions = Sessions::default();
    for n in 0..100_000_u32 {
        let one = Session {
            relay_of: n.checked_sub(1).map(|before| SessionId(u64::from(before))),
            ..session(u64::from(n), Some(n), Some(n + 1))
        };
        sessions.request(&one, n, n + 1);
        if n % 3 == 0 {
            sessions.end(&one);
        }
    }
    let crowd = session(200_000, None, None);
    for n in 0..10_000 {
        sessions.request(&crowd, 1, n);
    }
    assert!(sessions.len() <= SESSIONS);
    assert!(sessions.relayed.len() <= SESSIONS, "{}", sessions.relayed.len());
    assert!(sessions.speakers.len() <= 2 * SESSIONS + 2 * PEERS, "{}", sessions.speakers.len());
    assert_eq!(sessions.sessions[&crowd.id].servers.len(), PEERS);
    let last = session(99_998, Some(99_998), Some(99_999));
    assert!(sessions.by_hand(&last, Target::Server).is_ok());
}
