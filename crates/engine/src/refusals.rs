//! Refused requests on their way to where operators look, without making the sender wait and without letting a flood of
//! them fill memory or disk: a few are told of one by one, and of a flood one of each door and reason, with their count.
//! Owns what is kept of a refused request and its bounds; why a request is refused is `receive`'s and the doors'.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hookward::{Refusal, Scheme};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::engine::{Engine, Inner};
use crate::explaining::{CASES_MAX, Case};
use crate::exposure::Exposed;
use crate::ids::{OrganizationId, RefusedId, SourceId};
use crate::model::{AuditEntry, Rate, RefusedAt, RefusedRequest, RequestRecord};
use crate::rate::Bucket;
use crate::receive::InboundRequest;
use crate::redact;
use crate::store::Store;

/// How many refused requests are kept of each door.
pub const REFUSED_KEPT: u32 = 100;

/// The most that is kept of one refused request, in bytes: the sum of the bounds below, and room for the rest.
pub const REFUSED_MAX: usize = 32 << 10;

/// The most that is kept of a refused request's body, in bytes.
pub const BODY_START_MAX: usize = 4 << 10;

/// The most that is kept of its headers, in bytes of names and values. A header that does not fit is left out.
const HEADERS_MAX: usize = 20 << 10;

/// The most that is kept of its path and query, in bytes.
const TARGET_MAX: usize = 4 << 10;

/// The most that is kept of any other text about it, in bytes.
const TEXT_MAX: usize = 512;

/// How many pairs of door and reason are told apart between two writes; further ones are not kept.
pub(crate) const KINDS_MAX: usize = 1024;

/// How many refused requests wait for a write; further kinds are counted without one.
pub(crate) const SAMPLES_MAX: usize = 64;

/// How many refused requests are told of one by one: so many at once, and then one a second.
const ONE_BY_ONE: Rate = Rate { requests: 1, per: Duration::from_secs(1), burst: 48 };

/// Why a request was refused, for the operator only.
#[derive(Debug)]
pub(crate) struct Why {
    /// The refusal's stable id.
    pub(crate) reason: &'static str,
    /// One sentence.
    pub(crate) explanation: String,
    /// What else there is to say.
    pub(crate) detail: Map<String, Value>,
    /// The source whose secrets may tell more, behind the refusal.
    source: Option<SourceId>,
}

impl Why {
    /// A reason about which there is no more to say.
    pub(crate) fn plain(reason: &'static str, explanation: &str) -> Self {
        Self { reason, explanation: explanation.to_owned(), detail: Map::new(), source: None }
    }

    /// The reason that a scheme has.
    pub(crate) fn of(refusal: &Refusal, scheme: Option<&Scheme>) -> Self {
        let mut detail = Map::new();
        if let Some(scheme) = scheme {
            detail.insert("scheme".to_owned(), scheme.name().into());
            detail.insert("places".to_owned(), scheme.places_of(refusal).into());
        }
        if let Some(skew_s) = refusal.skew_s() {
            detail.insert("skew_s".to_owned(), skew_s.into());
        }
        Self { reason: refusal.id(), explanation: refusal.to_string(), detail, source: None }
    }

    /// What happened, in words.
    pub(crate) fn because(mut self, problem: Option<String>) -> Self {
        if let Some(problem) = problem {
            self.explanation = format!("{}: {problem}", self.explanation);
        }
        self
    }

    /// That more may be found out with the secrets of this source.
    pub(crate) fn at_source(self, source: SourceId) -> Self {
        Self { source: Some(source), ..self }
    }
}

impl Engine {
    /// Keeps for the operator that a door refused `request` before any scheme judged it. `reason` is a stable id like
    /// those of [`Refusal`]; `path` of a [`RefusedAt::Path`] is a declared one, never just what a sender asked for.
    pub async fn refused(
        &self,
        organization: OrganizationId,
        at: RefusedAt,
        reason: &'static str,
        explanation: &str,
        request: &InboundRequest,
    ) {
        let now = self.inner().clock().now();
        let registry = self.inner().registry();
        let credentials = registry.schemes().credentials(organization);
        let exposed = self.inner().find_exposed(&registry, request, credentials, now);
        let door = (organization, at.to_string());
        self.inner().tell_exposed(&registry, door, &exposed, &request.remote, now).await;
        let why = || Why::plain(reason, explanation);
        self.inner().refuse((organization, at), reason, why, request, &exposed, now);
    }
}

