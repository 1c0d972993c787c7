//! The text that a `slack` destination posts: a template with values of the event in it, escaped as Slack asks.
//! Owns the template's syntax and its bounds. It has no conditions and no loops, so what it costs is its length.

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

/// The longest template, in bytes.
pub const TEMPLATE_MAX: usize = 4 * 1024;

/// The longest text that is posted, in characters: what Slack shows of a message without cutting it.
pub const TEXT_MAX: usize = 4_000;

/// A larger body is not looked into: its values are missing.
const BODY_MAX: usize = 4 << 20;

/// What is posted where the settings say nothing.
pub const DEFAULT_TEMPLATE: &str = "*{{ event.source }}* {{ event.type }}\n`{{ event.id }}`";

/// Text with values of an event in it: `{{ event.type }}`, `{{ body.commits.0.message }}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Event(Field),
    /// A JSON pointer into the body.
    Body(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Id,
    Type,
    Source,
    ReceivedAt,
    Delivery,
    Attempt,
}

const FIELDS: [(&str, Field); 6] = [
    ("id", Field::Id),
    ("type", Field::Type),
    ("source", Field::Source),
    ("received_at", Field::ReceivedAt),
    ("delivery", Field::Delivery),
    ("attempt", Field::Attempt),
];

/// What is wrong with a template, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// One sentence.
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {} of it: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for TemplateError {}

/// What a template is filled with.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The event's id.
    pub event: &'a str,
    /// Its type; may be empty.
    pub event_type: &'a str,
    /// The source's name.
    pub source: &'a str,
    /// When it was accepted, RFC 3339.
    pub received_at: &'a str,
    /// The delivery's id.
    pub delivery: &'a str,
    /// Which attempt this is.
    pub attempt: u32,
    /// The body's JSON text.
    pub body: &'a [u8],
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] at the first thing that cannot be meant.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.trim().is_empty() {
            return Err(error_at(text, 0, "nothing would be posted"));
        }
        if text.len() > TEMPLATE_MAX {
            return Err(error_at(text, 0, format!("a template has at most {TEMPLATE_MAX} bytes")));
        }
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|found| at + found) {
            if open > at {
                parts.push(Part::Text(text[at..open].to_owned()));
            }
            let inside = open + 2;
            let close = text[inside..].find("}}").map(|found| inside + found);
            let close = close.ok_or_else(|| error_at(text, open, "this `{{` is not closed by `}}`"))?;
            let name = text[inside..close].trim();
            parts.push(part(name).map_err(|message| error_at(text, open, message))?);
            at = close + 2;
        }
        if at < text.len() {
            parts.push(Part::Text(text[at..].to_owned()));
        }
        Ok(Self { parts })
    }

    /// The text for this event. A value that is missing leaves nothing; what is beyond [`TEXT_MAX`] is cut off.
    pub fn render(&self, subject: &Subject<'_>) -> String {
        let looks_inside = self.parts.iter().any(|part| matches!(part, Part::Body(_)));
        let body = (looks_inside && subject.body.len() <= BODY_MAX).then(|| serde_json::from_slice(subject.body).ok());
        let body: Value = body.flatten().unwrap_or_default();
        let mut text = Bounded { text: String::new(), room: TEXT_MAX };
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push(literal, |letter| letter.to_string().into()),
                Part::Event(field) => text.push(&field.of(subject), escaped),
                Part::Body(pointer) => text.push(&body.pointer(pointer).map(shown).unwrap_or_default(), escaped),
            }
        }
        text.text
    }
}

/// What stands between the braces.
fn part(name: &str) -> Result<Part, String> {
    if name == "body" {
        return Ok(Part::Body(String::new()));
    }
    if let Some(pointer) = name.strip_prefix("body/") {
        return Ok(Part::Body(format!("/{pointer}")));
    }
    if let Some(path) = name.strip_prefix("body.") {
        if path.split('.').any(str::is_empty) {
            return Err(format!("`{name}` has an empty step; a name with a dot in it is written `body/a.b`"));
        }
        return Ok(Part::Body(format!("/{}", path.replace('~', "~0").replace('/', "~1").replace('.', "/"))));
    }
    let field = name.strip_prefix("event.").and_then(|name| FIELDS.iter().find(|(known, _)| *known == name));
    field.map(|(_, field)| Part::Event(*field)).ok_or_else(|| {
        let known: Vec<String> = FIELDS.iter().map(|(name, _)| format!("`event.{name}`")).collect();
        format!(
            "there is no `{}`: write {}, or `body.…` for a value of the body",
            name.escape_debug(),
            known.join(", ")
        )
    })
}

impl Field {
    fn of<'a>(self, subject: &Subject<'a>) -> Cow<'a, str> {
        match self {
            Self::Id => subject.event.into(),
            Self::Type => subject.event_type.into(),
            Self::Source => subject.source.into(),
            Self::ReceivedAt => subject.received_at.into(),
            Self::Delivery => subject.delivery.into(),
            Self::Attempt => subject.attempt.to_string().into(),
        }
    }
}

