//! One attempt from claim to settlement: sign, try, write down. Knows no schedule and claims nothing itself.

use std::sync::Arc;
use std::time::Duration;

use hookward::{Draft, UnixTime};

use crate::clock::Timestamp;
use crate::destination::{Parcel, Report};
use crate::engine::Inner;
use crate::fanout;
use crate::ids::{AttemptId, DeliveryId};
use crate::model::{DeliveryCause, DestinationKind, Event, Outcome};
use crate::registry::LiveDestination;
use crate::settle::{Ran, conclude};
use crate::store::{Claimed, NewDelivery, Settled, Settlement, StoreError};

/// How long to wait before a settlement that the store could not take is offered again.
const SETTLE_PAUSE: Duration = Duration::from_secs(1);

/// Carries out the attempt that `claimed` stands for and settles it, before the lease ends at `until`.
pub(crate) async fn carry_out(inner: Arc<Inner>, live: Arc<LiveDestination>, claimed: Claimed, until: Timestamp) {
    let Claimed { claim, event, body, concluded, probe, probes } = claimed;
    let started_at = inner.clock().now();
    let started = inner.clock().elapsed();
    let under_way = inner.running().begin(claim.delivery(), claim.number(), live.runner.output_bytes());
    let (report, signed_by) = match sign(&inner, &live, &event, &body, started_at).await {
        Err(problem) => (Report::failed(Outcome::Unusable, problem), vec![]),
        Ok((signature, signed_by)) => {
            let parcel = Parcel {
                event: event.id,
                delivery: claim.delivery(),
                number: claim.number(),
                event_type: &event.event_type,
                source: &event.source_name,
                delivery_id: event.delivery_id.as_deref(),
                received_at: event.received_at,
                request: &event.request,
                body,
                signature,
                concluded: concluded.as_ref(),
                called_off: under_way.called_off(),
                output: under_way.output(),
            };
            (live.runner.attempt(parcel, inner.clock()).await, signed_by)
        }
    };
    let duration = inner.clock().elapsed().saturating_sub(started);
    inner.count(report.outcome);
    let id = AttemptId::new(started_at, inner.entropy());
    let ran = Ran { id, started_at, duration, signed_by, probe, counted: claim.number().saturating_sub(probes) };
    let mut random = [0; 8];
    inner.entropy().fill(&mut random);
    let then = told(&inner, &live, &event, claim.delivery());
    let settlement = conclude(claim, &live.destination.spec.retry, ran, report, then, u64::from_le_bytes(random));
    let disables = settlement.disable.is_some();
    settle(&inner, settlement, until).await;
    // Until now the output could be read here; from now on the store has it.
    drop(under_way);
    if disables && let Err(error) = inner.refresh().await {
        tracing::error!(%error, "a disabled destination is still in force here");
    }
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

type Signature = (Vec<(String, String)>, Vec<u32>);

/// The headers of a new signature and the versions that made it; nothing for a destination that signs nothing.
async fn sign(
    inner: &Inner,
    live: &LiveDestination,
    event: &Event,
    body: &[u8],
    now: Timestamp,
) -> Result<Signature, String> {
    let Some(signer) = &live.signer else {
        return match live.destination.spec.signing.first() {
            None => Ok((vec![], vec![])),
            Some(signing) => Err(format!("no scheme `{}`", signing.scheme)),
        };
    };
    let url = match &live.destination.spec.kind {
        DestinationKind::Http(http) => http.url.as_str(),
        DestinationKind::Report(report) => report.api_url.as_str(),
        DestinationKind::Command(_) | DestinationKind::Pull(_) | DestinationKind::Slack(_) => "",
    };
    let id = event.id.to_string();
    let draft = Draft { id: &id, event_type: &event.event_type, method: "POST", url, body };
    // The dispatcher claims nothing for whoever cannot sign; between the claim and now a key's time may have ended.
    let keys = inner.opened(&signer.keyring, now).await;
    if let Some(problem) = keys.problem() {
        return Err(problem);
    }
    let signed = signer.scheme.sign(&draft, &keys.keys, UnixTime::from_millis(now.as_millis()));
    signed.map(|signed| (signed.headers, signed.signed_by)).map_err(|error| error.to_string())
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
            Ok(_) => return,
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
