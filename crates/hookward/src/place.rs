//! Owns where in a request something stands, and reading it from there. Knows nothing of what it means.

use std::borrow::Cow;

use serde::Deserialize;

use crate::encoding::Encoding;
use crate::hint::MAX_HINT_SCAN;
use crate::json;
use crate::message::Message;
use crate::signature::MAX_SIGNATURES;
use crate::url;

/// The longest JSON pointer, in reference tokens.
pub(crate) const MAX_POINTER: usize = 16;

/// How many headers of a numbered family are looked at: one more than may carry a signature.
const MAX_NUMBERED: usize = MAX_SIGNATURES + 1;

/// What stands for the number in the name of a numbered header.
const NUMBER: &str = "{n}";

/// A place in a request, written `header:NAME`, `authorization:SCHEME`, `query:NAME`, `form:NAME`, `json:/POINTER`, `signature:NAME`,
/// `claim:NAME`, `entry:NAME/ENTRY`, `base64-json:NAME/MEMBER` or `body`.
///
/// `header:NAME-{n}` is a family of headers, numbered from 1. `signature:NAME` is the entry `NAME=` of the list that the signature stands
/// in, `signature:#N` its `N`th entry. `claim:NAME` is a claim of the token that proves the request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Place {
    /// A header's whole value.
    Header(String),
    /// Headers that are numbered from 1; their names.
    Numbered(Vec<String>),
    /// The credentials of this scheme in the `Authorization` header.
    Authorization(String),
    /// A query parameter.
    Query(String),
    /// A field of a URL-encoded form.
    Form(String),
    /// A value in a JSON body; read only after the body is proven, but where it is itself signed or a signature.
    Json(Vec<String>),
    /// The entry `NAME=` of the list that the signature stands in, or by its number.
    Signature(String),
    /// A claim of the token that proves the request.
    Claim(String),
    /// The entry of a header that has several, between commas or semicolons, as `name=value` or `name="value"`.
    Entry(String, String),
    /// A member of a JSON object that stands in a header in base64.
    Base64Json(String, String),
    /// The whole body.
    Body,
}

/// What is wrong with what stands in a place. Its owner turns this into the refusal that says of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Missing,
    Repeated,
    Malformed,
}

