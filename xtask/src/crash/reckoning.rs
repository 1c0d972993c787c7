//! What must be true after any number of kills, held against the store's own account and the receiver's.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use systems::github::push_body;
use systems::server::API_KEY;
use systems::{Client, Hookward, Received, Request};

use super::load::{Answered, delivery_id};

/// What the receiver was sent.
#[derive(Default)]
pub(crate) struct Deliveries {
    /// How often each delivery id came.
    counts: BTreeMap<String, u32>,
    /// Delivery ids that came with another body than was sent under them.
    altered: BTreeSet<String>,
    /// What came, by the delivery and the attempt that Hookward said it was.
    attempts: BTreeMap<(String, u32), u32>,
}

impl Deliveries {
    /// Notes one request at the receiver.
    pub(crate) fn note(&mut self, received: &Received) {
        let id = received.header("x-github-delivery").unwrap_or("(none)").to_owned();
        let number = id.split('-').next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        if number.map(push_body).as_deref() != Some(received.body()) {
            self.altered.insert(id.clone());
        }
        *self.counts.entry(id).or_default() += 1;
        let delivery = received.header("hookward-delivery-id").unwrap_or("(none)").to_owned();
        let attempt = received.header("hookward-attempt").and_then(|number| number.parse().ok()).unwrap_or(0);
        *self.attempts.entry((delivery, attempt)).or_default() += 1;
    }

    /// Whether this attempt came.
    pub(crate) fn has_attempt(&self, delivery: &str, number: u32) -> bool {
        self.attempts.contains_key(&(delivery.to_owned(), number))
    }

    /// How many different events came.
    pub(crate) fn distinct(&self) -> usize {
        self.counts.len()
    }
}

/// An original event as the API shows it.
struct Original {
    event: String,
    delivery: String,
}

/// Holds every promise against what happened; the error names the first that was broken, and all are printed.
pub(crate) fn reckon(check: &str, server: &Hookward, answered: &Answered, deliveries: &Deliveries) -> Result<()> {
    let events = server.list("/api/v1/events")?;
    let originals = originals(&events)?;
    let mut by_delivery: BTreeMap<&str, u32> = BTreeMap::new();
    for original in &originals {
        *by_delivery.entry(&original.delivery).or_default() += 1;
    }
    let received = &deliveries.counts;
    let missing = answered.keys().filter(|id| !by_delivery.contains_key(id.as_str())).count();
    let doubled = by_delivery.values().filter(|&&count| count > 1).count();
    let undelivered = by_delivery.keys().filter(|id| !received.contains_key(**id)).count();
    let unknown = received.keys().filter(|id| !by_delivery.contains_key(id.as_str())).count();
    let again = received.values().filter(|&&count| count > 1).count();
    let repeated = deliveries.attempts.values().filter(|&&count| count > 1).count();
    let changed = changed_bodies(server, &originals)?;
    println!(
        "{check}: {} events, of them {} originals ({} were committed but their sender never heard)",
        events.len(),
        originals.len(),
        answered.values().filter(|status| **status == 200).count()
    );
    println!("{check}: {} events reached the receiver, {again} of them more than once", received.len());
    println!(
        "{check}: answered and missing {missing}, originals doubled {doubled}, delivered to nobody {undelivered}, \
         delivered but unknown {unknown}, attempts made twice {repeated}, bodies changed in the store {changed}, on the way {}",
        deliveries.altered.len()
    );
    ensure!(missing == 0, "{missing} answered events are missing");
    ensure!(doubled == 0, "{doubled} events exist twice");
    ensure!(undelivered == 0, "{undelivered} events were delivered to nobody");
    ensure!(unknown == 0, "{unknown} deliveries were of no known event");
    ensure!(repeated == 0, "{repeated} attempts were made twice");
    ensure!(changed == 0, "{changed} bodies differ from what was sent");
    ensure!(deliveries.altered.is_empty(), "{} deliveries carried another body", deliveries.altered.len());
    all_delivered(server, originals.len())
}

fn originals(events: &[Value]) -> Result<Vec<Original>> {
    let mut found = Vec::new();
    for event in events.iter().filter(|event| event["duplicate_of"].is_null()) {
        let text =
            |name: &str| event[name].as_str().map(str::to_owned).with_context(|| format!("no {name} in {event}"));
        found.push(Original { event: text("id")?, delivery: text("delivery_id")? });
    }
    Ok(found)
}

/// Reads every body back.
fn changed_bodies(server: &Hookward, originals: &[Original]) -> Result<usize> {
    let mut client = Client::new(server.admin);
    let mut changed = 0;
    for original in originals {
        let request = Request::get(&format!("/api/v1/events/{}/body", original.event))
            .header("Authorization", &format!("Bearer {API_KEY}"));
        let response = client.send(&request)?;
        let number = original.delivery.split('-').next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let number = number.filter(|number| delivery_id(*number) == original.delivery);
        if response.status != 200 || number.map(push_body) != Some(response.message.body) {
            changed += 1;
        }
    }
    Ok(changed)
}

/// The store's own account: one delivery for each original, every one of them delivered.
fn all_delivered(server: &Hookward, originals: usize) -> Result<()> {
    let deliveries = server.list("/api/v1/deliveries")?;
    let mut events = BTreeSet::new();
    for delivery in &deliveries {
        ensure!(delivery["state"] == "delivered", "not delivered: {delivery}");
        events.insert(delivery["event"].as_str().with_context(|| format!("no event in {delivery}"))?);
    }
    ensure!(deliveries.len() == originals, "{} deliveries for {originals} originals", deliveries.len());
    ensure!(events.len() == originals, "deliveries of {} events for {originals} originals", events.len());
    Ok(())
}
