//! Takes credentials out of a request before anything of it is kept, logged or passed on.
//! Signatures stay: they prove only these bytes. Whatever a sender could use again goes.

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use crate::exposure::Exposed;
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

impl Credentials<'_> {
    /// Whether requests carry the secret in this header.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header.eq_ignore_ascii_case(name))
    }

    /// Whether requests carry the secret in this query parameter.
    pub(crate) fn has_query(&self, name: &str) -> bool {
        self.query.iter().any(|parameter| parameter.eq_ignore_ascii_case(name))
    }
}

/// The parts of a request worth keeping, without its credentials and without secrets of ours that stood elsewhere.
pub(crate) fn record(
    method: String,
    url: &str,
    headers: Vec<(String, Bytes)>,
    remote: String,
    credentials: Credentials<'_>,
    exposed: &Exposed,
) -> RequestRecord {
    let headers = headers.into_iter().enumerate().map(|(index, (name, value))| {
        let secret = ALWAYS_HEADERS.contains(&name.as_str())
            || credentials.has_header(&name)
            || exposed.headers.contains(&index);
        let value = if secret { Bytes::from_static(REDACTED.as_bytes()) } else { value };
        (name, value)
    });
    RequestRecord { method, target: target(url, credentials, &exposed.query), headers: headers.collect(), remote }
}

/// Path and query of `url` with every credential's value replaced. Names are compared after percent-decoding, without
/// regard to case: a disguised name hides nothing.
fn target(url: &str, credentials: Credentials<'_>, exposed: &[usize]) -> String {
    let origin_form = url.find("://").map_or(url, |scheme_end| {
        let rest = &url[scheme_end + 3..];
        rest.find('/').map_or("/", |path| &rest[path..])
    });
    let Some((path, query)) = origin_form.split_once('?') else {
        return origin_form.to_owned();
    };
    let pairs: Vec<String> = pairs(query)
        .enumerate()
        .map(|(index, (name, pair))| {
            let is_exposed = exposed.contains(&index);
            if is_exposed && !pair.contains('=') {
                return REDACTED.to_owned();
            }
            let secret = ALWAYS_QUERY.contains(&name.as_str()) || credentials.has_query(&name) || is_exposed;
            let raw_name = pair.split('=').next().unwrap_or(pair);
            if secret { format!("{raw_name}={REDACTED}") } else { pair.to_owned() }
        })
        .collect();
    format!("{path}?{}", pairs.join("&"))
}

/// The parameters of a query, each with its name in lower case and without percent-encoding.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (String, &str)> {
    query.split('&').map(|pair| {
        let raw_name = pair.split('=').next().unwrap_or(pair);
        (percent_decode_str(raw_name).decode_utf8_lossy().to_ascii_lowercase(), pair)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_the_query_is_gone_however_its_name_is_written() {
        let plain = |url| target(url, Credentials::default(), &[]);
        assert_eq!(plain("/in/x?a=1&token=s3cret&&b=2"), "/in/x?a=1&token=[redacted]&&b=2");
        assert_eq!(plain("http://h:1/in/x?ToKeN=s3cret"), "/in/x?ToKeN=[redacted]");
        assert_eq!(plain("/in/x?%74oken=s3cret"), "/in/x?%74oken=[redacted]");
        assert_eq!(plain("/in/x?token"), "/in/x?token=[redacted]");
        assert_eq!(plain("http://host"), "/");
        let key = ["key".to_owned()];
        let key = Credentials { query: &key, ..Credentials::default() };
        assert_eq!(target("/in/x?key=s3cret", key, &[]), "/in/x?key=[redacted]");
        assert_eq!(target("/in/x?a=1&b=s3cret&s3cret", key, &[1, 2]), "/in/x?a=1&b=[redacted]&[redacted]");
    }

    #[test]
    fn credential_headers_are_redacted_and_signatures_are_kept() {
        let headers = [
            ("authorization", "Bearer s"),
            ("x-gitlab-token", "s"),
            ("x-hub-signature-256", "sha256=ab"),
            ("x-a", "s"),
        ];
        let headers = headers.map(|(n, v)| (n.to_owned(), Bytes::from_static(v.as_bytes()))).to_vec();
        let more = ["X-Gitlab-Token".to_owned()];
        let credentials = Credentials { headers: &more, query: &[] };
        let exposed = Exposed { headers: vec![3], ..Exposed::default() };
        let kept = record("POST".into(), "/", headers, String::new(), credentials, &exposed);
        let values: Vec<&[u8]> = kept.headers.iter().map(|(_, value)| value.as_ref()).collect();
        assert_eq!(values, [b"[redacted]".as_slice(), b"[redacted]", b"sha256=ab", b"[redacted]"]);
    }
}
