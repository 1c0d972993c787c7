//! Connections: what is read of them, for how long, and how many.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Answer, Gateway, SOURCES, read_all, read_until};

async fn status(gateway: &Gateway, request: &str) -> u16 {
    Answer::parse(gateway.raw(request.as_bytes()).await.as_bytes()).status
}

#[tokio::test]
async fn heads_that_could_be_read_two_ways_are_refused() {
    let gateway = Gateway::start(SOURCES).await;
    for (headers, body) in [
        ("host: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
        ("host: x\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n", "0\r\n\r\n"),
        ("host: x\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity\r\n", ""),
        ("host: x\r\ntransfer-encoding: xchunked\r\n", ""),
        ("host: x\r\ntransfer-encoding : chunked\r\n", "0\r\n\r\n"),
        ("host: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n", "abcd"),
        ("host: x\r\ncontent-length: -1\r\n", ""),
        ("host: x\r\ncontent-length: +1\r\n", "a"),
        ("host: x\r\nx: a\r\n b\r\n", ""),
        ("host: x\r\nx: a\0b\r\n", ""),
        ("host: x\r\nhost: y\r\n", ""),
        ("", ""),
    ] {
        let smuggled = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
        let answers = gateway.raw(format!("POST /in/open HTTP/1.1\r\n{headers}\r\n{body}{smuggled}").as_bytes()).await;
        assert_eq!(Answer::parse(answers.as_bytes()).status, 400, "{headers:?}");
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{headers:?}: {answers}");
    }
    assert_eq!(gateway.get("/events").await["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn bodies_that_are_not_whole_are_not_kept() {
    let gateway = Gateway::start(SOURCES).await;
    let head = "POST /in/open HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    for body in ["FFFFFFFFFFFFFFFFFF\r\n", "zz\r\n", "3\r\nabcd\r\n0\r\n\r\n"] {
        assert_eq!(status(&gateway, &format!("{head}{body}")).await, 400, "{body:?}");
    }
    let mut cut = TcpStream::connect(gateway.running.public()).await.unwrap();
    cut.write_all(b"POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345").await.unwrap();
    cut.shutdown().await.unwrap();
    read_all(&mut cut).await;
    assert_eq!(gateway.get("/events").await["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn this_is_no_proxy() {
    let gateway = Gateway::start(SOURCES).await;
    let connect = "CONNECT 169.254.169.254:80 HTTP/1.1\r\nhost: 169.254.169.254:80\r\n\r\n";
    assert_eq!(status(&gateway, connect).await, 400);
    let absolute = "POST http://evil.test/in/nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(status(&gateway, absolute).await, 404);
}

#[tokio::test]
async fn heads_have_limits() {
    let gateway =
        Gateway::start(&format!("limits = {{ header_bytes = \"8KiB\", header_count = 20 }}\n{SOURCES}")).await;
    let request = |target: &str, headers: &str| {
        format!("POST /in/open{target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n{headers}\r\n")
    };
    assert_eq!(status(&gateway, &request("", &"a: b\r\n".repeat(17))).await, 202);
    assert_eq!(status(&gateway, &request("", &"a: b\r\n".repeat(18))).await, 431);
    assert_eq!(status(&gateway, &request("", &format!("a: {}\r\n", "b".repeat(7000)))).await, 202);
    assert_eq!(status(&gateway, &request("", &format!("a: {}\r\n", "b".repeat(9000)))).await, 431);
    let gateway = gateway.restart(SOURCES).await;
    assert_eq!(status(&gateway, &request(&format!("?{}", "a".repeat(16_000)), "")).await, 202);
    assert_eq!(status(&gateway, &request(&format!("?{}", "a".repeat(17_000)), "")).await, 414);
}

#[tokio::test]
async fn slow_senders_are_cut_off() {
    let limits = "limits = { header_timeout = \"80ms\", body_timeout = \"80ms\", idle_timeout = \"80ms\" }";
    let gateway = Gateway::start(&format!("{limits}\n{SOURCES}")).await;
    assert_eq!(gateway.raw(b"").await, "", "silence is closed");
    assert_eq!(status(&gateway, "POST /in/open HTTP/1.1\r\nhost:").await, 408);
    assert_eq!(status(&gateway, "POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab").await, 408);
    let idle = gateway.raw(b"POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na").await;
    assert_eq!(Answer::parse(idle.as_bytes()).status, 202, "and then the idle connection is closed");
    assert_eq!(gateway.get("/events").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn connections_over_the_cap_are_turned_away() {
    let gateway = Gateway::start(&format!("limits = {{ connections = 1 }}\n{SOURCES}")).await;
    let request = b"POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na";
    let mut first = TcpStream::connect(gateway.running.public()).await.unwrap();
    first.write_all(request).await.unwrap();
    assert!(read_until(&mut first, "}").await.starts_with("HTTP/1.1 202"));
    let mut second = TcpStream::connect(gateway.running.public()).await.unwrap();
    assert!(read_all(&mut second).await.starts_with("HTTP/1.1 503"));
    first.write_all(request).await.unwrap();
    assert!(read_until(&mut first, "}").await.starts_with("HTTP/1.1 202"), "the first goes on");
}

#[tokio::test]
async fn a_connection_takes_one_request_after_another() {
    let gateway = Gateway::start(SOURCES).await;
    let mut stream = TcpStream::connect(gateway.running.public()).await.unwrap();
    let sized = "POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\na";
    let chunked = "POST /in/open HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n";
    for request in [sized, chunked, sized] {
        stream.write_all(request.as_bytes()).await.unwrap();
        assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 202"));
    }
    let last = "POST /in/open HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(format!("{sized}{chunked}{last}").as_bytes()).await.unwrap();
    assert_eq!(read_all(&mut stream).await.matches("HTTP/1.1 202").count(), 3, "also when they come at once");
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_go_on() {
    let gateway = Gateway::start(SOURCES).await;
    let mut stream = TcpStream::connect(gateway.running.public()).await.unwrap();
    let head = "POST /in/open HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"a").await.unwrap();
    assert!(read_until(&mut stream, "}").await.starts_with("HTTP/1.1 202"));
}
