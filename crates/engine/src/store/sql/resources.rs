//! What is declared: sources, destinations, secrets and the engine's own small values.
//! Owns the verbs `change`, `load` and `meta`, and the counts of secrets' uses.

use std::collections::HashMap;

use serde_json::json;

use super::conditions::{forget_condition, hold_pending, release};
use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::rows::{Cells, all, condition, destination_state, destination_state_columns, first, integer, json_text};
use super::writer::{Tx, Uses};
use super::{audit, event_types, order, schemes};
use crate::clock::Timestamp;
use crate::ids::{DestinationId, OrganizationId, SourceId};
use crate::kms::Sealed;
use crate::model::{
    AuditEntry, Declaration, Destination, DestinationKind, DestinationState, Manager, Organization, Principal,
    SealedSecret, SecretOwner, Source,
};
use crate::store::postgres::places::{self, Feed};
use crate::store::{Change, Resources, Revision, StoreError};

pub(super) fn change(tx: &Tx<'_>, changes: &[Change], audit: &[AuditEntry]) -> Result<()> {
    // A change happens when its audit entry says; one without an entry leaves deliveries' own times in place.
    let at = audit.iter().map(|entry| entry.at).max();
    let since = changes.iter().find_map(|change| match change {
        Change::Since(since) => Some(*since),
        _ => None,
    });
    move_on(tx.connection, since)?;
    for change in changes {
        apply(tx.connection, change, at)?;
    }
    audit::append_all(tx, audit)
}

/// Counts a change, unless it was made from what is not so any more. It comes first: whoever else changes something waits here.
pub(super) fn move_on(connection: &Connection, since: Option<i64>) -> Result<()> {
    let Connection::Postgres(_) = connection else { return Ok(()) };
    let sql =
        "update revision set declared = declared + 1, changed = changed + 1 where changed = coalesce(?1, changed)";
    match connection.prepare_cached(sql)?.execute([since])? {
        0 => Err(Failure::Answer(StoreError::Moved)),
        _ => Ok(()),
    }
}

/// Lets other nodes know that what is declared, or a destination's condition, is another one now.
pub(super) fn note_change(connection: &Connection) -> Result<()> {
    if let Connection::Postgres(_) = connection {
        connection.prepare_cached("update revision set declared = declared + 1")?.execute([])?;
    }
    Ok(())
}

pub(super) fn revision(connection: &Connection) -> Result<Revision> {
    let Connection::Postgres(session) = connection else { return Ok(Revision::default()) };
    let fed = places::settled(session, Feed::Events, 0)?.wrapping_add(places::settled(session, Feed::Attempts, 0)?);
    let sql = "select declared, changed, (select coalesce(max(seq), 0) from deliveries) as owed from revision";
    let revision = first(connection, sql, [], |row| {
        let cells = Cells::new("revision", row);
        Ok(Revision { declared: cells.get("declared")?, changed: cells.get("changed")?, owed: cells.get("owed")?, fed })
    })?;
    revision.ok_or_else(|| Failure::inconsistent("revision", "the only one".to_owned(), "it is missing".to_owned()))
}

fn apply(connection: &Connection, change: &Change, at: Option<Timestamp>) -> Result<()> {
    match change {
        Change::Since(_) => Ok(()),
        Change::PutOrganization(organization) => put_organization(connection, organization),
        Change::PutNewSource(source) => put_new_source(connection, source),
        Change::PutSource(source) => put_source(connection, source),
        Change::PutDestination(destination) => put_destination(connection, destination),
        Change::SetDestinationState(id, state) => set_state(connection, *id, state, at),
        Change::PutEventType(event_type) => event_types::put(connection, event_type),
        Change::RemoveEventType(organization, name) => event_types::remove(connection, *organization, name),
        Change::PutScheme(scheme) => schemes::put(connection, scheme),
        Change::RemoveScheme(organization, name) => schemes::remove(connection, *organization, name),
        Change::PutSecret(secret) => put_secret(connection, secret),
        Change::RetireSecret { owner, version, not_after, revoked_at } => {
            retire(connection, *owner, *version, *not_after, *revoked_at)
        }
        Change::PutNewMeta { name, value } => put_new_meta(connection, name, value),
        Change::PutMeta { name, value } => put_meta(connection, name, value),
    }
}

