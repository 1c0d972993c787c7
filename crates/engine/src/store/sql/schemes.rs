//! The private schemes that are declared: reading and writing their rows.

use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::resources::declaration;
use super::rows::{Cells, all, json_text};
use crate::ids::OrganizationId;
use crate::model::PrivateScheme;

pub(super) fn put(connection: &Connection, scheme: &PrivateScheme) -> Result<()> {
    connection
        .prepare_cached(
            "insert into schemes
                (organization_id, name, toml, version, created_at_ms, updated_at_ms, declared, managed_by)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             on conflict (organization_id, name) do update set toml = excluded.toml, version = excluded.version,
                updated_at_ms = excluded.updated_at_ms, declared = excluded.declared, managed_by = excluded.managed_by",
        )?
        .execute(params![
            scheme.organization.as_bytes(),
            scheme.name,
            scheme.toml,
            scheme.version,
            scheme.created_at.as_millis(),
            scheme.updated_at.as_millis(),
            json_text(&scheme.declaration.table),
            scheme.declaration.manager.name(),
        ])?;
    Ok(())
}

pub(super) fn remove(connection: &Connection, organization: OrganizationId, name: &str) -> Result<()> {
    let removed = connection
        .prepare_cached("delete from schemes where organization_id = ?1 and name = ?2")?
        .execute(params![organization.as_bytes(), name])?;
    if removed == 0 {
        return Err(Failure::not_found(format!("scheme `{name}`")));
    }
    Ok(())
}

pub(super) fn load(connection: &Connection) -> Result<Vec<PrivateScheme>> {
    all(&mut connection.prepare_cached("select * from schemes order by organization_id, name")?, [], |row| {
        let cells = Cells::new("schemes", row);
        Ok(PrivateScheme {
            organization: cells.id("organization_id", OrganizationId::from_bytes)?,
            name: cells.get("name")?,
            toml: cells.get("toml")?,
            version: cells.unsigned("version")?,
            declaration: declaration(&cells)?,
            created_at: cells.time("created_at_ms")?,
            updated_at: cells.time("updated_at_ms")?,
        })
    })
}
