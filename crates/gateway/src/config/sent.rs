//! Tables that came over the API, as JSON: held against the same rules as the file's, and against what is in force beside them.
//! Owns where in what was sent a problem is; the rules are the file's.

use hookward::Scheme;
use hookward_engine::egress::OwnListeners;
use hookward_engine::model::Retention;
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::document::Document;
use super::problems::{self, Problem};
use super::reference::References;
use super::{
    Check, ConfigError, DestinationDeclaration, Door, EventTypeDeclaration, Everything, SchemeDeclaration,
    SourceDeclaration, file, schemes,
};

/// What tables are checked against that are not a whole file: the rest of what is in force.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// The gateway's own limit on a body.
    pub(crate) body_bytes: usize,
    /// What is kept of a source that says nothing of its own.
    pub(crate) retention: Retention,
    /// Ranges that every destination may reach although they are not public.
    pub(crate) egress_allow: Vec<IpNet>,
    /// Where the gateway itself listens, which none of them reaches.
    pub(crate) own: OwnListeners,
    /// Whether a range of addresses may be all of them.
    pub(crate) egress_allow_everything: bool,
    /// Under which path sources stand that name none.
    pub(crate) prefix: String,
    /// The organization's other sources.
    pub(crate) sources: Vec<(String, Door)>,
    /// The organization's other destinations: their names, and whether they do something of their own.
    pub(crate) destinations: Vec<(String, bool)>,
    /// Whether the organization may reach addresses that are not public.
    pub(crate) may_reach: bool,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            body_bytes: usize::MAX,
            retention: Retention::default(),
            egress_allow: Vec::new(),
            own: OwnListeners::default(),
            egress_allow_everything: false,
            prefix: "/in".to_owned(),
            sources: Vec::new(),
            destinations: Vec::new(),
            may_reach: true,
        }
    }
}

/// Tables that are in order.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) sources: Vec<SourceDeclaration>,
    pub(crate) destinations: Vec<DestinationDeclaration>,
    pub(crate) event_types: Vec<EventTypeDeclaration>,
    pub(crate) schemes: Vec<SchemeDeclaration>,
    /// What the operator should know of them.
    pub(crate) notices: Vec<String>,
}

/// Something wrong in tables that were sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentProblem {
    /// The JSON pointer to it.
    pub(crate) pointer: String,
    /// Whether it is only wrong beside something that is there already.
    pub(crate) is_conflict: bool,
    /// One sentence.
    pub(crate) message: String,
}

/// A table that was sent, and the JSON pointer to it.
pub(crate) type SentTable<'a> = (String, &'a Map<String, Value>);

/// The tables of a file that was sent, or the one that was.
#[derive(Debug, Default)]
pub(crate) struct SentTables<'a> {
    pub(crate) sources: Vec<SentTable<'a>>,
    pub(crate) destinations: Vec<SentTable<'a>>,
    pub(crate) event_types: Vec<SentTable<'a>>,
    pub(crate) schemes: Vec<SentTable<'a>>,
}

/// The settings in `text`, which is TOML: those of one thing, to be sent as its table.
pub(crate) fn table_in(text: &str) -> Result<Map<String, Value>, Problem> {
    toml::from_str(text).map_err(|error| problems::from_toml(text, &error))
}

/// The sources, destinations, event types and private schemes in `text` as they are written, for sending them to a gateway that checks them.
///
/// # Errors
/// When it is not TOML.
pub(crate) fn tables(text: &str, name: &str) -> Result<Value, ConfigError> {
    let unreadable = |error| ConfigError::new(name, vec![problems::from_toml(text, &error)]);
    let Given { source, destination, event_type, scheme } = toml::from_str(text).map_err(unreadable)?;
    Ok(serde_json::json!({
        "source": source, "destination": destination, "event_type": event_type, "scheme": scheme,
    }))
}

/// Tables as they were written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Given {
    pub(super) source: Vec<Value>,
    pub(super) destination: Vec<Value>,
    pub(super) event_type: Vec<Value>,
    scheme: Vec<Value>,
}

/// Checks tables that were sent as JSON, by the rules of the file.
pub(crate) fn check_sent(
    sent: &SentTables<'_>,
    references: References<'_>,
    known: &[Scheme],
    around: Surroundings,
) -> Result<Tables, Vec<SentProblem>> {
    let mut document = Document::default();
    let SentTables { sources, destinations, event_types, schemes } = sent;
    let kinds = [("scheme", schemes), ("source", sources), ("destination", destinations), ("event_type", event_types)];
    for (header, tables) in kinds {
        tables.iter().for_each(|(pointer, table)| document.add(header, pointer, table));
    }
    let in_json = |problem: Problem| SentProblem {
        pointer: document.pointer(problem.offset).to_owned(),
        is_conflict: problem.is_conflict,
        message: problem.message,
    };
    let text = document.text();
    let read: Result<file::Tables, _> = toml::from_str(text);
    let mut file = read.map_err(|error| vec![in_json(problems::from_toml(text, &error))])?;
    let given = |tables: &[SentTable<'_>]| tables.iter().map(|(_, table)| Value::Object((*table).clone())).collect();
    let given = Given {
        source: given(sources),
        destination: given(destinations),
        event_type: given(event_types),
        scheme: vec![],
    };
    let mut check = Check::new(text, references, around);
    let schemes = schemes::schemes(&mut check, std::mem::take(&mut file.scheme));
    let own = schemes.iter().map(|one| one.scheme.clone());
    check.schemes = own.chain(known.iter().cloned()).collect();
    let Everything { sources, destinations, event_types } = check.tables(file, given);
    if check.problems.is_empty() {
        return Ok(Tables { sources, destinations, event_types, schemes, notices: check.notices });
    }
    Err(check.problems.into_iter().map(in_json).collect())
}
