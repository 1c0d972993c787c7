//! Tests of `egress/connector.rs`, through the destination that uses it: what is dialled, and as what a failure counts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward_engine::destination::http::HttpDestination;
use hookward_engine::destination::{InvalidDestination, Report};
use hookward_engine::egress::{Connector, EgressError, EgressPolicy, Resolve, UrlProblem};
use hookward_engine::model::Outcome;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use crate::support::outbound::{AMPLE, BRIEF, NOW, Received, Sample, Server, Standing, Told, nets, spec};

const OK: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

fn policy(allow: &[&str]) -> EgressPolicy {
    let extra_roots_pem = Some(include_bytes!("../tls/root.pem").to_vec());
    EgressPolicy { allow: nets(allow), extra_roots_pem, ..EgressPolicy::default() }
}

fn to(url: &str, policy: &EgressPolicy, deadline: Duration, names: Arc<dyn Resolve>) -> HttpDestination {
    let mut spec = spec(url);
    spec.allow_addresses.clear();
    HttpDestination::new(&spec, deadline, policy, names).unwrap()
}

async fn attempt(destination: &HttpDestination) -> Report {
    destination.attempt(Sample::new("{}").parcel(), &Standing(NOW)).await
}

#[tokio::test]
async fn a_name_is_resolved_and_its_judged_address_dialled() {
    let (server, _requests) = Server::answering(OK).await;
    let names = Told::new(&[&["127.0.0.1"]]);
    let url = format!("http://receiver.test:{}/", server.address.port());
    let destination = to(&url, &policy(&["127.0.0.1/32"]), AMPLE, names.clone());
    assert_eq!(attempt(&destination).await.outcome, Outcome::Success);
    assert_eq!(names.asked(), ["receiver.test"], "one lookup for one connection");
}

