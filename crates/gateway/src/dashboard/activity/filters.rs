//! What an address asks the list of events for, read and written. Every field is text as somebody may have typed it; empty
//! is not asked for.

use std::time::Duration;

use hookward_engine::EngineError;
use hookward_engine::clock::Timestamp;
use hookward_engine::model::{Outcome, Principal};
use hookward_engine::store::{ActivityFilter, Ended};
use serde::Deserialize;
use serde::de::value::{Error as Unknown, StrDeserializer};

use super::EVENTS;
use super::marks::STATES;
use crate::api::Api;
use crate::dashboard::form::moment;
use crate::dashboard::notice::Notice;
use crate::dashboard::page;
use crate::dashboard::pager::Place;

/// The longest text of one field, in bytes.
const TEXT_MAX: usize = 1024;

/// The most stars of one pattern: each may be tried at every place of a type.
const STARS_MAX: usize = 4;

/// Spans of time that end now: as an address has them, as a page does, in seconds.
pub(super) const SPANS: [(&str, &str, u64); 5] = [
    ("15m", "Last 15 minutes", 900),
    ("1h", "Last hour", 3_600),
    ("24h", "Last 24 hours", 86_400),
    ("7d", "Last 7 days", 7 * 86_400),
    ("30d", "Last 30 days", 30 * 86_400),
];

/// Which events, as an address says it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// An event's, a delivery's or an attempt's id, or what the sender calls it.
    pub(super) q: String,
    /// The state of a delivery.
    pub(super) status: String,
    pub(super) source: String,
    pub(super) destination: String,
    /// A type, or a pattern.
    #[serde(rename = "type")]
    pub(super) event_type: String,
    /// One of [`SPANS`].
    pub(super) since: String,
    pub(super) from: String,
    pub(super) until: String,
    /// How an attempt ended: a status (`500`, `5xx`) or an outcome (`timeout`).
    pub(super) answer: String,
    /// `only` or `without`.
    pub(super) duplicates: String,
    /// An expression.
    pub(super) body: String,
    #[serde(flatten)]
    pub(super) place: Place,
    /// For what came since: the end of an earlier look.
    pub(super) after: String,
    /// For what came since: the events that are shown and whose deliveries are not over, with commas.
    pub(super) shown: String,
    /// What led here.
    pub(super) notice: Option<Notice>,
}

/// What cannot be asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The field.
    pub(super) field: &'static str,
    /// One sentence.
    pub(super) says: String,
}

impl Wrong {
    pub(super) fn new(field: &'static str, says: impl Into<String>) -> Self {
        Self { field, says: says.into() }
    }
}

