//! Knocks: a node tells the others that there may be something for them, so that they look at once. Owns what is worth one, how
//! often a node knocks, and what another one's is answered with. Nothing depends on them: nodes look by themselves twice a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, Inner};
use crate::ids::DestinationId;
use crate::model::DestinationKind;
use crate::store::Knock;

/// How often a node knocks at most: what comes in between is told with the next one.
const KNOCK_EVERY: Duration = Duration::from_millis(50);

/// How long a node leaves it at looking by itself when it hears nothing any more.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Whether nodes tell each other to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Waking {
    /// They knock and listen, on one connection more.
    #[default]
    Knocks,
    /// Each looks by itself, and nothing else.
    LooksOnly,
}

/// What this node has to tell the others, and what it was told.
#[derive(Debug, Default)]
pub(crate) struct Knocks {
    pending: Mutex<Knock>,
    given: Notify,
    look: Notify,
}

impl Knocks {
    /// What is declared, or a destination's condition, was changed here.
    pub(crate) fn declared(&self) {
        self.add(|knock| knock.declared = true);
    }

    /// Others may attempt what these destinations are owed.
    pub(crate) fn owed(&self, destinations: impl IntoIterator<Item = DestinationId>) {
        self.add(|knock| knock.owed.extend(destinations));
    }

    fn add(&self, add: impl FnOnce(&mut Knock)) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut pending);
        if *pending != Knock::default() {
            self.given.notify_one();
        }
    }

    fn take(&self) -> Knock {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Completes when another node changed what is declared.
    pub(crate) async fn look(&self) {
        self.look.notified().await;
    }
}

impl Inner {
    /// Tells other nodes what this one leaves to them of what it was just nudged for: all of it while nothing is dispatched here,
    /// and what consumers lease, who may wait at any node.
    pub(crate) fn leave_to_others(&self, destinations: &[DestinationId]) {
        if !self.store().is_shared() {
            return;
        }
        let (registry, attended) = (self.registry(), self.nudges().are_attended());
        let is_pull = |id: &DestinationId| {
            registry.destination(*id).is_some_and(|live| matches!(live.destination.spec.kind, DestinationKind::Pull(_)))
        };
        self.following().knocks().owed(destinations.iter().filter(|id| !attended || is_pull(id)).copied());
    }

    /// Does what another node's knock is for.
    fn answer(&self, knock: Knock) {
        let Knock { declared, owed } = knock;
        if declared {
            self.following().knocks().look.notify_one();
        }
        if !owed.is_empty() {
            self.nudges().of(owed);
            self.pulls().notify_waiters();
            self.tell_followers();
        }
    }
}

impl Engine {
    /// Tells the others, until `over`: one knock after the other, and what came meanwhile as one.
    pub(crate) async fn knock(&self, over: &CancellationToken) {
        let (inner, clock) = (self.inner(), self.inner().clock());
        let knocks = inner.following().knocks();
        while over.run_until_cancelled(knocks.given.notified()).await.is_some() {
            self.knock_once().await;
            over.run_until_cancelled(clock.sleep_until(clock.now().plus(KNOCK_EVERY))).await;
        }
        self.knock_once().await;
    }

    /// Tells the others that whatever this node had claimed is theirs.
    pub(crate) async fn leave_everything(&self) {
        let inner = self.inner();
        if inner.store().is_shared() && inner.following().waking() == Waking::Knocks {
            inner.following().knocks().owed(inner.registry().destinations().map(|live| live.destination.id));
            self.knock_once().await;
        }
    }

    async fn knock_once(&self) {
        let inner = self.inner();
        let knock = inner.following().knocks().take();
        if knock == Knock::default() {
            return;
        }
        if let Err(error) = inner.store().knock(inner.node(), knock).await {
            tracing::debug!(%error, "other nodes were not told: they look by themselves");
        }
    }

    /// Does what others' knocks are for, until `over`.
    pub(crate) async fn listen(&self, over: &CancellationToken) {
        let (inner, clock) = (self.inner(), self.inner().clock());
        let mut is_deaf = false;
        while let Some(heard) = over.run_until_cancelled(inner.store().heard(inner.node())).await {
            match heard {
                Ok(knock) => {
                    is_deaf = false;
                    inner.answer(knock);
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_deaf, true) {
                        tracing::info!(%error, "other nodes are not heard: it is looked twice a second what they do");
                    }
                    over.run_until_cancelled(clock.sleep_until(clock.now().plus(LISTEN_AGAIN))).await;
                }
            }
        }
    }
}
