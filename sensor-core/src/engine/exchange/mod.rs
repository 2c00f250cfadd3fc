//! Requests that wait for what answers them.
//!
//! An exchange has no time-out: a tool may take an hour, a subscription lasts as long as its session. It ends with its
//! answer, with its session, or, the oldest first, when the memory is needed. Storage is pooled: ordinary traffic
//! allocates nothing.
//!
//! One exchange stands in the table in one place at a time: as a request by its id; once its result made a task of it,
//! by the task's id; once its result asked for input, by what its retry will carry. Beside that it may stand there by
//! its progress token. The table is keyed by hashes, and equality is checked by value.

mod node;

pub use node::Exchange;
use node::{Place, Space};

use crate::event::MessageDirection;
use crate::input::Time;
use crate::mcp::hash::Keyed;
use crate::mcp::id::Id;
use rustc_hash::FxHashMap;

/// Marks the end of a list.
const NONE: u32 = u32::MAX;
/// Bytes of storage that is kept for the next exchanges.
const POOLED: usize = 1 << 20;

/// The beginning of a text, cut at a character.
#[must_use]
pub fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or_default()
}

#[derive(Clone, Copy, Debug)]
struct Ends {
    oldest: u32,
    newest: u32,
}

impl Default for Ends {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE }
    }
}

/// All exchanges of all sessions.
#[derive(Debug)]
pub struct Exchanges {
    nodes: Vec<Option<Box<Exchange>>>,
    free: Vec<u32>,
    #[expect(clippy::vec_box, reason = "the boxes move to the pool and back")]
    pool: Vec<Box<Exchange>>,
    table: FxHashMap<Place, u32>,
    all: Ends,
    sessions: Vec<Ends>,
    held: usize,
    /// Bytes of the pool.
    pooled: usize,
    keyed: Keyed,
}

impl Exchanges {
    /// None yet.
    pub fn new(keyed: Keyed) -> Self {
        Self {
            nodes: Vec::new(),
            free: Vec::new(),
            pool: Vec::new(),
            table: FxHashMap::default(),
            all: Ends::default(),
            sessions: Vec::new(),
            held: 0,
            pooled: 0,
            keyed,
        }
    }

    /// Bytes held.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// One.
    #[inline]
    pub fn get(&self, node: u32) -> Option<&Exchange> {
        self.nodes.get(node as usize)?.as_deref()
    }

    /// One.
    #[inline]
    pub fn get_mut(&mut self, node: u32) -> Option<&mut Exchange> {
        self.nodes.get_mut(node as usize)?.as_deref_mut()
    }

