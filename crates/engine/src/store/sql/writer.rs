//! The write side: one thread that puts whatever is waiting into one transaction and answers all after its sync.
//! Owns the queue, the group and what becomes of a group that fails; what is written is the verbs' business.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, thread};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::commit::{Prepared, Written};
use super::connection::Connection;
use super::failure::{Failure, Result};
use super::readers::Connect;
use super::settle::{self, End};
use super::{Limits, audit, locks, resources, retention};
use crate::clock::Timestamp;
use crate::ids::SourceId;
use crate::model::{Head, SecretOwner};
use crate::store::postgres::session::Session;
use crate::store::postgres::{ending, ingest};
use crate::store::{Settled, Settlement, StoreError};
use job::{Commit, Job, Room, Settle, Write};

mod job;

/// Places in the queue that the doors cannot take, so that deliveries are settled even under a flood of events.
const INNER_PLACES: usize = 1024;

/// How often a group is run again that had to give way to another transaction.
const MEETINGS: u32 = 5;

/// A verb's view of the transaction that its group is written in.
#[derive(Debug)]
pub(in crate::store) struct Tx<'c> {
    pub(in crate::store) connection: &'c Connection,
    /// The audit chain's head, once something was appended to it in this transaction.
    pub(in crate::store) audit_head: Cell<Option<Head>>,
    /// What is appended to the chain at the end, where that is everybody's.
    pub(in crate::store) to_chain: RefCell<Vec<audit::Unchained>>,
    uses: HashMap<(SecretOwner, u32), Uses>,
    kept: HashMap<SourceId, Kept>,
}

/// What one group adds to what is kept of a source, or takes away.
#[derive(Debug, Default)]
pub(in crate::store) struct Kept {
    pub(in crate::store) events: i64,
    pub(in crate::store) body_bytes: i64,
}

/// Uses of one secret within one group.
#[derive(Debug)]
pub(in crate::store) struct Uses {
    pub(in crate::store) count: u32,
    pub(in crate::store) first: Timestamp,
    pub(in crate::store) last: Timestamp,
    /// The last of them that a receiver accepted.
    pub(in crate::store) accepted: Option<Timestamp>,
}

impl Tx<'_> {
    /// Counts events and bytes of bodies of a source; written once for the whole group. Called last in a verb.
    pub(in crate::store) fn count_kept(&mut self, source: SourceId, events: i64, body_bytes: i64) {
        let kept = self.kept.entry(source).or_default();
        kept.events += events;
        kept.body_bytes += body_bytes;
    }

    /// Counts a use of a secret; written once for the whole group. Called last in a verb, when it can no longer fail.
    pub(in crate::store) fn count_use(&mut self, owner: SecretOwner, version: u32, at: Timestamp) {
        let uses = self.uses.entry((owner, version));
        let uses = uses.or_insert(Uses { count: 0, first: at, last: at, accepted: None });
        uses.count += 1;
        uses.first = uses.first.min(at);
        uses.last = uses.last.max(at);
    }

    /// A use that was counted, and that a receiver accepted.
    pub(super) fn count_accepted(&mut self, owner: SecretOwner, version: u32, at: Timestamp) {
        if let Some(uses) = self.uses.get_mut(&(owner, version)) {
            uses.accepted = uses.accepted.max(Some(at));
        }
    }
}

/// What something that came through a door (an event, a refusal) takes up while it waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Door {
    pub(super) body_bytes: usize,
}

/// What is done between two groups, on the writer's thread.
pub(in crate::store) type Between = dyn FnMut(&Connection) + Send;

