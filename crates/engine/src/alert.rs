//! Alerts: events of the engine's own, for the destinations that ask for them, when something is wrong that operators
//! should hear of at once. Owns how often one is raised; what is wrong is found elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::clock::Timestamp;
use crate::commit::{Fact, Proven, commit};
use crate::dedup;
use crate::engine::{Engine, Inner};
use crate::exposure::{Exposed, ExposedSecret};
use crate::ids::OrganizationId;
use crate::model::{AuditEntry, Principal, RequestRecord};
use crate::registry::Registry;
use crate::store::{DedupKey, DedupKind, OnDuplicate};

/// The event type of the alert that a secret stood where none belongs.
pub const SECRET_EXPOSED: &str = "hookward.alert.secret_exposed";

/// The same thing is told once in this time.
const QUIET: Duration = Duration::from_secs(86_400);

/// At most this many different things are told in that time: a sender chooses the names of its headers.
const TOLD_MAX: usize = 256;

/// The most of a header's name that is told, in bytes.
const PLACE_MAX: usize = 256;

/// What was told already, and how often secrets were seen.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    seen: Mutex<BTreeMap<String, u64>>,
    told_until: Mutex<HashMap<ExposedSecret, Timestamp>>,
}

impl Alerts {
    /// Whether this is to be told now; if so, it counts as told.
    fn is_news(&self, secret: &ExposedSecret, now: Timestamp) -> bool {
        let mut told_until = self.told_until.lock().unwrap_or_else(PoisonError::into_inner);
        if told_until.get(secret).is_some_and(|until| now < *until) {
            return false;
        }
        if told_until.len() >= TOLD_MAX {
            told_until.retain(|_, until| now < *until);
        }
        let has_room = told_until.len() < TOLD_MAX;
        if has_room {
            told_until.insert(secret.clone(), now.plus(QUIET));
        }
        has_room
    }

    fn forget(&self, secret: &ExposedSecret) {
        self.told_until.lock().unwrap_or_else(PoisonError::into_inner).remove(secret);
    }
}

impl Engine {
    /// How many requests had a secret where none belongs, by its owner (`source:…`, `destination:…`), since this process
    /// began.
    pub fn secrets_exposed(&self) -> BTreeMap<String, u64> {
        self.inner().alerts().seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Inner {
    /// Tells operators of secrets that stood in a request at `door` (`source:…`, `path:…`). What cannot be committed now is
    /// told when the secret is seen again.
    pub(crate) async fn tell_exposed(
        &self,
        registry: &Registry,
        (organization, door): (OrganizationId, String),
        exposed: &Exposed,
        remote: &str,
        now: Timestamp,
    ) {
        for secret in &exposed.secrets {
            let owner = self.owner_name(secret.owner);
            // Whose secret it is has to know, and nobody else.
            let Some(owns) = registry.organization_of(secret.owner) else { continue };
            let door = if owns == organization { door.as_str() } else { "a door of another organization" };
            *self.alerts().seen.lock().unwrap_or_else(PoisonError::into_inner).entry(owner.clone()).or_default() += 1;
            let place = &secret.place[..secret.place.floor_char_boundary(PLACE_MAX)];
            let secret = ExposedSecret { place: place.to_owned(), ..secret.clone() };
            if !self.alerts().is_news(&secret, now) {
                continue;
            }
            let version = secret.version;
            tracing::warn!(at = door, place, owner, version, "a secret stood in a request where none belongs");
            let by = Principal { address: remote.to_owned(), ..Principal::system(owns) };
            if let Err(error) = self.raise(registry, &by, door, &owner, &secret, now).await {
                tracing::error!(%error, "an alert could not be committed");
                self.alerts().forget(&secret);
            }
        }
    }

    async fn raise(
        &self,
        registry: &Registry,
        by: &Principal,
        door: &str,
        owner: &str,
        secret: &ExposedSecret,
        now: Timestamp,
    ) -> Result<(), crate::store::StoreError> {
        let ExposedSecret { version, place, .. } = secret;
        let facts = json!({
            "at": door, "place": place, "owner": owner, "version": version, "remote": by.address, "seen_at_ms": now,
        });
        // Of the owner's identity, not its name: a name may be given to another.
        let once = format!("{:?} {version} {place}", secret.owner);
        self.raise_alert(registry, by, SECRET_EXPOSED, door, facts, &once).await
    }

    /// Commits an alert and its audit entry, unless the same one, as `once` says, was raised within [`QUIET`].
    pub(crate) async fn raise_alert(
        &self,
        registry: &Registry,
        by: &Principal,
        event_type: &'static str,
        target: &str,
        facts: serde_json::Value,
        once: &str,
    ) -> Result<(), crate::store::StoreError> {
        let now = self.clock().now();
        let body = Bytes::from(facts.to_string());
        let key = dedup::text_key(&format!("{event_type} {once}"));
        let fact = Fact {
            event_type: event_type.to_owned(),
            delivery_id: None,
            request: RequestRecord::default(),
            body_sha256: dedup::sha256(&body),
            body,
            dedup: vec![DedupKey {
                kind: DedupKind::DeliveryId,
                key: Bytes::copy_from_slice(&key),
                expires_at: now.plus(QUIET),
            }],
            on_duplicate: OnDuplicate::Discard,
        };
        let action = event_type.strip_prefix("hookward.").expect("every alert is one of ours");
        let proven = Proven::Own(AuditEntry::by(by, action, target, now, facts));
        let Some(doors) = registry.doors(by.organization) else { return Ok(()) };
        commit(self, registry, &doors.own, proven, fact, now).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SourceId;
    use crate::model::SecretOwner;

    #[test]
    fn a_thing_is_told_once_a_day_and_so_many_things_are_too_many() {
        let alerts = Alerts::default();
        let secret = |n: usize| ExposedSecret {
            owner: SecretOwner::Source(SourceId::from_bytes([1; 16])),
            version: 1,
            place: format!("header:x-{n}"),
        };
        let at = |millis| Timestamp::from_millis(millis);
        let day = i64::try_from(QUIET.as_millis()).expect("a day");
        assert!(alerts.is_news(&secret(0), at(0)));
        assert!(!alerts.is_news(&secret(0), at(day - 1)));
        assert!(alerts.is_news(&secret(0), at(day)));
        assert!((1..TOLD_MAX).all(|n| alerts.is_news(&secret(n), at(day))));
        assert!(!alerts.is_news(&secret(TOLD_MAX), at(day)));
        alerts.forget(&secret(1));
        assert!(alerts.is_news(&secret(TOLD_MAX), at(day)));
        assert!(alerts.is_news(&secret(TOLD_MAX + 1), at(2 * day)));
    }
}
