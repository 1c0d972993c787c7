//! Where requests begin and end in a stream of HTTP/1.1 bytes, followed without keeping them.
//! Finds heads that are ambiguous about their body's end; everything else about a head is hyper's to judge.

/// Where in a request the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing of the next request has come.
    Between,
    /// In a head.
    Head,
    /// In a body.
    Body,
}

/// The longest request line, in bytes: method, target and version.
const REQUEST_LINE_MAX: usize = 16 << 10;

/// Bytes of a line that are kept: enough for the two headers that matter, in any honest form.
const LINE: usize = 64;

/// The state of following one stream.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    state: State,
    line: Vec<u8>,
    cut: bool,
    head: Head,
    ambiguous: bool,
    overlong: bool,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Between,
    Head,
    Sized(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailer,
    /// Hyper refuses this and closes, so there is nothing left to follow.
    Lost,
}

/// What a head has said so far about its body.
#[derive(Debug, Default)]
struct Head {
    request_line: usize,
    has_request_line: bool,
    length: Option<u64>,
    encoded: bool,
}

impl Framing {
    /// Where the stream stands.
    pub(crate) fn place(&self) -> Place {
        match self.state {
            State::Between => Place::Between,
            State::Head => Place::Head,
            _ => Place::Body,
        }
    }

    /// Whether a head had both `Content-Length` and `Transfer-Encoding`, or a length that different readers may read
    /// differently: the ways to smuggle a second request past a proxy.
    pub(crate) fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Whether a request line was longer than any that is taken.
    pub(crate) fn is_overlong(&self) -> bool {
        self.overlong
    }

    /// Follows `bytes`, which come next.
    pub(crate) fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Sized(left) => self.skip(bytes, left, State::Between, State::Sized),
                State::ChunkData(left) => self.skip(bytes, left, State::ChunkEnd, State::ChunkData),
                State::Lost => return,
                _ => self.take_line(bytes),
            };
        }
    }

    fn skip<'b>(&mut self, bytes: &'b [u8], left: u64, done: State, more: fn(u64) -> State) -> &'b [u8] {
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - step as u64;
        self.state = if left == 0 { done } else { more(left) };
        &bytes[step..]
    }

    /// Takes bytes up to the end of a line, and the line when it is whole.
    fn take_line<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = LINE - self.line.len();
        self.cut |= part.len() > room;
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if matches!(self.state, State::Between) && !matches!(self.line.as_slice(), [] | [b'\r']) {
            self.state = State::Head;
        }
        if matches!(self.state, State::Between | State::Head) && !self.head.has_request_line {
            self.head.request_line += part.len();
            self.overlong |= self.head.request_line > REQUEST_LINE_MAX;
        }
        let Some(end) = end else { return &[] };
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        self.state = self.line_ended(text);
        self.line = line;
        self.line.clear();
        self.cut = false;
        &bytes[end + 1..]
    }

    fn line_ended(&mut self, line: &[u8]) -> State {
        match self.state {
            State::Head if line.is_empty() => self.head_ended(),
            State::Head => {
                if self.head.has_request_line {
                    self.header(line);
                }
                self.head.has_request_line = true;
                State::Head
            }
            State::ChunkSize => match chunk_size(line) {
                Some(0) => State::Trailer,
                Some(size) => State::ChunkData(size),
                None => State::Lost,
            },
            State::ChunkEnd => State::ChunkSize,
            State::Trailer if line.is_empty() => State::Between,
            unchanged => unchanged,
        }
    }

    fn header(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.head.encoded = true;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).filter(|_| !self.cut);
            self.ambiguous |= length.is_none() || self.head.length.is_some_and(|other| Some(other) != length);
            self.head.length = length.or(Some(0));
        }
    }

    fn head_ended(&mut self) -> State {
        let head = std::mem::take(&mut self.head);
        self.ambiguous |= head.encoded && head.length.is_some();
        match head {
            Head { encoded: true, .. } => State::ChunkSize,
            Head { length: Some(1..), .. } if self.ambiguous => State::Lost,
            Head { length: Some(length @ 1..), .. } => State::Sized(length),
            Head { .. } => State::Between,
        }
    }
}

fn decimal(value: &[u8]) -> Option<u64> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| digits)?.parse().ok()
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    u64::from_str_radix(std::str::from_utf8(&line[..end]).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows `text` in pieces of every size, and finds the same each time.
    fn follow(text: &str) -> (Place, bool) {
        let whole = pieces(text, text.len().max(1));
        for size in 1..8 {
            assert_eq!(pieces(text, size), whole, "in pieces of {size}: {text:?}");
        }
        whole
    }

    fn pieces(text: &str, size: usize) -> (Place, bool) {
        let mut framing = Framing::default();
        text.as_bytes().chunks(size).for_each(|piece| framing.advance(piece));
        (framing.place(), framing.is_ambiguous())
    }

    #[test]
    fn the_end_of_a_request_is_found() {
        assert_eq!(follow(""), (Place::Between, false));
        assert_eq!(follow("\r\n"), (Place::Between, false));
        assert_eq!(follow("P"), (Place::Head, false));
        assert_eq!(follow("POST / HTTP/1.1\r\nHost: x\r\n"), (Place::Head, false));
        assert_eq!(follow("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (Place::Between, false));
        assert_eq!(follow("POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab"), (Place::Body, false));
        assert_eq!(follow("POST / HTTP/1.1\r\nContent-Length:3\r\n\r\nabc"), (Place::Between, false));
        assert_eq!(follow("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcG"), (Place::Head, false));
    }

    #[test]
    fn the_end_of_a_chunked_request_is_found() {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(follow(head), (Place::Body, false));
        assert_eq!(follow(&format!("{head}3\r\nabc\r\n")), (Place::Body, false));
        assert_eq!(follow(&format!("{head}3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n")), (Place::Between, false));
        assert_eq!(follow(&format!("{head}0\r\nX: y\r\n\r\nGET")), (Place::Head, false));
        assert_eq!(follow(&format!("{head}zz\r\n")), (Place::Body, false));
    }

    #[test]
    fn a_body_is_not_read_as_a_head() {
        let body = "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n";
        let request = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        assert_eq!(follow(&format!("{request}{request}")), (Place::Between, false));
    }

    #[test]
    fn a_request_line_has_a_limit() {
        let request = |target: usize| format!("POST {} HTTP/1.1\r\nHost: x\r\n\r\n", "/".repeat(target));
        for (target, overlong) in [(REQUEST_LINE_MAX - 15, false), (REQUEST_LINE_MAX - 14, true)] {
            for size in [1, 4096, usize::MAX] {
                let mut framing = Framing::default();
                request(target).as_bytes().chunks(size).for_each(|piece| framing.advance(piece));
                assert_eq!(framing.is_overlong(), overlong, "{target} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_long_line_in_a_body_is_no_request_line() {
        let mut framing = Framing::default();
        let extension = "x".repeat(2 * REQUEST_LINE_MAX);
        let body = format!("1;{extension}\r\na\r\n0\r\nx: {extension}\r\n\r\n");
        framing.advance(format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes());
        assert!(!framing.is_overlong());
        assert_eq!(framing.place(), Place::Between);
    }

    #[test]
    fn ambiguous_heads_are_found() {
        for headers in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\ntransfer-encoding: identity\r\n",
            "Content-Length: 3\r\nContent-Length: 4\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length: 0000000000000000000000000000000000000000000000000000000000000000000005\r\n",
        ] {
            assert!(follow(&format!("POST / HTTP/1.1\r\n{headers}\r\n")).1, "{headers:?}");
        }
        assert!(!follow("POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n").1);
    }
}
