//! HTTP/1.1 by hand: exactly the bytes that a test wants on the wire, and whatever came back.
//! Owns one blocking client and the message reader that the receiver shares; no TLS, no redirects, no retries.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request to be written as it stands, with `Host` and `Content-Length` added.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// Header lines in order; doubles are kept.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without headers or body.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST.
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// With one more header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: localhost\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A parsed message: a start line, headers, a body.
#[derive(Debug, Clone)]
pub struct Message {
    /// The request or status line.
    pub start: String,
    /// Header lines in order.
    pub headers: Vec<(String, String)>,
    /// The body with its framing taken off.
    pub body: Vec<u8>,
}

impl Message {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Every header of this name.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    /// Reads one message; `None` when the stream ends before its first byte. `bodiless` messages end with the head.
    pub fn read(reader: &mut impl BufRead, bodiless: bool) -> io::Result<Option<Self>> {
        let Some(start) = read_line(reader)? else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let line = read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(io::ErrorKind::InvalidData)?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut message = Self { start, headers, body: Vec::new() };
        if !bodiless {
            message.body = read_body(reader, &message)?;
        }
        Ok(Some(message))
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Everything else.
    pub message: Message,
}

impl Response {
    /// Reads one final answer, passing over interim ones; `None` when the stream ends without any.
    pub fn read(reader: &mut impl BufRead, to_head: bool) -> io::Result<Option<Self>> {
        loop {
            let Some(mut message) = Message::read(reader, true)? else { return Ok(None) };
            let status: u16 =
                message.start.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
            if status < 200 {
                continue;
            }
            if !to_head && status != 204 && status != 304 {
                message.body = read_body(reader, &message)?;
            }
            return Ok(Some(Self { status, message }));
        }
    }

    /// The body as text, for comparing.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.message.body).into_owned()
    }

    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.message.body).unwrap_or_default()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.message.header(name)
    }
}

/// A client that keeps its connection.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    /// A client of `address`, not yet connected.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Sends a request and waits for its answer, on a kept connection where there is one.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        self.exchange(&request.to_bytes(), request.method == "HEAD")
    }

    fn exchange(&mut self, bytes: &[u8], to_head: bool) -> io::Result<Response> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => BufReader::new(connect(self.address)?),
        };
        stream.get_mut().write_all(bytes)?;
        let response = Response::read(&mut stream, to_head)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let close = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        if !close {
            self.stream = Some(stream);
        }
        Ok(response)
    }
}

/// One request on a connection of its own.
pub fn send(address: SocketAddr, request: &Request) -> io::Result<Response> {
    Client::new(address).send(request)
}

/// A connection with the tests' patience on both directions.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    while matches!(line.last(), Some(b'\r' | b'\n')) {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

fn read_body(reader: &mut impl BufRead, message: &Message) -> io::Result<Vec<u8>> {
    if message.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return read_chunks(reader);
    }
    let mut body = Vec::new();
    match message.header("content-length") {
        Some(length) => {
            body.resize(length.parse().map_err(|_| io::ErrorKind::InvalidData)?, 0);
            reader.read_exact(&mut body)?;
        }
        None if message.start.starts_with("HTTP/") => {
            reader.read_to_end(&mut body)?;
        }
        None => {}
    }
    Ok(body)
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        reader.by_ref().take(size as u64).read_to_end(&mut body)?;
        let end = read_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if size == 0 {
            return if end.is_empty() { Ok(body) } else { Err(io::ErrorKind::InvalidData.into()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whatever_its_framing() {
        let chunked =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let response = Response::read(&mut &chunked[..], false).unwrap().unwrap();
        assert_eq!((response.status, response.text().as_str()), (200, "abc"));

        let closed = b"HTTP/1.1 404 Not Found\r\n\r\nnone";
        assert_eq!(Response::read(&mut &closed[..], false).unwrap().unwrap().text(), "none");

        assert!(Response::read(&mut &b""[..], false).unwrap().is_none());
    }

    #[test]
    fn a_request_keeps_doubled_headers() {
        let bytes = Request::post("/in/a").header("X", "1").header("X", "2").body(b"b").to_bytes();
        assert_eq!(bytes, b"POST /in/a HTTP/1.1\r\nHost: localhost\r\nX: 1\r\nX: 2\r\nContent-Length: 1\r\n\r\nb");
    }
}
