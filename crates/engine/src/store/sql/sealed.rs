//! What is sealed, wherever it is kept: the verbs of `SealedValues`. A table with sealed values joins here.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::SqlStore;
use super::connection::{Connection, params};
use super::failure::Result;
use super::resources::owner_columns;
use super::rows::{Cells, all, first, json_text};
use super::writer::Tx;
use super::{audit, resources};
use crate::ids::{DestinationId, OrganizationId, SourceId, UserId};
use crate::kms::Sealed;
use crate::model::{AuditEntry, SecretOwner};
use crate::opening::INSTALLATION_KEY;
use crate::store::{Resealed, RewrapNote, SealedPlace, SealedValue, SealedValues, StoreError};

const SECRETS: &str = "select owner_kind, owner_id, version, key_id, wrapped_key, ciphertext, organization_id
    from secrets join (select id, organization_id from sources union all select id, organization_id from destinations)
        as owners on id = owner_id
    where key_id <> ?1 and (owner_kind, owner_id, version) > (?2, ?3, ?4)
    order by owner_kind, owner_id, version limit ?5";

const TOTP: &str = "select id, organization_id, totp_sealed from users
    where totp_sealed is not null and json_extract(totp_sealed, '$.key_id') <> ?1 and id > ?2 order by id limit ?3";

const COUNTS: &str = "select key_id, count(*) as count from (
        select key_id from secrets
        union all select json_extract(totp_sealed, '$.key_id') from users where totp_sealed is not null) as sealed
    group by key_id order by key_id";

#[async_trait]
impl SealedValues for SqlStore {
    async fn sealed_elsewhere(
        &self,
        key_id: &str,
        after: Option<SealedPlace>,
        limit: u32,
    ) -> std::result::Result<Vec<SealedValue>, StoreError> {
        let key_id = key_id.to_owned();
        self.readers.read(move |connection| elsewhere(connection, &key_id, after.as_ref(), limit)).await
    }

    async fn reseal(
        &self,
        values: Vec<Resealed>,
        note: RewrapNote,
        entries: Vec<AuditEntry>,
    ) -> std::result::Result<(), StoreError> {
        self.writer.submit(move |tx| reseal(tx, &values, &note, &entries)).await
    }

    async fn sealed_counts(&self) -> std::result::Result<Vec<(String, u64)>, StoreError> {
        self.readers.read(counts).await
    }
}

fn elsewhere(
    connection: &Connection,
    key_id: &str,
    after: Option<&SealedPlace>,
    limit: u32,
) -> Result<Vec<SealedValue>> {
    let (mut secret, mut totp) = (Some(("", [0; 16], 0)), Some([0; 16]));
    match after {
        None => {}
        Some(SealedPlace::Secret { owner, version, .. }) => {
            let (kind, id) = owner_columns(owner);
            secret = Some((kind, *id, *version));
        }
        Some(SealedPlace::Totp { user, .. }) => (secret, totp) = (None, Some(*user.as_bytes())),
        Some(SealedPlace::InstallationKey) => (secret, totp) = (None, None),
    }
    let mut found = Vec::new();
    if let Some(after) = secret {
        found = secrets(connection, key_id, after, limit)?;
    }
    let room = |found: &Vec<SealedValue>| limit.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
    if let (Some(after), 1..) = (totp, room(&found)) {
        let room = room(&found);
        found.extend(factors(connection, key_id, after, room)?);
    }
    if after != Some(&SealedPlace::InstallationKey) && room(&found) > 0 {
        let kept = installation_key(connection)?.filter(|sealed| sealed.key_id != key_id);
        found.extend(kept.map(|sealed| SealedValue { place: SealedPlace::InstallationKey, sealed }));
    }
    Ok(found)
}

