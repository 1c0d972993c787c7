//! Owns the doctor: why a request is refused, in a sentence, and what to change. It undoes what commonly goes wrong, one thing at a time and
//! then two, and asks the scheme itself each time. Does no verifying of its own.

use std::fmt;

use self::cause::Change;
use self::search::Search;
use crate::message::Message;
use crate::refusal::Refusal;
use crate::scheme::Scheme;
use crate::secret::Secret;
use crate::time::UnixTime;

pub use cause::Cause;

mod cause;

mod body;
mod frame;
mod search;
mod secrets;
pub(crate) mod spelling;
mod suspicion;
mod writing;

/// So many HMACs of the body are made at most for one explanation.
pub const MAX_HMACS: u32 = 2000;

/// So many bytes are hashed at most for one explanation: of a large body fewer readings are tried, the likely ones first.
pub const MAX_HASHED: u64 = 64 << 20;

/// Of a larger body, in bytes, no other readings are tried: only what is suspected is said.
pub const MAX_EXPLAINED: usize = 1 << 20;

/// Any two of so many causes, the first of [`Cause::ALL`], are found together.
pub const PAIRED_CAUSES: usize = 10;

/// A secret that may have signed a request, to be tried.
#[derive(Clone, Copy, Debug)]
pub struct KnownSecret<'a> {
    /// What it is called in the explanation; never the secret itself.
    pub label: &'a str,
    /// The secret.
    pub secret: &'a Secret,
    /// What it is to the one who asks.
    pub standing: Standing,
}

/// What a secret is to the one who asks why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is in force at the source that refused.
    InForce,
    /// It was in force there, or will be.
    Ended,
    /// It is that of something else. Only those that the reader of the explanation may know of belong here.
    Another,
}

/// Whether something is known or only likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// With this undone, the signature is right.
    Proven,
    /// Something about the request speaks for it.
    Suspected,
}

/// One thing that is wrong, or two together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    evidence: Evidence,
    changes: Vec<Change>,
    secret: Option<String>,
}

/// Why a request was refused. For whoever runs the receiver, and nobody else: whoever sent the request must not see it.
///
/// Displayed it is one sentence, about the first of the findings. It never holds a secret, a part of one, or a signature that was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    refusal: Option<Refusal>,
    findings: Vec<Finding>,
    hmacs: u32,
    is_complete: bool,
}

/// Says why the scheme refuses the request, as of `now`.
///
/// The work is bounded by [`MAX_HMACS`], [`MAX_HASHED`] and [`MAX_EXPLAINED`]. Signatures are compared in constant time here too.
///
/// ```
/// use hookward::explain::{Cause, Evidence, KnownSecret, Standing, explain};
/// use hookward::{Message, Secret, UnixTime, catalog};
///
/// let github = catalog::find("github").expect("github is in the catalog");
/// let secret = Secret::new("It's a Secret to Everybody\n")?;
/// let known = [KnownSecret { label: "SECRET.txt", secret: &secret, standing: Standing::InForce }];
/// let headers = [("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")];
/// let request = Message { method: "POST", url: "/hook", headers: &headers, body: b"Hello, World!" };
///
/// let explanation = explain(github, &request, &known, UnixTime::from_secs(1_700_000_000));
/// let finding = explanation.findings().first().expect("it was refused");
/// assert_eq!(finding.evidence(), Evidence::Proven);
/// assert_eq!(finding.causes().collect::<Vec<_>>(), [Cause::SecretSurrounded]);
/// assert_eq!(
///     explanation.to_string(),
///     "the signature is right if the blanks or newline around the secret are taken off: \
///      store the secret exactly as the sender shows it, without anything around it"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn explain(scheme: &Scheme, message: &Message<'_>, secrets: &[KnownSecret<'_>], now: UnixTime) -> Explanation {
    let in_force = secrets.iter().filter(|known| known.standing == Standing::InForce);
    let keys: Vec<_> = (1..).zip(in_force).filter_map(|(n, known)| scheme.key(n, known.secret).ok()).collect();
    let Err(refusal) = scheme.verify(message, &keys, now) else {
        return Explanation { refusal: None, findings: Vec::new(), hmacs: 0, is_complete: true };
    };
    // Where a published key was wanted, what the request says of it comes first.
    let refusal = match scheme.wanted_key(message) {
        Some(Err(of_key)) if keys.is_empty() => of_key,
        _ => refusal,
    };
    let mut search = Search::new(message, now);
    let found = match message.body.len() <= MAX_EXPLAINED {
        true => search.run(scheme, secrets),
        false => None,
    };
    let is_complete = search.is_complete && message.body.len() <= MAX_EXPLAINED;
    let findings = match found {
        Some(found) => {
            let secret = secrets.get(found.secret).map(|known| known.label.to_owned());
            vec![Finding { evidence: Evidence::Proven, changes: found.changes, secret }]
        }
        None => {
            let suspected = suspicion::suspected(refusal, scheme, message, secrets);
            let finding = |change| Finding { evidence: Evidence::Suspected, changes: vec![change], secret: None };
            suspected.into_iter().map(finding).collect()
        }
    };
    Explanation { refusal: Some(refusal), findings, hmacs: search.hmacs, is_complete }
}

impl Explanation {
    /// Why the scheme refuses it; `None` if it does not.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// What was found: one thing that is proven, or what is suspected, the likeliest first. Empty only for what is not refused.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many HMACs of the body, or what costs as much, it took.
    pub fn hmacs(&self) -> u32 {
        self.hmacs
    }

    /// Whether everything was tried that there is to try, so that another secret is the likeliest cause where nothing is proven.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }
}

impl Finding {
    /// Whether it is known or only likely.
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }

    /// The causes, each once.
    pub fn causes(&self) -> impl Iterator<Item = Cause> {
        let first = |n: usize, cause: Cause| self.changes[..n].iter().all(|change| change.cause != cause);
        self.changes
            .iter()
            .enumerate()
            .filter(move |(n, change)| first(*n, change.cause))
            .map(|(_, change)| change.cause)
    }

    /// The label of the secret that signed, where that is proven.
    pub fn secret(&self) -> Option<&str> {
        self.secret.as_deref()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.evidence {
            Evidence::Proven => "the signature is right if ",
            Evidence::Suspected => "perhaps ",
        })?;
        let changes = self.changes.iter().map(|change| change.how.as_ref()).filter(|how| !how.is_empty());
        for (n, how) in changes.enumerate() {
            write!(f, "{}{how}", if n > 0 { ", and " } else { "" })?;
        }
        for (n, cause) in self.causes().enumerate() {
            write!(f, "{}{}", if n > 0 { "; " } else { ": " }, cause.advice())?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.findings.first() {
            Some(finding) => finding.fmt(f),
            None => f.write_str("the request is authentic"),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proven => "proven",
            Self::Suspected => "suspected",
        })
    }
}
