//! The table that the README shows.

/// One row: what, what was measured, what is to be held.
pub struct Row {
    /// What.
    pub what: String,
    /// The figure, with its unit.
    pub measured: String,
    /// What the design asks.
    pub to_hold: String,
    /// Whether it is held; `None` where the design asks nothing.
    pub held: Option<bool>,
}

impl Row {
    /// A ratio that is to stay at or below a bound.
    pub fn ratio(what: impl Into<String>, ratio: f64, bound: f64) -> Self {
        Self { what: what.into(), measured: format!("{ratio:.2} x"), to_hold: format!("≤ {bound} x"), held: Some(ratio <= bound) }
    }

    /// A figure without a bound.
    pub fn plain(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { what: what.into(), measured: measured.into(), to_hold: String::new(), held: None }
    }
}

/// Prints the rows as a Markdown table.
pub fn print(rows: &[Row]) {
    println!("| what | measured | to hold | |");
    println!("|---|---|---|---|");
    for Row { what, measured, to_hold, held } in rows {
        let mark = match held {
            Some(true) => "held",
            Some(false) => "**not held**",
            None => "",
        };
        println!("| {what} | {measured} | {to_hold} | {mark} |");
    }
}
