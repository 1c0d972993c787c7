//! Looking at what happened: what the store finds, and among that what an expression lets through. Reading bodies costs,
//! so a look with an expression is bounded in events and in bytes, and says how far it came.

use std::sync::Arc;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::expression::Expression;
use crate::ids::OrganizationId;
use crate::model::Event;
use crate::routing::{Decision, LiveRules, SOURCES_FILTER};
use crate::store::{Activities, ActivityFilter, Page};

/// How many events an expression is asked about in one look, at most.
pub const ASKED_MAX: u32 = 500;

/// How many bytes of bodies it reads for that, at most, but for the last one.
pub const ASKED_BYTES_MAX: u64 = 32 << 20;

/// Events taken from the store at once.
const STEP: u32 = 100;

/// What a look with an expression found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sifted {
    /// What it let through.
    pub found: Activities,
    /// How many events it had no value for.
    pub failed: u32,
    /// Why, of the first of them.
    pub failure: String,
}

impl Engine {
    /// One page of the events that `filter` picks and `expression` is true for, newest first.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] for what is no expression; [`EngineError::Unavailable`].
    pub async fn sift(
        &self,
        organization: OrganizationId,
        filter: ActivityFilter,
        expression: &str,
        page: Page,
    ) -> Result<Sifted, EngineError> {
        Expression::compile(expression).map_err(|problem| EngineError::Invalid(problem.to_string()))?;
        let rules = Arc::new(LiveRules::of_source(Some(expression)));
        let (mut sifted, mut room) = (Sifted::default(), Room { events: ASKED_MAX, bytes: ASKED_BYTES_MAX });
        let (mut before, mut is_first) = (page.before, true);
        loop {
            let step = Page { before, limit: STEP };
            let step = self.store().activity(organization, filter.clone(), step).await?;
            if is_first {
                (sifted.found.newest, is_first) = (step.newest, false);
            }
            for activity in step.items {
                if sifted.found.items.len() >= page.limit as usize {
                    sifted.found.next = before;
                    return Ok(sifted);
                }
                if !room.take(activity.event.body_len) {
                    (sifted.found.next, sifted.found.looked_back_to) = (before, Some(activity.event.received_at));
                    return Ok(sifted);
                }
                before = Some(activity.position);
                match self.ask(&rules, &activity.event).await? {
                    Asked::True => sifted.found.items.push(activity),
                    Asked::False => {}
                    Asked::Failed(failure) if sifted.failed == 0 => (sifted.failed, sifted.failure) = (1, failure),
                    Asked::Failed(_) => sifted.failed += 1,
                }
            }
            before = step.next;
            if before.is_none() || step.looked_back_to.is_some() {
                (sifted.found.next, sifted.found.looked_back_to) = (before, step.looked_back_to);
                return Ok(sifted);
            }
        }
    }

    async fn ask(&self, rules: &Arc<LiveRules>, event: &Event) -> Result<Asked, EngineError> {
        match self.decide_alone(Arc::clone(rules), event).await {
            Ok(Some(Decision::Owed { .. })) => Ok(Asked::True),
            Ok(Some(Decision::Unwanted) | None) => Ok(Asked::False),
            Ok(Some(Decision::Failed(failure))) => {
                // It stands in for a source's filter, and is none.
                let why = failure.strip_prefix(SOURCES_FILTER).and_then(|why| why.strip_prefix(": "));
                Ok(Asked::Failed(why.unwrap_or(&failure).to_owned()))
            }
            // Retention took the body.
            Err(EngineError::NotFound(_)) => Ok(Asked::False),
            Err(error) => Err(error),
        }
    }
}

/// What an expression said of one event.
enum Asked {
    True,
    False,
    Failed(String),
}

/// What is left of a look.
struct Room {
    events: u32,
    bytes: u64,
}

impl Room {
    fn take(&mut self, bytes: u64) -> bool {
        if self.events == 0 || self.bytes == 0 {
            return false;
        }
        self.events -= 1;
        self.bytes = self.bytes.saturating_sub(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_bounded_in_events_and_in_bytes() {
        let mut room = Room { events: 2, bytes: 10 };
        assert!(room.take(1) && room.take(1) && !room.take(1));
        let mut room = Room { events: 5, bytes: 10 };
        assert!(room.take(9) && room.take(100) && !room.take(0), "the last one may be larger");
    }
}
