//! One attempt from claim to settlement: sign, try, write down. Knows no schedule and claims nothing itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward::Draft;
use tokio::time::timeout;

use crate::breaker::{self, Finding};
use crate::clock::Timestamp;
use crate::destination::{Parcel, Report};
use crate::engine::Inner;
use crate::fanout;
use crate::ids::{AttemptId, DeliveryId};
use crate::model::{DeliveryCause, DestinationKind, Event, OWN, Outcome, REDACTED};
use crate::pace::End;
use crate::redact::Credentials;
use crate::registry::LiveDestination;
use crate::runner::Runner;
use crate::settle::{Ran, conclude};
use crate::signing::{Plan, Try, is_refusal};
use crate::store::{Claimed, NewDelivery, Next, Settled, Settlement, StoreError};

/// How long to wait before a settlement that the store could not take is offered again.
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// Carries out the attempt that `claimed` stands for and settles it, before the lease ends at `until`. Nothing is signed by a
/// node that was cut off between the two.
pub(crate) async fn carry_out(inner: Arc<Inner>, live: Arc<LiveDestination>, claimed: Claimed, until: Timestamp) {
    let Claimed { claim, event, body, concluded, probe, probes, ordered, skipped } = claimed;
    let (started_at, started) = (inner.clock().now(), inner.clock().elapsed());
    let event_id = event.id.to_string();
    let under_way = inner.running().begin(claim.delivery(), claim.number(), live.output_bytes());
    let parcel = |signature| Parcel {
        event: event.id,
        delivery: claim.delivery(),
        number: claim.number(),
        event_type: &event.event_type,
        source: &event.source_name,
        delivery_id: event.delivery_id.as_deref(),
        received_at: event.received_at,
        request: &event.request,
        body: body.clone(),
        signature,
        concluded: concluded.as_ref(),
        skipped,
        called_off: under_way.called_off(),
        output: under_way.output(),
    };
    let prepared = async {
        let plan = Plan::new(&inner, &live, claim.number(), started_at).await?;
        Ok::<_, String>((plan, inner.runner(&live, started_at).await?))
    }
    .await;
    if !may_sign(&inner) {
        return;
    }
    let (report, signed_by) = match prepared {
        Ok((plan, ready)) => {
            let draft = draft(ready.runner.url(), &event, &body, &event_id);
            let (report, mut signed_by) =
                attempt(&inner, &live, &ready.runner, &plan, &draft, parcel, started_at).await;
            signed_by.extend(ready.proven_by);
            (report, signed_by)
        }
        Err(problem) => (Report::failed(Outcome::Unusable, problem), vec![]),
    };
    let registry = inner.registry();
    let report = without_credentials(report, registry.schemes().credentials(live.destination.organization));
    let report = without_credentials(report, Credentials { headers: &live.credential_headers, query: &[] });
    let duration = inner.clock().elapsed().saturating_sub(started);
    inner.count(report.outcome);
    let id = AttemptId::new(started_at, inner.entropy());
    let ran = Ran { id, started_at, duration, signed_by, probe, counted: claim.number().saturating_sub(probes) };
    let mut random = [0; 8];
    inner.entropy().fill(&mut random);
    let then = told(&inner, &live, &event, claim.delivery());
    let spec = &live.destination.spec;
    let on_failure = spec.order.as_ref().filter(|_| ordered).map(|order| order.on_failure);
    let settlement = conclude(claim, &spec.retry, on_failure, ran, report, then, u64::from_le_bytes(random));
    let disables = settlement.disable.clone();
    follow(&inner, &live, &event, &settlement, probe);
    let told: Vec<_> = settlement.then.iter().map(|then| then.destination).collect();
    settle(&inner, settlement, until).await;
    // Until now the output could be read here; from now on the store has it.
    drop(under_way);
    if !told.is_empty() {
        inner.nudge_for(told);
    }
    if let Some(reason) = disables {
        if let Err(error) = inner.refresh().await {
            tracing::error!(%error, "a disabled destination is still in force here");
        }
        if live.pace.disabled(&reason) {
            inner.note(live.destination.id);
        }
    }
}

/// Whether what is known of secrets may be acted on. Where it may not, the delivery is due again when its lease ends.
fn may_sign(inner: &Inner) -> bool {
    let problem = inner.cut_off();
    if let Some(problem) = &problem {
        tracing::warn!(problem, "an attempt was not made: its delivery is due again when the lease ends");
    }
    problem.is_none()
}

