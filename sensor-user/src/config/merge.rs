//! Puts the sources together: flag before variable before file before default, and checks that the whole makes sense.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{ConfigError, Origin, Problem};
use super::file::{self, Value};
use super::flags::Given;
use super::settings::{Choice, Field, SETTINGS, Setting};
use super::{Collector, Config};
use crate::export::uplink::address::AddressError;

/// The environment variables whose names begin with `MCP_SENSOR_`.
pub type Environment = HashMap<String, String>;

/// A configuration, and where it comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Environment variables that look like settings and are none.
    pub strange_variables: Vec<String>,
    origins: HashMap<&'static str, Origin>,
}

impl Loaded {
    /// Where the value of a setting comes from.
    #[must_use]
    pub fn origin(&self, flag: &str) -> Origin {
        self.origins.get(flag).cloned().unwrap_or_default()
    }

    fn set(&mut self, setting: &'static Setting, value: Value, origin: Origin) -> Result<(), ConfigError> {
        apply(setting, &mut self.config, value, &origin)?;
        self.origins.insert(setting.flag, origin);
        Ok(())
    }

    fn impossible(&self, flag: &str, value: &impl ToString, why: &str, mend: &str) -> ConfigError {
        let key = SETTINGS.iter().find(|setting| setting.flag == flag).map(Setting::full_key).unwrap_or_default();
        Problem::Impossible { origin: self.origin(flag), key, value: value.to_string(), why: why.to_owned(), mend: mend.to_owned() }.into()
    }
}

/// Reads the configuration file, where one is named, and puts everything together.
///
/// # Errors
/// Where the configuration cannot be used; it says why.
pub fn load(file: Option<&Path>, environment: &Environment, given: &Given) -> Result<Loaded, ConfigError> {
    let mut loaded = Loaded { config: Config::default(), strange_variables: strange(environment), origins: HashMap::new() };
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|source| Problem::Read { path: path.to_owned(), source })?;
        for found in file::parse(path, &text)? {
            loaded.set(found.setting, found.value, found.origin)?;
        }
    }
    for setting in SETTINGS {
        let variable = setting.variable();
        // An empty variable is one that is not set: orchestrators cannot always leave one out.
        if let Some(text) = environment.get(&variable).filter(|text| !text.is_empty()) {
            let parts =
                if is_list(&setting.field) { text.split(',').map(|part| part.trim().to_owned()).collect() } else { vec![text.clone()] };
            loaded.set(setting, of_words(&setting.field, parts), Origin::Variable(variable))?;
        }
    }
    for (setting, words) in given.values() {
        loaded.set(setting, of_words(&setting.field, words.clone()), Origin::Flag(setting.flag))?;
    }
    check(&loaded)?;
    Ok(loaded)
}

/// What one setting alone cannot tell.
fn check(loaded: &Loaded) -> Result<(), ConfigError> {
    let Collector { address, ca_file, cert_file, key_file, server_name, insecure, backoff_min, backoff_max, .. } = &loaded.config.collector;
    if backoff_min > backoff_max {
        let why = "it is longer than collector.backoff_max";
        return Err(loaded.impossible("backoff-min", &time(*backoff_min), why, "make it shorter, or collector.backoff_max longer"));
    }
    for (one, other, flag, value) in
        [(cert_file, key_file, "cert-file", "collector.key_file"), (key_file, cert_file, "key-file", "collector.cert_file")]
    {
        if let (Some(path), None) = (one, other) {
            let why = format!("{value} is not set, and neither is of use alone");
            return Err(loaded.impossible(flag, &path.display(), &why, &format!("set {value}, too")));
        }
    }
    let recording = &loaded.config.recording;
    if recording.incidents && [&recording.client, &recording.server, &recording.tool].iter().any(|names| !names.is_empty()) {
        let why = "recording.client, recording.server or recording.tool are set, and choose sessions, too";
        return Err(loaded.impossible("record-incidents", &true, why, "set either this or those"));
    }
    let Some(address) = address else { return Ok(()) };
    if !address.is_encrypted() {
        let settings = [
            ("ca-file", ca_file.as_ref().map(|path| path.display().to_string())),
            ("cert-file", cert_file.as_ref().map(|path| path.display().to_string())),
            ("server-name", server_name.clone()),
        ];
        for (flag, value) in settings {
            if let Some(value) = value {
                let why = "it is for https, and collector.address is not";
                return Err(loaded.impossible(flag, &value, why, "use https in collector.address, or remove this"));
            }
        }
        if !address.is_local() && !insecure {
            let why = "events would cross the network unencrypted";
            let mend = "use https; or, where nobody else can be on the way, set collector.insecure = true";
            return Err(loaded.impossible("collector", address, why, mend));
        }
    }
    Ok(())
}

