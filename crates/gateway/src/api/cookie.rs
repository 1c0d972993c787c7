//! The session of a browser: its cookie, and the proof that a request which changes something comes from a page of our own.
//! A browser sends its cookies along with whatever any page asks of it.

use std::time::Duration;

use hookward_engine::accounts::{SESSION_MAX, Token};
use http::{HeaderMap, HeaderValue, Method, header};

use super::problem::{Code, Problem};
use crate::oidc::ATTEMPT;

/// The cookie's name.
const SESSION: &str = "hookward_session";

/// How long the text of a link is kept for its form.
const BROUGHT: Duration = Duration::from_secs(60 * 60);

/// What the name of the cookie of an attempt to sign in at a provider begins with.
const ATTEMPT_PREFIX: &str = "hookward_sign_in_";

/// Whether browsers are to send a cookie over TLS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Over TLS only.
    Secure,
    /// The listener is on loopback, where there is no TLS and nobody between.
    Loopback,
}

impl Transport {
    /// What `Set-Cookie` ends with.
    fn attribute(self) -> &'static str {
        match self {
            Self::Secure => "; Secure",
            Self::Loopback => "",
        }
    }

    /// The name under which a browser keeps a cookie. With `__Host-` it takes one from this host alone, over TLS: no
    /// neighbour, and nobody on the way, can put another there.
    fn name(self, name: &str) -> String {
        match self {
            Self::Secure => format!("__Host-{name}"),
            Self::Loopback => name.to_owned(),
        }
    }
}

/// The cookie that proves a session.
pub(crate) fn set(token: &Token, transport: Transport) -> HeaderValue {
    made(SESSION, token.expose(), "Strict", SESSION_MAX, transport)
}

/// Takes the cookie back.
pub(crate) fn clear(transport: Transport) -> HeaderValue {
    made(SESSION, "", "Strict", Duration::ZERO, transport)
}

/// The cookie of an attempt to sign in. `Lax`, because it has to come along when the provider sends the browser back.
pub(super) fn set_attempt(provider: &str, attempt: &str, transport: Transport) -> HeaderValue {
    made(&format!("{ATTEMPT_PREFIX}{provider}"), attempt, "Lax", ATTEMPT, transport)
}

/// A text that a link brought, until the form behind it is sent: so that it does not stay in an address. `Lax`, because
/// links are opened from elsewhere.
pub(crate) fn set_brought(name: &str, text: &str, transport: Transport) -> HeaderValue {
    made(name, text, "Lax", BROUGHT, transport)
}

/// Takes it back.
pub(crate) fn clear_brought(name: &str, transport: Transport) -> HeaderValue {
    made(name, "", "Lax", Duration::ZERO, transport)
}

/// What a link brought.
pub(crate) fn brought<'h>(headers: &'h HeaderMap, name: &str, transport: Transport) -> Option<&'h str> {
    value(headers, &transport.name(name))
}

/// Takes it back.
pub(super) fn clear_attempt(provider: &str, transport: Transport) -> HeaderValue {
    made(&format!("{ATTEMPT_PREFIX}{provider}"), "", "Lax", Duration::ZERO, transport)
}

fn made(name: &str, value: &str, same_site: &str, age: Duration, transport: Transport) -> HeaderValue {
    let (name, age, secure) = (transport.name(name), age.as_secs(), transport.attribute());
    cookie(&format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}; Max-Age={age}{secure}"))
}

fn cookie(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).expect("a cookie is visible ASCII");
    value.set_sensitive(true);
    value
}

/// The session that a browser claims.
pub(super) fn session(headers: &HeaderMap, transport: Transport) -> Option<&str> {
    value(headers, &transport.name(SESSION))
}

/// The attempt to sign in at a provider that a browser claims to have begun.
pub(super) fn attempt<'h>(headers: &'h HeaderMap, provider: &str, transport: Transport) -> Option<&'h str> {
    value(headers, &transport.name(&format!("{ATTEMPT_PREFIX}{provider}")))
}

/// The value of one cookie, if there is exactly one of that name.
fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut found = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
    let (Some(value), None) = (found.next(), found.next()) else { return None };
    Some(value)
}

