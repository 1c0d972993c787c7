//! Keys that providers publish: fetched when a request needs one, kept for a while, and asked for no oftener than a stranger could make
//! us. Owns when something is fetched and how long it counts; fetching and judging is `fetch`'s, and which URL a request may name the
//! scheme's.

mod fetch;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hookward::{KeyFormat, KeySet, Refusal, Scheme, Secret, WantedKey};

use crate::engine::{Engine, Inner};
use crate::model::Rate;
use crate::rate::Bucket;
use crate::registry::LiveSource;
use fetch::{Chain, Fault, Fetched, Unproven};

pub use fetch::{DOCUMENT_MAX, FETCH_MAX};

pub(crate) use fetch::Fetcher;

/// How often a source's requests, whoever sends them, make us ask for what was never found before.
pub const FETCHES: Rate = Rate { requests: 12, per: Duration::from_secs(60), burst: 12 };

/// How many URLs of a source are remembered.
pub const DOCUMENTS_MAX: usize = 16;

/// The shortest and the longest that what was fetched counts, whatever its server says, and how long where it says nothing.
pub const FRESH_MIN: Duration = Duration::from_secs(5 * 60);
/// The longest.
pub const FRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const FRESH_UNSAID: Duration = Duration::from_secs(60 * 60);

/// How much longer it counts while there is no newer one to be had.
pub const STALE_MAX: Duration = Duration::from_secs(6 * 60 * 60);

/// How soon a set of keys is fetched again because of a key that is not in it: anybody can name one.
pub const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// How long nobody is asked again who failed, and who has no such thing.
pub const FAILED_PAUSE: Duration = Duration::from_secs(5);
const ABSENT_PAUSE: Duration = Duration::from_secs(60);

/// How long a verdict on a certificate counts: it may end meanwhile.
const JUDGED_FOR: Duration = Duration::from_secs(60);

/// Why there is no key for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// It is the request's fault. With what else there is to say.
    Refused(Refusal, Option<String>),
    /// There may be one; it is not the sender's fault that it is not here.
    Unavailable(String),
}

/// A source whose keys cannot be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingKeys {
    /// The source's name.
    pub source: String,
    /// What was asked for, without its query.
    pub url: String,
    /// What happened.
    pub problem: String,
}

/// How often a source's keys were fetched since this process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fetches {
    /// What was found.
    pub found: u64,
    /// What was not, or not in time.
    pub failed: u64,
    /// What was not even asked for, because it would have been too often.
    pub held_back: u64,
}

/// The published keys of one source. Outlives the snapshots that it is in.
#[derive(Debug, Default)]
pub(crate) struct PublishedKeys {
    documents: Mutex<HashMap<String, Arc<Document>>>,
    bucket: Mutex<Bucket>,
    found: AtomicU64,
    failed: AtomicU64,
    held_back: AtomicU64,
}

/// What is known of one URL.
#[derive(Debug, Default)]
struct Document {
    /// Whoever holds it fetches; everybody else waits for the same answer.
    fetching: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    found: Option<Found>,
    /// The last try, if it failed, with its time on the clock that never jumps.
    failed: Option<(NoKey, Duration)>,
    used_at: Duration,
}

/// A document that was found. Times are on the clock that never jumps.
#[derive(Debug, Clone)]
struct Found {
    body: Bytes,
    /// Of a certificate: with those that it is issued by.
    chain: Option<Chain>,
    fetched_at: Duration,
    fresh_until: Duration,
    /// The keys in it, for the scheme that they were read for, and until when they are believed without another look.
    keys: Arc<KeySet>,
    scheme: Arc<Scheme>,
    judged_until: Duration,
}

impl Engine {
    /// The sources whose keys could not be fetched when they were wanted last.
    pub fn failing_keys(&self) -> Vec<FailingKeys> {
        let registry = self.inner().registry();
        let mut failing: Vec<_> = registry.sources().flat_map(failing).collect();
        failing.sort_by(|a, b| (&a.source, &a.url).cmp(&(&b.source, &b.url)));
        failing
    }

