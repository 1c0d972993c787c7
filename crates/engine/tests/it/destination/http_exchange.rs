//! Tests of `destination/http/exchange.rs`: what is kept of an exchange, and which deadline ends it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookward_engine::destination::Report;
use hookward_engine::destination::http::HttpDestination;
use hookward_engine::destination::http::exchange::{CUT, HEADERS_KEPT_MAX};
use hookward_engine::egress::{Deadlines, EgressPolicy, Resolve};
use hookward_engine::model::{Exchange, Outcome, REDACTED, Timings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::egress::connector::acceptor;
use crate::support::outbound::{
    AMPLE, BRIEF, FAIR, NOW, Received, Sample, Server, Standing, Told, destination, nets, spec,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

async fn attempt(destination: &HttpDestination, sample: &Sample) -> Report {
    destination.attempt(sample.parcel(), &Standing(NOW)).await
}

fn value<'e>(headers: &'e [(String, Bytes)], name: &str) -> Option<&'e [u8]> {
    headers.iter().find(|(own, _)| own == name).map(|(_, value)| &value[..])
}

fn stages(timings: Timings) -> [bool; 4] {
    [timings.resolve, timings.connect, timings.tls, timings.first_byte].map(|stage| stage.is_some())
}

/// A destination at this server by a name, over TLS or not.
fn by_name(server: &Server, scheme: &str, deadlines: impl Into<Deadlines>) -> HttpDestination {
    let policy = EgressPolicy {
        allow: nets(&["127.0.0.0/8"]),
        extra_roots_pem: Some(include_bytes!("../tls/root.pem").to_vec()),
        ..EgressPolicy::default()
    };
    let url = format!("{scheme}://receiver.test:{}/hook", server.address.port());
    HttpDestination::new(&spec(&url), deadlines, &policy, Told::new(&[&["127.0.0.1"]])).unwrap()
}

#[tokio::test]
async fn the_request_is_kept_as_it_was_sent_but_for_credentials() {
    let (server, mut requests) = Server::answering(OK).await;
    let mut spec = spec(&format!("{}?token=s3cret", server.url()));
    spec.forward_headers = vec!["x-*".to_owned(), "authorization".to_owned()];
    spec.set_headers = vec![("x-api-key".to_owned(), "s3cret".to_owned())];
    let mut sample = Sample::new("{}").header("x-note", "kept").header("authorization", "Basic s3cret");
    sample.signature = vec![("webhook-signature".to_owned(), "v1,abc".to_owned())];
    let report = attempt(&destination(&spec, AMPLE).unwrap(), &sample).await;
    let Exchange { method, target, request_headers, .. } = report.exchange.unwrap();
    assert_eq!((method.as_str(), target.as_str()), ("POST", server.url().as_str()));
    let received = requests.recv().await.unwrap();
    assert_eq!(received.line, "POST /hook?token=s3cret HTTP/1.1");
    let names = |headers: Vec<&String>| {
        let mut names: Vec<String> = headers.into_iter().cloned().collect();
        names.sort();
        names
    };
    let kept = names(request_headers.iter().map(|(name, _)| name).collect());
    assert_eq!(kept, names(received.headers.iter().map(|(name, _)| name).collect()));
    for (name, sent) in &received.headers {
        let kept = value(&request_headers, name).unwrap();
        match name.as_str() {
            "x-api-key" | "authorization" => assert_eq!(kept, REDACTED.as_bytes(), "{name}"),
            _ => assert_eq!(kept, sent.as_bytes(), "{name}"),
        }
    }
    assert_eq!(value(&request_headers, "webhook-signature"), Some(&b"v1,abc"[..]));
}

#[tokio::test]
async fn the_answers_headers_are_kept_byte_for_byte_and_so_many_only() {
    let head = b"HTTP/1.1 500 Error\r\nx-page: <script>alert(1)</script>\r\nx-steers: \x9b2J\r\nset-cookie: s3cret\r\n";
    let answer = [&head[..], b"content-length: 0\r\n\r\n"].concat();
    let (server, _requests) = Server::answering(answer).await;
    let report = attempt(&destination(&spec(&server.url()), AMPLE).unwrap(), &Sample::new("{}")).await;
    let headers = report.exchange.unwrap().response_headers;
    assert_eq!(value(&headers, "x-page"), Some(&b"<script>alert(1)</script>"[..]));
    assert_eq!(value(&headers, "x-steers"), Some(&b"\x9b2J"[..]));
    assert_eq!(value(&headers, "set-cookie"), Some(REDACTED.as_bytes()));

    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(100));
    let (server, _requests) = Server::answering(many).await;
    let report = attempt(&destination(&spec(&server.url()), AMPLE).unwrap(), &Sample::new("{}")).await;
    let headers = report.exchange.unwrap().response_headers;
    assert_eq!(headers.len(), HEADERS_KEPT_MAX + 1);
    assert_eq!(headers.last().unwrap().0, CUT);
}

