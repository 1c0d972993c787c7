//! Nodes that share one store: what another one changed is in force here soon after. Owns how soon, and what is done then.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::store::Revision;

/// How often a node looks for what others changed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

impl Engine {
    /// Puts in force what other nodes changed, and attempts what they committed, until `stop`.
    pub(crate) async fn follow_nodes(&self, stop: &CancellationToken) {
        if !self.inner().store().is_shared() {
            return;
        }
        let mut known = None;
        while !stop.is_cancelled() {
            match self.look_at_nodes(known).await {
                Ok(revision) => known = Some(revision),
                Err(error) => tracing::warn!(%error, "it cannot be told what other nodes changed"),
            }
            let next = self.inner().clock().now().plus(LOOK_EVERY);
            stop.run_until_cancelled(self.inner().clock().sleep_until(next)).await;
        }
    }

    /// Looks once. `known` is what was seen the last time.
    async fn look_at_nodes(&self, known: Option<Revision>) -> Result<Revision, crate::engine::EngineError> {
        let revision = self.inner().store().revision().await?;
        match known {
            Some(known) if known.declared != revision.declared => self.inner().refresh().await?,
            Some(known) if known.owed != revision.owed => {
                self.inner().nudge();
                self.inner().tell_followers();
            }
            Some(_) => {}
            // What was declared while this node started.
            None => self.inner().refresh().await?,
        }
        Ok(revision)
    }
}