impl Inner {
    /// Takes note of a refused request.
    pub(crate) fn refuse(
        &self,
        at: (OrganizationId, RefusedAt),
        reason: &'static str,
        why: impl FnOnce() -> Why,
        request: &InboundRequest,
        exposed: &Exposed,
        now: Timestamp,
    ) {
        let (organization, registry) = (at.0, self.registry());
        self.refusals().add(at, reason, now, |at| {
            let record = redact::record(
                request.method.clone(),
                &request.url,
                request.headers.clone(),
                request.remote.clone(),
                registry.schemes().credentials(organization),
                exposed,
            );
            let why = why();
            let case = why.source.and_then(|source| Case::new(source, request, now));
            (kept(RefusedId::new(now, self.entropy()), at, why, record, &request.body, now), case)
        });
    }

    /// Finds out more of what is waiting, and writes it.
    pub(crate) async fn write_refused(&self) {
        let _one_at_a_time = self.refusals().writing.lock().await;
        let mut kinds = self.refusals().take();
        for kind in kinds.values_mut() {
            if let Some(case) = kind.case.take() {
                kind.sample.detail["findings"] = self.findings(case).await;
            }
        }
        self.refusals().write(kinds, self.store()).await;
    }
}

/// A refused request cut to its bounds.
fn kept(
    id: RefusedId,
    (organization, refused_at): (OrganizationId, RefusedAt),
    why: Why,
    mut record: RequestRecord,
    body: &Bytes,
    now: Timestamp,
) -> RefusedRequest {
    let Why { reason, explanation, mut detail, source: _ } = why;
    let mut room = HEADERS_MAX;
    let before = record.headers.len();
    record.headers.retain(|(name, value)| {
        let len = name.len() + value.len();
        let fits = len <= room;
        room -= if fits { len } else { 0 };
        fits
    });
    if record.headers.len() < before {
        detail.insert("headers_left_out".to_owned(), (before - record.headers.len()).into());
    }
    // Values are slices of whatever they came in, which is not to be held on to.
    for (_, value) in &mut record.headers {
        *value = Bytes::copy_from_slice(value);
    }
    cut(&mut record.target, TARGET_MAX);
    cut(&mut record.method, TEXT_MAX);
    cut(&mut record.remote, TEXT_MAX);
    let mut explanation = explanation;
    cut(&mut explanation, TEXT_MAX);
    RefusedRequest {
        id,
        organization,
        refused_at,
        at: now,
        reason: reason.to_owned(),
        explanation,
        detail: Value::Object(detail),
        request: record,
        body_len: body.len() as u64,
        body_start: Bytes::copy_from_slice(&body[..body.len().min(BODY_START_MAX)]),
        count: 1,
    }
}

fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
        text.shrink_to_fit();
    }
}

/// Door, reason, and a number of its own for one that is told of by itself; [`COUNTED`] for those that are counted.
type Key = ((OrganizationId, RefusedAt), &'static str, u32);

/// The number of all that are counted together.
const COUNTED: u32 = 0;

/// One refusal, or all of one door for one reason since the last write.
#[derive(Debug, Clone)]
struct Kind {
    /// The first of them.
    sample: RefusedRequest,
    /// Whether it is kept whole, or only told of in the audit log.
    is_kept: bool,
    count: u64,
    latest: Timestamp,
    /// What is still to be found out about it.
    case: Option<Case>,
}

/// Refusals that are not written yet.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    waiting: Mutex<Waiting>,
    added: Notify,
    /// Held while what was waiting is explained and written, so that whoever writes next is told when it is.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Waiting {
    kinds: BTreeMap<Key, Kind>,
    one_by_one: Bucket,
    /// How many cases there are among the kinds.
    cases: usize,
    /// The number of the last one told of by itself.
    last: u32,
}

