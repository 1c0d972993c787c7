//! A copy from its beginning to its end: whether it may be, what it goes on from, its rows, and the comparison.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::digest::{self, Texts};
use super::table::tables;
use super::value::{Value, Values, as_values};
use super::{Address, Digested, MoveError, Note, Progress, Result, Side, Stage, Table, Verified, Watch, failed};
use crate::model::{ChainHash, Head};
use crate::store::postgres::session::sayable;
use crate::store::sql::connection::Cell;
use crate::store::{postgres, sqlite};

/// The most that is written at once.
const ROWS: usize = 5_000;
const BYTES: usize = 4 << 20;

/// Copies everything in `from` into `to` and compares it there; the copy stays unfinished. What an earlier call began is
/// gone on with. `origin` is what the copy is said to be of.
pub(crate) fn carry_over(from: &Address, to: &Address, origin: &str, watch: &mut Watch<'_>) -> Result<Verified> {
    if from == to {
        return Err(MoveError::Refused(format!("`{from}` cannot be copied into itself")));
    }
    let mut source = source(from)?;
    let mut target = target(to)?;
    let mut course = Course::new(source.as_mut(), target.as_mut(), origin.to_owned())?;
    let (mut note, fingerprint) = course.begin()?;
    if note.tables.is_none() {
        course.copy(&mut note, watch)?;
        let tables = course.verify(watch)?;
        source.look()?;
        if fingerprint != self::fingerprint(source.as_mut())?.text {
            let name = source.name();
            return Err(MoveError::Refused(format!(
                "`{name}` changed while it was copied: stop what serves it, empty `{}` and begin again",
                target.name()
            )));
        }
        note.tables = Some(tables);
        target.keep(&note)?;
    }
    let head = head(target.as_mut())?;
    Ok(Verified { tables: note.tables.unwrap_or_default(), head, replaced: note.replaced })
}

/// Ends a copy that was compared: what is in `to` can be served.
pub(crate) fn finish(from: &Address, to: &Address) -> Result<()> {
    let (mut source, mut target) = (source(from)?, target(to)?);
    if target.note()?.is_none_or(|note| note.tables.is_none()) {
        return Err(MoveError::Refused(format!("`{to}` holds no copy that was compared")));
    }
    end(source.as_mut(), target.as_mut())
}

/// Copies everything into a store that nobody else knows of yet, and compares it.
pub(in crate::store) fn whole(from: &mut dyn Side, to: &mut dyn Side) -> Result<()> {
    let origin = from.name().to_owned();
    let mut course = Course::new(&mut *from, &mut *to, origin)?;
    let (mut note, _) = course.begin()?;
    let mut unwatched = |_: &Progress<'_>| std::ops::ControlFlow::Continue(());
    course.copy(&mut note, &mut unwatched)?;
    course.verify(&mut unwatched)?;
    end(from, to)
}

fn end(from: &mut dyn Side, to: &mut dyn Side) -> Result<()> {
    let tables = tables().map_err(failed("the schema"))?;
    let places = tables.iter().filter(|table| table.gives_places());
    let places = places.map(|table| Ok((table, from.last_place(table)?))).collect::<Result<Vec<_>>>()?;
    to.finish(&places)
}

fn source(address: &Address) -> Result<Box<dyn Side>> {
    Ok(match address {
        Address::Sqlite(directory) => Box::new(sqlite::side::source(directory)?),
        Address::Postgres(access) => Box::new(postgres::side::source(access)?),
    })
}

fn target(address: &Address) -> Result<Box<dyn Side>> {
    Ok(match address {
        Address::Sqlite(directory) => Box::new(sqlite::side::target(directory)?),
        Address::Postgres(access) => Box::new(postgres::side::target(access)?),
    })
}

/// Text as either of two databases can hold it.
pub(super) fn without_zeros(text: &str) -> Cow<'_, str> {
    sayable(text)
}

/// What a database holds, so shortly that anything that was done with it shows.
struct Fingerprint {
    text: String,
    counts: Vec<u64>,
}

fn fingerprint(side: &mut dyn Side) -> Result<Fingerprint> {
    let (mut text, mut counts) = (String::new(), Vec::new());
    for table in &tables().map_err(failed("the schema"))? {
        let rows = side.count(table)?;
        let place = if table.gives_places() { side.last_place(table)? } else { 0 };
        let columns = table.list();
        writeln!(text, "{} {columns} {rows} {place}", table.name).expect("a text takes more");
        counts.push(rows);
    }
    let head = head(side)?;
    write!(text, "{head}").expect("a text takes more");
    Ok(Fingerprint { text: hex::encode(Sha256::digest(&text)), counts })
}

