//! `hookward source` and `hookward destination`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Exit;
use super::print::Column;
use super::remote::{Gateway, query, segment};

/// Which page of a list.
#[derive(Debug, Args)]
pub(super) struct Page {
    /// At most this many, 1 to 250
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Go on from where the last page ended
    #[arg(long)]
    cursor: Option<String>,
}

impl Page {
    /// The query for this page with `more` filters.
    pub(super) fn query(&self, more: &[(&str, Option<&str>)]) -> String {
        let limit = self.limit.to_string();
        let mut pairs = vec![("limit", Some(limit.as_str())), ("cursor", self.cursor.as_deref())];
        pairs.extend_from_slice(more);
        query(&pairs)
    }
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward source show github")]
pub(super) enum What {
    /// All of them
    List {
        #[command(flatten)]
        page: Page,
    },
    /// One in full
    Show {
        /// Its name
        name: String,
    },
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward destination pause ci")]
pub(super) enum DestinationWhat {
    /// All of them
    List {
        #[command(flatten)]
        page: Page,
    },
    /// One in full
    Show {
        /// Its name
        name: String,
    },
    /// Hold what it is owed until it is resumed
    Pause {
        /// Its name
        name: String,
    },
    /// Take up deliveries again, beginning with the held ones
    Resume {
        /// Its name
        name: String,
        /// Held deliveries fall due so many a second, instead of all at once
        #[arg(long, value_name = "PER_SECOND", conflicts_with = "drop")]
        drain_rate: Option<u32>,
        /// Cancel what is held instead
        #[arg(long)]
        drop: bool,
    },
}

const SOURCE_COLUMNS: [Column; 4] =
    [("NAME", "name"), ("PROOF", "scheme_or_proof"), ("PATH", "path"), ("SINCE", "created_at")];

const DESTINATION_COLUMNS: [Column; 8] = [
    ("NAME", "name"),
    ("TYPE", "type"),
    ("STATE", "state"),
    ("HEALTH", "health"),
    ("OWED", "outstanding"),
    ("HELD", "held"),
    ("TARGET", "target"),
    ("SOURCES", "hears"),
];

/// Runs `hookward source …`.
pub(super) async fn source(what: What, gateway: &Gateway) -> Result<(), Exit> {
    match what {
        What::List { page } => {
            let mut list = gateway.get(&format!("/sources{}", page.query(&[]))).await?;
            if gateway.is_for_people() {
                for item in list["items"].as_array_mut().into_iter().flatten() {
                    let proof = if item["scheme"].is_null() { &item["proof"] } else { &item["scheme"] };
                    item["scheme_or_proof"] = proof.clone();
                    item["path"] = item["door"]["path"].clone();
                }
            }
            gateway.list(&list, &SOURCE_COLUMNS)
        }
        What::Show { name } => gateway.show(&gateway.get(&format!("/sources/{}", segment(&name))).await?),
    }
}

/// Runs `hookward destination …`.
pub(super) async fn destination(what: DestinationWhat, gateway: &Gateway) -> Result<(), Exit> {
    let at = |name: &str, verb: &str| format!("/destinations/{}{verb}", segment(name));
    match what {
        DestinationWhat::List { page } => {
            let mut list = gateway.get(&format!("/destinations{}", page.query(&[]))).await?;
            if gateway.is_for_people() {
                for item in list["items"].as_array_mut().into_iter().flatten() {
                    let target = if item["url"].is_null() { &item["argv"] } else { &item["url"] };
                    item["target"] = target.clone();
                    let hears_all = item["sources"].as_array().is_none_or(Vec::is_empty);
                    item["hears"] = if hears_all { json!("all") } else { item["sources"].clone() };
                    item["health"] = item["condition"]["health"].clone();
                    item["outstanding"] = item["owed"]["outstanding"].clone();
                    item["held"] = item["owed"]["held"].clone();
                }
            }
            gateway.list(&list, &DESTINATION_COLUMNS)
        }
        DestinationWhat::Show { name } => gateway.show(&gateway.get(&at(&name, "")).await?),
        DestinationWhat::Pause { name } => {
            let shown = gateway.post(&at(&name, "/pause"), &json!({})).await?;
            gateway.done(&shown, &format!("destination `{name}` is paused: what it is owed is held"))
        }
        DestinationWhat::Resume { name, drain_rate, drop } => {
            let held = if drop { "drop" } else { "release" };
            let resume = json!({ "drain_rate": drain_rate, "held": held });
            let shown = gateway.post(&at(&name, "/resume"), &resume).await?;
            let drained = &shown["drained"];
            let became = match (drop, drain_rate) {
                (true, _) => format!("{drained} held deliveries were dropped"),
                (false, Some(rate)) => format!("{drained} held deliveries go out at {rate} a second"),
                (false, None) => format!("{drained} held deliveries are due"),
            };
            gateway.done(&shown, &format!("destination `{name}` is active: {became}"))
        }
    }
}