impl Waiting {
    fn number(&mut self, now: Timestamp) -> u32 {
        let since_epoch = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
        match self.one_by_one.take(&ONE_BY_ONE, since_epoch) {
            Ok(()) => {
                self.last = self.last.checked_add(1).unwrap_or(COUNTED + 1);
                self.last
            }
            Err(_) => COUNTED,
        }
    }
}

impl Refusals {
    /// Takes note of a refusal; `sample` is made only for the first of its kind.
    fn add(
        &self,
        at: (OrganizationId, RefusedAt),
        reason: &'static str,
        now: Timestamp,
        sample: impl FnOnce((OrganizationId, RefusedAt)) -> (RefusedRequest, Option<Case>),
    ) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.number(now);
        let kinds = waiting.kinds.len();
        match waiting.kinds.get_mut(&(at.clone(), reason, number)) {
            Some(kind) => {
                kind.count += 1;
                kind.latest = now;
            }
            None if kinds < KINDS_MAX => {
                let (mut sample, case) = sample(at.clone());
                let is_kept = kinds < SAMPLES_MAX;
                // Of a flood nothing is found out.
                let case = case.filter(|_| is_kept && number != COUNTED && waiting.cases < CASES_MAX);
                waiting.cases += usize::from(case.is_some());
                if !is_kept {
                    sample.request = RequestRecord { remote: sample.request.remote, ..RequestRecord::default() };
                    sample.body_start = Bytes::new();
                }
                waiting.kinds.insert((at, reason, number), Kind { sample, is_kept, count: 1, latest: now, case });
            }
            None => return,
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// Completes when there may be something to write.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// What is waiting.
    fn take(&self) -> BTreeMap<Key, Kind> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.cases = 0;
        std::mem::take(&mut waiting.kinds)
    }

    /// Writes what was waiting. What the store cannot take now is put back, within the bounds.
    async fn write(&self, kinds: BTreeMap<Key, Kind>, store: &dyn Store) {
        if kinds.is_empty() {
            return;
        }
        for Kind { sample, count, .. } in kinds.values() {
            let (reason, remote) = (&sample.reason, &sample.request.remote);
            tracing::info!(at = sample.refused_at.as_str(), reason, count, remote, "refused: {}", sample.explanation);
        }
        let kept = kinds.values().filter(|kind| kind.is_kept);
        let kept = kept.map(|kind| RefusedRequest { count: kind.count, ..kind.sample.clone() }).collect();
        let audit = kinds.values().map(entry).collect();
        if let Err(error) = store.refuse(kept, audit, REFUSED_KEPT).await {
            tracing::warn!(%error, "refused requests could not be written yet");
            self.put_back(kinds);
        }
    }

    fn put_back(&self, kinds: BTreeMap<Key, Kind>) {
        let waiting = &mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner).kinds;
        let mut kept = waiting.values().filter(|kind| kind.is_kept).count();
        for (at, mut kind) in kinds {
            let room = waiting.len() < KINDS_MAX;
            match waiting.get_mut(&at) {
                Some(newer) => newer.count += kind.count,
                None if room => {
                    kind.is_kept &= kept < SAMPLES_MAX;
                    kept += usize::from(kind.is_kept);
                    waiting.insert(at, kind);
                }
                None => {}
            }
        }
    }
}

