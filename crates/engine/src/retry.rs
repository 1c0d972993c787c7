//! When a delivery is tried again: a pure function of the schedule, the attempt and a random number.
//! Owns the rules for `Retry-After`, `410 Gone` and jitter; writing the result down is the store's `settle`.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::destination::Report;
use crate::model::{Outcome, RetrySchedule};
use crate::store::Next;

/// The shortest wait that a receiver's `Retry-After` can ask for.
pub const RETRY_AFTER_MIN: Duration = Duration::from_secs(1);

/// The longest wait that a receiver's `Retry-After` can ask for.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// What becomes of a delivery, and of its destination, after an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The delivery's next state.
    pub next: Next,
    /// Why the destination is to be disabled, if it is.
    pub disable: Option<String>,
}

/// Decides what follows attempt `number` (1 for the first) that ended at `now` with `report`. `random` is uniform over
/// all of `u64`. A receiver's `Retry-After` can put the next attempt off, within its limits, but never hurry it:
/// otherwise `Retry-After: 1` through an outage of a minute would use up every attempt.
pub fn decide(schedule: &RetrySchedule, number: u32, report: &Report, now: Timestamp, random: u64) -> Verdict {
    if report.outcome == Outcome::Success {
        return Verdict { next: Next::Delivered, disable: None };
    }
    if report.outcome == Outcome::Cancelled {
        return Verdict { next: Next::Cancelled, disable: None };
    }
    if report.status == Some(410) {
        return Verdict { next: Next::Held, disable: Some("the receiver answered 410 Gone".to_owned()) };
    }
    if !is_worth_another(schedule, report) {
        return Verdict { next: Next::Exhausted, disable: None };
    }
    let next = match wait_after(schedule, number, random) {
        None => Next::Exhausted,
        Some(wait) => Next::Again { due_at: now.plus(at_least(wait, report)) },
    };
    Verdict { next, disable: None }
}

/// A wait of so many seconds, jittered, or longer if the receiver asked for that.
pub(crate) fn wait_for(wait_s: u64, jitter_percent: u8, report: &Report, random: u64) -> Duration {
    at_least(jittered(wait_s, jitter_percent, random), report)
}

fn at_least(wait: Duration, report: &Report) -> Duration {
    let asked = report.retry_after.map(|asked| asked.clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX));
    asked.map_or(wait, |asked| wait.max(asked))
}

/// A program that ended with a status has said whether trying again is of use, where the schedule lists such statuses.
/// One that was ended by a signal or at its deadline, or was never started, has said nothing.
fn is_worth_another(schedule: &RetrySchedule, report: &Report) -> bool {
    match (&schedule.exit_codes, report.exit_code) {
        (Some(worth), Some(code)) => worth.iter().any(|&one| i32::from(one) == code),
        _ => true,
    }
}

/// The jittered wait after attempt `number`, or `None` when that was the last.
fn wait_after(schedule: &RetrySchedule, number: u32, random: u64) -> Option<Duration> {
    let index = usize::try_from(number.checked_sub(1)?).ok()?;
    Some(jittered(*schedule.waits_s.get(index)?, schedule.jitter_percent, random))
}

