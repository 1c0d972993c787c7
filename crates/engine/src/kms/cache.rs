//! What was opened is kept for a time: opened once however many wait for it, and asked for again only when it makes sense.
//! Owns the time and the waiting; what is opened, and with what, is `opening`'s.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{Kms, KmsError};
use crate::clock::Clock;

/// How long a value that will not open is left alone: the KMS may be set right while we run.
const FAILED_PAUSE: Duration = Duration::from_secs(60);

/// How long a KMS that does not answer is left alone, at first and at most.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);

/// How long what is opened may be used, and how long opening it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CachePolicy {
    /// From being opened until it may not be used any more. It is opened anew after half of this.
    pub ttl: Duration,
    /// For one call to the KMS.
    pub timeout: Duration,
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(6 * 3600), timeout: Duration::from_secs(5) }
    }
}

/// A sealed value's opened form, while it may be used.
pub(crate) struct Cell<T> {
    ttl: Duration,
    state: Mutex<State<T>>,
    opening: tokio::sync::Mutex<()>,
}

struct State<T> {
    /// With the time at which it was opened.
    open: Option<(T, Duration)>,
    /// The last try, if it failed, with its time.
    failed: Option<(KmsError, Duration)>,
}

impl<T: Clone> Cell<T> {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, state: Mutex::new(State { open: None, failed: None }), opening: tokio::sync::Mutex::new(()) }
    }

    /// The value and until when it may be used, if it may be used at `elapsed`.
    pub(crate) fn get(&self, elapsed: Duration) -> Option<(T, Duration)> {
        let state = self.state();
        let (value, opened_at) = state.open.as_ref()?;
        let until = *opened_at + self.ttl;
        (elapsed < until).then(|| (value.clone(), until))
    }

    /// Why the last try failed.
    pub(crate) fn failure(&self) -> Option<KmsError> {
        self.state().failed.as_ref().map(|(error, _)| error.clone())
    }

    /// Lets the next one who asks try at once.
    pub(crate) fn forget_failure(&self) {
        self.state().failed = None;
    }

    /// Forgets a value that may not be used any more.
    pub(crate) fn expire(&self, elapsed: Duration) {
        let mut state = self.state();
        if state.open.as_ref().is_some_and(|(_, opened_at)| elapsed >= *opened_at + self.ttl) {
            state.open = None;
        }
    }

    /// When it should be opened: at once, or anew after half its time, unless a try failed for good a moment ago.
    pub(crate) fn due_at(&self) -> Duration {
        let state = self.state();
        let wanted = state.open.as_ref().map_or(Duration::ZERO, |(_, opened_at)| *opened_at + self.ttl / 2);
        match &state.failed {
            Some((KmsError::Damaged | KmsError::WrongKey { .. }, at)) => wanted.max(*at + FAILED_PAUSE),
            Some((KmsError::Unavailable(_), _)) | None => wanted,
        }
    }

    /// The value, opened by `open` unless it may be used as it is. Of all who ask at once one opens, and what comes of it
    /// is everybody's; if that one goes away, the next takes its place.
    pub(crate) async fn open(
        &self,
        clock: &dyn Clock,
        open: impl Future<Output = Result<T, KmsError>>,
    ) -> Result<T, KmsError> {
        let usable = |elapsed| self.get(elapsed).map(|(value, _)| value);
        self.unless(usable, clock, open).await
    }

    /// The same for a value that is due, even if it may be used for a while yet.
    pub(crate) async fn renew(
        &self,
        clock: &dyn Clock,
        open: impl Future<Output = Result<T, KmsError>>,
    ) -> Result<T, KmsError> {
        let fresh = |elapsed| self.get(elapsed).map(|(value, _)| value).filter(|_| elapsed < self.due_at());
        self.unless(fresh, clock, open).await
    }

    async fn unless(
        &self,
        is_there: impl Fn(Duration) -> Option<T>,
        clock: &dyn Clock,
        open: impl Future<Output = Result<T, KmsError>>,
    ) -> Result<T, KmsError> {
        let asked_at = clock.elapsed();
        if let Some(value) = is_there(asked_at) {
            return Ok(value);
        }
        let _one_at_a_time = self.opening.lock().await;
        let now = clock.elapsed();
        if let Some(value) = is_there(now) {
            return Ok(value);
        }
        let failed = self.state().failed.clone();
        if let Some((error, at)) = failed
            && (at > asked_at || now < self.due_at())
        {
            return Err(error);
        }
        let result = open.await;
        let now = clock.elapsed();
        let mut state = self.state();
        match &result {
            Ok(value) => *state = State { open: Some((value.clone(), now)), failed: None },
            Err(error) => state.failed = Some((error.clone(), now)),
        }
        result
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let opened_at = state.open.as_ref().map(|(_, at)| at);
        f.debug_struct("Cell").field("opened_at", &opened_at).field("failed", &state.failed).finish_non_exhaustive()
    }
}

