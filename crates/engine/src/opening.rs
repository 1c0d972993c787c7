//! Opening what is sealed: when it is first needed, ahead of that at start, and again before its time is over.
//! Owns what is opened when, and what is said of what does not open; the time is `kms::cache`'s.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::declare::sealing::Sealing;
use crate::declare::waiting::Waiting;
use crate::engine::{Engine, EngineError, Inner};
use crate::exposure::Exposed;
use crate::ids::OrganizationId;
use crate::keyring::{Keyring, Live, LiveSecret, Opened, open_secret};
use crate::kms::cache::{CachePolicy, Cell, Rests};
use crate::kms::seal::{open, seal};
use crate::kms::{KmsError, Sealed};
use crate::model::{AuditEntry, Principal, SecretOwner};
use crate::receive::InboundRequest;
use crate::redact::Credentials;
use crate::registry::Registry;
use crate::store::{Change, StoreError};

/// The event type of the alert that a sealed secret does not open: it was damaged, or moved from another place.
pub const SECRET_DAMAGED: &str = "hookward.alert.secret_damaged";

/// How many secrets are opened at once ahead of time.
const AT_ONCE: usize = 16;

/// How often to look whether anything is to be opened, at least.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The same while something is missing that no secret's time tells of.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The meta value in which the installation key is kept, and what it is bound to.
pub(crate) const INSTALLATION_KEY: &str = "installation_key";
pub(crate) const INSTALLATION_KEY_PLACE: &[u8] = b"hookward installation key";

/// A key under which this installation fingerprints values.
type InstallationKey = Arc<Zeroizing<[u8; 32]>>;

/// Fingerprints values for this installation.
pub(crate) struct Fingerprinter(InstallationKey);

impl Fingerprinter {
    /// A keyed fingerprint: equal values of one owner are recognised without being kept.
    pub(crate) fn of(&self, owner: &str, value: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_ref().as_ref());
        let mut context = hmac::Context::with_key(&key);
        context.update(owner.as_bytes());
        context.update(&[0]);
        context.update(value);
        context.sign().as_ref().to_vec()
    }
}

/// What opening needs besides the KMS.
#[derive(Debug)]
pub(crate) struct Opening {
    policy: CachePolicy,
    rests: Rests,
    installation_key: Cell<InstallationKey>,
    /// What was declared with secrets that the KMS has to seal once it answers.
    waiting: Mutex<Option<Waiting>>,
    sealing: Mutex<Sealing>,
    /// There may be something to open.
    wanted: tokio::sync::Notify,
    /// There may be something to rewrap.
    rewrap: tokio::sync::Notify,
}

impl Opening {
    pub(crate) fn new(policy: CachePolicy) -> Self {
        let installation_key = Cell::new(policy.ttl);
        let (wanted, rewrap) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
        let (rests, waiting, sealing) = (Rests::default(), Mutex::default(), Mutex::default());
        Self { policy, rests, installation_key, waiting, sealing, wanted, rewrap }
    }

    /// Whether the installation key is open, no secret waits, and no setting is in clear.
    fn is_whole(&self, elapsed: Duration) -> bool {
        self.installation_key.get(elapsed).is_some() && !self.has_waiting() && self.sealing() == Sealing::Done
    }

    /// How far settings are that were kept in clear.
    pub(crate) fn sealing(&self) -> Sealing {
        *self.sealing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put_sealing(&self, sealing: Sealing) {
        *self.sealing.lock().unwrap_or_else(PoisonError::into_inner) = sealing;
    }

    /// Keeps what was declared until its secrets can be entered.
    pub(crate) fn wait_with(&self, waiting: Waiting) {
        *self.waiting() = Some(waiting);
    }

    /// Whether any secrets of the configuration wait.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting().is_some()
    }

