//! Declarations on their way into force: those of the file that is served, of a file that is applied, of single things. Owns
//! what is decided beside the other things in force, such as whose a path is; one declaration comes after the other.

mod schemes;
mod sent;
mod stored;

use hookward::SchemeError;
use hookward_engine::egress::OwnListeners;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{Declaration, DestinationKind, Manager, Principal, Retention, Source};
use hookward_engine::{
    Authority, Declared, DeclaredDestination, DeclaredEventType, DeclaredSource, Engine, EngineError, Kind, Planned,
    managed_by_file,
};
use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::config::{
    DestinationDeclaration, Door, EventTypeDeclaration, SchemeDeclaration, SentProblem, Settings, SourceDeclaration,
    Surroundings, Tables, in_text,
};

pub(crate) use sent::{File, Plan, Tabled};

/// Why something was not declared.
#[derive(Debug)]
pub(crate) enum Refused {
    /// What is wrong with it.
    Problems(Vec<SentProblem>),
    /// What is wrong with a scheme file.
    Scheme(SchemeError),
    /// The engine says no.
    Engine(EngineError),
}

impl From<EngineError> for Refused {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// What declarations are checked against, whoever makes them.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    body_bytes: usize,
    retention: Retention,
    egress_allow: Vec<IpNet>,
    own: OwnListeners,
    egress_allow_everything: bool,
    commands: bool,
}

impl Rules {
    /// Those of the file that is served.
    pub(crate) fn new(settings: &Settings, retention: Retention, own: OwnListeners) -> Self {
        Self {
            body_bytes: settings.limits.body_bytes,
            retention,
            egress_allow: settings.egress_allow.clone(),
            own,
            egress_allow_everything: settings.egress_allow_everything,
            commands: settings.commands_over_api,
        }
    }
}

/// The way into force.
#[derive(Debug)]
pub(crate) struct Declaring {
    engine: Engine,
    rules: Rules,
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl Declaring {
    /// For this engine, under these rules.
    pub(crate) fn new(engine: Engine, rules: Rules) -> Self {
        Self { engine, rules, one_at_a_time: tokio::sync::Mutex::default() }
    }

    /// The engine in which things come into force.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Puts in force what the served file says.
    pub(crate) async fn serve(
        &self,
        sources: Vec<SourceDeclaration>,
        destinations: Vec<DestinationDeclaration>,
        event_types: Vec<EventTypeDeclaration>,
    ) -> Result<Vec<Planned>, EngineError> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let by = Principal::config();
        if let Some(taken) = self.taken(&by, Authority::ServedFile, &sources) {
            return Err(EngineError::Conflict(taken));
        }
        let declared = declared(sources, destinations, event_types, vec![]);
        let planned = self.engine.declare(&by, Authority::ServedFile, declared).await?;
        for (name, scheme) in self.engine.ended_schemes(by.organization) {
            tracing::warn!("{}", ended_scheme(&name, &scheme));
        }
        for known in self.engine.overtaken_schemes() {
            tracing::warn!("{}", schemes::overtaken(&known));
        }
        Ok(planned)
    }

