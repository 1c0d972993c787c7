//! `sign` of a destination: the schemes that it signs with, until when, and with which of their secrets.
//! Which schemes can stand side by side is the engine's.

use std::collections::BTreeMap;

use hookward::Scheme;
use hookward_engine::DeclaredSecret;
use hookward_engine::clock::Timestamp;
use hookward_engine::declare::check_schemes;
use hookward_engine::model::{SignWith, Signing};
use toml::Spanned;

use super::settings::{Absent, resolve_secret};
use super::{Check, file, parameters, problems};

/// How a destination signs, and with which first secrets.
pub(super) type Signs = (Vec<Signing>, Vec<DeclaredSecret>);

pub(super) fn signs(check: &mut Check<'_>, file::Signs(entries): file::Signs) -> Result<Signs, Absent> {
    let (mut signing, mut secrets, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut schemes: Vec<Scheme> = Vec::new();
    let count = entries.len();
    for entry in entries {
        let scheme = check.scheme(&entry.scheme).cloned();
        let parameters = match &scheme {
            Some(scheme) => parameters::parameters(check, scheme, &entry.scheme, entry.parameters.as_ref()),
            None => BTreeMap::new(),
        };
        let until = entry.until.as_ref().and_then(|until| time(check, until));
        let sign_with = entry.sign_with.as_ref().and_then(|with| sign_with(check, with, scheme.as_ref()));
        let value = match &entry.secret {
            None => None,
            Some(secret) => {
                let value = resolve_secret(check, secret)?;
                if let (Some(scheme), Some(value)) = (&scheme, &value) {
                    check.key(scheme.name(), secret, value);
                }
                value
            }
        };
        let Some(scheme) = scheme else { continue };
        secrets.extend(value.map(|value| DeclaredSecret::new(scheme.name(), value)));
        signing.push(Signing { scheme: scheme.name().to_owned(), parameters, until, sign_with });
        schemes.push(scheme);
        places.push(entry.scheme);
    }
    // Whatever else is wrong is said first.
    let all_known = schemes.len() == count;
    if let Err((index, problem)) = check_schemes(&signing, &schemes.iter().collect::<Vec<_>>())
        && all_known
    {
        check.problem(&places[index], problem);
    }
    Ok((signing, secrets))
}

fn time(check: &mut Check<'_>, until: &Spanned<String>) -> Option<Timestamp> {
    let parsed = until.get_ref().parse::<jiff::Timestamp>();
    if parsed.is_err() {
        check.problem(until, "`until` is a time like \"2026-12-31T00:00:00Z\"");
    }
    Some(Timestamp::from_millis(parsed.ok()?.as_millisecond()))
}

fn sign_with(check: &mut Check<'_>, with: &Spanned<String>, scheme: Option<&Scheme>) -> Option<SignWith> {
    let found = match with.get_ref().as_str() {
        "newest" => SignWith::Newest,
        "previous" => SignWith::Previous,
        "adaptive" => SignWith::Adaptive,
        other => {
            let near = problems::nearest(other, ["newest", "previous", "adaptive"].into_iter());
            let other = other.escape_debug();
            check.problem(with, format!("`sign_with` is newest, previous or adaptive, not `{other}`{near}"));
            return None;
        }
    };
    if let Some(scheme) = scheme.filter(|scheme| scheme.carries_every_signature()) {
        let name = scheme.name();
        check.problem(with, format!("scheme `{name}` sends a signature of every secret: there is none to choose"));
    }
    Some(found)
}
