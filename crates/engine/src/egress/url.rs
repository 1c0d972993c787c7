//! Which URLs can be delivered to: a strict reading that leaves no two programs room to disagree.
//! Resolves nothing; addresses are judged by `judge`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ::http::uri::{Authority, Scheme};
use ::http::{HeaderValue, Uri};

/// The longest URL, in bytes.
pub const URL_MAX: usize = 2048;

/// Why a URL is not delivered to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// Nothing there, or too much of it.
    #[error("a url has 1 to {URL_MAX} characters")]
    Length,
    /// Spaces, control characters, backslashes, anything beyond ASCII.
    #[error("a url is written in printable ASCII: percent-encode the path, write the host in its `xn--` form")]
    Character,
    /// Another scheme, or none.
    #[error("a url begins with `http://` or `https://`")]
    Scheme,
    /// A user name or a password.
    #[error("a url holds no user name or password")]
    UserInfo,
    /// A `#`.
    #[error("a url holds no fragment")]
    Fragment,
    /// No host, or one that is not a DNS name.
    #[error("the host is not a DNS name (labels of 1 to 63 letters, digits, hyphens), nor an IPv6 address in brackets")]
    Host,
    /// An IPv4 address in another notation than four decimal numbers.
    #[error("the host is a number, but not an IPv4 address of four decimal numbers")]
    NumericHost,
    /// A name that only a local search list could complete.
    #[error("the host is a single word, which names nothing public; it needs an address range that is allowed")]
    SingleLabel,
    /// Port 0, an empty port, or no number.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// A port that no web server listens on.
    #[error("the port is neither 80, 443 nor above 1023; it needs an address range that is allowed")]
    NotWebPort,
    /// The path or query is malformed.
    #[error("the path or the query holds a character that must be percent-encoded")]
    Path,
}

/// A URL's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address literal.
    Address(IpAddr),
    /// A DNS name, lower case.
    Name(String),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

/// A URL that was read and found sound. Prints as its origin, since the rest may carry a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    text: String,
    uri: Uri,
    host: Host,
    port: u16,
}

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// The first [`UrlProblem`] met.
    pub fn parse(url: &str) -> Result<Self, UrlProblem> {
        if url.is_empty() || url.len() > URL_MAX {
            return Err(UrlProblem::Length);
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(UrlProblem::Character);
        }
        if url.contains('#') {
            return Err(UrlProblem::Fragment);
        }
        let (scheme, rest) = url.split_once("://").ok_or(UrlProblem::Scheme)?;
        let default_port = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(UrlProblem::Scheme),
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if authority.contains('@') {
            return Err(UrlProblem::UserInfo);
        }
        let (host, port) = split_port(authority)?;
        let host = parse_host(host)?;
        let port = port.map_or(Ok(default_port), parse_port)?;
        let uri = Uri::try_from(url).map_err(|_| UrlProblem::Path)?;
        Ok(Self { text: url.to_owned(), uri, host, port })
    }

    /// Reads what a connector is given.
    pub(super) fn of(uri: &Uri) -> Result<Self, UrlProblem> {
        let authority = uri.authority().ok_or(UrlProblem::Host)?;
        Self::parse(&format!("{}://{authority}/", uri.scheme_str().unwrap_or_default()))
    }

    /// The URL as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The URL, taken apart.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The URL without its query, which may carry a token.
    pub fn without_query(&self) -> String {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let authority = self.uri.authority().map_or("", Authority::as_str);
        format!("{scheme}://{authority}{}", self.uri.path())
    }

    /// What a request's `Host` says: the port only where it is not the scheme's own.
    pub(crate) fn host_header(&self) -> HeaderValue {
        let default = if self.uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let host = self.uri.host().unwrap_or_default();
        let text = if self.port == default { host.to_owned() } else { format!("{host}:{}", self.port) };
        HeaderValue::try_from(text).expect("a host is printable ASCII")
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, written or implied.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the host is a name without a dot.
    pub fn is_single_label(&self) -> bool {
        matches!(&self.host, Host::Name(name) if !name.trim_end_matches('.').contains('.'))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}://{}:{})", self.uri.scheme_str().unwrap_or_default(), self.host, self.port)
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlProblem> {
    if !authority.starts_with('[') {
        return Ok(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))));
    }
    let end = authority.find(']').ok_or(UrlProblem::Host)? + 1;
    match authority.split_at(end) {
        (host, "") => Ok((host, None)),
        (host, rest) => Ok((host, Some(rest.strip_prefix(':').ok_or(UrlProblem::Host)?))),
    }
}

fn parse_port(port: &str) -> Result<u16, UrlProblem> {
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrlProblem::Port);
    }
    port.parse().ok().filter(|&port| port != 0).ok_or(UrlProblem::Port)
}

fn parse_host(host: &str) -> Result<Host, UrlProblem> {
    if let Some(literal) = host.strip_prefix('[') {
        let address: Option<Ipv6Addr> = literal.strip_suffix(']').and_then(|text| text.parse().ok());
        return address.map(|address| Host::Address(address.into())).ok_or(UrlProblem::Host);
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err(UrlProblem::Host);
    }
    // Resolvers read `2130706433`, `0x7f.1` and `127.0.0.1.` as addresses, each in its own way.
    let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    if last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x") {
        return Err(UrlProblem::NumericHost);
    }
    Ok(Host::Name(host.to_ascii_lowercase()))
}

fn is_label(label: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    matches!(label.len(), 1..=63) && label.bytes().all(word) && !label.starts_with('-') && !label.ends_with('-')
}
