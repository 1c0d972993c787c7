//! A transaction's entries appended to the audit log's chain, in one statement. Owns nothing of what the chain is: that is
//! `model::chain`'s; who may append now is the caller's to see to.

use super::session::{Session, sayable};
use crate::model::{Facts, Head};
use crate::store::sql::audit::Unchained;
use crate::store::sql::failure::Result;

/// Appends `entries` behind `head`. What is hashed is what is kept: text as PostgreSQL can hold it.
pub(in crate::store) fn append(session: &Session, mut head: Head, entries: &[Unchained]) -> Result<()> {
    let column = |of: fn(&Unchained) -> &str| entries.iter().map(|one| sayable(of(one))).collect::<Vec<_>>();
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
    session
        .rows(sql, &[&seqs, &organizations, &times, &actors, &addresses, &actions, &targets, &details, &hashes])
        .map(drop)
}
