//! What an expression sees of an event: `event`, `source`, `headers`, `body`.
//! A body is read once for all expressions that want it, and only if one does.

use std::cell::{Cell, OnceCell};
use std::fmt;

use bytes::Bytes;
use cel::Context;
use cel::common::types::{CelBool, CelDouble, CelInt, CelNull, CelString, CelUInt};
use cel::common::value::Val;
use percent_encoding::percent_decode;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::values::{List, Map};
use super::{BODY_VALUES_MAX, Failure};

/// An event as expressions see it.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its type.
    pub event: String,
    /// Its source's name.
    pub source: String,
    /// The headers as kept, names lower case. Of several of one name the first is seen.
    pub headers: Vec<(String, Bytes)>,
    /// The raw body.
    pub body: Bytes,
}

impl Subject {
    /// The event, to be looked at by any number of expressions.
    pub fn view(&self) -> View<'_> {
        View { subject: self, headers: OnceCell::new(), body: OnceCell::new() }
    }

    /// The names that an expression may use.
    pub(super) const VARIABLES: [&'static str; 4] = ["body", "event", "headers", "source"];

    fn is_form(&self) -> bool {
        let kind = self.headers.iter().find(|(name, _)| name == "content-type").map(|(_, value)| &value[..]);
        let kind = kind.unwrap_or_default().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    }
}

type Read<'a> = Result<Box<dyn Val + 'a>, Failure>;

/// An event that is being looked at.
pub struct View<'a> {
    subject: &'a Subject,
    headers: OnceCell<Map<'a>>,
    body: OnceCell<Read<'a>>,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subject.fmt(f)
    }
}

impl<'a> View<'a> {
    /// Puts the variables within an expression's reach; the body only if it is wanted.
    pub(super) fn add_to(&self, context: &mut Context<'_, 'a>, wants_body: bool) -> Result<(), Failure> {
        context.add_variable_as_val("event", Box::new(CelString::from(self.subject.event.as_str())));
        context.add_variable_as_val("source", Box::new(CelString::from(self.subject.source.as_str())));
        let headers = self.headers.get_or_init(|| headers(&self.subject.headers));
        context.add_variable_as_val("headers", Box::new(headers.clone()));
        if wants_body {
            let body = self.body.get_or_init(|| body(self.subject)).as_ref().map_err(Clone::clone)?;
            context.add_variable_as_val("body", body.clone_as_boxed());
        }
        Ok(())
    }
}

fn headers(headers: &[(String, Bytes)]) -> Map<'_> {
    let text = |value: &Bytes| CelString::from(String::from_utf8_lossy(value).into_owned());
    // The last of a name would count.
    let first = headers.iter().rev();
    Map::new(first.map(|(name, value)| (CelString::from(name.as_str()), Box::new(text(value)) as _)).collect())
}

fn body(subject: &Subject) -> Read<'_> {
    if !subject.is_form() {
        return read(&mut serde_json::Deserializer::from_slice(&subject.body));
    }
    let fields = form(&subject.body)?;
    if let Some((_, payload)) = fields.iter().find(|(name, _)| name == "payload") {
        // From a reader nothing is borrowed, and the decoded payload ends here.
        return read(&mut serde_json::Deserializer::from_reader(payload.as_bytes()));
    }
    // Of several fields of one name the first is seen, as with headers.
    let fields = fields.into_iter().rev();
    let fields = fields.map(|(name, value)| (CelString::from(name), Box::new(CelString::from(value)) as _));
    Ok(Box::new(Map::new(fields.collect())))
}

/// The fields of a form, in order.
fn form(body: &[u8]) -> Result<Vec<(String, String)>, Failure> {
    let text = |bytes: &[u8]| {
        let spaced: Vec<u8> = bytes.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
        percent_decode(&spaced).decode_utf8_lossy().into_owned()
    };
    let parts = || body.split(|byte| *byte == b'&').filter(|part| !part.is_empty());
    if parts().count() > BODY_VALUES_MAX as usize {
        return Err(too_much());
    }
    let pair = |part: &[u8]| match part.iter().position(|byte| *byte == b'=') {
        Some(at) => (text(&part[..at]), text(&part[at + 1..])),
        None => (text(part), String::new()),
    };
    Ok(parts().map(pair).collect())
}

/// The JSON that a deserializer has, or null if it has none.
fn read<'de, R: serde_json::de::Read<'de>>(deserializer: &mut serde_json::Deserializer<R>) -> Read<'de> {
    let room = Room { values: Cell::new(BODY_VALUES_MAX), exceeded: Cell::new(false) };
    let value = Seed { room: &room, depth: 0 }.deserialize(&mut *deserializer);
    match value.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(_) if room.exceeded.get() => Err(too_much()),
        Err(_) => Ok(Box::new(CelNull)),
    }
}

fn too_much() -> Failure {
    Failure::TooMuch(format!("the body has more than {BODY_VALUES_MAX} values, or nests deeper than {BODY_DEPTH_MAX}"))
}

/// How deep a body may nest; less than where the JSON reader gives up, so that the two are told apart.
const BODY_DEPTH_MAX: u32 = 100;

struct Room {
    values: Cell<u32>,
    exceeded: Cell<bool>,
}

/// Reads one value, as long as there is room.
#[derive(Clone, Copy)]
struct Seed<'r> {
    room: &'r Room,
    depth: u32,
}

impl Seed<'_> {
    fn inner(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Box<dyn Val + 'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        match self.room.values.get().checked_sub(1) {
            Some(left) if self.depth <= BODY_DEPTH_MAX => self.room.values.set(left),
            _ => {
                self.room.exceeded.set(true);
                return Err(D::Error::custom("too much"));
            }
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Box<dyn Val + 'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Box::new(CelNull))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Box::new(CelBool::from(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Box::new(CelInt::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(match i64::try_from(value) {
            Ok(value) => Box::new(CelInt::from(value)),
            Err(_) => Box::new(CelUInt::from(value)),
        })
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Box::new(CelDouble::from(value)))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Box::new(CelString::from(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self.inner())? {
            items.push(item);
        }
        Ok(Box::new(List(items.into())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key_seed(Key)? {
            entries.push((key, access.next_value_seed(self.inner())?));
        }
        Ok(Box::new(Map::new(entries)))
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = CelString<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = CelString<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(CelString::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(CelString::from(value.to_owned()))
    }
}
