//! The secrets of a source or a destination as its page shows them: versions without a value, and what a rotation would
//! mean in numbers. Values are `secrets`'s, on demand.

use std::time::Duration;

use hookward_engine::clock::Timestamp;
use hookward_engine::model::{Destination, Principal, Proof, Scope, Scopes, SecretOwner, Source, is_setting};
use hookward_engine::store::{DeliveryFilter, EventFilter, Page};
use hookward_engine::{EngineError, IN_USE, SecretInfo};

use super::super::page::Failure;
use super::super::words::{self, When};
use super::at::{one, page_of};
use crate::api::Api;
use crate::api::secrets::{self, Owners};

/// How far back a rotation looks for whom it would concern.
const LATELY: Duration = Duration::from_secs(3600);

/// How many of the latest versions are shown whatever they are.
const LATEST: usize = 5;

/// The most that is counted there.
const COUNTED_MAX: u32 = 250;

/// Who has secrets, and where their pages are.
#[derive(Debug)]
pub(super) struct Keyholder {
    pub(super) owners: Owners,
    pub(super) owner: SecretOwner,
    pub(super) name: String,
    /// What an operator may give it secrets for, the main one first. Of a source: its scheme.
    pub(super) purposes: Vec<String>,
    /// How long those before a new one stay valid, unless it is said.
    pub(super) grace: Duration,
}

impl Keyholder {
    /// The one of this name in the visitor's organization.
    pub(super) fn find(api: &Api, by: &Principal, owners: Owners, name: &str) -> Result<Self, Failure> {
        let found = match owners {
            Owners::Sources => api.engine().source(by.organization, name).map(|source| Self::of_source(&source)),
            Owners::Destinations => {
                let destination = api.engine().destination(by.organization, name).filter(|one| !one.is_retired());
                destination.map(|destination| Self::of_destination(&destination))
            }
        };
        found.ok_or_else(|| Failure::not_found(format!("There is no such {}.", one(owners))))
    }

    /// A source.
    pub(super) fn of_source(source: &Source) -> Self {
        let scheme = match &source.spec.proof {
            Proof::Scheme { name, .. } => Some(name.clone()),
            Proof::ApiKey | Proof::Engine | Proof::Unsigned => None,
        };
        Self {
            owners: Owners::Sources,
            owner: SecretOwner::Source(source.id),
            name: source.name.clone(),
            purposes: scheme.into_iter().collect(),
            grace: source.spec.grace,
        }
    }

    /// A destination.
    pub(super) fn of_destination(destination: &Destination) -> Self {
        Self {
            owners: Owners::Destinations,
            owner: SecretOwner::Destination(destination.id),
            name: destination.name.clone(),
            purposes: destination.spec.purposes().into_iter().map(str::to_owned).collect(),
            grace: destination.spec.grace,
        }
    }

    /// Its page.
    pub(super) fn page(&self) -> String {
        page_of(self.owners, &self.name)
    }

    /// Where its secrets are.
    pub(super) fn secrets(&self) -> String {
        format!("{}/secrets", self.page())
    }
}

/// What the page shows of them.
#[derive(Debug)]
pub(super) struct Panel {
    /// As the command line names it.
    pub(super) target: String,
    /// Whether it has any use for a secret.
    pub(super) has_use: bool,
    pub(super) list: Versions,
    /// How many there are, where not all are shown.
    pub(super) all: Option<String>,
    /// Whether one of them is in force.
    pub(super) has_live: bool,
    pub(super) change: Change,
}

/// Versions, and what may be done with them.
#[derive(Debug)]
pub(super) struct Versions {
    /// Where its forms go.
    pub(super) base: String,
    /// Whether versions are for different ends.
    pub(super) tells_purposes: bool,
    pub(super) versions: Vec<Version>,
    pub(super) may_reveal: bool,
    pub(super) may_rotate: bool,
}

/// What matters of one version before it is ended.
#[derive(Debug)]
pub(super) struct About {
    pub(super) version: u32,
    pub(super) is_in_use: bool,
    pub(super) is_live: bool,
    /// Whether nothing else of its kind is in force for longer.
    pub(super) is_last: bool,
    pub(super) ends: Option<When>,
}