#[tokio::test]
async fn a_name_with_a_forbidden_address_is_refused_wherever_it_stands() {
    let canary = Server::start(|_, _| async {}).await;
    let port = canary.address.port();
    for answer in [&["127.0.0.1"][..], &["127.0.0.2", "127.0.0.1"], &["127.0.0.1", "127.0.0.2"], &["127.0.0.2", "::1"]]
    {
        let url = format!("http://receiver.test:{port}/");
        let destination = to(&url, &policy(&["127.0.0.2/32"]), AMPLE, Told::new(&[answer]));
        let report = attempt(&destination).await;
        assert_eq!(report.outcome, Outcome::Blocked, "{answer:?}");
        assert!(report.detail.starts_with("`receiver.test` is refused: the address "), "{}", report.detail);
        assert!(report.detail.ends_with(" is not permitted: loopback"), "{}", report.detail);
        assert!(report.excerpt.is_empty());
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn a_name_that_moves_to_a_forbidden_address_is_refused_at_the_next_connection() {
    let (server, _requests) = Server::answering(OK).await;
    let url = format!("http://receiver.test:{}/", server.address.port());
    let names = Told::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let destination = to(&url, &policy(&["127.0.0.1/32"]), AMPLE, names);
    assert_eq!(attempt(&destination).await.outcome, Outcome::Success);
    assert_eq!(attempt(&destination).await.outcome, Outcome::Blocked);
}

#[tokio::test]
async fn the_blocked_and_the_unreachable_look_alike_open_or_closed() {
    let open = Server::start(|_, _| async {}).await;
    let closed = Server::start(|_, _| async {}).await.address.port();
    let mut details = Vec::new();
    for port in [open.address.port(), closed] {
        let url = format!("http://receiver.test:{port}/");
        let destination = to(&url, &policy(&[]), AMPLE, Told::new(&[&["127.0.0.1"]]));
        details.push(Report { exchange: None, ..attempt(&destination).await });
    }
    assert_eq!(details[0], details[1]);
    assert_eq!(open.connections(), 0);
}

#[tokio::test]
async fn an_address_literal_passes_the_same_judge() {
    let canary = Server::start(|_, _| async {}).await;
    let port = canary.address.port();
    for host in
        ["127.0.0.1", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "0.0.0.0", "[::]"]
    {
        let url = format!("http://{host}:{port}/");
        let mut refused = spec(&url);
        refused.allow_addresses.clear();
        let result = HttpDestination::new(&refused, AMPLE, &EgressPolicy::default(), Told::new(&[]));
        assert!(matches!(result, Err(InvalidDestination::Blocked(_))), "{url}");
        // The connector does not rely on that.
        let mut connector = Connector::new(&EgressPolicy::default(), &[], AMPLE, Told::new(&[])).unwrap();
        let error = connector.call(url.parse().unwrap()).await.err().unwrap().error;
        assert!(matches!(error, EgressError::Blocked { .. }), "{url}: {error}");
    }
    for host in ["2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1."] {
        let mut connector =
            Connector::new(&policy(&["127.0.0.0/8"]), &[], AMPLE, Told::new(&[&["127.0.0.1"]])).unwrap();
        let error = connector.call(format!("http://{host}:{port}/").parse().unwrap()).await.err().unwrap().error;
        assert_eq!(error.outcome(), Outcome::Dns, "{host}: {error}");
    }
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn only_web_ports_are_for_everybody() {
    let refused = |url: &str, allow: &[&str]| {
        let mut spec = spec(url);
        spec.allow_addresses = nets(allow);
        HttpDestination::new(&spec, AMPLE, &EgressPolicy::default(), Told::new(&[])).err()
    };
    for port in [1, 22, 25, 79, 81, 442, 444, 1023] {
        let literal = refused(&format!("http://93.184.216.34:{port}/"), &[]);
        assert!(matches!(literal, Some(InvalidDestination::Blocked(_))), "{port}");
        let name = refused(&format!("http://example.com:{port}/"), &[]);
        assert_eq!(name, Some(InvalidDestination::Url(UrlProblem::NotWebPort)), "{port}");
        assert_eq!(refused(&format!("http://10.0.0.1:{port}/"), &["10.0.0.0/8"]), None, "{port}");
    }
    for port in [80, 443, 1024, 65535] {
        assert_eq!(refused(&format!("http://93.184.216.34:{port}/"), &[]), None, "{port}");
        assert_eq!(refused(&format!("http://example.com:{port}/"), &[]), None, "{port}");
    }
    let destination = to("http://example.com:25/", &policy(&["10.0.0.0/8"]), AMPLE, Told::new(&[&["93.184.216.34"]]));
    assert_eq!(attempt(&destination).await.outcome, Outcome::Blocked);
}

#[tokio::test]
async fn a_local_search_list_never_completes_a_name() {
    for url in ["http://localhost/", "http://localhost./", "http://metadata/"] {
        let mut refused = spec(url);
        refused.allow_addresses.clear();
        let result = HttpDestination::new(&refused, AMPLE, &EgressPolicy::default(), Told::new(&[]));
        assert_eq!(result.err(), Some(InvalidDestination::Url(UrlProblem::SingleLabel)), "{url}");
        assert!(HttpDestination::new(&spec(url), AMPLE, &EgressPolicy::default(), Told::new(&[])).is_ok(), "{url}");
    }
    let names = Told::new(&[&["127.0.0.1"]]);
    let destination = to("http://metadata.internal/", &policy(&[]), AMPLE, names.clone());
    attempt(&destination).await;
    assert_eq!(names.asked(), ["metadata.internal."]);
}

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_failure() {
    let destination = to("http://receiver.test/", &policy(&[]), AMPLE, Told::new(&[]));
    let report = attempt(&destination).await;
    assert_eq!(report.outcome, Outcome::Dns);
    assert_eq!(report.detail, "`receiver.test` did not resolve: no such name");
    let destination = to("http://receiver.test/", &policy(&[]), AMPLE, Told::new(&[&[]]));
    assert_eq!(attempt(&destination).await.outcome, Outcome::Dns);
}

#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl Resolve for Silent {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<std::net::IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_silent_resolver_is_a_dns_failure_before_the_deadline() {
    let report = attempt(&to("http://receiver.test/", &policy(&[]), BRIEF, Arc::new(Silent))).await;
    assert_eq!((report.outcome, report.detail.contains("no answer within")), (Outcome::Dns, true), "{}", report.detail);
}

#[tokio::test]
async fn every_family_is_tried_and_none_left_is_a_connect_failure() {
    let (server, _requests) = Server::answering(OK).await;
    let url = format!("http://receiver.test:{}/", server.address.port());
    let allow = policy(&["127.0.0.0/8", "::1/128"]);
    // Nobody listens on the others.
    let names = Told::new(&[&["::1", "127.0.0.2", "127.0.0.3", "127.0.0.1"]]);
    assert_eq!(attempt(&to(&url, &allow, AMPLE, names)).await.outcome, Outcome::Success);
    let names = Told::new(&[&["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.1"]]);
    let report = attempt(&to(&url, &allow, AMPLE, names)).await;
    assert_eq!(report.outcome, Outcome::Connect, "only four addresses are tried");
    assert!(report.detail.starts_with("no connection to `receiver.test`: "), "{}", report.detail);
}

/// The server's side of TLS with this certificate, for `receiver.test`.
pub(crate) fn acceptor(chain: &'static [u8]) -> TlsAcceptor {
    let certificates = CertificateDer::pem_slice_iter(chain).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tls/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn tls_server(chain: &'static [u8]) -> Server {
    let acceptor = acceptor(chain);
    Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            if Received::read(&mut stream).await.is_some() {
                stream.write_all(OK.as_bytes()).await.unwrap();
                let _ = stream.shutdown().await;
            }
        }
    })
    .await
}

/// A server that speaks HTTP where TLS is expected.
async fn plain_server() -> Server {
    Server::start(|mut stream, _| async move { stream.write_all(OK.as_bytes()).await.unwrap() }).await
}

