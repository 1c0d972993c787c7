//! Where events' raw bytes are, and how they are packed. Everything else in the store goes through here, so that they can
//! move out of rows.
//!
//! Bodies are most of what a commit syncs, and mostly JSON: LZ4 makes them a third, for less time than the disk would
//! take, and on the caller's thread instead of the writer's.

use bytes::Bytes;

use super::connection::{Connection, params};
use super::failure::{Failure, Result};
use super::rows::{Cells, first};
use crate::ids::{EventId, OrganizationId};

/// Bodies up to this length are packed: a longer one would hold up its caller's thread for milliseconds.
const PACK_MAX: usize = 1 << 20;

/// Shorter bodies have a page to themselves in any case.
const PACK_MIN: usize = 512;

const RAW: i64 = 0;
const LZ4: i64 = 1;

/// A body as it is kept.
#[derive(Debug)]
pub(in crate::store) struct Packed {
    packing: i64,
    bytes: Bytes,
}

impl Packed {
    /// Whether the bytes are not the raw ones.
    pub(in crate::store) fn is_packed(&self) -> bool {
        self.packing != RAW
    }

    /// The columns `packing` and `bytes`.
    pub(in crate::store) fn columns(&self) -> (i64, &[u8]) {
        (self.packing, &self.bytes)
    }
}

/// The raw bytes behind the columns `packing` and `bytes`.
pub(in crate::store) fn unpacked(cells: &Cells<'_, '_>) -> Result<Bytes> {
    let packed = Packed { packing: cells.get("packing")?, bytes: cells.bytes("bytes")? };
    unpack(packed).map_err(|problem| cells.problem(problem))
}

/// Packs a body, unless that would not make it a good deal shorter.
pub(super) fn pack(body: &Bytes) -> Packed {
    if (PACK_MIN..=PACK_MAX).contains(&body.len()) {
        let block = lz4_flex::block::compress_prepend_size(body);
        if block.len() < body.len() / 8 * 7 {
            return Packed { packing: LZ4, bytes: block.into() };
        }
    }
    Packed { packing: RAW, bytes: body.clone() }
}

/// The raw bytes again.
fn unpack(packed: Packed) -> std::result::Result<Bytes, String> {
    match packed.packing {
        RAW => Ok(packed.bytes),
        LZ4 => {
            let (length, block) =
                lz4_flex::block::uncompressed_size(&packed.bytes).map_err(|error| error.to_string())?;
            if length > PACK_MAX {
                return Err(format!("it claims {length} bytes"));
            }
            lz4_flex::block::decompress(block, length).map(Bytes::from).map_err(|error| error.to_string())
        }
        other => Err(format!("packing {other} is not known")),
    }
}

/// Keeps the body of the event at `event_seq`.
pub(super) fn put(connection: &Connection, event_seq: i64, body: &Packed) -> Result<()> {
    connection
        .prepare_cached("insert into bodies (event_seq, packing, bytes) values (?1, ?2, ?3)")?
        .execute(params![event_seq, body.packing, &body.bytes[..]])?;
    Ok(())
}

/// The body kept for the event at `body_seq`.
pub(super) fn at(connection: &Connection, body_seq: i64) -> Result<Bytes> {
    let sql = "select event_seq as seq, packing, bytes from bodies where event_seq = ?1";
    first(connection, sql, [body_seq], |row| {
        let cells = Cells::new("bodies", row);
        unpacked(&cells)
    })?
    .ok_or_else(|| Failure::inconsistent("bodies", body_seq.to_string(), "there is no such row".to_owned()))
}

/// An event's body, its own or the one that it shares.
pub(super) fn of_event(connection: &Connection, organization: OrganizationId, id: EventId) -> Result<Bytes> {
    let sql = "select seq, case when stripped_at_ms is null then coalesce(body_seq, seq) end as body_seq
               from events where id = ?1 and +organization_id = ?2";
    let parameters = [id.as_bytes(), organization.as_bytes()];
    let seq: Option<i64> = first(connection, sql, parameters, |row| Cells::new("events", row).get("body_seq"))?
        .ok_or_else(|| Failure::not_found(format!("event `{id}`")))?;
    at(connection, seq.ok_or_else(|| removed(id))?)
}

/// What there is to say of an event that was stripped.
pub(super) fn removed(id: EventId) -> Failure {
    Failure::not_found(format!("body of event `{id}` any more: it was removed by retention"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_repeats_is_packed_and_what_is_short_long_or_random_is_not() {
        let repeating = |len: usize| Bytes::from(b"{\"a\":1},".iter().copied().cycle().take(len).collect::<Vec<_>>());
        for (len, packing) in [(PACK_MIN - 1, RAW), (PACK_MIN, LZ4), (PACK_MAX, LZ4), (PACK_MAX + 1, RAW)] {
            let packed = pack(&repeating(len));
            assert_eq!(packed.packing, packing, "{len} bytes");
            assert_eq!(unpack(packed), Ok(repeating(len)));
        }
        let mut state = 1_u64;
        let random = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56).to_le_bytes()[0]
        });
        let random = Bytes::from(random.take(4096).collect::<Vec<u8>>());
        assert_eq!(pack(&random).packing, RAW);
    }

    proptest! {
        #[test]
        fn every_body_comes_back(body in proptest::collection::vec(0_u8..4, 0..3000)) {
            let body = Bytes::from(body);
            prop_assert_eq!(unpack(pack(&body)), Ok(body));
        }

        #[test]
        fn damage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), packing in 0_i64..3) {
            let _ = unpack(Packed { packing, bytes: bytes.into() });
        }
    }
}
