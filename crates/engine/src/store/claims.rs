//! Leases and the ends of attempts, as the verbs `claim` and `settle` speak of them.

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::ids::{DeliveryId, DestinationId, EventId, NodeId};
use crate::model::{Attempt, Concluded, Event, KeptOutput};
use crate::store::NewDelivery;

/// The right to settle one attempt: lease and attempt number. A stale one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    delivery: DeliveryId,
    destination: DestinationId,
    node: NodeId,
    number: u32,
}

impl Claim {
    /// Only for stores: `node` leased `delivery` for attempt `number`.
    pub(in crate::store) fn new(delivery: DeliveryId, destination: DestinationId, node: NodeId, number: u32) -> Self {
        Self { delivery, destination, node, number }
    }

    /// The delivery under lease.
    pub fn delivery(&self) -> DeliveryId {
        self.delivery
    }

    /// Its destination.
    pub fn destination(&self) -> DestinationId {
        self.destination
    }

    /// Who holds the lease.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Which attempt this is, 1 for the first.
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// A delivery that this node may attempt now, with what it needs.
#[derive(Debug)]
pub struct Claimed {
    /// The key to `settle`.
    pub claim: Claim,
    /// The event.
    pub event: Event,
    /// Its raw bytes.
    pub body: Bytes,
    /// The end that this delivery tells of, if its cause is another's outcome.
    pub concluded: Option<Concluded>,
    /// Whether this attempt looks how the destination is.
    pub probe: bool,
    /// How many of the attempts up to this one did so: they do not count for the schedule.
    pub probes: u32,
    /// It is the head of an order key.
    pub ordered: bool,
    /// How many of its order key were given up since the last that was delivered.
    pub skipped: u32,
}

/// What a node asks for when it claims.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// Who asks.
    pub node: NodeId,
    /// Deliveries due at or before this are claimable.
    pub now: Timestamp,
    /// Until when the leases hold.
    pub until: Timestamp,
    /// How many more attempts each destination has room for.
    pub room: Vec<(DestinationId, u32)>,
    /// Destinations whose breaker is open, and that want one held delivery to see how they are. One for which it is not
    /// time yet, or that has none, gets nothing.
    pub probes: Vec<DestinationId>,
}

/// What a consumer asks for.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// Of which destination.
    pub destination: DestinationId,
    /// Leases that end at or before this have run out.
    pub now: Timestamp,
    /// Until when the new leases hold.
    pub until: Timestamp,
    /// How many deliveries at most.
    pub max: u32,
    /// How many bytes of bodies at most; the first delivery is given whatever its size.
    pub bytes_max: u64,
    /// What an earlier lease holds up.
    pub order: PullOrder,
    /// How often a delivery is leased at most.
    pub attempts_max: u32,
}

/// What a lease holds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullOrder {
    /// Everything after it: consumers see one event after another.
    Strict,
    /// Nothing: several consumers work beside each other, on the oldest first.
    Loose,
}

/// What a consumer gets.
#[derive(Debug)]
pub struct Pulled {
    /// The leases, oldest delivery first.
    pub claimed: Vec<Claimed>,
    /// When the first of the leases that were in the way, or are given now, runs out.
    pub free_at: Option<Timestamp>,
}

/// A consumer's lease that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The key to `settle` and `extend`.
    pub claim: Claim,
    /// The event.
    pub event: EventId,
    /// Since when.
    pub since: Timestamp,
}

/// The end of an attempt.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The right to say so.
    pub claim: Claim,
    /// What happened.
    pub attempt: Attempt,
    /// What the program wrote, if one ran.
    pub output: Option<KeptOutput>,
    /// What becomes of the delivery.
    pub next: Next,
    /// Who is told if the delivery ends with this: delivered or exhausted. Added in the same transaction.
    pub then: Vec<NewDelivery>,
    /// What becomes of the destination, in the same transaction: its other outstanding deliveries are held.
    pub disable: Option<String>,
}

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Done.
    Delivered,
    /// Again at a time.
    Again {
        /// When it is due.
        due_at: Timestamp,
    },
    /// That was the last attempt.
    Exhausted,
    /// Kept until the destination takes deliveries again.
    Held,
    /// Kept likewise, while those behind it in its order key go on.
    Parked,
    /// Not any more: it was called off.
    Cancelled,
}

/// What came of calling off a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It waited, and is cancelled.
    Done,
    /// An attempt is under way; its end cancels the delivery, unless it succeeds.
    UnderWay,
    /// It was over already.
    TooLate,
}

/// What `settle` did with one settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Written.
    Written,
    /// The lease was no longer this claim's: nothing was written.
    LeaseLost,
}