/// What the end of an attempt says of its destination.
fn follow(inner: &Inner, live: &LiveDestination, event: &Event, settlement: &Settlement, probe: bool) {
    let attempt = &settlement.attempt;
    let finding = match live.destination.spec.kind {
        // How a program ends is the event's affair.
        DestinationKind::Command(_) | DestinationKind::Pull(_) => Finding::Nothing,
        _ => breaker::finding(attempt.outcome, attempt.status),
    };
    // Nobody hears of what becomes of what they hear: that would never end.
    let is_told = settlement.next == Next::Exhausted && event.source_name != OWN;
    let exhausted = is_told.then(|| (settlement.claim.delivery(), event.id));
    let end = End { finding, outcome: attempt.outcome, status: attempt.status, probe, exhausted };
    if live.pace.ended(&live.destination.spec, end, inner.clock().now()) {
        inner.note(live.destination.id);
    }
}

/// Without the secret of whoever signs by sending it. Other credentials are known by their header, or to who set them.
fn without_credentials(mut report: Report, credentials: Credentials<'_>) -> Report {
    if let Some(exchange) = &mut report.exchange {
        for (name, value) in exchange.request_headers.iter_mut().chain(&mut exchange.response_headers) {
            if credentials.has_header(name) {
                *value = Bytes::from_static(REDACTED.as_bytes());
            }
        }
    }
    report
}

/// What those are owed who tell how deliveries of this destination end.
pub(crate) fn told(inner: &Inner, live: &LiveDestination, event: &Event, of: DeliveryId) -> Vec<NewDelivery> {
    let now = inner.clock().now();
    let registry = inner.registry();
    let tellers = registry
        .destinations_of(event.organization)
        .map(|live| &live.destination)
        .filter(|teller| fanout::tells(&teller.spec, &live.destination.name, &event.source_name, &event.event_type));
    tellers
        .map(|teller| fanout::owe(teller, DeliveryId::new(now, inner.entropy()), now, DeliveryCause::Outcome { of }))
        .collect()
}

/// What is signed.
fn draft<'a>(url: &'a str, event: &'a Event, body: &'a [u8], id: &'a str) -> Draft<'a> {
    Draft { id, event_type: &event.event_type, method: "POST", url, body }
}

/// Makes the attempt, and at once a second try with another secret if the receiver refuses the first and may know that
/// one. Both together have the time of one attempt. Gives the report of the try that counts, and the versions that signed it.
async fn attempt<'p>(
    inner: &Inner,
    live: &LiveDestination,
    runner: &Runner,
    plan: &Plan<'_>,
    draft: &Draft<'_>,
    parcel: impl Fn(Vec<(String, String)>) -> Parcel<'p>,
    started_at: Timestamp,
) -> (Report, Vec<u32>) {
    let clock = inner.clock();
    let started = clock.elapsed();
    let unusable = |problem| (Report::failed(Outcome::Unusable, problem), vec![]);
    let first = match plan.sign(Try::First, draft, started_at) {
        Ok(signature) => signature,
        Err(problem) => return unusable(problem),
    };
    let report = runner.attempt(parcel(first.headers), clock).await;
    plan.learn(Try::First, &report);
    let left = live.destination.spec.timeout.saturating_sub(clock.elapsed().saturating_sub(started));
    let now = clock.now();
    if !is_refusal(&report) || left.is_zero() || !plan.has_second(inner, now) {
        return (report, first.signed_by);
    }
    let Ok(second) = plan.sign(Try::Second, draft, now) else { return (report, first.signed_by) };
    live.pace.take_in_debt(&live.destination.spec, clock.elapsed());
    let again = runner.attempt(parcel(second.headers), clock);
    let again = timeout(left, again).await;
    let again = again.unwrap_or_else(|_| Report::failed(Outcome::Timeout, "no answer in the time that was left"));
    plan.learn(Try::Second, &again);
    let detail = plan.told(&report, &again);
    (Report { detail, ..again }, second.signed_by)
}

/// Writes the settlement down; while the store cannot, offers it again until the lease is over. After that the delivery
/// is due again by itself: attempted twice rather than lost.
async fn settle(inner: &Inner, settlement: Settlement, until: Timestamp) {
    let delivery = settlement.claim.delivery();
    loop {
        match inner.store().settle(vec![settlement.clone()]).await {
            Ok(settled) if settled == [Settled::LeaseLost] => {
                tracing::warn!(%delivery, "the lease was lost before the attempt could be settled");
                return;
            }
            Ok(_) => return inner.tell_followers(),
            Err(StoreError::Unavailable(problem)) if inner.clock().now() < until => {
                tracing::error!(%delivery, problem, "an attempt cannot be settled yet");
                inner.clock().sleep_until(inner.clock().now().plus(SETTLE_PAUSE)).await;
            }
            Err(error) => {
                tracing::error!(%delivery, %error, "an attempt could not be settled");
                return;
            }
        }
    }
}
