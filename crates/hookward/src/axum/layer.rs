//! Owns the way of a request through the layer: its body within the limit, the verdict, what was taken already, and what is answered.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use axum_core::body::Body;
use axum_core::extract::Request;
use axum_core::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_layer::Layer;
use tower_service::Service;

use super::Proven;
use crate::handshake::Handshake;
use crate::message::Message;
use crate::refusal::Refusal;
use crate::replay::{Admission, ReplayGuard, Ticket};
use crate::secret::Secret;
use crate::time::UnixTime;
use crate::verifier::Verifier;
use crate::verify::Verified;

/// The longest body that is read where nothing else is said: 1 MiB.
pub const DEFAULT_LIMIT: usize = 1024 * 1024;

/// What every refusal says, so that it tells a stranger nothing.
const REFUSED: &str = "not authentic\n";

type Clock = dyn Fn() -> UnixTime + Send + Sync;
type OnRefusal = dyn Fn(&Refusal, &HeaderMap) + Send + Sync;

/// A layer that lets only proven requests through, with their bodies read; [`Signed`](super::Signed) takes them from there.
#[derive(Clone)]
pub struct SignedLayer(Arc<Settings>);

struct Settings {
    verifier: Verifier,
    limit: usize,
    clock: Arc<Clock>,
    guard: Option<ReplayGuard>,
    duplicates: StatusCode,
    token: Option<Secret>,
    on_refusal: Option<Arc<OnRefusal>>,
}

/// A service behind a [`SignedLayer`].
#[derive(Clone)]
pub struct SignedService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl SignedLayer {
    /// A layer with the system's clock, a limit of [`DEFAULT_LIMIT`], and no memory of what was taken.
    pub fn new(verifier: Verifier) -> Self {
        Self(Arc::new(Settings {
            verifier,
            limit: DEFAULT_LIMIT,
            clock: Arc::new(system_clock),
            guard: None,
            duplicates: StatusCode::OK,
            token: None,
            on_refusal: None,
        }))
    }

    /// The longest body, in bytes. Longer ones are answered 413, unread where their length is announced.
    #[must_use]
    pub fn limit(self, bytes: usize) -> Self {
        self.with(|settings| settings.limit = bytes)
    }

    /// Remembers what was taken, so that it is not taken again. What tells requests apart: [`Verifier::replay_key`].
    #[must_use]
    pub fn guard(self, guard: ReplayGuard) -> Self {
        self.with(|settings| settings.guard = Some(guard))
    }

    /// What a request is answered that was taken already, 200 by default: for the sender it has arrived.
    #[must_use]
    pub fn duplicates(self, answer: StatusCode) -> Self {
        self.with(|settings| settings.duplicates = answer)
    }

    /// The handshake token that the provider was told, for a scheme that sends one back.
    #[must_use]
    pub fn handshake_token(self, token: Secret) -> Self {
        self.with(|settings| settings.token = Some(token))
    }

