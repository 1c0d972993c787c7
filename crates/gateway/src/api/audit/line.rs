//! One row of the audit log as a line of JSON. Owns its one spelling: a line that is not byte for byte what is written here
//! for what it says is none.

use hookward_engine::clock::Timestamp;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::ChainHash;
use hookward_engine::store::KeptRow;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::time;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seq: i64,
    at: String,
    organization: OrganizationId,
    actor: String,
    address: String,
    action: String,
    target: String,
    /// Letter for letter what was hashed.
    detail: Box<RawValue>,
    prev: String,
    hash: String,
}

/// The line of a row, its end included.
///
/// # Errors
///
/// One sentence when the row's details are no JSON: somebody else wrote them.
pub(crate) fn write(row: &KeptRow) -> Result<String, String> {
    let detail = RawValue::from_string(row.detail.clone());
    let line = Line {
        seq: row.seq,
        at: time(row.at),
        organization: row.organization,
        actor: row.actor.clone(),
        address: row.address.clone(),
        action: row.action.clone(),
        target: row.target.clone(),
        detail: detail.map_err(|error| format!("row {}: its details are no JSON: {error}", row.seq))?,
        prev: row.prev.to_string(),
        hash: row.hash.to_string(),
    };
    Ok(serde_json::to_string(&line).expect("its keys are texts") + "\n")
}

/// The row that a line tells of, `None` if it is not exactly the line of a row.
pub(crate) fn read(bytes: &[u8]) -> Option<KeptRow> {
    let text = std::str::from_utf8(bytes).ok()?;
    let line: Line = serde_json::from_str(text.strip_suffix('\n')?).ok()?;
    let at: jiff::Timestamp = line.at.parse().ok()?;
    let row = KeptRow {
        seq: line.seq,
        organization: line.organization,
        at: Timestamp::from_millis(at.as_millisecond()),
        actor: line.actor,
        address: line.address,
        action: line.action,
        target: line.target,
        detail: line.detail.get().to_owned(),
        prev: hash(&line.prev)?,
        hash: hash(&line.hash)?,
    };
    (write(&row).ok()?.as_bytes() == bytes).then_some(row)
}

fn hash(text: &str) -> Option<ChainHash> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use hookward_engine::model::{ChainRow, Head, Verifier};

    use super::*;

    fn rows(count: i64) -> Vec<KeptRow> {
        let mut head = Head::START;
        let row = |n: i64| {
            let mut row = KeptRow {
                seq: n,
                organization: OrganizationId::DEFAULT,
                at: Timestamp::from_millis(1_763_800_000_000 + n * 977),
                actor: "source:github".to_owned(),
                address: "192.0.2.7".to_owned(),
                action: if n % 7 == 0 { "webhook.refused" } else { "webhook.deliver" }.to_owned(),
                target: "source:github".to_owned(),
                detail: format!(r#"{{"delivery_id":"d-{n}","event":"push \"ü\" {}"}}"#, n * 37 % 101),
                prev: head.hash,
                hash: head.hash,
            };
            head = head.then(&row.facts());
            row.hash = head.hash;
            row
        };
        (1..=count).map(row).collect()
    }

    fn check(verifier: &mut Verifier, line: &[u8]) -> bool {
        let Some(row) = read(line) else { return false };
        let prev = Some(row.prev.as_bytes().as_slice());
        verifier.check(&ChainRow { seq: row.seq, facts: row.facts(), prev, hash: row.hash.as_bytes() }).is_ok()
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        for row in rows(20) {
            assert_eq!(read(write(&row).unwrap().as_bytes()).as_ref(), Some(&row));
        }
        let line = write(&rows(1)[0]).unwrap();
        let spellings = [
            line.trim_end().to_owned(),
            line.replace("\n", "\r\n"),
            line.replacen(':', ": ", 1),
            line.replacen("\"seq\":1", "\"seq\":1,\"seq\":1", 1),
            line.replacen("192.0.2.7", "192\\u002e0.2.7", 1),
            line.replacen("Z\"", "+00:00\"", 1),
            line.to_uppercase(),
            format!(" {line}"),
        ];
        for other in spellings {
            assert_ne!(other, line);
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
    }

    /// Each byte of an export of 1,000 rows in turn: the line that it is in no longer stands, checked from the row before.
    #[test]
    fn every_byte_of_a_thousand_lines_flipped_is_found_where_it_is() {
        let rows = rows(1_000);
        let mut flips = 0;
        for row in &rows {
            let before = Head { seq: row.seq - 1, hash: row.prev };
            let mut line = write(row).unwrap().into_bytes();
            for at in 0..line.len() {
                // Another bit for each byte and row, so that all eight have their turn.
                let mask = 1 << ((at + usize::try_from(row.seq).unwrap()) % 8);
                line[at] ^= mask;
                assert!(!check(&mut Verifier::after(before), &line), "byte {at} of row {}", row.seq);
                line[at] ^= mask;
                flips += 1;
            }
            assert!(check(&mut Verifier::after(before), &line));
        }
        assert!(flips > 300_000, "{flips}");
    }
}
