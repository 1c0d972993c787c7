//! A door in: how its requests are proven, what makes two of them the same, what it lets through.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Declaration;
use super::durations::{millis, optional_seconds, seconds};
use crate::clock::Timestamp;
use crate::ids::{OrganizationId, SourceId};

/// The name of the API's own door; no declared source may take it.
pub const PUBLISH: &str = "publish";

/// The name of the door of the engine's own events; no declared source may take it, and only destinations that name it
/// hear them.
pub const OWN: &str = "hookward";

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
    /// What was declared, and by whom.
    pub declaration: Declaration,
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
    /// Which event types are passed on, as patterns like a destination's; all when empty. Others are recorded and owed to nobody.
    #[serde(default)]
    pub event_types: Vec<String>,
    /// An expression (see [`crate::expression`]): only events for which it is true are owed to anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How many authentic requests are taken; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// How long and how much of its events is kept.
    #[serde(default)]
    pub retention: Retention,
    /// The gateway's own settings for this door (path, methods, answers). The engine keeps them and looks away.
    #[serde(default)]
    pub door: serde_json::Value,
}

/// How long and how much of a source's events is kept; for ever where nothing is said. What still is owed stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Older events are stripped.
    #[serde(default, rename = "age_s", with = "optional_seconds", skip_serializing_if = "Option::is_none")]
    pub age: Option<Duration>,
    /// The oldest events are stripped while the bodies kept are more than this, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
}

/// How many requests a source takes: so many in so long, and at most `burst` at once after a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many in each `per`.
    pub requests: u32,
    /// The span.
    #[serde(rename = "per_ms", with = "millis")]
    pub per: Duration,
    /// How many at once.
    pub burst: u32,
}

/// How a source's requests are proven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Proof {
    /// By a scheme of the catalog (or a private one) and the source's keyring.
    Scheme {
        /// The scheme's name.
        name: String,
        /// What it leaves to be said for each endpoint. No secrets.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        parameters: BTreeMap<String, String>,
    },
    /// By an API key: the `publish` door.
    ApiKey,
    /// By nobody: the door of the engine's own events.
    Engine,
    /// Not at all: openly configured.
    Unsigned,
}

impl Proof {
    /// By this scheme, which leaves nothing to be said.
    pub fn by(scheme: impl Into<String>) -> Self {
        Self::Scheme { name: scheme.into(), parameters: BTreeMap::new() }
    }
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
