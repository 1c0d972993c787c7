//! What consumers ask of `pull` destinations: lease, acknowledge, extend, release. Owns the tokens that consumers hold and
//! how long they may wait; the order, and that a stale lease changes nothing, is the store's.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;

use crate::attempt::told;
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::fanout;
use crate::ids::{AttemptId, DeliveryId, OrganizationId};
use crate::model::{Attempt, DestinationKind, Event, Outcome};
use crate::opening::Fingerprinter;
use crate::registry::LiveDestination;
use crate::store::{Held, Next, PullOrder, PullRequest, Settled, Settlement};

/// The most deliveries that are leased, and the most leases that are answered for, at once.
pub const LEASES_MAX: u32 = 100;

/// Bytes of bodies that are leased at once; a larger one is leased alone.
pub const LEASED_BYTES_MAX: u64 = 8 << 20;

/// The shortest and the longest time that a lease may be asked for.
pub const VISIBILITY: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(12 * 60 * 60);

/// The longest time that a consumer may wait for something to lease: less than a gateway takes to end.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// How a consumer leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// How many deliveries at most, 1 to [`LEASES_MAX`].
    pub max: u32,
    /// How long the leases hold, within [`VISIBILITY`].
    pub visibility: Duration,
    /// How long to wait until there is something, at most [`WAIT_MAX`].
    pub wait: Duration,
}

/// A delivery under a consumer's lease.
#[derive(Debug)]
pub struct Lease {
    /// What the consumer says to acknowledge, extend or release it.
    pub token: String,
    /// The delivery.
    pub delivery: DeliveryId,
    /// Which attempt this is, 1 for the first.
    pub attempt: u32,
    /// The event.
    pub event: Event,
    /// Its raw bytes.
    pub body: Bytes,
    /// When the lease ends by itself.
    pub until: Timestamp,
}

/// What came of a consumer's word on a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The delivery is delivered.
    Acknowledged,
    /// The delivery may be leased again, or is cancelled if it was called off meanwhile.
    Released,
    /// Given back for the last time: there is no further attempt.
    Exhausted,
    /// The lease holds until then.
    Extended {
        /// Its new end.
        until: Timestamp,
    },
    /// The lease is not, or no longer, this token's. Nothing was changed.
    LeaseLost,
}

impl Engine {
    /// Leases what a destination of the kind `pull` is owed, oldest first; waits for it if there is nothing. A paused or
    /// disabled destination gives nothing.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotFound`]; [`EngineError::Invalid`] for another kind of destination or what is past a limit;
    /// [`EngineError::Unavailable`].
    pub async fn lease(
        &self,
        organization: OrganizationId,
        destination: &str,
        ask: Ask,
    ) -> Result<Vec<Lease>, EngineError> {
        check(&ask)?;
        let inner = self.inner();
        let give_up_at = inner.clock().now().plus(ask.wait);
        let sealer = inner.fingerprinter().await?;
        loop {
            let told = inner.pulls().notified();
            tokio::pin!(told);
            // From here on nothing is missed.
            told.as_mut().enable();
            let now = inner.clock().now();
            let until = now.plus(ask.visibility);
            let pulled = inner.store().pull(self.pull_request((organization, destination), &ask, now, until)?).await?;
            if !pulled.claimed.is_empty() || now >= give_up_at {
                let lease = |claimed: crate::store::Claimed| Lease {
                    token: token(&sealer, claimed.claim.delivery(), claimed.claim.number()),
                    delivery: claimed.claim.delivery(),
                    attempt: claimed.claim.number(),
                    event: claimed.event,
                    body: claimed.body,
                    until,
                };
                return Ok(pulled.claimed.into_iter().map(lease).collect());
            }
            let look_again_at = pulled.free_at.map_or(give_up_at, |free_at| free_at.min(give_up_at));
            tokio::select! {
                () = told => {}
                () = inner.clock().sleep_until(look_again_at) => {}
            }
        }
    }

    /// Says that these leases' deliveries are delivered. Answers are in the order given; a lease that is lost is no
    /// error for the others.
    ///
    /// # Errors
    ///
    /// [`EngineError::Invalid`] for more than [`LEASES_MAX`]; [`EngineError::Unavailable`].
    pub async fn acknowledge(
        &self,
        organization: OrganizationId,
        tokens: &[String],
    ) -> Result<Vec<Answer>, EngineError> {
        self.end(organization, tokens, Outcome::Success).await
    }

