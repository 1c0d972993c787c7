//! Secrets that nobody uses, and ones that are still used shortly before they end: looked for now and then, and told as
//! operational events. Owns what counts as either; a secret's value is never looked at.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::ids::OrganizationId;
use crate::model::{Principal, SealedSecret, SecretOwner, is_setting};
use crate::secrets::IN_USE;

/// The event type of: a secret that is in force proves or signs nothing.
pub const SECRET_UNUSED: &str = "hookward.secret.unused";

/// The event type of: a secret is still used, and ends soon.
pub const SECRET_STILL_USED: &str = "hookward.secret.still_used";

/// A secret that is in force and was not used for so long is told of, and again each time that it has been as long.
const UNUSED: Duration = Duration::from_secs(30 * 86_400);

/// For so long after that it may be told; within it the same thing is told once.
const TELLING: Duration = Duration::from_secs(86_400);

/// At most so long before its end a secret ends soon; where its grace is short, for half of that.
const SOON: Duration = Duration::from_secs(86_400);

/// How often secrets are looked at.
const EVERY: Duration = Duration::from_secs(3600);

/// What is told of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disuse {
    /// Nothing has used it since then.
    Long(Timestamp),
    /// It is the newest, nobody knows it yet, and the version before it ends then.
    NotTakenUp(Timestamp),
    /// It ends then, and was used at the other time.
    StillUsed(Timestamp, Timestamp),
}

impl Disuse {
    /// What makes it the same as when it was told before.
    fn at(self) -> Timestamp {
        match self {
            Self::Long(at) | Self::NotTakenUp(at) | Self::StillUsed(at, _) => at,
        }
    }
}

/// A secret that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedSecret {
    /// `source:<name>` or `destination:<name>`.
    pub owner: String,
    /// Which version.
    pub version: u32,
    /// What about it.
    pub note: SecretNote,
}

/// What there is to say about a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretNote {
    /// It was rotated away, and still holds.
    InGrace {
        /// When it ends.
        until: Timestamp,
        /// Whether anybody used the newer one since.
        is_replaced: bool,
    },
    /// It is in force, and proves or signs nothing.
    Unused {
        /// When it was last used, or since when it could be.
        since: Timestamp,
    },
}

impl Engine {
    /// The secrets of an organization that are in grace, those that end first before the others, and then the ones that nobody
    /// used for 30 days.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`].
    pub async fn noted_secrets(&self, organization: OrganizationId) -> Result<Vec<NotedSecret>, EngineError> {
        let resources = self.inner().store().load().await?;
        let (now, registry) = (self.inner().clock().now(), self.inner().registry());
        let mut found = Vec::new();
        for secrets in resources.secrets.chunk_by(|a, b| a.owner == b.owner) {
            let owner = secrets[0].owner;
            if registry.organization_of(owner) == Some(organization) {
                let notes = keyrings(secrets).flat_map(|keyring| noted(&keyring, now));
                found.extend(notes.map(|(version, note)| (self.inner().owner_name(owner), version, note)));
            }
        }
        found.sort_by_key(|(_, _, note)| match note {
            SecretNote::InGrace { until, .. } => (0, *until),
            SecretNote::Unused { since } => (1, *since),
        });
        Ok(found.into_iter().map(|(owner, version, note)| NotedSecret { owner, version, note }).collect())
    }

    /// Tells of secrets as time goes by, until `stop`.
    pub(crate) async fn watch_secrets(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.tell_disuse().await;
            let next = self.inner().clock().now().plus(EVERY);
            stop.run_until_cancelled(self.inner().clock().sleep_until(next)).await;
        }
    }

    /// Raises `hookward.secret.unused` and `hookward.secret.still_used` for whatever deserves it now; done by itself once in
    /// an hour.
    pub async fn tell_disuse(&self) {
        let resources = match self.inner().store().load().await {
            Ok(resources) => resources,
            Err(error) => return tracing::warn!(%error, "secrets cannot be looked at now"),
        };
        let (now, registry) = (self.inner().clock().now(), self.inner().registry());
        // They come by owner, newest first.
        for secrets in resources.secrets.chunk_by(|a, b| a.owner == b.owner) {
            let owner = secrets[0].owner;
            let Some(organization) = registry.organization_of(owner) else { continue };
            let (by, name) = (Principal::system(organization), self.inner().owner_name(owner));
            for (secret, disuse) in keyrings(secrets).flat_map(|keyring| disused(&keyring, now)) {
                let (event_type, mut facts) = told(disuse);
                (facts["owner"], facts["version"]) = (json!(name), json!(secret.version));
                let once = format!("{owner:?} {} {}", secret.version, disuse.at().as_millis());
                let raised = self.inner().raise_alert(&registry, &by, event_type, &name, facts, &once).await;
                if let Err(error) = raised {
                    tracing::error!(owner = name, event_type, %error, "an operational event could not be committed");
                }
            }
        }
    }
}

