//! How an attempt is signed: by every scheme in force, with the secrets that are live now, of which `choice` picks one
//! where a request can carry no more. Which secrets are live is `keyring`'s, the signature the library's, the request the
//! destination's.

mod choice;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hookward::{Draft, Key, Scheme, UnixTime};

use crate::clock::Timestamp;
use crate::destination::Report;
use crate::engine::{Engine, Inner};
use crate::ids::OrganizationId;
use crate::keyring::{Keyring, Live};
use crate::model::{DestinationKind, Outcome, SealedSecret, SignWith, Signing};
use crate::registry::LiveDestination;

use choice::{Choice, Choices, Reception};

pub(crate) use choice::Try;

/// One of a destination's schemes, with its secrets.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) signing: Signing,
    /// A sentence for one that is not there any more, or lacks a parameter: nothing is sent without it.
    scheme: Result<Arc<Scheme>, String>,
    pub(crate) keyring: Keyring,
    /// What the receiver made of its secrets; outlives this snapshot.
    reception: Arc<Mutex<Reception>>,
}

impl Signer {
    /// A signer that goes on with what the one `before` it with the same scheme knew, or with what is kept of `versions`.
    pub(crate) fn new(
        signing: &Signing,
        scheme: Result<Arc<Scheme>, String>,
        keyring: Keyring,
        versions: &[SealedSecret],
        before: &[Self],
    ) -> Self {
        let known = before.iter().find(|before| before.signing.scheme == signing.scheme);
        let reception = known.map_or_else(
            || Arc::new(Mutex::new(Reception::kept(versions, &signing.scheme))),
            |known| Arc::clone(&known.reception),
        );
        Self { signing: signing.clone(), scheme, keyring, reception }
    }

    fn reception(&self) -> MutexGuard<'_, Reception> {
        self.reception.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// The destinations of an organization with a scheme that signs no more because its end has come, and that scheme.
    pub fn ended_schemes(&self, organization: OrganizationId) -> Vec<(String, String)> {
        let now = self.inner().clock().now();
        let destinations = self.destinations(organization).into_iter().filter(|one| !one.is_retired());
        let ended = destinations.flat_map(|destination| {
            let ended = destination.spec.signing.into_iter().filter(|signing| !signing.signs_at(now));
            ended.map(|signing| (destination.name.clone(), signing.scheme)).collect::<Vec<_>>()
        });
        ended.collect()
    }
}

/// What a kind signs with unless its settings say it. Only an answer tells whether a secret was refused; a program gives
/// none.
fn sign_with(signing: &Signing, kind: &DestinationKind) -> SignWith {
    let unsaid = match kind {
        DestinationKind::Http(_) | DestinationKind::Report(_) | DestinationKind::Slack(_) => SignWith::Adaptive,
        DestinationKind::Command(_) | DestinationKind::Pull(_) => SignWith::Newest,
    };
    signing.sign_with.unwrap_or(unsaid)
}

/// Whether an answer says that the receiver does not know the secret.
pub(crate) fn is_refusal(report: &Report) -> bool {
    matches!(report.status, Some(401 | 403))
}

/// What is added to a request, and which versions made it.
#[derive(Debug, Default)]
pub(crate) struct Signature {
    pub(crate) headers: Vec<(String, String)>,
    /// By scheme as declared, newest first within each.
    pub(crate) signed_by: Vec<u32>,
}

/// How one attempt is signed: its first try, and the second if the receiver refuses that one.
#[derive(Debug)]
pub(crate) struct Plan<'d> {
    entries: Vec<Entry<'d>>,
    /// One for each entry.
    choices: Choices,
}

/// One scheme's part in a plan.
#[derive(Debug)]
struct Entry<'d> {
    signer: &'d Signer,
    scheme: &'d Scheme,
    live: Arc<Live>,
}

