//! `hookward tail`: events and attempts as they happen, a line each.

use clap::Args;
use serde_json::Value;

use super::exit::Exit;
use super::follow::{Follower, note};
use super::print;
use super::remote::Gateway;

/// Watch events come in and go out, a line each
///
/// Begins with what comes next, and goes on until it is interrupted; nothing is left out while the gateway is away.
#[derive(Debug, Args)]
#[group(skip)]
#[command(after_help = "Example: hookward tail --type invoice.paid")]
pub(super) struct Tail {
    /// Only this source's events
    #[arg(long)]
    source: Option<String>,
    /// Only attempts at this destination
    #[arg(long)]
    destination: Option<String>,
    /// Only events of this type
    #[arg(long = "type", value_name = "T")]
    event_type: Option<String>,
}

/// Runs `hookward tail`.
pub(super) async fn run(tail: Tail, gateway: &Gateway) -> Result<(), Exit> {
    let Tail { source, destination, event_type } = tail;
    let given = |pairs: [(&'static str, &Option<String>); 3]| -> Vec<(&'static str, String)> {
        pairs.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    };
    let of_events = given([("source", &source), ("type", &event_type), ("destination", &None)]);
    let of_attempts = given([("source", &source), ("type", &event_type), ("destination", &destination)]);
    let mut events = Follower::new(gateway, "/feeds/events", of_events, None);
    let mut attempts = Follower::new(gateway, "/feeds/attempts", of_attempts, None);
    // Both positions are known before anybody is told that nothing is missed from here on.
    let wants_events = destination.is_none();
    if wants_events {
        show(&events.first().await?, gateway, "event", event)?;
    }
    show(&attempts.first().await?, gateway, "attempt", attempt)?;
    note("watching; Ctrl-C ends");
    let watch_events = async { if wants_events { watch(&mut events, gateway, "event", event).await } else { Ok(()) } };
    tokio::try_join!(watch_events, watch(&mut attempts, gateway, "attempt", attempt)).map(|((), ())| ())
}

/// Shows what comes, until that cannot be.
async fn watch(
    follower: &mut Follower<'_>,
    gateway: &Gateway,
    kind: &str,
    line: fn(&Value) -> String,
) -> Result<(), Exit> {
    loop {
        show(&follower.next().await?, gateway, kind, line)?;
    }
}

fn show(items: &[Value], gateway: &Gateway, kind: &str, line: fn(&Value) -> String) -> Result<(), Exit> {
    for item in items {
        if gateway.is_for_people() {
            print::line(&print::escaped(&line(item)))?;
        } else {
            let mut item = item.clone();
            item["kind"] = Value::from(kind);
            print::json_line(&item)?;
        }
    }
    Ok(())
}

fn word<'v>(item: &'v Value, field: &str) -> &'v str {
    item[field].as_str().unwrap_or_default()
}

fn event(item: &Value) -> String {
    let duplicate = item["duplicate_of"].as_str().map(|first| format!(", duplicate of {first}")).unwrap_or_default();
    let [at, source, name, id] = ["received_at", "source", "type", "id"].map(|field| word(item, field));
    format!("{at} event    {source} {name} {id}, {} bytes{duplicate}", item["body_len"])
}

fn attempt(item: &Value) -> String {
    let [at, source, name] = ["started_at", "source", "event_type"].map(|field| word(item, field));
    let [to, event, outcome] = ["destination", "event", "outcome"].map(|field| word(item, field));
    let answer = item["status"].as_u64().map_or_else(|| outcome.to_owned(), |status| status.to_string());
    let detail = Some(word(item, "detail")).filter(|detail| !detail.is_empty() && outcome != "success");
    let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
    let (number, ms, state) = (&item["number"], &item["duration_ms"], word(item, "state"));
    format!("{at} attempt  {source} {name} {event} → {to} #{number} {answer} in {ms} ms, {state}{detail}")
}
