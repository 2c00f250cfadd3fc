//! How the program ends.

use std::process::ExitCode;

/// The codes with which `mcp-sensor` ends. They are part of its interface.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// All went well, also where the reader of the output went away or the operator pressed Ctrl-C.
    Ok = 0,
    /// Something failed while running.
    Failed = 1,
    /// The command line cannot be understood. (The same code that the argument parser uses.)
    Usage = 2,
    /// This machine, or this user, cannot capture. `mcp-sensor check` tells why.
    CannotCapture = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
