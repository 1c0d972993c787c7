//! The configuration: one TOML file, checked whole before anything starts.
//! Owns what a setting is called, what it may be and what it defaults to; `hookward.default.toml` is its
//! documentation. What the settings do is the engine's and the listeners' business.

mod auth;
mod command;
mod database;
mod deadlines;
mod destinations;
mod document;
mod door;
mod event_types;
mod file;
mod health;
mod in_force;
mod kms;
mod node;
mod oidc;
mod order;
mod parameters;
mod problems;
mod reference;
mod report;
mod schemes;
mod sent;
mod settings;
mod sign;
mod slack;
mod sources;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hookward::{Scheme, Secret};
use hookward_engine::DeclaredSecret;
use hookward_engine::destination::command::Supervisor;
use hookward_engine::event_types::Undeclared;
use hookward_engine::expression::Expression;
use hookward_engine::model::{DestinationSpec, Retention, SourceSpec};
use hookward_engine::organizations::{KEY_PREFIX_MAX, is_key_prefix};
use ipnet::IpNet;
use serde_json::Value;

pub use database::{CA_VARIABLE, Database, PASSWORD_VARIABLE};
pub use door::{Answer, Answers, Door};
pub use event_types::EventTypeDeclaration;
pub(crate) use event_types::in_text;
pub use in_force::{InForce, ValueOrigin, Written};
pub use kms::{AwsKey, KeyManagement, KeyProvider, Pkcs11Key, Token};
pub use node::{Node, check_node_name};
pub(crate) use oidc::is_dialable;
pub use oidc::{Grants, OidcDeclaration};
pub use problems::{ConfigError, Problem};
pub use reference::Environment;
pub(crate) use reference::{References, STORED, from_file, is_reference, look_up_here, without_newline};
pub use schemes::SchemeDeclaration;
pub(crate) use sent::{SentProblem, SentTable, SentTables, Surroundings, Tables, check_sent, table_in, tables};
pub(crate) use values::parse_lapse;

use crate::{supervise, world};

/// The built-in defaults, explained.
pub const DEFAULT: &str = include_str!("../hookward.default.toml");

/// Everything that a gateway needs to know before it starts.
#[derive(Debug)]
pub struct Config {
    /// Listeners, limits and places.
    pub settings: Settings,
    /// Answers for unknown paths, longest prefix first.
    pub unmatched: Vec<Unmatched>,
    /// What is kept of events that did not come through a declared source.
    pub retention: Retention,
    /// The doors in.
    pub sources: Vec<SourceDeclaration>,
    /// The ways out.
    pub destinations: Vec<DestinationDeclaration>,
    /// Types of events.
    pub event_types: Vec<EventTypeDeclaration>,
    /// Private schemes.
    pub schemes: Vec<SchemeDeclaration>,
    /// Providers by way of which people sign in.
    pub oidc: Vec<OidcDeclaration>,
    /// What the operator should know: a destination left out, a source without a secret.
    pub notices: Vec<String>,
    /// The bootstrap API key. When there is none, one is made and kept in the data directory.
    pub api_key: Option<Secret>,
    /// Whether it was a file, which then says everything that there is. Without one, what was declared before stays.
    pub is_file: bool,
    /// What runs programs: this executable, unless somebody embeds the gateway in another.
    pub supervisor: Supervisor,
    /// Which settings somebody wrote down, and where.
    pub written: Written,
}

/// The parts of the configuration that are the same for every source and destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where data is kept.
    pub data: PathBuf,
    /// The database that nodes share; a file in `data` when absent.
    pub database: Option<Database>,
    /// What this process is among those that share it.
    pub node: Node,
    /// The keys that seal all secrets.
    pub kms: KeyManagement,
    /// Where commits are checked out; `checkouts` in the data directory when absent.
    pub checkouts: Option<PathBuf>,
    /// The listener that the internet reaches.
    pub public: SocketAddr,
    /// The origin of the URLs that senders call, when a proxy stands before the listener: some schemes sign the URL.
    pub origin: Option<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The listener for the dashboard and the API.
    pub admin: SocketAddr,
    /// The origin under which browsers reach it, when a proxy stands before the listener.
    pub admin_origin: Option<String>,
    /// Proxies before it whose `X-Forwarded-For` is believed.
    pub admin_trusted_proxies: Vec<IpNet>,
    /// Whether destinations that run programs may be declared over the API.
    pub commands_over_api: bool,
    /// What new API keys of the default organization begin with; what it was when absent.
    pub key_prefix: Option<String>,
    /// What a connection or request may cost.
    pub limits: Limits,
    /// Address ranges that are not public and may be reached all the same.
    pub egress_allow: Vec<IpNet>,
    /// Whether such a range may be all of them.
    pub egress_allow_everything: bool,
    /// What becomes of a published event whose type nobody declared.
    pub undeclared_types: Undeclared,
    /// Whether this gateway's own listeners may be reached.
    pub egress_allow_own: bool,
    /// How often the audit log's head is told as an event; never when absent.
    pub publish_head: Option<Duration>,
    /// PEM certificates trusted besides the public ones.
    pub egress_roots: Option<PathBuf>,
}

