//! Telling the kernel which processes it is to send a signal when they read or write next.

use super::load::SettingsPod;
use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, MapError},
};
use rustc_hash::FxHashSet;
use sensor_core::input::ProcessId;
use sensor_ebpf::{Mark, Settings};
use std::io;

#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
struct Value(Mark);
// SAFETY: `Mark` is plain numbers without padding (it derives `IntoBytes`).
unsafe impl Pod for Value {}

/// The map of marked processes. The programs look at it only while the settings say that there are any.
pub struct Marks {
    map: HashMap<MapData, u32, Value>,
    settings: Array<MapData, SettingsPod>,
    unmarked: Settings,
    /// Who is marked, as far as user space knows: the kernel takes a mark off when it has sent the signal.
    marked: FxHashSet<u32>,
}

impl Marks {
    pub(super) fn new(map: Map, settings: Map, unmarked: Settings) -> Result<Self, MapError> {
        Ok(Self { map: HashMap::try_from(map)?, settings: Array::try_from(settings)?, unmarked, marked: FxHashSet::default() })
    }

    fn tell_count(&mut self) -> io::Result<()> {
        let marks = u32::try_from(self.marked.len()).unwrap_or(u32::MAX);
        self.settings.set(0, SettingsPod(Settings { marks, ..self.unmarked }), 0).map_err(io::Error::other)
    }
}

impl crate::respond::Marks for Marks {
    fn mark(&mut self, process: ProcessId, signal: u32) -> io::Result<()> {
        let mark = Mark { start_time: process.start_time, signal, padding: 0 };
        self.map.insert(process.pid, Value(mark), 0).map_err(io::Error::other)?;
        self.marked.insert(process.pid);
        self.tell_count()
    }

    fn unmark(&mut self, process: ProcessId) {
        // Where the kernel has taken it off, there is nothing to remove.
        let _ = self.map.remove(&process.pid);
        self.marked.remove(&process.pid);
        // A count that is too high costs a look-up a call, and nothing else.
        let _ = self.tell_count();
    }
}
