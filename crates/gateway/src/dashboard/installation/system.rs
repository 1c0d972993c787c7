//! The nodes and their store, for whoever operates the installation: what runs, what it keeps, what is owed, and the
//! configuration in force with the origin of each value.

use std::path::Path;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookward_engine::model::{Node, NodeState};
use hookward_engine::store::sqlite::{self, DATABASE_FILE};
use hookward_engine::store::{Backlog, KeptOfSource, Wear, WornTable};

use super::super::page::{Failure, Page};
use super::super::shell::{Section, Shell};
use super::super::visitor::Visitor;
use super::super::words::{self, When};
use crate::api::Api;
use crate::api::caller::Admin;
use crate::config::{InForce, ValueOrigin};

/// Sources of which it is told what is kept; the ones with the most.
const KEPT_MAX: usize = 20;

#[derive(Debug, Template)]
#[template(path = "dashboard/system.html")]
struct System {
    shell: Shell,
    version: &'static str,
    node: String,
    started_at: When,
    public: String,
    admin: String,
    file: Option<String>,
    clock_step: Option<(String, String)>,
    outstanding: String,
    held: String,
    waiting: String,
    /// How long the earliest due delivery has been due.
    late: Option<String>,
    nodes: Vec<ShownNode>,
    /// Whether all that serve have the same in force.
    agree: bool,
    directory: String,
    sizes: Sizes,
    sqlite: &'static str,
    /// How the database is that nodes share.
    shared: Option<Shared>,
    audit_rows: String,
    kept: Vec<Kept>,
    more_kept: usize,
    tables: Vec<Table>,
}

/// A node.
#[derive(Debug)]
struct ShownNode {
    name: String,
    is_this: bool,
    state: &'static str,
    is_serving: bool,
    address: String,
    version: String,
    leases: String,
    revision: String,
    clock: String,
    seen_at: When,
}

/// The database that nodes share.
#[derive(Debug)]
struct Shared {
    address: String,
    oldest_snapshot: Option<String>,
    tables: Vec<Worn>,
}

/// A table of it.
#[derive(Debug)]
struct Worn {
    name: String,
    live: String,
    dead: String,
}

/// How large things on the disk are.
#[derive(Debug, Default)]
struct Sizes {
    database: String,
    log: String,
    /// What is free where the data is, and of how much.
    free: Option<(String, String)>,
}

/// What is kept of a source.
#[derive(Debug)]
struct Kept {
    name: String,
    events: String,
    bodies: String,
}

/// The settings of one table.
#[derive(Debug)]
struct Table {
    /// Empty for what stands before the first.
    name: &'static str,
    heading: String,
    rows: Vec<Row>,
}

/// A setting as it is in force.
#[derive(Debug)]
struct Row {
    name: &'static str,
    value: String,
    origin: String,
    is_default: bool,
}

/// `GET /dashboard/system`
pub(super) async fn show(State(api): State<Arc<Api>>, visitor: Visitor<Admin>) -> Result<Response, Failure> {
    super::operator(&visitor)?;
    let (installation, engine, now) = (api.installation(), api.engine(), api.clock().now());
    let Backlog { outstanding, held, waiting, oldest_due } = engine.store().backlog().await?;
    let late = oldest_due.map(|due| now.since(due)).filter(|late| !late.is_zero());
    let mut kept = engine.store().kept().await?;
    kept.sort_by_key(|kept| std::cmp::Reverse(kept.body_bytes));
    let more_kept = kept.len().saturating_sub(KEPT_MAX);
    let data = installation.data.clone();
    let sizes = tokio::task::spawn_blocking(move || sizes(&data)).await.unwrap_or_default();
    let nodes = shown_ones(engine.nodes().await?);
    let page = System {
        shell: visitor.shell(&api, Section::System, "System"),
        version: env!("CARGO_PKG_VERSION"),
        node: engine.node().to_string(),
        started_at: When::new(installation.started_at, now),
        public: installation.public.to_string(),
        admin: installation.admin.to_string(),
        file: installation.file.clone(),
        clock_step: engine.clock_step().map(|step| clock_step(step.by_ms)),
        outstanding: words::count(outstanding),
        held: words::count(held),
        waiting: words::count(waiting),
        late: late.map(words::lapse),
        agree: agree(&nodes),
        nodes: nodes.into_iter().map(|node| shown_node(&api, node)).collect(),
        shared: engine.wear().await?.map(|wear| shared(&installation.in_force, wear)),
        directory: absolute(&installation.data),
        sizes,
        sqlite: sqlite::sqlite_version(),
        audit_rows: words::count(engine.audit_head().await?.seq.unsigned_abs()),
        kept: kept.into_iter().take(KEPT_MAX).map(shown).collect(),
        more_kept,
        tables: tables(&installation.in_force),
    };
    Ok(Page(page).into_response())
}

