//! Births and ends of processes, as far as a recording needs them: those of the processes in it, and of whom they descend from.

use recording::Item;
use rustc_hash::{FxHashMap, FxHashSet};
use sensor_core::input::{ProcessId, Time};
use std::collections::VecDeque;

/// Processes that are remembered.
const PROCESSES: usize = 32 * 1024;
/// Generations that are told: as many as the engine looks through.
const GENERATIONS: usize = 16;

/// What happened to a process.
#[derive(Clone, Copy, Default)]
struct Life {
    born: Option<(Time, ProcessId)>,
    exec: Option<Time>,
    /// When it ended, and the number of that among what is held.
    end: Option<(Time, u64)>,
}

/// See the module.
#[derive(Default)]
pub struct Kin {
    lives: FxHashMap<ProcessId, Life>,
    ages: VecDeque<ProcessId>,
    told: FxHashSet<ProcessId>,
}

impl Kin {
    /// Takes news of a process, with its number among what is held. True where the recording has the process already, and needs the
    /// news at once.
    pub fn learn(&mut self, item: &Item<'_>, number: u64) -> bool {
        let (process, is_wanted) = match *item {
            Item::Fork { time, parent, child } => {
                self.life(child).born = Some((time, parent));
                (child, self.told.contains(&parent))
            }
            Item::Exec { time, process } => {
                self.life(process).exec = Some(time);
                (process, false)
            }
            Item::Exit { time, process } => {
                self.life(process).end = Some((time, number));
                (process, false)
            }
            _ => return false,
        };
        if is_wanted {
            self.told.insert(process);
        }
        self.told.contains(&process)
    }

    fn life(&mut self, process: ProcessId) -> &mut Life {
        if !self.lives.contains_key(&process) {
            self.ages.push_back(process);
            if self.ages.len() > PROCESSES
                && let Some(oldest) = self.ages.pop_front()
            {
                self.lives.remove(&oldest);
                self.told.remove(&oldest);
            }
        }
        self.lives.entry(process).or_default()
    }

    /// What is to be told before a process is first mentioned; `None` where it was.
    pub fn introduce(&mut self, process: ProcessId) -> Option<Vec<Item<'static>>> {
        if self.told.contains(&process) {
            return None;
        }
        let mut items = Vec::new();
        let mut next = Some(process);
        for _ in 0..GENERATIONS {
            let Some(child) = next else { break };
            if self.told.contains(&child) {
                break;
            }
            // So that it can be forgotten again, too.
            let Life { born, exec, .. } = *self.life(child);
            self.told.insert(child);
            next = born.map(|(_, parent)| parent);
            items.extend(exec.map(|time| Item::Exec { time, process: child }));
            items.extend(born.map(|(time, parent)| Item::Fork { time, parent, child }));
        }
        items.reverse();
        Some(items)
    }

    /// The end of a process, and its number among what is held.
    pub fn end(&self, process: ProcessId) -> Option<(u64, Item<'static>)> {
        let (time, number) = self.lives.get(&process)?.end?;
        Some((number, Item::Exit { time, process }))
    }
}

/// The process that an item of a stream is of.
pub const fn process(item: &Item<'_>) -> Option<ProcessId> {
    match item {
        Item::Chunk(chunk) => Some(chunk.process),
        Item::Touch(touch) => Some(touch.process),
        Item::Passed(passed) => Some(passed.process),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> ProcessId {
        ProcessId { pid, start_time: 1 }
    }

    #[test]
    fn a_process_is_introduced_once_with_its_ancestors_first() {
        let mut kin = Kin::default();
        for pid in 2..=4 {
            assert!(!kin.learn(&Item::Fork { time: pid.into(), parent: process(pid - 1), child: process(pid) }, 0));
        }
        assert!(!kin.learn(&Item::Exec { time: 9, process: process(3) }, 0));
        let order: Vec<_> = kin.introduce(process(4)).unwrap().iter().map(|item| (item.kind(), item.time())).collect();
        use recording::Kind::{Exec, Fork};
        assert_eq!(order, [(Fork, Some(2)), (Fork, Some(3)), (Exec, Some(9)), (Fork, Some(4))]);
        assert!(kin.introduce(process(4)).is_none() && kin.introduce(process(2)).is_none());
        // From now on its news, and its children's, are wanted at once.
        assert!(kin.learn(&Item::Fork { time: 10, parent: process(4), child: process(5) }, 0));
        assert!(kin.learn(&Item::Exit { time: 11, process: process(5) }, 1));
        assert!(!kin.learn(&Item::Exit { time: 11, process: process(99) }, 2));
        assert!(kin.end(process(99)).is_some_and(|(number, _)| number == 2) && kin.end(process(4)).is_none());
    }

    #[test]
    fn millions_of_processes_stay_bounded() {
        let mut kin = Kin::default();
        for pid in 2..100_000 {
            kin.learn(&Item::Fork { time: 1, parent: process(1), child: process(pid) }, 0);
            kin.introduce(process(pid));
        }
        assert!(kin.lives.len() <= PROCESSES && kin.told.len() <= PROCESSES);
    }
}