    /// What waits.
    pub(crate) fn take_waiting(&self) -> Option<Waiting> {
        self.waiting().take()
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A rewrap may have begun.
    pub(crate) fn nudge_rewrap(&self) {
        self.rewrap.notify_one();
    }

    /// Completes after such a nudge.
    pub(crate) async fn rewrap_nudged(&self) {
        self.rewrap.notified().await;
    }

    /// Whatever kept the installation key shut, it is tried again at once.
    pub(crate) fn forget_failure(&self) {
        self.installation_key.forget_failure();
        self.nudge();
    }

    /// Something new may have to be opened.
    pub(crate) fn nudge(&self) {
        self.wanted.notify_one();
    }
}

/// A secret in force that is not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShutSecret {
    /// Whose.
    pub organization: OrganizationId,
    /// `source:<name>`, `destination:<name>`, or `installation key`: what configured secrets and leases are known by.
    pub owner: String,
    /// Which.
    pub version: u32,
    /// The KMS key that it is sealed under, where that is known.
    pub key_id: String,
    /// Why. Only [`KmsError::Unavailable`] passes by itself: anything else has to be entered again.
    pub error: KmsError,
}

impl Engine {
    /// Makes the installation key, if there is none yet, and opens it: from then on something is sealed, and the master key is the
    /// one that there is. Otherwise it is made when it is first needed.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] when the KMS or the store does not answer.
    pub async fn begin_sealing(&self) -> Result<(), EngineError> {
        self.inner().fingerprinter().await.map(drop)
    }

    /// The secrets that are needed now or later and could not be opened, by organization and owner.
    pub fn shut_secrets(&self) -> Vec<ShutSecret> {
        let inner = self.inner();
        let (registry, elapsed) = (inner.registry(), inner.clock().elapsed());
        let mut shut: Vec<ShutSecret> = registry
            .lasting_secrets(inner.clock().now())
            .filter(|secret| secret.key.get(elapsed).is_none())
            .filter_map(|secret| {
                let key_id = secret.sealed().key_id.clone();
                let error =
                    secret.key.failure().or_else(|| inner.opening().rests.of(&key_id).map(|(_, error)| error))?;
                let LiveSecret { organization, owner, version, .. } = **secret;
                Some(ShutSecret { organization, owner: inner.owner_name(owner), version, key_id, error })
            })
            .collect();
        let Opening { installation_key, .. } = inner.opening();
        if let (None, Some(error)) = (installation_key.get(elapsed), installation_key.failure()) {
            let (organization, owner) = (OrganizationId::DEFAULT, "installation key".to_owned());
            shut.push(ShutSecret { organization, owner, version: 1, key_id: String::new(), error });
        }
        shut.sort_by(|a, b| (&a.organization, &a.owner, a.version).cmp(&(&b.organization, &b.owner, b.version)));
        shut
    }

    /// How many of the secrets that are needed now or later are open, and how many are not.
    pub fn opened_secrets(&self) -> (usize, usize) {
        let (registry, elapsed) = (self.inner().registry(), self.inner().clock().elapsed());
        let secrets: Vec<_> = registry.lasting_secrets(self.inner().clock().now()).collect();
        let open = secrets.iter().filter(|secret| secret.key.get(elapsed).is_some()).count();
        (open, secrets.len() - open)
    }

    /// Opens what is declared, as far as the KMS answers in time: so that the first requests do not wait for it, and a
    /// secret that stands where none belongs is known from the first one on.
    pub async fn warm(&self) {
        if timeout(self.inner().opening().policy.timeout, self.open_due()).await.is_err() {
            tracing::warn!("not every secret is open yet: the KMS is slow");
        }
    }

