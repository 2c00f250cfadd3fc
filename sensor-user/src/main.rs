//! `mcp-sensor`: parses the command line and hands over.

use clap::Parser as _;
use sensor_user::cli::{self, Args};
use std::process::ExitCode;

fn main() -> ExitCode {
    cli::error::install_panic_hook();
    cli::run(Args::parse()).into()
}
