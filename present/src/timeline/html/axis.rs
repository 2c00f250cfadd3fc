//! The session on one line: when something ran, for how long, and where something went wrong.
//!
//! Time in which nothing happened is compressed: no pause takes more than a fraction of the line, however long it was.
//! What is drawn is bounded by the line's width, not by the session's length.

use std::io;

use super::super::finish::{Finished, LANES, Shape};
use super::super::model::What;
use super::escape::Page;
use crate::units::{self, Moment};

/// Units from the left end to the right end.
const WIDTH: usize = 1000;

/// The most of the line that one pause takes.
const PAUSE: f64 = 0.06;

/// Labels below the line.
const LABELS: usize = 6;

/// Height of a lane.
const LANE: usize = 9;

/// Moments and where they stand.
struct Scale {
    /// Nanoseconds since 1970, and the place from the left end; both ascend.
    points: Vec<(i64, f64)>,
    /// Pauses that were shortened: the place of the middle, and how long they were.
    breaks: Vec<(f64, u64)>,
}

impl Scale {
    #[expect(clippy::cast_precision_loss, reason = "a place on a line of a thousand units")]
    fn new(mut times: Vec<i64>) -> Self {
        times.sort_unstable();
        times.dedup();
        let steps: Vec<f64> = times.iter().zip(times.iter().skip(1)).map(|(one, next)| next.saturating_sub(*one) as f64).collect();
        let fraction = PAUSE.max(2.0 / (steps.len().max(1) as f64));
        let mut cap = f64::MAX;
        for _ in 0..30 {
            cap = fraction * steps.iter().map(|step| step.min(cap)).sum::<f64>();
        }
        let total: f64 = steps.iter().map(|step| step.min(cap)).sum::<f64>().max(1.0);
        let mut at = 0.0;
        let mut points = Vec::with_capacity(times.len());
        let mut breaks = Vec::new();
        let mut times = times.into_iter();
        points.extend(times.next().map(|time| (time, 0.0)));
        for (time, step) in times.zip(steps) {
            let width = step.min(cap) / total * WIDTH as f64;
            if step > 3.0 * cap {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a difference of times that ascend")]
                breaks.push((at + width / 2.0, step as u64));
            }
            at += width;
            points.push((time, at));
        }
        Self { points, breaks }
    }

    /// Where a moment stands: that of the last point that is not after it.
    fn place(&self, time: i64) -> f64 {
        let after = self.points.partition_point(|(point, _)| *point <= time);
        let point = after.checked_sub(1).and_then(|before| self.points.get(before));
        point.map_or(0.0, |(_, place)| *place)
    }

    /// The moment that stands at a place, or next to it on the left.
    fn time(&self, place: f64) -> i64 {
        let after = self.points.partition_point(|(_, point)| *point <= place);
        after.checked_sub(1).and_then(|before| self.points.get(before)).map_or(0, |(time, _)| *time)
    }
}

/// What a unit of a lane shows: the worst of what falls on it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Tone {
    Fine,
    Problem,
}

type Lane = Vec<Option<(Tone, usize)>>;

