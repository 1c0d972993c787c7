//! Owns one JSON text in the spellings that programs give it: layout, order of the members, escapes, numbers. What a spelling does
//! not touch stays digit for digit as it was. Knows nothing of signatures.

use std::borrow::Cow;

/// A deeper text is not spelled anew, so that reading it needs little stack.
const MAX_DEPTH: usize = 96;

/// A JSON text, in pieces of the text itself.
pub(crate) enum Json<'a> {
    /// `true`, `false`, `null`.
    Word(&'a str),
    Number(&'a str),
    /// What stands between the quotes, escaped as it was.
    Text(&'a str),
    Array(Vec<Self>),
    Object(Vec<(&'a str, Self)>),
}

/// How a program writes JSON.
#[derive(Clone, Copy)]
pub(crate) struct Spelling {
    pub(crate) layout: Layout,
    pub(crate) order: Order,
    pub(crate) escapes: Escapes,
    pub(crate) numbers: Numbers,
}

/// The blanks between the tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Compact,
    /// One blank after each comma and colon.
    Spaced,
    /// A line for each member, indented by this.
    Indented(&'static str),
    /// As Java's Jackson does it: objects indented by two, blanks on both sides of the colon, arrays in one line.
    Jackson,
}

/// The order of an object's members.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    AsItIs,
    Sorted,
}

/// Which characters of a string are written as escapes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escapes {
    AsTheyAre,
    /// Only those that must be, as JavaScript does.
    Fewest,
    /// Everything beyond ASCII, as Python does.
    Ascii,
    /// The same and the slash, as PHP does.
    AsciiAndSlash,
    /// What HTML would take for its own, as Go does.
    Html,
    /// Both, with large digits, as .NET does.
    HtmlAndAscii,
}

/// How numbers are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    AsTheyAre,
    JavaScript,
    Python,
}

impl<'a> Json<'a> {
    /// Reads a whole text. Lenient about what is inside strings, because the text is only written again, never believed.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let mut reader = Reader { text: std::str::from_utf8(text).ok()?, at: 0 };
        let json = reader.value(0)?;
        reader.blanks();
        (reader.at == text.len()).then_some(json)
    }

    /// The text in another spelling.
    pub(crate) fn spelled(&self, spelling: Spelling) -> Vec<u8> {
        let mut writer = Writer { spelling, out: String::new() };
        writer.value(self, 0);
        writer.out.into_bytes()
    }

    /// The members with their values as plain text, of an object that has no others in it.
    pub(super) fn flat_members(&self) -> Option<Vec<(String, String)>> {
        let Self::Object(members) = self else { return None };
        let plain = |(name, value): &(&'a str, Self)| match value {
            Self::Word(text) | Self::Number(text) => Some((plain_text(name), (*text).to_owned())),
            Self::Text(text) => Some((plain_text(name), plain_text(text))),
            Self::Array(_) | Self::Object(_) => None,
        };
        members.iter().map(plain).collect()
    }

    /// The text that this is, if it is one.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(plain_text(text)),
            _ => None,
        }
    }
}

/// A text as a JSON string.
pub(super) fn quoted(text: &str) -> Vec<u8> {
    let mut out = String::from("\"");
    text.chars().for_each(|char| push_char(&mut out, char, Escapes::Fewest));
    out.push('"');
    out.into_bytes()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        self.blanks();
        match self.peek()? {
            _ if depth > MAX_DEPTH => None,
            b'"' => self.string().map(Json::Text),
            b'{' => {
                let members = self.list(b'}', |reader| {
                    reader.blanks();
                    let name = reader.string()?;
                    reader.eat(b':')?;
                    Some((name, reader.value(depth + 1)?))
                })?;
                Some(Json::Object(members))
            }
            b'[' => self.list(b']', |reader| reader.value(depth + 1)).map(Json::Array),
            b'-' | b'0'..=b'9' => {
                let number = self.run(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
                number.parse::<f64>().is_ok().then_some(Json::Number(number))
            }
            _ => {
                let word = self.run(|byte| byte.is_ascii_lowercase());
                ["true", "false", "null"].contains(&word).then_some(Json::Word(word))
            }
        }
    }

    /// What stands between the bracket that is next and `end`, with commas between.
    fn list<T>(&mut self, end: u8, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        self.at += 1;
        let mut items = Vec::new();
        if self.eat(end).is_some() {
            return Some(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(end).is_some() {
                return Some(items);
            }
            self.eat(b',')?;
        }
    }

    fn string(&mut self) -> Option<&'a str> {
        self.eat(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        let inside = self.text.get(start..self.at)?;
        self.at += 1;
        Some(inside)
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&belongs) {
            self.at += 1;
        }
        &self.text[start..self.at]
    }
}

