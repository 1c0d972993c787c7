//! The engine as its callers hold it: opening, looking things up, and the shared parts behind every operation.
//! The operations are methods written where their story is told: `receive`, `publish`, `secrets`, `declare`, `redeliver`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::accounts::Accounts;
use crate::alert::Alerts;
use crate::clock::{Clock, Entropy, Step, StepWatch};
use crate::declare::served::Served;
use crate::destination::command::{self, Checkouts, Supervisor};
use crate::egress::{EgressPolicy, SystemResolver};
pub(crate) use crate::error::EngineError;
use crate::event_types::Undeclared;
use crate::exposure::Fingerprints;
use crate::handshake::Tokens;
use crate::idempotency::UnderWay;
use crate::ids::{NodeId, OrganizationId, SourceId};
use crate::kms::Kms;
use crate::kms::cache::{Bounded, CachePolicy};
use crate::model::{Destination, Organization, Outcome, SecretOwner, Source};
use crate::nodes::{Following, NodeSettings, TRIES};
use crate::nudges::Nudges;
use crate::opening::Opening;
use crate::organizations::inner_doors;
use crate::published::Fetcher;
use crate::refusals::Refusals;
use crate::registry::Registry;
use crate::routing::Evaluator;
use crate::running::Running;
use crate::schemes::Installed;
use crate::secrets::{self, Reveals};
use crate::store::{Records, Store};
use crate::vitals::Vitals;

/// What an engine is made of.
#[derive(Debug)]
pub struct Parts {
    /// Keeps everything.
    pub store: Arc<dyn Store>,
    /// Holds the master key.
    pub kms: Arc<dyn Kms>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The private schemes of the file that is served, which are every organization's.
    pub schemes: Vec<hookward::Scheme>,
    /// Where deliveries may go.
    pub egress: EgressPolicy,
    /// What runs programs.
    pub supervisor: Supervisor,
    /// What becomes of a published event whose type nobody declared.
    pub undeclared: Undeclared,
    /// How long opened secrets are kept.
    pub key_cache: CachePolicy,
    /// What this process is called among others, and how it goes along with them.
    pub node: NodeSettings,
    /// Where commits are checked out for programs. Nobody else's: what an earlier process left there is removed.
    pub checkouts: PathBuf,
    /// How much longer than the longest attempt a lease lasts: time to settle. Not zero.
    pub lease_margin: Duration,
}

impl Parts {
    pub(crate) fn checkouts(&self) -> Checkouts {
        Checkouts { directory: self.checkouts.clone(), egress: self.egress.clone(), resolver: Arc::new(SystemResolver) }
    }
}

/// Two doors, one corridor. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

/// What every operation shares.
#[derive(Debug)]
pub(crate) struct Inner {
    parts: Parts,
    schemes: Arc<Installed>,
    node: NodeId,
    following: Following,
    registry: ArcSwap<Registry>,
    generation: AtomicU64,
    opening: Opening,
    fingerprints: Fingerprints,
    refusals: Refusals,
    handshake_tokens: ArcSwap<Tokens>,
    fetcher: Fetcher,
    served: ArcSwap<Served>,
    accounts: Accounts,
    reveals: Reveals,
    alerts: Alerts,
    evaluator: Evaluator,
    running: Running,
    nudges: Nudges,
    vitals: Vitals,
    pulls: Notify,
    followers: Notify,
    jobs: Notify,
    erasure: Notify,
    pub(crate) requests_under_way: UnderWay,
    administration: tokio::sync::Mutex<()>,
    refreshing: tokio::sync::Mutex<()>,
    totals: Mutex<BTreeMap<Outcome, u64>>,
    clock_steps: Mutex<StepWatch>,
}

