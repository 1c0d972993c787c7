//! What the engine talks about: sources, destinations, events, deliveries, attempts, secrets, audit entries.
//! Values only; how they are kept is `store`, how they come to be is the corridor's modules.

use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::ids::{AttemptId, DeliveryId, DestinationId, EventId, NodeId, OrganizationId, SourceId};

/// A door in.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its identity, kept for ever.
    pub id: SourceId,
    /// Who owns it.
    pub organization: OrganizationId,
    /// Unique among the organization's sources: `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// How it behaves.
    pub spec: SourceSpec,
    /// When it was first declared.
    pub created_at: Timestamp,
    /// When it ceased to be declared, if it has. Its events and secrets stay, and it comes back under its name.
    pub removed_at: Option<Timestamp>,
}

/// How a source behaves. Stored as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// How requests are proven.
    pub proof: Proof,
    /// What makes two requests the same.
    pub dedup: DedupPolicy,
    /// How long the previous secret stays valid after a rotation, unless the rotation says otherwise.
    #[serde(rename = "grace_s", with = "seconds")]
    pub grace: Duration,
    /// The gateway's own settings for this door (path, methods, answers). The engine keeps them and looks away.
    #[serde(default)]
    pub door: serde_json::Value,
}

/// How a source's requests are proven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Proof {
    /// By a scheme of the catalog (or a private one) and the source's keyring.
    Scheme {
        /// The scheme's name.
        name: String,
    },
    /// By an API key: the `publish` door.
    ApiKey,
    /// Not at all: openly configured.
    Unsigned,
}

/// What makes two requests at one source the same event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DedupPolicy {
    /// Headers that carry the delivery id, first present wins; replaces the scheme's own when not empty.
    #[serde(default)]
    pub id_headers: Vec<String>,
    /// Whether an equal body is the same event.
    pub body: bool,
    /// How long a key is remembered.
    #[serde(rename = "window_s", with = "seconds")]
    pub window: Duration,
}

/// A way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// Its identity, kept for ever.
    pub id: DestinationId,
    /// Who owns it.
    pub organization: OrganizationId,
    /// Unique among the organization's destinations: `[a-z0-9-]`, 1 to 64 characters.
    pub name: String,
    /// How it behaves.
    pub spec: DestinationSpec,
    /// Whether deliveries go out now.
    pub state: DestinationState,
    /// When it was first declared.
    pub created_at: Timestamp,
}

/// Whether a destination takes deliveries. Anything but `Active` holds them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationState {
    /// Deliveries go out.
    Active,
    /// An operator stopped it.
    Paused,
    /// Hookward stopped it, and why (`410 Gone`; no longer declared).
    Disabled {
        /// One sentence for the operator.
        reason: String,
    },
}

/// How a destination behaves. Stored as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationSpec {
    /// What it does with an event.
    pub kind: DestinationKind,
    /// Names of the sources it hears; empty means every source, the API's `publish` door included.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Event types it hears: exact, or ending in `.*`; empty means every type.
    #[serde(default)]
    pub event_types: Vec<String>,
    /// When to try again.
    pub retry: RetrySchedule,
    /// How many attempts may be under way at once, at least 1.
    pub concurrency: u32,
    /// The deadline of one attempt.
    #[serde(rename = "timeout_ms", with = "millis")]
    pub timeout: Duration,
    /// How deliveries are signed anew, if they are.
    #[serde(default)]
    pub signing: Option<Signing>,
    /// How long the previous secret goes on signing or stays acceptable after a rotation.
    #[serde(rename = "grace_s", with = "seconds")]
    pub grace: Duration,
}

/// What a destination does with an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum DestinationKind {
    /// POSTs the raw bytes to a URL.
    Http(HttpSpec),
    /// Runs a program with the raw bytes on standard input.
    Command(CommandSpec),
}

/// The settings of an `http` destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// `http://` or `https://`, without user info or fragment.
    pub url: String,
    /// Names of original request headers passed on; a trailing `*` matches any ending.
    #[serde(default)]
    pub forward_headers: Vec<String>,
    /// Headers set on every attempt, replacing any forwarded one of the same name.
    #[serde(default)]
    pub set_headers: Vec<(String, String)>,
    /// Address ranges that this destination may reach although they are not public.
    #[serde(default)]
    pub allow_addresses: Vec<IpNet>,
}

/// The settings of a `command` destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its arguments, never a shell line; at least one.
    pub argv: Vec<String>,
    /// Its working directory; the system's temporary directory when absent.
    #[serde(default)]
    pub directory: Option<String>,
    /// Extra environment variables. Only these, `PATH` and `HOOKWARD_*` are given to the program.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
}

/// Waits between attempts. The first attempt is at once; there are `waits.len() + 1` in all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrySchedule {
    /// Seconds to wait before each further attempt.
    pub waits_s: Vec<u64>,
    /// Each wait is scaled by a random factor in `1 ± jitter_percent / 100`; at most 100.
    pub jitter_percent: u8,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        let (min, h) = (60, 3600);
        Self { waits_s: vec![5, 5 * min, 30 * min, 2 * h, 5 * h, 10 * h, 10 * h], jitter_percent: 20 }
    }
}

/// How a destination's deliveries are signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// The scheme's name.
    pub scheme: String,
}

