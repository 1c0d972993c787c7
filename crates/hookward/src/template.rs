//! Owns which bytes are signed: a template of literals and parts of the request, and writing it out piece by piece. Computes no
//! signature.

use serde::Deserialize;

/// The signed bytes as data, for example `{id}.{timestamp}.{body}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Template(Vec<Part>);

/// One piece of the signed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    Body,
    Timestamp,
    Id,
    Method,
    /// The absolute URL, exactly as called.
    Url,
    /// The absolute URL; verification also tries it with its default port added or removed.
    UrlAnyPort,
    /// The distinct, decoded form pairs in order; nothing when the body is not a form.
    FormSorted,
}

const NAMES: [(&str, Part); 7] = [
    ("body", Part::Body),
    ("timestamp", Part::Timestamp),
    ("id", Part::Id),
    ("method", Part::Method),
    ("url", Part::Url),
    ("url:any-port", Part::UrlAnyPort),
    ("form:sorted", Part::FormSorted),
];

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let literal_end = rest.find(['{', '}']).unwrap_or(rest.len());
            let (literal, after) = rest.split_at(literal_end);
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            rest = after;
            if rest.is_empty() {
                break;
            }
            let (name, after) = rest
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
                .ok_or_else(|| format!("unbalanced braces in the template `{text}`"))?;
            parts.push(part(name)?);
            rest = after;
        }
        Ok(Self(parts))
    }
}

fn part(name: &str) -> Result<Part, String> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, part)| part.clone()).ok_or_else(|| {
        let names: Vec<String> = NAMES.iter().map(|(known, _)| format!("`{known}`")).collect();
        format!("unknown part `{name}`, expected one of {}", names.join(", "))
    })
}

impl Template {
    /// The body and nothing else.
    pub(crate) fn body() -> Self {
        Self(vec![Part::Body])
    }

    pub(crate) fn of(parts: Vec<Part>) -> Self {
        Self(parts)
    }

    pub(crate) fn has(&self, part: &Part) -> bool {
        self.0.contains(part)
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has_url(&self) -> bool {
        self.has(&Part::Url) || self.has(&Part::UrlAnyPort)
    }

    /// Whether `id` may stand in the template: an id that holds the literal after it could shift the border between the fields,
    /// so that one signature fits two requests.
    pub(crate) fn admits_id(&self, id: &str) -> bool {
        self.0.windows(2).all(|pair| match pair {
            [Part::Id, Part::Literal(literal)] => !id.contains(literal.as_str()),
            _ => true,
        })
    }
}

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
}

impl Content<'_> {
    /// Hands the signed bytes to `sink`, in order.
    pub(crate) fn feed(&self, mut sink: impl FnMut(&[u8])) {
        for part in &self.template.0 {
            sink(match part {
                Part::Literal(text) => text.as_bytes(),
                Part::Body => self.body,
                Part::Timestamp => self.timestamp.as_bytes(),
                Part::Id => self.id.as_bytes(),
                Part::Method => self.method.as_bytes(),
                Part::Url | Part::UrlAnyPort => self.url.as_bytes(),
                Part::FormSorted => self.form,
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
