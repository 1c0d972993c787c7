//! Backups, for whoever operates the installation: everything as it is now, in one answer.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header;
use tokio::io::AsyncReadExt;

use super::Api;
use super::caller::{Admin, Caller};
use super::problem::Problem;

/// What is read of the copy at once.
const CHUNK: usize = 256 << 10;

/// `POST /backup`. The answer begins once the copy is made, so that it names its length.
pub(crate) async fn take(State(api): State<Arc<Api>>, caller: Caller<Admin>) -> Result<Response, Problem> {
    let caller = caller.operator()?;
    let backup = api.engine.backup(&caller).await?;
    let length = backup.head.len() as u64 + backup.manifest.database_bytes;
    let source = Source { head: Some(backup.head.into()), database: tokio::fs::File::from_std(backup.database) };
    let body = Body::from_stream(futures_util::stream::try_unfold(source, next));
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_LENGTH, length.to_string())];
    Ok((headers, body).into_response())
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
