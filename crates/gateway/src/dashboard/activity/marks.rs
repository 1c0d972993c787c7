//! How states and outcomes are shown: a kind, which has an icon and a colour, and a word.

use hookward_engine::model::{Delivery, DeliveryState, Outcome};
use hookward_engine::store::{LastAttempt, Standing};

/// One state on a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    /// As `parts::badge` has it.
    pub(super) kind: &'static str,
    pub(super) word: String,
}

impl Mark {
    fn new(kind: &'static str, word: impl Into<String>) -> Self {
        Self { kind, word: word.into() }
    }
}

/// The states that a delivery can be in, with the word for each, in the order in which one asks for them.
pub(super) const STATES: [(&str, &str); 7] = [
    ("pending", "Pending"),
    ("leased", "Under way"),
    ("exhausted", "Exhausted"),
    ("held", "Held"),
    ("waiting", "Waiting"),
    ("cancelled", "Cancelled"),
    ("delivered", "Delivered"),
];

/// How an attempt may have ended, as an address asks for it and in words.
pub(super) const OUTCOMES: [(&str, &str); 19] = [
    ("2xx", "Taken"),
    ("3xx", "Sent elsewhere"),
    ("4xx", "Refused"),
    ("5xx", "Failed there"),
    ("success", "Success"),
    ("status", "Any other answer"),
    ("timeout", "Timed out"),
    ("connect", "No connection"),
    ("dns", "Name not found"),
    ("tls", "TLS failed"),
    ("broken", "Broke off"),
    ("blocked", "Blocked by the egress guard"),
    ("exit", "A program failed"),
    ("spawn", "A program did not start"),
    ("checkout", "No checkout"),
    ("unusable", "Not usable"),
    ("interrupted", "Interrupted"),
    ("cancelled", "Cancelled"),
    ("released", "Given back"),
];

/// Where a delivery stands.
pub(super) fn of_delivery(delivery: &Delivery) -> Mark {
    match delivery.state {
        DeliveryState::Pending { .. } if delivery.attempts > 0 => Mark::new("wait", "Retrying"),
        DeliveryState::Pending { .. } => Mark::new("wait", "Pending"),
        DeliveryState::Leased { .. } if delivery.cancel_at.is_some() => Mark::new("wait", "Being cancelled"),
        DeliveryState::Leased { .. } => Mark::new("wait", "Under way"),
        DeliveryState::Delivered { .. } => Mark::new("ok", "Delivered"),
        DeliveryState::Exhausted { .. } => Mark::new("bad", "Exhausted"),
        DeliveryState::Cancelled { .. } if delivery.superseded_by.is_some() => Mark::new("info", "Superseded"),
        DeliveryState::Cancelled { .. } => Mark::new("info", "Cancelled"),
        DeliveryState::Held { .. } if delivery.parked => Mark::new("held", "Parked"),
        DeliveryState::Held { .. } => Mark::new("held", "Held"),
        DeliveryState::Waiting { .. } => Mark::new("held", "Waiting"),
    }
}

/// Whether nothing more comes of a delivery by itself.
pub(super) fn is_over(delivery: &Delivery) -> bool {
    matches!(
        delivery.state,
        DeliveryState::Delivered { .. } | DeliveryState::Exhausted { .. } | DeliveryState::Cancelled { .. }
    )
}

/// How an attempt ended.
pub(super) fn of_attempt(outcome: Outcome, status: Option<u16>, exit_code: Option<i32>) -> Mark {
    let answered = |or: &str| status.map_or_else(|| or.to_owned(), |status| format!("HTTP {status}"));
    let exited = |or: &str| exit_code.map_or_else(|| or.to_owned(), |code| format!("Exit {code}"));
    match outcome {
        Outcome::Success if exit_code.is_some() => Mark::new("ok", exited("Success")),
        Outcome::Success => Mark::new("ok", answered("Success")),
        Outcome::Status => Mark::new("bad", answered("Refused")),
        Outcome::Exit => Mark::new("bad", exited("Ended by a signal")),
        Outcome::Dns => Mark::new("bad", "Name not found"),
        Outcome::Connect => Mark::new("bad", "No connection"),
        Outcome::Tls => Mark::new("bad", "TLS failed"),
        Outcome::Timeout => Mark::new("bad", "Timed out"),
        Outcome::Broken => Mark::new("bad", "Broke off"),
        Outcome::Blocked => Mark::new("bad", "Blocked"),
        Outcome::Spawn => Mark::new("bad", "Not started"),
        Outcome::Checkout => Mark::new("bad", "No checkout"),
        Outcome::Unusable => Mark::new("bad", "Not usable"),
        Outcome::Interrupted => Mark::new("wait", "Interrupted"),
        Outcome::Cancelled => Mark::new("info", "Cancelled"),
        Outcome::Released => Mark::new("info", "Given back"),
    }
}

/// What there is to say in few words of a delivery that has not arrived: how its last attempt ended.
pub(super) fn why(standing: &Standing) -> Option<String> {
    let LastAttempt { outcome, status, exit_code } = standing.last?;
    (outcome != Outcome::Success).then(|| of_attempt(outcome, status, exit_code).word)
}
