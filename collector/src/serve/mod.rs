//! The collector as a server.
//!
//! [`Server::start`] opens the store, listens, and serves; [`Server::finish`] stops taking, stores what was taken, and ends.
//! Tests start one in-process, with port 0 or a Unix socket in a temporary directory.
//!
//! - [`listen`] accepts connections within limits; [`guard`] asks for credentials; [`refusals`] counts what was refused.
//! - [`ingest`], [`collector`] and `summaries` are the services.
//! - [`notify`] tells systemd how it goes.

pub mod collector;
pub mod guard;
pub mod ingest;
pub mod listen;
pub mod notify;
pub mod refusals;
mod summaries;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use self::collector::{Collector, CollectorServer};
use self::guard::{Credentials, CredentialsError, Guard, Role};
use self::ingest::IngestServer;
use self::listen::{Listener, Places};
use self::refusals::Refusals;
use crate::config::{Address, Conflict, Settings};
use crate::ingest::stream::{Ingest, now};
use crate::ingest::{Runs, Sequencer};
use crate::live::Log;
use crate::store::sqlite::{Opened, Writer};
use crate::store::{Queue, Store, StoreError};

/// How long streams may take to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Bytes that a peer may send before they are read, of one stream and of one connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// Bytes of a request's headers.
const HEADERS: u32 = 16 * 1024;

/// How often a silent connection is asked whether it lives, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// The services whose health is told.
pub const SERVICES: [&str; 2] = [<IngestServer as NamedService>::NAME, <CollectorServer as NamedService>::NAME];

/// How often the store is looked at for the services' health.
const LOOK: Duration = Duration::from_secs(2);

