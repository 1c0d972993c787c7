//! When a destination is left alone, and for how long: a circuit breaker over the ends of its attempts. Pure: values in,
//! values out. What an open breaker means for what is owed is the store's business, what operators hear of it `vitals`'s.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::model::{BreakerSpec, Condition, OpenBreaker, Outcome, Recovering};

/// What the end of an attempt says of its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// It took the delivery.
    Well,
    /// It is in no state to take any: not reached, not answering, or answering 5xx, 408 or 429.
    Ill,
    /// It answered, and would not have this event: a redirect, or any other 4xx.
    Refused,
    /// Nothing: no attempt reached it, or none was allowed to end by itself.
    Nothing,
}

/// What an attempt that ended so, with this status if an answer came, says of its destination.
pub fn finding(outcome: Outcome, status: Option<u16>) -> Finding {
    match (outcome, status) {
        (Outcome::Success, _) => Finding::Well,
        (Outcome::Status, Some(408 | 429 | 500..)) => Finding::Ill,
        (Outcome::Status, _) => Finding::Refused,
        (Outcome::Dns | Outcome::Connect | Outcome::Tls | Outcome::Timeout | Outcome::Broken, _) => Finding::Ill,
        // A program's end says something of the event it ran on; the rest is ours, an operator's or a consumer's doing.
        _ => Finding::Nothing,
    }
}

/// A change of condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is left alone from now on.
    Opened,
    /// Its probe failed: it is left alone for longer.
    StayedOpen,
    /// Its probe was taken: what it is owed goes out again, slowly at first.
    Closed,
    /// It has kept up since, until the slow start was over.
    Recovered,
}

/// Into how many parts the window is divided: by as much as a tenth of it, what is counted may be younger than the window.
const SLOTS: i64 = 10;

/// The part of its pace that a destination gets at the beginning of a slow start, in thousandths.
const FIRST_SHARE: u64 = 100;

/// How many attempts must have failed in a row before a destination is given up for the age of that row.
const FAILURES_MIN: u32 = 5;

/// The health of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    condition: Condition,
    /// The parts of the window in which attempts ended while it was closed, oldest first.
    slots: VecDeque<Slot>,
    /// How many attempts failed since the last success, as far as this process knows.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot {
    /// Which part of all time it is.
    index: i64,
    ended: u32,
    ill: u32,
}

impl Breaker {
    /// A destination in this condition, of whose attempts nothing else is known.
    pub fn new(condition: Condition) -> Self {
        Self { condition, slots: VecDeque::new(), failures: 0 }
    }

    /// Its condition.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Forgets everything: an operator knows better.
    pub fn reset(&mut self) {
        *self = Self::new(Condition::default());
    }

    /// An attempt that was no probe ended. While the breaker is open, that is one that was under way before, and says
    /// nothing new.
    pub fn ended(&mut self, spec: &BreakerSpec, finding: Finding, now: Timestamp) -> Option<Turn> {
        let ill = match finding {
            Finding::Well => 0,
            Finding::Ill => 1,
            Finding::Refused | Finding::Nothing => return None,
        };
        if self.condition.open.is_some() {
            return None;
        }
        let (ended, ill) = self.count(slot_index(spec.window, now), ill);
        if ended < spec.min_attempts.max(1) || u64::from(ill) * 100 < u64::from(ended) * u64::from(spec.failure_percent)
        {
            return None;
        }
        let before = self.condition.recovering.take().filter(|before| now < before.since.plus(spec.slow_start));
        let opens = before.map_or(0, |before| before.opens).saturating_add(1);
        self.condition.open = Some(OpenBreaker { since: now, probe_at: now.plus(open_for(spec, opens)), opens });
        self.slots.clear();
        Some(Turn::Opened)
    }

