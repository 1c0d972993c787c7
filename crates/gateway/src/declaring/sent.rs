//! Tables that were sent: one thing, or a whole file with the values of its references. Owns the plan that is shown before a
//! file is applied, what has drifted from it, and the way back, the export.

use std::collections::HashMap;

use hookward_engine::model::{Declaration, DestinationState, Manager, Principal, SecretOwner};
use hookward_engine::{Authority, EngineError, Kind, Planned};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Declaring, Refused, declared, ended_scheme, schemes, stored};
use crate::config::{References, SentTable, SentTables, Tables, check_sent, in_text};

/// A configuration file's sources and destinations.
#[derive(Debug)]
pub(crate) struct File {
    /// Its `[[source]]` tables.
    pub(crate) sources: Vec<Map<String, Value>>,
    /// Its `[[destination]]` tables.
    pub(crate) destinations: Vec<Map<String, Value>>,
    /// Its `[[event_type]]` tables.
    pub(crate) event_types: Vec<Map<String, Value>>,
    /// Its `[[scheme]]` tables.
    pub(crate) schemes: Vec<Map<String, Value>>,
    /// What its references stand for where it is kept, by their text.
    pub(crate) references: HashMap<String, Zeroizing<String>>,
}

/// Tables as a file has them.
#[derive(Debug)]
pub(crate) struct Tabled {
    pub(crate) sources: Vec<Value>,
    pub(crate) destinations: Vec<Value>,
    pub(crate) event_types: Vec<Value>,
    pub(crate) schemes: Vec<Value>,
}

/// What applying a file does, or did.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Thing by thing.
    pub(crate) changes: Vec<Planned>,
    /// What is not as a file says, though nothing that is declared tells so.
    pub(crate) drift: Vec<String>,
    /// What whoever applies it should know.
    pub(crate) notices: Vec<String>,
}

