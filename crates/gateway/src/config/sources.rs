//! `[[source]]`: what it may say, and the spec it comes to.
//! What a door answers is `door`; what the engine does with a spec is the engine's.

use std::collections::HashMap;
use std::time::Duration;

use hookward::{Scheme, Secret};
use hookward_engine::model::{DedupPolicy, Proof, Rate, Retention, SourceSpec};
use hookward_engine::{OWN, PUBLISH};
use serde_json::Value;
use toml::Spanned;

use super::reference::ResolvedSecret;
use super::values::Size;
use super::{Check, Door, SourceDeclaration, door, file, parameters, settings};

/// How long dedup keys are remembered unless the source says otherwise.
const WINDOW: Duration = Duration::from_secs(30 * 86_400);

/// How long a previous secret stays valid unless the source says otherwise.
const GRACE: Duration = Duration::from_secs(86_400);

/// The most requests that a rate may speak of.
const RATE_MAX: usize = 1_000_000;

/// The most headers that may be looked at for a delivery id.
const HEADERS_MAX: usize = 16;

pub(super) fn sources(check: &mut Check<'_>, files: Vec<(file::Source, Value)>) -> Vec<SourceDeclaration> {
    let mut names = HashMap::new();
    let mut doors = check.around.sources.clone();
    let mut sources = Vec::new();
    for (mut file, declared) in files {
        settings::name(check, &file.name, "source", &mut names);
        match file.name.get_ref().as_str() {
            PUBLISH => {
                let taken = "`publish` is the name of the API's own door: call this source something else";
                check.problem(&file.name, taken);
            }
            OWN => {
                let taken =
                    "`hookward` is the name of the door of Hookward's own events: call this source something else";
                check.problem(&file.name, taken);
            }
            _ => {}
        }
        let default = || Spanned::new(file.name.span(), format!("{}/{}", check.around.prefix, file.name.get_ref()));
        let path = file.path.take().unwrap_or_else(default);
        door::path(check, &path);
        let name = file.name.get_ref().clone();
        let Some((declaration, door)) = source(check, file, declared, path.get_ref().clone()) else { continue };
        let neighbours: Vec<_> = doors.iter().filter(|(_, other)| other.path == door.path).collect();
        door::shared(check, &path, &name, &door, &neighbours);
        doors.push((name, door));
        sources.push(declaration);
    }
    sources
}

fn source(
    check: &mut Check<'_>,
    file: file::Source,
    declared: Value,
    path: String,
) -> Option<(SourceDeclaration, Door)> {
    let proof = proof(check, &file)?;
    let dedup = dedup(check, &file.name, file.dedup, &proof);
    let demanded = match &proof {
        Proof::Scheme { name, .. } => check.find(name).and_then(Scheme::event_answer).cloned(),
        _ => None,
    };
    let door = Door {
        path,
        hint: door::hint(check, file.hint),
        methods: door::methods(check, file.methods),
        allow_addresses: door::allow_addresses(check, file.allow_addresses),
        body_bytes: file.body_bytes.map(|size| door::body_bytes(check, &size)),
        answers: door::answers(check, file.answers, demanded.as_ref()),
    };
    let secret = secret(check, &file.name, &proof, file.secret.as_ref());
    let handshake_token = handshake_token(check, &file.name, &proof, file.handshake_token.as_ref());
    let filter = check.expression(file.filter);
    let spec = SourceSpec {
        proof,
        dedup,
        grace: file.grace.map_or(GRACE, |grace| grace.0),
        event_types: settings::event_types(check, file.event_types),
        filter,
        retention: file.retention.map_or(check.around.retention, |file| retention(check, &file)),
        rate: file.rate.map(|file| rate(check, &file)),
        door: serde_json::to_value(&door).expect("a door is plain data"),
    };
    Some((SourceDeclaration { name: file.name.into_inner(), spec, declared, secret, handshake_token }, door))
}

/// What is kept; each bound leaves something.
pub(super) fn retention(check: &mut Check<'_>, file: &file::Retention) -> Retention {
    if let Some(age) = file.age.as_ref().filter(|age| age.get_ref().0 < Duration::from_secs(1)) {
        check.problem(age, "`age` must be at least 1s; leave it out to keep events however old they are");
    }
    if let Some(size) = file.size.as_ref().filter(|size| size.get_ref().0 == 0) {
        check.problem(size, "`size` must be at least 1; leave it out to keep events however large they are");
    }
    let size_bytes = file.size.as_ref().map(|size| size.get_ref().0 as u64);
    Retention { age: file.age.as_ref().map(|age| age.get_ref().0), size_bytes }
}