fn jittered(wait_s: u64, jitter_percent: u8, random: u64) -> Duration {
    let wait_ms = u128::from(wait_s) * 1000;
    let jitter = u128::from(jitter_percent.min(100));
    let low = wait_ms * (100 - jitter) / 100;
    let width = wait_ms * 2 * jitter / 100;
    let within = ((width + 1) * u128::from(random)) >> 64;
    Duration::from_millis(u64::try_from(low + within).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn report(outcome: Outcome, status: Option<u16>, retry_after: Option<Duration>) -> Report {
        Report { status, retry_after, ..Report::failed(outcome, "") }
    }

    fn wait_of(verdict: &Verdict) -> Duration {
        match verdict.next {
            Next::Again { due_at } => due_at.since(NOW),
            other => panic!("expected another attempt, got {other:?}"),
        }
    }

    #[test]
    fn the_default_schedule_makes_eight_attempts_over_about_28_hours() {
        let exact = RetrySchedule { jitter_percent: 0, ..RetrySchedule::default() };
        let failed = report(Outcome::Status, Some(500), None);
        let waits: Vec<u64> = (1..=7).map(|n| wait_of(&decide(&exact, n, &failed, NOW, 9)).as_secs()).collect();
        assert_eq!(waits, [5, 300, 1800, 7200, 18_000, 36_000, 36_000]);
        assert_eq!(decide(&exact, 8, &failed, NOW, 9).next, Next::Exhausted);
    }

    #[test]
    fn retry_after_puts_off_but_never_hurries_and_is_clamped_on_both_sides() {
        let exact = RetrySchedule { waits_s: vec![0, 5], jitter_percent: 0, exit_codes: None };
        let asked = |number, seconds| {
            let busy = report(Outcome::Status, Some(503), Some(Duration::from_secs(seconds)));
            wait_of(&decide(&exact, number, &busy, NOW, 0)).as_secs()
        };
        assert_eq!(asked(1, 0), 1);
        assert_eq!(asked(1, 86_400), 86_400);
        assert_eq!(asked(1, 86_401), 86_400);
        assert_eq!(asked(2, 1), 5);
        assert_eq!(asked(2, 6), 6);
    }

    #[test]
    fn gone_disables_the_destination_and_keeps_the_delivery() {
        let verdict = decide(&RetrySchedule::default(), 1, &report(Outcome::Status, Some(410), None), NOW, 0);
        assert_eq!(verdict.next, Next::Held);
        assert!(verdict.disable.is_some());
    }

    #[test]
    fn what_was_called_off_is_not_tried_again() {
        let verdict = decide(&RetrySchedule::default(), 1, &report(Outcome::Cancelled, None, None), NOW, 0);
        assert_eq!(verdict, Verdict { next: Next::Cancelled, disable: None });
    }

    #[test]
    fn success_ends_it_even_on_the_last_attempt() {
        let verdict = decide(&RetrySchedule::default(), 8, &report(Outcome::Success, Some(204), None), NOW, 0);
        assert_eq!(verdict, Verdict { next: Next::Delivered, disable: None });
    }

    #[test]
    fn only_the_exit_statuses_listed_are_tried_again() {
        let listed = RetrySchedule { exit_codes: Some(vec![75, 100]), ..RetrySchedule::default() };
        let none = RetrySchedule { exit_codes: Some(vec![]), ..RetrySchedule::default() };
        let every = RetrySchedule::default();
        let exit = |code| Report { exit_code: Some(code), ..report(Outcome::Exit, None, None) };
        let is_again = |schedule, report: &Report| match decide(schedule, 1, report, NOW, 0).next {
            Next::Again { .. } => true,
            Next::Exhausted => false,
            other => panic!("{other:?}"),
        };
        for code in [1, 74, 75, 76, 100, 255] {
            assert_eq!(is_again(&listed, &exit(code)), code == 75 || code == 100, "{code}");
            assert!(!is_again(&none, &exit(code)));
            assert!(is_again(&every, &exit(code)));
        }
        for outcome in [Outcome::Exit, Outcome::Timeout, Outcome::Spawn, Outcome::Interrupted] {
            assert!(is_again(&listed, &report(outcome, None, None)), "{outcome:?} without a status");
        }
        assert_eq!(decide(&listed, 8, &exit(75), NOW, 0).next, Next::Exhausted, "the last attempt is the last");
        let success = Report { exit_code: Some(0), ..report(Outcome::Success, None, None) };
        assert_eq!(decide(&none, 1, &success, NOW, 0).next, Next::Delivered);
    }

    proptest! {
        #[test]
        fn jitter_stays_inside_its_band_and_reaches_its_edges(wait_s in 0u64..1_000_000, jitter in 0u8..=100, random: u64) {
            let schedule = RetrySchedule { waits_s: vec![wait_s], jitter_percent: jitter, exit_codes: None };
            let bounds = |r| u64::try_from(wait_after(&schedule, 1, r).expect("one wait").as_millis()).expect("small");
            let (low, high) = (wait_s * 10 * (100 - u64::from(jitter)), wait_s * 10 * (100 + u64::from(jitter)));
            prop_assert_eq!(bounds(0), low);
            prop_assert_eq!(bounds(u64::MAX), high);
            prop_assert!((low..=high).contains(&bounds(random)));
        }
    }
}