    /// How often keys were fetched since this process began, by source; of those sources alone for which any were wanted.
    pub fn key_fetches(&self) -> BTreeMap<String, Fetches> {
        let registry = self.inner().registry();
        let mut fetches = BTreeMap::<String, Fetches>::new();
        for live in registry.sources() {
            let count = live.published.count();
            if count != Fetches::default() {
                let all = fetches.entry(live.source.name.clone()).or_default();
                all.found += count.found;
                all.failed += count.failed;
                all.held_back += count.held_back;
            }
        }
        fetches
    }
}

fn failing(live: &LiveSource) -> Vec<FailingKeys> {
    let documents: Vec<_> =
        live.published.documents().iter().map(|(url, one)| (url.clone(), Arc::clone(one))).collect();
    let failed = |(url, document): (String, Arc<Document>)| match &document.state().failed {
        Some((NoKey::Unavailable(problem), _)) => {
            let url = url.split('?').next().unwrap_or_default().to_owned();
            Some(FailingKeys { source: live.source.name.clone(), url, problem: problem.clone() })
        }
        _ => None,
    };
    documents.into_iter().filter_map(failed).collect()
}

impl Inner {
    /// The keys that a request at `live` says it can be proven with; at least one.
    pub(crate) async fn published_keys(
        &self,
        live: &LiveSource,
        scheme: &Arc<Scheme>,
        wanted: &WantedKey,
    ) -> Result<Arc<KeySet>, NoKey> {
        let document = live.published.document(&wanted.url, self.clock().elapsed());
        let asked_at = self.clock().elapsed();
        if let Some(found) = document.fresh(asked_at)
            && (found.has(wanted) || asked_at < found.fetched_at + AGAIN_AFTER)
        {
            return self.believed(&document, found, scheme, wanted);
        }
        let _one_at_a_time = match document.fetching.try_lock() {
            Ok(alone) => alone,
            // While another one asks, what is a little old will do.
            Err(_) if let Some(found) = document.usable(asked_at).filter(|found| found.has(wanted)) => {
                return self.believed(&document, found, scheme, wanted);
            }
            Err(_) => document.fetching.lock().await,
        };
        // What another one found meanwhile is everybody's.
        let now = self.clock().elapsed();
        if let Some(found) = document.fresh(now)
            && (found.has(wanted) || now < found.fetched_at + AGAIN_AFTER)
        {
            return self.believed(&document, found, scheme, wanted);
        }
        let problem = match document.pause(now) {
            Some(problem) => problem,
            // A set has one URL, and what was found once is not a stranger's word.
            None if wanted.format == KeyFormat::Certificate
                && !document.was_found()
                && !live.published.may_fetch(now) =>
            {
                live.published.held_back.fetch_add(1, Ordering::Relaxed);
                return Err(NoKey::Unavailable(
                    "unknown keys are wanted too often for all of them to be fetched".to_owned(),
                ));
            }
            None => match self.fetch(live, scheme, wanted).await {
                Ok(found) => {
                    *document.state() = State { found: Some(found.clone()), failed: None, used_at: now };
                    return self.believed(&document, found, scheme, wanted);
                }
                Err(problem) => {
                    document.fail(&problem, self.clock().elapsed());
                    problem
                }
            },
        };
        match document.usable(now).filter(|found| matches!(problem, NoKey::Unavailable(_)) && found.has(wanted)) {
            Some(found) => self.believed(&document, found, scheme, wanted),
            None => Err(problem),
        }
    }

    /// Asks a URL that a scheme allows, once. The answer's body is of no interest.
    pub(crate) async fn visit(&self, live: &LiveSource, url: &str) -> Result<(), String> {
        if !live.published.may_fetch(self.clock().elapsed()) {
            return Err("asked for too often".to_owned());
        }
        match self.fetcher().get(url).await {
            Ok(_) => Ok(()),
            Err(Fault::Absent) => Err("it answered 404 or 410".to_owned()),
            Err(Fault::Failed(problem)) => Err(problem),
        }
    }

