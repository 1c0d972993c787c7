//! The exact bytes of a body, and what a program wrote: to be saved, never to be shown by a browser.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hookward_engine::ids::{DeliveryId, EventId};
use http::{HeaderValue, header};
use serde::Deserialize;

use super::id;
use crate::api::Api;
use crate::api::caller::Read;
use crate::dashboard::page::Failure;
use crate::dashboard::visitor::Visitor;

/// Bytes to save under a name of ours.
fn saved(name: &str, bytes: Bytes) -> Response {
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")).expect("ids are plain");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, bytes).into_response()
}

/// `GET /dashboard/events/{id}/body`
pub(super) async fn body(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Path(event): Path<String>,
) -> Result<Response, Failure> {
    let event: EventId = id(&event, "event")?;
    Ok(saved(&format!("{event}.body"), api.engine().store().body(visitor.organization, event).await?))
}

/// Of which attempt.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    attempt: Option<u32>,
}

/// `GET /dashboard/deliveries/{id}/output`
pub(super) async fn output(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Read>,
    Path(delivery): Path<String>,
    Query(Which { attempt }): Query<Which>,
) -> Result<Response, Failure> {
    let delivery: DeliveryId = id(&delivery, "delivery")?;
    let kept = super::progress::output(&api, visitor.organization, delivery, attempt).await?;
    let kept = kept.ok_or_else(|| Failure::not_found("No program wrote anything in this attempt."))?;
    Ok(saved(&format!("{delivery}.output"), kept.bytes))
}
