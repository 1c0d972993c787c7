//! Owns the search for what is wrong: every cause alone, then two together, within a budget. A cause is found when the scheme itself
//! believes the request with that undone.

use std::collections::BTreeSet;
use std::time::Duration;

use super::body::{STEPS, Variant};
use super::cause::{Cause, Change};
use super::frame::{Frame, Overlaid, contents, other_schemes};
use super::secrets::{self, Reading};
use super::writing::{is_hmac, rewritten};
use super::{KnownSecret, MAX_HASHED, MAX_HMACS};
use crate::key::Key;
use crate::message::Message;
use crate::refusal::Refusal;
use crate::scheme::Scheme;
use crate::time::UnixTime;

/// What verifying one signature of another algorithm costs, in HMACs.
const ASYMMETRIC: u32 = 20;

/// What was found: all that has to be undone, and the secret that then signs.
pub(super) struct Match {
    pub(super) changes: Vec<Change>,
    /// The position of the secret among those that are known.
    pub(super) secret: usize,
}

/// The search through one request.
pub(super) struct Search<'a> {
    message: &'a Message<'a>,
    now: UnixTime,
    /// HMACs of the body that were made.
    pub(super) hmacs: u32,
    /// Bytes that were hashed.
    hashed: u64,
    /// Whether the budget sufficed for all that there is to look for.
    pub(super) is_complete: bool,
}

/// A frame with the keys of some readings of the secrets.
struct Keyed<'r> {
    frame: Frame,
    readings: Vec<&'r Reading>,
    keys: Vec<Key>,
}

impl<'r> Keyed<'r> {
    fn new(frame: Frame, readings: &'r [Reading]) -> Self {
        let (mut used, mut keys) = (Vec::new(), Vec::new());
        for reading in readings {
            let version = u32::try_from(keys.len()).unwrap_or(u32::MAX);
            if let Some(key) = reading.key(version, frame.scheme.shared_name(), frame.proof()) {
                used.push(reading);
                keys.push(key);
            }
        }
        Self { frame, readings: used, keys }
    }
}

impl<'a> Search<'a> {
    pub(super) fn new(message: &'a Message<'a>, now: UnixTime) -> Self {
        Self { message, now, hmacs: 0, hashed: 0, is_complete: true }
    }

