//! Refused requests on their way to the audit log, without making the sender wait and without letting a flood of them
//! fill memory or disk: beyond a bound they are counted, not listed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::model::AuditEntry;
use crate::store::Store;

/// How many refusals are listed one by one between two writes; the rest are counted by target and reason.
pub(crate) const LISTED_MAX: usize = 64;

/// How many distinct (target, reason) pairs are counted between two writes.
const COUNTED_MAX: usize = 1024;

#[derive(Debug, Default)]
struct Waiting {
    listed: Vec<AuditEntry>,
    counted: BTreeMap<(String, &'static str), (u64, Timestamp)>,
}

/// Refusals that are not in the audit log yet.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    waiting: Mutex<Waiting>,
    added: Notify,
}

impl Refusals {
    /// Takes note of a refusal with the stable id `reason`.
    pub(crate) fn add(&self, entry: AuditEntry, reason: &'static str) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.listed.len() < LISTED_MAX {
            waiting.listed.push(entry);
        } else if waiting.counted.len() < COUNTED_MAX {
            let (count, latest) = waiting.counted.entry((entry.target, reason)).or_insert((0, entry.at));
            *count += 1;
            *latest = entry.at;
        }
        drop(waiting);
        self.added.notify_one();
    }

    /// Completes when there may be something to write.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// Writes what is waiting. What the store cannot take now is put back, within the bounds.
    pub(crate) async fn write(&self, store: &dyn Store) {
        let Waiting { listed, counted } =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let sums = counted.into_iter().map(|((target, reason), (count, at))| AuditEntry {
            actor: target.clone(),
            action: "webhook.refused".to_owned(),
            target,
            at,
            detail: json!({ "reason": reason, "count": count }),
        });
        let entries: Vec<AuditEntry> = listed.into_iter().chain(sums).collect();
        if entries.is_empty() {
            return;
        }
        if let Err(error) = store.record(entries.clone()).await {
            tracing::warn!(%error, "refusals could not be written to the audit log yet");
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let room = (2 * LISTED_MAX).saturating_sub(waiting.listed.len());
            waiting.listed.extend(entries.into_iter().take(room));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(target: &str) -> AuditEntry {
        AuditEntry {
            actor: target.to_owned(),
            action: "webhook.refused".to_owned(),
            target: target.to_owned(),
            at: Timestamp::from_millis(0),
            detail: json!({}),
        }
    }

    #[test]
    fn a_flood_is_listed_up_to_the_bound_and_counted_beyond() {
        let refusals = Refusals::default();
        for _ in 0..LISTED_MAX + 1000 {
            refusals.add(entry("source:a"), "signature-mismatch");
        }
        refusals.add(entry("source:b"), "signature-missing");
        let waiting = refusals.waiting.lock().expect("not poisoned");
        assert_eq!(waiting.listed.len(), LISTED_MAX);
        let counts: Vec<_> =
            waiting.counted.iter().map(|((target, _), (count, _))| (target.as_str(), *count)).collect();
        assert_eq!(counts, [("source:a", 1000), ("source:b", 1)]);
    }
}