/// The versions of each purpose that are keys of a scheme, newest first.
fn keyrings(secrets: &[SealedSecret]) -> impl Iterator<Item = Vec<&SealedSecret>> {
    let mut keyrings: Vec<Vec<&SealedSecret>> = Vec::new();
    // What is a setting is used without being counted.
    for secret in secrets.iter().filter(|secret| !is_setting(&secret.purpose)) {
        match keyrings.iter_mut().find(|keyring| keyring[0].purpose == secret.purpose) {
            Some(keyring) => keyring.push(secret),
            None => keyrings.push(vec![secret]),
        }
    }
    keyrings.into_iter()
}

/// What there is to say about the versions of one keyring, newest first.
fn noted(versions: &[&SealedSecret], now: Timestamp) -> Vec<(u32, SecretNote)> {
    let live: Vec<_> = versions.iter().copied().filter(|secret| secret.is_live(now)).collect();
    let Some((newest, older)) = live.split_first() else { return Vec::new() };
    let is_replaced = newest.last_used_at.is_some();
    let in_grace =
        |secret: &&SealedSecret| Some((secret.version, SecretNote::InGrace { until: secret.not_after?, is_replaced }));
    let unused = |secret: &&SealedSecret| {
        let since = secret.last_used_at.unwrap_or(secret.not_before);
        (now.since(since) >= UNUSED).then_some((secret.version, SecretNote::Unused { since }))
    };
    older.iter().filter_map(in_grace).chain(live.iter().filter_map(unused)).collect()
}

/// What is to be told of the versions of one keyring, newest first.
fn disused<'s>(versions: &[&'s SealedSecret], now: Timestamp) -> Vec<(&'s SealedSecret, Disuse)> {
    let mut told = Vec::new();
    let live: Vec<_> = versions.iter().copied().filter(|secret| secret.is_live(now)).collect();
    let Some((&newest, older)) = live.split_first() else { return told };
    for &secret in &live {
        let since = secret.last_used_at.unwrap_or(secret.not_before);
        let unused_ms = now.since(since).as_millis();
        if unused_ms >= UNUSED.as_millis() && unused_ms % UNUSED.as_millis() < TELLING.as_millis() {
            told.push((secret, Disuse::Long(since)));
        }
    }
    for &old in older {
        let Some(end) = old.not_after else { continue };
        let soon = SOON.min(end.since(newest.not_before) / 2);
        if now < end.minus(soon) {
            continue;
        }
        if newest.last_used_at.is_none() {
            told.push((newest, Disuse::NotTakenUp(end)));
        }
        if let Some(at) = still_used(old, newest).filter(|at| *at > now.minus(IN_USE)) {
            told.push((old, Disuse::StillUsed(end, at)));
        }
    }
    told
}

/// When somebody last depended on an old version.
fn still_used(old: &SealedSecret, newest: &SealedSecret) -> Option<Timestamp> {
    match old.owner {
        SecretOwner::Source(_) => old.last_used_at,
        // Where both sign every attempt, nobody knows which of them the receiver looks at.
        SecretOwner::Destination(_) => old.last_accepted_at.filter(|at| Some(*at) > newest.last_accepted_at),
    }
}

