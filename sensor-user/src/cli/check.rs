//! `mcp-sensor check`: what works on this machine, for people and as JSON.
//!
//! Invariant: the exit code says [`Exit::Ok`] only where every required thing is there, and what is shown says the same.

use serde::Serialize;

use super::exit::Exit;
use crate::bpf::{CheckItem, CheckState, VerifiedProgram};
use crate::export::sanitize;
use crate::export::style::{Line, Style, Styles};
use crate::export::units;

/// Columns of the state and the room around it.
const STATE: usize = 9;

/// Everything that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    items: &'a [CheckItem],
    programs: Option<&'a [VerifiedProgram]>,
}

/// The report as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonReport<'a> {
    can_capture: bool,
    items: Vec<JsonItem<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    programs: Option<Vec<JsonProgram<'a>>>,
}

#[derive(Serialize)]
struct JsonItem<'a> {
    name: &'a str,
    state: &'static str,
    required: bool,
    detail: &'a str,
    mend: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonProgram<'a> {
    name: &'a str,
    verified_instructions: Option<u32>,
    recursion_misses: u64,
}

impl<'a> Report<'a> {
    /// A report on these, with the kernel programs where they were asked for.
    #[must_use]
    pub const fn new(items: &'a [CheckItem], programs: Option<&'a [VerifiedProgram]>) -> Self {
        Self { items, programs }
    }

    /// How the program ends: well only where everything that is required is there.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.items.iter().any(is_needed) { Exit::CannotCapture } else { Exit::Ok }
    }

    /// As one line of JSON, with its line end.
    ///
    /// # Errors
    /// Never, in truth: text, numbers and truth values have a JSON form.
    pub fn json(&self) -> serde_json::Result<String> {
        let item = |&CheckItem { name, state, required, ref detail, ref mend }: &'a CheckItem| {
            let state = match state {
                CheckState::Ok => "ok",
                CheckState::Warning => "warning",
                CheckState::Missing => "missing",
            };
            JsonItem { name, state, required, detail, mend }
        };
        let program = |VerifiedProgram { name, verified_instructions, recursion_misses }: &'a VerifiedProgram| JsonProgram {
            name,
            verified_instructions: *verified_instructions,
            recursion_misses: *recursion_misses,
        };
        let line = serde_json::to_string(&JsonReport {
            can_capture: self.exit() == Exit::Ok,
            items: self.items.iter().map(item).collect(),
            programs: self.programs.map(|programs| programs.iter().map(program).collect()),
        })?;
        let mut shown = String::with_capacity(line.len() + 1);
        for character in line.chars() {
            // What JSON leaves as it is can still deceive on a terminal. All of it stands inside strings.
            if sanitize::is_unsafe(character) {
                shown.extend(character.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
            } else {
                shown.push(character);
            }
        }
        shown.push('\n');
        Ok(shown)
    }

    /// For people, in so many columns: a line for each thing, what to do below it, and the verdict at the end.
    #[must_use]
    pub fn render(&self, columns: usize, styles: Styles) -> String {
        let mut shown = String::new();
        let names = names_width(self.items.iter().map(|item| item.name), columns);
        for item in self.items {
            render_item(item, names, columns, styles, &mut shown);
        }
        if let Some(programs) = self.programs.filter(|programs| !programs.is_empty()) {
            shown.push('\n');
            styles.paint(Style::BOLD, "Kernel programs", &mut shown);
            shown.push('\n');
            let names = names_width(programs.iter().map(|program| program.name.as_str()), columns);
            for program in programs {
                render_program(program, names, columns, styles, &mut shown);
            }
        }
        shown.push('\n');
        let needed = self.items.iter().filter(|item| is_needed(item)).count();
        let lesser = self.items.iter().filter(|item| !item.required && item.state != CheckState::Ok).count();
        let (verdict, style) = match (needed, lesser) {
            (0, 0) => ("mcp-sensor can capture here.".to_owned(), Style::GOOD),
            (0, 1) => ("mcp-sensor can capture here. One thing is not as it could be: see above.".to_owned(), Style::WARNING),
            (0, _) => (format!("mcp-sensor can capture here. {lesser} things are not as they could be: see above."), Style::WARNING),
            (1, _) => ("mcp-sensor cannot capture here: one thing that it needs is not in order.".to_owned(), Style::ERROR),
            _ => (format!("mcp-sensor cannot capture here: {needed} things that it needs are not in order."), Style::ERROR),
        };
        print_wrapped(Line::own(style, &verdict), "", columns, styles, &mut shown);
        shown
    }
}

fn is_needed(item: &CheckItem) -> bool {
    item.required && item.state != CheckState::Ok
}

fn names_width<'a>(names: impl Iterator<Item = &'a str>, columns: usize) -> usize {
    names.map(|name| Line::raw(Style::PLAIN, name).width()).max().unwrap_or(0).min(columns / 3).max(8)
}

fn render_item(item: &CheckItem, names: usize, columns: usize, styles: Styles, shown: &mut String) {
    let (word, style) = match (item.state, item.required) {
        (CheckState::Ok, _) => ("ok", Style::GOOD),
        (CheckState::Warning, true) => ("WARNING", Style::ERROR),
        (CheckState::Warning, false) => ("warning", Style::WARNING),
        (CheckState::Missing, true) => ("MISSING", Style::ERROR),
        (CheckState::Missing, false) => ("missing", Style::WARNING),
    };
    print_detail(Line::own(style, word), item.name, names, &item.detail, columns, styles, shown);
    if !item.mend.is_empty() && item.state != CheckState::Ok {
        let mut mend = Line::own(style, "→ ");
        mend.push_raw(Style::PLAIN, &item.mend);
        print_wrapped(mend, &" ".repeat(STATE), columns, styles, shown);
    }
}

