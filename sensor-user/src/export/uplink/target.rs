//! The collector as the operator named it, and the way there.
//!
//! Invariant: certificates, keys and the token are read anew for each connection, so that renewed ones are used without a
//! restart; none of them is ever shown.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::address::Address;

/// How long the way to the collector may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection on which nothing comes for so long is asked whether it is still there,
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// and is given up where it does not answer for so long.
const KEEP_ALIVE_ANSWER: Duration = Duration::from_secs(10);
/// The longest file with a certificate, key or token.
const MAX_FILE: u64 = 1 << 20;

/// A collector, and what it takes to be let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// Where it is.
    pub address: Address,
    /// Certificates to trust, PEM. The system's where absent.
    pub ca_file: Option<PathBuf>,
    /// The sensor's own certificate and key, PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the collector's certificate, where it is not the address's host.
    pub server_name: Option<String>,
    /// Holds the bearer token.
    pub token_file: Option<PathBuf>,
}

/// Why there is no way to the collector.
#[derive(Debug, Error)]
pub enum TargetError {
    /// A file could not be read.
    #[error("reading {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A token that cannot be sent.
    #[error("the token in {0} is empty or has characters that a token cannot have")]
    Token(PathBuf),
    /// It could not be reached, or is not who it should be.
    #[error("{}", chain(.0))]
    Transport(#[from] tonic::transport::Error),
}

impl Target {
    /// Opens the way. The authorization is what every request must carry.
    pub(super) async fn open(&self) -> Result<(Channel, Option<MetadataValue<Ascii>>), TargetError> {
        let token = self.token_file.as_deref().map(token).transpose()?;
        let mut endpoint = Endpoint::from_shared(self.address.to_string())?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_ANSWER)
            .keep_alive_while_idle(true)
            .user_agent(concat!("mcp-sensor/", env!("CARGO_PKG_VERSION")))?;
        if self.address.is_encrypted() {
            endpoint = endpoint.tls_config(self.tls()?)?;
        }
        Ok((endpoint.connect().await?, token))
    }

    fn tls(&self) -> Result<ClientTlsConfig, TargetError> {
        let mut config = match &self.ca_file {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(path)?)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let Some((certificate, key)) = &self.identity {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        if let Some(name) = &self.server_name {
            config = config.domain_name(name);
        }
        Ok(config.timeout(CONNECT))
    }
}

fn token(path: &Path) -> Result<MetadataValue<Ascii>, TargetError> {
    let text = read(path)?;
    let refused = || TargetError::Token(path.to_owned());
    let token = std::str::from_utf8(&text).map_err(|_| refused())?.trim();
    if token.is_empty() {
        return Err(refused());
    }
    let mut value = MetadataValue::try_from(format!("Bearer {token}")).map_err(|_| refused())?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(path: &Path) -> Result<Vec<u8>, TargetError> {
    let read = || {
        use io::Read as _;
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| TargetError::File { path: path.to_owned(), source })
}

/// An error with its causes: the transport's own text says only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
