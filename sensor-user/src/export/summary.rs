//! What was seen and what was not, said at the end.
//!
//! Invariant: "nothing was lost" is said only where every counter could be read and says so.

use std::fmt::Write as _;

use mcp_sensor_proto::v1::event::Body;
use mcp_sensor_proto::v1::loss::{Place, Reason};
use mcp_sensor_proto::v1::session_change::State as SessionState;
use mcp_sensor_proto::v1::tool_call::State as CallState;
use mcp_sensor_proto::v1::{BlindSpot, Event, Loss};

use super::style::{Style, Styles};
use super::units;
use super::words::{blind_spot, loss};

/// Blind spots that are told one by one.
const MAX_BLIND_SPOTS: usize = 20;

/// Counts of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// How long was watched, in nanoseconds.
    pub duration: u64,
    /// Sessions seen.
    pub sessions: u64,
    /// Messages seen.
    pub messages: u64,
    /// Tool calls begun.
    pub tool_calls: u64,
    /// Bytes of these messages.
    pub bytes: u64,
    /// Holes in sessions, whatever made them.
    pub gaps: u64,
    /// Bytes in those holes whose size is known.
    pub gap_bytes: u64,
    /// Holes whose size is not known.
    pub gaps_of_unknown_size: u64,
    /// What was lost, by place and reason; from the counters.
    pub loss: Loss,
    /// What could not be read at the end.
    pub blind_spots: Vec<BlindSpot>,
    /// The kernel's counters could not be read: it may have lost more.
    pub unknown_loss: bool,
    /// How a recording went, in words.
    pub recording: Option<String>,
}

impl Summary {
    /// Counts an event: sessions, messages, tool calls, bytes and gaps. Losses and blind spots are taken from the sensor's
    /// own events; the last one counts.
    pub fn count(&mut self, event: &Event) {
        match &event.body {
            Some(Body::SessionChange(change)) if change.state() == SessionState::Opened => self.sessions += 1,
            Some(Body::Message(message)) => self.count_message(message.size_bytes),
            Some(Body::ToolCall(call)) if call.state() == CallState::Started => self.tool_calls += 1,
            Some(Body::Gap(gap)) => {
                self.gaps += 1;
                self.gap_bytes += gap.bytes.unwrap_or(0);
                self.gaps_of_unknown_size += u64::from(gap.bytes.is_none());
            }
            Some(Body::Sensor(sensor)) => {
                self.loss = sensor.loss.clone().unwrap_or_default();
                let known = self.loss.counts.len();
                self.loss.counts.retain(|count| (count.place(), count.reason()) != (Place::Kernel, Reason::Unknown));
                self.unknown_loss = self.loss.counts.len() < known;
                self.blind_spots.clone_from(&sensor.blind_spots);
            }
            _ => {}
        }
    }

    /// Counts a message of so many bytes.
    pub const fn count_message(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }

    /// True where every counter says that nothing was lost.
    #[must_use]
    pub fn nothing_was_lost(&self) -> bool {
        !self.unknown_loss && self.gaps == 0 && self.loss.counts.iter().all(|count| count.count == 0 && count.bytes == 0)
    }

    /// The summary in words, for standard error. Ends with a line end.
    #[must_use]
    pub fn render(&self, styles: Styles) -> String {
        let mut shown = format!(
            "mcp-sensor: watched for {}: {}, {} ({}), {}\n",
            units::duration(self.duration),
            units::count(self.sessions, "session"),
            units::count(self.messages, "message"),
            units::bytes(self.bytes),
            units::count(self.tool_calls, "tool call"),
        );
        self.render_loss(styles, &mut shown);
        self.render_blind_spots(styles, &mut shown);
        if let Some(recording) = &self.recording {
            push_line(styles, Style::PLAIN, recording, &mut shown);
        }
        shown
    }

    fn render_loss(&self, styles: Styles, shown: &mut String) {
        if self.nothing_was_lost() {
            push_line(styles, Style::GOOD, "nothing was lost", shown);
            return;
        }
        for count in self.loss.counts.iter().filter(|count| count.count > 0 || count.bytes > 0) {
            push_line(styles, Style::WARNING, &loss(count), shown);
        }
        if self.gaps > 0 {
            let mut line = format!("missing from sessions: {} in {}", units::bytes(self.gap_bytes), units::count(self.gaps, "gap"));
            if self.gaps_of_unknown_size > 0 {
                let _ = write!(line, ", {} of unknown size", units::grouped(self.gaps_of_unknown_size));
            }
            push_line(styles, Style::WARNING, &line, shown);
        }
        if self.unknown_loss {
            push_line(styles, Style::WARNING, "whether more was lost is not known: the kernel's counters could not be read", shown);
        }
    }

