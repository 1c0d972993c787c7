//! What must be true of attempts when several nodes made them: each was made once, under a lease, and every further one of a
//! delivery is accounted for by the end of the one before.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use systems::{Hookward, world};

use crate::crash::reckoning::Deliveries;

/// How long the feed may take to tell of the last attempt.
const FEED_MAX: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Account {
    pub(super) deliveries: usize,
    pub(super) attempts: usize,
    /// Attempts whose lease ran out.
    pub(super) expired: usize,
    /// Attempts that failed, and were written down so.
    pub(super) failed: usize,
    /// Attempts that came to the receiver beyond the first of each delivery.
    pub(super) duplicates: usize,
}

impl Account {
    pub(super) fn add(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.attempts += other.attempts;
        self.expired += other.expired;
        self.failed += other.failed;
        self.duplicates += other.duplicates;
    }
}

/// Where the feed of attempts stands.
pub(super) fn position(server: &Hookward) -> Result<String> {
    next(&server.get("/api/v1/feeds/attempts?limit=1")?)
}

/// How each attempt of each delivery ended.
type Outcomes = BTreeMap<String, BTreeMap<u32, String>>;

/// Holds the store's account, from `position` on, against the receiver's.
pub(super) fn settle(server: &Hookward, position: &str, received: &Deliveries) -> Result<Account> {
    let mut begun = BTreeMap::new();
    for delivery in server.list("/api/v1/deliveries")? {
        begun.insert(text(&delivery, "id")?, number(&delivery, "attempts_begun")?);
    }
    let wanted: u32 = begun.values().sum();
    let outcomes = follow(server, position, wanted as usize)?;
    let mut account = Account { deliveries: begun.len(), ..Account::default() };
    for (delivery, &count) in &begun {
        let outcomes = outcomes.get(delivery).with_context(|| format!("the feed has no attempt of {delivery}"))?;
        let numbers: Vec<u32> = outcomes.keys().copied().collect();
        let all: Vec<u32> = (1..=count).collect();
        ensure!(numbers == all, "delivery {delivery} began {count} attempts, and these ended: {numbers:?}");
        let of = |wanted: &str| outcomes.values().filter(|outcome| *outcome == wanted).count();
        let (delivered, expired) = (of("success"), of("interrupted"));
        let last = outcomes.get(&count).map(String::as_str);
        ensure!(
            delivered == 1 && last == Some("success"),
            "delivery {delivery} is to end with its one success: {outcomes:?}"
        );
        ensure!(
            received.has_attempt(delivery, count),
            "delivery {delivery} ended with an attempt that nobody received"
        );
        let came = numbers.iter().filter(|number| received.has_attempt(delivery, **number)).count();
        account.attempts += numbers.len();
        account.expired += expired;
        account.failed += numbers.len() - delivered - expired;
        account.duplicates += came - 1;
    }
    ensure!(
        account.duplicates <= account.expired + account.failed,
        "{} duplicates, but only {} leases ran out and {} attempts failed",
        account.duplicates,
        account.expired,
        account.failed
    );
    Ok(account)
}

fn follow(server: &Hookward, position: &str, wanted: usize) -> Result<Outcomes> {
    let mut outcomes = Outcomes::new();
    let (mut after, mut count) = (position.to_owned(), 0);
    let started = world::instant();
    while count < wanted && started.elapsed() < FEED_MAX {
        let page = server.get(&format!("/api/v1/feeds/attempts?after={after}&wait_s=1"))?;
        for attempt in page["items"].as_array().context("no items")? {
            let of = outcomes.entry(text(attempt, "delivery")?).or_default();
            let told = of.insert(number(attempt, "number")?, text(attempt, "outcome")?);
            ensure!(told.is_none(), "an attempt ended twice: {attempt}");
            count += 1;
        }
        after = next(&page)?;
    }
    Ok(outcomes)
}

fn next(page: &Value) -> Result<String> {
    text(page, "next")
}

fn text(value: &Value, name: &str) -> Result<String> {
    value[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {value}"))
}

fn number(value: &Value, name: &str) -> Result<u32> {
    let number = value[name].as_u64().and_then(|number| u32::try_from(number).ok());
    number.with_context(|| format!("no {name} in {value}"))
}