    /// The fewest changes with which the scheme, or another one, believes the request.
    pub(super) fn run(&mut self, scheme: &Scheme, known: &[KnownSecret<'_>]) -> Option<Match> {
        let in_force = secrets::in_force(known);
        let others = secrets::others(known);
        let bases = bases(scheme, self.message, &in_force);
        let foreign = other_schemes(scheme, self.message);
        let single = bases.iter().find_map(|base| self.singles(base, &in_force, &others));
        single
            .or_else(|| self.any_of(foreign.clone(), &in_force))
            .or_else(|| bases.iter().find_map(|base| self.pairs(base, &foreign, &in_force, &others)))
    }

    /// One cause alone.
    fn singles(&mut self, base: &Frame, in_force: &[Reading], others: &[Reading]) -> Option<Match> {
        let body = self.message.body;
        let own = Keyed::new(base.clone(), in_force);
        self.attempt(&own, &[], body)
            .or_else(|| self.attempt(&Keyed::new(base.clone(), others), &[], body))
            .or_else(|| self.attempt(&Keyed::new(base.clone(), &secrets::spelled(in_force, base.proof())), &[], body))
            .or_else(|| {
                let variants = variants(base, body);
                variants.iter().flatten().find_map(|variant| self.attempt_variant(&own, &[variant]))
            })
            .or_else(|| self.any_of(rewritten(base, self.message), in_force))
            .or_else(|| self.any_of(contents(base, self.message), in_force))
    }

    /// The first frame in which one of the readings signs the body as it is.
    fn any_of(&mut self, frames: Vec<Frame>, readings: &[Reading]) -> Option<Match> {
        let body = self.message.body;
        frames.into_iter().find_map(|frame| self.attempt(&Keyed::new(frame, readings), &[], body))
    }

    /// Two causes together: first any two of what is done to bodies and secrets, then one of these with anything else.
    fn pairs(&mut self, base: &Frame, foreign: &[Frame], in_force: &[Reading], others: &[Reading]) -> Option<Match> {
        let body = self.message.body;
        let own = Keyed::new(base.clone(), in_force);
        let few = &others[..others.len().min(secrets::MOST_SPELLED)];
        let readings = [few, &secrets::spelled(in_force, base.proof())].concat();
        let odd = Keyed::new(base.clone(), &readings);
        let twice = secrets::spelled_twice(in_force, few, base.proof());
        let singles = variants(base, body);
        let rewritten = rewritten(base, self.message);
        let frames = [&rewritten[..], &contents(base, self.message), foreign].concat();
        self.attempt(&Keyed::new(base.clone(), &twice), &[], body)
            .or_else(|| singles.iter().flatten().find_map(|variant| self.attempt_variant(&odd, &[variant])))
            .or_else(|| self.two_of_the_body(&own, &singles))
            .or_else(|| self.any_of(frames.clone(), &readings))
            .or_else(|| {
                let both = rewritten.iter().flat_map(|frame| contents(frame, self.message)).collect();
                self.any_of(both, in_force)
            })
            .or_else(|| {
                frames.into_iter().filter(is_signed).find_map(|frame| {
                    let own = Keyed::new(frame, in_force);
                    singles.iter().flatten().find_map(|variant| self.attempt_variant(&own, &[variant]))
                })
            })
    }

    /// Two things that were done to the body, one after the other.
    fn two_of_the_body(&mut self, own: &Keyed<'_>, singles: &[Vec<Variant>]) -> Option<Match> {
        let mut seen: BTreeSet<Vec<u8>> = singles.iter().flatten().map(|variant| variant.body.clone()).collect();
        for (n, variants) in singles.iter().enumerate() {
            for (_, step) in STEPS.iter().enumerate().filter(|(m, _)| *m != n) {
                for first in variants {
                    if !self.has_room(first.body.len()) {
                        return None;
                    }
                    for second in step(&first.body) {
                        if second.body != self.message.body && seen.insert(second.body.clone()) {
                            let found = self.attempt_variant(own, &[first, &second]);
                            if found.is_some() {
                                return found;
                            }
                        }
                    }
                }
            }
        }
        None
    }

    fn attempt_variant(&mut self, keyed: &Keyed<'_>, variants: &[&Variant]) -> Option<Match> {
        let changes: Vec<&Change> = variants.iter().map(|variant| &variant.change).collect();
        self.attempt(keyed, &changes, &variants.last()?.body)
    }

    /// Asks the scheme. An old signature is one all the same: the time is then said to be wrong too.
    fn attempt(&mut self, keyed: &Keyed<'_>, of_body: &[&Change], body: &[u8]) -> Option<Match> {
        let (version, of_time) = self.verdict(&keyed.frame, &keyed.keys, body)?;
        let reading = keyed.readings.get(version as usize)?;
        let changes = keyed.frame.changes.iter().chain(of_body.iter().copied()).chain(&reading.changes);
        Some(Match { changes: changes.cloned().chain(of_time).collect(), secret: reading.of })
    }

    fn verdict(&mut self, frame: &Frame, keys: &[Key], body: &[u8]) -> Option<(u32, Option<Change>)> {
        let refusal = match self.ask(frame, keys, body, self.now)? {
            Ok(version) => return Some((version, None)),
            Err(refusal) => refusal,
        };
        let skew_s = refusal.skew_s()?;
        if let Some(other) = frame.in_other_unit()
            && let Some(Ok(version)) = self.ask(&other, keys, body, self.now)
        {
            return Some((version, other.changes.last().cloned()));
        }
        let then = UnixTime::from_secs(self.now.as_secs().saturating_sub(skew_s));
        match self.ask(frame, keys, body, then)? {
            Ok(version) => Some((version, Some(skewed(skew_s, frame.scheme.tolerance())))),
            Err(_) => None,
        }
    }

    /// The scheme's verdict with as many of the keys as there is room for: the version of the one that is right. Every HMAC that
    /// this may cost is counted.
    fn ask(&mut self, frame: &Frame, keys: &[Key], body: &[u8], now: UnixTime) -> Option<Result<u32, Refusal>> {
        let proof = frame.proof();
        let spellings = if proof.content.has_url_any_port() { 2 } else { 1 };
        let each = match proof.algorithm {
            algorithm if algorithm.is_credential() => 0,
            algorithm if is_hmac(algorithm) => spellings,
            _ => ASYMMETRIC,
        };
        let bytes = body.len() as u64 * u64::from(each);
        let by_count = (MAX_HMACS - self.hmacs).checked_div(each).unwrap_or(u32::MAX);
        let by_bytes = MAX_HASHED.saturating_sub(self.hashed).checked_div(bytes).unwrap_or(u64::MAX);
        let room = usize::try_from(by_bytes.min(by_count.into())).unwrap_or(usize::MAX);
        let count = keys.len().min(room);
        self.is_complete &= count == keys.len();
        if count == 0 {
            return None;
        }
        self.hmacs += u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(each);
        self.hashed += count as u64 * bytes;
        let headers = Overlaid { sent: self.message.headers, replaced: &frame.headers };
        let url = frame.url.as_deref().unwrap_or(self.message.url);
        let message = Message { method: self.message.method, url, headers: &headers, body };
        Some(frame.scheme.verify(&message, &keys[..count], now).map(|verified| verified.key_version()))
    }

    fn has_room(&mut self, body: usize) -> bool {
        let has_room = self.hmacs < MAX_HMACS && self.hashed + body as u64 <= MAX_HASHED;
        self.is_complete &= has_room;
        has_room
    }
}

/// Everything that may have been done to the body, one thing at a time; nothing where the body is not signed.
fn variants(frame: &Frame, body: &[u8]) -> Vec<Vec<Variant>> {
    if is_signed(frame) { STEPS.iter().map(|step| step(body)).collect() } else { Vec::new() }
}

/// Whether the body has to do with the proof.
fn is_signed(frame: &Frame) -> bool {
    !frame.proof().algorithm.is_credential()
}

/// The scheme's proofs one by one, the one that decides first.
fn bases(scheme: &Scheme, message: &Message<'_>, in_force: &[Reading]) -> Vec<Frame> {
    let is_sent = |frame: &Frame| !matches!(frame.proof().signature.find(message), Ok(None));
    let has_key = |frame: &Frame| {
        in_force.iter().any(|reading| reading.key(0, frame.scheme.shared_name(), frame.proof()).is_some())
    };
    let frames = scheme.proofs().iter().map(|proof| Frame::of(scheme, proof));
    let mut ranked: Vec<_> = frames.map(|frame| (!is_sent(&frame), !has_key(&frame), frame)).collect();
    ranked.sort_by_key(|(is_absent, is_unused, _)| (*is_absent, *is_unused));
    for (is_absent, is_unused, weaker) in ranked.iter_mut().skip(1) {
        if !*is_absent && !*is_unused {
            weaker.changes.push(Change::new(Cause::WeakerProof, "only the weaker of the two proofs counts"));
        }
    }
    ranked.into_iter().map(|(.., frame)| frame).collect()
}

fn skewed(skew_s: i64, tolerance: Option<Duration>) -> Change {
    let tolerance = tolerance.map_or(0, |tolerance| tolerance.as_secs());
    let size = skew_s.unsigned_abs();
    let (said, beyond) = (if skew_s > 0 { "ago" } else { "in the future" }, size.saturating_sub(tolerance));
    let how = format!(
        "its time is not judged, which lies {size} s {said}, {beyond} s more than the {tolerance} s that are accepted"
    );
    Change::new(Cause::TimeSkew, how)
}
