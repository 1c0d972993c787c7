//! `Idempotency-Key` on requests that make something: such a request is carried out once, however often it is sent.
//! Owns what it is answered the second time; what the same request is, and for how long, is the engine's.
//!
//! A key or a token is shown once: an answer that holds one is not kept, not even sealed. Whoever repeats the request
//! is told what it made, and can take that back and ask anew: that costs one more request, while a kept secret would
//! be one more place to lose it from, for everybody, always.

use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookward_engine::idempotency::{Asked, Begun, Once};
use hookward_engine::store::KeptAnswer;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::Api;
use super::answers::ShownOnce;
use super::caller::Authenticated;
use super::extract::{BODY_MAX, read};
use super::problem::{Code, Problem};
use crate::openapi::{Operation, Takes};

/// The longest key, in bytes.
const KEY_MAX: usize = 255;

/// Said of an answer that was given before.
const REPEATED: &str = "idempotent-replayed";

/// A handler that is asked once for each key.
#[derive(Debug, Clone)]
pub(crate) struct AskedOnce<H>(pub(crate) H);

impl<H, T> Handler<T, Arc<Api>> for AskedOnce<H>
where
    H: Handler<T, Arc<Api>>,
    T: 'static,
{
    type Future = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn call(self, request: Request, api: Arc<Api>) -> Self::Future {
        Box::pin(async move {
            match key(request.headers()) {
                Ok(None) => self.0.call(request, api).await,
                Ok(Some(key)) => once(self.0, request, api, &key).await.unwrap_or_else(IntoResponse::into_response),
                Err(problem) => problem.into_response(),
            }
        })
    }
}

/// What it takes and answers besides.
pub(crate) fn describe(operation: &mut Operation<'_>) {
    operation.takes_header("Idempotency-Key", schema("24 hours"));
    for code in [
        Code::InvalidRequest,
        Code::IdempotencyConflict,
        Code::IdempotencyUnderWay,
        Code::IdempotencyUnfinished,
        Code::IdempotencyShownOnce,
    ] {
        operation.may(code);
    }
}

/// The key of a request, for a handler that sees to it itself.
#[derive(Debug)]
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl<S: Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        key(&parts.headers).map(Self)
    }
}

impl Takes for IdempotencyKey {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_header("Idempotency-Key", schema("7 days"));
        operation.may(Code::InvalidRequest);
        operation.may(Code::IdempotencyConflict);
    }
}

fn schema(remembered: &str) -> Value {
    let description = format!(
        "Text of your choice, such as a UUID: what is asked under it is done once within {remembered}, and answered \
         alike each time."
    );
    json!({
        "type": "string", "minLength": 1, "maxLength": KEY_MAX, "pattern": "^[ -~]*$", "description": description,
    })
}

/// The key of a request.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let (first, second) = (values.next(), values.next());
    let invalid =
        || Problem::new(Code::InvalidRequest, "`Idempotency-Key` is 1 to 255 printable ASCII characters, once");
    if second.is_some() {
        return Err(invalid());
    }
    let Some(value) = first else { return Ok(None) };
    let is_printable = value.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte));
    let key = value.to_str().ok().filter(|key| is_printable && (1..=KEY_MAX).contains(&key.len()));
    key.map(|key| Some(key.to_owned())).ok_or_else(invalid)
}

async fn once<H, T>(handler: H, request: Request, api: Arc<Api>, key: &str) -> Result<Response, Problem>
where
    H: Handler<T, Arc<Api>>,
    T: 'static,
{
    let (parts, body) = request.into_parts();
    let body = read(body, BODY_MAX).await?;
    let authenticated = parts.extensions.get::<Arc<Authenticated>>().cloned();
    // Without a caller nothing is begun: the handler says 401.
    let Some(authenticated) = authenticated else {
        return Ok(handler.call(Request::from_parts(parts, body.into()), api).await);
    };
    let operation = format!("{} {}", parts.method, parts.uri);
    let asked = Asked { principal: &authenticated.principal, operation: &operation, key, body: &body };
    let begun = match api.engine.once(asked).await? {
        Once::First(begun) => begun,
        other => return again(other),
    };
    // It goes on when the client does not wait for its end, and is waited for when the gateway stops.
    let carrying_out = api.tasks.spawn({
        let api = Arc::clone(&api);
        async move {
            let response = handler.call(Request::from_parts(parts, body.into()), Arc::clone(&api)).await;
            remember(&api, begun, response).await
        }
    });
    carrying_out.await.map_err(|_| Problem::new(Code::Inconsistent, "the request was not carried out to its end"))
}

/// Keeps what is to be answered next time.
async fn remember(api: &Api, begun: Begun, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let status = parts.status;
    let kept = if status.is_success() {
        match parts.extensions.get::<ShownOnce>() {
            None => api.engine.answered(begun, status.as_u16(), body.clone(), true).await,
            Some(ShownOnce(id)) => api.engine.answered(begun, status.as_u16(), Bytes::from(id.clone()), false).await,
        }
    } else if status == StatusCode::INTERNAL_SERVER_ERROR {
        // Nobody knows what was done: it stays unfinished.
        Ok(())
    } else {
        api.engine.give_up(begun).await
    };
    if let Err(error) = kept {
        tracing::error!(%error, "what came of a request with an `Idempotency-Key` could not be kept");
    }
    Response::from_parts(parts, body.into())
}

/// The answer to a request that was sent before.
fn again(once: Once) -> Result<Response, Problem> {
    Err(match once {
        Once::Again(KeptAnswer { status, body, is_whole: true }) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let mut response = (status, body).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response.headers_mut().insert(REPEATED, HeaderValue::from_static("true"));
            return Ok(response);
        }
        Once::Again(KeptAnswer { body, .. }) => {
            let id = String::from_utf8_lossy(&body);
            Problem::new(
                Code::IdempotencyShownOnce,
                format!("this request made `{id}`, whose secret was shown then and is not kept: delete it, or use it"),
            )
        }
        Once::UnderWay => Problem::new(Code::IdempotencyUnderWay, "this request is being carried out: ask again soon"),
        Once::Unfinished => Problem::new(
            Code::IdempotencyUnfinished,
            "this request was interrupted: look whether it was carried out, and if not send it under another key",
        ),
        Once::Another | Once::First(_) => {
            Problem::new(Code::IdempotencyConflict, "this `Idempotency-Key` was used for another request")
        }
    })
}