/// One version, without its value.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) number: u32,
    pub(super) purpose: String,
    /// The badge: its kind and its word.
    pub(super) badge: (&'static str, &'static str),
    pub(super) origin: String,
    pub(super) created: When,
    pub(super) begins: Option<When>,
    pub(super) ends: Option<When>,
    pub(super) first_used: Option<When>,
    pub(super) last_used: Option<When>,
    pub(super) uses: String,
    /// Whether it may be used now.
    pub(super) is_live: bool,
    /// Whether it may be looked at: what was revoked is nobody's business any more.
    pub(super) is_kept: bool,
}

/// What a new secret would mean for the ones before it.
#[derive(Debug)]
pub(super) struct Change {
    /// Where its forms go.
    pub(super) base: String,
    /// The newest version now, 0 for none.
    pub(super) newest: u32,
    /// What it may be for, where that has to be said.
    pub(super) purposes: Vec<String>,
    /// Whether a value can be made here for any of them.
    pub(super) can_be_made: bool,
    /// What each of those in force did lately.
    pub(super) effects: Vec<(u32, String)>,
    /// How long they would stay valid, and until when, where they do.
    pub(super) grace: Option<(String, When)>,
    /// Who would fail at once without that.
    pub(super) at_once: &'static str,
}

/// What a source's or a destination's page shows: what is in force or will be, and the latest of the others.
pub(super) async fn panel(api: &Api, by: &Principal, scopes: Scopes, holder: &Keyholder) -> Result<Panel, Failure> {
    let now = api.clock().now();
    let kept = api.engine().secrets(holder.owner).await?;
    let change = change(api, by, holder, &kept).await?;
    let shown = kept.iter().enumerate().filter(|(place, one)| *place < LATEST || matters(one, now));
    let shown: Vec<_> = shown.map(|(_, secret)| secret).collect();
    Ok(Panel {
        target: match holder.owners {
            Owners::Sources => format!("{} --source", holder.name),
            Owners::Destinations => format!("{} --destination", holder.name),
        },
        has_use: !holder.purposes.is_empty(),
        all: (shown.len() < kept.len()).then(|| words::count(kept.len() as u64)),
        list: versions(holder, scopes, &shown, now),
        has_live: kept.iter().any(|secret| secret.is_live(now)),
        change,
    })
}

/// These versions, for somebody with these scopes.
pub(super) fn versions(holder: &Keyholder, scopes: Scopes, shown: &[&SecretInfo], now: Timestamp) -> Versions {
    Versions {
        base: holder.secrets(),
        tells_purposes: holder.owners == Owners::Destinations,
        versions: shown.iter().map(|secret| version(secret, now)).collect(),
        may_reveal: scopes.contains(Scope::Reveal),
        may_rotate: scopes.contains(Scope::Rotate),
    }
}

/// Whether a version is in force, or will be.
fn matters(secret: &SecretInfo, now: Timestamp) -> bool {
    secret.revoked_at.is_none() && secret.not_after.is_none_or(|end| end > now)
}

/// What matters of one of these versions before it is ended.
pub(super) fn about(kept: &[SecretInfo], version: u32, now: Timestamp) -> Result<About, Failure> {
    let secret = kept.iter().find(|secret| secret.version == version);
    let secret = secret.ok_or_else(|| Failure::not_found("There is no such version."))?;
    let outlasts =
        |other: &&SecretInfo| other.not_after.is_none_or(|end| secret.not_after.is_some_and(|own| own < end));
    let mut others = kept.iter().filter(|other| other.version != version && other.purpose == secret.purpose);
    Ok(About {
        version,
        is_in_use: is_in_use(secret, now),
        is_live: secret.is_live(now),
        is_last: !others.any(|other| other.is_live(now) && outlasts(&other)),
        ends: secret.not_after.map(|end| When::new(end, now)),
    })
}