fn put_organization(connection: &Connection, organization: &Organization) -> Result<()> {
    connection
        .prepare_cached(
            "insert into organizations (id, name, key_prefix, created_at_ms, erasing_at_ms) values (?1, ?2, ?3, ?4, ?5)
             on conflict (id) do update set key_prefix = excluded.key_prefix, erasing_at_ms = excluded.erasing_at_ms",
        )?
        .execute(params![
            organization.id.as_bytes(),
            organization.name,
            organization.key_prefix,
            organization.created_at.as_millis(),
            organization.erasing_at.map(Timestamp::as_millis),
        ])?;
    Ok(())
}

fn put_new_source(connection: &Connection, source: &Source) -> Result<()> {
    let sql = "select (select count(*) from organizations where id = ?1 and erasing_at_ms is null) as owners,
                   (select count(*) from sources where organization_id = ?1 and name = ?2) as sources";
    let found = first(connection, sql, params![source.organization.as_bytes(), source.name], |row| {
        let cells = Cells::new("sources", row);
        Ok((cells.get::<i64>("owners")?, cells.get::<i64>("sources")?))
    })?;
    match found {
        Some((1, 0)) => put_source(connection, source),
        _ => Err(Failure::Answer(StoreError::Moved)),
    }
}

fn put_source(connection: &Connection, source: &Source) -> Result<()> {
    connection
        .prepare_cached(
            "insert into sources (id, organization_id, name, spec, created_at_ms, removed_at_ms, declared, managed_by)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             on conflict (id) do update set spec = excluded.spec, removed_at_ms = excluded.removed_at_ms,
                declared = excluded.declared, managed_by = excluded.managed_by",
        )?
        .execute(params![
            source.id.as_bytes(),
            source.organization.as_bytes(),
            source.name,
            json_text(&source.spec),
            source.created_at.as_millis(),
            source.removed_at.map(Timestamp::as_millis),
            json_text(&source.declaration.table),
            source.declaration.manager.name(),
        ])?;
    Ok(())
}

fn put_destination(connection: &Connection, destination: &Destination) -> Result<()> {
    let (state, reason) = destination_state_columns(&destination.state);
    let pulled = matches!(destination.spec.kind, DestinationKind::Pull(_));
    move_outstanding(connection, destination.id, pulled)?;
    if destination.spec.order.is_none() {
        order::dissolve(connection, destination.id)?;
    }
    connection
        .prepare_cached(
            "insert into destinations (id, organization_id, name, spec, state, disabled_reason, created_at_ms, pulled,
                declared, managed_by)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
             on conflict (id) do update set spec = excluded.spec, pulled = excluded.pulled,
                declared = excluded.declared, managed_by = excluded.managed_by",
        )?
        .execute(params![
            destination.id.as_bytes(),
            destination.organization.as_bytes(),
            destination.name,
            json_text(&destination.spec),
            state,
            reason,
            destination.created_at.as_millis(),
            pulled,
            json_text(&destination.declaration.table),
            destination.declaration.manager.name(),
        ])?;
    Ok(())
}

/// A destination that comes to be pulled from, or ceases to be, takes along what it is owed.
fn move_outstanding(connection: &Connection, id: DestinationId, pulled: bool) -> Result<()> {
    let sql = "select pulled from destinations where id = ?1";
    let before = first(connection, sql, [id.as_bytes()], |row| Cells::new("destinations", row).get::<bool>("pulled"))?;
    if before.is_some_and(|before| before != pulled) {
        for owed in ["due_at_ms is not null", "state = 'held'"] {
            let sql = format!("update deliveries set pulled = ?2 where destination_id = ?1 and {owed}");
            connection.prepare_cached(&sql)?.execute(params![id.as_bytes(), pulled])?;
        }
    }
    Ok(())
}

fn set_state(
    connection: &Connection,
    id: DestinationId,
    state: &DestinationState,
    at: Option<Timestamp>,
) -> Result<()> {
    let (text, reason) = destination_state_columns(state);
    let changed = connection
        .prepare_cached("update destinations set state = ?2, disabled_reason = ?3 where id = ?1")?
        .execute(params![id.as_bytes(), text, reason])?;
    if changed == 0 {
        return Err(Failure::not_found(format!("destination `{id}`")));
    }
    match state {
        DestinationState::Active => {
            forget_condition(connection, id)?;
            order::rejoin(connection, id)?;
            release(connection, id, at).map(drop)
        }
        DestinationState::Paused | DestinationState::Disabled { .. } => hold_pending(connection, id, at),
    }
}