impl<'d> Plan<'d> {
    /// How attempt `number`, which begins at `now`, is signed.
    ///
    /// # Errors
    ///
    /// A sentence: what there is to sign with cannot be used.
    pub(crate) async fn new(
        inner: &Inner,
        live: &'d LiveDestination,
        number: u32,
        now: Timestamp,
    ) -> Result<Self, String> {
        let spec = &live.destination.spec;
        let (mut entries, mut by_scheme) = (Vec::new(), Vec::new());
        for signer in live.signers.iter().filter(|signer| signer.signing.signs_at(now)) {
            let scheme = signer.scheme.as_deref().map_err(Clone::clone)?;
            // The dispatcher claims nothing for whoever cannot sign; between the claim and now a key's time may have ended.
            let keys = inner.opened(&signer.keyring, now).await;
            if let Some(problem) = keys.problem() {
                return Err(problem);
            }
            let versions: Vec<u32> = keys.keys.iter().map(Key::version).collect();
            let with = sign_with(&signer.signing, &spec.kind);
            by_scheme.push(match scheme.carries_every_signature() {
                true => Choice::All,
                false => Choice::one_of(&versions, with, &signer.reception()),
            });
            entries.push(Entry { signer, scheme, live: keys });
        }
        if entries.is_empty() && !spec.signing.is_empty() {
            return Err("none of its schemes signs any more: each `until` is past".to_owned());
        }
        Ok(Self { entries, choices: Choices { by_scheme, number } })
    }

    /// The headers of a new signature, each scheme's in turn.
    ///
    /// # Errors
    ///
    /// A sentence: why it cannot be signed.
    pub(crate) fn sign(&self, which: Try, draft: &Draft<'_>, now: Timestamp) -> Result<Signature, String> {
        let mut signature = Signature::default();
        for (entry, chosen) in self.entries.iter().zip(self.choices.made(which)) {
            let keys = &entry.live.keys;
            let keys = match chosen {
                Some(version) => keys.iter().filter(|key| key.version() == version).cloned().collect(),
                None => keys.clone(),
            };
            let name = entry.scheme.name();
            let signed = entry.scheme.sign(draft, &keys, UnixTime::from_millis(now.as_millis()));
            let signed = signed.map_err(|error| format!("scheme `{name}`: {error}"))?;
            if !signed.query.is_empty() {
                return Err(format!("scheme `{name}` would sign in the url, and deliveries are signed in headers"));
            }
            if signed.body.is_some() {
                return Err(format!("scheme `{name}` would sign in the body, and deliveries are signed in headers"));
            }
            // Two schemes may write one header, to which they then give one value.
            for (header, value) in signed.headers {
                if !signature.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(&header)) {
                    signature.headers.push((header, value));
                }
            }
            signature.signed_by.extend(signed.signed_by);
        }
        Ok(signature)
    }

    /// Whether a second try at `now` would be signed with another secret than the first.
    pub(crate) fn has_second(&self, inner: &Inner, now: Timestamp) -> bool {
        let changed = self.entries.iter().zip(self.choices.changed());
        let mut changed = changed.filter_map(|(entry, other)| Some((entry, other?))).peekable();
        let is_still_live = |(entry, (_, other)): (&Entry<'_>, (u32, u32))| {
            let live = entry.signer.keyring.live_at(now, inner.clock().elapsed());
            live.keys.iter().any(|key| key.version() == other)
        };
        changed.peek().is_some() && changed.all(is_still_live)
    }

    /// Takes note of a try that the receiver accepted.
    pub(crate) fn learn(&self, which: Try, report: &Report) {
        if report.outcome != Outcome::Success {
            return;
        }
        for (entry, version) in self.entries.iter().zip(self.choices.made(which)) {
            let Some(version) = version else { continue };
            entry.signer.reception().accept(version);
        }
    }

    /// What is said of an attempt of two tries.
    pub(crate) fn told(&self, first: &Report, second: &Report) -> String {
        let (before, after): (Vec<_>, Vec<_>) = self.choices.changed().into_iter().flatten().unzip();
        let (before, after) = (named(&before), named(&after));
        let status = |report: &Report| report.status.map_or_else(String::new, |status| format!(" ({status})"));
        let refused = format!("refused with {before}{}", status(first));
        match second.outcome {
            Outcome::Success => format!("{refused}, accepted with {after}"),
            _ if is_refusal(second) => format!("{refused} and with {after}{}", status(second)),
            _ => format!("{refused}; with {after}: {}", second.detail),
        }
    }
}

fn named(versions: &[u32]) -> String {
    let list: Vec<_> = versions.iter().map(u32::to_string).collect();
    match list.as_slice() {
        [only] => format!("version {only}"),
        list => format!("versions {}", list.join(" and ")),
    }
}
