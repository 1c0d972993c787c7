//! `hookward redeliver` and `hookward job`.

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::Exit;
use super::print::Column;
use super::remote::{Gateway, segment};
use super::resources::Page;
use super::secret::confirm;

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_help = "Example: hookward redeliver --source github --destination ci --state exhausted --dry-run")]
pub(super) struct Redelivery {
    /// Every event that is kept; only without anything that narrows it
    #[arg(long, conflicts_with_all = ["source", "event_type", "from", "to", "duplicate", "destination", "state", "filter"])]
    all: bool,
    /// Only this source's events
    #[arg(long)]
    source: Option<String>,
    /// Only this type
    #[arg(long = "type")]
    event_type: Option<String>,
    /// Only those received at this time or later, such as 2026-01-31T09:30:00Z
    #[arg(long)]
    from: Option<String>,
    /// Only those received before this time
    #[arg(long)]
    to: Option<String>,
    /// Only duplicates, or with `false` only originals
    #[arg(long)]
    duplicate: Option<bool>,
    /// Only to this destination; otherwise to all that hear such events today
    #[arg(long)]
    destination: Option<String>,
    /// Only where the latest delivery is in this state, such as exhausted
    #[arg(long)]
    state: Option<String>,
    /// Only those for which this expression is true, such as 'event == "push" && body.ref == "refs/heads/main"'
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// Events in a second, 1 to 10000; 50 when absent
    #[arg(long, value_name = "PER SECOND")]
    rate: Option<u32>,
    /// Only say how many events it would be
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward job list")]
pub(super) enum What {
    /// Newest first
    List {
        #[command(flatten)]
        page: Page,
    },
    /// One in full
    Show {
        /// Its id, `job_…`
        id: String,
    },
    /// Stop it for now
    Pause {
        /// Its id, `job_…`
        id: String,
    },
    /// Let it go on, also after a failure
    Resume {
        /// Its id, `job_…`
        id: String,
    },
    /// End it; what it redelivered stays
    Cancel {
        /// Its id, `job_…`
        id: String,
    },
}

const COLUMNS: [Column; 8] = [
    ("ID", "id"),
    ("STATE", "state"),
    ("RECOVERS", "recovers"),
    ("SOURCE", "source"),
    ("DESTINATION", "destination"),
    ("DONE %", "percent"),
    ("REDELIVERED", "redelivered"),
    ("CREATED", "created_at"),
];

/// Runs `hookward redeliver`.
pub(super) async fn redeliver(redelivery: Redelivery, gateway: &Gateway) -> Result<(), Exit> {
    let Redelivery { all, source, event_type, from, to, duplicate, destination, state, filter, rate, dry_run, yes } =
        redelivery;
    let texts = [&source, &event_type, &from, &to, &destination, &state, &filter];
    let is_narrowed = duplicate.is_some() || texts.into_iter().any(Option::is_some);
    if !is_narrowed && !all {
        return Err(Exit::usage(
            "say which events with --source, --type, --state, …, or --all for every one that is kept",
        ));
    }
    if all && !dry_run {
        confirm("every event that is kept is owed again, to all that hear it", yes)?;
    }
    let wanted = json!({
        "source": source,
        "type": event_type,
        "from": from,
        "to": to,
        "duplicate": duplicate,
        "destination": destination,
        "state": state,
        "filter": filter,
        "rate_per_s": rate,
        "dry_run": dry_run,
    });
    let answer = gateway.post("/redeliveries", &wanted).await?;
    if dry_run {
        return gateway.done(&answer, &format!("{} events would be redelivered", answer["matched"]));
    }
    let id = answer["id"].as_str().unwrap_or_default();
    gateway.done(&answer, &format!("{id}\nsee how far it is: hookward job show {id}"))
}

/// Runs `hookward job …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    let at = |id: &str| format!("/redeliveries/{}", segment(id));
    let (id, verb, words) = match what {
        What::List { page } => {
            return gateway.list(&gateway.get(&format!("/redeliveries{}", page.query(&[]))).await?, &COLUMNS);
        }
        What::Show { id } => return gateway.show(&gateway.get(&at(&id)).await?),
        What::Pause { id } => (id, "pause", "is paused"),
        What::Resume { id } => (id, "resume", "goes on"),
        What::Cancel { id } => (id, "cancel", "is cancelled"),
    };
    let job = gateway.post(&format!("{}/{verb}", at(&id)), &json!({})).await?;
    gateway.done(&job, &format!("job `{id}` {words}"))
}
