//! How an attempt is signed: by every scheme in force, with the secrets that are live now; and where a request can carry
//! the signature of one secret only, with which. Owns that choice and what a receiver is known to accept; which secrets
//! are live is `keyring`'s, the signature the library's, the request the destination's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hookward::{Draft, Key, Scheme, UnixTime};

use crate::clock::Timestamp;
use crate::destination::Report;
use crate::engine::Inner;
use crate::keyring::{Keyring, Live};
use crate::model::{DestinationKind, Outcome, SealedSecret, SignWith, Signing};
use crate::registry::LiveDestination;

/// One of a destination's schemes, with its secrets.
#[derive(Debug)]
pub(crate) struct Signer {
    pub(crate) signing: Signing,
    /// `None` for one that is not there any more: nothing is sent without it.
    scheme: Option<Arc<Scheme>>,
    pub(crate) keyring: Keyring,
    /// What the receiver made of its secrets; outlives this snapshot.
    reception: Arc<Mutex<Reception>>,
}

impl Signer {
    /// A signer that goes on with what the one `before` it with the same scheme knew, or with what is kept of `versions`.
    pub(crate) fn new(
        signing: &Signing,
        scheme: Option<Arc<Scheme>>,
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

/// What a receiver made of the versions of one scheme, as far as it said so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Reception {
    /// Accepted and not refused since, the last accepted first.
    accepted: Vec<u32>,
    /// Refused and not accepted since, the last refused last.
    refused: Vec<u32>,
}

impl Reception {
    /// What the store knows.
    fn kept(versions: &[SealedSecret], purpose: &str) -> Self {
        let own = versions.iter().filter(|version| version.purpose == purpose);
        let mut accepted: Vec<_> = own.filter_map(|own| Some((own.last_accepted_at?, own.version))).collect();
        accepted.sort_by_key(|accepted| std::cmp::Reverse(*accepted));
        Self { accepted: accepted.into_iter().map(|(_, version)| version).collect(), refused: Vec::new() }
    }

    fn accept(&mut self, version: u32) {
        self.forget(version);
        self.accepted.insert(0, version);
    }

    fn refuse(&mut self, version: u32) {
        self.forget(version);
        self.refused.push(version);
    }

    fn forget(&mut self, version: u32) {
        self.accepted.retain(|known| *known != version);
        self.refused.retain(|known| *known != version);
    }

    /// Those of `live` (newest first), the likeliest to be accepted first: those that were, the last one first; those that
    /// were never tried, the newest first; and those that were refused, the longest ago first, so that of three or more
    /// each has its turn.
    fn likeliest(&self, live: &[u32]) -> Vec<u32> {
        let is_known = |version: &u32| self.accepted.contains(version) || self.refused.contains(version);
        let untried = live.iter().filter(|version| !is_known(version));
        let known = |list: &[u32]| list.iter().copied().filter(|version| live.contains(version)).collect::<Vec<_>>();
        [known(&self.accepted), untried.copied().collect(), known(&self.refused)].concat()
    }
}

/// With which of its live secrets a scheme signs a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// With all of them.
    All,
    /// With this version; and once more with the other, if the receiver refuses it.
    One { first: u32, other: Option<u32> },
}

/// The choice among `live`, newest first; `None` where there is none.
fn choose(carries_all: bool, sign_with: SignWith, live: &[u32], reception: &Reception) -> Option<Choice> {
    let newest = *live.first()?;
    let only = |first| Choice::One { first, other: None };
    Some(match sign_with {
        _ if carries_all => Choice::All,
        SignWith::Newest => only(newest),
        SignWith::Previous => only(live.get(1).copied().unwrap_or(newest)),
        SignWith::Adaptive => {
            let likeliest = reception.likeliest(live);
            Choice::One { first: likeliest[0], other: likeliest.get(1).copied() }
        }
    })
}

/// Which of `count` schemes that could take another secret do so in the second try of attempt `number`: all of them in
/// the first attempt, then every other combination in turn, because a receiver may have switched for some.
fn takes_other(count: usize, number: u32, index: usize) -> bool {
    let combinations = (1_u32 << count) - 1;
    let combination = combinations - number.saturating_sub(1) % combinations.max(1);
    combination & (1 << index) != 0
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
    number: u32,
}

/// One scheme's part in a plan.
#[derive(Debug)]
struct Entry<'d> {
    signer: &'d Signer,
    scheme: &'d Scheme,
    live: Arc<Live>,
    choice: Option<Choice>,
}

