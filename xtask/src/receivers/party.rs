//! A receiver in a process of its own: how it is told what to do, and what it says it got.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use systems::world;

const PATIENCE: Duration = Duration::from_secs(30);

/// One request as the receiver saw and answered it.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) status: u16,
    headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Arrival {
    /// A header's value, which must be there.
    pub(super) fn header(&self, name: &str) -> Result<&str> {
        self.optional(name).with_context(|| format!("no header `{name}` among {:?}", self.headers.keys()))
    }

    pub(super) fn optional(&self, name: &str) -> Option<&str> {
        self.headers.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// As it is printed.
#[derive(Deserialize)]
struct Line {
    path: String,
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

type Arrivals = Arc<Mutex<Vec<(String, Arrival)>>>;

/// A running receiver; ended when dropped.
pub(super) struct Party {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    child: Child,
    input: ChildStdin,
    arrivals: Arrivals,
    heard: Receiver<()>,
    judged: Cell<usize>,
}

impl Party {
    /// Starts it and waits until it listens.
    pub(super) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let input = child.stdin.take().context("standard input was asked for")?;
        let mut output = BufReader::new(child.stdout.take().context("standard output was asked for")?);
        let mut url = String::new();
        output.read_line(&mut url)?;
        let address =
            url.trim().strip_prefix("http://").with_context(|| format!("{name} said {url:?}, not where it is"))?;
        let address = address.parse()?;
        let arrivals = Arrivals::default();
        let (tell, heard) = channel();
        let into = Arc::clone(&arrivals);
        std::thread::spawn(move || listen(output, &into, &tell));
        Ok(Self { name, address, child, input, arrivals, heard, judged: Cell::new(0) })
    }

    /// How requests to a path are judged from now on: `secret`, `basic`, or an `answer` whatever comes.
    pub(super) fn behave(&mut self, path: &str, how: Value) -> Result<()> {
        let mut how = how;
        how["path"] = path.into();
        writeln!(self.input, "{how}")?;
        self.heard.recv_timeout(PATIENCE).with_context(|| format!("{} does not listen to what it is told", self.name))
    }

    /// Requests that came and were looked at.
    pub(super) fn judged(&self) -> usize {
        self.judged.get()
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Takes what came to a path since the last time, once it is at least `count` requests.
    pub(super) fn take(&self, path: &str, count: usize) -> Result<Vec<Arrival>> {
        let of_path = |arrivals: &Vec<(String, Arrival)>| arrivals.iter().filter(|(to, _)| to == path).count();
        let came = || of_path(&self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)) >= count;
        ensure!(world::until(PATIENCE, came), "{} got less than {count} requests for `{path}`", self.name);
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *arrivals).into_iter().partition(|(to, _)| to == path);
        *arrivals = left;
        self.judged.update(|judged| judged + taken.len());
        Ok(taken.into_iter().map(|(_, arrival)| arrival).collect())
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Reads what it says until it ends. What is no JSON is for whoever watches.
fn listen(output: BufReader<ChildStdout>, arrivals: &Arrivals, tell: &Sender<()>) {
    for line in output.lines().map_while(Result::ok) {
        if line.is_empty() {
            // Nobody waits for it any more when the run is over.
            let _ = tell.send(());
            continue;
        }
        let parsed = serde_json::from_str::<Line>(&line).ok();
        let arrival = parsed.and_then(|Line { path, status, headers, body }| {
            Some((path, Arrival { status, headers, body: STANDARD.decode(body).ok()? }))
        });
        match arrival {
            Some(arrival) => arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrival),
            None => println!("{line}"),
        }
    }
}
