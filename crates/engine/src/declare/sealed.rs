//! Settings of destinations that may be credentials, where no served file says them again at each start: the values of headers
//! and variables, a URL's query. They are kept as versions of the destination's secrets, one for each kind of setting; in the
//! settings a mark stands for them. Owns taking them out and putting them back; what is in force of them is `keyring`'s.

use std::collections::BTreeMap;

use hookward::Secret;
use zeroize::Zeroizing;

use super::served::{is_incomplete, replaced};
use super::{DeclaredDestination, DeclaredSecret};
use crate::model::{DestinationKind, DestinationSpec, ENVIRONMENT, HEADERS, URL};

/// What stands for a value that is kept sealed.
const SEALED: &str = "(sealed)";

/// `spec` as it is kept: with marks for values.
pub(crate) fn marked(spec: &DestinationSpec) -> DestinationSpec {
    replaced(spec, SEALED)
}

/// Whether it says anything that has to be sealed.
pub(super) fn says_any(spec: &DestinationSpec) -> bool {
    !is_incomplete(spec) && marked(spec) != *spec
}

/// Moves what is to be sealed from a declaration's settings to its secrets. One that is marked already stays as it is.
pub(super) fn take_out(declared: &mut DeclaredDestination) {
    if !says_any(&declared.spec) {
        return;
    }
    declared.secrets.extend(values(&declared.spec));
    declared.spec = marked(&declared.spec);
}

/// What of `spec` is kept sealed.
pub(super) fn values(spec: &DestinationSpec) -> Vec<DeclaredSecret> {
    let mut found = Vec::new();
    let mut add = |purpose: &str, text: Zeroizing<String>| {
        let value = Secret::new(text.as_bytes()).expect("a URL, or a JSON object, is not blank");
        found.push(DeclaredSecret::new(purpose, value));
    };
    if let DestinationKind::Http(http) = &spec.kind
        && http.url.contains('?')
    {
        add(URL, Zeroizing::new(http.url.clone()));
    }
    if let Some((purpose, pairs)) = pairs(&spec.kind).filter(|(_, pairs)| !pairs.is_empty()) {
        let named: BTreeMap<_, _> = pairs.iter().map(|(name, value)| (name, value)).collect();
        add(purpose, Zeroizing::new(serde_json::to_string(&named).expect("texts are plain JSON")));
    }
    found
}

/// Whether `spec` has the value that `secret` is, not sealed.
pub(super) fn says(spec: &DestinationSpec, secret: &DeclaredSecret) -> bool {
    values(spec).iter().any(|own| own.purpose == secret.purpose && own.value == secret.value)
}

/// What an attempt needs that `spec` has a mark for, by purpose.
pub(crate) fn missing(spec: &DestinationSpec) -> Vec<&'static str> {
    let mut missing = Vec::new();
    if matches!(&spec.kind, DestinationKind::Http(http) if is_marked_url(&http.url)) {
        missing.push(URL);
    }
    let marked = pairs(&spec.kind).filter(|(_, pairs)| pairs.iter().any(|(_, value)| value == SEALED));
    missing.extend(marked.map(|(purpose, _)| purpose));
    missing
}

/// Puts the value for `purpose` in the place of its marks; `false` for one that does not belong there.
pub(crate) fn put_back(spec: &mut DestinationSpec, purpose: &str, value: &Secret) -> bool {
    let Ok(text) = std::str::from_utf8(value.expose()) else { return false };
    if purpose == URL {
        let DestinationKind::Http(http) = &mut spec.kind else { return false };
        let is_same_place = is_marked_url(&http.url) && place_of(text) == place_of(&http.url);
        if is_same_place {
            text.clone_into(&mut http.url);
        }
        return is_same_place;
    }
    let Ok(named) = serde_json::from_str::<BTreeMap<String, String>>(text) else { return false };
    let pairs = match &mut spec.kind {
        DestinationKind::Http(http) if purpose == HEADERS => &mut http.set_headers,
        DestinationKind::Command(command) if purpose == ENVIRONMENT => &mut command.environment,
        _ => return false,
    };
    pairs.iter_mut().filter(|(_, value)| value == SEALED).all(|(name, value)| match named.get(name) {
        Some(known) => {
            value.clone_from(known);
            true
        }
        None => false,
    })
}

/// Takes the marks for `purpose` away: there is no value in force for them.
pub(super) fn leave_out(spec: &mut DestinationSpec, purpose: &str) {
    match &mut spec.kind {
        DestinationKind::Http(http) if purpose == URL => http.url = place_of(&http.url).to_owned(),
        DestinationKind::Http(http) if purpose == HEADERS => http.set_headers.retain(|(_, value)| value != SEALED),
        DestinationKind::Command(command) if purpose == ENVIRONMENT => {
            command.environment.retain(|(_, value)| value != SEALED);
        }
        _ => {}
    }
}

/// A URL without its query: what says where it leads.
pub(super) fn place_of(url: &str) -> &str {
    url.split_once('?').map_or(url, |(place, _)| place)
}

fn is_marked_url(url: &str) -> bool {
    url.split_once('?').is_some_and(|(_, query)| query == SEALED)
}

fn pairs(kind: &DestinationKind) -> Option<(&'static str, &Vec<(String, String)>)> {
    match kind {
        DestinationKind::Http(http) => Some((HEADERS, &http.set_headers)),
        DestinationKind::Command(command) => Some((ENVIRONMENT, &command.environment)),
        DestinationKind::Report(_) | DestinationKind::Pull(_) | DestinationKind::Slack(_) => None,
    }
}
