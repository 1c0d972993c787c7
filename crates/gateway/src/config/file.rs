//! The file's shape, key by key, with the defaults that stand in `hookward.default.toml`.
//! Shapes only; what makes sense together is checked in `sources`, `destinations` and `door`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::auth::{Auth, Mtls, OAuth2};
use super::event_types::{EventType, Publishing};
use super::health::{BreakerTable, DisableAfter};
use super::order::Order;
use super::values::{Address, Lapse, Range, Settings, Size, Switch};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) data: Spanned<PathBuf>,
    pub(super) database: Database,
    pub(super) node: Node,
    pub(super) public: Public,
    pub(super) admin: Admin,
    pub(super) limits: Limits,
    pub(super) egress: Egress,
    pub(super) kms: Kms,
    pub(super) checkouts: Checkouts,
    pub(super) audit: Audit,
    pub(super) retention: Retention,
    pub(super) unmatched: Vec<Unmatched>,
    pub(super) source: Vec<Source>,
    pub(super) destination: Vec<Destination>,
    pub(super) event_type: Vec<EventType>,
    pub(super) publishing: Publishing,
    pub(super) scheme: Vec<Spanned<toml::Table>>,
    pub(super) oidc: Vec<Oidc>,
}

/// The tables that can also come over the API.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tables {
    pub(super) source: Vec<Source>,
    pub(super) destination: Vec<Destination>,
    pub(super) event_type: Vec<EventType>,
    pub(super) scheme: Vec<Spanned<toml::Table>>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            data: Spanned::new(0..0, PathBuf::from("hookward-data")),
            database: Database::default(),
            node: Node::default(),
            public: Public::default(),
            admin: Admin::default(),
            limits: Limits::default(),
            egress: Egress::default(),
            kms: Kms::default(),
            checkouts: Checkouts::default(),
            audit: Audit::default(),
            retention: Retention::default(),
            unmatched: Vec::new(),
            source: Vec::new(),
            destination: Vec::new(),
            event_type: Vec::new(),
            publishing: Publishing::default(),
            scheme: Vec::new(),
            oidc: Vec::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Database {
    pub(super) address: Option<Spanned<String>>,
    pub(super) password: Option<Spanned<String>>,
    pub(super) ca: Option<Spanned<PathBuf>>,
    pub(super) listen: Option<Spanned<bool>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Node {
    pub(super) name: Option<Spanned<String>>,
    pub(super) validity: Spanned<Lapse>,
}

impl Default for Node {
    fn default() -> Self {
        Self { name: None, validity: Spanned::new(0..0, Lapse(Duration::from_secs(10))) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Public {
    pub(super) address: Address,
    pub(super) origin: Option<Spanned<String>>,
    pub(super) trusted_proxies: Vec<Spanned<Range>>,
}

impl Default for Public {
    fn default() -> Self {
        Self { address: Address(SocketAddr::from(([127, 0, 0, 1], 8080))), origin: None, trusted_proxies: vec![] }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) address: Address,
    pub(super) origin: Option<Spanned<String>>,
    pub(super) trusted_proxies: Vec<Spanned<Range>>,
    pub(super) commands: bool,
    pub(super) key_prefix: Option<Spanned<String>>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: Address(SocketAddr::from(([127, 0, 0, 1], 8081))),
            origin: None,
            trusted_proxies: vec![],
            commands: false,
            key_prefix: None,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) body_bytes: Spanned<Size>,
    pub(super) bodies_bytes: Spanned<Size>,
    pub(super) header_bytes: Spanned<Size>,
    pub(super) header_count: Spanned<Size>,
    pub(super) header_timeout: Spanned<Lapse>,
    pub(super) body_timeout: Spanned<Lapse>,
    pub(super) idle_timeout: Spanned<Lapse>,
    pub(super) connections: Spanned<Size>,
    pub(super) drain_timeout: Spanned<Lapse>,
    pub(super) lease_margin: Spanned<Lapse>,
}

impl Default for Limits {
    fn default() -> Self {
        let lapse = |secs| Spanned::new(0..0, Lapse(Duration::from_secs(secs)));
        let size = |size| Spanned::new(0..0, Size(size));
        Self {
            body_bytes: size(25 << 20),
            bodies_bytes: size(512 << 20),
            header_bytes: size(32 << 10),
            header_count: size(100),
            header_timeout: lapse(10),
            body_timeout: lapse(30),
            idle_timeout: lapse(60),
            connections: size(4096),
            drain_timeout: lapse(25),
            lease_margin: lapse(30),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Egress {
    pub(super) allow: Vec<Spanned<Range>>,
    pub(super) allow_everything: bool,
    pub(super) allow_own: bool,
    pub(super) extra_roots: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Kms {
    pub(super) provider: Option<Spanned<String>>,
    pub(super) key_file: Option<Spanned<String>>,
    pub(super) key: Option<Spanned<String>>,
    pub(super) key_id: Option<Spanned<String>>,
    pub(super) region: Option<Spanned<String>>,
    pub(super) endpoint: Option<Spanned<String>>,
    pub(super) access_key_id: Option<Spanned<String>>,
    pub(super) secret_access_key: Option<Spanned<String>>,
    pub(super) session_token: Option<Spanned<String>>,
    pub(super) module: Option<Spanned<String>>,
    pub(super) token: Option<Spanned<String>>,
    pub(super) slot: Option<Spanned<u64>>,
    pub(super) key_label: Option<Spanned<String>>,
    pub(super) pin: Option<Spanned<String>>,
    pub(super) cache_ttl: Option<Spanned<Lapse>>,
    pub(super) timeout: Option<Spanned<Lapse>>,
    pub(super) previous: Vec<Self>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Checkouts {
    pub(super) directory: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    pub(super) publish_head: Option<Spanned<Lapse>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retention {
    pub(super) age: Option<Spanned<Lapse>>,
    pub(super) size: Option<Spanned<Size>>,
}

/// What a scheme leaves to be said.
pub(super) type Parameters = Spanned<BTreeMap<String, Spanned<String>>>;

/// A list of names.
pub(super) type Names = Spanned<Vec<Spanned<String>>>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Oidc {
    pub(super) name: Spanned<String>,
    pub(super) issuer: Spanned<String>,
    pub(super) client_id: Spanned<String>,
    pub(super) client_secret: Spanned<String>,
    pub(super) organization: Option<String>,
    pub(super) domains: Option<Vec<Spanned<String>>>,
    pub(super) create: Option<Spanned<bool>>,
    pub(super) scopes: Option<Names>,
    pub(super) claim: Option<Spanned<String>>,
    pub(super) grants: Option<Spanned<BTreeMap<String, Names>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unmatched {
    pub(super) prefix: Spanned<String>,
    pub(super) answer: Spanned<Answer>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) status: Spanned<u16>,
    #[serde(default)]
    pub(super) body: String,
    #[serde(default)]
    pub(super) content_type: Option<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) name: Spanned<String>,
    pub(super) path: Option<Spanned<String>>,
    pub(super) hint: Option<Spanned<BTreeMap<String, String>>>,
    pub(super) scheme: Option<Spanned<String>>,
    pub(super) parameters: Option<Parameters>,
    pub(super) unsigned: Option<Spanned<bool>>,
    pub(super) methods: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) allow_addresses: Option<Spanned<Vec<Range>>>,
    pub(super) body_bytes: Option<Spanned<Size>>,
    #[serde(default)]
    pub(super) event_types: Vec<Spanned<String>>,
    pub(super) rate: Option<Rate>,
    pub(super) secret: Option<Spanned<String>>,
    pub(super) handshake_token: Option<Spanned<String>>,
    pub(super) filter: Option<Spanned<String>>,
    pub(super) grace: Option<Lapse>,
    pub(super) retention: Option<Retention>,
    #[serde(default)]
    pub(super) dedup: Dedup,
    #[serde(default)]
    pub(super) answers: Answers,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    pub(super) requests: Spanned<Size>,
    pub(super) per: Spanned<Lapse>,
    pub(super) burst: Option<Spanned<Size>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Dedup {
    pub(super) body: Option<bool>,
    pub(super) id_headers: Vec<Spanned<String>>,
    pub(super) window: Option<Spanned<Lapse>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Answers {
    pub(super) accepted: Option<Answer>,
    pub(super) ignored: Option<Answer>,
    pub(super) duplicate: Option<Answer>,
    pub(super) refused: Option<Answer>,
    pub(super) wrong_method: Option<Answer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Destination {
    pub(super) name: Spanned<String>,
    #[serde(rename = "type")]
    pub(super) kind: Spanned<String>,
    pub(super) url: Option<Spanned<String>>,
    pub(super) forward_headers: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) set_headers: Option<Spanned<BTreeMap<String, Spanned<String>>>>,
    pub(super) allow_addresses: Option<Spanned<Vec<Spanned<Range>>>>,
    pub(super) argv: Option<Spanned<Vec<String>>>,
    pub(super) directory: Option<Spanned<String>>,
    pub(super) environment: Option<Spanned<BTreeMap<String, Spanned<String>>>>,
    pub(super) retry_exit_codes: Option<Spanned<Vec<Spanned<i64>>>>,
    pub(super) output_bytes: Option<Spanned<Size>>,
    pub(super) checkout: Option<Spanned<Switch<CheckoutTable>>>,
    #[serde(default)]
    pub(super) sources: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) event_types: Vec<Spanned<String>>,
    pub(super) filter: Option<Spanned<String>>,
    pub(super) once_per: Option<Spanned<String>>,
    pub(super) latest_wins: Option<Spanned<String>>,
    pub(super) order: Option<Spanned<Order>>,
    #[serde(default)]
    pub(super) retry: Retry,
    pub(super) timeout: Option<Spanned<Lapse>>,
    pub(super) connect_timeout: Option<Spanned<Lapse>>,
    pub(super) first_byte_timeout: Option<Spanned<Lapse>>,
    pub(super) concurrency: Option<Spanned<Size>>,
    pub(super) rate: Option<Rate>,
    pub(super) breaker: Option<Spanned<Switch<BreakerTable>>>,
    pub(super) disable_after: Option<Spanned<DisableAfter>>,
    pub(super) sign: Option<Signs>,
    pub(super) auth: Option<Spanned<Auth>>,
    pub(super) oauth2: Option<Spanned<OAuth2>>,
    pub(super) mtls: Option<Spanned<Mtls>>,
    pub(super) template: Option<Spanned<String>>,
    pub(super) grace: Option<Lapse>,
    pub(super) ordered: Option<Spanned<bool>>,
    pub(super) of: Option<Spanned<String>>,
    pub(super) provider: Option<Spanned<String>>,
    pub(super) api: Option<Spanned<String>>,
    pub(super) token: Option<Spanned<String>>,
    pub(super) status: Option<Spanned<String>>,
    pub(super) check_run: Option<Spanned<String>>,
    pub(super) comment: Option<Spanned<bool>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CheckoutTable {
    pub(super) url: Option<Spanned<String>>,
    pub(super) commit: Option<Spanned<String>>,
    pub(super) base: Option<Spanned<String>>,
    pub(super) allow_addresses: Option<Spanned<Vec<Spanned<Range>>>>,
    pub(super) credential: Option<Spanned<String>>,
    pub(super) max_bytes: Option<Spanned<Size>>,
}

impl Settings for CheckoutTable {
    const EXPECTED: &str = "true, or a table like { base = \"https://git.example.com\" }";
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Retry {
    pub(super) waits: Option<Spanned<Vec<Spanned<Lapse>>>>,
    pub(super) jitter_percent: Option<Spanned<Size>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sign {
    pub(super) scheme: Spanned<String>,
    pub(super) parameters: Option<Parameters>,
    pub(super) secret: Option<Spanned<String>>,
    pub(super) sign_with: Option<Spanned<String>>,
    pub(super) until: Option<Spanned<String>>,
}

/// A table for one scheme, or a list of such tables.
#[derive(Debug)]
pub(super) struct Signs(pub(super) Vec<Sign>);

impl<'de> Deserialize<'de> for Signs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SignsVisitor)
    }
}

struct SignsVisitor;

impl<'de> Visitor<'de> for SignsVisitor {
    type Value = Signs;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a table like { scheme = \"standard-webhooks\" }, or a list of such tables")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Signs, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(map)).map(|one| Signs(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Signs, A::Error> {
        Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(Signs)
    }
}
