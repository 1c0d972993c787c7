//! Owns filling a template: reading what a request has in each place, the filters, and the borders between the pieces. Computes no
//! signature.

use std::borrow::Cow;

use crate::filter::Filter;
use crate::message::Message;
use crate::place::{self, Fault, Place};
use crate::signature::{self, Found};
use crate::template::{Made, Part, Source, Template};
use crate::url;
use crate::{json, proof::SignatureSpec};

/// The values that a template is filled with. Those which it does not name may be empty.
#[derive(Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) template: &'a Template,
    pub(crate) body: &'a [u8],
    pub(crate) timestamp: &'a str,
    pub(crate) id: &'a str,
    pub(crate) method: &'a str,
    pub(crate) url: &'a str,
    pub(crate) form: &'a [u8],
    /// What had to be made first, in the order in which the template names it.
    pub(crate) made: &'a [Vec<u8>],
    /// The secret, where it is hashed with the rest.
    pub(crate) secret: &'a [u8],
}

impl<'a> Content<'a> {
    /// A body that is signed alone.
    pub(crate) fn of_body(template: &'a Template, body: &'a [u8]) -> Self {
        Self { template, body, timestamp: "", id: "", method: "", url: "", form: &[], made: &[], secret: &[] }
    }

    /// Hands the signed bytes to `sink`, in order.
    pub(crate) fn feed(&self, mut sink: impl FnMut(&[u8])) {
        let mut made = self.made.iter();
        for part in self.template.parts() {
            sink(match part {
                Part::Literal(text) => text.as_bytes(),
                Part::Body => self.body,
                Part::Timestamp => self.timestamp.as_bytes(),
                Part::Id => self.id.as_bytes(),
                Part::Method => self.method.as_bytes(),
                Part::Url | Part::UrlAnyPort => self.url.as_bytes(),
                Part::FormSorted => self.form,
                Part::Secret => self.secret,
                Part::Const(_) => &[],
                Part::Made(_) => made.next().map_or(&[][..], Vec::as_slice),
            });
        }
    }

    /// The signed bytes in one piece, for algorithms that need them twice.
    pub(crate) fn to_vec(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.feed(|piece| bytes.extend_from_slice(piece));
        bytes
    }
}

/// What the values of a template are made from.
#[derive(Clone, Copy)]
pub(crate) struct Ingredients<'a> {
    pub(crate) message: &'a Message<'a>,
    /// The URL that is signed.
    pub(crate) url: &'a str,
    pub(crate) timestamp: &'a str,
    pub(crate) id: &'a str,
    /// The list that the signature stands in.
    pub(crate) list: Option<(&'a SignatureSpec, &'a Found<'a>)>,
}

impl Template {
    /// What has to be made before the content can be written, in order. Takes no heap where there is nothing.
    pub(crate) fn make(&self, from: &Ingredients<'_>) -> Result<Vec<Vec<u8>>, Fault> {
        let mut made = Vec::new();
        if !self.has_made() {
            return Ok(made);
        }
        for (part, next) in with_next(self.parts()) {
            match part {
                Part::Made(Made::Value(filters, source)) => made.push(from.value(filters, source, next)?),
                Part::Made(Made::Optional(inner)) => made.push(from.optional(inner, next)?),
                _ => {}
            }
        }
        Ok(made)
    }

    /// Whether `id` may stand in the template: an id that holds the text after it could shift the border between the fields,
    /// so that one signature fits two requests.
    pub(crate) fn admits_id(&self, id: &str) -> bool {
        with_next(self.parts()).all(|(part, next)| !matches!(part, Part::Id) || !crosses(id.as_bytes(), next))
    }

    /// Whether the id ends where nobody can shift its end: at a text, at the time, or with the content.
    pub(crate) fn fences_id(&self) -> bool {
        with_next(self.parts()).any(|pair| matches!(pair, (Part::Id, None | Some(Part::Literal(_) | Part::Timestamp))))
    }
}

fn with_next(parts: &[Part]) -> impl Iterator<Item = (&Part, Option<&Part>)> {
    parts.iter().enumerate().map(|(at, part)| (part, parts.get(at + 1)))
}

/// Whether a value holds the text that stands after it.
fn crosses(value: &[u8], next: Option<&Part>) -> bool {
    match next {
        Some(Part::Literal(text)) => match text.as_bytes() {
            [byte] => value.contains(byte),
            text => value.windows(text.len()).any(|window| window == text),
        },
        _ => false,
    }
}

