//! The guarded connector: resolves, judges, and dials only what it judged.
//! Speaks TCP and TLS; knows nothing of requests and answers.

use std::future::Future;
use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::Uri;
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ipnet::IpNet;
use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower_service::Service;

use super::client_certificate::{CertificateProblem, ClientCertificate};
use super::judge::{Blocked, is_web_port, judge, judge_port};
use super::line::{Line, Measured, Stage};
use super::{Deadlines, EgressError, EgressPolicy, Endpoint, Host, OwnListeners, Resolve, Unconnected, UrlProblem};
use crate::destination::InvalidDestination;

/// An HTTP/1.1 client, with connections of its own, whose every connection has passed the guard.
pub type HttpClient = Client<Connector, Full<Bytes>>;

/// How many addresses of a host are tried.
const ADDRESSES_MAX: usize = 4;
/// The longest that a lookup, or all the dialling after it, may take.
const STEP_MAX: Duration = Duration::from_secs(10);
/// How long a connection may wait for the next request.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// The longest head of an answer, in bytes.
const ANSWER_HEAD_MAX: usize = 64 * 1024;
/// The most headers of an answer.
const ANSWER_HEADERS_MAX: usize = 128;

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Connects to judged addresses, with TLS where the URL says so, and measures how long that takes.
#[derive(Debug, Clone)]
pub struct Connector {
    tls: Arc<ClientConfig>,
    guard: Arc<Guard>,
}

impl Connector {
    /// A connector for one destination, which may reach public addresses and `allow`.
    ///
    /// # Errors
    ///
    /// [`InvalidDestination::Roots`] if the policy's extra certificates are not certificates.
    pub fn new(
        policy: &EgressPolicy,
        allow: &[IpNet],
        deadlines: impl Into<Deadlines>,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, InvalidDestination> {
        Self::showing(None, policy, allow, deadlines, resolver)
    }

    /// The same with a certificate that is shown to whoever asks for one.
    ///
    /// # Errors
    ///
    /// Likewise.
    pub fn showing(
        certificate: Option<ClientCertificate>,
        policy: &EgressPolicy,
        allow: &[IpNet],
        deadlines: impl Into<Deadlines>,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, InvalidDestination> {
        let guard = Arc::new(Guard::new(policy, allow, deadlines, resolver));
        let roots = policy.extra_roots_pem.as_deref();
        let tls = match certificate {
            None => tls_config(roots)?,
            Some(ClientCertificate { chain, key }) => {
                let with_key = verifying(roots)?.with_client_auth_cert(chain, key);
                with_key.map_err(|_| InvalidDestination::Certificate(CertificateProblem::Mismatch))?
            }
        };
        Ok(Self { tls: Arc::new(tls), guard })
    }

    /// Refuses at once what a connection to `endpoint` is sure to be refused for. A name is not resolved: what it
    /// resolves to when an event is delivered is what counts.
    ///
    /// # Errors
    ///
    /// [`InvalidDestination`]: a forbidden address, or a name or port that is only for ranges allowed explicitly.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), InvalidDestination> {
        check(endpoint, &self.guard.allow, &self.guard.own)
    }

    /// A client on this connector. Its connections are shared with nobody.
    pub fn into_client(self) -> HttpClient {
        Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .http1_max_buf_size(ANSWER_HEAD_MAX)
            .http1_max_headers(ANSWER_HEADERS_MAX)
            .build(self)
    }
}

/// Refuses a URL that no destination could deliver to that may reach public addresses and `allow`, but not `own`.
///
/// # Errors
///
/// [`InvalidDestination`], as of [`Connector::check`].
pub fn check_url(url: &str, allow: &[IpNet], own: &OwnListeners) -> Result<(), InvalidDestination> {
    check(&Endpoint::parse(url)?, allow, own)
}

fn check(endpoint: &Endpoint, allow: &[IpNet], own: &OwnListeners) -> Result<(), InvalidDestination> {
    match endpoint.host() {
        Host::Address(address) => Ok(judge_all(*address, endpoint.port(), allow, own)?),
        Host::Name(_) if !allow.is_empty() => Ok(()),
        Host::Name(_) if endpoint.is_single_label() => Err(UrlProblem::SingleLabel.into()),
        Host::Name(_) if !is_web_port(endpoint.port()) => Err(UrlProblem::NotWebPort.into()),
        Host::Name(_) => Ok(()),
    }
}

/// What a connection is that stands.
type Stream = Measured<TokioIo<MaybeHttpsStream<TokioIo<TcpStream>>>>;

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Unconnected;
    type Future = Connecting<Self::Response, Unconnected>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unconnected>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let line = Arc::new(Line::new());
        let host = uri.host().unwrap_or_default().to_owned();
        let dialer = Dialer { guard: Arc::clone(&self.guard), line: Arc::clone(&line) };
        let connecting = HttpsConnector::from((dialer, Arc::clone(&self.tls))).call(uri);
        let deadlines = self.guard.deadlines;
        // The attempt has its own deadline. This one ends a handshake that the client went on with after the attempt.
        let limit = deadlines.connect.unwrap_or(deadlines.total.saturating_add(Duration::from_secs(1)));
        Box::pin(async move {
            let error = match timeout(limit, connecting).await {
                Ok(Ok(stream)) => {
                    if matches!(stream, MaybeHttpsStream::Https(_)) {
                        line.end();
                    }
                    return Ok(TokioIo::new(Measured::new(TokioIo::new(stream), line)));
                }
                // Whatever did not come from the dialer came from the handshake.
                Ok(Err(error)) => match error.downcast::<EgressError>() {
                    Ok(error) => *error,
                    Err(error) => EgressError::Tls(error.to_string()),
                },
                Err(_) => EgressError::Late { host, limit, stage: still(line.stage()) },
            };
            Err(Unconnected { error, timings: line.tell() })
        })
    }
}