/// The writer thread as its callers see it.
#[derive(Debug)]
pub(in crate::store) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    entries: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    queue_bytes: usize,
    /// How long somebody at a door waits for an answer.
    patience: Option<Duration>,
    name: String,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(in crate::store) fn start(
        name: String,
        connection: Connection,
        reconnect: Box<Connect>,
        between: Box<Between>,
        limits: &Limits,
    ) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(limits.queue_entries.saturating_add(INNER_PLACES));
        let mut groups = Groups {
            name: name.clone(),
            connection,
            reconnect,
            between,
            waiting,
            group_entries: limits.group_entries.max(1),
            group_bytes: limits.group_bytes,
        };
        let thread =
            thread::Builder::new().name("hookward-writer".to_owned()).spawn(move || groups.write_until_closed())?;
        let queue_bytes = limits.queue_bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Ok(Self {
            queue: Some(queue),
            entries: Arc::new(Semaphore::new(limits.queue_entries.min(Semaphore::MAX_PERMITS))),
            bytes: Arc::new(Semaphore::new(queue_bytes)),
            queue_bytes,
            patience: None,
            name,
            thread: Some(thread),
        })
    }

    /// Somebody at a door has an answer within `patience`, though it may be that nobody knows yet. What was not begun by then
    /// is not written.
    pub(in crate::store) fn answering_within(self, patience: Duration) -> Self {
        let mut this = self;
        this.patience = Some(patience);
        this
    }

    /// Writes something that came from outside; refused at once when the doors' share of the queue is full.
    pub(super) async fn submit_at_door<T, F>(&self, door: Door, work: F) -> std::result::Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let room = self.room(door.body_bytes)?;
        let (caller, answer) = oneshot::channel();
        self.send(Box::new(Write {
            work,
            done: None,
            caller,
            bytes: door.body_bytes,
            beside: true,
            gives_up: self.patience.is_some(),
            _room: Some(room),
        }))?;
        self.answered(answer).await
    }

    async fn answered<T>(
        &self,
        answer: oneshot::Receiver<std::result::Result<T, StoreError>>,
    ) -> std::result::Result<T, StoreError> {
        let answer = match self.patience {
            None => answer.await,
            Some(patience) => tokio::time::timeout(patience, answer).await.map_err(|_| {
                StoreError::Unavailable(format!("`{}`: no answer within {} ms", self.name, patience.as_millis()))
            })?,
        };
        answer.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// A place in the doors' share of the queue.
    fn room(&self, body_bytes: usize) -> std::result::Result<Room, StoreError> {
        let full = |_| StoreError::Unavailable(format!("`{}`: too much is waiting to be written", self.name));
        let entry = Arc::clone(&self.entries).try_acquire_owned().map_err(full)?;
        // A body larger than the whole allowance waits alone instead of never.
        let wanted = u32::try_from(body_bytes.min(self.queue_bytes)).expect("the allowance fits in 32 bits");
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(wanted).map_err(full)?;
        Ok((entry, bytes))
    }

    /// Writes an event.
    pub(super) async fn commit(&self, prepared: Prepared) -> std::result::Result<Written, StoreError> {
        let room = self.room(prepared.new.body.len())?;
        let (caller, answer) = oneshot::channel();
        self.send(Box::new(Commit { prepared, done: None, caller, gives_up: self.patience.is_some(), _room: room }))?;
        self.answered(answer).await
    }

    /// Writes the ends of attempts, those that wait together in one go.
    pub(super) async fn settle(&self, settlements: Vec<Settlement>) -> std::result::Result<Vec<Settled>, StoreError> {
        let (caller, answer) = oneshot::channel();
        let ends = settlements.into_iter().map(End::from).collect();
        self.send(Box::new(Settle { ends, done: None, caller }))?;
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Writes something of the engine's own. Nobody else writes meanwhile, at no node.
    pub(in crate::store) async fn submit<T, F>(&self, work: F) -> std::result::Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.enqueue(false, work).await
    }

    /// Writes something of the engine's own that other nodes may do at the same time: it holds what must not happen twice
    /// itself, rows and [`locks`].
    pub(super) async fn submit_beside<T, F>(&self, work: F) -> std::result::Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.enqueue(true, work).await
    }

    /// Fails when the writer thread has ended, which only a fault in it can bring about.
    pub(super) fn is_running(&self) -> std::result::Result<(), StoreError> {
        match &self.queue {
            Some(queue) if !queue.is_closed() => Ok(()),
            _ => Err(self.stopped()),
        }
    }

    async fn enqueue<T, F>(&self, beside: bool, work: F) -> std::result::Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        self.send(Box::new(Write { work, done: None, caller, bytes: 0, beside, gives_up: false, _room: None }))?;
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    fn send(&self, job: Box<dyn Job>) -> std::result::Result<(), StoreError> {
        let queue = self.queue.as_ref().ok_or_else(|| self.stopped())?;
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Unavailable(format!("`{}`: the queue is full", self.name)),
            TrySendError::Closed(_) => self.stopped(),
        })
    }

    fn stopped(&self) -> StoreError {
        StoreError::Unavailable(format!("`{}`: the writer has stopped", self.name))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How a whole group failed; nothing of it was written.
enum GroupFailure {
    /// Disk, memory, lock: everyone is told.
    Environment(StoreError),
    /// It met another transaction, and one of the two had to give way.
    Met(StoreError),
    /// Some event cannot be written as it is, and it is not known which: each deserves a try of its own.
    Together,
    /// One job failed after it had written: the others deserve another try without it.
    Job { index: usize, answer: StoreError },
}

/// The writer thread's own side.
struct Groups {
    name: String,
    connection: Connection,
    /// Makes another when that one broke.
    reconnect: Box<Connect>,
    between: Box<Between>,
    waiting: mpsc::Receiver<Box<dyn Job>>,
    group_entries: usize,
    group_bytes: usize,
}

impl Groups {
    fn write_until_closed(&mut self) {
        while let Some(first) = self.waiting.blocking_recv() {
            let group = self.gather(first);
            self.write(group);
            (self.between)(&self.connection);
        }
    }

    /// What is waiting now, in order, as far as one transaction should hold it.
    fn gather(&mut self, first: Box<dyn Job>) -> Vec<Box<dyn Job>> {
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while group.len() < self.group_entries && bytes < self.group_bytes {
            let Ok(job) = self.waiting.try_recv() else { break };
            bytes += job.bytes();
            group.push(job);
        }
        group
    }

    fn write(&mut self, mut group: Vec<Box<dyn Job>>) {
        let mut one_by_one = false;
        let mut met = 0;
        group.retain(|job| !job.is_given_up());
        while !group.is_empty() {
            match self.transact(&mut group, one_by_one) {
                Ok(outcomes) => {
                    for (job, outcome) in group.drain(..).zip(outcomes) {
                        job.answer(outcome);
                    }
                }
                Err(GroupFailure::Together) => one_by_one = true,
                Err(GroupFailure::Met(_)) if met < MEETINGS => met += 1,
                Err(GroupFailure::Job { index, answer }) => group.remove(index).answer(Err(answer)),
                Err(GroupFailure::Environment(answer) | GroupFailure::Met(answer)) => {
                    tracing::error!(entries = group.len(), error = %answer, "a group could not be written");
                    for job in group.drain(..) {
                        job.answer(Err(answer.clone()));
                    }
                }
            }
        }
    }

    /// Runs a group in one transaction. `Ok` has an outcome for each job, given after the sync.
    fn transact(
        &mut self,
        group: &mut [Box<dyn Job>],
        one_by_one: bool,
    ) -> std::result::Result<Vec<std::result::Result<(), StoreError>>, GroupFailure> {
        if !self.connection.is_sound() {
            let failed = |failure| environment(failure, &self.name);
            self.connection = (self.reconnect)().map_err(failed)?;
        }
        let outcome = self.run_and_commit(group, one_by_one);
        if outcome.is_err()
            && !self.connection.is_autocommit()
            && let Err(error) = self.execute("rollback")
        {
            tracing::error!(database = self.name, %error, "a failed group could not be rolled back");
        }
        outcome
    }

    fn run_and_commit(
        &self,
        group: &mut [Box<dyn Job>],
        one_by_one: bool,
    ) -> std::result::Result<Vec<std::result::Result<(), StoreError>>, GroupFailure> {
        let environment = |failure: Failure| environment(failure, &self.name);
        self.connection.begin(group.iter().all(|job| job.beside())).map_err(environment)?;
        let entangled = group.iter().filter_map(|job| job.event()).flat_map(|event| locks::of_event(&event.new));
        locks::hold(&self.connection, entangled.collect()).map_err(environment)?;
        let mut tx = Tx {
            connection: &self.connection,
            audit_head: Cell::new(None),
            to_chain: RefCell::default(),
            uses: HashMap::new(),
            kept: HashMap::new(),
        };
        let written = match &self.connection {
            Connection::Postgres(session) if !one_by_one => {
                write_together(&mut tx, session, group).map_err(|failure| {
                    if failure.is_environmental() { environment(failure) } else { GroupFailure::Together }
                })?
            }
            _ => HashSet::new(),
        };
        let mut outcomes = Vec::with_capacity(group.len());
        for (index, job) in group.iter_mut().enumerate() {
            if written.contains(&index) {
                outcomes.push(Ok(()));
                continue;
            }
            let changes = self.connection.total_changes();
            let chained = tx.to_chain.borrow().len();
            match job.run(&mut tx) {
                Ok(()) => outcomes.push(Ok(())),
                Err(failure) if failure.is_environmental() || self.connection.is_autocommit() => {
                    return Err(environment(failure));
                }
                Err(failure) => {
                    let ends = failure.ends_transaction() || self.connection.total_changes() != changes;
                    let answer = failure.into_answer(&self.name);
                    if ends {
                        return Err(GroupFailure::Job { index, answer });
                    }
                    tx.to_chain.borrow_mut().truncate(chained);
                    outcomes.push(Err(answer));
                }
            }
        }
        self.commit(&tx).map_err(environment)?;
        Ok(outcomes)
    }

    fn commit(&self, tx: &Tx<'_>) -> Result<()> {
        match &self.connection {
            Connection::Sqlite(_) => {
                resources::write_uses(&self.connection, &tx.uses)?;
                retention::write_kept(&self.connection, &tx.kept)?;
                self.execute("commit")
            }
            Connection::Postgres(session) => ending::commit(session, &tx.uses, &tx.kept, &tx.to_chain.borrow()),
        }
    }

    fn execute(&self, statement: &'static str) -> Result<()> {
        self.connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    }
}

/// Writes what goes in a few statements for all of a group: its events, and ends of attempts. Returns whose those were.
fn write_together(tx: &mut Tx<'_>, session: &Session, group: &mut [Box<dyn Job>]) -> Result<HashSet<usize>> {
    let mut written = HashSet::new();
    let events: Vec<_> = group.iter().enumerate().filter_map(|(index, job)| Some((index, job.event()?))).collect();
    if !events.is_empty() {
        for (index, event) in ingest::write(tx, session, &events)? {
            group[index].written(event);
            written.insert(index);
        }
    }
    let ends: Vec<_> = group.iter().filter_map(|job| job.ends()).flatten().collect();
    if !ends.is_empty() {
        let mut settled = settle::write(tx, &ends)?.into_iter();
        for (index, job) in group.iter_mut().enumerate() {
            if let Some(count) = job.ends().map(<[End]>::len) {
                job.ended(settled.by_ref().take(count).collect());
                written.insert(index);
            }
        }
    }
    Ok(written)
}

fn environment(failure: Failure, name: &str) -> GroupFailure {
    let met = failure.met_another();
    let answer = unavailable(failure, name);
    if met { GroupFailure::Met(answer) } else { GroupFailure::Environment(answer) }
}

/// A group's failure is everyone's, so nobody is told that their own data is at fault.
fn unavailable(failure: Failure, name: &str) -> StoreError {
    match failure.into_answer(name) {
        answer @ StoreError::Unavailable(_) => answer,
        answer => StoreError::Unavailable(format!("`{name}`: {answer}")),
    }
}
