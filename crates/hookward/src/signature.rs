//! Owns finding the signatures, the credential and the timestamp in a request: headers of every shape, lists, `key=value`
//! entries, query parameters. Decides nothing about whether they are right.

use std::borrow::Cow;

use crate::encoding::TAG_ROOM;
use crate::json;
use crate::message::Message;
use crate::place::{self, Fault, Place};
use crate::proof::{Proof, SignatureSpec, TimestampSpec, Unit};
use crate::refusal::Refusal;
use crate::time::{self, UnixTime, Zone};
use crate::url;

/// At most this many signatures of one request are looked at.
pub const MAX_SIGNATURES: usize = 32;

/// At most this many signatures of an asymmetric algorithm: each costs a hash of the whole body, where an HMAC is computed once for all.
pub const MAX_ASYMMETRIC_SIGNATURES: usize = 8;

/// What stands in the one filled place of a signature or credential.
pub(crate) enum Found<'a> {
    /// The values of headers.
    Headers { message: &'a Message<'a>, places: &'a [Place] },
    /// A single text.
    Text(Cow<'a, [u8]>),
}

/// A signed timestamp: the text that is signed and what it means.
pub(crate) struct Stamp<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) time: UnixTime,
}

impl SignatureSpec {
    /// What stands in the one place that is filled. `None` if no place is; a fault if two are, or one twice.
    pub(crate) fn find<'a>(&'a self, message: &'a Message<'a>) -> Result<Option<Found<'a>>, Fault> {
        if self.repeats {
            let found = Found::Headers { message, places: &self.at };
            return Ok(found.nth(0).is_some().then_some(found));
        }
        let mut found = None;
        for place in &self.at {
            if let Some(text) = self.look_in(place, message)?
                && found.replace(text).is_some()
            {
                return Err(Fault::Repeated);
            }
        }
        Ok(found)
    }

    fn look_in<'a>(&self, place: &'a Place, message: &'a Message<'a>) -> Result<Option<Found<'a>>, Fault> {
        match place {
            Place::Header(name) => Ok(place::header_bytes(message, name)?.map(|value| Found::Text(value.into()))),
            Place::Authorization(scheme) => match place::header_bytes(message, "Authorization")? {
                Some(value) => Ok(Some(Found::Text(credentials(value, scheme).unwrap_or_default().into()))),
                None => Ok(None),
            },
            Place::Query(name) => Ok(url::query_value(message.url, name)?.map(Found::Text)),
            // Every element has the same token.
            Place::Json(pointer) if pointer.iter().any(|token| token == "*") => {
                Ok(json::look_up(message.body, pointer).map(|text| Found::Text(place::bytes(text))))
            }
            Place::Json(_) | Place::Form(_) | Place::Entry(..) | Place::Base64Json(..) | Place::Body => {
                Ok(place.sent(message)?.map(Found::Text))
            }
            Place::Numbered(_) | Place::Signature(_) | Place::Claim(_) => Ok(None),
        }
    }

    fn split<'a>(&self, value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let (most, separator) = self.separator.map_or((1, 0), |separator| (usize::MAX, separator.0));
        value.splitn(most, move |byte| *byte == separator)
    }

    /// Every entry of every value.
    fn entries<'a>(&'a self, found: &'a Found<'a>) -> impl Iterator<Item = &'a [u8]> {
        (0..).map_while(|n| found.nth(n)).flat_map(|value| self.split(value))
    }

    /// The entries that are signatures, undecoded.
    fn candidates<'a>(&'a self, found: &'a Found<'a>) -> impl Iterator<Item = &'a [u8]> {
        self.entries(found).filter_map(|entry| entry.strip_prefix(self.prefix.as_str().as_bytes()))
    }
}

/// What follows the scheme's name and exactly one space; the name's case does not matter.
fn credentials<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    let credentials = rest.strip_prefix(b" ")?;
    (name.eq_ignore_ascii_case(scheme.as_bytes()) && !credentials.starts_with(b" ")).then_some(credentials)
}

impl Found<'_> {
    #[inline]
    fn nth(&self, n: usize) -> Option<&[u8]> {
        match self {
            Self::Headers { message, places } => match places {
                [Place::Header(name)] => message.headers.nth(name, n),
                places => {
                    let names = places.iter().flat_map(Place::headers);
                    names.flat_map(|name| (0..).map_while(move |at| message.headers.nth(name, at))).nth(n)
                }
            },
            Self::Text(text) => (n == 0).then_some(text),
        }
    }

    /// The credential: the one text, without its prefix.
    #[inline]
    pub(crate) fn credential(&self, spec: &SignatureSpec) -> Option<&[u8]> {
        self.nth(0)?.strip_prefix(spec.prefix.as_str().as_bytes()).filter(|text| !text.is_empty())
    }
}

impl Proof {
    /// Shows `visit` each signature sent that has the right form. Those that do not are passed over.
    pub(crate) fn each_tag(&self, found: &Found<'_>, mut visit: impl FnMut(&[u8])) {
        let Some(len) = self.algorithm.tag_len() else { return self.each_long_tag(found, visit) };
        let mut buffer = [0; TAG_ROOM];
        for text in self.signature.candidates(found) {
            if self.signature.encodings.iter().any(|encoding| encoding.decode_tag(text, len, &mut buffer)) {
                visit(&buffer[..len]);
            }
        }
    }

