//! A destination's pace and health as the API shows them, and what resuming one may ask for.

use hookward_engine::model::{BreakerSpec, Condition, Destination};
use hookward_engine::store::{Drain, Owed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{Code, Problem};
use super::time;

/// What becomes of the deliveries that were held.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = &serde_json::json!({ "drain_rate": 50 }))]
pub(crate) struct Resume {
    /// Held deliveries fall due so many a second. Absent: all at once, within the destination's own limits.
    drain_rate: Option<u32>,
    /// `release` (the default), or `drop`: held deliveries are cancelled.
    held: Option<WhatIsHeld>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum WhatIsHeld {
    Release,
    Drop,
}

impl Resume {
    pub(super) fn drain(&self) -> Result<Drain, Problem> {
        match (self.held.unwrap_or(WhatIsHeld::Release), self.drain_rate) {
            (WhatIsHeld::Release, None) => Ok(Drain::AtOnce),
            (WhatIsHeld::Release, Some(per_s)) => Ok(Drain::Spread { per_s }),
            (WhatIsHeld::Drop, None) => Ok(Drain::Drop),
            (WhatIsHeld::Drop, Some(_)) => {
                Err(Problem::new(Code::InvalidRequest, "what is dropped has no `drain_rate`: leave one of the two out"))
            }
        }
    }
}

/// A destination's pace and health, among its other settings.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Pace {
    rate: Option<Rate>,
    breaker: Option<Breaker>,
    disable_after_s: Option<u64>,
    condition: Fared,
    owed: Owes,
}

/// A destination that was resumed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Resumed<T> {
    #[serde(flatten)]
    pub(super) destination: T,
    /// How many deliveries had been held: they are released, or dropped.
    pub(super) drained: u64,
}

/// How a destination has fared.
#[derive(Debug, Serialize, JsonSchema)]
struct Fared {
    /// `open`: it is left alone, but for a probe now and then. `recovering`: it is back, and gets its full pace step by step.
    #[schemars(extend("enum" = ["healthy", "failing", "open", "recovering"]))]
    health: &'static str,
    /// The first failure since the last success.
    failing_since: Option<String>,
    /// Since when it is left alone.
    open_since: Option<String>,
    /// When one delivery is tried to see how it is.
    probe_at: Option<String>,
}

/// What a destination is owed.
#[derive(Debug, Default, Serialize, JsonSchema)]
struct Owes {
    /// Deliveries waiting for their time, or under way.
    outstanding: u64,
    /// Deliveries kept until it takes some again.
    held: u64,
    /// Deliveries behind an earlier one of their order key.
    waiting: u64,
}

/// How fast it is tried.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DestinationRate")]
struct Rate {
    requests: u32,
    per_ms: u64,
    burst: u32,
}

/// When it is left alone.
#[derive(Debug, Serialize, JsonSchema)]
struct Breaker {
    failure_percent: u8,
    min_attempts: u32,
    window_ms: u64,
    open_for_ms: u64,
    open_for_max_ms: u64,
    slow_start_ms: u64,
}

/// What is shown of a destination that is owed this much.
pub(super) fn pace(destination: &Destination, owed: Option<&Owed>) -> Pace {
    let spec = &destination.spec;
    Pace {
        rate: spec.limits.rate.map(|rate| Rate {
            requests: rate.requests,
            per_ms: millis(rate.per),
            burst: rate.burst,
        }),
        breaker: spec.health.breaker.map(breaker),
        disable_after_s: spec.health.disable_after.map(|after| after.as_secs()),
        condition: fared(&destination.condition),
        owed: owed.map(owes).unwrap_or_default(),
    }
}

fn fared(condition: &Condition) -> Fared {
    Fared {
        health: health(condition),
        failing_since: condition.failing_since.map(time),
        open_since: condition.open.map(|open| time(open.since)),
        probe_at: condition.open.map(|open| time(open.probe_at)),
    }
}

/// A condition in one word.
pub(crate) fn health(condition: &Condition) -> &'static str {
    match condition {
        Condition { open: Some(_), .. } => "open",
        Condition { recovering: Some(_), .. } => "recovering",
        Condition { failing_since: Some(_), .. } => "failing",
        _ => "healthy",
    }
}

fn owes(owed: &Owed) -> Owes {
    Owes { outstanding: owed.outstanding, held: owed.held, waiting: owed.waiting }
}

fn breaker(spec: BreakerSpec) -> Breaker {
    let BreakerSpec { failure_percent, min_attempts, window, open_for, open_for_max, slow_start } = spec;
    Breaker {
        failure_percent,
        min_attempts,
        window_ms: millis(window),
        open_for_ms: millis(open_for),
        open_for_max_ms: millis(open_for_max),
        slow_start_ms: millis(slow_start),
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