    async fn fetch(&self, live: &LiveSource, scheme: &Arc<Scheme>, wanted: &WantedKey) -> Result<Found, NoKey> {
        let fetched = tokio::time::timeout(FETCH_MAX, self.find(scheme, wanted)).await;
        let late = || NoKey::Unavailable(format!("no answer within {} s", FETCH_MAX.as_secs()));
        let fetched = fetched.unwrap_or_else(|_| Err(late()));
        let count = if fetched.is_ok() { &live.published.found } else { &live.published.failed };
        count.fetch_add(1, Ordering::Relaxed);
        if let Err(NoKey::Unavailable(problem)) = &fetched {
            tracing::warn!(source = live.source.name, url = wanted.url, problem, "a provider's key cannot be fetched");
        }
        fetched
    }

    async fn find(&self, scheme: &Arc<Scheme>, wanted: &WantedKey) -> Result<Found, NoKey> {
        let began = self.clock().elapsed();
        let Fetched { body, max_age } = self.fetcher().get(&wanted.url).await.map_err(|fault| match fault {
            // Of a set its provider alone has the URL.
            Fault::Absent if wanted.format == KeyFormat::Certificate => NoKey::Refused(Refusal::KeyUnknown, None),
            Fault::Absent => NoKey::Unavailable("it answered 404 or 410".to_owned()),
            Fault::Failed(problem) => NoKey::Unavailable(problem),
        })?;
        let keys = scheme.key_set(wanted.format, &body).map_err(|error| NoKey::Unavailable(error.to_string()))?;
        let chain = match wanted.format {
            KeyFormat::Jwks => None,
            KeyFormat::Certificate => Some(self.proven_chain(scheme, wanted, &body).await?),
        };
        let fresh = max_age.unwrap_or(FRESH_UNSAID).clamp(FRESH_MIN, FRESH_MAX);
        Ok(Found {
            body,
            chain,
            fetched_at: began,
            fresh_until: began + fresh,
            keys: Arc::new(keys),
            scheme: Arc::clone(scheme),
            judged_until: began + JUDGED_FOR,
        })
    }

    /// The chain of a certificate, with its issuer's where that did not come along.
    async fn proven_chain(&self, scheme: &Scheme, wanted: &WantedKey, body: &[u8]) -> Result<Chain, NoKey> {
        let bad = |problem: String| NoKey::Refused(Refusal::KeyRefused, Some(problem));
        let chain = Chain::read(body).ok_or_else(|| bad("it is no certificate".to_owned()))?;
        match self.judge(&chain, wanted) {
            Ok(()) => return Ok(chain),
            Err(Unproven::Bad(problem)) => return Err(bad(problem)),
            Err(Unproven::Issuer) => {}
        }
        let unknown = || bad("nobody who is trusted has issued it".to_owned());
        let url = chain.issuer_url().filter(|url| scheme.allows_issuer(url)).ok_or_else(unknown)?.to_owned();
        let issuer = self.fetcher().get(&url).await.map_err(|fault| match fault {
            Fault::Absent => unknown(),
            Fault::Failed(problem) => {
                NoKey::Unavailable(format!("the certificate of its issuer at `{url}`: {problem}"))
            }
        })?;
        let chain = chain.with(&issuer.body);
        match self.judge(&chain, wanted) {
            Ok(()) => Ok(chain),
            Err(Unproven::Bad(problem)) => Err(bad(problem)),
            Err(Unproven::Issuer) => Err(unknown()),
        }
    }

    fn judge(&self, chain: &Chain, wanted: &WantedKey) -> Result<(), Unproven> {
        self.fetcher().judge(chain, &wanted.names, self.clock().now())
    }

