//! The flags, made from the table of settings.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches, value_parser};

use super::Config;
use super::defaults;
use super::settings::{Field, SETTINGS, Setting, TABLES};

/// Names the configuration file.
pub(super) const FILE_VARIABLE: &str = "MCP_SENSOR_CONFIG";

/// What was given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Given {
    file: Option<PathBuf>,
    values: Vec<(&'static Setting, Vec<String>)>,
}

impl Given {
    /// The configuration file: as given, else as the environment names it.
    #[must_use]
    pub fn file(&self, environment: &super::Environment) -> Option<PathBuf> {
        let variable = environment.get(FILE_VARIABLE).filter(|text| !text.is_empty()).map(PathBuf::from);
        self.file.clone().or(variable)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = (&'static Setting, &Vec<String>)> {
        self.values.iter().map(|(setting, words)| (*setting, words))
    }
}

impl clap::Args for Given {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help(format!("Configuration file [env: {FILE_VARIABLE}]"));
        SETTINGS.iter().fold(command.arg(file), |command, setting| command.arg(argument(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let file = matches.get_one("config").cloned();
        let values =
            SETTINGS.iter().filter_map(|setting| Some((setting, matches.get_many::<String>(setting.flag)?.cloned().collect()))).collect();
        Ok(Self { file, values })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(setting: &'static Setting) -> Arg {
    let heading = TABLES.iter().find(|(table, _)| *table == setting.table).map_or("", |(_, heading)| heading);
    let heading = heading.split([':', '.']).next().unwrap_or(heading);
    let default = defaults::value(&setting.field, &mut Config::default());
    let default = default.map_or_else(String::new, |value| format!("; default: {}", value.trim_matches('"')));
    let note = format!("[{}; env: {}{default}]", setting.full_key(), setting.variable());
    let more = if setting.more.is_empty() { String::new() } else { format!("\n{}", setting.more) };
    let argument = Arg::new(setting.flag)
        .long(setting.flag)
        .value_name(setting.value)
        .help(setting.help)
        .long_help(format!("{}{more}\n{note}", setting.help))
        .help_heading(heading);
    match setting.field {
        Field::Texts(_) | Field::Paths(_) => argument.action(ArgAction::Append),
        Field::Switch(_) => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => argument,
    }
}
