//! What two transactions may not do at once, where several write side by side: on a database that nodes share. Owns what such a
//! thing is called; that it is held to the end of its transaction is the database's doing. SQLite has one writer and needs none.
//!
//! Whoever needs several takes them in the order of their numbers, so that two never wait for each other; where that cannot
//! be, the database notices, and one of them is run again.

use sha2::{Digest, Sha256};

use super::connection::Connection;
use super::failure::Result;
use crate::ids::{DestinationId, OrganizationId, SourceId};
use crate::store::{NewDelivery, NewEvent};

/// Something that one transaction at a time may do.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Lock<'k> {
    /// Change who stands where in the line of a key.
    Order(DestinationId, &'k [u8]),
    /// Say which delivery of a key is the newest.
    Latest(DestinationId, &'k [u8]),
    /// Say which event has a value that runs once.
    Once(DestinationId, SourceId, &'k [u8]),
    /// Lease to consumers what a destination is owed.
    Pull(DestinationId),
    /// Say whether a request was made before.
    Request(OrganizationId, &'k [u8]),
    /// Count the feeds.
    Tallies,
    /// Append to the audit log's chain. Taken last: who waits for it holds others up.
    Chain,
}

impl Lock<'_> {
    /// The number that stands for it, which is below zero: others' are not. That two things share one does no harm.
    pub(in crate::store) fn number(&self) -> i64 {
        let mut hasher = Sha256::new();
        match self {
            Self::Order(destination, key) => hasher.update([&[1], &destination.as_bytes()[..], key].concat()),
            Self::Latest(destination, key) => hasher.update([&[2], &destination.as_bytes()[..], key].concat()),
            Self::Once(destination, source, key) => {
                hasher.update([&[3], &destination.as_bytes()[..], source.as_bytes(), key].concat());
            }
            Self::Pull(destination) => hasher.update([&[4], &destination.as_bytes()[..]].concat()),
            Self::Request(organization, digest) => {
                hasher.update([&[5], &organization.as_bytes()[..], digest].concat());
            }
            Self::Tallies => hasher.update([6]),
            Self::Chain => hasher.update([7]),
        }
        let digest = hasher.finalize();
        let (first, _) = digest.split_first_chunk().expect("a SHA-256 is longer");
        i64::from_be_bytes(*first) | i64::MIN
    }
}

/// Holds all of `locks` until the transaction ends.
pub(in crate::store) fn hold(connection: &Connection, mut numbers: Vec<i64>) -> Result<()> {
    let Connection::Postgres(session) = connection else { return Ok(()) };
    if numbers.is_empty() {
        return Ok(());
    }
    numbers.sort_unstable();
    numbers.dedup();
    session.rows("select pg_advisory_xact_lock(number) from unnest($1::bigint[]) as number", &[&numbers]).map(drop)
}

/// Holds `lock` until the transaction ends. What is read afterwards is as the one before left it.
pub(in crate::store) fn hold_one(connection: &Connection, lock: &Lock<'_>) -> Result<()> {
    match connection {
        Connection::Sqlite(_) => Ok(()),
        Connection::Postgres(_) => hold(connection, vec![lock.number()]),
    }
}

/// What an event's deliveries have to do with others'.
pub(super) fn of_event(new: &NewEvent) -> Vec<i64> {
    new.deliveries.iter().flat_map(|delivery| of_delivery(new.event.source, delivery)).collect()
}

fn of_delivery(source: SourceId, delivery: &NewDelivery) -> impl Iterator<Item = i64> {
    let to = delivery.destination;
    let order = delivery.order.as_ref().map(|key| Lock::Order(to, &key[..]).number());
    let latest = delivery.latest.as_ref().map(|key| Lock::Latest(to, &key[..]).number());
    let once = delivery.once.as_ref().map(|key| Lock::Once(to, source, &key[..]).number());
    order.into_iter().chain(latest).chain(once)
}
