//! The table of exchanges against the plainest model: a list.

use crate::engine::exchange::Exchanges;
use crate::event::MessageDirection::{self, ClientToServer, ServerToClient};
use crate::json::Tape;
use crate::mcp::hash::Keyed;
use crate::mcp::id::Id;
use proptest::prelude::*;

const IDS: [&str; 4] = ["0", "1", "\"1\"", "\"\\u0041\""];

#[derive(Clone, Copy, Debug, PartialEq)]
struct Listed {
    node: u32,
    session: u32,
    direction: MessageDirection,
    id: usize,
    answered: bool,
}

proptest! {
    #[test]
    fn requests_are_found_in_the_order_of_their_age_and_nothing_else_is(
        steps in prop::collection::vec((0..5_u8, 0..2_u32, any::<bool>(), 0..4_usize, any::<prop::sample::Index>()), 0..200),
    ) {
        let keyed = Keyed::new(11);
        let mut tapes: Vec<Tape> = Vec::new();
        for id in IDS {
            let mut tape = Tape::new();
            tape.parse(id.as_bytes()).unwrap();
            tapes.push(tape);
        }
        let id_of = |at: usize| Id::new(tapes[at].root(IDS[at].as_bytes()).unwrap(), keyed);
        let mut exchanges = Exchanges::new(keyed);
        let mut list: Vec<Listed> = Vec::new();
        for (step, session, back, id, which) in steps {
            let direction = if back { ServerToClient } else { ClientToServer };
            let same = |listed: &&Listed| (listed.session, listed.direction, listed.id, listed.answered) == (session, direction, id, false);
            match step {
                0 | 1 => {
                    let (node, in_use) = exchanges.begin(session, direction, &id_of(id), 5);
                    prop_assert_eq!(in_use, list.iter().any(|listed| same(&listed)));
                    exchanges.set_token(node, &id_of(3 - id));
                    exchanges.measure(node);
                    list.push(Listed { node, session, direction, id, answered: false });
                }
                2 => {
                    let found = exchanges.answer(session, direction, &id_of(id));
                    let expected = list.iter().position(|listed| same(&listed));
                    prop_assert_eq!(found, expected.map(|at| list[at].node));
                    if let Some(at) = expected {
                        list[at].answered = true;
                    }
                }
                3 if !list.is_empty() => {
                    let ended = list.remove(which.index(list.len()));
                    exchanges.end(ended.node);
                }
                _ => {
                    // The newest that still lives has its token.
                    let token = exchanges.by_token(session, direction, &id_of(3 - id));
                    if let Some(node) = token {
                        prop_assert!(list.iter().any(|listed| (listed.node, listed.id, listed.session) == (node, id, session)));
                    }
                }
            }
            prop_assert_eq!(exchanges.oldest(), list.first().map(|listed| listed.node));
            for session in 0..2 {
                let oldest = list.iter().find(|listed| listed.session == session).map(|listed| listed.node);
                prop_assert_eq!(exchanges.oldest_of(session), oldest);
            }
        }
        for listed in list {
            exchanges.end(listed.node);
        }
        prop_assert_eq!((exchanges.held(), exchanges.oldest()), (0, None));
    }
}
