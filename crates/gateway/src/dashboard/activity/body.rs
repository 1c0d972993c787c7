//! A body as a person reads it: pretty, as it is, or byte by byte. Bounded, and text only: whatever a sender sent, nothing
//! of it is markup, and nothing turns the direction of writing.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::de::IgnoredAny;

/// How much of a body is shown as text, in bytes.
const TEXT_MAX: usize = 64 << 10;

/// How much is shown byte by byte.
const HEX_MAX: usize = 4 << 10;

/// How much is looked at to make it pretty.
const PRETTY_MAX: usize = 4 << 20;

/// The ways to show a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Pretty,
    Raw,
    Hex,
}

impl View {
    pub(super) const ALL: [Self; 3] = [Self::Pretty, Self::Raw, Self::Hex];

    /// As an address has it.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Pretty => "pretty",
            Self::Raw => "raw",
            Self::Hex => "hex",
        }
    }

    /// As a page does.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pretty => "Pretty",
            Self::Raw => "Raw",
            Self::Hex => "Hex",
        }
    }
}

/// A piece of a text with its class in the style sheet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) class: &'static str,
    pub(super) text: String,
}

/// A body on a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) view: View,
    pub(super) pieces: Vec<Piece>,
    /// Whether there is more of it.
    pub(super) is_cut: bool,
}

/// A body in the view that was asked for, or in the best one that it has.
pub(super) fn show(body: &Bytes, content_type: &str, wanted: Option<View>) -> Shown {
    match wanted {
        Some(View::Hex) => hex(body),
        Some(View::Raw) => raw(body),
        _ => pretty(body, content_type).unwrap_or_else(|| match std::str::from_utf8(body) {
            Ok(_) => raw(body),
            Err(_) if wanted.is_some() => raw(body),
            Err(_) => hex(body),
        }),
    }
}

fn plain(view: View, text: &str, is_cut: bool) -> Shown {
    Shown { view, pieces: vec![Piece { class: "", text: visible(text) }], is_cut }
}

fn raw(body: &[u8]) -> Shown {
    let start = &body[..body.len().min(TEXT_MAX)];
    plain(View::Raw, &String::from_utf8_lossy(start), body.len() > TEXT_MAX)
}

