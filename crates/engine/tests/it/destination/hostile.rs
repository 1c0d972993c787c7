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
        let what = if head.is_empty() { "answer" } else { "whole head of an answer" };
        assert_eq!(report.detail, format!("no {what} within 150ms"));
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

/// A server that reads the request and then does `behave`.
async fn behaving<R>(behave: impl Fn(TcpStream) -> R + Copy + Send + Sync + 'static) -> Server
where
    R: Future<Output = ()> + Send + 'static,
{
    Server::start(move |mut stream, _| async move {
        Received::read(&mut stream).await.unwrap();
        behave(stream).await;
    })
    .await
}

#[tokio::test]
async fn a_body_that_drips_is_read_to_the_deadline_and_no_longer() {
    let server = behaving(|mut stream| async move {
        let mut piece = &b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"[..];
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while stream.write_all(piece).await.is_ok() {
            piece = b"x";
            ticks.tick().await;
        }
    });
    let server = server.await;
    let report = attempt(&server, FAIR).await;
    assert_eq!((report.outcome, report.status), (Outcome::Success, Some(200)));
    assert!(report.excerpt.len() < 1000, "{}", report.excerpt.len());
}

#[tokio::test]
async fn an_answer_that_breaks_off_counts_from_its_head_on() {
    // In its head it is none; in its body its status stands.
    for (piece, outcome) in [
        ("HTTP/1.1 200 OK\r\ncontent-len", Outcome::Broken),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", Outcome::Success),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 100\r\n\r\nhalf", Outcome::Status),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", Outcome::Success),
    ] {
        let server = behaving(move |mut stream| async move {
            stream.write_all(piece.as_bytes()).await.unwrap();
            // Until this is read the reset would take it along.
            while stream.try_write(b"").is_err() {}
            let _ = tokio::time::timeout(BRIEF, stream.read(&mut [0])).await;
            reset(stream);
        });
        let report = attempt(&server.await, AMPLE).await;
        assert_eq!(report.outcome, outcome, "{piece:?}: {}", report.detail);
    }
}

#[tokio::test]
async fn a_compressed_answer_is_never_blown_up() {
    // A block of DEFLATE that says to write its one byte 258 times, again and again: a thousandfold.
    let bomb =
        [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xec\xc1\x01\x01\0\0\0\x80\x90\xfe\xaf\xee\x08\n"[..], &[0; 100_000]].concat();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let (server, mut requests) = Server::answering([head.as_bytes(), &bomb].concat()).await;
    let report = attempt(&server, AMPLE).await;
    assert_eq!(report.excerpt, bomb[..RESPONSE_EXCERPT_MAX]);
    assert!(requests.recv().await.unwrap().header("accept-encoding").is_empty());
}

#[tokio::test]
async fn answers_before_the_answer_change_nothing() {
    let answers = [
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n", Some(204)),
        (
            "HTTP/1.1 103 Early Hints\r\nlink: <http://127.0.0.1/>\r\n\r\nHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n",
            Some(500),
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", None),
        ("HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", Some(101)),
    ];
    for (answer, status) in answers {
        let server = behaving(move |mut stream| async move { stream.write_all(answer.as_bytes()).await.unwrap() });
        let report = attempt(&server.await, AMPLE).await;
        assert_eq!(report.status, status, "{answer:?}: {}", report.detail);
        assert!(report.outcome != Outcome::Success || status == Some(204), "{answer:?}");
    }
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_is_one() {
    let server = Server::start(|mut stream, _| async move {
        stream.peek(&mut [0]).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 413 Too large\r\nconnection: close\r\ncontent-length: 4\r\n\r\nless")
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
    let server = server.await;
    let destination = destination(&spec(&server.url()), AMPLE).unwrap();
    for size in [2, 32 << 20] {
        let report = destination.attempt(Sample::new(vec![0; size]).parcel(), &Standing(NOW)).await;
        assert_eq!((report.outcome, report.status), (Outcome::Status, Some(413)), "{size}: {}", report.detail);
        assert_eq!(&report.excerpt[..], b"less");
    }
}

#[tokio::test]
async fn a_connection_that_closes_on_a_request_is_tried_once_more_at_most() {
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, number| {
        let sender = sender.clone();
        async move {
            // Every connection takes one request, and closes on the second as soon as it comes.
            for turn in 0..2 {
                let Some(received) = Received::read(&mut stream).await else { return };
                sender.send((number, turn, received.header("hookward-delivery-id")[0].to_owned())).unwrap();
                if turn == 0 {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
            }
        }
    });
    let server = server.await;
    let destination = destination(&spec(&server.url()), AMPLE).unwrap();
    for _ in 0..4 {
        let sample = Sample::new("{}");
        let report = destination.attempt(sample.parcel(), &Standing(NOW)).await;
        let mut tries = Vec::new();
        while let Ok(one) = seen.try_recv() {
            tries.push(one);
        }
        // What was read is not sent again by itself: whether it had an effect is not known, and the schedule decides.
        assert!(matches!(tries.len(), 1 | 2), "{tries:?}");
        assert!(tries.iter().all(|(_, _, id)| *id == sample.delivery.to_string()), "{tries:?}");
        let answered = tries.iter().any(|(_, turn, _)| *turn == 0);
        assert_eq!(report.outcome == Outcome::Success, answered, "{}", report.detail);
    }
}

#[tokio::test]
async fn an_answer_after_the_deadline_reaches_nobody() {
    let (sender, mut late) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream, number| {
        let sender = sender.clone();
        async move {
            Received::read(&mut stream).await.unwrap();
            if number == 0 {
                // The gateway has hung up by then.
                let hung_up = stream.read(&mut [0]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate").await;
                sender.send(hung_up.is_ok()).unwrap();
                return;
            }
            stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    });
    let server = server.await;
    let destination = destination(&spec(&server.url()), BRIEF).unwrap();
    let sample = Sample::new("{}");
    assert_eq!(destination.attempt(sample.parcel(), &Standing(NOW)).await.outcome, Outcome::Timeout);
    assert!(late.recv().await.unwrap());
    let next = destination.attempt(sample.parcel(), &Standing(NOW)).await;
    assert_eq!((next.outcome, next.status), (Outcome::Status, Some(500)));
}
