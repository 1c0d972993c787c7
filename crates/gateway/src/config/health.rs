//! A `[[destination]]`'s pace and health: `rate`, `breaker`, `disable_after`.
//! What they lead to is the engine's.

use std::time::Duration;

use hookward_engine::model::{BreakerSpec, Health, Rate};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::settings::{bounded, refuse};
use super::values::{Lapse, Settings, Size, Switch, parse_lapse};
use super::{Check, file};

/// The most attempts that a rate or a breaker may speak of.
const ATTEMPTS_MAX: usize = 1_000_000;

/// For so long the requests of a rate may be made up for that came too late: as exactly as a timer wakes.
const SMOOTH: Duration = Duration::from_millis(50);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct BreakerTable {
    failure_percent: Option<Spanned<Size>>,
    min_attempts: Option<Spanned<Size>>,
    window: Option<Spanned<Lapse>>,
    open_for: Option<Spanned<Lapse>>,
    open_for_max: Option<Spanned<Lapse>>,
    slow_start: Option<Spanned<Lapse>>,
}

impl Settings for BreakerTable {
    const EXPECTED: &str = "false, or a table like { failure_percent = 50 }";
}

/// A lapse of time, or `false` for never.
#[derive(Debug, Clone, Copy)]
pub(super) struct DisableAfter(Option<Duration>);

impl<'de> Deserialize<'de> for DisableAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DisableAfterVisitor)
    }
}

struct DisableAfterVisitor;

impl Visitor<'_> for DisableAfterVisitor {
    type Value = DisableAfter;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a lapse of time like \"5d\", or false")
    }

    fn visit_bool<E: Error>(self, wanted: bool) -> Result<DisableAfter, E> {
        match wanted {
            true => Err(E::custom("after how long, like \"5d\"?")),
            false => Ok(DisableAfter(None)),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DisableAfter, E> {
        let lapse = parse_lapse(text);
        lapse.map(|lapse| DisableAfter(Some(lapse))).ok_or_else(|| {
            E::custom(format!("`{}` is not a lapse of time: write one like \"5d\", or false", text.escape_debug()))
        })
    }
}

/// How fast a destination is tried.
pub(super) fn rate(check: &mut Check<'_>, file: &file::Destination) -> Option<Rate> {
    let rate = file.rate.as_ref()?;
    if file.kind.get_ref() == "pull" {
        check.problem(&rate.requests, "a destination of type `pull` has no `rate`: its consumers have their own");
    }
    let requests = bounded(check, Some(&rate.requests), 1, 1..=ATTEMPTS_MAX, "requests");
    let per = check.timeout(&rate.per, "per");
    let smooth = usize::try_from(requests as u128 * SMOOTH.as_nanos() / per.as_nanos().max(1)).unwrap_or(usize::MAX);
    let burst = bounded(check, rate.burst.as_ref(), smooth.clamp(1, requests.max(1)), 1..=ATTEMPTS_MAX, "burst");
    let number = |size| u32::try_from(size).unwrap_or(u32::MAX);
    Some(Rate { requests: number(requests), per, burst: number(burst) })
}

/// What becomes of a destination that fails.
pub(super) fn health(check: &mut Check<'_>, file: &file::Destination) -> Health {
    let kind = file.kind.get_ref().as_str();
    if matches!(kind, "command" | "pull") {
        // How a program ends is the event's affair, and whoever pulls is not called.
        refuse(check, file.breaker.as_ref(), "breaker", kind);
        refuse(check, file.disable_after.as_ref(), "disable_after", kind);
        return Health { breaker: None, disable_after: None };
    }
    let built_in = Health::default();
    let breaker = match file.breaker.as_ref().map(Spanned::get_ref) {
        None => built_in.breaker,
        Some(Switch::Off) => None,
        Some(Switch::On(table)) => Some(breaker(check, table)),
    };
    let disable_after = file.disable_after.as_ref().map_or(built_in.disable_after, |after| {
        if after.get_ref().0.is_some_and(|lapse| lapse < Duration::from_secs(60)) {
            check.problem(after, "`disable_after` is at least 1m, or false");
        }
        after.get_ref().0
    });
    Health { breaker, disable_after }
}

fn breaker(check: &mut Check<'_>, table: &BreakerTable) -> BreakerSpec {
    let built_in = BreakerSpec::default();
    let percent = usize::from(built_in.failure_percent);
    let percent = bounded(check, table.failure_percent.as_ref(), percent, 1..=100, "failure_percent");
    let least = usize::try_from(built_in.min_attempts).unwrap_or(1);
    let least = bounded(check, table.min_attempts.as_ref(), least, 1..=ATTEMPTS_MAX, "min_attempts");
    let mut lapse = |value: &Option<Spanned<Lapse>>, default: Duration, least_ms: u64, words: &str| {
        let Some(value) = value else { return default };
        let lapse = value.get_ref().0;
        if !(Duration::from_millis(least_ms)..=Duration::from_secs(86_400)).contains(&lapse) {
            check.problem(value, words);
        }
        lapse
    };
    let open_for = lapse(&table.open_for, built_in.open_for, 100, "`open_for` is 100ms to 24h");
    let spec = BreakerSpec {
        failure_percent: u8::try_from(percent).unwrap_or(100),
        min_attempts: u32::try_from(least).unwrap_or(u32::MAX),
        window: lapse(&table.window, built_in.window, 1000, "`window` is 1s to 24h"),
        open_for,
        open_for_max: lapse(
            &table.open_for_max,
            built_in.open_for_max.max(open_for),
            100,
            "`open_for_max` is 100ms to 24h",
        ),
        slow_start: lapse(&table.slow_start, built_in.slow_start, 0, "`slow_start` is at most 24h"),
    };
    if let Some(longest) = table.open_for_max.as_ref().filter(|_| spec.open_for_max < spec.open_for) {
        check.problem(longest, "`open_for_max` is not shorter than `open_for`");
    }
    spec
}