    /// Makes a new thing of what was sent.
    pub(crate) async fn create(&self, by: &Principal, kind: Kind, table: Map<String, Value>) -> Result<(), Refused> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let mut table = table;
        if kind == Kind::EventType {
            in_text(&mut table);
        }
        self.put_one(by, Authority::Creation, kind, table, None).await.map(drop)
    }

    /// Changes a thing as a JSON merge patch (RFC 7396) of its table says. Gives what stored credentials it loses by that,
    /// because they would go somewhere else.
    pub(crate) async fn alter(
        &self,
        by: &Principal,
        kind: Kind,
        name: &str,
        patch: Map<String, Value>,
    ) -> Result<Vec<String>, Refused> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let since = self.engine.catch_up().await?;
        let missing = || EngineError::NotFound(format!("{} `{}`", kind.name(), name.escape_debug()));
        let Declaration { table: before, manager } =
            stored::declaration(&self.engine, by, kind, name).ok_or_else(missing)?;
        if manager == Manager::File {
            return Err(managed_by_file(kind, name).into());
        }
        let spec = match kind {
            Kind::Source | Kind::EventType | Kind::Scheme => None,
            Kind::Destination => self.engine.whole_destination(by.organization, name).await?,
        };
        let mut before = stored::members(before);
        stored::put_values(spec.as_ref(), &mut before);
        let mut patch = patch;
        if kind == Kind::EventType {
            in_text(&mut patch);
        }
        if patch.get("name").is_some_and(|new| new != name) {
            return Err(problem("/name", "a name is for ever: make another one, and remove this"));
        }
        let mut table = before.clone();
        merge(&mut table, patch.clone());
        stored::put_urls(spec.as_ref(), &mut table);
        let mut dropped = stored::drop_credentials(&before, &patch, &mut table);
        if !stored::moved(&before, &table) {
            stored::put_values(spec.as_ref(), &mut table);
        }
        dropped.extend(self.put_one(by, Authority::Alteration, kind, table, since).await?);
        Ok(dropped)
    }

    /// Takes a thing that the API manages out of force.
    pub(crate) async fn retire(&self, by: &Principal, kind: Kind, name: &str) -> Result<(), EngineError> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        self.engine.retire(by, kind, name).await
    }

    async fn put_one(
        &self,
        by: &Principal,
        authority: Authority,
        kind: Kind,
        table: Map<String, Value>,
        since: Option<i64>,
    ) -> Result<Vec<String>, Refused> {
        let mut tables = self.check_one(by, authority, kind, &table)?;
        let sources = tables.sources.iter_mut().map(|source| &mut source.declared);
        let destinations = tables.destinations.iter_mut().map(|destination| &mut destination.declared);
        sources.chain(destinations).for_each(stored::take_secrets_out);
        self.may(by, authority, &tables).await?;
        let declared = declared(tables.sources, tables.destinations, tables.event_types, tables.schemes);
        let declared = Declared { since, ..declared };
        let planned = self.engine.declare(by, authority, declared).await?;
        Ok(planned.into_iter().flat_map(|planned| planned.dropped).collect())
    }

    /// What only shows beside everything else: paths, programs.
    async fn may(&self, by: &Principal, authority: Authority, tables: &Tables) -> Result<(), Refused> {
        if let Some(taken) = self.taken(by, authority, &tables.sources) {
            return Err(EngineError::Conflict(taken).into());
        }
        for DestinationDeclaration { name, spec, .. } in &tables.destinations {
            let is_program = matches!(spec.kind, DestinationKind::Command(_));
            if !is_program || self.rules.commands && by.operates() {
                continue;
            }
            let is_there = self.engine.destination(by.organization, name).is_some_and(|before| !before.is_retired());
            let before = self.engine.whole_destination(by.organization, name).await?.filter(|_| is_there);
            if before.is_none_or(|before| before.kind != spec.kind) {
                let rule = "programs are run only for the file that `hookward serve` was started with";
                return Err(problem(
                    "/type",
                    &format!("destination `{name}`: {rule}, unless its [admin] says `commands = true`"),
                ));
            }
        }
        Ok(())
    }

    /// A path that is another source's, one that stays. Whose is told only where it is the organization's own.
    fn taken(&self, by: &Principal, authority: Authority, sources: &[SourceDeclaration]) -> Option<String> {
        let stays = |other: &&Source| !self.is_replaced(by, authority, other, sources);
        let others = self.engine.all_sources();
        for (other, door) in others.iter().filter(stays).filter_map(|other| Some((other, door(other)?))) {
            for source in sources {
                let Ok(new) = serde_json::from_value::<Door>(source.spec.door.clone()) else { continue };
                let is_own = other.organization == by.organization;
                let is_shared = is_own && new.hint.is_some() && door.hint.is_some() && new.hint != door.hint;
                if new.path == door.path && !is_shared {
                    let whose = if is_own { format!("that of source `{}`", other.name) } else { "taken".to_owned() };
                    return Some(format!("source `{}`: path `{}` is {whose} already", source.name, new.path));
                }
            }
        }
        None
    }

    fn is_replaced(&self, by: &Principal, authority: Authority, other: &Source, sources: &[SourceDeclaration]) -> bool {
        let is_whole = matches!(authority, Authority::ServedFile | Authority::AppliedFile);
        let is_named = sources.iter().any(|source| source.name == other.name);
        other.organization == by.organization && (is_named || is_whole && other.declaration.manager == Manager::File)
    }

    /// The rest of what is in force in an organization, when these are declared.
    fn around(
        &self,
        by: &Principal,
        authority: Authority,
        sources: &[String],
        destinations: &[String],
    ) -> Surroundings {
        let organization = self.engine.organization(by.organization);
        let prefix = match organization {
            Some(organization) if organization.id != OrganizationId::DEFAULT => format!("/in/{}", organization.name),
            _ => "/in".to_owned(),
        };
        let is_whole = authority == Authority::AppliedFile;
        let stays = |manager, is_named: bool| !(is_named || is_whole && manager == Manager::File);
        let others = self.engine.sources(by.organization).into_iter();
        let others = others.filter(|one| stays(one.declaration.manager, sources.contains(&one.name)));
        let ways_out = self.engine.destinations(by.organization).into_iter().filter(|one| !one.is_retired());
        let ways_out = ways_out.filter(|one| stays(one.declaration.manager, destinations.contains(&one.name)));
        let does_something = |kind: &DestinationKind| !matches!(kind, DestinationKind::Report(_));
        Surroundings {
            body_bytes: self.rules.body_bytes,
            retention: self.rules.retention,
            egress_allow: self.rules.egress_allow.clone(),
            own: self.rules.own.clone(),
            egress_allow_everything: self.rules.egress_allow_everything,
            prefix,
            sources: others.filter_map(|one| Some((one.name.clone(), door(&one)?))).collect(),
            destinations: ways_out.map(|one| (one.name, does_something(&one.spec.kind))).collect(),
            may_reach: by.operates(),
        }
    }
}