struct Writer {
    spelling: Spelling,
    out: String,
}

impl Writer {
    fn value(&mut self, json: &Json<'_>, depth: usize) {
        match json {
            Json::Word(word) => self.out.push_str(word),
            Json::Number(number) => self.out.push_str(&spelled_number(number, self.spelling.numbers)),
            Json::Text(text) => self.string(text),
            Json::Array(items) => {
                let layout = match self.spelling.layout {
                    Layout::Jackson if !items.is_empty() => Some(("[ ", " ]")),
                    _ => None,
                };
                self.list(items.iter(), ("[", "]"), layout, depth, |writer, item, depth| writer.value(item, depth));
            }
            Json::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if self.spelling.order == Order::Sorted {
                    members.sort_by_cached_key(|(name, _)| plain_text(name));
                }
                self.list(members.into_iter(), ("{", "}"), None, depth, |writer, (name, value), depth| {
                    writer.string(name);
                    writer.out.push_str(match writer.spelling.layout {
                        Layout::Compact => ":",
                        Layout::Spaced | Layout::Indented(_) => ": ",
                        Layout::Jackson => " : ",
                    });
                    writer.value(value, depth);
                });
            }
        }
    }

    /// The items between brackets; `in_line` are the brackets of a list that takes no lines of its own.
    fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        brackets: (&str, &str),
        in_line: Option<(&str, &str)>,
        depth: usize,
        mut write: impl FnMut(&mut Self, T, usize),
    ) {
        let indent = match self.spelling.layout {
            Layout::Indented(indent) => Some(indent),
            Layout::Jackson if in_line.is_none() => Some("  "),
            _ => None,
        };
        let (open, close) = in_line.unwrap_or(brackets);
        self.out.push_str(open);
        let count = items.len();
        // Jackson does not count the arrays around an object.
        let inner = if in_line.is_some() { depth } else { depth + 1 };
        for (n, item) in items.enumerate() {
            if n > 0 {
                self.out.push(',');
            }
            match indent {
                Some(indent) => self.line(indent, inner),
                None if n > 0 && self.spelling.layout != Layout::Compact => self.out.push(' '),
                None => {}
            }
            write(self, item, inner);
        }
        match indent {
            Some(indent) if count > 0 => self.line(indent, depth),
            // An empty object of Jackson's has a blank in it.
            Some(_) if self.spelling.layout == Layout::Jackson => self.out.push(' '),
            _ => {}
        }
        self.out.push_str(close);
    }

    fn line(&mut self, indent: &str, depth: usize) {
        self.out.push('\n');
        (0..depth).for_each(|_| self.out.push_str(indent));
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        let escapes = self.spelling.escapes;
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && !b"\\/<>&'+`\"".contains(&byte);
        if escapes == Escapes::AsTheyAre || text.bytes().all(plain) {
            self.out.push_str(text);
        } else {
            each_unit(text, |unit| match unit {
                Ok(char) => push_char(&mut self.out, char, escapes),
                Err(half) => push_escape(&mut self.out, half, escapes),
            });
        }
        self.out.push('"');
    }
}

