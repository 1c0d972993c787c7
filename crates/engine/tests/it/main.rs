//! The engine's integration tests, one module for each source file tested.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, and helpers of tests are tests")]

mod accounts;
mod activity;
mod alert;
mod audit;
mod backup;
mod chain;
mod clock;
mod corridor;
mod credentials;
mod declare;
mod destination;
mod dispatch;
mod disuse;
mod drain;
mod egress;
mod event_types;
mod explaining;
mod feed;
mod handshake;
mod jobs;
mod kms;
mod knocks;
mod nodes;
mod opening;
mod order;
mod organizations;
mod publish;
mod published;
mod pull;
mod receive;
mod recovery;
mod refusals;
mod report;
mod retention;
mod rewrap;
mod schemes;
mod secrets;
mod served;
mod signing;
mod store;
mod support;
mod tally;
mod vitals;

use hookward_engine::Terms;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::Principal;

/// The organization of everything, unless a test is about several.
pub(crate) const ORG: OrganizationId = OrganizationId::DEFAULT;

/// Somebody of that organization who acts.
pub(crate) fn by(actor: &str) -> Principal {
    Principal { organization: ORG, actor: actor.to_owned(), address: "192.0.2.1".to_owned() }
}

/// A rotation that lets the secrets before it stay for `grace`.
pub(crate) fn grace(grace: std::time::Duration) -> Terms {
    Terms { grace: Some(grace), ..Terms::default() }
}
