//! From a report to what is written down: a pure function. The decision is `retry`'s, the writing the store's.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::destination::Report;
use crate::ids::AttemptId;
use crate::model::{Attempt, OnHeadFailure, RESPONSE_EXCERPT_MAX, RetrySchedule};
use crate::order::decide_for_head;
use crate::retry;
use crate::store::{Claim, NewDelivery, Next, Settlement};

/// When an attempt ran, and who signed it.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The attempt's identity.
    pub id: AttemptId,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// Versions of the secrets that signed it.
    pub signed_by: Vec<u32>,
    /// Whether it looked how the destination is.
    pub probe: bool,
    /// How many of the delivery's attempts, this one included, count for the schedule.
    pub counted: u32,
}

/// The settlement of the attempt that `claim` stands for; `on_failure` is what its failure means to those behind it in its
/// order key, if it has one; `then` is owed if the delivery ends with it.
pub fn conclude(
    claim: Claim,
    schedule: &RetrySchedule,
    on_failure: Option<OnHeadFailure>,
    ran: Ran,
    report: Report,
    then: Vec<NewDelivery>,
    random: u64,
) -> Settlement {
    let ended_at = ran.started_at.plus(ran.duration);
    let counted = ran.counted.max(1);
    let mut verdict = retry::decide(schedule, counted, &report, ended_at, random);
    if ran.probe && matches!(verdict.next, Next::Again { .. } | Next::Exhausted) {
        // A probe used up nothing: its delivery stands where it stood.
        verdict.next = Next::Again { due_at: ended_at };
    } else if let Some(on_failure) = on_failure {
        verdict = decide_for_head(on_failure, verdict, schedule, counted, &report, ended_at, random);
    }
    let excerpt_len = report.excerpt.len().min(RESPONSE_EXCERPT_MAX);
    let attempt = Attempt {
        id: ran.id,
        number: claim.number(),
        started_at: ran.started_at,
        duration: ran.duration,
        outcome: report.outcome,
        signed_by: ran.signed_by,
        status: report.status,
        exit_code: report.exit_code,
        excerpt: report.excerpt.slice(..excerpt_len),
        detail: report.detail,
        node: Some(claim.node()),
        exchange: report.exchange,
    };
    Settlement { claim, attempt, output: report.output, next: verdict.next, then, disable: verdict.disable }
}
