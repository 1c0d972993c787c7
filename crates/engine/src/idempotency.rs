//! Requests to the API that are carried out once, however often they are sent under one `Idempotency-Key`.
//! Owns how long that holds and what is the same request; carrying it out is the caller's.
//!
//! A request is written down as begun, then carried out, then its answer is written down. A process that dies in
//! between leaves a request of which nobody can say whether it was carried out: whoever sends it again is told so, and
//! it is not carried out a second time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::dedup;
use crate::engine::{Engine, EngineError};
use crate::model::Principal;
use crate::store::{KeptAnswer, Known, NewRequest, RequestKey};

/// How long a request is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);

/// A request under a key.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks; a key is theirs alone.
    pub principal: &'a Principal,
    /// For what: method and path.
    pub operation: &'a str,
    /// The client's `Idempotency-Key`.
    pub key: &'a str,
    /// The request's body.
    pub body: &'a [u8],
}

/// What to do with a request under a key.
#[derive(Debug)]
pub enum Once {
    /// Carry it out, and say what came of it.
    First(Begun),
    /// Answer as the first time.
    Again(KeptAnswer),
    /// The first one is being carried out now.
    UnderWay,
    /// It was begun and never ended: nobody knows whether it was carried out.
    Unfinished,
    /// The key was used for another request.
    Another,
}

/// A request that is being carried out. Dropping it without a word leaves it unfinished.
#[derive(Debug)]
pub struct Begun {
    key: RequestKey,
    under_way: UnderWay,
}

/// The requests that this process is carrying out.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnderWay(Arc<Mutex<HashSet<RequestKey>>>);

impl UnderWay {
    fn enter(&self, key: &RequestKey) -> Option<Begun> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = || Begun { key: key.clone(), under_way: self.clone() };
        keys.insert(key.clone()).then(begun)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.under_way.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Engine {
    /// Begins a request, unless it is known.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when the store does not answer: nothing was begun.
    pub async fn once(&self, asked: Asked<'_>) -> Result<Once, EngineError> {
        let Asked { principal, operation, key, body } = asked;
        let digest = dedup::sha256(format!("{}\0{operation}\0{key}", principal.actor).as_bytes());
        let key = RequestKey { organization: principal.organization, digest };
        let Some(begun) = self.inner().requests_under_way.enter(&key) else { return Ok(Once::UnderWay) };
        // Keyed, because a body may hold a secret that is short enough to be guessed.
        let fingerprint = self.inner().fingerprinter().await?.of("idempotency", body);
        let fingerprint = fingerprint.try_into().expect("HMAC-SHA-256 has 32 bytes");
        let now = self.inner().clock().now();
        let request = NewRequest { key, fingerprint, expires_at: now.plus(REMEMBERED) };
        Ok(match self.inner().store().begin(request, now).await? {
            Known::Begun => Once::First(begun),
            Known::Unfinished => Once::Unfinished,
            Known::Answered(answer) => Once::Again(answer),
            Known::Another => Once::Another,
        })
    }

    /// Keeps the answer to a request that was carried out.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when the store does not answer: the request stays unfinished.
    pub async fn answered(&self, begun: Begun, status: u16, body: Bytes, is_whole: bool) -> Result<(), EngineError> {
        let answer = KeptAnswer { status, body, is_whole };
        Ok(self.inner().store().keep_answer(begun.key.clone(), answer).await?)
    }

    /// Forgets a request that was refused, so that it may be sent again.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when the store does not answer: the request stays unfinished.
    pub async fn give_up(&self, begun: Begun) -> Result<(), EngineError> {
        Ok(self.inner().store().give_up(begun.key.clone()).await?)
    }
}
