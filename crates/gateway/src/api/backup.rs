//! Backups, for whoever operates the installation: everything as it is now, in one answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, header};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::Api;
use super::caller::{Admin, Caller};
use super::problem::Problem;
use crate::openapi::{Answers, Operation};

/// What is read of the copy at once.
const CHUNK: usize = 256 << 10;

/// `POST /backup`. The answer begins once the copy is made, so that it names its length.
pub(crate) async fn take(State(api): State<Arc<Api>>, caller: Caller<Admin>) -> Result<Copy, Problem> {
    let caller = caller.operator()?;
    let backup = api.engine.backup(&caller).await?;
    let length = backup.head.len() as u64 + backup.manifest.database_bytes;
    let source = Source { head: Some(backup.head.into()), database: tokio::fs::File::from_std(backup.database) };
    let body = Body::from_stream(futures_util::stream::try_unfold(source, next));
    Ok(Copy { length, body })
}

/// The copy as it is answered.
#[derive(Debug)]
pub(crate) struct Copy {
    length: u64,
    body: Body,
}

impl IntoResponse for Copy {
    fn into_response(self) -> Response {
        let kind = (header::CONTENT_TYPE, "application/octet-stream".to_owned());
        ([kind, (header::CONTENT_LENGTH, self.length.to_string())], self.body).into_response()
    }
}

impl Answers for Copy {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers_as(StatusCode::OK, "application/octet-stream", json!({}));
    }
}

struct Source {
    head: Option<Bytes>,
    database: tokio::fs::File,
}

async fn next(mut source: Source) -> std::io::Result<Option<(Bytes, Source)>> {
    if let Some(head) = source.head.take() {
        return Ok(Some((head, source)));
    }
    let mut chunk = Vec::with_capacity(CHUNK);
    (&mut source.database).take(CHUNK as u64).read_to_end(&mut chunk).await?;
    Ok((!chunk.is_empty()).then(|| (chunk.into(), source)))
}