const KINDS: &str = "unknown place `";
const EXPECTED: &str = "`, expected one of `header`, `authorization`, `query`, `form`, `json`, `signature`, `claim`, `entry`, `base64-json`, `body`";

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "body" {
            return Ok(Self::Body);
        }
        let (kind, name) = text.split_once(':').ok_or_else(|| format!("a place is written kind:name, not `{text}`"))?;
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain {
            return Err(format!("the name of the place `{text}` must be visible ascii"));
        }
        let owned = name.to_owned();
        match kind {
            "header" => match name.split_once(NUMBER) {
                None => Ok(Self::Header(owned)),
                Some((start, end)) => {
                    Ok(Self::Numbered((1..=MAX_NUMBERED).map(|number| format!("{start}{number}{end}")).collect()))
                }
            },
            "authorization" => Ok(Self::Authorization(owned)),
            "query" => Ok(Self::Query(owned)),
            "form" => Ok(Self::Form(owned)),
            "signature" => Ok(Self::Signature(owned)),
            "claim" => Ok(Self::Claim(owned)),
            "base64-json" | "entry" => match name.split_once('/') {
                Some((header, inside)) if !header.is_empty() && !inside.is_empty() => {
                    let place = if kind == "entry" { Self::Entry } else { Self::Base64Json };
                    Ok(place(header.to_owned(), inside.to_owned()))
                }
                _ => Err(format!("`{text}` must name a header and what is in it, with `/` between them")),
            },
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
            Self::Numbered(names) => {
                let first = names.first().map_or("", String::as_str);
                write!(f, "header:{}", first.replacen('1', NUMBER, 1))
            }
            Self::Form(name) => write!(f, "form:{name}"),
            Self::Claim(name) => write!(f, "claim:{name}"),
            Self::Entry(header, name) => write!(f, "entry:{header}/{name}"),
            Self::Base64Json(header, member) => write!(f, "base64-json:{header}/{member}"),
            Self::Body => f.write_str("body"),
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
            Self::Header(name) | Self::Entry(name, _) | Self::Base64Json(name, _) => Some(name),
            Self::Numbered(names) => names.first().map(String::as_str),
            Self::Authorization(_) => Some("Authorization"),
            Self::Query(_) | Self::Form(_) | Self::Json(_) | Self::Signature(_) | Self::Claim(_) | Self::Body => None,
        }
    }

    /// Every header that this place is in.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        let family = match self {
            Self::Numbered(names) => names.as_slice(),
            _ => &[],
        };
        let one = self.header().filter(|_| family.is_empty());
        one.into_iter().chain(family.iter().map(String::as_str))
    }

    /// What stands in this place of a request that nothing proves yet. Read strictly, so that nobody reads it in another way: a
    /// header, parameter, field or member that occurs twice is a fault, and JSON that ends nowhere or is longer than
    /// [`MAX_HINT_SCAN`] holds nothing.
    pub(crate) fn sent<'m>(&self, message: &Message<'m>) -> Result<Option<Cow<'m, [u8]>>, Fault> {
        match self {
            Self::Header(name) => Ok(header_text(message, name)?.map(|text| text.as_bytes().into())),
            Self::Query(name) => url::query_value(message.url, name),
            Self::Form(name) => match url::is_form(message.headers.nth("Content-Type", 0), message.body) {
                true => url::form_value(message.body, name.as_bytes()).map(|found| found.map(Cow::Owned)),
                false => Ok(None),
            },
            Self::Json(pointer) => {
                let found = json::unique(bounded(message.body), pointer)?;
                Ok(found.and_then(json::text).map(bytes))
            }
            Self::Entry(header, name) => match header_bytes(message, header)? {
                Some(value) => Ok(entry(value, name.as_bytes())?.map(Cow::Borrowed)),
                None => Ok(None),
            },
            Self::Base64Json(header, member) => {
                let Some(text) = header_bytes(message, header)? else { return Ok(None) };
                let object = Encoding::Base64.decode_long_tag(text).ok_or(Fault::Malformed)?;
                let found = json::unique(&object, std::slice::from_ref(member))?.and_then(json::text);
                found.map(|text| Some(Cow::Owned(text.into_owned().into_bytes()))).ok_or(Fault::Malformed)
            }
            Self::Body => Ok(Some(message.body.into())),
            Self::Numbered(_) | Self::Authorization(_) | Self::Signature(_) | Self::Claim(_) => Ok(None),
        }
    }

    /// The printable text in this place. Absent and empty are the same; a header that occurs twice or holds control characters
    /// is a fault, and the same in an already proven body counts as absent.
    pub(crate) fn read<'m>(&self, message: &Message<'m>) -> Result<Option<Cow<'m, str>>, Fault> {
        match self {
            Self::Header(name) => Ok(header_text(message, name)?.map(Cow::Borrowed)),
            Self::Json(pointer) => {
                let found = json::look_up(message.body, pointer);
                Ok(found.filter(|text| !text.is_empty() && !text.chars().any(char::is_control)))
            }
            Self::Query(_) | Self::Form(_) => {
                let found = self.sent(message)?.and_then(|text| String::from_utf8(text.into_owned()).ok());
                Ok(found.filter(|text| is_plain(text)).map(Cow::Owned))
            }
            Self::Numbered(_) | Self::Authorization(_) | Self::Signature(_) | Self::Claim(_) => Ok(None),
            Self::Entry(..) | Self::Base64Json(..) | Self::Body => Ok(None),
        }
    }
}

/// The bytes of a text, borrowed where it is.
pub(crate) fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// The one entry `name=` of a header's value, between commas or semicolons that stand in no quotes, without its own quotes.
fn entry<'v>(value: &'v [u8], name: &[u8]) -> Result<Option<&'v [u8]>, Fault> {
    let mut quoted = false;
    let entries = value.split(|byte| {
        quoted ^= *byte == b'"';
        !quoted && matches!(byte, b',' | b';')
    });
    let mut found = None;
    for entry in entries {
        let Some(text) = entry.trim_ascii().strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) else {
            continue;
        };
        let bare = match text.strip_prefix(b"\"") {
            Some(rest) => rest.strip_suffix(b"\"").ok_or(Fault::Malformed)?,
            None => text,
        };
        if bare.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
            return Err(Fault::Malformed);
        }
        if found.replace(bare).is_some() {
            return Err(Fault::Repeated);
        }
    }
    Ok(found)
}

/// Whether a text can be shown and kept as an id or a type.
pub(crate) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= json::MAX_VALUE && !text.chars().any(char::is_control)
}

/// A body that nothing proves yet, or nothing where it is too long to be looked into.
pub(crate) fn bounded(body: &[u8]) -> &[u8] {
    if body.len() <= MAX_HINT_SCAN { body } else { &[] }
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
    match message.headers.first_two(name) {
        [_, Some(_)] => Err(Fault::Repeated),
        [found, None] => Ok(found),
    }
}
