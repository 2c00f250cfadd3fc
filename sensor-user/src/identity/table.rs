//! The processes that are known: bounded in number and bytes, whatever the host does.
//!
//! A process is found by its pid and the tick in which it started, for that is all that `/proc` tells; where the kernel
//! told the nanosecond, it must agree. Ended processes are kept for what is still on its way through the pipeline. When
//! there are too many, those that were asked for are passed over once; a living one that is dropped can be read from
//! `/proc` again.

use super::{
    cgroup::Cgroup,
    proc,
    process::{Ancestor, Origin, Process},
    program::{Meter, Program, Weight},
};
use rustc_hash::FxHashMap;
use sensor_core::input::{ProcessId, Time};
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

/// Ancestors that are kept of a process.
pub(super) const ANCESTORS: usize = 16;
/// Bytes that a process weighs beside its program: its entry, the free places of the map, and the order.
const ENTRY: usize = 2 * size_of::<(Key, Entry)>() + 64;

/// Finds a process.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key {
    pub pid: u32,
    pub tick: u64,
}

impl From<ProcessId> for Key {
    fn from(process: ProcessId) -> Self {
        Self { pid: process.pid, tick: proc::tick(process.start_time) }
    }
}

/// A process that another comes from, as it was when the other was forked.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub id: ProcessId,
    pub program: Arc<Program>,
}

/// A process. What a child inherits is shared with it.
#[derive(Debug)]
pub(super) struct Entry {
    pub start_time: Time,
    /// `start_time` is the kernel's, not a tick's begin.
    pub exact: bool,
    pub origin: Origin,
    pub parent: Option<ProcessId>,
    pub program: Arc<Program>,
    /// What its parent ran when it forked this one; `None` where no record told.
    pub forked_from: Option<Arc<Program>>,
    /// Its ancestors, the nearest first; `None` while they are not known to the end.
    pub lineage: Option<Arc<[Link]>>,
    /// What its children's `lineage` is, as long as it runs this program.
    pub for_children: Option<Arc<[Link]>>,
    pub directory: Arc<str>,
    pub user: Option<u32>,
    pub login_user: Option<u32>,
    pub pid_namespace: Option<u32>,
    pub cgroup: Arc<Cgroup>,
    /// It ended.
    pub dead: bool,
    /// What the live process can tell was taken, or cannot be had.
    pub observed: bool,
    /// `/proc` was asked for what no record told.
    pub looked_up: bool,
    /// It was asked for since it was last passed over.
    pub used: bool,
    /// What was told of it last.
    pub told: Option<Told>,
    /// Its place in the order of going; the table's own affair.
    pub serial: u64,
}

/// What was told of a process.
#[derive(Debug)]
pub(super) struct Told {
    pub process: Arc<Process>,
    /// The worker's answers then, if some were to come; `None` where nothing can be added.
    pub pending: Option<u64>,
    _weight: Weight,
}

impl Told {
    pub fn new(process: &Arc<Process>, pending: Option<u64>, meter: &Meter) -> Self {
        let bytes = size_of::<Process>() + process.ancestors.len() * size_of::<Ancestor>();
        Self { process: Arc::clone(process), pending, _weight: Weight::new(meter, bytes) }
    }
}

impl Entry {
    /// A process that runs `program`, of which no more is known.
    pub fn new(program: Arc<Program>) -> Self {
        Self {
            start_time: 0,
            exact: false,
            origin: Origin::Unknown,
            parent: None,
            program,
            forked_from: None,
            lineage: None,
            for_children: None,
            directory: Arc::from(""),
            user: None,
            login_user: None,
            pid_namespace: None,
            cgroup: Arc::default(),
            dead: false,
            observed: false,
            looked_up: false,
            used: false,
            told: None,
            serial: 0,
        }
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Living processes.
    pub live: usize,
    /// Processes that ended.
    pub dead: usize,
    /// Bytes of all together, roughly.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { live: 32 * 1024, dead: 4 * 1024, bytes: 24 * 1024 * 1024 }
    }
}

/// The order in which processes go.
#[derive(Default)]
struct Queue {
    order: VecDeque<(Key, u64)>,
    /// Processes that are in it. `order` has stale places too.
    count: usize,
}

pub(super) struct Table {
    entries: FxHashMap<Key, Entry>,
    live: Queue,
    dead: Queue,
    limits: Limits,
    meter: Meter,
    serial: u64,
    /// Processes dropped for lack of room.
    pub evicted: u64,
}

impl Table {
    pub fn new(limits: Limits, meter: Meter) -> Self {
        let (live, dead) = (Queue::default(), Queue::default());
        Self { entries: FxHashMap::default(), live, dead, limits, meter, serial: 0, evicted: 0 }
    }

    /// Processes that live, and that ended.
    pub fn len(&self) -> (usize, usize) {
        (self.live.count, self.dead.count)
    }

    pub fn bytes(&self) -> usize {
        self.meter.load(Ordering::Relaxed) + self.entries.len() * ENTRY
    }

    /// The process itself, not another that has its pid.
    pub fn get(&mut self, process: ProcessId) -> Option<&mut Entry> {
        let key = Key::from(process);
        let entry = self.entries.get_mut(&key)?;
        // The begin of a tick is the start time of one that `/proc` told of.
        if process.start_time == proc::start_of(key.tick) {
            return Some(entry);
        }
        if !entry.exact {
            (entry.start_time, entry.exact) = (process.start_time, true);
            (entry.told, entry.for_children) = (None, None);
        }
        (entry.start_time == process.start_time).then_some(entry)
    }

