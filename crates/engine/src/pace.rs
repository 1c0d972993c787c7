//! What one destination may be given now: its concurrency, its rate and its breaker taken together. Owns what is known of
//! it while this process lives. Knows no store and reads no clock: `dispatch` asks, `attempt` tells, `vitals` writes down.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::breaker::{Breaker, Finding, Turn};
use crate::clock::Timestamp;
use crate::ids::{DeliveryId, EventId};
use crate::model::{Condition, DestinationSpec, Outcome, Rate};
use crate::rate::Bucket;

/// How long a row of failures is before it is written down: what alternates costs nothing.
const FAILING_MIN: Duration = Duration::from_secs(60);

/// Operators hear of exhausted deliveries of a destination once in this time, with their count.
pub(crate) const EXHAUSTED_EVERY: Duration = Duration::from_secs(300);

/// The pace of one destination. Outlives the snapshots that it is in.
#[derive(Debug)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    bucket: Bucket,
    breaker: Breaker,
    /// What the store has, as far as is known.
    kept: Option<Condition>,
    /// Changes of its condition that nobody was told of yet.
    turns: Vec<(Turn, Condition, Timestamp)>,
    given_up: Ending,
    /// How the latest attempt that failed did.
    failed: Option<(Outcome, Option<u16>)>,
    exhausted: Exhausted,
}

/// Whether the destination is to be disabled for what its attempts have shown.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) enum Ending {
    /// No.
    #[default]
    None,
    /// For this reason, and that is still to be done.
    Due(String),
    /// The store has done it, for this reason; operators are still to be told.
    Done(String),
    /// All of that is done.
    Told,
}

/// Deliveries that were exhausted and not told of yet.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Exhausted {
    pub(crate) count: u64,
    /// The first of them, and when.
    pub(crate) first: Option<(Timestamp, DeliveryId, EventId)>,
    quiet_until: Option<Timestamp>,
}

/// What a destination may be given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Room {
    /// So many deliveries, of which each takes something of this rate.
    Now(u32, Option<Rate>),
    /// Nothing now, because of its rate, for so long.
    In(Duration),
    /// One delivery, to see how it is.
    Probe,
    /// Nothing before then.
    At(Timestamp),
    /// Nothing until something that is under way ends.
    Full,
}

/// The end of an attempt, as it concerns its destination.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) finding: Finding,
    pub(crate) outcome: Outcome,
    pub(crate) status: Option<u16>,
    /// It was a probe.
    pub(crate) probe: bool,
    /// Its delivery is over without having been delivered; operators hear of it.
    pub(crate) exhausted: Option<(DeliveryId, EventId)>,
}

/// What has to be written down or told.
#[derive(Debug)]
pub(crate) struct Work {
    /// The condition that the store should have.
    pub(crate) keep: Option<Condition>,
    pub(crate) turns: Vec<(Turn, Condition, Timestamp)>,
    /// Whether the destination is to be disabled, or that is to be told.
    pub(crate) ending: Ending,
    pub(crate) exhausted: Option<Exhausted>,
    pub(crate) failed: Option<(Outcome, Option<u16>)>,
    /// When this was taken.
    pub(crate) looked_at: Timestamp,
    /// When to look again although nothing happened.
    pub(crate) again_at: Option<Timestamp>,
}

