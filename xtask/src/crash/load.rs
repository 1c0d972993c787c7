//! Senders that never give up: each request is sent again, unchanged, until some life of the server answers it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use systems::github::{push, push_body};
use systems::{Client, world};

use super::SECRET;
use super::reckoning::Deliveries;

/// Connections that send at once.
const CONNECTIONS: usize = 8;

/// How far the deliveries may fall behind before the senders wait for them, so that the end is not all draining.
const BEHIND_MAX: usize = 4_000;

/// The requests that were answered, by delivery id, with the status of the answer.
pub(super) type Answered = BTreeMap<String, u16>;

/// Running senders.
pub(super) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

struct Shared {
    target: Mutex<Option<SocketAddr>>,
    stopping: AtomicBool,
    next: AtomicU64,
    unanswered: AtomicU64,
    answered: Mutex<Answered>,
    deliveries: Arc<Mutex<Deliveries>>,
}

impl Load {
    /// Starts the senders; they wait until they are given an address.
    pub(super) fn start(deliveries: Arc<Mutex<Deliveries>>) -> Self {
        let shared = Arc::new(Shared {
            target: Mutex::new(None),
            stopping: AtomicBool::new(false),
            next: AtomicU64::new(1),
            unanswered: AtomicU64::new(0),
            answered: Mutex::default(),
            deliveries,
        });
        let sender = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || send_until_stopped(&shared))
        };
        let threads = (0..CONNECTIONS).map(sender).collect();
        Self { shared, threads }
    }

    /// Says where the server is now, or that it is down.
    pub(super) fn aim(&self, target: Option<SocketAddr>) {
        *self.shared.target.lock().expect("no holder of this lock panics") = target;
    }

    /// Lets every sender finish the request it is at, and gives what was answered.
    pub(super) fn stop(self) -> Result<Answered> {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().map_err(|_| anyhow!("a sender panicked"))??;
        }
        let answered = std::mem::take(&mut *self.shared.answered.lock().expect("no holder of this lock panics"));
        let broken = self.shared.unanswered.load(Ordering::SeqCst);
        println!("crash: {} requests answered; {broken} times a connection broke or was refused first", answered.len());
        ensure!(!answered.is_empty(), "no request was answered: nothing was tested");
        Ok(answered)
    }
}

/// The delivery id of the request with this number.
pub(super) fn delivery_id(number: u64) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

fn send_until_stopped(shared: &Shared) -> Result<()> {
    while !shared.stopping.load(Ordering::SeqCst) {
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        let (id, body) = (delivery_id(number), push_body(number));
        let request = push("/in/github", SECRET.as_bytes(), &id, &body);
        let status = send_until_answered(shared, &request)?;
        ensure!(matches!(status, 200 | 202), "request {id} was answered {status}");
        shared.answered.lock().expect("no holder of this lock panics").insert(id, status);
        wait_for_deliveries(shared);
    }
    Ok(())
}

/// One request, again and again, on a new connection whenever the last one broke.
fn send_until_answered(shared: &Shared, request: &systems::Request) -> Result<u16> {
    let mut kept: Option<(SocketAddr, Client)> = None;
    let started = world::instant();
    loop {
        ensure!(started.elapsed() < Duration::from_secs(60), "a request found no answer for a minute");
        let Some(target) = *shared.target.lock().expect("no holder of this lock panics") else {
            world::pause(Duration::from_millis(1));
            continue;
        };
        let mut client = match kept.take() {
            Some((address, client)) if address == target => client,
            _ => Client::new(target),
        };
        if let Ok(response) = client.send(request) {
            // 503 is our fault and says "again": the promise is about what was accepted.
            if response.status != 503 {
                return Ok(response.status);
            }
            kept = Some((target, client));
        }
        shared.unanswered.fetch_add(1, Ordering::SeqCst);
        world::pause(Duration::from_millis(1));
    }
}

fn wait_for_deliveries(shared: &Shared) {
    let behind = || {
        let answered = shared.answered.lock().expect("no holder of this lock panics").len();
        let delivered = shared.deliveries.lock().expect("no holder of this lock panics").distinct();
        answered.saturating_sub(delivered) > BEHIND_MAX
    };
    while behind() && !shared.stopping.load(Ordering::SeqCst) {
        world::pause(Duration::from_millis(2));
    }
}
