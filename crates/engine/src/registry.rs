//! What is declared, ready for use: schemes found, keyrings filled, runners built. A snapshot, replaced as a whole.
//! Owns the building; what of a secret is open outlives it, and is `opening`'s; changing what is declared is `declare`'s and `secrets`'s.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hookward::Scheme;

use crate::clock::Timestamp;
use crate::engine::Parts;
use crate::event_types::{EventTypes, in_force};
use crate::handshake::Listing;
use crate::ids::{DestinationId, OrganizationId, SourceId};
use crate::keyring::{Keyring, LiveSecret};
use crate::model::{
    Destination, DestinationKind, DestinationState, Organization, Proof, RefusedAt, SealedSecret, SecretOwner, Source,
    is_setting,
};
use crate::pace::Pace;
use crate::published::PublishedKeys;
use crate::rate::Bucket;
use crate::routing::LiveRules;
use crate::runner::Assembly;
use crate::schemes::{Installed, Schemes};
use crate::signing::Signer;
use crate::store::Resources;

/// A source ready to verify.
#[derive(Debug)]
pub(crate) struct LiveSource {
    pub(crate) source: Source,
    /// `None` for a source that is not proven by a scheme.
    pub(crate) scheme: Option<Arc<Scheme>>,
    /// Which version of its organization's own scheme that is, where it is one.
    edition: Option<u32>,
    pub(crate) keyring: Keyring,
    /// Its filter.
    pub(crate) rules: Arc<LiveRules>,
    /// How full its rate's bucket is; outlives this snapshot.
    bucket: Arc<Mutex<Bucket>>,
    /// Which handshakes were listed in the audit log; outlives this snapshot.
    pub(crate) handshakes: Arc<Mutex<Listing>>,
    /// The keys that its provider publishes; outlives this snapshot.
    pub(crate) published: Arc<PublishedKeys>,
    /// Headers in which requests carry the secret itself.
    pub(crate) credential_headers: Vec<String>,
    /// Query parameters in which requests carry the secret itself.
    pub(crate) credential_query: Vec<String>,
}

impl LiveSource {
    /// The source, with what is `kept` of it from the snapshot before.
    fn new(source: Source, kept: Option<&Self>, keyrings: &mut Keyrings<'_>, schemes: &Schemes) -> Self {
        let scheme = match &source.spec.proof {
            Proof::Scheme { name, parameters } => schemes.at(source.organization, name, parameters),
            Proof::ApiKey | Proof::Engine | Proof::Unsigned => None,
        };
        let owner = SecretOwner::Source(source.id);
        let keyring = match &scheme {
            Some(_) => keyrings.keyring((source.organization, owner), None, scheme.as_ref()),
            None => Keyring::default(),
        };
        let places = |list: Option<Vec<&str>>| list.unwrap_or_default().into_iter().map(str::to_owned).collect();
        let credential_headers = places(scheme.as_deref().map(Scheme::credential_headers));
        let credential_query = places(scheme.as_deref().map(Scheme::credential_query));
        let bucket = kept.map_or_else(Arc::default, |kept| Arc::clone(&kept.bucket));
        let handshakes = kept.map_or_else(Arc::default, |kept| Arc::clone(&kept.handshakes));
        let edition = scheme.as_ref().and_then(|scheme| schemes.own_version(source.organization, scheme.name()));
        // What was fetched for another scheme says nothing for this one.
        let is_same = |kept: &&Self| kept.edition == edition && kept.source.spec.proof == source.spec.proof;
        let published = kept.filter(is_same).map_or_else(Arc::default, |kept| Arc::clone(&kept.published));
        let rules = match kept {
            Some(kept) if kept.source.spec.filter == source.spec.filter => Arc::clone(&kept.rules),
            _ => Arc::new(LiveRules::of_source(source.spec.filter.as_deref())),
        };
        Self {
            source,
            scheme,
            edition,
            keyring,
            rules,
            bucket,
            handshakes,
            published,
            credential_headers,
            credential_query,
        }
    }

    /// Where its refusals are listed.
    pub(crate) fn door(&self) -> (OrganizationId, RefusedAt) {
        (self.source.organization, RefusedAt::Source(self.source.name.clone()))
    }

    /// Takes one authentic request at `elapsed`, or says how long there will be no room for it.
    pub(crate) fn take(&self, elapsed: Duration) -> Result<(), Duration> {
        let Some(rate) = &self.source.spec.rate else { return Ok(()) };
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(rate, elapsed)
    }
}

