//! What programs write, as the API shows it: while they run, and afterwards.

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::problem;
use crate::support::{Gateway, KEY, read_all, read_until};

/// A gateway with a program as destination; `settings` are more lines of it.
async fn gateway(script: &str, settings: &str) -> Gateway {
    let destination = "[[destination]]\nname = \"run\"\ntype = \"command\"\nretry = { waits = [] }\n";
    let limits = "limits = { idle_timeout = \"1s\" }";
    Gateway::start(&format!("{limits}\n{destination}argv = [\"/bin/sh\", \"-c\", '''{script}''']\n{settings}\n")).await
}

/// Runs the program for a new event and gives the delivery's path.
async fn run(gateway: &Gateway) -> String {
    let answer = gateway.api("POST", "/events", r#"{"type":"t","payload":1}"#).await;
    let event = answer.json()["eventId"].as_str().unwrap().to_owned();
    let deliveries = gateway.get(&format!("/deliveries?event={event}")).await;
    format!("/deliveries/{}", deliveries["items"][0]["id"].as_str().unwrap())
}

async fn ended(gateway: &Gateway, delivery: &str, state: &str) -> Value {
    loop {
        let shown = gateway.get(delivery).await;
        if shown["state"] == state {
            return shown;
        }
        assert!(["pending", "leased"].contains(&shown["state"].as_str().unwrap()), "{shown:#}");
        tokio::task::yield_now().await;
    }
}

/// Opens the output and leaves it open, once there is any.
async fn follow(gateway: &Gateway, delivery: &str) -> TcpStream {
    loop {
        let output = gateway.api("GET", &format!("{delivery}/output"), "").await;
        if output.status == 200 && !output.body.is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut stream = TcpStream::connect(gateway.running.admin()).await.unwrap();
    let request = format!(
        "GET /api/v1{delivery}/output?follow=true HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn every_byte_is_kept_with_the_exit_status() {
    let gateway = gateway(r"printf 'a\000\377b'; exit 7", "retry_exit_codes = [75]").await;
    let delivery = run(&gateway).await;
    let shown = ended(&gateway, &delivery, "exhausted").await;
    assert_eq!((&shown["attempts"][0]["exit_code"], shown["attempts"].as_array().unwrap().len()), (&7.into(), 1));
    for query in ["", "?attempt=1", "?follow=true"] {
        let output = gateway.api("GET", &format!("{delivery}/output{query}"), "").await;
        assert_eq!((output.status, output.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    }
    let raw = crate::support::send_bytes(&gateway, &format!("/api/v1{delivery}/output")).await;
    assert!(raw.ends_with(b"\r\n\r\na\0\xffb"), "{raw:?}");
    assert_eq!(
        problem(&gateway.api("GET", &format!("{delivery}/output?attempt=2"), "").await),
        (404, "not_found".to_owned())
    );
    assert_eq!(
        problem(&gateway.api("GET", &format!("{delivery}/output?x=2"), "").await),
        (422, "invalid_query".to_owned())
    );
}

#[tokio::test]
async fn output_can_be_read_along_while_the_program_runs() {
    let directory = tempfile::tempdir().unwrap();
    let go = directory.path().join("go");
    let gateway =
        gateway(&format!("echo one; until [ -e {0} ]; do sleep 0.01; done; echo two", go.display()), "").await;
    let delivery = run(&gateway).await;
    let mut stream = follow(&gateway, &delivery).await;
    read_until(&mut stream, "one\n").await;
    std::fs::write(go, "").unwrap();
    assert!(read_all(&mut stream).await.ends_with("4\r\ntwo\n\r\n0\r\n\r\n"));
    ended(&gateway, &delivery, "delivered").await;
    assert_eq!(gateway.api("GET", &format!("{delivery}/output"), "").await.text(), "one\ntwo\n");
}

#[tokio::test]
async fn a_program_that_is_silent_for_longer_than_a_connection_may_idle_is_followed_on() {
    let gateway = gateway("echo one; sleep 2.5; echo two", "").await;
    let mut stream = follow(&gateway, &run(&gateway).await).await;
    let all = read_all(&mut stream).await;
    assert!(all.contains("two\n"), "{all}");
}

#[tokio::test]
async fn what_is_called_off_while_it_runs_ends_and_keeps_what_it_wrote() {
    let gateway = gateway("trap 'echo bye; exit 0' TERM; echo begun; while :; do sleep 0.01; done", "").await;
    let delivery = run(&gateway).await;
    let mut stream = follow(&gateway, &delivery).await;
    read_until(&mut stream, "begun\n").await;
    assert_eq!(gateway.api("POST", &format!("{delivery}/cancel"), "").await.json()["state"], "leased");
    let shown = ended(&gateway, &delivery, "cancelled").await;
    assert_eq!(shown["attempts"][0]["outcome"], "cancelled");
    assert_eq!(shown["attempts"][0]["detail"], "called off while it ran, ended by SIGTERM");
    // The shell may also say that what it was waiting for is terminated.
    let output = gateway.api("GET", &format!("{delivery}/output"), "").await.text();
    assert!(output.starts_with("begun\n") && output.ends_with("bye\n"), "{output}");
    let rest = read_all(&mut stream).await;
    assert!(rest.contains("bye\n") && rest.ends_with("\r\n0\r\n\r\n"), "a reader sees the end: {rest}");
}