impl Engine {
    /// Opens the engine on its parts. Deliveries that an earlier process was attempting are due again. No secret is opened
    /// here, so it does not matter whether the KMS answers; see [`Engine::shut_secrets`].
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when the store does not answer; [`EngineError::Invalid`] when whom the policy for the way out trusts
    /// are no certificates.
    pub async fn open(mut parts: Parts) -> Result<Self, EngineError> {
        let schemes = Arc::new(Installed::new(std::mem::take(&mut parts.schemes)));
        let fetcher = Fetcher::new(&parts.egress).map_err(|error| EngineError::Invalid(error.to_string()))?;
        let following = Following::begin(&mut parts).await?;
        let now = parts.clock.now();
        let node = NodeId::new(now, &*parts.entropy);
        // Where there are other nodes, their leases are theirs until they run out.
        if !parts.store.is_shared() {
            parts.store.recover(node, now).await?;
        }
        prepare_checkouts(&parts).await?;
        parts.kms = Arc::new(Bounded::new(Arc::clone(&parts.kms), parts.key_cache.timeout));
        let registry = match build(&parts, &schemes, &Served::default(), None).await {
            // Another node that starts at the same moment may have made what this one was making.
            Err(_) if parts.store.is_shared() => build(&parts, &schemes, &Served::default(), None).await?,
            built => built?,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                schemes,
                node,
                following,
                registry: ArcSwap::from_pointee(registry),
                generation: AtomicU64::new(0),
                opening: Opening::new(parts.key_cache),
                fingerprints: Fingerprints::new(&*parts.entropy),
                refusals: Refusals::default(),
                handshake_tokens: ArcSwap::default(),
                fetcher,
                served: ArcSwap::default(),
                accounts: Accounts::default(),
                reveals: secrets::reveals(),
                alerts: Alerts::default(),
                evaluator: Evaluator::default(),
                running: Running::default(),
                nudges: Nudges::default(),
                vitals: Vitals::default(),
                pulls: Notify::new(),
                followers: Notify::new(),
                jobs: Notify::new(),
                erasure: Notify::new(),
                requests_under_way: UnderWay::default(),
                administration: tokio::sync::Mutex::new(()),
                refreshing: tokio::sync::Mutex::new(()),
                totals: Mutex::default(),
                clock_steps: Mutex::default(),
                parts,
            }),
        })
    }

    /// What an organization has declared under this name, the engine's inner doors not included.
    pub fn source(&self, organization: OrganizationId, name: &str) -> Option<Source> {
        let registry = self.inner.registry();
        let mut sources = registry.sources().map(|live| &live.source);
        sources.find(|source| source.organization == organization && source.name == name).cloned()
    }

    /// An organization's declared sources by name, the engine's inner doors not included.
    pub fn sources(&self, organization: OrganizationId) -> Vec<Source> {
        let mut sources = self.all_sources();
        sources.retain(|source| source.organization == organization);
        sources
    }

    /// The declared sources of every organization, by name: for whoever opens their doors.
    pub fn all_sources(&self) -> Vec<Source> {
        let mut sources: Vec<_> = self.inner.registry().sources().map(|live| live.source.clone()).collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        sources
    }

    /// A number that is another one whenever what is declared has changed, for whoever keeps something made of it.
    pub fn generation(&self) -> u64 {
        self.inner.generation.load(Ordering::Acquire)
    }

    /// All organizations that are not being erased, by name.
    pub fn organizations(&self) -> Vec<Organization> {
        let mut organizations: Vec<_> = self.inner.registry().organizations().cloned().collect();
        organizations.sort_by(|a, b| a.name.cmp(&b.name));
        organizations
    }

    /// The organization of this id, unless it is being erased.
    pub fn organization(&self, id: OrganizationId) -> Option<Organization> {
        self.inner.registry().organization(id).cloned()
    }

    /// The source of this name, whether or not it is still declared, the engine's inner doors included: for finding
    /// its events.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Unavailable`].
    pub async fn source_id(&self, organization: OrganizationId, name: &str) -> Result<SourceId, EngineError> {
        let resources = self.inner.store().load().await?;
        let mut sources = resources.sources.iter();
        let source = sources.find(|source| source.organization == organization && source.name == name);
        source.map(|source| source.id).ok_or_else(|| EngineError::NotFound(format!("source `{name}`")))
    }

    /// An organization's destination of this name.
    pub fn destination(&self, organization: OrganizationId, name: &str) -> Option<Destination> {
        let registry = self.inner.registry();
        let mut destinations = registry.destinations_of(organization);
        destinations.find(|live| live.destination.name == name).map(|live| live.as_it_is())
    }

    /// An organization's destinations by name.
    pub fn destinations(&self, organization: OrganizationId) -> Vec<Destination> {
        let registry = self.inner.registry();
        let mut destinations: Vec<_> = registry.destinations_of(organization).map(|live| live.as_it_is()).collect();
        destinations.sort_by(|a, b| a.name.cmp(&b.name));
        destinations
    }

    /// What the store has to show. Only the corridor writes.
    pub fn store(&self) -> &dyn Records {
        &*self.inner.parts.store
    }

    /// How many attempts ended how, since this process began.
    pub fn attempts(&self) -> BTreeMap<Outcome, u64> {
        self.inner.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many events passed a destination over because an expression failed, by destination, since this process began.
    pub fn failed_filters(&self) -> BTreeMap<String, u64> {
        self.inner.evaluator.failed()
    }

    /// The last time that the clock was seen to jump: this machine's, or where nodes share a database, that one's. Schedules
    /// follow the clock as it is; timestamps that senders signed are held against it, so a clock that is wrong refuses
    /// honest requests.
    pub fn clock_step(&self) -> Option<Step> {
        self.inner.look_at_clock();
        self.inner.clock_steps.lock().unwrap_or_else(PoisonError::into_inner).last_step()
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn shared(&self) -> Arc<Inner> {
        Arc::clone(&self.inner)
    }
}

impl Inner {
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.parts.store
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.parts
    }

    pub(crate) fn kms(&self) -> &dyn Kms {
        &*self.parts.kms
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.parts.entropy
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// What is known of the other nodes.
    pub(crate) fn following(&self) -> &Following {
        &self.following
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Where expressions are evaluated.
    pub(crate) fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// The attempts that this process has under way.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    pub(crate) fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    pub(crate) fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Who revealed how many secrets lately.
    pub(crate) fn reveals(&self) -> &Reveals {
        &self.reveals
    }

    /// The way out to where keys are published.
    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.fetcher
    }

    pub(crate) fn handshake_tokens(&self) -> Arc<Tokens> {
        self.handshake_tokens.load_full()
    }

    pub(crate) fn put_handshake_tokens(&self, tokens: Tokens) {
        self.handshake_tokens.store(Arc::new(tokens));
    }

    /// What the served file says and is not kept.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// Whether it says something new.
    pub(crate) fn put_served(&self, served: Served) -> bool {
        *self.served.swap(Arc::new(served)) != **self.served.load()
    }

    /// What opens secrets, and when.
    pub(crate) fn opening(&self) -> &Opening {
        &self.opening
    }

    /// How secrets are recognised where they do not belong.
    pub(crate) fn fingerprints(&self) -> &Fingerprints {
        &self.fingerprints
    }

    /// The snapshot in force.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.registry.load_full()
    }

    /// What the dispatcher is woken by.
    pub(crate) fn nudges(&self) -> &Nudges {
        &self.nudges
    }

    /// The destinations whose condition is to be written down or told.
    pub(crate) fn vitals(&self) -> &Vitals {
        &self.vitals
    }

    /// What consumers that wait are told by: there may be something to lease now.
    pub(crate) fn pulls(&self) -> &Notify {
        &self.pulls
    }

    /// There is something new in a feed.
    pub(crate) fn tell_followers(&self) {
        self.followers.notify_waiters();
    }

    /// What those who follow a feed are told by.
    pub(crate) fn followers(&self) -> &Notify {
        &self.followers
    }

    /// What becomes of a published event whose type nobody declared.
    pub(crate) fn undeclared(&self) -> Undeclared {
        self.parts.undeclared
    }

    /// A job may have to go on.
    pub(crate) fn nudge_jobs(&self) {
        self.jobs.notify_one();
    }

    /// An organization's erasure has begun.
    pub(crate) fn nudge_erasure(&self) {
        self.erasure.notify_one();
    }

    /// Completes after a nudge for erasures.
    pub(crate) async fn erasure_nudged(&self) {
        self.erasure.notified().await;
    }

    /// Completes after a nudge for jobs.
    pub(crate) async fn jobs_nudged(&self) {
        self.jobs.notified().await;
    }

    /// Held while what is declared is read, changed and written back. What other nodes changed is in force by then; what they
    /// change after that, [`Inner::change`] finds out.
    pub(crate) async fn administration(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let one_at_a_time = self.administration.lock().await;
        if let Err(error) = self.catch_up().await {
            tracing::debug!(%error, "it cannot be told what other nodes changed");
        }
        one_at_a_time
    }

    /// Puts what the store says now in force: one at a time, so that what was read earlier never comes after what was read later.
    pub(crate) async fn put_in_force(&self) -> Result<(), EngineError> {
        let _turn = self.refreshing.lock().await;
        let _in_order = self.following.in_order().await;
        let registry = build(&self.parts, &self.schemes, &self.served(), Some(&self.registry())).await?;
        self.fingerprints.keep(|owner, version| registry.is_kept(owner, version));
        self.registry.store(Arc::new(registry));
        // After the snapshot, so that whoever sees the new number finds what it stands for.
        self.generation.fetch_add(1, Ordering::Release);
        self.opening.nudge();
        self.note_conditions();
        self.nudge();
        Ok(())
    }

    /// Compares the wall clock with the monotonic one since the last look.
    pub(crate) fn look_at_clock(&self) {
        let (now, elapsed) = (self.clock().now(), self.clock().elapsed());
        let step = self.clock_steps.lock().unwrap_or_else(PoisonError::into_inner).look(now, elapsed);
        if let Some(step) = step {
            tracing::warn!(by_ms = step.by_ms, "the wall clock jumped: signed timestamps are held against it");
        }
    }

    pub(crate) fn count(&self, outcome: Outcome) {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }

    /// `source:<name>` or `destination:<name>`, as the audit log says it.
    pub(crate) fn owner_name(&self, owner: SecretOwner) -> String {
        let registry = self.registry();
        let name = match owner {
            SecretOwner::Source(id) => registry.source(id).map(|live| format!("source:{}", live.source.name)),
            SecretOwner::Destination(id) => {
                registry.destination(id).map(|live| format!("destination:{}", live.destination.name))
            }
        };
        name.unwrap_or_else(|| "nothing".to_owned())
    }
}

/// Nothing of an earlier process's checkouts is left, whatever became of it.
async fn prepare_checkouts(parts: &Parts) -> Result<(), EngineError> {
    let checkouts = parts.checkouts();
    let prepared = tokio::task::spawn_blocking(move || command::prepare(&checkouts)).await;
    let problem = |error: &dyn std::fmt::Display| {
        EngineError::Unavailable(format!("the checkouts in `{}`: {error}", parts.checkouts.display()))
    };
    prepared.map_err(|error| problem(&error))?.map_err(|error| problem(&error))
}

async fn build(
    parts: &Parts,
    schemes: &Arc<Installed>,
    served: &Served,
    before: Option<&Registry>,
) -> Result<Registry, EngineError> {
    let mut tries = 1;
    loop {
        let mut resources = parts.store.load().await?;
        resources.destinations.iter_mut().for_each(|destination| served.complete(destination));
        match inner_doors(parts, &mut resources).await {
            Ok(doors) => return Ok(Registry::build(resources, doors, schemes, parts, before)),
            // Another node made one that was missing.
            Err(EngineError::Moved) if tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}