/// The audit log's last row.
fn head(side: &mut dyn Side) -> Result<Head> {
    let tables = tables().map_err(failed("the schema"))?;
    let audit = tables.iter().find(|table| table.name == "audit").expect("there is an audit log");
    let (last, mut head) = (side.last_place(audit)?, Head::START);
    let (seq, hash) = (audit.column("seq"), audit.column("hash"));
    side.each(audit, Some(&[Value::Integer(last - 1)]), &mut |cells| {
        if let (Cell::Integer(seq), Cell::Blob(hash)) = (cells[seq], cells[hash])
            && let Ok(hash) = hash.try_into()
        {
            head = Head { seq, hash: ChainHash::from_bytes(hash) };
        }
        Ok(true)
    })?;
    Ok(head)
}

struct Course<'c> {
    from: &'c mut dyn Side,
    to: &'c mut dyn Side,
    origin: String,
    tables: Vec<Table>,
    counts: Vec<u64>,
    texts: Texts,
}

impl<'c> Course<'c> {
    fn new(from: &'c mut dyn Side, to: &'c mut dyn Side, origin: String) -> Result<Self> {
        let texts = if from.holds_zeros() && to.holds_zeros() { Texts::AsTheyAre } else { Texts::WithoutZeros };
        let tables = tables().map_err(failed("the schema"))?;
        Ok(Self { from, to, origin, tables, counts: Vec::new(), texts })
    }

    /// The note to go on from, and what shows that the source is what it was.
    fn begin(&mut self) -> Result<(Note, String)> {
        self.from.look()?;
        let Fingerprint { text: fingerprint, counts } = fingerprint(self.from)?;
        self.counts = counts;
        let name = self.to.name().to_owned();
        match self.to.note()? {
            Some(note) if note.fingerprint == fingerprint => return Ok((note, fingerprint)),
            Some(note) if note.origin == self.origin => {
                return Err(MoveError::Refused(format!(
                    "`{}` has changed since its copy into `{name}` was begun: empty `{name}` and begin again",
                    self.origin
                )));
            }
            Some(note) => {
                return Err(MoveError::Refused(format!(
                    "`{name}` holds an unfinished copy of `{}`: go on with that one, or empty it",
                    note.origin
                )));
            }
            None => {}
        }
        let emptied = self.as_new()?;
        let first = self.tables.first().map(|table| table.name.clone());
        let origin = self.origin.clone();
        let note = Note {
            origin,
            fingerprint: fingerprint.clone(),
            table: first,
            after: None,
            rows: 0,
            replaced: 0,
            tables: None,
        };
        self.to.begin(&note, &emptied.iter().collect::<Vec<_>>())?;
        Ok((note, fingerprint))
    }

    /// The tables that have something as soon as they are made. Refuses a target that has anything else.
    fn as_new(&mut self) -> Result<Vec<Table>> {
        let mut new = sqlite::side::in_memory()?;
        let mut emptied = Vec::new();
        for table in &self.tables {
            let mut made = Vec::new();
            new.each(table, None, &mut |cells| {
                made.push(as_values(cells));
                Ok(true)
            })?;
            let (mut seen, mut is_as_made) = (0, true);
            self.to.each(table, None, &mut |cells| {
                is_as_made = made.get(seen) == Some(&as_values(cells));
                seen += 1;
                Ok(is_as_made)
            })?;
            if !is_as_made {
                return Err(MoveError::Refused(format!(
                    "`{}` holds something already (in `{}`): a copy goes into a database that is new or empty",
                    self.to.name(),
                    table.name
                )));
            }
            if !made.is_empty() {
                emptied.push(table.clone());
            }
        }
        Ok(emptied)
    }

    /// Writes what is not there yet.
    fn copy(&mut self, note: &mut Note, watch: &mut Watch<'_>) -> Result<()> {
        while let Some(name) = note.table.clone() {
            let index = self.tables.iter().position(|table| table.name == name);
            let index = index.ok_or_else(|| MoveError::Refused(format!("the copy's note names no table: `{name}`")))?;
            self.copy_table(index, note, watch)?;
            note.table = self.tables.get(index + 1).map(|table| table.name.clone());
            (note.after, note.rows) = (None, 0);
            self.to.keep(note)?;
        }
        Ok(())
    }

