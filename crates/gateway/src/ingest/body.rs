//! Reading a request's body: its limit, its time, and the room that all bodies under way share.
//! Owns nothing of what is in it.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::Limits;

/// How many times what has come first a body is given room for, if it announces so much: an honest sender's body is
/// copied seldom, and a slow one's byte costs four.
const HEAD_START: usize = 4;

/// Why a body was not read to its end.
pub(super) enum Unread {
    TooLarge,
    TooSlow,
    Malformed,
    NoRoom,
}

/// A whole body, and its place among those under way, given back when the request is answered.
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// Where bodies are read.
#[derive(Debug)]
pub(super) struct Bodies {
    timeout: Duration,
    /// A permit for each byte of a body that is under way.
    room: Arc<Semaphore>,
}

impl Bodies {
    pub(super) fn new(limits: &Limits) -> Self {
        let room = Arc::new(Semaphore::new(limits.bodies_bytes.min(Semaphore::MAX_PERMITS)));
        Self { timeout: limits.body_timeout, room }
    }

    /// The whole body of at most `most` bytes, in time.
    pub(super) async fn read(&self, body: Incoming, most: usize) -> Result<Held, Unread> {
        let declared = body.size_hint().lower();
        if declared > most as u64 {
            return Err(Unread::TooLarge);
        }
        if body.is_end_stream() {
            return Ok(Held { bytes: Bytes::new(), _room: None });
        }
        match timeout(self.timeout, self.collect(body, declared, most)).await {
            Ok(result) => result,
            Err(_) => Err(Unread::TooSlow),
        }
    }

    /// Room is taken for bytes that have come, not for those announced: announcing costs an attacker nothing.
    async fn collect(&self, mut body: Incoming, declared: u64, most: usize) -> Result<Held, Unread> {
        let mut whole = BytesMut::new();
        let mut room: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Unread::Malformed)?;
            let Ok(data) = frame.into_data() else { continue };
            if whole.len() + data.len() > most {
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
                let announced = usize::try_from(declared).unwrap_or(usize::MAX);
                whole.reserve(announced.clamp(data.len(), HEAD_START * data.len().max(1)));
            }
            whole.extend_from_slice(&data);
        }
        Ok(Held { bytes: whole.freeze(), _room: room })
    }
}
