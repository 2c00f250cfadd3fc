//! TLS and tokens.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use super::*;

/// An authority and what it has signed, in files.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), issuer }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn server(&self, name: &str) -> ServerTlsConfig {
        let (certificate, key) = self.issue(name);
        ServerTlsConfig::new().identity(Identity::from_pem(certificate, key))
    }
}

fn https(port: u16, ca: PathBuf, server_name: Option<&str>) -> Target {
    Target {
        address: Address::Tcp { tls: true, host: "127.0.0.1".to_owned(), port },
        ca_file: Some(ca),
        identity: None,
        server_name: server_name.map(ToOwned::to_owned),
        token_file: None,
    }
}

/// True where three events come through in good time.
fn delivers(target: Target, deadline: Duration) -> bool {
    let (uplink, mut exporter) = Uplink::start(settings(target)).unwrap();
    give(&mut exporter, 1..=3);
    uplink.finish(Instant::now() + deadline).acknowledged.events == 3
}

const REFUSED: Duration = Duration::from_millis(500);

#[test]
fn the_collector_must_be_who_it_should_be() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem", &authority.pem());
    let (fake, port) = Fake::start_tls(&[SERVE], authority.server("collector.example"));
    assert!(delivers(https(port, ca.clone(), Some("collector.example")), PATIENCE));
    assert!(!delivers(https(port, ca.clone(), Some("other.example")), REFUSED), "another name");
    assert!(!delivers(https(port, ca, None), REFUSED), "the name of the address");
    let stranger = Authority::new();
    let ca = stranger.file("ca.pem", &stranger.pem());
    assert!(!delivers(https(port, ca, Some("collector.example")), REFUSED), "another authority");
    let plain = Target {
        address: Address::Tcp { tls: false, host: "127.0.0.1".to_owned(), port },
        ca_file: None,
        ..https(port, PathBuf::new(), None)
    };
    assert!(!delivers(plain, REFUSED), "no TLS");
    assert_eq!(fake.seen.with(|seen| seen.connections), 1);
}

#[test]
fn the_sensor_shows_its_certificate() {
    let authority = Authority::new();
    let ca = authority.file("ca.pem", &authority.pem());
    let tls = authority.server("127.0.0.1").client_ca_root(Certificate::from_pem(authority.pem()));
    let (_fake, port) = Fake::start_tls(&[SERVE], tls);
    assert!(!delivers(https(port, ca.clone(), None), REFUSED));
    let (certificate, key) = authority.issue("node-1");
    let identity = Some((authority.file("sensor.pem", &certificate), authority.file("sensor.key", &key)));
    assert!(delivers(Target { identity, ..https(port, ca, None) }, PATIENCE));
}

#[test]
fn the_token_is_read_anew_for_each_connection() {
    let bench = Bench::new();
    let file = bench.folder.path().join("token");
    std::fs::write(&file, "wrong\n").unwrap();
    let fake = Fake::start(&bench.path(), &[Act::Token("right")]);
    let target = Target { token_file: Some(file.clone()), ..at(&bench.path()) };
    let (uplink, mut exporter) = Uplink::start(settings(target)).unwrap();
    give(&mut exporter, 1..=3);
    fake.seen.until("it was refused", |seen| seen.connections > 2);
    assert_eq!(fake.seen.with(|seen| seen.came.len()), 0);
    std::fs::write(&file, "right\n").unwrap();
    assert_eq!(uplink.finish(soon()).acknowledged.events, 3);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let open = |target: Target| runtime.block_on(async move { target.open().await.err().unwrap().to_string() });
    let missing = folder.path().join("missing");
    let told = open(Target { token_file: Some(missing.clone()), ..at(&missing) });
    assert!(told.contains("missing: No such file"), "{told}");
    let token = folder.path().join("token");
    std::fs::write(&token, "se\ncret").unwrap();
    let told = open(Target { token_file: Some(token), ..at(&missing) });
    assert!(told.contains("token") && !told.contains("cret"), "{told}");
    let told = open(at(&missing));
    assert!(told.contains("No such file"), "{told}");
}