impl Pace {
    /// The pace of a destination in this condition, as the store has it.
    pub(crate) fn new(condition: Condition) -> Self {
        Self(Mutex::new(State {
            bucket: Bucket::default(),
            breaker: Breaker::new(condition),
            kept: Some(condition),
            turns: Vec::new(),
            given_up: Ending::None,
            failed: None,
            exhausted: Exhausted::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn condition(&self) -> Condition {
        *self.state().breaker.condition()
    }

    /// An operator resumed it: what was known of its health counts no more.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        state.breaker.reset();
        state.kept = None;
        state.turns.clear();
        state.given_up = Ending::None;
    }

    /// What it may be given while `busy` attempts are under way; at most `most` at once. Nothing is taken by asking.
    pub(crate) fn room(&self, spec: &DestinationSpec, busy: u32, most: u32, now: Timestamp, elapsed: Duration) -> Room {
        let state = self.state();
        if let Some(open) = state.breaker.condition().open {
            return if state.breaker.wants_probe(now) { Room::Probe } else { Room::At(open.probe_at) };
        }
        let share = spec.health.breaker.as_ref().map_or(1000, |breaker| state.breaker.share(breaker, now));
        let at_once = (u64::from(spec.concurrency) * share).div_ceil(1000);
        let free = u32::try_from(at_once).unwrap_or(u32::MAX).saturating_sub(busy).min(most);
        if free == 0 {
            return Room::Full;
        }
        let Some(rate) = spec.limits.rate.map(|rate| slowed(rate, share)) else { return Room::Now(free, None) };
        let mut bucket = state.bucket;
        match bucket.take_up_to(&rate, elapsed, free) {
            0 => Room::In(bucket.wait(&rate, elapsed)),
            count => Room::Now(count, Some(rate)),
        }
    }

    /// Takes what [`Pace::room`] gave.
    pub(crate) fn take(&self, rate: &Rate, count: u32, elapsed: Duration) {
        self.state().bucket.take_up_to(rate, elapsed, count);
    }

    /// Gives back what was not used.
    pub(crate) fn give_back(&self, rate: &Rate, count: u32) {
        let mut state = self.state();
        (0..count).for_each(|_| state.bucket.give_back(rate));
    }

    /// One more request is made than was claimed for: it counts as well.
    pub(crate) fn take_in_debt(&self, spec: &DestinationSpec, elapsed: Duration) {
        if let Some(rate) = &spec.limits.rate {
            self.state().bucket.take_in_debt(rate, elapsed);
        }
    }

    /// A probe is under way, and lost at `until` if it is not heard of before.
    pub(crate) fn probing(&self, until: Timestamp) {
        self.state().breaker.probing(until);
    }

    /// An attempt ended. Returns whether there is something to write down or to tell now.
    pub(crate) fn ended(&self, spec: &DestinationSpec, end: End, now: Timestamp) -> bool {
        let mut state = self.state();
        if matches!(end.finding, Finding::Ill | Finding::Refused) {
            state.failed = Some((end.outcome, end.status));
        }
        state.breaker.follow(end.finding, now);
        if let Some(breaker) = &spec.health.breaker {
            let turn = match end.probe {
                true => state.breaker.probed(breaker, end.finding, now),
                false => state.breaker.ended(breaker, end.finding, now),
            };
            let condition = *state.breaker.condition();
            state.turns.extend(turn.map(|turn| (turn, condition, now)));
        }
        if let Some(after) = spec.health.disable_after
            && matches!(end.finding, Finding::Ill | Finding::Refused)
            && state.breaker.is_given_up(after, now)
            && state.given_up == Ending::None
        {
            state.given_up = Ending::Due(format!("every attempt has failed for {}", in_words(after)));
        }
        if let Some((delivery, event)) = end.exhausted {
            state.exhausted.count += 1;
            state.exhausted.first.get_or_insert((now, delivery, event));
        }
        state.needs_keeping(now) || !state.turns.is_empty() || state.given_up.is_due() || state.exhausted.is_news(now)
    }

    /// The store has disabled it, for what an attempt was answered. Returns whether operators are still to be told.
    pub(crate) fn disabled(&self, reason: &str) -> bool {
        let mut state = self.state();
        let is_news = matches!(state.given_up, Ending::None | Ending::Due(_));
        if is_news {
            state.given_up = Ending::Done(reason.to_owned());
        }
        is_news
    }

    /// Takes what there is to write down and to tell.
    pub(crate) fn work(&self, spec: &DestinationSpec, now: Timestamp) -> Work {
        let mut state = self.state();
        let slow_start = spec.health.breaker.map_or(Duration::ZERO, |breaker| breaker.slow_start);
        if spec.health.breaker.is_none() {
            // Whoever has no breaker any more is not left alone by the one that it had.
            state.breaker.close(now);
        }
        // That one came back is told only of whoever did so by itself.
        let recovered = state.breaker.recover(slow_start, now).filter(|_| spec.health.breaker.is_some());
        let exhausted = state.exhausted.is_news(now).then_some(state.exhausted);
        if exhausted.is_some() {
            state.exhausted = Exhausted { quiet_until: Some(now.plus(EXHAUSTED_EVERY)), ..Exhausted::default() };
        }
        let condition = *state.breaker.condition();
        state.turns.extend(recovered.map(|turn| (turn, condition, now)));
        let recovers_at = condition.recovering.map(|recovering| recovering.since.plus(slow_start));
        let told_at = state.exhausted.quiet_until.filter(|_| state.exhausted.count > 0);
        Work {
            keep: state.needs_keeping(now).then_some(condition),
            turns: std::mem::take(&mut state.turns),
            ending: match state.given_up.is_due() {
                true => std::mem::replace(&mut state.given_up, Ending::Told),
                false => Ending::None,
            },
            exhausted,
            failed: state.failed,
            looked_at: now,
            again_at: recovers_at.into_iter().chain(told_at).min(),
        }
    }

    /// What could not be written down or told now is to be taken again.
    pub(crate) fn put_back(&self, work: Work) {
        let mut state = self.state();
        state.turns.splice(..0, work.turns);
        if work.ending != Ending::None {
            state.given_up = work.ending;
        }
        if let Some(exhausted) = work.exhausted {
            state.exhausted = Exhausted { count: state.exhausted.count + exhausted.count, ..exhausted };
        }
    }

    /// The store has this now. Returns whether that is old already.
    pub(crate) fn kept(&self, condition: Condition, now: Timestamp) -> bool {
        let mut state = self.state();
        state.kept = Some(condition);
        state.needs_keeping(now)
    }
}

impl State {
    /// Whether the store should be told the condition: whatever changes what is held, and a row of failures once it has
    /// lasted.
    fn needs_keeping(&self, now: Timestamp) -> bool {
        let Some(kept) = self.kept else { return true };
        let condition = self.breaker.condition();
        let failing = match (kept.failing_since, condition.failing_since) {
            (Some(kept), Some(since)) if kept == since => false,
            (_, Some(since)) => since.plus(FAILING_MIN) <= now,
            (kept, None) => kept.is_some(),
        };
        failing || (kept.open, kept.recovering) != (condition.open, condition.recovering)
    }
}

impl Ending {
    fn is_due(&self) -> bool {
        matches!(self, Self::Due(_) | Self::Done(_))
    }
}

impl Exhausted {
    fn is_news(&self, now: Timestamp) -> bool {
        self.count > 0 && self.quiet_until.is_none_or(|until| until <= now)
    }
}

/// A rate during a slow start: the same steps, further apart, and none saved up.
fn slowed(rate: Rate, share: u64) -> Rate {
    if share >= 1000 {
        return rate;
    }
    let per = Duration::try_from_secs_f64(rate.per.as_secs_f64() * 1000.0 / share.max(1) as f64);
    Rate { per: per.unwrap_or(Duration::MAX), burst: 1, ..rate }
}

/// A time as an operator says it.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        whole if whole > 0 && whole % 86_400 == 0 => format!("{} days", whole / 86_400),
        whole if whole > 0 && whole % 3600 == 0 => format!("{} hours", whole / 3600),
        whole => format!("{whole} seconds"),
    }
}
