//! The way to a running collector.
//!
//! The same rules as for serving: without encryption only on this host, unless it is asked for by name.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use mcp_sensor_proto::v1::collector_service_client::CollectorServiceClient;
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Uri};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::args::Connection;
use super::failure::{Exit, Failure, of_status};
use crate::serve::SERVICES;

/// Bytes of one answer at most: a page, or one event of the biggest size that can be configured.
const ANSWER: usize = 96 * 1024 * 1024;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a question for its health may take.
const HEALTH: Duration = Duration::from_secs(4);

/// How often a silent connection is asked whether it lives, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// A client with its credentials.
pub(super) type Client = CollectorServiceClient<InterceptedService<Channel, Bearer>>;

/// Adds the token to each request.
#[derive(Clone, Debug)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Runs a command until it ends, or Ctrl-C or SIGTERM, which end it well.
pub(super) fn block_on(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, "cannot start").because(error))?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
            .map_err(|error| Failure::new(Exit::Failed, "cannot wait for signals").because(error))?;
        tokio::select! {
            result = command => result,
            _ = tokio::signal::ctrl_c() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    })
}

/// Connects.
pub(super) async fn connect(connection: &Connection) -> Result<Client, Failure> {
    let token = connection.token_file.as_deref().map(read_token).transpose()?;
    let channel = channel(connection).await?;
    Ok(CollectorServiceClient::with_interceptor(channel, Bearer(token)).max_decoding_message_size(ANSWER))
}

/// Asks the collector whether it takes and serves events. It asks for no credentials for that.
pub(super) async fn health(connection: &Connection) -> Result<(), Failure> {
    let asking = async {
        let mut client = HealthClient::new(channel(connection).await?);
        for service in SERVICES {
            let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await;
            let status = answer.map_err(|status| of_status("ask for its health", &status))?.into_inner().status();
            if status != ServingStatus::Serving {
                let words = status.as_str_name().to_lowercase().replace('_', " ");
                return Err(Failure::new(Exit::Unreachable, format!("{service} is {words}")).mend("see the collector's log"));
            }
        }
        Ok(())
    };
    let late = |_| Err(Failure::new(Exit::Unreachable, format!("the collector does not answer within {} s", HEALTH.as_secs())));
    tokio::time::timeout(HEALTH, asking).await.unwrap_or_else(late)
}

async fn channel(connection: &Connection) -> Result<Channel, Failure> {
    let Connection { address, token_file: _, ca, client_certificate, client_key, server_name, insecure } = connection;
    let unreachable =
        |error: tonic::transport::Error| Failure::new(Exit::Unreachable, format!("cannot reach the collector at {address}")).because(error);
    let bad_address = || Failure::new(Exit::Usage, format!("`{address}` is no address: HOST:PORT, https://HOST:PORT or unix:PATH"));
    if let Some(path) = address.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        let connector = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The host is never looked up.
        kept_alive(Endpoint::from_static("http://collector.invalid")).connect_with_connector(connector).await.map_err(unreachable)
    } else {
        let (https, authority) = match (address.strip_prefix("https://"), address.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => (ca.is_some() || client_certificate.is_some(), address.as_str()),
        };
        let uri: Uri = format!("{}://{authority}", if https { "https" } else { "http" }).parse().map_err(|_| bad_address())?;
        let host = uri.host().ok_or_else(bad_address)?.trim_matches(['[', ']']).to_owned();
        if !https && !is_loopback(&host) && !insecure {
            return Err(Failure::new(Exit::Usage, format!("{address} is another host and needs encryption"))
                .mend("give https://… or --ca FILE, or --insecure if everyone in between may read and change what is sent"));
        }
        let mut endpoint = kept_alive(Endpoint::from(uri).tcp_nodelay(true).connect_timeout(CONNECT));
        if https {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let mut tls = ClientTlsConfig::new().domain_name(server_name.clone().unwrap_or(host));
            if let Some(ca) = ca {
                tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
            } else {
                return Err(
                    Failure::new(Exit::Usage, "encryption needs to know who signs the collector's certificate").mend("give --ca FILE")
                );
            }
            if let (Some(certificate), Some(key)) = (client_certificate, client_key) {
                tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
            }
            endpoint = endpoint.tls_config(tls).map_err(unreachable)?;
        }
        endpoint.connect().await.map_err(unreachable)
    }
}

/// A connection that is gone without a word is noticed.
fn kept_alive(endpoint: Endpoint) -> Endpoint {
    endpoint.http2_keep_alive_interval(KEEPALIVE).keep_alive_timeout(KEEPALIVE).keep_alive_while_idle(true)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::new(Exit::Failed, format!("cannot read {}", path.display())).because(error))
}

fn read_token(path: &Path) -> Result<MetadataValue<Ascii>, Failure> {
    let text = String::from_utf8(read(path)?).unwrap_or_default();
    let token = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    let value = token.and_then(|token| MetadataValue::try_from(format!("Bearer {token}")).ok());
    let mut value = value.ok_or_else(|| Failure::new(Exit::Failed, format!("{} has no token in it", path.display())))?;
    value.set_sensitive(true);
    Ok(value)
}
