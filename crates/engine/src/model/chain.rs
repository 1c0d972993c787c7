//! The chain that the audit log's rows form: each row's hash covers the row and the hash before it, so that whoever knows
//! one hash knows every row up to it. Owns what is hashed and the check of rows; where rows are kept is the store's.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};

/// What every hash begins with, so that nothing else that is hashed anywhere can be taken for a row.
const DOMAIN: &[u8] = b"hookward audit row 1";

/// The SHA-256 of a row and all rows before it. Shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// What the first row has before it.
    pub const START: Self = Self([0; 32]);

    /// The bytes that a store keeps.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash that a store kept as these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no hash or head of an audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the head of an audit log is written `SEQ:HASH`, with a hash of 64 lower-case hexadecimal digits")]
pub struct InvalidHead;

impl FromStr for ChainHash {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidHead)?;
        // One spelling only.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) { Err(InvalidHead) } else { Ok(Self(bytes)) }
    }
}

/// The last row of a chain: whoever keeps it elsewhere can tell whether a row up to it was changed or is gone. Shown as
/// `SEQ:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The row's position, from 1; 0 when there is none.
    pub seq: i64,
    /// Its hash.
    pub hash: ChainHash,
}

impl Head {
    /// Of a log without a row.
    pub const START: Self = Self { seq: 0, hash: ChainHash::START };

    /// The head once a row that says `facts` follows.
    #[must_use]
    pub fn then(&self, facts: &Facts<'_>) -> Self {
        let seq = self.seq.saturating_add(1);
        Self { seq, hash: facts.hash(seq, self.hash.as_bytes()) }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Head {
    type Err = InvalidHead;

    fn from_str(text: &str) -> Result<Self, InvalidHead> {
        let (seq, hash) = text.split_once(':').ok_or(InvalidHead)?;
        let head = Self { seq: seq.parse().map_err(|_| InvalidHead)?, hash: hash.parse()? };
        if head.to_string() == text && head.seq >= 0 { Ok(head) } else { Err(InvalidHead) }
    }
}

/// What a row says, byte for byte as it is kept: what could never have been written is hashed as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Whose it is: the 16 bytes of the id.
    pub organization: &'a [u8],
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who.
    pub actor: &'a [u8],
    /// From where.
    pub address: &'a [u8],
    /// What.
    pub action: &'a [u8],
    /// On what.
    pub target: &'a [u8],
    /// The details' JSON text.
    pub detail: &'a [u8],
}

impl Facts<'_> {
    /// Each part stands behind its length, so that no two rows are hashed as the same bytes.
    fn hash(&self, seq: i64, prev: &[u8]) -> ChainHash {
        let (seq, at_ms) = (seq.to_be_bytes(), self.at_ms.to_be_bytes());
        let Self { organization, at_ms: _, actor, address, action, target, detail } = *self;
        let mut context = Context::new(&SHA256);
        for part in [DOMAIN, prev, &seq, organization, &at_ms, actor, address, action, target, detail] {
            let len = u64::try_from(part.len()).expect("no row is that long");
            context.update(&len.to_be_bytes());
            context.update(part);
        }
        ChainHash(context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }
}

/// A row as it is found, to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainRow<'a> {
    /// Its position.
    pub seq: i64,
    /// What it says.
    pub facts: Facts<'a>,
    /// The hash before it, where the row carries one.
    pub prev: Option<&'a [u8]>,
    /// Its hash.
    pub hash: &'a [u8],
}

/// The first row that is not as it was written, and what is wrong there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// Which row.
    pub seq: i64,
    /// What is wrong.
    pub why: Why,
}

/// What is wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is not there; the next one that is has this position, if there is one.
    Missing {
        /// The next row's position.
        next: Option<i64>,
    },
    /// It stands behind a row that it should stand before.
    OutOfPlace,
    /// Its hash is not that of what it says and of the row before.
    Altered,
    /// The hash before it, which it carries, is not that of the row before.
    NotLinked,
    /// Its hash is another one than was published.
    NotAsPublished,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seq = self.seq;
        match self.why {
            Why::Missing { next: Some(next) } if next == seq + 1 => write!(f, "row {seq} is missing"),
            Why::Missing { next: Some(next) } => write!(f, "row {seq} is missing: the next one is {next}"),
            Why::Missing { next: None } => write!(f, "row {seq} is missing: the log ends before it"),
            Why::OutOfPlace => write!(f, "row {seq} stands behind a later one"),
            Why::Altered => write!(f, "row {seq} is not as it was written: its hash does not match"),
            Why::NotLinked => write!(f, "row {seq} does not follow the row before it"),
            Why::NotAsPublished => write!(f, "row {seq} is not the one whose hash was published"),
        }
    }
}

/// What a check saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Rows.
    pub rows: u64,
    /// Those of them whose predecessor was there too.
    pub linked: u64,
    /// The last row.
    pub head: Head,
}

/// The check of rows, in order, one after the other.
#[derive(Debug, Clone)]
pub struct Verifier {
    checked: Checked,
    may_lack_rows: bool,
    published: Option<Head>,
}

impl Verifier {
    /// For a whole log: every row from the first on.
    pub fn whole() -> Self {
        Self::after(Head::START)
    }

    /// For the rest of a log, from the row after `head` on.
    pub fn after(head: Head) -> Self {
        Self { checked: Checked { rows: 0, linked: 0, head }, may_lack_rows: false, published: None }
    }

    /// For some rows of a log, each of which carries the hash before it: that none was changed is shown, and that none is
    /// lacking only between rows that follow each other.
    pub fn of_some() -> Self {
        Self { may_lack_rows: true, ..Self::whole() }
    }

    /// Holds a log that lacks no rows against a head that was published.
    #[must_use]
    pub fn against(self, published: Head) -> Self {
        Self { published: Some(published), ..self }
    }

    /// Checks the next row.
    ///
    /// # Errors
    ///
    /// [`Broken`], which names the first row that is not as it was written. The check ends there.
    pub fn check(&mut self, row: &ChainRow<'_>) -> Result<(), Broken> {
        let broken = |why| Err(Broken { seq: row.seq, why });
        let last = self.checked.head;
        let follows = row.seq == last.seq.saturating_add(1);
        if row.seq <= last.seq {
            return broken(Why::OutOfPlace);
        }
        if !follows && !self.may_lack_rows {
            return Err(Broken { seq: last.seq + 1, why: Why::Missing { next: Some(row.seq) } });
        }
        // A row that carries no hash before it can only follow the last one.
        let prev = row.prev.unwrap_or(last.hash.as_bytes());
        if follows && prev != last.hash.as_bytes() {
            return broken(Why::NotLinked);
        }
        let hash = row.facts.hash(row.seq, prev);
        if row.hash != hash.as_bytes() {
            return broken(Why::Altered);
        }
        if self.published.is_some_and(|published| published.seq == row.seq && published.hash != hash) {
            return broken(Why::NotAsPublished);
        }
        self.checked.rows += 1;
        self.checked.linked += u64::from(follows);
        self.checked.head = Head { seq: row.seq, hash };
        Ok(())
    }

    /// Ends the check, once there is no further row.
    ///
    /// # Errors
    ///
    /// [`Broken`] when the log ends before the head that was published.
    pub fn finish(self) -> Result<Checked, Broken> {
        let last = self.checked.head.seq;
        match self.published {
            Some(published) if published.seq > last => Err(Broken { seq: last + 1, why: Why::Missing { next: None } }),
            _ => Ok(self.checked),
        }
    }
}
