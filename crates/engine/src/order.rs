//! What becomes of the head of an order key when an attempt fails, beyond what its schedule says: a pure function.
//! Who is the head, and who comes after it, is the store's.

use crate::clock::Timestamp;
use crate::destination::Report;
use crate::model::{OnHeadFailure, RetrySchedule};
use crate::retry::{Verdict, wait_for};
use crate::store::Next;

/// What follows attempt `number` of a head instead of `verdict`, which its schedule gave. Neither a destination that takes
/// nothing any more nor a delivery that was called off is affected.
pub fn decide_for_head(
    on_failure: OnHeadFailure,
    verdict: Verdict,
    schedule: &RetrySchedule,
    number: u32,
    report: &Report,
    now: Timestamp,
    random: u64,
) -> Verdict {
    let is_given_up = verdict.next == Next::Exhausted;
    let is_failed = is_given_up || matches!(verdict.next, Next::Again { .. });
    let next = match on_failure {
        OnHeadFailure::Block if is_given_up => {
            let last = schedule.waits_s.last().copied().unwrap_or(0).max(BLOCKED_WAIT_MIN_S);
            Next::Again { due_at: now.plus(wait_for(last, schedule.jitter_percent, report, random)) }
        }
        OnHeadFailure::Park { after } if is_failed && (is_given_up || number >= after) => Next::Parked,
        OnHeadFailure::Block | OnHeadFailure::Park { .. } | OnHeadFailure::Skip => verdict.next,
    };
    Verdict { next, ..verdict }
}

/// The shortest wait between the attempts of a head that blocks its line: it may go on for ever. In seconds.
const BLOCKED_WAIT_MIN_S: u64 = 5;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::Outcome;
    use crate::retry::decide;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn after(on_failure: OnHeadFailure, waits_s: &[u64], number: u32, report: &Report) -> Next {
        let schedule = RetrySchedule { waits_s: waits_s.to_vec(), jitter_percent: 0, exit_codes: Some(vec![75]) };
        let verdict = decide(&schedule, number, report, NOW, 7);
        decide_for_head(on_failure, verdict, &schedule, number, report, NOW, 7).next
    }

    fn again(seconds: u64) -> Next {
        Next::Again { due_at: NOW.plus(Duration::from_secs(seconds)) }
    }

    #[test]
    fn one_that_blocks_goes_on_at_its_last_wait() {
        let failed = Report::failed(Outcome::Connect, "");
        let next = |waits: &[u64], number| after(OnHeadFailure::Block, waits, number, &failed);
        assert_eq!([1, 2, 3, 4, 1000].map(|number| next(&[5, 60], number)), [5, 60, 60, 60, 60].map(again));
        assert_eq!([next(&[], 1), next(&[0], 2), next(&[0], 1)], [again(5), again(5), again(0)]);
        let busy = Report { retry_after: Some(Duration::from_secs(90)), ..failed };
        assert_eq!(after(OnHeadFailure::Block, &[5, 60], 9, &busy), again(90));
        let hopeless = Report { exit_code: Some(1), ..Report::failed(Outcome::Exit, "") };
        assert_eq!(after(OnHeadFailure::Block, &[5, 60], 1, &hopeless), again(60), "its schedule would give it up");
    }

    #[test]
    fn one_is_parked_after_so_many_attempts_or_when_it_would_be_given_up() {
        let failed = Report::failed(Outcome::Connect, "");
        let next = |park, number| after(OnHeadFailure::Park { after: park }, &[5, 60], number, &failed);
        assert_eq!([next(1, 1), next(2, 1), next(2, 2), next(9, 2)], [Next::Parked, again(5), Next::Parked, again(60)]);
        assert_eq!([next(9, 3), next(1, 7)], [Next::Parked; 2]);
    }

    #[test]
    fn one_that_is_skipped_is_given_up_as_its_schedule_says() {
        let failed = Report::failed(Outcome::Connect, "");
        let next = |number| after(OnHeadFailure::Skip, &[5, 60], number, &failed);
        assert_eq!([next(1), next(2), next(3)], [again(5), again(60), Next::Exhausted]);
    }

    #[test]
    fn what_is_no_failure_of_its_own_stays_as_it_is() {
        let gone = Report { status: Some(410), ..Report::failed(Outcome::Status, "") };
        let ends = [
            (Report::failed(Outcome::Success, ""), Next::Delivered),
            (Report::failed(Outcome::Cancelled, ""), Next::Cancelled),
            (gone, Next::Held),
        ];
        for on_failure in [OnHeadFailure::Block, OnHeadFailure::Park { after: 1 }, OnHeadFailure::Skip] {
            for (report, next) in &ends {
                assert_eq!(after(on_failure, &[5], 9, report), *next, "{on_failure:?}");
            }
        }
    }
}
