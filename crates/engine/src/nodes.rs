//! Nodes that share one store: what another one changed is in force here soon after, and one that was cut off from the others
//! does nothing until it knows again what is. Owns how soon, and for how long what is known may be acted on.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, DatabaseClock, Timestamp};
use crate::engine::{Engine, EngineError, Inner, Parts};
use crate::ids::DestinationId;
use crate::knocks::{Knocks, Waking};
use crate::model::{AuditEntry, Node, NodeState};
use crate::store::{Change, Drain, Revision, Sight, Store, StoreError, Wear};

/// How often a node looks for what others changed.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often a node writes itself down.
const CHECK_IN_EVERY: Duration = Duration::from_secs(1);

/// How often something is done anew because other nodes change something all the time.
pub(crate) const TRIES: u32 = 8;

/// A node that was not seen for so long is taken to be gone.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// What a node is called, and how it goes along with others.
#[derive(Debug, Clone)]
pub struct NodeSettings {
    /// What its operator calls it.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// For how long what is known of declarations and secrets may be acted on without hearing from the store.
    pub validity: Duration,
    /// Whether nodes tell each other to look.
    pub waking: Waking,
}

impl Default for NodeSettings {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { name: String::new(), version, validity: Duration::from_secs(10), waking: Waking::default() }
    }
}

/// What this node knows of the others.
#[derive(Debug)]
pub(crate) struct Following {
    settings: NodeSettings,
    started_at: Timestamp,
    address: OnceLock<String>,
    /// Absent where nobody else works on the store.
    clock: Option<Arc<DatabaseClock>>,
    /// Until when, by the monotonic clock, what is known may be acted on.
    valid_until_ms: AtomicU64,
    /// The schema with which this version must not go on; 0 for none.
    beyond: AtomicI64,
    /// What was seen last, and is in force here.
    known: Mutex<Option<Revision>>,
    /// From what the change under way is made: [`Revision::changed`] when that was looked at.
    basis: AtomicI64,
    /// Held while what is declared is loaded and put in force: what was loaded later stays.
    loading: tokio::sync::Mutex<()>,
    knocks: Knocks,
}

impl Following {
    /// Begins before what is declared is loaded. Where nodes share a store, they share its clock as well: from here on it is
    /// that of `parts`.
    pub(crate) async fn begin(parts: &mut Parts) -> Result<Self, StoreError> {
        let clock = parts.store.is_shared().then(|| Arc::new(DatabaseClock::new(Arc::clone(&parts.clock))));
        let mut following = Self {
            settings: parts.node.clone(),
            started_at: parts.clock.now(),
            address: OnceLock::new(),
            clock,
            valid_until_ms: AtomicU64::new(u64::MAX),
            beyond: AtomicI64::new(0),
            known: Mutex::default(),
            basis: AtomicI64::new(-1),
            loading: tokio::sync::Mutex::new(()),
            knocks: Knocks::default(),
        };
        if let Some(clock) = following.clock.clone() {
            let (_, began) = following.look(&*parts.store).await?;
            following.is_valid_from(began);
            following.started_at = clock.now();
            parts.clock = clock;
        }
        Ok(following)
    }

    /// Looks once; also when that began, by the monotonic clock.
    async fn look(&self, store: &dyn Store) -> Result<(Sight, Duration), StoreError> {
        let clock = self.clock.as_ref().expect("only who shares a store looks");
        let began = clock.elapsed();
        let sight = store.sight().await?;
        clock.hear(sight.now, began, clock.elapsed());
        self.beyond.store(sight.beyond.unwrap_or(0), Ordering::Release);
        Ok((sight, began))
    }

    /// What this node and the others tell each other.
    pub(crate) fn knocks(&self) -> &Knocks {
        &self.knocks
    }

    /// Waits for whoever puts in force what is declared.
    pub(crate) async fn in_order(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.loading.lock().await
    }

    /// Whether nodes tell each other to look.
    pub(crate) fn waking(&self) -> Waking {
        self.settings.waking
    }

