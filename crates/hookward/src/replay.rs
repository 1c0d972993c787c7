//! Owns the memory of what was taken already, in one process: bounded, and handed the time. What outlives the process is a database's.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::time::UnixTime;

/// What tells one request from another, as a digest: every key has one length, whatever a sender wrote. Made by
/// [`Verifier::replay_key`](crate::Verifier::replay_key).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplayKey([u8; 32]);

impl ReplayKey {
    pub(crate) fn of(kind: &str, scheme: &str, what: &[u8]) -> Self {
        // Neither a kind nor a scheme's name has a line break in it, so no two lists of parts are one text.
        let parts = Sha256::new().chain_update(kind).chain_update(b"\n").chain_update(scheme).chain_update(b"\n");
        Self(parts.chain_update(what).finalize().into())
    }
}

/// Remembers which requests were taken, so that one that comes again is known. Clones share their memory.
///
/// It holds at most `capacity` keys and forgets the oldest beyond that, each after `window` at the latest. Only proven requests reach it,
/// so nobody but the provider can fill it. A key counts from the moment at which the request was done with, not from when it came: one
/// that failed may come again.
///
/// ```
/// use std::time::Duration;
/// use hookward::{Admission, Draft, Message, ReplayGuard, UnixTime, Verifier};
///
/// let verifier = Verifier::new("svix", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])?;
/// let guard = ReplayGuard::new(10_000, Duration::from_secs(24 * 3600));
/// let now = UnixTime::from_secs(1_700_000_000);
/// # let draft = Draft { id: "msg_1", event_type: "", method: "POST", url: "https://example.com/", body: b"{}" };
/// # let signed = verifier.sign(&draft, now)?;
/// # let request = Message { method: "POST", url: draft.url, headers: &signed.headers, body: draft.body };
///
/// let verified = verifier.verify(&request, now)?;
/// let key = verifier.replay_key(&verified, request.body).expect("svix signs its ids");
/// match guard.admit(key, now) {
///     Admission::First(ticket) => ticket.keep(now), // after the work is done; dropped, it is as if the request had not come
///     Admission::UnderWay | Admission::Taken => unreachable!("it came once"),
/// }
/// assert!(matches!(guard.admit(key, now), Admission::Taken));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReplayGuard(Arc<Shared>);

/// What a [`ReplayGuard`] says of a request.
#[derive(Debug)]
pub enum Admission {
    /// It did not come before. [Keep](Ticket::keep) the ticket when it is done with.
    First(Ticket),
    /// The same one is being worked on at this moment, and may yet fail: let the sender try again.
    UnderWay,
    /// It was taken already.
    Taken,
}

/// One request's place among those under way. Dropped without [`keep`](Ticket::keep), it is forgotten.
#[derive(Debug)]
pub struct Ticket {
    guard: ReplayGuard,
    key: Option<ReplayKey>,
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    window: Duration,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// `None` while it is under way.
    until: HashMap<ReplayKey, Option<UnixTime>>,
    /// The kept ones, in the order in which they were.
    order: VecDeque<ReplayKey>,
}

impl ReplayGuard {
    /// A memory for `capacity` keys (at least 1), each kept for `window`. Let the window be longer than a provider tries again.
    pub fn new(capacity: usize, window: Duration) -> Self {
        Self(Arc::new(Shared { capacity: capacity.max(1), window, seen: Mutex::default() }))
    }

    /// Asks whether the request with this key may be worked on.
    pub fn admit(&self, key: ReplayKey, now: UnixTime) -> Admission {
        let mut seen = self.seen();
        seen.forget(now, usize::MAX);
        match seen.until.get(&key) {
            Some(Some(_)) => Admission::Taken,
            Some(None) => Admission::UnderWay,
            None => {
                seen.until.insert(key, None);
                Admission::First(Ticket { guard: self.clone(), key: Some(key) })
            }
        }
    }

    /// How many keys are kept.
    pub fn len(&self) -> usize {
        self.seen().order.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a thread left that panicked is whole: nothing is changed in two steps with anything between them that could fail.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Remembers the request as taken from now on.
    pub fn keep(mut self, now: UnixTime) {
        let Some(key) = self.key.take() else { return };
        let shared = &self.guard.0;
        let window_ms = i64::try_from(shared.window.as_millis()).unwrap_or(i64::MAX);
        let until = UnixTime::from_millis(now.as_millis().saturating_add(window_ms));
        let mut seen = self.guard.seen();
        seen.forget(now, shared.capacity - 1);
        seen.until.insert(key, Some(until));
        seen.order.push_back(key);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.guard.seen().until.remove(&key);
        }
    }
}

impl Seen {
    /// Drops what is over, and the oldest beyond `most`.
    fn forget(&mut self, now: UnixTime, most: usize) {
        while let Some(oldest) = self.order.front() {
            let over = self.until.get(oldest).copied().flatten().is_none_or(|until| until <= now);
            if !over && self.order.len() <= most {
                return;
            }
            self.until.remove(oldest);
            self.order.pop_front();
        }
    }
}
