//! Owns looking one value up in a JSON text. Builds no tree, and recurses no deeper than the pointer is long.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A longer value is not an id or a type, and is treated as absent.
pub(crate) const MAX_VALUE: usize = 1024;

/// As a reference token: every element of an array. There is a value only if all of them have the same.
const EVERY: &str = "*";

/// The string or integer at `pointer` (its reference tokens, already unescaped). Of a repeated member the last counts, as for
/// almost every JSON parser. No answer at all for a text that is not JSON.
pub(crate) fn look_up(json: &[u8], pointer: &[String]) -> Option<String> {
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
    fn same_in_all<'de, A: SeqAccess<'de>>(self, mut seq: A) -> Result<Option<String>, A::Error> {
        let mut same: Option<Option<String>> = None;
        while let Some(found) = seq.next_element_seed(self.inside())? {
            same = Some(match same {
                Some(before) if before != found => None,
                _ => found,
            });
        }
        Ok(same.flatten())
    }

    /// A string or integer, which counts where the pointer ends.
    fn value<E: Error>(self, text: impl FnOnce() -> String) -> Result<Option<String>, E> {
        if !self.pointer.is_empty() {
            return Ok(None);
        }
        match self.first {
            None => Ok(Some(text())),
            Some(first) => {
                first.set(Some(text()));
                Err(E::custom("found"))
            }
        }
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<String>;

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
        self.value(|| value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.value(|| value.to_string())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        if value.len() <= MAX_VALUE { self.value(|| value.to_owned()) } else { Ok(None) }
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
