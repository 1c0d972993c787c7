//! `connect_timeout` and `first_byte_timeout`: how long the parts of an attempt may take that goes over a connection; and
//! `lease_margin`: how long a node has an attempt to itself beyond that.
//! What is said of an attempt that took longer is the engine's.

use std::time::Duration;

use hookward_engine::model::Limits;
use toml::Spanned;

use super::settings::refuse;
use super::values::Lapse;
use super::{Check, file};

/// The shortest time in which the end of an attempt can be counted on to be written down.
const LEASE_MARGIN_MIN: Duration = Duration::from_secs(1);

pub(super) fn lease_margin(check: &mut Check<'_>, value: &Spanned<Lapse>) -> Duration {
    let margin = value.get_ref().0;
    if margin < LEASE_MARGIN_MIN {
        check.problem(value, "`lease_margin` is at least 1s: the end of an attempt has to be written down in it");
    }
    margin
}

/// The limits on the parts of an attempt that has `timeout` in all.
pub(super) fn limits(check: &mut Check<'_>, file: &file::Destination, timeout: Duration) -> Limits {
    let kind = file.kind.get_ref().as_str();
    if matches!(kind, "command" | "pull") {
        refuse(check, file.connect_timeout.as_ref(), "connect_timeout", kind);
        refuse(check, file.first_byte_timeout.as_ref(), "first_byte_timeout", kind);
        return Limits::default();
    }
    Limits {
        connect: part(check, file.connect_timeout.as_ref(), "connect_timeout", timeout),
        first_byte: part(check, file.first_byte_timeout.as_ref(), "first_byte_timeout", timeout),
        ..Limits::default()
    }
}

fn part(check: &mut Check<'_>, value: Option<&Spanned<Lapse>>, what: &str, whole: Duration) -> Option<Duration> {
    let value = value?;
    let part = check.timeout(value, what);
    if part > whole {
        check.problem(value, format!("`{what}` is at most the `timeout` of the whole attempt, which is {whole:?}"));
    }
    Some(part)
}