impl Ingredients<'_> {
    /// The bytes of a value, which may not hold the text after it.
    fn value(&self, filters: &[Filter], source: &Source, next: Option<&Part>) -> Result<Vec<u8>, Fault> {
        let mut value = self.read(source)?.ok_or(Fault::Missing)?;
        let is_fenced = filters.iter().any(|filter| filter.is_bounded()) || !source.is_shiftable();
        if !is_fenced && crosses(&value, next) {
            return Err(Fault::Malformed);
        }
        for filter in filters.iter().rev() {
            value = filter.apply(value).ok_or(Fault::Malformed)?;
        }
        Ok(value.into_owned())
    }

    /// What stands in brackets, or nothing where one of its parts is absent.
    fn optional(&self, parts: &[Part], after: Option<&Part>) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        for (part, next) in with_next(parts) {
            match part {
                Part::Literal(text) => bytes.extend_from_slice(text.as_bytes()),
                Part::Body => bytes.extend_from_slice(self.message.body),
                Part::Timestamp => bytes.extend_from_slice(self.timestamp.as_bytes()),
                Part::Id => bytes.extend_from_slice(self.id.as_bytes()),
                Part::Method => bytes.extend_from_slice(self.message.method.as_bytes()),
                Part::Url | Part::UrlAnyPort => bytes.extend_from_slice(self.url.as_bytes()),
                Part::Made(Made::Value(filters, source)) => match self.value(filters, source, next.or(after)) {
                    Ok(value) => bytes.extend(value),
                    Err(Fault::Missing) => return Ok(Vec::new()),
                    Err(fault) => return Err(fault),
                },
                Part::FormSorted | Part::Secret | Part::Const(_) | Part::Made(Made::Optional(_)) => {}
            }
        }
        Ok(bytes)
    }

    fn read(&self, source: &Source) -> Result<Option<Cow<'_, [u8]>>, Fault> {
        let text = |text: Cow<'static, str>| Some(Cow::Owned(text.into_owned().into_bytes()));
        Ok(match source {
            Source::Body => Some(self.message.body.into()),
            Source::Timestamp => Some(self.timestamp.as_bytes().into()),
            Source::Id => Some(self.id.as_bytes().into()),
            Source::Method => Some(self.message.method.as_bytes().into()),
            Source::Url => Some(self.url.as_bytes().into()),
            Source::Host => url::host(self.url).map(|host| host.as_bytes().into()),
            Source::Path => text(url::path(self.url).into_owned().into()),
            Source::PathAndQuery => text(url::path_and_query(self.url).into_owned().into()),
            Source::QuerySorted => Some(url::sorted_query(self.url).ok_or(Fault::Malformed)?.into_bytes().into()),
            Source::QueryVonage => Some(url::vonage_query(self.url).ok_or(Fault::Malformed)?.into()),
            Source::FormJson => Some(url::form_as_json(self.message.body).ok_or(Fault::Malformed)?.into()),
            Source::Atlassian => {
                let request = url::atlassian_request(self.message.method, self.url);
                Some(request.ok_or(Fault::Malformed)?.into_bytes().into())
            }
            Source::Plivo => Some(plivo(self.message, self.url)?.into()),
            Source::Listed(list) => listed(self.message, list)?.map(Cow::Owned),
            Source::Place(Place::Signature(name)) => match self.list {
                Some((spec, found)) => signature::entry(spec, found, name)?.map(Cow::Borrowed),
                None => None,
            },
            Source::Place(place) => place.sent(self.message)?.filter(|value| !value.is_empty()),
            Source::JsonRaw(pointer) => {
                json::unique(place::bounded(self.message.body), pointer)?.map(|raw| raw.as_bytes().into())
            }
        })
    }
}

/// At most so many headers are listed by one.
const MAX_LISTED: usize = 64;

/// The headers that `list` names, each of which must be there once. The list stands for nobody's but its own word: what must be signed
/// is looked for in it by whoever trusts it.
fn listed(message: &Message<'_>, list: &str) -> Result<Option<Vec<u8>>, Fault> {
    let Some(names) = place::header_text(message, list)? else { return Ok(None) };
    if names.split(',').nth(MAX_LISTED).is_some() {
        return Err(Fault::Malformed);
    }
    let mut lines = Vec::new();
    for name in names.split(',').map(str::trim) {
        let value = place::header_bytes(message, name)?.ok_or(Fault::Missing)?;
        let start = if lines.is_empty() { "" } else { ";" };
        lines.extend_from_slice(format!("{start}{}:", name.to_ascii_lowercase()).as_bytes());
        lines.extend_from_slice(value.trim_ascii());
    }
    Ok(Some(lines))
}

/// Where Plivo's nonce stands, which is signed after the URL, the form and a dot. It may have no dot: the end of a field could be moved
/// into it.
const PLIVO_NONCE: &str = "X-Plivo-Signature-V3-Nonce";

fn plivo(message: &Message<'_>, url: &str) -> Result<Vec<u8>, Fault> {
    let form: &[u8] = match url::is_form(message.headers.nth("Content-Type", 0), message.body) {
        true => message.body,
        false if message.body.is_empty() => &[],
        false => return Err(Fault::Malformed),
    };
    match place::header_text(message, PLIVO_NONCE)? {
        Some(nonce) if nonce.contains('.') => Err(Fault::Malformed),
        _ => url::plivo_request(url, form).ok_or(Fault::Malformed),
    }
}

impl Template {
    /// Whether a header of the request is among what is signed because another one lists it.
    pub(crate) fn lists(&self, message: &Message<'_>, name: &str) -> bool {
        let is_named = |list: &str| match place::header_text(message, list) {
            Ok(Some(names)) => names.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(name)),
            _ => false,
        };
        self.values().any(|(_, source)| matches!(source, Source::Listed(list) if is_named(list)))
    }
}

impl Source {
    /// Whether it is something of the query.
    pub(crate) fn is_query(&self) -> bool {
        matches!(self, Self::QuerySorted | Self::QueryVonage | Self::PathAndQuery | Self::Atlassian | Self::Plivo)
    }

    /// Whether a sender writes it freely, so that it may hold what stands after it.
    fn is_shiftable(&self) -> bool {
        matches!(self, Self::Place(_) | Self::Id | Self::Host | Self::Path | Self::PathAndQuery | Self::Url)
    }
}
