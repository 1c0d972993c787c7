//! Access tokens for a destination: the client credentials grant of OAuth 2 (RFC 6749, section 4.4).
//! Owns asking for a token, keeping it in memory until shortly before it ends, and asking again when it is refused. A token is
//! in no store and in no log; which secrets the client has is told by whoever makes this.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use ::http::{HeaderValue, Method, Request, Response, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookward::Secret;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::http::{HttpDestination, failure, retry_after};
use super::{InvalidDestination, Parcel, Report};
use crate::clock::Clock;
use crate::egress::{Connector, EgressPolicy, Endpoint, HttpClient, Resolve};
use crate::model::{HttpSpec, OAuth2ClientAuth, OAuth2Spec, Outcome};

/// The longest answer of a token endpoint that is read, in bytes.
pub const ANSWER_MAX: usize = 64 * 1024;

/// The longest that one request for a token may take.
const FETCH_MAX: Duration = Duration::from_secs(10);

/// How long before its end a token is not used any more; half of its life when that is less.
const MARGIN: Duration = Duration::from_secs(30);

/// How long a token is kept whose end the server does not say, and the longest that any is kept.
const LIFE_UNSAID: Duration = Duration::from_secs(300);
const LIFE_MAX: Duration = Duration::from_secs(86_400);

/// What stands in a form unescaped.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An `http` destination whose requests carry an access token.
#[derive(Debug)]
pub struct OAuth2Destination {
    http: HttpDestination,
    tokens: Tokens,
    timeout: Duration,
}

impl OAuth2Destination {
    /// What sends by `http` with a token that the client has for `secret`; `timeout` is the deadline
    /// of a whole attempt.
    ///
    /// # Errors
    ///
    /// [`InvalidDestination::OAuth2`] if no token can ever be had under these settings.
    pub fn new(
        http: HttpDestination,
        timeout: Duration,
        spec: (&HttpSpec, &OAuth2Spec),
        secret: Arc<Secret>,
        policy: &EgressPolicy,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, InvalidDestination> {
        let tokens = Tokens::new(spec.1, secret, &spec.0.allow_addresses, policy, resolver)?;
        Ok(Self { http, tokens, timeout })
    }

    /// Sends the parcel once with a token. When the receiver answers 401 the token may have been withdrawn: then it is sent
    /// once more, at once, with a new one.
    pub async fn attempt(&self, parcel: Parcel<'_>, clock: &dyn Clock) -> Report {
        let began = clock.elapsed();
        let left = || self.timeout.saturating_sub(clock.elapsed().saturating_sub(began));
        let token = match self.token(clock, left(), None).await {
            Ok(token) => token,
            Err(problem) => return problem.report(),
        };
        let report = self.http.attempt_within(left(), token.put_in(parcel.clone()), clock).await;
        if report.status != Some(StatusCode::UNAUTHORIZED.as_u16()) || left().is_zero() {
            return report;
        }
        // Without another token the receiver's own word on this one is the better answer.
        let Ok(token) = self.token(clock, left(), Some(token.number)).await else { return report };
        self.http.attempt_within(left(), token.put_in(parcel), clock).await
    }

    /// Where it sends to.
    pub fn url(&self) -> &str {
        self.http.url()
    }

    async fn token(&self, clock: &dyn Clock, limit: Duration, refused: Option<u64>) -> Result<Token, NoToken> {
        let token = timeout(limit, self.tokens.token(clock, refused)).await;
        token.unwrap_or_else(|_| Err(NoToken::late(limit)))
    }
}

/// The tokens of one destination, of which one is in use at a time.
struct Tokens {
    spec: OAuth2Spec,
    endpoint: Endpoint,
    secret: Arc<Secret>,
    client: HttpClient,
    /// How many were asked for: whoever waited for a fetch takes what came of it.
    fetched: AtomicU64,
    last: Mutex<Last>,
}

/// What came of the last fetch.
#[derive(Default)]
struct Last {
    token: Option<Token>,
    problem: Option<NoToken>,
}

/// An access token.
#[derive(Clone)]
struct Token {
    /// Which of this destination's tokens.
    number: u64,
    value: Arc<Zeroizing<String>>,
    /// On the clock that never jumps.
    usable_until: Duration,
}

impl Token {
    fn put_in<'p>(&self, mut parcel: Parcel<'p>) -> Parcel<'p> {
        parcel.signature.push(("authorization".to_owned(), format!("Bearer {}", self.value.as_str())));
        parcel
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NoToken {
    outcome: Outcome,
    detail: String,
    retry_after: Option<Duration>,
}

impl NoToken {
    fn new(outcome: Outcome, detail: impl fmt::Display) -> Self {
        let detail = format!("no access token: {detail}");
        Self { outcome, detail, retry_after: None }
    }

    fn late(limit: Duration) -> Self {
        Self::new(Outcome::Timeout, format!("no answer within {limit:?}"))
    }

    fn report(self) -> Report {
        Report { retry_after: self.retry_after, ..Report::failed(self.outcome, self.detail) }
    }
}

impl Tokens {
    fn new(
        spec: &OAuth2Spec,
        secret: Arc<Secret>,
        allow: &[ipnet::IpNet],
        policy: &EgressPolicy,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, InvalidDestination> {
        let invalid = |error: InvalidDestination| InvalidDestination::OAuth2(error.to_string());
        let endpoint = Endpoint::parse(&spec.token_url).map_err(|problem| invalid(problem.into()))?;
        let connector = Connector::new(policy, allow, FETCH_MAX, resolver).map_err(invalid)?;
        connector.check(&endpoint).map_err(invalid)?;
        let is_plain = endpoint.uri().scheme_str() == Some("http");
        if is_plain && policy.allow.is_empty() && allow.is_empty() {
            let problem = "a client's secret goes over `https://`, or to addresses that are allowed explicitly";
            return Err(InvalidDestination::OAuth2(problem.to_owned()));
        }
        let client = connector.into_client();
        let (fetched, last) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { spec: spec.clone(), endpoint, secret, client, fetched, last })
    }

