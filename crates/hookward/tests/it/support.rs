//! What the tests share: vector files, owned requests, keys and a sample secret for each scheme.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hookward::{Key, Message, Refusal, Scheme, Secret, UnixTime, Verified, catalog};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VectorFile {
    pub(crate) vector: Vec<Vector>,
    #[serde(default)]
    handshake: Vec<HandshakeVector>,
}

/// One request that may be a handshake, with what becomes of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandshakeVector {
    pub(crate) name: String,
    #[serde(rename = "origin")]
    _origin: Origin,
    #[serde(rename = "source")]
    _source: String,
    pub(crate) secrets: Vec<String>,
    pub(crate) token: Option<String>,
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
    now_s: Option<i64>,
    pub(crate) answer: Option<Answer>,
    pub(crate) refused: Option<String>,
    /// It is none: the verdict on it as an event, `verified` or a refusal.
    pub(crate) event: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Answer {
    pub(crate) content_type: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    pub(crate) adopts: Option<String>,
}

impl HandshakeVector {
    pub(crate) fn request(&self) -> Request {
        request(self.method.as_deref(), self.url.as_deref(), &self.headers, &self.body)
    }

    pub(crate) fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.now_s.unwrap_or_default())
    }
}

pub(crate) fn handshakes(scheme: &str) -> Vec<HandshakeVector> {
    file(scheme).handshake
}

/// One request with a known answer. Of several secrets the first is the newest and has the highest version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) source: String,
    #[serde(rename = "note")]
    _note: Option<String>,
    pub(crate) secrets: Vec<String>,
    /// What the scheme leaves to be said for each endpoint.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    /// A body that is not text.
    body_base64: Option<String>,
    now_s: Option<i64>,
    now_ms: Option<i64>,
    pub(crate) verified: Option<Expected>,
    pub(crate) refused: Option<String>,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    Published,
    Computed,
    Derived,
}

#[derive(Deserialize, PartialEq, Eq, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) key: u32,
    pub(crate) id: Option<String>,
    pub(crate) event_type: Option<String>,
    pub(crate) timestamp_s: Option<i64>,
    pub(crate) timestamp_ms: Option<i64>,
}

impl Vector {
    /// The scheme of this name for the vector's endpoint.
    pub(crate) fn scheme(&self, name: &str) -> Scheme {
        scheme(name).with_parameters(&self.parameters).unwrap()
    }

    pub(crate) fn request(&self) -> Request {
        let mut request = request(self.method.as_deref(), self.url.as_deref(), &self.headers, &self.body);
        if let Some(text) = &self.body_base64 {
            request.body = BASE64_STANDARD.decode(text).unwrap();
        }
        request
    }

    pub(crate) fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.now_ms.unwrap_or(self.now_s.unwrap_or_default() * 1000))
    }
}

fn request(method: Option<&str>, url: Option<&str>, headers: &[(String, String)], body: &str) -> Request {
    Request {
        method: method.unwrap_or("POST").into(),
        url: url.unwrap_or("https://example.com/hook").into(),
        headers: headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect(),
        body: body.as_bytes().to_vec(),
    }
}

pub(crate) fn vectors(scheme: &str) -> Vec<Vector> {
    file(scheme).vector
}

fn file(scheme: &str) -> VectorFile {
    let path = format!("{}/schemes/{scheme}.vectors.toml", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    toml::from_str::<VectorFile>(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A request that owns its parts, so that a test can change one.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn post(headers: &[(&str, &str)], body: &str) -> Self {
        Self {
            method: "POST".into(),
            url: "https://example.com/hook".into(),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    pub(crate) fn message(&self) -> Message<'_> {
        Message { method: &self.method, url: &self.url, headers: &self.headers, body: &self.body }
    }

    pub(crate) fn verify(&self, scheme: &Scheme, keys: &[Key], now: UnixTime) -> Result<Verified<'_>, Refusal> {
        scheme.verify(&self.message(), keys, now)
    }
}

/// The schemes that sign any request as it is. The others have parameters, or keys that only another program makes, or look into
/// the body before it is proven.
pub(crate) fn plain_names() -> impl Iterator<Item = &'static str> {
    catalog::names().filter(|name| is_plain(name))
}

pub(crate) fn is_plain(name: &str) -> bool {
    let source = catalog::source(name).unwrap().replace("{form:sorted}", "");
    let looks_inside = [
        "at = [\"json:",
        "at = [\"form:",
        "at = \"json:",
        "at = \"form:",
        "{json:",
        "{form:",
        "items = ",
        "at = [\"body\"",
        "{json-string:body}",
        "{query:vonage}",
        "{request:plivo}",
        "{entry:",
    ];
    let inside = source.contains("json:/signature/") || looks_inside.iter().any(|text| source.contains(text));
    // A form that is signed in order has to be one, where no digest stands in for it.
    let wants_a_form = catalog::source(name).unwrap().contains("{form:sorted}") && !source.contains("body_sha256");
    !inside
        && !wants_a_form
        && scheme(name).parameters().is_empty()
        && scheme(name).generate(&mut |bytes| bytes.fill(7)).is_ok()
}

pub(crate) fn scheme(name: &str) -> &'static Scheme {
    catalog::find(name).unwrap_or_else(|| panic!("no scheme `{name}`"))
}

/// Keys of the secrets, newest first, the newest with the highest version.
pub(crate) fn keys(scheme: &Scheme, secrets: &[impl AsRef<[u8]>]) -> Vec<Key> {
    let count = u32::try_from(secrets.len()).unwrap();
    (1..=count).rev().zip(secrets).map(|(version, secret)| key(scheme, version, secret.as_ref())).collect()
}

pub(crate) fn key(scheme: &Scheme, version: u32, secret: &[u8]) -> Key {
    scheme.key(version, &Secret::new(secret).unwrap()).unwrap()
}

/// A secret in the scheme's own format, a different one for each `seed`.
pub(crate) fn generated(scheme: &Scheme, seed: u8) -> Vec<u8> {
    let mut next = seed;
    let secret = scheme.generate(&mut |buffer| {
        for byte in buffer {
            *byte = next;
            next = next.wrapping_mul(5).wrapping_add(17);
        }
    });
    secret.unwrap().expose().to_vec()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
