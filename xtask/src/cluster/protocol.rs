//! As much of PostgreSQL's protocol as tells where a transaction that wrote events is committed.
//! Owns what a client says; answers pass unread.

use std::collections::HashMap;

/// What a statement is to whoever waits for a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Begins,
    Commits,
    RollsBack,
    WritesEvents,
    Other,
}

impl Kind {
    fn of(sql: &str) -> Self {
        let sql = sql.to_ascii_lowercase();
        let first = sql.split(|c: char| !c.is_ascii_alphabetic()).find(|word| !word.is_empty());
        match first {
            Some("begin" | "start") => Self::Begins,
            Some("commit" | "end") => Self::Commits,
            Some("rollback" | "abort") => Self::RollsBack,
            _ if sql.contains("insert into events") => Self::WritesEvents,
            _ => Self::Other,
        }
    }
}

/// One client's side of a connection.
#[derive(Debug, Default)]
pub(super) struct Client {
    unread: Vec<u8>,
    has_started: bool,
    statements: HashMap<Vec<u8>, Kind>,
    in_transaction: bool,
    wrote_events: bool,
}

/// What the next message is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) bytes: Vec<u8>,
    /// With this message a transaction that wrote events is to be committed.
    pub(super) commits_events: bool,
}

impl Client {
    /// Takes in what came.
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    pub(super) fn next(&mut self) -> Option<Said> {
        // The first message has no type.
        let head = usize::from(self.has_started);
        let length = self.unread.get(head..head + 4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        let whole = head + length.max(4);
        if self.unread.len() < whole {
            return None;
        }
        let rest = self.unread.split_off(whole);
        let bytes = std::mem::replace(&mut self.unread, rest);
        let commits_events = self.has_started && self.follow(bytes[0], &bytes[5..]);
        self.has_started = true;
        Some(Said { bytes, commits_events })
    }

    /// Whether this commits events.
    fn follow(&mut self, kind: u8, body: &[u8]) -> bool {
        let mut texts = body.split(|byte| *byte == 0);
        let mut text = || texts.next().unwrap_or_default();
        match kind {
            b'P' => {
                let (name, sql) = (text().to_vec(), text());
                self.statements.insert(name, Kind::of(&String::from_utf8_lossy(sql)));
                false
            }
            b'B' => {
                let (_portal, name) = (text(), text());
                let kind = self.statements.get(name).copied().unwrap_or(Kind::Other);
                self.run(kind)
            }
            b'Q' => {
                let kind = Kind::of(&String::from_utf8_lossy(text()));
                self.run(kind) || (kind == Kind::WritesEvents && !self.in_transaction && self.forget())
            }
            // What runs outside a transaction is one by itself, up to here.
            b'S' if !self.in_transaction => self.forget(),
            _ => false,
        }
    }

    fn run(&mut self, kind: Kind) -> bool {
        match kind {
            Kind::Begins => self.in_transaction = true,
            Kind::WritesEvents => self.wrote_events = true,
            Kind::RollsBack => {
                self.in_transaction = false;
                self.wrote_events = false;
            }
            Kind::Commits => {
                self.in_transaction = false;
                return self.forget();
            }
            Kind::Other => {}
        }
        false
    }

    fn forget(&mut self) -> bool {
        std::mem::take(&mut self.wrote_events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), body].concat()
    }

    fn said(client: &mut Client, messages: &[Vec<u8>]) -> Vec<bool> {
        // However they are torn.
        let bytes = messages.concat();
        let mut heard = Vec::new();
        for part in bytes.chunks(3) {
            client.hear(part);
            heard.extend(std::iter::from_fn(|| client.next()).map(|said| said.commits_events));
        }
        heard
    }

    #[test]
    fn only_the_commit_of_a_transaction_that_wrote_events_is_one() {
        let mut client = Client::default();
        let start = [&8_u32.to_be_bytes()[..], &196_608_u32.to_be_bytes()].concat();
        assert_eq!(said(&mut client, &[start]), [false]);
        let (begin, commit) = (message(b'Q', b"BEGIN\0"), message(b'Q', b"commit;\0"));
        let parse = message(b'P', b"s1\0with place as (select 1) INSERT INTO events (seq) values ($1)\0\0\0");
        let other = message(b'P', b"s2\0update deliveries set state = $1\0\0\0");
        let (bind, bind_other) = (message(b'B', b"\0s1\0\0\0"), message(b'B', b"\0s2\0\0\0"));
        let sync = message(b'S', b"");
        let wrote = [begin.clone(), parse, bind.clone(), sync.clone(), commit.clone(), commit.clone()];
        assert_eq!(said(&mut client, &wrote), [false, false, false, false, true, false]);
        let wrote_other = [begin.clone(), other, bind_other, sync.clone(), commit.clone()];
        assert_eq!(said(&mut client, &wrote_other), [false; 5]);
        let rolled_back = [begin, bind.clone(), sync.clone(), message(b'Q', b"rollback\0"), commit];
        assert_eq!(said(&mut client, &rolled_back), [false; 5]);
        assert_eq!(said(&mut client, &[bind, sync.clone(), sync]), [false, true, false]);
    }
}