/// Disables a destination that no longer wants anything. One that is disabled already keeps its first reason.
/// What an attempt found out about its destination; told once.
pub(super) fn disable(tx: &Tx<'_>, id: DestinationId, reason: &str, at: Timestamp) -> Result<()> {
    let sql = "update destinations set state = 'disabled', disabled_reason = ?2 where id = ?1 and state <> 'disabled'
               returning organization_id, name";
    let disabled = first(tx.connection, sql, params![id.as_bytes(), reason], |row| {
        let cells = Cells::new("destinations", row);
        let organization = cells.id("organization_id", OrganizationId::from_bytes)?;
        Ok((organization, cells.get::<String>("name")?))
    })?;
    hold_pending(tx.connection, id, Some(at))?;
    let Some((organization, name)) = disabled else { return Ok(()) };
    let (by, detail) = (Principal::system(organization), json!({ "reason": reason }));
    audit::append(tx, &AuditEntry::by(&by, "destination.disable", format!("destination:{name}"), at, detail))
}

fn put_secret(connection: &Connection, secret: &SealedSecret) -> Result<()> {
    let (kind, owner) = owner_columns(&secret.owner);
    connection
        .prepare_cached(
            "insert into secrets (owner_kind, owner_id, version, key_id, wrapped_key, ciphertext, not_before_ms,
                not_after_ms, revoked_at_ms, created_at_ms, origin, first_used_at_ms, last_used_at_ms, uses, purpose,
                last_accepted_at_ms)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
        )?
        .execute(params![
            kind,
            owner,
            secret.version,
            secret.sealed.key_id,
            secret.sealed.wrapped_key,
            secret.sealed.ciphertext,
            secret.not_before.as_millis(),
            secret.not_after.map(Timestamp::as_millis),
            secret.revoked_at.map(Timestamp::as_millis),
            secret.created_at.as_millis(),
            secret.origin,
            secret.first_used_at.map(Timestamp::as_millis),
            secret.last_used_at.map(Timestamp::as_millis),
            integer(secret.uses),
            secret.purpose,
            secret.last_accepted_at.map(Timestamp::as_millis),
        ])?;
    Ok(())
}

/// A revocation is never taken back: `None` keeps the one that is there.
fn retire(
    connection: &Connection,
    owner: SecretOwner,
    version: u32,
    not_after: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
) -> Result<()> {
    let (kind, id) = owner_columns(&owner);
    let changed = connection
        .prepare_cached(
            "update secrets set not_after_ms = ?4, revoked_at_ms = coalesce(revoked_at_ms, ?5)
             where owner_kind = ?1 and owner_id = ?2 and version = ?3",
        )?
        .execute(params![
            kind,
            id,
            version,
            not_after.map(Timestamp::as_millis),
            revoked_at.map(Timestamp::as_millis)
        ])?;
    if changed == 0 {
        return Err(Failure::not_found(format!("version {version} of the secret of {kind} `{}`", hex::encode(id))));
    }
    Ok(())
}

/// Adds a group's uses, one statement for each secret.
pub(super) fn write_uses(connection: &Connection, uses: &HashMap<(SecretOwner, u32), Uses>) -> Result<()> {
    for ((owner, version), uses) in uses {
        let (kind, id) = owner_columns(owner);
        let sql = "update secrets
                   set uses = uses + ?4, first_used_at_ms = min(coalesce(first_used_at_ms, ?5), ?5),
                       last_used_at_ms = max(coalesce(last_used_at_ms, ?6), ?6),
                       last_accepted_at_ms = max(coalesce(last_accepted_at_ms, ?7), coalesce(?7, last_accepted_at_ms))
                   where owner_kind = ?1 and owner_id = ?2 and version = ?3";
        connection.prepare_cached(sql)?.execute(params![
            kind,
            id,
            version,
            uses.count,
            uses.first.as_millis(),
            uses.last.as_millis(),
            uses.accepted.map(Timestamp::as_millis),
        ])?;
    }
    Ok(())
}

pub(in crate::store) fn owner_columns(owner: &SecretOwner) -> (&'static str, &[u8; 16]) {
    match owner {
        SecretOwner::Source(id) => ("source", id.as_bytes()),
        SecretOwner::Destination(id) => ("destination", id.as_bytes()),
    }
}

fn put_new_meta(connection: &Connection, name: &str, value: &[u8]) -> Result<()> {
    let sql = "insert into meta (name, value) values (?1, ?2)
               on conflict (name) do update set value = excluded.value where length(meta.value) = 0";
    match connection.prepare_cached(sql)?.execute(params![name, value])? {
        0 => Err(Failure::Answer(StoreError::Moved)),
        _ => Ok(()),
    }
}

