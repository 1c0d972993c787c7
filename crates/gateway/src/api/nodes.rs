//! The nodes of the installation, for whoever operates it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::model::Node;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Admin, Caller};
use super::problem::Problem;
use super::{Api, time};

/// All nodes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Nodes")]
pub(crate) struct All {
    /// The oldest first. Those that were not seen for a day are forgotten.
    items: Vec<Shown>,
}

/// One running process.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Node")]
pub(crate) struct Shown {
    #[schemars(example = &"node_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e")]
    id: String,
    #[schemars(example = &"hooks-1")]
    name: String,
    /// Where its listener for senders is.
    #[schemars(example = &"10.0.0.7:8080")]
    address: String,
    version: String,
    /// `draining`: it was told to end. `gone`: it ended, or was not seen for ten seconds.
    #[schemars(extend("enum" = ["serving", "draining", "gone"]))]
    state: &'static str,
    started_at: String,
    /// When it was last seen, by the clock that nodes share.
    seen_at: String,
    /// The revision of what is declared that it has in force. Nodes that have the same one agree.
    revision: i64,
    /// How many deliveries it is attempting.
    leases: u64,
    /// How far its machine's clock is ahead of the database's, in milliseconds; negative when it is behind. Nothing follows it.
    clock_ahead_ms: i64,
    /// Whether it is the one that answers.
    answers: bool,
}

/// `GET /nodes`
pub(crate) async fn list(State(api): State<Arc<Api>>, caller: Caller<Admin>) -> Result<Json<All>, Problem> {
    caller.operator()?;
    let nodes = api.engine.nodes().await?;
    Ok(Json(All { items: nodes.into_iter().map(|node| shown(&api, node)).collect() }))
}

fn shown(api: &Api, node: Node) -> Shown {
    let Node { id, name, address, version, started_at, seen_at, state, declared, leases, clock_ahead_ms } = node;
    Shown {
        id: id.to_string(),
        name,
        address,
        version,
        state: state.name(),
        started_at: time(started_at),
        seen_at: time(seen_at),
        revision: declared,
        leases,
        clock_ahead_ms,
        answers: id == api.engine.node(),
    }
}
