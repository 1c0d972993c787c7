//! Tests of `destination/http/headers.rs`.

use hookward_engine::destination::InvalidDestination;
use hookward_engine::model::{HttpSpec, Outcome};

use crate::support::outbound::{AMPLE, NOW, Received, Sample, Server, Standing, destination, spec};

/// What arrives when a destination with these settings sends the sample.
async fn sent(sample: &Sample, change: impl FnOnce(&mut HttpSpec)) -> Received {
    let (server, mut requests) = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let mut spec = spec(&server.url());
    change(&mut spec);
    let destination = destination(&spec, AMPLE).unwrap();
    let report = destination.attempt(sample.parcel(), &Standing(NOW)).await;
    assert_eq!(report.outcome, Outcome::Success, "{}", report.detail);
    requests.recv().await.unwrap()
}

fn forward(patterns: &[&str]) -> impl FnOnce(&mut HttpSpec) {
    let patterns = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    |spec| spec.forward_headers = patterns
}

fn set(headers: &[(&str, &str)]) -> impl FnOnce(&mut HttpSpec) {
    let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    |spec| spec.set_headers = headers
}

#[tokio::test]
async fn without_settings_only_our_own_headers_are_sent() {
    let sample = Sample::new("{}").header("x-github-event", "push").header("user-agent", "GitHub-Hookshot");
    let received = sent(&sample, |_| ()).await;
    let mut names: Vec<&str> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "content-length",
        "content-type",
        "hookward-attempt",
        "hookward-delivery-id",
        "hookward-event-id",
        "hookward-hop",
        "host",
        "user-agent",
    ];
    assert_eq!(names, expected);
    assert_eq!(received.header("content-type"), ["application/json"]);
    assert_eq!(received.header("user-agent"), [concat!("Hookward/", env!("CARGO_PKG_VERSION"))]);
    assert_eq!(received.header("hookward-event-id"), [sample.event.to_string()]);
    assert_eq!(received.header("hookward-delivery-id"), [sample.delivery.to_string()]);
    assert_eq!(received.header("hookward-attempt"), ["3"]);
    assert_eq!(received.header("hookward-hop"), ["1"]);
}

#[tokio::test]
async fn chosen_headers_are_forwarded_in_order() {
    let sample = Sample::new("{}")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-encoding", "gzip")
        .header("x-github-event", "push")
        .header("x-many", "one")
        .header("x-github", "too short for the pattern")
        .header("x-many", "two")
        .header("x-latin", &b"caf\xe9"[..])
        .header("x-other", "no");
    let received = sent(&sample, forward(&["X-GitHub-*", "X-MANY", "x-latin"])).await;
    assert_eq!(received.header("content-type"), ["application/x-www-form-urlencoded"]);
    assert_eq!(received.header("content-encoding"), ["gzip"]);
    assert_eq!(received.header("x-github-event"), ["push"]);
    assert_eq!(received.header("x-many"), ["one", "two"]);
    assert_eq!(received.header("x-latin"), ["caf\u{fffd}"]);
    assert!(received.header("x-github").is_empty());
    assert!(received.header("x-other").is_empty());
}