/// Shows each character of a string's inside to `visit`, or the half of one that stands alone.
fn each_unit(text: &str, mut visit: impl FnMut(Result<char, u16>)) {
    let mut high = None;
    let mut units = text.char_indices();
    while let Some((at, char)) = units.next() {
        let unit = match char {
            '\\' => match units.next().map(|(_, escaped)| escaped) {
                Some('u') => {
                    let digits = text.get(at + 2..at + 6).and_then(|digits| u16::from_str_radix(digits, 16).ok());
                    let Some(code) = digits else { continue };
                    units.nth(3);
                    code
                }
                Some('b') => 8,
                Some('f') => 12,
                Some('n') => 10,
                Some('r') => 13,
                Some('t') => 9,
                Some(other @ ('"' | '\\' | '/')) => other as u16,
                _ => continue,
            },
            char => {
                high.take().into_iter().for_each(|high| visit(Err(high)));
                visit(Ok(char));
                continue;
            }
        };
        match (high.take(), unit) {
            (Some(high), 0xdc00..=0xdfff) => {
                let code = 0x10000 + ((u32::from(high) & 0x3ff) << 10) + (u32::from(unit) & 0x3ff);
                visit(char::from_u32(code).ok_or(unit));
            }
            (before, _) => {
                before.into_iter().for_each(|before| visit(Err(before)));
                match unit {
                    0xd800..=0xdbff => high = Some(unit),
                    _ => visit(char::from_u32(unit.into()).ok_or(unit)),
                }
            }
        }
    }
    high.into_iter().for_each(|high| visit(Err(high)));
}

