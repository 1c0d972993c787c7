//! What went wrong inside the store, before it is said in the store's own words.
//! Owns the translation from SQLite's codes; answers to callers are `StoreError`.

use std::time::Duration;

use rusqlite::ErrorCode;

use crate::store::{StoreError, postgres};

/// A verb's failure.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum Failure {
    /// The store's own answer, such as `NotFound`.
    #[error(transparent)]
    Answer(#[from] StoreError),
    /// SQLite's.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// PostgreSQL's, or of the way to it.
    #[error("{}", postgres::said(.0))]
    Postgres(tokio_postgres::Error),
    /// PostgreSQL did not answer.
    #[error("no answer within {} s", .0.as_secs())]
    Late(Duration),
}

pub(in crate::store) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(in crate::store) fn not_found(what: String) -> Self {
        Self::Answer(StoreError::NotFound { what })
    }

    pub(super) fn inconsistent(table: &'static str, row: String, problem: String) -> Self {
        Self::Answer(StoreError::Inconsistent { table, row, problem })
    }

    /// Whether it is the disk, memory or a lock, which fails a neighbour just as well, and not this verb's own doing.
    pub(super) fn is_environmental(&self) -> bool {
        match self {
            Self::Answer(_) => false,
            Self::Postgres(error) => postgres::is_environmental(error),
            Self::Late(_) => true,
            Self::Sql(error) => matches!(
                error.sqlite_error_code(),
                Some(
                    ErrorCode::DiskFull
                        | ErrorCode::SystemIoFailure
                        | ErrorCode::CannotOpen
                        | ErrorCode::ReadOnly
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                        | ErrorCode::OutOfMemory
                        | ErrorCode::FileLockingProtocolFailed
                )
            ),
        }
    }

    /// Whether another transaction was in the way, so that the same may well succeed when it is done again.
    pub(super) fn met_another(&self) -> bool {
        match self {
            // A deadlock, or a row that went elsewhere while it was waited for.
            Self::Postgres(error) => error.code().is_some_and(|code| ["40P01", "40001"].contains(&code.code())),
            _ => false,
        }
    }

    /// Whether nothing more can be said in the transaction in which it came up.
    pub(super) fn ends_transaction(&self) -> bool {
        matches!(self, Self::Postgres(_) | Self::Late(_))
    }

    /// The answer to a caller; `database` is what the database is called.
    pub(in crate::store) fn into_answer(self, database: &str) -> StoreError {
        let environmental = self.is_environmental();
        match self {
            Self::Answer(answer) => answer,
            Self::Sql(error) if environmental => StoreError::Unavailable(format!("`{database}`: {error}")),
            Self::Postgres(_) | Self::Late(_) if environmental => {
                StoreError::Unavailable(format!("`{database}`: {self}"))
            }
            Self::Postgres(_) | Self::Late(_) => {
                StoreError::Inconsistent { table: "database", row: database.to_owned(), problem: self.to_string() }
            }
            // What is left is a broken rule of the schema, a damaged file or a statement that does not fit it.
            Self::Sql(error) => {
                StoreError::Inconsistent { table: "database", row: database.to_owned(), problem: error.to_string() }
            }
        }
    }
}