    fn known(&self) -> Option<Revision> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known is as the store had it then.
    fn is_valid_from(&self, began: Duration) {
        let until = began.saturating_add(self.settings.validity);
        self.valid_until_ms.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Why nothing may be done now, if so.
    fn problem(&self, elapsed: Duration) -> Option<String> {
        let beyond = self.beyond.load(Ordering::Acquire);
        if beyond != 0 {
            let problem = "the database has come to a schema with which this version must not go on";
            return Some(format!("{problem}: {beyond}; run a later version"));
        }
        let valid_until = self.valid_until_ms.load(Ordering::Acquire);
        if elapsed.as_millis() <= u128::from(valid_until) {
            return None;
        }
        let validity = self.settings.validity.as_secs();
        Some(format!("what is declared and which secrets are live has not been heard for more than {validity} s"))
    }
}

impl Inner {
    /// Puts in force what other nodes changed, and takes that for what the next change is made from. Says which that is, where
    /// others may change it too.
    pub(crate) async fn catch_up(&self) -> Result<Option<i64>, EngineError> {
        let changed = self.look_around().await?.map(|seen| seen.changed);
        self.following().basis.store(changed.unwrap_or(-1), Ordering::Release);
        Ok(changed)
    }

    async fn look_around(&self) -> Result<Option<Revision>, EngineError> {
        if !self.store().is_shared() {
            return Ok(None);
        }
        let (sight, began) = self.following().look(self.store()).await?;
        let revision = sight.revision;
        match self.following().known() {
            Some(known) if known.declared != revision.declared => self.put_in_force().await?,
            Some(known) => {
                if known.owed != revision.owed {
                    self.nudge();
                }
                if known != revision {
                    self.tell_followers();
                }
            }
            // What was declared while this node started.
            None => self.put_in_force().await?,
        }
        *self.following().known.lock().unwrap_or_else(PoisonError::into_inner) = Some(revision);
        self.following().is_valid_from(began);
        Ok(Some(revision))
    }

    /// Puts in force what was changed here, at the other nodes as well.
    pub(crate) async fn refresh(&self) -> Result<(), EngineError> {
        self.following().knocks().declared();
        self.put_in_force().await
    }

    /// Whether what was looked at then is still so, as far as is known here.
    pub(crate) fn is_at(&self, changed: i64) -> bool {
        self.following().basis.load(Ordering::Acquire) == changed
    }

    /// Changes what is declared, while [`Inner::administration`] is held.
    ///
    /// # Errors
    ///
    /// [`EngineError::Moved`] when another node did since that was begun: nothing is changed.
    pub(crate) async fn change(&self, changes: Vec<Change>, audit: Vec<AuditEntry>) -> Result<(), EngineError> {
        let since = self.since();
        let changes = since.map(Change::Since).into_iter().chain(changes).collect();
        self.store().change(changes, audit).await?;
        self.has_changed(since);
        Ok(())
    }

    /// The same for a destination that is resumed. Returns of how many deliveries.
    ///
    /// # Errors
    ///
    /// The same.
    pub(crate) async fn resume(&self, id: DestinationId, drain: Drain, audit: AuditEntry) -> Result<u64, EngineError> {
        let since = self.since();
        let count = self.store().resume(id, drain, since, audit).await?;
        self.has_changed(since);
        Ok(count)
    }

    /// From what the change under way is made, where others may change it too.
    fn since(&self) -> Option<i64> {
        self.store().is_shared().then(|| self.following().basis.load(Ordering::Acquire))
    }

    /// This node made the one change there was since then.
    fn has_changed(&self, since: Option<i64>) {
        if let Some(since) = since {
            self.following().basis.store(since + 1, Ordering::Release);
        }
    }

    /// Reads what is declared and changes it, while [`Inner::administration`] is held: anew, on top of what other nodes changed
    /// since it was read.
    ///
    /// # Errors
    ///
    /// What `change` says, and [`EngineError::Moved`] where others change something all the time.
    pub(crate) async fn anew<T, C>(&self, change: impl Fn() -> C) -> Result<T, EngineError>
    where
        C: Future<Output = Result<T, EngineError>>,
    {
        let mut tries = 1;
        loop {
            match change().await {
                Err(EngineError::Moved) if tries < TRIES => {
                    tries += 1;
                    self.catch_up().await?;
                }
                result => return result,
            }
        }
    }

    /// After how long what was under way when something ended is over at every node: `here`, and as long as others may go on
    /// that have not heard of it.
    pub(crate) fn settles_within(&self, here: Duration) -> Duration {
        let elsewhere = if self.store().is_shared() { self.following().settings.validity } else { Duration::ZERO };
        here.saturating_add(elsewhere)
    }

    /// Why nothing may be done now that depends on what is declared or on a secret, if so: this node was cut off.
    pub(crate) fn cut_off(&self) -> Option<String> {
        self.following().problem(self.clock().elapsed())
    }
}

impl Engine {
    /// Whether what this node knows of declarations and secrets may be acted on. It is not while the store that it shares has
    /// not told it for longer than [`NodeSettings::validity`]: a secret that it holds may be revoked, or another one live.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`], until it has heard again.
    pub fn check_current(&self) -> Result<(), EngineError> {
        self.inner().cut_off().map_or(Ok(()), |problem| Err(EngineError::Unavailable(problem)))
    }