/// What one connection or request may cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// Bytes of all bodies that senders have under way at once.
    pub bodies_bytes: usize,
    /// The largest request head, in bytes.
    pub header_bytes: usize,
    /// The most header lines.
    pub header_count: usize,
    /// From the first byte of a request to the end of its head; also from a connection's start to its first byte.
    pub header_timeout: Duration,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// Between requests on one connection.
    pub idle_timeout: Duration,
    /// Connections open at once, for each listener.
    pub connections: usize,
    /// For finishing what is in flight when told to stop.
    pub drain_timeout: Duration,
    /// How much longer than an attempt may take a node has it to itself.
    pub lease_margin: Duration,
}

/// What unknown paths below a prefix are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmatched {
    /// The prefix.
    pub prefix: String,
    /// The answer.
    pub answer: Answer,
}

/// A source as declared.
#[derive(Debug)]
pub struct SourceDeclaration {
    /// Its name.
    pub name: String,
    /// How it behaves; its `door` is a [`Door`].
    pub spec: SourceSpec,
    /// Its table as it was given: references are kept as references, and no secret stands in it.
    pub declared: Value,
    /// Its secret as the environment or a file has it now.
    pub secret: Option<Secret>,
    /// What its provider was told for the handshake.
    pub handshake_token: Option<Secret>,
}

/// A destination as declared.
#[derive(Debug)]
pub struct DestinationDeclaration {
    /// Its name.
    pub name: String,
    /// How it behaves.
    pub spec: DestinationSpec,
    /// Its table as it was given, as for a source.
    pub declared: Value,
    /// Its secrets as the environment or a file has them now.
    pub secrets: Vec<DeclaredSecret>,
}

impl Config {
    /// The built-in defaults: no source, no destination.
    pub fn defaults() -> Self {
        let empty = Self::parse("", "built-in defaults", &|_| None).expect("an empty file is valid");
        Self { is_file: false, ..empty }
    }

    /// The configuration in `path`, with the process's environment.
    ///
    /// # Errors
    /// When the file cannot be read, or for everything in it that is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let unreadable = |error| ConfigError::unreadable(&name, &error);
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let whole = std::path::absolute(path).map_err(unreadable)?;
        Self::parse_in(&text, &name, whole.parent(), &world::variable)
    }

    /// The configuration in `text`; `name` stands in error messages, and `environment` looks up variables.
    ///
    /// # Errors
    /// For everything in it that is wrong.
    pub fn parse(text: &str, name: &str, environment: &Environment<'_>) -> Result<Self, ConfigError> {
        Self::parse_in(text, name, None, environment)
    }

    /// The same for a file in `directory`, to which programs are relative.
    fn parse_in(
        text: &str,
        name: &str,
        directory: Option<&Path>,
        environment: &Environment<'_>,
    ) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::new(name, vec![problems::from_toml(text, &error)]);
        let mut file: file::File = toml::from_str(text).map_err(unreadable)?;
        // The same once more, as it was written.
        let given: sent::Given = toml::from_str(text).map_err(unreadable)?;
        let mut check = Check::new(text, References::Here(environment), Surroundings::default());
        check.directory = directory;
        let schemes = schemes::schemes(&mut check, std::mem::take(&mut file.scheme));
        check.notices.extend(schemes::notices(&schemes));
        check.schemes = schemes.iter().map(|one| one.scheme.clone()).collect();
        let settings = check.settings(&file);
        check.around.body_bytes = settings.limits.body_bytes;
        check.around.egress_allow.clone_from(&settings.egress_allow);
        check.around.egress_allow_everything = settings.egress_allow_everything;
        if settings.egress_allow_everything {
            let notice =
                "DANGER: `allow_everything` lets destinations reach this machine and every network that it is in";
            check.notices.push(notice.to_owned());
        }
        let oidc = oidc::providers(&mut check, std::mem::take(&mut file.oidc));
        let unmatched = door::unmatched(&mut check, std::mem::take(&mut file.unmatched));
        check.around.retention = sources::retention(&mut check, &file.retention);
        let settings = Settings { undeclared_types: event_types::undeclared(&mut check, &file.publishing), ..settings };
        let tables = file::Tables {
            source: file.source,
            destination: file.destination,
            event_type: file.event_type,
            scheme: vec![],
        };
        let Everything { sources, destinations, event_types } = check.tables(tables, given);
        if !check.problems.is_empty() {
            return Err(ConfigError::new(name, check.problems));
        }
        let (notices, retention) = (check.notices, check.around.retention);
        Ok(Self {
            settings,
            unmatched,
            retention,
            sources,
            destinations,
            event_types,
            schemes,
            oidc,
            notices,
            api_key: None,
            is_file: true,
            supervisor: supervise::this_executable(),
            written: Written::of(text, name, environment),
        })
    }
}