    /// A token that may be used now, and is not the one of number `refused`.
    async fn token(&self, clock: &dyn Clock, refused: Option<u64>) -> Result<Token, NoToken> {
        let before = self.fetched.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        let is_usable = |token: &&Token| clock.elapsed() < token.usable_until && Some(token.number) != refused;
        if let Some(token) = last.token.as_ref().filter(is_usable) {
            return Ok(token.clone());
        }
        if let Some(problem) = last.problem.as_ref().filter(|_| self.fetched.load(Ordering::Acquire) != before) {
            return Err(problem.clone());
        }
        let fetched = timeout(FETCH_MAX, self.fetch(clock)).await;
        let fetched = fetched.unwrap_or_else(|_| Err(NoToken::late(FETCH_MAX)));
        self.fetched.fetch_add(1, Ordering::AcqRel);
        *last = match &fetched {
            Ok(token) => Last { token: Some(token.clone()), problem: None },
            Err(problem) => Last { token: None, problem: Some(problem.clone()) },
        };
        fetched
    }

    async fn fetch(&self, clock: &dyn Clock) -> Result<Token, NoToken> {
        let asked_at = clock.elapsed();
        let response = self.client.request(self.request()).await.map_err(|error| {
            let Report { outcome, detail, .. } = failure(&error);
            NoToken::new(outcome, detail)
        })?;
        let status = response.status();
        if !status.is_success() {
            return Err(refusal(response, clock).await);
        }
        let given: Given = serde_json::from_slice(&read(response).await?)
            .map_err(|_| NoToken::new(Outcome::Unusable, "the token endpoint's answer is not what RFC 6749 says"))?;
        if let Some(kind) = given.token_type.as_deref().filter(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            let kind = plain(kind);
            return Err(NoToken::new(Outcome::Unusable, format!("it is of type `{kind}`, and only `Bearer` is sent")));
        }
        if given.access_token.is_empty() || !given.access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NoToken::new(Outcome::Unusable, "what the token endpoint gave cannot stand in a header"));
        }
        let life = given.life();
        let number = self.fetched.load(Ordering::Acquire);
        let usable_until = asked_at + (life - MARGIN.min(life / 2));
        Ok(Token { number, value: Arc::new(given.access_token), usable_until })
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let encode = |bytes: &[u8]| Zeroizing::new(percent_encode(bytes, FORM).to_string());
        let (client_id, secret) = (encode(self.spec.client_id.as_bytes()), encode(self.secret.expose()));
        let mut form = Zeroizing::new("grant_type=client_credentials".to_owned());
        let mut add = |name: &str, value: &str| form.push_str(&format!("&{name}={value}"));
        if !self.spec.scopes.is_empty() {
            add("scope", &encode(self.spec.scopes.join(" ").as_bytes()));
        }
        if let Some(audience) = &self.spec.audience {
            add("audience", &encode(audience.as_bytes()));
        }
        if self.spec.auth == OAuth2ClientAuth::Body {
            add("client_id", &client_id);
            add("client_secret", &secret);
        }
        let mut request = Request::new(Full::new(Bytes::from(form.to_string())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.uri().clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Hookward/", env!("CARGO_PKG_VERSION"))));
        if self.spec.auth == OAuth2ClientAuth::Basic {
            let pair = Zeroizing::new(format!("{}:{}", client_id.as_str(), secret.as_str()));
            let value = format!("Basic {}", STANDARD.encode(pair.as_bytes()));
            let mut value = HeaderValue::try_from(value).expect("base64 is visible ascii");
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        request
    }
}

/// A token endpoint's good answer.
#[derive(Deserialize)]
struct Given {
    access_token: Zeroizing<String>,
    #[serde(default)]
    token_type: Option<String>,
    /// Seconds; some servers write the number as a text.
    #[serde(default)]
    expires_in: Value,
}

impl Given {
    fn life(&self) -> Duration {
        let seconds = match &self.expires_in {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let said = seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
        said.unwrap_or(LIFE_UNSAID).min(LIFE_MAX)
    }
}

/// Why the endpoint gave none. Of its answer only the error's code is told: the rest may repeat what it was sent.
async fn refusal(response: Response<Incoming>, clock: &dyn Clock) -> NoToken {
    #[derive(Deserialize)]
    struct Refused {
        error: String,
    }
    let status = response.status();
    let retry_after = retry_after::parse(response.headers(), clock.now());
    let told = read(response).await.ok().and_then(|body| serde_json::from_slice::<Refused>(&body).ok());
    let code = told.map(|told| plain(&told.error));
    let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
    let detail = format!("the token endpoint answered {}{code}", status.as_u16());
    NoToken { retry_after, ..NoToken::new(Outcome::Unusable, detail) }
}

async fn read(response: Response<Incoming>) -> Result<Zeroizing<Vec<u8>>, NoToken> {
    let whole = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
    let whole = whole.map_err(|_| {
        let problem = format!("the token endpoint's answer broke off, or is longer than {ANSWER_MAX} bytes");
        NoToken::new(Outcome::Broken, problem)
    })?;
    Ok(Zeroizing::new(whole.to_bytes().to_vec()))
}

/// A code as RFC 6749 has them; anything else is not repeated.
fn plain(text: &str) -> String {
    let is_code = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if text.len() <= 64 && text.bytes().all(is_code) { text.to_owned() } else { "…".to_owned() }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("number", &self.number).finish_non_exhaustive()
    }
}
