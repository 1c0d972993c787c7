//! The audit log's chain: whatever is done to a row, the check names it.

use hookward_engine::model::{Broken, ChainRow, Checked, Facts, Head, Verifier, Why};

/// A row that owns its parts, so that a test can change one.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    seq: i64,
    at_ms: i64,
    /// Organization, actor, address, action, target, detail, hash.
    parts: [Vec<u8>; 7],
}

const HASH: usize = 6;

impl Row {
    fn facts(&self) -> Facts<'_> {
        let [organization, actor, address, action, target, detail, _] = &self.parts;
        Facts { organization, at_ms: self.at_ms, actor, address, action, target, detail }
    }

    fn found(&self) -> ChainRow<'_> {
        ChainRow { seq: self.seq, facts: self.facts(), prev: None, hash: &self.parts[HASH] }
    }

    /// How many bytes it has, its numbers included.
    fn len(&self) -> usize {
        16 + self.parts.iter().map(Vec::len).sum::<usize>()
    }

    fn flip(&mut self, at: usize, mask: u8) {
        match at {
            0..8 => self.seq ^= i64::from(mask) << (8 * at),
            8..16 => self.at_ms ^= i64::from(mask) << (8 * (at - 8)),
            _ => {
                let mut bytes = self.parts.iter_mut().flatten();
                *bytes.nth(at - 16).unwrap() ^= mask;
            }
        }
    }
}

fn chain(rows: i64) -> (Vec<Row>, Vec<Head>) {
    let mut heads = vec![Head::START];
    let rows = (1..=rows).map(|n| {
        let text = |text: &str| text.as_bytes().to_vec();
        let detail = format!(r#"{{"delivery_id":"d-{n}","event":"push","body_bytes":{}}}"#, n * 37 % 4096);
        let mut row = Row {
            seq: n,
            at_ms: 1_700_000_000_000 + n,
            parts: [
                vec![7; 16],
                text("source:github"),
                text("192.0.2.7"),
                text("webhook.deliver"),
                text("source:github"),
                text(&detail),
                vec![],
            ],
        };
        let head = heads.last().unwrap().then(&row.facts());
        row.parts[HASH] = head.hash.as_bytes().to_vec();
        heads.push(head);
        row
    });
    (rows.collect(), heads)
}

fn check<'a>(mut verifier: Verifier, rows: impl IntoIterator<Item = &'a Row>) -> Result<Checked, Broken> {
    for row in rows {
        verifier.check(&row.found())?;
    }
    verifier.finish()
}

#[test]
fn a_hash_is_what_it_was_when_the_format_was_made() {
    // Computed by another implementation: SHA-256 over the parts, each behind its length in eight bytes.
    let first = Facts {
        organization: b"\x01\x90\x00\x00\x00\x00\x70\x00\x80\x00\x00\x00\x00\x00\x00\x01",
        at_ms: 1_700_000_000_000,
        actor: b"source:github",
        address: b"192.0.2.7",
        action: b"webhook.deliver",
        target: b"source:github",
        detail: b"{\"event\":\"push\"}",
    };
    let second = Facts {
        at_ms: 1_700_000_000_001,
        actor: b"key:bootstrap",
        address: b"",
        action: b"secret.reveal",
        detail: b"{}",
        ..first
    };
    let head = Head::START.then(&first);
    assert_eq!(head.to_string(), "1:e572f12145b00b6e4d7e1e726a3a5e3b3ad4b8c01f317d180fe9a4f4e29883dc");
    let head = head.then(&second);
    assert_eq!(head.to_string(), "2:d8bf96ec99e5807da992a8c6fb7e26e6dfbd9f1b7e848eb1e90ee8a0ba1c7145");
}

#[test]
fn an_untouched_chain_is_whole() {
    let (rows, heads) = chain(1_000);
    let checked = Checked { rows: 1_000, linked: 1_000, head: heads[1_000] };
    assert_eq!(check(Verifier::whole(), &rows), Ok(checked));
    assert_eq!(check(Verifier::whole().against(heads[1_000]), &rows), Ok(checked));
    assert_eq!(check(Verifier::whole().against(heads[500]), &rows), Ok(checked));
    assert_eq!(check(Verifier::whole(), &[]), Ok(Checked { rows: 0, linked: 0, head: Head::START }));
}

/// Each byte of each of 1,000 rows in turn; the check runs from the row before to the one after.
#[test]
fn every_byte_of_a_thousand_rows_flipped_is_found_where_it_is() {
    let (rows, heads) = chain(1_000);
    let mut flips = 0;
    for (index, row) in rows.iter().enumerate() {
        let before = index.saturating_sub(1);
        let mut found: Vec<Row> = rows[before..rows.len().min(index + 2)].to_vec();
        for at in 0..row.len() {
            // Another bit for each byte, so that all eight have their turn.
            let mask = 1 << ((at + index) % 8);
            found[index - before].flip(at, mask);
            let broken = check(Verifier::after(heads[before]), &found).unwrap_err();
            // A position that was changed shows as a row that is missing, or as one out of place.
            let named = if broken.why == Why::OutOfPlace { found[index - before].seq } else { row.seq };
            assert_eq!(broken.seq, named, "byte {at} of row {}: {broken}", row.seq);
            found[index - before].flip(at, mask);
            flips += 1;
        }
        assert_eq!(found[index - before], *row);
    }
    assert!(flips > 150_000, "{flips}");
}

