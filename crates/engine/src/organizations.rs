//! Tenants: made by whoever operates the installation, and the doors that each has undeclared. Their erasure is `erasure`'s.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use crate::engine::{Engine, Parts};
use crate::error::EngineError;
use crate::ids::{OrganizationId, SourceId};
use crate::model::{
    AuditEntry, Declaration, DedupPolicy, OWN, Organization, PUBLISH, Principal, Proof, Retention, Source, SourceSpec,
};
use crate::registry::InnerDoors;
use crate::store::{Change, Resources};

/// How long a publisher's idempotency keys are remembered.
const IDEMPOTENCY_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The longest prefix of an organization's keys, in bytes.
pub const KEY_PREFIX_MAX: usize = 16;

impl Engine {
    /// Makes an organization. Its keys begin with `key_prefix` and a `_`; with its own name, as far as that can be one,
    /// when there is none.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] for a bad name or prefix; [`EngineError::Conflict`] for a name that is taken.
    pub async fn create_organization(
        &self,
        by: &Principal,
        name: &str,
        key_prefix: Option<&str>,
    ) -> Result<Organization, EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        if !crate::declare::is_name(name) {
            let rule = "an organization's name is 1 to 64 characters of `a-z 0-9 -`";
            return Err(EngineError::Invalid(rule.to_owned()));
        }
        let own = || name.chars().filter(char::is_ascii_alphanumeric).take(KEY_PREFIX_MAX).collect::<String>();
        let key_prefix = key_prefix.map_or_else(own, str::to_owned);
        if !is_key_prefix(&key_prefix) {
            let rule = format!("a key prefix is 1 to {KEY_PREFIX_MAX} characters of `a-z 0-9`");
            return Err(EngineError::Invalid(rule));
        }
        // One that is being erased has its name until it is gone.
        let existing = self.inner().store().load().await?.organizations;
        if existing.iter().any(|organization| organization.name == name) {
            return Err(EngineError::Conflict(format!("there is an organization `{name}` already")));
        }
        let now = self.inner().clock().now();
        let id = OrganizationId::new(now, self.inner().entropy());
        let organization = Organization { id, name: name.to_owned(), key_prefix, created_at: now, erasing_at: None };
        let detail = json!({ "id": id, "key_prefix": organization.key_prefix });
        let audit = AuditEntry::by(by, "organization.create", format!("organization:{name}"), now, detail);
        self.inner().change(vec![Change::PutOrganization(organization.clone())], vec![audit]).await?;
        self.inner().refresh().await?;
        Ok(organization)
    }

    /// Changes what an organization's new keys begin with.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Invalid`] for a bad prefix; [`EngineError::Unavailable`].
    pub async fn set_key_prefix(
        &self,
        by: &Principal,
        organization: OrganizationId,
        key_prefix: &str,
    ) -> Result<Organization, EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        if !is_key_prefix(key_prefix) {
            let rule = format!("a key prefix is 1 to {KEY_PREFIX_MAX} characters of `a-z 0-9`");
            return Err(EngineError::Invalid(rule));
        }
        self.inner().anew(|| self.set_key_prefix_once(by, organization, key_prefix)).await
    }

    async fn set_key_prefix_once(
        &self,
        by: &Principal,
        organization: OrganizationId,
        key_prefix: &str,
    ) -> Result<Organization, EngineError> {
        let before = self.organization(organization);
        let before = before.ok_or_else(|| EngineError::NotFound(format!("organization `{organization}`")))?;
        let now = self.inner().clock().now();
        let detail = json!({ "before": { "key_prefix": before.key_prefix }, "after": { "key_prefix": key_prefix } });
        let audit = AuditEntry::by(by, "organization.update", format!("organization:{}", before.name), now, detail);
        let after = Organization { key_prefix: key_prefix.to_owned(), ..before };
        self.inner().change(vec![Change::PutOrganization(after.clone())], vec![audit]).await?;
        self.inner().refresh().await?;
        Ok(after)
    }
}

/// Whether the keys of an organization may begin with this.
pub fn is_key_prefix(text: &str) -> bool {
    (1..=KEY_PREFIX_MAX).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// The doors that each organization has undeclared: taken out of `resources`, or made.
///
/// # Errors
///
/// [`EngineError::Moved`] when another node made one in the meantime; [`EngineError::Unavailable`].
pub(crate) async fn inner_doors(
    parts: &Parts,
    resources: &mut Resources,
) -> Result<HashMap<OrganizationId, InnerDoors>, EngineError> {
    let mut doors = HashMap::new();
    for organization in resources.organizations.iter().filter(|organization| organization.erasing_at.is_none()) {
        let is_door = |source: &Source, name| source.organization == organization.id && source.name == name;
        let mut inner_door = async |name, proof| match resources.sources.iter().position(|source| is_door(source, name))
        {
            Some(at) => Ok(resources.sources.swap_remove(at)),
            None => make_door(parts, organization.id, name, proof).await,
        };
        let publish = inner_door(PUBLISH, Proof::ApiKey).await?;
        let own = inner_door(OWN, Proof::Engine).await?;
        doors.insert(organization.id, InnerDoors { publish, own });
    }
    Ok(doors)
}

/// Makes a door of an organization that nobody declares: the API's, or that of the engine's own events.
async fn make_door(
    parts: &Parts,
    organization: OrganizationId,
    name: &str,
    proof: Proof,
) -> Result<Source, EngineError> {
    let now = parts.clock.now();
    let source = Source {
        id: SourceId::new(now, &*parts.entropy),
        organization,
        name: name.to_owned(),
        spec: SourceSpec {
            proof,
            dedup: DedupPolicy { id_headers: vec![], body: false, window: IDEMPOTENCY_WINDOW },
            grace: Duration::ZERO,
            event_types: vec![],
            filter: None,
            rate: None,
            retention: Retention::default(),
            door: serde_json::Value::Null,
        },
        declaration: Declaration::default(),
        created_at: now,
        removed_at: None,
    };
    let (by, detail) = (Principal::system(organization), json!({}));
    let audit = AuditEntry::by(&by, "source.create", format!("source:{name}"), now, detail);
    parts.store.change(vec![Change::PutNewSource(source.clone())], vec![audit]).await?;
    Ok(source)
}
