//! `hookward secret`. Values come by standard input, a file, or are made by the gateway; never in the arguments, which
//! every process on the machine can read.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;

use base64::Engine as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::{self, Gateway, segment};
use crate::config;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward secret set github --generate && hookward secret reveal github")]
pub(super) enum What {
    /// Every version, without values
    List {
        #[command(flatten)]
        owner: Owner,
    },
    /// Give it a secret: from standard input, a file, or a new one
    Set {
        #[command(flatten)]
        owner: Owner,
        #[command(flatten)]
        scheme: Scheme,
        #[command(flatten)]
        value: Value_,
        #[command(flatten)]
        terms: Terms,
    },
    /// Show a value; the audit log will say so
    Reveal {
        #[command(flatten)]
        owner: Owner,
        #[command(flatten)]
        scheme: Scheme,
        /// Which version; the newest live one when not given
        #[arg(long)]
        version: Option<u32>,
        /// Why, for the audit log
        #[arg(long)]
        reason: Option<String>,
    },
    /// Replace the secret with a new one
    Rotate {
        #[command(flatten)]
        owner: Owner,
        #[command(flatten)]
        scheme: Scheme,
        #[command(flatten)]
        value: Value_,
        #[command(flatten)]
        terms: Terms,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Move the end of a version: later, while somebody still has to switch, or earlier
    End {
        #[command(flatten)]
        owner: Owner,
        /// Which version
        #[arg(long)]
        version: u32,
        /// When it ends, like 2026-12-31T00:00:00Z, or `never`
        #[arg(long, value_name = "TIME")]
        at: String,
        /// Also when it is in use and has ended by then
        #[arg(long)]
        force: bool,
    },
    /// End a version at once, for good
    Revoke {
        #[command(flatten)]
        owner: Owner,
        /// Which version
        #[arg(long)]
        version: u32,
        /// Also when it was used lately
        #[arg(long)]
        force: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Whose secret.
#[derive(Debug, Args)]
pub(super) struct Owner {
    /// A source or a destination
    #[arg(value_name = "SOURCE-OR-DESTINATION")]
    name: String,
    /// It is a source
    #[arg(long, conflicts_with = "destination")]
    source: bool,
    /// It is a destination
    #[arg(long)]
    destination: bool,
}

/// What a secret is for.
#[derive(Debug, Args)]
pub(super) struct Scheme {
    /// Which of a destination's schemes, or which setting, like oauth2; its first scheme when not given
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Args)]
pub(super) struct Value_ {
    /// Let the gateway make one in the scheme's own form
    #[arg(long, conflicts_with = "file")]
    generate: bool,
    /// Read it from a file, without its one trailing newline; `-` is standard input
    #[arg(long)]
    file: Option<PathBuf>,
}

/// How long the previous secret stays valid, and from when until when the new one is.
#[derive(Debug, Args)]
pub(super) struct Terms {
    /// How long the previous secret stays valid, like 24h or 0s; the owner's own grace when not given
    #[arg(long, value_parser = grace)]
    grace: Option<u64>,
    /// When the new one begins, like 2026-12-31T00:00:00Z; now when not given
    #[arg(long, value_name = "TIME")]
    not_before: Option<String>,
    /// When the new one ends; never when not given
    #[arg(long, value_name = "TIME")]
    not_after: Option<String>,
}

impl Terms {
    fn add_to(self, body: &mut Value) {
        body["grace_s"] = json!(self.grace);
        body["not_before"] = json!(self.not_before);
        body["not_after"] = json!(self.not_after);
    }
}

fn grace(text: &str) -> Result<u64, String> {
    let lapse = config::parse_lapse(text).filter(|lapse| lapse.subsec_millis() == 0);
    lapse.map(|lapse| lapse.as_secs()).ok_or_else(|| "write whole seconds, minutes, hours or days, like 24h".to_owned())
}

const COLUMNS: [Column; 8] = [
    ("VERSION", "version"),
    ("SCHEME", "scheme"),
    ("STATE", "state"),
    ("ORIGIN", "origin"),
    ("CREATED", "created_at"),
    ("VALID UNTIL", "not_after"),
    ("USES", "uses"),
    ("LAST USED", "last_used_at"),
];

/// A source or destination that exists.
struct Found {
    kind: &'static str,
    name: String,
    grace_s: u64,
    /// Of a destination that signs: the scheme that its secrets are for unless they say.
    main_scheme: Option<String>,
}

impl Found {
    fn at(&self, rest: &str) -> String {
        format!("/{}s/{}/secrets{rest}", self.kind, segment(&self.name))
    }
}

/// Runs `hookward secret …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    match what {
        What::List { owner } => {
            let owner = find(owner, gateway).await?;
            gateway.list(&gateway.get(&owner.at("")).await?, &COLUMNS)
        }
        What::Set { owner, scheme, value, terms } => set(owner, scheme, value, terms, gateway).await,
        What::Reveal { owner, scheme, version, reason } => reveal(owner, scheme, version, reason, gateway).await,
        What::Rotate { owner, scheme, value, terms, yes } => rotate(owner, scheme, (value, terms), yes, gateway).await,
        What::End { owner, version, at, force } => {
            let owner = find(owner, gateway).await?;
            let not_after = Some(&at).filter(|at| *at != "never");
            let body = json!({ "not_after": not_after, "force": force });
            let done = gateway.patch(&owner.at(&format!("/{version}")), &body).await?;
            gateway.done(&done, &format!("version {version} of {} `{}` ends: {at}", owner.kind, owner.name))
        }
        What::Revoke { owner, version, force, yes } => {
            let owner = find(owner, gateway).await?;
            let (kind, name) = (owner.kind, &owner.name);
            confirm(&format!("version {version} of {kind} `{name}`'s secret ends at once: {}", breaks(kind)), yes)?;
            let done = gateway.post(&owner.at(&format!("/{version}/revoke")), &json!({ "force": force })).await?;
            gateway.done(&done, &format!("version {version} is revoked"))
        }
    }
}