/// Those that are there, and those that are missed: not what a node was before it was started again.
fn shown_ones(nodes: Vec<Node>) -> Vec<Node> {
    let is_back = |(at, node): (usize, &Node)| {
        node.state == NodeState::Gone && nodes.iter().skip(at + 1).any(|later| later.name == node.name)
    };
    let are_back: Vec<bool> = nodes.iter().enumerate().map(is_back).collect();
    nodes.into_iter().zip(are_back).filter(|(_, is_back)| !is_back).map(|(node, _)| node).collect()
}

/// Whether nodes that serve have the same revision in force.
fn agree(nodes: &[Node]) -> bool {
    let mut serving = nodes.iter().filter(|node| node.state == NodeState::Serving).map(|node| node.declared);
    let first = serving.next();
    serving.all(|revision| Some(revision) == first)
}

fn shown_node(api: &Api, node: Node) -> ShownNode {
    let ahead = std::time::Duration::from_millis(node.clock_ahead_ms.unsigned_abs());
    let clock = match node.clock_ahead_ms {
        -999..=999 => "right".to_owned(),
        1000.. => format!("{} ahead", words::lapse(ahead)),
        _ => format!("{} behind", words::lapse(ahead)),
    };
    ShownNode {
        is_this: node.id == api.engine().node(),
        name: node.name,
        state: node.state.name(),
        is_serving: node.state == NodeState::Serving,
        address: node.address,
        version: node.version,
        leases: words::count(node.leases),
        revision: words::count(node.declared.unsigned_abs()),
        clock,
        seen_at: When::new(node.seen_at, api.clock().now()),
    }
}

fn shared(in_force: &[InForce], wear: Wear) -> Shared {
    let address = in_force.iter().find(|setting| setting.name == "database.address");
    let Wear { oldest_snapshot_ms, tables } = wear;
    let worn = |table: WornTable| {
        let WornTable { name, live, dead } = table;
        Worn { name, live: words::count(live), dead: words::count(dead) }
    };
    Shared {
        address: address.map(|setting| setting.value.clone()).unwrap_or_default(),
        oldest_snapshot: oldest_snapshot_ms.map(|ms| words::lapse(std::time::Duration::from_millis(ms))),
        tables: tables.into_iter().map(worn).collect(),
    }
}

/// How far the wall clock jumped, and where to.
fn clock_step(by_ms: i64) -> (String, String) {
    let way = if by_ms < 0 { "back" } else { "forward" };
    (words::lapse(std::time::Duration::from_millis(by_ms.unsigned_abs())), way.to_owned())
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn sizes(directory: &Path) -> Sizes {
    let size = |name: &str| std::fs::metadata(directory.join(name)).map_or(0, |found| found.len());
    let free = nix::sys::statvfs::statvfs(directory).ok().map(|found| {
        let of = |blocks: u64| words::bytes(blocks.saturating_mul(found.fragment_size()));
        (of(found.blocks_available()), of(found.blocks()))
    });
    let log = size(&format!("{DATABASE_FILE}-wal"));
    Sizes { database: words::bytes(size(DATABASE_FILE)), log: words::bytes(log), free }
}

fn shown(kept: KeptOfSource) -> Kept {
    let KeptOfSource { name, events, body_bytes, .. } = kept;
    Kept { name, events: words::count(events), bodies: words::bytes(body_bytes) }
}

/// The settings, table by table, in their order.
fn tables(in_force: &[InForce]) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for setting in in_force {
        let (table, name) = setting.name.split_once('.').unwrap_or(("", setting.name));
        let row = Row {
            name,
            value: setting.value.clone(),
            origin: origin(&setting.origin),
            is_default: setting.origin == ValueOrigin::Default,
        };
        match tables.last_mut().filter(|last| last.name == table) {
            Some(last) => last.rows.push(row),
            None => {
                let heading = match table {
                    "" if tables.is_empty() => String::new(),
                    "" => "besides".to_owned(),
                    table => format!("[{table}]"),
                };
                tables.push(Table { name: table, heading, rows: vec![row] });
            }
        }
    }
    tables
}

fn origin(origin: &ValueOrigin) -> String {
    match origin {
        ValueOrigin::Default => "default".to_owned(),
        ValueOrigin::File { line } => format!("file, line {line}"),
        ValueOrigin::Environment { variable } => format!("environment, {variable}"),
        ValueOrigin::CommandLine { option } => format!("command line, {option}"),
    }
}
