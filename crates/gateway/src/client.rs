//! A plain HTTP client: for the command line, which speaks to the admin listener, and for the demo, which plays a
//! sender. Deliveries have their own guarded connector in the engine; this one goes wherever it is told.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;

/// How long a request may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The largest answer that is read, in bytes.
const ANSWER_MAX: usize = 256 << 20;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// Sends one request and reads the whole answer.
pub(crate) async fn send(method: &str, url: &str, headers: &[(String, String)], body: Bytes) -> anyhow::Result<Answer> {
    let exchange = async {
        let mut coming = exchange(method, url, headers, body).await?;
        anyhow::Ok(Answer { status: coming.status, body: coming.whole().await? })
    };
    timeout(PATIENCE, exchange).await.with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?
}

/// Sends one request without a body. What is asked for may take its time, and the answer's body is read as it comes.
pub(crate) async fn open(method: &str, url: &str, headers: &[(String, String)]) -> anyhow::Result<Coming> {
    exchange(method, url, headers, Bytes::new()).await
}

/// An answer whose body is still coming.
pub(crate) struct Coming {
    pub(crate) status: u16,
    body: Incoming,
}

impl Coming {
    /// The next part of the body, whenever it comes.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(data) = frame.context("the answer did not come whole")?.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The rest of the body, up to a limit.
    pub(crate) async fn whole(&mut self) -> anyhow::Result<Bytes> {
        let body = Limited::new(&mut self.body, ANSWER_MAX).collect().await;
        Ok(body.map_err(|error| anyhow::anyhow!("the answer did not come whole: {error}"))?.to_bytes())
    }
}

async fn exchange(method: &str, url: &str, headers: &[(String, String)], body: Bytes) -> anyhow::Result<Coming> {
    let request = request(method, url, headers, body)?;
    let response = HyperClient::builder(TokioExecutor::new()).build(connector(None)?).request(request).await?;
    Ok(Coming { status: response.status().as_u16(), body: response.into_body() })
}

fn request(
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: Bytes,
) -> anyhow::Result<http::Request<Full<Bytes>>> {
    let mut request = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body)).context("not a request that can be sent")
}

/// A client that keeps its connections: for a service that the operator named, with less patience and less room than a
/// command has, or for a command that asks often.
#[derive(Debug)]
pub(crate) struct Client {
    inner: HyperClient<Connector, Full<Bytes>>,
    patience: Duration,
    answer_max: usize,
}

/// How long a service may take.
const SERVICE_PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer of a service, in bytes.
const SERVICE_ANSWER_MAX: usize = 1 << 20;

impl Client {
    /// A client that trusts the PEM certificates in `extra_roots` besides the public authorities.
    pub(crate) fn new(extra_roots: Option<&[u8]>) -> anyhow::Result<Self> {
        let inner = HyperClient::builder(TokioExecutor::new()).build(connector(extra_roots)?);
        Ok(Self { inner, patience: SERVICE_PATIENCE, answer_max: SERVICE_ANSWER_MAX })
    }

    /// A client for a command, which waits so long for an answer.
    pub(crate) fn patient(patience: Duration) -> anyhow::Result<Self> {
        Ok(Self { patience, answer_max: ANSWER_MAX, ..Self::new(None)? })
    }

    /// Sends one request and reads the whole answer.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let exchange = async {
            let response = self.inner.request(request(method, url, headers, body)?).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), self.answer_max).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer did not come whole: {error}"))?.to_bytes();
            anyhow::Ok(Answer { status, body })
        };
        let late = || format!("`{url}` does not answer within {} s", self.patience.as_secs());
        let answer = timeout(self.patience, exchange).await.with_context(late)?;
        answer.with_context(|| format!("`{url}` cannot be asked"))
    }
}

type Connector = hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>;

fn connector(extra_roots: Option<&[u8]>) -> anyhow::Result<Connector> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    for certificate in CertificateDer::pem_slice_iter(extra_roots.unwrap_or_default()) {
        roots.add(certificate.context("`extra_roots` is not PEM certificates")?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build())
}