/// What goes on in a stage that does not end.
fn still(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolve => "its name was still being looked up",
        Stage::Connect => "nothing answered there yet",
        Stage::Tls => "the TLS handshake was still going on",
    }
}

/// Opens TCP connections to judged addresses.
#[derive(Debug, Clone)]
struct Dialer {
    guard: Arc<Guard>,
    line: Arc<Line>,
}

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = EgressError;
    type Future = Connecting<Self::Response, EgressError>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { guard, line } = self.clone();
        Box::pin(async move {
            let endpoint = Endpoint::of(&uri).map_err(|problem| EgressError::Dns {
                host: uri.host().unwrap_or_default().to_owned(),
                problem: problem.to_string(),
            })?;
            line.begin(Stage::Resolve);
            let addresses = guard.addresses(&endpoint).await;
            if matches!(endpoint.host(), Host::Name(_)) {
                line.end();
            }
            line.begin(Stage::Connect);
            let stream = guard.dial(&endpoint, &addresses?).await?;
            line.end();
            line.begin(Stage::Tls);
            Ok(TokioIo::new(stream))
        })
    }
}

/// Resolves names and judges every address that they have.
#[derive(Debug)]
pub(crate) struct Guard {
    allow: Vec<IpNet>,
    own: OwnListeners,
    deadlines: Deadlines,
    resolver: Arc<dyn Resolve>,
}

impl Guard {
    /// A guard for one destination, which may reach public addresses and `allow`.
    pub(crate) fn new(
        policy: &EgressPolicy,
        allow: &[IpNet],
        deadlines: impl Into<Deadlines>,
        resolver: Arc<dyn Resolve>,
    ) -> Self {
        let allow = policy.allow.iter().chain(allow).copied().collect();
        Self { allow, own: policy.own.clone(), deadlines: deadlines.into(), resolver }
    }

    /// Whether each of the addresses is in a range that is allowed explicitly.
    pub(crate) fn allows_explicitly(&self, addresses: &[IpAddr]) -> bool {
        addresses.iter().all(|address| self.allow.iter().any(|range| range.contains(address)))
    }

    /// Every address of the endpoint, all of them judged.
    pub(crate) async fn addresses(&self, endpoint: &Endpoint) -> Result<Vec<IpAddr>, EgressError> {
        let addresses = match endpoint.host() {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.resolve(name).await?,
        };
        for &address in &addresses {
            judge_all(address, endpoint.port(), &self.allow, &self.own)
                .map_err(|blocked| EgressError::Blocked { host: endpoint.host().to_string(), blocked })?;
        }
        Ok(addresses)
    }

