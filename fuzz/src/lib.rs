//! Owns how the targets read a request from an input, so that a corpus of the catalog's vectors serves all of them. Asserts nothing.
//!
//! The input is lines: the scheme's name, the secret, the parameters as `name=value` between tabs, the time in milliseconds, the method
//! and the URL, then headers as `Name: value` up to an empty line; the rest is the body. In the secret `\n` is a newline.

use std::collections::BTreeMap;

use hookward::{Message, Scheme, UnixTime, catalog};

/// A request with what it is held against.
pub struct Input<'i> {
    /// A scheme of the catalog, for one endpoint.
    pub scheme: Scheme,
    /// What may be a secret of it.
    pub secret: Vec<u8>,
    /// When it arrived.
    pub now: UnixTime,
    method: &'i str,
    url: &'i str,
    /// Its headers.
    pub headers: Vec<(String, &'i [u8])>,
    /// Its body.
    pub body: &'i [u8],
}

impl<'i> Input<'i> {
    /// Reads one; nothing for a scheme that is not in the catalog, or parameters that it does not take.
    pub fn read(input: &'i [u8]) -> Option<Self> {
        let mut rest = input;
        let mut line = || {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            Some(line)
        };
        let scheme = catalog::find(std::str::from_utf8(line()?).ok()?)?;
        let secret = String::from_utf8_lossy(line()?).replace("\\n", "\n").into_bytes();
        let parameters = std::str::from_utf8(line()?).ok()?.split('\t').filter_map(|pair| pair.split_once('='));
        let parameters: BTreeMap<String, String> = parameters.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let scheme = scheme.with_parameters(&parameters).ok()?;
        let now = UnixTime::from_millis(std::str::from_utf8(line()?).ok()?.parse().ok()?);
        let (method, url) = std::str::from_utf8(line()?).ok()?.split_once(' ')?;
        let mut headers = Vec::new();
        while let Some(text) = line().filter(|text| !text.is_empty()) {
            let (name, value) = text.split_at(text.iter().position(|byte| *byte == b':').unwrap_or(text.len()));
            headers.push((String::from_utf8_lossy(name).into_owned(), value.strip_prefix(b": ").unwrap_or(value)));
        }
        Some(Self { scheme, secret, now, method, url, headers, body: rest })
    }

    /// The request as it arrived.
    pub fn message(&self) -> Message<'_> {
        Message { method: self.method, url: self.url, headers: &self.headers, body: self.body }
    }
}
