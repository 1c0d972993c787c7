//! Requests that are carried out once: the verbs of `store::Idempotency`.

use async_trait::async_trait;

use super::SqlStore;
use super::connection::params;
use super::failure::Result;
use super::locks::{self, Lock};
use super::rows::{Cells, first};
use super::writer::Tx;
use crate::clock::Timestamp;
use crate::store::{Idempotency, KeptAnswer, Known, NewRequest, RequestKey, StoreError};

#[async_trait]
impl Idempotency for SqlStore {
    async fn begin(&self, request: NewRequest, now: Timestamp) -> std::result::Result<Known, StoreError> {
        self.writer.submit_beside(move |tx| begin(tx, &request, now)).await
    }

    async fn keep_answer(&self, key: RequestKey, answer: KeptAnswer) -> std::result::Result<(), StoreError> {
        self.writer.submit_beside(move |tx| keep_answer(tx, &key, &answer)).await
    }

    async fn give_up(&self, key: RequestKey) -> std::result::Result<(), StoreError> {
        self.writer.submit_beside(move |tx| give_up(tx, &key)).await
    }
}

/// Expired requests that one new one takes away: more than it adds, so that few are left behind.
pub(super) const FORGET: &str = "delete from idempotency where (organization_id, request) in
    (select organization_id, request from idempotency where expires_at_ms <= ?1 order by expires_at_ms limit 8)";

fn begin(tx: &Tx<'_>, request: &NewRequest, now: Timestamp) -> Result<Known> {
    let NewRequest { key, fingerprint, expires_at } = request;
    tx.connection.prepare_cached(&tx.connection.stepping_over(FORGET))?.execute([now.as_millis()])?;
    locks::hold_one(tx.connection, &Lock::Request(key.organization, &key.digest))?;
    let sql = "select fingerprint, status, answer, is_whole from idempotency
               where organization_id = ?1 and request = ?2 and expires_at_ms > ?3";
    let parameters = params![key.organization.as_bytes(), key.digest, now.as_millis()];
    let known = first(tx.connection, sql, parameters, |row| {
        let cells = Cells::new("idempotency", row);
        if cells.get::<[u8; 32]>("fingerprint")? != *fingerprint {
            return Ok(Known::Another);
        }
        let Some(status) = cells.get::<Option<u16>>("status")? else { return Ok(Known::Unfinished) };
        Ok(Known::Answered(KeptAnswer { status, body: cells.bytes("answer")?, is_whole: cells.get("is_whole")? }))
    })?;
    if let Some(known) = known {
        return Ok(known);
    }
    tx.connection
        .prepare_cached(
            "insert into idempotency (organization_id, request, fingerprint, expires_at_ms) values (?1, ?2, ?3, ?4)
             on conflict (organization_id, request) do update set fingerprint = excluded.fingerprint,
                 expires_at_ms = excluded.expires_at_ms, status = null, answer = null, is_whole = 1",
        )?
        .execute(params![key.organization.as_bytes(), key.digest, fingerprint, expires_at.as_millis()])?;
    Ok(Known::Begun)
}

fn keep_answer(tx: &Tx<'_>, key: &RequestKey, answer: &KeptAnswer) -> Result<()> {
    tx.connection
        .prepare_cached(
            "update idempotency set status = ?3, answer = ?4, is_whole = ?5
             where organization_id = ?1 and request = ?2",
        )?
        .execute(params![
            key.organization.as_bytes(),
            key.digest,
            answer.status,
            answer.body.as_ref(),
            answer.is_whole
        ])?;
    Ok(())
}

fn give_up(tx: &Tx<'_>, key: &RequestKey) -> Result<()> {
    tx.connection
        .prepare_cached("delete from idempotency where organization_id = ?1 and request = ?2 and status is null")?
        .execute(params![key.organization.as_bytes(), key.digest])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn forgetting_walks_what_has_expired() {
        let plan = plan(super::FORGET);
        assert!(plan.iter().any(|step| step.contains("idempotency_expiring")), "{plan:?}");
        assert!(!plan.iter().any(|step| step.starts_with("SCAN")), "{plan:?}");
    }
}
