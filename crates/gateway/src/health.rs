//! Whether this process lives, whether it can work, and what it has counted.
//! None of it needs a key: the public listener says yes or no, the admin one says why.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookward_engine::Engine;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::timeout;

use crate::answer::{Prepared, Whole};
use crate::api::authorize::Sender;
use crate::api::problem::Problem;
use crate::api::{Api, time};
use crate::config::Answer;

/// How long the store may take to show that it answers.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most secrets that are named; the rest are counted.
const NAMES: usize = 8;

/// `/healthz`: the process answers, so it lives.
pub(crate) fn live(method: &Method) -> Whole {
    check(method, 200, r#"{"status":"ok"}"#)
}

/// `/readyz` for the internet: no reasons.
pub(crate) async fn ready(method: &Method, engine: &Engine) -> Whole {
    match store_answers(engine).await {
        Ok(()) => check(method, 200, r#"{"status":"ready"}"#),
        Err(_) => check(method, 503, r#"{"status":"unavailable"}"#),
    }
}

/// `/healthz` on the admin listener.
pub(crate) async fn admin_live() -> Response {
    json(StatusCode::OK, &serde_json::json!({ "status": "ok" }))
}

/// `/readyz` on the admin listener.
pub(crate) async fn admin_ready(State(api): State<Arc<Api>>) -> Response {
    match store_answers(api.engine()).await {
        Ok(()) => match shut(api.engine()) {
            None => json(StatusCode::OK, &ready_and_notices(api.engine())),
            Some(reason) => {
                json(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "status": "degraded", "reason": reason }))
            }
        },
        Err(reason) => {
            json(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "status": "unavailable", "reason": reason }))
        }
    }
}

/// Which secrets are not open, if any: whoever needs them is answered 503, everybody else goes on. So only operators are
/// told here; the listener for senders stays ready.
fn shut(engine: &Engine) -> Option<String> {
    let shut = engine.shut_secrets();
    let first = shut.first()?;
    let names: Vec<_> = shut.iter().take(NAMES).map(|secret| format!("{} v{}", secret.owner, secret.version)).collect();
    let more = if shut.len() > NAMES { format!(" and {} more", shut.len() - NAMES) } else { String::new() };
    Some(format!("secrets that do not open: {}{more}: {}; see `hookward kms status`", names.join(", "), first.error))
}

/// Ready, and what is odd all the same.
fn ready_and_notices(engine: &Engine) -> serde_json::Value {
    let stepped = engine.clock_step().map(|step| {
        let direction = if step.by_ms < 0 { "back" } else { "forward" };
        let by_s = step.by_ms.unsigned_abs() / 1000;
        format!("the wall clock was set {direction} by {by_s} s, noticed at {}", time(step.noticed_at))
    });
    // Whoever needs such a key is answered 503, everybody else goes on.
    let failing = engine.failing_keys().into_iter().take(NAMES).map(|failing| {
        format!("source `{}` cannot fetch its provider's key at {}: {}", failing.source, failing.url, failing.problem)
    });
    let notices: Vec<String> = stepped.into_iter().chain(failing).collect();
    match notices.is_empty() {
        true => serde_json::json!({ "status": "ready" }),
        false => serde_json::json!({ "status": "ready", "notices": notices }),
    }
}

/// `/metrics`.
pub(crate) async fn metrics(
    State(api): State<Arc<Api>>,
    sender: Sender,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    api.may_see_metrics(&sender, &headers).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], api.render_metrics().await).into_response())
}

async fn store_answers(engine: &Engine) -> Result<(), String> {
    engine.check_current().map_err(|error| error.to_string())?;
    match timeout(PATIENCE, engine.store().backlog()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the store has not answered for {} s", PATIENCE.as_secs())),
    }
}

fn check(method: &Method, status: u16, body: &str) -> Whole {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let allow = HeaderValue::from_static("GET, HEAD");
        return Prepared::error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed").with(header::ALLOW, allow).send();
    }
    Prepared::new(&Answer::json(status, body)).expect("a status, and JSON").send()
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, axum::Json(value)).into_response()
}
