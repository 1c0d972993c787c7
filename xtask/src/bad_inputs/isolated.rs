//! A network of our own: a namespace in which every address there is leads to this process, and names mean what we say.
//! Owns the namespace, its resolver's settings and the canaries; which names there are is `names`, what is tried is the caller's.

use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use systems::http::Message;
use systems::world::{is_ci, until};

use super::names::Names;
use crate::run::{has_or_installs, output_of};

/// Addresses of this block are the public internet: what listens there answers. Everything else is a canary.
const PUBLIC: [u8; 2] = [93, 184];

/// Where canaries listen: the ports of the web, two that anybody may use, and those of proxies that the environment names.
const PORTS: [u16; 6] = [80, 443, 8080, 9090, 1080, 3128];

/// Where names are asked for.
const RESOLVER: &str = "127.0.0.53";

/// Whether there can be such a network here. Where there cannot, that is said aloud, and an error where nothing may be skipped.
pub(super) fn is_available() -> Result<bool> {
    if !geteuid().is_root() {
        ensure!(!is_ci(), "bad-inputs: a network namespace needs root");
        println!("bad-inputs: SKIPPED without a network namespace, which needs root: sudo -E cargo xtask bad-inputs O");
        return Ok(false);
    }
    has_or_installs("bad-inputs", "ip", "iproute2")
}

/// Does `work` in a network namespace of its own. Whatever it starts, programs and threads, is in there with it.
pub(super) fn within(directory: &Path, work: impl FnOnce(&Network) -> Result<()> + Send) -> Result<()> {
    let isolated = || {
        enter(directory).context("a network namespace cannot be made")?;
        work(&Network::start()?)
    };
    // A namespace is entered by a thread: the others stay where they are.
    std::thread::scope(|scope| scope.spawn(isolated).join().expect("no case panics"))
}

fn enter(directory: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    let nothing: Option<&str> = None;
    mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing)?;
    let settings = [
        ("resolv.conf", format!("nameserver {RESOLVER}\nsearch lure.test\noptions timeout:1 attempts:1\n")),
        ("nsswitch.conf", "hosts: files dns\n".to_owned()),
    ];
    for (name, text) in settings {
        let (ours, theirs) = (directory.join(name), Path::new("/etc").join(name));
        std::fs::write(&ours, text)?;
        if theirs.exists() {
            mount(Some(&ours), &theirs, nothing, MsFlags::MS_BIND, nothing)?;
        } else {
            ensure!(name != "resolv.conf", "there is no {}", theirs.display());
        }
    }
    for arguments in ["link set lo up", "-4 route add local default dev lo", "-6 route add local default dev lo"] {
        output_of(Command::new("ip").args(arguments.split(' ')))?;
    }
    Ok(())
}

/// What there is in the namespace.
pub(super) struct Network {
    pub(super) names: Names,
    seen: Arc<Seen>,
}

/// What came to the canaries, and what the public ones answer.
#[derive(Default)]
struct Seen {
    /// Connections to addresses that are not public, by where they went.
    hits: Mutex<Vec<SocketAddr>>,
    /// What is answered, by the request's target; a 200 to others.
    answers: Mutex<HashMap<String, Vec<u8>>>,
    requests: Mutex<Vec<Message>>,
}

impl Network {
    fn start() -> Result<Self> {
        let names = Names::start(RESOLVER.parse()?)?;
        let seen = Arc::new(Seen::default());
        for port in PORTS {
            let listener = TcpListener::bind(("::", port)).with_context(|| format!("port {port}"))?;
            let seen = Arc::clone(&seen);
            // It ends with the process: nobody can connect to it once the namespace is gone.
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let seen = Arc::clone(&seen);
                    std::thread::spawn(move || meet(stream, &seen));
                }
            });
        }
        let network = Self { names, seen };
        network.prove_that_canaries_sing()?;
        Ok(network)
    }

    /// Connections to anything that is not public, since this was asked last.
    pub(super) fn hits(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut lock(&self.seen.hits))
    }

    /// Answers requests for `target` at public addresses with these bytes, and closes.
    pub(super) fn answer(&self, target: &str, bytes: Vec<u8>) {
        lock(&self.seen.answers).insert(target.to_owned(), bytes);
    }

    /// Requests for `target` that public addresses got.
    pub(super) fn requests(&self, target: &str) -> Vec<Message> {
        let is_meant = |request: &&Message| request.start.split(' ').nth(1) == Some(target);
        lock(&self.seen.requests).iter().filter(is_meant).cloned().collect()
    }

    /// A silence means something only where a connection would have been heard.
    fn prove_that_canaries_sing(&self) -> Result<()> {
        let mut expected = Vec::new();
        for address in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00:ec2::254", "64:ff9b::1"]
        {
            for port in PORTS {
                let address = SocketAddr::new(address.parse()?, port);
                TcpStream::connect_timeout(&address, Duration::from_secs(5)).with_context(|| address.to_string())?;
                expected.push(address);
            }
        }
        let heard = || expected.iter().all(|address| lock(&self.seen.hits).contains(address));
        ensure!(until(Duration::from_secs(5), heard), "a canary was connected to and did not sing");
        self.hits();
        Ok(())
    }
}

fn meet(mut stream: TcpStream, seen: &Seen) {
    let Ok(here) = stream.local_addr() else { return };
    let address = here.ip().to_canonical();
    let is_public = matches!(address, IpAddr::V4(v4) if v4.octets().starts_with(&PUBLIC));
    if !is_public {
        lock(&seen.hits).push(SocketAddr::new(address, here.port()));
        return;
    }
    let Ok(Some(request)) = stream.try_clone().map(BufReader::new).and_then(|mut from| Message::read(&mut from, false))
    else {
        return;
    };
    let target = request.start.split(' ').nth(1).unwrap_or_default().to_owned();
    lock(&seen.requests).push(request);
    let answer = lock(&seen.answers).get(&target).cloned();
    let fine = || b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    // The gateway may have had enough.
    drop(stream.write_all(&answer.unwrap_or_else(fine)));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
