//! Tests of `destination/slack.rs`: what is posted, and what is made of the answer.

use std::time::Duration;

use hookward_engine::destination::InvalidDestination;
use hookward_engine::destination::slack::SlackDestination;
use hookward_engine::destination::slack::template::DEFAULT_TEMPLATE;
use hookward_engine::egress::EgressPolicy;
use hookward_engine::model::{Outcome, SlackSpec};
use serde_json::{Value, json};

use crate::support::outbound::{AMPLE, NOW, Sample, Server, Standing, Told, nets};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn slack(template: &str, url: &str) -> Result<SlackDestination, InvalidDestination> {
    let spec = SlackSpec { template: template.to_owned(), allow_addresses: nets(&["127.0.0.0/8"]) };
    SlackDestination::new(&spec, url, AMPLE, &EgressPolicy::default(), Told::new(&[]))
}

#[tokio::test]
async fn the_text_is_posted_as_json_and_nothing_else_of_the_event() {
    let (server, mut requests) = Server::answering(OK).await;
    let body = r#"payload=%7B%22who%22%3A%22%3C%21here%3E%20%26%20%C3%A9%22%7D"#;
    let sample = Sample::new(body)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-encoding", "gzip")
        .header("hookward-hop", "2")
        .header("x-github-event", "push");
    let slack = slack("{{ event.type }} by {{ body.who }}{{ body.gone }}", &server.url()).unwrap();
    let report = slack.attempt(sample.parcel(), &Standing(NOW)).await;
    assert_eq!((report.outcome, report.status, &report.excerpt[..]), (Outcome::Success, Some(200), &b"ok"[..]));
    let received = requests.recv().await.unwrap();
    assert_eq!(received.line, "POST /hook HTTP/1.1");
    assert_eq!(received.header("content-type"), ["application/json; charset=utf-8"]);
    assert_eq!(received.header("hookward-hop"), ["3"]);
    assert!(received.header("content-encoding").is_empty() && received.header("x-github-event").is_empty());
    let posted: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(posted, json!({ "text": "push by &lt;!here&gt; &amp; é" }));
}

#[tokio::test]
async fn the_default_says_what_happened_where() {
    let (server, mut requests) = Server::answering(OK).await;
    let sample = Sample::new("no json");
    let slack = slack(DEFAULT_TEMPLATE, &server.url()).unwrap();
    assert_eq!(slack.attempt(sample.parcel(), &Standing(NOW)).await.outcome, Outcome::Success);
    let posted: Value = serde_json::from_slice(&requests.recv().await.unwrap().body).unwrap();
    assert_eq!(posted, json!({ "text": format!("*github* push\n`{}`", sample.event) }));
}

#[tokio::test]
async fn slacks_answers_are_those_of_any_receiver() {
    let answer = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    };
    for (status, body, retry_after) in [
        ("403 Forbidden", "invalid_token", None),
        ("404 Not Found", "no_service", None),
        ("429 Slow\r\nretry-after: 30", "rate_limited", Some(30)),
        ("500 Oops", "rollup_error", None),
    ] {
        let (server, _requests) = Server::answering(answer(status, body)).await;
        let sample = Sample::new("{}");
        let report = slack("x", &server.url()).unwrap().attempt(sample.parcel(), &Standing(NOW)).await;
        assert_eq!((report.outcome, report.retry_after), (Outcome::Status, retry_after.map(Duration::from_secs)));
        assert_eq!(report.excerpt, body);
    }
}

#[tokio::test]
async fn the_url_is_in_nothing_that_is_printed_or_kept() {
    let (server, _requests) = Server::answering(OK).await;
    let url = format!("http://{}/services/T0/B0/canary-path", server.address);
    let slack = slack("x", &url).unwrap();
    let report = slack.attempt(Sample::new("{}").parcel(), &Standing(NOW)).await;
    assert_eq!(report.outcome, Outcome::Success);
    let printed = format!("{slack:?} {report:?}");
    assert!(!printed.contains("canary-path"), "{printed}");
    let closed = SlackDestination::new(
        &SlackSpec { template: "x".to_owned(), allow_addresses: nets(&["127.0.0.0/8"]) },
        "http://127.0.0.1:9/canary-path",
        AMPLE,
        &EgressPolicy::default(),
        Told::new(&[]),
    );
    let report = closed.unwrap().attempt(Sample::new("{}").parcel(), &Standing(NOW)).await;
    assert!(report.outcome == Outcome::Connect && !format!("{report:?}").contains("canary-path"), "{report:?}");
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let problem = slack("{{ event.nothing }}", "https://hooks.slack.test/x").unwrap_err().to_string();
    assert!(problem.starts_with("template: line 1, column 1 of it: there is no `event.nothing`"), "{problem}");
    assert!(matches!(slack("x", "ftp://hooks.slack.test/"), Err(InvalidDestination::Url(_))));
}
