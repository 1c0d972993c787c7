//! Fetching what a provider publishes, and judging certificates that came so. Owns the one connection out, its bounds, and what counts
//! as found, as not there and as failed; when something is fetched is the parent's.

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{ACCEPT, CACHE_CONTROL, HOST, LOCATION, USER_AGENT};
use ::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error as TlsError};
use tokio::time::timeout;

use crate::clock::Timestamp;
use crate::destination::http::failure;
use crate::destination::{InvalidDestination, Report};
use crate::egress::{Connector, EgressPolicy, Endpoint, HttpClient, SystemResolver, certificate_verifier};

/// The longest document that is read, in bytes.
pub const DOCUMENT_MAX: usize = 64 * 1024;

/// How long fetching a key may take, its issuer's certificate included: less than any sender waits for an answer.
pub const FETCH_MAX: Duration = Duration::from_secs(4);

/// The most certificates of a chain.
const CHAIN_MAX: usize = 8;

/// How the place begins at which a certificate says where its issuer's is: `id-ad-caIssuers` (RFC 5280, 4.2.2.1), then a URL.
const CA_ISSUERS: [u8; 11] = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x02, 0x86];

/// Why there is no document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Whoever was asked says that there is none.
    Absent,
    /// It could not be asked, or did not answer as it should.
    Failed(String),
}

/// What was fetched.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) body: Bytes,
    /// How long the answer says that it is good for.
    pub(super) max_age: Option<Duration>,
}

/// The way out to where keys are published, and whom it trusts.
#[derive(Debug)]
pub(crate) struct Fetcher {
    client: HttpClient,
    verifier: Arc<WebPkiServerVerifier>,
}

/// The certificate of a key with those that it is issued by.
#[derive(Debug, Clone)]
pub(super) struct Chain(Vec<CertificateDer<'static>>);

/// Why a certificate is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unproven {
    /// Who issued it is not known; perhaps its certificate is where this one says.
    Issuer,
    /// It is not good, and nothing will make it so.
    Bad(String),
}

impl Fetcher {
    /// One that may reach what deliveries may, and trusts whom they trust.
    pub(crate) fn new(policy: &EgressPolicy) -> Result<Self, InvalidDestination> {
        let connector = Connector::new(policy, &[], FETCH_MAX, Arc::new(SystemResolver))?;
        let verifier = certificate_verifier(policy.extra_roots_pem.as_deref())?;
        Ok(Self { client: connector.into_client(), verifier })
    }

    /// What is at `url`. No redirect is followed.
    pub(super) async fn get(&self, url: &str) -> Result<Fetched, Fault> {
        let late = || Fault::Failed(format!("no answer within {} s", FETCH_MAX.as_secs()));
        timeout(FETCH_MAX, self.exchange(url)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn exchange(&self, url: &str) -> Result<Fetched, Fault> {
        let endpoint = Endpoint::parse(url).map_err(|problem| Fault::Failed(problem.to_string()))?;
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = Method::GET;
        *request.uri_mut() = endpoint.uri().clone();
        let headers = request.headers_mut();
        headers.insert(HOST, endpoint.host_header());
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Hookward/", env!("CARGO_PKG_VERSION"))));
        let response = self.client.request(request).await.map_err(|error| {
            let Report { detail, .. } = failure(&error);
            Fault::Failed(detail)
        })?;
        match response.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Fault::Absent),
            status if !status.is_success() => {
                let moved =
                    if response.headers().contains_key(LOCATION) { ", and redirects are not followed" } else { "" };
                return Err(Fault::Failed(format!("it answered {}{moved}", status.as_u16())));
            }
            _ => {}
        }
        let max_age = max_age(response.headers());
        let whole = Limited::new(response.into_body(), DOCUMENT_MAX).collect().await;
        let broken = |_| Fault::Failed(format!("the answer broke off, or is longer than {DOCUMENT_MAX} bytes"));
        Ok(Fetched { body: whole.map_err(broken)?.to_bytes(), max_age })
    }

    /// Whether the first of the chain was issued, for one of `names`, by an authority that is trusted, and is valid now. Whether it was
    /// revoked is not asked.
    pub(super) fn judge(&self, chain: &Chain, names: &[String], now: Timestamp) -> Result<(), Unproven> {
        let Some((leaf, issuers)) = chain.0.split_first() else {
            return Err(Unproven::Bad("there is no certificate".to_owned()));
        };
        let now = UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or_default()));
        let mut problem = "the scheme names nobody whom it could be for".to_owned();
        for name in names {
            let Ok(name) = ServerName::try_from(name.as_str()) else { continue };
            match self.verifier.verify_server_cert(leaf, issuers, &name, &[], now) {
                Ok(_) => return Ok(()),
                Err(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => return Err(Unproven::Issuer),
                Err(TlsError::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => problem = format!("it is for none of {}", names.join(", ")),
                Err(error) => return Err(Unproven::Bad(error.to_string())),
            }
        }
        Err(Unproven::Bad(problem))
    }
}

impl Chain {
    /// The certificates of a document in PEM, the one of the key first.
    pub(super) fn read(document: &[u8]) -> Option<Self> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(document).take(CHAIN_MAX).collect();
        certificates.ok().filter(|chain| !chain.is_empty()).map(Self)
    }

    /// The same with one more, in DER or PEM.
    pub(super) fn with(mut self, document: &[u8]) -> Self {
        match Self::read(document) {
            Some(more) => self.0.extend(more.0),
            None => self.0.push(CertificateDer::from(document.to_vec())),
        }
        self
    }

    /// Where the last of them says that its issuer's certificate is. That is looked for as bytes, and only chooses what is fetched: which
    /// URL may be is the scheme's to say, and what is fetched there counts for no more than its signatures.
    pub(super) fn issuer_url(&self) -> Option<&str> {
        let last = self.0.last()?.as_ref();
        let at = last.windows(CA_ISSUERS.len()).position(|bytes| bytes == CA_ISSUERS)?;
        let (&len, rest) = last.get(at + CA_ISSUERS.len()..)?.split_first()?;
        // A longer one has its length in several bytes.
        let url = rest.get(..usize::from(len)).filter(|_| len < 0x80)?;
        std::str::from_utf8(url).ok()
    }
}

/// What `Cache-Control` says of how long.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let texts = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let mut directives = texts.flat_map(|text| text.split(',')).map(|one| one.trim().to_ascii_lowercase());
    directives.find_map(|one| match one.as_str() {
        "no-store" | "no-cache" => Some(Duration::ZERO),
        _ => one.strip_prefix("max-age=")?.trim_matches('"').parse().ok().map(Duration::from_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_an_answer_is_good_is_read_from_its_headers() {
        let told = |texts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            texts.iter().for_each(|text| {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(text));
            });
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&["public, Max-Age=19742, must-revalidate, no-transform"]), Some(19742));
        assert_eq!(told(&["public", "max-age=\"60\""]), Some(60));
        assert_eq!(told(&["no-store"]), Some(0));
        assert_eq!(told(&["max-age=soon", "s-maxage=9"]), None);
        assert_eq!(told(&["max-age=-1"]), None);
    }
}