    /// Gives these leases back: their deliveries may be leased again at once, or are exhausted. Answers as above.
    ///
    /// # Errors
    ///
    /// As for [`Engine::acknowledge`].
    pub async fn release(&self, organization: OrganizationId, tokens: &[String]) -> Result<Vec<Answer>, EngineError> {
        self.end(organization, tokens, Outcome::Released).await
    }

    /// Lets these leases hold for `visibility` from now. Answers as above.
    ///
    /// # Errors
    ///
    /// As for [`Engine::acknowledge`], and [`EngineError::Invalid`] for a time outside [`VISIBILITY`].
    pub async fn extend(
        &self,
        organization: OrganizationId,
        tokens: &[String],
        visibility: Duration,
    ) -> Result<Vec<Answer>, EngineError> {
        check(&Ask { max: 1, visibility, wait: Duration::ZERO })?;
        let held = self.held(organization, tokens).await?;
        let now = self.inner().clock().now();
        let until = now.plus(visibility);
        let claims = held.iter().flatten().map(|held| held.claim.clone()).collect();
        let settled = self.inner().store().extend(claims, now, until).await?;
        Ok(answers(&held, settled, |_| Answer::Extended { until }))
    }

    async fn end(
        &self,
        organization: OrganizationId,
        tokens: &[String],
        outcome: Outcome,
    ) -> Result<Vec<Answer>, EngineError> {
        let held = self.held(organization, tokens).await?;
        let mut settlements = Vec::new();
        for held in held.iter().flatten() {
            settlements.push(self.settlement(held, outcome).await?);
        }
        let ends: Vec<_> = settlements.iter().map(|settlement| settlement.next).collect();
        let told: Vec<_> = settlements.iter().flat_map(|one| &one.then).map(|then| then.destination).collect();
        let settled = self.inner().store().settle(settlements).await?;
        let written = settled.iter().filter(|settled| **settled == Settled::Written).count();
        (0..written).for_each(|_| self.inner().count(outcome));
        self.inner().nudge_for(told);
        self.inner().tell_followers();
        Ok(answers(&held, settled, |place| match ends[place] {
            Next::Delivered => Answer::Acknowledged,
            Next::Exhausted => Answer::Exhausted,
            Next::Again { .. } | Next::Held | Next::Parked | Next::Cancelled => Answer::Released,
        }))
    }

    async fn settlement(&self, held: &Held, outcome: Outcome) -> Result<Settlement, EngineError> {
        let inner = self.inner();
        let now = inner.clock().now();
        let registry = inner.registry();
        let live = registry.destination(held.claim.destination());
        let next = match live.map_or(0, |live| live.destination.spec.retry.waits_s.len()) {
            _ if outcome == Outcome::Success => Next::Delivered,
            retries if held.claim.number() as usize > retries => Next::Exhausted,
            _ => Next::Again { due_at: now },
        };
        let then = match live {
            Some(live) if self.is_told_of(live) => told(
                inner,
                live,
                &self.store().event(live.destination.organization, held.event).await?,
                held.claim.delivery(),
            ),
            _ => Vec::new(),
        };
        let attempt = Attempt {
            id: AttemptId::new(held.since, inner.entropy()),
            number: held.claim.number(),
            started_at: held.since,
            duration: now.since(held.since),
            outcome,
            signed_by: Vec::new(),
            status: None,
            exit_code: None,
            excerpt: Bytes::new(),
            detail: if outcome == Outcome::Success { String::new() } else { "the consumer gave it back".to_owned() },
            node: None,
            exchange: None,
        };
        Ok(Settlement { claim: held.claim.clone(), attempt, output: None, next, then, disable: None })
    }

    /// Whether anybody tells how this destination's deliveries end.
    fn is_told_of(&self, live: &Arc<LiveDestination>) -> bool {
        let name = &live.destination.name;
        let organization = live.destination.organization;
        self.inner()
            .registry()
            .destinations_of(organization)
            .any(|teller| fanout::tells_of(&teller.destination.spec, name))
    }