#[tokio::test]
async fn headers_of_the_senders_connection_are_never_forwarded() {
    let own = [
        ("host", "evil.example"),
        ("content-length", "3"),
        ("transfer-encoding", "chunked"),
        ("connection", "close, X-Private"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("proxy-connection", "close"),
        ("proxy-authorization", "Basic x"),
        ("proxy-authenticate", "Basic"),
        ("x-private", "1"),
    ];
    let sample = own.iter().fold(Sample::new("{}"), |sample, (name, value)| sample.header(name, *value));
    let received = sent(&sample, forward(&["*", "x-private"])).await;
    for (name, value) in own {
        assert!(!received.header(name).contains(&value), "{name}");
    }
    assert_eq!(received.header("content-length"), ["2"]);
    assert_eq!(received.body, b"{}");
}

#[tokio::test]
async fn what_speaks_for_somebody_is_forwarded_only_by_its_full_name() {
    let sample = Sample::new("{}").header("cookie", "a=b").header("authorization", "Bearer x").header("x-plain", "1");
    let received = sent(&sample, forward(&["*", "c*", "auth*"])).await;
    assert!(received.header("cookie").is_empty() && received.header("authorization").is_empty());
    assert_eq!(received.header("x-plain"), ["1"]);
    let received = sent(&sample, forward(&["Cookie", "Authorization"])).await;
    assert_eq!((received.header("cookie"), received.header("authorization")), (vec!["a=b"], vec!["Bearer x"]));
}

#[tokio::test]
async fn a_redacted_value_is_never_forwarded() {
    let sample = Sample::new("{}")
        .header("authorization", "[redacted]")
        .header("x-gitlab-token", "Bearer [redacted]")
        .header("x-gitlab-event", "Push Hook");
    let received = sent(&sample, forward(&["authorization", "x-gitlab-*"])).await;
    assert!(received.header("authorization").is_empty() && received.header("x-gitlab-token").is_empty());
    assert_eq!(received.header("x-gitlab-event"), ["Push Hook"]);
}

#[tokio::test]
async fn our_own_headers_replace_the_senders() {
    let sample = Sample::new("{}")
        .header("hookward-event-id", "evt_forged")
        .header("hookward-delivery-id", "dlv_forged")
        .header("hookward-attempt", "99")
        .header("user-agent", "theirs");
    let received = sent(&sample, forward(&["*"])).await;
    assert_eq!(received.header("hookward-event-id"), [sample.event.to_string()]);
    assert_eq!(received.header("hookward-delivery-id"), [sample.delivery.to_string()]);
    assert_eq!(received.header("hookward-attempt"), ["3"]);
    assert_eq!(received.header("user-agent").len(), 1);
}

#[tokio::test]
async fn a_signature_replaces_a_forwarded_one_and_set_headers_replace_all() {
    let mut sample = Sample::new("{}")
        .header("webhook-signature", "v1,old")
        .header("webhook-signature", "v1,older")
        .header("x-organization-id", "forged")
        .header("content-type", "text/plain");
    sample.signature = vec![
        ("Webhook-Signature".to_owned(), "v1,new".to_owned()),
        ("Webhook-Signature".to_owned(), "v1,second".to_owned()),
        ("x-overridden".to_owned(), "signed".to_owned()),
    ];
    let received = sent(&sample, |spec| {
        forward(&["*"])(spec);
        set(&[
            ("X-Organization-Id", "acme"),
            ("x-overridden", "set"),
            ("content-type", "application/cloudevents+json"),
        ])(spec);
    })
    .await;
    assert_eq!(received.header("webhook-signature"), ["v1,new", "v1,second"]);
    assert_eq!(received.header("x-organization-id"), ["acme"]);
    assert_eq!(received.header("x-overridden"), ["set"]);
    assert_eq!(received.header("content-type"), ["application/cloudevents+json"]);
}

#[tokio::test]
async fn a_signature_that_cannot_be_sent_is_not_left_out() {
    let (server, _requests) = Server::answering("").await;
    let mut sample = Sample::new("{}");
    sample.signature = vec![("x-signature".to_owned(), "a\nb".to_owned())];
    let destination = destination(&spec(&server.url()), AMPLE).unwrap();
    let report = destination.attempt(sample.parcel(), &Standing(NOW)).await;
    assert_eq!((report.outcome, server.connections()), (Outcome::Unusable, 0));
    assert_eq!(report.detail, "the signature's header `x-signature` cannot be sent");
}

#[tokio::test]
async fn an_event_passes_five_gateways_and_no_more() {
    for (hop, expected) in [("0", "1"), ("1", "2"), ("4", "5"), ("", "1"), ("-3", "1"), ("many", "1")] {
        let received = sent(&Sample::new("{}").header("hookward-hop", hop), forward(&["*"])).await;
        assert_eq!(received.header("hookward-hop"), [expected], "{hop:?}");
    }
    let (server, _requests) = Server::answering("").await;
    let destination = destination(&spec(&server.url()), AMPLE).unwrap();
    for hop in ["5", "6", "4294967295"] {
        let sample = Sample::new("{}").header("hookward-hop", hop).header("hookward-hop", "0");
        let report = destination.attempt(sample.parcel(), &Standing(NOW)).await;
        assert_eq!(report.outcome, Outcome::Unusable);
        assert!(report.detail.starts_with("loop: "), "{}", report.detail);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |change: &dyn Fn(&mut HttpSpec)| {
        let mut spec = spec("http://127.0.0.1/");
        change(&mut spec);
        match destination(&spec, AMPLE) {
            Err(InvalidDestination::Header { name, .. }) => Some(name),
            Err(other) => panic!("{other}"),
            Ok(_) => None,
        }
    };
    for pattern in ["", "x y", "a*b", "**", "x-\u{e9}", "x:", "Connection", "host", "content-length"] {
        assert_eq!(refused(&|spec| forward(&[pattern])(spec)).as_deref(), Some(pattern));
    }
    for pattern in ["*", "X-*", "x-github-event", "cookie"] {
        assert_eq!(refused(&|spec| forward(&[pattern])(spec)), None);
    }
    for (name, value) in [("", "v"), ("a b", "v"), ("x", "a\nb"), ("x", "a\0b"), ("Host", "v"), ("Hookward-Hop", "0")] {
        assert_eq!(refused(&|spec| set(&[(name, value)])(spec)).as_deref(), Some(name));
    }
    assert_eq!(refused(&|spec| set(&[("x", ""), ("user-agent", "ours")])(spec)), None);
}
