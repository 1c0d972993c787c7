//! `[[destination]]`: what it may say, and the spec it comes to.
//! How a destination is reached is the engine's; a variable that is not set leaves the destination out.

use std::collections::HashMap;
use std::time::Duration;

use hookward::Secret;
use hookward_engine::model::{DestinationKind, DestinationSpec, HttpSpec, PullSpec, RetrySchedule, Rules, Signing};
use hookward_engine::{OWN, PUBLISH};
use toml::Spanned;

use super::reference::{self, Resolved};
use super::sources::name;
use super::{Check, DestinationDeclaration, command, file, problems, report};

const GRACE: Duration = Duration::from_secs(86_400);
const TIMEOUT: Duration = Duration::from_secs(15);
const CONCURRENCY: usize = 8;

/// Header names that an attempt sets itself.
const OWN_HEADERS: [&str; 8] =
    ["connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"];

/// A variable that is not set: the destination is left out.
pub(super) struct Absent(pub(super) String);

pub(super) fn destinations(
    check: &mut Check<'_>,
    files: Vec<file::Destination>,
    sources: &[String],
) -> Vec<DestinationDeclaration> {
    report::subjects(check, &files);
    let mut names = HashMap::new();
    let mut destinations = Vec::new();
    for file in files {
        name(check, &file.name, "destination", &mut names);
        let label = file.name.get_ref().clone();
        match destination(check, file, sources) {
            Ok(destination) => destinations.extend(destination),
            Err(Absent(variable)) => {
                check.notices.push(format!("destination `{label}` is left out: {variable} is not set"));
            }
        }
    }
    destinations
}

fn destination(
    check: &mut Check<'_>,
    mut file: file::Destination,
    sources: &[String],
) -> Result<Option<DestinationDeclaration>, Absent> {
    let mut retry = retry(check, std::mem::take(&mut file.retry));
    retry.exit_codes = command::retry_exit_codes(check, file.retry_exit_codes.as_ref());
    let heard = heard(check, &file.sources, sources);
    let event_types = event_types(check, std::mem::take(&mut file.event_types));
    let rules = Rules {
        filter: check.expression(file.filter.take()),
        once_per: check.expression(file.once_per.take()),
        latest_wins: check.expression(file.latest_wins.take()),
    };
    let timeout = file.timeout.as_ref().map_or(TIMEOUT, |timeout| check.timeout(timeout, "timeout"));
    let concurrency = bounded(check, file.concurrency.as_ref(), CONCURRENCY, 1..=1024, "concurrency");
    report::token_as_signature(check, &mut file);
    let signing = file.sign.take();
    pull_settings(check, &file, signing.as_ref());
    let grace = file.grace.map_or(GRACE, |grace| grace.0);
    let name = file.name.get_ref().clone();
    let credential = command::credential(check, file.checkout.as_ref())?;
    let kind = kind(check, file)?;
    let (signing, secret) = match (signing, credential) {
        (Some(sign), _) => sign_with(check, sign)?,
        (None, Some(credential)) => credential,
        (None, None) => (None, None),
    };
    let Some(kind) = kind else { return Ok(None) };
    let concurrency = u32::try_from(concurrency).unwrap_or(1);
    let spec =
        DestinationSpec { kind, sources: heard, event_types, rules, retry, concurrency, timeout, signing, grace };
    Ok(Some(DestinationDeclaration { name, spec, secret }))
}

fn kind(check: &mut Check<'_>, file: file::Destination) -> Result<Option<DestinationKind>, Absent> {
    match file.kind.get_ref().as_str() {
        "http" => {
            command::refuse_elsewhere(check, &file, "http");
            report::refuse_elsewhere(check, &file, "http");
            Ok(http(check, file)?.map(DestinationKind::Http))
        }
        "command" => {
            refuse(check, file.url.as_ref(), "url", "command");
            refuse(check, file.forward_headers.as_ref(), "forward_headers", "command");
            refuse(check, file.set_headers.as_ref(), "set_headers", "command");
            refuse(check, file.allow_addresses.as_ref(), "allow_addresses", "command");
            report::refuse_elsewhere(check, &file, "command");
            Ok(command::command(check, file)?.map(DestinationKind::Command))
        }
        "report" => {
            refuse(check, file.url.as_ref(), "url", "report");
            refuse(check, file.forward_headers.as_ref(), "forward_headers", "report");
            refuse(check, file.set_headers.as_ref(), "set_headers", "report");
            command::refuse_elsewhere(check, &file, "report");
            Ok(report::report(check, file)?.map(DestinationKind::Report))
        }
        "pull" => {
            refuse(check, file.url.as_ref(), "url", "pull");
            refuse(check, file.forward_headers.as_ref(), "forward_headers", "pull");
            refuse(check, file.set_headers.as_ref(), "set_headers", "pull");
            refuse(check, file.allow_addresses.as_ref(), "allow_addresses", "pull");
            command::refuse_elsewhere(check, &file, "pull");
            report::refuse_elsewhere(check, &file, "pull");
            let ordered = file.ordered.is_none_or(Spanned::into_inner);
            Ok(Some(DestinationKind::Pull(PullSpec { ordered })))
        }
        other => {
            let near = problems::nearest(other, ["http", "command", "report", "pull"].into_iter());
            check.problem(&file.kind, format!("there is no type of destination `{}`{near}", other.escape_debug()));
            Ok(None)
        }
    }
}

