//! A transient checkout: exactly the event's commit, in a private directory that lasts as long as the attempt.
//! Owns how git is called; the directory's end is the supervisor's, and what runs in it is the parent's.
//!
//! git is given nothing of the machine's: no configuration, no hooks, no proxy, no protocol but HTTP. It connects to the
//! addresses that the egress guard judged and to no other, and follows no redirect. A credential reaches it by its
//! environment and a helper that hands it out for the one host; it never stands on a command line.

mod place;
mod size;

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::timeout;

use super::process::Running;
use super::supervise::{Input, Reply, Run};
use super::{DEFAULT_PATH, signal_name};
use crate::destination::{InvalidDestination, Parcel};
use crate::egress::{EgressPolicy, Endpoint, Guard, Host, Resolve};
use crate::expression::{ALLOWANCE, Expression, Subject};
use crate::model::CheckoutSpec;
use place::Told;

/// How often a checkout is measured while it grows.
const MEASURE_EVERY: Duration = Duration::from_millis(200);

/// What checkouts need of the world.
#[derive(Debug, Clone)]
pub struct Checkouts {
    /// Where they are, each in a directory of its own.
    pub directory: PathBuf,
    /// Where git may connect to.
    pub egress: EgressPolicy,
    /// Resolves the names of code hosts.
    pub resolver: Arc<dyn Resolve>,
}

/// How one destination checks out.
#[derive(Debug)]
pub(super) struct Checkout {
    spec: CheckoutSpec,
    url: Option<Arc<Expression>>,
    commit: Option<Arc<Expression>>,
    guard: Guard,
    roots: Option<Vec<u8>>,
    directory: PathBuf,
    path: String,
}

/// A commit, checked out.
#[derive(Debug)]
pub(super) struct Ready {
    /// Its files.
    pub(super) source: PathBuf,
    /// For what a program keeps for a moment; goes with the checkout.
    pub(super) scratch: PathBuf,
    /// Its id.
    pub(super) commit: String,
}

/// What `git` needs for one fetch.
struct Fetch<'a> {
    endpoint: &'a Endpoint,
    addresses: &'a [IpAddr],
    credential: Option<&'a (String, String)>,
    /// The attempt's private directory.
    directory: &'a Path,
}

