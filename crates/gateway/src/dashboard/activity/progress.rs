//! What becomes of an event: whom it is owed to and how that stands, and of one delivery each attempt, its answer and what
//! its program wrote. This part of the page is fetched again while anything is outstanding.

use std::time::Duration;

use hookward_engine::clock::Timestamp;
use hookward_engine::ids::{DeliveryId, OrganizationId};
use hookward_engine::model::{
    Attempt, Delivery, DeliveryCause, DeliveryState, Event, Exchange, KeptOutput, PassedOver, PassedOverReason,
    RESPONSE_EXCERPT_MAX, Scope, Scopes,
};
use hookward_engine::store::{DeliveryFilter, Page as Span};
use serde::Deserialize;

use super::bars::{self, Bar};
use super::body::visible;
use super::curl::{self, Again, Content};
use super::marks::{self, Mark};
use super::path_of;
use crate::api::Api;
use crate::dashboard::page::{Failure, escaped};
use crate::dashboard::words::{self, When};

/// How much of what a program wrote stands in the page, in bytes: its end.
const OUTPUT_MAX: usize = 32 << 10;

/// How many attempts stand in the page: the last ones.
const ATTEMPTS: usize = 60;

/// Which part of an event is looked at.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Chosen {
    #[serde(default)]
    pub(super) delivery: Option<String>,
    #[serde(default)]
    pub(super) attempt: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Progress {
    pub(super) path: String,
    pub(super) rows: Vec<Row>,
    pub(super) passed: Vec<Passed>,
    pub(super) detail: Option<Detail>,
    /// Where this part is fetched again, while anything is outstanding.
    pub(super) live: Option<String>,
    pub(super) may_redeliver: bool,
}

/// One delivery.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) path: String,
    pub(super) destination: String,
    pub(super) mark: Mark,
    /// What `at` is of (`due`, `made`), where that is not the state.
    pub(super) says: &'static str,
    pub(super) at: When,
    pub(super) attempts: u32,
    pub(super) cause: &'static str,
    pub(super) is_chosen: bool,
}

/// A destination that hears the event and is not owed it.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) destination: String,
    pub(super) why: String,
    /// The event that it has instead.
    pub(super) first: Option<(String, String)>,
}

/// The delivery that is looked at.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) id: String,
    pub(super) destination: String,
    pub(super) destination_path: String,
    pub(super) mark: Mark,
    pub(super) is_outstanding: bool,
    pub(super) notes: Vec<String>,
    pub(super) tries: Vec<Try>,
    /// How many earlier ones are not shown.
    pub(super) earlier: usize,
    /// When the next attempt is due, and the word for it.
    pub(super) next: Option<(&'static str, When)>,
    pub(super) attempt: Option<Shown>,
    pub(super) output: Option<Output>,
}

/// One attempt in the timeline.
#[derive(Debug)]
pub(super) struct Try {
    pub(super) number: u32,
    pub(super) path: String,
    pub(super) is_chosen: bool,
    pub(super) mark: Mark,
    pub(super) started: When,
    pub(super) took: String,
    pub(super) bar: Bar,
    /// How long nothing happened before it.
    pub(super) waited: Option<String>,
}

/// The attempt that is looked at.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) mark: Mark,
    pub(super) detail: String,
    pub(super) signed_by: Option<String>,
    pub(super) node: Option<String>,
    pub(super) bar: Bar,
    pub(super) request: Option<Request>,
    pub(super) response: Vec<(String, String)>,
    /// What was answered, or what a program wrote, as far as it is kept with the attempt.
    pub(super) excerpt: String,
    pub(super) is_cut: bool,
}

/// What was sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) curl: String,
}

/// What a program wrote.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) text: String,
    pub(super) total: String,
    /// Whether only its end stands here.
    pub(super) is_end: bool,
    pub(super) path: String,
}

/// How far an event is.
pub(super) async fn of(
    api: &Api,
    event: &Event,
    body: Content<'_>,
    chosen: &Chosen,
    scopes: Scopes,
) -> Result<Progress, Failure> {
    let (store, now) = (api.engine().store(), api.clock().now());
    let filter = DeliveryFilter { event: Some(event.id), ..DeliveryFilter::default() };
    let page = Span { before: None, limit: Span::LIMIT_MAX };
    let deliveries = store.deliveries(event.organization, filter, page).await?.items;
    let wanted = chosen.delivery.as_deref();
    let picked = deliveries.iter().find(|delivery| Some(delivery.id.to_string().as_str()) == wanted);
    let picked = picked.or_else(|| most_telling(&deliveries)).map(|delivery| delivery.id);
    let path = path_of(event.id);
    let detail = match picked {
        Some(id) => Some(detail(api, event, body, id, chosen.attempt, now).await?),
        None => None,
    };
    let is_outstanding = deliveries
        .iter()
        .any(|delivery| matches!(delivery.state, DeliveryState::Pending { .. } | DeliveryState::Leased { .. }));
    let live = is_outstanding.then(|| {
        let delivery = chosen.delivery.as_deref().map(|id| format!("delivery={}", escaped(id)));
        let attempt = chosen.attempt.map(|number| format!("attempt={number}"));
        let query: Vec<String> = delivery.into_iter().chain(attempt).collect();
        format!("{path}/progress?{}", query.join("&"))
    });
    let passed = store.passed_over(event.organization, event.id).await?;
    Ok(Progress {
        rows: deliveries.iter().map(|delivery| row(delivery, &path, Some(delivery.id) == picked, now)).collect(),
        passed: passed.into_iter().map(passed_over).collect(),
        detail,
        live,
        may_redeliver: scopes.contains(Scope::Redeliver),
        path,
    })
}

