//! The opened secrets of a source or destination, and which of them may be used at a moment.
//! Owns validity in time; how they are set, rotated, revealed and revoked is `secrets`.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use hookward::{Key, Secret};

use crate::clock::Timestamp;
use crate::ids::OrganizationId;
use crate::kms::seal::{associated_data, open};
use crate::kms::{Kms, KmsError};
use crate::model::SealedSecret;

/// Opened keys with their validity, newest first.
#[derive(Debug, Default)]
pub(crate) struct Keyring {
    versions: Vec<Version>,
    live: ArcSwapOption<Live>,
}

#[derive(Debug)]
struct Version {
    not_before: Timestamp,
    not_after: Option<Timestamp>,
    key: Key,
}

/// The keys that may be used from `from` until just before `until`.
#[derive(Debug)]
pub(crate) struct Live {
    from: Timestamp,
    until: Timestamp,
    /// Newest first.
    pub(crate) keys: Vec<Key>,
}

impl Keyring {
    /// Adds an opened version.
    pub(crate) fn add(&mut self, sealed: &SealedSecret, key: Key) {
        let at = self.versions.partition_point(|version| version.key.version() > sealed.version);
        let version = Version { not_before: sealed.not_before, not_after: sealed.not_after, key };
        self.versions.insert(at, version);
        self.live.store(None);
    }

    /// The keys that may be used at `now`. Computed once for each span between two changes of validity, so that expiry
    /// is exact without any work for each request.
    pub(crate) fn live_at(&self, now: Timestamp) -> Arc<Live> {
        if let Some(live) = self.live.load_full()
            && live.from <= now
            && now < live.until
        {
            return live;
        }
        let live = Arc::new(self.span_around(now));
        self.live.store(Some(Arc::clone(&live)));
        live
    }

    fn span_around(&self, now: Timestamp) -> Live {
        let edges = || self.versions.iter().flat_map(|version| [Some(version.not_before), version.not_after]).flatten();
        let from = edges().filter(|edge| *edge <= now).max().unwrap_or(Timestamp::from_millis(i64::MIN));
        let until = edges().filter(|edge| *edge > now).min().unwrap_or(Timestamp::from_millis(i64::MAX));
        let valid = |version: &&Version| version.not_before <= now && version.not_after.is_none_or(|end| now < end);
        Live { from, until, keys: self.versions.iter().filter(valid).map(|version| version.key.clone()).collect() }
    }
}

/// Opens one version of a secret.
pub(crate) async fn open_secret(
    kms: &dyn Kms,
    organization: OrganizationId,
    sealed: &SealedSecret,
) -> Result<Secret, KmsError> {
    let aad = associated_data(organization, sealed.owner, sealed.version);
    let value = open(kms, &aad, &sealed.sealed).await?;
    Secret::new(value.to_vec()).map_err(|_| KmsError::Damaged)
}
