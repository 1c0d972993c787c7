//! The secrets of a source or destination, which of them may be used at a moment, and their keys while these are open.
//! Owns validity in time; opening is `opening`'s; how they are set, rotated, revealed and revoked is `secrets`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use hookward::{Key, Scheme, Secret};

use crate::clock::Timestamp;
use crate::ids::OrganizationId;
use crate::kms::cache::Cell;
use crate::kms::seal::{associated_data, open};
use crate::kms::{Kms, KmsError, Sealed};
use crate::model::{SealedSecret, SecretOwner};

/// A version of a secret that is not revoked: sealed, and for a time open. Outlives the snapshots that it is in.
#[derive(Debug)]
pub(crate) struct LiveSecret {
    pub(crate) organization: OrganizationId,
    pub(crate) owner: SecretOwner,
    pub(crate) version: u32,
    /// `None` for a version whose value is itself what is used.
    pub(crate) scheme: Option<Arc<Scheme>>,
    /// Which version of its organization's own scheme that is, where it is one.
    pub(crate) edition: Option<u32>,
    sealed: ArcSwap<Sealed>,
    pub(crate) key: Cell<Opened>,
    told: AtomicBool,
}

/// What a version is once it is opened.
#[derive(Debug, Clone)]
pub(crate) enum Opened {
    /// A key of its scheme.
    Key(Key),
    /// It cannot be a key of its scheme: it proves nothing and signs nothing.
    NoKey,
    /// The value, of a version that has no scheme.
    Value(Arc<Secret>),
}

impl LiveSecret {
    pub(crate) fn new(
        organization: OrganizationId,
        secret: &SealedSecret,
        (scheme, edition): (Option<Arc<Scheme>>, Option<u32>),
        ttl: Duration,
    ) -> Self {
        Self {
            organization,
            owner: secret.owner,
            version: secret.version,
            scheme,
            edition,
            sealed: ArcSwap::from_pointee(secret.sealed.clone()),
            key: Cell::new(ttl),
            told: AtomicBool::new(false),
        }
    }

    /// As it is stored now.
    pub(crate) fn sealed(&self) -> Arc<Sealed> {
        self.sealed.load_full()
    }

    /// The same value may be wrapped by another key now; its version never gets another value.
    pub(crate) fn reseal(&self, sealed: &Sealed) {
        if **self.sealed.load() != *sealed {
            self.sealed.store(Arc::new(sealed.clone()));
        }
    }

    /// Whether it is said for the first time that this secret does not open.
    pub(crate) fn is_news(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }
}

/// The versions of a secret that are for one purpose, with their validity, newest first.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    versions: Vec<Version>,
    live: ArcSwapOption<Live>,
}

#[derive(Debug)]
struct Version {
    not_before: Timestamp,
    not_after: Option<Timestamp>,
    secret: Arc<LiveSecret>,
}

/// The keys that may be used from `from` until just before `until`.
#[derive(Debug)]
pub(crate) struct Live {
    from: Timestamp,
    until: Timestamp,
    /// When the first of the keys must not be used any more, on the clock that never jumps.
    pub(crate) open_until: Duration,
    /// Newest first.
    pub(crate) keys: Vec<Key>,
    /// The versions that have no scheme, newest first.
    pub(crate) values: Vec<(u32, Arc<Secret>)>,
    /// Those that may be used and are not open: what the keys do not prove, one of these might.
    pub(crate) shut: Vec<Arc<LiveSecret>>,
}

impl Live {
    /// Why not all of them are open, if so.
    pub(crate) fn problem(&self) -> Option<String> {
        let secret = self.shut.first()?;
        let why = secret.key.failure().map_or_else(|| "it is not opened yet".to_owned(), |error| error.to_string());
        Some(format!("version {} of its secret is not open: {why}", secret.version))
    }
}

impl Keyring {
    /// Adds a version.
    pub(crate) fn add(&mut self, sealed: &SealedSecret, secret: Arc<LiveSecret>) {
        let at = self.versions.partition_point(|version| version.secret.version > sealed.version);
        let version = Version { not_before: sealed.not_before, not_after: sealed.not_after, secret };
        self.versions.insert(at, version);
        self.live.store(None);
    }

    /// The keys that may be used at `now`. Computed once for each span between two changes of validity, so that expiry
    /// is exact without any work for each request.
    pub(crate) fn live_at(&self, now: Timestamp, elapsed: Duration) -> Arc<Live> {
        if let Some(live) = self.live.load_full()
            && live.from <= now
            && now < live.until
            && elapsed < live.open_until
        {
            return live;
        }
        let live = Arc::new(self.span_around(now, elapsed));
        // While something is shut, the next look may find it open.
        self.live.store(live.shut.is_empty().then(|| Arc::clone(&live)));
        live
    }

    /// Forgets keys that must not be used any more.
    pub(crate) fn expire(&self, elapsed: Duration) {
        if self.live.load().as_ref().is_some_and(|live| elapsed >= live.open_until) {
            self.live.store(None);
        }
        self.versions.iter().for_each(|version| version.secret.key.expire(elapsed));
    }

    /// Every secret that may be used at `now` or later.
    pub(crate) fn lasting(&self, now: Timestamp) -> impl Iterator<Item = &Arc<LiveSecret>> {
        let lasts = move |version: &&Version| version.not_after.is_none_or(|end| now < end);
        self.versions.iter().filter(lasts).map(|version| &version.secret)
    }

    /// Every version that is not revoked, newest first, and whether it may be used at `now`.
    pub(crate) fn versions_at(&self, now: Timestamp) -> impl Iterator<Item = (&Arc<LiveSecret>, bool)> {
        let is_valid =
            move |version: &Version| version.not_before <= now && version.not_after.is_none_or(|end| now < end);
        self.versions.iter().map(move |version| (&version.secret, is_valid(version)))
    }

    fn span_around(&self, now: Timestamp, elapsed: Duration) -> Live {
        let edges = || self.versions.iter().flat_map(|version| [Some(version.not_before), version.not_after]).flatten();
        let mut live = Live {
            from: edges().filter(|edge| *edge <= now).max().unwrap_or(Timestamp::from_millis(i64::MIN)),
            until: edges().filter(|edge| *edge > now).min().unwrap_or(Timestamp::from_millis(i64::MAX)),
            open_until: Duration::MAX,
            keys: Vec::new(),
            values: Vec::new(),
            shut: Vec::new(),
        };
        let valid = |version: &&Version| version.not_before <= now && version.not_after.is_none_or(|end| now < end);
        for version in self.versions.iter().filter(valid) {
            match version.secret.key.get(elapsed) {
                Some((key, until)) => {
                    live.open_until = live.open_until.min(until);
                    match key {
                        Opened::Key(key) => live.keys.push(key),
                        Opened::NoKey => {}
                        Opened::Value(value) => live.values.push((version.secret.version, value)),
                    }
                }
                None => live.shut.push(Arc::clone(&version.secret)),
            }
        }
        live
    }
}

/// Opens one version of a secret.
pub(crate) async fn open_secret(
    kms: &dyn Kms,
    organization: OrganizationId,
    (owner, version): (SecretOwner, u32),
    sealed: &Sealed,
) -> Result<Secret, KmsError> {
    let aad = associated_data(organization, owner, version);
    let value = open(kms, &aad, sealed).await?;
    Secret::new(value.to_vec()).map_err(|_| KmsError::Damaged)
}
