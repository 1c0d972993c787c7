//! Owns the one notion of time that the library has: a number it is handed. Knows no clock, no calendar and no time zone.

/// A moment in Unix time, to the millisecond. The library never asks what time it is: every operation that needs `now` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(i64);

impl UnixTime {
    /// A moment from whole seconds since 1970-01-01T00:00:00Z. Saturates at the ends of the range.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// A moment from milliseconds since 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}