    fn pull_request(
        &self,
        (organization, destination): (OrganizationId, &str),
        ask: &Ask,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<PullRequest, EngineError> {
        let declared = self.destination(organization, destination);
        let declared = declared.ok_or_else(|| EngineError::NotFound(format!("destination `{destination}`")))?;
        let DestinationKind::Pull(pull) = &declared.spec.kind else {
            let kind = format!("destination `{destination}` is not of the type `pull`, so it delivers by itself");
            return Err(EngineError::Invalid(kind));
        };
        Ok(PullRequest {
            destination: declared.id,
            now,
            until,
            max: ask.max,
            bytes_max: LEASED_BYTES_MAX,
            order: if pull.ordered { PullOrder::Strict } else { PullOrder::Loose },
            attempts_max: u32::try_from(declared.spec.retry.waits_s.len()).unwrap_or(u32::MAX).saturating_add(1),
        })
    }

    /// The leases behind tokens, where they hold. A text that is no token of ours is like a lease that was lost.
    async fn held(&self, organization: OrganizationId, tokens: &[String]) -> Result<Vec<Option<Held>>, EngineError> {
        if tokens.len() > LEASES_MAX as usize {
            return Err(EngineError::Invalid(format!("at most {LEASES_MAX} leases at once")));
        }
        let sealer = self.inner().fingerprinter().await?;
        let parsed: Vec<_> = tokens.iter().map(|token| parse(&sealer, token)).collect();
        let known = parsed.iter().flatten().copied().collect();
        let mut found = self.inner().store().held_by_consumers(known).await?.into_iter();
        let mut held: Vec<Option<Held>> = parsed.iter().map(|parsed| parsed.and_then(|_| found.next()?)).collect();
        let registry = self.inner().registry();
        let is_ours = |held: &Held| {
            registry
                .destination(held.claim.destination())
                .is_some_and(|live| live.destination.organization == organization)
        };
        held.iter_mut().for_each(|held| *held = held.take().filter(is_ours));
        // The second of two equal tokens comes too late.
        for place in (1..held.len()).rev() {
            if parsed[..place].contains(&parsed[place]) {
                held[place] = None;
            }
        }
        Ok(held)
    }
}

/// What a lease's token begins with.
const PREFIX: &str = "lse_";

fn token(sealer: &Fingerprinter, delivery: DeliveryId, number: u32) -> String {
    let mut bytes = delivery.as_bytes().to_vec();
    bytes.extend(number.to_be_bytes());
    let seal = seal(sealer, &bytes);
    bytes.extend(seal);
    format!("{PREFIX}{}", hex::encode(bytes))
}

fn parse(sealer: &Fingerprinter, token: &str) -> Option<(DeliveryId, u32)> {
    let bytes: [u8; 36] = hex::decode(token.strip_prefix(PREFIX)?).ok()?.try_into().ok()?;
    let (named, sealed) = bytes.split_at(20);
    verify_slices_are_equal(&seal(sealer, named), sealed).ok()?;
    let (delivery, number) = named.split_at(16);
    let delivery = DeliveryId::from_bytes(delivery.try_into().ok()?);
    Some((delivery, u32::from_be_bytes(number.try_into().ok()?)))
}

/// What only this installation can add to a token.
fn seal(sealer: &Fingerprinter, named: &[u8]) -> Vec<u8> {
    let mut seal = sealer.of("lease", named);
    seal.truncate(16);
    seal
}

fn check(ask: &Ask) -> Result<(), EngineError> {
    let problem = if !(1..=LEASES_MAX).contains(&ask.max) {
        format!("1 to {LEASES_MAX} deliveries are leased at once")
    } else if !VISIBILITY.contains(&ask.visibility) {
        format!("a lease holds for {} to {} seconds", VISIBILITY.start().as_secs(), VISIBILITY.end().as_secs())
    } else if ask.wait > WAIT_MAX {
        format!("a consumer waits for at most {} seconds", WAIT_MAX.as_secs())
    } else {
        return Ok(());
    };
    Err(EngineError::Invalid(problem))
}

/// An answer for each token: `written` says what for those that held, by their place among these.
fn answers(held: &[Option<Held>], settled: Vec<Settled>, written: impl Fn(usize) -> Answer) -> Vec<Answer> {
    let mut settled = settled.into_iter().enumerate();
    let answer = |held: &Option<Held>| match held.as_ref().and_then(|_| settled.next()) {
        Some((place, Settled::Written)) => written(place),
        Some((_, Settled::LeaseLost)) | None => Answer::LeaseLost,
    };
    held.iter().map(answer).collect()
}