/// Everything that tables come to.
struct Everything {
    sources: Vec<SourceDeclaration>,
    destinations: Vec<DestinationDeclaration>,
    event_types: Vec<EventTypeDeclaration>,
}

/// How often the audit log's head may be told: often enough for a use, seldom enough for a log.
const PUBLISH_HEAD: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);

/// A configuration on its way to becoming declarations: collects everything that is wrong instead of stopping at the
/// first.
struct Check<'a> {
    text: &'a str,
    /// The file's directory, absolute.
    directory: Option<&'a Path>,
    references: References<'a>,
    around: Surroundings,
    problems: Vec<Problem>,
    notices: Vec<String>,
    schemes: Vec<Scheme>,
}

impl<'a> Check<'a> {
    fn new(text: &'a str, references: References<'a>, around: Surroundings) -> Self {
        let (problems, notices, schemes) = (Vec::new(), Vec::new(), Vec::new());
        Self { text, directory: None, references, around, problems, notices, schemes }
    }

    fn tables(&mut self, tables: file::Tables, given: sent::Given) -> Everything {
        let file::Tables { source: sources, destination: destinations, event_type, .. } = tables;
        let event_types = event_types::event_types(self, event_type.into_iter().zip(given.event_type).collect());
        let names = sources.iter().map(|source| source.name.get_ref().clone());
        let names: Vec<String> = names.chain(self.around.sources.iter().map(|(name, _)| name.clone())).collect();
        let sources = sources::sources(self, sources.into_iter().zip(given.source).collect());
        let destinations = destinations.into_iter().zip(given.destination).collect();
        let destinations = destinations::destinations(self, destinations, &names);
        Everything { sources, destinations, event_types }
    }

    fn problem<T>(&mut self, at: &toml::Spanned<T>, message: impl Into<String>) {
        self.problems.push(Problem::at(self.text, at.span().start, message));
    }

    /// What would be right were it not for something that is there already.
    fn conflict<T>(&mut self, at: &toml::Spanned<T>, message: impl Into<String>) {
        let problem = Problem::at(self.text, at.span().start, message);
        self.problems.push(Problem { is_conflict: true, ..problem });
    }

    /// The scheme of this name, private ones first.
    fn scheme(&mut self, name: &toml::Spanned<String>) -> Option<&Scheme> {
        let wanted = name.get_ref();
        if self.find(wanted).is_none() {
            let own = self.schemes.iter().map(|scheme| scheme.name().to_owned());
            let known: Vec<String> = own.chain(hookward::catalog::names().map(str::to_owned)).collect();
            let near = problems::nearest(wanted, known.iter().map(String::as_str));
            self.problem(name, format!("there is no scheme `{}`{near}", wanted.escape_debug()));
        }
        self.find(wanted)
    }

    fn find(&self, name: &str) -> Option<&Scheme> {
        self.schemes.iter().find(|scheme| scheme.name() == name).or_else(|| hookward::catalog::find(name))
    }

    /// A secret must have the shape of the scheme's keys.
    fn key(&mut self, scheme: &str, at: &toml::Spanned<String>, secret: &Secret) {
        let Some(problem) = self.find(scheme).and_then(|scheme| scheme.check_new(secret).err()) else { return };
        // What is no reference is the value itself.
        let what =
            if is_reference(at.get_ref()) { format!("the value of `{}`", at.get_ref()) } else { "this".to_owned() };
        self.problem(at, format!("{what} cannot be a secret of scheme `{scheme}`: {problem}"));
    }

    /// An expression has to compile.
    fn expression(&mut self, text: Option<toml::Spanned<String>>) -> Option<String> {
        let text = text?;
        if let Err(error) = Expression::compile(text.get_ref()) {
            self.problem(&text, format!("this is not an expression: {error}"));
        }
        Some(text.into_inner())
    }

