//! A configuration file over the API: what applying it would do, doing it, and taking out what there is.
//! Whoever sends it has looked its references up; nothing of this machine is read for it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::{Act, Difference, Planned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::Api;
use super::caller::{Admin, Caller, Export};
use super::extract::Body;
use super::problem::Problem;
use crate::declaring::{File, Plan, Tabled};

/// A configuration file's tables, and what its references stand for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConfigurationFile")]
pub(crate) struct Sent {
    /// The `[[source]]` tables.
    #[serde(default)]
    source: Vec<Map<String, Value>>,
    /// The `[[destination]]` tables.
    #[serde(default)]
    destination: Vec<Map<String, Value>>,
    /// The `[[event_type]]` tables.
    #[serde(default)]
    event_type: Vec<Map<String, Value>>,
    /// The `[[scheme]]` tables.
    #[serde(default)]
    scheme: Vec<Map<String, Value>>,
    /// The values of `env:NAME` and `file:PATH`, by that text.
    #[serde(default)]
    #[schemars(with = "HashMap<String, String>")]
    references: HashMap<String, Zeroizing<String>>,
}

/// What applying a file does, or did.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ConfigurationPlan")]
pub(crate) struct Shown {
    /// Thing by thing; none when the file is in force as it is.
    changes: Vec<Change>,
    /// What is not as the file left it, although no table tells so.
    drift: Vec<String>,
    /// What whoever applies it should know.
    notices: Vec<String>,
}

/// What is done to one thing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PlannedChange")]
pub(crate) struct Change {
    /// `source`, `destination`, `event_type` or `scheme`.
    kind: &'static str,
    name: String,
    /// `create`, `update` or `remove`; `adopt` when nothing changes but that a file manages it from now on.
    act: &'static str,
    /// Setting by setting, without what may be a credential.
    fields: Vec<Field>,
    /// Whether a reference stands for something else than it did.
    values_changed: bool,
    /// Whether a secret enters its keyring.
    secret: bool,
    /// What stored secrets are for that end by this, because they would go somewhere else.
    dropped: Vec<String>,
}

/// One setting; what was not there, or is not any more, is null.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PlannedField")]
pub(crate) struct Field {
    field: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Everything that an organization has, as a file without a credential.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ExportedConfiguration")]
pub(crate) struct Exported {
    source: Vec<Value>,
    destination: Vec<Value>,
    event_type: Vec<Value>,
    scheme: Vec<Value>,
}

/// `POST /config/plan`
pub(crate) async fn plan(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Body(sent): Body<Sent>,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(shown(api.declaring.plan(&caller, sent.into()).await?)))
}

/// `POST /config/apply`
pub(crate) async fn apply(
    State(api): State<Arc<Api>>,
    caller: Caller<Admin>,
    Body(sent): Body<Sent>,
) -> Result<Json<Shown>, Problem> {
    Ok(Json(shown(api.declaring.apply(&caller, sent.into()).await?)))
}

/// `GET /config/export`
pub(crate) async fn export(State(api): State<Arc<Api>>, caller: Caller<Export>) -> Json<Exported> {
    let Tabled { sources, destinations, event_types, schemes } = api.declaring.export(&caller);
    Json(Exported { source: sources, destination: destinations, event_type: event_types, scheme: schemes })
}

impl From<Sent> for File {
    fn from(sent: Sent) -> Self {
        let Sent { source, destination, event_type, scheme, references } = sent;
        Self { sources: source, destinations: destination, event_types: event_type, schemes: scheme, references }
    }
}

fn shown(plan: Plan) -> Shown {
    let Plan { changes, drift, notices } = plan;
    Shown { changes: changes.into_iter().map(change).collect(), drift, notices }
}

fn change(planned: Planned) -> Change {
    let Planned { kind, name, act, fields, values_changed, secret, dropped } = planned;
    let act = match act {
        Act::Create => "create",
        Act::Update => "update",
        Act::Remove => "remove",
        Act::Adopt => "adopt",
    };
    let field = |Difference { field, before, after }| Field { field, before, after };
    Change {
        kind: kind.name(),
        name,
        act,
        fields: fields.into_iter().map(field).collect(),
        values_changed,
        secret,
        dropped,
    }
}
