//! Tests of `destination/oauth2.rs`: how a token is asked for, for how long it is used, what is said when there is none.

use std::sync::Arc;
use std::time::Duration;

use hookward::Secret;
use hookward_engine::clock::Clock;
use hookward_engine::destination::oauth2::{ANSWER_MAX, OAuth2Destination};
use hookward_engine::destination::{InvalidDestination, Report};
use hookward_engine::egress::EgressPolicy;
use hookward_engine::model::{OAuth2ClientAuth, OAuth2Spec, Outcome};
use tokio::sync::mpsc;

use crate::support::outbound::{AMPLE, BRIEF, Received, Sample, Server, Told, destination, spec};
use crate::support::world::FakeClock;

const SECRET: &str = "a secret: with+signs";
const TAKEN: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn given(token: &str, expires_in: &str) -> String {
    answer("200 OK", &format!(r#"{{"access_token":"{token}","token_type":"bearer","expires_in":{expires_in}}}"#))
}

/// A server that gives its answers in turn, the last one for ever, and tells what it was asked.
async fn in_turn(answers: &[String]) -> (Server, mpsc::UnboundedReceiver<Received>) {
    let (sender, received) = mpsc::unbounded_channel();
    let answers = Arc::new(std::sync::Mutex::new(answers.to_vec()));
    let server = Server::start(move |mut stream, _| {
        let (sender, answers) = (sender.clone(), Arc::clone(&answers));
        async move {
            while let Some(request) = Received::read(&mut stream).await {
                let answer = {
                    let mut answers = answers.lock().unwrap();
                    if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
                };
                let _ = sender.send(request);
                if tokio::io::AsyncWriteExt::write_all(&mut stream, answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    });
    (server.await, received)
}

fn client(token_url: &str) -> OAuth2Spec {
    OAuth2Spec {
        token_url: token_url.to_owned(),
        client_id: "hook ward".to_owned(),
        scopes: vec![],
        audience: None,
        auth: OAuth2ClientAuth::Basic,
    }
}

fn with_token(receiver: &str, client: &OAuth2Spec, limit: Duration) -> Result<OAuth2Destination, InvalidDestination> {
    let http = spec(receiver);
    let secret = Arc::new(Secret::new(SECRET).unwrap());
    let inner = destination(&http, limit).unwrap();
    OAuth2Destination::new(inner, limit, (&http, client), secret, &EgressPolicy::default(), Told::new(&[]))
}

async fn attempt(destination: &OAuth2Destination, clock: &dyn Clock) -> Report {
    destination.attempt(Sample::new("{}").parcel(), clock).await
}

/// The tokens that a receiver was sent, in order.
fn sent(requests: &mut mpsc::UnboundedReceiver<Received>) -> Vec<String> {
    let mut tokens = Vec::new();
    while let Ok(request) = requests.try_recv() {
        tokens.push(request.header("authorization").join(","));
    }
    tokens
}

#[tokio::test]
async fn a_token_is_asked_for_as_the_standard_says() {
    let (tokens, mut asked) = in_turn(&[given("t-1", "60")]).await;
    let (receiver, mut requests) = in_turn(&[TAKEN.to_owned()]).await;
    let clock = FakeClock::default();
    let basic = with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap();
    let report = attempt(&basic, &clock).await;
    assert_eq!((report.outcome, report.status), (Outcome::Success, Some(204)), "{}", report.detail);
    let request = asked.recv().await.unwrap();
    assert_eq!(request.line, "POST /hook HTTP/1.1");
    assert_eq!(request.header("content-type"), ["application/x-www-form-urlencoded"]);
    // base64 of `hook%20ward:a%20secret%3A%20with%2Bsigns`.
    assert_eq!(request.header("authorization"), ["Basic aG9vayUyMHdhcmQ6YSUyMHNlY3JldCUzQSUyMHdpdGglMkJzaWducw=="]);
    assert_eq!(request.body, b"grant_type=client_credentials");
    assert_eq!(sent(&mut requests), ["Bearer t-1"]);

    let body = OAuth2Spec {
        auth: OAuth2ClientAuth::Body,
        scopes: vec!["hooks:write".to_owned(), "b".to_owned()],
        audience: Some("https://api.test/".to_owned()),
        ..client(&tokens.url())
    };
    assert_eq!(attempt(&with_token(&receiver.url(), &body, AMPLE).unwrap(), &clock).await.outcome, Outcome::Success);
    let request = asked.recv().await.unwrap();
    assert!(request.header("authorization").is_empty());
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        "grant_type=client_credentials&scope=hooks%3Awrite%20b&audience=https%3A%2F%2Fapi.test%2F\
         &client_id=hook%20ward&client_secret=a%20secret%3A%20with%2Bsigns"
    );
}

#[tokio::test]
async fn a_token_is_used_until_shortly_before_it_ends() {
    for (expires_in, seconds) in [("3600", 3570), ("\"3600\"", 3570), ("40", 20), ("null", 270), ("999999999", 86_370)]
    {
        let (tokens, _asked) = in_turn(&[given("t-1", expires_in), given("t-2", "60")]).await;
        let (receiver, mut requests) = in_turn(&[TAKEN.to_owned()]).await;
        let clock = FakeClock::default();
        let destination = with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap();
        attempt(&destination, &clock).await;
        clock.advance(Duration::from_secs(seconds) - Duration::from_millis(1));
        attempt(&destination, &clock).await;
        clock.advance(Duration::from_millis(1));
        attempt(&destination, &clock).await;
        assert_eq!(sent(&mut requests), ["Bearer t-1", "Bearer t-1", "Bearer t-2"], "{expires_in}");
    }
    let (tokens, mut asked) = in_turn(&[given("t", "0")]).await;
    let (receiver, _requests) = in_turn(&[TAKEN.to_owned()]).await;
    let destination = with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap();
    for _ in 0..2 {
        assert_eq!(attempt(&destination, &FakeClock::default()).await.outcome, Outcome::Success);
    }
    assert!(asked.try_recv().is_ok() && asked.try_recv().is_ok(), "one that ends at once is used once");
}

#[tokio::test]
async fn attempts_at_once_ask_once() {
    let (tokens, mut asked) = in_turn(&[given("t", "60")]).await;
    let (receiver, mut requests) = in_turn(&[TAKEN.to_owned()]).await;
    let destination = Arc::new(with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap());
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let destination = Arc::clone(&destination);
        attempts.spawn(async move { attempt(&destination, &FakeClock::default()).await.outcome });
    }
    assert_eq!(attempts.join_all().await, [Outcome::Success; 8]);
    assert_eq!(sent(&mut requests), ["Bearer t"; 8]);
    assert!(asked.try_recv().is_ok() && asked.try_recv().is_err());

    let (tokens, mut asked) = in_turn(&[answer("500 Oops", "")]).await;
    let destination = Arc::new(with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap());
    let (first, second) = (FakeClock::default(), FakeClock::default());
    let (first, second) = tokio::join!(attempt(&destination, &first), attempt(&destination, &second));
    assert_eq!((first.outcome, &second), (Outcome::Unusable, &first), "whoever waited takes what came of it");
    assert!(asked.try_recv().is_ok() && asked.try_recv().is_err());
    assert_eq!(attempt(&destination, &FakeClock::default()).await.outcome, Outcome::Unusable);
    assert!(asked.try_recv().is_ok(), "the next attempt asks again");
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_at_once_and_once() {
    let (tokens, mut asked) = in_turn(&[given("t-1", "600"), given("t-2", "600"), given("t-3", "600")]).await;
    let answers = [TAKEN, UNAUTHORIZED, TAKEN, UNAUTHORIZED].map(str::to_owned);
    let (receiver, mut requests) = in_turn(&answers).await;
    let (destination, clock) =
        (with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap(), FakeClock::default());
    for expected in [Some(204), Some(204)] {
        assert_eq!(attempt(&destination, &clock).await.status, expected);
    }
    assert_eq!(sent(&mut requests), ["Bearer t-1", "Bearer t-1", "Bearer t-2"]);
    let report = attempt(&destination, &clock).await;
    assert_eq!((report.outcome, report.status), (Outcome::Status, Some(401)));
    assert_eq!(sent(&mut requests), ["Bearer t-2", "Bearer t-3"], "not again and again");
    assert_eq!(std::iter::from_fn(|| asked.try_recv().ok()).count(), 3);

    let (tokens, _asked) = in_turn(&[given("t-1", "600"), answer("400 Bad", "{}")]).await;
    let (receiver, _requests) = in_turn(&[UNAUTHORIZED.to_owned()]).await;
    let destination = with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap();
    let report = attempt(&destination, &clock).await;
    assert_eq!((report.outcome, report.status), (Outcome::Status, Some(401)), "the receiver's word is the better one");
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_reason_is_told() {
    let (receiver, mut requests) = in_turn(&[TAKEN.to_owned()]).await;
    let long = format!(r#"{{"access_token":"{}"}}"#, "t".repeat(ANSWER_MAX));
    let cases = [
        (
            answer("401 No", r#"{"error":"invalid_client","error_description":"SECRET"}"#),
            "answered 401 (invalid_client)",
        ),
        (answer("400 Bad", r#"{"error":"no code <b>SECRET</b>"}"#), "answered 400 (…)"),
        (answer("410 Gone", ""), "answered 410"),
        (answer("302 Found\r\nlocation: http://127.0.0.1/", ""), "answered 302"),
        (answer("200 OK", "<html>SECRET"), "is not what RFC 6749 says"),
        (answer("200 OK", r#"{"access_token":""}"#), "cannot stand in a header"),
        (answer("200 OK", r#"{"access_token":"a b"}"#), "cannot stand in a header"),
        (answer("200 OK", r#"{"access_token":"SECRET","token_type":"mac"}"#), "of type `mac`"),
        (answer("200 OK", &long), "longer than 65536 bytes"),
    ];
    for (answer, reason) in cases {
        let (tokens, _asked) = in_turn(&[answer]).await;
        let destination = with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap();
        let report = attempt(&destination, &FakeClock::default()).await;
        assert!(matches!(report.outcome, Outcome::Unusable | Outcome::Broken), "{report:?}");
        assert_eq!((report.status, report.excerpt.len()), (None, 0), "it is not the receiver's answer");
        assert!(report.detail.starts_with("no access token: ") && report.detail.contains(reason), "{}", report.detail);
        assert!(!report.detail.contains("SECRET"), "{}", report.detail);
    }
    let (tokens, _asked) = in_turn(&[answer("429 Slow\r\nretry-after: 7", "")]).await;
    let destination = with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap();
    let report = attempt(&destination, &FakeClock::default()).await;
    assert_eq!(report.retry_after, Some(Duration::from_secs(7)));
    assert!(sent(&mut requests).is_empty());
}

#[tokio::test]
async fn the_way_to_the_token_endpoint_is_guarded_and_bounded() {
    let (receiver, mut requests) = in_turn(&[TAKEN.to_owned()]).await;
    let silent = Server::start(|stream, _| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    });
    let silent = silent.await;
    let destination = with_token(&receiver.url(), &client(&silent.url()), BRIEF).unwrap();
    assert_eq!(attempt(&destination, &FakeClock::default()).await.outcome, Outcome::Timeout);
    let closed = with_token(&receiver.url(), &client("http://127.0.0.1:9/"), AMPLE).unwrap();
    assert_eq!(attempt(&closed, &FakeClock::default()).await.outcome, Outcome::Connect);
    let named = with_token(&receiver.url(), &client("https://nobody.test/"), AMPLE).unwrap();
    assert_eq!(attempt(&named, &FakeClock::default()).await.outcome, Outcome::Dns);
    assert!(sent(&mut requests).is_empty());

    let problem = |url: &str| with_token(&receiver.url(), &client(url), AMPLE).unwrap_err().to_string();
    assert!(problem("http://169.254.169.254/").starts_with("oauth2: url: "), "{}", problem("http://169.254.169.254/"));
    assert!(problem("http://user@x.test/").contains("no user name"));
    let public = hookward_engine::model::HttpSpec { allow_addresses: vec![], ..spec("https://x.test/") };
    let secret = Arc::new(Secret::new(SECRET).unwrap());
    let inner = destination_of(&public);
    let plain = client("http://tokens.test/");
    let result =
        OAuth2Destination::new(inner, AMPLE, (&public, &plain), secret, &EgressPolicy::default(), Told::new(&[]));
    assert!(matches!(result, Err(InvalidDestination::OAuth2(problem)) if problem.contains("goes over `https://`")));
}

fn destination_of(spec: &hookward_engine::model::HttpSpec) -> hookward_engine::destination::http::HttpDestination {
    destination(spec, AMPLE).unwrap()
}

#[tokio::test]
async fn a_token_is_in_nothing_that_is_printed() {
    let (tokens, _asked) = in_turn(&[given("canary-token", "600")]).await;
    let (receiver, _requests) = in_turn(&[TAKEN.to_owned()]).await;
    let destination = with_token(&receiver.url(), &client(&tokens.url()), AMPLE).unwrap();
    let told = attempt(&destination, &FakeClock::default()).await;
    let printed = format!("{destination:?} {told:?}");
    assert!(!printed.contains("canary-token") && !printed.contains(SECRET), "{printed}");
}
