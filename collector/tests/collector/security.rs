//! Encryption and credentials.

use std::path::{Path, PathBuf};
use std::time::Duration;

use collector::config::{Address, SecuritySettings, Settings};
use collector::serve::{ServeError, Server};
use mcp_sensor_proto::v1::ListSensorsRequest;
use mcp_sensor_proto::v1::collector_service_client::CollectorServiceClient;
use mcp_sensor_proto::v1::connect_request::Frame;
use mcp_sensor_proto::v1::ingest_service_client::IngestServiceClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::AsyncReadExt as _;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Request, Status};

use crate::support::*;

const SENSOR_TOKEN: &str = "sensor-token-0123456789";
const READER_TOKEN: &str = "reader-token-0123456789";

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn issuer() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate and its key, PEM.
fn certificate(issuer: &Issuer) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

fn write(directory: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    Some(path)
}

/// Asks for `Hello`'s answer.
async fn ingest(channel: &Channel, token: Option<&str>) -> Result<(), Status> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    sender.send(frame(Frame::Hello(hello(1)))).await.unwrap();
    let mut request = Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    authorize(&mut request, token);
    let mut answers = IngestServiceClient::new(channel.clone()).connect(request).await?.into_inner();
    answers.message().await.map(|answer| assert!(answer.is_some()))
}

async fn read(channel: &Channel, token: Option<&str>) -> Result<(), Status> {
    let mut request = Request::new(ListSensorsRequest {});
    authorize(&mut request, token);
    CollectorServiceClient::new(channel.clone()).list_sensors(request).await.map(|_| ())
}

fn authorize<T>(request: &mut Request<T>, token: Option<&str>) {
    if let Some(token) = token {
        let value: MetadataValue<Ascii> = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
}

fn code(result: Result<(), Status>) -> Code {
    result.err().map_or(Code::Ok, |status| status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_asks_for_its_own_token() {
    let directory = tempfile::tempdir().unwrap();
    let security = SecuritySettings {
        sensor_token_file: write(directory.path(), "sensors", &format!("# two\nanother-sensor-token-1\n{SENSOR_TOKEN}\n")),
        reader_token_file: write(directory.path(), "readers", READER_TOKEN),
        ..SecuritySettings::default()
    };
    let running = start_with(|settings| settings.security = security).await;
    let channel = &running.channel;
    assert_eq!(code(ingest(channel, Some(SENSOR_TOKEN)).await), Code::Ok);
    assert_eq!(code(read(channel, Some(READER_TOKEN)).await), Code::Ok);
    assert_eq!(code(ingest(channel, None).await), Code::Unauthenticated);
    assert_eq!(code(ingest(channel, Some("wrong-token-0123456789")).await), Code::Unauthenticated);
    assert_eq!(code(ingest(channel, Some(READER_TOKEN)).await), Code::PermissionDenied);
    assert_eq!(code(read(channel, None).await), Code::Unauthenticated);
    assert_eq!(code(read(channel, Some(SENSOR_TOKEN)).await), Code::PermissionDenied);
    let mut request = Request::new(ListSensorsRequest {});
    authorize(&mut request, Some(READER_TOKEN));
    let listed = CollectorServiceClient::new(channel.clone()).list_sensors(request).await.unwrap().into_inner();
    let refused = listed.collector.unwrap().refused;
    assert_eq!(refused.get("no credentials, or unknown ones"), Some(&3));
    assert_eq!(refused.get("credentials of the other role"), Some(&2));
    // Health asks for nothing.
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    let status = health.check(tonic_health::pb::HealthCheckRequest { service: String::new() }).await.unwrap().into_inner().status;
    assert_eq!(status, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_certificate_or_a_token_of_the_role_lets_in() {
    let directory = tempfile::tempdir().unwrap();
    let (server_ca, sensor_ca, reader_ca) = (issuer(), issuer(), issuer());
    let (server_certificate, server_key) = certificate(&server_ca);
    let mut settings = settings(directory.path());
    settings.listen = vec!["127.0.0.1:0".parse().unwrap()];
    settings.security = SecuritySettings {
        certificate: write(directory.path(), "server.crt", &server_certificate),
        key: write(directory.path(), "server.key", &server_key),
        sensor_ca: write(directory.path(), "sensor-ca.crt", &sensor_ca.pem()),
        reader_ca: write(directory.path(), "reader-ca.crt", &reader_ca.pem()),
        sensor_token_file: None,
        reader_token_file: write(directory.path(), "readers", READER_TOKEN),
    };
    let server = Server::start(settings).await.unwrap();
    let Address::Tcp(address) = server.addresses()[0].clone() else { panic!("TCP") };
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(server_ca.pem())).domain_name("localhost");
    let connect = |tls: ClientTlsConfig| async move {
        Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap().connect().await
    };
    let with = |issuer: &Issuer| {
        let (certificate, key) = certificate(issuer);
        tls.clone().identity(Identity::from_pem(certificate, key))
    };
    let nobody = connect(tls.clone()).await.unwrap();
    assert_eq!(code(ingest(&nobody, None).await), Code::Unauthenticated);
    assert_eq!(code(read(&nobody, Some(READER_TOKEN)).await), Code::Ok);
    let sensor = connect(with(&sensor_ca)).await.unwrap();
    assert_eq!(code(ingest(&sensor, None).await), Code::Ok);
    assert_eq!(code(read(&sensor, None).await), Code::PermissionDenied);
    let reader = connect(with(&reader_ca)).await.unwrap();
    assert_eq!(code(read(&reader, None).await), Code::Ok);
    assert_eq!(code(ingest(&reader, None).await), Code::PermissionDenied);
    // A certificate of nobody known does not even get through the handshake, or nothing after it.
    let refused = match connect(with(&issuer())).await {
        Ok(stranger) => read(&stranger, None).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
    // Nor does plain text.
    let plain = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await;
    assert!(match plain {
        Ok(plain) => read(&plain, Some(READER_TOKEN)).await.is_err(),
        Err(_) => true,
    });
    drop((nobody, sensor, reader));
    soon(server.finish()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_text_that_others_can_reach_is_refused_unless_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { listen: vec!["0.0.0.0:0".parse().unwrap()], ..settings(directory.path()) };
    assert!(matches!(Server::start(settings.clone()).await, Err(ServeError::Settings(_))));
    let server = Server::start(Settings { insecure: true, ..settings }).await.unwrap();
    soon(server.finish()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded_and_silent_ones_closed() {
    let running = start_with(|settings| {
        settings.limits.connections_per_peer = 3;
        settings.limits.hello = Duration::from_millis(300);
    })
    .await;
    let socket = running.directory.path().join("socket");
    let mut silent = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let mut second = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let mut beyond = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let closed = |result: std::io::Result<usize>| matches!(result, Ok(0) | Err(_));
    // The test's own channel has one place, the first two have the others.
    assert!(closed(soon(beyond.read(&mut [0; 64])).await));
    // What the server says first (its HTTP/2 settings) may come before the end.
    for stream in [&mut silent, &mut second] {
        soon(async { while !closed(stream.read(&mut [0; 1024]).await) {} }).await;
    }
    assert_eq!(running.refused("too many connections of one address").await, 1);
    assert_eq!(running.refused("no Hello in time").await, 2);
}