    fn render_blind_spots(&self, styles: Styles, shown: &mut String) {
        if self.blind_spots.is_empty() {
            push_line(styles, Style::PLAIN, "no blind spots", shown);
            return;
        }
        push_line(styles, Style::WARNING, &format!("{}:", units::count(self.blind_spots.len() as u64, "blind spot")), shown);
        for spot in self.blind_spots.iter().take(MAX_BLIND_SPOTS) {
            push_line(styles, Style::WARNING, &format!("  {}", blind_spot(spot, true)), shown);
        }
        let more = self.blind_spots.len().saturating_sub(MAX_BLIND_SPOTS);
        if more > 0 {
            push_line(styles, Style::WARNING, &format!("  and {more} more: see `mcp-sensor check`"), shown);
        }
    }
}

fn push_line(styles: Styles, style: Style, line: &str, shown: &mut String) {
    shown.push_str("mcp-sensor: ");
    styles.paint(style, line, shown);
    shown.push('\n');
}

#[cfg(test)]
mod tests {
    use mcp_sensor_proto::v1::loss::Count;
    use mcp_sensor_proto::v1::{Gap, Message, Peer, Sensor, SessionChange, ToolCall, blind_spot};

    use super::*;

    fn event(body: Body) -> Event {
        Event { body: Some(body), ..Event::default() }
    }

    fn seen() -> Summary {
        let mut summary = Summary { duration: 723_000_000_000, ..Summary::default() };
        summary.count(&event(Body::SessionChange(SessionChange { state: SessionState::Opened.into(), ..SessionChange::default() })));
        summary.count(&event(Body::SessionChange(SessionChange { state: SessionState::Closed.into(), ..SessionChange::default() })));
        for _ in 0..1_204 {
            summary.count(&event(Body::Message(Message { size_bytes: 3_000, ..Message::default() })));
        }
        summary.count(&event(Body::ToolCall(ToolCall { state: CallState::Started.into(), ..ToolCall::default() })));
        summary.count(&event(Body::ToolCall(ToolCall { state: CallState::Completed.into(), ..ToolCall::default() })));
        summary
    }

    fn lost() -> Summary {
        let mut summary = seen();
        summary.count(&event(Body::Gap(Gap { bytes: Some(5_000), ..Gap::default() })));
        summary.count(&event(Body::Gap(Gap::default())));
        let count = |place: Place, reason: Reason, count, bytes| Count { place: place.into(), reason: reason.into(), count, bytes };
        let counts = vec![
            count(Place::Kernel, Reason::RingFull, 12, 1_300_000),
            count(Place::Kernel, Reason::OverLimit, 0, 5_000_000),
            count(Place::Kernel, Reason::ProgramSkipped, 1, 0),
            count(Place::Pipeline, Reason::Memory, 3, 20_000_000),
            count(Place::Export, Reason::QueueFull, 0, 0),
        ];
        let process = Peer { pid: 4242, exe: "/opt/\u{1b}[8mcodex".to_owned(), ..Peer::default() };
        let reason = blind_spot::Reason::TlsSymbols.into();
        let spots = vec![
            BlindSpot { process: Some(process), reason, detail: "rustls\nstripped".to_owned(), bytes: 2048, since: None },
            BlindSpot { reason: blind_spot::Reason::KernelLacks.into(), detail: "no io_uring hook".to_owned(), ..BlindSpot::default() },
        ];
        summary.count(&event(Body::Sensor(Sensor { loss: Some(Loss { counts }), blind_spots: spots, ..Sensor::default() })));
        summary
    }

    #[test]
    fn a_run_without_losses_says_so() {
        assert!(seen().nothing_was_lost());
        insta::assert_snapshot!("summary_good", seen().render(Styles::PLAIN));
    }

    #[test]
    fn a_run_with_losses_says_which() {
        assert!(!lost().nothing_was_lost());
        insta::assert_snapshot!("summary_lost", lost().render(Styles::PLAIN));
        insta::assert_snapshot!("summary_lost_coloured", lost().render(Styles::COLOURED).replace('\u{1b}', "<ESC>"));
    }

    #[test]
    fn counters_that_could_not_be_read_do_not_say_that_nothing_was_lost() {
        let mut summary = seen();
        let unread = Count { place: Place::Kernel.into(), reason: Reason::Unknown.into(), count: 1, bytes: 0 };
        let sensor = Sensor { loss: Some(Loss { counts: vec![unread] }), ..Sensor::default() };
        summary.count(&Event { body: Some(Body::Sensor(sensor)), ..Event::default() });
        assert!(!summary.nothing_was_lost());
        insta::assert_snapshot!("summary_unknown", summary.render(Styles::PLAIN));
    }

    #[test]
    fn many_blind_spots_are_told_in_part() {
        let summary = Summary { blind_spots: vec![BlindSpot::default(); 30], ..seen() };
        let shown = summary.render(Styles::PLAIN);
        assert!(shown.contains("30 blind spots") && shown.contains("and 10 more"), "{shown}");
        assert!(shown.lines().count() < 30);
    }
}