/// What only a `pull` destination has, and what it has no use for.
fn pull_settings(check: &mut Check<'_>, file: &file::Destination, sign: Option<&file::Sign>) {
    let kind = file.kind.get_ref().as_str();
    if kind != "pull" {
        return refuse(check, file.ordered.as_ref(), "ordered", kind);
    }
    refuse(check, file.timeout.as_ref(), "timeout", kind);
    refuse(check, file.concurrency.as_ref(), "concurrency", kind);
    refuse(check, sign.map(|sign| &sign.scheme), "sign", kind);
}

/// A setting of the other type of destination.
pub(super) fn refuse<T>(check: &mut Check<'_>, value: Option<&Spanned<T>>, key: &str, kind: &str) {
    if let Some(value) = value {
        check.problem(value, format!("a destination of type `{kind}` has no `{key}`"));
    }
}

fn http(check: &mut Check<'_>, file: file::Destination) -> Result<Option<HttpSpec>, Absent> {
    let Some(url) = file.url else {
        check.problem(&file.kind, "a destination of type `http` needs a `url`");
        return Ok(None);
    };
    let value = resolve(check, &url)?;
    if let Some(problem) = value.as_deref().and_then(url_problem) {
        check.problem(&url, format!("this url cannot be used: {problem}"));
    }
    let forward_headers = file.forward_headers.map(Spanned::into_inner).unwrap_or_default();
    for header in &forward_headers {
        let text = header.get_ref();
        let stem = text.strip_suffix('*').unwrap_or(text);
        if !stem.is_empty() && http::HeaderName::try_from(stem).is_err() {
            check.problem(header, format!("`{}` is not a header name", text.escape_debug()));
        }
    }
    let set_headers = pairs(check, file.set_headers, header_problem)?;
    let allow_addresses = file.allow_addresses.map(Spanned::into_inner).unwrap_or_default();
    Ok(value.map(|url| HttpSpec {
        url,
        forward_headers: forward_headers.into_iter().map(Spanned::into_inner).collect(),
        set_headers,
        allow_addresses: allow_addresses.into_iter().map(|range| range.0).collect(),
    }))
}

/// Resolves the values of a table and checks each pair.
pub(super) fn pairs(
    check: &mut Check<'_>,
    table: Option<Spanned<std::collections::BTreeMap<String, Spanned<String>>>>,
    problem: impl Fn(&str, &str) -> Option<String>,
) -> Result<Vec<(String, String)>, Absent> {
    let mut pairs = Vec::new();
    for (name, value) in table.map(Spanned::into_inner).unwrap_or_default() {
        let Some(text) = resolve(check, &value)? else { continue };
        match problem(&name, &text) {
            Some(problem) => check.problem(&value, problem),
            None => pairs.push((name, text)),
        }
    }
    Ok(pairs)
}

pub(super) fn resolve(check: &mut Check<'_>, value: &Spanned<String>) -> Result<Option<String>, Absent> {
    match reference::resolve(value.get_ref(), check.environment) {
        Ok(Resolved::Value(text)) => Ok(Some(text.to_string())),
        Ok(Resolved::Absent(variable)) => Err(Absent(variable)),
        Err(message) => {
            check.problem(value, message);
            Ok(None)
        }
    }
}