/// What is looked at when nobody says: what is not well, the newest of it, or else the newest.
fn most_telling(deliveries: &[Delivery]) -> Option<&Delivery> {
    let is_latest = |delivery: &&Delivery| {
        let latest = deliveries.iter().find(|other| other.destination == delivery.destination);
        latest.is_some_and(|latest| latest.id == delivery.id)
    };
    let ill = deliveries.iter().filter(is_latest).find(|delivery| marks::of_delivery(delivery).kind == "bad");
    let open = || deliveries.iter().find(|delivery| !marks::is_over(delivery));
    ill.or_else(open).or_else(|| deliveries.first())
}

fn row(delivery: &Delivery, path: &str, is_chosen: bool, now: Timestamp) -> Row {
    let (says, at) = match delivery.state {
        DeliveryState::Pending { due_at } => ("due", due_at),
        DeliveryState::Leased { .. } => ("made", delivery.created_at),
        DeliveryState::Delivered { at } | DeliveryState::Exhausted { at } | DeliveryState::Cancelled { at } => ("", at),
        DeliveryState::Held { since } | DeliveryState::Waiting { since } => ("", since),
    };
    Row {
        path: format!("{path}?delivery={}#delivery", delivery.id),
        destination: delivery.destination_name.clone(),
        mark: marks::of_delivery(delivery),
        says,
        at: When::new(at, now),
        attempts: delivery.attempts,
        cause: match delivery.cause {
            DeliveryCause::Event => "",
            DeliveryCause::Redelivery { .. } => "redelivery",
            DeliveryCause::Outcome { .. } => "report",
            DeliveryCause::Test => "test",
        },
        is_chosen,
    }
}

fn passed_over(passed: PassedOver) -> Passed {
    let destination = passed.destination_name;
    match passed.reason {
        PassedOverReason::FilterFailed { detail } => {
            Passed { destination, why: format!("An expression failed: {detail}."), first: None }
        }
        PassedOverReason::Once { first } => {
            let why = "It runs a value once, and has it from".to_owned();
            Passed { destination, why, first: Some((first.to_string(), path_of(first))) }
        }
    }
}

async fn detail(
    api: &Api,
    event: &Event,
    body: Content<'_>,
    id: DeliveryId,
    wanted: Option<u32>,
    now: Timestamp,
) -> Result<Detail, Failure> {
    let (delivery, mut attempts) = api.engine().store().delivery(event.organization, id).await?;
    let picked = attempts.iter().position(|attempt| Some(attempt.number) == wanted);
    let picked = picked.or_else(|| attempts.len().checked_sub(1));
    let shown = picked.map(|at| shown(&attempts[at], event, body));
    // Of a program that runs now, what it writes is of an attempt that is not over.
    let of = wanted.filter(|_| picked.is_some_and(|at| Some(attempts[at].number) == wanted));
    let kept = output(api, event.organization, id, of).await?;
    let earlier = attempts.len().saturating_sub(ATTEMPTS);
    let before = earlier.checked_sub(1).map(|at| attempts[at].started_at.plus(attempts[at].duration));
    attempts.drain(..earlier);
    let path = path_of(event.id);
    let number = picked.and_then(|at| attempts.get(at.checked_sub(earlier)?)).map(|attempt| attempt.number);
    Ok(Detail {
        id: id.to_string(),
        destination_path: format!("/dashboard/destinations/{}", escaped(&delivery.destination_name)),
        mark: marks::of_delivery(&delivery),
        is_outstanding: !marks::is_over(&delivery),
        notes: notes(&delivery),
        tries: tries(&attempts, before.unwrap_or(delivery.created_at), (&path, id), number, now),
        earlier,
        next: match delivery.state {
            DeliveryState::Pending { due_at } if due_at > now => Some(("Next attempt", When::new(due_at, now))),
            DeliveryState::Pending { due_at } => Some(("Due", When::new(due_at, now))),
            DeliveryState::Leased { until, .. } => Some(("Under way; its lease ends", When::new(until, now))),
            _ => None,
        },
        attempt: shown,
        output: kept.map(|kept| output_of(&kept, id, of)),
        destination: delivery.destination_name,
    })
}

