//! Tests of `egress/client_certificate.rs`: what can be shown, that it is shown, and what a receiver's refusal comes to.

use std::sync::Arc;

use hookward_engine::destination::Report;
use hookward_engine::destination::http::HttpDestination;
use hookward_engine::egress::{CertificateProblem, ClientCertificate, EgressPolicy, PEM_MAX, check_certificate};
use hookward_engine::model::Outcome;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use crate::support::outbound::{AMPLE, NOW, Received, Sample, Server, Standing, Told, nets, spec};

const CLIENT: &str = include_str!("../tls/client.pem");
const CLIENT_KEY: &str = include_str!("../tls/client.key");
const STRANGER: &str = include_str!("../tls/stranger.pem");
const STRANGER_KEY: &str = include_str!("../tls/stranger.key");

/// A receiver that takes only clients whose certificates are under the clients' root.
async fn picky(version: &'static rustls::SupportedProtocolVersion) -> Server {
    let pem = |text: &'static [u8]| CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem(include_bytes!("../tls/clients.pem")));
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../tls/server.key")).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(pem(include_bytes!("../tls/server.pem")), key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            while Received::read(&mut stream).await.is_some() {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        }
    })
    .await
}

async fn attempt(server: &Server, certificate: Option<(&str, &str)>) -> Report {
    let certificate = certificate.map(|(pem, key)| ClientCertificate::new(pem, key.as_bytes()).unwrap());
    let policy = EgressPolicy {
        allow: nets(&["127.0.0.0/8"]),
        extra_roots_pem: Some(include_bytes!("../tls/root.pem").to_vec()),
        ..EgressPolicy::default()
    };
    let spec = spec(&format!("https://receiver.test:{}/", server.address.port()));
    let resolver = Told::new(&[&["127.0.0.1"]]);
    let destination = HttpDestination::showing(certificate, &spec, AMPLE, &policy, resolver).unwrap();
    let first = destination.attempt(Sample::new("{}").parcel(), &Standing(NOW)).await;
    if first.outcome == Outcome::Success {
        let second = destination.attempt(Sample::new("{}").parcel(), &Standing(NOW)).await;
        assert_eq!((second.outcome, server.connections()), (Outcome::Success, 1), "the connection is kept");
    }
    first
}

#[tokio::test]
async fn the_certificate_is_shown_and_a_refusal_is_one_of_tls() {
    for version in [&TLS12, &TLS13] {
        let report = attempt(&picky(version).await, Some((CLIENT, CLIENT_KEY))).await;
        assert_eq!(report.outcome, Outcome::Success, "{version:?}: {}", report.detail);
        for refused in [None, Some((STRANGER, STRANGER_KEY))] {
            let report = attempt(&picky(version).await, refused).await;
            assert_eq!(report.outcome, Outcome::Tls, "{version:?}, {refused:?}: {}", report.detail);
        }
    }
}

#[test]
fn what_cannot_be_shown_is_refused_with_the_reason() {
    let problem = |pem: &str, key: &str| ClientCertificate::new(pem, key.as_bytes()).unwrap_err();
    assert_eq!(problem(CLIENT, STRANGER_KEY), CertificateProblem::Mismatch);
    assert_eq!(problem(&format!("{CLIENT_KEY}{CLIENT}"), CLIENT_KEY), CertificateProblem::KeyInCertificate);
    for pem in ["", "no pem", CLIENT_KEY.split("PRIVATE").next().unwrap(), &CLIENT[..CLIENT.len() / 2]] {
        assert!(matches!(problem(pem, CLIENT_KEY), CertificateProblem::Certificate(_)), "{pem}");
        assert!(matches!(check_certificate(pem), Err(CertificateProblem::Certificate(_))), "{pem}");
    }
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(problem(garbage, CLIENT_KEY), CertificateProblem::Certificate(_)));
    for key in ["", "no pem", CLIENT, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        let problem = problem(CLIENT, key);
        assert!(problem.is_of_the_key() && matches!(problem, CertificateProblem::Key(_)), "{key}");
    }
    assert!(matches!(problem(CLIENT, &" ".repeat(PEM_MAX + 1)), CertificateProblem::Key(_)));
    assert!(matches!(problem(&CLIENT.repeat(11), CLIENT_KEY), CertificateProblem::Certificate(_)));
    let padded = format!("{CLIENT}{}", " ".repeat(PEM_MAX - CLIENT.len()));
    assert!(check_certificate(&padded).is_ok() && check_certificate(&format!("{padded} ")).is_err());
    assert!(!format!("{:?}", ClientCertificate::new(CLIENT, CLIENT_KEY.as_bytes()).unwrap()).contains("PRIVATE"));
}