#[test]
fn rows_that_go_come_or_change_places_are_found() {
    let (rows, _) = chain(20);
    let broken = |rows: &[Row]| check(Verifier::whole(), rows).unwrap_err();
    for n in 1..rows.len() {
        let mut gone = rows.clone();
        gone.remove(n - 1);
        let seq = i64::try_from(n).unwrap();
        assert_eq!(broken(&gone), Broken { seq, why: Why::Missing { next: Some(seq + 1) } });
        // The hole is closed: what follows it no longer fits.
        gone.iter_mut().skip(n - 1).for_each(|row| row.seq -= 1);
        assert_eq!(broken(&gone), Broken { seq, why: Why::Altered });

        let mut swapped = rows.clone();
        swapped.swap(n - 1, n);
        assert_eq!(broken(&swapped), Broken { seq, why: Why::Missing { next: Some(seq + 1) } });
        // Each in the other's place, its hash with it, or only what it says.
        (swapped[n - 1].seq, swapped[n].seq) = (seq, seq + 1);
        assert_eq!(broken(&swapped), Broken { seq, why: Why::Altered });
        let hash = swapped[n - 1].parts[HASH].clone();
        swapped[n - 1].parts[HASH] = std::mem::replace(&mut swapped[n].parts[HASH], hash);
        assert_eq!(broken(&swapped), Broken { seq, why: Why::Altered });

        let mut more = rows.clone();
        more.insert(n, rows[n - 1].clone());
        assert_eq!(broken(&more), Broken { seq, why: Why::OutOfPlace });
        more.iter_mut().skip(n).for_each(|row| row.seq += 1);
        assert_eq!(broken(&more), Broken { seq: seq + 1, why: Why::Altered });
    }
}

#[test]
fn an_end_that_was_cut_off_shows_against_a_published_head() {
    let (rows, heads) = chain(20);
    assert!(check(Verifier::whole(), &rows[..17]).is_ok());
    let cut = check(Verifier::whole().against(heads[20]), &rows[..17]);
    assert_eq!(cut, Err(Broken { seq: 18, why: Why::Missing { next: None } }));
    assert_eq!(cut.unwrap_err().to_string(), "row 18 is missing: the log ends before it");
}

#[test]
fn a_chain_made_anew_shows_against_a_published_head() {
    let (mut forged, heads) = chain(20);
    let mut head = heads[4];
    for row in &mut forged[4..] {
        row.at_ms += 1;
        head = head.then(&row.facts());
        row.parts[HASH] = head.hash.as_bytes().to_vec();
    }
    assert!(check(Verifier::whole(), &forged).is_ok());
    for published in &heads[5..] {
        let broken = check(Verifier::whole().against(*published), &forged).unwrap_err();
        assert_eq!(broken, Broken { seq: published.seq, why: Why::NotAsPublished });
    }
}

#[test]
fn bytes_may_not_move_from_one_part_to_the_next() {
    let (rows, _) = chain(1);
    for part in 0..5 {
        let mut moved = rows[0].clone();
        let last = moved.parts[part].pop().unwrap();
        moved.parts[part + 1].insert(0, last);
        assert_eq!(check(Verifier::whole(), [&moved]), Err(Broken { seq: 1, why: Why::Altered }));
    }
}

#[test]
fn some_rows_are_each_checked_by_the_hash_before_them() {
    let (rows, heads) = chain(20);
    let prevs: Vec<_> = heads.iter().map(|head| *head.hash.as_bytes()).collect();
    let check = |indices: &[usize], prev_of: fn(usize) -> usize| {
        let mut verifier = Verifier::of_some();
        for index in indices {
            let prev = Some(prevs[prev_of(*index)].as_slice());
            verifier.check(&ChainRow { prev, ..rows[*index].found() })?;
        }
        verifier.finish()
    };
    let checked = check(&[1, 2, 3, 7, 8, 19], |index| index);
    assert_eq!(checked, Ok(Checked { rows: 6, linked: 3, head: heads[20] }));
    assert_eq!(check(&[1, 7], |_| 1), Err(Broken { seq: 8, why: Why::Altered }));
    assert_eq!(check(&[1, 2], |_| 1), Err(Broken { seq: 3, why: Why::NotLinked }));
    assert_eq!(check(&[7, 1], |index| index), Err(Broken { seq: 2, why: Why::OutOfPlace }));
}

#[test]
fn a_head_has_one_spelling() {
    let (_, heads) = chain(3);
    let text = heads[3].to_string();
    assert_eq!(text.parse(), Ok(heads[3]));
    let upper = text.to_uppercase();
    for bad in
        ["", "3", "3:", "-1:00", &text[1..], &text[..text.len() - 1], &format!("0{text}"), &format!("+{text}"), &upper]
    {
        assert!(bad.parse::<Head>().is_err(), "{bad}");
    }
}