/// One accepted, committed, immutable fact, without its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its identity.
    pub id: EventId,
    /// Who owns it.
    pub organization: OrganizationId,
    /// The door it came through.
    pub source: SourceId,
    /// That door's name; the API's own door is `publish`.
    pub source_name: String,
    /// The event type; empty when the sender named none.
    pub event_type: String,
    /// The sender's own id for this delivery, if it has one.
    pub delivery_id: Option<String>,
    /// When it was committed.
    pub received_at: Timestamp,
    /// What was proven about it. JSON object, shape owned by `receive`.
    pub verdict: serde_json::Value,
    /// The request line and headers as kept: credentials redacted.
    pub request: RequestRecord,
    /// The body's length in bytes.
    pub body_len: u64,
    /// The body's SHA-256.
    pub body_sha256: [u8; 32],
    /// The event that this one repeats, if it is a duplicate.
    pub duplicate_of: Option<EventId>,
}

/// What stands in a kept request where a credential stood. A header whose value contains it is never forwarded.
pub const REDACTED: &str = "[redacted]";

/// The parts of a request worth keeping, credentials already redacted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestRecord {
    /// `POST`, …
    pub method: String,
    /// Path and query, without credentials.
    pub target: String,
    /// In order of arrival; names lower case; values as they came (any bytes but CR, LF, NUL).
    pub headers: Vec<(String, Bytes)>,
    /// The peer's address as the gateway saw it.
    pub remote: String,
}

/// One event owed to one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its identity, the same in every attempt.
    pub id: DeliveryId,
    /// The event owed.
    pub event: EventId,
    /// To whom.
    pub destination: DestinationId,
    /// That destination's name.
    pub destination_name: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it exists.
    pub cause: DeliveryCause,
    /// Attempts begun so far.
    pub attempts: u32,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Where a delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// Waiting for its time.
    Pending {
        /// When it may be attempted.
        due_at: Timestamp,
    },
    /// A node is attempting it.
    Leased {
        /// When the lease ends by itself.
        until: Timestamp,
        /// Whose lease it is.
        node: NodeId,
    },
    /// A destination took it.
    Delivered {
        /// When.
        at: Timestamp,
    },
    /// It used its last attempt.
    Exhausted {
        /// When.
        at: Timestamp,
    },
    /// An operator called it off.
    Cancelled {
        /// When.
        at: Timestamp,
    },
    /// Its destination is paused or disabled: kept, and drained on resume.
    Held {
        /// Since when.
        since: Timestamp,
    },
}

/// Why a delivery exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryCause {
    /// The event itself.
    Event,
    /// An operator asked for it again.
    Redelivery {
        /// The earlier delivery to the same destination, if there was one.
        of: Option<DeliveryId>,
    },
    /// A test sent from the product.
    Test,
}

/// One try of a delivery, as kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Its identity.
    pub id: AttemptId,
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// Versions of the destination's secrets that signed it, newest first.
    pub signed_by: Vec<u32>,
    /// The HTTP status, when an answer came.
    pub status: Option<u16>,
    /// The first bytes of the answer or of the program's output, at most `RESPONSE_EXCERPT_MAX`.
    pub excerpt: Bytes,
    /// One sentence: what went wrong, empty on success.
    pub detail: String,
}

/// The most that is kept of a response body or a program's output, in bytes.
pub const RESPONSE_EXCERPT_MAX: usize = 16 * 1024;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A 2xx answer, or exit status 0.
    Success,
    /// An answer that is not 2xx.
    Status,
    /// The program ended with another status, or by a signal.
    Exit,
    /// The name did not resolve.
    Dns,
    /// No connection.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The deadline passed.
    Timeout,
    /// The connection broke before a whole answer.
    Broken,
    /// The egress guard refused the address.
    Blocked,
    /// The program could not be started.
    Spawn,
    /// There was no usable secret to sign with, or settings that cannot work.
    Unusable,
    /// The process ended before the attempt did; nothing is known of its effect.
    Interrupted,
}

/// What a secret belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretOwner {
    /// A source.
    Source(SourceId),
    /// A destination.
    Destination(DestinationId),
}

/// One version of a secret as kept: sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedSecret {
    /// Whose it is.
    pub owner: SecretOwner,
    /// 1 for the owner's first; rises.
    pub version: u32,
    /// The value under envelope encryption.
    pub sealed: crate::kms::Sealed,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until, if an end is set.
    pub not_after: Option<Timestamp>,
    /// When an operator revoked it.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it came from: `generated`, `import`, `config`.
    pub origin: String,
    /// First use that verified or signed.
    pub first_used_at: Option<Timestamp>,
    /// Latest use.
    pub last_used_at: Option<Timestamp>,
    /// How many requests it verified or attempts it signed.
    pub uses: u64,
}

impl SealedSecret {
    /// Whether it may be used at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.not_before <= now && self.not_after.is_none_or(|end| now < end)
    }
}

/// One entry of the audit log, before it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// Who: `source:github`, `key:bootstrap`, `system`.
    pub actor: String,
    /// What: `webhook.deliver`, `webhook.duplicate`, `webhook.refused`, `secret.reveal`, …
    pub action: String,
    /// On what: `source:github`, `destination:ci`, …
    pub target: String,
    /// When.
    pub at: Timestamp,
    /// Details as a JSON object, never a secret.
    pub detail: serde_json::Value,
}

mod seconds {
    use super::{Deserialize, Duration};

    pub(super) fn serialize<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.as_secs())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_secs)
    }
}

mod millis {
    use super::{Deserialize, Duration};

    pub(super) fn serialize<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
