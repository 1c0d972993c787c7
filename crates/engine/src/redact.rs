//! Takes credentials out of a request before anything of it is kept, logged or passed on.
//! Signatures stay: they prove only these bytes. Whatever a sender could use again goes.

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::model::{REDACTED, RequestRecord};

/// Headers that carry credentials whatever the scheme.
const ALWAYS_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// Query parameters that carry credentials whatever the scheme.
const ALWAYS_QUERY: [&str; 4] = ["token", "access_token", "api_key", "secret"];

/// The places where one scheme's requests carry the secret itself, besides the usual ones.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Credentials<'a> {
    /// Header names.
    pub(crate) headers: &'a [String],
    /// Query parameter names.
    pub(crate) query: &'a [String],
}

/// The parts of a request worth keeping, without its credentials.
pub(crate) fn record(
    method: String,
    url: &str,
    headers: Vec<(String, Bytes)>,
    remote: String,
    credentials: Credentials<'_>,
) -> RequestRecord {
    let headers = headers.into_iter().map(|(name, value)| {
        let secret = ALWAYS_HEADERS.contains(&name.as_str())
            || credentials.headers.iter().any(|header| header.eq_ignore_ascii_case(&name));
        let value = if secret { Bytes::from_static(REDACTED.as_bytes()) } else { value };
        (name, value)
    });
    RequestRecord { method, target: target(url, credentials.query), headers: headers.collect(), remote }
}

/// Path and query of `url` with every credential's value replaced. Names are compared after percent-decoding, without
/// regard to case: a disguised name hides nothing.
fn target(url: &str, more: &[String]) -> String {
    let origin_form = url.find("://").map_or(url, |scheme_end| {
        let rest = &url[scheme_end + 3..];
        rest.find('/').map_or("/", |path| &rest[path..])
    });
    let Some((path, query)) = origin_form.split_once('?') else {
        return origin_form.to_owned();
    };
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| {
            let raw_name = pair.split('=').next().unwrap_or(pair);
            let name = percent_decode_str(raw_name).decode_utf8_lossy().to_ascii_lowercase();
            let secret = ALWAYS_QUERY.contains(&name.as_str()) || more.iter().any(|q| q.eq_ignore_ascii_case(&name));
            if secret { format!("{raw_name}={REDACTED}") } else { pair.to_owned() }
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_the_query_is_gone_however_its_name_is_written() {
        let no_more = &[];
        assert_eq!(target("/in/x?a=1&token=s3cret&b=2", no_more), "/in/x?a=1&token=[redacted]&b=2");
        assert_eq!(target("http://h:1/in/x?ToKeN=s3cret", no_more), "/in/x?ToKeN=[redacted]");
        assert_eq!(target("/in/x?%74oken=s3cret", no_more), "/in/x?%74oken=[redacted]");
        assert_eq!(target("/in/x?token", no_more), "/in/x?token=[redacted]");
        assert_eq!(target("/in/x?key=s3cret", &["key".to_owned()]), "/in/x?key=[redacted]");
        assert_eq!(target("http://host", no_more), "/");
    }

    #[test]
    fn credential_headers_are_redacted_and_signatures_are_kept() {
        let headers = [("authorization", "Bearer s"), ("x-gitlab-token", "s"), ("x-hub-signature-256", "sha256=ab")];
        let headers = headers.map(|(n, v)| (n.to_owned(), Bytes::from_static(v.as_bytes()))).to_vec();
        let more = ["X-Gitlab-Token".to_owned()];
        let kept = record("POST".into(), "/", headers, String::new(), Credentials { headers: &more, query: &[] });
        let values: Vec<&[u8]> = kept.headers.iter().map(|(_, value)| value.as_ref()).collect();
        assert_eq!(values, [b"[redacted]".as_slice(), b"[redacted]", b"sha256=ab"]);
    }
}
