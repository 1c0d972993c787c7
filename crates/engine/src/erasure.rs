//! The erasure of an organization: its end at once, and the removal of all that was its in small steps, which go on after
//! a crash. Owns the pace; what is removed is the store's.

use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::OrganizationId;
use crate::model::{AuditEntry, Organization, Principal};
use crate::store::{Change, StoreError};

/// Rows of each kind in one step: a few milliseconds of the writer.
const STEP: u32 = 64;

/// The rest after a step.
const PAUSE: Duration = Duration::from_millis(10);

/// How long requests that were under way when the erasure began may still commit, where it is known at once.
const SETTLE: Duration = Duration::from_secs(10);

/// How long to wait after a step that the store could not take.
const STORE_PAUSE: Duration = Duration::from_secs(5);

impl Engine {
    /// Ends an organization: from now on nothing of it is in force, and everything of it is being removed but what the
    /// audit log says.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Conflict`] for the default one, which operates the installation;
    /// [`EngineError::Unavailable`].
    pub async fn erase_organization(
        &self,
        by: &Principal,
        organization: OrganizationId,
    ) -> Result<Organization, EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        let erased = self.inner().anew(|| self.erase_organization_once(by, organization)).await?;
        self.inner().nudge_erasure();
        Ok(erased)
    }

    async fn erase_organization_once(
        &self,
        by: &Principal,
        organization: OrganizationId,
    ) -> Result<Organization, EngineError> {
        let found = self.organization(organization);
        let found = found.ok_or_else(|| EngineError::NotFound(format!("organization `{organization}`")))?;
        if organization == OrganizationId::DEFAULT {
            let problem = "the default organization operates the installation, so it cannot be erased";
            return Err(EngineError::Conflict(problem.to_owned()));
        }
        let now = self.inner().clock().now();
        let erased = Organization { erasing_at: Some(now), ..found };
        let detail = json!({ "id": organization });
        let audit = AuditEntry::by(by, "organization.erase", format!("organization:{}", erased.name), now, detail);
        self.inner().change(vec![Change::PutOrganization(erased.clone())], vec![audit]).await?;
        self.inner().refresh().await?;
        Ok(erased)
    }

    /// Removes what belongs to organizations whose erasure has begun, until `stop`.
    pub(crate) async fn erase(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let wake_at = match self.erase_once(stop).await {
                Ok(wake_at) => wake_at,
                Err(error) => {
                    tracing::warn!(%error, "an organization's erasure cannot go on yet");
                    Some(self.inner().clock().now().plus(STORE_PAUSE))
                }
            };
            let pause = async {
                match wake_at {
                    Some(at) => self.inner().clock().sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.inner().erasure_nudged() => {}
                () = pause => {}
            }
        }
    }

    /// Returns when the next organization may be begun with, if one waits.
    async fn erase_once(&self, stop: &CancellationToken) -> Result<Option<Timestamp>, EngineError> {
        let mut wake_at: Option<Timestamp> = None;
        for organization in self.inner().store().load().await?.organizations {
            let Some(begin) = organization.erasing_at.map(|at| at.plus(self.inner().settles_within(SETTLE))) else {
                continue;
            };
            if begin > self.inner().clock().now() {
                wake_at = Some(wake_at.map_or(begin, |at| at.min(begin)));
                continue;
            }
            while self.inner().store().erase_events(organization.id, STEP).await? {
                self.pause(stop).await;
                if stop.is_cancelled() {
                    return Ok(None);
                }
            }
            self.inner().store().erase_rest(organization.id).await?;
            let (now, by) = (self.inner().clock().now(), Principal::system(OrganizationId::DEFAULT));
            let (target, detail) = (format!("organization:{}", organization.name), json!({ "id": organization.id }));
            let audit = AuditEntry::by(&by, "organization.erased", target, now, detail);
            match self.inner().store().erase_row(organization.id, audit).await {
                // Another node was quicker; it says so in the audit log.
                Ok(true) | Err(StoreError::NotFound { .. }) => {}
                Ok(false) => wake_at = Some(now),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(wake_at)
    }

    async fn pause(&self, stop: &CancellationToken) {
        let clock = self.inner().clock();
        stop.run_until_cancelled(clock.sleep_until(clock.now().plus(PAUSE))).await;
    }
}
