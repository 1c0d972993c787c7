//! A case on the wire: its bytes, in its pieces, at its pace, and the one answer that may come back.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use systems::http::connect;
use systems::{Request, Response, world};

use super::corpus::Case;
use super::expand::Expander;

/// How much of an endless request is sent before the server must have answered.
const ENDLESS_MAX: usize = 64 * 1024 * 1024;

/// How long an endless request goes on at most.
const ENDLESS_PATIENCE: Duration = Duration::from_secs(20);

/// What goes out.
pub(super) struct Prepared {
    pieces: Vec<Vec<u8>>,
    endless: Vec<u8>,
    /// The body, for comparing with what is stored.
    pub(super) body: Vec<u8>,
}

/// Expands a case.
pub(super) fn prepare(case: &Case, expander: &Expander) -> Result<Prepared> {
    let body = expander.expand(&case.body, &case.source, b"")?;
    let signed = if case.signed.is_empty() { body.clone() } else { sign_text(case, expander, &body)? };
    let expand = |text: &str| expander.expand(text, &case.source, &signed);
    let endless = expand(&case.endless)?;
    if !case.raw.is_empty() {
        let pieces = case.raw.iter().map(|piece| expand(piece)).collect::<Result<_>>()?;
        return Ok(Prepared { pieces, endless, body });
    }
    let mut target = if case.target.is_empty() { format!("/in/{}", case.source) } else { case.target.clone() };
    if !case.query.is_empty() {
        target = format!("{target}?{}", case.query);
    }
    let mut request = Request::new(&case.method, &String::from_utf8(expand(&target)?)?).body(&body);
    for (name, value) in &case.headers {
        request.headers.push((name.clone(), expand(value)?));
    }
    if case.valid {
        request.headers.push(("X-Hub-Signature-256".to_owned(), expand("sha256=${hex:active}")?));
    }
    Ok(Prepared { pieces: vec![request.to_bytes()], endless, body })
}

/// `signed` may itself contain the body as `${body}`.
fn sign_text(case: &Case, expander: &Expander, body: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for (index, part) in case.signed.split("${body}").enumerate() {
        if index > 0 {
            out.extend_from_slice(body);
        }
        out.extend(expander.expand(part, &case.source, b"")?);
    }
    Ok(out)
}

/// Sends a case and reads its answer; `None` when the connection closes without one.
pub(super) fn exchange(address: SocketAddr, case: &Case, prepared: &Prepared) -> Result<Option<Response>> {
    let stream = connect(address)?;
    // The server may answer and close before everything is sent: then sending fails, and the answer is what counts.
    drop(send(&stream, case, prepared));
    let mut reader = BufReader::new(stream);
    let answer = match Response::read(&mut reader, case.method == "HEAD") {
        Ok(answer) => answer,
        Err(error) if is_closed(&error) => None,
        Err(error) => return Err(error.into()),
    };
    if !case.raw.is_empty() && answer.is_some() {
        ensure!(second_answer(&mut reader).is_none(), "the connection gave a second answer to one request");
    }
    Ok(answer)
}

fn send(mut stream: &TcpStream, case: &Case, prepared: &Prepared) -> io::Result<()> {
    for (index, piece) in prepared.pieces.iter().enumerate() {
        if index > 0 {
            world::pause(Duration::from_millis(case.pause_ms));
        }
        stream.write_all(piece)?;
    }
    let started = world::instant();
    let mut sent = 0;
    while !prepared.endless.is_empty() && sent < ENDLESS_MAX && started.elapsed() < ENDLESS_PATIENCE {
        stream.write_all(&prepared.endless)?;
        sent += prepared.endless.len();
        if case.pause_ms > 0 {
            world::pause(Duration::from_millis(case.pause_ms));
        }
    }
    if case.half_close {
        stream.shutdown(Shutdown::Write)?;
    }
    Ok(())
}

/// Whether anything follows the answer, such as the answer to a smuggled request. Bounded: silence is a no.
fn second_answer(reader: &mut BufReader<TcpStream>) -> Option<u8> {
    reader.get_ref().set_read_timeout(Some(Duration::from_millis(150))).ok()?;
    let mut byte = [0];
    matches!(reader.read(&mut byte), Ok(1)).then_some(byte[0])
}

fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