    /// The same for signatures of no fixed length.
    fn each_long_tag(&self, found: &Found<'_>, mut visit: impl FnMut(&[u8])) {
        for text in self.signature.candidates(found) {
            if let Some(tag) = self.signature.encodings.iter().find_map(|encoding| encoding.decode_long_tag(text)) {
                visit(&tag);
            }
        }
    }

    /// Whether more signatures were sent than are looked at.
    pub(crate) fn has_too_many(&self, found: &Found<'_>) -> bool {
        let most = if self.is_asymmetric() { MAX_ASYMMETRIC_SIGNATURES } else { MAX_SIGNATURES };
        let is_list = self.signature.separator.is_some() || self.signature.repeats;
        is_list && self.signature.candidates(found).nth(most).is_some()
    }
}

impl TimestampSpec {
    /// The timestamp, read but not judged.
    pub(crate) fn read<'a>(
        &'a self,
        message: &'a Message<'a>,
        signature: &'a SignatureSpec,
        found: &'a Found<'a>,
    ) -> Result<Stamp<'a>, Refusal> {
        let text = match &self.at {
            Place::Signature(name) => entry(signature, found, name).map(|found| found.map(Cow::Borrowed)),
            Place::Header(name) => place::header_bytes(message, name).map(|found| found.map(Cow::Borrowed)),
            place => place.sent(message),
        };
        self.understand(text)
    }

    /// What a place that was looked into says of the time.
    pub(crate) fn understand<'a>(&self, text: Result<Option<Cow<'a, [u8]>>, Fault>) -> Result<Stamp<'a>, Refusal> {
        let text = match text {
            Ok(Some(text)) => text,
            Ok(None) => return Err(Refusal::TimestampMissing),
            Err(_) => return Err(Refusal::TimestampRepeated),
        };
        self.parse(text).ok_or(Refusal::TimestampMalformed)
    }

    /// The text as the unit has it, within the range of time.
    fn parse<'a>(&self, text: Cow<'a, [u8]>) -> Option<Stamp<'a>> {
        let text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(std::str::from_utf8(text).ok()?),
            Cow::Owned(text) => Cow::Owned(String::from_utf8(text).ok()?),
        };
        let time = match self.unit {
            Unit::S => UnixTime::from_millis(number(&text)?.checked_mul(1000)?),
            Unit::Ms => UnixTime::from_millis(number(&text)?),
            Unit::SOrMs if text.len() >= MS_DIGITS => UnixTime::from_millis(number(&text)?),
            Unit::SOrMs => UnixTime::from_secs(number(&text)?),
            Unit::Rfc3339 => time::parse_rfc3339(&text, Zone::Written)?,
            Unit::Iso8601 => time::parse_rfc3339(&text, Zone::MayLack)?,
            Unit::HttpDate => time::parse_http_date(&text)?,
        };
        Some(Stamp { text, time })
    }

    /// Judges a proven timestamp. Both bounds are inclusive, and counted in the timestamp's own unit.
    pub(crate) fn check(&self, time: UnixTime, now: UnixTime) -> Result<(), Refusal> {
        let Some(tolerance_s) = self.tolerance_s else { return Ok(()) };
        let ahead_ms = match self.unit.is_in_seconds() {
            true => time.as_secs().saturating_sub(now.as_secs()).saturating_mul(1000),
            false => time.as_millis().saturating_sub(now.as_millis()),
        };
        if ahead_ms.unsigned_abs() <= u64::from(tolerance_s) * 1000 {
            return Ok(());
        }
        let seconds = ahead_ms.unsigned_abs() / 1000;
        Err(if ahead_ms > 0 {
            Refusal::TimestampTooNew { ahead_s: seconds }
        } else {
            Refusal::TimestampTooOld { age_s: seconds }
        })
    }
}

/// A number of so many digits is of milliseconds, where a provider writes both: as seconds it would lie after the year 5000.
const MS_DIGITS: usize = 12;

/// ASCII digits and nothing else.
fn number(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) { None } else { text.parse().ok() }
}

/// The one entry called `name`, or the one at a place: `#1` is the first.
pub(crate) fn entry<'a>(spec: &'a SignatureSpec, found: &'a Found<'a>, name: &str) -> Result<Option<&'a [u8]>, Fault> {
    if let Some(number) = name.strip_prefix('#') {
        let number: usize = number.parse().map_err(|_| Fault::Malformed)?;
        return Ok(spec.entries(found).nth(number.saturating_sub(1)));
    }
    let assign = spec.assign.0;
    let mut values =
        spec.entries(found).filter_map(|entry| match entry.strip_prefix(name.as_bytes())?.split_first()? {
            (byte, value) if *byte == assign => Some(value),
            _ => None,
        });
    let first = values.next();
    if values.next().is_some() { Err(Fault::Repeated) } else { Ok(first) }
}
