//! The replay against what queueing theory knows in closed form, and against what must hold of a loss and of a move.

use super::super::trace::exponential;
use super::*;

/// A primary without groups: each event takes 1 ms, and 1 ms more for each KiB.
const PRIMARY: Primary = Primary {
    group_us: 0.0,
    event_us: 1000.0,
    kib_us: 1000.0,
    delivery_us: 0.0,
    deliveries: 0,
    answer_ms: 0,
    group_entries: 1,
    queue_entries: usize::MAX,
};

const SENDERS: Senders = Senders { retry_s: 5, retry_most_s: 20, tries: 8 };

/// `count` arrivals of one organization, at random moments.
fn poisson(per_second: f64, count: usize, bytes: impl Fn(&mut Rng) -> u32) -> Vec<Arrival> {
    let mut rng = Rng::with_seed(11);
    let mut at = 0.0;
    let mut arrival = || {
        at += exponential(&mut rng, per_second);
        Arrival { at_ns: (at * SECOND as f64) as u64, organization: 0, bytes: bytes(&mut rng) }
    };
    (0..count).map(|_| arrival()).collect()
}

fn run(arrivals: &[Arrival], primary: &Primary, happening: Happening) -> Outcome {
    replay(arrivals, &[0], 2, (primary, &SENDERS), happening, 1)
}

/// The mean time from arrival to answer, in seconds.
fn mean_latency(outcome: &Outcome) -> f64 {
    let sum: f64 = outcome.fates.iter().map(|fate| fate.commit_ns as f64).sum();
    sum / outcome.fates.len() as f64 / SECOND as f64
}

fn assert_near(found: f64, expected: f64, within: f64) {
    assert!((found / expected - 1.0).abs() < within, "{found} is not {expected}");
}

#[test]
fn constant_service_waits_as_long_as_in_m_d_1() {
    for load in [0.3, 0.6, 0.8] {
        let arrivals = poisson(load * 1000.0, 400_000, |_| 0);
        let outcome = run(&arrivals, &PRIMARY, Happening::default());
        let waits = load / (2.0 * (1.0 - load)) * 0.001;
        assert_near(mean_latency(&outcome) - 0.001, waits, 0.04);
        let load_ns: u64 = outcome.load_ns[0].iter().sum();
        let span = outcome.fates.last().and_then(|fate| fate.written_ns).unwrap();
        assert_near(load_ns as f64 / span as f64, load, 0.01);
    }
}

#[test]
fn service_of_two_lengths_waits_as_pollaczek_and_khinchine_say() {
    // 1 ms, and 9 ms for one in ten: 1.8 ms on average, a second moment of 9 ms².
    let arrivals = poisson(1000.0 / 3.0, 600_000, |rng| if rng.f64() < 0.1 { 8 * 1024 } else { 0 });
    let outcome = run(&arrivals, &PRIMARY, Happening::default());
    let (rate, load, second_moment) = (1000.0 / 3.0, 0.6, 9e-6);
    let waits = rate * second_moment / (2.0 * (1.0 - load));
    assert_near(mean_latency(&outcome) - 0.0018, waits, 0.05);
}

#[test]
fn with_no_room_to_wait_the_share_of_503_is_erlangs() {
    let primary = Primary { queue_entries: 1, ..PRIMARY };
    let senders = Senders { tries: 1, ..SENDERS };
    for load in [0.25, 1.0, 4.0] {
        let arrivals = poisson(load * 1000.0, 300_000, |_| 0);
        let outcome = replay(&arrivals, &[0], 1, (&primary, &senders), Happening::default(), 1);
        let lost = outcome.fates.iter().filter(|fate| fate.written_ns.is_none()).count();
        assert_near(lost as f64 / arrivals.len() as f64, load / (1.0 + load), 0.02);
    }
}

