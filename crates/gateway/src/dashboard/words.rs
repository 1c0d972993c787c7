//! How pages write what they show: times, lapses, counts, sizes, states. Markup is the templates'.

use std::collections::BTreeMap;
use std::time::Duration;

use hookward_engine::clock::Timestamp;

/// A time on a page: how far away it is, and exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct When {
    /// `3 min ago`, `in 2 h`.
    pub(super) relative: String,
    /// `2026-01-31 09:30:00 UTC`.
    pub(super) exact: String,
    /// For the script: RFC 3339 with milliseconds.
    pub(super) machine: String,
}

impl When {
    /// The time `at`, looked at from `now`.
    pub(super) fn new(at: Timestamp, now: Timestamp) -> Self {
        let exact = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or_default();
        Self {
            relative: relative(at, now),
            exact: exact.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            machine: crate::api::time(at),
        }
    }
}

fn relative(at: Timestamp, now: Timestamp) -> String {
    let millis = now.as_millis().saturating_sub(at.as_millis());
    let how_far = Duration::from_millis(millis.unsigned_abs());
    match millis {
        0..1_000 => "just now".to_owned(),
        1_000.. => format!("{} ago", lapse(how_far)),
        ..0 => format!("in {}", lapse(how_far)),
    }
}

/// A lapse of time in one unit, rounded down: `250 ms`, `12 s`, `3 min`, `5 h`, `9 d`.
pub(super) fn lapse(lapse: Duration) -> String {
    const UNITS: [(u128, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s")];
    let millis = lapse.as_millis();
    match UNITS.iter().find(|(unit, _)| millis >= *unit) {
        Some((unit, name)) => format!("{} {name}", millis / unit),
        None => format!("{millis} ms"),
    }
}

/// A whole number with its thousands apart: `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size: `512 B`, `1.5 KiB`, `3.2 MiB`.
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = ((bytes.ilog2() / 10) as usize).min(UNITS.len());
    format!("{:.1} {}", bytes as f64 / 1024_f64.powi(power as i32), UNITS[power - 1])
}

/// Names with their values, a pair a line.
pub(super) fn pairs(values: &BTreeMap<String, String>) -> Vec<String> {
    values.iter().map(|(name, value)| format!("{name} = {value}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_one_unit() {
        let now = Timestamp::from_millis(1_000_000_000_000);
        let told = |millis: i64| When::new(Timestamp::from_millis(1_000_000_000_000 + millis), now).relative;
        assert_eq!(told(0), "just now");
        assert_eq!(told(-999), "just now");
        assert_eq!(told(-1_000), "1 s ago");
        assert_eq!(told(-61_000), "1 min ago");
        assert_eq!(told(-7_300_000), "2 h ago");
        assert_eq!(told(-172_800_000), "2 d ago");
        assert_eq!(told(500), "in 500 ms");
        assert_eq!(told(90_000), "in 1 min");
        assert_eq!(When::new(now, now).exact, "2001-09-09 01:46:40 UTC");
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        let counted = [0, 7, 999, 1_000, 12_345, 1_234_567].map(count);
        assert_eq!(counted, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
        let sized = [0, 1023, 1024, 1536, 5 << 20, u64::MAX].map(bytes);
        assert_eq!(sized, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "5.0 MiB", "16777216.0 TiB"]);
    }
}
