use std::path::Path;

use clap::{Args as _, Command, FromArgMatches as _};

use super::settings::{SETTINGS, Setting};
use super::*;
use crate::config::settings::Field;

fn given(line: &str) -> Given {
    let command = Given::augment_args(Command::new("run"));
    let words = std::iter::once("run").chain(line.split(' ').filter(|word| !word.is_empty()));
    Given::from_arg_matches(&command.try_get_matches_from(words).unwrap()).unwrap()
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn load_text(text: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sensor.toml");
    std::fs::write(&path, text).unwrap();
    load(Some(&path), &Environment::new(), &Given::default()).map(|loaded| loaded.config)
}

/// What is told of a file's error, with the file's name alone.
fn told(text: &str) -> String {
    let error = load_text(text).unwrap_err();
    let text = error.to_string();
    let (path, rest) = text.split_once("sensor.toml").unwrap_or(("", &text));
    assert!(path.is_empty() || path.starts_with('/'), "{path}");
    format!("{}\n  {}", rest.trim_start_matches(':'), error.mend())
}

#[test]
fn the_default_file_is_the_defaults() {
    insta::assert_snapshot!("default_file", default_file());
    assert_eq!(load_text(&default_file()).unwrap(), Config::default());
    assert_eq!(load_text("").unwrap(), Config::default());
}

#[test]
fn every_example_of_the_default_file_can_be_used() {
    let uncommented: Vec<String> = default_file()
        .lines()
        .map(|line| match line.strip_prefix("# ").filter(|line| line.contains(" = ") && !line.contains("--")) {
            Some(setting) => setting.to_owned(),
            None => line.to_owned(),
        })
        .filter(|line| !line.starts_with("user = "))
        .collect();
    let config = load_text(&uncommented.join("\n")).unwrap();
    assert_eq!(config.collector.address.unwrap().to_string(), "https://collector.example:4780");
    assert_eq!(config.node.as_deref(), Some("web-1"));
    assert_eq!(config.exclude.exe.len(), 1);
}

#[test]
fn each_setting_has_a_key_a_flag_and_a_variable_of_its_own() {
    type Name = fn(&Setting) -> String;
    let names: [Name; 3] = [Setting::full_key, |setting| setting.flag.to_owned(), Setting::variable];
    for name in names {
        let mut all: Vec<String> = SETTINGS.iter().map(name).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), SETTINGS.len());
    }
    let places: Vec<_> = SETTINGS.iter().filter(|setting| !settings::TABLES.iter().any(|(table, _)| *table == setting.table)).collect();
    assert!(places.is_empty(), "{places:?}");
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file_before_the_default() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sensor.toml");
    std::fs::write(&path, "node = \"file\"\n[limits]\nring_mib = 8\nmemory_mib = 64\nmax_call_mib = 2").unwrap();
    let variables = environment(&[("MCP_SENSOR_NODE", "variable"), ("MCP_SENSOR_RING_MIB", "4"), ("MCP_SENSOR_MEMORY_MIB", "")]);
    let given = given("--node flag --heartbeat 9s");
    let loaded = load(Some(&path), &variables, &given).unwrap();
    assert_eq!(loaded.config.node.as_deref(), Some("flag"));
    assert_eq!(loaded.config.limits, Limits { ring_mib: 4, max_call_mib: 2, max_message_mib: 16, memory_mib: 64 });
    assert_eq!(loaded.config.collector.heartbeat, Duration::from_secs(9));
    assert_eq!(loaded.origin("node"), Origin::Flag("node"));
    assert_eq!(loaded.origin("ring-mib"), Origin::Variable("MCP_SENSOR_RING_MIB".to_owned()));
    assert_eq!(loaded.origin("max-call-mib"), Origin::File { path, line: 5, column: 16 });
    assert_eq!(loaded.origin("log-level"), Origin::Default);
}

/// A public key whose private key nobody has.
const RECIPIENT: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";

#[test]
fn every_setting_can_be_given_in_each_way() {
    let value = |setting: &Setting| match setting.field {
        Field::Text(_) | Field::Path(_) => "x",
        Field::Address(_) => "https://a:1",
        // With the filters that are set, too, it would be refused.
        Field::Switch(_) if setting.flag == "record-incidents" => "false",
        Field::Switch(_) => "true",
        Field::Number { min, .. } if min > 8 => "64",
        Field::Number { .. } => "8",
        Field::Duration { .. } => "1s",
        Field::Texts(_) if matches!(setting.flag, "exclude-user" | "exempt-user") => "0",
        Field::Texts(_) if setting.flag == "record-recipient" => RECIPIENT,
        Field::Texts(_) | Field::Paths(_) => "/x",
        Field::Payload(_) => "none",
        Field::Format(_) => "json",
        Field::Level(_) => "trace",
        Field::Mode(_) => "on",
    };
    let line: Vec<String> = SETTINGS.iter().map(|setting| format!("--{}={}", setting.flag, value(setting))).collect();
    let by_flags = load(None, &Environment::new(), &given(&line.join(" "))).unwrap().config;
    let variables: Environment = SETTINGS.iter().map(|setting| (setting.variable(), value(setting).to_owned())).collect();
    let by_variables = load(None, &variables, &Given::default()).unwrap().config;
    let mut file = String::new();
    for setting in SETTINGS {
        let value = match setting.field {
            Field::Switch(_) | Field::Number { .. } => value(setting).to_owned(),
            Field::Texts(_) | Field::Paths(_) => format!("[\"{}\"]", value(setting)),
            _ => format!("\"{}\"", value(setting)),
        };
        file += &format!("{} = {value}\n", setting.full_key());
    }
    let by_file = load_text(&file).unwrap();
    assert_eq!(by_flags, by_file);
    assert_eq!(by_variables, by_file);
    assert_ne!(by_file, Config::default());
}