fn hex(body: &[u8]) -> Shown {
    let start = &body[..body.len().min(HEX_MAX)];
    let mut text = String::new();
    for (line, bytes) in start.chunks(16).enumerate() {
        text += &format!("{:06x}  ", line * 16);
        for place in 0..16 {
            text += &bytes.get(place).map_or_else(|| "   ".to_owned(), |byte| format!("{byte:02x} "));
            text += if place == 7 { " " } else { "" };
        }
        text.push(' ');
        text.extend(bytes.iter().map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' }));
        text.push('\n');
    }
    plain(View::Hex, &text, body.len() > HEX_MAX)
}

fn pretty(body: &Bytes, content_type: &str) -> Option<Shown> {
    if body.len() > PRETTY_MAX {
        return None;
    }
    let text = std::str::from_utf8(body).ok()?;
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let (pieces, is_cut) =
        if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") { form(text) } else { json(text)? };
    Some(Shown { view: View::Pretty, pieces, is_cut })
}

/// The fields of a form, a line each; a value that is JSON is made pretty below its name.
fn form(text: &str) -> (Vec<Piece>, bool) {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let (mut pieces, mut length) = (Vec::new(), 0);
    for field in text.split('&').filter(|field| !field.is_empty()) {
        if length > TEXT_MAX {
            return (pieces, true);
        }
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        pieces.push(Piece { class: "name", text: visible(&decoded(name)) });
        pieces.push(Piece { class: "", text: " = ".to_owned() });
        let value = decoded(value);
        match json(&value).filter(|_| value.starts_with(['{', '['])) {
            Some((of_json, is_cut)) => {
                pieces.extend(of_json);
                if is_cut {
                    return (pieces, true);
                }
            }
            None => pieces.push(Piece { class: "text", text: visible(cut(&value, TEXT_MAX)) }),
        }
        length += field.len();
        pieces.push(Piece { class: "", text: "\n".to_owned() });
    }
    (pieces, false)
}

fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// JSON in lines. Only the space between its tokens changes: numbers keep their digits, and names their order.
fn json(text: &str) -> Option<(Vec<Piece>, bool)> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    let mut writer = Writer { pieces: Vec::new(), plain: String::new(), depth: 0, length: 0 };
    let mut rest = text.trim_ascii_start();
    while let Some(first) = rest.chars().next() {
        if writer.length > TEXT_MAX {
            writer.flush();
            return Some((writer.pieces, true));
        }
        let length = match first {
            '"' => string_length(rest),
            '{' | '}' | '[' | ']' | ':' | ',' => 1,
            _ => rest.find(|c: char| c.is_ascii_whitespace() || "{}[]:,\"".contains(c)).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(length);
        rest = behind.trim_ascii_start();
        writer.take(token, rest);
    }
    writer.flush();
    Some((writer.pieces, false))
}

/// The length of the string with which a text begins.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

struct Writer {
    pieces: Vec<Piece>,
    /// What has no class, since the last piece that has one.
    plain: String,
    depth: usize,
    /// Of what was written.
    length: usize,
}

impl Writer {
    /// Writes a token that `rest` stands behind.
    fn take(&mut self, token: &str, rest: &str) {
        match token {
            "{" | "[" => {
                self.plain.push_str(token);
                let is_empty = rest.starts_with(['}', ']']);
                self.depth += 1;
                if !is_empty {
                    self.line();
                }
            }
            "}" | "]" => {
                self.depth = self.depth.saturating_sub(1);
                if !self.plain.ends_with(['{', '[']) {
                    self.line();
                }
                self.plain.push_str(token);
            }
            "," => {
                self.plain.push(',');
                self.line();
            }
            ":" => self.plain.push_str(": "),
            name if name.starts_with('"') && rest.starts_with(':') => self.piece("name", name),
            text if text.starts_with('"') => self.piece("text", text),
            literal => self.piece("literal", literal),
        }
        self.length += token.len();
    }

    fn line(&mut self) {
        self.plain.push('\n');
        (0..self.depth).for_each(|_| self.plain.push_str("  "));
        self.length += self.depth * 2;
    }

    fn piece(&mut self, class: &'static str, text: &str) {
        self.flush();
        self.pieces.push(Piece { class, text: visible(cut(text, TEXT_MAX)) });
    }

    fn flush(&mut self) {
        if !self.plain.is_empty() {
            self.pieces.push(Piece { class: "", text: std::mem::take(&mut self.plain) });
        }
    }
}

/// A text in which what cannot be seen is written out: control characters other than tab and the end of a line, and those
/// that turn the direction of writing.
pub(super) fn visible(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let is_hidden = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || turns(c);
    if !text.contains(is_hidden) {
        return text;
    }
    let written = |c: char| if is_hidden(c) { c.escape_default().collect() } else { c.to_string() };
    text.chars().map(written).collect()
}

/// Whether a character turns the direction of writing.
pub(super) fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(shown: &Shown) -> String {
        shown.pieces.iter().map(|piece| piece.text.as_str()).collect()
    }

    fn of(body: &str, kind: &str, view: Option<View>) -> Shown {
        show(&Bytes::copy_from_slice(body.as_bytes()), kind, view)
    }

    #[test]
    fn json_gets_lines_and_keeps_its_digits_its_order_and_its_escapes() {
        let shown = of(r#"{"b":1.0,"a":[{},[],"x\"]"], "n":-0E+99999 ,"s":"\ud800"}"#, "application/json", None);
        let pretty = "{\n  \"b\": 1.0,\n  \"a\": [\n    {},\n    [],\n    \"x\\\"]\"\n  ],\n  \"n\": -0E+99999,\n  \"s\": \"\\ud800\"\n}";
        assert_eq!((text(&shown).as_str(), shown.view, shown.is_cut), (pretty, View::Pretty, false));
        let classes: Vec<_> = shown.pieces.iter().map(|piece| piece.class).filter(|class| !class.is_empty()).collect();
        assert_eq!(classes, ["name", "literal", "name", "text", "name", "literal", "name", "text"]);
    }

    #[test]
    fn what_is_no_json_is_shown_as_it_is_or_byte_by_byte() {
        assert_eq!(of("{\"a\":", "application/json", None).view, View::Raw);
        assert_eq!(of("{}", "application/json", Some(View::Raw)).view, View::Raw);
        let binary = show(&Bytes::from_static(b"\xff\x00A"), "image/png", None);
        assert_eq!(binary.view, View::Hex);
        assert_eq!(text(&binary), format!("000000  ff 00 41 {}  ..A\n", " ".repeat(13 * 3)));
        assert_eq!(of("", "", None).pieces[0].text, "");
    }

    #[test]
    fn a_form_is_shown_by_its_fields() {
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        let shown = of("a=b+c&payload=%7B%22x%22%3A1%7D&empty", kind, None);
        assert_eq!(text(&shown), "a = b c\npayload = {\n  \"x\": 1\n}\nempty = \n");
    }

    #[test]
    fn much_is_cut_and_says_so() {
        let long = format!("[{}1]", "1,".repeat(TEXT_MAX));
        let shown = of(&long, "", None);
        assert!(shown.is_cut && text(&shown).len() < 4 * TEXT_MAX);
        let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
        assert!(!of(&deep, "", None).is_cut);
        for view in [View::Raw, View::Hex] {
            let max = if view == View::Raw { TEXT_MAX } else { HEX_MAX };
            assert!(!of(&"x".repeat(max), "", Some(view)).is_cut);
            assert!(of(&"x".repeat(max + 1), "", Some(view)).is_cut);
        }
        let huge = format!("\"{}\"", "x".repeat(PRETTY_MAX));
        assert_eq!(of(&huge, "", None).view, View::Raw);
    }

    #[test]
    fn nothing_steers_and_nothing_turns_round() {
        let shown = of("\u{1b}]0;pwn\u{7}\u{202e}evil\r\nnext\ttab", "", None);
        assert_eq!(text(&shown), "\\u{1b}]0;pwn\\u{7}\\u{202e}evil\nnext\ttab");
    }
}
