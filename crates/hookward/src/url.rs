//! Owns the few questions asked of a URL or a form as text: one query parameter, the sorted form, the default port. Parses no
//! URL into parts and normalises nothing, because signatures are made over the text as it was.

use std::borrow::Cow;
use std::collections::BTreeSet;

use percent_encoding::percent_decode;

use crate::place::Fault;

/// At most this many fields of a form are sorted, before it is known whose form it is.
pub const MAX_FORM_FIELDS: usize = 1000;

/// The raw text between `?` and `#`.
fn query(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?').map_or("", |(_, query)| query)
}

/// The one value of the query parameter `name`, percent-decoded exactly once. The name is compared as it is written; `+` stays `+`.
pub(crate) fn query_value<'a>(url: &'a str, name: &str) -> Result<Option<Cow<'a, [u8]>>, Fault> {
    Ok(raw_query_value(url, name)?.map(|value| percent_decode(value.as_bytes()).into()))
}

/// The same read like a form's field, where `+` is a blank, as text.
pub(crate) fn query_text(url: &str, name: &str) -> Result<Option<String>, Fault> {
    let Some(value) = raw_query_value(url, name)? else { return Ok(None) };
    String::from_utf8(form_text(value.as_bytes())).map(Some).map_err(|_| Fault::Malformed)
}

fn raw_query_value<'a>(url: &'a str, name: &str) -> Result<Option<&'a str>, Fault> {
    let mut values = query(url).split('&').filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    });
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Fault::Repeated);
    }
    if !has_only_whole_escapes(value.as_bytes()) {
        return Err(Fault::Malformed);
    }
    Ok(Some(value))
}

fn has_only_whole_escapes(text: &[u8]) -> bool {
    text.iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'%')
        .all(|(at, _)| text.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)))
}

/// `url` with one more query parameter; `value` needs no escaping.
pub(crate) fn with_query(url: &str, name: &str, value: &str) -> String {
    let join = if url.contains('?') { '&' } else { '?' };
    format!("{url}{join}{name}={value}")
}

/// Whether the URL names its scheme and host.
pub(crate) fn is_absolute(url: &str) -> bool {
    split_authority(url).is_some()
}

/// The same URL with its scheme's default port added where it has none, or removed where it has that one.
pub(crate) fn with_default_port_toggled(url: &str) -> Option<String> {
    let (scheme, authority, rest) = split_authority(url)?;
    let default = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    let host = authority.rsplit('@').next().unwrap_or_default();
    let has_port = host.rsplit(']').next().unwrap_or_default().contains(':');
    if !has_port {
        return Some(format!("{scheme}://{authority}{default}{rest}"));
    }
    authority.strip_suffix(default).map(|bare| format!("{scheme}://{bare}{rest}"))
}

/// Scheme, authority and the rest, of an `http` or `https` URL.
fn split_authority(url: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    (!authority.is_empty()).then_some((scheme, authority, rest))
}

/// Whether the body is a URL-encoded form: by its content type, or where none is given by having only a form's characters.
pub(crate) fn is_form(content_type: Option<&[u8]>, body: &[u8]) -> bool {
    match content_type {
        Some(value) => {
            let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        }
        None => body.iter().all(|byte| byte.is_ascii_alphanumeric() || b"*-._+%&=".contains(byte)),
    }
}

/// The form's distinct pairs, decoded, sorted by name and then by value, written one after the other without separators. `None` if there
/// are more than [`MAX_FORM_FIELDS`].
pub(crate) fn sorted_form(body: &[u8]) -> Option<Vec<u8>> {
    let fields = || body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    if fields().nth(MAX_FORM_FIELDS).is_some() {
        return None;
    }
    let pairs: BTreeSet<(Vec<u8>, Vec<u8>)> = fields()
        .map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            (form_text(&pair[..at]), form_text(pair.get(at + 1..).unwrap_or_default()))
        })
        .collect();
    Some(pairs.into_iter().flat_map(|(name, value)| [name, value]).flatten().collect())
}

/// The form's first field called `name`, decoded.
pub(crate) fn form_field(body: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut fields = body.split(|byte| *byte == b'&');
    fields.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"=")).map(form_text)
}

fn form_text(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}
