//! Senders that go on all the while: every answer has to be an acceptance. A server that is down is waited for.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use systems::github::{push, push_body};
use systems::{Client, world};

/// Connections that send at once.
const CONNECTIONS: usize = 4;

/// Running senders.
pub(super) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

struct Shared {
    secret: &'static str,
    target: Mutex<Option<SocketAddr>>,
    stopping: AtomicBool,
    accepted: AtomicU64,
}

impl Load {
    /// Starts the senders; they wait until they are given an address.
    pub(super) fn start(secret: &'static str) -> Self {
        let (target, stopping, accepted) = (Mutex::new(None), AtomicBool::new(false), AtomicU64::new(0));
        let shared = Arc::new(Shared { secret, target, stopping, accepted });
        let sender = |lane| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || send(&shared, lane))
        };
        let threads = (0..CONNECTIONS as u64).map(sender).collect();
        Self { shared, threads }
    }

    /// Says where the server is now, or that it is down.
    pub(super) fn aim(&self, target: Option<SocketAddr>) {
        *self.shared.target.lock().expect("no holder of this lock panics") = target;
    }

    /// Ends the senders, and gives how many requests were accepted.
    pub(super) fn stop(self) -> Result<u64> {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a sender panicked"))??;
        }
        let accepted = self.shared.accepted.load(Ordering::SeqCst);
        ensure!(accepted > 0, "no request was sent: nothing was tested");
        Ok(accepted)
    }
}

fn send(shared: &Shared, lane: u64) -> Result<()> {
    let mut kept: Option<(SocketAddr, Client)> = None;
    let mut number = lane;
    while !shared.stopping.load(Ordering::SeqCst) {
        let Some(target) = *shared.target.lock().expect("no holder of this lock panics") else {
            kept = None;
            world::pause(Duration::from_millis(2));
            continue;
        };
        let mut client = match kept.take() {
            Some((address, client)) if address == target => client,
            _ => Client::new(target),
        };
        let id = format!("{number:08x}-0000-4000-8000-000000000000");
        let request = push("/in/github", shared.secret.as_bytes(), &id, &push_body(number));
        // A connection that breaks is a server that was killed: the same request is sent again.
        if let Ok(response) = client.send(&request) {
            ensure!(matches!(response.status, 200 | 202), "request {id} was answered {}", response.status);
            shared.accepted.fetch_add(1, Ordering::SeqCst);
            number += CONNECTIONS as u64;
            kept = Some((target, client));
        }
        world::pause(Duration::from_millis(2));
    }
    Ok(())
}
