//! Statements as PostgreSQL understands them. They are written for both databases; here is what only one of them says, and
//! the order of their placeholders.

use crate::store::sql::connection::{Bound, Cell};

/// A statement for PostgreSQL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) sql: String,
    /// It begins or ends a transaction or a part of one.
    pub(super) frames: bool,
    /// It changes rows, even if it returns some.
    pub(super) changes: bool,
    /// What stands for `$1`, `$2` and so on, where it has names.
    names: Vec<String>,
}

impl Written {
    /// The values in the order of this statement's placeholders.
    pub(super) fn order<'v>(&self, bound: &Bound<'v>) -> Vec<Cell<'v>> {
        match bound {
            Bound::Places(cells) => cells.clone(),
            Bound::Names(cells) => {
                let value = |name: &String| cells.iter().find(|(known, _)| known == name).map(|(_, cell)| *cell);
                self.names.iter().map(|name| value(name).unwrap_or(Cell::Null)).collect()
            }
        }
    }
}

/// What SQLite says in other words.
const WORDS: [(&str, &str); 2] = [
    // SQLite's way to fix the order of a join.
    (" cross join ", " join "),
    (" as blob)", " as bytea)"),
];

/// Writes a statement for PostgreSQL.
pub(super) fn write(sql: &str) -> Written {
    let mut sql = match sql {
        // A reader sees one moment.
        "begin" => "begin isolation level repeatable read read only".to_owned(),
        _ => sql.to_owned(),
    };
    for (ours, theirs) in WORDS {
        sql = sql.replace(ours, theirs);
    }
    let first = sql.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    let frames = ["begin", "commit", "rollback", "savepoint", "release"].contains(&first);
    let changes = ["insert", "update", "delete"].contains(&first);
    let mut names = Vec::new();
    let sql = placeholders(&sql, &mut names);
    Written { sql, frames, changes, names }
}

/// `?1` and `:name` become `$1`; `x'00'` becomes a `bytea`; the marks that keep SQLite from an index (`+column`,
/// `indexed by name`) go.
fn placeholders(sql: &str, names: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    let mut before = ' ';
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').count();
        let begins_word = !before.is_ascii_alphanumeric() && before != '_';
        match c {
            '\'' => {
                let end = tail.find('\'').map_or(rest.len(), |end| end + 2);
                out.push_str(&rest[..end]);
                rest = &rest[end..];
                before = '\'';
                continue;
            }
            '?' if word(tail) > 0 => out.push('$'),
            ':' if before != ':' && tail.starts_with(|c: char| c.is_ascii_lowercase()) => {
                let name = &rest[..=word(tail)];
                let place = names.iter().position(|known| known == name).unwrap_or_else(|| {
                    names.push(name.to_owned());
                    names.len() - 1
                });
                out.push_str(&format!("${}", place + 1));
                rest = &rest[name.len()..];
                before = 'a';
                continue;
            }
            '+' if tail.starts_with(|c: char| c.is_ascii_lowercase()) => {}
            'x' if begins_word && tail.starts_with('\'') => {
                let end = tail[1..].find('\'').map_or(tail.len(), |end| end + 2);
                out.push_str(&format!("'\\x{}'::bytea", &tail[1..end - 1]));
                rest = &tail[end..];
                before = '\'';
                continue;
            }
            'i' if begins_word && rest.starts_with("indexed by ") => {
                let name = word(&rest["indexed by ".len()..]);
                rest = &rest["indexed by ".len() + name..];
                continue;
            }
            c => out.push(c),
        }
        before = c;
        rest = tail;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(text: &str) -> String {
        write(text).sql
    }

    #[test]
    fn placeholders_are_numbered_and_names_come_in_their_order() {
        assert_eq!(sql("select ?1, ?2 where a = ?1"), "select $1, $2 where a = $1");
        let written = write("select * from t where seq < :below and a = :a and b < :below limit :limit");
        assert_eq!(written.sql, "select * from t where seq < $1 and a = $2 and b < $1 limit $3");
        let named = [
            (":limit", Cell::Integer(3)),
            (":below", Cell::Integer(1)),
            (":unused", Cell::Null),
            (":a", Cell::Text("x")),
        ];
        let order = written.order(&Bound::Names(named.to_vec()));
        assert_eq!(order, [Cell::Integer(1), Cell::Text("x"), Cell::Integer(3)]);
    }

    #[test]
    fn what_only_sqlite_says_is_said_otherwise() {
        assert_eq!(sql("select a from t indexed by some_index where +b = 1"), "select a from t  where b = 1");
        assert_eq!(sql("select n + 1 from a cross join b on b.x = +a.x"), "select n + 1 from a join b on b.x = a.x");
        assert_eq!(sql("where id <> x'0a'"), "where id <> '\\x0a'::bytea");
        assert_eq!(sql("cast(?1 as blob)"), "cast($1 as bytea)");
    }

    #[test]
    fn what_is_quoted_stays_as_it_is() {
        for text in ["select '?1 :name +a x''' || x", "values ('indexed by a')", "a::text"] {
            assert_eq!(sql(text), text);
        }
    }

    #[test]
    fn what_frames_a_transaction_is_known() {
        for (text, frames, changes) in [
            ("begin", true, false),
            ("commit", true, false),
            ("rollback to accounts", true, false),
            ("savepoint accounts", true, false),
            ("insert into t values (1) returning seq", false, true),
            ("update t set a = 1", false, true),
            ("select 1", false, false),
        ] {
            let written = write(text);
            assert_eq!((written.frames, written.changes), (frames, changes), "{text}");
        }
    }
}
