//! A network of the check's own: a namespace with nothing in it but a bridge, where PostgreSQL, the senders and the receiver are,
//! and one for each node, at the other end of a cable. Owns how packets are lost on the way. Nothing of it has a name
//! in the machine's own namespace: it lives as long as this process has a thread, a file or a child in it, however that ends.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd;
use std::process::{Command, id};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns, unshare};
use systems::{Hookward, Setup};

use super::nodes::Reach;
use crate::postgres::{Cluster, Listens, PORT};
use crate::run::{has_or_installs, output_of};

/// Where the bridge is, and with it PostgreSQL, the senders and the receiver.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Everything at the bridge; the nodes allow attempts to it, too.
const RANGE: &str = "10.77.0.0/24";

/// PostgreSQL's address in this network.
pub(super) const LISTENS: Listens = Listens { at: IpAddr::V4(HUB), port: PORT, trusted: RANGE };

/// Takes this thread, and whatever it starts from now on, out of the machine's network into one of its own. Where that is not
/// allowed it says so, and stays.
pub(super) fn enter() -> Result<bool> {
    if !has_or_installs("cluster", "ip", "iproute2")? || !has_or_installs("cluster", "nft", "nftables")? {
        return Ok(false);
    }
    // A thread of its own: one that has left does not come back.
    let tried = std::thread::scope(|scope| scope.spawn(|| set_up().and_then(|()| Cable::lay(0).map(drop))).join());
    if let Err(error) = tried.map_err(|_| anyhow!("it panicked"))? {
        println!(
            "cluster: SKIPPED: nodes in network namespaces: {error:#} (it takes root, or in a container CAP_SYS_ADMIN and \
             CAP_NET_ADMIN, and a kernel with bridge, veth and nf_tables)"
        );
        return Ok(false);
    }
    set_up()?;
    Ok(true)
}

fn set_up() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET).context("no network namespace could be made")?;
    ip("link set lo up")?;
    ip("link add hub type bridge")?;
    ip(&format!("address add {HUB}/24 dev hub"))?;
    ip("link set hub up")
}

/// How a node's packets are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Its cable is pulled: it reaches nobody, and nobody reaches it.
    Unplugged,
    /// Whatever PostgreSQL and it say to each other.
    Both,
    /// What PostgreSQL says.
    Answers,
    /// What it says to PostgreSQL.
    Questions,
}

/// Every kind of it.
pub(super) const LOSSES: [Loss; 4] = [Loss::Unplugged, Loss::Both, Loss::Answers, Loss::Questions];

/// A namespace with nothing in it but the end of a cable, whose other end is at the bridge.
pub(super) struct Cable {
    /// What keeps the namespace, and is the way into it.
    namespace: File,
    /// What the end at the bridge is called.
    name: String,
    address: Ipv4Addr,
}

impl Cable {
    fn lay(number: usize) -> Result<Self> {
        // The kernel takes its time to clear a namespace away, and with it the names of links.
        static LAID: AtomicU32 = AtomicU32::new(0);
        let name = format!("node{}", LAID.fetch_add(1, Ordering::SeqCst));
        let made = std::thread::scope(|scope| scope.spawn(new_namespace).join());
        let namespace = made.map_err(|_| anyhow!("it panicked"))??;
        let address = Ipv4Addr::new(10, 77, 0, 10 + u8::try_from(number)?);
        let place = format!("/proc/{}/fd/{}", id(), namespace.as_raw_fd());
        ip(&format!("link add {name} type veth peer name eth0 netns {place}"))?;
        ip(&format!("link set {name} master hub"))?;
        ip(&format!("link set {name} up"))?;
        let cable = Self { namespace, name, address };
        cable.within(|| {
            ip("link set lo up")?;
            ip(&format!("address add {address}/24 dev eth0"))?;
            ip("link set eth0 up")?;
            nft("add table inet loss")
        })?;
        Ok(cable)
    }

    /// Does something in the node's namespace.
    pub(super) fn within<T: Send>(&self, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let enter_and_act = || {
            setns(&self.namespace, CloneFlags::CLONE_NEWNET)?;
            act()
        };
        std::thread::scope(|scope| scope.spawn(enter_and_act).join()).map_err(|_| anyhow!("it panicked"))?
    }

    /// Loses packets from now on: they are dropped, and nobody is told.
    pub(super) fn lose(&self, loss: Loss) -> Result<()> {
        if loss == Loss::Unplugged {
            return ip(&format!("link set {} down", self.name));
        }
        self.within(|| {
            if loss != Loss::Questions {
                nft("add chain inet loss answers { type filter hook input priority 0; }")?;
                nft("add rule inet loss answers tcp sport 5432 drop")?;
            }
            if loss != Loss::Answers {
                nft("add chain inet loss questions { type filter hook output priority 0; }")?;
                nft("add rule inet loss questions tcp dport 5432 drop")?;
            }
            Ok(())
        })
    }

    /// Loses none any more.
    pub(super) fn mend(&self) -> Result<()> {
        ip(&format!("link set {} up", self.name))?;
        self.within(|| nft("delete table inet loss").and_then(|()| nft("add table inet loss")))
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        if let Err(error) = ip(&format!("link delete {}", self.name)) {
            eprintln!("cluster: a cable goes with its network only: {error:#}");
        }
    }
}

impl Reach for Cable {
    fn open(_cluster: &Cluster, number: usize) -> Result<Self> {
        Self::lay(number)
    }

    fn database(&self) -> String {
        format!("host={HUB} port=5432 sslmode=disable")
    }

    fn node(&self) -> IpAddr {
        self.address.into()
    }

    fn receiver() -> IpAddr {
        HUB.into()
    }

    fn start(&self, setup: &Setup) -> Result<Hookward> {
        self.within(|| setup.start())
    }
}

fn new_namespace() -> Result<File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    Ok(File::open("/proc/thread-self/ns/net")?)
}

fn ip(words: &str) -> Result<()> {
    output_of(Command::new("ip").args(words.split(' '))).map(drop)
}

fn nft(words: &str) -> Result<()> {
    output_of(Command::new("nft").arg(words)).map(drop)
}
