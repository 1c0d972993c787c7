//! `hookward event` and `hookward publish`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hookward_engine::BATCH_MAX;
use serde_json::{Value, json, value::RawValue};

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::{Gateway, segment};
use super::resources::Page;

/// The most bytes of one batch; the gateway takes a little more.
const BATCH_BYTES: usize = 31 << 20;

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
    #[arg(long = "type", value_name = "T", required_unless_present = "batch")]
    event_type: Option<String>,
    /// A file with the payload, which is JSON and is delivered byte for byte; `-` is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "batch")]
    body: Option<PathBuf>,
    /// Publishing again with the same key and payload is the same event
    #[arg(long, value_name = "K")]
    idempotency_key: Option<String>,
    /// A file with many events, a line of JSON each: {"type": …, "payload": …, "idempotency_key": …}; exit status 5 when
    /// some were refused
    #[arg(long, value_name = "FILE", conflicts_with_all = ["event_type", "body", "idempotency_key"])]
    batch: Option<PathBuf>,
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
    if let Some(file) = &publish.batch {
        return batch(file, gateway).await;
    }
    let bytes = payload(publish.body.as_deref().expect("one of the two is required"))?;
    let payload: &RawValue = serde_json::from_slice(&bytes).expect("it was read as JSON");
    // Written by hand around the payload's own text, so that it arrives as it stands in the file.
    let request = format!(r#"{{"type":{},"payload":{payload}}}"#, json!(publish.event_type));
    let key = publish.idempotency_key.map(|key| ("idempotency-key".to_owned(), key));
    let headers: Vec<(String, String)> = key.into_iter().collect();
    let receipt = gateway.post_bytes("/events", &headers, request.into()).await?;
    let id = receipt["eventId"].as_str().unwrap_or_default().to_owned();
    gateway.done(&receipt, &id)
}

/// Publishes a file of events, a line each, in as many batches as they fill.
async fn batch(file: &Path, gateway: &Gateway) -> Result<(), Exit> {
    let bytes = read(file)?;
    let (mut refused, mut total) = (0, 0);
    let lines: Vec<(usize, &[u8])> = (1..).zip(bytes.split(|byte| *byte == b'\n')).collect();
    let lines: Vec<_> = lines.into_iter().filter(|(_, line)| !line.trim_ascii().is_empty()).collect();
    for (number, line) in &lines {
        let is_json = serde_json::from_slice::<&RawValue>(line);
        is_json.map_err(|error| Exit::usage(format!("{}, line {number}: not JSON: {error}", file.display())))?;
    }
    let mut rest = &lines[..];
    while !rest.is_empty() {
        let (sent, after) = rest.split_at(fitting(rest));
        rest = after;
        let events: Vec<&[u8]> = sent.iter().map(|(_, line)| *line).collect();
        let request = [b"{\"events\":[".as_slice(), &events.join(&b','), b"]}"].concat();
        let told = gateway.post_bytes("/events/batch", &[], request.into()).await?;
        let results = told["results"].as_array().map(Vec::as_slice).unwrap_or_default();
        for ((number, _), result) in sent.iter().zip(results) {
            total += 1;
            refused += usize::from(result["result"] == "refused");
            let word = |field: &str| print::escaped(result[field].as_str().unwrap_or_default());
            if gateway.is_for_people() {
                let id = word("eventId");
                print::line(format!("{number}: {} {id} {}", word("result"), word("detail")).trim_end())?;
            } else {
                print::line(&result.to_string())?;
            }
        }
    }
    if refused > 0 {
        return Err(Exit::refused(format!("{refused} of {total} events were refused")));
    }
    Ok(())
}

/// How many of these lines go into one batch.
fn fitting(lines: &[(usize, &[u8])]) -> usize {
    let mut bytes = 0;
    let fits = |(_, line): &&(usize, &[u8])| {
        bytes += line.len() + 1;
        bytes <= BATCH_BYTES
    };
    lines.iter().take(BATCH_MAX).take_while(fits).count().max(1)
}

/// The JSON in a file, byte for byte.
pub(super) fn payload(file: &Path) -> Result<Vec<u8>, Exit> {
    let bytes = read(file)?;
    let is_json = serde_json::from_slice::<&RawValue>(&bytes);
    is_json.map_err(|error| {
        Exit::usage(format!("`{}` is not JSON, which a payload has to be: {error}", file.display()))
    })?;
    Ok(bytes)
}

fn read(file: &Path) -> Result<Vec<u8>, Exit> {
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    bytes.map_err(|error| Exit::failure(format!("`{}` cannot be read: {error}", file.display())))
}
