//! Sealed settings of what is in force: put back for whoever declares it anew, and sealed for the first time where an earlier
//! version of this program kept them in clear.

use serde_json::json;

use super::seed::is_sent_itself;
use super::shown::without_values;
use super::{Authority, DeclaredDestination, DeclaredSecret, sealed};
use crate::engine::{Engine, EngineError};
use crate::ids::OrganizationId;
use crate::model::{AuditEntry, Destination, DestinationSpec, Manager, Principal, SecretOwner};
use crate::secrets::Purpose;
use crate::store::{Change, Resources};

/// How far the settings are that an earlier version kept in clear.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sealing {
    /// Nobody looked yet.
    #[default]
    ToDo,
    /// They are sealed, and the store's files may still hold what they were.
    ToOverwrite,
    /// Nothing is in clear.
    Done,
}

impl Engine {
    /// How a destination behaves, with the values of its settings that are kept sealed. What there is no value for any more is
    /// left out.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] while they do not open.
    pub async fn whole_destination(
        &self,
        organization: OrganizationId,
        name: &str,
    ) -> Result<Option<DestinationSpec>, EngineError> {
        let registry = self.inner().registry();
        let Some(live) = registry.destinations_of(organization).find(|live| live.destination.name == name) else {
            return Ok(None);
        };
        let mut spec = live.destination.spec.clone();
        for purpose in sealed::missing(&live.destination.spec) {
            let opened = match live.sealed(purpose) {
                Some(keyring) => Some(self.inner().opened(keyring, self.inner().clock().now()).await),
                None => None,
            };
            if let Some(problem) = opened.as_ref().and_then(|opened| opened.problem()) {
                return Err(EngineError::Unavailable(format!("destination `{name}`: {problem}")));
            }
            let value = opened.as_ref().and_then(|opened| opened.values.first());
            if !value.is_some_and(|(_, value)| sealed::put_back(&mut spec, purpose, value)) {
                sealed::leave_out(&mut spec, purpose);
            }
        }
        Ok(Some(spec))
    }

    /// Whether requests under this scheme carry the secret itself, and are not signed by it.
    pub fn sends_secret(&self, organization: OrganizationId, scheme: &str) -> bool {
        self.scheme(organization, scheme).is_some_and(|scheme| is_sent_itself(&scheme))
    }

    /// Seals what an earlier version kept in clear, if the KMS answers now.
    pub(crate) async fn seal_settings(&self) {
        if self.inner().opening().sealing() == Sealing::Done {
            return;
        }
        let _one_at_a_time = self.inner().administration().await;
        match self.inner().anew(|| self.seal_all()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "settings of destinations that were kept in clear are sealed"),
            Err(EngineError::Unavailable(problem)) => {
                tracing::warn!(
                    problem,
                    "settings of destinations are in the database in clear until they can be sealed"
                );
            }
            Err(error) => tracing::error!(%error, "settings of destinations cannot be sealed"),
        }
    }

    /// How many destinations had something in clear.
    async fn seal_all(&self) -> Result<usize, EngineError> {
        let inner = self.inner();
        let existing = inner.store().load().await?;
        let is_clear =
            |one: &&Destination| sealed::says_any(&one.spec) || without_values(&one.declaration.table).is_some();
        let clear: Vec<_> = existing.destinations.iter().filter(is_clear).collect();
        for destination in &clear {
            let (changes, audit) = self.sealed_changes(destination, &existing).await?;
            inner.change(changes, audit).await?;
            inner.opening().put_sealing(Sealing::ToOverwrite);
        }
        if !clear.is_empty() {
            inner.refresh().await?;
        }
        if inner.opening().sealing() == Sealing::ToOverwrite {
            inner.store().overwrite().await?;
        }
        inner.opening().put_sealing(Sealing::Done);
        Ok(clear.len())
    }

    async fn sealed_changes(
        &self,
        destination: &Destination,
        existing: &Resources,
    ) -> Result<(Vec<Change>, Vec<AuditEntry>), EngineError> {
        let Destination { id, organization, name, spec, declaration, .. } = destination.clone();
        let table = without_values(&declaration.table).unwrap_or(declaration.table.clone());
        let mut declared = DeclaredDestination { name: name.clone(), spec, table, secrets: vec![] };
        sealed::take_out(&mut declared);
        let (by, now) = (Principal::system(organization), self.inner().clock().now());
        let authority = match declaration.manager {
            Manager::File => Authority::AppliedFile,
            Manager::Api => Authority::Alteration,
        };
        let (mut changes, mut audit) = (vec![], vec![]);
        let target = || format!("destination:{name}");
        for DeclaredSecret { purpose, value } in &declared.secrets {
            let owner = (SecretOwner::Destination(id), target());
            let purpose = Purpose::Setting(purpose.clone());
            let grace = declared.spec.grace;
            let Some(seed) = self.seed(owner, purpose, grace, value, existing).await? else { continue };
            let (entered, entry) = self.enter(&by, authority, seed, existing, &changes).await?;
            changes.extend(entered);
            audit.push(entry);
        }
        let purposes: Vec<_> = declared.secrets.iter().map(|secret| &secret.purpose).collect();
        audit.push(AuditEntry::by(&by, "destination.seal", target(), now, json!({ "settings": purposes })));
        let mut sealed = destination.clone();
        (sealed.spec, sealed.declaration.table) = (declared.spec, declared.table);
        changes.push(Change::PutDestination(Box::new(sealed)));
        Ok((changes, audit))
    }
}