    /// Like [`Self::get`], without learning from it.
    pub fn peek(&self, process: ProcessId) -> Option<&Entry> {
        let entry = self.entries.get(&Key::from(process))?;
        (!entry.exact || entry.start_time == process.start_time).then_some(entry)
    }

    /// Like [`Self::get`], for a start time that may be a tick's begin.
    pub fn get_by_tick(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(&key)
    }

    pub fn contains(&self, key: Key) -> bool {
        self.entries.contains_key(&key)
    }

    /// The processes that live, as far as is known.
    pub fn living(&self) -> Vec<Key> {
        self.entries.iter().filter(|(_, entry)| !entry.dead).map(|(key, _)| *key).collect()
    }

    /// Forgets what was told of all, because more is known now.
    pub fn retell(&mut self) {
        for entry in self.entries.values_mut() {
            entry.told = None;
        }
    }

    /// Puts a process in the place of whatever had its key.
    pub fn insert(&mut self, pid: u32, mut entry: Entry) {
        let key = Key { pid, tick: proc::tick(entry.start_time) };
        self.remove(key);
        self.serial += 1;
        entry.serial = self.serial;
        self.queue(entry.dead).push(key, entry.serial);
        self.entries.insert(key, entry);
        self.make_room();
    }

    /// Notes that a process ended.
    pub fn end(&mut self, key: Key) {
        self.serial += 1;
        let serial = self.serial;
        if let Some(entry) = self.entries.get_mut(&key).filter(|entry| !entry.dead) {
            (entry.dead, entry.serial) = (true, serial);
            self.live.count -= 1;
            self.dead.push(key, serial);
            self.make_room();
        }
    }

    /// What a child of `parent` inherits as its ancestors; `None` while that is not known to the end.
    pub fn lineage_of_children(&mut self, parent: ProcessId) -> Option<Arc<[Link]>> {
        self.get(parent)?;
        let (lineage, whole) = self.children_of(Key::from(parent), ANCESTORS)?;
        whole.then_some(lineage)
    }

    /// The ancestors of a process, as far as they are known.
    pub fn lineage(&mut self, key: Key) -> Arc<[Link]> {
        self.lineage_to(key, ANCESTORS).map_or_else(|| Arc::from([]), |(lineage, _)| lineage)
    }

    /// With it: whether that is all of them.
    fn lineage_to(&mut self, key: Key, depth: usize) -> Option<(Arc<[Link]>, bool)> {
        let entry = self.entries.get(&key)?;
        if let Some(lineage) = &entry.lineage {
            return Some((Arc::clone(lineage), true));
        }
        let Some(parent) = entry.parent else { return Some((Arc::from([]), false)) };
        let forked_from = entry.forked_from.clone();
        let (mut lineage, whole) = self.children_of(Key::from(parent), depth.checked_sub(1)?)?;
        if let (Some(program), Some(first)) = (forked_from, lineage.first())
            && !Arc::ptr_eq(&program, &first.program)
        {
            let first = Link { id: first.id, program };
            lineage = std::iter::once(first).chain(lineage.iter().skip(1).cloned()).collect();
        }
        if whole && let Some(entry) = self.entries.get_mut(&key) {
            entry.lineage = Some(Arc::clone(&lineage));
        }
        Some((lineage, whole))
    }

    fn children_of(&mut self, key: Key, depth: usize) -> Option<(Arc<[Link]>, bool)> {
        if key.pid <= 1 {
            // The first process is everyone's ancestor, and tells nothing.
            return Some((Arc::from([]), true));
        }
        let entry = self.entries.get(&key)?;
        if let Some(lineage) = &entry.for_children {
            return Some((Arc::clone(lineage), true));
        }
        let own = Link { id: ProcessId { pid: key.pid, start_time: entry.start_time }, program: Arc::clone(&entry.program) };
        let (above, whole) = self.lineage_to(key, depth).unwrap_or_else(|| (Arc::from([]), false));
        let lineage: Arc<[Link]> = std::iter::once(own).chain(above.iter().cloned()).take(ANCESTORS).collect();
        if whole && let Some(entry) = self.entries.get_mut(&key) {
            entry.for_children = Some(Arc::clone(&lineage));
        }
        Some((lineage, whole))
    }

    fn remove(&mut self, key: Key) {
        if let Some(entry) = self.entries.remove(&key) {
            self.queue(entry.dead).count -= 1;
        }
    }

    fn queue(&mut self, dead: bool) -> &mut Queue {
        if dead { &mut self.dead } else { &mut self.live }
    }

    fn make_room(&mut self) {
        while self.dead.count > self.limits.dead
            || self.live.count > self.limits.live
            || (self.bytes() > self.limits.bytes && !self.entries.is_empty())
        {
            let dead = self.live.count <= self.limits.live && self.dead.count > 0;
            if !self.evict(dead) {
                break;
            }
        }
        for dead in [false, true] {
            let entries = &self.entries;
            let queue = if dead { &mut self.dead } else { &mut self.live };
            if queue.order.len() > 2 * queue.count + 64 {
                queue.order.retain(|(key, serial)| entries.get(key).is_some_and(|entry| entry.serial == *serial));
            }
        }
    }

    /// Drops the process that goes first; false where there is none.
    fn evict(&mut self, dead: bool) -> bool {
        while let Some((key, serial)) = self.queue(dead).order.pop_front() {
            let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.serial == serial) else { continue };
            if std::mem::take(&mut entry.used) {
                self.queue(dead).order.push_back((key, serial));
                continue;
            }
            self.remove(key);
            self.evicted += 1;
            return true;
        }
        false
    }
}

impl Queue {
    fn push(&mut self, key: Key, serial: u64) {
        self.order.push_back((key, serial));
        self.count += 1;
    }
}