    fn copy_table(&mut self, index: usize, note: &mut Note, watch: &mut Watch<'_>) -> Result<()> {
        let Self { from, to, tables, counts, texts, .. } = self;
        let (table, before) = (&tables[index], counts[..index].iter().sum::<u64>());
        let all_of = counts.iter().sum();
        let origin = from.name().to_owned();
        let mut written = |values: &mut Values, note: &mut Note| {
            let Some(last) = values.rows().last() else { return Ok(()) };
            note.after = Some(table.key.iter().map(|place| last[*place].clone()).collect());
            note.rows += values.rows().len() as u64;
            to.write(table, values, note)?;
            values.clear();
            let progress = Progress {
                stage: Stage::Copying,
                table: &table.name,
                rows: note.rows,
                of: counts[index],
                all_rows: before + note.rows,
                all_of,
            };
            if watch(&progress).is_break() { Err(MoveError::Stopped) } else { Ok(()) }
        };
        let (mut values, after) = (Values::default(), note.after.clone());
        from.each(table, after.as_deref(), &mut |cells| {
            if *texts == Texts::WithoutZeros {
                let zeros =
                    zeros(table, cells).map_err(|problem| MoveError::Database { database: origin.clone(), problem })?;
                note.replaced += zeros;
            }
            values.push(cells);
            if values.rows().len() >= ROWS || values.bytes() >= BYTES {
                written(&mut values, note)?;
            }
            Ok(true)
        })?;
        written(&mut values, note)
    }

    /// Reads both sides anew, each by itself, and compares them.
    fn verify(&mut self, watch: &mut Watch<'_>) -> Result<Vec<Digested>> {
        let Self { from, to, tables, counts, texts, .. } = self;
        let (tables, counts, texts): (&[Table], &[u64], Texts) = (tables, counts, *texts);
        let head = head(*from)?;
        to.look()?;
        let name = to.name().to_owned();
        let all_of = counts.iter().sum();
        let mut told = |table: &Table, rows: u64| {
            let index = tables.iter().position(|one| one.name == table.name).unwrap_or_default();
            let before: u64 = counts[..index].iter().sum();
            let progress = Progress {
                stage: Stage::Verifying,
                table: &table.name,
                rows,
                of: counts[index],
                all_rows: before + rows,
                all_of,
            };
            if watch(&progress).is_break() { Err(MoveError::Stopped) } else { Ok(()) }
        };
        let (from, to) = (&mut **from, &mut **to);
        let (there, here) = std::thread::scope(|scope| {
            let there = scope.spawn(move || digest::all(from, tables, texts, Some(head), &mut |_, _| Ok(())));
            let here = digest::all(to, tables, texts, Some(head), &mut told);
            (there.join().expect("reading does not panic"), here)
        });
        let ((there, _), (here, _)) = (there?, here?);
        let differing = there.iter().zip(&here).find(|(there, here)| there != here);
        match differing {
            None => Ok(here),
            Some((there, here)) if there.rows != here.rows => {
                let (table, rows, wanted) = (&here.table, here.rows, there.rows);
                Err(MoveError::Differs { database: name, problem: format!("`{table}` has {rows} rows, not {wanted}") })
            }
            Some((there, _)) => {
                Err(MoveError::Differs { database: name, problem: format!("`{}` has other values", there.table) })
            }
        }
    }
}

/// How many texts of a row have a zero in them. Where one cannot be put in its place, that is said.
fn zeros(table: &Table, cells: &[Cell<'_>]) -> std::result::Result<u64, String> {
    let mut found = 0;
    for (index, cell) in cells.iter().enumerate() {
        if matches!(cell, Cell::Text(text) if text.contains('\0')) {
            let column = &table.columns[index].name;
            if table.name == "audit" || table.key.contains(&index) {
                let key: Vec<_> = table.key.iter().map(|place| format!("{:?}", cells[*place])).collect();
                return Err(format!(
                    "`{}`, row {}: the text in `{column}` has a zero in it, which PostgreSQL cannot hold, and it cannot be \
                     another text without its row being another",
                    table.name,
                    key.join(", ")
                ));
            }
            found += 1;
        }
    }
    Ok(found)
}