/// A destination ready to deliver to.
#[derive(Debug)]
pub(crate) struct LiveDestination {
    pub(crate) destination: Destination,
    pub(crate) assembly: Arc<Assembly>,
    pub(crate) rules: Arc<LiveRules>,
    /// One for each scheme that it is declared to sign with, in that order.
    pub(crate) signers: Vec<Signer>,
    /// Its sealed settings, by purpose.
    sealed: Vec<(String, Keyring)>,
    /// Headers that carry a secret of its own, and of no scheme that anybody else has.
    pub(crate) credential_headers: Vec<String>,
    /// What it may be given now; outlives this snapshot.
    pub(crate) pace: Arc<Pace>,
}

impl LiveDestination {
    /// The destination, with what is `kept` of it from the snapshot before.
    fn new(
        destination: Destination,
        kept: Option<&Arc<Self>>,
        keyrings: &mut Keyrings<'_>,
        schemes: &Schemes,
        parts: &Parts,
    ) -> Self {
        let spec = &destination.spec;
        let (assembly, rules) = match kept {
            Some(kept) if kept.destination.spec == *spec => (Arc::clone(&kept.assembly), Arc::clone(&kept.rules)),
            _ => {
                let rules = LiveRules::new(&spec.rules, spec.order.as_ref());
                (Arc::new(Assembly::new(spec, parts)), Arc::new(rules))
            }
        };
        let (organization, owner) = (destination.organization, SecretOwner::Destination(destination.id));
        let signers = spec.signing.iter().map(|signing| {
            let scheme = schemes.for_endpoint(organization, &signing.scheme, &signing.parameters);
            let keyring = keyrings.keyring((organization, owner), Some(&signing.scheme), scheme.as_ref().ok());
            let versions = keyrings.secrets.get(&owner).map_or(&[][..], Vec::as_slice);
            Signer::new(signing, scheme, keyring, versions, kept.map_or(&[], |kept| &kept.signers))
        });
        let signers = signers.collect();
        let own: Vec<_> = spec.signing.iter().filter_map(|own| Scheme::of_header_named(&own.scheme)).collect();
        let credential_headers = own.iter().flat_map(Scheme::credential_headers).map(str::to_owned).collect();
        let (sealed, pace) = (keyrings.settings(organization, owner), pace(&destination, kept));
        Self { destination, assembly, rules, signers, sealed, credential_headers, pace }
    }

    /// The destination in its present condition: the snapshot's may be older.
    pub(crate) fn as_it_is(&self) -> Destination {
        Destination { condition: self.pace.condition(), ..self.destination.clone() }
    }

    /// The versions that hold this setting, if there are any. See [`Inner::sealed_value`](crate::engine::Inner).
    pub(crate) fn sealed(&self, purpose: &str) -> Option<&Keyring> {
        self.sealed.iter().find(|(own, _)| own == purpose).map(|(_, keyring)| keyring)
    }

    /// How much of what a program writes is kept, in bytes.
    pub(crate) fn output_bytes(&self) -> usize {
        match &self.destination.spec.kind {
            DestinationKind::Command(command) => command.output_bytes,
            DestinationKind::Http(_)
            | DestinationKind::Report(_)
            | DestinationKind::Slack(_)
            | DestinationKind::Pull(_) => 0,
        }
    }

    /// All keyrings that an attempt at `now` may need.
    pub(crate) fn keyrings_at(&self, now: Timestamp) -> impl Iterator<Item = &Keyring> {
        let signers = self.signers.iter().filter(move |signer| signer.signing.signs_at(now));
        signers.map(|signer| &signer.keyring).chain(self.sealed.iter().map(|(_, keyring)| keyring))
    }
}

/// Doors of an organization that nobody declares.
#[derive(Debug)]
pub(crate) struct InnerDoors {
    /// The API's.
    pub(crate) publish: Source,
    /// The engine's own events'.
    pub(crate) own: Source,
}

/// What is declared, ready for use.
#[derive(Debug)]
pub(crate) struct Registry {
    organizations: HashMap<OrganizationId, Organization>,
    sources: HashMap<SourceId, LiveSource>,
    doors: HashMap<OrganizationId, InnerDoors>,
    destinations: HashMap<DestinationId, Arc<LiveDestination>>,
    event_types: EventTypes,
    schemes: Schemes,
    secrets: HashMap<SecretOwner, Vec<SealedSecret>>,
    live_secrets: HashMap<(SecretOwner, u32), Arc<LiveSecret>>,
}