    /// Another clock.
    #[must_use]
    pub fn clock(self, clock: impl Fn() -> UnixTime + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    /// Called with every refusal, for the operator's log: the sender is told none.
    #[must_use]
    pub fn on_refusal(self, tell: impl Fn(&Refusal, &HeaderMap) + Send + Sync + 'static) -> Self {
        self.with(|settings| settings.on_refusal = Some(Arc::new(tell)))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Clone for Settings {
    fn clone(&self) -> Self {
        Self {
            verifier: self.verifier.clone(),
            clock: Arc::clone(&self.clock),
            guard: self.guard.clone(),
            token: self.token.clone(),
            on_refusal: self.on_refusal.clone(),
            ..*self
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the default of a clock that can be handed in")]
fn system_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UnixTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

impl<S> Layer<S> for SignedLayer {
    type Service = SignedService<S>;

    fn layer(&self, inner: S) -> SignedService<S> {
        SignedService { inner, settings: Arc::clone(&self.0) }
    }
}

impl<S> Service<Request> for SignedService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        // The one that was polled ready is called; its clone waits for the next.
        let waiting = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, waiting);
        let settings = Arc::clone(&self.settings);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = match settings.read(&parts.headers, body).await {
                Ok(body) => body,
                Err(status) => return Ok(status.into_response()),
            };
            let (request, ticket) = match settings.judge(parts, body) {
                Ok(passed) => passed,
                Err(answer) => return Ok(*answer),
            };
            let response = inner.call(request).await?;
            if let Some(ticket) = ticket.filter(|_| response.status().is_success()) {
                ticket.keep((settings.clock)());
            }
            Ok(response)
        })
    }
}

/// The request that goes on, with its place among those under way; or what is answered instead.
type Judged = Result<(Request, Option<Ticket>), Box<Response>>;

impl Settings {
    async fn read(&self, headers: &HeaderMap, body: Body) -> Result<Bytes, StatusCode> {
        let announced = headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > u64::try_from(self.limit).unwrap_or(u64::MAX)) {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        match Limited::new(body, self.limit).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
            Err(_) => Err(StatusCode::BAD_REQUEST),
        }
    }

    fn judge(&self, parts: Parts, body: Bytes) -> Judged {
        let now = (self.clock)();
        let url = crate::http::url_of(&parts.uri);
        let message = Message { method: parts.method.as_str(), url: &url, headers: &parts.headers, body: &body };
        let refused = |refusal: &Refusal| Err(Box::new(self.refuse(refusal, &parts.headers)));
        // One that wants a URL visited is the program's: it comes to it as a request.
        let is_ours =
            |asked: &Result<Handshake, Refusal>| !matches!(asked, Ok(handshake) if handshake.visits.is_some());
        let asked = |proof: Option<&Verified<'_>>| {
            self.verifier.handshake(&message, self.token.as_ref(), proof).filter(is_ours)
        };
        let shaken = |handshake: Result<Handshake, Refusal>| match handshake.and_then(answer) {
            Ok(response) => Err(Box::new(response)),
            Err(refusal) => refused(&refusal),
        };
        if let Some(handshake) = asked(None) {
            return shaken(handshake);
        }
        let proof = match self.verifier.verify(&message, now) {
            Ok(proof) => proof.into_owned(),
            Err(refusal) => return refused(&refusal),
        };
        if let Some(handshake) = asked(Some(&proof)) {
            return shaken(handshake);
        }
        let key = || self.verifier.replay_key(&proof, &body);
        let ticket = match self.guard.as_ref().and_then(|guard| Some(guard.admit(key()?, now))) {
            None => None,
            Some(Admission::First(ticket)) => Some(ticket),
            Some(Admission::Taken) => return Err(Box::new(self.duplicates.into_response())),
            Some(Admission::UnderWay) => {
                return Err(Box::new((StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response()));
            }
        };
        let mut request = Request::from_parts(parts, Body::from(body.clone()));
        request.extensions_mut().insert(Proven { body, proof });
        Ok((request, ticket))
    }

    fn refuse(&self, refusal: &Refusal, headers: &HeaderMap) -> Response {
        if let Some(tell) = &self.on_refusal {
            tell(refusal, headers);
        }
        (StatusCode::UNAUTHORIZED, REFUSED).into_response()
    }
}

/// Not one that hands over a secret: there is nowhere to keep it.
fn answer(handshake: Handshake) -> Result<Response, Refusal> {
    if handshake.adopts.is_some() {
        return Err(Refusal::NoUsableSecret);
    }
    let mut response = Response::new(Body::from(handshake.body));
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, http::HeaderValue::from_static("nosniff"));
    if let Some(content_type) = handshake.content_type {
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    }
    for (name, value) in handshake.headers {
        let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refusal::ChallengeMalformed)?;
        headers.insert(name, value.parse().map_err(|_| Refusal::ChallengeMalformed)?);
    }
    Ok(response)
}
