//! The headers of an attempt: forwarded, injected, signed, set; each later kind replaces the earlier of the same name.
//! Owns which headers may never be forwarded or chosen.

use ::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use ::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;

use super::HOPS_MAX;
use crate::destination::{InvalidDestination, Parcel};
use crate::model::{HttpSpec, REDACTED};

/// How many gateways the event has passed.
pub(in crate::destination) const HOP: HeaderName = HeaderName::from_static("hookward-hop");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers of the one connection they came over, and what the client writes itself.
const OF_THE_CONNECTION: [HeaderName; 12] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    KEEP_ALIVE,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers that speak for somebody: forwarded only when named in full, never by a pattern.
const CREDENTIALS: [HeaderName; 3] = [AUTHORIZATION, COOKIE, SET_COOKIE];

/// Headers without which the bytes cannot be read: always forwarded.
const OF_THE_BODY: [HeaderName; 2] = [CONTENT_TYPE, CONTENT_ENCODING];

/// What a destination's settings say about headers.
#[derive(Debug)]
pub(super) struct HeaderPlan {
    forward: Vec<Pattern>,
    set: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderPlan {
    pub(super) fn new(spec: &HttpSpec) -> Result<Self, InvalidDestination> {
        let forward = spec.forward_headers.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>()?;
        let set = spec.set_headers.iter().map(|(name, value)| parse_set(name, value)).collect::<Result<_, _>>()?;
        Ok(Self { forward, set })
    }

    /// The headers of one attempt, or why there can be none.
    pub(super) fn compose(&self, parcel: &Parcel<'_>) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        self.forward(&parcel.request.headers, &mut headers)?;
        if !headers.contains_key(CONTENT_TYPE) {
            put(&mut headers, CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let hops = hops(&parcel.request.headers);
        if hops >= HOPS_MAX {
            return Err(format!("loop: the event has already passed {hops} gateways"));
        }
        let user_agent = HeaderValue::from_static(concat!("Hookward/", env!("CARGO_PKG_VERSION")));
        put(&mut headers, USER_AGENT, user_agent);
        // The client would leave the length of an empty body out.
        put(&mut headers, CONTENT_LENGTH, HeaderValue::from(parcel.body.len()));
        put(&mut headers, HOP, HeaderValue::from(hops + 1));
        put(&mut headers, HeaderName::from_static("hookward-event-id"), id_value(&parcel.event));
        put(&mut headers, HeaderName::from_static("hookward-delivery-id"), id_value(&parcel.delivery));
        put(&mut headers, HeaderName::from_static("hookward-attempt"), HeaderValue::from(parcel.number));
        if parcel.skipped > 0 {
            put(&mut headers, HeaderName::from_static("hookward-skipped"), HeaderValue::from(parcel.skipped));
        }
        replace(&mut headers, &signature_headers(&parcel.signature)?)?;
        replace(&mut headers, &self.set)?;
        Ok(headers)
    }

    fn forward(&self, original: &[(String, Bytes)], headers: &mut HeaderMap) -> Result<(), String> {
        let connection = connection_options(original);
        for (name, value) in original {
            let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
            let wanted = OF_THE_BODY.contains(&name) || self.forward.iter().any(|pattern| pattern.matches(&name));
            if !wanted || OF_THE_CONNECTION.contains(&name) || connection.contains(&name) || is_redacted(value) {
                continue;
            }
            let Ok(value) = HeaderValue::from_maybe_shared(value.clone()) else { continue };
            headers.try_append(name, value).map_err(|_| TOO_MANY.to_owned())?;
        }
        Ok(())
    }
}

const NOT_A_NAME: &str = "is not a header name";
const TOO_MANY: &str = "too many headers to send";

/// A header's name, or how it begins.
#[derive(Debug)]
enum Pattern {
    Exact(HeaderName),
    Prefix(String),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, InvalidDestination> {
        let stem = text.strip_suffix('*');
        if stem.unwrap_or(text).contains('*') {
            return Err(invalid(text, "has a `*` that is not at its end"));
        }
        if let Some(prefix) = stem {
            // The letter stands for what follows, so that an empty prefix is sound too.
            parse_name(&format!("{prefix}x")).map_err(|_| invalid(text, NOT_A_NAME))?;
            return Ok(Self::Prefix(prefix.to_ascii_lowercase()));
        }
        let name = parse_name(text)?;
        if OF_THE_CONNECTION.contains(&name) {
            return Err(invalid(text, "belongs to the connection it came over and is never forwarded"));
        }
        Ok(Self::Exact(name))
    }

    fn matches(&self, name: &HeaderName) -> bool {
        match self {
            Self::Exact(exact) => exact == name,
            Self::Prefix(prefix) => name.as_str().starts_with(prefix) && !CREDENTIALS.contains(name),
        }
    }
}

fn parse_set(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), InvalidDestination> {
    let parsed = parse_name(name)?;
    if OF_THE_CONNECTION.contains(&parsed) || parsed == HOP {
        return Err(invalid(name, "is written by the connection and cannot be set"));
    }
    let mut value = HeaderValue::from_str(value).map_err(|_| invalid(name, "has a value that no header can have"))?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

fn parse_name(text: &str) -> Result<HeaderName, InvalidDestination> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| invalid(text, NOT_A_NAME))
}

fn invalid(name: &str, problem: &'static str) -> InvalidDestination {
    InvalidDestination::Header { name: name.to_owned(), problem }
}

fn signature_headers(signature: &[(String, String)]) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(name, value): &(String, String)| {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        parsed.ok_or_else(|| format!("the signature's header `{name}` cannot be sent"))
    };
    signature.iter().map(header).collect()
}

/// Puts `new` in the place of everything of the same names.
fn replace(headers: &mut HeaderMap, new: &[(HeaderName, HeaderValue)]) -> Result<(), String> {
    for (name, _) in new {
        headers.remove(name);
    }
    for (name, value) in new {
        headers.try_append(name, value.clone()).map_err(|_| TOO_MANY.to_owned())?;
    }
    Ok(())
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    headers.insert(name, value);
}

fn id_value(id: &dyn std::fmt::Display) -> HeaderValue {
    HeaderValue::try_from(id.to_string()).expect("an id is letters, digits and an underscore")
}

/// How many gateways the event has passed. What is not a number was not written by a gateway.
fn hops(original: &[(String, Bytes)]) -> u32 {
    let values = original.iter().filter(|(name, _)| HOP == name.as_str());
    values.filter_map(|(_, value)| std::str::from_utf8(value).ok()?.trim().parse().ok()).max().unwrap_or(0)
}

/// Headers that the sender declared to be of its connection only.
fn connection_options(original: &[(String, Bytes)]) -> Vec<HeaderName> {
    let values = original.iter().filter(|(name, _)| CONNECTION == name.as_str());
    let options = values.flat_map(|(_, value)| value.split(|&byte| byte == b','));
    options.filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok()).collect()
}

fn is_redacted(value: &[u8]) -> bool {
    value.windows(REDACTED.len()).any(|window| window == REDACTED.as_bytes())
}