#[tokio::test]
async fn what_steers_a_terminal_or_ends_a_text_is_no_header() {
    for value in ["\u{1b}[2J", "a\0b"] {
        let (server, _requests) = Server::answering(format!("HTTP/1.1 200 OK\r\nx: {value}\r\n\r\n")).await;
        let report = attempt(&destination(&spec(&server.url()), AMPLE).unwrap(), &Sample::new("{}")).await;
        assert_eq!((report.outcome, report.exchange.unwrap().response_headers.len()), (Outcome::Broken, 0));
    }
}

#[tokio::test]
async fn stages_are_those_of_the_connection_that_this_attempt_made() {
    let (server, _requests) = Server::answering(OK).await;
    let plain = destination(&spec(&server.url()), AMPLE).unwrap();
    let named = by_name(&server, "http", AMPLE);
    // An address literal is not looked up; a connection that stands is not made.
    for (destination, expected) in [
        (&plain, [false, true, false, true]),
        (&plain, [false, false, false, true]),
        (&named, [true, true, false, true]),
        (&named, [false, false, false, true]),
    ] {
        let report = attempt(destination, &Sample::new("{}")).await;
        assert_eq!(stages(report.exchange.unwrap().timings), expected);
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn tls_is_a_stage_and_its_tickets_are_no_answer() {
    let acceptor = acceptor(include_bytes!("../tls/server.pem"));
    let server = Server::start(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            Received::read(&mut stream).await.unwrap();
            pause(BRIEF).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    });
    let server = server.await;
    let timings = attempt(&by_name(&server, "https", AMPLE), &Sample::new("{}")).await.exchange.unwrap().timings;
    assert_eq!(stages(timings), [true, true, true, true]);
    assert!(timings.first_byte.unwrap() >= BRIEF, "{timings:?}");
}

#[tokio::test]
async fn what_was_reached_is_kept_of_a_connection_that_failed() {
    let closed = Server::start(|_, _| async {}).await;
    let refused = by_name(&closed, "http", AMPLE);
    drop(closed);
    // The listener is closed when its task has ended.
    let report = loop {
        let report = attempt(&refused, &Sample::new("{}")).await;
        if report.outcome == Outcome::Connect {
            break report;
        }
    };
    let exchange = report.exchange.unwrap();
    assert_eq!(stages(exchange.timings), [true, false, false, false]);
    assert!(value(&exchange.request_headers, "hookward-delivery-id").is_some());

    let resets = Server::start(|mut stream, _| async move {
        stream.read_exact(&mut [0; 16]).await.unwrap();
        stream.set_zero_linger().unwrap();
    });
    let resets = resets.await;
    let report = attempt(&by_name(&resets, "https", AMPLE), &Sample::new("{}")).await;
    assert_eq!(report.outcome, Outcome::Tls, "{}", report.detail);
    assert_eq!(stages(report.exchange.unwrap().timings), [true, true, false, false]);
}

/// Waits until the deadline of whatever is tested has passed, by the clock that this deadline is on.
async fn pause(time: Duration) {
    let _ = timeout(time, std::future::pending::<()>()).await;
}

fn within(connect: Option<Duration>, first_byte: Option<Duration>) -> Deadlines {
    Deadlines { total: AMPLE, connect, first_byte }
}

#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl Resolve for Silent {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_connection_has_a_deadline_of_its_own_that_says_what_was_going_on() {
    let deadlines = within(Some(BRIEF), None);
    let silent = spec("http://receiver.test/");
    let silent = HttpDestination::new(&silent, deadlines, &EgressPolicy::default(), Arc::new(Silent)).unwrap();
    let report = attempt(&silent, &Sample::new("{}")).await;
    assert_eq!(report.outcome, Outcome::Timeout);
    let detail = "no connection to `receiver.test` within 150ms: its name was still being looked up";
    assert_eq!(report.detail, detail);

    let stalls = Server::start(|mut stream, _| async move {
        while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
    });
    let stalls = stalls.await;
    let report = attempt(&by_name(&stalls, "https", deadlines), &Sample::new("{}")).await;
    assert_eq!(report.outcome, Outcome::Timeout);
    let detail = "no connection to `receiver.test` within 150ms: the TLS handshake was still going on";
    assert_eq!(report.detail, detail);
    assert_eq!(stages(report.exchange.unwrap().timings), [true, true, false, false]);
}

