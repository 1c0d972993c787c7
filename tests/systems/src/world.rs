//! Time, waiting and the environment, for programs that watch other programs.
//! The only place below `tests/` and `xtask/` that asks the machine for them.

use anyhow::{Context, Result};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// An environment variable, if it is set to valid text.
#[expect(clippy::disallowed_methods, reason = "tools are configured by their environment")]
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether this is a continuous-integration run, where nothing may be skipped.
pub fn is_ci() -> bool {
    var("CI").is_some_and(|value| value == "true" || value == "1")
}

/// Whether a program of this name can be started.
pub fn has_program(name: &str) -> bool {
    let path = var("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// A point to measure from.
#[expect(clippy::disallowed_methods, reason = "what is measured is another process, in real time")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Seconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "signatures for a real process carry the real time")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Waits for real.
#[expect(clippy::disallowed_methods, reason = "another process is given time to act")]
pub fn pause(how_long: Duration) {
    std::thread::sleep(how_long);
}

/// Asks `condition` again every few milliseconds until it holds; `false` when it still does not after `limit`.
pub fn until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let started = instant();
    loop {
        if condition() {
            return true;
        }
        if started.elapsed() >= limit {
            return false;
        }
        pause(Duration::from_millis(2));
    }
}

/// The most memory that a process ever had, in KiB.
pub fn peak_kib(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse()?)
}

/// Waits until a process, and the programs that it runs, do nothing any more; `false` when they still do after `limit`.
pub fn until_idle(pid: u32, limit: Duration) -> bool {
    let mut last = None;
    let mut quiet = 0;
    let started = instant();
    while started.elapsed() < limit && quiet < 3 {
        let spent = ticks(pid);
        quiet = if spent.is_some() && spent == last { quiet + 1 } else { 0 };
        last = spent;
        pause(Duration::from_millis(100));
    }
    quiet >= 3
}

/// The processor time of a process and its ended children, in clock ticks.
fn ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may contain blanks; the times are the 12th to 15th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().skip(11).take(4).map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_is_told_from_an_idle_one() {
        let start = |script: &str| std::process::Command::new("sh").args(["-c", script]).spawn().unwrap();
        let (mut busy, mut idle) = (start("while :; do :; done"), start("exec sleep 60"));
        let judged = (until_idle(busy.id(), Duration::from_secs(2)), until_idle(idle.id(), Duration::from_secs(20)));
        for child in [&mut busy, &mut idle] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(judged, (false, true));
    }
}