/// What the audit log says of all of a kind: the first one's particulars, how many, and when the last came.
fn entry(kind: &Kind) -> AuditEntry {
    let sample = &kind.sample;
    let mut detail = json!({
        "reason": sample.reason,
        "explanation": sample.explanation,
        "count": kind.count,
    });
    if kind.is_kept {
        detail["refused"] = sample.id.to_string().into();
    }
    let door = sample.refused_at.to_string();
    let action = "webhook.refused".to_owned();
    AuditEntry {
        organization: sample.organization,
        actor: door.clone(),
        address: sample.request.remote.clone(),
        action,
        target: door,
        at: kind.latest,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);

    fn source(name: &str) -> (OrganizationId, RefusedAt) {
        (OrganizationId::DEFAULT, RefusedAt::Source(name.to_owned()))
    }

    fn sample(
        at: (OrganizationId, RefusedAt),
        headers: Vec<(String, Bytes)>,
        target: String,
        body: &Bytes,
    ) -> RefusedRequest {
        let why =
            Why { reason: "signature-mismatch", explanation: "é".repeat(TEXT_MAX), detail: Map::new(), source: None };
        let text = "x".repeat(64 << 10);
        let record = RequestRecord { method: text.clone(), target, headers, remote: text };
        kept(RefusedId::from_bytes([1; 16]), at, why, record, body, NOW)
    }

    fn add(refusals: &Refusals, at: &str, reason: &'static str) {
        refusals.add(source(at), reason, NOW, |at| (sample(at, vec![], "/".to_owned(), &Bytes::new()), None));
    }

    #[test]
    fn a_flood_is_a_few_requests_and_a_count() {
        let refusals = Refusals::default();
        for _ in 0..1000 {
            add(&refusals, "a", "signature-mismatch");
        }
        add(&refusals, "b", "signature-missing");
        let waiting = &refusals.waiting.lock().expect("not poisoned").kinds;
        let counted = waiting.iter().filter(|((.., number), _)| *number == COUNTED);
        let counts: Vec<_> = counted.map(|(((_, at), ..), kind)| (at.as_str(), kind.count)).collect();
        let by_themselves = u64::from(ONE_BY_ONE.burst);
        assert_eq!(counts, [("a", 1000 - by_themselves), ("b", 1)]);
        assert_eq!(waiting.len() as u64, by_themselves + 2);
    }

    #[test]
    fn many_kinds_at_once_are_bounded_and_so_are_those_kept_whole() {
        let refusals = Refusals::default();
        for n in 0..=KINDS_MAX {
            add(&refusals, &format!("{n:04}"), "signature-mismatch");
        }
        let kinds = std::mem::take(&mut refusals.waiting.lock().expect("not poisoned").kinds);
        assert_eq!(kinds.len(), KINDS_MAX);
        assert_eq!(kinds.values().filter(|kind| kind.is_kept).count(), SAMPLES_MAX);
        // What could not be written comes back beside what came meanwhile, within the same bounds.
        add(&refusals, "0100", "signature-mismatch");
        add(&refusals, "new", "signature-mismatch");
        refusals.put_back(kinds);
        let waiting = &refusals.waiting.lock().expect("not poisoned").kinds;
        assert_eq!(waiting.len(), KINDS_MAX);
        assert_eq!(waiting.values().filter(|kind| kind.is_kept).count(), SAMPLES_MAX);
        assert_eq!(waiting[&(source("0100"), "signature-mismatch", COUNTED)].count, 2);
    }

    #[test]
    fn a_refused_request_is_cut_to_its_bound() {
        let header = |n: usize| (format!("x-{n}"), Bytes::from(vec![b'v'; 1000]));
        let headers: Vec<_> = (0..100).map(header).collect();
        let whole = "/".to_owned() + &"é".repeat(32 << 10);
        let refused = sample(source("a"), headers, whole, &Bytes::from(vec![b'b'; BODY_START_MAX + 1]));
        let RefusedRequest { request, body_start, .. } = &refused;
        assert_eq!((body_start.len(), refused.body_len), (BODY_START_MAX, BODY_START_MAX as u64 + 1));
        assert_eq!((request.headers.len(), &refused.detail["headers_left_out"]), (20, &json!(80)));
        assert_eq!((request.target.len(), request.target.ends_with('é')), (TARGET_MAX - 1, true));
        let headers: usize = request.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
        let texts = request.target.len() + request.method.len() + request.remote.len() + refused.explanation.len();
        assert!(headers + texts + body_start.len() + refused.detail.to_string().len() < REFUSED_MAX);
        let at_the_bound = sample(source("a"), vec![], "/".to_owned(), &Bytes::from(vec![b'b'; BODY_START_MAX]));
        assert_eq!(at_the_bound.body_start.len(), BODY_START_MAX);
    }
}