/// A value as people read it.
fn shown(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "".into(),
        Value::String(text) => text.into(),
        other => other.to_string().into(),
    }
}

/// Slack reads `<…>` as a link, a mention or a command, and `&` as the beginning of an escape; a value is none of these.
fn escaped(letter: char) -> Cow<'static, str> {
    match letter {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        other => other.to_string().into(),
    }
}

/// A text that takes no more than there is room for.
struct Bounded {
    text: String,
    room: usize,
}

impl Bounded {
    fn push(&mut self, more: &str, write: fn(char) -> Cow<'static, str>) {
        for letter in more.chars().take(self.room) {
            self.text.push_str(&write(letter));
            self.room -= 1;
        }
    }
}

fn error_at(text: &str, at: usize, message: impl Into<String>) -> TemplateError {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let (line, column) = (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1);
    TemplateError { line, column, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, body: &str) -> String {
        let subject = Subject {
            event: "evt_1",
            event_type: "run.failed",
            source: "publish",
            received_at: "2023-11-14T22:13:20Z",
            delivery: "dlv_1",
            attempt: 2,
            body: body.as_bytes(),
        };
        Template::parse(template).unwrap().render(&subject)
    }

    #[test]
    fn values_of_the_event_stand_in_their_places() {
        assert_eq!(render(DEFAULT_TEMPLATE, ""), "*publish* run.failed\n`evt_1`");
        let all =
            "{{event.id}} {{ event.type }} {{event.source}} {{event.received_at}} {{event.delivery}} {{event.attempt}}";
        assert_eq!(render(all, "no json"), "evt_1 run.failed publish 2023-11-14T22:13:20Z dlv_1 2");
        let body =
            r#"{"run":{"n":7,"ok":false,"f":1.5,"none":null,"list":["a",{"b":"c"}]},"a.b":"dotted","x/y":"slash"}"#;
        assert_eq!(render("{{ body.run.n }} {{body.run.ok}} {{body.run.f}}", body), "7 false 1.5");
        assert_eq!(
            render("{{ body.run.list.0 }}{{body.run.list.1.b}} {{body.run.list}}", body),
            r#"ac ["a",{"b":"c"}]"#
        );
        assert_eq!(render("{{ body/a.b }} {{ body.x/y }} {{ body/x~1y }}", body), "dotted slash slash");
        assert_eq!(render("{ {x} }} { body }", body), "{ {x} }} { body }");
        assert_eq!(render("{{ body }}", "[1, 2]"), "[1,2]");
    }

    #[test]
    fn what_is_missing_leaves_nothing() {
        assert_eq!(render("[{{ body.gone }}{{body.a.0}}]", r#"{"a":{}}"#), "[]");
        assert_eq!(render("[{{ body.a }}]", r#"{"a":null}"#), "[]");
        assert_eq!(render("[{{ body.a }}]", "{"), "[]");
        let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(BODY_MAX - 8));
        assert_eq!((large.len(), render("{{ body.a }}", &large).len()), (BODY_MAX, TEXT_MAX));
        assert_eq!(render("[{{ body.a }}]", &format!("{large} ")), "[]");
    }

    #[test]
    fn a_value_is_no_command_of_slacks() {
        let body = r#"{"t":"<!channel> & <https://evil.test|bank> &lt;"}"#;
        let expected = "<https://ci.test|run>: &lt;!channel&gt; &amp; &lt;https://evil.test|bank&gt; &amp;lt;";
        assert_eq!(render("<https://ci.test|run>: {{ body.t }}", body), expected);
    }

    #[test]
    fn the_text_is_bounded_and_no_escape_is_cut() {
        let text = |letters: usize| render("{{ body }}", &format!("\"{}\"", "&".repeat(letters)));
        assert_eq!(text(TEXT_MAX), "&amp;".repeat(TEXT_MAX));
        assert_eq!(text(TEXT_MAX + 1), text(TEXT_MAX));
        assert_eq!(render(&"é".repeat(2048), "").chars().count(), 2048);
    }

    #[test]
    fn a_template_that_cannot_be_meant_is_refused_where_it_is_wrong() {
        let problem = |template: &str| Template::parse(template).unwrap_err().to_string();
        assert_eq!(
            problem("a\nbé {{ event.typ }}").split(": write").next(),
            Some("line 2, column 4 of it: there is no `event.typ`")
        );
        assert_eq!(problem("{{ event.id"), "line 1, column 1 of it: this `{{` is not closed by `}}`");
        assert!(problem("{{ if x }}").contains("there is no `if x`"));
        assert!(problem("{{}}").contains("there is no ``"));
        assert!(problem("{{ body..x }}").contains("has an empty step"));
        assert!(problem("{{ body. }}").contains("has an empty step"));
        assert!(problem(" \n").contains("nothing would be posted"));
        assert!(Template::parse(&"x".repeat(TEMPLATE_MAX)).is_ok());
        assert!(problem(&"x".repeat(TEMPLATE_MAX + 1)).contains("at most 4096 bytes"));
    }
}
