//! A request as a command that sends it again, for a shell. Nothing that is a credential is in it: where one stood, the
//! header is left out, and a comment says which.

use bytes::Bytes;
use hookward_engine::model::REDACTED;

use super::body::turns;

/// The longest body that stands in the command, in bytes; a longer one comes from a file.
pub(super) const INLINE_MAX: usize = 8 << 10;

/// Headers that `curl` writes itself, or that belong to one connection.
const OWN: [&str; 12] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "accept",
    "user-agent",
];

/// A request that can be sent again.
#[derive(Debug)]
pub(super) struct Again<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) headers: &'a [(String, Bytes)],
    pub(super) body: Content<'a>,
    /// The file that a body which is long, or not plain text, was saved as.
    pub(super) file: &'a str,
}

/// The body of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    /// There is none, or none any more.
    None,
    /// These bytes.
    Bytes(&'a Bytes),
    /// More than stands in a command.
    Long,
}

/// The command.
pub(super) fn command(again: &Again<'_>) -> String {
    let mut lines = vec![format!("curl -X {} {}", quoted(again.method), quoted(again.url))];
    let mut left_out: Vec<&str> = Vec::new();
    for (name, value) in again.headers.iter().filter(|(name, _)| !OWN.contains(&name.to_ascii_lowercase().as_str())) {
        let value = std::str::from_utf8(value).ok().filter(|value| is_plain(value) && !value.contains(REDACTED));
        match value {
            Some(value) => lines.push(format!("-H {}", quoted(&format!("{name}: {value}")))),
            None => left_out.push(name),
        }
    }
    let inline = |body: &'_ Bytes| {
        let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= INLINE_MAX && is_plain(text));
        text.map(|text| format!("--data-raw {}", quoted(text)))
    };
    let from_file = || format!("--data-binary {}", quoted(&format!("@{}", again.file)));
    match again.body {
        Content::None => {}
        Content::Bytes(body) if body.is_empty() => {}
        Content::Bytes(body) => lines.push(inline(body).unwrap_or_else(from_file)),
        Content::Long => lines.push(from_file()),
    }
    let comment = if left_out.is_empty() { String::new() } else { format!("# left out: {}\n", left_out.join(", ")) };
    comment + &lines.join(" \\\n  ")
}

/// Where a request came in, as its sender called it.
pub(super) fn url_of(headers: &[(String, Bytes)], target: &str) -> String {
    let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| &value[..]);
    let is_of_host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(byte);
    let host = header("host").filter(|host| !host.is_empty() && host.iter().all(is_of_host));
    let host = host.and_then(|host| std::str::from_utf8(host).ok()).unwrap_or("hookward.example");
    let is_here = ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|here| host.strip_prefix(here).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')));
    let is_plain_http = match header("x-forwarded-proto") {
        Some(proto) => proto == b"http",
        None => is_here,
    };
    format!("{}://{host}{target}", if is_plain_http { "http" } else { "https" })
}

/// Whether a text comes through a clipboard and a terminal as it is.
fn is_plain(text: &str) -> bool {
    !text.contains(|c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || turns(c))
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,%+".contains(c);
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(headers: &[(&str, &'static [u8])], body: Option<&'static [u8]>) -> String {
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from_static(value))).collect();
        let body = body.map(Bytes::from_static);
        let (method, url, file) = ("POST", "http://a/in?x=1&y", "evt.body");
        let body = body.as_ref().map_or(Content::None, Content::Bytes);
        command(&Again { method, url, headers: &headers, body, file })
    }

    #[test]
    fn nothing_breaks_out_of_the_command() {
        let told = of(&[("x-a", b"it's $(rm -rf /) `x`")], Some(b"{\"a\":\"'; reboot; '\"}\n"));
        let expected = "curl -X POST 'http://a/in?x=1&y' \\\n  -H 'x-a: it'\\''s $(rm -rf /) `x`' \\\n  \
                        --data-raw '{\"a\":\"'\\''; reboot; '\\''\"}\n'";
        assert_eq!(told, expected);
    }

    #[test]
    fn credentials_and_what_is_of_the_connection_are_left_out() {
        let headers: [(&str, &'static [u8]); 5] = [
            ("authorization", b"[redacted]"),
            ("Host", b"a"),
            ("content-length", b"2"),
            ("x-odd", b"\xff"),
            ("x-signature", b"v1"),
        ];
        let expected = "# left out: authorization, x-odd\ncurl -X POST 'http://a/in?x=1&y' \\\n  -H 'x-signature: v1'";
        assert_eq!(of(&headers, None), expected);
        assert_eq!(of(&headers, Some(b"")), expected);
    }

    #[test]
    fn a_body_that_is_long_or_no_text_comes_from_a_file() {
        let long: &'static [u8] = &[b'x'; INLINE_MAX + 1];
        assert!(of(&[], Some(&long[..INLINE_MAX])).contains("--data-raw xxx"));
        for body in [long, b"\xff", b"\x1b[2J", "\u{202e}".as_bytes(), b"a\r\nb"] {
            assert!(of(&[], Some(body)).ends_with("--data-binary @evt.body"), "{body:?}");
        }
    }

    #[test]
    fn a_url_is_built_of_nothing_odd() {
        let url = |headers: &[(&str, &'static str)]| {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Bytes::from_static(value.as_bytes())))
                .collect();
            url_of(&headers, "/in/a?b")
        };
        assert_eq!(url(&[("host", "hooks.example.com")]), "https://hooks.example.com/in/a?b");
        assert_eq!(url(&[("host", "127.0.0.1:8080")]), "http://127.0.0.1:8080/in/a?b");
        assert_eq!(url(&[("host", "127.0.0.1.evil.example")]), "https://127.0.0.1.evil.example/in/a?b");
        assert_eq!(url(&[("host", "a"), ("x-forwarded-proto", "http")]), "http://a/in/a?b");
        for odd in ["", "a b", "a/b@c", "<b>"] {
            assert_eq!(url(&[("host", odd)]), "https://hookward.example/in/a?b", "{odd}");
        }
    }
}
