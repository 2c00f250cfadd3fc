//! The descendants of a process: all of them, though some be forked meanwhile.

use super::{Responder, stopped::Held};
use crate::identity::{Identities, LiveProcess, NotHeld};
use rustc_hash::FxHashSet;
use rustix::{fd::AsFd as _, process::Signal};

/// Processes of a tree at most.
const TREE: usize = 512;
/// Looks at the whole tree at most.
const LOOKS: usize = 32;

/// A process of a tree, and how it fared.
pub(super) struct Branch {
    pub process: LiveProcess,
    /// Why it is left alone.
    pub spared: Option<String>,
}

impl Responder {
    /// The descendants of a process. With `stop`, the process and each of them is stopped as soon as it is found, so that none
    /// forks away; the handles that the guardian has for that are given back as well.
    ///
    /// # Errors
    /// Where the guardian takes no more, or there are too many.
    pub(super) fn tree_of(
        &mut self,
        root: &LiveProcess,
        stop: bool,
        identities: &mut Identities,
    ) -> (Vec<Branch>, Vec<u64>, Option<String>) {
        let (mut branches, mut held, mut seen) = (Vec::new(), Vec::new(), FxHashSet::from_iter([root.id.pid]));
        if stop && let Err(why) = self.freeze(root, &mut held) {
            return (branches, held, Some(why));
        }
        for _ in 0..LOOKS {
            let parents: Vec<u32> = std::iter::once(root.id.pid)
                .chain(branches.iter().filter(|branch: &&Branch| branch.spared.is_none()).map(|branch| branch.process.id.pid))
                .collect();
            let before = seen.len();
            for parent in parents {
                for child in identities.children(parent) {
                    if !seen.insert(child) {
                        continue;
                    }
                    let process = match identities.hold_child(child, parent) {
                        Ok(process) => process,
                        Err(NotHeld::Refused(error)) => return (branches, held, Some(format!("a descendant cannot be held: {error}"))),
                        Err(NotHeld::Gone | NotHeld::Young) => continue,
                    };
                    let spared = self.exemptions.reason(&process, &self.own, identities);
                    if stop
                        && spared.is_none()
                        && let Err(why) = self.freeze(&process, &mut held)
                    {
                        return (branches, held, Some(why));
                    }
                    branches.push(Branch { process, spared });
                    if branches.len() >= TREE {
                        return (branches, held, Some(format!("it has more than {TREE} descendants")));
                    }
                }
            }
            // Nobody of them runs, and there were no others than before: so it stays.
            if seen.len() == before {
                return (branches, held, None);
            }
        }
        (branches, held, Some("its descendants change faster than they can be counted".to_owned()))
    }

    /// Stops a process for a moment.
    fn freeze(&mut self, process: &LiveProcess, held: &mut Vec<u64>) -> Result<(), String> {
        self.number += 1;
        let number = self.number;
        let guardian = self.guardian.as_ref().ok_or("there is no guardian that would let it go on")?;
        guardian.hold(number, process.pidfd().as_fd()).map_err(|error| format!("the guardian does not take it: {error}"))?;
        held.push(number);
        // One that has ended needs not be stopped.
        let _ = process.signal(Signal::STOP);
        Ok(())
    }

    /// Takes hold of a process that is to be stopped.
    pub(super) fn entrust(&mut self, process: LiveProcess) -> Result<Held, (LiveProcess, String)> {
        self.number += 1;
        let number = self.number;
        let Some(guardian) = &self.guardian else {
            return Err((process, "there is no guardian that would let it go on".to_owned()));
        };
        match guardian.hold(number, process.pidfd().as_fd()) {
            Ok(()) => Ok(Held { number, process }),
            Err(error) => Err((process, format!("the guardian does not take it: {error}"))),
        }
    }
}