    /// The clock that everything here follows: the database's where nodes share one.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner().parts().clock)
    }

    /// Where this node's public listener is, for the other nodes' operators. What is said first counts.
    pub fn listens_at(&self, address: String) {
        let _ = self.inner().following().address.set(address);
    }

    /// The nodes that work on this store, the oldest first; those that were not seen for a day are forgotten.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`].
    pub async fn nodes(&self) -> Result<Vec<Node>, EngineError> {
        let inner = self.inner();
        let own = self.as_node(NodeState::Serving);
        let mut nodes = inner.store().nodes().await?;
        for node in &mut nodes {
            if node.id == own.id {
                let state = node.state;
                *node = Node { state, ..own.clone() };
            } else if !inner.store().is_shared() || own.seen_at.since(node.seen_at) > GONE_AFTER {
                node.state = NodeState::Gone;
            }
        }
        if nodes.iter().all(|node| node.id != own.id) {
            nodes.push(own);
        }
        Ok(nodes)
    }

    /// How the shared database is; nothing where there is none.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`].
    pub async fn wear(&self) -> Result<Option<Wear>, EngineError> {
        Ok(self.inner().store().wear().await?)
    }

    /// Writes this node down, puts in force what others changed, and attempts what they committed, until `over`. It goes on
    /// after `stop`, while others finish what is under way.
    pub(crate) async fn follow_nodes(&self, stop: &CancellationToken, over: &CancellationToken) {
        self.check_in(NodeState::Serving).await;
        if self.inner().store().is_shared() {
            let knocking = async {
                match self.inner().following().waking() {
                    Waking::Knocks => {
                        tokio::join!(self.knock(over), self.listen(over));
                    }
                    Waking::LooksOnly => {}
                }
            };
            tokio::join!(self.follow_others(stop, over), knocking);
        } else {
            over.cancelled().await;
        }
        self.check_in(NodeState::Gone).await;
    }

    async fn follow_others(&self, stop: &CancellationToken, over: &CancellationToken) {
        let (inner, clock) = (self.inner(), self.inner().clock());
        let mut is_cut_off = false;
        let mut next_check_in = clock.elapsed().saturating_add(CHECK_IN_EVERY);
        while !over.is_cancelled() {
            match self.look_around().await {
                Ok(()) if std::mem::take(&mut is_cut_off) => {
                    tracing::info!("what other nodes change is known again");
                    inner.nudge();
                }
                Ok(()) => {}
                Err(error) if !std::mem::replace(&mut is_cut_off, true) => {
                    tracing::warn!(%error, "it cannot be told what other nodes change");
                }
                Err(_) => {}
            }
            if clock.elapsed() >= next_check_in && !is_cut_off {
                next_check_in = clock.elapsed().saturating_add(CHECK_IN_EVERY);
                self.check_in(if stop.is_cancelled() { NodeState::Draining } else { NodeState::Serving }).await;
            }
            tokio::select! {
                () = over.cancelled() => {}
                () = inner.following().knocks().look() => {}
                () = clock.sleep_until(clock.now().plus(LOOK_EVERY)) => {}
            }
        }
    }

    /// Looks once for what other nodes did, and puts it in force. `run` does that twice a second.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when it cannot be seen; everything here is as it was.
    pub async fn look_around(&self) -> Result<(), EngineError> {
        self.inner().look_around().await.map(drop)
    }

    /// The same, and from what a change is made that begins now: for [`crate::Declared::since`].
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn catch_up(&self) -> Result<Option<i64>, EngineError> {
        self.inner().catch_up().await
    }

    async fn check_in(&self, state: NodeState) {
        if let Err(error) = self.inner().store().check_in(self.as_node(state)).await {
            tracing::debug!(%error, "this node could not be written down");
        }
    }

    /// This node, now.
    fn as_node(&self, state: NodeState) -> Node {
        let inner = self.inner();
        let following = inner.following();
        let NodeSettings { name, version, .. } = following.settings.clone();
        Node {
            id: inner.node(),
            name,
            version,
            address: following.address.get().cloned().unwrap_or_default(),
            started_at: following.started_at,
            seen_at: inner.clock().now(),
            state,
            declared: following.known().map_or(0, |known| known.declared),
            leases: inner.running().count(),
            clock_ahead_ms: following.clock.as_ref().map_or(0, |clock| clock.own_ahead_ms()),
        }
    }
}