/// What is worth saying of a delivery besides its state.
fn notes(delivery: &Delivery) -> Vec<String> {
    let mut notes = Vec::new();
    match delivery.cause {
        DeliveryCause::Redelivery { of: Some(of) } => notes.push(format!("Asked for again, after {of}.")),
        DeliveryCause::Redelivery { of: None } => notes.push("Asked for by an operator.".to_owned()),
        DeliveryCause::Outcome { of } => notes.push(format!("Tells how {of} ended.")),
        DeliveryCause::Test => notes.push("A test.".to_owned()),
        DeliveryCause::Event => {}
    }
    notes.extend(delivery.superseded_by.map(|event| format!("Superseded by the newer event {event}.")));
    match delivery.state {
        DeliveryState::Held { .. } if delivery.parked => {
            notes.push("It failed and is held, while those behind it go on; it comes back on resume.".to_owned());
        }
        DeliveryState::Held { .. } => {
            notes.push("Its destination takes nothing now; it is kept until then.".to_owned())
        }
        DeliveryState::Waiting { .. } => {
            notes.push("An earlier delivery of its order key is not over; then it goes.".to_owned());
        }
        _ => {}
    }
    if delivery.skipped > 0 {
        notes.push(format!("{} of its order key were given up before it.", words::count(delivery.skipped.into())));
    }
    notes
}

fn tries(
    attempts: &[Attempt],
    made: Timestamp,
    (path, delivery): (&str, DeliveryId),
    chosen: Option<u32>,
    now: Timestamp,
) -> Vec<Try> {
    let longest = attempts.iter().map(|attempt| attempt.duration).max().unwrap_or_default();
    let mut before = made;
    let each = |attempt: &Attempt| {
        let waited = attempt.started_at.since(before);
        before = attempt.started_at.plus(attempt.duration);
        Try {
            number: attempt.number,
            path: format!("{path}?delivery={delivery}&attempt={}#delivery", attempt.number),
            is_chosen: chosen == Some(attempt.number),
            mark: marks::of_attempt(attempt.outcome, attempt.status, attempt.exit_code),
            started: When::new(attempt.started_at, now),
            took: bars::precisely(attempt.duration),
            bar: bars::of(attempt, longest),
            waited: (waited >= Duration::from_secs(1)).then(|| words::lapse(waited)),
        }
    };
    attempts.iter().map(each).collect()
}

fn shown(attempt: &Attempt, event: &Event, body: Content<'_>) -> Shown {
    let versions: Vec<String> = attempt.signed_by.iter().map(ToString::to_string).collect();
    Shown {
        id: attempt.id.to_string(),
        number: attempt.number,
        mark: marks::of_attempt(attempt.outcome, attempt.status, attempt.exit_code),
        detail: visible(&attempt.detail),
        signed_by: Some(versions.join(", ")).filter(|versions| !versions.is_empty()),
        node: attempt.node.map(|node| node.to_string()),
        bar: bars::of(attempt, attempt.duration),
        request: attempt.exchange.as_ref().map(|exchange| request(exchange, event, body)),
        response: attempt.exchange.as_ref().map(|exchange| headers(&exchange.response_headers)).unwrap_or_default(),
        excerpt: visible(&String::from_utf8_lossy(&attempt.excerpt)),
        is_cut: attempt.excerpt.len() >= RESPONSE_EXCERPT_MAX,
    }
}

fn request(exchange: &Exchange, event: &Event, body: Content<'_>) -> Request {
    let file = format!("{}.body", event.id);
    let (method, url, headers_sent) = (&exchange.method, &exchange.target, &exchange.request_headers);
    Request {
        curl: curl::command(&Again { method, url, headers: headers_sent, body, file: &file }),
        method: method.clone(),
        target: url.clone(),
        headers: headers(headers_sent),
    }
}

/// Headers as text.
pub(super) fn headers(headers: &[(String, bytes::Bytes)]) -> Vec<(String, String)> {
    let text = |value: &bytes::Bytes| visible(&String::from_utf8_lossy(value));
    headers.iter().map(|(name, value)| (visible(name), text(value))).collect()
}

/// What a program wrote, in the attempt under way or in an earlier one.
pub(super) async fn output(
    api: &Api,
    organization: OrganizationId,
    delivery: DeliveryId,
    attempt: Option<u32>,
) -> Result<Option<KeptOutput>, Failure> {
    // Whose it is, before anything of it is read.
    api.engine().store().delivery(organization, delivery).await?;
    match api.engine().follow(delivery, attempt) {
        Some(running) => Ok(Some(running.kept())),
        None => Ok(api.engine().store().output(organization, delivery, attempt).await?),
    }
}

fn output_of(kept: &KeptOutput, delivery: DeliveryId, attempt: Option<u32>) -> Output {
    let start = kept.bytes.len().saturating_sub(OUTPUT_MAX);
    let attempt = attempt.map(|number| format!("?attempt={number}")).unwrap_or_default();
    Output {
        text: visible(&String::from_utf8_lossy(&kept.bytes[start..])),
        total: words::bytes(kept.total_bytes),
        is_end: start > 0,
        path: format!("/dashboard/deliveries/{delivery}/output{attempt}"),
    }
}