impl Checkout {
    pub(super) fn new(
        spec: &CheckoutSpec,
        environment: &[(String, String)],
        deadline: Duration,
        checkouts: &Checkouts,
    ) -> Result<Self, InvalidDestination> {
        if let Some(base) = &spec.base {
            Endpoint::parse(base)?;
        }
        let guard = Guard::new(&checkouts.egress, &spec.allow_addresses, deadline, Arc::clone(&checkouts.resolver));
        let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str());
        Ok(Self {
            spec: spec.clone(),
            url: compile(spec.url.as_deref(), "url")?,
            commit: compile(spec.commit.as_deref(), "commit")?,
            guard,
            roots: checkouts.egress.extra_roots_pem.clone(),
            directory: checkouts.directory.clone(),
            path: path.unwrap_or(DEFAULT_PATH).to_owned(),
        })
    }

    /// Fetches and checks out the event's commit. The error says which step failed.
    pub(super) async fn fetch(&self, running: &mut Running<'_>, parcel: &Parcel<'_>) -> Result<Ready, String> {
        let place = place::of(&parcel.json_text(), self.told(parcel).await?)?;
        let endpoint = Endpoint::parse(&place.url).map_err(|problem| format!("the repository's url: {problem}"))?;
        let addresses = self.guard.addresses(&endpoint).await.map_err(|error| error.to_string())?;
        if endpoint.uri().scheme_str() == Some("http") && !self.guard.allows_explicitly(&addresses) {
            return Err("plain http is only for hosts in an address range that is allowed explicitly".to_owned());
        }
        let credential = credential(&parcel.signature)?;
        if let Some((user, password)) = &credential {
            let pair = format!("{user}:{password}");
            running.redact(vec![STANDARD.encode(&pair).into_bytes(), pair.into_bytes(), password.clone().into_bytes()]);
        }
        let directory = self.directory.join(format!("{}-{}", parcel.delivery, parcel.number));
        running.own(&directory);
        let fetch = Fetch {
            endpoint: &endpoint,
            addresses: &addresses,
            credential: credential.as_ref(),
            directory: &directory,
        };
        let source = directory.join("source");
        let format = if place.commit.len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
        self.git(running, &fetch, &directory, &["init", "--quiet", "--template=", format, "source"]).await?;
        let arguments = ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head", "--"];
        let arguments = [&arguments[..], &[&place.url, &place.commit]].concat();
        self.git(running, &fetch, &source, &arguments).await?;
        self.git(running, &fetch, &source, &["checkout", "--quiet", "--detach", &place.commit]).await?;
        Ok(Ready { source, scratch: directory.join("tmp"), commit: place.commit })
    }

    /// What the settings say of the place, their expressions evaluated for this event.
    async fn told(&self, parcel: &Parcel<'_>) -> Result<Told, String> {
        let base = self.spec.base.clone();
        if self.url.is_none() && self.commit.is_none() {
            return Ok(Told { base, ..Told::default() });
        }
        let subject = Subject {
            event: parcel.event_type.to_owned(),
            source: parcel.source.to_owned(),
            headers: parcel.request.headers.clone(),
            body: parcel.body.clone(),
        };
        let (url, commit) = (self.url.clone(), self.commit.clone());
        let evaluating = tokio::task::spawn_blocking(move || {
            let mut view = subject.view();
            let mut text = |expression: Option<Arc<Expression>>, what: &str| {
                let Some(expression) = expression else { return Ok(None) };
                match expression.evaluate(&mut view, ALLOWANCE) {
                    Ok(serde_json::Value::String(text)) => Ok(Some(text)),
                    Ok(_) => Err(format!("the checkout's `{what}`: its value is no text")),
                    Err(failure) => Err(format!("the checkout's `{what}`: {failure}")),
                }
            };
            Ok(Told { base, url: text(url, "url")?, commit: text(commit, "commit")? })
        });
        evaluating.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// Runs one step of git, watching the size of what it makes.
    async fn git(
        &self,
        running: &mut Running<'_>,
        fetch: &Fetch<'_>,
        directory: &Path,
        arguments: &[&str],
    ) -> Result<(), String> {
        let step = arguments[0];
        let run = Run {
            argv: std::iter::once("git").chain(arguments.iter().copied()).map(str::to_owned).collect(),
            directory: directory.to_owned(),
            environment: self.environment(fetch),
            input: Input::None,
            file_max: Some(self.spec.max_bytes),
        };
        let mut reply = pin!(running.run(&run));
        let reply = loop {
            let reply = timeout(MEASURE_EVERY, &mut reply).await;
            if size::of(fetch.directory).await > self.spec.max_bytes {
                return Err(format!("`git {step}`: the checkout is larger than {} bytes", self.spec.max_bytes));
            }
            if let Ok(reply) = reply {
                break reply;
            }
        };
        self.judge(step, reply)
    }

    fn judge(&self, step: &str, reply: io::Result<Reply>) -> Result<(), String> {
        match reply {
            Ok(Reply::Exited(0)) => Ok(()),
            Ok(Reply::Exited(code)) => Err(format!("`git {step}` exited with status {code}")),
            Ok(Reply::Signalled(number)) => Err(format!("`git {step}` was ended by {}", signal_name(number))),
            Ok(Reply::NotStarted(problem)) => Err(format!("`git {step}` cannot be started: {problem}")),
            Err(error) => Err(format!("the end of `git {step}` is unknown: {error}")),
        }
    }

    /// The whole environment of git, its configuration among it.
    fn environment(&self, fetch: &Fetch<'_>) -> Vec<(String, String)> {
        let mut environment: Vec<(String, String)> = [
            ("PATH", self.path.as_str()),
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        // Where curl would look for passwords of its own.
        environment.push(("HOME".to_owned(), fetch.directory.join("tmp").to_string_lossy().into_owned()));
        if let Some((user, password)) = fetch.credential {
            environment.push((USER.to_owned(), user.clone()));
            environment.push((PASSWORD.to_owned(), password.clone()));
        }
        let settings = self.settings(fetch);
        environment.push(("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string()));
        for (number, (key, value)) in settings.into_iter().enumerate() {
            environment.push((format!("GIT_CONFIG_KEY_{number}"), key));
            environment.push((format!("GIT_CONFIG_VALUE_{number}"), value));
        }
        environment
    }

    fn settings(&self, fetch: &Fetch<'_>) -> Vec<(String, String)> {
        let endpoint = fetch.endpoint;
        let scheme = endpoint.uri().scheme_str().unwrap_or_default();
        let mut settings: Vec<(String, String)> = [
            ("core.hooksPath", "/dev/null"),
            ("core.attributesFile", "/dev/null"),
            ("core.symlinks", "false"),
            ("core.fsmonitor", "false"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("submodule.recurse", "false"),
            ("fetch.recurseSubmodules", "false"),
            // A pack is one file, which a limit bounds; loose objects would be many.
            ("fetch.unpackLimit", "1"),
            ("transfer.bundleURI", "false"),
            ("protocol.version", "2"),
            ("protocol.allow", "never"),
            ("http.followRedirects", "false"),
            ("http.proxy", ""),
            ("credential.helper", ""),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        settings.push((format!("protocol.{scheme}.allow"), "always".to_owned()));
        if let Host::Name(name) = endpoint.host() {
            let addresses: Vec<_> = fetch.addresses.iter().map(curl_address).collect();
            let pinned = format!("{name}:{}:{}", endpoint.port(), addresses.join(","));
            settings.push(("http.curloptResolve".to_owned(), pinned));
        }
        if fetch.credential.is_some() {
            let authority = endpoint.uri().authority().map(ToString::to_string).unwrap_or_default();
            settings.push((format!("credential.{scheme}://{authority}.helper"), HELPER.to_owned()));
        }
        if self.roots.is_some() {
            let roots = roots_file(&self.directory).to_string_lossy().into_owned();
            settings.push(("http.sslCAInfo".to_owned(), roots));
            // The file would else stand in the place of the public authorities, not beside them.
            settings.push(("http.sslCAPath".to_owned(), PUBLIC_ROOTS.to_owned()));
        }
        settings
    }
}

fn compile(text: Option<&str>, what: &str) -> Result<Option<Arc<Expression>>, InvalidDestination> {
    let compiled = text.map(Expression::compile).transpose();
    let compiled =
        compiled.map_err(|error| InvalidDestination::Command(format!("the checkout's `{what}`: {error}")))?;
    Ok(compiled.map(Arc::new))
}

/// Variables by which the helper is handed the credential.
const USER: &str = "HOOKWARD_GIT_USER";
const PASSWORD: &str = "HOOKWARD_GIT_PASSWORD";

/// Says the credential when git asks for one. git runs it with a shell; nothing of it comes from outside.
const HELPER: &str = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$HOOKWARD_GIT_USER" "$HOOKWARD_GIT_PASSWORD"; }; f"#;

/// Where systems keep the certificates of public authorities.
const PUBLIC_ROOTS: &str = "/etc/ssl/certs";

/// The file with extra certificates, beside the checkouts.
fn roots_file(directory: &Path) -> PathBuf {
    directory.join("roots.pem")
}

/// Makes the directory of checkouts, empty of what an earlier process left, and writes what they share.
///
/// What cannot be removed is logged.
///
/// # Errors
///
/// When the directory cannot be made, read or written.
pub fn prepare(checkouts: &Checkouts) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&checkouts.directory)?;
    for entry in std::fs::read_dir(&checkouts.directory)? {
        let entry = entry?;
        let is_checkout = entry.file_name().to_string_lossy().starts_with("dlv_");
        if is_checkout && let Err(error) = super::supervise::remove(&entry.path()) {
            tracing::error!(path = %entry.path().display(), %error, "an old checkout cannot be removed");
        }
    }
    match &checkouts.egress.extra_roots_pem {
        Some(pem) => std::fs::write(roots_file(&checkouts.directory), pem),
        None => Ok(()),
    }
}

/// User and password of the `basic` signature that this attempt was made with.
fn credential(signature: &[(String, String)]) -> Result<Option<(String, String)>, String> {
    let header = signature.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let Some((_, value)) = header else { return Ok(None) };
    let pair = value.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case("basic ")).and(value.get(6..));
    let pair = pair.and_then(|pair| STANDARD.decode(pair).ok()).and_then(|pair| String::from_utf8(pair).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    match pair {
        Some((user, password)) if !pair_has(user, password, ['\n', '\0', '\r']) => {
            Ok(Some((user.to_owned(), password.to_owned())))
        }
        _ => Err("the credential is not user:password without line breaks".to_owned()),
    }
}

fn pair_has(user: &str, password: &str, characters: [char; 3]) -> bool {
    user.contains(characters) || password.contains(characters)
}

fn curl_address(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