    /// Keeps secrets open until `stop`.
    pub(crate) async fn keep_open(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.open_due().await;
            let inner = self.inner();
            let (now, elapsed) = (inner.clock().now(), inner.clock().elapsed());
            let look_every = if inner.opening().is_whole(elapsed) { LOOK_EVERY } else { LOOK_AGAIN };
            let wait = inner.next_due(now).saturating_sub(elapsed).min(look_every);
            tokio::select! {
                () = stop.cancelled() => {}
                () = inner.opening().wanted.notified() => {}
                () = inner.clock().sleep_until(now.plus(wait)) => {}
            }
        }
    }

    /// Opens whatever is due, and forgets what may not be used any more.
    pub(crate) async fn open_due(&self) {
        let inner = self.shared();
        let (registry, elapsed) = (inner.registry(), inner.clock().elapsed());
        registry.keyrings().for_each(|keyring| keyring.expire(elapsed));
        registry.destinations().for_each(|live| live.assembly.expire(elapsed));
        let is_due = |secret: &&Arc<LiveSecret>| inner.due_at(secret) <= elapsed;
        let mut due = registry.lasting_secrets(inner.clock().now()).filter(is_due).cloned();
        let mut under_way = JoinSet::new();
        let mut opened = false;
        loop {
            while under_way.len() < AT_ONCE
                && let Some(secret) = due.next()
            {
                let inner = Arc::clone(&inner);
                under_way.spawn(async move { inner.renew(&secret).await.is_ok() });
            }
            match under_way.join_next().await {
                Some(ended) => opened |= ended.unwrap_or(false),
                None => break,
            }
        }
        if inner.opening().installation_key.due_at() <= elapsed {
            // While it fails, whoever needs it is told.
            let _ = inner.opening().installation_key.renew(inner.clock(), inner.installation_key()).await;
        }
        self.enter_waiting().await;
        self.seal_settings().await;
        if opened {
            inner.nudge();
        }
    }
}

impl Inner {
    /// The keys that may be used at `now`, once what is shut of them was tried to open.
    pub(crate) async fn opened(&self, keyring: &Keyring, now: Timestamp) -> Arc<Live> {
        let live = keyring.live_at(now, self.clock().elapsed());
        if live.shut.is_empty() {
            return live;
        }
        for secret in &live.shut {
            // Whatever comes of it shows in what is shut then.
            let _ = secret.key.open(self.clock(), self.unseal(secret)).await;
            self.look_for_damage(secret).await;
        }
        keyring.live_at(now, self.clock().elapsed())
    }

    /// Opens a secret anew that is due.
    async fn renew(&self, secret: &LiveSecret) -> Result<(), KmsError> {
        let renewed = secret.key.renew(self.clock(), self.unseal(secret)).await;
        self.look_for_damage(secret).await;
        renewed.map(drop)
    }

    async fn look_for_damage(&self, secret: &LiveSecret) {
        if secret.key.failure() == Some(KmsError::Damaged) && secret.is_news() {
            self.tell_damaged(secret).await;
        }
    }

    async fn unseal(&self, secret: &LiveSecret) -> Result<Opened, KmsError> {
        let sealed = secret.sealed();
        let place = (secret.owner, secret.version);
        let opening = open_secret(self.kms(), secret.organization, place, &sealed);
        let value = self.asking(&sealed.key_id, opening).await?;
        self.fingerprints().add(secret.owner, secret.version, &value);
        let Some(scheme) = &secret.scheme else { return Ok(Opened::Value(Arc::new(value))) };
        Ok(scheme.key(secret.version, &value).map_or_else(
            |error| {
                let (owner, version) = (self.owner_name(secret.owner), secret.version);
                tracing::error!(owner, version, %error, "a secret cannot be used: it is no key of its scheme");
                Opened::NoKey
            },
            Opened::Key,
        ))
    }

    /// Asks the KMS, unless it is known not to answer.
    async fn asking<T>(&self, key_id: &str, ask: impl Future<Output = Result<T, KmsError>>) -> Result<T, KmsError> {
        let Opening { policy, rests, .. } = self.opening();
        rests.admit(key_id, self.clock().elapsed(), policy.timeout)?;
        let answer = ask.await;
        if rests.heard(key_id, self.clock().elapsed(), &answer) {
            tracing::info!(key_id, "the KMS answers again");
            self.opening().nudge();
        }
        answer
    }