fn secrets(
    connection: &Connection,
    key_id: &str,
    (kind, id, version): (&str, [u8; 16], u32),
    limit: u32,
) -> Result<Vec<SealedValue>> {
    all(&mut connection.prepare_cached(SECRETS)?, params![key_id, kind, id, version, limit], |row| {
        let cells = Cells::new("secrets", row);
        let owner = match cells.text("owner_kind")? {
            "source" => SecretOwner::Source(cells.id("owner_id", SourceId::from_bytes)?),
            "destination" => SecretOwner::Destination(cells.id("owner_id", DestinationId::from_bytes)?),
            other => return Err(cells.problem(format!("column `owner_kind` is `{other}`, which means nothing"))),
        };
        let organization = cells.id("organization_id", OrganizationId::from_bytes)?;
        let place = SealedPlace::Secret { organization, owner, version: cells.unsigned("version")? };
        let sealed = Sealed {
            key_id: cells.get("key_id")?,
            wrapped_key: cells.get("wrapped_key")?,
            ciphertext: cells.get("ciphertext")?,
        };
        Ok(SealedValue { place, sealed })
    })
}

fn factors(connection: &Connection, key_id: &str, after: [u8; 16], limit: u32) -> Result<Vec<SealedValue>> {
    all(&mut connection.prepare_cached(TOTP)?, params![key_id, after, limit], |row| {
        let cells = Cells::new("users", row);
        let organization = cells.id("organization_id", OrganizationId::from_bytes)?;
        let place = SealedPlace::Totp { organization, user: cells.id("id", UserId::from_bytes)? };
        Ok(SealedValue { place, sealed: cells.json("totp_sealed")? })
    })
}

fn counts(connection: &Connection) -> Result<Vec<(String, u64)>> {
    let snapshot = connection.snapshot()?;
    let counts = all(&mut snapshot.prepare_cached(COUNTS)?, [], |row| {
        let cells = Cells::new("secrets", row);
        Ok((cells.get("key_id")?, cells.unsigned("count")?))
    })?;
    let mut counts: BTreeMap<String, u64> = counts.into_iter().collect();
    if let Some(kept) = installation_key(&snapshot)? {
        *counts.entry(kept.key_id).or_default() += 1;
    }
    Ok(counts.into_iter().collect())
}

/// Whether any key was ever needed. An installation key that is damaged, or was given up, was sealed under one.
pub(super) fn is_anything(connection: &Connection) -> Result<bool> {
    Ok(resources::meta(connection, INSTALLATION_KEY)?.is_some() || !counts(connection)?.is_empty())
}

/// Absent as well when it is no sealed value: then it is damaged, and whoever opens it says so.
fn installation_key(connection: &Connection) -> Result<Option<Sealed>> {
    let kept = resources::meta(connection, INSTALLATION_KEY)?;
    Ok(kept.and_then(|value| serde_json::from_slice(&value).ok()))
}

fn reseal(tx: &Tx<'_>, values: &[Resealed], note: &RewrapNote, entries: &[AuditEntry]) -> Result<()> {
    values.iter().try_for_each(|value| replace(tx.connection, value))?;
    resources::put_meta(tx.connection, note.name, &note.value)?;
    audit::append_all(tx, entries)
}

/// Compares and swaps: what was changed meanwhile stays as it is.
fn replace(connection: &Connection, Resealed { place, before, after }: &Resealed) -> Result<()> {
    match place {
        SealedPlace::Secret { owner, version, .. } => {
            let (kind, id) = owner_columns(owner);
            connection
                .prepare_cached(
                    "update secrets set key_id = ?4, wrapped_key = ?5, ciphertext = ?6
                     where owner_kind = ?1 and owner_id = ?2 and version = ?3
                         and key_id = ?7 and wrapped_key = ?8 and ciphertext = ?9",
                )?
                .execute(params![
                    kind,
                    id,
                    version,
                    after.key_id,
                    after.wrapped_key,
                    after.ciphertext,
                    before.key_id,
                    before.wrapped_key,
                    before.ciphertext
                ])?;
        }
        SealedPlace::Totp { user, .. } => {
            let sql = "select id, totp_sealed from users where id = ?1 and totp_sealed is not null";
            let now: Option<Sealed> =
                first(connection, sql, [user.as_bytes()], |row| Cells::new("users", row).json("totp_sealed"))?;
            if now.as_ref() == Some(before) {
                connection
                    .prepare_cached("update users set totp_sealed = ?2 where id = ?1")?
                    .execute(params![user.as_bytes(), json_text(after)])?;
            }
        }
        SealedPlace::InstallationKey => {
            if installation_key(connection)?.as_ref() == Some(before) {
                resources::put_meta(connection, INSTALLATION_KEY, json_text(after).as_bytes())?;
            }
        }
    }
    Ok(())
}
