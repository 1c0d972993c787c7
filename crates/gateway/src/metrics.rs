//! Counters and gauges in the Prometheus text format.
//! Owns their names and labels, which come from small fixed sets; the engine's own counts are read when asked.

use std::collections::HashMap;
use std::sync::Arc;

use hookward_engine::Engine;
use hookward_engine::clock::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use crate::config::Settings;

/// What a request at a source was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Answered {
    Accepted,
    Duplicate,
    Refused,
    Limited,
    Handshake,
    WrongMethod,
    TooLarge,
    TooSlow,
    Malformed,
    Unavailable,
}

impl Answered {
    /// All of them, in their order.
    const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Duplicate,
        Self::Refused,
        Self::Limited,
        Self::Handshake,
        Self::WrongMethod,
        Self::TooLarge,
        Self::TooSlow,
        Self::Malformed,
        Self::Unavailable,
    ];

    /// Its label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Refused => "refused",
            Self::Limited => "limited",
            Self::Handshake => "handshake",
            Self::WrongMethod => "wrong_method",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Malformed => "malformed",
            Self::Unavailable => "unavailable",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Received {
    source: String,
    answer: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Refused {
    source: String,
    refusal: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OwnerOf {
    owner: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSource {
    source: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDestination {
    destination: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Attempted {
    outcome: String,
}

/// The labels of fetched keys.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KeyFetched {
    source: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PassedOver {
    destination: String,
}

/// What this process has counted. Cheap to clone. Sources are declared, so their number is bounded.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    started: Timestamp,
    registry: Arc<Registry>,
    received: Family<Received, Counter>,
    refused: Family<Refused, Counter>,
    unmatched: Counter,
}

/// How often one source answered what.
#[derive(Debug)]
pub(crate) struct SourceCounters([Counter; 10]);

impl SourceCounters {
    /// Counts an answer.
    pub(crate) fn answered(&self, answered: Answered) {
        self.0[answered as usize].inc();
    }
}

impl Metrics {
    /// Nothing counted yet, in a process that began at `started` with these settings.
    pub(crate) fn new(started: Timestamp, settings: &Settings) -> Self {
        let mut registry = Registry::default();
        let received = Family::<Received, Counter>::default();
        registry.register("hookward_received", "Requests at a source, by what they were answered", received.clone());
        let refused = Family::<Refused, Counter>::default();
        registry.register("hookward_refused", "Requests not believed, by the reason", refused.clone());
        let unmatched = Counter::default();
        registry.register("hookward_unmatched", "Requests to paths that no source has", unmatched.clone());
        let help = "Whether destinations may reach every address, private ones included";
        let everything = ConstGauge::new(i64::from(settings.egress_allow_everything));
        registry.register("hookward_egress_allow_everything", help, everything);
        Self { started, registry: Arc::new(registry), received, refused, unmatched }
    }

    /// The counters of a source, found once. All begin at zero, so that a first increase is seen as one.
    pub(crate) fn of_source(&self, source: &str) -> SourceCounters {
        let counter = |answered: Answered| {
            let labels = Received { source: source.to_owned(), answer: answered.name() };
            self.received.get_or_create(&labels).clone()
        };
        SourceCounters(Answered::ALL.map(counter))
    }

    pub(crate) fn refused(&self, source: &str, refusal: &'static str) {
        self.refused.get_or_create(&Refused { source: source.to_owned(), refusal }).inc();
    }

    pub(crate) fn unmatched(&self) {
        self.unmatched.inc();
    }

    /// Everything as text, with the engine's counts and `now`'s backlog.
    pub(crate) async fn render(&self, engine: &Engine, now: Timestamp) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        let mut own = Registry::default();
        self.process(&mut own);
        attempts(&mut own, engine);
        exposed(&mut own, engine);
        failed_filters(&mut own, engine);
        key_fetches(&mut own, engine);
        clock(&mut own, engine);
        backlog(&mut own, engine, now).await;
        destinations(&mut own, engine, now).await;
        kept(&mut own, engine).await;
        let text = text.strip_suffix("# EOF\n").unwrap_or(&text).to_owned();
        let mut rest = String::new();
        encode(&mut rest, &own).expect("writing to a string does not fail");
        text + &rest
    }

    fn process(&self, registry: &mut Registry) {
        let started = ConstGauge::new(self.started.as_secs());
        registry.register_with_unit(
            "process_start_time",
            "When this process began, in Unix time",
            Unit::Seconds,
            started,
        );
    }
}

fn attempts(registry: &mut Registry, engine: &Engine) {
    let family = Family::<Attempted, Counter>::default();
    for (outcome, count) in engine.attempts() {
        let label = serde_json::to_value(outcome).ok().and_then(|value| value.as_str().map(str::to_owned));
        family.get_or_create(&Attempted { outcome: label.unwrap_or_default() }).inc_by(count);
    }
    registry.register("hookward_attempts", "Attempts of deliveries, by how they ended", family);
}

fn exposed(registry: &mut Registry, engine: &Engine) {
    let family = Family::<OwnerOf, Counter>::default();
    for (owner, count) in engine.secrets_exposed() {
        family.get_or_create(&OwnerOf { owner }).inc_by(count);
    }
    let help = "Secrets that stood in a request where none belongs, by whose they are";
    registry.register("hookward_secrets_exposed", help, family);
}

fn failed_filters(registry: &mut Registry, engine: &Engine) {
    let family = Family::<PassedOver, Counter>::default();
    for (destination, count) in engine.failed_filters() {
        family.get_or_create(&PassedOver { destination }).inc_by(count);
    }
    let help = "Events not owed to a destination because an expression of its, or of their source, failed";
    registry.register("hookward_filter_failed", help, family);
}

fn key_fetches(registry: &mut Registry, engine: &Engine) {
    let family = Family::<KeyFetched, Counter>::default();
    for (source, count) in engine.key_fetches() {
        for (outcome, count) in [("found", count.found), ("failed", count.failed), ("held_back", count.held_back)] {
            family.get_or_create(&KeyFetched { source: source.clone(), outcome }).inc_by(count);
        }
    }
    let help = "Fetches of keys that a source's provider publishes, by what came of them";
    registry.register("hookward_key_fetches", help, family);
}

async fn kept(registry: &mut Registry, engine: &Engine) {
    let (events, bytes) = (Family::<OfSource, Gauge>::default(), Family::<OfSource, Gauge>::default());
    for kept in engine.store().kept().await.unwrap_or_default() {
        let source = OfSource { source: kept.name };
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        events.get_or_create(&source).set(gauge(kept.events));
        bytes.get_or_create(&source).set(gauge(kept.body_bytes));
    }
    registry.register("hookward_kept_events", "Events kept whole, by source", events);
    let help = "Bodies kept, as long as they were received, by source";
    registry.register_with_unit("hookward_kept_bodies", help, Unit::Bytes, bytes);
}

fn clock(registry: &mut Registry, engine: &Engine) {
    let by_s = engine.clock_step().map_or(0, |step| step.by_ms / 1000);
    let help = "How far the wall clock jumped when it last did, negative for back; 0 if it never did";
    registry.register_with_unit("hookward_clock_step", help, Unit::Seconds, ConstGauge::new(by_s));
}

async fn destinations(registry: &mut Registry, engine: &Engine, now: Timestamp) {
    let gauges = || Family::<OfDestination, Gauge>::default();
    let (outstanding, held, waiting, open, failing) = (gauges(), gauges(), gauges(), gauges(), gauges());
    let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (mut labels, mut declared) = (HashMap::new(), Vec::new());
    for (name, destination) in engine.all_destinations() {
        let label = OfDestination { destination: name };
        let since = destination.condition.failing_since;
        open.get_or_create(&label).set(i64::from(destination.condition.open.is_some()));
        failing.get_or_create(&label).set(since.map_or(0, |since| gauge(now.since(since).as_secs())));
        labels.insert(destination.id, label);
        declared.push(destination);
    }
    for owed in engine.backlog_of(&declared).await.unwrap_or_default() {
        let Some(label) = labels.get(&owed.destination) else { continue };
        outstanding.get_or_create(label).set(gauge(owed.outstanding));
        held.get_or_create(label).set(gauge(owed.held));
        waiting.get_or_create(label).set(gauge(owed.waiting));
    }
    let help = "Deliveries waiting for their time or under way, by destination";
    registry.register("hookward_destination_outstanding", help, outstanding);
    registry.register("hookward_destination_held", "Deliveries held, by destination", held);
    let help = "Deliveries behind an earlier one of their order key, by destination";
    registry.register("hookward_destination_waiting", help, waiting);
    registry.register("hookward_destination_open", "Whether its breaker is open, by destination", open);
    let help = "How long nothing has succeeded at a destination, 0 where the latest attempt did";
    registry.register_with_unit("hookward_destination_failing", help, Unit::Seconds, failing);
}

async fn backlog(registry: &mut Registry, engine: &Engine, now: Timestamp) {
    let answered = engine.store().backlog().await;
    let up = i64::from(answered.is_ok());
    registry.register("hookward_store_up", "Whether the store answers", ConstGauge::new(up));
    let Ok(backlog) = answered else { return };
    let gauge = |count: u64| ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
    registry.register("hookward_outstanding", "Deliveries waiting or under way", gauge(backlog.outstanding));
    let waiting = "Deliveries that wait behind another of their order key";
    registry.register("hookward_waiting", waiting, gauge(backlog.waiting));
    registry.register("hookward_held", "Deliveries held for a paused or disabled destination", gauge(backlog.held));
    let late = backlog.oldest_due.map_or(0.0, |due| now.since(due).as_secs_f64());
    let help = "How long the earliest due delivery has been due";
    registry.register_with_unit("hookward_lateness", help, Unit::Seconds, ConstGauge::new(late));
}