    /// Adds an end to the part of the window that this is. Returns how many ended in all of it, and how many of these ill.
    fn count(&mut self, index: i64, ill: u32) -> (u32, u32) {
        // A clock that was set back finds parts that are still to come: those are of another time.
        self.slots.retain(|slot| index - SLOTS < slot.index && slot.index <= index);
        match self.slots.back_mut().filter(|slot| slot.index == index) {
            Some(slot) => {
                slot.ended = slot.ended.saturating_add(1);
                slot.ill = slot.ill.saturating_add(ill);
            }
            None => self.slots.push_back(Slot { index, ended: 1, ill }),
        }
        let sum = |of: fn(&Slot) -> u32| self.slots.iter().map(of).fold(0, u32::saturating_add);
        (sum(|slot| slot.ended), sum(|slot| slot.ill))
    }

    /// Whether one delivery may be tried now to see how the destination is.
    pub fn wants_probe(&self, now: Timestamp) -> bool {
        self.condition.open.is_some_and(|open| open.probe_at <= now)
    }

    /// A probe is under way. Until it ends, or `until`, there is no other.
    pub fn probing(&mut self, until: Timestamp) {
        if let Some(open) = &mut self.condition.open {
            open.probe_at = until;
        }
    }

    /// The probe ended. Whoever refuses an event is there to refuse it.
    pub fn probed(&mut self, spec: &BreakerSpec, finding: Finding, now: Timestamp) -> Option<Turn> {
        let open = self.condition.open.as_mut()?;
        match finding {
            Finding::Well | Finding::Refused => {
                self.close(now);
                return Some(Turn::Closed);
            }
            Finding::Ill => open.opens = open.opens.saturating_add(1),
            Finding::Nothing => {}
        }
        open.probe_at = now.plus(open_for(spec, open.opens));
        Some(Turn::StayedOpen)
    }

    /// Lets the destination have what it is owed again; how often it was open is remembered until it has recovered.
    pub fn close(&mut self, now: Timestamp) {
        if let Some(open) = self.condition.open.take() {
            self.condition.recovering = Some(Recovering { since: now, opens: open.opens });
        }
    }

    /// Looks whether the slow start is over.
    pub fn recover(&mut self, slow_start: Duration, now: Timestamp) -> Option<Turn> {
        let over = |recovering: &mut Recovering| recovering.since.plus(slow_start) <= now;
        self.condition.recovering.take_if(over).map(|_| Turn::Recovered)
    }

    /// What of its pace a destination gets now, in thousandths: all of it but for a slow start.
    pub fn share(&self, spec: &BreakerSpec, now: Timestamp) -> u64 {
        let Some(recovering) = self.condition.recovering else { return 1000 };
        let whole = spec.slow_start.as_millis().max(1);
        let passed = now.since(recovering.since).as_millis().min(whole);
        u64::try_from(passed * 1000 / whole).unwrap_or(1000).max(FIRST_SHARE)
    }

    /// Follows since when nothing has succeeded, whatever the reason: an attempt ended.
    pub fn follow(&mut self, finding: Finding, now: Timestamp) {
        match finding {
            Finding::Well => {
                self.condition.failing_since = None;
                self.failures = 0;
            }
            Finding::Ill | Finding::Refused => {
                self.condition.failing_since.get_or_insert(now);
                self.failures = self.failures.saturating_add(1);
            }
            Finding::Nothing => {}
        }
    }

    /// Whether nothing has succeeded for so long that the destination is given up.
    pub fn is_given_up(&self, after: Duration, now: Timestamp) -> bool {
        let since = self.condition.failing_since;
        self.failures >= FAILURES_MIN && since.is_some_and(|since| since.plus(after) <= now)
    }
}

/// How long it is open for the `opens`th time in a row: twice as long each time, up to the most.
fn open_for(spec: &BreakerSpec, opens: u32) -> Duration {
    let doubled = 1_u32.checked_shl(opens.saturating_sub(1)).unwrap_or(u32::MAX);
    spec.open_for.saturating_mul(doubled).min(spec.open_for_max.max(spec.open_for))
}

/// Which part of all time `now` is in.
fn slot_index(window: Duration, now: Timestamp) -> i64 {
    let width = i64::try_from(window.as_millis()).unwrap_or(i64::MAX).max(SLOTS) / SLOTS;
    now.as_millis().div_euclid(width)
}

#[cfg(test)]
mod tests;
