//! Owns the few questions asked of a URL or a form as text: one query parameter, the sorted form, the default port. Parses no
//! URL into parts and normalises nothing, because signatures are made over the text as it was.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

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
    let pairs: BTreeSet<(Vec<u8>, Vec<u8>)> = form_fields(body)?.into_iter().collect();
    Some(pairs.into_iter().flat_map(|(name, value)| [name, value]).flatten().collect())
}

/// The form's first field called `name`, decoded.
pub(crate) fn form_field(body: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut fields = body.split(|byte| *byte == b'&');
    fields.find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"=")).map(form_text)
}

/// The form's one field called `name`, decoded. The name is compared as it is when decoded; a field that occurs twice is a fault.
pub(crate) fn form_value(body: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let mut found = None;
    for (key, value) in form_fields(body).ok_or(Fault::Malformed)? {
        if key == name && found.replace(value).is_some() {
            return Err(Fault::Repeated);
        }
    }
    Ok(found)
}

/// The form's fields, decoded, in their order. `None` if there are more than [`MAX_FORM_FIELDS`].
pub(crate) fn form_fields(body: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let fields = || body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    if fields().nth(MAX_FORM_FIELDS).is_some() {
        return None;
    }
    let pair = |pair: &[u8]| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (form_text(&pair[..at]), form_text(pair.get(at + 1..).unwrap_or_default()))
    };
    Some(fields().map(pair).collect())
}

/// The form's fields as one JSON object of texts, in their order, as Python's `json.dumps` writes it. `None` for too many of them, for
/// one that is not UTF-8, or for one that occurs twice.
pub(crate) fn form_as_json(body: &[u8]) -> Option<Vec<u8>> {
    let fields = form_fields(body)?;
    let names: BTreeSet<&Vec<u8>> = fields.iter().map(|(name, _)| name).collect();
    if names.len() != fields.len() {
        return None;
    }
    let text = |bytes: &Vec<u8>| Some(in_ascii(&serde_json::to_string(std::str::from_utf8(bytes).ok()?).ok()?));
    let members = fields.iter().map(|(name, value)| Some(format!("{}: {}", text(name)?, text(value)?)));
    Some(format!("{{{}}}", members.collect::<Option<Vec<String>>>()?.join(", ")).into_bytes())
}

/// A JSON text with everything outside ASCII escaped.
fn in_ascii(json: &str) -> String {
    let mut units = [0; 2];
    json.chars().fold(String::with_capacity(json.len()), |mut text, letter| {
        match letter.is_ascii() {
            true => text.push(letter),
            false => letter.encode_utf16(&mut units).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}"))),
        }
        text
    })
}

/// The authority of an absolute URL, without what stands before an `@`.
pub(crate) fn host(url: &str) -> Option<&str> {
    split_authority(url).map(|(_, authority, _)| authority.rsplit('@').next().unwrap_or_default())
}

/// Path and query of a URL, absolute or not, as they are written; a path that is absent is `/`.
pub(crate) fn path_and_query(url: &str) -> Cow<'_, str> {
    let rest = split_authority(url).map_or(url, |(_, _, rest)| rest);
    let rest = rest.split('#').next().unwrap_or_default();
    if rest.starts_with('/') { rest.into() } else { format!("/{rest}").into() }
}

/// The path of a URL, absolute or not, as it is written.
pub(crate) fn path(url: &str) -> Cow<'_, str> {
    match path_and_query(url) {
        Cow::Borrowed(text) => text.split('?').next().unwrap_or_default().into(),
        Cow::Owned(text) => text.split('?').next().unwrap_or_default().to_owned().into(),
    }
}

/// The raw pairs of the query in order of their names, joined by `&`. `None` if there are more than [`MAX_FORM_FIELDS`].
pub(crate) fn sorted_query(url: &str) -> Option<String> {
    let mut pairs = query_pairs(url)?;
    pairs.sort_by_key(|(name, _)| *name);
    Some(pairs.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>().join("&"))
}

fn query_pairs(url: &str) -> Option<Vec<(&str, &str)>> {
    let pairs = || query(url).split('&').filter(|pair| !pair.is_empty());
    if pairs().nth(MAX_FORM_FIELDS).is_some() {
        return None;
    }
    Some(pairs().map(|pair| (pair.split('=').next().unwrap_or_default(), pair)).collect())
}

/// As Vonage signs a query: `&name=value` in order of the names, decoded, without `sig`, and with `_` for `&` and `=` in a value.
pub(crate) fn vonage_query(url: &str) -> Option<Vec<u8>> {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = form_fields(query(url).as_bytes())?;
    pairs.retain(|(name, _)| name != b"sig");
    pairs.sort();
    let underlined = |byte: u8| if matches!(byte, b'&' | b'=') { b'_' } else { byte };
    let mut text = Vec::new();
    for (name, value) in pairs {
        text.push(b'&');
        text.extend(name);
        text.push(b'=');
        text.extend(value.into_iter().map(underlined));
    }
    Some(text)
}

/// What Atlassian Connect hashes of a request: its method, its path, and its query in order without `jwt`, joined by `&`, all
/// percent-encoded anew. From <https://developer.atlassian.com/cloud/jira/platform/understanding-jwt-for-connect-apps/>.
pub(crate) fn atlassian_request(method: &str, url: &str) -> Option<String> {
    let mut parameters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in form_fields(query(url).as_bytes())? {
        if name != b"jwt" {
            parameters.entry(encoded(&name)).or_default().push(encoded(&value));
        }
    }
    let pairs = parameters.into_iter().map(|(name, mut values)| {
        values.sort();
        format!("{name}={}", values.join(","))
    });
    let path = path(url).replace('&', "%26");
    let path = path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(&path);
    Some(format!("{}&{path}&{}", method.to_ascii_uppercase(), pairs.collect::<Vec<_>>().join("&")))
}

/// As Plivo signs a URL and a form: the URL with its query decoded and in order, then the form's fields, in order and without borders. A
/// `?` stands before the fields although there is no query, and a dot where there is one. From <https://github.com/plivo/plivo-python>.
pub(crate) fn plivo_request(url: &str, form: &[u8]) -> Option<Vec<u8>> {
    let sorted = |text: &[u8]| {
        let mut pairs = form_fields(text)?;
        pairs.sort();
        Some(pairs)
    };
    let (parameters, fields) = (sorted(query(url).as_bytes())?, sorted(form)?);
    let mut text = url.split(['?', '#']).next().unwrap_or_default().as_bytes().to_vec();
    if !parameters.is_empty() || !fields.is_empty() {
        text.push(b'?');
    }
    let query: Vec<Vec<u8>> = parameters.into_iter().map(|(name, value)| [name, value].join(&b'=')).collect();
    text.extend(query.join(&b'&'));
    if !query.is_empty() && !fields.is_empty() {
        text.push(b'.');
    }
    fields.into_iter().for_each(|(name, value)| text.extend([name, value].concat()));
    Some(text)
}

/// Percent-encoded, but for the characters that never need it.
pub(crate) fn encoded(text: &[u8]) -> String {
    percent_encode(text, UNRESERVED).to_string()
}

/// Everything that RFC 3986 does not call unreserved.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `body` with one more field of a form.
pub(crate) fn with_field(body: &[u8], name: &str, value: &str) -> Vec<u8> {
    let join = if body.is_empty() { "" } else { "&" };
    let field = format!("{join}{}={}", encoded(name.as_bytes()), encoded(value.as_bytes()));
    [body, field.as_bytes()].concat()
}

fn form_text(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}
