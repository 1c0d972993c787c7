//! The audit log: entries are appended to the chain and read, never changed.

use async_trait::async_trait;

use super::SqlStore;
use super::connection::{Bind, Connection, Row, named_params, params};
use super::failure::Result;
use super::look::{self, Selection, Timed};
use super::rows::{Cells, all, belongs, first, json_text, span};
use super::writer::Tx;
use crate::clock::Timestamp;
use crate::ids::OrganizationId;
use crate::model::{AuditEntry, ChainHash, Facts, Head};
use crate::store::{AuditFilter, AuditLog, AuditRange, AuditRow, KeptRow, Listing, Page, StoreError};

#[async_trait]
impl AuditLog for SqlStore {
    async fn audit_matching(
        &self,
        organization: OrganizationId,
        filter: AuditFilter,
        page: Page,
    ) -> std::result::Result<Listing<AuditRow>, StoreError> {
        self.readers.read(move |connection| list(connection, organization, &filter, page)).await
    }

    async fn audit_head(&self) -> std::result::Result<Head, StoreError> {
        self.readers.read(head).await
    }

    async fn audit_rows(&self, range: AuditRange) -> std::result::Result<Vec<KeptRow>, StoreError> {
        self.readers.read(move |connection| rows(connection, range)).await
    }
}

pub(in crate::store) fn append(tx: &Tx<'_>, entry: &AuditEntry) -> Result<()> {
    append_with_detail(tx, entry, &json_text(&entry.detail))
}

pub(super) fn append_all(tx: &Tx<'_>, entries: &[AuditEntry]) -> Result<()> {
    entries.iter().try_for_each(|entry| append(tx, entry))
}

/// Appends `entry` with `name: value` added to its detail.
pub(super) fn append_with(tx: &Tx<'_>, entry: &AuditEntry, name: &str, value: String) -> Result<()> {
    let mut detail = entry.detail.as_object().cloned().unwrap_or_default();
    detail.insert(name.to_owned(), value.into());
    append_with_detail(tx, entry, &json_text(&detail))
}

/// An entry that is appended when its transaction ends.
#[derive(Debug)]
pub(in crate::store) struct Unchained {
    pub(in crate::store) entry: AuditEntry,
    /// JSON, in place of the entry's own.
    pub(in crate::store) detail: String,
}

/// Appends `entry` with `detail`, which is JSON, in place of its own.
pub(in crate::store) fn append_with_detail(tx: &Tx<'_>, entry: &AuditEntry, detail: &str) -> Result<()> {
    if let Connection::Postgres(_) = tx.connection {
        tx.to_chain.borrow_mut().push(Unchained { entry: entry.clone(), detail: detail.to_owned() });
        return Ok(());
    }
    let facts = Facts {
        organization: entry.organization.as_bytes(),
        at_ms: entry.at.as_millis(),
        actor: entry.actor.as_bytes(),
        address: entry.address.as_bytes(),
        action: entry.action.as_bytes(),
        target: entry.target.as_bytes(),
        detail: detail.as_bytes(),
    };
    let head = head_of(tx)?.then(&facts);
    let hash = head.hash.as_bytes();
    tx.connection.prepare_cached(INSERT)?.execute(params![
        head.seq,
        facts.organization,
        facts.at_ms,
        entry.actor,
        entry.address,
        entry.action,
        entry.target,
        detail,
        hash
    ])?;
    tx.audit_head.set(Some(head));
    Ok(())
}

/// The chain's head as this transaction sees it: read once for a group, which is all that writes meanwhile.
fn head_of(tx: &Tx<'_>) -> Result<Head> {
    tx.audit_head.get().map_or_else(|| head(tx.connection), Ok)
}

pub(in crate::store) const INSERT: &str =
    "insert into audit (seq, organization_id, at_ms, actor, address, action, target, detail, hash)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// The last row's position and hash.
pub(in crate::store) fn head(connection: &Connection) -> Result<Head> {
    let last = first(connection, "select seq, hash from audit order by seq desc limit 1", [], |row| {
        let cells = Cells::new("audit", row);
        Ok(Head { seq: cells.get("seq")?, hash: ChainHash::from_bytes(cells.get("hash")?) })
    })?;
    Ok(last.unwrap_or(Head::START))
}

