//! The types of events that are declared: reading and writing their rows.

use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::resources::declaration;
use super::rows::{Cells, all, json_text};
use crate::ids::OrganizationId;
use crate::model::EventType;

pub(super) fn put(connection: &Connection, event_type: &EventType) -> Result<()> {
    connection
        .prepare_cached(
            "insert into event_types (organization_id, name, spec, created_at_ms, declared, managed_by)
             values (?1, ?2, ?3, ?4, ?5, ?6)
             on conflict (organization_id, name) do update set spec = excluded.spec, declared = excluded.declared,
                managed_by = excluded.managed_by",
        )?
        .execute(params![
            event_type.organization.as_bytes(),
            event_type.name,
            json_text(&event_type.spec),
            event_type.created_at.as_millis(),
            json_text(&event_type.declaration.table),
            event_type.declaration.manager.name(),
        ])?;
    Ok(())
}

pub(super) fn remove(connection: &Connection, organization: OrganizationId, name: &str) -> Result<()> {
    let removed = connection
        .prepare_cached("delete from event_types where organization_id = ?1 and name = ?2")?
        .execute(params![organization.as_bytes(), name])?;
    if removed == 0 {
        return Err(Failure::not_found(format!("event type `{name}`")));
    }
    Ok(())
}

pub(super) fn load(connection: &Connection) -> Result<Vec<EventType>> {
    all(&mut connection.prepare_cached("select * from event_types order by organization_id, name")?, [], |row| {
        let cells = Cells::new("event_types", row);
        Ok(EventType {
            organization: cells.id("organization_id", OrganizationId::from_bytes)?,
            name: cells.get("name")?,
            spec: cells.json("spec")?,
            declaration: declaration(&cells)?,
            created_at: cells.time("created_at_ms")?,
        })
    })
}