/// Keys whose KMS did not answer, and until when it is not asked: a request that would only wait is answered at once.
#[derive(Debug, Default)]
pub(crate) struct Rests {
    resting: Mutex<HashMap<String, Rest>>,
}

#[derive(Debug)]
struct Rest {
    problem: String,
    pause: Duration,
    until: Duration,
    /// Somebody asks again, and whoever else would has to wait for that.
    is_tried: bool,
}

impl Rests {
    /// Whether the KMS may be asked for this key at `elapsed`. After a rest one may, and for `timeout` nobody else.
    pub(crate) fn admit(&self, key_id: &str, elapsed: Duration, timeout: Duration) -> Result<(), KmsError> {
        match self.resting().get_mut(key_id) {
            Some(rest) if elapsed < rest.until => Err(KmsError::Unavailable(rest.problem.clone())),
            Some(rest) => {
                rest.until = elapsed + timeout;
                rest.is_tried = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Takes note of an answer. Whether it ended a rest.
    pub(crate) fn heard<T>(&self, key_id: &str, elapsed: Duration, answer: &Result<T, KmsError>) -> bool {
        let mut resting = self.resting();
        let Err(KmsError::Unavailable(problem)) = answer else { return resting.remove(key_id).is_some() };
        let rest = resting.entry(key_id.to_owned()).or_insert_with(|| {
            tracing::error!(key_id, problem, "the KMS does not answer; what is open goes on being used");
            Rest { problem: String::new(), pause: Duration::ZERO, until: Duration::ZERO, is_tried: false }
        });
        // Only one asks after a rest; whoever else fails was under way when the rest began, and makes it no longer.
        if rest.until <= elapsed || rest.is_tried {
            rest.pause = (rest.pause * 2).clamp(REST_MIN, REST_MAX);
            rest.until = elapsed + rest.pause;
        }
        rest.is_tried = false;
        rest.problem.clone_from(problem);
        false
    }

    /// Until when the key is not asked for, and why.
    pub(crate) fn of(&self, key_id: &str) -> Option<(Duration, KmsError)> {
        self.resting().get(key_id).map(|rest| (rest.until, KmsError::Unavailable(rest.problem.clone())))
    }

    fn resting(&self) -> MutexGuard<'_, HashMap<String, Rest>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A KMS that answers in time, if only that it does not answer.
#[derive(Debug)]
pub(crate) struct Bounded {
    kms: std::sync::Arc<dyn Kms>,
    limit: Duration,
}

impl Bounded {
    pub(crate) fn new(kms: std::sync::Arc<dyn Kms>, limit: Duration) -> Self {
        Self { kms, limit }
    }

    fn late(&self) -> KmsError {
        KmsError::Unavailable(format!("no answer within {} ms", self.limit.as_millis()))
    }
}

#[async_trait]
impl Kms for Bounded {
    fn key_id(&self) -> &str {
        self.kms.key_id()
    }

    fn holds(&self, key_id: &str) -> bool {
        self.kms.holds(key_id)
    }

    fn key_ids(&self) -> Vec<String> {
        self.kms.key_ids()
    }

    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError> {
        timeout(self.limit, self.kms.wrap(data_key, aad)).await.unwrap_or_else(|_| Err(self.late()))
    }

    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        timeout(self.limit, self.kms.unwrap(key_id, wrapped, aad)).await.unwrap_or_else(|_| Err(self.late()))
    }
}