/// Why the collector cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings do not go together.
    #[error(transparent)]
    Settings(#[from] Conflict),
    /// Credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The store cannot be used.
    #[error("the store cannot be used: {0}")]
    Store(#[from] StoreError),
    /// An address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: Address,
        /// Why.
        source: std::io::Error,
    },
    /// The server's certificate cannot be read.
    #[error("cannot read {path}: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The network layer says no.
    #[error("cannot serve: {0}")]
    Transport(#[from] tonic::transport::Error),
    /// The descriptors for reflection are broken.
    #[error("cannot offer reflection: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A running collector.
#[derive(Debug)]
pub struct Server {
    addresses: Vec<Address>,
    store: Store,
    stop: CancellationToken,
    /// The ingest streams.
    streams: TaskTracker,
    listeners: JoinSet<Result<(), tonic::transport::Error>>,
    writer: Writer,
    health: tonic_health::server::HealthReporter,
}

impl Server {
    /// Opens the store and begins to serve.
    ///
    /// # Errors
    /// The settings are dangerous or do not go together, a file cannot be used, an address cannot be had, or the store is in
    /// use. A damaged store is none: it is set aside.
    pub async fn start(settings: Settings) -> Result<Self, ServeError> {
        for danger in settings.check()? {
            tracing::warn!("insecure: {danger}");
        }
        // Another library of the process may have chosen already; both are well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let credentials = Arc::new(Credentials::read(&settings.security)?);
        let tls = tls(&settings)?;
        let limits = settings.limits.clone();

        let mut listeners = Vec::new();
        for address in &settings.listen {
            listeners.push(Listener::bind(address).map_err(|source| ServeError::Listen { address: address.clone(), source })?);
        }
        let opened = Opened::open(&settings.store)?;
        let next = opened.next_cursor();
        let store = opened.store();
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let log = Arc::new(Log::new(next - 1, size(limits.live_bytes)));
        let queue = Arc::new(Queue::new(size(limits.queue_bytes)));
        let writer = opened.start(&settings.store, Arc::clone(&queue), Arc::clone(&log))?;

        let refusals = Arc::new(Refusals::default());
        let (stop, streams) = (CancellationToken::new(), TaskTracker::new());
        let ingest = Arc::new(Ingest {
            sequencer: Sequencer::new(next, Arc::clone(&log), Arc::clone(&queue)),
            runs: Runs::default(),
            store: store.clone(),
            queue,
            limits: limits.clone(),
            refusals: Arc::clone(&refusals),
            connected: Arc::new(AtomicU32::new(0)),
            stop: stop.clone(),
            tasks: streams.clone(),
        });
        let collector = Arc::new(Collector {
            log,
            store: store.clone(),
            ingest: Arc::clone(&ingest),
            refusals: Arc::clone(&refusals),
            subscribers: Arc::new(AtomicU32::new(0)),
            started: now(),
            stop: stop.clone(),
        });
        let (health, health_server) = tonic_health::server::health_reporter();
        tell_health(&health, true).await;
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(mcp_sensor_proto::DESCRIPTOR)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()?;
        let mut routes = Routes::builder();
        let guard = |role| (role, Arc::clone(&credentials), Arc::clone(&refusals));
        let (role, of, count) = guard(Role::Sensor);
        routes.add_service(Guard::new(IngestServer(ingest), role, of, count));
        let (role, of, count) = guard(Role::Reader);
        routes.add_service(Guard::new(CollectorServer::new(collector), role, of, count));
        let (role, of, count) = guard(Role::Reader);
        routes.add_service(Guard::new(reflection, role, of, count));
        routes.add_service(health_server);
        let routes = routes.routes();

        let places = Arc::new(Places::new(limits.clone(), refusals));
        let (mut tasks, mut addresses) = (JoinSet::new(), Vec::new());
        for (listener, asked) in listeners.into_iter().zip(&settings.listen) {
            let address = listener.address().map_err(|source| ServeError::Listen { address: asked.clone(), source })?;
            tracing::info!(%address, tls = tls.is_some() && matches!(address, Address::Tcp(_)), "listening");
            let mut server = tonic::transport::Server::builder()
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_concurrent_streams(limits.streams_per_connection)
                .http2_max_header_list_size(HEADERS)
                .http2_keepalive_interval(Some(KEEPALIVE))
                .http2_keepalive_timeout(Some(KEEPALIVE));
            if let (Some(tls), Address::Tcp(_)) = (&tls, &address) {
                server = server.tls_config(tls.clone().timeout(limits.hello))?;
            }
            addresses.push(address);
            let serving = server.add_routes(routes.clone());
            let incoming = listener.incoming(Arc::clone(&places));
            let stopping = stop.clone().cancelled_owned();
            tasks.spawn(async move { serving.serve_with_incoming_shutdown(incoming, stopping).await });
        }
        tokio::spawn(watch_store(health.clone(), store.clone(), stop.clone()));
        Ok(Self { addresses, store, stop, streams, listeners: tasks, writer, health })
    }

    /// Where it listens, with the ports that it was given.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The store, for looking at.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Stops taking, ends all streams with UNAVAILABLE, stores what was taken, closes the store.
    ///
    /// # Errors
    /// Something that was taken cannot be stored. It was not acknowledged.
    pub async fn finish(self) -> Result<(), ServeError> {
        let Self { stop, streams, mut listeners, writer, health, .. } = self;
        stop.cancel();
        tell_health(&health, false).await;
        streams.close();
        let ended = async {
            streams.wait().await;
            while listeners.join_next().await.is_some() {}
        };
        if tokio::time::timeout(FAREWELL, ended).await.is_err() {
            tracing::warn!("some connections did not end; cutting them off");
            listeners.shutdown().await;
        }
        let finished = tokio::task::spawn_blocking(|| writer.finish()).await;
        finished.unwrap_or(Err(StoreError::Closed))?;
        Ok(())
    }
}

/// Tells the health of all services.
async fn tell_health(health: &tonic_health::server::HealthReporter, is_well: bool) {
    let status = if is_well { tonic_health::ServingStatus::Serving } else { tonic_health::ServingStatus::NotServing };
    for service in SERVICES.into_iter().chain([""]) {
        health.set_service_status(service, status).await;
    }
}

/// A store that hangs makes the services unhealthy.
async fn watch_store(health: tonic_health::server::HealthReporter, store: Store, stop: CancellationToken) {
    let mut was_well = true;
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let is_well = store.is_alive();
        if is_well != was_well {
            tell_health(&health, is_well).await;
            was_well = is_well;
        }
    }
}

fn tls(settings: &Settings) -> Result<Option<ServerTlsConfig>, ServeError> {
    let security = &settings.security;
    let (Some(certificate), Some(key)) = (&security.certificate, &security.key) else { return Ok(None) };
    let read = |path: &PathBuf| std::fs::read(path).map_err(|source| ServeError::Certificate { path: path.clone(), source });
    let mut config = ServerTlsConfig::new().identity(Identity::from_pem(read(certificate)?, read(key)?));
    let mut authorities = Vec::new();
    for path in [&security.sensor_ca, &security.reader_ca].into_iter().flatten() {
        authorities.extend(read(path)?);
        authorities.push(b'\n');
    }
    if !authorities.is_empty() {
        // Which role asks for what is the guard's matter: a token may stand in for a certificate, and health asks for nothing.
        config = config.client_ca_root(Certificate::from_pem(authorities)).client_auth_optional(true);
    }
    Ok(Some(config))
}
