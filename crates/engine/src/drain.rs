//! Resuming a destination, and what becomes of what was held for it meanwhile. Owns the bounds of what may be asked.

use serde_json::json;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::OrganizationId;
use crate::model::{AuditEntry, Destination, Principal};
use crate::store::{Drain, Owed};

/// The most deliveries a second that may be asked for.
pub const DRAIN_MAX: u32 = 100_000;

impl Engine {
    /// Makes a destination active and well, whatever it was: paused, disabled, or left alone by its breaker. Does `drain`
    /// with what is held for it, and returns of how many deliveries. Whatever is due goes out within the destination's own
    /// limits.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Invalid`] for a rate outside 1 to [`DRAIN_MAX`];
    /// [`EngineError::Unavailable`].
    pub async fn resume_destination(&self, name: &str, drain: Drain, by: &Principal) -> Result<u64, EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        self.inner().anew(|| self.resume_once(name, drain, by)).await
    }

    async fn resume_once(&self, name: &str, drain: Drain, by: &Principal) -> Result<u64, EngineError> {
        let registry = self.inner().registry();
        let live = registry
            .destinations_of(by.organization)
            .find(|live| live.destination.name == name && !live.destination.is_retired());
        let live = live.ok_or_else(|| EngineError::NotFound(format!("destination `{name}`")))?;
        let before = live.destination.state.name();
        let detail = match drain {
            Drain::AtOnce => json!({ "before": before, "after": "active" }),
            Drain::Spread { per_s } if !(1..=DRAIN_MAX).contains(&per_s) => {
                return Err(EngineError::Invalid(format!("a drain rate is 1 to {DRAIN_MAX} deliveries a second")));
            }
            Drain::Spread { per_s } => json!({ "before": before, "after": "active", "drain_rate": per_s }),
            Drain::Drop => json!({ "before": before, "after": "active", "dropped": true }),
        };
        let now = self.inner().clock().now();
        let audit = AuditEntry::by(by, "destination.resume", format!("destination:{name}"), now, detail);
        let count = self.inner().resume(live.destination.id, drain, audit).await?;
        live.pace.reset();
        self.inner().note(live.destination.id);
        self.inner().refresh().await?;
        Ok(count)
    }

    /// What these destinations are owed, in their order.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`].
    pub async fn backlog_of(&self, destinations: &[Destination]) -> Result<Vec<Owed>, EngineError> {
        let ids = destinations.iter().map(|destination| destination.id).collect();
        Ok(self.inner().store().owed(ids).await?)
    }

    /// The destinations of every organization, by name, those of others than the default one as `organization/name`.
    pub fn all_destinations(&self) -> Vec<(String, Destination)> {
        let registry = self.inner().registry();
        let named = registry.destinations().map(|live| {
            let destination = live.as_it_is();
            let organization = registry.organization(destination.organization).map(|one| one.name.as_str());
            let name = match organization.filter(|_| destination.organization != OrganizationId::DEFAULT) {
                Some(organization) => format!("{organization}/{}", destination.name),
                None => destination.name.clone(),
            };
            (name, destination)
        });
        let mut named: Vec<_> = named.collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named
    }
}
