//! Three nodes on one database, each reaching PostgreSQL in a way of its own, and the senders and the receiver around them.
//! Owns their start and their end; what befalls them in between is done by the other modules.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use systems::{Hookward, Receiver, Setup, world};

use crate::crash::SECRET;
use crate::crash::load::{Load, Manner};
use crate::crash::reckoning::Deliveries;
use crate::postgres::Cluster;

/// How many there are.
pub(super) const NODES: usize = 3;

/// How long a lease lasts: the destination's `timeout` and `lease_margin`.
pub(super) const LEASE: Duration = Duration::from_secs(2);

/// How long a node that is cut off acts on what it heard last.
pub(super) const VALIDITY: Duration = Duration::from_secs(4);

/// The most that the receiver lets an attempt wait, so that some are under way at any moment.
const ANSWER_MAX_MS: u64 = 400;

const CONFIG: &str = r#"
[database]
address = "env:CLUSTER_DATABASE"

[node]
validity = "4s"

[limits]
lease_margin = "1s"

[[source]]
name = "github"
scheme = "github"
secret = "env:CLUSTER_SECRET"

[[destination]]
name = "receiver"
type = "http"
url = "env:CLUSTER_RECEIVER_URL"
forward_headers = ["X-GitHub-Delivery"]
allow_addresses = ["127.0.0.0/8", "10.77.0.0/24"]
retry = { waits = ["1s", "1s", "1s", "1s", "1s", "2s", "2s", "2s", "2s", "5s", "5s", "5s"], jitter_percent = 20 }
timeout = "1s"
breaker = false
concurrency = 16
"#;

/// How a node and everything else reach each other.
pub(super) trait Reach: Sized + Send + Sync {
    /// Makes it for the node of this number.
    fn open(cluster: &Cluster, number: usize) -> Result<Self>;

    /// PostgreSQL, as the node sees it, in the words of `psql`.
    fn database(&self) -> String;

    /// Where the node listens.
    fn node(&self) -> IpAddr;

    /// Where the receiver is.
    fn receiver() -> IpAddr;

    /// Starts the node where it has its place.
    fn start(&self, setup: &Setup) -> Result<Hookward>;
}

/// Nodes under load.
pub(super) struct Nodes<R> {
    nodes: Vec<Node<R>>,
    pub(super) load: Load,
    pub(super) deliveries: Arc<Mutex<Deliveries>>,
    /// When the last attempt came from each address.
    attempted: Arc<Mutex<BTreeMap<IpAddr, Instant>>>,
    /// Kept open for as long as they run.
    _receiver: Receiver,
}

struct Node<R> {
    setup: Setup,
    reach: R,
    server: Mutex<Option<Hookward>>,
}

impl<R: Reach> Nodes<R> {
    /// Starts them on a new database, and the senders, who wait.
    pub(super) fn start(cluster: &Cluster, directory: &Path, database: &str) -> Result<Self> {
        // Limits on connections hold for ordinary users only.
        if cluster.sql("select 1 from pg_roles where rolname = 'hookward'")?.is_empty() {
            cluster.sql("create role hookward login")?;
        }
        cluster.sql(&format!("create database {database} owner hookward"))?;
        let deliveries = Arc::new(Mutex::new(Deliveries::default()));
        let attempted = Arc::new(Mutex::new(BTreeMap::new()));
        let (to_note, to_time) = (Arc::clone(&deliveries), Arc::clone(&attempted));
        let receiver = Receiver::start_forgetful_at(R::receiver(), move |received| {
            to_note.lock().expect("no holder of this lock panics").note(received);
            to_time.lock().expect("no holder of this lock panics").insert(received.from, world::instant());
            let chance = received.body().iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(*byte));
            world::pause(Duration::from_millis(chance % ANSWER_MAX_MS));
            204
        })?;
        let manner = Manner { check: "cluster", servers: NODES, pause: Duration::from_millis(40) };
        let load = Load::start(manner, Arc::clone(&deliveries));
        let mut nodes = Self { nodes: Vec::new(), load, deliveries, attempted, _receiver: receiver };
        let mut key: Option<PathBuf> = None;
        for number in 0..NODES {
            let reach = R::open(cluster, number)?;
            let place = directory.join(format!("node-{number}"));
            let data = place.join("data");
            fs::create_dir_all(&data)?;
            let setup = Setup::new(&place, CONFIG)?
                .env("CLUSTER_SECRET", SECRET)
                .env("CLUSTER_RECEIVER_URL", &nodes._receiver.url("/hooks"))
                .env("CLUSTER_DATABASE", &format!("{} user=hookward dbname={database}", reach.database()))
                .at(reach.node());
            match &key {
                None => key = Some(data.join("master.key")),
                Some(key) => drop(fs::copy(key, data.join("master.key"))?),
            }
            nodes.nodes.push(Node { setup, reach, server: Mutex::new(None) });
            nodes.bring_up(number)?;
        }
        Ok(nodes)
    }

    /// Lets the senders begin.
    pub(super) fn open_doors(&self) -> Result<()> {
        (0..NODES).try_for_each(|node| self.aim(node))
    }

    /// How a node is reached.
    pub(super) fn reach(&self, node: usize) -> &R {
        &self.nodes[node].reach
    }

    /// How each of them is.
    pub(super) fn reaches(&self) -> impl Iterator<Item = &R> {
        self.nodes.iter().map(|node| &node.reach)
    }

    /// When the last attempt came from where a node is.
    pub(super) fn last_attempt(&self, node: usize) -> Option<Instant> {
        let address = self.nodes[node].reach.node();
        self.attempted.lock().expect("no holder of this lock panics").get(&address).copied()
    }

    /// Starts a node again.
    pub(super) fn revive(&self, node: usize) -> Result<()> {
        self.bring_up(node)?;
        self.aim(node)
    }

    fn bring_up(&self, node: usize) -> Result<()> {
        *self.server(node) = Some(self.nodes[node].reach.start(&self.nodes[node].setup)?);
        Ok(())
    }

    fn aim(&self, node: usize) -> Result<()> {
        let public = self.ask(node, |server| Ok(server.public))?;
        self.load.aim(node, Some(public));
        Ok(())
    }

    /// Kills a node.
    pub(super) fn kill(&self, node: usize) -> Result<()> {
        let server = self.server(node).take().context("it runs")?;
        server.kill()?;
        self.load.aim(node, None);
        Ok(())
    }

    /// Stops a node's process where it is, or lets it go on.
    pub(super) fn signal(&self, node: usize, signal: Signal) -> Result<()> {
        let pid = self.server(node).as_ref().context("it runs")?.pid();
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    /// Asks something of a node that runs.
    pub(super) fn ask<T>(&self, node: usize, ask: impl FnOnce(&Hookward) -> Result<T>) -> Result<T> {
        ask(self.server(node).as_ref().context("it runs")?)
    }

    /// How often a node found that its lease was lost when it had something to write down.
    pub(super) fn lost_leases(&self) -> Result<usize> {
        const SAID: &str = "the lease was lost before the attempt could be settled";
        let mut count = 0;
        for node in &self.nodes {
            count += fs::read_to_string(node.setup.log())?.matches(SAID).count();
        }
        Ok(count)
    }

    fn server(&self, node: usize) -> MutexGuard<'_, Option<Hookward>> {
        self.nodes[node].server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