    /// When a secret should be opened.
    fn due_at(&self, secret: &LiveSecret) -> Duration {
        let rest = self.opening().rests.of(&secret.sealed().key_id);
        secret.key.due_at().max(rest.map_or(Duration::ZERO, |(until, _)| until))
    }

    /// When the next secret should be opened.
    fn next_due(&self, now: Timestamp) -> Duration {
        self.registry().lasting_secrets(now).map(|secret| self.due_at(secret)).min().unwrap_or(Duration::MAX)
    }

    async fn tell_damaged(&self, secret: &LiveSecret) {
        let LiveSecret { organization, owner, version, .. } = *secret;
        let name = self.owner_name(owner);
        tracing::error!(owner = name, version, "a secret does not open: it is damaged or belongs to another place");
        let facts = json!({ "owner": name, "version": version, "seen_at_ms": self.clock().now() });
        let identity = match owner {
            SecretOwner::Source(id) => id.to_string(),
            SecretOwner::Destination(id) => id.to_string(),
        };
        let (by, once) = (Principal::system(organization), format!("{identity} {version}"));
        let told = self.raise_alert(&self.registry(), &by, SECRET_DAMAGED, &name, facts, &once).await;
        if let Err(error) = told {
            tracing::error!(%error, "an alert could not be committed");
        }
    }

    /// What fingerprints values for this installation.
    ///
    /// # Errors
    ///
    /// [`EngineError::Unavailable`] while the installation key cannot be opened.
    pub(crate) async fn fingerprinter(&self) -> Result<Fingerprinter, EngineError> {
        let key = self.opening().installation_key.open(self.clock(), self.installation_key()).await;
        let unavailable = |error| EngineError::Unavailable(format!("the installation key does not open: {error}"));
        Ok(Fingerprinter(key.map_err(unavailable)?))
    }

    /// Secrets of ours that stand in `request` where none belongs.
    pub(crate) fn find_exposed(
        &self,
        registry: &Registry,
        request: &InboundRequest,
        own: Credentials<'_>,
        now: Timestamp,
    ) -> Exposed {
        self.fingerprints().find(request, own, &|held| registry.is_live(held, now))
    }

    /// The key under which this installation fingerprints values, made when it is first needed, and sealed.
    async fn installation_key(&self) -> Result<InstallationKey, KmsError> {
        let store = |error: StoreError| KmsError::Unavailable(error.to_string());
        // One that was given up is empty.
        let kept = self.store().meta(INSTALLATION_KEY).await.map_err(store)?;
        if let Some(kept) = kept.filter(|kept| !kept.is_empty()) {
            let sealed: Sealed = serde_json::from_slice(&kept).map_err(|_| KmsError::Damaged)?;
            let key = self.asking(&sealed.key_id, open(self.kms(), INSTALLATION_KEY_PLACE, &sealed)).await?;
            let key: [u8; 32] = key.as_slice().try_into().map_err(|_| KmsError::Damaged)?;
            return Ok(Arc::new(Zeroizing::new(key)));
        }
        let mut key = Zeroizing::new([0; 32]);
        self.entropy().fill(key.as_mut());
        let sealed = seal(self.kms(), self.entropy(), INSTALLATION_KEY_PLACE, key.as_ref()).await?;
        let value = serde_json::to_vec(&json!(sealed)).expect("a sealed value is plain JSON");
        let put = Change::PutNewMeta { name: INSTALLATION_KEY.to_owned(), value };
        let by = Principal::system(OrganizationId::DEFAULT);
        let detail = json!({ "key_id": sealed.key_id });
        let audit = AuditEntry::by(&by, "installation_key.create", "installation", self.clock().now(), detail);
        match self.store().change(vec![put], vec![audit]).await {
            Ok(()) => Ok(Arc::new(key)),
            // Another node made one in the meantime: that one counts, here too.
            Err(StoreError::Moved) => Box::pin(self.installation_key()).await,
            Err(error) => Err(store(error)),
        }
    }
}