/// Puts a value where it belongs.
fn apply(setting: &Setting, config: &mut Config, value: Value, origin: &Origin) -> Result<(), ConfigError> {
    assign(setting, config, value).map_err(|refused| {
        let (origin, key) = (origin.clone(), setting.full_key());
        match refused {
            Refused::Impossible { value, why, mend } => Problem::Impossible { origin, key, value, why, mend },
            Refused::Type(value) => {
                let (wanted, example) = wanted(&setting.field);
                let example = if setting.example.is_empty() { example } else { setting.example };
                let mend = format!("write for example {} = {example}", setting.key);
                Problem::WrongType { origin, key, wanted, found: found(&value), mend }
            }
        }
        .into()
    })
}

/// Why a value is not taken.
enum Refused {
    Type(Value),
    Impossible { value: String, why: String, mend: String },
}

impl Refused {
    /// A text that cannot be.
    fn text(text: &str, why: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::Impossible { value: format!("\"{text}\""), why: why.into(), mend: mend.into() }
    }

    fn empty() -> Self {
        let (why, mend) = ("an empty value says nothing", "remove the setting, or give it a value");
        Self::Impossible { value: "empty".to_owned(), why: why.to_owned(), mend: mend.to_owned() }
    }
}

fn assign(setting: &Setting, config: &mut Config, value: Value) -> Result<(), Refused> {
    match (&setting.field, value) {
        (_, Value::Text(text)) if text.is_empty() => return Err(Refused::empty()),
        (Field::Text(of), Value::Text(text)) => *of(config) = Some(text),
        (Field::Path(of), Value::Text(text)) => *of(config) = Some(PathBuf::from(text)),
        (Field::Address(of), Value::Text(text)) => {
            let mend = format!("write for example {}", setting.example);
            *of(config) = Some(text.parse().map_err(|error: AddressError| Refused::text(&text, error.to_string(), mend))?);
        }
        (Field::Switch(of), Value::Switch(switch)) => *of(config) = switch,
        (Field::Number { of, min, max, power_of_two }, Value::Number(value)) => *of(config) = number(value, *min, *max, *power_of_two)?,
        (Field::Duration { of, min, max }, Value::Text(text)) => *of(config) = duration(&text, *min, *max)?,
        (Field::Texts(of), Value::Texts(texts)) => *of(config) = checked(setting, texts)?,
        (Field::Paths(of), Value::Texts(texts)) => *of(config) = checked(setting, texts)?.into_iter().map(PathBuf::from).collect(),
        (Field::Payload(of), Value::Text(text)) => *of(config) = choice(&text)?,
        (Field::Format(of), Value::Text(text)) => *of(config) = choice(&text)?,
        (Field::Level(of), Value::Text(text)) => *of(config) = choice(&text)?,
        (Field::Mode(of), Value::Text(text)) => *of(config) = choice(&text)?,
        (_, value) => return Err(Refused::Type(value)),
    }
    Ok(())
}

const PICK: &str = "choose one of those";

fn choice<T: Choice>(text: &str) -> Result<T, Refused> {
    let words = || T::WORDS.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let known = T::WORDS.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    known.ok_or_else(|| Refused::text(text, format!("it must be one of {}", words()), PICK))
}

fn number(value: i128, min: u32, max: u32, power_of_two: bool) -> Result<u32, Refused> {
    let valid = |number: &u32| (min..=max).contains(number) && (!power_of_two || number.is_power_of_two());
    u32::try_from(value).ok().filter(valid).ok_or_else(|| {
        let kind = if power_of_two { "a power of two" } else { "a number" };
        let why = format!("it must be {kind} from {min} to {max}");
        Refused::Impossible { value: value.to_string(), why, mend: PICK.to_owned() }
    })
}

