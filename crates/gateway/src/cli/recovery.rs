//! `hookward recover`: what a destination failed to take or never got.

use clap::{Args, ValueEnum};
use serde_json::json;

use super::exit::Exit;
use super::remote::{Gateway, segment};

/// What is brought back.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// Events whose last delivery to the destination used up its attempts in that time
    Failed,
    /// Events received in that time that the destination wants today and neither has nor is owed
    Missing,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_help = "Count first, then begin; pause, resume and cancel it with `hookward job`.\n\
    Example: hookward recover failed --destination ci --since 2026-01-31T09:30:00Z --count")]
pub(super) struct Recover {
    what: What,
    /// To which destination
    #[arg(long)]
    destination: String,
    /// From this time on, such as 2026-01-31T09:30:00Z
    #[arg(long, value_name = "TIME")]
    since: String,
    /// Before this time [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Events in a second, 1 to 10000; 50 when absent
    #[arg(long, value_name = "PER SECOND")]
    rate: Option<u32>,
    /// Only say how many events it would be
    #[arg(long)]
    count: bool,
}

/// Runs `hookward recover …`.
pub(super) async fn run(recover: Recover, gateway: &Gateway) -> Result<(), Exit> {
    let Recover { what, destination, since, until, rate, count } = recover;
    let what = match what {
        What::Failed => "failed",
        What::Missing => "missing",
    };
    let wanted = json!({ "what": what, "since": since, "until": until, "rate_per_s": rate, "dry_run": count });
    let answer = gateway.post(&format!("/destinations/{}/recover", segment(&destination)), &wanted).await?;
    if count {
        return gateway.done(&answer, &format!("{} events would be recovered", answer["matched"]));
    }
    let id = answer["id"].as_str().unwrap_or_default();
    gateway.done(&answer, &format!("{id}\nsee how far it is: hookward job show {id}"))
}