impl Declaring {
    /// What applying `file` would do.
    pub(crate) async fn plan(&self, by: &Principal, file: File) -> Result<Plan, Refused> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let Tables { sources, destinations, event_types, schemes, notices } = self.check_file(by, file).await?;
        let declared = declared(sources, destinations, event_types, schemes);
        let changes = self.engine.plan(by, Authority::AppliedFile, &declared).await?;
        Ok(self.told(by, changes, notices).await?)
    }

    /// Puts `file` in force as everything that files declare in the organization, all or nothing.
    pub(crate) async fn apply(&self, by: &Principal, file: File) -> Result<Plan, Refused> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let Tables { sources, destinations, event_types, schemes, notices } = self.check_file(by, file).await?;
        let declared = declared(sources, destinations, event_types, schemes);
        let changes = self.engine.declare(by, Authority::AppliedFile, declared).await?;
        Ok(self.told(by, changes, notices).await?)
    }

    /// Everything that the organization has, as a file without a credential.
    pub(crate) fn export(&self, by: &Principal) -> Tabled {
        let with_name = |name: String, table: &Value| {
            let mut table = stored::exported(table);
            table["name"] = Value::from(name);
            table
        };
        let sources = self.engine.sources(by.organization).into_iter();
        let sources = sources.map(|source| with_name(source.name, &source.declaration.table));
        let destinations = self.engine.destinations(by.organization).into_iter().filter(|one| !one.is_retired());
        let destinations = destinations.map(|one| with_name(one.name, &one.declaration.table));
        let event_types = self.engine.event_types(by.organization).into_iter();
        let event_types = event_types.map(|one| with_name(one.name, &one.declaration.table));
        let schemes = self.engine.own_schemes(by.organization).into_iter();
        Tabled {
            sources: sources.collect(),
            destinations: destinations.collect(),
            event_types: event_types.collect(),
            schemes: schemes.map(|own| own.declaration.table).collect(),
        }
    }

    /// What is declared of one thing, without a credential, and who may change it.
    pub(crate) fn exported(&self, by: &Principal, kind: Kind, name: &str) -> Option<(Map<String, Value>, Manager)> {
        let Declaration { table, manager } = stored::declaration(&self.engine, by, kind, name)?;
        let mut table = stored::members(stored::exported(&table));
        table.insert("name".to_owned(), name.into());
        Some((table, manager))
    }

    /// Checks one table that was sent.
    pub(super) fn check_one(
        &self,
        by: &Principal,
        authority: Authority,
        kind: Kind,
        table: &Map<String, Value>,
    ) -> Result<Tables, Refused> {
        let one = vec![(String::new(), table)];
        let sent = match kind {
            Kind::Source => SentTables { sources: one, ..SentTables::default() },
            Kind::Destination => SentTables { destinations: one, ..SentTables::default() },
            Kind::EventType => SentTables { event_types: one, ..SentTables::default() },
            Kind::Scheme => SentTables { schemes: one, ..SentTables::default() },
        };
        let own = [name(table)];
        let (names, ways_out): (&[String], &[String]) = match kind {
            Kind::Source => (&own, &[]),
            Kind::Destination => (&[], &own),
            Kind::EventType | Kind::Scheme => (&[], &[]),
        };
        let around = self.around(by, authority, names, ways_out);
        let known = schemes::known(&self.engine, by.organization);
        check_sent(&sent, References::Nowhere, &known, around).map_err(Refused::Problems)
    }

    /// Checks a file that was sent. What is in force stands where it says `stored`.
    async fn check_file(&self, by: &Principal, file: File) -> Result<Tables, Refused> {
        let File { mut sources, mut destinations, mut event_types, schemes, mut references } = file;
        event_types.iter_mut().for_each(in_text);
        let mut tokens = HashMap::new();
        for table in &mut sources {
            let Some(before) = stored::table(&self.engine, by, Kind::Source, &name(table)) else { continue };
            stored::fill(&before, None, table, &mut references);
            // A token is the served file's alone: the same reference to it is nothing to check here.
            if let Some(token) =
                table.get("handshake_token").filter(|token| before.get("handshake_token") == Some(token))
            {
                tokens.insert(name(table), token.clone());
                table.remove("handshake_token");
            }
        }
        for table in &mut destinations {
            let Some(before) = stored::table(&self.engine, by, Kind::Destination, &name(table)) else { continue };
            let spec = self.engine.whole_destination(by.organization, &name(table)).await?;
            stored::fill(&before, spec.as_ref(), table, &mut references);
        }
        let names = |tables: &[Map<String, Value>]| tables.iter().map(name).collect::<Vec<_>>();
        let around = self.around(by, Authority::AppliedFile, &names(&sources), &names(&destinations));
        let sent = SentTables {
            sources: placed("source", &sources),
            destinations: placed("destination", &destinations),
            event_types: placed("event_type", &event_types),
            schemes: placed("scheme", &schemes),
        };
        let known = schemes::known(&self.engine, by.organization);
        let checked = check_sent(&sent, References::Sent(&references), &known, around);
        let mut tables = checked.map_err(Refused::Problems)?;
        for source in &mut tables.sources {
            if let Some(token) = tokens.remove(&source.name) {
                source.declared["handshake_token"] = token;
            }
            self.settle(by, Kind::Source, &source.name, &mut source.declared);
        }
        for destination in &mut tables.destinations {
            self.settle(by, Kind::Destination, &destination.name, &mut destination.declared);
            stored::settle_values(&mut destination.declared);
        }
        self.may(by, Authority::AppliedFile, &tables).await?;
        Ok(tables)
    }

    fn settle(&self, by: &Principal, kind: Kind, name: &str, table: &mut Value) {
        if let Some(before) = stored::table(&self.engine, by, kind, name) {
            stored::settle_secrets(&before, table);
        }
    }

    /// What a file manages and gives a secret to, with its name.
    fn given_secrets(&self, by: &Principal) -> Vec<(String, SecretOwner)> {
        let is_given = |declaration: &Declaration| {
            declaration.manager == Manager::File && stored::has_referred_secret(&declaration.table)
        };
        let sources = self.engine.sources(by.organization).into_iter().filter(|one| is_given(&one.declaration));
        let sources = sources.map(|one| (format!("source `{}`", one.name), SecretOwner::Source(one.id)));
        let ways_out = self.engine.destinations(by.organization).into_iter();
        let ways_out = ways_out.filter(|one| !one.is_retired() && is_given(&one.declaration));
        let ways_out = ways_out.map(|one| (format!("destination `{}`", one.name), SecretOwner::Destination(one.id)));
        sources.chain(ways_out).collect()
    }

    async fn told(&self, by: &Principal, changes: Vec<Planned>, mut notices: Vec<String>) -> Result<Plan, EngineError> {
        let mut drift = Vec::new();
        let is_planned = |kind, name: &str| changes.iter().any(|change| change.kind == kind && change.name == name);
        for source in self.engine.sources(by.organization) {
            if source.declaration.manager == Manager::Api && !is_planned(Kind::Source, &source.name) {
                notices.push(format!("source `{}` is managed over the API, by no file", source.name));
            }
        }
        for destination in self.engine.destinations(by.organization).into_iter().filter(|one| !one.is_retired()) {
            let name = &destination.name;
            match destination.state {
                DestinationState::Active => {}
                DestinationState::Paused => drift.push(format!("destination `{name}` is paused")),
                DestinationState::Disabled { reason } => {
                    drift.push(format!("destination `{name}` is disabled: {reason}"));
                }
            }
            if destination.declaration.manager == Manager::Api && !is_planned(Kind::Destination, name) {
                notices.push(format!("destination `{name}` is managed over the API, by no file"));
            }
        }
        for event_type in self.engine.event_types(by.organization) {
            let name = &event_type.name;
            if event_type.declaration.manager == Manager::Api && !is_planned(Kind::EventType, name) {
                notices.push(format!("event type `{name}` is managed over the API, by no file"));
            }
        }
        for own in self.engine.own_schemes(by.organization) {
            let name = &own.name;
            if own.declaration.manager == Manager::Api && !is_planned(Kind::Scheme, name) {
                notices.push(format!("scheme `{name}` is managed over the API, by no file"));
            }
        }
        for (name, scheme) in self.engine.ended_schemes(by.organization) {
            notices.push(ended_scheme(&name, &scheme));
        }
        for (what, owner) in self.given_secrets(by) {
            let newest = self.engine.secrets(owner).await?.into_iter().find(|secret| secret.revoked_at.is_none());
            if let Some(newest) = newest.filter(|newest| newest.origin != "config") {
                let (version, origin) = (newest.version, newest.origin);
                drift.push(format!("{what} has version {version} of its secret from elsewhere ({origin})"));
            }
        }
        Ok(Plan { changes, drift, notices })
    }
}

fn name(table: &Map<String, Value>) -> String {
    table.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn placed<'t>(kind: &str, tables: &'t [Map<String, Value>]) -> Vec<SentTable<'t>> {
    tables.iter().enumerate().map(|(index, table)| (format!("/{kind}/{index}"), table)).collect()
}