fn plain_text(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    each_unit(text, |unit| plain.push(unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
    plain
}

fn push_char(out: &mut String, char: char, escapes: Escapes) {
    let html = matches!(escapes, Escapes::Html | Escapes::HtmlAndAscii);
    let ascii = matches!(escapes, Escapes::Ascii | Escapes::AsciiAndSlash | Escapes::HtmlAndAscii);
    let dot_net = escapes == Escapes::HtmlAndAscii;
    let short = match char {
        '"' if !dot_net => Some("\\\""),
        '\\' => Some("\\\\"),
        '\u{8}' => Some("\\b"),
        '\u{c}' => Some("\\f"),
        '\n' => Some("\\n"),
        '\r' => Some("\\r"),
        '\t' => Some("\\t"),
        '/' if escapes == Escapes::AsciiAndSlash => Some("\\/"),
        _ => None,
    };
    let escaped = char < ' '
        || (ascii && !char.is_ascii())
        || (html && matches!(char, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'))
        || (dot_net && matches!(char, '"' | '\'' | '+' | '`' | '\u{7f}'));
    match short {
        Some(short) => out.push_str(short),
        None if escaped => {
            char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| push_escape(out, *unit, escapes));
        }
        None => out.push(char),
    }
}

fn push_escape(out: &mut String, unit: u16, escapes: Escapes) {
    match escapes {
        Escapes::HtmlAndAscii => out.push_str(&format!("\\u{unit:04X}")),
        _ => out.push_str(&format!("\\u{unit:04x}")),
    }
}

fn spelled_number(text: &str, numbers: Numbers) -> Cow<'_, str> {
    let is_float = text.contains(['.', 'e', 'E']);
    let value: f64 = text.parse().unwrap_or(f64::NAN);
    match numbers {
        _ if !value.is_finite() => text.into(),
        Numbers::JavaScript if value == 0.0 => "0".into(),
        Numbers::JavaScript => float(value, -6..21, "", 1).into(),
        Numbers::Python if is_float && value == 0.0 => if value.is_sign_negative() { "-0.0" } else { "0.0" }.into(),
        Numbers::Python if is_float => float(value, -4..16, ".0", 2).into(),
        Numbers::AsTheyAre | Numbers::Python => text.into(),
    }
}

/// The fewest digits that mean this number: plain within a range of exponents, with `whole` after one without a fraction, otherwise
/// with an exponent of so many digits.
fn float(value: f64, plain: std::ops::Range<i32>, whole: &str, exponent_digits: usize) -> String {
    let shortest = format!("{:e}", value.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits = mantissa.replace('.', "");
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if value < 0.0 { "-" } else { "" };
    if !plain.contains(&exponent) {
        let fraction = if digits.len() > 1 { format!(".{}", &digits[1..]) } else { String::new() };
        let (exponent_sign, size) = (if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs());
        return format!("{sign}{}{fraction}e{exponent_sign}{size:0exponent_digits$}", &digits[..1]);
    }
    match usize::try_from(exponent) {
        Ok(before) if digits.len() > before + 1 => {
            format!("{sign}{}.{}", &digits[..=before], &digits[before + 1..])
        }
        Ok(before) => format!("{sign}{digits:0<width$}{whole}", width = before + 1),
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str, numbers: Numbers) -> String {
        spelled_number(text, numbers).into_owned()
    }

    #[test]
    fn numbers_are_written_as_each_language_does() {
        let cases = [
            ("1.0", "1", "1.0"),
            ("-0.0", "0", "-0.0"),
            ("1.50", "1.5", "1.5"),
            ("1e3", "1000", "1000.0"),
            ("0.000001", "0.000001", "1e-06"),
            ("0.0000001", "1e-7", "1e-07"),
            ("0.0001", "0.0001", "0.0001"),
            ("1e16", "10000000000000000", "1e+16"),
            ("1.25e21", "1.25e+21", "1.25e+21"),
            ("12345678901234567890", "12345678901234567000", "12345678901234567890"),
            ("123.456", "123.456", "123.456"),
        ];
        for (text, java_script, python) in cases {
            assert_eq!(number(text, Numbers::JavaScript), java_script, "{text}");
            assert_eq!(number(text, Numbers::Python), python, "{text}");
            assert_eq!(number(text, Numbers::AsTheyAre), text);
        }
    }

    #[test]
    fn strings_are_escaped_as_each_language_does() {
        let json = Json::read("\"é/<\\ud83d\\ude00\\u2028\\n\\udead'\"".as_bytes()).expect("it is json");
        let spelled = |escapes| {
            let spelling =
                Spelling { layout: Layout::Compact, order: Order::AsItIs, escapes, numbers: Numbers::AsTheyAre };
            String::from_utf8(json.spelled(spelling)).expect("it is text")
        };
        assert_eq!(spelled(Escapes::AsTheyAre), "\"é/<\\ud83d\\ude00\\u2028\\n\\udead'\"");
        assert_eq!(spelled(Escapes::Fewest), "\"é/<😀\u{2028}\\n\\udead'\"");
        assert_eq!(spelled(Escapes::Ascii), "\"\\u00e9/<\\ud83d\\ude00\\u2028\\n\\udead'\"");
        assert_eq!(spelled(Escapes::AsciiAndSlash), "\"\\u00e9\\/<\\ud83d\\ude00\\u2028\\n\\udead'\"");
        assert_eq!(spelled(Escapes::Html), "\"é/\\u003c😀\\u2028\\n\\udead'\"");
        assert_eq!(spelled(Escapes::HtmlAndAscii), "\"\\u00E9/\\u003C\\uD83D\\uDE00\\u2028\\n\\uDEAD\\u0027\"");
    }

    #[test]
    fn what_is_not_json_is_not_read() {
        for text in ["", "{", "[1,]", "{\"a\"}", "nul", "1 2", "\"a", "\"\\", "-", "\u{feff}{}"] {
            assert!(Json::read(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Json::read(&[b'['; MAX_DEPTH + 2]).is_none());
        let deep = ["[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH)].concat();
        assert!(Json::read(deep.as_bytes()).is_some());
        let deeper = ["[".repeat(MAX_DEPTH + 2), "]".repeat(MAX_DEPTH + 2)].concat();
        assert!(Json::read(deeper.as_bytes()).is_none());
    }
}
