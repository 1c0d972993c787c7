//! A wall clock that a test moves: processes started with its environment see it instead of the machine's.
//! libfaketime in between, so that nothing of it is in the product. The monotonic clock is left alone, so timeouts stay true.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::world;

/// Where Debian's package `faketime` has its library, below a directory for each architecture.
const LIBRARIES: &str = "/usr/lib";
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// A clock that is ahead of the machine's.
#[derive(Debug)]
pub struct MovableClock {
    library: PathBuf,
    /// How far ahead, as libfaketime reads it.
    file: PathBuf,
    ahead: Duration,
}

impl MovableClock {
    /// A clock that shows the machine's time so far; `directory` holds its one file.
    pub fn new(directory: &Path) -> Result<Self> {
        let architectures = fs::read_dir(LIBRARIES)?.flatten().map(|entry| entry.path().join(LIBRARY));
        let library = architectures.into_iter().find(|path| path.is_file());
        let library = library.context("libfaketime is missing (Debian: apt-get install faketime)")?;
        let mut clock = Self { library, file: directory.join("clock"), ahead: Duration::ZERO };
        clock.advance(Duration::ZERO)?;
        Ok(clock)
    }

    /// Moves it forward. Every process that has it sees that at its next look.
    pub fn advance(&mut self, by: Duration) -> Result<()> {
        self.ahead += by;
        // Readers open it at every look, so it is never there in part.
        let next = self.file.with_extension("next");
        fs::write(&next, format!("+{}\n", self.ahead.as_secs()))?;
        fs::rename(next, &self.file)?;
        Ok(())
    }

    /// Seconds since the Unix epoch on this clock.
    pub fn unix_seconds(&self) -> u64 {
        world::unix_seconds() + self.ahead.as_secs()
    }

    /// What a process has to have in its environment to see this clock.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_the_clock_move() {
        let directory = tempfile::tempdir().unwrap();
        let Ok(mut clock) = MovableClock::new(directory.path()) else {
            assert!(!world::is_ci(), "libfaketime is needed here");
            println!("SKIPPED: libfaketime is missing");
            return;
        };
        let seen = |clock: &MovableClock| -> u64 {
            let output = std::process::Command::new("date").arg("+%s").envs(clock.environment()).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
        };
        for days in [0, 7] {
            clock.advance(Duration::from_secs(days * 86_400)).unwrap();
            assert!(seen(&clock).abs_diff(clock.unix_seconds()) < 30);
        }
        assert!(clock.unix_seconds() - world::unix_seconds() >= 7 * 86_400);
    }
}
