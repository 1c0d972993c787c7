//! What a table's rows come to: how many, and a digest of every value in the order of the key. The audit log's rows are
//! checked against each other on the way.

use sha2::{Digest as _, Sha256};

use super::course::without_zeros;
use super::{Digested, MoveError, Result, Side, Table};
use crate::model::{ChainRow, Checked, Facts, Head, Verifier};
use crate::store::sql::connection::Cell;

/// Rows between two words on progress.
const STEP: u64 = 8_192;

/// Whether texts are taken as they are or as PostgreSQL can hold them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Texts {
    AsTheyAre,
    WithoutZeros,
}

/// Reads all of `tables` and tells `heed` how far it is. With a head, the audit log has to reach it.
pub(super) fn all(
    side: &mut dyn Side,
    tables: &[Table],
    texts: Texts,
    head: Option<Head>,
    heed: &mut dyn FnMut(&Table, u64) -> Result<()>,
) -> Result<(Vec<Digested>, Checked)> {
    let mut verifier = head.into_iter().fold(Verifier::whole(), Verifier::against);
    let mut digested = Vec::with_capacity(tables.len());
    for table in tables {
        let audit = (table.name == "audit").then_some(&mut verifier);
        digested.push(one(side, table, texts, audit, heed)?);
    }
    let broken = |broken: &dyn std::fmt::Display| MoveError::Database {
        database: side.name().to_owned(),
        problem: format!("its audit log does not hold together: {broken}"),
    };
    let checked = verifier.finish().map_err(|error| broken(&error))?;
    Ok((digested, checked))
}

fn one(
    side: &mut dyn Side,
    table: &Table,
    texts: Texts,
    mut audit: Option<&mut Verifier>,
    heed: &mut dyn FnMut(&Table, u64) -> Result<()>,
) -> Result<Digested> {
    let name = side.name().to_owned();
    let (mut sha256, mut rows) = (Sha256::new(), 0);
    side.each(table, None, &mut |cells| {
        for cell in cells {
            add(&mut sha256, cell, texts);
        }
        if let Some(verifier) = &mut audit {
            check(verifier, table, cells).map_err(|problem| MoveError::Database { database: name.clone(), problem })?;
        }
        rows += 1;
        if rows % STEP == 0 {
            heed(table, rows)?;
        }
        Ok(true)
    })?;
    heed(table, rows)?;
    Ok(Digested { table: table.name.clone(), rows, sha256: hex::encode(sha256.finalize()) })
}

/// Each value is its kind, its length where that can differ, and its bytes: no two rows come to the same.
fn add(sha256: &mut Sha256, cell: &Cell<'_>, texts: Texts) {
    let mut sized = |kind: u8, bytes: &[u8]| {
        sha256.update([kind]);
        sha256.update((bytes.len() as u64).to_be_bytes());
        sha256.update(bytes);
    };
    match cell {
        Cell::Null => sha256.update([0]),
        Cell::Integer(value) => {
            sha256.update([1]);
            sha256.update(value.to_be_bytes());
        }
        Cell::Text(text) if texts == Texts::WithoutZeros => sized(2, without_zeros(text).as_bytes()),
        Cell::Text(text) => sized(2, text.as_bytes()),
        Cell::Blob(bytes) => sized(3, bytes),
    }
}

fn check(verifier: &mut Verifier, table: &Table, cells: &[Cell<'_>]) -> std::result::Result<(), String> {
    let cell = |name: &str| cells[table.column(name)];
    let integer = |name: &str| match cell(name) {
        Cell::Integer(value) => value,
        _ => 0,
    };
    let bytes = |name: &str| match cell(name) {
        Cell::Text(text) => text.as_bytes(),
        Cell::Blob(bytes) => bytes,
        Cell::Null | Cell::Integer(_) => &[],
    };
    let facts = Facts {
        organization: bytes("organization_id"),
        at_ms: integer("at_ms"),
        actor: bytes("actor"),
        address: bytes("address"),
        action: bytes("action"),
        target: bytes("target"),
        detail: bytes("detail"),
    };
    let row = ChainRow { seq: integer("seq"), facts, prev: None, hash: bytes("hash") };
    verifier.check(&row).map_err(|broken| format!("its audit log does not hold together: {broken}"))
}