pub(super) fn list(
    connection: &Connection,
    organization: OrganizationId,
    filter: &AuditFilter,
    page: Page,
) -> Result<Listing<AuditRow>> {
    let organization_id = *organization.as_bytes();
    let (since, until) = (filter.since.map(Timestamp::as_millis), filter.until.map(Timestamp::as_millis));
    let mut parameters: Vec<(&str, &dyn Bind)> = vec![(":organization", &organization_id)];
    parameters.extend(asked(filter).into_iter().filter_map(|(_, name, value)| Some((name, value? as &dyn Bind))));
    parameters.extend(since.as_ref().map(|at| (":from", at as &dyn Bind)));
    parameters.extend(until.as_ref().map(|at| (":until", at as &dyn Bind)));
    let between = Timed::AUDIT.between(connection, (filter.since, filter.until), page)?;
    selection(organization, filter).page(connection, page, between, &parameters, |row| {
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
        Ok((seq, AuditRow { seq, entry, hash: ChainHash::from_bytes(cells.get("hash")?) }))
    })
}

/// What may be asked of an entry: the condition, its value's name, and the value.
fn asked(filter: &AuditFilter) -> [(&'static str, &'static str, Option<&String>); 3] {
    [
        ("actor = :actor", ":actor", filter.actor.as_ref()),
        ("action = :action", ":action", filter.action.as_ref()),
        ("target = :target", ":target", filter.target.as_ref()),
    ]
}

/// The statements for a filter. The log has no index of what is asked of an entry, so each look is over the next entries.
pub(super) fn selection(organization: OrganizationId, filter: &AuditFilter) -> Selection {
    let mut walked = "seq > :after and seq < :below".to_owned();
    let belongs = format!(" and {}", belongs(organization, "organization_id", false));
    if organization != OrganizationId::DEFAULT {
        walked += &belongs;
    }
    let asked = asked(filter).into_iter().filter(|(.., value)| value.is_some());
    let mut asked: String = asked.map(|(condition, ..)| format!(" and {condition}")).collect();
    let end = (!asked.is_empty()).then(|| look::end("audit", "seq", &walked));
    asked += &belongs;
    asked += span("at_ms", filter.since, filter.until).as_str();
    Selection { list: format!("select * from audit where {walked}{asked} order by seq desc limit :limit"), end }
}

pub(in crate::store) fn rows(connection: &Connection, range: AuditRange) -> Result<Vec<KeptRow>> {
    // Bound in either case, so that one list of parameters serves both.
    let organization = range.organization.unwrap_or(OrganizationId::DEFAULT);
    let belongs = match range.organization {
        Some(organization) => belongs(organization, "organization_id", false),
        None => "cast(:organization as blob) is not null".to_owned(),
    };
    let sql = format!(
        "select *, (select before.hash from audit before where before.seq = audit.seq - 1) as prev from audit
         where seq > :after and seq <= :until and {belongs} order by seq limit :limit"
    );
    let parameters = named_params! {
        ":after": range.after, ":until": range.until, ":limit": range.limit, ":organization": organization.as_bytes(),
    };
    all(&mut connection.prepare_cached(&sql)?, parameters, kept_row)
}

fn kept_row(row: &Row<'_>) -> Result<KeptRow> {
    let cells = Cells::new("audit", row);
    let seq = cells.get("seq")?;
    let prev = cells.get::<Option<[u8; 32]>>("prev")?.map_or(ChainHash::START, ChainHash::from_bytes);
    Ok(KeptRow {
        seq,
        organization: cells.id("organization_id", OrganizationId::from_bytes)?,
        at: cells.time("at_ms")?,
        actor: cells.get("actor")?,
        address: cells.get("address")?,
        action: cells.get("action")?,
        target: cells.get("target")?,
        detail: cells.get("detail")?,
        prev,
        hash: ChainHash::from_bytes(cells.get("hash")?),
    })
}