impl Asked {
    /// Name and value of what is asked for, without where the page begins.
    pub(super) fn fields(&self) -> Vec<(&'static str, &str)> {
        let fields = [
            ("q", &self.q),
            ("status", &self.status),
            ("source", &self.source),
            ("destination", &self.destination),
            ("type", &self.event_type),
            ("since", &self.since),
            ("from", &self.from),
            ("until", &self.until),
            ("answer", &self.answer),
            ("duplicates", &self.duplicates),
            ("body", &self.body),
        ];
        fields.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name, value.as_str())).collect()
    }

    /// Whether anything is asked for.
    pub(super) fn is_narrow(&self) -> bool {
        !self.fields().is_empty()
    }

    /// Whether something is asked for that stands among the further filters.
    pub(super) fn is_particular(&self) -> bool {
        [&self.from, &self.until, &self.answer, &self.duplicates, &self.body].iter().any(|field| !field.is_empty())
    }

    /// The address of this list at `path`, and `more`.
    pub(super) fn path_at(&self, path: &str, more: &[(&'static str, &str)]) -> String {
        let fields: Vec<_> = self.fields().into_iter().chain(more.iter().copied()).collect();
        page::address(path, &fields)
    }

    /// The address of this list, and `more`.
    pub(super) fn path(&self, more: &[(&'static str, &str)]) -> String {
        self.path_at(EVENTS, more)
    }

    /// The address of this list with another state.
    pub(super) fn path_with_status(&self, status: &str) -> String {
        Self { status: status.to_owned(), ..self.clone() }.path(&[])
    }

    /// As the engine is asked. What `q` names by an id of ours is looked for elsewhere.
    pub(super) async fn filter(&self, api: &Api, by: &Principal, now: Timestamp) -> Result<ActivityFilter, Wrong> {
        if let Some((field, _)) =
            self.fields().into_iter().find(|(name, value)| *name != "body" && value.len() > TEXT_MAX)
        {
            return Err(Wrong::new(field, format!("This has at most {TEXT_MAX} bytes.")));
        }
        let mut filter = ActivityFilter {
            event_type: Some(self.event_type.clone()).filter(|pattern| !pattern.is_empty()),
            delivery_id: Some(self.q.clone()).filter(|id| !id.is_empty()),
            duplicate: self.duplicate()?,
            from: moment(&self.from).map_err(|says| Wrong::new("from", says))?,
            until: moment(&self.until).map_err(|says| Wrong::new("until", says))?,
            state: self.state()?,
            ended: self.ended()?,
            ..ActivityFilter::default()
        };
        if self.event_type.matches('*').count() > STARS_MAX {
            return Err(Wrong::new("type", format!("A pattern has at most {STARS_MAX} stars.")));
        }
        if let Some((_, _, seconds)) = SPANS.iter().find(|(name, ..)| *name == self.since) {
            filter.from = filter.from.max(Some(now.minus(Duration::from_secs(*seconds))));
        } else if !self.since.is_empty() {
            return Err(Wrong::new("since", "There is no such span of time."));
        }
        if !self.source.is_empty() {
            let source = api.engine().source_id(by.organization, &self.source).await;
            let missing = |_: EngineError| Wrong::new("source", format!("There is no source `{}`.", self.source));
            filter.source = Some(source.map_err(missing)?);
        }
        if !self.destination.is_empty() {
            let destination = api.engine().destination(by.organization, &self.destination);
            let missing = || Wrong::new("destination", format!("There is no destination `{}`.", self.destination));
            filter.destination = Some(destination.ok_or_else(missing)?.id);
        }
        Ok(filter)
    }

    fn duplicate(&self) -> Result<Option<bool>, Wrong> {
        match self.duplicates.as_str() {
            "" => Ok(None),
            "only" => Ok(Some(true)),
            "without" => Ok(Some(false)),
            _ => Err(Wrong::new("duplicates", "Duplicates are shown as well, alone, or not at all.")),
        }
    }

    fn state(&self) -> Result<Option<String>, Wrong> {
        if self.status.is_empty() {
            return Ok(None);
        }
        let is_one = STATES.iter().any(|(state, _)| *state == self.status);
        is_one.then(|| Some(self.status.clone())).ok_or_else(|| Wrong::new("status", "There is no such status."))
    }

    fn ended(&self) -> Result<Option<Ended>, Wrong> {
        let text = self.answer.trim();
        if text.is_empty() {
            return Ok(None);
        }
        let class = text.strip_suffix("xx").and_then(|class| class.parse::<u16>().ok()).filter(|n| (1..=5).contains(n));
        if let Some(class) = class {
            return Ok(Some(Ended::Status(class * 100..=class * 100 + 99)));
        }
        if let Some(status) = text.parse::<u16>().ok().filter(|status| (100..=599).contains(status)) {
            return Ok(Some(Ended::Status(status..=status)));
        }
        let outcome = Outcome::deserialize(StrDeserializer::<Unknown>::new(text));
        let unknown = |_| Wrong::new("answer", "This is a status like 500 or 5xx, or one of the outcomes offered.");
        outcome.map(|outcome| Some(Ended::Outcome(outcome))).map_err(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Result<Option<Ended>, Wrong> {
        Asked { answer: text.to_owned(), ..Asked::default() }.ended()
    }

    #[test]
    fn an_answer_is_a_status_a_class_of_them_or_an_outcome() {
        assert_eq!(answer(""), Ok(None));
        assert_eq!(answer(" 503 "), Ok(Some(Ended::Status(503..=503))));
        assert_eq!(answer("4xx"), Ok(Some(Ended::Status(400..=499))));
        assert_eq!(answer("timeout"), Ok(Some(Ended::Outcome(Outcome::Timeout))));
        for other in ["99", "600", "0xx", "6xx", "xx", "Timeout", "<b>"] {
            assert_eq!(answer(other).unwrap_err().field, "answer", "{other}");
        }
    }

    #[test]
    fn an_address_says_what_is_asked_for_and_nothing_else() {
        let asked = Asked { q: "a&b=ü".to_owned(), event_type: "x.*".to_owned(), ..Asked::default() };
        assert_eq!(asked.path(&[("before", "7")]), "/dashboard/events?q=a%26b%3D%C3%BC&type=x.*&before=7");
        assert_eq!(Asked::default().path(&[]), "/dashboard/events");
        assert_eq!(asked.path_with_status("held"), "/dashboard/events?q=a%26b%3D%C3%BC&status=held&type=x.*");
    }
}
