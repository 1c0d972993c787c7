//! A provider that publishes its keys: a server on loopback under a root that the tests trust, which counts what it is asked, and messages
//! signed by the test's own key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use hookward::Scheme;
use hookward_engine::InboundRequest;
use hookward_engine::egress::EgressPolicy;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::support::outbound::{Received, Server, nets};

/// The topic that the source is registered for.
pub(super) const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:orders";

const SIGNER: &[u8] = include_bytes!("../keys/signer.key");
const ISSUER: &[u8] = include_bytes!("../keys/issuer.key");

/// Status, further header lines, body.
pub(super) type Page = (u16, &'static str, Vec<u8>);

#[derive(Default)]
struct Site {
    pages: HashMap<String, Page>,
    asked: HashMap<String, usize>,
    is_down: bool,
}

/// The provider's servers.
pub(super) struct Provider {
    site: Arc<Mutex<Site>>,
    tls: Server,
    plain: Server,
}

impl Provider {
    pub(super) async fn start() -> Self {
        let site = Arc::<Mutex<Site>>::default();
        let acceptor = acceptor();
        let of_tls = Arc::clone(&site);
        let tls = Server::start(move |stream, _| {
            let (site, acceptor) = (Arc::clone(&of_tls), acceptor.clone());
            async move {
                if !site.lock().unwrap().is_down
                    && let Ok(stream) = acceptor.accept(stream).await
                {
                    answer(stream, &site).await;
                }
            }
        });
        let tls = tls.await;
        let of_plain = Arc::clone(&site);
        let plain = Server::start(move |stream, _| {
            let site = Arc::clone(&of_plain);
            async move { answer(stream, &site).await }
        });
        let provider = Self { site, tls, plain: plain.await };
        provider.put("/issuer.cer", (200, "", der(include_bytes!("../keys/issuer.pem"))));
        provider
    }

    pub(super) fn put(&self, path: &str, page: Page) {
        self.site.lock().unwrap().pages.insert(path.to_owned(), page);
    }

    pub(super) fn go_down(&self, is_down: bool) {
        self.site.lock().unwrap().is_down = is_down;
    }

    /// How often a path was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.site.lock().unwrap().asked.get(path).copied().unwrap_or_default()
    }

    pub(super) fn asked_at_all(&self) -> usize {
        self.site.lock().unwrap().asked.values().sum()
    }

    pub(super) fn connections(&self) -> usize {
        self.tls.connections() + self.plain.connections()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.tls.address)
    }

    /// A scheme of the catalog with its URLs at this provider's.
    pub(super) fn scheme(&self, name: &str, change: impl Fn(&str) -> String) -> Scheme {
        let text = hookward::catalog::source(name).expect("in the catalog");
        Scheme::from_toml(&change(text)).expect("a scheme")
    }

    /// Amazon SNS as it is at this provider.
    pub(super) fn sns(&self) -> Scheme {
        let (tls, plain) = (self.tls.address, self.plain.address);
        self.scheme("aws-sns", |text| {
            text.replace("sns.*.amazonaws.com/", &format!("{tls}/"))
                .replace("http://crt.*.amazontrust.com/", &format!("http://{plain}/"))
        })
    }

    /// Google's push as it is at this provider.
    pub(super) fn pubsub(&self) -> Scheme {
        let tls = self.tls.address;
        self.scheme("google-pubsub-push", |text| text.replace("www.googleapis.com", &tls.to_string()))
    }

    /// A certificate of the signer whose issuer is said to be at this provider.
    pub(super) fn certificate(&self, template: &[u8]) -> Vec<u8> {
        let mut der = der(template);
        let port = format!("{:05}", self.plain.address.port());
        if let Some(at) = der.windows(6).position(|bytes| bytes == b":00000") {
            der[at + 1..at + 6].copy_from_slice(port.as_bytes());
            // Its issuer signs it anew: a sequence of what is signed, the algorithm, and 256 bytes of signature.
            let signed = usize::from(u16::from_be_bytes([der[6], der[7]])) + 4;
            let signature = sign(ISSUER, &der[4..4 + signed]);
            let start = der.len() - signature.len();
            der[start..].copy_from_slice(&signature);
        }
        let text = STANDARD.encode(&der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
    }
}

