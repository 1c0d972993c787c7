//! The contenders: each verifies the same body, authentic, with everything made beforehand that its users would make beforehand.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use hookward::{Draft, Key, Message, Scheme, Secret, UnixTime, catalog};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One way to verify one request.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Whether the promise about speed is about this one: a scheme that signs the body alone.
    pub(crate) is_promised: bool,
    pub(crate) verify: Box<dyn Fn() -> bool>,
}

/// Where the contender stands that the others are compared with.
pub(crate) const BARE_NAIVE: usize = 0;

/// All of them, for a body of `size` bytes.
pub(crate) fn contenders(size: usize) -> Result<Vec<Contender>> {
    let body = json_of(size);
    // The others read the clock themselves, so the request must be of today.
    let now = UnixTime::from_secs(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?);
    let standard = signed("standard-webhooks", body, now)?;
    let map = header_map(&standard.headers)?;
    Ok(vec![
        bare_naive(body),
        bare_prepared(body),
        Contender { is_promised: true, ..ours("hookward github", signed("github", body, now)?, body, now) },
        ours("hookward standard-webhooks, with event type", standard, body, now),
        standardwebhooks(body, map.clone())?,
        svix(body, map)?,
    ])
}

/// A JSON object of exactly `size` bytes, since the library also looks up the event's type in it.
fn json_of(size: usize) -> &'static [u8] {
    let (start, end) = (r#"{"type":"user.created","data":""#, r#""}"#);
    let filling: String = ('a'..='z').cycle().take(size - start.len() - end.len()).collect();
    format!("{start}{filling}{end}").into_bytes().leak()
}

/// A scheme with a key and the headers of an authentic request.
struct Ours {
    scheme: &'static Scheme,
    key: Key,
    headers: Vec<(String, String)>,
}

fn signed(name: &str, body: &[u8], now: UnixTime) -> Result<Ours> {
    let scheme = catalog::find(name).context("the scheme is in the catalog")?;
    let key = scheme.key(1, &Secret::new(SECRET)?)?;
    let draft = Draft { id: "msg_p5jXN8AQM9LWM0D4loKWxJek", event_type: "push", method: "POST", url: "/", body };
    let headers = scheme.sign(&draft, std::slice::from_ref(&key), now)?.headers;
    Ok(Ours { scheme, key, headers })
}

fn ours(name: &'static str, ours: Ours, body: &'static [u8], now: UnixTime) -> Contender {
    let Ours { scheme, key, headers } = ours;
    let keys = [key];
    let verify = move || {
        let message = Message { method: "POST", url: "/", headers: &headers, body };
        scheme.verify(&message, &keys, now).is_ok()
    };
    Contender { name, is_promised: false, verify: Box::new(verify) }
}

/// The HMAC and the comparison alone, keyed for each request, as a handler does that was pasted from a manual. It decodes no header.
fn bare_naive(body: &'static [u8]) -> Contender {
    let expected = mac().chain_update(body).finalize().into_bytes();
    let verify = move || mac().chain_update(body).verify(&expected).is_ok();
    Contender { name: "bare HMAC, keyed for each request (naive)", is_promised: false, verify: Box::new(verify) }
}

/// The least that any verifier could do: the hash state of the key is there already.
fn bare_prepared(body: &'static [u8]) -> Contender {
    let prepared = mac();
    let expected = prepared.clone().chain_update(body).finalize().into_bytes();
    let verify = move || prepared.clone().chain_update(body).verify(&expected).is_ok();
    Contender { name: "bare HMAC, key prepared", is_promised: false, verify: Box::new(verify) }
}

fn mac() -> Hmac<Sha256> {
    Hmac::new_from_slice(SECRET.as_bytes()).expect("an HMAC takes any key")
}

fn standardwebhooks(body: &'static [u8], headers: HeaderMap) -> Result<Contender> {
    let webhook = standardwebhooks::Webhook::new(SECRET)?;
    let verify = move || webhook.verify(body, &headers).is_ok();
    Ok(Contender { name: "crate standardwebhooks 1", is_promised: false, verify: Box::new(verify) })
}

fn svix(body: &'static [u8], headers: HeaderMap) -> Result<Contender> {
    let webhook = svix::webhooks::Webhook::new(SECRET)?;
    let verify = move || webhook.verify(body, &headers).is_ok();
    Ok(Contender { name: "crate svix 2", is_promised: false, verify: Box::new(verify) })
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap> {
    headers.iter().map(|(name, value)| Ok((name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?))).collect()
}
