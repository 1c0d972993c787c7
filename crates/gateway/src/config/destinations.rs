//! `[[destination]]`: what it may say, and the spec it comes to.
//! How a destination is reached is the engine's; a variable that is not set leaves the destination out.

use std::collections::HashMap;
use std::time::Duration;

use hookward_engine::model::{DestinationKind, DestinationSpec, HttpSpec, Limits, PullSpec, RetrySchedule, Rules};
use hookward_engine::{OWN, PUBLISH};
use serde_json::Value;
use toml::Spanned;

use super::auth::{self, Credentials};
use super::settings::{Absent, allow_addresses, bounded, event_types, name, pairs, refuse, resolve, unreachable};
use super::{
    Check, DestinationDeclaration, command, deadlines, file, health, order, problems, report, sign, slack, values,
};

const GRACE: Duration = Duration::from_secs(86_400);
const TIMEOUT: Duration = Duration::from_secs(15);
const CONCURRENCY: usize = 8;

/// The longest that an attempt may take, and that a program may run.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
const PROGRAM_TIMEOUT_MAX: Duration = Duration::from_secs(12 * 3600);

/// The most headers in a list of them.
const HEADERS_MAX: usize = 64;

/// Header names that an attempt sets itself.
pub(super) const OWN_HEADERS: [&str; 8] =
    ["connection", "content-length", "expect", "host", "te", "trailer", "transfer-encoding", "upgrade"];

pub(super) fn destinations(
    check: &mut Check<'_>,
    files: Vec<(file::Destination, Value)>,
    sources: &[String],
) -> Vec<DestinationDeclaration> {
    report::subjects(check, files.iter().map(|(file, _)| file));
    let mut names = HashMap::new();
    let mut destinations = Vec::new();
    for (file, declared) in files {
        name(check, &file.name, "destination", &mut names);
        let label = file.name.clone();
        match destination(check, file, declared, sources) {
            Ok(destination) => destinations.extend(destination),
            // Nothing goes because a variable is not set on some other machine.
            Err(Absent(variable)) if check.references.are_sent() => {
                let message = format!("`{variable}` is not set; for what the gateway has write \"stored\"");
                check.problem(&label, message);
            }
            Err(Absent(variable)) => {
                let label = label.get_ref();
                check.notices.push(format!("destination `{label}` is left out: {variable} is not set"));
            }
        }
    }
    destinations
}

fn destination(
    check: &mut Check<'_>,
    mut file: file::Destination,
    declared: Value,
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
    let order = order::order(check, file.order.take(), file.kind.get_ref(), &retry);
    let timeout = timeout(check, &file);
    let rate = health::rate(check, &file);
    let limits = Limits { rate, ..deadlines::limits(check, &file, timeout) };
    let concurrency = bounded(check, file.concurrency.as_ref(), CONCURRENCY, 1..=1024, "concurrency");
    let health = health::health(check, &file);
    report::token_as_signature(check, &mut file);
    let signing = file.sign.take();
    pull_settings(check, &file, signing.as_ref());
    if file.kind.get_ref() == "slack" {
        refuse(check, signing.as_ref().and_then(|sign| sign.0.first()).map(|sign| &sign.scheme), "sign", "slack");
    }
    let grace = file.grace.map_or(GRACE, |grace| grace.0);
    let name = file.name.get_ref().clone();
    let credential = command::credential(check, file.checkout.as_ref())?;
    let mut credentials = auth::credentials(check, &mut file)?;
    let webhook = slack::webhook(check, &mut file)?;
    let kind = kind(check, file, &mut credentials)?;
    let (mut signing, mut secrets) = match (signing, credential) {
        (Some(sign), _) => sign::signs(check, sign)?,
        (None, Some(credential)) => credential,
        (None, None) => (vec![], vec![]),
    };
    auth::add(check, credentials, &mut signing, &mut secrets);
    secrets.extend(webhook);
    let Some(kind) = kind else { return Ok(None) };
    let concurrency = u32::try_from(concurrency).unwrap_or(1);
    let spec = DestinationSpec {
        kind,
        sources: heard,
        event_types,
        rules,
        retry,
        concurrency,
        timeout,
        limits,
        health,
        order,
        signing,
        grace,
    };
    Ok(Some(DestinationDeclaration { name, spec, declared, secrets }))
}

/// The deadline of one attempt: time for something, and less than anybody would wait for.
fn timeout(check: &mut Check<'_>, file: &file::Destination) -> Duration {
    let Some(timeout) = &file.timeout else { return TIMEOUT };
    let (most, words) = match file.kind.get_ref().as_str() {
        "command" => (PROGRAM_TIMEOUT_MAX, "12h"),
        _ => (TIMEOUT_MAX, "10m"),
    };
    if timeout.get_ref().0 > most {
        check.problem(timeout, format!("`timeout` of a destination of this type is at most {words}"));
    }
    check.timeout(timeout, "timeout")
}

