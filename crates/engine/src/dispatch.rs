//! Who attempts what, when: claims due deliveries within each destination's room and waits for the next due time.
//! The one place that waits. It asks only for destinations at which something may be due, so that many idle ones, or one
//! that hangs, cost the others nothing. What an attempt does is `attempt`'s; how much a destination may be given `pace`'s.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::attempt;
use crate::clock::Timestamp;
use crate::engine::{Engine, Inner};
use crate::ids::{DestinationId, NodeId};
use crate::model::{DestinationKind, DestinationState, Rate};
use crate::nodes::LOOK_EVERY;
use crate::nudges::Nudged;
use crate::pace::Room;
use crate::registry::{LiveDestination, Registry};
use crate::store::{ClaimRequest, StoreError};

/// The most deliveries of one destination that are claimed at once; their bodies are in memory together.
const CLAIM_MAX: u32 = 64;

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
    /// dedup keys and sessions, moves redelivery jobs on, strips what retention does not keep, and counts what happened.
    pub async fn run(&self, stop: CancellationToken) {
        let over = CancellationToken::new();
        let work = async {
            self.work(&stop).await;
            over.cancel();
        };
        tokio::join!(work, self.follow_nodes(&stop, &over));
    }

    async fn work(&self, stop: &CancellationToken) {
        let mut dispatcher = Dispatcher::new(self.shared());
        tokio::join!(
            dispatcher.run(stop),
            self.watch_destinations(stop),
            self.watch_secrets(stop),
            self.write_refusals(stop),
            self.forget_expired(stop),
            self.write_uses(stop),
            self.run_jobs(stop),
            self.keep_open(stop),
            self.run_rewraps(stop),
            self.retain(stop),
            self.erase(stop),
            self.keep_tally(stop)
        );
        self.inner().write_refused().await;
    }

    /// Gives back what this process has leased and did not finish, because it stops: what became of these attempts is not known,
    /// and others need not wait for them.
    pub async fn give_back(&self) {
        let now = self.inner().clock().now();
        match self.inner().store().give_back(self.node(), now).await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, "deliveries under way were given back");
                self.leave_everything().await;
            }
            Err(error) => tracing::warn!(%error, "deliveries under way wait until their leases run out"),
        }
    }

    /// Who claims here: this process, until it ends.
    pub fn node(&self) -> NodeId {
        self.inner().node()
    }

    /// Attempts everything that is due now, and what falls due meanwhile, until nothing is.
    pub async fn run_until_idle(&self) {
        let mut dispatcher = Dispatcher::new(self.shared());
        self.open_due().await;
        loop {
            self.tend().await;
            if !dispatcher.run_until_idle().await.is_ok_and(|begun| begun > 0) {
                break;
            }
        }
        self.inner().write_refused().await;
    }

    /// Writes refusals a moment after they come, and at most once in each [`REFUSALS_EVERY`].
    async fn write_refusals(&self, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.inner().refusals().added()).await.is_some() {
            self.inner().write_refused().await;
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

/// From when on there may be something to claim at each destination. One that is missing has nothing.
type Looks = HashMap<DestinationId, Timestamp>;

/// Before every time: something may be due now.
const NOW: Timestamp = Timestamp::from_millis(i64::MIN);

struct Dispatcher {
    inner: Arc<Inner>,
    attempts: JoinSet<()>,
    under_way: HashMap<Id, DestinationId>,
    busy: HashMap<DestinationId, u32>,
    looks: Looks,
    /// How many deliveries came to be owed here and were not claimed yet, as far as that can be told.
    own: HashMap<DestinationId, u32>,
}

/// What is asked of the store next, and when there will be more to ask.
#[derive(Default)]
struct Plan {
    room: Vec<(DestinationId, u32)>,
    /// What was taken of whose rate for that.
    taken: Vec<(DestinationId, Rate, u32)>,
    probes: Vec<DestinationId>,
    /// Who has no room here.
    full: Vec<DestinationId>,
    wake_at: Option<Timestamp>,
}

impl Plan {
    fn wake(&mut self, at: Timestamp) {
        self.wake_at = self.wake_at.into_iter().chain([at]).min();
    }
}

/// What came of looking for something to claim.
enum Looked {
    /// There was something to ask the store for; so many attempts were begun.
    Asked(usize),
    /// There is nothing until then, if nothing else happens.
    Idle(Option<Timestamp>),
}

impl Dispatcher {
    fn new(inner: Arc<Inner>) -> Self {
        inner.nudges().all();
        let (attempts, under_way, busy) = (JoinSet::new(), HashMap::new(), HashMap::new());
        Self { inner, attempts, under_way, busy, looks: Looks::new(), own: HashMap::new() }
    }

    async fn run(&mut self, stop: &CancellationToken) {
        let shared = Arc::clone(&self.inner);
        let attending = shared.nudges().attend();
        while !stop.is_cancelled() {
            let wake_at = match self.claim().await {
                Ok(Looked::Asked(_)) => continue,
                Ok(Looked::Idle(wake_at)) => wake_at,
                Err(error) => {
                    tracing::error!(%error, "deliveries cannot be claimed");
                    Some(self.inner.clock().now().plus(STORE_PAUSE))
                }
            };
            let inner = Arc::clone(&self.inner);
            let due = async {
                match wake_at {
                    Some(at) => inner.clock().sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = inner.nudges().nudged() => {}
                () = due => {}
                Some(ended) = self.attempts.join_next_with_id() => self.ended(ended),
            }
        }
        // What comes from now on is for the other nodes.
        drop(attending);
        self.drain().await;
    }

    /// Attempts what is due until nothing is that may be attempted now.
    async fn run_until_idle(&mut self) -> Result<usize, StoreError> {
        let mut begun = 0;
        while let Looked::Asked(count) = self.claim().await? {
            begun += count;
            self.drain().await;
        }
        Ok(begun)
    }

    /// Claims what is due within each destination's room and starts its attempts.
    async fn claim(&mut self) -> Result<Looked, StoreError> {
        while let Some(ended) = self.attempts.try_join_next_with_id() {
            self.ended(ended);
        }
        if self.inner.cut_off().is_some() {
            return Ok(Looked::Idle(Some(self.inner.clock().now().plus(LOOK_EVERY))));
        }
        // In this order: what nudges are for is in the registry by then.
        let nudged = self.inner.nudges().take();
        let registry = self.inner.registry();
        self.hear(nudged, &registry);
        let plan = self.plan(&registry);
        self.leave(&plan.full);
        if plan.room.is_empty() && plan.probes.is_empty() {
            return Ok(Looked::Idle(plan.wake_at));
        }
        let asked = plan.room.iter().map(|(id, _)| id).chain(&plan.probes);
        let longest = asked.filter_map(|id| registry.destination(*id)).map(|live| live.destination.spec.timeout).max();
        let now = self.inner.clock().now();
        let until = now.plus(longest.unwrap_or_default() + self.inner.parts().lease_margin);
        let (room, probes) = (plan.room.clone(), plan.probes.clone());
        let request = ClaimRequest { node: self.inner.node(), now, until, room, probes };
        let claimed = self.inner.store().claim(request).await;
        let mut got: HashMap<DestinationId, u32> = HashMap::new();
        for claimed in claimed.iter().flatten() {
            *got.entry(claimed.claim.destination()).or_default() += 1;
        }
        give_back(&registry, &plan, &got);
        let claimed = claimed?;
        let count = claimed.len();
        for claimed in claimed {
            let destination = claimed.claim.destination();
            let live = registry.destination(destination).expect("only registered destinations were asked for");
            if claimed.probe {
                live.pace.probing(until);
                live.pace.take_in_debt(&live.destination.spec, self.inner.clock().elapsed());
            }
            let attempt = attempt::carry_out(Arc::clone(&self.inner), Arc::clone(live), claimed, until);
            let task = self.attempts.spawn(attempt);
            self.under_way.insert(task.id(), destination);
            *self.busy.entry(destination).or_default() += 1;
        }
        // What is leased is attempted, whatever comes of this.
        self.look_again(&plan, &got, until).await?;
        Ok(Looked::Asked(count))
    }

    /// Takes in what nudges were for.
    fn hear(&mut self, nudged: Nudged, registry: &Registry) {
        if nudged.all {
            self.looks = registry.destinations().map(|live| (live.destination.id, NOW)).collect();
            self.own.retain(|id, _| registry.destination(*id).is_some());
        }
        self.looks.extend(nudged.of.into_iter().map(|id| (id, NOW)));
        for (id, count) in nudged.own {
            let own = self.own.entry(id).or_default();
            *own = own.saturating_add(count);
        }
    }

    /// Tells other nodes, once, of what came to be owed here and has no room.
    fn leave(&mut self, full: &[DestinationId]) {
        let left: Vec<_> = full.iter().copied().filter(|id| self.own.remove(id).is_some()).collect();
        if !left.is_empty() && self.inner.store().is_shared() {
            self.inner.following().knocks().owed(left);
        }
    }

    /// Who is asked for how much, out of those at which something may be due.
    fn plan(&self, registry: &Registry) -> Plan {
        let (now, elapsed) = (self.inner.clock().now(), self.inner.clock().elapsed());
        let mut plan = Plan::default();
        for (&id, &at) in &self.looks {
            if at > now {
                plan.wake(at);
                continue;
            }
            let Some(live) = registry.destination(id).filter(|live| may_be_attempted(live, now, elapsed)) else {
                continue;
            };
            let busy = self.busy.get(&id).copied().unwrap_or(0);
            match live.pace.room(&live.destination.spec, busy, CLAIM_MAX, now, elapsed) {
                Room::Now(count, rate) => {
                    if let Some(rate) = rate {
                        live.pace.take(&rate, count, elapsed);
                        plan.taken.push((id, rate, count));
                    }
                    plan.room.push((id, count));
                }
                Room::Probe => plan.probes.push(id),
                // A moment that has begun counts as over: the clock knows only whole ones.
                Room::In(wait) => plan.wake(now.plus(wait + Duration::from_micros(999))),
                Room::At(at) => plan.wake(at),
                Room::Full => plan.full.push(id),
            }
        }
        plan
    }

    /// Notes when there will be something at those that had less than they were asked for.
    async fn look_again(
        &mut self,
        plan: &Plan,
        got: &HashMap<DestinationId, u32>,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        for id in &plan.probes {
            match got.contains_key(id) {
                true => self.looks.insert(*id, until),
                false => self.looks.remove(id),
            };
        }
        let had_less = |(id, count): &&(DestinationId, u32)| got.get(id).is_none_or(|got| got < count);
        let less: Vec<_> = plan.room.iter().filter(had_less).map(|(id, _)| *id).collect();
        for (id, count) in got {
            if let Some(own) = self.own.get_mut(id) {
                *own = own.saturating_sub(*count);
            }
        }
        self.own.retain(|id, count| *count > 0 && !less.contains(id));
        if less.is_empty() {
            return Ok(());
        }
        let due = self.inner.store().next_due(less.clone()).await?;
        for (id, due) in less.into_iter().zip(due) {
            match due {
                Some(at) => self.looks.insert(id, at),
                None => self.looks.remove(&id),
            };
        }
        Ok(())
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
        let Some(destination) = self.under_way.remove(&id) else { return };
        // It may be due again, and so may whatever waited for it.
        self.looks.insert(destination, NOW);
        if let Entry::Occupied(mut busy) = self.busy.entry(destination) {
            *busy.get_mut() -= 1;
            if *busy.get() == 0 {
                busy.remove();
            }
        }
    }
}

/// Gives back what was taken of rates and not used.
fn give_back(registry: &Registry, plan: &Plan, got: &HashMap<DestinationId, u32>) {
    for (id, rate, taken) in &plan.taken {
        let used = got.get(id).copied().unwrap_or(0);
        if let Some(live) = registry.destination(*id) {
            live.pace.give_back(rate, taken.saturating_sub(used));
        }
    }
}

/// Whether a destination is attempted at all now. Whoever cannot sign is owed it until the secret is open: that costs no
/// attempt. What consumers lease is not dispatched.
fn may_be_attempted(live: &LiveDestination, now: Timestamp, elapsed: Duration) -> bool {
    let can_sign = || live.keyrings_at(now).all(|keyring| keyring.live_at(now, elapsed).shut.is_empty());
    live.destination.state == DestinationState::Active
        && !matches!(live.destination.spec.kind, DestinationKind::Pull(_))
        && can_sign()
}
