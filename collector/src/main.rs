//! `mcp-collector`: see `mcp-collector --help`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    collector::cli::main()
}
