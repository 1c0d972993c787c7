//! A gateway before a receiver, on one clock: publish, look at what arrives, rotate, move time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use systems::{Hookward, MovableClock, Request, Setup, world};

use super::party::{Arrival, Party};

const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const MINUTE: Duration = Duration::from_secs(60);

/// A destination of a running gateway, and who receives from it.
pub(super) struct Course<'a> {
    pub(super) server: Hookward,
    pub(super) clock: &'a mut MovableClock,
    pub(super) party: &'a mut Party,
    /// The receiver's path, which is the name of a scheme.
    pub(super) path: &'static str,
    pub(super) destination: String,
    published: u32,
}

impl<'a> Course<'a> {
    /// Starts the gateway on the clock that the receiver has.
    pub(super) fn start(
        setup: &Setup,
        clock: &'a mut MovableClock,
        party: &'a mut Party,
        (destination, path): (&str, &'static str),
    ) -> Result<Self> {
        let setup = on(clock, setup.clone());
        let server = setup.start()?;
        Ok(Self { server, clock, party, path, destination: destination.to_owned(), published: 0 })
    }

    /// What the receiver believes from now on.
    pub(super) fn believe(&mut self, secret: &str) -> Result<()> {
        self.party.behave(self.path, json!({ "secret": secret }))
    }

    /// Publishes an event, which has to be answered in this way and no other, and gives what arrived.
    pub(super) fn deliver(&mut self, answers: &[u16]) -> Result<Vec<Arrival>> {
        let delivery = self.publish()?;
        let arrivals = self.party.take(self.path, answers.len())?;
        self.settled(&delivery, answers.last() == Some(&204))?;
        self.check(&arrivals, answers)?;
        Ok(arrivals)
    }

    /// The same for what is answered once: the one arrival.
    pub(super) fn deliver_one(&mut self, answer: u16) -> Result<Arrival> {
        let mut arrivals = self.deliver(&[answer])?;
        Ok(arrivals.remove(0))
    }

    /// What arrives of an earlier delivery once it is due again.
    pub(super) fn retried(&mut self, answers: &[u16]) -> Result<Vec<Arrival>> {
        self.clock.advance(10 * MINUTE)?;
        let arrivals = self.party.take(self.path, answers.len())?;
        self.check(&arrivals, answers)?;
        Ok(arrivals)
    }

    /// Publishes an event and gives its delivery's id.
    pub(super) fn publish(&mut self) -> Result<String> {
        self.published += 1;
        let event = publish(&self.server, self.published)?;
        let path = format!("/api/v1/deliveries?event={event}&destination={}", self.destination);
        let deliveries = self.server.list(&path)?;
        let [delivery] = deliveries.as_slice() else { anyhow::bail!("{} deliveries of {event}", deliveries.len()) };
        Ok(delivery["id"].as_str().context("a delivery has an id")?.to_owned())
    }

    /// Waits until the attempt is over whose requests have arrived.
    pub(super) fn settled(&self, delivery: &str, delivered: bool) -> Result<()> {
        let wanted = if delivered { "delivered" } else { "pending" };
        let mut shown = Value::Null;
        let settled = world::until(PATIENCE, || {
            shown = self.server.get(&format!("/api/v1/deliveries/{delivery}")).unwrap_or_default();
            shown["state"] == wanted && shown["attempts"].as_array().is_some_and(|tried| !tried.is_empty())
        });
        ensure!(settled, "the delivery never was {wanted}: {shown:#}");
        Ok(())
    }

    /// Gives the destination this secret, with its own grace for those before it.
    pub(super) fn rotate(&self, secret: &str) -> Result<()> {
        rotate(&self.server, &self.destination, &json!({ "secret": secret }))
    }

    fn check(&self, arrivals: &[Arrival], answers: &[u16]) -> Result<()> {
        let came: Vec<u16> = arrivals.iter().map(|arrival| arrival.status).collect();
        ensure!(came == answers, "{} answered {came:?} and not {answers:?}", self.party.name);
        for pair in arrivals.windows(2) {
            ensure!(pair[0].body == pair[1].body, "a retry has another body");
        }
        Ok(())
    }
}

/// A setup whose processes see the clock.
pub(super) fn on(clock: &MovableClock, setup: Setup) -> Setup {
    clock.environment().into_iter().fold(setup, |setup, (name, value)| setup.env(name, &value))
}

/// An example's gateway with its data in a directory of its own.
pub(super) fn example(directory: &Path, name: &str) -> Result<Setup> {
    let place = directory.join(name);
    std::fs::create_dir_all(&place)?;
    Setup::with_config_file(&place, &crate::run::root().join("examples").join(name).join("hookward.toml"))
}

/// Publishes an event with characters that a careless receiver would change, and gives its id.
pub(super) fn publish(server: &Hookward, number: u32) -> Result<String> {
    let body = format!(
        r#"{{"type":"invoice.paid","payload":{{ "object":"event","id":"evt_{number}", "type": "invoice.paid","price":1.50,"by":"Zoë \u00e9 <b>"}}}}"#
    );
    let request = Request::post("/api/v1/events").header("Content-Type", "application/json").body(body.as_bytes());
    let answer = server.admin(request)?;
    ensure!(answer.status == 202, "publishing was answered {} {}", answer.status, answer.text());
    Ok(answer.json()["eventId"].as_str().context("an event has an id")?.to_owned())
}

/// Gives a destination a new secret.
pub(super) fn rotate(server: &Hookward, destination: &str, new: &Value) -> Result<()> {
    let path = format!("/api/v1/destinations/{destination}/secrets");
    let request = Request::post(&path).header("Content-Type", "application/json");
    let answer = server.admin(request.body(new.to_string().as_bytes()))?;
    ensure!(answer.status == 201, "the rotation was answered {} {}", answer.status, answer.text());
    Ok(())
}
