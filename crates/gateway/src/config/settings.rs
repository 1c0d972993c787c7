//! Settings as sources and destinations of every kind read them: names, references, bounds, and what one kind does not have.
//! Knows no kind; what a setting means is theirs.

use std::collections::{BTreeMap, HashMap};

use hookward::Secret;
use hookward_engine::destination::InvalidDestination;
use hookward_engine::egress::check_url;
use ipnet::IpNet;
use toml::Spanned;

use super::reference::{Resolved, ResolvedSecret};
use super::{Check, values};

/// A variable that is not set: the destination is left out.
pub(super) struct Absent(pub(super) String);

/// A setting of the other type of destination.
pub(super) fn refuse<T>(check: &mut Check<'_>, value: Option<&Spanned<T>>, key: &str, kind: &str) {
    if let Some(value) = value {
        check.problem(value, format!("a destination of type `{kind}` has no `{key}`"));
    }
}

pub(super) fn resolve(check: &mut Check<'_>, value: &Spanned<String>) -> Result<Option<String>, Absent> {
    match check.references.resolve(value.get_ref()) {
        Ok(Resolved::Value(text)) => Ok(Some(text.to_string())),
        Ok(Resolved::Absent(variable)) => Err(Absent(variable)),
        Err(message) => {
            check.problem(value, message);
            Ok(None)
        }
    }
}

/// A destination's secret: `None` for the one that is stored, or one that cannot be.
pub(super) fn resolve_secret(check: &mut Check<'_>, at: &Spanned<String>) -> Result<Option<Secret>, Absent> {
    match check.references.secret(at.get_ref()) {
        Ok(ResolvedSecret::Value(value)) => Ok(Some(value)),
        Ok(ResolvedSecret::Stored) => Ok(None),
        Ok(ResolvedSecret::Absent(variable)) => Err(Absent(variable)),
        Err(message) => {
            check.problem(at, message);
            Ok(None)
        }
    }
}

/// Ranges that may be reached although they are not public. All addresses together are none that anybody lists by accident.
pub(super) fn reachable(check: &mut Check<'_>, ranges: &[Spanned<values::Range>], everything: bool) -> Vec<IpNet> {
    for range in ranges.iter().filter(|range| range.get_ref().is_everything() && !everything) {
        let text = range.get_ref().0;
        let problem = format!("`{text}` would let destinations reach this machine and every network it is in");
        check.problem(range, format!("{problem}; if that is meant, say `allow_everything = true` in [egress]"));
    }
    ranges.iter().map(|range| range.get_ref().0).collect()
}

/// Whoever is trusted speaks for others: no range of the internet's size does.
pub(super) fn trusted_proxies(check: &mut Check<'_>, ranges: &[Spanned<values::Range>]) -> Vec<IpNet> {
    for range in ranges.iter().filter(|range| range.get_ref().is_everything()) {
        let text = range.get_ref().0;
        check.problem(range, format!("anybody could speak for anybody: `{text}` is wider than any network of proxies"));
    }
    ranges.iter().map(|range| range.get_ref().0).collect()
}

/// The ranges that one destination may reach besides.
pub(super) fn allow_addresses(
    check: &mut Check<'_>,
    ranges: Option<&Spanned<Vec<Spanned<values::Range>>>>,
) -> Vec<IpNet> {
    let Some(ranges) = ranges else { return Vec::new() };
    if !check.around.may_reach && !ranges.get_ref().is_empty() {
        check.problem(
            ranges,
            "which addresses may be reached besides public ones is for whoever runs this gateway to say",
        );
    }
    let everything = check.around.egress_allow_everything;
    reachable(check, ranges.get_ref(), everything)
}

/// Resolves the values of a table and checks each pair.
pub(super) fn pairs(
    check: &mut Check<'_>,
    table: Option<Spanned<BTreeMap<String, Spanned<String>>>>,
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

const NOT_A_URL: &str = "it is not a URL";

/// Why `url` is not one that can be called. The url itself is not repeated: it may hold a credential.
pub(super) fn url_problem(url: &str) -> Option<&'static str> {
    if values::is_interpolated(url) {
        return Some(values::NOT_INTERPOLATED);
    }
    let Ok(uri) = url.parse::<http::Uri>() else { return Some(NOT_A_URL) };
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

/// Why nothing could be delivered to `url`, were `allow` allowed besides public addresses.
pub(super) fn unreachable(check: &Check<'_>, url: &str, allow: &[IpNet]) -> Option<String> {
    if let Some(problem) = url_problem(url).filter(|&problem| problem != NOT_A_URL) {
        return Some(problem.to_owned());
    }
    let allow: Vec<IpNet> = check.around.egress_allow.iter().chain(allow).copied().collect();
    match check_url(url, &allow, &check.around.own) {
        Ok(()) => None,
        Err(InvalidDestination::Url(problem)) => Some(problem.to_string()),
        Err(InvalidDestination::Blocked(blocked)) => Some(blocked.to_string()),
        Err(other) => Some(other.to_string()),
    }
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

pub(super) fn bounded(
    check: &mut Check<'_>,
    value: Option<&Spanned<values::Size>>,
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

/// Checks a name's letters and that it is the first of its kind.
pub(super) fn name(check: &mut Check<'_>, name: &Spanned<String>, kind: &str, seen: &mut HashMap<String, ()>) {
    let text = name.get_ref();
    let letters = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if text.is_empty() || text.len() > 64 || !letters {
        let text = text.escape_debug();
        check.problem(name, format!("`{text}` is not a name: use 1 to 64 of `a` to `z`, `0` to `9` and `-`"));
    }
    if seen.insert(text.clone(), ()).is_some() {
        check.problem(name, format!("there are two {kind}s `{text}`"));
    }
}