async fn over_tls(server: &Server, host: &str, policy: &EgressPolicy) -> Report {
    let url = format!("https://{host}:{}/", server.address.port());
    attempt(&to(&url, policy, AMPLE, Told::new(&[&["127.0.0.1"]]))).await
}

#[tokio::test]
async fn tls_is_checked_and_never_done_without() {
    let trusting = policy(&["127.0.0.0/8"]);
    let server = tls_server(include_bytes!("../tls/server.pem")).await;
    let report = over_tls(&server, "receiver.test", &trusting).await;
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    let wrong_host = over_tls(&server, "other.test", &trusting).await;
    let public_roots_only = EgressPolicy { extra_roots_pem: None, ..trusting.clone() };
    let untrusted = over_tls(&server, "receiver.test", &public_roots_only).await;
    let expired = over_tls(&tls_server(include_bytes!("../tls/expired.pem")).await, "receiver.test", &trusting).await;
    let plain = over_tls(&plain_server().await, "receiver.test", &trusting).await;
    for (report, reason) in [(wrong_host, "not valid for name"), (untrusted, "UnknownIssuer"), (expired, "expired")] {
        assert_eq!(report.outcome, Outcome::Tls, "{}", report.detail);
        assert!(report.detail.starts_with("no TLS session: "), "{}", report.detail);
        assert!(report.detail.contains(reason), "{}", report.detail);
    }
    assert_eq!(plain.outcome, Outcome::Tls, "{}", plain.detail);
    let self_signed = tls_server(include_bytes!("../tls/self-signed.pem")).await;
    let report = over_tls(&self_signed, "receiver.test", &trusting).await;
    assert_eq!((report.outcome, report.detail.contains("UnknownIssuer")), (Outcome::Tls, true), "{}", report.detail);
}

#[tokio::test]
async fn an_old_version_of_tls_is_none() {
    let server = Server::start(|mut stream, _| async move {
        let mut head = [0; 5];
        stream.read_exact(&mut head).await.unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut hello).await.unwrap();
        // A hello of TLS 1.0, which picks a cipher of its time.
        let answer = [&[22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
        stream.write_all(&answer).await.unwrap();
        while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
    });
    let report = over_tls(&server.await, "receiver.test", &policy(&["127.0.0.0/8"])).await;
    assert_eq!(report.outcome, Outcome::Tls, "{}", report.detail);
}

#[tokio::test]
async fn the_gateway_itself_is_never_dialled_whatever_is_allowed() {
    let own = Server::start(|_, _| async {}).await;
    let (other, _requests) = Server::answering(OK).await;
    let port = own.address.port();
    let policy = policy(&["0.0.0.0/0", "::/0"]);
    let before = to(&format!("http://127.0.0.1:{port}/"), &policy, AMPLE, Told::new(&[]));
    policy.own.tell(vec![own.address]);
    // Neither what was declared before the listeners stood, nor a name, nor another form of the address.
    let report = attempt(&before).await;
    assert_eq!(report.outcome, Outcome::Blocked);
    assert!(report.detail.ends_with("is not permitted: this gateway itself listens there"), "{}", report.detail);
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0"] {
        let names = Told::new(&[&[address]]);
        let named = to(&format!("http://receiver.test:{port}/"), &policy, AMPLE, names);
        assert_eq!(attempt(&named).await.outcome, Outcome::Blocked, "{address}");
    }
    let mut refused = spec(&own.url());
    refused.allow_addresses = nets(&["127.0.0.1/32"]);
    let result = HttpDestination::new(&refused, AMPLE, &policy, Told::new(&[]));
    assert!(matches!(result, Err(InvalidDestination::Blocked(_))), "{result:?}");
    assert_eq!(own.connections(), 0);
    // What else listens here is another's affair.
    let neighbour = to(&other.url(), &policy, AMPLE, Told::new(&[]));
    assert_eq!(attempt(&neighbour).await.outcome, Outcome::Success);
}

#[tokio::test]
async fn a_handshake_that_stalls_ends_at_the_deadline() {
    let server = Server::start(|stream, _| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    });
    let server = server.await;
    let url = format!("https://receiver.test:{}/", server.address.port());
    let destination = to(&url, &policy(&["127.0.0.0/8"]), BRIEF, Told::new(&[&["127.0.0.1"]]));
    assert_eq!(attempt(&destination).await.outcome, Outcome::Timeout);
}

#[test]
fn extra_roots_have_to_be_certificates() {
    for pem in [&b""[..], b"not a certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let policy = EgressPolicy { extra_roots_pem: Some(pem.to_vec()), ..EgressPolicy::default() };
        let result = Connector::new(&policy, &[], AMPLE, Told::new(&[]));
        assert!(matches!(result, Err(InvalidDestination::Roots(_))), "{:?}", Bytes::from_static(pem));
    }
}
