//! Progress on standard error, a line in a second. Nothing is known there of what is being done.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::Duration;

use hookward_engine::clock::{Clock as _, SystemClock};
use hookward_engine::moving::{Progress, Stage, Watcher};

const EVERY: Duration = Duration::from_secs(1);

/// Says how far a copy is, and never ends it.
pub(super) fn watcher() -> Watcher {
    let clock = SystemClock::new();
    let mut said: Option<(Stage, Duration, u64)> = None;
    let mut next = clock.elapsed() + EVERY;
    Box::new(move |progress| {
        let now = clock.elapsed();
        let (began_at, from_rows) = match said {
            Some((stage, at, rows)) if stage == progress.stage => (at, rows),
            _ => {
                said = Some((progress.stage, now, progress.all_rows));
                (now, progress.all_rows)
            }
        };
        if now >= next {
            next = now + EVERY;
            // There is nowhere to complain when standard error is closed.
            let _ = writeln!(std::io::stderr(), "{}", sentence(progress, now.saturating_sub(began_at), from_rows));
        }
        ControlFlow::Continue(())
    })
}

/// `took` is how long it is since `from_rows` were done.
fn sentence(progress: &Progress<'_>, took: Duration, from_rows: u64) -> String {
    let Progress { stage, table, rows, of, all_rows, all_of } = *progress;
    let does = match stage {
        Stage::Copying => "copying",
        Stage::Verifying => "comparing",
    };
    let done = all_rows.saturating_sub(from_rows);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = done.saturating_mul(1000) / took_ms;
    let left = all_of.saturating_sub(all_rows);
    let wait = left.checked_div(rate).map_or_else(String::new, |seconds| format!(", about {seconds} s"));
    format!("{does} {table}: {rows} of {of} rows; {left} rows of all are left at {rate} rows/s{wait}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_fast_and_what_is_left() {
        let progress =
            Progress { stage: Stage::Copying, table: "events", rows: 500, of: 900, all_rows: 1_500, all_of: 4_500 };
        let said = sentence(&progress, Duration::from_secs(2), 500);
        assert_eq!(said, "copying events: 500 of 900 rows; 3000 rows of all are left at 500 rows/s, about 6 s");
        let first = sentence(&progress, Duration::ZERO, 1_500);
        assert_eq!(first, "copying events: 500 of 900 rows; 3000 rows of all are left at 0 rows/s");
    }
}
