//! Cases of the breaker, and any order of ends, probes and passing time against a model that keeps everything.

use proptest::prelude::*;

use super::*;

const START: i64 = 1_700_000_000_000;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spec() -> BreakerSpec {
    BreakerSpec {
        failure_percent: 50,
        min_attempts: 4,
        window: seconds(60),
        open_for: seconds(30),
        open_for_max: seconds(300),
        slow_start: seconds(60),
    }
}

fn probe_at(breaker: &Breaker) -> Timestamp {
    breaker.condition().open.expect("it is open").probe_at
}

/// Four attempts that failed at `now`.
fn opened(now: Timestamp) -> Breaker {
    let mut breaker = Breaker::new(Condition::default());
    let turns: Vec<_> = (0..4).map(|_| breaker.ended(&spec(), Finding::Ill, now)).collect();
    assert_eq!(turns, [None, None, None, Some(Turn::Opened)]);
    breaker
}

#[test]
fn what_an_end_says_of_the_destination() {
    use Finding::{Ill, Nothing, Refused, Well};
    for (outcome, said) in [
        (Outcome::Success, Well),
        (Outcome::Dns, Ill),
        (Outcome::Connect, Ill),
        (Outcome::Tls, Ill),
        (Outcome::Timeout, Ill),
        (Outcome::Broken, Ill),
        (Outcome::Blocked, Nothing),
        (Outcome::Unusable, Nothing),
        (Outcome::Interrupted, Nothing),
        (Outcome::Cancelled, Nothing),
        (Outcome::Released, Nothing),
        (Outcome::Exit, Nothing),
        (Outcome::Spawn, Nothing),
        (Outcome::Checkout, Nothing),
    ] {
        assert_eq!(finding(outcome, None), said, "{outcome:?}");
    }
    for (status, said) in [
        (301, Refused),
        (400, Refused),
        (404, Refused),
        (407, Refused),
        (408, Ill),
        (409, Refused),
        (428, Refused),
        (429, Ill),
        (430, Refused),
        (499, Refused),
        (500, Ill),
        (503, Ill),
        (599, Ill),
    ] {
        assert_eq!(finding(Outcome::Status, Some(status)), said, "{status}");
    }
}

#[test]
fn it_opens_at_its_ratio_and_not_before_enough_have_ended() {
    let mut breaker = Breaker::new(Condition::default());
    for _ in 0..3 {
        assert_eq!(breaker.ended(&spec(), Finding::Ill, at(0)), None, "too few");
    }
    let mut one_of_two = Breaker::new(Condition::default());
    for finding in [Finding::Well, Finding::Ill, Finding::Well] {
        assert_eq!(one_of_two.ended(&spec(), finding, at(0)), None);
    }
    let mut below = one_of_two.clone();
    assert_eq!(below.ended(&spec(), Finding::Well, at(1)), None, "one of four");
    assert_eq!(one_of_two.ended(&spec(), Finding::Ill, at(1)), Some(Turn::Opened), "two of four");
    let open = OpenBreaker { since: at(1), probe_at: at(30_001), opens: 1 };
    assert_eq!(one_of_two.condition().open, Some(open));
}

#[test]
fn what_an_event_is_refused_for_counts_for_nothing() {
    let mut breaker = Breaker::new(Condition::default());
    for _ in 0..100 {
        assert_eq!(breaker.ended(&spec(), Finding::Refused, at(0)), None);
        assert_eq!(breaker.ended(&spec(), Finding::Nothing, at(0)), None);
    }
    assert_eq!(breaker, Breaker::new(Condition::default()));
}

#[test]
fn what_is_older_than_the_window_counts_no_more() {
    let mut breaker = Breaker::new(Condition::default());
    (0..3).for_each(|_| assert_eq!(breaker.ended(&spec(), Finding::Ill, at(0)), None));
    assert_eq!(breaker.ended(&spec(), Finding::Ill, at(58_000)), None);
    let mut within = Breaker::new(Condition::default());
    (0..3).for_each(|_| assert_eq!(within.ended(&spec(), Finding::Ill, at(0)), None));
    assert_eq!(within.ended(&spec(), Finding::Ill, at(57_999)), Some(Turn::Opened));
}

