//! The inbound door: a request at a source's path becomes an engine's receipt, and the receipt an answer.
//! Owns the order of the checks and the limits on a body; whether a request is believed is the engine's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hookward_engine::ids::SourceId;
use hookward_engine::model::Source;
use hookward_engine::{Engine, InboundRequest, Receipt};
use http::{HeaderValue, Method, Request, StatusCode, header, request};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::accept::Peer;
use crate::answer::{Prepared, Whole, closing};
use crate::config::{Door, Limits, Unmatched};
use crate::metrics::{Answered, Metrics, SourceCounters};

/// Seconds after which a sender may try again when it was our fault.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The most room that a body is given before its bytes have come.
const HEAD_START: usize = 64 << 10;

/// Every source's door, and what is needed to answer there.
#[derive(Debug)]
pub(crate) struct Ingest {
    engine: Engine,
    metrics: Metrics,
    origin: Option<String>,
    body_bytes: usize,
    body_timeout: Duration,
    /// A permit for each byte of a body that is under way.
    room: Arc<Semaphore>,
    doors: HashMap<String, Entrance>,
    unmatched: Vec<(String, Prepared)>,
    failures: Failures,
}

/// One source as requests meet it.
#[derive(Debug)]
struct Entrance {
    source: SourceId,
    name: String,
    counters: SourceCounters,
    /// Empty for every method.
    methods: Vec<Method>,
    accepted: Prepared,
    duplicate: Prepared,
    refused: Prepared,
    wrong_method: Prepared,
}

/// Answers that are the same at every source.
#[derive(Debug)]
struct Failures {
    not_found: Prepared,
    malformed: Prepared,
    too_large: Prepared,
    too_slow: Prepared,
    unavailable: Prepared,
}

impl Failures {
    fn new() -> Self {
        let unavailable = Prepared::error(StatusCode::SERVICE_UNAVAILABLE, "Unavailable, try again");
        Self {
            not_found: Prepared::error(StatusCode::NOT_FOUND, "Not found"),
            malformed: Prepared::error(StatusCode::BAD_REQUEST, "Bad request"),
            too_large: Prepared::error(StatusCode::PAYLOAD_TOO_LARGE, "Payload too large"),
            too_slow: Prepared::error(StatusCode::REQUEST_TIMEOUT, "Request timeout"),
            unavailable: unavailable.with(header::RETRY_AFTER, RETRY_AFTER),
        }
    }
}

/// Why a body was not read to its end.
enum Unread {
    TooLarge,
    TooSlow,
    Malformed,
    NoRoom,
}

/// A whole body, and its place among those under way, given back when the request is answered.
struct Held {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Ingest {
    /// Opens a door for every declared source.
    ///
    /// # Errors
    /// When a source's kept door is not one: one sentence naming the source.
    pub(crate) fn new(
        engine: Engine,
        metrics: Metrics,
        origin: Option<String>,
        limits: &Limits,
        unmatched: &[Unmatched],
    ) -> Result<Self, String> {
        let mut doors = HashMap::new();
        for source in engine.sources().into_iter().filter(|source| source.removed_at.is_none()) {
            let (path, entrance) =
                entrance(&source, &metrics).map_err(|problem| format!("source `{}`: {problem}", source.name))?;
            doors.insert(path, entrance);
        }
        let prepared = |unmatched: &Unmatched| Ok((unmatched.prefix.clone(), Prepared::new(&unmatched.answer)?));
        Ok(Self {
            engine,
            metrics,
            origin,
            body_bytes: limits.body_bytes,
            body_timeout: limits.body_timeout,
            room: Arc::new(Semaphore::new(limits.bodies_bytes.min(Semaphore::MAX_PERMITS))),
            doors,
            unmatched: unmatched.iter().map(prepared).collect::<Result<_, String>>()?,
            failures: Failures::new(),
        })
    }

    /// The engine behind the doors.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Answers a request to any path that the listener does not answer itself.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Whole {
        let Some(entrance) = self.doors.get(request.uri().path()) else {
            return self.answer_unmatched(request.uri().path());
        };
        let (answered, response) = self.enter(entrance, request).await;
        entrance.counters.answered(answered);
        tracing::debug!(
            source = entrance.name,
            answered = answered.name(),
            status = response.status().as_u16(),
            "request"
        );
        response
    }

    /// Unknown paths are answered before anything else is looked at.
    fn answer_unmatched(&self, path: &str) -> Whole {
        self.metrics.unmatched();
        let configured = self.unmatched.iter().find(|(prefix, _)| path.starts_with(prefix));
        configured.map_or(&self.failures.not_found, |(_, answer)| answer).send()
    }

