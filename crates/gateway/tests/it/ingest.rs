//! The inbound door: which answer for what, and that nothing is kept that was not believed.

use hookward_engine::model::Principal;
use hookward_engine::{Authority, Declared};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Answer, GITHUB_SECRET, Gateway, SOURCES, everything_in, read_until, send, sign};

#[tokio::test]
async fn a_signed_push_is_accepted_once() {
    let gateway = Gateway::start(SOURCES).await;
    let body = br#"{"ref":"refs/heads/main"}"#;
    let first = gateway.push("u1", body).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let event = first.json()["eventId"].as_str().unwrap().to_owned();
    assert_eq!(first.json(), json!({ "status": "accepted", "eventId": event }));
    for (delivery_id, body) in [("u1", &body[..]), ("u1", b"{}"), ("u2", &body[..])] {
        let again = gateway.push(delivery_id, body).await;
        assert_eq!(again.status, 200, "{}", again.text());
        assert_eq!(again.json(), json!({ "status": "duplicate", "eventId": event }));
    }
    assert_eq!(gateway.get("/events?duplicate=false").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(gateway.api("GET", &format!("/events/{event}/body"), "").await.body, body);
}

#[tokio::test]
async fn every_refusal_is_the_same_answer_and_keeps_nothing() {
    let gateway = Gateway::start(SOURCES).await;
    let body = b"{}";
    let signature = sign(body);
    let changed = sign(b"{ }");
    let mut answers: Vec<Answer> = Vec::new();
    for headers in [
        vec![],
        vec![("x-hub-signature-256", "")],
        vec![("x-hub-signature-256", "sha256=")],
        vec![("x-hub-signature-256", "sha256=zz")],
        vec![("x-hub-signature-256", changed.as_str())],
        vec![("x-hub-signature-256", signature.as_str()), ("x-hub-signature-256", signature.as_str())],
        vec![("authorization", "Bearer nonsense")],
    ] {
        answers.push(gateway.send("POST", "/in/github", &headers, body).await);
    }
    answers.push(gateway.send("POST", "/in/unset", &[("x-hub-signature-256", &signature)], body).await);
    assert_eq!(answers[0].status, 401);
    assert_eq!(answers[0].text(), r#"{"error":"Unauthorized"}"#);
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
    assert_eq!(gateway.get("/events").await["items"], json!([]));
}

#[tokio::test]
async fn paths_are_exact_and_methods_are_those_declared() {
    let gateway = Gateway::start(SOURCES).await;
    for path in
        ["/", "/in", "/in/", "/in/github/", "/in//github", "/in/GITHUB", "/in/git%68ub", "/api/v1/events", "/metrics"]
    {
        assert_eq!(gateway.send("POST", path, &[], b"").await.status, 404, "{path}");
    }
    for method in ["GET", "PUT", "OPTIONS", "FOO"] {
        let answer = gateway.send(method, "/in/github", &[], b"").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{method}");
        assert_eq!(gateway.send(method, "/in/open", &[], method.as_bytes()).await.status, 202, "{method}");
    }
    let head = gateway.send("HEAD", "/in/github", &[], b"").await;
    assert_eq!((head.status, head.text().as_str()), (405, ""));
}

#[tokio::test]
async fn answers_and_unknown_paths_are_as_configured() {
    let gateway = Gateway::start(
        r#"
[[unmatched]]
prefix = "/hooks/"
answer = { status = 410, body = "gone", content_type = "text/plain" }
[[unmatched]]
prefix = "/hooks/ai/"
answer = { status = 404, body = '{"error":"not configured"}' }
[[source]]
name = "open"
path = "/hooks/ai/open"
unsigned = true
dedup = { id_headers = ["X-Id"] }
[source.answers]
accepted = { status = 202, body = '{"executionId":"{event_id}"}' }
duplicate = { status = 204 }
wrong_method = { status = 401, body = '{"error":"Unauthorized"}' }
"#,
    )
    .await;
    let gone = gateway.send("POST", "/hooks/x", &[], b"").await;
    assert_eq!((gone.status, gone.text().as_str(), gone.header("content-type")), (410, "gone", Some("text/plain")));
    assert_eq!(gateway.send("GET", "/hooks/ai/x", &[], b"").await.text(), r#"{"error":"not configured"}"#);
    let accepted = gateway.send("POST", "/hooks/ai/open", &[("x-id", "1")], b"a").await;
    assert_eq!(accepted.status, 202);
    assert!(accepted.json()["executionId"].as_str().unwrap().starts_with("evt_"));
    let duplicate = gateway.send("POST", "/hooks/ai/open", &[("x-id", "1")], b"b").await;
    assert_eq!((duplicate.status, duplicate.text().as_str(), duplicate.header("content-type")), (204, "", None));
    let wrong = gateway.send("GET", "/hooks/ai/open", &[], b"").await;
    assert_eq!((wrong.status, wrong.header("allow")), (401, None));
}

#[tokio::test]
async fn a_body_at_the_limit_is_taken_and_one_byte_more_is_not() {
    let gateway = Gateway::start(&format!("limits = {{ body_bytes = 1000 }}\n{SOURCES}")).await;
    let chunked = |length: usize| {
        let head = "POST /in/open HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        format!("{head}{:x}\r\n{}\r\n0\r\n\r\n", length, "c".repeat(length))
    };
    assert_eq!(gateway.send("POST", "/in/open", &[], &[b'x'; 1000]).await.status, 202);
    assert_eq!(gateway.send("POST", "/in/open", &[], &[b'x'; 1001]).await.status, 413);
    assert_eq!(Answer::parse(gateway.raw(chunked(1000).as_bytes()).await.as_bytes()).status, 202);
    assert_eq!(Answer::parse(gateway.raw(chunked(1001).as_bytes()).await.as_bytes()).status, 413);
    let announced = "POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 10737418240\r\n\r\n";
    assert_eq!(Answer::parse(gateway.raw(announced.as_bytes()).await.as_bytes()).status, 413);
    assert_eq!(gateway.get("/events").await["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn bodies_under_way_share_their_room_and_give_it_back() {
    let limits = "limits = { body_bytes = 1000, bodies_bytes = 1000 }";
    let gateway = Gateway::start(&format!("{limits}\n{SOURCES}")).await;
    let mut slow = TcpStream::connect(gateway.running.public()).await.unwrap();
    let head = "POST /in/open HTTP/1.1\r\nhost: x\r\ncontent-length: 501\r\nexpect: 100-continue\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    // Once it is told to go on, its body is awaited; what it announced takes no room yet.
    read_until(&mut slow, "\r\n\r\n").await;
    assert_eq!(gateway.send("POST", "/in/open", &[], &[b'x'; 1000]).await.status, 202);
    slow.write_all(&[b'y'; 500]).await.unwrap();
    // The first of these may come before the slow one's bytes are read.
    let mut refused = gateway.send("POST", "/in/open", &[], &[b'z'; 501]).await;
    for _ in 0..1000 {
        if refused.status != 202 {
            break;
        }
        refused = gateway.send("POST", "/in/open", &[], &[b'z'; 501]).await;
    }
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert_eq!(gateway.send("POST", "/in/open", &[], &[b'x'; 500]).await.status, 202, "exactly what is left fits");
    slow.write_all(b"y").await.unwrap();
    assert!(read_until(&mut slow, "\r\n\r\n").await.contains("202"));
    assert_eq!(gateway.send("POST", "/in/open", &[], &[b'w'; 1000]).await.status, 202, "the room is free again");
}

#[tokio::test]
async fn a_source_that_is_not_declared_any_more_has_no_door() {
    let gateway = Gateway::start(SOURCES).await;
    let nothing = Declared::default();
    gateway.running.engine().declare(&Principal::config(), Authority::ServedFile, nothing).await.unwrap();
    assert_eq!(gateway.push("u1", b"{}").await.status, 404);
}

#[tokio::test]
async fn a_source_may_have_a_smaller_limit() {
    let small = "[[source]]\nname = \"small\"\nunsigned = true\nbody_bytes = 10\n";
    let gateway = Gateway::start(&format!("{SOURCES}\n{small}")).await;
    assert_eq!(gateway.send("POST", "/in/small", &[], &[b'x'; 10]).await.status, 202);
    assert_eq!(gateway.send("POST", "/in/small", &[], &[b'x'; 11]).await.status, 413);
    assert_eq!(gateway.send("POST", "/in/open", &[], &[b'x'; 11]).await.status, 202);
    let announced = "POST /in/small HTTP/1.1\r\nhost: x\r\ncontent-length: 11\r\n\r\n";
    assert!(gateway.raw(announced.as_bytes()).await.starts_with("HTTP/1.1 413"), "without waiting for the body");
    let chunked =
        "POST /in/small HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nb\r\nxxxxxxxxxxx\r\n0\r\n\r\n";
    assert!(gateway.raw(chunked.as_bytes()).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_sender_over_its_rate_is_told_when_to_come_again_and_forgers_take_none_of_it() {
    let limited = SOURCES.replacen("secret =", "rate = { requests = 2, per = \"1h\" }\nsecret =", 1);
    let gateway = Gateway::start(&limited).await;
    for _ in 0..10 {
        assert_eq!(gateway.send("POST", "/in/github", &[("x-hub-signature-256", &sign(b"x"))], b"y").await.status, 401);
    }
    assert_eq!(gateway.push("1", b"1").await.status, 202);
    assert_eq!(gateway.push("2", b"2").await.status, 202);
    let answer = gateway.push("3", b"3").await;
    assert_eq!((answer.status, answer.text().as_str()), (429, r#"{"error":"Too many requests"}"#));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&wait), "{wait}");
    assert_eq!(gateway.send("POST", "/in/open", &[], b"").await.status, 202, "each source has its own");
    assert_eq!(gateway.get("/events?source=github").await["items"].as_array().unwrap().len(), 2);
    gateway.running.engine().run_until_idle().await;
    let audit = gateway.get("/audit").await.to_string();
    assert_eq!(audit.matches(r#""reason":"rate-limited""#).count(), 1, "{audit}");
    let metrics = send(gateway.running.admin(), "GET", "/metrics", &[], b"").await.text();
    assert!(metrics.contains(r#"hookward_received_total{source="github",answer="limited"} 1"#), "{metrics}");
}

#[tokio::test]
async fn who_may_not_come_is_answered_like_a_forger_before_the_body_is_read() {
    let limited = SOURCES.replacen("secret =", "allow_addresses = [\"192.30.252.0/22\", \"127.0.0.2\"]\nsecret =", 1);
    let trusting = format!("[public]\ntrusted_proxies = [\"127.0.0.1\"]\n{limited}");
    let gateway = Gateway::start(&trusting).await;
    let from = async |address: &str, secret: &str, body: &[u8]| {
        let signature = crate::support::sign_with(secret, body);
        let headers = [("x-forwarded-for", address), ("x-hub-signature-256", signature.as_str())];
        gateway.send("POST", "/in/github", &headers, body).await
    };
    let forged = from("192.30.252.1", "another secret", b"0").await;
    assert_eq!(forged.status, 401);
    assert_eq!(from("192.30.252.0", GITHUB_SECRET, b"1").await.status, 202);
    assert_eq!(from("192.30.255.255", GITHUB_SECRET, b"2").await.status, 202);
    for outside in ["192.30.251.255", "192.31.0.0", "nonsense", "192.30.252.1, 203.0.113.9", "127.0.0.1"] {
        assert_eq!(from(outside, GITHUB_SECRET, outside.as_bytes()).await, forged, "{outside}");
    }
    let unread = "POST /in/github HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n";
    assert!(gateway.raw(unread.as_bytes()).await.starts_with("HTTP/1.1 401"), "without waiting for the body");
    gateway.running.engine().run_until_idle().await;
    let events = gateway.get("/events?source=github").await;
    assert_eq!(events["items"].as_array().unwrap().len(), 2);
    let id = events["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.get(&format!("/events/{id}")).await["request"]["remote"], "192.30.255.255");
    let audit = gateway.get("/audit").await;
    let entries = audit["items"].as_array().unwrap().iter();
    let outsiders: Vec<_> = entries.filter(|entry| entry["detail"]["reason"] == "address-not-allowed").collect();
    // How many are told of together depends on when they were written.
    assert_eq!(outsiders.iter().map(|entry| entry["detail"]["count"].as_u64().unwrap()).sum::<u64>(), 6);
    assert_eq!(outsiders.last().unwrap()["address"], "192.30.251.255", "the first of them");
}

#[tokio::test]
async fn a_header_that_no_trusted_proxy_vouches_for_is_ignored() {
    let gateway = Gateway::start(SOURCES).await;
    let answer = gateway.send("POST", "/in/open", &[("x-forwarded-for", "203.0.113.7")], b"x").await;
    let id = answer.json()["eventId"].as_str().unwrap().to_owned();
    let remote = gateway.get(&format!("/events/{id}")).await["request"]["remote"].as_str().unwrap().to_owned();
    assert!(remote.starts_with("127.0.0.1:"), "{remote}");
}

#[tokio::test]
async fn a_token_in_the_query_is_kept_nowhere() {
    let gateway = Gateway::start(SOURCES).await;
    let accepted = gateway.send("POST", "/in/open?a=1&token=leaky-t0ken", &[("cookie", "leaky-t0ken")], b"x").await;
    assert_eq!(accepted.status, 202);
    let refused = gateway.send("POST", "/in/github?token=leaky-t0ken", &[("authorization", "leaky-t0ken")], b"x").await;
    assert_eq!(refused.status, 401);
    let id = accepted.json()["eventId"].as_str().unwrap().to_owned();
    let event = gateway.get(&format!("/events/{id}")).await;
    assert_eq!(event["request"]["target"], "/in/open?a=1&token=[redacted]");
    gateway.running.engine().run_until_idle().await;
    assert!(!gateway.get("/audit").await.to_string().contains("leaky-t0ken"));
    let kept = everything_in(gateway.directory.path());
    assert!(!kept.windows(11).any(|window| window == b"leaky-t0ken"), "the token is on disk");
}

#[tokio::test]
async fn a_secret_of_ours_in_the_wrong_header_is_an_alert_and_kept_nowhere() {
    let destination =
        "[[destination]]\nname = \"ops\"\ntype = \"command\"\nargv = [\"/bin/true\"]\nsources = [\"hookward\"]";
    let gateway = Gateway::start(&format!("{SOURCES}\n{destination}")).await;
    let accepted = gateway.send("POST", "/in/open", &[("x-api-key", GITHUB_SECRET)], b"x").await;
    assert_eq!(accepted.status, 202);
    let alerts = gateway.get("/events?source=hookward").await;
    assert_eq!(alerts["items"][0]["type"], "hookward.alert.secret_exposed");
    let id = alerts["items"][0]["id"].as_str().unwrap();
    assert_eq!(gateway.get(&format!("/events/{id}")).await["deliveries"][0]["destination"], "ops");
    let told = gateway.api("GET", &format!("/events/{id}/body"), "").await.json();
    assert_eq!((&told["place"], &told["owner"]), (&json!("header:x-api-key"), &json!("source:github")));
    let metrics = send(gateway.running.admin(), "GET", "/metrics", &[], b"").await.text();
    let line = r#"hookward_secrets_exposed_total{owner="source:github"} 1"#;
    assert!(metrics.lines().any(|got| got == line), "{line} is not in\n{metrics}");
    let kept = everything_in(gateway.directory.path());
    assert!(!kept.windows(GITHUB_SECRET.len()).any(|window| window == GITHUB_SECRET.as_bytes()), "it is on disk");
}
