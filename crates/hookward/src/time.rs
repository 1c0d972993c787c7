//! Owns the one notion of time that the library has: a number it is handed, and the spellings in which requests write one. Knows no
//! clock.

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

const DAY_S: i64 = 86_400;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Whether a date may be without a zone, and then is meant in UTC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Written,
    MayLack,
}

/// A date as RFC 3339 has it, with `T` and `Z` in upper case.
pub(crate) fn parse_rfc3339(text: &str, zone: Zone) -> Option<UnixTime> {
    let (day, rest) = text.split_at_checked(10)?;
    let (year, month, of_month) = (day.get(..4)?, day.get(5..7)?, day.get(8..)?);
    if day.as_bytes()[4] != b'-' || day.as_bytes()[7] != b'-' {
        return None;
    }
    let (clock, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => after.split_at(after.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(after.len())),
        None => ("0", rest),
    };
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let millis = format!("{fraction:0<3}").get(..3)?.parse::<i64>().ok()?;
    let offset_s = match rest {
        "Z" => 0,
        "" if zone == Zone::MayLack => 0,
        offset => parse_offset(offset, true)?,
    };
    let days = days(digits(year, 4)?, digits(month, 2)?, digits(of_month, 2)?)?;
    let seconds = days * DAY_S + parse_clock(clock)? - offset_s;
    Some(UnixTime(seconds * 1000 + millis))
}

/// A date as HTTP and mail have it: `Tue, 15 Nov 1994 08:12:31 GMT`, or with an offset as `+0100`.
pub(crate) fn parse_http_date(text: &str) -> Option<UnixTime> {
    let mut words = text.split(' ');
    let weekday = words.next()?.strip_suffix(',')?;
    let of_month = words.next().filter(|day| matches!(day.len(), 1 | 2))?;
    let month = words.next()?;
    let month = MONTHS.iter().position(|known| *known == month)?;
    let year = words.next()?;
    let clock = words.next()?;
    let offset_s = match words.next()? {
        "GMT" => 0,
        offset => parse_offset(offset, false)?,
    };
    let days = days(digits(year, 4)?, i64::try_from(month).ok()? + 1, digits(of_month, of_month.len())?)?;
    (WEEKDAYS.contains(&weekday) && words.next().is_none())
        .then_some(UnixTime((days * DAY_S + parse_clock(clock)? - offset_s) * 1000))
}

/// Seconds of the day, from `hh:mm:ss`. A leap second counts as the one before it.
fn parse_clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(|part| digits(part, 2));
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let fits = hours < 24 && minutes < 60 && seconds <= 60 && parts.next().is_none();
    fits.then_some(hours * 3600 + minutes * 60 + seconds.min(59))
}

/// Seconds east of Greenwich, from `+hh:mm` or `+hhmm`.
fn parse_offset(text: &str, colon: bool) -> Option<i64> {
    let (sign, rest) = text.split_at_checked(1)?;
    let sign = match sign {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, rest) = rest.split_at_checked(2)?;
    let minutes = if colon { rest.strip_prefix(':')? } else { rest };
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &str, len: usize) -> Option<i64> {
    (text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Days since 1970-01-01 of a date that is in the calendar. After <https://howardhinnant.github.io/date_algorithms.html>.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if day < 1 || day > longest {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Year, month and day of the month of a number of days since 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

fn clock(time: UnixTime) -> (i64, String) {
    let (days, second) = (time.as_secs().div_euclid(DAY_S), time.as_secs().rem_euclid(DAY_S));
    (days, format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60))
}

/// The moment to the second as RFC 3339 has it, in UTC.
pub(crate) fn to_rfc3339(time: UnixTime) -> String {
    let (days, clock) = clock(time);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{clock}Z")
}

/// The moment to the second as HTTP has it.
pub(crate) fn to_http_date(time: UnixTime) -> String {
    let (days, clock) = clock(time);
    let (year, month, day) = date(days);
    let weekday = usize::try_from(days.rem_euclid(7)).map_or("", |at| WEEKDAYS[at]);
    let month = usize::try_from(month - 1).map_or("", |at| MONTHS[at]);
    format!("{weekday}, {day:02} {month} {year:04} {clock} GMT")
}
