//! What an operator may ask of events and deliveries afterwards: again, not any more, not now.

use std::sync::Arc;

use serde_json::json;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::expression::Subject;
use crate::fanout;
use crate::ids::{DeliveryId, EventId, OrganizationId};
use crate::model::{AuditEntry, DeliveryCause, Destination, DestinationKind, DestinationState, Event, Principal};
use crate::output::Follow;
use crate::registry::LiveDestination;
use crate::routing::{Asks, Decision, LiveRules, Question};
use crate::store::{Cancel, Change, Drain, NewDelivery};

impl Engine {
    /// Owes an old event again: to `destination`, whatever its filter says, or to every destination that hears events
    /// like it today and lets it through.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`] for the event or the destination; [`EngineError::Invalid`] when nobody wants it.
    pub async fn redeliver(
        &self,
        event: EventId,
        destination: Option<&str>,
        by: &Principal,
    ) -> Result<Vec<DeliveryId>, EngineError> {
        let kept = self.store().event(by.organization, event).await?;
        let targets: Vec<Destination> = match destination {
            Some(name) => vec![named(self, by.organization, name)?],
            None => self.wanting(&kept).await?,
        };
        if targets.is_empty() {
            return Err(EngineError::Invalid(format!("no destination wants events like `{event}`; name one")));
        }
        let now = self.inner().clock().now();
        let keys = self.order_keys(&kept, &targets.iter().collect::<Vec<_>>()).await?;
        let owe = |(target, order): (&Destination, Result<Option<[u8; 32]>, String>)| {
            let refuse = |problem| EngineError::Invalid(format!("`{}` cannot be owed it: {problem}", target.name));
            let id = DeliveryId::new(now, self.inner().entropy());
            let owed = fanout::owe(target, id, now, DeliveryCause::Redelivery { of: None });
            Ok(NewDelivery { order: order.map_err(refuse)?, ..owed })
        };
        let deliveries = targets.iter().zip(keys).map(owe).collect::<Result<Vec<_>, EngineError>>()?;
        let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.id).collect();
        let detail = json!({ "deliveries": ids });
        let audit = AuditEntry::by(by, "event.redeliver", format!("event:{event}"), now, detail);
        self.inner().store().redeliver(event, deliveries, audit).await?;
        self.inner().nudge_for(targets.iter().map(|target| target.id).collect());
        Ok(ids)
    }

    /// The destinations that hear events like this one today, and whose filters, and its source's, let it through.
    pub(crate) async fn wanting(&self, event: &Event) -> Result<Vec<Destination>, EngineError> {
        let registry = self.inner().registry();
        let hears =
            |live: &&Arc<LiveDestination>| fanout::hears(&live.destination.spec, &event.source_name, &event.event_type);
        let mut hearing: Vec<_> = registry.destinations_of(event.organization).filter(hears).collect();
        hearing.sort_by(|a, b| a.destination.name.cmp(&b.destination.name));
        let source_rules = registry.source(event.source).map(|live| Arc::clone(&live.rules)).unwrap_or_default();
        let mut wanting: Vec<_> = hearing.iter().map(|live| live.destination.clone()).collect();
        if source_rules.is_empty() && hearing.iter().all(|live| live.rules.is_empty()) {
            return Ok(wanting);
        }
        let question = Question {
            subject: self.subject(event).await?,
            source: event.source,
            asks: Asks::Everything,
            source_rules,
            destinations: hearing.iter().map(|live| Arc::clone(&live.rules)).collect(),
        };
        let mut decisions = self.inner().evaluator().decide(question).await.into_iter();
        wanting.retain(|_| matches!(decisions.next(), Some(Decision::Owed { .. })));
        Ok(wanting)
    }

    /// Whether `rules` let an event through.
    pub(crate) async fn is_let_through(&self, rules: Arc<LiveRules>, event: &Event) -> Result<bool, EngineError> {
        Ok(matches!(self.decide_alone(rules, event).await?, Some(Decision::Owed { .. })))
    }

    /// What `rules` alone say of an event.
    pub(crate) async fn decide_alone(
        &self,
        rules: Arc<LiveRules>,
        event: &Event,
    ) -> Result<Option<Decision>, EngineError> {
        let subject = self.subject(event).await?;
        let (source, destinations) = (event.source, vec![Arc::default()]);
        let question = Question { subject, source, asks: Asks::Everything, source_rules: rules, destinations };
        Ok(self.inner().evaluator().decide(question).await.pop())
    }

    /// The order key of an event at each of `targets`, or why there is none: it joins the end of that key.
    pub(crate) async fn order_keys(
        &self,
        event: &Event,
        targets: &[&Destination],
    ) -> Result<Vec<Result<Option<[u8; 32]>, String>>, EngineError> {
        let registry = self.inner().registry();
        if targets.iter().all(|target| target.spec.order.is_none()) {
            return Ok(vec![Ok(None); targets.len()]);
        }
        let rules = |target: &&Destination| {
            registry.destination(target.id).map(|live| Arc::clone(&live.rules)).unwrap_or_default()
        };
        let question = Question {
            subject: self.subject(event).await?,
            source: event.source,
            asks: Asks::Order,
            source_rules: Arc::default(),
            destinations: targets.iter().map(rules).collect(),
        };
        let key = |decision| match decision {
            Decision::Owed { order, .. } => Ok(order),
            Decision::Failed(detail) => Err(detail),
            Decision::Unwanted => Ok(None),
        };
        Ok(self.inner().evaluator().decide(question).await.into_iter().map(key).collect())
    }

    async fn subject(&self, event: &Event) -> Result<Subject, EngineError> {
        Ok(Subject {
            event: event.event_type.clone(),
            source: event.source_name.clone(),
            headers: event.request.headers.clone(),
            body: self.store().body(event.organization, event.id).await?,
        })
    }

    /// Calls off a delivery. One that is under way is told to end, and is cancelled then unless it succeeded.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Unavailable`].
    pub async fn cancel(&self, delivery: DeliveryId, by: &Principal) -> Result<Cancel, EngineError> {
        let now = self.inner().clock().now();
        let audit = AuditEntry::by(by, "delivery.cancel", format!("delivery:{delivery}"), now, json!({}));
        let cancel = self.inner().store().cancel(delivery, now, audit).await?;
        match cancel {
            Cancel::UnderWay => self.inner().cancel_running(&[delivery]),
            // Another may have waited for it.
            Cancel::Done => self.inner().nudge(),
            Cancel::TooLate => {}
        }
        Ok(cancel)
    }

    /// What the program of a delivery writes, from its beginning and along with it; `None` when no attempt is under way
    /// here, or not the one of this number. What earlier ones wrote is in the store.
    pub fn follow(&self, delivery: DeliveryId, attempt: Option<u32>) -> Option<Follow> {
        self.inner().running().output(delivery, attempt).map(Follow::new)
    }

    /// Pauses, disables or resumes a destination. What it is owed is held meanwhile, and due at once on resume.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Unavailable`].
    pub async fn set_destination_state(
        &self,
        name: &str,
        state: DestinationState,
        by: &Principal,
    ) -> Result<(), EngineError> {
        if state == DestinationState::Active {
            return self.resume_destination(name, Drain::AtOnce, by).await.map(drop);
        }
        let _one_at_a_time = self.inner().administration().await;
        self.inner().anew(|| self.set_destination_state_once(name, &state, by)).await
    }

    async fn set_destination_state_once(
        &self,
        name: &str,
        state: &DestinationState,
        by: &Principal,
    ) -> Result<(), EngineError> {
        let destination = self
            .destination(by.organization, name)
            .filter(|destination| !destination.is_retired())
            .ok_or_else(|| EngineError::NotFound(format!("destination `{name}`")))?;
        let action = match state {
            DestinationState::Disabled { .. } => "destination.disable",
            DestinationState::Active | DestinationState::Paused => "destination.pause",
        };
        let now = self.inner().clock().now();
        let detail = json!({ "before": destination.state.name(), "after": state.name() });
        let audit = AuditEntry::by(by, action, format!("destination:{name}"), now, detail);
        let change = Change::SetDestinationState(destination.id, state.clone());
        self.inner().change(vec![change], vec![audit]).await?;
        self.inner().refresh().await
    }
}

/// The destination of this name, if events can be redelivered to it.
pub(crate) fn named(engine: &Engine, organization: OrganizationId, name: &str) -> Result<Destination, EngineError> {
    let named = engine.destination(organization, name);
    let named = named.ok_or_else(|| EngineError::NotFound(format!("destination `{name}`")))?;
    match &named.spec.kind {
        DestinationKind::Report(report) => {
            let of = &report.of;
            Err(EngineError::Invalid(format!("`{name}` tells how `{of}` ends: redeliver to `{of}`")))
        }
        _ => Ok(named),
    }
}
