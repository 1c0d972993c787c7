//! What more there is to say of a refused request, found out behind its refusal: never in its sender's time, and of a flood nothing.
//! Owns of which requests that is done, and with whose secrets; the finding is the library's.

use std::sync::Arc;
use std::time::Duration;

use hookward::explain::{Finding, KnownSecret, Standing, explain};
use hookward::{Scheme, Secret, UnixTime};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::clock::Timestamp;
use crate::engine::Inner;
use crate::ids::SourceId;
use crate::keyring::{LiveSecret, open_secret};
use crate::receive::{InboundRequest, message};

/// How many requests wait at most to be explained; they are held whole for so long.
pub(crate) const CASES_MAX: usize = 4;

/// The largest body of one, in bytes.
const BODY_MAX: usize = 64 << 10;

/// How many versions of the source's own secret are tried, the newest first.
const OWN_MAX: usize = 4;

/// How many other sources of the organization are tried, each with its newest version.
const OTHERS_MAX: usize = 16;

/// How long a KMS may take to open all of these.
const OPENING: Duration = Duration::from_secs(2);

/// A refused request of which more may be found out.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    source: SourceId,
    request: Arc<InboundRequest>,
    at: Timestamp,
}

/// A secret to be tried, with what it is called.
type Tried = (String, Secret, Standing);

impl Case {
    /// A copy of the request, unless it is too large.
    pub(crate) fn new(source: SourceId, request: &InboundRequest, at: Timestamp) -> Option<Self> {
        let request = (request.body.len() <= BODY_MAX).then(|| InboundRequest {
            method: request.method.clone(),
            url: request.url.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
            remote: String::new(),
        })?;
        Some(Self { source, request: Arc::new(request), at })
    }
}

impl Inner {
    /// What is found out about a refused request, as its detail has it: a list, the likeliest first.
    pub(crate) async fn findings(&self, case: Case) -> Value {
        let registry = self.registry();
        let Some(live) = registry.source(case.source) else { return json!([]) };
        let Some(scheme) = live.scheme.clone() else { return json!([]) };
        // A KMS that opens nothing now is not asked for what nobody waits for.
        if !live.keyring.live_at(case.at, self.clock().elapsed()).shut.is_empty() {
            return json!([]);
        }
        let own = live.keyring.versions_at(case.at).take(OWN_MAX).map(|(secret, is_valid)| {
            let standing = if is_valid { Standing::InForce } else { Standing::Ended };
            (format!("version {}", secret.version), Arc::clone(secret), standing)
        });
        let is_other = |id: SourceId| id != case.source;
        let neighbours = registry.sources().filter(|other| other.source.organization == live.source.organization);
        let others = neighbours.filter(|other| is_other(other.source.id)).take(OTHERS_MAX).filter_map(|other| {
            let (secret, _) = other.keyring.versions_at(case.at).next()?;
            Some((format!("source `{}`", other.source.name), Arc::clone(secret), Standing::Another))
        });
        let mut tried: Vec<Tried> = Vec::new();
        let _ = timeout(OPENING, self.open_all(own.chain(others).collect(), &mut tried)).await;
        if live.keyring.versions_at(case.at).next().is_none()
            && let Some(Ok(wanted)) = scheme.wanted_key(&message(&case.request))
        {
            let published = live.published.texts(&wanted);
            // Without the key nothing can be said that would be true with it.
            if published.is_empty() {
                return json!([]);
            }
            let named = |text| ("the published key".to_owned(), text, Standing::InForce);
            tried.extend(published.into_iter().map(named));
        }
        let found = tokio::task::spawn_blocking(move || found(&scheme, &case, &tried)).await;
        found.unwrap_or_else(|_| json!([]))
    }

    /// Opens them one by one; those that do not open are not tried.
    async fn open_all(&self, secrets: Vec<(String, Arc<LiveSecret>, Standing)>, tried: &mut Vec<Tried>) {
        for (label, secret, standing) in secrets {
            let of = (secret.owner, secret.version);
            if let Ok(opened) = open_secret(self.kms(), secret.organization, of, &secret.sealed()).await {
                tried.push((label, opened, standing));
            }
        }
    }
}

fn found(scheme: &Scheme, case: &Case, tried: &[Tried]) -> Value {
    let known = tried.iter().map(|(label, secret, standing)| KnownSecret { label, secret, standing: *standing });
    let known: Vec<KnownSecret<'_>> = known.collect();
    let explanation = explain(scheme, &message(&case.request), &known, UnixTime::from_millis(case.at.as_millis()));
    explanation.findings().iter().map(shown).collect()
}

fn shown(finding: &Finding) -> Value {
    json!({
        "evidence": finding.evidence().to_string(),
        "causes": finding.causes().map(|cause| cause.id()).collect::<Vec<_>>(),
        "explanation": finding.to_string(),
    })
}