    async fn enter(&self, entrance: &Entrance, request: Request<Incoming>) -> (Answered, Whole) {
        let (head, body) = request.into_parts();
        if !entrance.methods.is_empty() && !entrance.methods.contains(&head.method) {
            return (Answered::WrongMethod, entrance.wrong_method.send());
        }
        let body = match self.read(body).await {
            Ok(body) => body,
            Err(Unread::TooLarge) => return (Answered::TooLarge, closing(self.failures.too_large.send())),
            Err(Unread::TooSlow) => return (Answered::TooSlow, closing(self.failures.too_slow.send())),
            Err(Unread::Malformed) => return (Answered::Malformed, closing(self.failures.malformed.send())),
            Err(Unread::NoRoom) => return (Answered::Unavailable, closing(self.failures.unavailable.send())),
        };
        let inbound = self.inbound(head, body.bytes.clone());
        match self.engine.receive(entrance.source, inbound).await {
            Ok(Receipt::Accepted(committed)) => (Answered::Accepted, entrance.accepted.about(&committed)),
            Ok(Receipt::Duplicate(committed)) => (Answered::Duplicate, entrance.duplicate.about(&committed)),
            Ok(Receipt::Refused(refusal)) => {
                self.metrics.refused(&entrance.name, refusal.id());
                tracing::info!(source = entrance.name, refusal = refusal.id(), "refused: {refusal}");
                (Answered::Refused, entrance.refused.send())
            }
            Err(unavailable) => {
                tracing::error!(source = entrance.name, "answered 503: {unavailable}");
                (Answered::Unavailable, self.failures.unavailable.send())
            }
        }
    }

    /// The whole body, within the limits and in time.
    async fn read(&self, body: Incoming) -> Result<Held, Unread> {
        let declared = body.size_hint().lower();
        if declared > self.body_bytes as u64 {
            return Err(Unread::TooLarge);
        }
        if body.is_end_stream() {
            return Ok(Held { bytes: Bytes::new(), _room: None });
        }
        match timeout(self.body_timeout, self.collect(body, declared)).await {
            Ok(result) => result,
            Err(_) => Err(Unread::TooSlow),
        }
    }

    /// Room is taken for bytes that have come, not for those announced: announcing costs an attacker nothing.
    async fn collect(&self, mut body: Incoming, declared: u64) -> Result<Held, Unread> {
        let mut whole = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Unread::Malformed)?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > self.body_bytes {
                return Err(Unread::TooLarge);
            }
            let more = u32::try_from(data.len()).map_err(|_| Unread::TooLarge)?;
            let more = Arc::clone(&self.room).try_acquire_many_owned(more).map_err(|_| Unread::NoRoom)?;
            match &mut room {
                None => room = Some(more),
                Some(room) => room.merge(more),
            }
            if whole.is_empty() && data.len() as u64 == declared {
                // It came in one piece: nothing is copied.
                return Ok(Held { bytes: data, _room: room });
            }
            if whole.is_empty() {
                let ahead = usize::try_from(declared).unwrap_or(HEAD_START);
                whole.reserve(ahead.clamp(data.len(), HEAD_START.max(data.len())));
            }
            whole.extend_from_slice(&data);
        }
        Ok(Held { bytes: whole.freeze(), _room: room })
    }

    fn inbound(&self, head: request::Parts, body: Bytes) -> InboundRequest {
        let remote = head.extensions.get::<Peer>().map(|peer| peer.0.to_string()).unwrap_or_default();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let url = match (&self.origin, host) {
            (Some(origin), _) => format!("{origin}{target}"),
            (None, Some(host)) => format!("http://{host}{target}"),
            (None, None) => target.to_owned(),
        };
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())));
        InboundRequest { method: head.method.to_string(), url, headers: headers.collect(), body, remote }
    }
}

fn entrance(source: &Source, metrics: &Metrics) -> Result<(String, Entrance), String> {
    let door: Door = serde_json::from_value(source.spec.door.clone()).map_err(|error| format!("its door: {error}"))?;
    let parse = |method: &String| method.parse().map_err(|_| format!("`{method}` is not a method"));
    let methods = door.methods.iter().map(parse).collect::<Result<Vec<Method>, String>>()?;
    let mut wrong_method = Prepared::new(&door.answers.wrong_method)?;
    if wrong_method.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = HeaderValue::from_str(&door.methods.join(", ")).map_err(|_| "its methods".to_owned())?;
        wrong_method = wrong_method.with(header::ALLOW, allow);
    }
    let entrance = Entrance {
        source: source.id,
        name: source.name.clone(),
        counters: metrics.of_source(&source.name),
        methods,
        accepted: Prepared::new(&door.answers.accepted)?,
        duplicate: Prepared::new(&door.answers.duplicate)?,
        refused: Prepared::new(&door.answers.refused)?,
        wrong_method,
    };
    Ok((door.path, entrance))
}
