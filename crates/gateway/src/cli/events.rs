//! `hookward event` and `hookward publish`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json, value::RawValue};

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::{Gateway, segment};
use super::resources::Page;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward event list --source github --limit 10")]
pub(super) enum What {
    /// Newest first
    List {
        /// Only this source's
        #[arg(long)]
        source: Option<String>,
        /// Only this type
        #[arg(long = "type")]
        event_type: Option<String>,
        /// Only those with this delivery id
        #[arg(long)]
        delivery_id: Option<String>,
        /// Only duplicates, or with `false` only originals
        #[arg(long)]
        duplicate: Option<bool>,
        #[command(flatten)]
        page: Page,
    },
    /// One in full, with what is owed for it
    Show {
        /// Its id, `evt_…`
        id: String,
    },
    /// Its exact bytes, to standard output
    Body {
        /// Its id, `evt_…`
        id: String,
    },
    /// Owe it again
    Redeliver {
        /// Its id, `evt_…`
        id: String,
        /// Only to this destination; otherwise to all that hear such events today
        #[arg(long)]
        destination: Option<String>,
    },
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_help = "Example: hookward publish --type invoice.paid --body invoice.json --idempotency-key inv-1042")]
pub(super) struct Publication {
    /// The event's type
    #[arg(long = "type", value_name = "T")]
    event_type: String,
    /// A file with the payload, which is JSON and is delivered byte for byte; `-` is standard input
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// Publishing again with the same key and payload is the same event
    #[arg(long, value_name = "K")]
    idempotency_key: Option<String>,
}

const COLUMNS: [Column; 6] = [
    ("ID", "id"),
    ("SOURCE", "source"),
    ("TYPE", "type"),
    ("DELIVERY ID", "delivery_id"),
    ("RECEIVED", "received_at"),
    ("DUPLICATE OF", "duplicate_of"),
];

/// Runs `hookward event …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    match what {
        What::List { source, event_type, delivery_id, duplicate, page } => {
            let duplicate = duplicate.map(|duplicate| duplicate.to_string());
            let query = page.query(&[
                ("source", source.as_deref()),
                ("type", event_type.as_deref()),
                ("delivery_id", delivery_id.as_deref()),
                ("duplicate", duplicate.as_deref()),
            ]);
            gateway.list(&gateway.get(&format!("/events{query}")).await?, &COLUMNS)
        }
        What::Show { id } => gateway.show(&gateway.get(&format!("/events/{}", segment(&id))).await?),
        What::Body { id } => print::out(&gateway.bytes(&format!("/events/{}/body", segment(&id))).await?),
        What::Redeliver { id, destination } => {
            let body = destination.map_or(json!({}), |name| json!({ "destination": name }));
            let owed = gateway.post(&format!("/events/{}/redeliver", segment(&id)), &body).await?;
            let ids = owed["deliveries"].as_array().map(Vec::as_slice).unwrap_or_default();
            let ids: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
            gateway.done(&owed, &ids.join("\n"))
        }
    }
}

/// Runs `hookward publish`.
pub(super) async fn publish(publish: Publication, gateway: &Gateway) -> Result<(), Exit> {
    let file = publish.body.display().to_string();
    let bytes = if file == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(&publish.body)
    };
    let bytes = bytes.map_err(|error| Exit::failure(format!("`{file}` cannot be read: {error}")))?;
    let payload: &RawValue = serde_json::from_slice(&bytes)
        .map_err(|error| Exit::usage(format!("`{file}` is not JSON, which a payload has to be: {error}")))?;
    // Written by hand around the payload's own text, so that it arrives as it stands in the file.
    let request = format!(r#"{{"type":{},"payload":{payload}}}"#, json!(publish.event_type));
    let key = publish.idempotency_key.map(|key| ("idempotency-key".to_owned(), key));
    let headers: Vec<(String, String)> = key.into_iter().collect();
    let receipt = gateway.post_bytes("/events", &headers, request.into()).await?;
    let id = receipt["eventId"].as_str().unwrap_or_default().to_owned();
    gateway.done(&receipt, &id)
}
