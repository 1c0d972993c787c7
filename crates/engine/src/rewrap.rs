//! Everything that is sealed comes under the current key of the KMS, while traffic runs: in small transactions, each of
//! which leaves every value under one key or the other. Owns the going on, also after the process ended in the middle.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::accounts::totp_place;
use crate::clock::{Entropy, Timestamp};
use crate::engine::{Engine, EngineError};
use crate::ids::OrganizationId;
use crate::kms::seal::{associated_data, rewrap};
use crate::kms::{Kms, KmsError, check};
use crate::model::{AuditEntry, Principal};
use crate::opening::{INSTALLATION_KEY, INSTALLATION_KEY_PLACE};
use crate::store::moving::MoveError;
use crate::store::sql::SqlStore;
use crate::store::{Change, Resealed, RewrapNote, SealedPlace, SealedValue, SealedValues as _};

/// Values in one transaction.
const STEP: u32 = 64;

/// Data keys on their way through the KMS at once.
const AT_ONCE: usize = 8;

/// How long to wait for a KMS or a store that does not answer.
const PAUSE: Duration = Duration::from_secs(2);

/// The meta value that remembers the last rewrap.
const NOTE: &str = "kms_rewrap";

/// Where an installation key is kept that was given up.
const GIVEN_UP: &str = "installation_key.given_up";

/// A rewrap, and how far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrap {
    /// Whether it goes on.
    pub running: bool,
    /// The key that everything comes under.
    pub to: String,
    /// How many values there were to rewrap.
    pub total: u64,
    /// How many are done.
    pub done: u64,
    /// How many do not open, so that they stay as they are.
    pub skipped: u64,
    /// What it waits for, if it does.
    pub problem: Option<String>,
    /// Whether the installation key is made anew if its KMS key is gone.
    pub give_up_lost: bool,
    /// Who began it.
    pub actor: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What there is to know about keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsStatus {
    /// The key that wraps.
    pub key_id: String,
    /// The keys that only unwrap.
    pub previous: Vec<String>,
    /// How many sealed values each key wraps.
    pub sealed: Vec<(String, u64)>,
    /// How many secrets in force are open.
    pub open: usize,
    /// How many are not.
    pub shut: usize,
}

impl Engine {
    /// What there is to know about keys.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when the store does not answer.
    pub async fn kms_status(&self) -> Result<KmsStatus, EngineError> {
        let mut key_ids = self.inner().kms().key_ids();
        let key_id = key_ids.remove(0);
        let (open, shut) = self.opened_secrets();
        let sealed = self.inner().store().sealed_counts().await?;
        Ok(KmsStatus { key_id, previous: key_ids, sealed, open, shut })
    }

    /// Sends a data key to the KMS and back, and says how long that took.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when it does not come back as it went.
    pub async fn test_kms(&self, by: &Principal) -> Result<Duration, EngineError> {
        let inner = self.inner();
        let started = inner.clock().elapsed();
        let result = check(inner.kms(), inner.entropy()).await;
        let took = inner.clock().elapsed().saturating_sub(started);
        let detail = json!({ "key_id": inner.kms().key_id(), "answers": result.is_ok() });
        let audit = AuditEntry::by(by, "kms.test", "kms", inner.clock().now(), detail);
        inner.store().record(vec![audit]).await?;
        result?;
        Ok(took)
    }

    /// The last rewrap, under way or ended.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when the store does not answer.
    pub async fn rewrap(&self) -> Result<Option<Rewrap>, EngineError> {
        let Some(note) = self.inner().store().meta(NOTE).await? else { return Ok(None) };
        let damaged = |_| EngineError::Inconsistent(format!("meta value `{NOTE}` is damaged"));
        serde_json::from_slice(&note).map(Some).map_err(damaged)
    }

