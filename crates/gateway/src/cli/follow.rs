//! Following a feed of a gateway: asking again where the last answer ended, for as long as it takes to be answered.

use std::io::Write;
use std::time::Duration;

use hookward_engine::clock::{Clock, SystemClock};
use serde_json::Value;

use super::exit::Exit;
use super::print;
use super::remote::{Gateway, query};

/// How long a gateway waits for something new before it answers that there is nothing.
const WAIT_S: &str = "25";

/// How long to wait before asking again a gateway that did not answer: longer each time, up to the last.
const PAUSES_MS: [u64; 6] = [250, 500, 1000, 2000, 4000, 8000];

/// One feed, and where it goes on.
pub(super) struct Follower<'g> {
    gateway: &'g Gateway,
    path: &'static str,
    filter: Vec<(&'static str, String)>,
    after: Option<String>,
    began: String,
}

impl<'g> Follower<'g> {
    /// From `after` on, or from now on.
    pub(super) fn new(
        gateway: &'g Gateway,
        path: &'static str,
        filter: Vec<(&'static str, String)>,
        after: Option<String>,
    ) -> Self {
        Self { gateway, path, filter, after, began: String::new() }
    }

    /// Where it goes on: known once it was asked.
    pub(super) fn position(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// After which position the last answer began.
    pub(super) fn began(&self) -> &str {
        &self.began
    }

    /// Where it begins; with the first items, if it begins with what there is.
    pub(super) async fn first(&mut self) -> Result<Vec<Value>, Exit> {
        self.ask("0").await
    }

    /// The next items, oldest first; waits for them. A gateway that cannot be reached is asked again.
    pub(super) async fn next(&mut self) -> Result<Vec<Value>, Exit> {
        self.ask(WAIT_S).await
    }

    async fn ask(&mut self, wait_s: &str) -> Result<Vec<Value>, Exit> {
        let mut pairs: Vec<(&str, Option<&str>)> =
            self.filter.iter().map(|(name, value)| (*name, Some(value.as_str()))).collect();
        pairs.extend([("after", self.after.as_deref()), ("wait_s", Some(wait_s))]);
        let path = format!("{}{}", self.path, query(&pairs));
        let mut answer = answered(|| self.gateway.get(&path)).await?;
        answer["after"].as_str().unwrap_or_default().clone_into(&mut self.began);
        self.after = answer["next"].as_str().map(str::to_owned);
        Ok(match answer["items"].take() {
            Value::Array(items) => items,
            _ => Vec::new(),
        })
    }
}

/// Asks until there is an answer. What will not pass by itself is not asked again.
pub(super) async fn answered<T>(ask: impl AsyncFn() -> Result<T, Exit>) -> Result<T, Exit> {
    let mut tries = 0;
    loop {
        match ask().await {
            Err(exit) if exit.may_pass() => {
                if tries == 0 {
                    note(&format!("{exit}; trying again"));
                }
                pause(tries).await;
                tries += 1;
            }
            result => {
                if tries > 0 && result.is_ok() {
                    note("the gateway answers again");
                }
                return result;
            }
        }
    }
}

/// Waits before the next try, longer after more of them.
pub(super) async fn pause(tries: usize) {
    let pause = Duration::from_millis(PAUSES_MS[tries.min(PAUSES_MS.len() - 1)]);
    let clock = SystemClock::new();
    clock.sleep_until(clock.now().plus(pause)).await;
}

/// Something about the following itself, which is not what was asked for. Nowhere is left to complain when standard error is
/// closed.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "hookward: {}", print::escaped(text));
}
