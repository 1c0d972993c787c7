//! What programs wrote, an output for each attempt that ran one. Packed as bodies are.

use super::bodies::{self, Packed};
use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::rows::{Cells, first, integer};
use crate::ids::{DeliveryId, OrganizationId};
use crate::model::KeptOutput;

/// An output as it is kept.
#[derive(Debug)]
pub(in crate::store) struct PackedOutput {
    total_bytes: u64,
    packed: Packed,
}

pub(super) fn pack(output: &KeptOutput) -> PackedOutput {
    PackedOutput { total_bytes: output.total_bytes, packed: bodies::pack(&output.bytes) }
}

/// Keeps the output of an attempt.
pub(super) fn put(connection: &Connection, delivery_seq: i64, number: u32, output: &PackedOutput) -> Result<()> {
    let (packing, bytes) = output.packed.columns();
    connection
        .prepare_cached(
            "insert into outputs (delivery_seq, number, total_bytes, packing, bytes) values (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![delivery_seq, number, integer(output.total_bytes), packing, bytes])?;
    Ok(())
}

/// The output of an attempt, the last one that has any unless `number` says which.
pub(super) fn of_delivery(
    connection: &Connection,
    organization: OrganizationId,
    delivery: DeliveryId,
    number: Option<u32>,
) -> Result<Option<KeptOutput>> {
    let sql = "select seq from deliveries where id = ?1 and +organization_id = ?2";
    let parameters = [delivery.as_bytes(), organization.as_bytes()];
    let seq = first(connection, sql, parameters, |row| Cells::new("deliveries", row).get::<i64>("seq"))?;
    let seq = seq.ok_or_else(|| Failure::not_found(format!("delivery `{delivery}`")))?;
    let sql = "select delivery_seq as seq, total_bytes, packing, bytes from outputs
               where delivery_seq = ?1 and number = coalesce(?2, number) order by number desc limit 1";
    first(connection, sql, params![seq, number], |row| {
        let cells = Cells::new("outputs", row);
        Ok(KeptOutput { total_bytes: cells.unsigned("total_bytes")?, bytes: bodies::unpacked(&cells)? })
    })
}
