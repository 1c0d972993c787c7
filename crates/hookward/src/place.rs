//! Owns where in a request something stands, and reading it from there. Knows nothing of what it means.

use std::borrow::Cow;

use serde::Deserialize;

use crate::json;
use crate::message::Message;

/// The longest JSON pointer, in reference tokens.
pub(crate) const MAX_POINTER: usize = 16;

/// A place in a request, written `header:NAME`, `authorization:SCHEME`, `query:NAME`, `json:/POINTER` or `signature:NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Place {
    /// A header's whole value.
    Header(String),
    /// The credentials of this scheme in the `Authorization` header.
    Authorization(String),
    /// A query parameter.
    Query(String),
    /// A value in a JSON body; read only after the body is proven.
    Json(Vec<String>),
    /// The entry `NAME=` of the list that the signature stands in.
    Signature(String),
}

/// What is wrong with what stands in a place. Its owner turns this into the refusal that says of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Missing,
    Repeated,
    Malformed,
}

const KINDS: &str = "unknown place `";
const EXPECTED: &str = "`, expected one of `header`, `authorization`, `query`, `json`, `signature`";

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').ok_or_else(|| format!("a place is written kind:name, not `{text}`"))?;
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain {
            return Err(format!("the name of the place `{text}` must be visible ascii"));
        }
        let owned = name.to_owned();
        match kind {
            "header" => Ok(Self::Header(owned)),
            "authorization" => Ok(Self::Authorization(owned)),
            "query" => Ok(Self::Query(owned)),
            "signature" => Ok(Self::Signature(owned)),
            "json" => pointer(name).map(Self::Json),
            _ => Err(format!("{KINDS}{kind}{EXPECTED}")),
        }
    }
}

/// The reference tokens of a JSON pointer, unescaped.
pub(crate) fn pointer(text: &str) -> Result<Vec<String>, String> {
    let tokens = text.strip_prefix('/').ok_or_else(|| format!("the JSON pointer `{text}` must begin with `/`"))?;
    let tokens: Vec<String> = tokens.split('/').map(|token| token.replace("~1", "/").replace("~0", "~")).collect();
    if tokens.len() > MAX_POINTER {
        return Err(format!("the JSON pointer `{text}` is deeper than {MAX_POINTER}"));
    }
    Ok(tokens)
}

/// As it is written in a scheme file.
impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Authorization(name) => write!(f, "authorization:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Signature(name) => write!(f, "signature:{name}"),
            Self::Json(tokens) => {
                f.write_str("json:")?;
                tokens.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
            }
        }
    }
}

impl Place {
    /// The name of the header that this place is in.
    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Authorization(_) => Some("Authorization"),
            Self::Query(_) | Self::Json(_) | Self::Signature(_) => None,
        }
    }

    /// The printable text in this place. Absent and empty are the same; a header that occurs twice or holds control characters
    /// is a fault, and the same in an already proven body counts as absent.
    pub(crate) fn read<'m>(&self, message: &Message<'m>) -> Result<Option<Cow<'m, str>>, Fault> {
        match self {
            Self::Header(name) => Ok(header_text(message, name)?.map(Cow::Borrowed)),
            Self::Json(pointer) => {
                let found = json::look_up(message.body, pointer);
                Ok(found.filter(|text| !text.is_empty() && !text.chars().any(char::is_control)).map(Cow::Owned))
            }
            Self::Authorization(_) | Self::Query(_) | Self::Signature(_) => Ok(None),
        }
    }
}

/// The one value of a header as visible ASCII with inner spaces.
pub(crate) fn header_text<'m>(message: &Message<'m>, name: &str) -> Result<Option<&'m str>, Fault> {
    let Some(value) = header_bytes(message, name)? else { return Ok(None) };
    if value.is_empty() {
        return Ok(None);
    }
    let printable = value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    match std::str::from_utf8(value) {
        Ok(text) if printable => Ok(Some(text)),
        _ => Err(Fault::Malformed),
    }
}

/// The one value of a header.
pub(crate) fn header_bytes<'m>(message: &Message<'m>, name: &str) -> Result<Option<&'m [u8]>, Fault> {
    let Some(value) = message.headers.nth(name, 0) else { return Ok(None) };
    if message.headers.nth(name, 1).is_some() {
        return Err(Fault::Repeated);
    }
    Ok(Some(value))
}