#[test]
fn there_is_one_probe_and_its_end_opens_or_closes() {
    let mut breaker = opened(at(0));
    assert!(!breaker.wants_probe(at(29_999)));
    assert!(breaker.wants_probe(at(30_000)));
    breaker.probing(at(75_000));
    assert!(!breaker.wants_probe(at(30_000)), "one is under way");
    assert!(breaker.wants_probe(at(75_000)), "it was never heard of again");
    assert_eq!(breaker.probed(&spec(), Finding::Ill, at(31_000)), Some(Turn::StayedOpen));
    assert_eq!(probe_at(&breaker), at(91_000), "twice as long");
    assert_eq!(breaker.probed(&spec(), Finding::Nothing, at(91_000)), Some(Turn::StayedOpen));
    assert_eq!(probe_at(&breaker), at(151_000), "as long again");
    for minutes in [2, 4, 5, 5, 5] {
        assert_eq!(breaker.probed(&spec(), Finding::Ill, at(0)), Some(Turn::StayedOpen));
        assert_eq!(probe_at(&breaker), at(minutes * 60_000));
    }
    assert_eq!(breaker.condition().open.map(|open| open.since), Some(at(0)), "open since then");
    assert_eq!(breaker.clone().probed(&spec(), Finding::Refused, at(400_000)), Some(Turn::Closed));
    assert_eq!(breaker.probed(&spec(), Finding::Well, at(400_000)), Some(Turn::Closed));
    assert!(!breaker.wants_probe(at(999_000)));
}

#[test]
fn a_slow_start_grows_to_the_whole_and_ends_in_recovery() {
    let mut breaker = opened(at(0));
    assert_eq!(breaker.probed(&spec(), Finding::Well, at(30_000)), Some(Turn::Closed));
    let shares = [30_000, 35_999, 36_000, 60_000, 90_000].map(|now| breaker.share(&spec(), at(now)));
    assert_eq!(shares, [100, 100, 100, 500, 1000]);
    assert_eq!(breaker.recover(spec().slow_start, at(89_999)), None);
    assert_eq!(breaker.recover(spec().slow_start, at(90_000)), Some(Turn::Recovered));
    assert_eq!(breaker.condition(), &Condition::default());
    assert_eq!(breaker.share(&spec(), at(90_000)), 1000);
}

#[test]
fn who_fails_again_during_the_slow_start_is_left_alone_for_longer() {
    for (again_at, open_for) in [(89_999, 60_000), (90_000, 30_000)] {
        let mut breaker = opened(at(0));
        breaker.probed(&spec(), Finding::Well, at(30_000));
        (0..3).for_each(|_| assert_eq!(breaker.ended(&spec(), Finding::Ill, at(again_at)), None));
        assert_eq!(breaker.ended(&spec(), Finding::Ill, at(again_at)), Some(Turn::Opened));
        assert_eq!(probe_at(&breaker), at(again_at + open_for));
    }
}

#[test]
fn only_failures_for_long_enough_give_a_destination_up() {
    let after = seconds(5 * 86_400);
    let mut breaker = Breaker::new(Condition::default());
    let day = |n: i64| at(n * 86_400_000);
    (0..4).for_each(|_| breaker.follow(Finding::Ill, day(0)));
    assert!(!breaker.is_given_up(after, day(5)), "a few are too few");
    breaker.follow(Finding::Refused, day(5));
    assert!(breaker.is_given_up(after, day(5)));
    assert!(!breaker.is_given_up(after, Timestamp::from_millis(day(5).as_millis() - 1)));
    breaker.follow(Finding::Nothing, day(6));
    assert!(breaker.is_given_up(after, day(6)));
    breaker.follow(Finding::Well, day(6));
    (0..9).for_each(|_| breaker.follow(Finding::Ill, day(6)));
    assert!(!breaker.is_given_up(after, day(10)), "one success begins it anew");
}

#[test]
fn extremes_do_not_overflow() {
    let spec = BreakerSpec { open_for: Duration::MAX, window: Duration::ZERO, min_attempts: 0, ..spec() };
    let mut breaker = Breaker::new(Condition {
        recovering: Some(Recovering { since: Timestamp::from_millis(i64::MAX - 2), opens: u32::MAX }),
        ..Condition::default()
    });
    assert_eq!(breaker.ended(&spec, Finding::Ill, Timestamp::from_millis(i64::MAX - 1)), Some(Turn::Opened));
    assert_eq!(breaker.probed(&spec, Finding::Ill, Timestamp::from_millis(i64::MIN)), Some(Turn::StayedOpen));
    assert_eq!(open_for(&spec, u32::MAX), Duration::MAX);
}