/// Which of an attempt's tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Try {
    First,
    Second,
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
        let mut entries = Vec::new();
        for signer in live.signers.iter().filter(|signer| signer.signing.signs_at(now)) {
            let scheme = signer.scheme.as_deref().ok_or_else(|| format!("no scheme `{}`", signer.signing.scheme))?;
            // The dispatcher claims nothing for whoever cannot sign; between the claim and now a key's time may have ended.
            let keys = inner.opened(&signer.keyring, now).await;
            if let Some(problem) = keys.problem() {
                return Err(problem);
            }
            let versions: Vec<u32> = keys.keys.iter().map(Key::version).collect();
            let with = sign_with(&signer.signing, &spec.kind);
            let choice = choose(scheme.carries_every_signature(), with, &versions, &signer.reception());
            entries.push(Entry { signer, scheme, live: keys, choice });
        }
        if entries.is_empty() && !spec.signing.is_empty() {
            return Err("none of its schemes signs any more: each `until` is past".to_owned());
        }
        Ok(Self { entries, number })
    }

    /// The headers of a new signature, each scheme's in turn.
    ///
    /// # Errors
    ///
    /// A sentence: why it cannot be signed.
    pub(crate) fn sign(&self, which: Try, draft: &Draft<'_>, now: Timestamp) -> Result<Signature, String> {
        let mut signature = Signature::default();
        for (entry, chosen) in self.entries.iter().zip(self.chosen(which)) {
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
        let changed = self.entries.iter().zip(self.changed());
        let mut changed = changed.filter_map(|(entry, other)| Some((entry, other?))).peekable();
        let is_still_live = |(entry, (_, other)): (&Entry<'_>, (u32, u32))| {
            let live = entry.signer.keyring.live_at(now, inner.clock().elapsed());
            live.keys.iter().any(|key| key.version() == other)
        };
        changed.peek().is_some() && changed.all(is_still_live)
    }

    /// Takes note of what the receiver made of a try.
    pub(crate) fn learn(&self, which: Try, report: &Report) {
        for (entry, version) in self.entries.iter().zip(self.chosen(which)) {
            let Some(version) = version else { continue };
            match report.outcome {
                Outcome::Success => entry.signer.reception().accept(version),
                _ if is_refusal(report) => entry.signer.reception().refuse(version),
                _ => {}
            }
        }
    }

    /// What is said of an attempt of two tries.
    pub(crate) fn told(&self, first: &Report, second: &Report) -> String {
        let (before, after): (Vec<_>, Vec<_>) = self.changed().into_iter().flatten().unzip();
        let (before, after) = (named(&before), named(&after));
        let status = |report: &Report| report.status.map_or_else(String::new, |status| format!(" ({status})"));
        let refused = format!("refused with {before}{}", status(first));
        match second.outcome {
            Outcome::Success => format!("{refused}, accepted with {after}"),
            _ if is_refusal(second) => format!("{refused} and with {after}{}", status(second)),
            _ => format!("{refused}; with {after}: {}", second.detail),
        }
    }

    /// Which version alone signs, by scheme; `None` where all do.
    fn chosen(&self, which: Try) -> impl Iterator<Item = Option<u32>> {
        let changed = self.changed();
        self.entries.iter().zip(changed).map(move |(entry, changed)| match (entry.choice, changed, which) {
            (Some(Choice::One { .. }), Some((_, other)), Try::Second) => Some(other),
            (Some(Choice::One { first, .. }), _, _) => Some(first),
            (Some(Choice::All) | None, _, _) => None,
        })
    }

    /// By scheme: the version of the first try and the one of the second, where that is another one.
    fn changed(&self) -> Vec<Option<(u32, u32)>> {
        let pair = |entry: &Entry<'_>| match entry.choice {
            Some(Choice::One { first, other: Some(other) }) => Some((first, other)),
            _ => None,
        };
        let pairs: Vec<_> = self.entries.iter().map(pair).collect();
        let count = pairs.iter().flatten().count();
        let mut index = 0;
        let picked = pairs.into_iter().map(|pair| {
            let pair = pair?;
            index += 1;
            takes_other(count, self.number, index - 1).then_some(pair)
        });
        picked.collect()
    }
}

fn named(versions: &[u32]) -> String {
    let list: Vec<_> = versions.iter().map(u32::to_string).collect();
    match list.as_slice() {
        [only] => format!("version {only}"),
        list => format!("versions {}", list.join(" and ")),
    }
}
