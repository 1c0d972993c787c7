//! The end of a transaction that writes: what it adds to the totals and to the uses of secrets, its entries in the audit log's
//! chain, and the commit. Owns the order of these; what the chain is, is `model::chain`'s.

use std::collections::HashMap;

use super::session::{Asked, Session, asked, sayable};
use crate::ids::SourceId;
use crate::model::{ChainHash, Facts, Head, SecretOwner};
use crate::store::sql::audit::Unchained;
use crate::store::sql::failure::Result;
use crate::store::sql::locks::Lock;
use crate::store::sql::resources::owner_columns;
use crate::store::sql::writer::{Kept, Uses};

/// Commits the transaction on `session`. Whoever appends to the chain holds its lock for two ways there and back, the last of
/// which brings the commit along: nothing that befalls this node can make the others wait longer.
pub(in crate::store) fn commit(
    session: &Session,
    uses: &HashMap<(SecretOwner, u32), Uses>,
    kept: &HashMap<SourceId, Kept>,
    entries: &[Unchained],
) -> Result<()> {
    let mut asked: Vec<Asked<'_>> = Vec::new();
    asked.extend((!uses.is_empty()).then(|| used(uses)));
    asked.extend((!kept.is_empty()).then(|| counted(kept)));
    if entries.is_empty() {
        if !asked.is_empty() {
            session.each_of(&asked)?;
        }
        return session.commit(None);
    }
    asked.push(asked!("select pg_advisory_xact_lock($1)", Lock::Chain.number()));
    // A statement of its own: it sees what the one before left.
    asked.push(asked!("select seq, hash from audit order by seq desc limit 1"));
    let answers = session.each_of(&asked)?;
    let head = answers.last().and_then(|rows| rows.first()).and_then(|row| {
        Some(Head { seq: row.get(0), hash: ChainHash::from_bytes(row.get::<_, &[u8]>(1).try_into().ok()?) })
    });
    session.commit(Some(&chained(head.unwrap_or(Head::START), entries)))
}

/// Whoever writes beside others adds a row: one that all of them change would make each wait for the one before.
fn used(uses: &HashMap<(SecretOwner, u32), Uses>) -> Asked<'_> {
    let (mut kinds, mut owners, mut versions, mut counts) = (vec![], vec![], vec![], vec![]);
    let (mut first, mut last, mut accepted) = (vec![], vec![], vec![]);
    for ((owner, version), uses) in uses {
        let (kind, id) = owner_columns(owner);
        kinds.push(kind);
        owners.push(&id[..]);
        versions.push(i64::from(*version));
        counts.push(i64::from(uses.count));
        first.push(uses.first.as_millis());
        last.push(uses.last.as_millis());
        accepted.push(uses.accepted.map(|at| at.as_millis()));
    }
    let sql = "insert into secret_use_changes (owner_kind, owner_id, version, count, first_ms, last_ms, accepted_ms)
               select * from unnest($1::text[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                   $7::bigint[])";
    asked!(sql, kinds, owners, versions, counts, first, last, accepted)
}

fn counted(kept: &HashMap<SourceId, Kept>) -> Asked<'_> {
    let sources: Vec<&[u8]> = kept.keys().map(|source| &source.as_bytes()[..]).collect();
    let events: Vec<i64> = kept.values().map(|kept| kept.events).collect();
    let bytes: Vec<i64> = kept.values().map(|kept| kept.body_bytes).collect();
    let sql = "insert into source_total_changes (source_id, events, body_bytes)
               select * from unnest($1::bytea[], $2::bigint[], $3::bigint[])";
    asked!(sql, sources, events, bytes)
}

/// `entries` behind `head`. What is hashed is what is kept: text as PostgreSQL can hold it.
fn chained<'e>(mut head: Head, entries: &'e [Unchained]) -> Asked<'e> {
    let column = |of: fn(&'e Unchained) -> &'e str| entries.iter().map(|one| sayable(of(one))).collect::<Vec<_>>();
    let actors = column(|one| &one.entry.actor);
    let addresses = column(|one| &one.entry.address);
    let actions = column(|one| &one.entry.action);
    let targets = column(|one| &one.entry.target);
    let details = column(|one| &one.detail);
    let organizations: Vec<&[u8]> = entries.iter().map(|one| &one.entry.organization.as_bytes()[..]).collect();
    let times: Vec<i64> = entries.iter().map(|one| one.entry.at.as_millis()).collect();
    let (mut seqs, mut hashes) = (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    for (at, one) in entries.iter().enumerate() {
        head = head.then(&Facts {
            organization: one.entry.organization.as_bytes(),
            at_ms: times[at],
            actor: actors[at].as_bytes(),
            address: addresses[at].as_bytes(),
            action: actions[at].as_bytes(),
            target: targets[at].as_bytes(),
            detail: details[at].as_bytes(),
        });
        seqs.push(head.seq);
        hashes.push(head.hash.as_bytes().to_vec());
    }
    let sql = "insert into audit (seq, organization_id, at_ms, actor, address, action, target, detail, hash)
               select * from unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
                   $8::text[], $9::bytea[])";
    asked!(sql, seqs, organizations, times, actors, addresses, actions, targets, details, hashes)
}