async fn find(owner: Owner, gateway: &Gateway) -> Result<Found, Exit> {
    let Owner { name, source, destination } = owner;
    let mut found = Vec::new();
    for (kind, wanted) in [("source", !destination), ("destination", !source)] {
        if !wanted {
            continue;
        }
        if let Some(shown) = gateway.get_if_any(&format!("/{kind}s/{}", segment(&name))).await? {
            found.push(Found {
                kind,
                name: name.clone(),
                grace_s: shown["grace_s"].as_u64().unwrap_or(0),
                main_scheme: shown["signing"][0]["scheme"].as_str().map(str::to_owned),
            });
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(_), false) => Err(Exit::usage(format!(
            "`{name}` is a source and a destination: say which with --source or --destination"
        ))),
        (None, _) => Err(Exit::not_found(format!("there is no source or destination `{name}`"))),
    }
}

async fn set(owner: Owner, scheme: Scheme, value: Value_, terms: Terms, gateway: &Gateway) -> Result<(), Exit> {
    let owner = find(owner, gateway).await?;
    let (rest, mut body) = match read(&value)? {
        Some(secret) => ("", given(&secret)),
        None if value.generate => ("/rotate", json!({})),
        None => ("", given(&standard_input()?)),
    };
    terms.add_to(&mut body);
    body["scheme"] = json!(scheme.scheme);
    let done = gateway.post(&owner.at(rest), &body).await?;
    let Found { kind, name, .. } = &owner;
    let version = &done["version"];
    let reveal = reveal_command(name, &scheme);
    gateway.done(&done, &format!("{kind} `{name}` has version {version}; `{reveal}` shows it"))
}

/// How the newest value is shown.
fn reveal_command(name: &str, scheme: &Scheme) -> String {
    let scheme = scheme.scheme.as_ref().map_or_else(String::new, |scheme| format!(" --scheme {scheme}"));
    format!("hookward secret reveal {name}{scheme}")
}

async fn rotate(
    owner: Owner,
    scheme: Scheme,
    (value, mut terms): (Value_, Terms),
    yes: bool,
    gateway: &Gateway,
) -> Result<(), Exit> {
    let owner = find(owner, gateway).await?;
    let (kind, name) = (owner.kind, owner.name.as_str());
    let seconds = *terms.grace.get_or_insert(owner.grace_s);
    let end = if seconds == 0 { "ends at once".to_owned() } else { format!("ends {}", after(seconds)) };
    let what = scheme.scheme.as_ref().map_or_else(String::new, |scheme| format!(" for `{scheme}`"));
    confirm(&format!("{kind} `{name}` gets a new secret{what}, and the one it has {end}: {}", breaks(kind)), yes)?;
    let mut body = read(&value)?.map_or_else(|| json!({}), |secret| given(&secret));
    terms.add_to(&mut body);
    body["scheme"] = json!(scheme.scheme);
    let done = gateway.post(&owner.at("/rotate"), &body).await?;
    let version = &done["version"];
    let reveal = reveal_command(name, &scheme);
    gateway
        .done(&done, &format!("{kind} `{name}` has version {version}, and the one before {end}; `{reveal}` shows it"))
}

