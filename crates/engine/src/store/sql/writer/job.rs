//! A verb on its way through a group: how it is run, and how its caller gets to know what came of it.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::Tx;
use crate::store::sql::commit::{self, Prepared, Written};
use crate::store::sql::failure::Result;
use crate::store::sql::settle::{self, End};
use crate::store::{Settled, StoreError};

/// A place in the doors' share of the queue, given back when the job is answered.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// One verb on its way through a group. May be run more than once: what it wrote before was rolled back.
pub(super) trait Job: Send {
    /// The event that it is to write, if that is all that it does.
    fn event(&self) -> Option<&Prepared> {
        None
    }
    /// The event is written, together with others.
    fn written(&mut self, _: Written) {}
    /// The ends of attempts that it is to write, if that is all that it does.
    fn ends(&self) -> Option<&[End]> {
        None
    }
    /// The ends are written, together with others.
    fn ended(&mut self, _: Vec<Settled>) {}
    /// Whether it may be written while others write elsewhere.
    fn beside(&self) -> bool;
    /// Whether its caller waits no more, and so was told that it is not known to be written: it may stay so.
    fn is_given_up(&self) -> bool;
    fn bytes(&self) -> usize;
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<()>;
    fn answer(self: Box<Self>, outcome: std::result::Result<(), StoreError>);
}

/// A verb.
pub(super) struct Write<T, F> {
    pub(super) work: F,
    pub(super) done: Option<T>,
    pub(super) caller: oneshot::Sender<std::result::Result<T, StoreError>>,
    pub(super) bytes: usize,
    pub(super) beside: bool,
    pub(super) gives_up: bool,
    pub(super) _room: Option<Room>,
}

impl<T, F> Job for Write<T, F>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T> + Send,
{
    fn beside(&self) -> bool {
        self.beside
    }

    fn is_given_up(&self) -> bool {
        self.gives_up && self.caller.is_closed()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        self.done = Some((self.work)(tx)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: std::result::Result<(), StoreError>) {
        let Self { done, caller, .. } = *self;
        let answer = outcome.map(|()| done.expect("a job without a failure has a result"));
        // A caller that has gone away needs no answer; what it asked for is written all the same.
        let _ = caller.send(answer);
    }
}

/// An event on its way through a group.
pub(super) struct Commit {
    pub(super) prepared: Prepared,
    pub(super) done: Option<Written>,
    pub(super) caller: oneshot::Sender<std::result::Result<Written, StoreError>>,
    pub(super) gives_up: bool,
    pub(super) _room: Room,
}

impl Job for Commit {
    fn event(&self) -> Option<&Prepared> {
        Some(&self.prepared)
    }

    fn written(&mut self, written: Written) {
        self.done = Some(written);
    }

    fn beside(&self) -> bool {
        true
    }

    fn is_given_up(&self) -> bool {
        self.gives_up && self.caller.is_closed()
    }

    fn bytes(&self) -> usize {
        self.prepared.new.body.len()
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        self.done = Some(commit::write(tx, &self.prepared)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: std::result::Result<(), StoreError>) {
        let Self { done, caller, .. } = *self;
        let answer = outcome.map(|()| done.expect("a job without a failure has a result"));
        let _ = caller.send(answer);
    }
}

/// Ends of attempts on their way through a group.
pub(super) struct Settle {
    pub(super) ends: Vec<End>,
    pub(super) done: Option<Vec<Settled>>,
    pub(super) caller: oneshot::Sender<std::result::Result<Vec<Settled>, StoreError>>,
}

impl Job for Settle {
    fn ends(&self) -> Option<&[End]> {
        Some(&self.ends)
    }

    fn ended(&mut self, settled: Vec<Settled>) {
        self.done = Some(settled);
    }

    fn beside(&self) -> bool {
        true
    }

    fn is_given_up(&self) -> bool {
        false
    }

    fn bytes(&self) -> usize {
        0
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        self.done = Some(settle::write(tx, &self.ends.iter().collect::<Vec<_>>())?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: std::result::Result<(), StoreError>) {
        let Self { done, caller, .. } = *self;
        let answer = outcome.map(|()| done.expect("a job without a failure has a result"));
        let _ = caller.send(answer);
    }
}
