//! Beside the attempts: writes down how destinations fare, disables what is given up, and raises operational events of
//! it. An attempt only leaves a note here, so that none waits for what is written. What follows from an attempt is
//! `pace`'s and `breaker`'s to say.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::breaker::Turn;
use crate::clock::Timestamp;
use crate::engine::{Engine, Inner};
use crate::error::EngineError;
use crate::ids::DestinationId;
use crate::model::{AuditEntry, Destination, DestinationState, Principal};
use crate::pace::{Ending, Exhausted, Work};
use crate::registry::LiveDestination;
use crate::store::Change;

/// The event type of: a destination fails so often that it is left alone for a while.
pub const DESTINATION_FAILING: &str = "hookward.destination.failing";

/// The event type of: a destination was disabled for what its attempts have shown.
pub const DESTINATION_DISABLED: &str = "hookward.destination.disabled";

/// The event type of: a destination that was failing has kept up through its slow start.
pub const DESTINATION_RECOVERED: &str = "hookward.destination.recovered";

/// The event type of: deliveries to a destination used their last attempt.
pub const DELIVERY_EXHAUSTED: &str = "hookward.delivery.exhausted";

/// How long to wait when the store does not take what is to be written down.
const PAUSE: Duration = Duration::from_secs(1);

/// The destinations that there is something to write down or to tell of, and when to look at them.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    due: Mutex<HashMap<DestinationId, Timestamp>>,
    changed: Notify,
}

impl Vitals {
    fn note(&self, destination: DestinationId, at: Timestamp) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = due.entry(destination).or_insert(at);
        *earliest = at.min(*earliest);
    }

    fn take_due(&self, now: Timestamp) -> Vec<DestinationId> {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        due.extract_if(|_, at| *at <= now).map(|(id, _)| id).collect()
    }

    fn next(&self) -> Option<Timestamp> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).values().min().copied()
    }
}

impl Inner {
    /// There is something to write down or to tell of a destination now.
    pub(crate) fn note(&self, destination: DestinationId) {
        self.vitals().note(destination, self.clock().now());
        self.vitals().changed.notify_one();
    }

    /// What is declared has changed: whoever is not simply well is looked at.
    pub(crate) fn note_conditions(&self) {
        for live in self.registry().destinations() {
            let condition = live.pace.condition();
            if condition.open.is_some() || condition.recovering.is_some() {
                self.note(live.destination.id);
            }
        }
    }
}

