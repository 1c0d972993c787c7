//! `hookward delivery`.

use clap::Subcommand;
use serde_json::json;

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::{Gateway, query, segment};
use super::resources::Page;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward delivery list --state exhausted")]
pub(super) enum What {
    /// Newest first
    List {
        /// Only this event's
        #[arg(long)]
        event: Option<String>,
        /// Only this destination's
        #[arg(long)]
        destination: Option<String>,
        /// Only in this state: pending, leased, delivered, exhausted, cancelled, held or waiting
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// One in full, with every attempt
    Show {
        /// Its id, `dlv_…`
        id: String,
    },
    /// What its program wrote, byte for byte
    Output {
        /// Its id, `dlv_…`
        id: String,
        /// Of this attempt [default: the one under way, or the last]
        #[arg(long)]
        attempt: Option<u32>,
        /// Stay until the program ends
        #[arg(long)]
        follow: bool,
    },
    /// Call it off; one that is under way is told to end
    Cancel {
        /// Its id, `dlv_…`
        id: String,
    },
}

const COLUMNS: [Column; 6] = [
    ("ID", "id"),
    ("EVENT", "event"),
    ("DESTINATION", "destination"),
    ("STATE", "state"),
    ("AT", "state_at"),
    ("ATTEMPTS", "attempts_begun"),
];

/// Runs `hookward delivery …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    match what {
        What::List { event, destination, state, page } => {
            let query = page.query(&[
                ("event", event.as_deref()),
                ("destination", destination.as_deref()),
                ("state", state.as_deref()),
            ]);
            gateway.list(&gateway.get(&format!("/deliveries{query}")).await?, &COLUMNS)
        }
        What::Show { id } => gateway.show(&gateway.get(&format!("/deliveries/{}", segment(&id))).await?),
        What::Output { id, attempt, follow } => {
            let attempt = attempt.map(|attempt| attempt.to_string());
            let query = query(&[("attempt", attempt.as_deref()), ("follow", follow.then_some("true"))]);
            gateway.stream(&format!("/deliveries/{}/output{query}", segment(&id)), print::out).await
        }
        What::Cancel { id } => {
            let shown = gateway.post(&format!("/deliveries/{}/cancel", segment(&id)), &json!({})).await?;
            let words = match shown["state"].as_str() {
                Some("leased") => "is told to end",
                _ => "is cancelled",
            };
            gateway.done(&shown, &format!("delivery `{id}` {words}"))
        }
    }
}