fn header_problem(name: &str, value: &str) -> Option<String> {
    if http::HeaderName::try_from(name).is_err() {
        return Some(format!("`{}` is not a header name", name.escape_debug()));
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Some(format!("header `{name}` belongs to the connection and cannot be set"));
    }
    http::HeaderValue::from_str(value)
        .is_err()
        .then(|| format!("the value of header `{name}` has characters a header cannot"))
}

/// Why `url` is not one that can be called. The url itself is not repeated: it may hold a credential.
pub(super) fn url_problem(url: &str) -> Option<&'static str> {
    let Ok(uri) = url.parse::<http::Uri>() else { return Some("it is not a URL") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Some("it does not begin with `http://` or `https://`");
    }
    let Some(authority) = uri.authority() else { return Some("it names no host") };
    if authority.as_str().contains('@') {
        return Some("it holds user info; set an `Authorization` header in `set_headers`");
    }
    if authority.host().is_empty() || authority.as_str().ends_with(':') || authority.port_u16() == Some(0) {
        return Some("its host or port is missing");
    }
    url.contains('#').then_some("it has a fragment, which is never sent")
}

/// How a destination signs, and with which first secret.
pub(super) type Signs = (Option<Signing>, Option<Secret>);

fn sign_with(check: &mut Check<'_>, sign: file::Sign) -> Result<Signs, Absent> {
    let scheme = check.scheme(&sign.scheme).map(|scheme| scheme.name().to_owned());
    let secret = match sign.secret {
        None => None,
        Some(secret) => match reference::secret(secret.get_ref(), check.environment) {
            Ok(Ok(value)) => {
                scheme.iter().for_each(|scheme| check.key(scheme, &secret, &value));
                Some(value)
            }
            Ok(Err(variable)) => return Err(Absent(variable)),
            Err(message) => {
                check.problem(&secret, message);
                None
            }
        },
    };
    Ok((scheme.map(|scheme| Signing { scheme }), secret))
}

fn heard(check: &mut Check<'_>, names: &[Spanned<String>], sources: &[String]) -> Vec<String> {
    for name in names {
        let text = name.get_ref().as_str();
        let mut known = sources.iter().map(String::as_str).chain([PUBLISH, OWN]);
        if !known.clone().any(|known| known == text) {
            let near = problems::nearest(text, &mut known);
            check.problem(name, format!("there is no source `{}`{near}", text.escape_debug()));
        }
    }
    names.iter().map(|name| name.get_ref().clone()).collect()
}

/// `["*"]` is every type, kept as an empty list.
/// Checks patterns of event types. One that matches all is kept as an empty list.
pub(super) fn event_types(check: &mut Check<'_>, types: Vec<Spanned<String>>) -> Vec<String> {
    if types.iter().any(|event_type| event_type.get_ref() == "*") {
        return Vec::new();
    }
    for event_type in &types {
        let text = event_type.get_ref();
        let stem = text.strip_suffix(".*").unwrap_or(text);
        if stem.is_empty() || stem.contains('*') {
            check.problem(
                event_type,
                format!("`{}` is not an event type: a `*` stands only at the end, after a dot", text.escape_debug()),
            );
        }
    }
    types.into_iter().map(Spanned::into_inner).collect()
}

fn retry(check: &mut Check<'_>, file: file::Retry) -> RetrySchedule {
    let built_in = RetrySchedule::default();
    let jitter =
        bounded(check, file.jitter_percent.as_ref(), built_in.jitter_percent.into(), 0..=100, "jitter_percent");
    let waits_s = match file.waits {
        None => built_in.waits_s,
        Some(waits) => {
            if waits.get_ref().len() > 100 {
                check.problem(&waits, "a schedule has at most 100 waits");
            }
            for wait in waits.get_ref().iter().filter(|wait| wait.get_ref().0.subsec_millis() != 0) {
                check.problem(wait, "a wait is in whole seconds");
            }
            waits.get_ref().iter().map(|wait| wait.get_ref().0.as_secs()).collect()
        }
    };
    RetrySchedule { waits_s, jitter_percent: u8::try_from(jitter).unwrap_or(100), exit_codes: None }
}

pub(super) fn bounded(
    check: &mut Check<'_>,
    value: Option<&Spanned<super::values::Size>>,
    default: usize,
    range: std::ops::RangeInclusive<usize>,
    what: &str,
) -> usize {
    let Some(value) = value else { return default };
    let number = value.get_ref().0;
    if !range.contains(&number) {
        check.problem(value, format!("`{what}` is {} to {}", range.start(), range.end()));
    }
    number
}
