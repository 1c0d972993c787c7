//! The inbound door: a request at a source's path becomes an engine's receipt, and the receipt an answer.
//! Owns the order of the checks and the limits on a body; whether a request is believed is the engine's.

mod body;
pub(crate) mod client;
mod doors;
mod entrance;

use std::time::Duration;

use bytes::Bytes;
use hookward_engine::{Engine, InboundRequest, KEY_UNAVAILABLE, Receipt, TurnedAway, Unavailable};
use http::{HeaderValue, Request, StatusCode, header, request};
use hyper::body::Incoming;
use ipnet::IpNet;

use self::body::{Bodies, Unread};
use self::client::Client;
use self::doors::Doors;
use self::entrance::{Desk, Entrance, Tally};
use crate::accept::Peer;
use crate::answer::{self, Prepared, Whole, closing};
use crate::config::{Settings, Unmatched};
use crate::metrics::{Answered, Metrics};

/// Seconds after which a sender may try again when it was our fault.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Every source's door, and what is needed to answer there.
#[derive(Debug)]
pub(crate) struct Ingest {
    engine: Engine,
    metrics: Metrics,
    origin: Option<String>,
    trusted_proxies: Vec<IpNet>,
    bodies: Bodies,
    doors: Doors,
    unmatched: Vec<(String, Prepared)>,
    failures: Failures,
}

/// Answers that are the same at every source.
#[derive(Debug)]
struct Failures {
    not_found: Prepared,
    malformed: Prepared,
    too_large: Prepared,
    too_slow: Prepared,
    too_many: Prepared,
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
            too_many: Prepared::error(StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            unavailable: unavailable.with(header::RETRY_AFTER, RETRY_AFTER),
        }
    }

    /// Tells a sender that goes too fast when to come again: in whole seconds, so that it is never too early.
    fn limited(&self, retry_after: Duration) -> Whole {
        let mut answer = self.too_many.send();
        let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
        answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        answer
    }

    fn unread(&self, unread: Unread) -> (Answered, &Prepared) {
        match unread {
            Unread::TooLarge => (Answered::TooLarge, &self.too_large),
            Unread::TooSlow => (Answered::TooSlow, &self.too_slow),
            Unread::Malformed => (Answered::Malformed, &self.malformed),
            Unread::NoRoom => (Answered::Unavailable, &self.unavailable),
        }
    }
}

