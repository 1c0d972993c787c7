//! The way between one node and PostgreSQL: a place on loopback that passes everything on to the cluster's socket, until it is
//! told to hold it, to slow it down, or to cut the next commit of events. Owns the bytes' way; what they mean is `protocol`'s.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use systems::{Hookward, Setup, world};

use super::nodes::Reach;
use super::protocol::{Client, Said};
use crate::postgres::Cluster;

/// How the connection of a commit is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// COMMIT does not arrive.
    Before,
    /// COMMIT is answered, and the answer does not arrive.
    After,
    /// Both sides are closed as soon as COMMIT was passed on.
    Torn,
    /// COMMIT is answered, nobody hears it, and nobody hears of an end either.
    Silent,
}

/// Every way, in turn.
pub(super) const CUTS: [Cut; 4] = [Cut::Before, Cut::After, Cut::Torn, Cut::Silent];

/// A way that is open until this process ends.
pub(super) struct Way {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    socket: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Nothing is passed on, as when packets are lost.
    held: bool,
    /// How long each piece of an answer takes.
    delay: Duration,
    /// How the next commit of events is cut.
    trap: Option<Cut>,
    connections: Vec<(u64, Ends)>,
    opened: u64,
}

/// Both ends of a connection.
struct Ends {
    node: TcpStream,
    server: UnixStream,
}

impl Ends {
    fn try_clone(&self) -> std::io::Result<Self> {
        Ok(Self { node: self.node.try_clone()?, server: self.server.try_clone()? })
    }

    fn close(&self) {
        let _ = self.node.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Reach for Way {
    fn open(cluster: &Cluster, _number: usize) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let socket = cluster.directory().join(".s.PGSQL.5432");
        let shared = Arc::new(Shared { socket, state: Mutex::default(), changed: Condvar::new() });
        let way = Self { address: listener.local_addr()?, shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for node in listener.incoming().flatten() {
                // A server that is not there refuses.
                let Ok(server) = UnixStream::connect(&shared.socket) else { continue };
                let _ = node.set_nodelay(true);
                let _ = pass_on(Ends { node, server }, &shared);
            }
        });
        Ok(way)
    }

    fn database(&self) -> String {
        format!("host={} port={} sslmode=disable", self.address.ip(), self.address.port())
    }

    fn node(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn receiver() -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }

    fn start(&self, setup: &Setup) -> Result<Hookward> {
        setup.start()
    }
}

impl Way {
    /// Passes nothing on any more, nor says so.
    pub(super) fn hold(&self) {
        self.shared.lock().held = true;
    }

    /// Passes on what was held, as late as it is.
    pub(super) fn release(&self) {
        self.shared.lock().held = false;
        self.shared.changed.notify_all();
    }

    /// Loses what was held, with its connections.
    pub(super) fn lose(&self) {
        let mut state = self.shared.lock();
        state.connections.drain(..).for_each(|(_, ends)| ends.close());
        state.held = false;
        self.shared.changed.notify_all();
    }

    /// Lets every piece of an answer wait.
    pub(super) fn delay(&self, delay: Duration) {
        self.shared.lock().delay = delay;
    }

    /// Cuts the next commit of events.
    pub(super) fn trap(&self, cut: Cut) {
        self.shared.lock().trap = Some(cut);
    }

    /// Whether there was such a commit.
    pub(super) fn has_cut(&self) -> bool {
        self.shared.lock().trap.is_none()
    }

    /// Does not wait for one any longer.
    pub(super) fn disarm(&self) {
        self.shared.lock().trap = None;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits while nothing is passed on; `false` when the connection was lost meanwhile.
    fn may_pass(&self, number: u64) -> bool {
        let mut state = self.lock();
        while state.held {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.connections.iter().any(|(known, _)| *known == number)
    }

    fn forget(&self, number: u64) {
        self.lock().connections.retain(|(known, _)| *known != number);
    }
}

fn pass_on(ends: Ends, shared: &Arc<Shared>) -> std::io::Result<()> {
    let number = {
        let kept = ends.try_clone()?;
        let mut state = shared.lock();
        state.opened += 1;
        let number = state.opened;
        state.connections.push((number, kept));
        number
    };
    let cut: Arc<Mutex<Option<Cut>>> = Arc::default();
    let (for_asking, cut_by_asking, asked) = (Arc::clone(shared), Arc::clone(&cut), ends.try_clone()?);
    std::thread::spawn(move || {
        ask(&asked, &for_asking, number, &cut_by_asking);
        asked.close();
        for_asking.forget(number);
    });
    let shared = Arc::clone(shared);
    std::thread::spawn(move || {
        answer(&ends, &shared, number, &cut);
        ends.close();
    });
    Ok(())
}

/// Passes on what the node says, up to where it is cut.
fn ask(ends: &Ends, shared: &Shared, number: u64, cut: &Mutex<Option<Cut>>) {
    let (mut from, mut to) = (&ends.node, &ends.server);
    let mut client = Client::default();
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        client.hear(&buffer[..length]);
        while let Some(Said { bytes, commits_events }) = client.next() {
            if !shared.may_pass(number) {
                return;
            }
            let trap = if commits_events { shared.lock().trap.take() } else { None };
            *cut.lock().unwrap_or_else(PoisonError::into_inner) = trap;
            if trap == Some(Cut::Before) || to.write_all(&bytes).is_err() || trap == Some(Cut::Torn) {
                return;
            }
            if trap.is_some() {
                // What completes the commit may come in a message of its own; then nothing more is heard.
                while let Some(Said { bytes, .. }) = client.next() {
                    let _ = to.write_all(&bytes);
                }
                while let Ok(1..) = from.read(&mut buffer) {}
                return;
            }
        }
    }
}

/// Passes on what the server says, but nothing after a cut.
fn answer(ends: &Ends, shared: &Shared, number: u64, cut: &Mutex<Option<Cut>>) {
    let (mut from, mut to) = (&ends.server, &ends.node);
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let delay = shared.lock().delay;
        if !delay.is_zero() {
            world::pause(delay);
        }
        if !shared.may_pass(number) {
            return;
        }
        match *cut.lock().unwrap_or_else(PoisonError::into_inner) {
            None => {}
            Some(Cut::Silent) => continue,
            Some(Cut::Before | Cut::After | Cut::Torn) => return,
        }
        if to.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}
