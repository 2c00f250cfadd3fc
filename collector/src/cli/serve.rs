//! `mcp-collector serve`.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use super::args::Serve;
use super::failure::{Exit, Failure};
use crate::config::file::Layer;
use crate::config::{LogFormat, LogLevel, LogSettings, Settings};
use crate::ingest::stream::now;
use crate::serve::notify::Notify;
use crate::serve::{ServeError, Server};

/// Serves until it is told to stop.
pub(super) fn run(args: Serve) -> Result<(), Failure> {
    let settings = settings(args)?;
    start_logging(settings.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "cannot start").because(error))?;
    runtime.block_on(serve(settings))
}

/// Defaults, then the file, then environment and flags.
fn settings(mut args: Serve) -> Result<Settings, Failure> {
    let mut settings = Settings::default();
    if let Some(path) = args.config.take() {
        let layer = Layer::read(&path).map_err(|error| Failure::new(Exit::Usage, "cannot use the configuration file").because(error))?;
        layer.apply(&mut settings);
    }
    args.layer().apply(&mut settings);
    settings.check().map_err(|conflict| Failure::new(Exit::Usage, conflict.to_string()))?;
    Ok(settings)
}

fn start_logging(LogSettings { format, level }: LogSettings) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_ansi(is_terminal);
    // Where a subscriber is set already, it stays.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

async fn serve(settings: Settings) -> Result<(), Failure> {
    let failed = |error: ServeError| Failure::new(Exit::Failed, "the collector cannot serve").because(error);
    let no_signals = |error: std::io::Error| Failure::new(Exit::Failed, "cannot wait for signals").because(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let server = Server::start(settings).await.map_err(failed)?;
    let notify = Notify::from_environment();
    notify.tell("READY=1");
    let watchdog = Notify::watchdog();
    let mut beat = tokio::time::interval(watchdog.map_or(Duration::from_secs(3600), |within| (within / 2).max(Duration::from_millis(1))));
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = beat.tick() => {
                // A writer that hangs is a collector that hangs.
                let silent = now().saturating_sub(server.store().alive());
                if watchdog.is_some_and(|within| u128::try_from(silent).unwrap_or(0) < (within * 2).as_nanos().max(30_000_000_000)) {
                    notify.tell("WATCHDOG=1");
                }
            }
        }
    }
    notify.tell("STOPPING=1");
    tracing::info!("stopping");
    server.finish().await.map_err(failed)?;
    tracing::info!("stopped");
    Ok(())
}