#[test]
fn lists_are_repeated_flags_and_parts_of_variables() {
    let by_flags =
        load(None, &Environment::new(), &given("--exclude-exe /a,b --exclude-exe /c --insecure --messages=false")).unwrap().config;
    assert_eq!(by_flags.exclude.exe, [PathBuf::from("/a,b"), PathBuf::from("/c")]);
    assert!(by_flags.collector.insecure && !by_flags.capture.messages);
    let by_variables = load(None, &environment(&[("MCP_SENSOR_EXCLUDE_CGROUP", "/a, /b")]), &Given::default()).unwrap().config;
    assert_eq!(by_variables.exclude.cgroup, ["/a", "/b"]);
}

#[test]
fn errors_say_where_what_and_how_to_mend() {
    let cases = [
        "[collector]\nadress = \"https://a:1\"",
        "nod = \"x\"",
        "[colector]\naddress = \"https://a:1\"",
        "[collector]\nring_mib = 4",
        "[limits]\nexclude-exe = []",
        "[limits]\nzebra = 1",
        "[limits]\nring_mib = \"32\"",
        "[limits]\n  ring_mib = 33",
        "[limits]\nring_mib = 3.5",
        "[limits]\nmemory_mib = 99999999999999999999999999999999999999999",
        "shutdown = 5",
        "shutdown = \"5 fortnights\"",
        "[collector]\nheartbeat = \"1ms\"",
        "[collector]\nbackoff_min = \"1min\"",
        "[collector]\naddress = \"collector:4780\"",
        "[collector]\naddress = \"http://10.0.0.1:4780\"",
        "[collector]\naddress = \"unix:/x\"\nca_file = \"ca.pem\"",
        "[collector]\ncert_file = \"cert.pem\"",
        "collector = 1",
        "[capture]\npayload = \"some\"\nmessages = \"no\"",
        "[capture]\nmessages = \"no\"",
        "[exclude]\nexe = \"/bin/x\"",
        "[exclude]\nexe = [1]",
        "[exclude]\nuser = [\"nobody-has-this-name\"]",
        "[exclude]\nexe = [\"/bin/x\", \"x\"]",
        "node = \"\"",
        "node = \"ü\" nonsense",
        "[log]\nlevel = \"info\"\nlevel = \"warn\"",
    ];
    let all: Vec<String> = cases.iter().map(|case| format!("{}\n=> {}\n", case.trim(), told(case))).collect();
    insta::assert_snapshot!("errors", all.join("\n"));
}

#[test]
fn errors_of_flags_and_variables_name_them() {
    let error = load(None, &Environment::new(), &given("--ring-mib x")).unwrap_err();
    assert_eq!(error.to_string(), "--ring-mib: limits.ring_mib must be a whole number, and is the string \"x\"");
    let error = load(None, &environment(&[("MCP_SENSOR_LOG_LEVEL", "loud")]), &Given::default()).unwrap_err();
    let wanted = "MCP_SENSOR_LOG_LEVEL: log.level cannot be \"loud\": it must be one of error, warn, info, debug, trace";
    assert_eq!(error.to_string(), wanted);
    let error = load(Some(Path::new("/nowhere.toml")), &Environment::new(), &Given::default()).unwrap_err();
    assert!(error.to_string().starts_with("/nowhere.toml: cannot be read: No such file"), "{error}");
}

#[test]
fn plaintext_is_for_this_machine_unless_allowed() {
    let load = |text: &str| load_text(&format!("[collector]\n{text}"));
    for address in ["http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1", "unix:/x", "https://a:1"] {
        load(&format!("address = \"{address}\"")).unwrap();
    }
    assert!(load("address = \"http://a:1\"").is_err());
    assert!(load("address = \"http://a:1\"\ninsecure = true").unwrap().collector.insecure);
}

#[test]
fn variables_that_are_no_settings_are_noticed_but_for_those_of_kubernetes() {
    let variables = environment(&[
        ("MCP_SENSOR_NODES", "x"),
        ("MCP_SENSOR_SERVICE_HOST", "10.0.0.1"),
        ("MCP_SENSOR_PORT_80_TCP", "x"),
        ("MCP_SENSOR_CONFIG", "/etc/x"),
    ]);
    let loaded = load(None, &variables, &Given::default()).unwrap();
    assert_eq!(loaded.strange_variables, ["MCP_SENSOR_NODES"]);
    assert_eq!(Given::default().file(&variables), Some(PathBuf::from("/etc/x")));
    assert_eq!(given("--config /y").file(&variables), Some(PathBuf::from("/y")));
}
