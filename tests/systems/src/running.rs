//! A command that goes on until it is killed, and the lines that it prints meanwhile.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::world;

/// A running command; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    printed: Arc<Mutex<Vec<String>>>,
    said: Arc<Mutex<Vec<String>>>,
}

impl Running {
    /// Starts it.
    pub fn start(mut command: Command) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("a command cannot be started")?;
        let (printed, said) = (Arc::default(), Arc::default());
        collect(child.stdout.take().context("its output was asked for")?, &printed);
        collect(child.stderr.take().context("its errors were asked for")?, &said);
        Ok(Self { child, printed, said })
    }

    /// The lines on its standard output so far.
    pub fn printed(&self) -> Vec<String> {
        self.printed.lock().expect("nobody panics with it").clone()
    }

    /// The lines on its standard error so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("nobody panics with it").clone()
    }

    /// Waits until what it printed and said is as wanted; `false` when it is not within `limit`.
    pub fn wait_until(&self, limit: Duration, wanted: impl Fn(&[String], &[String]) -> bool) -> bool {
        world::until(limit, || wanted(&self.printed(), &self.said()))
    }

    /// Ends it like a power cut, and gives what it printed.
    pub fn kill(mut self) -> Result<Vec<String>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.printed())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            lines.lock().expect("nobody panics with it").push(line);
        }
    });
}
