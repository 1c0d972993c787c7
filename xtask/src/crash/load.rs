//! Senders that never give up: each request is sent again, unchanged, until some life of a server accepts it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
pub(crate) type Answered = BTreeMap<String, u16>;

/// Whom the senders are for, and how they go about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// What is said of them begins so.
    pub(crate) check: &'static str,
    /// How many servers there are; each has its own senders, who go to the next one while it does not answer.
    pub(crate) servers: usize,
    /// How long a sender waits between two requests.
    pub(crate) pause: Duration,
}

/// What the senders heard for a while.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    /// How many requests each server accepted.
    pub(crate) accepted: Vec<u64>,
    pub(crate) unavailable: u64,
    /// Those of them that did not say when to come again.
    pub(crate) without_when: u64,
    /// Connections that broke, or were refused.
    pub(crate) broken: u64,
    /// The longest that any answer took, or took so far.
    pub(crate) longest: Duration,
}

impl Heard {
    fn none(servers: usize) -> Self {
        Self { accepted: vec![0; servers], ..Self::default() }
    }
}

/// Running senders.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<Result<()>>>>,
}

struct Shared {
    manner: Manner,
    targets: Mutex<Vec<Option<SocketAddr>>>,
    stopping: AtomicBool,
    next: AtomicU64,
    unanswered: AtomicU64,
    answered: Mutex<Answered>,
    deliveries: Arc<Mutex<Deliveries>>,
    listening: Mutex<Listening>,
}

struct Listening {
    heard: Heard,
    /// Since when each sender waits for an answer; what it waited before somebody began to listen anew is not counted.
    waiting: Vec<Option<Instant>>,
}

impl Load {
    /// Starts the senders; they wait until they are given an address.
    pub(crate) fn start(manner: Manner, deliveries: Arc<Mutex<Deliveries>>) -> Self {
        let shared = Arc::new(Shared {
            manner,
            targets: Mutex::new(vec![None; manner.servers]),
            stopping: AtomicBool::new(false),
            next: AtomicU64::new(1),
            unanswered: AtomicU64::new(0),
            answered: Mutex::default(),
            deliveries,
            listening: Mutex::new(Listening { heard: Heard::none(manner.servers), waiting: vec![None; CONNECTIONS] }),
        });
        let sender = |number| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || send_until_stopped(&shared, number))
        };
        let threads = Mutex::new((0..CONNECTIONS).map(sender).collect());
        Self { shared, threads }
    }

    /// Says where a server is now, or that it is down.
    pub(crate) fn aim(&self, server: usize, target: Option<SocketAddr>) {
        self.shared.targets.lock().expect("no holder of this lock panics")[server] = target;
    }

    /// Gives what was heard since the last time.
    pub(crate) fn heard(&self) -> Heard {
        let mut listening = self.shared.listening.lock().expect("no holder of this lock panics");
        let mut heard = std::mem::replace(&mut listening.heard, Heard::none(self.shared.manner.servers));
        let now = world::instant();
        for since in listening.waiting.iter_mut().flatten() {
            heard.longest = heard.longest.max(now - std::mem::replace(since, now));
        }
        heard
    }

    /// Looks at what was heard since the last time.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&self.shared.listening.lock().expect("no holder of this lock panics").heard)
    }

    /// Lets every sender finish the request it is at, and gives what was answered.
    pub(crate) fn stop(&self) -> Result<Answered> {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for thread in self.threads.lock().expect("no holder of this lock panics").drain(..) {
            thread.join().map_err(|_| anyhow!("a sender panicked"))??;
        }
        let answered = std::mem::take(&mut *self.shared.answered.lock().expect("no holder of this lock panics"));
        let (check, broken) = (self.shared.manner.check, self.shared.unanswered.load(Ordering::SeqCst));
        println!(
            "{check}: {} requests answered; {broken} times a connection broke or was refused first",
            answered.len()
        );
        ensure!(!answered.is_empty(), "no request was answered: nothing was tested");
        Ok(answered)
    }
}

/// The delivery id of the request with this number.
pub(crate) fn delivery_id(number: u64) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

fn send_until_stopped(shared: &Shared, sender: usize) -> Result<()> {
    while !shared.stopping.load(Ordering::SeqCst) {
        let number = shared.next.fetch_add(1, Ordering::SeqCst);
        let (id, body) = (delivery_id(number), push_body(number));
        let request = push("/in/github", SECRET.as_bytes(), &id, &body);
        let status = send_until_answered(shared, sender, &request)?;
        ensure!(matches!(status, 200 | 202), "request {id} was answered {status}");
        shared.answered.lock().expect("no holder of this lock panics").insert(id, status);
        world::pause(shared.manner.pause);
        wait_for_deliveries(shared);
    }
    Ok(())
}

/// One request, again and again, on a new connection whenever the last one broke, at the next server after each failure.
fn send_until_answered(shared: &Shared, sender: usize, request: &systems::Request) -> Result<u16> {
    let mut kept: Option<(SocketAddr, Client)> = None;
    let mut tries = sender;
    let started = world::instant();
    loop {
        ensure!(started.elapsed() < Duration::from_secs(60), "a request found no answer for a minute");
        let server = tries % shared.manner.servers;
        let target = shared.targets.lock().expect("no holder of this lock panics")[server];
        let Some(target) = target else {
            world::pause(Duration::from_millis(1));
            tries += 1;
            continue;
        };
        let mut client = match kept.take() {
            Some((address, client)) if address == target => client,
            _ => Client::new(target),
        };
        if let Some(response) = send(shared, (sender, server), &mut client, request) {
            // 503 is our fault and says "again": the promise is about what was accepted.
            if response.status != 503 {
                return Ok(response.status);
            }
            kept = Some((target, client));
        }
        tries += 1;
        shared.unanswered.fetch_add(1, Ordering::SeqCst);
        world::pause(shared.manner.pause.max(Duration::from_millis(1)));
    }
}

/// Sends the request of a sender to a server, and notes what is heard.
fn send(
    shared: &Shared,
    (sender, server): (usize, usize),
    client: &mut Client,
    request: &systems::Request,
) -> Option<systems::Response> {
    shared.listening.lock().expect("no holder of this lock panics").waiting[sender] = Some(world::instant());
    let response = client.send(request).ok();
    let mut listening = shared.listening.lock().expect("no holder of this lock panics");
    let waited = listening.waiting[sender].take().map(|since| since.elapsed()).unwrap_or_default();
    let heard = &mut listening.heard;
    heard.longest = heard.longest.max(waited);
    match &response {
        None => heard.broken += 1,
        Some(response) if response.status == 503 => {
            heard.unavailable += 1;
            heard.without_when += u64::from(response.header("retry-after").is_none());
        }
        Some(_) => heard.accepted[server] += 1,
    }
    response
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
