//! `mcp-sensor run` and `mcp-sensor config`: from words to the service, and from its errors to words.

use std::io::{self, Write as _};

use super::args::ConfigCommand;
use super::run::cannot_capture;
use super::{Exit, Failure};
use crate::agent::AgentError;
use crate::config::{self, ConfigError, Environment, Given};
use crate::service::{self, ServiceError};

/// Runs the service until it is told to stop.
pub(super) fn run(given: &Given) -> Result<Exit, Failure> {
    let environment = service::environment();
    match service::run(given, &environment) {
        Ok(()) => Ok(Exit::Ok),
        Err(ServiceError::Config(error)) => Err(unusable(&error)),
        Err(ServiceError::Agent(AgentError::Load(error))) => Err(cannot_capture(&error)),
        Err(error) => Err(Failure::new(Exit::Failed, "the service has failed").because(error)),
    }
}

/// Prints the default file, or checks one.
pub(super) fn config(options: &ConfigCommand) -> Result<Exit, Failure> {
    let mut output = io::stdout();
    let text = match &options.check {
        None => config::default_file(),
        Some(path) => {
            config::load(Some(path), &Environment::new(), &Given::default()).map_err(|error| unusable(&error))?;
            format!("{}: can be used\n", crate::export::sanitize::sanitize(&path.display().to_string()))
        }
    };
    output.write_all(text.as_bytes()).map_err(Failure::of_output)?;
    Ok(Exit::Ok)
}

fn unusable(error: &ConfigError) -> Failure {
    Failure::new(Exit::Usage, "the configuration cannot be used").because(error.to_string()).mend(error.mend())
}
