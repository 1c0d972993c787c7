//! Owns reading one unproven value out of a body before it is known who sent it: which of several secrets may be worth trying.
//! Believes nothing that it reads, and reads no further than its limits.

use std::borrow::Cow;

use crate::json::{self, MAX_VALUE};
use crate::place;
use crate::url;

/// The longest value that a [`Hint`] reads, in bytes. A longer one counts as absent.
pub const MAX_HINT: usize = MAX_VALUE;

/// How many bytes of a body a [`Hint`] looks at. A value that does not end before this counts as absent.
pub const MAX_HINT_SCAN: usize = 1 << 20;

/// The deepest JSON pointer of a [`Hint`], in reference tokens.
pub const MAX_HINT_DEPTH: usize = place::MAX_POINTER;

/// The form field in which providers send JSON, when they send a form.
const FORM_FIELD: &[u8] = b"payload";

/// Where in a body a value stands that tells senders apart before any of them is believed: a JSON pointer. Whoever sends can write
/// anything there, so it may choose which keys a request is verified with, and nothing else.
///
/// ```
/// let hint = hookward::Hint::new("/repository/full_name")?;
/// assert_eq!(hint.read(None, br#"{"repository":{"full_name":"acme/web"}}"#).as_deref(), Some("acme/web"));
/// # Ok::<(), hookward::HintError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    tokens: Vec<String>,
}

/// A text that is not a JSON pointer, or one that is too deep. Whoever wrote it must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HintError(String);

impl Hint {
    /// Reads a JSON pointer (RFC 6901), such as `/repository/full_name`.
    ///
    /// # Errors
    ///
    /// When it does not begin with `/`, or is deeper than [`MAX_HINT_DEPTH`].
    pub fn new(pointer: &str) -> Result<Self, HintError> {
        place::pointer(pointer).map(|tokens| Self { tokens }).map_err(HintError)
    }

    /// The first string or integer in this place of a JSON body, or of the JSON in the field `payload` of a form. Stops there, so what
    /// follows may be anything.
    pub fn read(&self, content_type: Option<&[u8]>, body: &[u8]) -> Option<String> {
        let start = match body.get(..MAX_HINT_SCAN) {
            // A number that is cut short would be another number.
            Some(cut) if body.len() > MAX_HINT_SCAN => without_digits_at_its_end(cut),
            _ => body,
        };
        json::first(&json_text(content_type, start)?, &self.tokens)
    }
}

/// The JSON text of a body as providers send it: the body itself, or the field `payload` of a form. `None` for a form without that
/// field. Whether it is JSON is for its reader to find out.
pub fn json_text<'b>(content_type: Option<&[u8]>, body: &'b [u8]) -> Option<Cow<'b, [u8]>> {
    match content_type {
        Some(_) if url::is_form(content_type, body) => url::form_field(body, FORM_FIELD).map(Cow::from),
        _ => Some(body.into()),
    }
}

fn without_digits_at_its_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !byte.is_ascii_digit()).map_or(0, |last| last + 1);
    &text[..end]
}
