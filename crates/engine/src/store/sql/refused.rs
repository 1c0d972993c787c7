//! Refused requests: kept, the oldest of each door dropped, listed and shown.

use super::connection::{Bind, Connection, Row, params};
use super::failure::{Failure, Result};
use super::rows::{self, Cells, all, first, integer, json_text};
use super::writer::Tx;
use super::{audit, headers};
use crate::ids::{OrganizationId, RefusedId};
use crate::model::{AuditEntry, RefusedAt, RefusedRequest};
use crate::store::{Listing, Page, RefusedFilter};

pub(super) fn write(tx: &Tx<'_>, refused: &[RefusedRequest], entries: &[AuditEntry], keep: u32) -> Result<()> {
    for request in refused {
        insert(tx.connection, request)?;
    }
    for request in refused {
        let of = params![request.organization.as_bytes(), request.refused_at.as_str(), keep];
        tx.connection.prepare_cached(DROP_OLD)?.execute(of)?;
    }
    audit::append_all(tx, entries)
}

/// All of a door's but the newest; one that has no more than these has none to drop.
pub(super) const DROP_OLD: &str = "delete from refused where organization_id = ?1 and door = ?2
    and seq <= (select seq from refused where organization_id = ?1 and door = ?2 order by seq desc limit 1 offset ?3)";

fn insert(connection: &Connection, refused: &RefusedRequest) -> Result<()> {
    let request = &refused.request;
    connection
        .prepare_cached(
            "insert into refused (id, door, at_ms, reason, explanation, detail, method, target, remote, headers, body_len,
                body_start, count, organization_id)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            refused.id.as_bytes(),
            refused.refused_at.as_str(),
            refused.at.as_millis(),
            refused.reason,
            refused.explanation,
            json_text(&refused.detail),
            request.method,
            request.target,
            request.remote,
            headers::encode(&request.headers),
            integer(refused.body_len),
            &refused.body_start[..],
            integer(refused.count),
            refused.organization.as_bytes(),
        ])?;
    Ok(())
}

pub(super) fn one(connection: &Connection, organization: OrganizationId, id: RefusedId) -> Result<RefusedRequest> {
    let sql = "select * from refused where id = ?1 and +organization_id = ?2";
    first(connection, sql, [id.as_bytes(), organization.as_bytes()], parse)?
        .ok_or_else(|| Failure::not_found(format!("refused request `{id}`")))
}

pub(super) fn list(
    connection: &Connection,
    organization: OrganizationId,
    filter: &RefusedFilter,
    page: Page,
) -> Result<Listing<RefusedRequest>> {
    let (below, limit, organization) = (page.below(), page.rows(), organization.as_bytes());
    let mut parameters: Vec<(&str, &dyn Bind)> =
        vec![(":below", &below), (":limit", &limit), (":organization", organization)];
    parameters.extend(filter.door.as_ref().map(|door| (":door", door as &dyn Bind)));
    parameters.extend(filter.reason.as_ref().map(|reason| (":reason", reason as &dyn Bind)));
    let rows = all(&mut connection.prepare_cached(&selection(filter))?, &parameters[..], |row| {
        Ok((Cells::new("refused", row).get("seq")?, parse(row)?))
    })?;
    Ok(page.listing(rows))
}

/// The statement for a filter. There are few rows, so a reason needs no index of its own.
fn selection(filter: &RefusedFilter) -> String {
    let mut sql = "select * from refused where seq < :below".to_owned();
    sql += match filter.door {
        Some(_) => " and organization_id = :organization and door = :door",
        None => " and +organization_id = :organization",
    };
    if filter.reason.is_some() {
        sql += " and reason = :reason";
    }
    sql + " order by seq desc limit :limit"
}

fn parse(row: &Row<'_>) -> Result<RefusedRequest> {
    let cells = Cells::new("refused", row);
    Ok(RefusedRequest {
        id: cells.id("id", RefusedId::from_bytes)?,
        organization: cells.id("organization_id", OrganizationId::from_bytes)?,
        refused_at: RefusedAt::from_text(cells.get("door")?),
        at: cells.time("at_ms")?,
        reason: cells.get("reason")?,
        explanation: cells.get("explanation")?,
        detail: cells.json("detail")?,
        request: rows::request(&cells)?,
        body_len: cells.unsigned("body_len")?,
        body_start: cells.bytes("body_start")?,
        count: cells.unsigned("count")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::migrate::tests::plan;

    #[test]
    fn every_list_walks_an_index_in_its_order() {
        for bits in 0..4 {
            let filter =
                RefusedFilter { door: (bits & 1 != 0).then(String::new), reason: (bits & 2 != 0).then(String::new) };
            for sql in [&selection(&filter), DROP_OLD] {
                let plan = plan(sql);
                let detour = |step: &String| step.starts_with("SCAN") || step.starts_with("USE TEMP");
                assert!(!plan.iter().any(detour), "{filter:?}: {plan:?}");
            }
        }
    }
}
