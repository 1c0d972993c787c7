//! A name server that says what it is told, to whoever asks: A and AAAA records, failures, and hundreds of them over TCP.
//! Owns as much of DNS (RFC 1035) as a stub resolver asks for.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result};

/// What a name means.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// These addresses; none is an empty answer.
    Addresses(Vec<IpAddr>),
    /// The server cannot tell (SERVFAIL).
    Failure,
}

impl Answer {
    /// Reads `SERVFAIL`, or addresses, of which `93.184.0.0+500` is five hundred.
    pub(super) fn parse(texts: &[String]) -> Result<Self> {
        if texts == ["SERVFAIL"] {
            return Ok(Self::Failure);
        }
        let mut addresses = Vec::new();
        for text in texts {
            match text.split_once('+') {
                None => addresses.push(text.parse().with_context(|| text.clone())?),
                Some((first, count)) => {
                    let first = u32::from(first.parse::<Ipv4Addr>()?);
                    addresses.extend((0..count.parse::<u32>()?).map(|n| IpAddr::V4(Ipv4Addr::from(first + n))));
                }
            }
        }
        Ok(Self::Addresses(addresses))
    }
}

/// The most that is sent in one datagram; more is asked for again over TCP.
const DATAGRAM_MAX: usize = 512;

const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// A running server. It ends with the process.
#[derive(Clone, Default)]
pub(super) struct Names {
    known: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Names {
    pub(super) fn start(address: IpAddr) -> Result<Self> {
        let names = Self::default();
        let datagrams = UdpSocket::bind((address, 53)).context("the name server's port")?;
        let connections = TcpListener::bind((address, 53)).context("the name server's port")?;
        let (over_udp, over_tcp) = (names.clone(), names.clone());
        std::thread::spawn(move || {
            let mut query = [0; 1500];
            while let Ok((length, from)) = datagrams.recv_from(&mut query) {
                let Some(answer) = over_udp.answer(&query[..length], DATAGRAM_MAX) else { continue };
                // Whoever asked may be gone.
                drop(datagrams.send_to(&answer, from));
            }
        });
        std::thread::spawn(move || {
            for mut stream in connections.incoming().flatten() {
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                    if stream.read_exact(&mut query).is_err() {
                        break;
                    }
                    let Some(answer) = over_tcp.answer(&query, usize::from(u16::MAX)) else { break };
                    let length = u16::try_from(answer.len()).expect("a message over TCP has at most 64 KiB");
                    if stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat()).is_err() {
                        break;
                    }
                }
            }
        });
        Ok(names)
    }

    /// From now on `name` means this. A name that nobody set does not exist.
    pub(super) fn set(&self, name: &str, answer: Answer) {
        lock(&self.known).insert(name.to_owned(), answer);
    }

    /// Every name asked for since this was asked last.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.asked))
    }

    /// The answer to a query, cut to `limit` bytes; `None` for what is no query.
    fn answer(&self, query: &[u8], limit: usize) -> Option<Vec<u8>> {
        let (name, end) = read_name(query, 12)?;
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        lock(&self.asked).push(name.clone());
        let known = lock(&self.known).get(&name).cloned();
        let (code, addresses) = match known {
            None => (3, Vec::new()),
            Some(Answer::Failure) => (2, Vec::new()),
            Some(Answer::Addresses(addresses)) => (0, addresses),
        };
        let is_asked =
            |address: &&IpAddr| kind == TYPE_A && address.is_ipv4() || kind == TYPE_AAAA && address.is_ipv6();
        let records: Vec<Vec<u8>> = addresses.iter().filter(is_asked).map(record).collect();
        let question = query.get(12..end + 4)?;
        let length = 12 + question.len() + records.iter().map(Vec::len).sum::<usize>();
        let truncated = length > limit;
        let count = if truncated { 0 } else { u16::try_from(records.len()).ok()? };
        let mut message = query.get(..2)?.to_vec();
        // An answer of an authority that recurses, its truncation and its code.
        message.extend([0x85 | if truncated { 2 } else { 0 }, 0x80 | code]);
        for number in [1, count, 0, 0] {
            message.extend(number.to_be_bytes());
        }
        message.extend(question);
        if !truncated {
            message.extend(records.concat());
        }
        Some(message)
    }
}

/// A name of a question, lower case, and where it ends.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8_lossy(message.get(at..at + length)?).to_lowercase());
        at += length;
    }
}

/// A record for the name in the question, which nobody may remember.
fn record(address: &IpAddr) -> Vec<u8> {
    let (kind, octets) = match address {
        IpAddr::V4(v4) => (TYPE_A, v4.octets().to_vec()),
        IpAddr::V6(v6) => (TYPE_AAAA, v6.octets().to_vec()),
    };
    let mut record = vec![0xc0, 12];
    record.extend(kind.to_be_bytes());
    record.extend([0, 1, 0, 0, 0, 0]);
    record.extend(u16::try_from(octets.len()).expect("4 or 16").to_be_bytes());
    record.extend(octets);
    record
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}
