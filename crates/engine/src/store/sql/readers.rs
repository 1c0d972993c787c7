//! The read side: a few connections, each used by one read at a time.
//! Owns their pool; the statements are the verbs'.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::connection::Connection;
use super::failure::Result;
use crate::store::StoreError;

/// Read connections, opened when first needed.
#[derive(Debug)]
pub(in crate::store) struct Readers {
    shared: Arc<Shared>,
    turns: Arc<Semaphore>,
}

/// Makes a connection that only reads.
pub(in crate::store) type Connect = dyn Fn() -> Result<Connection> + Send + Sync;

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

struct Shared {
    name: String,
    connect: Box<Connect>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Readers of the database that is called `name`, to which `connect` leads.
    pub(in crate::store) fn new(name: String, connect: Box<Connect>, connections: usize) -> Self {
        Self {
            shared: Arc::new(Shared { name, connect, idle: Mutex::default() }),
            turns: Arc::new(Semaphore::new(connections.max(1))),
        }
    }

    /// Runs `work` on a read connection, away from the async threads. It sees everything committed before.
    pub(super) async fn read<T, F>(&self, work: F) -> std::result::Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            shared.read(work)
        });
        task.await.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("a read did not finish: {error}"))))
    }
}

impl Shared {
    /// A connection that is idle, and was not broken off meanwhile.
    fn sound(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(Connection::is_sound);
        idle.pop()
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> std::result::Result<T, StoreError> {
        let idle = self.sound();
        let connection = match idle {
            Some(connection) => Ok(connection),
            None => (self.connect)(),
        };
        let answer = connection.and_then(|connection| {
            let answer = work(&connection);
            if connection.is_sound() {
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            answer
        });
        answer.map_err(|failure| failure.into_answer(&self.name))
    }
}
