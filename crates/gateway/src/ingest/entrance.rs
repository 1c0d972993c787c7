//! What stands at a path: one source, or several that a hint in the body tells apart.
//! Owns what is prepared of it before any request comes; the order of the checks is `ingest`'s.

use std::collections::HashMap;

use hookward::Hint;
use hookward_engine::Engine;
use hookward_engine::ids::{OrganizationId, SourceId};
use hookward_engine::model::{Organization, RefusedAt, Source};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use ipnet::IpNet;

use super::client::{Client, is_in};
use crate::answer::Prepared;
use crate::config::{Door, Limits};
use crate::metrics::{Answered, Metrics, SourceCounters};

/// A path as requests meet it. What is decided before a body is read is the same for all its sources.
#[derive(Debug)]
pub(super) struct Entrance {
    /// The one source's tally, or the path's own.
    pub(super) tally: Tally,
    allow_addresses: Option<Vec<IpNet>>,
    /// Empty for every method.
    methods: Vec<Method>,
    /// With which the one source's provider makes sure of it, besides.
    handshakes: Vec<Method>,
    /// The largest body.
    pub(super) body_bytes: usize,
    pub(super) refused: Prepared,
    pub(super) wrong_method: Prepared,
    behind: Behind,
}

/// Whom a path leads to.
#[derive(Debug)]
enum Behind {
    One(Box<Desk>),
    /// By the hint's value.
    Several(Hint, HashMap<String, Desk>),
}

/// One source, and what only it decides.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) source: SourceId,
    pub(super) tally: Tally,
    pub(super) accepted: Prepared,
    pub(super) ignored: Option<Prepared>,
    pub(super) duplicate: Prepared,
}

/// What requests are counted under: a source, or a path where no source is known.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) organization: OrganizationId,
    pub(super) at: RefusedAt,
    name: String,
    counters: SourceCounters,
}

impl Tally {
    fn new(metrics: &Metrics, organization: &Organization, at: RefusedAt) -> Self {
        let name = organization.name_of(at.as_str());
        Self { counters: metrics.of_source(&name), organization: organization.id, at, name }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn count(&self, answered: Answered) {
        self.counters.answered(answered);
    }
}

impl Entrance {
    pub(super) fn is_open_to(&self, client: Client) -> bool {
        self.allow_addresses.as_ref().is_none_or(|ranges| is_in(client.address, ranges))
    }

    /// Whether this method, which is none of the source's, may be that of a handshake.
    pub(super) fn shakes_hands(&self, method: &Method) -> bool {
        self.handshakes.contains(method)
    }

    pub(super) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// The source that a request is for. Where a hint decides and none has its value: a source of this path like the one that
    /// might have been.
    pub(super) fn desk(&self, headers: &HeaderMap, body: &[u8]) -> Result<&Desk, SourceId> {
        match &self.behind {
            Behind::One(desk) => Ok(desk),
            Behind::Several(hint, desks) => {
                let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
                let found = hint.read(kind, body).and_then(|value| desks.get(&value));
                // The first by name, so that it is the same one after every start.
                let any = || desks.values().min_by_key(|desk| desk.tally.name());
                found.ok_or_else(|| any().expect("a path leads to at least one source").source)
            }
        }
    }
}

/// An entrance for each path of the engine's sources, and one sentence for each source that has none, because its kept door
/// is not one or does not fit beside another on its path.
pub(super) fn entrances(
    engine: &Engine,
    metrics: &Metrics,
    limits: &Limits,
) -> (HashMap<String, Entrance>, Vec<String>) {
    let (mut entrances, mut problems) = (HashMap::new(), Vec::new());
    for source in engine.all_sources().into_iter().filter(|source| source.removed_at.is_none()) {
        let handshakes = engine.handshake_methods(source.id);
        let Some(organization) = engine.organization(source.organization) else { continue };
        if let Err(problem) = open(&mut entrances, &source, &organization, &handshakes, metrics, limits) {
            problems.push(format!("source `{}`: {problem}", source.name));
        }
    }
    (entrances, problems)
}

fn open(
    entrances: &mut HashMap<String, Entrance>,
    source: &Source,
    organization: &Organization,
    handshakes: &[String],
    metrics: &Metrics,
    limits: &Limits,
) -> Result<(), String> {
    let door: Door = serde_json::from_value(source.spec.door.clone()).map_err(|error| format!("its door: {error}"))?;
    let desk = Desk {
        source: source.id,
        tally: Tally::new(metrics, organization, RefusedAt::Source(source.name.clone())),
        accepted: Prepared::new(&door.answers.accepted)?,
        ignored: door.answers.ignored.as_ref().map(Prepared::new).transpose()?,
        duplicate: Prepared::new(&door.answers.duplicate)?,
    };
    match (entrances.get_mut(&door.path), &door.hint) {
        (None, None) => {
            let tally = Tally::new(metrics, organization, RefusedAt::Source(source.name.clone()));
            let handshakes = methods(handshakes)?;
            let entrance = Entrance { handshakes, ..entrance(&door, tally, Behind::One(Box::new(desk)), limits)? };
            entrances.insert(door.path, entrance);
        }
        (None, Some(hint)) => {
            let pointer = Hint::new(&hint.pointer).map_err(|error| format!("its hint: {error}"))?;
            let desks = HashMap::from([(hint.value.clone(), desk)]);
            let tally = Tally::new(metrics, organization, RefusedAt::Path(door.path.clone()));
            let entrance = entrance(&door, tally, Behind::Several(pointer, desks), limits)?;
            entrances.insert(door.path, entrance);
        }
        (Some(Entrance { behind: Behind::Several(_, desks), tally, .. }), Some(hint))
            if tally.organization == organization.id =>
        {
            desks.insert(hint.value.clone(), desk);
        }
        (Some(_), _) => return Err(format!("its path `{}` is another source's", door.path)),
    }
    Ok(())
}

fn entrance(door: &Door, tally: Tally, behind: Behind, limits: &Limits) -> Result<Entrance, String> {
    let mut wrong_method = Prepared::new(&door.answers.wrong_method)?;
    if wrong_method.status() == StatusCode::METHOD_NOT_ALLOWED {
        let allow = HeaderValue::from_str(&door.methods.join(", ")).map_err(|_| "its methods".to_owned())?;
        wrong_method = wrong_method.with(header::ALLOW, allow);
    }
    let body_bytes = door.body_bytes.unwrap_or(limits.body_bytes).min(limits.body_bytes);
    let allow_addresses = door.allow_addresses.clone();
    Ok(Entrance {
        tally,
        allow_addresses,
        methods: methods(&door.methods)?,
        handshakes: Vec::new(),
        body_bytes,
        refused: Prepared::new(&door.answers.refused)?,
        wrong_method,
        behind,
    })
}

fn methods(names: &[String]) -> Result<Vec<Method>, String> {
    let parse = |name: &String| name.parse().map_err(|_| format!("`{name}` is not a method"));
    names.iter().map(parse).collect()
}
