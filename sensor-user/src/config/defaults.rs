//! The commented default file.

use std::fmt::Write as _;

use super::Config;
use super::merge::time;
use super::settings::{Choice as _, Field, SETTINGS, Setting, TABLES};

const HEAD: &str = "\
# Configuration of `mcp-sensor run`. These are the defaults; what has none is commented out.
#
# Each setting is a flag and an environment variable, too (in brackets). A flag goes before a
# variable, a variable before this file. Times are whole numbers with ms, s, min or h.
#
# SIGHUP (`systemctl reload mcp-sensor`) reads this file again. Settings marked with * take effect
# then; the others need a restart.
";

/// The default file, with a comment for each setting.
#[must_use]
pub fn default_file() -> String {
    let mut config = Config::default();
    let mut file = HEAD.to_owned();
    for (table, heading) in TABLES {
        let _ = if table.is_empty() { write!(file, "\n# {heading}.\n") } else { write!(file, "\n# {heading}.\n[{table}]\n") };
        for setting in SETTINGS.iter().filter(|setting| setting.table == *table) {
            describe(setting, &mut config, &mut file);
        }
    }
    file
}

fn describe(setting: &Setting, config: &mut Config, file: &mut String) {
    let star = if setting.reloads { " *" } else { "" };
    let _ = writeln!(file, "\n# {}.{star}", setting.help);
    if !setting.more.is_empty() {
        let _ = writeln!(file, "# {}", setting.more);
    }
    let _ = writeln!(file, "# (--{}, {})", setting.flag, setting.variable());
    let _ = match value(&setting.field, config) {
        Some(value) => writeln!(file, "{} = {value}", setting.key),
        None => writeln!(file, "# {} = {}", setting.key, setting.example),
    };
}

/// The default as TOML; `None` where there is none.
pub(super) fn value(field: &Field, config: &mut Config) -> Option<String> {
    match field {
        Field::Switch(of) => Some(of(config).to_string()),
        Field::Number { of, .. } => Some(of(config).to_string()),
        Field::Duration { of, .. } => Some(format!("\"{}\"", time(*of(config)))),
        Field::Payload(of) => Some(format!("\"{}\"", of(config).word())),
        Field::Format(of) => Some(format!("\"{}\"", of(config).word())),
        Field::Level(of) => Some(format!("\"{}\"", of(config).word())),
        Field::Mode(of) => Some(format!("\"{}\"", of(config).word())),
        Field::Path(of) => of(config).as_ref().map(|path| format!("\"{}\"", path.display())),
        Field::Text(_) | Field::Address(_) | Field::Texts(_) | Field::Paths(_) => None,
    }
}
