//! Tests of `destination/http.rs`: what is sent, and how an answer is read. Misbehaving receivers are in `hostile`.

use std::time::Duration;

use bytes::Bytes;
use hookward_engine::destination::Report;
use hookward_engine::model::{Outcome, RESPONSE_EXCERPT_MAX};
use tokio::io::AsyncWriteExt;

use crate::support::outbound::{AMPLE, NOW, Received, Sample, Server, Standing, destination, spec};

/// The report of one attempt that is answered with these bytes.
async fn answered(answer: impl Into<Bytes>) -> Report {
    let (server, _requests) = Server::answering(answer).await;
    let destination = destination(&spec(&server.url()), AMPLE).unwrap();
    destination.attempt(Sample::new("{}").parcel(), &Standing(NOW)).await
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn the_body_is_sent_byte_for_byte() {
    let (server, mut requests) = Server::answering(answer("200 OK", "", "thanks")).await;
    let mut spec = spec(&server.url());
    spec.url.push_str("?token=a%20b");
    let destination = destination(&spec, AMPLE).unwrap();
    for body in [Vec::new(), (0..=255).collect(), vec![b'x'; 3 << 20]] {
        let report = destination.attempt(Sample::new(body.clone()).parcel(), &Standing(NOW)).await;
        let report = Report { exchange: None, ..report };
        let expected = Report { status: Some(200), excerpt: "thanks".into(), ..Report::failed(Outcome::Success, "") };
        assert_eq!(report, expected);
        let received = requests.recv().await.unwrap();
        assert_eq!(received.line, "POST /hook?token=a%20b HTTP/1.1");
        assert_eq!(received.header("host"), [server.address.to_string()]);
        assert!(received.body == body, "{} bytes became {}", body.len(), received.body.len());
    }
}

#[tokio::test]
async fn the_status_decides() {
    for status in [200, 201, 202, 204, 299] {
        let report = answered(format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!((report.outcome, report.status, report.detail.as_str()), (Outcome::Success, Some(status), ""));
    }
    for status in [300, 304, 400, 401, 404, 410, 429, 500, 503, 599, 999] {
        let report = answered(format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")).await;
        assert_eq!((report.outcome, report.status), (Outcome::Status, Some(status)));
        assert_eq!(report.detail, format!("answered {status}"));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let canary = Server::start(|_, _| async {}).await;
    for status in [301, 302, 303, 307, 308] {
        let headers = format!("location: {}\r\nrefresh: 0; url={0}\r\n", canary.url());
        let report = answered(answer(&format!("{status} Elsewhere"), &headers, "")).await;
        assert_eq!((report.outcome, report.status), (Outcome::Status, Some(status)));
    }
    let headers = format!("alt-svc: h2=\"{}\"\r\nrefresh: 0; url={}\r\n", canary.address, canary.url());
    assert_eq!(answered(answer("200 OK", &headers, "")).await.outcome, Outcome::Success);
    assert_eq!(canary.connections(), 0);
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_or_as_a_date() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let cases = [
        ("5", seconds(5)),
        ("0", seconds(0)),
        (" 120 ", seconds(120)),
        ("4294967296", seconds(4_294_967_296)),
        ("Tue, 14 Nov 2023 22:14:20 GMT", Some(Duration::from_millis(59_877))),
        ("Tuesday, 14-Nov-23 22:14:20 GMT", Some(Duration::from_millis(59_877))),
        ("Tue Nov 14 22:14:20 2023", Some(Duration::from_millis(59_877))),
        ("Tue, 14 Nov 2023 22:13:20 GMT", Some(Duration::ZERO)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(Duration::ZERO)),
        ("", None),
        ("-1", None),
        ("+1", None),
        ("1.5", None),
        ("1e9", None),
        ("soon", None),
        ("99999999999999999999999", None),
        ("Wed, 31 Feb 2099", None),
        ("Tue, 31 Feb 2099 00:00:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:60 GMT", None),
    ];
    for (value, expected) in cases {
        let report = answered(answer("429 Slow down", &format!("retry-after: {value}\r\n"), "")).await;
        assert_eq!((report.outcome, report.retry_after), (Outcome::Status, expected), "{value:?}");
    }
    let far = answered(answer("503 Down", "retry-after: Fri, 31 Dec 9999 23:59:59 GMT\r\n", "")).await;
    assert!(far.retry_after > seconds(1 << 32));
    assert_eq!(answered(answer("200 OK", "retry-after: 5\r\n", "")).await.retry_after, None);
}

#[tokio::test]
async fn an_excerpt_has_a_greatest_length() {
    for length in [0, 1, RESPONSE_EXCERPT_MAX - 1, RESPONSE_EXCERPT_MAX, RESPONSE_EXCERPT_MAX + 1, 1 << 20] {
        let body: String = ('a'..='z').cycle().take(length).collect();
        for status in ["200 OK", "500 Error"] {
            let report = answered(answer(status, "", &body)).await;
            assert_eq!(report.excerpt, body.as_bytes()[..length.min(RESPONSE_EXCERPT_MAX)], "{length}");
        }
    }
}

#[tokio::test]
async fn a_compressed_answer_is_kept_as_it_came() {
    let report = answered(answer("200 OK", "content-encoding: gzip\r\n", "\u{1f}not really gzip")).await;
    assert_eq!((report.outcome, &report.excerpt[..]), (Outcome::Success, "\u{1f}not really gzip".as_bytes()));
}

#[tokio::test]
async fn a_connection_is_used_again_unless_its_answer_was_left_unread() {
    let (server, _requests) = Server::answering(answer("200 OK", "", "ok")).await;
    let short = destination(&spec(&server.url()), AMPLE).unwrap();
    for _ in 0..3 {
        assert_eq!(short.attempt(Sample::new("{}").parcel(), &Standing(NOW)).await.outcome, Outcome::Success);
    }
    assert_eq!(server.connections(), 1);

    let (server, _requests) = Server::answering(answer("200 OK", "", &"x".repeat(8 << 20))).await;
    let long = destination(&spec(&server.url()), AMPLE).unwrap();
    for _ in 0..2 {
        assert_eq!(long.attempt(Sample::new("{}").parcel(), &Standing(NOW)).await.outcome, Outcome::Success);
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_closed_while_idle_costs_no_attempt() {
    let server = Server::start(|mut stream, _| async move {
        Received::read(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    });
    let server = server.await;
    let destination = destination(&spec(&server.url()), AMPLE).unwrap();
    for attempt in 1..=5 {
        let report = destination.attempt(Sample::new("{}").parcel(), &Standing(NOW)).await;
        assert_eq!(report.outcome, Outcome::Success, "{attempt}: {}", report.detail);
        // The close has arrived before the next attempt looks.
        while server.connections() < attempt {
            tokio::task::yield_now().await;
        }
        settle().await;
    }
}

/// Gives other tasks the chance to notice what has already happened.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}