/// Whom to trust, and that loopback may be reached.
pub(super) fn egress() -> EgressPolicy {
    let extra_roots_pem = Some(include_bytes!("../keys/root.pem").to_vec());
    EgressPolicy { allow: nets(&["127.0.0.0/8"]), extra_roots_pem, ..EgressPolicy::default() }
}

fn der(pem: &[u8]) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem).unwrap().to_vec()
}

fn acceptor() -> TlsAcceptor {
    let certificates = vec![CertificateDer::from_pem_slice(include_bytes!("../keys/server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../keys/server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(certificates, key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn answer(mut stream: impl AsyncWrite + AsyncReadExt + Unpin, site: &Mutex<Site>) {
    let Some(received) = Received::read(&mut stream).await else { return };
    let path = received.line.split(' ').nth(1).unwrap().to_owned();
    let (status, headers, body) = {
        let mut site = site.lock().unwrap();
        *site.asked.entry(path.clone()).or_default() += 1;
        site.pages.get(&path).cloned().unwrap_or((404, "", vec![]))
    };
    let head =
        format!("HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
    let _ = stream.shutdown().await;
}

fn sign(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let pair = RsaKeyPair::from_pkcs8(key.secret_der()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), bytes, &mut signature).unwrap();
    signature
}

pub(super) fn post(headers: &[(&str, String)], body: String) -> InboundRequest {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from(value.clone()))).collect();
    InboundRequest {
        method: "POST".to_owned(),
        url: "/".to_owned(),
        headers,
        body: body.into(),
        remote: "192.0.2.7:4711".to_owned(),
    }
}

/// A message of SNS, rightly signed but for what `change` does to it then.
pub(super) fn message(
    kind: &str,
    id: &str,
    members: &[(&str, String)],
    change: impl FnOnce(&mut Value),
) -> InboundRequest {
    let mut body = json!({
        "Type": kind, "MessageId": id, "TopicArn": TOPIC, "Message": "hello\nworld",
        "Timestamp": "2023-11-14T22:13:20.000Z", "SignatureVersion": "2",
    });
    members.iter().for_each(|(name, value)| body[*name] = json!(value));
    // In the order of Amazon's documentation; written here by hand, not by the scheme.
    let names: &[&str] = match kind {
        "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
        _ => &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"],
    };
    let value = |name: &&str| body[*name].as_str().map(|value| format!("{name}\n{value}\n"));
    let signed: String = names.iter().filter_map(value).collect();
    body["Signature"] = json!(STANDARD.encode(sign(SIGNER, signed.as_bytes())));
    change(&mut body);
    post(&[], body.to_string())
}

/// A push of Google's with a token that the key `kid` is said to have signed.
pub(super) fn push(kid: &str, id: &str, now_s: i64) -> InboundRequest {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "alg": "RS256", "kid": kid, "typ": "JWT" }));
    let claims = part(json!({
        "iss": "https://accounts.google.com", "aud": "ours", "email": "push@example.test", "email_verified": true,
        "iat": now_s, "exp": now_s + 3600,
    }));
    let signature = URL_SAFE_NO_PAD.encode(sign(SIGNER, format!("{header}.{claims}").as_bytes()));
    let authorization = ("authorization", format!("Bearer {header}.{claims}.{signature}"));
    post(&[authorization], json!({ "message": { "messageId": id, "data": "" } }).to_string())
}

/// A set of keys, all of them the signer's, under these ids.
pub(super) fn set(ids: &[&str]) -> Vec<u8> {
    let jwk = include_str!("../keys/signer.jwk").trim();
    let keys: Vec<_> = ids.iter().map(|id| format!("{{\"kid\": \"{id}\", \"use\": \"sig\", {jwk}}}")).collect();
    format!("{{\"keys\": [{}]}}", keys.join(", ")).into_bytes()
}
