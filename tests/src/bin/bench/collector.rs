//! The collector: events a second into its store, and how long a search over it takes. Measured by its own example.

use crate::{kernel::loss::existing, table::Row};
use anyhow::{Context as _, ensure};
use serde::Deserialize;
use std::{path::Path, process::Command};

/// Million events that are stored before the last measurement: what the design asks for, and what a short run takes.
const MILLIONS: (&str, &str) = ("10", "1");

/// What a line of the example says.
#[derive(Deserialize)]
struct Measured {
    row: String,
    value: f64,
    unit: String,
}

/// Measures the rows.
pub fn rows(ci: bool) -> anyhow::Result<Vec<Row>> {
    let programs = std::env::current_exe()?.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut command = Command::new(existing(&programs.join("examples"), "ingest_speed")?);
    let output = command.args([if ci { MILLIONS.1 } else { MILLIONS.0 }, "none"]).output().context("starting ingest_speed")?;
    ensure!(output.status.success(), "ingest_speed: {}", String::from_utf8_lossy(&output.stderr));
    let lines = std::str::from_utf8(&output.stdout)?.lines();
    let measured = lines.map(serde_json::from_str).collect::<Result<Vec<Measured>, _>>().context("reading ingest_speed's rows")?;
    Ok(measured.into_iter().filter_map(row).collect())
}

/// The rows that the table shows.
fn row(Measured { row, value, unit }: Measured) -> Option<Row> {
    let what = format!("collector: {row}");
    let measured = format!("{value:.0} {unit}");
    let (to_hold, held) = match unit.as_str() {
        // Another program's share of the machine is not the collector's.
        "events/s" if row.ends_with("per processor second") => ("≥ 60000 events/s on one core", value >= 60_000.0),
        "ms" if row.starts_with("search") && !row.contains("slowest") => ("≤ 100 ms", value <= 100.0),
        "bytes/event" => return Some(Row::plain(what, measured)),
        _ => return None,
    };
    Some(Row { what, measured, to_hold: to_hold.to_owned(), held: Some(held) })
}