    /// Begins one. The second value is true where the id is in use. A cancelled exchange with the id gives way.
    pub fn begin(&mut self, session: u32, direction: MessageDirection, id: &Id<'_>, time: Time) -> (u32, bool) {
        let in_use = match self.request(session, direction, id) {
            Some(before) if self.get(before).is_some_and(|before| before.cancelled) => {
                self.end(before);
                false
            }
            found => found.is_some(),
        };
        let mut exchange = self.pool.pop().unwrap_or_else(|| Box::new(Exchange::new()));
        self.pooled -= std::mem::take(&mut exchange.held);
        exchange.session = session;
        exchange.direction = direction;
        exchange.id.set(id);
        exchange.time = time;
        let node = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            u32::try_from(self.nodes.len() - 1).unwrap_or(NONE)
        });
        if let Some(free) = self.nodes.get_mut(node as usize) {
            *free = Some(exchange);
        }
        self.link_age(node);
        self.place(node, Place { session, space: Space::requests(direction), hash: id.hash() });
        (node, in_use)
    }

    /// Counts the memory of one, after its texts were set.
    pub fn measure(&mut self, node: u32) {
        let Some(exchange) = self.get_mut(node) else { return };
        let held = exchange.measure();
        let before = std::mem::replace(&mut exchange.held, held);
        self.held = self.held + held - before;
    }

    fn chain(&self, place: Place) -> impl Iterator<Item = u32> {
        let mut at = self.table.get(&place).copied().unwrap_or(NONE);
        std::iter::from_fn(move || {
            let node = at;
            at = self.get(node)?.next;
            Some(node)
        })
    }

    /// The request with an id that waits longest.
    pub fn request(&self, session: u32, direction: MessageDirection, id: &Id<'_>) -> Option<u32> {
        let place = Place { session, space: Space::requests(direction), hash: id.hash() };
        self.chain(place).find(|&node| self.get(node).is_some_and(|exchange| exchange.id.is(id)))
    }

    /// Takes a request out of the table, because its answer has come. It stays an exchange until [`Self::end`].
    pub fn answer(&mut self, session: u32, direction: MessageDirection, id: &Id<'_>) -> Option<u32> {
        let node = self.request(session, direction, id)?;
        self.unplace(node);
        Some(node)
    }

    /// Lets an exchange be found by its progress token. A token that is in use goes to the newer one.
    pub fn set_token(&mut self, node: u32, token: &Id<'_>) {
        let Some(exchange) = self.get_mut(node) else { return };
        let place = Place { session: exchange.session, space: Space::tokens(exchange.direction), hash: token.hash() };
        exchange.token.set(token);
        exchange.has_token = true;
        self.table.insert(place, node);
    }

    /// The exchange with a progress token.
    pub fn by_token(&self, session: u32, direction: MessageDirection, token: &Id<'_>) -> Option<u32> {
        let node = *self.table.get(&Place { session, space: Space::tokens(direction), hash: token.hash() })?;
        self.get(node).filter(|exchange| exchange.has_token && exchange.token.is(token)).map(|_| node)
    }

    /// Lets an exchange be found by its task from now on.
    pub fn set_task(&mut self, node: u32, task_id: &str) {
        self.unplace(node);
        let task_id = cut(task_id, 1024);
        let hash = self.keyed.bytes(task_id.as_bytes());
        let Some(exchange) = self.get_mut(node) else { return };
        exchange.task_id.clear();
        exchange.task_id.push_str(task_id);
        let place = Place { session: exchange.session, space: Space::Task, hash };
        self.place(node, place);
        self.measure(node);
    }

    /// The exchange that a task came from.
    pub fn by_task(&self, session: u32, task_id: &str) -> Option<u32> {
        let task_id = cut(task_id, 1024);
        let place = Place { session, space: Space::Task, hash: self.keyed.bytes(task_id.as_bytes()) };
        self.chain(place).find(|&node| self.get(node).is_some_and(|exchange| exchange.task_id == task_id))
    }

    /// Lets an exchange be found by its retry's state, or likeness, from now on.
    pub fn set_retry(&mut self, node: u32, state: u64) {
        self.unplace(node);
        let Some(session) = self.get(node).map(|exchange| exchange.session) else { return };
        self.place(node, Place { session, space: Space::Retry, hash: state });
    }

    /// Takes out the exchange that a retry belongs to: the one that waits longest.
    pub fn retried(&mut self, session: u32, state: u64) -> Option<u32> {
        let node = self.chain(Place { session, space: Space::Retry, hash: state }).next()?;
        self.unplace(node);
        Some(node)
    }

    /// True for an exchange that waits for a retry.
    pub fn awaits_retry(&self, node: u32) -> bool {
        self.get(node).is_some_and(|exchange| exchange.at.space == Space::Retry)
    }

    /// The oldest of all.
    pub fn oldest(&self) -> Option<u32> {
        (self.all.oldest != NONE).then_some(self.all.oldest)
    }

    /// The oldest of a session.
    pub fn oldest_of(&self, session: u32) -> Option<u32> {
        self.sessions.get(session as usize).map(|ends| ends.oldest).filter(|&node| node != NONE)
    }

    /// Ends one: its storage serves the next.
    pub fn end(&mut self, node: u32) {
        self.unplace(node);
        self.unlink_age(node);
        let Some(mut exchange) = self.nodes.get_mut(node as usize).and_then(Option::take) else { return };
        self.free.push(node);
        if exchange.has_token {
            let place = Place { session: exchange.session, space: Space::tokens(exchange.direction), hash: exchange.token.hash() };
            if self.table.get(&place) == Some(&node) {
                self.table.remove(&place);
            }
        }
        self.held -= exchange.held;
        exchange.clear();
        let storage = exchange.measure();
        if self.pooled + storage <= POOLED {
            self.pooled += storage;
            exchange.held = storage;
            self.pool.push(exchange);
        }
    }

    fn place(&mut self, node: u32, place: Place) {
        if let Some(exchange) = self.get_mut(node) {
            (exchange.at, exchange.next, exchange.last) = (place, NONE, node);
        }
        let first = *self.table.entry(place).or_insert(node);
        if first == node {
            return;
        }
        // The id is in use: behind those that have it.
        let Some(first) = self.get_mut(first) else { return };
        let last = std::mem::replace(&mut first.last, node);
        if let Some(last) = self.get_mut(last) {
            last.next = node;
        }
    }

    fn unplace(&mut self, node: u32) {
        let Some(exchange) = self.get_mut(node) else { return };
        let place = std::mem::take(&mut exchange.at);
        let (next, last) = (std::mem::replace(&mut exchange.next, NONE), exchange.last);
        if place.space == Space::Loose {
            return;
        }
        let Some(first) = self.table.get_mut(&place) else { return };
        if *first == node {
            if next == NONE {
                self.table.remove(&place);
                return;
            }
            *first = next;
            if let Some(next) = self.get_mut(next) {
                next.last = last;
            }
            return;
        }
        // Rare: exchanges mostly leave in the order in which they came.
        let first = *first;
        let mut before = first;
        while let Some(exchange) = self.get_mut(before) {
            if exchange.next == node {
                exchange.next = next;
                break;
            }
            before = exchange.next;
        }
        if let Some(first) = self.get_mut(first)
            && first.last == node
        {
            first.last = before;
        }
    }

    fn link_age(&mut self, node: u32) {
        let Some(session) = self.get(node).map(|exchange| exchange.session) else { return };
        if self.sessions.len() <= session as usize {
            self.sessions.resize(session as usize + 1, Ends::default());
        }
        let Some(ends) = self.sessions.get_mut(session as usize) else { return };
        let (before, session_before) = (self.all.newest, ends.newest);
        self.all.newest = node;
        ends.newest = node;
        if before == NONE {
            self.all.oldest = node;
        }
        if session_before == NONE {
            ends.oldest = node;
        }
        if let Some(exchange) = self.get_mut(before) {
            exchange.newer = node;
        }
        if let Some(exchange) = self.get_mut(session_before) {
            exchange.session_newer = node;
        }
        if let Some(exchange) = self.get_mut(node) {
            (exchange.older, exchange.session_older) = (before, session_before);
            (exchange.newer, exchange.session_newer) = (NONE, NONE);
        }
    }

    fn unlink_age(&mut self, node: u32) {
        let Some(exchange) = self.get(node) else { return };
        let (older, newer) = (exchange.older, exchange.newer);
        let (session_older, session_newer) = (exchange.session_older, exchange.session_newer);
        let session = exchange.session;
        match self.get_mut(older) {
            Some(exchange) => exchange.newer = newer,
            None => self.all.oldest = newer,
        }
        match self.get_mut(newer) {
            Some(exchange) => exchange.older = older,
            None => self.all.newest = older,
        }
        match self.get_mut(session_older) {
            Some(exchange) => exchange.session_newer = session_newer,
            None => self.set_ends(session, |ends| ends.oldest = session_newer),
        }
        match self.get_mut(session_newer) {
            Some(exchange) => exchange.session_older = session_older,
            None => self.set_ends(session, |ends| ends.newest = session_older),
        }
    }

    fn set_ends(&mut self, session: u32, set: impl FnOnce(&mut Ends)) {
        if let Some(ends) = self.sessions.get_mut(session as usize) {
            set(ends);
        }
    }
}