#[test]
fn groups_grow_with_the_load_until_they_are_full() {
    let primary = Primary { group_us: 1000.0, event_us: 10.0, kib_us: 0.0, group_entries: 64, ..PRIMARY };
    let most = primary.capacity(0.0);
    assert_near(most, 64.0 / 0.00164, 1e-9);
    // Twenty times what single writes could carry, and under what groups can.
    let arrivals = poisson(20_000.0, 200_000, |_| 0);
    let outcome = run(&arrivals, &primary, Happening::default());
    // A group takes 1 ms / (1 - 20,000/s * 10 µs) when it holds what came during the one before; who comes waits for half
    // of one, and then for its own.
    assert_near(mean_latency(&outcome), 1.5 * 0.00125, 0.05);
    // More than it can carry: it is written at capacity, and takes as long as that.
    let arrivals = poisson(2.0 * most, 400_000, |_| 0);
    let outcome = run(&arrivals, &primary, Happening::default());
    let last = outcome.fates.iter().filter_map(|fate| fate.written_ns).max().unwrap();
    assert_near(400_000.0 / (last as f64 / SECOND as f64), most, 0.01);
}

#[test]
fn deliveries_take_their_share_of_the_primary() {
    let primary = Primary { delivery_us: 500.0, deliveries: 2, answer_ms: 30, ..PRIMARY };
    let outcome = run(&poisson(300.0, 100_000, |_| 0), &primary, Happening::default());
    let load_ns: u64 = outcome.load_ns[0].iter().sum();
    assert_eq!(load_ns, 100_000 * 2_000_000, "1 ms for each event, 1 ms for its two deliveries");
}

#[test]
fn a_cell_that_is_gone_loses_no_event_and_the_other_notices_nothing() {
    let mut arrivals = poisson(400.0, 40_000, |_| 0);
    arrivals.iter_mut().enumerate().for_each(|(place, one)| one.organization = place as u32 % 2);
    let loss = Loss { cell: 0, from_ns: 20 * SECOND, until_ns: 40 * SECOND };
    let go = |happening| replay(&arrivals, &[0, 1], 2, (&PRIMARY, &SENDERS), happening, 1);
    let (quiet, lossy) = (go(Happening::default()), go(Happening { loss: Some(loss), moving: None }));
    assert!(lossy.fates.iter().all(|fate| fate.written_ns.is_some()), "somebody gave up");
    for ((one, quiet), lossy) in arrivals.iter().zip(&quiet.fates).zip(&lossy.fates) {
        let is_hit = one.organization == 0 && (loss.from_ns..loss.until_ns).contains(&one.at_ns);
        match one.organization {
            0 if is_hit => assert!(lossy.refused > 0 && lossy.written_ns > Some(loss.until_ns)),
            0 => assert!(quiet.refused == 0),
            _ => assert_eq!(quiet, lossy),
        }
    }
    let hasty = Senders { tries: 2, ..SENDERS };
    let happening = Happening { loss: Some(loss), moving: None };
    let outcome = replay(&arrivals, &[0, 1], 2, (&PRIMARY, &hasty), happening, 1);
    assert!(outcome.fates.iter().any(|fate| fate.written_ns.is_none()), "senders that try twice lose something");
}

#[test]
fn who_moves_is_refused_meanwhile_and_written_elsewhere_after() {
    let arrivals = poisson(500.0, 20_000, |_| 0);
    let moving = Move { organization: 0, to: 1, from_ns: 11 * SECOND, until_ns: 14 * SECOND };
    let outcome = run(&arrivals, &PRIMARY, Happening { loss: None, moving: Some(moving) });
    assert!(outcome.fates.iter().all(|fate| fate.written_ns.is_some()));
    for (one, fate) in arrivals.iter().zip(&outcome.fates) {
        let is_hit = (moving.from_ns..moving.until_ns).contains(&one.at_ns);
        assert_eq!(fate.refused > 0, is_hit, "{one:?} {fate:?}");
    }
    let load_ns = |cell: usize| outcome.load_ns[cell].iter().sum::<u64>();
    let before = arrivals.iter().filter(|one| one.at_ns < moving.from_ns).count() as u64;
    assert_eq!((load_ns(0), load_ns(1)), (before * 1_000_000, (20_000 - before) * 1_000_000));
}