    /// The keys of a document that was found, if they are believed still, and the one that is wanted is among them.
    fn believed(
        &self,
        document: &Document,
        mut found: Found,
        scheme: &Arc<Scheme>,
        wanted: &WantedKey,
    ) -> Result<Arc<KeySet>, NoKey> {
        let now = self.clock().elapsed();
        let is_same_scheme = Arc::ptr_eq(&found.scheme, scheme);
        if !is_same_scheme || now >= found.judged_until {
            if let Some(chain) = &found.chain
                && let Err(unproven) = self.judge(chain, wanted)
            {
                let why = match unproven {
                    Unproven::Bad(problem) => problem,
                    Unproven::Issuer => "nobody who is trusted has issued it".to_owned(),
                };
                document.state().found = None;
                return Err(NoKey::Refused(Refusal::KeyRefused, Some(why)));
            }
            if !is_same_scheme {
                let keys = scheme.key_set(wanted.format, &found.body);
                found.keys = Arc::new(keys.map_err(|error| NoKey::Unavailable(error.to_string()))?);
                found.scheme = Arc::clone(scheme);
            }
            found.judged_until = now + JUDGED_FOR;
            document.state().found = Some(found.clone());
        }
        match found.has(wanted) {
            true => Ok(found.keys),
            false => Err(NoKey::Refused(Refusal::KeyUnknown, None)),
        }
    }
}

impl Found {
    fn has(&self, wanted: &WantedKey) -> bool {
        !self.keys.named(wanted.id.as_deref()).is_empty()
    }
}

impl Document {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found, while it counts.
    fn fresh(&self, now: Duration) -> Option<Found> {
        self.state().found.clone().filter(|found| now < found.fresh_until)
    }

    /// The same while nothing newer is to be had.
    fn usable(&self, now: Duration) -> Option<Found> {
        self.state().found.clone().filter(|found| now < found.fresh_until + STALE_MAX)
    }

    fn was_found(&self) -> bool {
        self.state().found.is_some()
    }

    /// Why nobody is asked at `now`.
    fn pause(&self, now: Duration) -> Option<NoKey> {
        let state = self.state();
        let (problem, at) = state.failed.as_ref()?;
        let pause = match problem {
            NoKey::Unavailable(_) => FAILED_PAUSE,
            NoKey::Refused(..) => ABSENT_PAUSE,
        };
        (now < *at + pause).then(|| problem.clone())
    }

    fn fail(&self, problem: &NoKey, now: Duration) {
        let mut state = self.state();
        state.failed = Some((problem.clone(), now));
        // What its provider has taken back, or does not stand for any more, is no key.
        if matches!(problem, NoKey::Refused(..)) {
            state.found = None;
        }
    }
}

impl PublishedKeys {
    /// What is known of a URL. Of too many those are forgotten first at which nothing was found, then those that were used longest ago.
    fn document(&self, url: &str, now: Duration) -> Arc<Document> {
        let mut documents = self.documents();
        if let Some(known) = documents.get(url) {
            known.state().used_at = now;
            return Arc::clone(known);
        }
        while documents.len() >= DOCUMENTS_MAX {
            let worth = |document: &Document| {
                let state = document.state();
                (state.found.is_some(), state.used_at)
            };
            let Some(least) = documents.iter().min_by_key(|(_, one)| worth(one)).map(|(url, _)| url.clone()) else {
                break;
            };
            documents.remove(&least);
        }
        let made = Arc::new(Document::default());
        made.state().used_at = now;
        documents.insert(url.to_owned(), Arc::clone(&made));
        made
    }

    /// The keys that a request names, as texts, where they were fetched.
    pub(crate) fn texts(&self, wanted: &WantedKey) -> Vec<Secret> {
        let document = self.documents().get(&wanted.url).cloned();
        let found = document.and_then(|document| document.state().found.clone());
        found.map(|found| found.keys.texts(wanted.id.as_deref()).to_vec()).unwrap_or_default()
    }

    fn documents(&self) -> MutexGuard<'_, HashMap<String, Arc<Document>>> {
        self.documents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_fetch(&self, now: Duration) -> bool {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(&FETCHES, now).is_ok()
    }

    fn count(&self) -> Fetches {
        Fetches {
            found: self.found.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            held_back: self.held_back.load(Ordering::Relaxed),
        }
    }
}
