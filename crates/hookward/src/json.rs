//! Owns looking one value up in a JSON text. Builds no tree, and recurses no deeper than the pointer is long.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::place::Fault;

/// A longer value is not an id or a type, and is treated as absent.
pub(crate) const MAX_VALUE: usize = 1024;

/// As a reference token: every element of an array. There is a value only if all of them have the same.
const EVERY: &str = "*";

/// The string or integer at `pointer` (its reference tokens, already unescaped). Of a repeated member the last counts, as for
/// almost every JSON parser. No answer at all for a text that is not JSON.
pub(crate) fn look_up<'j>(json: &'j [u8], pointer: &[String]) -> Option<Cow<'j, str>> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let found = Walk { pointer, first: None }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    found
}

/// The first string or integer at `pointer`. Reads no further than it stands, so the text may end or stop being JSON after it.
pub(crate) fn first(json: &[u8], pointer: &[String]) -> Option<String> {
    let first = Cell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let _ = Walk { pointer, first: Some(&first) }.deserialize(&mut deserializer);
    first.into_inner()
}

/// The value at `pointer` as it is written. A member that occurs twice on the way is a fault: others may read the other one. No value
/// in a text that is not JSON.
pub(crate) fn unique<'j>(json: &'j [u8], pointer: &[String]) -> Result<Option<&'j str>, Fault> {
    let repeated = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let found = Strict { pointer, repeated: &repeated }.deserialize(&mut deserializer);
    match (repeated.get(), found, deserializer.end()) {
        (true, ..) => Err(Fault::Repeated),
        (false, Ok(found), Ok(())) => Ok(found.map(RawValue::get)),
        _ => Ok(None),
    }
}

/// The elements of the array at `pointer`, each as it is written. `None` where there is none, or more than `most`.
pub(crate) fn elements<'j>(json: &'j [u8], pointer: &[String], most: usize) -> Result<Option<Vec<&'j str>>, Fault> {
    let Some(array) = unique(json, pointer)? else { return Ok(None) };
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(array) else { return Ok(None) };
    Ok((elements.len() <= most).then(|| elements.into_iter().map(RawValue::get).collect()))
}

/// A JSON value as text: a string without its quotes and escapes, a number or boolean as it is written. Nothing for any other.
pub(crate) fn text(raw: &str) -> Option<Cow<'_, str>> {
    match raw.as_bytes().first()? {
        b'"' if raw.contains('\\') => serde_json::from_str::<String>(raw).ok().map(Cow::Owned),
        b'"' => raw.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.into()),
    }
}

/// The same JSON text with `value` at `pointer`, where members that are absent on the way are added. A number is written as a
/// string where one stood before. `None` for what is not JSON.
pub(crate) fn with(json: &[u8], pointer: &[String], value: serde_json::Value) -> Option<Vec<u8>> {
    let mut whole: serde_json::Value = serde_json::from_slice(json).ok()?;
    let mut at = &mut whole;
    for token in pointer {
        at = match at {
            serde_json::Value::Object(members) => members.entry(token).or_insert_with(|| serde_json::json!({})),
            serde_json::Value::Array(elements) => elements.get_mut(token.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    *at = if at.is_string() && value.is_number() { value.to_string().into() } else { value };
    Some(whole.to_string().into_bytes())
}

/// Looks for the one value at a pointer, and keeps it as it is written.
#[derive(Clone, Copy)]
struct Strict<'p> {
    pointer: &'p [String],
    repeated: &'p Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.pointer.is_empty() {
            return <&RawValue>::deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut seen) = (None, false);
        while let Some(matches) = map.next_key_seed(KeyIs(self.pointer.first().map(String::as_str)))? {
            if !matches {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            if std::mem::replace(&mut seen, true) {
                self.repeated.set(true);
            }
            found = map.next_value_seed(Self { pointer: &self.pointer[1..], ..self })?;
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let wanted = self.pointer.first().and_then(|token| token.parse::<usize>().ok());
        let mut found = None;
        for index in 0.. {
            let more = match Some(index) == wanted {
                true => seq.next_element_seed(Self { pointer: &self.pointer[1..], ..self })?.map(|value| found = value),
                false => seq.next_element::<IgnoredAny>()?.map(drop),
            };
            if more.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

#[derive(Clone, Copy)]
struct Walk<'p> {
    pointer: &'p [String],
    /// Where to leave the first value found; the walk then ends with an error, which is the way out of a parser.
    first: Option<&'p Cell<Option<String>>>,
}

impl Walk<'_> {
    /// One step down the pointer.
    fn inside(self) -> Self {
        Self { pointer: &self.pointer[1..], ..self }
    }

    /// The one value that every element has; none for an empty array.
    fn same_in_all<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<Cow<'de, str>>, A::Error> {
        let mut same: Option<Option<Cow<'de, str>>> = None;
        while let Some(found) = seq.next_element_seed(self.inside())? {
            same = Some(match same {
                Some(before) if before != found => None,
                _ => found,
            });
        }
        Ok(same.flatten())
    }

    /// A string or integer, which counts where the pointer ends.
    fn value<'de, E: Error>(self, text: impl FnOnce() -> Cow<'de, str>) -> Result<Option<Cow<'de, str>>, E> {
        if !self.pointer.is_empty() {
            return Ok(None);
        }
        match self.first {
            None => Ok(Some(text())),
            Some(first) => {
                first.set(Some(text().into_owned()));
                Err(E::custom("found"))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.value(|| value.to_string().into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.value(|| value.to_string().into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        if value.len() <= MAX_VALUE { self.value(|| value.to_owned().into()) } else { Ok(None) }
    }

    fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
        if value.len() <= MAX_VALUE { self.value(|| value.into()) } else { Ok(None) }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(matches) = map.next_key_seed(KeyIs(self.pointer.first().map(String::as_str)))? {
            if matches {
                found = map.next_value_seed(self.inside())?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if self.pointer.first().is_some_and(|token| token == EVERY) {
            return self.same_in_all(seq);
        }
        let wanted = self.pointer.first().and_then(|token| token.parse::<usize>().ok());
        let mut found = None;
        for index in 0.. {
            if Some(index) == wanted {
                match seq.next_element_seed(self.inside())? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }
}

/// Answers whether a member's name is the wanted one, without keeping the name.
struct KeyIs<'p>(Option<&'p str>);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(self.0 == Some(name))
    }
}