    /// Begins to bring everything under the current key, or says how far that is. `give_up_lost` also replaces an
    /// installation key whose KMS key is gone for good: what leases and configured secrets are known by is new then.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when the store does not answer.
    pub async fn start_rewrap(&self, by: &Principal, give_up_lost: bool) -> Result<Rewrap, EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        if let Some(rewrap) = self.rewrap().await?.filter(|rewrap| rewrap.running) {
            return Ok(rewrap);
        }
        let inner = self.inner();
        let (to, now) = (inner.kms().key_id().to_owned(), inner.clock().now());
        let counts = inner.store().sealed_counts().await?;
        let total = counts.iter().filter(|(key_id, _)| *key_id != to).map(|(_, count)| count).sum();
        let rewrap = Rewrap {
            running: true,
            to,
            total,
            done: 0,
            skipped: 0,
            problem: None,
            give_up_lost,
            actor: by.actor.clone(),
            started_at: now,
            ended_at: None,
        };
        let detail = json!({ "to": rewrap.to, "total": total, "give_up_lost": give_up_lost });
        let audit = AuditEntry::by(by, "kms.rewrap", "kms", now, detail);
        inner.store().reseal(vec![], note(&rewrap), vec![audit]).await?;
        inner.opening().nudge_rewrap();
        Ok(rewrap)
    }

    /// Carries rewraps out until `stop`, also one that an earlier process began.
    pub(crate) async fn run_rewraps(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let wait = match self.rewrap().await {
                Ok(Some(rewrap)) if rewrap.running => match self.pass(rewrap, stop).await {
                    Ok(()) => continue,
                    Err(error) => Some(error),
                },
                Ok(_) => None,
                Err(error) => Some(error),
            };
            if let Some(error) = &wait {
                tracing::warn!(%error, "the rewrap waits");
            }
            let again_at = self.inner().clock().now().plus(PAUSE);
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.inner().opening().rewrap_nudged() => {}
                () = self.inner().clock().sleep_until(again_at), if wait.is_some() => {}
            }
        }
    }

    /// Goes through all values once.
    async fn pass(&self, mut rewrap: Rewrap, stop: &CancellationToken) -> Result<(), EngineError> {
        let inner = self.shared();
        self.inner().kms().key_id().clone_into(&mut rewrap.to);
        (rewrap.skipped, rewrap.problem) = (0, None);
        let mut after = None;
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            let values = inner.store().sealed_elsewhere(&rewrap.to, after, STEP).await?;
            let Some(last) = values.last() else { break };
            after = Some(last.place.clone());
            let (kms, entropy) = (&inner.parts().kms, &inner.parts().entropy);
            let step = step(kms, entropy, values).await;
            rewrap.done += step.done.len() as u64;
            rewrap.skipped += step.skipped;
            rewrap.problem = step.unavailable;
            inner.store().reseal(step.done, note(&rewrap), vec![]).await?;
            if let Some(problem) = rewrap.problem {
                return Err(EngineError::Unavailable(problem));
            }
        }
        self.finish(rewrap).await
    }

    async fn finish(&self, mut rewrap: Rewrap) -> Result<(), EngineError> {
        let _one_at_a_time = self.inner().administration().await;
        let now = self.inner().clock().now();
        let is_given_up = rewrap.give_up_lost && self.give_up_installation_key().await?;
        (rewrap.running, rewrap.ended_at) = (false, Some(now));
        let Rewrap { to, done, skipped, actor, .. } = &rewrap;
        tracing::info!(to, done, skipped, "everything that opens is under the current key");
        let by = Principal { actor: actor.clone(), ..Principal::system(OrganizationId::DEFAULT) };
        let detail = json!({ "to": to, "done": done, "skipped": skipped, "installation_key_made_anew": is_given_up });
        let audit = AuditEntry::by(&by, "kms.rewrapped", "kms", now, detail);
        self.inner().store().reseal(vec![], note(&rewrap), vec![audit]).await?;
        self.inner().refresh().await
    }

    /// Puts an installation key aside that no key at hand can open, so that the next one who needs it makes a new one.
    async fn give_up_installation_key(&self) -> Result<bool, EngineError> {
        let store = self.inner().store();
        let Some(kept) = store.meta(INSTALLATION_KEY).await? else { return Ok(false) };
        let sealed: Option<crate::kms::Sealed> = serde_json::from_slice(&kept).ok();
        if sealed.is_none_or(|sealed| self.inner().kms().holds(&sealed.key_id)) {
            return Ok(false);
        }
        let put = |name: &str, value| Change::PutMeta { name: name.to_owned(), value };
        let by = Principal::system(OrganizationId::DEFAULT);
        let now = self.inner().clock().now();
        let audit = AuditEntry::by(&by, "installation_key.give_up", "installation", now, json!({}));
        store.change(vec![put(GIVEN_UP, kept), put(INSTALLATION_KEY, vec![])], vec![audit]).await?;
        self.inner().opening().forget_failure();
        Ok(true)
    }
}