    /// How long a lookup may take: where connecting has a deadline of its own, that is what ends it.
    fn lookup_max(&self) -> Duration {
        self.deadlines.connect.map_or(STEP_MAX.min(self.deadlines.total / 2), |_| STEP_MAX)
    }

    /// How long each of `count` addresses may take to answer, likewise.
    fn dial_max(&self, count: usize) -> Duration {
        let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        match self.deadlines.connect {
            Some(_) if count == 1 => STEP_MAX,
            Some(connect) => STEP_MAX.min(connect) / count,
            None => STEP_MAX.min(self.deadlines.total / 3) / count,
        }
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, EgressError> {
        let failed = |problem: String| EgressError::Dns { host: name.to_owned(), problem };
        // With a final dot the name is complete, so that no local search list can bend it. Where private ranges are
        // reached on purpose, so are private names.
        let absolute = if self.allow.is_empty() { format!("{}.", name.trim_end_matches('.')) } else { name.to_owned() };
        let limit = self.lookup_max();
        match timeout(limit, self.resolver.resolve(&absolute)).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(failed("it has no address".to_owned())),
            Ok(Ok(addresses)) => Ok(addresses),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {limit:?}"))),
        }
    }

    /// The first connection that stands, trying both address families early.
    async fn dial(&self, endpoint: &Endpoint, addresses: &[IpAddr]) -> Result<TcpStream, EgressError> {
        let candidates = alternate_families(addresses);
        let limit = self.dial_max(candidates.len());
        let mut problem = "it has no address".to_owned();
        for address in candidates {
            match timeout(limit, TcpStream::connect(SocketAddr::new(address, endpoint.port()))).await {
                Ok(Ok(stream)) => {
                    // Only latency is at stake, so a refusal to set it is no reason to give the connection up.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(error)) => problem = error.to_string(),
                Err(_) => problem = format!("no answer within {limit:?}"),
            }
        }
        Err(EgressError::Connect { host: endpoint.host().to_string(), problem })
    }
}

fn judge_all(address: IpAddr, port: u16, allow: &[IpNet], own: &OwnListeners) -> Result<(), Blocked> {
    judge(address, allow)?;
    judge_port(address, port, allow)?;
    if own.contain(address, port) {
        return Err(Blocked { address, reason: "this gateway itself listens there" });
    }
    Ok(())
}

/// The first few addresses, families taking turns, so that one broken family cannot use up the time.
fn alternate_families(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (same, other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|address| address.is_ipv4() == first.is_ipv4());
    let turns = same.len().max(other.len());
    (0..turns).flat_map(|turn| [same.get(turn), other.get(turn)]).flatten().copied().take(ADDRESSES_MAX).collect()
}

pub(crate) fn tls_config(extra_roots_pem: Option<&[u8]>) -> Result<ClientConfig, InvalidDestination> {
    Ok(verifying(extra_roots_pem)?.with_no_client_auth())
}

/// What does the cryptography of every session.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// What judges a certificate that is no server's like that of a server.
pub(crate) fn certificate_verifier(
    extra_roots_pem: Option<&[u8]>,
) -> Result<Arc<WebPkiServerVerifier>, InvalidDestination> {
    let roots = Arc::new(trusted(extra_roots_pem)?);
    let built = WebPkiServerVerifier::builder_with_provider(roots, Arc::new(provider())).build();
    Ok(built.expect("there are roots, and no lists of what was revoked"))
}

/// Whom connections trust.
fn trusted(extra_roots_pem: Option<&[u8]>) -> Result<RootCertStore, InvalidDestination> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = extra_roots_pem {
        let invalid = |error: &dyn std::fmt::Display| InvalidDestination::Roots(error.to_string());
        let mut found = false;
        for certificate in CertificateDer::pem_reader_iter(Cursor::new(pem)) {
            let certificate = certificate.map_err(|error| invalid(&error))?;
            roots.add(certificate).map_err(|error| invalid(&error))?;
            found = true;
        }
        if !found {
            return Err(invalid(&"no PEM certificate in it"));
        }
    }
    Ok(roots)
}

fn verifying(
    extra_roots_pem: Option<&[u8]>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, InvalidDestination> {
    let roots = trusted(extra_roots_pem)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the protocol versions it was built with");
    Ok(builder.with_root_certificates(roots))
}
