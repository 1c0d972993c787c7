//! What makes two requests the same event: a pure function of the source's policy.
//! Owns the keys; remembering them, and finding a repeat, is the store's.

use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::model::DedupPolicy;
use crate::store::{DedupKey, DedupKind};

/// The keys of a request. A key outlives every moment at which the signed timestamp, up to `tolerance` ahead and
/// accepted up to `tolerance` late, would still be believed.
pub fn keys(
    policy: &DedupPolicy,
    delivery_id: Option<&str>,
    body_sha256: &[u8; 32],
    tolerance: Option<Duration>,
    now: Timestamp,
) -> Vec<DedupKey> {
    let window = policy.window.max(tolerance.unwrap_or_default() * 2);
    let expires_at = now.plus(window);
    let id = delivery_id.map(|id| DedupKey {
        kind: DedupKind::DeliveryId,
        key: Bytes::copy_from_slice(&text_key(id)),
        expires_at,
    });
    let body =
        policy.body.then(|| DedupKey { kind: DedupKind::Body, key: Bytes::copy_from_slice(body_sha256), expires_at });
    id.into_iter().chain(body).collect()
}

/// The key of a text that the sender chose, a delivery id or an idempotency key: hashed, so that every key has one length
/// whatever a sender puts there.
pub fn text_key(text: &str) -> [u8; 32] {
    sha256(text.as_bytes())
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn policy(body: bool, window_s: u64) -> DedupPolicy {
        DedupPolicy { id_headers: vec![], body, window: Duration::from_secs(window_s) }
    }

    #[test]
    fn both_keys_only_where_the_policy_and_the_request_have_them() {
        let kinds =
            |body, id| keys(&policy(body, 1), id, &[7; 32], None, NOW).iter().map(|k| k.kind).collect::<Vec<_>>();
        assert_eq!(kinds(true, Some("a")), [DedupKind::DeliveryId, DedupKind::Body]);
        assert_eq!(kinds(false, Some("a")), [DedupKind::DeliveryId]);
        assert_eq!(kinds(true, None), [DedupKind::Body]);
        assert!(kinds(false, None).is_empty());
    }

    #[test]
    fn a_window_shorter_than_twice_the_tolerance_is_stretched_to_it() {
        let tolerance = Some(Duration::from_secs(300));
        let expiry = |window_s| keys(&policy(true, window_s), None, &[0; 32], tolerance, NOW)[0].expires_at;
        assert_eq!(expiry(10), NOW.plus(Duration::from_secs(600)));
        assert_eq!(expiry(601), NOW.plus(Duration::from_secs(601)));
    }
}