fn render_program(program: &VerifiedProgram, names: usize, columns: usize, styles: Styles, shown: &mut String) {
    let VerifiedProgram { name, verified_instructions, recursion_misses } = program;
    let mut detail = match *verified_instructions {
        Some(count) => format!("loaded; the verifier walked {}", units::count(count.into(), "instruction")),
        None => "loaded".to_owned(),
    };
    if *recursion_misses > 0 {
        detail.push_str(&format!("; the kernel skipped it {}", units::count(*recursion_misses, "time")));
    }
    let state = if *recursion_misses > 0 { Line::own(Style::WARNING, "warning") } else { Line::own(Style::GOOD, "ok") };
    print_detail(state, name, names, &detail, columns, styles, shown);
}

fn print_detail(state: Line, name: &str, names: usize, detail: &str, columns: usize, styles: Styles, shown: &mut String) {
    let mut start = state.fill(STATE);
    start.push_line(Line::raw(Style::PLAIN, name).fill(names));
    start.push_own(Style::PLAIN, "  ");
    let indent = Line::default().fill(start.width());
    let room = columns.saturating_sub(start.width()).max(16);
    let starts = std::iter::once(start).chain(std::iter::repeat(indent));
    for (mut line, detail) in starts.zip(Line::raw(Style::DIM, detail).wrap(room)) {
        line.push_line(detail);
        print_line(&line, styles, shown);
    }
}

fn print_wrapped(words: Line, indent: &str, columns: usize, styles: Styles, shown: &mut String) {
    for part in words.wrap(columns.saturating_sub(indent.len()).max(16)) {
        let mut line = Line::own(Style::PLAIN, indent);
        line.push_line(part);
        print_line(&line, styles, shown);
    }
}

fn print_line(line: &Line, styles: Styles, shown: &mut String) {
    line.print(styles, shown);
    shown.truncate(shown.trim_end_matches(' ').len());
    shown.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &'static str, state: CheckState, required: bool, detail: &str, mend: &str) -> CheckItem {
        CheckItem { name, state, required, detail: detail.to_owned(), mend: mend.to_owned() }
    }

    fn items() -> Vec<CheckItem> {
        vec![
            item("kernel", CheckState::Ok, true, "6.1.0-18-amd64 on x86_64", ""),
            item("kernel types (BTF)", CheckState::Ok, true, "/sys/kernel/btf/vmlinux", "use a kernel built with CONFIG_DEBUG_INFO_BTF=y"),
            item(
                "io_uring",
                CheckState::Warning,
                false,
                "no hook io_uring_complete: calls through io_uring are a blind spot",
                "use Linux 6.2 or later",
            ),
            item("TLS libraries", CheckState::Missing, false, "none of /lib/\u{1b}[2Jx\u{202e} is known", ""),
        ]
    }

    fn with_one_missing() -> Vec<CheckItem> {
        let mut items = items();
        items.push(item(
            "kernel programs",
            CheckState::Missing,
            true,
            "bpf(BPF_PROG_LOAD): Operation not permitted (os error 1)",
            "run mcp-sensor as root, or give it CAP_BPF and CAP_PERFMON: setcap cap_bpf,cap_perfmon+ep /usr/bin/mcp-sensor",
        ));
        items
    }

    fn programs() -> Vec<VerifiedProgram> {
        let program = |name: &str, verified_instructions, recursion_misses| VerifiedProgram {
            name: name.to_owned(),
            verified_instructions,
            recursion_misses,
        };
        vec![program("sys_exit", Some(48_213), 0), program("process_exec", None, 0), program("process_fork", Some(1), 2)]
    }

    #[test]
    fn the_exit_code_is_good_only_where_everything_required_is_ok() {
        assert_eq!(Report::new(&items(), None).exit(), Exit::Ok);
        assert_eq!(Report::new(&with_one_missing(), None).exit(), Exit::CannotCapture);
        assert_eq!(Report::new(&[item("x", CheckState::Warning, true, "", "")], None).exit(), Exit::CannotCapture);
        assert_eq!(Report::new(&[], None).exit(), Exit::Ok);
    }

    #[test]
    fn checks_for_people() {
        insta::assert_snapshot!("check_can", Report::new(&items(), None).render(100, Styles::PLAIN));
        insta::assert_snapshot!("check_programs", Report::new(&items(), Some(&programs())).render(100, Styles::PLAIN));
        insta::assert_snapshot!("check_cannot", Report::new(&with_one_missing(), Some(&[])).render(100, Styles::PLAIN));
        insta::assert_snapshot!("check_narrow", Report::new(&with_one_missing(), Some(&programs())).render(60, Styles::PLAIN));
        let coloured = Report::new(&with_one_missing(), None).render(100, Styles::COLOURED);
        insta::assert_snapshot!("check_coloured", coloured.replace('\u{1b}', "<ESC>"));
    }

    #[test]
    fn checks_for_programs() {
        let (items, programs) = (with_one_missing(), programs());
        let json = Report::new(&items, Some(&programs)).json().unwrap();
        assert!(!json.trim_end().contains(sanitize::is_unsafe), "{json}");
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["canCapture"], false);
        assert_eq!(value["items"][2]["state"], "warning");
        assert_eq!(value["items"][3]["detail"], items[3].detail);
        assert_eq!(value["programs"][0]["verifiedInstructions"], 48_213);
        insta::assert_snapshot!("check_json", json);
        let short: serde_json::Value = serde_json::from_str(&Report::new(&items, None).json().unwrap()).unwrap();
        assert!(short.get("programs").is_none());
    }
}
