//! Many events published with one request, and what became of each.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookward_engine::{BATCH_MAX, Publish as Publication, PublishError, Published};
use http::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Api;
use super::caller::{Caller, Publish};
use super::extract::{Batch as Body, parse};
use super::problem::{Code, Misplaced, Problem};
use crate::openapi::{Answers, Operation};

/// Events to publish.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Publications")]
pub(crate) struct Events<'a> {
    /// At least one.
    #[serde(borrow)]
    #[schemars(with = "Vec<Envelope<'static>>", length(min = 1, max = 1000))]
    events: Vec<&'a RawValue>,
}

/// One of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "BatchedPublication")]
pub(crate) struct Envelope<'a> {
    #[serde(rename = "type")]
    #[schemars(example = &"invoice.paid")]
    event_type: String,
    /// Any JSON; its text is delivered exactly as it stands.
    #[serde(borrow)]
    #[schemars(with = "serde_json::Value", example = serde_json::json!({ "invoice": 42 }))]
    payload: &'a RawValue,
    /// As the header `Idempotency-Key` of a single event.
    #[serde(default)]
    idempotency_key: Option<String>,
}

/// What became of each event, in their order.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PublishedBatch")]
pub(crate) struct Answered {
    results: Vec<Outcome>,
    /// How many of them are events now, or were before.
    published: usize,
    /// How many are not.
    refused: usize,
}

/// What became of one event.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "BatchedResult")]
pub(crate) struct Outcome {
    /// `accepted`: it is on disk. `repeated`: its key was known, with the same payload. `refused`: see `code`.
    #[schemars(extend("enum" = ["accepted", "repeated", "refused"]))]
    result: &'static str,
    /// The event, or the first one under its key.
    #[serde(rename = "eventId", skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
    /// Why it was refused: what the API would have answered to this event alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Where its payload does not fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Misplaced>,
}

impl IntoResponse for Answered {
    fn into_response(self) -> Response {
        let status = if self.refused == 0 { StatusCode::ACCEPTED } else { StatusCode::MULTI_STATUS };
        (status, Json(self)).into_response()
    }
}

impl Answers for Answered {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers::<Self>(StatusCode::ACCEPTED);
        operation.answers::<Self>(StatusCode::MULTI_STATUS);
    }
}

/// `POST /events/batch`: each event is judged by itself, those that are published are committed together.
pub(crate) async fn publish(
    State(api): State<Arc<Api>>,
    caller: Caller<Publish>,
    body: Body<Events<'static>>,
) -> Result<Answered, Problem> {
    let Events { events } = parse(&body.0)?;
    if events.is_empty() || events.len() > BATCH_MAX {
        return Err(Problem::new(Code::InvalidRequest, format!("`events` has 1 to {BATCH_MAX} of them")));
    }
    let mut read = Vec::with_capacity(events.len());
    let mut publications = Vec::with_capacity(events.len());
    for event in events {
        match envelope(&api, &caller, &body.0, event) {
            Ok(publication) => {
                publications.push(publication);
                read.push(None);
            }
            Err(problem) => read.push(Some(problem)),
        }
    }
    let mut published = api.engine.publish_batch(publications).await?.into_iter();
    let answer = |problem: Option<Problem>| match problem {
        Some(problem) => refused(problem, None),
        None => outcome(published.next().expect("there is an answer to each event that was read")),
    };
    let results: Vec<Outcome> = read.into_iter().map(answer).collect();
    let count = results.iter().filter(|outcome| outcome.result == "refused").count();
    Ok(Answered { published: results.len() - count, refused: count, results })
}

fn envelope(api: &Api, caller: &Caller<Publish>, body: &Bytes, event: &RawValue) -> Result<Publication, Problem> {
    let Envelope { event_type, payload, idempotency_key } = parse(event.get().as_bytes())?;
    if payload.get().len() > api.public().body_bytes {
        let detail = format!("the payload is larger than {} bytes", api.public().body_bytes);
        return Err(Problem::new(Code::PayloadTooLarge, detail));
    }
    let payload = body.slice_ref(payload.get().as_bytes());
    Ok(Publication { event_type, payload, idempotency_key, by: (**caller).clone() })
}

fn outcome(published: Result<Published, PublishError>) -> Outcome {
    let (result, committed) = match published {
        Ok(Published::Accepted(committed)) => ("accepted", committed),
        Ok(Published::Repeated(committed)) => ("repeated", committed),
        Err(error) => {
            let first = match &error {
                PublishError::IdempotencyConflict { first } => Some(first.to_string()),
                _ => None,
            };
            return refused(error.into(), first);
        }
    };
    let event_id = Some(committed.first_event().to_string());
    Outcome { result, event_id, code: None, detail: None, errors: Vec::new() }
}

fn refused(problem: Problem, event_id: Option<String>) -> Outcome {
    let code = Some(problem.code());
    let (detail, errors) = problem.into_words();
    Outcome { result: "refused", event_id, code, detail: Some(detail), errors }
}
