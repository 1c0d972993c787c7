//! Notices that the wall clock was set: it and the monotonic clock disagree on how long it was since the last look.
//! Decides nothing about requests: one whose signed time no longer fits is refused by its scheme.

use std::time::Duration;

use super::Timestamp;

/// The smallest jump that is told of. Clocks that are kept in time are moved by far less at once.
pub const STEP_MIN: Duration = Duration::from_secs(5);

/// A jump of the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The wall clock's time when it was noticed.
    pub noticed_at: Timestamp,
    /// How far it jumped, in milliseconds; negative when it was set back.
    pub by_ms: i64,
}

/// Both clocks at the last look, and the last jump.
#[derive(Debug, Default)]
pub(crate) struct StepWatch {
    last: Option<(Timestamp, Duration)>,
    step: Option<Step>,
}

impl StepWatch {
    /// Looks at both clocks. Returns the jump if there was one since the last look.
    pub(crate) fn look(&mut self, now: Timestamp, elapsed: Duration) -> Option<Step> {
        let (then, elapsed_then) = self.last.replace((now, elapsed))?;
        let passed = i64::try_from(elapsed.saturating_sub(elapsed_then).as_millis()).unwrap_or(i64::MAX);
        let by_ms = now.as_millis().saturating_sub(then.as_millis()).saturating_sub(passed);
        if by_ms.unsigned_abs() < STEP_MIN.as_millis() as u64 {
            return None;
        }
        self.step = Some(Step { noticed_at: now, by_ms });
        self.step
    }

    /// The last jump, if there was one.
    pub(crate) fn last_step(&self) -> Option<Step> {
        self.step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    #[test]
    fn a_jump_is_told_of_in_both_directions_and_ordinary_time_is_not() {
        let mut watch = StepWatch::default();
        let s = Duration::from_secs;
        assert_eq!(watch.look(at(1000), s(1)), None);
        assert_eq!(watch.look(at(1060), s(61)), None);
        assert_eq!(watch.look(at(1064), s(61)), None, "less than the smallest jump that counts");
        let back = Step { noticed_at: at(-2526), by_ms: -3_600_000 };
        assert_eq!(watch.look(at(-2526), s(71)), Some(back));
        assert_eq!(watch.look(at(-2466), s(131)), None, "told of once");
        assert_eq!(watch.last_step(), Some(back));
        assert_eq!(watch.look(at(1134), s(131)).map(|step| step.by_ms), Some(3_600_000));
    }
}
