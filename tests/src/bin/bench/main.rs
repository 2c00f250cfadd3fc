//! `cargo xtask bench`: the numbers that the design holds, as ratios within one run where machines are noisy.
//!
//! Each row is a function that measures and gives lines of a table; nothing here asserts a time. The README's table is
//! this program's output.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measuring program: what goes wrong ends it, with the reason"
)]

mod collector;
mod enforcement;
mod kernel;
mod recording;
mod service;
mod table;
mod user;

use clap::{Parser, ValueEnum};
use table::Row;

/// Measures what the design promises, and prints the table.
#[derive(Parser)]
#[command(after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench tax user\n  cargo xtask bench --ci")]
struct Arguments {
    /// Which groups of rows; all where none is named.
    rows: Vec<Group>,
    /// Each row once and briefly: shows that it runs, not what it costs.
    #[arg(long)]
    ci: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Group {
    /// What every system call pays, and what captured ones do.
    Tax,
    /// Big messages: bytes lost.
    Big,
    /// The way through user space: messages a second on one core.
    User,
    /// Recordings: written to memory, and replayed.
    Recording,
    /// Loss at 20,000 messages a second, and the sensor's memory then.
    Loss,
    /// The collector's store: ingest and search at ten million events.
    Collector,
    /// Stopping and killing: from the decision to the signal, and to the process's end.
    Enforcement,
    /// The service: write to subscription, and what the sensor takes while it sends to a collector.
    Service,
}

fn main() -> anyhow::Result<()> {
    let Arguments { rows, ci } = Arguments::parse();
    let wanted = |group| rows.is_empty() || rows.contains(&group);
    let mut table: Vec<Row> = Vec::new();
    if wanted(Group::Tax) {
        table.extend(kernel::tax::rows(ci)?);
    }
    if wanted(Group::Big) {
        table.extend(kernel::big::rows(ci)?);
    }
    if wanted(Group::User) {
        table.extend(user::rows(ci)?);
    }
    if wanted(Group::Recording) {
        table.extend(recording::rows(ci)?);
    }
    if wanted(Group::Loss) {
        table.extend(kernel::loss::rows(ci)?);
    }
    if wanted(Group::Collector) {
        table.extend(collector::rows(ci)?);
    }
    if wanted(Group::Enforcement) {
        table.extend(enforcement::rows(ci)?);
    }
    if wanted(Group::Service) {
        table.extend(service::rows(ci)?);
    }
    table::print(&table);
    Ok(())
}