fn door(source: &Source) -> Option<Door> {
    serde_json::from_value(source.spec.door.clone()).ok()
}

fn ended_scheme(destination: &str, scheme: &str) -> String {
    format!("destination `{destination}`: scheme `{scheme}` signs no more, its `until` is past")
}

fn problem(pointer: &str, message: &str) -> Refused {
    let (pointer, message) = (pointer.to_owned(), message.to_owned());
    Refused::Problems(vec![SentProblem { pointer, is_conflict: false, message }])
}

fn declared(
    sources: Vec<SourceDeclaration>,
    destinations: Vec<DestinationDeclaration>,
    event_types: Vec<EventTypeDeclaration>,
    schemes: Vec<SchemeDeclaration>,
) -> Declared {
    let source = |source: SourceDeclaration| {
        let SourceDeclaration { name, spec, declared, secret, handshake_token } = source;
        DeclaredSource { name, spec, table: declared, secret, handshake_token }
    };
    let destination = |destination: DestinationDeclaration| {
        let DestinationDeclaration { name, spec, declared, secrets } = destination;
        DeclaredDestination { name, spec, table: declared, secrets }
    };
    let event_type = |event_type: EventTypeDeclaration| {
        let EventTypeDeclaration { name, spec, declared } = event_type;
        DeclaredEventType { name, spec, table: declared }
    };
    Declared {
        sources: sources.into_iter().map(source).collect(),
        destinations: destinations.into_iter().map(destination).collect(),
        event_types: event_types.into_iter().map(event_type).collect(),
        schemes: schemes.into_iter().map(|scheme| scheme.declared).collect(),
        since: None,
    }
}

/// RFC 7396: what is null goes, tables are merged, everything else is replaced.
fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(&key);
            }
            Value::Object(members) => {
                let below = target.entry(key).or_insert_with(|| Value::Object(Map::new()));
                if !below.is_object() {
                    *below = Value::Object(Map::new());
                }
                if let Value::Object(below) = below {
                    merge(below, members);
                }
            }
            value => {
                target.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A, that are about objects.
    #[test]
    fn a_merge_patch_is_that_of_the_rfc() {
        for (target, patch, expected) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let (Value::Object(mut merged), Value::Object(patch)) = (target, patch) else { panic!("not objects") };
            merge(&mut merged, patch);
            assert_eq!(Value::Object(merged), expected);
        }
    }
}
