//! A receiver that does what it is told with each connection, byte by byte, and remembers what it was sent.
//! What it is told, and what must come of it, is the caller's.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{setsockopt, sockopt};
use serde::Deserialize;
use systems::http::Message;
use systems::world;

/// What is done with one connection.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Behaviour {
    /// Resets it: `at once`, or `after the request`.
    reset: Option<String>,
    /// Waits this long before anything is sent, and between the times of `again`.
    pause_ms: u64,
    /// Sent one after the other.
    send: Vec<String>,
    /// Sent again and again, until the gateway hangs up.
    again: String,
    /// Waits until the gateway hangs up.
    hold: bool,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) delivery: String,
}

#[derive(Default)]
struct Shared {
    behaviours: Vec<Behaviour>,
    next: AtomicUsize,
    sent: AtomicU64,
    arrivals: Mutex<Vec<Arrival>>,
}

/// A running receiver. It ends with the process.
pub(super) struct Script {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Script {
    /// Does these in turn, and then from the beginning. `${canary}` is `canary`.
    pub(super) fn start(behaviours: &[Behaviour], canary: &str) -> Result<Self> {
        let mut behaviours = behaviours.to_vec();
        for behaviour in &mut behaviours {
            for text in behaviour.send.iter_mut().chain([&mut behaviour.again]) {
                *text = expand(text, canary)?;
            }
        }
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { behaviours, ..Shared::default() });
        let for_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&for_thread);
                // Its connection may break at any point: that is what it is for.
                std::thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Ok(Self { address, shared })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes the gateway, or the kernel on its behalf, took.
    pub(super) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    /// The requests so far, oldest first.
    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        self.shared.arrivals.lock().expect("no holder of this lock panics").clone()
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let Some(behaviour) = self.behaviours.get(number % self.behaviours.len().max(1)) else { return Ok(()) };
        if behaviour.reset.as_deref() == Some("at once") {
            return reset(&stream);
        }
        let Some(request) = Message::read(&mut BufReader::new(stream.try_clone()?), false)? else { return Ok(()) };
        let delivery = request.header("hookward-delivery-id").unwrap_or_default().to_owned();
        let arrival = Arrival { at: world::instant(), delivery };
        self.arrivals.lock().expect("no holder of this lock panics").push(arrival);
        if behaviour.reset.is_some() {
            return reset(&stream);
        }
        let pause = Duration::from_millis(behaviour.pause_ms);
        world::pause(pause);
        for text in &behaviour.send {
            self.write(&mut stream, text)?;
        }
        while !behaviour.again.is_empty() {
            self.write(&mut stream, &behaviour.again)?;
            world::pause(pause);
        }
        while behaviour.hold && stream.read(&mut [0])? > 0 {}
        Ok(())
    }

    fn write(&self, stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
        // What is written as U+0080 to U+00FF is one byte.
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let bytes = bytes.ok_or(ErrorKind::InvalidData)?;
        stream.write_all(&bytes)?;
        self.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }
}

/// Ends a connection with a reset instead of a farewell.
fn reset(stream: &TcpStream) -> std::io::Result<()> {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    Ok(setsockopt(stream, sockopt::Linger, &linger)?)
}

fn expand(text: &str, canary: &str) -> Result<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (inside, tail) = after.split_once('}').context("a `}`")?;
        out += before;
        match inside {
            "ok" => out += "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "canary" => out += canary,
            "gzip" => out.extend(gzip_bomb().into_iter().map(char::from)),
            other => {
                let repeated = other.strip_prefix("rep:").with_context(|| format!("`${{{other}}}` means nothing"))?;
                let (repeated, count) = repeated.rsplit_once('*').context("`rep` is TEXT*N")?;
                out += &repeated.repeat(count.parse()?);
            }
        }
        rest = tail;
    }
    Ok(out + rest)
}

/// 64 KiB of gzip that stand for ten mebibytes: one byte, then "the last byte, 258 times" again and again.
fn gzip_bomb() -> Vec<u8> {
    let mut bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
    let (mut byte, mut filled) = (0_u8, 0);
    // The only block, with the codes that DEFLATE fixes; the byte 0; then a length and a distance as often as there is room.
    let begin = [1, 1, 0].into_iter().chain([0, 0, 1, 1, 0, 0, 0, 0]);
    let repeat = [1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0];
    for bit in begin.chain(repeat.into_iter().cycle()) {
        byte |= bit << filled;
        filled += 1;
        if filled == 8 {
            bytes.push(byte);
            (byte, filled) = (0, 0);
            if bytes.len() == 64 * 1024 {
                break;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_bytes_is_replaced() {
        assert_eq!(expand("a${rep:bc*2}d${canary}", "X").unwrap(), "abcbcdX");
        assert_eq!(gzip_bomb().len(), 64 * 1024);
        assert!(expand("${nothing}", "").is_err());
    }
}
