//! Following what happens: events and attempts in the order of commits, from a position on, with a wait for what comes
//! next. Whoever follows keeps the position; nothing is kept for them here.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::OrganizationId;
use crate::model::Event;
use crate::store::{FeedFilter, FollowedAttempt, StoreError, Stretch};

/// The longest wait for something new.
pub const WAIT_MAX: Duration = Duration::from_secs(30);

/// The most items at once.
pub const ITEMS_MAX: u32 = 100;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what comes next.
    Now,
    /// With the first event received at this time or later.
    At(Timestamp),
    /// After this position.
    After(i64),
}

/// What somebody who follows asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Where to begin.
    pub start: Start,
    /// Of what.
    pub filter: FeedFilter,
    /// At most so many, 1 to [`ITEMS_MAX`].
    pub limit: u32,
    /// How long to wait when there is nothing, up to [`WAIT_MAX`].
    pub wait: Duration,
}

impl Engine {
    /// Events of an organization, oldest first. Asked for `Now`, it answers at once, with the position to go on from.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] for a position that this store never gave; [`EngineError::Unavailable`].
    pub async fn follow_events(&self, organization: OrganizationId, ask: Ask) -> Result<Stretch<Event>, EngineError> {
        let mut filter = ask.filter;
        let after = match ask.start {
            Start::Now => {
                let position = self.store().event_position(None).await?;
                return Ok(Stretch { items: Vec::new(), began: position, position, is_end: true });
            }
            Start::At(from) => {
                filter.from = Some(from);
                self.store().event_position(Some(from)).await?
            }
            Start::After(after) => after,
        };
        let look = |after| self.store().events_after(organization, filter.clone(), after, ask.limit);
        let stretch = self.look_ahead(after, ask.wait, look).await?;
        if stretch.position < after {
            let problem = "the position is behind everything that was ever committed here: was a backup restored?";
            return Err(EngineError::Invalid(problem.to_owned()));
        }
        Ok(stretch)
    }

    /// Attempts for an organization, in the order in which they ended.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] to begin at a time; [`EngineError::Unavailable`].
    pub async fn follow_attempts(
        &self,
        organization: OrganizationId,
        ask: Ask,
    ) -> Result<Stretch<FollowedAttempt>, EngineError> {
        let after = match ask.start {
            Start::Now => {
                let position = self.store().attempt_position().await?;
                return Ok(Stretch { items: Vec::new(), began: position, position, is_end: true });
            }
            Start::At(_) => return Err(EngineError::Invalid("attempts are not followed from a time on".to_owned())),
            // Retention may have taken the newest ones: what comes next is behind what is left.
            Start::After(after) => after.min(self.store().attempt_position().await?),
        };
        let look = |after| self.store().attempts_after(organization, ask.filter.clone(), after, ask.limit);
        self.look_ahead(after, ask.wait, look).await
    }

    async fn look_ahead<T, L>(
        &self,
        after: i64,
        wait: Duration,
        look: impl Fn(i64) -> L,
    ) -> Result<Stretch<T>, EngineError>
    where
        L: Future<Output = Result<Stretch<T>, StoreError>>,
    {
        let inner = self.inner();
        let give_up_at = inner.clock().now().plus(wait.min(WAIT_MAX));
        let began = after;
        let mut after = after;
        loop {
            let told = inner.followers().notified();
            tokio::pin!(told);
            // From here on nothing is missed.
            told.as_mut().enable();
            let stretch = look(after).await?;
            if !stretch.items.is_empty() || stretch.position < after || inner.clock().now() >= give_up_at {
                return Ok(Stretch { began, ..stretch });
            }
            after = stretch.position;
            if !stretch.is_end {
                continue;
            }
            tokio::select! {
                () = told => {}
                () = inner.clock().sleep_until(give_up_at) => {}
            }
        }
    }
}