fn duration(text: &str, min: Duration, max: Duration) -> Result<Duration, Refused> {
    let refused = |why: String| Refused::text(text, why, "write for example \"250ms\", \"5s\" or \"2min\"");
    let duration = parse_time(text).ok_or_else(|| refused("it must be a whole number with ms, s, min or h".to_owned()))?;
    if (min..=max).contains(&duration) {
        return Ok(duration);
    }
    Err(refused(format!("it must be from {} to {}", time(min), time(max))))
}

/// A list without what would silently exclude nothing.
fn checked(setting: &Setting, items: Vec<String>) -> Result<Vec<String>, Refused> {
    for item in &items {
        match setting.flag {
            _ if item.is_empty() => return Err(Refused::empty()),
            "record-recipient" if item.parse::<recording::Recipient>().is_err() => {
                return Err(Refused::text(item, "it is no public key of age", "write what `age-keygen` calls the public key: age1..."));
            }
            "exclude-user" | "exempt-user" if crate::identity::user_id(item).is_none() => {
                return Err(Refused::text(item, "there is no user of this name", "give a name of /etc/passwd, or a number"));
            }
            "exclude-exe" | "exclude-cgroup" | "exempt-exe" | "exempt-cgroup" if !item.starts_with('/') => {
                return Err(Refused::text(item, "it must begin with /", format!("write for example {}", setting.example)));
            }
            _ => {}
        }
    }
    Ok(items)
}

const fn is_list(field: &Field) -> bool {
    matches!(field, Field::Texts(_) | Field::Paths(_))
}

/// What flags and variables say, in the type that the setting has. What is no such type stays text, and is refused as such.
fn of_words(field: &Field, words: Vec<String>) -> Value {
    if is_list(field) {
        return Value::Texts(words);
    }
    let last = words.into_iter().next_back().unwrap_or_default();
    match field {
        Field::Switch(_) => match last.as_str() {
            "true" | "1" | "yes" | "on" => Value::Switch(true),
            "false" | "0" | "no" | "off" => Value::Switch(false),
            _ => Value::Text(last),
        },
        Field::Number { .. } => last.parse().map_or(Value::Text(last), Value::Number),
        _ => Value::Text(last),
    }
}

/// What a field takes, in words, and an example.
const fn wanted(field: &Field) -> (&'static str, &'static str) {
    match field {
        Field::Switch(_) => ("true or false", "true"),
        Field::Number { .. } => ("a whole number", "16"),
        Field::Duration { .. } => ("a string with a time", "\"5s\""),
        Field::Texts(_) | Field::Paths(_) => ("an array of strings", "[\"a\", \"b\"]"),
        Field::Text(_) | Field::Path(_) | Field::Address(_) => ("a string", "\"text\""),
        Field::Payload(_) => ("a string", "\"redacted\""),
        Field::Format(_) => ("a string", "\"auto\""),
        Field::Level(_) => ("a string", "\"info\""),
        Field::Mode(_) => ("a string", "\"dry-run\""),
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("the string \"{text}\""),
        Value::Number(number) => format!("the number {number}"),
        Value::Switch(switch) => switch.to_string(),
        Value::Texts(_) => "an array".to_owned(),
        Value::Other(what) => what.clone(),
    }
}

/// A time as people write it: `250ms`, `5s`, `2min`, `1h`.
fn parse_time(text: &str) -> Option<Duration> {
    let split = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: u64 = number.parse().ok()?;
    match unit.trim_start() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "min" | "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

/// The same, written.
pub(super) fn time(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match milliseconds {
        0 => "0s".to_owned(),
        _ if milliseconds.is_multiple_of(3_600_000) => format!("{}h", milliseconds / 3_600_000),
        _ if milliseconds.is_multiple_of(60_000) => format!("{}min", milliseconds / 60_000),
        _ if milliseconds.is_multiple_of(1000) => format!("{}s", milliseconds / 1000),
        _ => format!("{milliseconds}ms"),
    }
}

/// Variables that look like settings and are none. Kubernetes sets some of its own (`…_SERVICE_HOST`, `…_PORT…`) in every
/// container beside a service of that name.
fn strange(environment: &Environment) -> Vec<String> {
    let known = |name: &str| name == super::flags::FILE_VARIABLE || SETTINGS.iter().any(|setting| setting.variable() == name);
    let of_kubernetes = |name: &str| name.contains("_SERVICE_") || name.contains("_PORT");
    let mut strange: Vec<String> = environment.keys().filter(|name| !known(name) && !of_kubernetes(name)).cloned().collect();
    strange.sort();
    strange
}
