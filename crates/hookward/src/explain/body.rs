//! Owns what is commonly done to a body between signing and verifying, undone: each way gives the bodies that may have been signed.

use std::borrow::Cow;

use miniz_oxide::inflate;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};

use crate::gzip;

use super::cause::{Cause, Change};
use super::spelling::{Escapes, Json, Layout, Numbers, Order, Spelling, quoted};

/// The most that a compressed body may become, in bytes.
pub(super) const MAX_INFLATED: usize = 1 << 20;

/// Larger bodies are spelled anew in the few most common ways only.
const MAX_SPELLED: usize = 64 << 10;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A body that may have been signed.
pub(super) struct Variant {
    pub(super) change: Change,
    pub(super) body: Vec<u8>,
}

/// The bodies that may have been signed, if one thing was done to the one that arrived.
type Step = fn(&[u8]) -> Vec<Variant>;

/// What is done to bodies, each on its own, in the order of [`Cause::ALL`].
pub(super) const STEPS: [Step; 7] = [line_ends, bom, reserialised, form, decompressed, recoded, truncated];

fn variant(cause: Cause, how: impl Into<Cow<'static, str>>, body: Vec<u8>) -> Variant {
    Variant { change: Change::new(cause, how), body }
}

/// How programs write JSON: their names, layouts, escapes, numbers.
type Dialect = (&'static str, &'static [Layout], Escapes, Numbers);

const INDENTED: [Layout; 3] = [Layout::Indented("  "), Layout::Indented("    "), Layout::Indented("\t")];

const DIALECTS: [Dialect; 9] = [
    ("", &[Layout::Compact, Layout::Spaced], Escapes::AsTheyAre, Numbers::AsTheyAre),
    ("", &INDENTED, Escapes::AsTheyAre, Numbers::AsTheyAre),
    (
        " as javascript writes it",
        &[Layout::Compact, INDENTED[0], INDENTED[1], INDENTED[2]],
        Escapes::Fewest,
        Numbers::JavaScript,
    ),
    (
        " in ascii, as python writes it",
        &[Layout::Spaced, Layout::Compact, INDENTED[0], INDENTED[1]],
        Escapes::Ascii,
        Numbers::Python,
    ),
    (
        " as python writes it without ascii escapes",
        &[Layout::Spaced, Layout::Compact, INDENTED[0], INDENTED[1]],
        Escapes::Fewest,
        Numbers::Python,
    ),
    (" as php writes it", &[Layout::Compact, INDENTED[1]], Escapes::AsciiAndSlash, Numbers::AsTheyAre),
    (" as go writes it", &[Layout::Compact, INDENTED[0]], Escapes::Html, Numbers::AsTheyAre),
    (" as java writes it", &[Layout::Compact, Layout::Jackson], Escapes::Fewest, Numbers::AsTheyAre),
    (" as .net writes it", &[Layout::Compact, INDENTED[0]], Escapes::HtmlAndAscii, Numbers::AsTheyAre),
];

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Compact => "compact json",
        Layout::Spaced => "json with a blank after each comma and colon",
        Layout::Indented("  ") => "json indented by two blanks",
        Layout::Indented("    ") => "json indented by four blanks",
        Layout::Indented(_) => "json indented by tabs",
        Layout::Jackson => "json indented with blanks around the colons",
    }
}

/// The same JSON in other spellings.
fn reserialised(body: &[u8]) -> Vec<Variant> {
    let Some(json) = Json::read(body) else { return Vec::new() };
    let mut variants: Vec<Variant> = Vec::new();
    let dialects = if body.len() <= MAX_SPELLED { &DIALECTS[..] } else { &DIALECTS[..2] };
    for (order, sorted) in [(Order::AsItIs, ""), (Order::Sorted, " with its keys sorted")] {
        for (dialect, layouts, escapes, numbers) in dialects {
            for layout in *layouts {
                let spelling = Spelling { layout: *layout, order, escapes: *escapes, numbers: *numbers };
                let spelled = json.spelled(spelling);
                if spelled != body && variants.iter().all(|known| known.body != spelled) {
                    let how = format!("the body is written as {}{sorted}{dialect}", layout_name(*layout));
                    variants.push(variant(Cause::Reserialised, how, spelled));
                }
            }
        }
    }
    if let Some(text) = json.as_text() {
        variants.push(variant(Cause::Reserialised, "the body is the text inside its json string", text.into_bytes()));
    } else if let Ok(text) = std::str::from_utf8(body) {
        variants.push(variant(Cause::Reserialised, "the body is put into a json string", quoted(text)));
    }
    variants
}