impl Engine {
    /// Writes down and tells what there is, as it comes, until `stop`.
    pub(crate) async fn watch_destinations(&self, stop: &CancellationToken) {
        self.inner().note_conditions();
        while !stop.is_cancelled() {
            let next = self.tend().await;
            let due = async {
                match next {
                    Some(at) => self.inner().clock().sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.inner().vitals().changed.notified() => {}
                () = due => {}
            }
        }
        self.tend().await;
    }

    /// Writes down and tells what there is now. Returns when there will be more, if nothing else happens.
    pub(crate) async fn tend(&self) -> Option<Timestamp> {
        let now = self.inner().clock().now();
        for id in self.inner().vitals().take_due(now) {
            let registry = self.inner().registry();
            let Some(live) = registry.destination(id) else { continue };
            if let Some(again_at) = self.tend_to(live, now).await {
                self.inner().vitals().note(id, again_at);
            }
        }
        self.inner().vitals().next()
    }

    async fn tend_to(&self, live: &LiveDestination, now: Timestamp) -> Option<Timestamp> {
        let destination = &live.destination;
        let mut work = live.pace.work(&destination.spec, now);
        if let Err(error) = self.write_down(live, &mut work, now).await {
            tracing::error!(destination = destination.name, %error, "a destination's condition cannot be kept yet");
            live.pace.put_back(work);
            return Some(now.plus(PAUSE));
        }
        for (event_type, once, facts) in news(destination, &work) {
            self.tell(destination, event_type, &once, facts).await;
        }
        work.again_at
    }

    /// Brings the store up to date. What is done is taken out of `work`.
    async fn write_down(&self, live: &LiveDestination, work: &mut Work, now: Timestamp) -> Result<(), EngineError> {
        let destination = &live.destination;
        if let Some(condition) = work.keep {
            self.inner().store().keep_condition(destination.id, condition, now).await?;
            if live.pace.kept(condition, now) {
                work.again_at = Some(now);
            }
            self.inner().following().knocks().declared();
            self.inner().nudge();
        }
        if let Ending::Due(reason) = &work.ending {
            let reason = reason.clone();
            let _one_at_a_time = self.inner().administration().await;
            let is_ended = self.inner().anew(|| self.end_destination(destination.id, &reason, now)).await?;
            work.ending = if is_ended { Ending::Done(reason) } else { Ending::Told };
        }
        Ok(())
    }

    /// Disables a destination that failed for too long, unless it was removed in the meantime.
    async fn end_destination(&self, id: DestinationId, reason: &str, now: Timestamp) -> Result<bool, EngineError> {
        let registry = self.inner().registry();
        let live = registry.destination(id).filter(|live| !live.destination.is_retired());
        let Some(destination) = live.map(|live| &live.destination) else { return Ok(false) };
        let by = Principal::system(destination.organization);
        let target = format!("destination:{}", destination.name);
        let audit = AuditEntry::by(&by, "destination.disable", target, now, json!({ "reason": reason }));
        let change = Change::SetDestinationState(id, DestinationState::Disabled { reason: reason.to_owned() });
        self.inner().change(vec![change], vec![audit]).await?;
        self.inner().refresh().await?;
        Ok(true)
    }

    async fn tell(&self, destination: &Destination, event_type: &'static str, once: &str, facts: Value) {
        let (registry, name) = (self.inner().registry(), &destination.name);
        let by = Principal::system(destination.organization);
        tracing::warn!(destination = name, event_type, %facts, "operators are told");
        let target = format!("destination:{name}");
        if let Err(error) = self.inner().raise_alert(&registry, &by, event_type, &target, facts, once).await {
            tracing::error!(destination = name, event_type, %error, "an operational event could not be committed");
        }
    }
}

/// What operators are told: the event's type, what makes it the same as an earlier one, and the facts.
fn news(destination: &Destination, work: &Work) -> Vec<(&'static str, String, Value)> {
    let (id, name) = (destination.id, &destination.name);
    let mut news = Vec::new();
    for &(turn, condition, at) in &work.turns {
        let once = format!("{id} {}", at.as_millis());
        let mut facts = json!({ "destination": name, "destination_id": id.to_string(), "at_ms": at });
        match turn {
            Turn::Opened => {
                // Whoever opens again during the slow start never was well again.
                let Some(open) = condition.open.filter(|open| open.opens == 1) else { continue };
                facts["failing_since_ms"] = json!(condition.failing_since);
                facts["probe_at_ms"] = json!(open.probe_at);
                if let Some((outcome, status)) = work.failed {
                    (facts["outcome"], facts["status"]) = (json!(outcome), json!(status));
                }
                news.push((DESTINATION_FAILING, once, facts));
            }
            Turn::Recovered => news.push((DESTINATION_RECOVERED, once, facts)),
            Turn::StayedOpen | Turn::Closed => {}
        }
    }
    if let Ending::Done(reason) = &work.ending {
        let at = work.looked_at;
        let facts = json!({ "destination": name, "destination_id": id.to_string(), "at_ms": at, "reason": reason });
        news.push((DESTINATION_DISABLED, format!("{id} {}", at.as_millis()), facts));
    }
    if let Some(Exhausted { count, first: Some((since, delivery, event)), .. }) = work.exhausted {
        let facts = json!({
            "destination": name, "destination_id": id.to_string(), "count": count, "since_ms": since,
            "first_delivery_id": delivery.to_string(), "first_event_id": event.to_string(),
        });
        news.push((DELIVERY_EXHAUSTED, format!("{id} {delivery}"), facts));
    }
    news
}
