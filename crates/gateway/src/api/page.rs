//! Pages of lists: `?limit=` and `?cursor=`, and the cursor's form.
//! A cursor is opaque to callers; it names its list, so that it cannot be used on another.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookward_engine::store::{Listing, Page};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::problem::{Code, Problem};

/// The most items on a page.
const LIMIT: u32 = 250;

/// Items on a page when the caller does not say.
const DEFAULT: u32 = 50;

/// A page of a list, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "{T}Page")]
pub(crate) struct List<T> {
    items: Vec<T>,
    /// The `cursor` of the next page, if there is one. A page may be short, or empty, and still have it.
    #[schemars(example = &"MS5ldmVudHMuNDI")]
    next: Option<String>,
}

/// `?limit=` as the API's document has it; it is read as text, so that what is wrong with it has a code of its own.
pub(crate) struct Limit;

impl JsonSchema for Limit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let description = "Items on the page at most.";
        json_schema!({ "type": "integer", "minimum": 1, "maximum": LIMIT, "default": DEFAULT, "description": description })
    }
}

/// `?cursor=` as the API's document has it.
pub(crate) struct Cursor;

impl JsonSchema for Cursor {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Cursor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "Where the page begins: `next` of the page before." })
    }
}

/// The page that a caller asked for in the list called `list`.
pub(crate) fn page(list: &str, limit: Option<&str>, cursor: Option<&str>) -> Result<Page, Problem> {
    let limit =
        match limit {
            None => DEFAULT,
            Some(text) => text.parse().ok().filter(|limit| (1..=LIMIT).contains(limit)).ok_or_else(|| {
                Problem::new(Code::InvalidLimit, format!("`limit` is a whole number from 1 to {LIMIT}"))
            })?,
        };
    let invalid = || Problem::new(Code::InvalidCursor, "`cursor` is not one that this list gave");
    let before = cursor.map(|text| decode(list, text).ok_or_else(invalid)).transpose()?;
    Ok(Page { before, limit })
}

/// Shows a page of the list called `list`.
pub(super) fn show<T, S>(list: &str, listing: Listing<T>, show: impl FnMut(T) -> S) -> List<S> {
    let next = listing.next.map(|before| encode(list, before));
    List { items: listing.items.into_iter().map(show).collect(), next }
}

/// The page of a list that is whole in memory. Positions count from its end, so that they stay when items are added.
pub(crate) fn slice<T>(items: Vec<T>, page: Page) -> Listing<T> {
    let total = items.len();
    let skip = page.before.map_or(0, |before| total.saturating_sub(usize::try_from(before).unwrap_or(0)));
    let limit = page.limit as usize;
    let left = total.saturating_sub(skip + limit);
    let items = items.into_iter().skip(skip).take(limit).collect();
    Listing { items, next: (left > 0).then(|| i64::try_from(left).unwrap_or(i64::MAX)) }
}

/// A position of the list called `list`, as a caller keeps it.
pub(crate) fn cursor(list: &str, position: i64) -> String {
    encode(list, position)
}

/// The position that a caller kept of the list called `list`.
pub(crate) fn position(list: &str, cursor: &str) -> Result<i64, Problem> {
    let invalid = || Problem::new(Code::InvalidCursor, "`after` is not one that this feed gave");
    decode(list, cursor).ok_or_else(invalid)
}

fn encode(list: &str, before: i64) -> String {
    URL_SAFE_NO_PAD.encode(format!("1.{list}.{before}"))
}

fn decode(list: &str, cursor: &str) -> Option<i64> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let before: i64 = text.strip_prefix("1.")?.strip_prefix(list)?.strip_prefix('.')?.parse().ok()?;
    // Only the one form that we write.
    (encode(list, before) == cursor).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let cursor = encode("events", 42);
        assert_eq!(decode("events", &cursor), Some(42));
        assert_eq!(decode("audit", &cursor), None);
        for bad in ["", "x", "MQ", "=", &format!("{cursor}="), &URL_SAFE_NO_PAD.encode("1.events.042")] {
            assert_eq!(decode("events", bad), None, "{bad}");
        }
    }

    #[test]
    fn a_limit_is_from_1_to_250() {
        for (text, good) in [("1", true), ("250", true), ("0", false), ("251", false), ("-1", false), ("", false)] {
            assert_eq!(page("events", Some(text), None).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn a_slice_pages_through_everything_once() {
        let mut seen = Vec::new();
        let mut before = None;
        loop {
            let listing = slice((0..7).collect(), Page { before, limit: 3 });
            seen.extend(listing.items);
            before = listing.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    }
}