    fn settings(&mut self, file: &file::File) -> Settings {
        let limits = &file.limits;
        for (value, what) in [
            (&limits.body_bytes, "body_bytes"),
            (&limits.header_bytes, "header_bytes"),
            (&limits.header_count, "header_count"),
            (&limits.connections, "connections"),
        ] {
            if value.get_ref().0 == 0 {
                self.problem(value, format!("`{what}` must be at least 1"));
            }
        }
        if limits.bodies_bytes.get_ref().0 < limits.body_bytes.get_ref().0 {
            let written = if limits.bodies_bytes.span().is_empty() { &limits.body_bytes } else { &limits.bodies_bytes };
            self.problem(written, "`bodies_bytes` must be at least `body_bytes`, or the largest body never fits");
        }
        if limits.header_bytes.get_ref().0 < 8192 {
            self.problem(
                &limits.header_bytes,
                "`header_bytes` must be at least 8KiB, because real senders need that much",
            );
        }
        Settings {
            data: self.directory_name(&file.data),
            database: database::database(self, &file.database),
            node: node::node(self, file),
            kms: kms::kms(self, &file.kms),
            checkouts: file.checkouts.directory.clone(),
            public: file.public.address.0,
            origin: file.public.origin.as_ref().map(|origin| self.origin(origin)),
            trusted_proxies: settings::trusted_proxies(self, &file.public.trusted_proxies),
            admin: file.admin.address.0,
            admin_origin: file.admin.origin.as_ref().map(|origin| self.admin_origin(origin)),
            admin_trusted_proxies: settings::trusted_proxies(self, &file.admin.trusted_proxies),
            commands_over_api: file.admin.commands,
            key_prefix: file.admin.key_prefix.as_ref().map(|prefix| self.key_prefix(prefix)),
            limits: Limits {
                body_bytes: limits.body_bytes.get_ref().0,
                bodies_bytes: limits.bodies_bytes.get_ref().0,
                header_bytes: limits.header_bytes.get_ref().0,
                header_count: limits.header_count.get_ref().0,
                header_timeout: self.timeout(&limits.header_timeout, "header_timeout"),
                body_timeout: self.timeout(&limits.body_timeout, "body_timeout"),
                idle_timeout: self.timeout(&limits.idle_timeout, "idle_timeout"),
                connections: limits.connections.get_ref().0,
                drain_timeout: limits.drain_timeout.get_ref().0,
                lease_margin: deadlines::lease_margin(self, &limits.lease_margin),
            },
            egress_allow: settings::reachable(self, &file.egress.allow, file.egress.allow_everything),
            egress_allow_everything: file.egress.allow_everything,
            undeclared_types: Undeclared::Accept,
            egress_allow_own: file.egress.allow_own,
            publish_head: file.audit.publish_head.as_ref().map(|every| self.publish_head(every)),
            egress_roots: file.egress.extra_roots.clone(),
        }
    }

    fn directory_name(&mut self, path: &toml::Spanned<PathBuf>) -> PathBuf {
        if values::is_interpolated(&path.get_ref().to_string_lossy()) {
            self.problem(path, values::NOT_INTERPOLATED);
        }
        path.get_ref().clone()
    }

    /// Sessions go over it: without TLS only where nobody is between.
    fn admin_origin(&mut self, origin: &toml::Spanned<String>) -> String {
        let text = self.origin(origin);
        let host = text.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        let is_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        if text.starts_with("http://") && !is_loopback {
            self.problem(
                origin,
                "`origin` of [admin] begins with `https://`: sessions would cross the network in the open",
            );
        }
        text
    }

    fn origin(&mut self, origin: &toml::Spanned<String>) -> String {
        let text = origin.get_ref().trim_end_matches('/');
        let uri = text.parse::<http::Uri>().ok();
        let is_origin = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.path() == "/" && uri.query().is_none()
        });
        if !is_origin {
            self.problem(origin, "`origin` is like \"https://hooks.example.com\": a scheme and a host, no path");
        }
        text.to_owned()
    }

    fn key_prefix(&mut self, prefix: &toml::Spanned<String>) -> String {
        if !is_key_prefix(prefix.get_ref()) {
            self.problem(
                prefix,
                format!("`key_prefix` is 1 to {KEY_PREFIX_MAX} characters of `a-z 0-9`; a `_` follows it"),
            );
        }
        prefix.get_ref().clone()
    }

    fn publish_head(&mut self, value: &toml::Spanned<values::Lapse>) -> Duration {
        let every = value.get_ref().0;
        if !PUBLISH_HEAD.contains(&every) {
            self.problem(value, "`publish_head` is 1m to 30d; leave it out to publish none");
        }
        every
    }

    fn timeout(&mut self, value: &toml::Spanned<values::Lapse>, what: &str) -> Duration {
        let duration = value.get_ref().0;
        if duration.is_zero() {
            self.problem(value, format!("`{what}` must be longer than zero"));
        }
        duration
    }
}