/// What a new secret would mean.
pub(super) async fn change(
    api: &Api,
    by: &Principal,
    holder: &Keyholder,
    kept: &[SecretInfo],
) -> Result<Change, Failure> {
    let now = api.clock().now();
    let live: Vec<_> = kept.iter().filter(|secret| secret.is_live(now)).collect();
    let until = || (words::lapse(holder.grace), When::new(now.plus(holder.grace), now));
    Ok(Change {
        base: holder.secrets(),
        newest: kept.first().map_or(0, |newest| newest.version),
        purposes: if holder.purposes.len() > 1 { holder.purposes.clone() } else { vec![] },
        can_be_made: holder.purposes.iter().any(|purpose| !is_setting(purpose)),
        effects: effects(api, by, holder, &live).await?,
        grace: (!live.is_empty() && !holder.grace.is_zero()).then(until),
        at_once: match holder.owners {
            Owners::Sources => "Every sender still using the old secret fails at once.",
            Owners::Destinations => "Every receiver that only knows the old secret refuses the next delivery.",
        },
    })
}

fn version(secret: &SecretInfo, now: Timestamp) -> Version {
    let when = |at: Timestamp| When::new(at, now);
    let badge = match secrets::state(secret, now) {
        "live" if secret.not_after.is_some() => ("wait", "In grace"),
        "live" => ("ok", "In force"),
        "future" => ("info", "From later on"),
        "revoked" => ("bad", "Revoked"),
        _ => ("", "Ended"),
    };
    Version {
        number: secret.version,
        purpose: secret.purpose.clone(),
        badge,
        origin: match secret.origin.as_str() {
            "generated" => "made here".to_owned(),
            "import" => "given".to_owned(),
            "config" => "from the configuration".to_owned(),
            other => other.to_owned(),
        },
        created: when(secret.created_at),
        begins: Some(secret.not_before).filter(|begin| *begin > now).map(when),
        ends: secret.revoked_at.or(secret.not_after).map(when),
        first_used: secret.first_used_at.map(when),
        last_used: secret.last_used_at.map(when),
        uses: words::count(secret.uses),
        is_live: secret.is_live(now),
        is_kept: secret.revoked_at.is_none(),
    }
}

/// Whether a version did something so recently that its end would be noticed.
fn is_in_use(secret: &SecretInfo, now: Timestamp) -> bool {
    secret.is_live(now) && secret.last_used_at.is_some_and(|last| last > now.minus(IN_USE))
}

/// What each of these versions, which are in force, did lately, in numbers.
async fn effects(
    api: &Api,
    by: &Principal,
    holder: &Keyholder,
    live: &[&SecretInfo],
) -> Result<Vec<(u32, String)>, EngineError> {
    if live.is_empty() {
        return Ok(vec![]);
    }
    let now = api.clock().now();
    let (store, page) = (api.engine().store(), Page { before: None, limit: COUNTED_MAX });
    let from = Some(now.minus(LATELY));
    let number = |count: u64, more: bool| {
        let things = if count == 1 { "delivery" } else { "deliveries" };
        format!("{}{} {things}", words::count(count), if more { " or more" } else { "" })
    };
    let idle = |secret: &SecretInfo| match secret.last_used_at {
        None => format!("Version {} was never used.", secret.version),
        Some(last) => format!("Version {} was last used {}.", secret.version, When::new(last, now).relative),
    };
    Ok(match holder.owner {
        SecretOwner::Source(source) => {
            let filter = EventFilter { source: Some(source), from, ..EventFilter::default() };
            let events = store.events(by.organization, filter, page).await?;
            let told = |secret: &&SecretInfo| {
                let version = secret.version;
                let by_it = events.items.iter().filter(|event| event.verdict["key_version"] == version).count() as u64;
                let many = number(by_it, events.next.is_some());
                let told = format!("Version {version}: {many} verified in the last hour.");
                (version, if by_it == 0 { idle(secret) } else { told })
            };
            live.iter().map(told).collect()
        }
        SecretOwner::Destination(destination) => {
            let filter = DeliveryFilter { destination: Some(destination), from, ..DeliveryFilter::default() };
            let deliveries = store.deliveries(by.organization, filter, page).await?;
            let many = number(deliveries.items.len() as u64, deliveries.next.is_some());
            let told = |secret: &&SecretInfo| {
                let is_lately = secret.last_used_at.is_some_and(|last| last > now.minus(LATELY));
                let lately = if is_lately { format!(" In the last hour: {many}.") } else { String::new() };
                (secret.version, idle(secret) + &lately)
            };
            live.iter().map(told).collect()
        }
    })
}