/// What happens to a destination.
#[derive(Debug, Clone, Copy)]
enum Step {
    End(Finding),
    /// A probe begins and ends so, if one is wanted.
    Probe(Finding),
    Pass(i64),
    Recover,
}

fn findings() -> impl Strategy<Value = Finding> {
    prop_oneof![3 => Just(Finding::Well), 4 => Just(Finding::Ill), 1 => Just(Finding::Refused), 1 => Just(Finding::Nothing)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => findings().prop_map(Step::End),
        3 => findings().prop_map(Step::Probe),
        3 => (0..70_000_i64).prop_map(Step::Pass),
        1 => Just(Step::Recover),
    ]
}

/// The words of the documentation, and nothing forgotten.
#[derive(Debug, Default)]
struct Model {
    /// Every end while it was closed, since it last was open: when, and whether ill.
    history: Vec<(i64, bool)>,
    open: Option<(i64, i64)>,
    closed: Option<i64>,
    opens: u32,
}

impl Model {
    fn wait(&self) -> i64 {
        (0..self.opens - 1).fold(30_000, |wait, _| (wait * 2).min(300_000))
    }

    fn end(&mut self, now: i64, finding: Finding) -> Option<Turn> {
        if self.open.is_some() || !matches!(finding, Finding::Well | Finding::Ill) {
            return None;
        }
        self.history.push((now, finding == Finding::Ill));
        let in_window = |then: &&(i64, bool)| (now + START) / 6_000 - (then.0 + START) / 6_000 < 10;
        let ended = self.history.iter().filter(in_window).count();
        let ill = self.history.iter().filter(in_window).filter(|(_, ill)| *ill).count();
        if ended < 4 || ill * 2 < ended {
            return None;
        }
        let again = self.closed.take().is_some_and(|closed| now - closed < 60_000);
        self.opens = if again { self.opens + 1 } else { 1 };
        self.open = Some((now, now + self.wait()));
        self.history.clear();
        Some(Turn::Opened)
    }

    fn probe(&mut self, now: i64, finding: Finding) -> Option<Turn> {
        let (opened, probe_at) = self.open?;
        if now < probe_at {
            return None;
        }
        if matches!(finding, Finding::Well | Finding::Refused) {
            (self.open, self.closed) = (None, Some(now));
            return Some(Turn::Closed);
        }
        self.opens += u32::from(finding == Finding::Ill);
        self.open = Some((opened, now + self.wait()));
        Some(Turn::StayedOpen)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn any_order_of_ends_probes_and_time_is_as_the_model_says(steps in prop::collection::vec(step(), 1..200)) {
        let (mut breaker, mut model, mut now) = (Breaker::new(Condition::default()), Model::default(), 0);
        for step in steps {
            match step {
                Step::End(finding) => {
                    prop_assert_eq!(breaker.ended(&spec(), finding, at(now)), model.end(now, finding));
                }
                Step::Probe(finding) => {
                    let expected = model.probe(now, finding);
                    prop_assert_eq!(breaker.wants_probe(at(now)), expected.is_some());
                    if expected.is_some() {
                        prop_assert_eq!(breaker.probed(&spec(), finding, at(now)), expected);
                    }
                }
                Step::Pass(millis) => now += millis,
                Step::Recover => {
                    let over = model.closed.take_if(|closed| now - *closed >= 60_000).is_some();
                    if over {
                        model.opens = 0;
                    }
                    prop_assert_eq!(breaker.recover(seconds(60), at(now)).is_some(), over);
                }
            }
            let condition = breaker.condition();
            let opens = model.opens;
            let open = model.open.map(|(since, probe)| OpenBreaker { since: at(since), probe_at: at(probe), opens });
            prop_assert_eq!(condition.open, open);
            prop_assert_eq!(condition.recovering, model.closed.map(|since| Recovering { since: at(since), opens }));
        }
    }
}
