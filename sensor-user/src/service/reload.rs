//! Takes a new configuration over while the service runs.
//!
//! Invariants: a configuration that cannot be used changes nothing, and that is told in the log and in the sensor's own
//! events until a usable one comes; a setting that needs a restart stays as it was and is named in a warning.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::log::LogControl;
use super::{enforcement, exclusions, target, warn_of_choices};
use crate::config::settings::SETTINGS;
use crate::config::{self, Config, ConfigError, Environment, Given, Loaded, Problem};
use crate::export::uplink::Steering;
use crate::pipeline::Change;

/// The configuration that is in force.
#[derive(Clone, Debug)]
pub struct Current(Arc<Mutex<Config>>);

impl Current {
    /// This one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Mutex::new(config)))
    }

    /// How long what is held may still be sent at the end.
    #[must_use]
    pub fn shutdown(&self) -> Duration {
        self.get().shutdown
    }

    /// All of it.
    #[must_use]
    pub fn get(&self) -> Config {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, config: Config) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

/// Reads the configuration again and hands on what has changed.
pub struct Reloader {
    /// As the command line has it.
    pub given: Given,
    /// As it was at the start.
    pub environment: Environment,
    /// What is in force.
    pub current: Current,
    /// To the log.
    pub log: LogControl,
    /// To the pipeline.
    pub changes: Sender<Change>,
    /// To the uplink.
    pub uplink: Steering,
}

impl Reloader {
    /// Does it.
    pub fn reload(&self) {
        let file = self.given.file(&self.environment);
        let note = match config::load(file.as_deref(), &self.environment, &self.given).and_then(with_collector) {
            Ok(loaded) => {
                self.apply(loaded);
                None
            }
            Err(error) => {
                tracing::error!(mend = error.mend(), "the configuration cannot be used, and the old one stays in force: {error}");
                Some(format!("the configuration cannot be used, and the old one stays in force: {error}"))
            }
        };
        // Where the pipeline has ended there is nobody to be told.
        let _ = self.changes.send(Change::Note(note));
    }

    fn apply(&self, loaded: Loaded) {
        let mut old = self.current.get();
        let (new, kept) = takeover(&mut old, loaded.config);
        if !kept.is_empty() {
            tracing::warn!(settings = kept.join(", "), "these settings have changed and need a restart to take effect");
        }
        warn_of_choices(&new, &loaded.strange_variables);
        self.log.set_level(new.log.level);
        if new.exclude != old.exclude {
            let _ = self.changes.send(Change::Exclusions(exclusions(&new)));
        }
        if new.enforcement != old.enforcement {
            let _ = self.changes.send(Change::Enforcement(enforcement(&new)));
        }
        super::policy::reload(&new, &self.changes);
        if let Some(target) = target(&new) {
            let files = target.token_file.is_some() || target.ca_file.is_some() || target.identity.is_some();
            // Behind the same names there may be renewed certificates, or another token.
            if files || new.collector != old.collector {
                self.uplink.redirect(target);
            }
        }
        self.current.set(new);
        tracing::info!("the configuration was read again");
    }
}

/// The new configuration with what needs a restart as it was, and the keys of what has changed of that.
fn takeover(old: &mut Config, mut new: Config) -> (Config, Vec<String>) {
    let mut kept = Vec::new();
    for setting in SETTINGS.iter().filter(|setting| !setting.reloads) {
        if !setting.field.agrees(old, &mut new) {
            setting.field.copy(old, &mut new);
            kept.push(setting.full_key());
        }
    }
    (new, kept)
}

/// The same, where it names a collector.
pub(super) fn with_collector(loaded: Loaded) -> Result<Loaded, ConfigError> {
    if loaded.config.collector.address.is_some() {
        return Ok(loaded);
    }
    let mend = "set it in the file, or with --collector https://HOST:PORT or MCP_SENSOR_COLLECTOR".to_owned();
    Err(Problem::Missing { key: "collector.address".to_owned(), mend }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LogLevel, Payload};

    #[test]
    fn what_needs_a_restart_stays_and_is_named() {
        let mut old = Config::default();
        let mut new = Config::default();
        new.capture.payload = Payload::Full;
        new.limits.ring_mib = 64;
        new.log.level = LogLevel::Debug;
        new.exclude.user = vec!["0".to_owned()];
        let (taken, kept) = takeover(&mut old, new.clone());
        assert_eq!(kept, ["capture.payload", "limits.ring_mib"]);
        assert_eq!(taken.capture, old.capture);
        assert_eq!(taken.limits, old.limits);
        assert_eq!((taken.log, taken.exclude), (new.log, new.exclude));
    }

    #[test]
    fn a_file_that_cannot_be_used_changes_nothing_and_is_told_until_a_usable_one_comes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sensor.toml");
        let write = |text: &str| std::fs::write(&file, format!("[collector]\naddress = \"unix:/nowhere\"\n{text}")).unwrap();
        write("");
        let environment = Environment::from([("MCP_SENSOR_CONFIG".to_owned(), file.display().to_string())]);
        let config = config::load(Some(&file), &environment, &Given::default()).unwrap().config;
        let settings = super::super::uplink_settings(&config, target(&config).unwrap(), "node-1");
        let (uplink, _exporter) = crate::export::uplink::Uplink::start(settings).unwrap();
        let (changes, changed) = std::sync::mpsc::channel();
        let reloader = Reloader {
            given: Given::default(),
            environment,
            current: Current::new(config.clone()),
            log: LogControl::detached(),
            changes,
            uplink: uplink.steering(),
        };

        write("[exclude]\nuser = [\"0\"]\nexe = 7");
        reloader.reload();
        let Change::Note(Some(note)) = changed.try_recv().unwrap() else { panic!("no note") };
        assert!(note.contains("sensor.toml:5:7: exclude.exe must be an array of strings"), "{note}");
        assert!(changed.try_recv().is_err());
        assert_eq!(reloader.current.get(), config);

        write("[exclude]\nuser = [\"0\"]");
        reloader.reload();
        let Change::Exclusions(exclusions) = changed.try_recv().unwrap() else { panic!("no exclusions") };
        assert_eq!(exclusions.users, [0]);
        assert!(matches!(changed.try_recv().unwrap(), Change::Policy(Ok(_))), "the policy is read again with the rest");
        assert!(matches!(changed.try_recv().unwrap(), Change::Note(None)));
        let _ = uplink.finish(std::time::Instant::now());
    }
}
