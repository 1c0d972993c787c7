//! The connection over which nodes knock (`notify`) and listen. Owns how a knock is written, and that a line that broke is made
//! anew when it is next needed; never within a transaction that writes, whose commit would wait for everybody else's that knocks.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_postgres::{AsyncMessage, Client};

use super::{CONNECT, Way};
use crate::ids::{DestinationId, NodeId};
use crate::store::{Knock, StoreError};

/// Where nodes listen. Those of other installations in the same database are heard as well, which does no harm.
const LISTEN: &str = "listen hookward";

/// How long a knock may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Knocks that wait to be answered; more are not kept, since nothing depends on them.
const WAITING: usize = 64;

/// Destinations in one knock, which may have 8,000 bytes. Of the others nodes learn when they look.
const OWED_MAX: usize = 150;

/// What stands for a change to what is declared.
const DECLARED: &str = "declared";

/// Where this node knocks and listens.
#[derive(Debug)]
pub(in crate::store) struct Knocks {
    way: Arc<Way>,
    line: Mutex<Option<Arc<Line>>>,
}

struct Line {
    client: Client,
    heard: Mutex<mpsc::Receiver<String>>,
    carrying: AbortHandle,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

impl Knocks {
    pub(super) fn new(way: Arc<Way>) -> Self {
        Self { way, line: Mutex::default() }
    }

    /// Tells the other nodes.
    pub(in crate::store) async fn knock(&self, from: NodeId, knock: &Knock) -> Result<(), StoreError> {
        let line = self.line().await?;
        let sql = format!("notify hookward, '{}'", write(from, knock));
        let problem = match timeout(PATIENCE, line.client.batch_execute(&sql)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => super::unavailable(&self.way.name, &error),
            Err(_) => self.silent(),
        };
        // Whoever waits to hear something learns of it too.
        line.carrying.abort();
        Err(problem)
    }

    /// Waits for another node's knock.
    pub(in crate::store) async fn heard(&self, own: NodeId) -> Result<Knock, StoreError> {
        let line = self.line().await?;
        let mut heard = line.heard.lock().await;
        loop {
            let said = heard.recv().await.ok_or_else(|| self.silent())?;
            if let Some((from, knock)) = read(&said)
                && from != own
            {
                return Ok(knock);
            }
        }
    }

    fn silent(&self) -> StoreError {
        StoreError::Unavailable(format!("`{}`: the connection for knocks does not answer", self.way.name))
    }

    /// The line, another one if the last one broke.
    async fn line(&self) -> Result<Arc<Line>, StoreError> {
        let mut line = self.line.lock().await;
        if let Some(line) = line.as_ref().filter(|line| !line.carrying.is_finished() && !line.client.is_closed()) {
            return Ok(Arc::clone(line));
        }
        let made = timeout(CONNECT, self.connect()).await.map_err(|_| self.silent())?;
        let made = Arc::new(made.map_err(|error| super::unavailable(&self.way.name, &error))?);
        *line = Some(Arc::clone(&made));
        Ok(made)
    }

    async fn connect(&self) -> Result<Line, tokio_postgres::Error> {
        let mut config = self.way.config.clone();
        // Nothing is asked over it for hours, and what was cut off without a word has to be found out all the same.
        config
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        let (client, mut connection) = config.connect(self.way.tls.clone()).await?;
        let (keep, heard) = mpsc::channel(WAITING);
        let carrying = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(said) = message {
                    let _ = keep.try_send(said.payload().to_owned());
                }
            }
        });
        let line = Line { client, heard: Mutex::new(heard), carrying: carrying.abort_handle() };
        line.client.batch_execute(LISTEN).await?;
        Ok(line)
    }
}

/// A knock as it is sent: the node, what it is about, ids of destinations.
fn write(from: NodeId, knock: &Knock) -> String {
    let declared = if knock.declared { format!(" {DECLARED}") } else { String::new() };
    let owed: String = knock.owed.iter().take(OWED_MAX).map(|id| format!(" {id}")).collect();
    format!("{from}{declared}{owed}")
}

/// What was sent, unless another version or somebody else sent it.
fn read(said: &str) -> Option<(NodeId, Knock)> {
    let mut words = said.split(' ');
    let from = words.next()?.parse().ok()?;
    let (declared, owed): (Vec<_>, Vec<_>) = words.partition(|word| *word == DECLARED);
    let owed: HashSet<DestinationId> = owed.into_iter().filter_map(|word| word.parse().ok()).collect();
    Some((from, Knock { declared: !declared.is_empty(), owed }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 16])
    }

    #[test]
    fn a_knock_is_read_as_it_was_written() {
        let owed = (0..3).map(|byte| DestinationId::from_bytes([byte; 16])).collect::<HashSet<_>>();
        for knock in [
            Knock { declared: true, owed: HashSet::new() },
            Knock { declared: false, owed: owed.clone() },
            Knock { declared: true, owed },
        ] {
            assert_eq!(read(&write(node(1), &knock)), Some((node(1), knock)));
        }
    }

    #[test]
    fn a_knock_about_more_than_it_has_room_for_is_about_some_of_it() {
        let ids = |count: usize| (0..count).map(|at| DestinationId::from_bytes((at as u128).to_be_bytes()));
        for (count, told) in [(OWED_MAX, OWED_MAX), (OWED_MAX + 1, OWED_MAX)] {
            let text = write(node(1), &Knock { declared: true, owed: ids(count).collect() });
            assert!(text.len() < 8_000, "PostgreSQL takes no more: {}", text.len());
            assert_eq!(read(&text).unwrap().1.owed.len(), told);
        }
    }

    #[test]
    fn what_somebody_else_says_is_not_a_knock_and_what_a_later_version_adds_is_passed_over() {
        assert_eq!(read("hello there"), None);
        assert_eq!(read(""), None);
        let text = format!("{} novelty declared", node(2));
        assert_eq!(read(&text), Some((node(2), Knock { declared: true, owed: HashSet::new() })));
    }
}
