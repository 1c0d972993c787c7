//! Tests of `destination/http.rs` against receivers that misbehave: the slot is freed at the deadline, memory stays flat.

use std::sync::Arc;
use std::time::Duration;

use hookward_engine::destination::Report;
use hookward_engine::model::{Outcome, RESPONSE_EXCERPT_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::support::outbound::{AMPLE, BRIEF, FAIR, NOW, Received, Sample, Server, Standing, destination, spec};

async fn attempt(server: &Server, deadline: Duration) -> Report {
    let destination = destination(&spec(&server.url()), deadline).unwrap();
    destination.attempt(Sample::new("{}").parcel(), &Standing(NOW)).await
}

/// A server that reads the request, writes `first`, then `then` again and again, and reports how much it could write before
/// the gateway hung up.
async fn endless(first: &'static str, then: Vec<u8>) -> (Server, mpsc::UnboundedReceiver<u64>) {
    let (sender, written) = mpsc::unbounded_channel();
    let then = Arc::new(then);
    let server = Server::start(move |mut stream, _| {
        let (sender, then) = (sender.clone(), Arc::clone(&then));
        async move {
            Received::read(&mut stream).await.unwrap();
            let mut total = 0;
            if stream.write_all(first.as_bytes()).await.is_ok() {
                while stream.write_all(&then).await.is_ok() {
                    total += then.len() as u64;
                }
            }
            sender.send(total).unwrap();
        }
    });
    (server.await, written)
}

/// A server that reads the request, writes `head`, and then waits until the gateway hangs up, which it reports.
async fn stalling(head: &'static str) -> (Server, mpsc::UnboundedReceiver<()>) {
    let (sender, hung_up) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, _| {
        let sender = sender.clone();
        async move {
            Received::read(&mut stream).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let _ = stream.read(&mut [0]).await;
            sender.send(()).unwrap();
        }
    });
    (server.await, hung_up)
}

#[tokio::test]
async fn an_answer_that_never_comes_is_a_timeout_and_the_connection_is_closed() {
    for head in ["", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-slow: a"] {
        let (server, mut hung_up) = stalling(head).await;
        let report = attempt(&server, BRIEF).await;
        assert_eq!((report.outcome, report.status), (Outcome::Timeout, None), "{head:?}");
        assert_eq!(report.detail, "no answer within 150ms");
        hung_up.recv().await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_whose_body_never_ends_counts_by_its_status_and_is_closed_at_the_deadline() {
    let mut attempts = JoinSet::new();
    for (head, outcome) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", Outcome::Success),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", Outcome::Success),
        ("HTTP/1.1 500 Error\r\n\r\nhalf", Outcome::Status),
    ] {
        attempts.spawn(async move {
            let (server, mut hung_up) = stalling(head).await;
            let report = attempt(&server, FAIR).await;
            assert_eq!((report.outcome, &report.excerpt[..]), (outcome, &b"half"[..]), "{head:?}");
            hung_up.recv().await.unwrap();
        });
    }
    attempts.join_all().await;
}

#[tokio::test]
async fn an_endless_body_is_left_unread() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n"] {
        let (server, mut written) = endless(head, vec![b'x'; 64 * 1024]).await;
        let report = attempt(&server, AMPLE).await;
        assert_eq!((report.outcome, report.excerpt.len()), (Outcome::Success, RESPONSE_EXCERPT_MAX));
        // What was written beyond what was read sits in the kernel's buffers.
        assert!(written.recv().await.unwrap() < 64 << 20);
    }
}