fn line_ends(body: &[u8]) -> Vec<Variant> {
    let mut variants = Vec::new();
    let mut add = |how: &'static str, changed: Vec<u8>| {
        if changed != body && variants.iter().all(|known: &Variant| known.body != changed) {
            variants.push(variant(Cause::LineEnds, how, changed));
        }
    };
    if let Some(before) = body.strip_suffix(b"\n") {
        add("the newline at the body's end is taken off", before.strip_suffix(b"\r").unwrap_or(before).to_vec());
    }
    add("the blanks at the body's ends are taken off", body.trim_ascii().to_vec());
    add("a newline is put at the body's end", [body, b"\n"].concat());
    add("a crlf is put at the body's end", [body, b"\r\n"].concat());
    if body.contains(&b'\n') {
        let text: Vec<&[u8]> = body.split(|byte| *byte == b'\n').collect();
        let bare: Vec<&[u8]> = text.iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).collect();
        add("the body's line ends are bare newlines", bare.join(&b"\n"[..]));
        add("the body's line ends are crlf", bare.join(&b"\r\n"[..]));
    }
    variants
}

fn bom(body: &[u8]) -> Vec<Variant> {
    vec![match body.strip_prefix(BOM) {
        Some(bare) => variant(Cause::Bom, "the byte order mark is taken off the body", bare.to_vec()),
        None => variant(Cause::Bom, "the body begins with a byte order mark", [BOM, body].concat()),
    }]
}

/// What JavaScript's `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// What is left as it is where a blank becomes `+`.
const FIELD: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');

fn with_plus(text: &[u8]) -> String {
    percent_encode(text, FIELD).to_string().replace(' ', "+")
}

fn with_percent(text: &[u8]) -> String {
    percent_encode(text, COMPONENT).to_string()
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent_decode(&spaced).collect()
}

fn form(body: &[u8]) -> Vec<Variant> {
    let mut variants = Vec::new();
    let mut add = |how: &'static str, changed: Vec<u8>| {
        if changed != body && variants.iter().all(|known: &Variant| known.body != changed) {
            variants.push(variant(Cause::Form, how, changed));
        }
    };
    let is_json = body.first().is_some_and(|byte| b"{[\"".contains(byte));
    if is_json {
        add("the body is the field `payload` of a form", format!("payload={}", with_plus(body)).into_bytes());
        add(
            "the body is the field `payload` of a form, with %20 for blanks",
            format!("payload={}", with_percent(body)).into_bytes(),
        );
        if let Some(members) = Json::read(body).and_then(|json| json.flat_members()) {
            add("the body is a form of its members", as_form(&members, with_plus));
            add("the body is a form of its members, with %20 for blanks", as_form(&members, with_percent));
        }
        return variants;
    }
    if !body.contains(&b'=') {
        return variants;
    }
    if let Some(value) = body.strip_prefix(b"payload=") {
        add("the body is its field `payload`, decoded", decoded(value));
    }
    add("the body is the form, decoded", decoded(body));
    let fields: Vec<(Vec<u8>, Vec<u8>)> = body
        .split(|byte| *byte == b'&')
        .map(|pair| {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            (decoded(&pair[..at]), decoded(pair.get(at + 1..).unwrap_or_default()))
        })
        .collect();
    add("the form is written with + for blanks", as_form(&fields, with_plus));
    add("the form is written with %20 for blanks", as_form(&fields, with_percent));
    add("the form's escapes have small letters", as_form(&fields, |text| small(&with_plus(text))));
    variants
}

