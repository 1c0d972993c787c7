//! A request that was not believed, as kept for the operator. Why, and what is cut or left out, is decided by `refusals`.

use bytes::Bytes;

use super::RequestRecord;
use crate::clock::Timestamp;
use crate::ids::{OrganizationId, RefusedId};

/// A request that was not believed, as kept for the operator. Nothing in it can be used again: credentials are redacted,
/// right or wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedRequest {
    /// Its identity.
    pub id: RefusedId,
    /// Whose door it was.
    pub organization: OrganizationId,
    /// Where it was refused.
    pub refused_at: RefusedAt,
    /// When.
    pub at: Timestamp,
    /// The refusal's stable id.
    pub reason: String,
    /// One sentence for the operator.
    pub explanation: String,
    /// JSON object, shape owned by `refusals`: the scheme, the places concerned, the skew.
    pub detail: serde_json::Value,
    /// The request line and headers: credentials redacted, and cut to a bound.
    pub request: RequestRecord,
    /// The whole body's length in bytes.
    pub body_len: u64,
    /// The body's first bytes.
    pub body_start: Bytes,
    /// How many were refused at this door for this reason in the same moment; this is the first of them.
    pub count: u64,
}

/// Where a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusedAt {
    /// At the source of this name.
    Source(String),
    /// At this path, a declared one, where no source could be told.
    Path(String),
}

impl RefusedAt {
    /// The name of a source, or a path, which begins with `/` as no name does.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Source(name) => name,
            Self::Path(path) => path,
        }
    }

    /// The door that [`RefusedAt::as_str`] names.
    pub fn from_text(text: String) -> Self {
        if text.starts_with('/') { Self::Path(text) } else { Self::Source(text) }
    }
}

/// As the audit log says it.
impl std::fmt::Display for RefusedAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source(name) => write!(f, "source:{name}"),
            Self::Path(path) => write!(f, "path:{path}"),
        }
    }
}