impl Registry {
    /// Builds every runner. Nothing is opened here, and what is open stays so.
    pub(crate) fn build(
        resources: Resources,
        doors: HashMap<OrganizationId, InnerDoors>,
        installed: &Arc<Installed>,
        parts: &Parts,
        before: Option<&Self>,
    ) -> Self {
        let schemes = Schemes::in_force(installed, resources.schemes, before.map(Self::schemes));
        let mut secrets: HashMap<_, Vec<_>> = HashMap::new();
        resources.secrets.into_iter().for_each(|secret| secrets.entry(secret.owner).or_default().push(secret));
        secrets.values_mut().for_each(|versions| versions.sort_by_key(|secret| std::cmp::Reverse(secret.version)));
        let mut keyrings = Keyrings {
            secrets: &secrets,
            schemes: &schemes,
            before,
            ttl: parts.key_cache.ttl,
            live_secrets: HashMap::new(),
        };
        let organizations =
            resources.organizations.into_iter().filter(|organization| organization.erasing_at.is_none());
        let organizations: HashMap<_, _> = organizations.map(|organization| (organization.id, organization)).collect();
        let mut sources = HashMap::new();
        let is_there =
            |source: &Source| source.removed_at.is_none() && organizations.contains_key(&source.organization);
        for source in resources.sources.into_iter().filter(is_there) {
            let kept = before.and_then(|before| before.source(source.id));
            let live = LiveSource::new(source, kept, &mut keyrings, &schemes);
            sources.insert(live.source.id, live);
        }
        let mut destinations = HashMap::new();
        let is_there = |destination: &Destination| organizations.contains_key(&destination.organization);
        for destination in resources.destinations.into_iter().filter(is_there) {
            let kept = before.and_then(|before| before.destinations.get(&destination.id));
            let live = LiveDestination::new(destination, kept, &mut keyrings, &schemes, parts);
            destinations.insert(live.destination.id, Arc::new(live));
        }
        let (live_secrets, event_types) = (keyrings.live_secrets, in_force(resources.event_types, before));
        Self { organizations, sources, doors, destinations, event_types, schemes, secrets, live_secrets }
    }

    pub(crate) fn source(&self, id: SourceId) -> Option<&LiveSource> {
        self.sources.get(&id)
    }

    /// Those of every organization.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &LiveSource> {
        self.sources.values()
    }

    /// The organization of this id, unless it is being erased.
    pub(crate) fn organization(&self, id: OrganizationId) -> Option<&Organization> {
        self.organizations.get(&id)
    }

    pub(crate) fn organizations(&self) -> impl Iterator<Item = &Organization> {
        self.organizations.values()
    }

    /// The inner doors of an organization, unless it is being erased.
    pub(crate) fn doors(&self, organization: OrganizationId) -> Option<&InnerDoors> {
        self.doors.get(&organization)
    }

    /// Those of every organization.
    pub(crate) fn all_doors(&self) -> impl Iterator<Item = &InnerDoors> {
        self.doors.values()
    }

    /// All keyrings of every organization.
    pub(crate) fn keyrings(&self) -> impl Iterator<Item = &Keyring> {
        let ways_out = self.destinations.values().flat_map(|live| {
            let signers = live.signers.iter().map(|signer| &signer.keyring);
            signers.chain(live.sealed.iter().map(|(_, keyring)| keyring))
        });
        self.sources.values().map(|live| &live.keyring).chain(ways_out)
    }

    /// Every secret that may be used at `now` or later.
    pub(crate) fn lasting_secrets(&self, now: Timestamp) -> impl Iterator<Item = &Arc<LiveSecret>> {
        self.keyrings().flat_map(move |keyring| keyring.lasting(now))
    }

    /// Whether a version of a secret may be used at `now`.
    pub(crate) fn is_live(&self, (owner, version): (SecretOwner, u32), now: Timestamp) -> bool {
        let mut versions = self.secrets.get(&owner).into_iter().flatten();
        versions.any(|secret| secret.version == version && secret.is_live(now))
    }

    /// Whether a version of a secret is in force, now or later.
    pub(crate) fn is_kept(&self, owner: SecretOwner, version: u32) -> bool {
        self.live_secrets.contains_key(&(owner, version))
    }

    pub(crate) fn destination(&self, id: DestinationId) -> Option<&Arc<LiveDestination>> {
        self.destinations.get(&id)
    }

    /// The types of events of every organization.
    pub(crate) fn event_types(&self) -> &EventTypes {
        &self.event_types
    }

    /// The schemes of every organization.
    pub(crate) fn schemes(&self) -> &Schemes {
        &self.schemes
    }

    /// Those of every organization.
    pub(crate) fn destinations(&self) -> impl Iterator<Item = &Arc<LiveDestination>> {
        self.destinations.values()
    }

    /// Those of one organization.
    pub(crate) fn destinations_of(&self, organization: OrganizationId) -> impl Iterator<Item = &Arc<LiveDestination>> {
        self.destinations.values().filter(move |live| live.destination.organization == organization)
    }

    /// Every version of the owner's secrets, newest first.
    pub(crate) fn secrets(&self, owner: SecretOwner) -> Vec<&SealedSecret> {
        self.secrets.get(&owner).into_iter().flatten().collect()
    }

    /// Whose the owner's secrets are.
    pub(crate) fn organization_of(&self, owner: SecretOwner) -> Option<OrganizationId> {
        match owner {
            SecretOwner::Source(id) => self.source(id).map(|live| live.source.organization),
            SecretOwner::Destination(id) => self.destination(id).map(|live| live.destination.organization),
        }
    }
}

