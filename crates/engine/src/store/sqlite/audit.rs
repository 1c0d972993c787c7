//! The audit log: entries are appended and read, never changed.

use rusqlite::{Connection, named_params, params};

use super::failure::Result;
use super::rows::{Cells, all, belongs, json_text};
use crate::ids::OrganizationId;
use crate::model::AuditEntry;
use crate::store::{AuditRow, Listing, Page};

pub(super) fn append(connection: &Connection, entry: &AuditEntry) -> Result<()> {
    append_with_detail(connection, entry, &json_text(&entry.detail))
}

pub(super) fn append_all(connection: &Connection, entries: &[AuditEntry]) -> Result<()> {
    entries.iter().try_for_each(|entry| append(connection, entry))
}

/// Appends `entry` with `name: value` added to its detail.
pub(super) fn append_with(connection: &Connection, entry: &AuditEntry, name: &str, value: String) -> Result<()> {
    let mut detail = entry.detail.as_object().cloned().unwrap_or_default();
    detail.insert(name.to_owned(), value.into());
    append_with_detail(connection, entry, &json_text(&detail))
}

/// Appends `entry` with `detail`, which is JSON, in place of its own.
pub(super) fn append_with_detail(connection: &Connection, entry: &AuditEntry, detail: &str) -> Result<()> {
    connection
        .prepare_cached(
            "
            insert into audit (organization_id, at_ms, actor, address, action, target, detail)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            entry.organization.as_bytes(),
            entry.at.as_millis(),
            entry.actor,
            entry.address,
            entry.action,
            entry.target,
            detail,
        ])?;
    Ok(())
}

pub(super) fn list(connection: &Connection, organization: OrganizationId, page: Page) -> Result<Listing<AuditRow>> {
    let belongs = belongs(organization, "organization_id", false);
    let sql = format!("select * from audit where seq < :below and {belongs} order by seq desc limit :limit");
    let parameters =
        named_params! { ":below": page.below(), ":limit": page.rows(), ":organization": organization.as_bytes() };
    let rows = all(&mut connection.prepare_cached(&sql)?, parameters, |row| {
        let cells = Cells::new("audit", row);
        let entry = AuditEntry {
            organization,
            address: cells.get("address")?,
            actor: cells.get("actor")?,
            action: cells.get("action")?,
            target: cells.get("target")?,
            at: cells.time("at_ms")?,
            detail: cells.json("detail")?,
        };
        let seq = cells.get("seq")?;
        Ok((seq, AuditRow { seq, entry }))
    })?;
    Ok(page.listing(rows))
}
