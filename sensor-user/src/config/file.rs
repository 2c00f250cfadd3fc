//! The file: TOML, with the place of everything in it.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin, Problem};
use super::settings::{SETTINGS, Setting, TABLES};

/// A value of the file: as it is in TOML, as far as settings need it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(i128),
    Switch(bool),
    Texts(Vec<String>),
    /// Anything else, and what it is.
    Other(String),
}

/// A setting that stands in the file.
pub(super) struct Found {
    pub setting: &'static Setting,
    pub value: Value,
    pub origin: Origin,
}

/// Reads the text of a file.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Found>, ConfigError> {
    let at = |span: Range<usize>| origin(path, text, span.start);
    let document = DeTable::parse(text)
        .map_err(|error| Problem::Syntax { origin: at(error.span().unwrap_or_default()), message: error.message().replace('\n', ", ") })?;
    let mut found = Vec::new();
    for (key, value) in in_order(document.get_ref()) {
        let name = key.get_ref().as_ref();
        if !TABLES.iter().any(|(table, _)| *table == name && !table.is_empty()) {
            found.push(setting("", key, value, &at)?);
            continue;
        }
        let DeValue::Table(table) = value.get_ref() else {
            let (wanted, found) = ("a table", describe(value.get_ref()));
            let mend = format!("write [{name}] on a line of its own, and the settings of {name} below");
            return Err(Problem::WrongType { origin: at(value.span()), key: name.to_owned(), wanted, found, mend }.into());
        };
        for (key, value) in in_order(table) {
            found.push(setting(name, key, value, &at)?);
        }
    }
    Ok(found)
}

/// What is in a table, from the first line to the last: so the first mistake is told first.
fn in_order<'a, 'i>(table: &'a DeTable<'i>) -> Vec<(&'a Spanned<toml::de::DeString<'i>>, &'a Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn setting(
    table: &str,
    key: &Spanned<toml::de::DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    at: &impl Fn(Range<usize>) -> Origin,
) -> Result<Found, ConfigError> {
    let full_key = if table.is_empty() { key.get_ref().to_string() } else { format!("{table}.{}", key.get_ref()) };
    let Some(setting) = Setting::of_key(&full_key) else {
        let nearest = nearest(&full_key, matches!(value.get_ref(), DeValue::Table(_)));
        return Err(Problem::UnknownKey { origin: at(key.span()), key: full_key, nearest }.into());
    };
    Ok(Found { setting, value: plain(value.get_ref()), origin: at(value.span()) })
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Boolean(switch) => Value::Switch(*switch),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Other("a number too big".to_owned()), Value::Number),
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| item.get_ref().as_str().map(ToOwned::to_owned)).collect();
            texts.map_or_else(|| Value::Other("an array with other than strings in it".to_owned()), Value::Texts)
        }
        other => Value::Other(describe(other)),
    }
}

/// What a value is, in words.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
    .to_owned()
}

/// The setting (or table) that was probably meant.
fn nearest(key: &str, is_table: bool) -> Option<String> {
    if is_table {
        let tables = TABLES.iter().map(|(table, _)| *table).filter(|table| !table.is_empty());
        let (distance, table) = tables.map(|table| (strsim::damerau_levenshtein(table, key), table)).min()?;
        return (distance <= 3).then(|| format!("[{table}]"));
    }
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let candidates = SETTINGS.iter().map(|setting| {
        let full_key = setting.full_key();
        // The right key in the wrong table is near, too.
        let whole = strsim::damerau_levenshtein(&full_key, key);
        let part = strsim::damerau_levenshtein(setting.key, &last(key)) + 1;
        let flag = strsim::damerau_levenshtein(&setting.flag.replace('-', "_"), &last(key).replace('-', "_")) + 1;
        (whole.min(part).min(flag), full_key)
    });
    let (distance, full_key) = candidates.min()?;
    let tolerated = (last(key).chars().count() / 3).clamp(1, 3) + 1;
    (distance <= tolerated).then_some(full_key)
}

/// The place of a byte.
fn origin(path: &Path, text: &str, offset: usize) -> Origin {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    Origin::File { path: path.to_owned(), line, column }
}
