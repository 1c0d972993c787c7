//! Who attempts what, when: claims due deliveries within each destination's room and waits for the next due time.
//! The one place that waits. What an attempt does is `attempt`'s; when the next one is due is `retry`'s.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::attempt;
use crate::engine::{Engine, Inner};
use crate::ids::DestinationId;
use crate::model::{DestinationKind, DestinationState};
use crate::registry::{LiveDestination, Registry};
use crate::store::{ClaimRequest, StoreError};

/// The most deliveries of one destination that are claimed at once; their bodies are in memory together.
const CLAIM_MAX: u32 = 64;

/// How much longer than the longest attempt a lease lasts: time to settle.
const LEASE_MARGIN: Duration = Duration::from_secs(30);

/// How long to wait when the store does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// How often refusals are written at most: with `LISTED_MAX` it bounds what a flood of them adds to the disk.
const REFUSALS_EVERY: Duration = Duration::from_secs(1);

/// How often expired dedup keys are forgotten, and how many in one step.
const FORGET_EVERY: Duration = Duration::from_secs(60);
const FORGET_STEP: u32 = 1_000;

impl Engine {
    /// Attempts deliveries as they fall due, until `stop`; then claims nothing more, lets what is under way finish, and
    /// returns. Also keeps secrets open and rewraps them, writes refusals to the audit log and when credentials were used, forgets expired
    /// dedup keys and sessions, moves redelivery jobs on and strips what retention does not keep.
    pub async fn run(&self, stop: CancellationToken) {
        let mut dispatcher = Dispatcher::new(self.shared());
        tokio::join!(
            dispatcher.run(&stop),
            self.write_refusals(&stop),
            self.forget_expired(&stop),
            self.write_uses(&stop),
            self.run_jobs(&stop),
            self.keep_open(&stop),
            self.run_rewraps(&stop),
            self.retain(&stop),
            self.erase(&stop)
        );
        self.inner().refusals().write(self.inner().store()).await;
    }

    /// Attempts everything that is due now, and what falls due meanwhile, until nothing is.
    pub async fn run_until_idle(&self) {
        let mut dispatcher = Dispatcher::new(self.shared());
        self.open_due().await;
        while dispatcher.claim().await.is_ok_and(|claimed| claimed > 0) {
            dispatcher.drain().await;
        }
        self.inner().refusals().write(self.inner().store()).await;
    }

    /// Writes refusals a moment after they come, and at most once in each [`REFUSALS_EVERY`].
    async fn write_refusals(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.inner().refusals().added()).await.is_some() {
            self.inner().refusals().write(self.inner().store()).await;
            let next = self.inner().clock().now().plus(REFUSALS_EVERY);
            stop.run_until_cancelled(self.inner().clock().sleep_until(next)).await;
        }
    }

    async fn forget_expired(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.inner().look_at_clock();
            let now = self.inner().clock().now();
            match self.inner().store().forget(now, FORGET_STEP).await {
                Ok(FORGET_STEP) => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "expired dedup keys could not be forgotten yet"),
            }
            if let Err(error) = self.forget_sessions(now).await {
                tracing::warn!(%error, "sessions that are over could not be removed yet");
            }
            let next = now.plus(FORGET_EVERY);
            stop.run_until_cancelled(self.inner().clock().sleep_until(next)).await;
        }
    }
}

struct Dispatcher {
    inner: Arc<Inner>,
    attempts: JoinSet<()>,
    under_way: HashMap<Id, DestinationId>,
}

impl Dispatcher {
    fn new(inner: Arc<Inner>) -> Self {
        Self { inner, attempts: JoinSet::new(), under_way: HashMap::new() }
    }

    async fn run(&mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let wake_at = match self.claim().await {
                Ok(0) => self.next_due().await,
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            let now = self.inner.clock().now();
            let wake_at = wake_at.unwrap_or_else(|error| {
                tracing::error!(%error, "deliveries cannot be claimed");
                Some(now.plus(STORE_PAUSE))
            });
            let inner = Arc::clone(&self.inner);
            let due = async {
                match wake_at {
                    Some(at) => inner.clock().sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = inner.nudged() => {}
                () = due => {}
                Some(ended) = self.attempts.join_next_with_id() => self.ended(ended),
            }
        }
        self.drain().await;
    }

    /// Claims what is due within each destination's room and starts its attempts. Returns how many.
    async fn claim(&mut self) -> Result<usize, StoreError> {
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.ended(ended);
        }
        let registry = self.inner.registry();
        let room = self.room(&registry);
        if room.is_empty() {
            return Ok(0);
        }
        let longest = room.iter().filter_map(|(id, _)| registry.destination(*id));
        let longest = longest.map(|live| live.destination.spec.timeout).max().unwrap_or_default();
        let now = self.inner.clock().now();
        let until = now.plus(longest + LEASE_MARGIN);
        let request = ClaimRequest { node: self.inner.node(), now, until, room, probes: Vec::new() };
        let claimed = self.inner.store().claim(request).await?;
        let count = claimed.len();
        for claimed in claimed {
            let destination = claimed.claim.destination();
            let live = registry.destination(destination).expect("only registered destinations were given room");
            let attempt = attempt::carry_out(Arc::clone(&self.inner), Arc::clone(live), claimed, until);
            let task = self.attempts.spawn(attempt);
            self.under_way.insert(task.id(), destination);
        }
        Ok(count)
    }

    async fn next_due(&self) -> Result<Option<crate::clock::Timestamp>, StoreError> {
        let with_room: Vec<_> = self.room(&self.inner.registry()).into_iter().map(|(id, _)| id).collect();
        if with_room.is_empty() {
            return Ok(None);
        }
        self.inner.store().next_due(with_room).await
    }

    /// The active destinations that can be attempted and take more, and how many more.
    fn room(&self, registry: &Registry) -> Vec<(DestinationId, u32)> {
        let mut busy: HashMap<DestinationId, u32> = HashMap::new();
        for destination in self.under_way.values() {
            *busy.entry(*destination).or_default() += 1;
        }
        let (now, elapsed) = (self.inner.clock().now(), self.inner.clock().elapsed());
        // Whoever cannot sign now is owed it until the secret is open: that costs no attempt.
        let can_sign = |live: &&Arc<LiveDestination>| {
            live.keyrings_at(now).all(|keyring| keyring.live_at(now, elapsed).shut.is_empty())
        };
        let active = registry.destinations().filter(|live| live.destination.state == DestinationState::Active);
        let active = active.filter(can_sign).map(|live| &live.destination);
        // What consumers lease is not dispatched.
        let active = active.filter(|destination| !matches!(destination.spec.kind, DestinationKind::Pull(_)));
        let room = active.map(|destination| {
            let busy = busy.get(&destination.id).copied().unwrap_or(0);
            (destination.id, destination.spec.concurrency.saturating_sub(busy).min(CLAIM_MAX))
        });
        room.filter(|(_, room)| *room > 0).collect()
    }

    async fn drain(&mut self) {
        while let Some(ended) = self.attempts.join_next_with_id().await {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "an attempt broke off; its delivery is due again when the lease ends");
                error.id()
            }
        };
        self.under_way.remove(&id);
    }
}
