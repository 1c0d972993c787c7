//! Values as they are written in the file: lapses of time, sizes, addresses.
//! Parses one value at a time; what a value is for is not known here.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// A lapse of time, written `250ms`, `5s`, `30m`, `24h` or `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lapse(pub(super) Duration);

impl<'de> Deserialize<'de> for Lapse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_lapse(&text).map(Self).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is not a lapse of time: write a whole number and `ms`, `s`, `m`, `h` or `d`, like \"30m\""
            ))
        })
    }
}

/// Reads `250ms`, `5s`, `30m`, `24h`, `7d`; whole numbers only.
pub(crate) fn parse_lapse(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // A century is longer than anything here needs, and keeps sums far from overflow.
    number.checked_mul(millis).map(Duration::from_millis).filter(|lapse| lapse.as_secs() <= 100 * 366 * 86_400)
}

/// A number of bytes or things: an integer, or text like `25MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, or a size like \"25MiB\"")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Size, E> {
        usize::try_from(value).map(Size).map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        parse_size(text).map(Size).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

fn parse_size(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: usize = text[..digits].parse().ok()?;
    let unit = match &text[digits..] {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// What is said of a value that some other program would have replaced.
pub(super) const NOT_INTERPOLATED: &str =
    "`${…}` is not replaced in this file; a whole value can be \"env:NAME\", where it says so";

/// Whether a shell, or a program that acts like one, would have replaced something in this text.
pub(super) fn is_interpolated(text: &str) -> bool {
    text.contains("${")
}

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Address(pub(super) SocketAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| {
            D::Error::custom(format!("`{text}` is not an address and port: write them like \"127.0.0.1:8080\""))
        })
    }
}

/// A range of addresses, `10.0.0.0/8`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range(pub(super) IpNet);

impl Range {
    /// Whether it is wider than any private range (10.0.0.0/8, fc00::/7): it can only be meant for the internet.
    pub(super) fn is_everything(self) -> bool {
        let least = if self.0.addr().is_ipv4() { 8 } else { 7 };
        self.0.prefix_len() < least
    }
}

impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.parse().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
        parsed.map(Self).map_err(|_| {
            D::Error::custom(format!(
                "`{text}` is not a range of addresses: write one like \"10.0.0.0/8\" or \"fd00::/8\""
            ))
        })
    }
}

/// `true`, `false`, or a table, which is `true` with settings.
#[derive(Debug)]
pub(super) enum Switch<T> {
    Off,
    On(Box<T>),
}

/// The settings of a [`Switch`].
pub(super) trait Settings: Default {
    /// What whoever wrote something else is told to write.
    const EXPECTED: &str;
}

impl<'de, T: Settings + Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor(PhantomData))
    }
}

struct SwitchVisitor<T>(PhantomData<T>);

impl<'de, T: Settings + Deserialize<'de>> Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_bool<E: Error>(self, wanted: bool) -> Result<Switch<T>, E> {
        Ok(if wanted { Switch::On(Box::default()) } else { Switch::Off })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(map)).map(Box::new).map(Switch::On)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lapse_is_a_whole_number_and_a_unit() {
        assert_eq!(parse_lapse("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_lapse("0s"), Some(Duration::ZERO));
        assert_eq!(parse_lapse("30m"), Some(Duration::from_secs(1800)));
        assert_eq!(parse_lapse("24h"), Some(Duration::from_secs(86_400)));
        assert_eq!(parse_lapse("7d"), Some(Duration::from_secs(604_800)));
        for bad in ["", "5", "s", "1.5h", "-1s", "5 s", "5S", "99999999999999999999d", "36601d", "٣s"] {
            assert_eq!(parse_lapse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        assert_eq!(parse_size("25MiB"), Some(26_214_400));
        assert_eq!(parse_size("8KiB"), Some(8192));
        for bad in ["", "MiB", "25MB", "25 MiB", "99999999999999999999B", "-1B"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