#[tokio::test]
async fn a_slow_answer_is_not_the_connections_fault() {
    let server = Server::start(|mut stream, _| async move {
        Received::read(&mut stream).await.unwrap();
        pause(BRIEF * 2).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    });
    let server = server.await;
    let report = attempt(&by_name(&server, "http", within(Some(BRIEF), None)), &Sample::new("{}")).await;
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
}

/// A server that reads a request, waits, and drips `answer` byte by byte until the gateway hangs up.
async fn dripping(before: Duration, answer: &'static str) -> Server {
    Server::start(move |mut stream, _| async move {
        Received::read(&mut stream).await.unwrap();
        pause(before).await;
        for byte in answer.bytes() {
            if stream.write_all(&[byte]).await.is_err() {
                return;
            }
            pause(Duration::from_millis(10)).await;
        }
        let _ = stream.read(&mut [0]).await;
    })
    .await
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_late() {
    let late = dripping(FAIR, OK).await;
    let report = attempt(&by_name(&late, "http", within(None, Some(BRIEF))), &Sample::new("{}")).await;
    assert_eq!((report.outcome, report.status), (Outcome::Timeout, None));
    assert_eq!(report.detail, "the answer did not begin within 150ms of the request");
    assert_eq!(stages(report.exchange.unwrap().timings), [true, true, false, false]);
    // One that has begun has the attempt's whole time.
    let slow = dripping(Duration::ZERO, OK).await;
    let report = attempt(&by_name(&slow, "http", within(None, Some(BRIEF))), &Sample::new("{}")).await;
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
}

#[tokio::test]
async fn the_first_byte_is_waited_for_from_the_requests_last() {
    let slow_reader = Server::start(|mut stream, _| async move {
        let mut piece = vec![0; 256 << 10];
        let mut total = 0;
        while total < 16 << 20 {
            total += stream.read(&mut piece).await.unwrap();
            // Slow while the request is on its way, and no more when its end may be in the kernel's buffers.
            if total < 4 << 20 {
                pause(FAIR / 8).await;
            }
        }
        Received::drain(&mut stream).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
    });
    let slow_reader = slow_reader.await;
    let sample = Sample::new(vec![b'x'; 16 << 20]);
    let destination = by_name(&slow_reader, "http", within(None, Some(FAIR)));
    let began = tokio::time::Instant::now();
    let report = attempt(&destination, &sample).await;
    assert_eq!(report.outcome, Outcome::Success, "{} after {:?}", report.detail, began.elapsed());
    assert!(began.elapsed() > FAIR, "all of it took no longer than the deadline that counts from its end");
}

#[tokio::test]
async fn the_next_attempt_on_a_connection_waits_for_its_own_answer() {
    let server = Server::start(|mut stream: TcpStream, _| async move {
        for number in 0.. {
            if Received::read(&mut stream).await.is_none() {
                return;
            }
            if number == 1 {
                pause(FAIR).await;
            }
            if stream.write_all(OK.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let server = server.await;
    let destination = by_name(&server, "http", within(None, Some(BRIEF)));
    let outcomes = [(); 3].map(|()| Sample::new("{}"));
    let mut ended = Vec::new();
    for sample in &outcomes {
        ended.push(attempt(&destination, sample).await.outcome);
    }
    assert_eq!(ended, [Outcome::Success, Outcome::Timeout, Outcome::Success]);
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn each_deadline_says_what_was_waited_for() {
    let cases = [
        (dripping(AMPLE, OK).await, "no answer within 150ms"),
        (dripping(Duration::ZERO, OK).await, "no whole head of an answer within 150ms"),
    ];
    for (server, detail) in cases {
        let report = attempt(&by_name(&server, "http", BRIEF), &Sample::new("{}")).await;
        assert_eq!((report.outcome, report.detail.as_str()), (Outcome::Timeout, detail));
    }
    let stalls = Server::start(|stream, _| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    });
    let report = attempt(&by_name(&stalls.await, "https", BRIEF), &Sample::new("{}")).await;
    assert_eq!((report.outcome, report.detail.as_str()), (Outcome::Timeout, "no connection within 150ms"));
}
