//! A way out: what it does with an event, which events it hears, when it tries again.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Declaration;
use super::durations::{millis, seconds};
use crate::clock::Timestamp;
use crate::ids::{DestinationId, OrganizationId};

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
    /// What was declared, and by whom.
    pub declaration: Declaration,
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

impl DestinationState {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled { .. } => "disabled",
        }
    }
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
    /// Which of the events it hears it is owed, and which of those it runs.
    #[serde(default)]
    pub rules: Rules,
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

/// Expressions (see [`crate::expression`]) that decide about each event. One that fails leaves the event recorded, and
/// not owed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// True for an event that is owed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// A text, a number, true or false: a second event of a source with the same value is recorded and not run. Null
    /// for an event that runs in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub once_per: Option<String>,
    /// A key likewise: a newer event of a source with the same key cancels the older one's outstanding delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_wins: Option<String>,
}

/// What a destination does with an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", deny_unknown_fields)]
pub enum DestinationKind {
    /// POSTs the raw bytes to a URL.
    Http(HttpSpec),
    /// Runs a program with the raw bytes on standard input.
    Command(CommandSpec),
    /// Tells a code host how another destination's deliveries end.
    Report(ReportSpec),
    /// Keeps events until a consumer leases them over the API.
    Pull(PullSpec),
}

/// The settings of a `pull` destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullSpec {
    /// Whether nothing is handed out while an earlier event is under lease.
    pub ordered: bool,
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
    /// How much of its output is kept of each attempt, in bytes.
    #[serde(default = "output_bytes")]
    pub output_bytes: usize,
    /// What the program runs in, if that is the event's own commit. Excludes `directory`.
    #[serde(default)]
    pub checkout: Option<Box<CheckoutSpec>>,
}

/// A commit to check out for a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckoutSpec {
    /// An expression whose value is the repository's URL, where the event's shape does not say it.
    #[serde(default)]
    pub url: Option<String>,
    /// An expression whose value is the commit's id, likewise.
    #[serde(default)]
    pub commit: Option<String>,
    /// Where repositories are, instead of where the event says: `{base}/{path at the code host}.git`.
    #[serde(default)]
    pub base: Option<String>,
    /// Address ranges that git may reach although they are not public.
    #[serde(default)]
    pub allow_addresses: Vec<IpNet>,
    /// The most that a checkout may take, in bytes, git's own files included.
    pub max_bytes: u64,
}

/// How much of a program's output is kept unless the settings say otherwise, in bytes.
pub const OUTPUT_BYTES: usize = 256 * 1024;

fn output_bytes() -> usize {
    OUTPUT_BYTES
}

/// The settings of a `report` destination. Its secret, under scheme `bearer`, is the token for the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportSpec {
    /// The name of the destination whose ends are told: each delivery of it that is delivered or exhausted.
    pub of: String,
    /// Whose API it is.
    pub provider: ReportProvider,
    /// Where that API begins: `https://api.github.com`, `https://gitlab.com/api/v4`.
    pub api_url: String,
    /// The context of a commit status to set, if one is.
    #[serde(default)]
    pub status: Option<String>,
    /// The name of a check run to make, if one is. GitHub only.
    #[serde(default)]
    pub check_run: Option<String>,
    /// Whether a comment is kept on the pull or merge request: made once, then brought up to date.
    #[serde(default)]
    pub comment: bool,
    /// Address ranges that this destination may reach although they are not public.
    #[serde(default)]
    pub allow_addresses: Vec<IpNet>,
}

/// A code host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportProvider {
    /// GitHub, or GitHub Enterprise.
    Github,
    /// GitLab.
    Gitlab,
}

/// Waits between attempts. The first attempt is at once; there are `waits.len() + 1` in all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrySchedule {
    /// Seconds to wait before each further attempt.
    pub waits_s: Vec<u64>,
    /// Each wait is scaled by a random factor in `1 ± jitter_percent / 100`; at most 100.
    pub jitter_percent: u8,
    /// The exit statuses after which a program is run again; after any other but 0 its delivery is exhausted at once.
    /// Absent: after every one. What has no status, such as an end by a signal or at the deadline, is always tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_codes: Option<Vec<u8>>,
}

impl Default for RetrySchedule {
    fn default() -> Self {
        let (min, h) = (60, 3600);
        Self { waits_s: vec![5, 5 * min, 30 * min, 2 * h, 5 * h, 10 * h, 10 * h], jitter_percent: 20, exit_codes: None }
    }
}

/// How a destination's deliveries are signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// The scheme's name.
    pub scheme: String,
}
