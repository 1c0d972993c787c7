//! What there is to copy: the tables of SQLite's newest schema, with their columns and keys, those that are referred to
//! before those that refer. PostgreSQL's have the same names and columns, and others of its own besides.

use rusqlite::Connection;

use crate::store::sqlite::migrate;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Table {
    pub(in crate::store) name: String,
    pub(in crate::store) columns: Vec<Column>,
    /// The columns that tell its rows apart, in this order.
    pub(in crate::store) key: Vec<usize>,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Column {
    pub(in crate::store) name: String,
    pub(in crate::store) is_text: bool,
}

impl Table {
    /// The names of its columns as a statement lists them.
    pub(in crate::store) fn list(&self) -> String {
        self.columns.iter().map(|column| format!("\"{}\"", column.name)).collect::<Vec<_>>().join(", ")
    }

    /// The columns of its key.
    pub(in crate::store) fn key(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().map(|index| &self.columns[*index])
    }

    /// Whether its rows have places that are given out one after the other, and never twice.
    pub(in crate::store) fn gives_places(&self) -> bool {
        // The audit log's follow from the row before.
        self.name != "audit" && self.key.len() == 1 && self.key().all(|column| column.name == "seq")
    }

    /// Where a column is.
    pub(super) fn column(&self, name: &str) -> usize {
        self.columns.iter().position(|column| column.name == name).expect("the table has the column")
    }
}

/// What tells who serves a database is not what it holds.
const NODES: &str = "nodes";

/// Every table.
pub(in crate::store) fn tables() -> rusqlite::Result<Vec<Table>> {
    all(&migrate::in_memory()?)
}

/// Every table of a database at the newest schema.
pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Table>> {
    let names = strings(
        connection,
        "select name from pragma_table_list where schema = 'main' and type = 'table' and name not like 'sqlite#_%' escape '#'
         and name <> ?1 order by name",
        "migrations",
    )?;
    let mut waiting = Vec::new();
    for name in names.into_iter().filter(|name| name != NODES) {
        let parents = strings(
            connection,
            "select distinct \"table\" from pragma_foreign_key_list(?1) where \"table\" <> ?1",
            &name,
        )?;
        waiting.push((table(connection, name)?, parents));
    }
    let mut tables: Vec<Table> = Vec::new();
    while !waiting.is_empty() {
        let is_here = |parent: &String| tables.iter().any(|table| table.name == *parent);
        let next = waiting.iter().position(|(_, parents)| parents.iter().all(is_here));
        tables.push(waiting.remove(next.expect("no tables refer to each other in a circle")).0);
    }
    Ok(tables)
}

fn strings(connection: &Connection, sql: &str, parameter: &str) -> rusqlite::Result<Vec<String>> {
    connection.prepare(sql)?.query_map([parameter], |row| row.get(0))?.collect()
}

fn table(connection: &Connection, name: String) -> rusqlite::Result<Table> {
    let mut statement = connection.prepare("select name, type, pk from pragma_table_info(?1) order by cid")?;
    let columns = statement.query_map([&name], |row| {
        let kind: String = row.get("type")?;
        Ok((Column { name: row.get("name")?, is_text: kind == "TEXT" }, row.get::<_, u32>("pk")?))
    })?;
    let (columns, places): (Vec<_>, Vec<_>) = columns.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().unzip();
    let mut key: Vec<usize> = (0..places.len()).filter(|index| places[*index] > 0).collect();
    key.sort_by_key(|index| places[*index]);
    Ok(Table { name, columns, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_has_a_key_and_follows_those_it_refers_to() {
        let tables = tables().unwrap();
        assert!(tables.len() > 25, "{}", tables.len());
        assert!(tables.iter().all(|table| !table.key.is_empty()), "{tables:?}");
        let place = |name: &str| tables.iter().position(|table| table.name == name).unwrap();
        for (first, then) in
            [("events", "bodies"), ("events", "deliveries"), ("deliveries", "attempts"), ("users", "sessions")]
        {
            assert!(place(first) < place(then), "{first} {then}");
        }
        let named = |table: &Table| table.key().map(|column| column.name.clone()).collect::<Vec<_>>();
        assert_eq!(named(&tables[place("secrets")]), ["owner_kind", "owner_id", "version"]);
        let placed: Vec<_> =
            tables.iter().filter(|table| table.gives_places()).map(|table| table.name.as_str()).collect();
        for name in ["events", "deliveries", "attempts", "refused", "jobs", "users", "api_keys"] {
            assert!(placed.contains(&name), "{name}");
        }
        assert_eq!(placed.len(), 7, "{placed:?}");
    }
}
