//! How long the stages of an attempt took, as a bar: numbers for an SVG and the same in words.

use std::time::Duration;

use hookward_engine::model::Attempt;

/// The width of the longest bar of several.
const WIDTH: u128 = 1_000;

/// One bar.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) stages: Vec<Stage>,
    /// All of it in words.
    pub(super) says: String,
}

/// One stage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stage {
    /// Its class in the style sheet, and its place in the legend.
    pub(super) class: &'static str,
    pub(super) name: &'static str,
    pub(super) took: String,
    pub(super) x: u128,
    pub(super) width: u128,
}

/// The bar of an attempt beside others of which the longest took `longest`.
pub(super) fn of(attempt: &Attempt, longest: Duration) -> Bar {
    let stages = stages(attempt);
    let scale = longest.as_micros().max(1);
    let (mut at, mut bar) = (0, Bar::default());
    for (class, name, took) in stages {
        let end = at + took.as_micros();
        let (x, until) = ((at * WIDTH / scale).min(WIDTH), (end * WIDTH / scale).min(WIDTH));
        // What was there at all is seen.
        let (x, width) = (x.min(WIDTH - 4), (until - x).max(4));
        bar.stages.push(Stage { class, name, took: precisely(took), x, width });
        at = end;
    }
    let told: Vec<String> = bar.stages.iter().map(|stage| format!("{} {}", stage.name, stage.took)).collect();
    bar.says = told.join(", ");
    bar
}

fn stages(attempt: &Attempt) -> Vec<(&'static str, &'static str, Duration)> {
    let Some(exchange) = &attempt.exchange else {
        return vec![("stage-run", "run", attempt.duration)];
    };
    let timings = exchange.timings;
    let known = [
        ("stage-resolve", "resolve", timings.resolve),
        ("stage-connect", "connect", timings.connect),
        ("stage-tls", "TLS", timings.tls),
        ("stage-wait", "wait", timings.first_byte),
    ];
    let mut stages: Vec<_> =
        known.into_iter().filter_map(|(class, name, took)| took.map(|took| (class, name, took))).collect();
    let known: Duration = stages.iter().map(|(_, _, took)| *took).sum();
    // The whole is kept in milliseconds, so that the parts may come to a little more.
    let rest = attempt.duration.saturating_sub(known);
    if rest >= Duration::from_millis(1) || stages.is_empty() {
        stages.push(("stage-rest", "the rest", rest));
    }
    stages
}

/// A short lapse, to three digits: `0.42 ms`, `12.3 ms`, `842 ms`, `1.24 s`, `92.1 s`; from two minutes on in minutes.
pub(super) fn precisely(lapse: Duration) -> String {
    let millis = lapse.as_secs_f64() * 1_000.0;
    let digits = |value: f64, unit: &str| match value {
        value if value < 10.0 => format!("{value:.2} {unit}"),
        value if value < 100.0 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    };
    match lapse.as_secs() {
        0 => digits(millis, "ms"),
        1..120 => digits(millis / 1_000.0, "s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hookward_engine::clock::Timestamp;
    use hookward_engine::ids::AttemptId;
    use hookward_engine::model::{Exchange, Outcome, Timings};

    use super::*;

    fn attempt(duration_ms: u64, timings: Option<Timings>) -> Attempt {
        Attempt {
            id: AttemptId::from_bytes([0; 16]),
            number: 1,
            started_at: Timestamp::from_millis(0),
            duration: Duration::from_millis(duration_ms),
            outcome: Outcome::Success,
            signed_by: vec![],
            status: Some(200),
            exit_code: None,
            excerpt: Bytes::new(),
            detail: String::new(),
            node: None,
            exchange: timings.map(|timings| Exchange { timings, ..Exchange::default() }),
        }
    }

    #[test]
    fn stages_follow_one_another_and_end_with_the_rest() {
        let millis = |n| Some(Duration::from_millis(n));
        let timings = Timings { resolve: millis(10), connect: millis(20), tls: None, first_byte: millis(50) };
        let bar = of(&attempt(100, Some(timings)), Duration::from_millis(200));
        let places: Vec<_> = bar.stages.iter().map(|stage| (stage.name, stage.x, stage.width)).collect();
        assert_eq!(places, [("resolve", 0, 50), ("connect", 50, 100), ("wait", 150, 250), ("the rest", 400, 100)]);
        assert_eq!(bar.says, "resolve 10.0 ms, connect 20.0 ms, wait 50.0 ms, the rest 20.0 ms");
    }

    #[test]
    fn no_stage_is_outside_of_its_picture_however_odd_the_times() {
        let timings = Timings { first_byte: Some(Duration::from_secs(9)), ..Timings::default() };
        for (took, longest) in [(0, 0), (5, 1), (0, u64::MAX / 2_000), (10_000, 10_000)] {
            let bar = of(&attempt(took, Some(timings)), Duration::from_millis(longest));
            assert!(bar.stages.iter().all(|stage| stage.width > 0 && stage.x + stage.width <= WIDTH), "{bar:?}");
        }
        assert_eq!(of(&attempt(0, None), Duration::ZERO).says, "run 0.00 ms");
    }

    #[test]
    fn a_lapse_has_three_digits() {
        let told = [420, 12_340, 842_000, 1_240_000, 92_100_000, 125_000_000].map(Duration::from_micros).map(precisely);
        assert_eq!(told, ["0.42 ms", "12.3 ms", "842 ms", "1.24 s", "92.1 s", "2 min 5 s"]);
    }
}
