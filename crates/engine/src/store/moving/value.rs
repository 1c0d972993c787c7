//! Values that outlive the row that they were read from. What a row hands over is `sql::connection`'s.

use serde::{Deserialize, Serialize};

use crate::store::sql::connection::Cell;

/// A value of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::store) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Value {
    pub(in crate::store) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Null => Cell::Null,
            Self::Integer(value) => Cell::Integer(*value),
            Self::Text(text) => Cell::Text(text),
            Self::Bytes(bytes) => Cell::Blob(bytes),
        }
    }
}

impl From<Cell<'_>> for Value {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Integer(value) => Self::Integer(value),
            Cell::Text(text) => Self::Text(text.to_owned()),
            Cell::Blob(bytes) => Self::Bytes(bytes.to_vec()),
        }
    }
}

/// A row's values.
pub(in crate::store) fn as_values(cells: &[Cell<'_>]) -> Vec<Value> {
    cells.iter().map(|cell| Value::from(*cell)).collect()
}

/// Rows on their way.
#[derive(Debug, Default)]
pub(in crate::store) struct Values {
    rows: Vec<Vec<Value>>,
    bytes: usize,
}

impl Values {
    pub(super) fn push(&mut self, cells: &[Cell<'_>]) {
        self.bytes += bytes(cells);
        self.rows.push(as_values(cells));
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(in crate::store) fn rows(&self) -> &[Vec<Value>] {
        &self.rows
    }
}

/// What a row takes, roughly.
pub(in crate::store) fn bytes(cells: &[Cell<'_>]) -> usize {
    let size = |cell: &Cell<'_>| match cell {
        Cell::Null | Cell::Integer(_) => 8,
        Cell::Text(text) => text.len(),
        Cell::Blob(bytes) => bytes.len(),
    };
    cells.iter().map(size).sum()
}
