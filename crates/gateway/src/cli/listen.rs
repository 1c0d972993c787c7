//! `hookward listen`: a source's events of a remote gateway, one after the other, at a program on this machine. Owns their
//! order and that none is left out; what a program is sent is `forward`'s, where to go on after an interruption `state`'s.

mod forward;
mod state;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::exit::Exit;
use super::follow::{Follower, answered, note, pause};
use super::print;
use super::remote::{Gateway, segment};
use crate::config::parse_lapse;
use forward::{Forwarding, Told};
use state::State;

/// Bring a source's events to a program on this machine
///
/// Events come one at a time, in the order in which the gateway committed them. None is left out: while the program does not
/// answer the same one is tried again, and after an interruption it goes on where it was.
#[derive(Debug, Args)]
#[group(skip)]
#[command(after_help = "Example: hookward listen --source github --forward http://localhost:3000/hooks")]
pub(super) struct Listen {
    /// Whose events
    #[arg(long)]
    source: String,
    /// Only events of this type
    #[arg(long = "type", value_name = "T")]
    event_type: Option<String>,
    /// Where the program takes them
    #[arg(long, value_name = "URL")]
    forward: String,
    /// Where to begin: `last` is where the last run ended, or now if there was none
    #[arg(long, value_name = "last|now|TIME", default_value = "last")]
    from: String,
    /// Where to keep how far it came [default: below ~/.local/state/hookward]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Try an event again until the program answers 2xx; otherwise any answer is one
    #[arg(long)]
    insist: bool,
    /// How long the program may take
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = patience)]
    timeout: Duration,
    #[command(flatten)]
    schemes: forward::Schemes,
}

fn patience(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time like 30s");
    parse_lapse(text).filter(|lapse| !lapse.is_zero()).ok_or_else(wrong)
}

/// Runs `hookward listen`.
pub(super) async fn run(listen: Listen, gateway: Gateway) -> Result<(), Exit> {
    let Listen { source, event_type, forward, from, state, insist, timeout, schemes } = listen;
    let forwarding = Forwarding::new(&forward, timeout, schemes)?;
    let what = [gateway.url(), &source, event_type.as_deref().unwrap_or_default(), &forward];
    let mut state = State::open(state, &what)?;
    let mut filter = vec![("source", source.clone())];
    filter.extend(event_type.map(|event_type| ("type", event_type)));
    let after = match from.as_str() {
        "last" => state.position().map(str::to_owned),
        "now" => None,
        time => {
            filter.push(("from", time.to_owned()));
            None
        }
    };
    if after.is_none() {
        state.forget();
    }
    let mut follower = Follower::new(&gateway, "/feeds/events", filter, after);
    let listening = Listening { gateway: &gateway, forwarding, insist };
    // Without a position the first answer says where the feed is; then nothing is missed.
    let mut is_told = false;
    loop {
        let items = if is_told { follower.next().await? } else { follower.first().await? };
        if !is_told {
            note(&format!("events of `{source}` come to {forward}; Ctrl-C ends"));
            is_told = true;
        }
        for item in state.not_done(items) {
            listening.bring(&item).await?;
            state.done(follower.began(), item["id"].as_str().unwrap_or_default())?;
        }
        if let Some(position) = follower.position() {
            state.moved(position)?;
        }
    }
}

struct Listening<'g> {
    gateway: &'g Gateway,
    forwarding: Forwarding,
    insist: bool,
}

impl Listening<'_> {
    /// Brings one event to the program, however long that takes.
    async fn bring(&self, event: &Value) -> Result<(), Exit> {
        let id = event["id"].as_str().unwrap_or_default();
        if let Some(first) = event["duplicate_of"].as_str() {
            return self.say(event, &Told::left_out(format!("it repeats {first}")));
        }
        let path = format!("/events/{}/body", segment(id));
        let body = match answered(|| self.gateway.bytes(&path)).await {
            Err(exit) if exit.is_not_found() => {
                return self.say(event, &Told::left_out("retention has taken its body".to_owned()));
            }
            body => body?,
        };
        let mut tries = 0;
        loop {
            let told = self.forwarding.send(event, &body).await?;
            let is_over = told.is_over(self.insist);
            // A program that is down is told of once, not each time.
            if is_over || tries == 0 || told.status.is_some() {
                self.say(event, &told)?;
            }
            if is_over {
                return Ok(());
            }
            pause(tries).await;
            tries += 1;
        }
    }

    fn say(&self, event: &Value, told: &Told) -> Result<(), Exit> {
        let word = |field: &str| event[field].as_str().unwrap_or_default();
        let Told { status, duration, detail, .. } = told;
        let ms = duration.as_micros() as f64 / 1000.0;
        if !self.gateway.is_for_people() {
            return print::json_line(&json!({
                "event": word("id"), "type": word("type"), "received_at": word("received_at"), "status": status,
                "duration_ms": ms, "detail": detail,
            }));
        }
        let answer = status.map(|status| format!("{status} in {ms:.1} ms")).unwrap_or_default();
        let line = format!("{} {} {} → {answer}{detail}", word("received_at"), word("type"), word("id"));
        print::line(&print::escaped(&line))
    }
}