fn proof(check: &mut Check<'_>, file: &file::Source) -> Option<Proof> {
    let unsigned = file.unsigned.as_ref().filter(|unsigned| *unsigned.get_ref());
    match (&file.scheme, unsigned) {
        (Some(scheme), None) => {
            let found = check.scheme(scheme)?.clone();
            let parameters = parameters::parameters(check, &found, scheme, file.parameters.as_ref());
            Some(Proof::Scheme { name: found.name().to_owned(), parameters })
        }
        (None, Some(_)) => {
            if let Some(secret) = &file.secret {
                check.problem(secret, "a source with `unsigned = true` has no use for a secret");
            }
            if let Some(parameters) = &file.parameters {
                check.problem(parameters, "a source with `unsigned = true` has no scheme that takes parameters");
            }
            Some(Proof::Unsigned)
        }
        (Some(scheme), Some(_)) => {
            check.problem(scheme, "a source has a `scheme` or `unsigned = true`, not both");
            None
        }
        (None, None) => {
            let name = file.name.get_ref();
            check.problem(
                &file.name,
                format!("source `{name}` has no `scheme`; for one that proves nothing write `unsigned = true`"),
            );
            None
        }
    }
}

fn dedup(check: &mut Check<'_>, name: &Spanned<String>, file: file::Dedup, proof: &Proof) -> DedupPolicy {
    let scheme = match proof {
        Proof::Scheme { name, .. } => check.find(name),
        _ => None,
    };
    let by_scheme = scheme.is_some_and(Scheme::body_is_unique);
    let tolerance = scheme.and_then(Scheme::tolerance).unwrap_or_default();
    let window = file.window.as_ref().map_or(WINDOW, |window| window.get_ref().0);
    if window < 2 * tolerance {
        let least = 2 * tolerance.as_secs();
        let message =
            format!("a window shorter than twice the scheme's tolerance ({least}s) lets an old request in again");
        match &file.window {
            Some(window) => check.problem(window, message),
            None => check.problem(name, message),
        }
    }
    if file.id_headers.len() > HEADERS_MAX {
        check.problem(&file.id_headers[HEADERS_MAX], format!("`id_headers` has at most {HEADERS_MAX}"));
    }
    for header in &file.id_headers {
        if http::HeaderName::try_from(header.get_ref().as_str()).is_err() {
            check.problem(header, format!("`{}` is not a header name", header.get_ref().escape_debug()));
        }
    }
    DedupPolicy {
        id_headers: file.id_headers.into_iter().map(|header| header.into_inner().to_ascii_lowercase()).collect(),
        body: file.body.unwrap_or(by_scheme),
        window,
    }
}

fn rate(check: &mut Check<'_>, file: &file::Rate) -> Rate {
    let requests = count(check, &file.requests, "requests");
    let burst = file.burst.as_ref().map_or(requests, |burst| count(check, burst, "burst"));
    Rate { requests, per: check.timeout(&file.per, "per"), burst }
}

/// The token that the operator told the provider. Unlike a secret it is in no keyring: the configuration always has it.
fn handshake_token(
    check: &mut Check<'_>,
    name: &Spanned<String>,
    proof: &Proof,
    token: Option<&Spanned<String>>,
) -> Option<Secret> {
    let source = name.get_ref();
    let takes_one = match proof {
        Proof::Scheme { name, .. } => check.find(name).is_some_and(Scheme::has_handshake_token),
        _ => false,
    };
    let Some(token) = token else {
        if takes_one {
            let notice = "it has no `handshake_token`, so its provider cannot make sure of it";
            check.notices.push(format!("source `{source}`: {notice}"));
        }
        return None;
    };
    if !takes_one {
        check.problem(token, format!("the scheme of source `{source}` takes no `handshake_token`"));
        return None;
    }
    if !check.references.are_here() {
        let message = "a handshake token is stored nowhere: only the file that `serve` reads can have one";
        check.problem(token, message);
        return None;
    }
    match check.references.secret(token.get_ref()) {
        Ok(ResolvedSecret::Value(value)) => Some(value),
        Ok(ResolvedSecret::Stored) => {
            check.problem(token, "a handshake token is not stored: write \"env:NAME\" or \"file:PATH\"");
            None
        }
        Ok(ResolvedSecret::Absent(variable)) => {
            check.notices.push(format!("source `{source}`: {variable} is not set, so it has no handshake token"));
            None
        }
        Err(message) => {
            check.problem(token, message);
            None
        }
    }
}

/// How many requests: enough of them that no source needs more.
fn count(check: &mut Check<'_>, number: &Spanned<Size>, what: &str) -> u32 {
    let value = number.get_ref().0;
    if !(1..=RATE_MAX).contains(&value) {
        check.problem(number, format!("`{what}` of a rate is 1 to {RATE_MAX}"));
    }
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn secret(
    check: &mut Check<'_>,
    name: &Spanned<String>,
    proof: &Proof,
    secret: Option<&Spanned<String>>,
) -> Option<Secret> {
    let secret = secret?;
    match check.references.secret(secret.get_ref()) {
        Ok(ResolvedSecret::Value(value)) => {
            if let Proof::Scheme { name, .. } = proof {
                check.key(name, secret, &value);
            }
            Some(value)
        }
        Ok(ResolvedSecret::Stored) => None,
        Ok(ResolvedSecret::Absent(variable)) => {
            let name = name.get_ref();
            check.notices.push(format!("source `{name}`: {variable} is not set, so it gives no secret"));
            None
        }
        Err(message) => {
            check.problem(secret, message);
            None
        }
    }
}