impl Ingest {
    /// Opens a door for every declared source.
    ///
    /// # Errors
    /// When a source's kept door is not one, or two do not fit on one path: one sentence naming the source.
    pub(crate) fn new(
        engine: Engine,
        metrics: Metrics,
        settings: &Settings,
        unmatched: &[Unmatched],
    ) -> Result<Self, String> {
        let doors = Doors::open(engine.clone(), metrics.clone(), settings.limits.clone())?;
        let prepared = |unmatched: &Unmatched| Ok((unmatched.prefix.clone(), Prepared::new(&unmatched.answer)?));
        Ok(Self {
            engine,
            metrics,
            origin: settings.origin.clone(),
            trusted_proxies: settings.trusted_proxies.clone(),
            bodies: Bodies::new(&settings.limits),
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
        let Some(entrance) = self.doors.at(request.uri().path()) else {
            return self.answer_unmatched(request.uri().path());
        };
        if let Err(error) = self.engine.check_current() {
            entrance.tally.count(Answered::Unavailable);
            tracing::debug!(source = entrance.tally.name(), "answered 503: {error}");
            return self.failures.unavailable.send();
        }
        let (tally, answered, response) = self.enter(&entrance, request).await;
        tally.count(answered);
        let (source, status) = (tally.name(), response.status().as_u16());
        tracing::debug!(source, answered = answered.name(), status, "request");
        response
    }

    /// Unknown paths are answered before anything else is looked at.
    fn answer_unmatched(&self, path: &str) -> Whole {
        // Another node may have opened a door there.
        if self.engine.check_current().is_err() {
            return self.failures.unavailable.send();
        }
        self.metrics.unmatched();
        let configured = self.unmatched.iter().find(|(prefix, _)| path.starts_with(prefix));
        configured.map_or(&self.failures.not_found, |(_, answer)| answer).send()
    }

    async fn enter<'e>(&self, entrance: &'e Entrance, request: Request<Incoming>) -> (&'e Tally, Answered, Whole) {
        let (head, body) = request.into_parts();
        let tally = &entrance.tally;
        let client = self.client(&head);
        if !entrance.is_open_to(client) {
            self.turn_away(tally, TurnedAway::AddressNotAllowed, &self.inbound(client, head, Bytes::new())).await;
            return (tally, Answered::Refused, entrance.refused.send());
        }
        let is_taken = entrance.takes(&head.method);
        if !is_taken && !entrance.shakes_hands(&head.method) {
            return (tally, Answered::WrongMethod, entrance.wrong_method.send());
        }
        let body = match self.bodies.read(body, entrance.body_bytes).await {
            Ok(body) => body,
            Err(unread) => {
                let (answered, answer) = self.failures.unread(unread);
                return (tally, answered, closing(answer.send()));
            }
        };
        let desk = entrance.desk(&head.headers, &body.bytes);
        let inbound = self.inbound(client, head, body.bytes.clone());
        match desk {
            Ok(desk) => {
                let receipt = if is_taken {
                    self.engine.receive(desk.source, inbound).await.map(Some)
                } else {
                    self.engine.shake_hands(desk.source, &inbound).await
                };
                let (answered, response) = self.tell(entrance, desk, receipt);
                (&desk.tally, answered, response)
            }
            Err(like) => {
                self.turn_away(tally, TurnedAway::NoSourceForHint { like }, &inbound).await;
                (tally, Answered::Refused, entrance.refused.send())
            }
        }
    }

    /// What a sender is told. There is no receipt for a request whose method is that of a handshake when it is none.
    fn tell(
        &self,
        entrance: &Entrance,
        desk: &Desk,
        receipt: Result<Option<Receipt>, Unavailable>,
    ) -> (Answered, Whole) {
        let source = desk.tally.name();
        match receipt {
            Ok(Some(receipt)) => self.tell_of(entrance, desk, receipt),
            Ok(None) => (Answered::WrongMethod, entrance.wrong_method.send()),
            Err(unavailable) => {
                tracing::error!(source, "answered 503: {unavailable}");
                (Answered::Unavailable, self.failures.unavailable.send())
            }
        }
    }

    fn tell_of(&self, entrance: &Entrance, desk: &Desk, receipt: Receipt) -> (Answered, Whole) {
        let source = desk.tally.name();
        match receipt {
            Receipt::Accepted(committed) => {
                let ignored = desk.ignored.as_ref().filter(|_| committed.owed() == 0);
                (Answered::Accepted, ignored.unwrap_or(&desk.accepted).about(&committed))
            }
            Receipt::Duplicate(committed) => (Answered::Duplicate, desk.duplicate.about(&committed)),
            Receipt::Answered(handshake) => (Answered::Handshake, answer::handshake(handshake)),
            Receipt::Refused(refusal) => {
                self.metrics.refused(source, refusal.id());
                tracing::debug!(source, refusal = refusal.id(), "refused: {refusal}");
                (Answered::Refused, entrance.refused.send())
            }
            Receipt::Undecided => {
                self.metrics.refused(source, KEY_UNAVAILABLE);
                tracing::debug!(source, "answered 503: a published key cannot be fetched");
                (Answered::Unavailable, self.failures.unavailable.send())
            }
            Receipt::Limited { retry_after } => (Answered::Limited, self.failures.limited(retry_after)),
        }
    }

    /// Takes note of a request that is refused before it is any source's to prove.
    async fn turn_away(&self, tally: &Tally, why: TurnedAway, inbound: &InboundRequest) {
        let source = tally.name();
        self.engine.turn_away(tally.organization, tally.at.clone(), why, inbound).await;
        self.metrics.refused(source, why.id());
        tracing::debug!(source, refusal = why.id(), "refused: {}", why.explanation());
    }

    fn client(&self, head: &request::Parts) -> Client {
        let Peer(peer) = *head.extensions.get::<Peer>().expect("every connection has a peer");
        client::client(peer, &head.headers, &self.trusted_proxies)
    }

    fn inbound(&self, client: Client, head: request::Parts, body: Bytes) -> InboundRequest {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let url = match (&self.origin, host) {
            (Some(origin), _) => format!("{origin}{target}"),
            (None, Some(host)) => format!("http://{host}{target}"),
            (None, None) => target.to_owned(),
        };
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())));
        InboundRequest {
            method: head.method.to_string(),
            url,
            headers: headers.collect(),
            body,
            remote: client.to_string(),
        }
    }
}