/// What is known of a destination's pace. One that is active again begins anew.
fn pace(destination: &Destination, kept: Option<&Arc<LiveDestination>>) -> Arc<Pace> {
    let is_active = |destination: &Destination| destination.state == DestinationState::Active;
    match kept.filter(|kept| is_active(&kept.destination) || !is_active(destination)) {
        Some(kept) => Arc::clone(&kept.pace),
        None => Arc::new(Pace::new(destination.condition)),
    }
}

/// Secrets on their way into keyrings.
struct Keyrings<'a> {
    secrets: &'a HashMap<SecretOwner, Vec<SealedSecret>>,
    schemes: &'a Schemes,
    before: Option<&'a Registry>,
    ttl: Duration,
    live_secrets: HashMap<(SecretOwner, u32), Arc<LiveSecret>>,
}

impl Keyrings<'_> {
    /// The versions for `purpose` (every one, of an owner that has but one); none of a scheme that is not there.
    fn keyring(
        &mut self,
        (organization, owner): (OrganizationId, SecretOwner),
        purpose: Option<&str>,
        scheme: Option<&Arc<Scheme>>,
    ) -> Keyring {
        let mut keyring = Keyring::default();
        if scheme.is_none() && !purpose.is_some_and(is_setting) {
            return keyring;
        }
        let versions = self.secrets.get(&owner).into_iter().flatten();
        let versions = versions.filter(|secret| purpose.is_none_or(|purpose| secret.purpose == purpose));
        let edition = scheme.and_then(|scheme| self.schemes.own_version(organization, scheme.name()));
        for sealed in versions.filter(|secret| secret.revoked_at.is_none()) {
            let place = (owner, sealed.version);
            let kept = self.before.and_then(|before| before.live_secrets.get(&place));
            let is_same = |kept: &&Arc<LiveSecret>| {
                kept.scheme.as_ref().map(|scheme| scheme.name()) == scheme.map(|scheme| scheme.name())
                    && kept.edition == edition
            };
            let secret = match kept.filter(is_same) {
                Some(kept) => Arc::clone(kept),
                None => Arc::new(LiveSecret::new(organization, sealed, (scheme.cloned(), edition), self.ttl)),
            };
            secret.reseal(&sealed.sealed);
            self.live_secrets.insert(place, Arc::clone(&secret));
            keyring.add(sealed, secret);
        }
        keyring
    }

    /// The keyrings of all settings that the owner has sealed.
    fn settings(&mut self, organization: OrganizationId, owner: SecretOwner) -> Vec<(String, Keyring)> {
        let versions = self.secrets.get(&owner).into_iter().flatten();
        let mut purposes: Vec<_> =
            versions.map(|secret| &secret.purpose).filter(|purpose| is_setting(purpose)).cloned().collect();
        purposes.sort();
        purposes.dedup();
        let keyrings = purposes.into_iter().map(|purpose| {
            let keyring = self.keyring((organization, owner), Some(&purpose), None);
            (purpose, keyring)
        });
        keyrings.collect()
    }
}
