//! The three outbound examples, each from its own configuration, with a receiver that knows them by their documents alone.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use systems::MovableClock;
use systems::github::{hmac_sha256, signature};

use super::course::{Course, HOUR, example};
use super::party::{Arrival, Party};
use super::tampering;

const OLD: &str = "the-first-secret-of-the-receiver";
const NEW: &str = "the-second-secret-of-the-receiver";
const NEWER: &str = "the-third-secret-of-the-receiver";

/// Section by section: before a rotation, within its 24 hours with a receiver that switches when it likes, and after them.
pub(super) fn qualitypilot(party: &mut Party, clock: &mut MovableClock, directory: &Path) -> Result<()> {
    let setup = example(directory, "qualitypilot")?
        .env("QLENS_WEBHOOK_SECRET", OLD)
        .env("QLENS_RECEIVER_URL", &party.url("qlens"));
    let mut course = Course::start(&setup, clock, party, ("receiver", "qlens"))?;
    let signed = |arrival: &Arrival, secret: &str| body_is_signed(arrival, "X-QLens-Signature", secret);
    course.believe(OLD)?;
    let first = course.deliver_one(204)?;
    signed(&first, OLD)?;
    ensure!(first.header("content-type")? == "application/json", "{first:?}");
    tampering::alter(course.party, "qlens", &first)?;
    tampering::disfigure(course.party, "qlens", &first, "X-QLens-Signature")?;

    course.rotate(NEW)?;
    // Who has not switched gets what it takes at once, for as long as that is valid.
    for _ in 0..2 {
        signed(&course.deliver_one(204)?, OLD)?;
        course.clock.advance(23 * HOUR / 2)?;
    }
    // Who switches loses nothing, in either direction.
    for (now, before) in [(NEW, OLD), (OLD, NEW), (NEW, OLD)] {
        course.believe(now)?;
        let arrivals = course.deliver(&[401, 204])?;
        signed(&arrivals[0], before)?;
        signed(&arrivals[1], now)?;
        signed(&course.deliver_one(204)?, now)?;
    }
    course.clock.advance(2 * HOUR)?;
    course.believe(OLD)?;
    signed(&course.deliver_one(401)?, NEW)?;
    course.believe(NEW)?;
    signed(&course.retried(&[204])?[0], NEW)?;

    old_events_are_signed_anew(&mut course, 25 * HOUR, signed)
}

/// The very next attempt is signed with a new secret, beside HTTP Basic; and nothing is signed when nobody asks for it.
pub(super) fn qualifio(party: &mut Party, clock: &mut MovableClock, directory: &Path) -> Result<()> {
    const BASIC: &str = "hookward:p\u{e4}ss:word";
    let header = format!("Basic {}", STANDARD.encode(BASIC));
    let signed = |arrival: &Arrival, secret: &str| {
        ensure!(arrival.header("Authorization")? == header, "another Authorization header");
        body_is_signed(arrival, "X-Qualifio-Signature", secret)
    };
    let setup = example(directory, "qualifio")?
        .env("QUALIFIO_SECRET", OLD)
        .env("QUALIFIO_BASIC", BASIC)
        .env("QUALIFIO_RECEIVER_URL", &party.url("qualifio"));
    let mut course = Course::start(&setup, clock, party, ("receiver", "qualifio"))?;
    course.believe(OLD)?;
    let first = course.deliver_one(204)?;
    signed(&first, OLD)?;
    tampering::alter(course.party, "qualifio", &first)?;
    tampering::disfigure(course.party, "qualifio", &first, "X-Qualifio-Signature")?;

    course.rotate(NEW)?;
    course.believe(NEW)?;
    signed(&course.deliver_one(204)?, NEW)?;
    course.believe(OLD)?;
    signed(&course.deliver_one(401)?, NEW)?;
    course.believe(NEW)?;
    signed(&course.retried(&[204])?[0], NEW)?;
    course.party.behave("qualifio", json!({ "secret": NEW, "basic": BASIC }))?;
    course.deliver_one(204)?;
    course.party.behave("qualifio", json!({ "secret": NEW, "basic": "hookward:another" }))?;
    course.deliver_one(401)?;
    course.believe(NEW)?;
    course.retried(&[204])?;
    old_events_are_signed_anew(&mut course, Duration::ZERO, signed)?;
    drop(course);
    unsigned_qualifio(party, clock, directory, (BASIC, &header))
}

/// The example without the line that signs: Basic alone.
fn unsigned_qualifio(
    party: &mut Party,
    clock: &mut MovableClock,
    directory: &Path,
    (basic, header): (&str, &str),
) -> Result<()> {
    let config = std::fs::read_to_string(crate::run::root().join("examples/qualifio/hookward.toml"))?;
    let (signing, rest): (Vec<&str>, Vec<&str>) = config.lines().partition(|line| line.starts_with("sign = "));
    ensure!(signing.len() == 1, "{} lines of the example say how it signs", signing.len());
    let place = directory.join("unsigned");
    std::fs::create_dir_all(&place)?;
    let setup = systems::Setup::new(&place, &rest.join("\n"))?
        .env("QUALIFIO_BASIC", basic)
        .env("QUALIFIO_RECEIVER_URL", &party.url("qualifio"));
    let mut course = Course::start(&setup, clock, party, ("receiver", "qualifio"))?;
    course.party.behave("qualifio", json!({ "basic": basic }))?;
    let arrival = course.deliver_one(204)?;
    ensure!(arrival.header("Authorization")? == header, "another Authorization header");
    ensure!(arrival.optional("X-Qualifio-Signature").is_none(), "it is signed");
    Ok(())
}