fn kind(
    check: &mut Check<'_>,
    file: file::Destination,
    credentials: &mut Credentials,
) -> Result<Option<DestinationKind>, Absent> {
    let kind = file.kind.get_ref().clone();
    if kind != "http" {
        auth::refuse_elsewhere(check, &file, &kind);
    }
    if kind != "slack" {
        slack::refuse_elsewhere(check, &file, &kind);
    }
    match kind.as_str() {
        "http" => {
            command::refuse_elsewhere(check, &file, "http");
            report::refuse_elsewhere(check, &file, "http");
            let (oauth2, mtls) = (credentials.oauth2.take(), credentials.mtls.take());
            Ok(http(check, file)?.map(|http| DestinationKind::Http(HttpSpec { oauth2, mtls, ..http })))
        }
        "slack" => {
            refuse_http(check, &file, "slack");
            command::refuse_elsewhere(check, &file, "slack");
            report::refuse_elsewhere(check, &file, "slack");
            Ok(Some(DestinationKind::Slack(slack::slack(check, file))))
        }
        "command" => {
            refuse_http(check, &file, "command");
            refuse(check, file.allow_addresses.as_ref(), "allow_addresses", "command");
            report::refuse_elsewhere(check, &file, "command");
            Ok(command::command(check, file)?.map(DestinationKind::Command))
        }
        "report" => {
            refuse_http(check, &file, "report");
            command::refuse_elsewhere(check, &file, "report");
            Ok(report::report(check, file)?.map(DestinationKind::Report))
        }
        "pull" => {
            refuse_http(check, &file, "pull");
            refuse(check, file.allow_addresses.as_ref(), "allow_addresses", "pull");
            command::refuse_elsewhere(check, &file, "pull");
            report::refuse_elsewhere(check, &file, "pull");
            let ordered = file.ordered.is_none_or(Spanned::into_inner);
            Ok(Some(DestinationKind::Pull(PullSpec { ordered })))
        }
        other => {
            let near = problems::nearest(other, ["http", "command", "report", "pull", "slack"].into_iter());
            check.problem(&file.kind, format!("there is no type of destination `{}`{near}", other.escape_debug()));
            Ok(None)
        }
    }
}

/// The settings that only an `http` destination has.
fn refuse_http(check: &mut Check<'_>, file: &file::Destination, kind: &str) {
    refuse(check, file.url.as_ref(), "url", kind);
    refuse(check, file.forward_headers.as_ref(), "forward_headers", kind);
    refuse(check, file.set_headers.as_ref(), "set_headers", kind);
}

/// What only a `pull` destination has, and what it has no use for.
fn pull_settings(check: &mut Check<'_>, file: &file::Destination, sign: Option<&file::Signs>) {
    let kind = file.kind.get_ref().as_str();
    if kind != "pull" {
        return refuse(check, file.ordered.as_ref(), "ordered", kind);
    }
    refuse(check, file.timeout.as_ref(), "timeout", kind);
    refuse(check, file.concurrency.as_ref(), "concurrency", kind);
    refuse(check, sign.and_then(|sign| sign.0.first()).map(|sign| &sign.scheme), "sign", kind);
}

fn http(check: &mut Check<'_>, file: file::Destination) -> Result<Option<HttpSpec>, Absent> {
    let Some(url) = file.url else {
        check.problem(&file.kind, "a destination of type `http` needs a `url`");
        return Ok(None);
    };
    let value = resolve(check, &url)?;
    let allow_addresses = allow_addresses(check, file.allow_addresses.as_ref());
    if let Some(problem) = value.as_deref().and_then(|value| unreachable(check, value, &allow_addresses)) {
        check.problem(&url, format!("this url cannot be used: {problem}"));
    }
    let forwarded_at = file.forward_headers.as_ref().map(Spanned::span);
    let forward_headers = file.forward_headers.map(Spanned::into_inner).unwrap_or_default();
    for (at, count, what) in [
        (forwarded_at, forward_headers.len(), "forward_headers"),
        (
            file.set_headers.as_ref().map(Spanned::span),
            file.set_headers.as_ref().map_or(0, |set| set.get_ref().len()),
            "set_headers",
        ),
    ] {
        if let Some(at) = at.filter(|_| count > HEADERS_MAX) {
            check.problem(&Spanned::new(at, ()), format!("`{what}` has at most {HEADERS_MAX}"));
        }
    }
    for header in &forward_headers {
        let text = header.get_ref();
        let stem = text.strip_suffix('*').unwrap_or(text);
        if !stem.is_empty() && http::HeaderName::try_from(stem).is_err() {
            check.problem(header, format!("`{}` is not a header name", text.escape_debug()));
        }
    }
    let set_headers = pairs(check, file.set_headers, header_problem)?;
    Ok(value.map(|url| HttpSpec {
        url,
        forward_headers: forward_headers.into_iter().map(Spanned::into_inner).collect(),
        set_headers,
        allow_addresses,
        oauth2: None,
        mtls: None,
    }))
}

fn header_problem(name: &str, value: &str) -> Option<String> {
    if http::HeaderName::try_from(name).is_err() {
        return Some(format!("`{}` is not a header name", name.escape_debug()));
    }
    if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        return Some(format!("header `{name}` belongs to the connection and cannot be set"));
    }
    if values::is_interpolated(value) {
        return Some(values::NOT_INTERPOLATED.to_owned());
    }
    http::HeaderValue::from_str(value)
        .is_err()
        .then(|| format!("the value of header `{name}` has characters a header cannot"))
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
            for pair in waits.get_ref().windows(2).filter(|pair| pair[0].get_ref().0 > pair[1].get_ref().0) {
                check.problem(&pair[1], "a wait is not shorter than the one before it");
            }
            for wait in waits.get_ref().iter().filter(|wait| wait.get_ref().0.subsec_millis() != 0) {
                check.problem(wait, "a wait is in whole seconds");
            }
            waits.get_ref().iter().map(|wait| wait.get_ref().0.as_secs()).collect()
        }
    };
    RetrySchedule { waits_s, jitter_percent: u8::try_from(jitter).unwrap_or(100), exit_codes: None }
}