pub(super) fn put_meta(connection: &Connection, name: &str, value: &[u8]) -> Result<()> {
    connection
        .prepare_cached(
            "insert into meta (name, value) values (?1, ?2) on conflict (name) do update set value = excluded.value",
        )?
        .execute(params![name, value])?;
    Ok(())
}

pub(super) fn meta(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>> {
    first(connection, "select name, value from meta where name = ?1", [name], |row| {
        Cells::new("meta", row).get("value")
    })
}

pub(super) fn load(connection: &Connection) -> Result<Resources> {
    // One transaction, so that no secret is seen without its owner.
    let snapshot = connection.snapshot()?;
    Ok(Resources {
        organizations: organizations(&snapshot)?,
        sources: sources(&snapshot)?,
        destinations: destinations(&snapshot)?,
        event_types: event_types::load(&snapshot)?,
        schemes: schemes::load(&snapshot)?,
        secrets: secrets(&snapshot)?,
    })
}

fn organizations(connection: &Connection) -> Result<Vec<Organization>> {
    all(&mut connection.prepare_cached("select * from organizations order by name")?, [], |row| {
        let cells = Cells::new("organizations", row);
        Ok(Organization {
            id: cells.id("id", OrganizationId::from_bytes)?,
            name: cells.get("name")?,
            key_prefix: cells.get("key_prefix")?,
            created_at: cells.time("created_at_ms")?,
            erasing_at: cells.optional_time("erasing_at_ms")?,
        })
    })
}

pub(super) fn declaration(cells: &Cells<'_, '_>) -> Result<Declaration> {
    let manager = |text: &str| [Manager::File, Manager::Api].into_iter().find(|manager| manager.name() == text);
    Ok(Declaration { table: cells.json("declared")?, manager: cells.parsed("managed_by", manager)? })
}

fn sources(connection: &Connection) -> Result<Vec<Source>> {
    all(&mut connection.prepare_cached("select * from sources order by name")?, [], |row| {
        let cells = Cells::new("sources", row);
        Ok(Source {
            id: cells.id("id", SourceId::from_bytes)?,
            organization: cells.id("organization_id", OrganizationId::from_bytes)?,
            name: cells.get("name")?,
            spec: cells.json("spec")?,
            declaration: declaration(&cells)?,
            created_at: cells.time("created_at_ms")?,
            removed_at: cells.optional_time("removed_at_ms")?,
        })
    })
}

fn destinations(connection: &Connection) -> Result<Vec<Destination>> {
    all(&mut connection.prepare_cached("select * from destinations order by name")?, [], |row| {
        let cells = Cells::new("destinations", row);
        Ok(Destination {
            id: cells.id("id", DestinationId::from_bytes)?,
            organization: cells.id("organization_id", OrganizationId::from_bytes)?,
            name: cells.get("name")?,
            spec: cells.json("spec")?,
            declaration: declaration(&cells)?,
            state: destination_state(&cells)?,
            condition: condition(&cells)?,
            created_at: cells.time("created_at_ms")?,
        })
    })
}

fn secrets(connection: &Connection) -> Result<Vec<SealedSecret>> {
    let secrets = match connection {
        Connection::Sqlite(_) => "secrets",
        Connection::Postgres(_) => "secrets_used",
    };
    let sql = format!("select * from {secrets} order by owner_kind, owner_id, version desc");
    all(&mut connection.prepare_cached(&sql)?, [], |row| {
        let cells = Cells::new("secrets", row);
        let owner = match cells.text("owner_kind")? {
            "source" => SecretOwner::Source(cells.id("owner_id", SourceId::from_bytes)?),
            "destination" => SecretOwner::Destination(cells.id("owner_id", DestinationId::from_bytes)?),
            other => return Err(cells.problem(format!("column `owner_kind` is `{other}`, which means nothing"))),
        };
        Ok(SealedSecret {
            owner,
            version: cells.unsigned("version")?,
            sealed: Sealed {
                key_id: cells.get("key_id")?,
                wrapped_key: cells.get("wrapped_key")?,
                ciphertext: cells.get("ciphertext")?,
            },
            not_before: cells.time("not_before_ms")?,
            not_after: cells.optional_time("not_after_ms")?,
            revoked_at: cells.optional_time("revoked_at_ms")?,
            created_at: cells.time("created_at_ms")?,
            origin: cells.get("origin")?,
            first_used_at: cells.optional_time("first_used_at_ms")?,
            last_used_at: cells.optional_time("last_used_at_ms")?,
            uses: cells.unsigned("uses")?,
            purpose: cells.get("purpose")?,
            last_accepted_at: cells.optional_time("last_accepted_at_ms")?,
        })
    })
}