fn told(disuse: Disuse) -> (&'static str, Value) {
    match disuse {
        Disuse::Long(since) => (SECRET_UNUSED, json!({ "unused_since_ms": since })),
        Disuse::NotTakenUp(end) => (SECRET_UNUSED, json!({ "previous_ends_at_ms": end })),
        Disuse::StillUsed(end, at) => (SECRET_STILL_USED, json!({ "ends_at_ms": end, "last_used_at_ms": at })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DestinationId, SourceId};
    use crate::kms::Sealed;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    fn secret(version: u32, from: i64, until: Option<i64>) -> SealedSecret {
        SealedSecret {
            owner: SecretOwner::Source(SourceId::from_bytes([1; 16])),
            version,
            sealed: Sealed { key_id: String::new(), wrapped_key: vec![], ciphertext: vec![] },
            not_before: at(from),
            not_after: until.map(at),
            revoked_at: None,
            created_at: at(from),
            origin: String::new(),
            first_used_at: None,
            last_used_at: None,
            uses: 0,
            purpose: String::new(),
            last_accepted_at: None,
        }
    }

    fn told_at(versions: &[SealedSecret], now: i64) -> Vec<(u32, Disuse)> {
        let versions: Vec<_> = versions.iter().collect();
        disused(&versions, at(now)).into_iter().map(|(secret, disuse)| (secret.version, disuse)).collect()
    }

    #[test]
    fn a_secret_that_nobody_uses_is_told_of_each_thirty_days() {
        let mut one = secret(1, 0, None);
        for (now, told) in [(29, false), (30, true), (31, false), (59, false), (60, true), (61, false)] {
            assert_eq!(!told_at(&[one.clone()], now * DAY).is_empty(), told, "day {now}");
        }
        one.last_used_at = Some(at(DAY));
        assert_eq!(told_at(&[one.clone()], 30 * DAY), []);
        assert_eq!(told_at(&[one.clone()], 31 * DAY), [(1, Disuse::Long(at(DAY)))]);
        one.revoked_at = Some(at(2 * DAY));
        assert_eq!(told_at(&[one], 31 * DAY), [], "it is not in force");
    }

    #[test]
    fn what_is_in_grace_or_unused_is_noted() {
        let noted_at = |versions: &[SealedSecret], now| noted(&versions.iter().collect::<Vec<_>>(), at(now));
        let (mut new, mut old) = (secret(2, 0, None), secret(1, -DAY, Some(7 * DAY)));
        let grace = |is_replaced| (1, SecretNote::InGrace { until: at(7 * DAY), is_replaced });
        assert_eq!(noted_at(&[new.clone(), old.clone()], HOUR), [grace(false)]);
        new.last_used_at = Some(at(0));
        assert_eq!(noted_at(&[new.clone(), old.clone()], HOUR), [grace(true)]);
        assert_eq!(noted_at(&[new.clone(), old.clone()], 7 * DAY), [], "it has ended");
        assert_eq!(noted_at(&[new.clone()], 30 * DAY - 1), []);
        assert_eq!(noted_at(&[new.clone()], 30 * DAY), [(2, SecretNote::Unused { since: at(0) })]);
        old.not_after = None;
        assert_eq!(noted_at(&[new, old], HOUR), [], "both hold for good: nobody rotated");
    }

    #[test]
    fn a_new_secret_that_nobody_took_up_is_told_of_before_the_old_one_ends() {
        let (mut new, mut old) = (secret(2, 0, None), secret(1, -DAY, Some(7 * DAY)));
        old.last_used_at = Some(at(0));
        let versions = |new: &SealedSecret, old: &SealedSecret| [new.clone(), old.clone()];
        assert_eq!(told_at(&versions(&new, &old), 6 * DAY - 1), []);
        assert_eq!(told_at(&versions(&new, &old), 6 * DAY), [(2, Disuse::NotTakenUp(at(7 * DAY)))]);
        // With a short grace, in its second half.
        old.not_after = Some(at(4 * HOUR));
        assert_eq!(told_at(&versions(&new, &old), 2 * HOUR - 1), []);
        assert_eq!(told_at(&versions(&new, &old), 2 * HOUR).len(), 2);
        new.last_used_at = Some(at(HOUR));
        old.last_used_at = None;
        assert_eq!(told_at(&versions(&new, &old), 2 * HOUR), []);
    }

    #[test]
    fn an_old_secret_that_is_still_used_is_told_of_before_it_ends() {
        let (mut new, mut old) = (secret(2, 0, None), secret(1, -DAY, Some(7 * DAY)));
        new.last_used_at = Some(at(6 * DAY));
        old.last_used_at = Some(at(6 * DAY - HOUR));
        let still = Disuse::StillUsed(at(7 * DAY), at(6 * DAY - HOUR));
        assert_eq!(told_at(&[new.clone(), old.clone()], 6 * DAY), [(1, still)]);
        old.last_used_at = Some(at(5 * DAY));
        assert_eq!(told_at(&[new, old], 6 * DAY), [], "the last one was long ago");
    }

    #[test]
    fn where_both_sign_nobody_knows_which_of_them_is_used() {
        let owner = SecretOwner::Destination(DestinationId::from_bytes([1; 16]));
        let accepted = |version, from, until, at: Option<Timestamp>| SealedSecret {
            owner,
            last_used_at: at,
            last_accepted_at: at,
            ..secret(version, from, until)
        };
        let (earlier, now) = (Some(at(6 * DAY - HOUR)), Some(at(6 * DAY)));
        let told = |new, old| told_at(&[accepted(2, 0, None, new), accepted(1, -DAY, Some(7 * DAY), old)], 6 * DAY);
        assert_eq!(told(now, now), []);
        assert_eq!(told(now, earlier), []);
        assert_eq!(told(earlier, now), [(1, Disuse::StillUsed(at(7 * DAY), at(6 * DAY)))]);
        let not_taken_up = (2, Disuse::NotTakenUp(at(7 * DAY)));
        assert_eq!(told(None, now), [not_taken_up, (1, Disuse::StillUsed(at(7 * DAY), at(6 * DAY)))]);
    }
}