/// A request that a browser's cookie lets through must not be one that another site made the browser send.
pub(super) fn check_own_page(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    let foreign =
        || Problem::new(Code::Forbidden, "a request with a session's cookie has to come from a page of this gateway");
    if !is_same_origin(headers).unwrap_or(false) {
        return Err(foreign());
    }
    // Forms can be sent to anywhere; JSON cannot without asking first.
    let has_body = *method != Method::DELETE;
    if has_body && !is_json(headers) {
        return Err(foreign());
    }
    Ok(())
}

/// A request that a page of another site made a browser send. What is no browser's says nothing of where it comes from.
pub(super) fn refuse_foreign_page(headers: &HeaderMap) -> Result<(), Problem> {
    match is_same_origin(headers) {
        Some(false) => Err(Problem::new(Code::Forbidden, "a page of another site cannot sign anybody in")),
        _ => Ok(()),
    }
}

/// Whether a browser says that a page of our own asks; `None` when nothing is said.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> Option<bool> {
    if let Some(site) = headers.get("sec-fetch-site") {
        return Some(site == "same-origin");
    }
    let origin = headers.get(header::ORIGIN)?;
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    Some(origin.is_some() && origin == host)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_cookie_is_found_among_others_and_two_are_none() {
        let found =
            |given: &[(&'static str, &'static str)], transport| session(&headers(given), transport).map(str::to_owned);
        let plain = |given: &[_]| found(given, Transport::Loopback);
        assert_eq!(plain(&[("cookie", "a=b; hookward_session=session.x; c=d")]).as_deref(), Some("session.x"));
        assert_eq!(plain(&[("cookie", "a=b"), ("cookie", "hookward_session=x")]).as_deref(), Some("x"));
        assert_eq!(plain(&[("cookie", "hookward_session=x; hookward_session=y")]), None);
        assert_eq!(plain(&[("cookie", "xhookward_session=x")]), None);
        assert_eq!(plain(&[]), None);
        let planted = ("cookie", "hookward_session=x; __Host-hookward_session=y");
        assert_eq!(found(&[planted], Transport::Secure).as_deref(), Some("y"), "a neighbour's counts for nothing");
    }

    #[test]
    fn only_pages_of_our_own_change_anything() {
        const JSON: (&str, &str) = ("content-type", "application/json");
        const HOST: (&str, &str) = ("host", "hooks.example:8081");
        for (method, given, is_let_through) in [
            (Method::GET, &[][..], true),
            (Method::POST, &[], false),
            (Method::POST, &[JSON], false),
            (Method::POST, &[JSON, ("sec-fetch-site", "same-origin")], true),
            (Method::POST, &[("sec-fetch-site", "same-origin")], false),
            (Method::POST, &[("content-type", "text/plain"), ("sec-fetch-site", "same-origin")], false),
            (Method::POST, &[JSON, ("sec-fetch-site", "same-site")], false),
            (
                Method::POST,
                &[JSON, ("sec-fetch-site", "cross-site"), HOST, ("origin", "http://hooks.example:8081")],
                false,
            ),
            (Method::POST, &[JSON, HOST, ("origin", "http://hooks.example:8081")], true),
            (Method::POST, &[JSON, HOST, ("origin", "http://hooks.example")], false),
            (Method::POST, &[JSON, HOST, ("origin", "null")], false),
            (Method::POST, &[JSON, ("origin", "http://hooks.example:8081")], false),
            (Method::DELETE, &[], false),
            (Method::DELETE, &[("sec-fetch-site", "same-origin")], true),
        ] {
            let answer = check_own_page(&method, &headers(given));
            assert_eq!(answer.is_ok(), is_let_through, "{method} {given:?}");
        }
    }

    #[test]
    fn what_is_no_browser_may_sign_in_and_foreign_pages_may_not() {
        assert!(refuse_foreign_page(&headers(&[])).is_ok());
        assert!(refuse_foreign_page(&headers(&[("sec-fetch-site", "same-origin")])).is_ok());
        assert!(refuse_foreign_page(&headers(&[("sec-fetch-site", "cross-site")])).is_err());
        assert!(refuse_foreign_page(&headers(&[("host", "a"), ("origin", "https://b")])).is_err());
    }
}