impl Finished {
    /// Draws the line.
    pub(super) fn html_axis(&self, page: &mut Page<'_>) -> io::Result<()> {
        let exchanges = &self.timeline.exchanges;
        let ends = exchanges.iter().flat_map(|exchange| exchange.turns.iter().map(|turn| turn.time));
        let begins = exchanges.iter().filter(|exchange| exchange.began).map(|exchange| exchange.time);
        let scale = Scale::new(self.timeline.steps.iter().map(|step| step.time).chain(begins).chain(ends).collect());
        let mut lanes: Vec<Lane> = vec![vec![None; WIDTH + 1]; LANES];
        let mut marks: Lane = vec![None; WIDTH + 1];
        for (position, row) in self.rows.iter().enumerate() {
            let Some(step) = self.step(row) else { continue };
            match &step.what {
                What::Begin(exchange) => {
                    let Some(exchange) = self.exchange(*exchange) else { continue };
                    let bar = row.bars.iter().rev().find(|bar| matches!(bar.shape, Shape::Begin | Shape::Whole));
                    let lane = bar.and_then(|bar| lanes.get_mut(usize::from(bar.lane)));
                    let is_problem = exchange.state().is_none_or(|state| state.is_problem());
                    let tone = if is_problem { Tone::Problem } else { Tone::Fine };
                    let end = exchange.turns.last().map_or(step.time, |turn| turn.time);
                    if let Some(lane) = lane {
                        fill(lane, scale.place(step.time), scale.place(end), tone, position);
                    }
                }
                What::Hole(_) | What::Verdict(_) => {
                    let place = scale.place(step.time);
                    fill(&mut marks, place, place, Tone::Problem, position);
                }
                What::Turn(..) | What::Single(_) | What::Session(..) | What::Sensor(_) => {}
            }
        }
        let used = lanes.iter().rposition(|lane| lane.iter().any(Option::is_some)).map_or(1, |last| last + 1);
        let bottom = 8 + used * LANE;
        page.own(&format!(
            "<nav class=\"axis\" aria-label=\"Time axis\"><svg viewBox=\"0 0 1000 {}\" role=\"img\" aria-label=\"When calls ran\">",
            bottom + 16
        ));
        page.own(&format!("<path class=\"line\" d=\"M0 {bottom}.5H1000\"/>"));
        for (place, pause) in &scale.breaks {
            page.own(&format!("<g class=\"cut\"><path d=\"M{place:.1} 4V{bottom}\"/><title>"));
            page.text(&format!("{} without a message", units::duration(*pause)));
            page.own("</title></g>");
        }
        for (number, lane) in lanes.iter().take(used).enumerate() {
            draw(lane, bottom - (number + 1) * LANE, LANE - 2, page);
        }
        draw_gaps(&marks, bottom, page);
        self.labels(&scale, bottom, page);
        page.own("</svg></nav>\n");
        page.pass_on()
    }

    #[expect(clippy::cast_precision_loss, reason = "a few labels")]
    fn labels(&self, scale: &Scale, bottom: usize, page: &mut Page<'_>) {
        let (begin, end) = (self.timeline.begin.unwrap_or_default(), self.timeline.end.unwrap_or_default());
        let is_short = end.saturating_sub(begin) < 20_000_000_000;
        let mut last = String::new();
        for label in 0..LABELS {
            let place = (label * WIDTH) as f64 / (LABELS - 1) as f64;
            let moment = Moment::from_unix(scale.time(place));
            let text = if is_short { moment.time_ms() } else { moment.time() };
            if text == last {
                continue;
            }
            let anchor = match label {
                0 => "start",
                _ if label + 1 == LABELS => "end",
                _ => "middle",
            };
            page.own(&format!("<text x=\"{place:.0}\" y=\"{}\" text-anchor=\"{anchor}\">{text}</text>", bottom + 13));
            last = text;
        }
    }
}

/// Marks a stretch of a lane. Each unit links to the first row of the worst that falls on it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place on a line of a thousand units")]
fn fill(lane: &mut Lane, from: f64, to: f64, tone: Tone, row: usize) {
    let (from, to) = (from.clamp(0.0, WIDTH as f64) as usize, to.clamp(0.0, WIDTH as f64) as usize);
    for unit in lane.iter_mut().take(to + 1).skip(from) {
        if unit.is_none_or(|(before, _)| before < tone) {
            *unit = Some((tone, row));
        }
    }
}

/// Draws stretches of the same row as one.
fn draw(lane: &Lane, top: usize, height: usize, page: &mut Page<'_>) {
    let mut from = 0;
    while let Some(unit) = lane.get(from) {
        let length = lane.iter().skip(from).take_while(|other| *other == unit).count().max(1);
        if let Some((tone, row)) = unit {
            let class = if *tone == Tone::Problem { " class=\"p\"" } else { "" };
            // A little air, so that what stands side by side is seen apart.
            let width = if length > 2 { format!("{length}").trim().to_owned() } else { "1.6".to_owned() };
            page.own(&format!(
                "<a href=\"#r{}\" tabindex=\"-1\"><rect{class} x=\"{from}\" y=\"{top}\" width=\"{width}\" height=\"{height}\"/></a>",
                row + 1
            ));
        }
        from += length;
    }
}

fn draw_gaps(marks: &Lane, bottom: usize, page: &mut Page<'_>) {
    for (place, mark) in marks.iter().enumerate() {
        let Some((_, row)) = mark else { continue };
        page.own(&format!(
            "<a href=\"#r{}\" tabindex=\"-1\"><path class=\"gap\" d=\"M{place} 6V{bottom}M{} 0h8l-4 7z\"/><title>bytes are missing</title></a>",
            row + 1,
            place.saturating_sub(4)
        ));
    }
}
