//! Who may do what: sensors ingest, readers read.
//!
//! A role that has a token file or a certificate authority asks for one of the two; a role that has neither is open (which
//! [`crate::config::Settings::check`] allows only where no other host can reach it). Tokens are kept as SHA-256 and compared in
//! constant time; certificates are checked against the role's own authority, beyond the check of the handshake, which takes
//! both.
//!
//! Invariant: no request reaches a service before its role was checked.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll};

use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use subtle::ConstantTimeEq as _;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::transport::server::TlsConnectInfo;

use super::listen::Remote;
use super::refusals::{Reason, Refusals};
use crate::config::SecuritySettings;

/// What someone may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// Ingest.
    Sensor,
    /// Subscribe and query.
    Reader,
}

/// Credentials that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A token file without a token.
    #[error("{0} has no token in it")]
    NoToken(PathBuf),
    /// A token that can be guessed.
    #[error("{0} has a token of less than 16 bytes")]
    ShortToken(PathBuf),
    /// A file of certificates that cannot be used.
    #[error("cannot use the certificates in {path}: {reason}")]
    Certificates {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What one role asks for.
#[derive(Default)]
struct Requirement {
    tokens: Vec<[u8; 32]>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// What both roles ask for.
#[derive(Default)]
pub struct Credentials {
    sensor: Requirement,
    reader: Requirement,
}

impl Requirement {
    fn read(tokens: Option<&PathBuf>, ca: Option<&PathBuf>) -> Result<Self, CredentialsError> {
        let tokens = tokens.map(|path| read_tokens(path)).transpose()?.unwrap_or_default();
        let verifier = ca.map(|path| read_verifier(path)).transpose()?;
        Ok(Self { tokens, verifier })
    }

    fn is_open(&self) -> bool {
        self.tokens.is_empty() && self.verifier.is_none()
    }

    fn accepts(&self, token: Option<&[u8]>, certificates: Option<&[CertificateDer<'static>]>) -> bool {
        if let Some(token) = token {
            let hash = digest(&SHA256, token);
            // All are compared, so that the time tells nothing.
            let found = self.tokens.iter().fold(0, |found, known| found | known.ct_eq(hash.as_ref()).unwrap_u8());
            if found == 1 {
                return true;
            }
        }
        if let (Some(verifier), Some([own, others @ ..])) = (&self.verifier, certificates) {
            return verifier.verify_client_cert(own, others, UnixTime::now()).is_ok();
        }
        false
    }
}

impl Credentials {
    /// Reads the files of `settings`.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn read(settings: &SecuritySettings) -> Result<Self, CredentialsError> {
        Ok(Self {
            sensor: Requirement::read(settings.sensor_token_file.as_ref(), settings.sensor_ca.as_ref())?,
            reader: Requirement::read(settings.reader_token_file.as_ref(), settings.reader_ca.as_ref())?,
        })
    }

    fn check(
        &self,
        role: Role,
        token: Option<&[u8]>,
        certificates: Option<&[CertificateDer<'static>]>,
    ) -> Result<(), (Reason, &'static str)> {
        let (asked, other) = match role {
            Role::Sensor => (&self.sensor, &self.reader),
            Role::Reader => (&self.reader, &self.sensor),
        };
        if asked.is_open() || asked.accepts(token, certificates) {
            return Ok(());
        }
        if !other.is_open() && other.accepts(token, certificates) {
            return Err((
                Reason::WrongRole,
                match role {
                    Role::Sensor => "these are credentials of a reader, not of a sensor",
                    Role::Reader => "these are credentials of a sensor, not of a reader",
                },
            ));
        }
        Err((
            Reason::Unauthenticated,
            match (token, certificates) {
                (None, None) => "credentials are needed: a token (`authorization: Bearer ...`) or a client certificate",
                _ => "the credentials are not known",
            },
        ))
    }
}

fn read_tokens(path: &Path) -> Result<Vec<[u8; 32]>, CredentialsError> {
    const LEAST: usize = 16;
    let text = std::fs::read_to_string(path).map_err(|source| CredentialsError::Read { path: path.to_owned(), source })?;
    let mut tokens = Vec::new();
    for token in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if token.len() < LEAST {
            return Err(CredentialsError::ShortToken(path.to_owned()));
        }
        tokens.extend(<[u8; 32]>::try_from(digest(&SHA256, token.as_bytes()).as_ref()));
    }
    if tokens.is_empty() { Err(CredentialsError::NoToken(path.to_owned())) } else { Ok(tokens) }
}

fn read_verifier(path: &Path) -> Result<Arc<dyn ClientCertVerifier>, CredentialsError> {
    let unusable = |reason: String| CredentialsError::Certificates { path: path.to_owned(), reason };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map(|verifier| verifier as Arc<dyn ClientCertVerifier>).map_err(|error| unusable(error.to_string()))
}

/// Lets requests of one role through to a service.
#[derive(Clone)]
pub struct Guard<S> {
    inner: S,
    role: Role,
    credentials: Arc<Credentials>,
    refusals: Arc<Refusals>,
}

impl<S> Guard<S> {
    /// Before `inner`.
    pub const fn new(inner: S, role: Role, credentials: Arc<Credentials>, refusals: Arc<Refusals>) -> Self {
        Self { inner, role, credentials, refusals }
    }
}

impl<S: NamedService> NamedService for Guard<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Guard<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let certificates = request.extensions().get::<TlsConnectInfo<Remote>>().and_then(TlsConnectInfo::peer_certs);
        let token = request.headers().get(http::header::AUTHORIZATION).map(http::HeaderValue::as_bytes).and_then(bearer);
        match self.credentials.check(self.role, token, certificates.as_ref().map(|certificates| certificates.as_slice())) {
            Ok(()) => {
                let who = Who(describe(&request, certificates.as_deref().map(Vec::as_slice)));
                request.extensions_mut().insert(who);
                Box::pin(self.inner.call(request))
            }
            Err((reason, message)) => {
                let status = self.refusals.refuse(reason, message);
                Box::pin(async move { Ok(status.into_http()) })
            }
        }
    }
}

/// Who makes a request, in words.
#[derive(Clone, Debug)]
pub struct Who(pub String);

fn describe(request: &http::Request<Body>, certificates: Option<&[CertificateDer<'static>]>) -> String {
    let extensions = request.extensions();
    let remote = extensions.get::<Remote>().or_else(|| extensions.get::<TlsConnectInfo<Remote>>().map(TlsConnectInfo::get_ref));
    let mut words = remote.map_or_else(String::new, |remote| remote.address.to_string());
    if let Some(own) = certificates.and_then(<[_]>::first) {
        let hash = digest(&SHA256, own);
        let hex: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        words.push_str(&format!(", certificate {hex}"));
    }
    words
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}