/// Both secrets sign for seven days, newest first; then the newest alone. Times are fresh and ids stay.
pub(super) fn qflow(party: &mut Party, clock: &mut MovableClock, directory: &Path) -> Result<()> {
    let [old, new, newer] = [OLD, NEW, NEWER].map(|secret| STANDARD.encode(secret));
    let setup = example(directory, "qflow")?.env("QFLOW_SECRET", &old).env("QFLOW_RECEIVER_URL", &party.url("qflow"));
    let mut course = Course::start(&setup, clock, party, ("receiver", "qflow"))?;
    course.believe(&old)?;
    let first = course.deliver_one(204)?;
    signed_by(&first, &[OLD])?;
    is_fresh(&course, &first)?;
    tampering::alter(course.party, "qflow", &first)?;
    tampering::disfigure(course.party, "qflow", &first, "Qflow-Signature")?;

    course.rotate(&new)?;
    for ahead in [0, 7 * 24 - 1] {
        course.clock.advance(ahead * HOUR)?;
        for believed in [&old, &new] {
            course.believe(believed)?;
            let arrival = course.deliver_one(204)?;
            signed_by(&arrival, &[NEW, OLD])?;
            is_fresh(&course, &arrival)?;
        }
    }
    tampering::too_late(course.party, "qflow", &first)?;
    course.clock.advance(2 * HOUR)?;
    course.believe(&old)?;
    let refused = course.deliver_one(401)?;
    signed_by(&refused, &[NEW])?;
    course.believe(&new)?;
    let retry = course.retried(&[204])?.remove(0);
    signed_by(&retry, &[NEW])?;
    ensure!(retry.header("Qflow-Request-Id")? == refused.header("Qflow-Request-Id")?, "a retry has another id");
    is_fresh(&course, &retry)?;

    // An old event whose secret has ended since: signed with today's.
    course.party.behave("qflow", json!({ "answer": 503 }))?;
    let failed = course.deliver_one(503)?;
    course.rotate(&newer)?;
    course.clock.advance(7 * 24 * HOUR)?;
    course.party.take("qflow", 1)?;
    course.believe(&newer)?;
    let retry = course.retried(&[204])?.remove(0);
    signed_by(&retry, &[NEWER])?;
    ensure!(retry.header("Qflow-Request-Id")? == failed.header("Qflow-Request-Id")?, "a retry has another id");
    ensure!(retry.body == failed.body, "a retry has another body");
    is_fresh(&course, &retry)
}

/// An event that failed before a rotation is signed with the secret of the time at which it is tried again.
fn old_events_are_signed_anew(
    course: &mut Course<'_>,
    grace: Duration,
    signed: impl Fn(&Arrival, &str) -> Result<()>,
) -> Result<()> {
    let path = course.path;
    course.party.behave(path, json!({ "answer": 503 }))?;
    let failed = course.deliver_one(503)?;
    signed(&failed, NEW)?;
    course.rotate(NEWER)?;
    if !grace.is_zero() {
        course.clock.advance(grace)?;
        course.party.take(path, 1)?;
    }
    course.believe(NEWER)?;
    let retry = course.retried(&[204])?.remove(0);
    ensure!(retry.body == failed.body, "a retry has another body");
    signed(&retry, NEWER)
}

/// The header is the signature of the body under this secret, reckoned without the product's code.
fn body_is_signed(arrival: &Arrival, header: &str, secret: &str) -> Result<()> {
    let expected = signature(secret.as_bytes(), &arrival.body);
    ensure!(arrival.header(header)? == expected, "not signed with `{secret}`");
    Ok(())
}

/// One entry for each of these secrets, in this order.
fn signed_by(arrival: &Arrival, secrets: &[&str]) -> Result<()> {
    let (id, timestamp) = (arrival.header("Qflow-Request-Id")?, arrival.header("Qflow-TimeStamp")?);
    let content = [format!("{id}.{timestamp}.").as_bytes(), &arrival.body].concat();
    let entry = |secret: &&str| format!("sha256={}", STANDARD.encode(hmac_sha256(secret.as_bytes(), &content)));
    let expected: Vec<String> = secrets.iter().map(entry).collect();
    let header = arrival.header("Qflow-Signature")?;
    ensure!(header == expected.join(","), "`{header}` is not by {secrets:?}");
    Ok(())
}

/// The timestamp is that of the attempt, in milliseconds.
fn is_fresh(course: &Course<'_>, arrival: &Arrival) -> Result<()> {
    let timestamp: u64 = arrival.header("Qflow-TimeStamp")?.parse().context("the timestamp is not a number")?;
    let age = course.clock.unix_seconds().abs_diff(timestamp / 1000);
    ensure!(age < 60, "the timestamp is {age} s off");
    Ok(())
}