async fn reveal(
    owner: Owner,
    scheme: Scheme,
    version: Option<u32>,
    reason: Option<String>,
    gateway: &Gateway,
) -> Result<(), Exit> {
    let owner = find(owner, gateway).await?;
    let version = match version {
        Some(version) => version,
        None => {
            let list = gateway.get(&owner.at("")).await?;
            let scheme = scheme.scheme.as_ref().or(owner.main_scheme.as_ref());
            let live = |item: &&Value| {
                item["state"] == "live" && scheme.is_none_or(|scheme| item["scheme"] == scheme.as_str())
            };
            let newest = list["items"].as_array().and_then(|items| items.iter().find(live));
            let version =
                newest.and_then(|item| item["version"].as_u64()).and_then(|version| u32::try_from(version).ok());
            version.ok_or_else(|| Exit::not_found(format!("{} `{}` has no live secret", owner.kind, owner.name)))?
        }
    };
    let reason = match reason {
        Some(reason) => reason,
        None => ask("Why (for the audit log)? ")?,
    };
    let shown = gateway.post(&owner.at(&format!("/{version}/reveal")), &json!({ "reason": reason })).await?;
    if !gateway.is_for_people() {
        return print::json(&shown);
    }
    let mut value = remote::revealed(&shown).ok_or_else(|| Exit::failure("the gateway's answer has no secret"))?;
    value.push(b'\n');
    print::out(&value)
}

/// What stops working when a secret ends.
fn breaks(kind: &str) -> &'static str {
    match kind {
        "source" => "whoever still signs with it is refused from then on",
        _ => "a receiver that still checks with it refuses deliveries from then on",
    }
}

pub(super) fn confirm(what: &str, yes: bool) -> Result<(), Exit> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Exit::usage(format!("{what}. Say --yes to do it")));
    }
    match ask(&format!("{what}.\nGo on? [y/N] "))?.as_str() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Exit::refused("nothing was changed")),
    }
}

/// What somebody at a terminal answers; nothing where there is none.
fn ask(question: &str) -> Result<String, Exit> {
    let mut answer = String::new();
    if std::io::stdin().is_terminal() {
        let mut stderr = std::io::stderr();
        write!(stderr, "{question}").and_then(|()| stderr.flush()).map_err(Exit::failure)?;
        std::io::stdin().lock().read_line(&mut answer).map_err(Exit::failure)?;
    }
    Ok(answer.trim().to_owned())
}

/// A value for the API: as text, or in base64 where it is none.
fn given(secret: &[u8]) -> Value {
    match std::str::from_utf8(secret) {
        Ok(text) => json!({ "secret": text }),
        Err(_) => {
            json!({ "secret": base64::engine::general_purpose::STANDARD.encode(secret), "encoding": "base64" })
        }
    }
}

/// The value in the file that was named, if one was.
fn read(value: &Value_) -> Result<Option<Zeroizing<Vec<u8>>>, Exit> {
    let Some(file) = &value.file else { return Ok(None) };
    if file.as_os_str() == "-" {
        return standard_input().map(Some);
    }
    not_empty(config::from_file(&file.display().to_string()).map_err(Exit::failure)?).map(Some)
}

fn standard_input() -> Result<Zeroizing<Vec<u8>>, Exit> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Exit::usage("a value typed here would show: pipe it in, or use --file or --generate"));
    }
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).map_err(|error| Exit::failure(format!("standard input cannot be read: {error}")))?;
    not_empty(config::without_newline(bytes))
}

fn not_empty(bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Exit> {
    if bytes.is_empty() { Err(Exit::usage("the secret is empty")) } else { Ok(bytes) }
}

fn after(seconds: u64) -> String {
    match seconds {
        s if s % 86_400 == 0 => format!("in {} d", s / 86_400),
        s if s % 3600 == 0 => format!("in {} h", s / 3600),
        s if s % 60 == 0 => format!("in {} min", s / 60),
        s => format!("in {s} s"),
    }
}