#[tokio::test]
async fn a_flood_of_headers_is_no_answer() {
    let (server, mut written) =
        endless("HTTP/1.1 200 OK\r\n", b"x-flood: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(1000)).await;
    let report = attempt(&server, AMPLE).await;
    assert_eq!((report.outcome, report.status), (Outcome::Broken, None), "{}", report.detail);
    assert!(written.recv().await.unwrap() < 64 << 20);

    let many = |count: usize| format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x: y\r\n".repeat(count));
    for (count, outcome) in [(127, Outcome::Success), (128, Outcome::Broken), (10_000, Outcome::Broken)] {
        let (server, _requests) = Server::answering(many(count)).await;
        assert_eq!(attempt(&server, AMPLE).await.outcome, outcome, "{count}");
    }
    for (length, outcome) in [(60 << 10, Outcome::Status), (128 << 10, Outcome::Broken), (1 << 20, Outcome::Broken)] {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", "a".repeat(length));
        let (server, _requests) = Server::answering(head).await;
        assert_eq!(attempt(&server, AMPLE).await.outcome, outcome, "{length}");
    }
}

#[tokio::test]
async fn endless_preliminary_answers_end_at_the_deadline() {
    let (server, mut written) = endless("", b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec()).await;
    assert_eq!(attempt(&server, BRIEF).await.outcome, Outcome::Timeout);
    written.recv().await.unwrap();
}

#[tokio::test]
async fn endless_trailers_are_bounded() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n";
    let (server, mut written) = endless(head, b"x-trailer: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(100)).await;
    let report = attempt(&server, AMPLE).await;
    assert_eq!((report.outcome, &report.excerpt[..]), (Outcome::Success, &b"ok"[..]));
    assert!(written.recv().await.unwrap() < 64 << 20);
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    let answers = [
        "HTTP/1.1 99 X\r\n\r\n",
        "HTTP/1.1 1000 X\r\n\r\n",
        "HTTP/1.1 abc X\r\n\r\n",
        "HTTP/1.1 000 X\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    ];
    for answer in answers {
        let (server, _requests) = Server::answering(answer).await;
        let report = attempt(&server, AMPLE).await;
        assert_eq!((report.outcome, report.status), (Outcome::Broken, None), "{answer:?}");
        assert!(report.detail.starts_with("no whole answer: "), "{}", report.detail);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_answer() {
    type Break = fn(TcpStream) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;
    let breaks: [Break; 4] = [
        |stream| Box::pin(async move { reset(stream) }),
        |mut stream| {
            Box::pin(async move {
                Received::read(&mut stream).await.unwrap();
                reset(stream);
            })
        },
        |mut stream| Box::pin(async move { drop(Received::read(&mut stream).await.unwrap()) }),
        |mut stream| {
            Box::pin(async move {
                Received::read(&mut stream).await.unwrap();
                stream.write_all(b"HTTP/1.1 20").await.unwrap();
            })
        },
    ];
    for (index, behave) in breaks.into_iter().enumerate() {
        let server = Server::start(move |stream, _| behave(stream)).await;
        let report = attempt(&server, AMPLE).await;
        assert_eq!((report.outcome, report.status), (Outcome::Broken, None), "{index}: {}", report.detail);
    }
}

/// Closes with a reset instead of a farewell.
fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

#[tokio::test]
async fn a_receiver_that_does_not_read_ends_at_the_deadline() {
    let server = Server::start(|stream, _| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    });
    let server = server.await;
    let destination = destination(&spec(&server.url()), BRIEF).unwrap();
    let report = destination.attempt(Sample::new(vec![0; 32 << 20]).parcel(), &Standing(NOW)).await;
    assert_eq!((report.outcome, server.connections()), (Outcome::Timeout, 1));
}

#[tokio::test]
async fn one_attempt_that_hangs_does_not_hold_up_the_next() {
    let server = Server::start(|mut stream, number| async move {
        Received::read(&mut stream).await.unwrap();
        if number > 0 {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let server = server.await;
    let destination = destination(&spec(&server.url()), FAIR * 2).unwrap();
    let (first, second) = (Sample::new("{}"), Sample::new("{}"));
    let clock = Standing(NOW);
    let hanging = destination.attempt(first.parcel(), &clock);
    let next = async {
        while server.connections() == 0 {
            tokio::task::yield_now().await;
        }
        destination.attempt(second.parcel(), &clock).await.outcome
    };
    tokio::select! {
        report = hanging => panic!("the first ended first: {report:?}"),
        outcome = next => assert_eq!(outcome, Outcome::Success),
    }
}
