//! A way out: what it does with an event, which events it hears, when it tries again.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::durations::{millis, optional_millis, optional_seconds, seconds};
use super::{Declaration, Rate};
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
    /// How it has fared lately.
    pub condition: Condition,
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

/// How a destination has fared: what its attempts have shown, and what follows from it. Kept beside what is declared;
/// declaring a destination anew does not touch it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Condition {
    /// The first failure since the last success.
    pub failing_since: Option<Timestamp>,
    /// Its breaker, if that is open: nothing goes out but a probe, everything else is held.
    pub open: Option<OpenBreaker>,
    /// Its breaker, if that was open and the slow start is not over.
    pub recovering: Option<Recovering>,
}

/// A breaker that is closed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovering {
    /// Since when.
    pub since: Timestamp,
    /// How often it had opened in a row.
    pub opens: u32,
}

/// An open breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenBreaker {
    /// Since when.
    pub since: Timestamp,
    /// When it is looked whether the destination is back.
    pub probe_at: Timestamp,
    /// How often it opened in a row, at least 1.
    pub opens: u32,
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
    /// Limits besides these two.
    #[serde(default, skip_serializing_if = "Limits::is_default")]
    pub limits: Limits,
    /// What becomes of it when it fails.
    #[serde(default)]
    pub health: Health,
    /// Whether deliveries of a key go out one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Ordering>,
    /// How deliveries are signed anew: with each of these schemes, the main one first. Empty: they are not.
    #[serde(default)]
    pub signing: Vec<Signing>,
    /// How long the previous secret goes on signing or stays acceptable after a rotation.
    #[serde(rename = "grace_s", with = "seconds")]
    pub grace: Duration,
}

/// Limits of a destination besides its deadline and its concurrency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long a connection may take to stand, TLS included.
    #[serde(rename = "connect_ms", with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub connect: Option<Duration>,
    /// How long the first byte of the answer may take once the request was sent.
    #[serde(rename = "first_byte_ms", with = "optional_millis", skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Duration>,
    /// How many attempts may begin in a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl Limits {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of a destination when it fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// When to leave it alone for a while; absent: never.
    pub breaker: Option<BreakerSpec>,
    /// After how long of nothing but failures it is disabled, in seconds; absent: never.
    #[serde(rename = "disable_after_s", with = "optional_seconds")]
    pub disable_after: Option<Duration>,
}

impl Default for Health {
    fn default() -> Self {
        Self { breaker: Some(BreakerSpec::default()), disable_after: Some(Duration::from_secs(5 * 86_400)) }
    }
}

/// When a destination's breaker opens, and how it closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSpec {
    /// It opens when so many of a hundred attempts within the window failed, 1 to 100.
    pub failure_percent: u8,
    /// Fewer attempts than this within the window say nothing, at least 1.
    pub min_attempts: u32,
    /// How far back attempts count.
    #[serde(rename = "window_ms", with = "millis")]
    pub window: Duration,
    /// How long it is open before the first probe; twice as long after each probe that failed.
    #[serde(rename = "open_for_ms", with = "millis")]
    pub open_for: Duration,
    /// The longest that it is open before a probe.
    #[serde(rename = "open_for_max_ms", with = "millis")]
    pub open_for_max: Duration,
    /// Over how long deliveries come back to their full pace once it closed.
    #[serde(rename = "slow_start_ms", with = "millis")]
    pub slow_start: Duration,
}

impl Default for BreakerSpec {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            failure_percent: 50,
            min_attempts: 20,
            window: s(60),
            open_for: s(30),
            open_for_max: s(600),
            slow_start: s(60),
        }
    }
}

/// Deliveries whose events have the same key go out one after the other, in the order of commits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ordering {
    /// An expression: the key, or null for an event that waits for nobody.
    pub key: String,
    /// What becomes of those behind a delivery that fails.
    pub on_failure: OnHeadFailure,
}

/// What becomes of the deliveries of a key when the first of them fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnHeadFailure {
    /// They wait. The first is tried again at its schedule's last wait until it is delivered or called off.
    Block,
    /// After so many failed attempts (at least 1) the first is held, and the next one goes on.
    Park {
        /// How many.
        after: u32,
    },
    /// Once the schedule is used up the first is exhausted, and the next one goes on, marked.
    Skip,
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
    /// Posts a text made of the event to a Slack incoming webhook.
    Slack(SlackSpec),
}

/// The settings of a `slack` destination. Its URL is a secret, of purpose [`URL`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackSpec {
    /// What is posted.
    pub template: String,
    /// Address ranges that this destination may reach although they are not public.
    #[serde(default)]
    pub allow_addresses: Vec<IpNet>,
}

/// The purpose of a version that is the URL of its destination, or its query.
pub const URL: &str = "url";
/// The purpose of a version that holds the values of the headers that its destination sets.
pub const HEADERS: &str = "headers";
/// The purpose of a version that holds the values of a program's variables.
pub const ENVIRONMENT: &str = "environment";
/// The purpose of a version that is an OAuth 2 client's secret.
pub const OAUTH2: &str = "oauth2";
/// The purpose of a version that is the private key of a client certificate.
pub const MTLS: &str = "mtls";

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
    /// How an access token is had, if one is sent. The client's secret has the purpose [`OAUTH2`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<Box<OAuth2Spec>>,
    /// The certificate that is shown, if one is. Its private key has the purpose [`MTLS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtls: Option<MtlsSpec>,
}

/// The OAuth 2 client credentials grant (RFC 6749, section 4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Spec {
    /// Where tokens are given.
    pub token_url: String,
    /// Who asks.
    pub client_id: String,
    /// What for.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// For whom, where the server wants to know.
    #[serde(default)]
    pub audience: Option<String>,
    /// How the client proves itself.
    pub auth: OAuth2ClientAuth,
}

/// How an OAuth 2 client proves itself (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OAuth2ClientAuth {
    /// By HTTP Basic.
    Basic,
    /// By parameters in the body.
    Body,
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MtlsSpec {
    /// The certificate and those that lead to its root, PEM.
    pub certificate: String,
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

/// One scheme by which a destination's deliveries are signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signing {
    /// The scheme's name; also the purpose of its secrets.
    pub scheme: String,
    /// What the scheme leaves to be said for each endpoint. No secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// When it signs no more.
    #[serde(default, rename = "until_ms", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// With which secret, where only one can sign; absent: [`SignWith::Adaptive`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_with: Option<SignWith>,
}

impl Signing {
    /// By this scheme, without an end.
    pub fn by(scheme: impl Into<String>) -> Self {
        Self { scheme: scheme.into(), parameters: BTreeMap::new(), until: None, sign_with: None }
    }
}

/// Which of several secrets signs under a scheme whose header holds one signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignWith {
    /// The newest.
    Newest,
    /// The one before the newest, while its grace runs.
    Previous,
    /// The one that this receiver last accepted; when it answers 401 or 403, at once the other one.
    Adaptive,
}