fn as_form<T: AsRef<[u8]>>(fields: &[(T, T)], spell: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let pair = |(name, value): &(T, T)| format!("{}={}", spell(name.as_ref()), spell(value.as_ref()));
    fields.iter().map(pair).collect::<Vec<_>>().join("&").into_bytes()
}

/// The escapes of a percent-encoded text in small letters.
fn small(text: &str) -> String {
    let mut digits = 0;
    let spell = |char: char| {
        let is_digit = digits > 0;
        digits = if char == '%' { 2 } else { usize::saturating_sub(digits, 1) };
        if is_digit { char.to_ascii_lowercase() } else { char }
    };
    text.chars().map(spell).collect()
}

/// Nothing can be compressed again into the very bytes that it was; the other direction has one answer.
fn decompressed(body: &[u8]) -> Vec<Variant> {
    let inflated = match body {
        [0x1f, 0x8b, ..] => {
            gzip::data(body).and_then(|data| inflate::decompress_to_vec_with_limit(data, MAX_INFLATED).ok())
        }
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => inflate::decompress_to_vec_zlib_with_limit(body, MAX_INFLATED).ok(),
        _ => None,
    };
    let how = "the body is decompressed";
    inflated.into_iter().map(|inflated| variant(Cause::Compressed, how, inflated)).collect()
}

/// Windows-1252 between 0x80 and 0x9f; elsewhere it is Latin-1.
const WINDOWS: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

fn recoded(body: &[u8]) -> Vec<Variant> {
    if body.is_ascii() {
        return Vec::new();
    }
    let windows = |byte: u8| match byte {
        0x80..=0x9f => WINDOWS[usize::from(byte) - 0x80],
        _ => char::from(byte),
    };
    let mut variants = Vec::new();
    let mut add = |how: &'static str, changed: Vec<u8>| {
        if variants.iter().all(|known: &Variant| known.body != changed) {
            variants.push(variant(Cause::Charset, how, changed));
        }
    };
    if let Ok(text) = std::str::from_utf8(body) {
        let latin: Option<Vec<u8>> = text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect();
        let byte = |char: char| match WINDOWS.iter().position(|known| *known == char) {
            Some(at) => u8::try_from(0x80 + at).ok(),
            None => u8::try_from(u32::from(char)).ok(),
        };
        let narrow: Option<Vec<u8>> = text.chars().map(byte).collect();
        if let Some(latin) = latin {
            add("each of the body's characters is its latin-1 byte", latin);
        }
        if let Some(narrow) = narrow {
            add("each of the body's characters is its windows-1252 byte", narrow);
        }
    }
    let wide: String = body.iter().map(|byte| char::from(*byte)).collect();
    add("the body's bytes are read as latin-1 and written as utf-8", wide.into_bytes());
    let wide: String = body.iter().map(|byte| windows(*byte)).collect();
    add("the body's bytes are read as windows-1252 and written as utf-8", wide.into_bytes());
    variants
}

/// The least length that something is cut at.
const LEAST_CUT: usize = 256;

/// What is lost cannot be found again; but a sender may have signed less than it sent.
fn truncated(body: &[u8]) -> Vec<Variant> {
    let powers = std::iter::successors(Some(LEAST_CUT), |power| power.checked_mul(2));
    let cuts = powers.take_while(|power| *power < body.len());
    let how = |len: usize| format!("only the body's first {len} bytes are signed");
    cuts.map(|len| variant(Cause::Truncated, how(len), body[..len].to_vec())).collect()
}

/// Whether the body's length is one that bodies are cut off at.
pub(super) fn has_length_of_a_cut(body: &[u8]) -> bool {
    body.len() >= LEAST_CUT && body.len().is_power_of_two()
}

/// Whether the body begins as JSON, and if so whether it ends as such.
pub(super) fn is_whole_json(body: &[u8]) -> Option<bool> {
    let begins = body.trim_ascii_start().first().is_some_and(|byte| b"{[".contains(byte));
    begins.then(|| Json::read(body).is_some())
}