/// What became of the sealed values of a store that nobody serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// The key that they are under.
    pub to: String,
    /// How many came under it.
    pub done: u64,
    /// How many do not open with the keys at hand, and stay as they are.
    pub skipped: u64,
}

/// Brings everything that is sealed in a store that nobody serves under the key that `kms` wraps with. Ended in the middle
/// it goes on when it is called again.
pub(crate) async fn bring_under(
    store: &SqlStore,
    kms: &Arc<dyn Kms>,
    entropy: &Arc<dyn Entropy>,
    now: Timestamp,
) -> Result<Rewrapped, MoveError> {
    let to = kms.key_id().to_owned();
    let counts = store.sealed_counts().await?;
    let total = counts.iter().filter(|(key_id, _)| *key_id != to).map(|(_, count)| count).sum();
    let by = Principal::system(OrganizationId::DEFAULT);
    let mut rewrap = Rewrap {
        running: false,
        to,
        total,
        done: 0,
        skipped: 0,
        problem: None,
        give_up_lost: false,
        actor: by.actor.clone(),
        started_at: now,
        ended_at: Some(now),
    };
    let mut after = None;
    loop {
        let values = store.sealed_elsewhere(&rewrap.to, after, STEP).await?;
        let Some(last) = values.last() else { break };
        after = Some(last.place.clone());
        let step = step(kms, entropy, values).await;
        rewrap.done += step.done.len() as u64;
        rewrap.skipped += step.skipped;
        store.reseal(step.done, note(&rewrap), vec![]).await?;
        if let Some(problem) = step.unavailable {
            return Err(KmsError::Unavailable(problem).into());
        }
    }
    if rewrap.done > 0 {
        let Rewrap { to, done, skipped, .. } = &rewrap;
        let detail = json!({ "to": to, "done": done, "skipped": skipped });
        let audit = AuditEntry::by(&by, "kms.rewrapped", "kms", now, detail);
        store.reseal(vec![], note(&rewrap), vec![audit]).await?;
    }
    let Rewrap { to, done, skipped, .. } = rewrap;
    Ok(Rewrapped { to, done, skipped })
}

/// What became of some values.
#[derive(Default)]
struct Step {
    done: Vec<Resealed>,
    skipped: u64,
    unavailable: Option<String>,
}

async fn step(kms: &Arc<dyn Kms>, entropy: &Arc<dyn Entropy>, values: Vec<SealedValue>) -> Step {
    let mut step = Step::default();
    let (mut values, mut under_way) = (values.into_iter(), JoinSet::new());
    loop {
        while under_way.len() < AT_ONCE
            && step.unavailable.is_none()
            && let Some(SealedValue { place, sealed }) = values.next()
        {
            let (kms, entropy) = (Arc::clone(kms), Arc::clone(entropy));
            under_way.spawn(async move {
                let after = rewrap(&*kms, &*entropy, &bound_to(&place), &sealed).await;
                after.map(|after| Resealed { place, before: sealed, after })
            });
        }
        match under_way.join_next().await {
            None => return step,
            Some(Ok(Ok(resealed))) => step.done.push(resealed),
            Some(Ok(Err(KmsError::Unavailable(problem)))) => step.unavailable = Some(problem),
            Some(Ok(Err(KmsError::Damaged | KmsError::WrongKey { .. }))) => step.skipped += 1,
            Some(Err(broken)) => step.unavailable = Some(broken.to_string()),
        }
    }
}

/// What a value in this place is bound to.
fn bound_to(place: &SealedPlace) -> Vec<u8> {
    match place {
        SealedPlace::Secret { organization, owner, version } => associated_data(*organization, *owner, *version),
        SealedPlace::Totp { organization, user } => totp_place(*organization, *user),
        SealedPlace::InstallationKey => INSTALLATION_KEY_PLACE.to_vec(),
    }
}

fn note(rewrap: &Rewrap) -> RewrapNote {
    RewrapNote { name: NOTE, value: serde_json::to_vec(rewrap).expect("plain JSON") }
}
