//! The layer and the extractor, as an axum service is answered and as its sender hears it.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode};
use axum::routing::{MethodRouter, any, post};
use hookward::axum::{DEFAULT_LIMIT, Proven, Raw, Signed, SignedLayer, Text};
use hookward::{Draft, ReplayGuard, Secret, UnixTime, Verifier};
use tower_service::Service;

const NOW_S: i64 = 1_700_000_000;

fn svix() -> Verifier {
    Verifier::new("svix", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap()
}

fn layer(verifier: Verifier) -> SignedLayer {
    SignedLayer::new(verifier).clock(|| UnixTime::from_secs(NOW_S))
}

fn signed(verifier: &Verifier, id: &str, body: &[u8]) -> Request<Body> {
    let draft = Draft { id, event_type: "", method: "POST", url: "https://example.com/hook", body };
    let signed = verifier.sign(&draft, UnixTime::from_secs(NOW_S)).unwrap();
    let mut request = Request::post("/hook");
    for (name, value) in &signed.headers {
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_vec())).unwrap()
}

fn app(route: MethodRouter, layer: SignedLayer) -> Router {
    Router::new().route("/hook", route.layer(layer))
}

async fn ask(app: &Router, request: Request<Body>) -> (StatusCode, String) {
    let (head, body) = call(app, request).await.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (head.status, String::from_utf8(body.to_vec()).unwrap())
}

async fn call(app: &Router, request: Request<Body>) -> Response<Body> {
    app.clone().call(request).await.unwrap()
}

#[tokio::test]
async fn a_handler_gets_what_was_proven_as_bytes_as_text_and_as_json() {
    #[derive(serde::Deserialize)]
    struct Event {
        n: u32,
    }
    let body = br#"{"n": 5}"#;
    let raw =
        post(async |Signed { payload: Raw(bytes), proof }: Signed<Raw>| format!("{} {:?}", bytes.len(), proof.id()));
    let text = post(async |text: Signed<Text>| text.payload.0);
    let json = post(async |event: Signed<Event>| (event.n + 1).to_string());
    for (route, said) in [(raw, "8 Some(\"msg_1\")"), (text, "{\"n\": 5}"), (json, "6")] {
        let answer = ask(&app(route, layer(svix())), signed(&svix(), "msg_1", body)).await;
        assert_eq!(answer, (StatusCode::OK, said.to_owned()));
    }
}

#[tokio::test]
async fn proven_bytes_that_are_something_else_are_422_and_nothing_proven_is_500() {
    let number = || post(async |_: Signed<u32>| ());
    let answer = ask(&app(number(), layer(svix())), signed(&svix(), "a", b"not a number")).await;
    assert_eq!(answer.0, StatusCode::UNPROCESSABLE_ENTITY);
    let text = post(async |_: Signed<Text>| ());
    assert_eq!(ask(&app(text, layer(svix())), signed(&svix(), "a", b"\xff")).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let bare = Router::new().route("/hook", number());
    assert_eq!(ask(&bare, signed(&svix(), "a", b"5")).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn every_refusal_is_the_same_to_the_sender_and_told_to_the_operator() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let layer = layer(svix()).on_refusal(move |refusal, headers| {
        tell.lock().unwrap().push((refusal.id(), headers.contains_key("svix-id")));
    });
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let app = app(post(async move || count.fetch_add(1, Ordering::Relaxed).to_string()), layer);

    let mut altered = signed(&svix(), "a", b"{}");
    *altered.body_mut() = Body::from("{ }");
    let mut old = signed(&svix(), "a", b"{}");
    old.headers_mut().insert("svix-timestamp", "1".parse().unwrap());
    let bare = Request::post("/hook").body(Body::empty()).unwrap();
    for request in [altered, old, bare] {
        assert_eq!(ask(&app, request).await, (StatusCode::UNAUTHORIZED, "not authentic\n".to_owned()));
    }
    let expected = [("signature-mismatch", true), ("signature-mismatch", true), ("signature-missing", false)];
    assert_eq!(*told.lock().unwrap(), expected);
    assert_eq!(reached.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_body_may_be_as_long_as_the_limit_announced_or_not() {
    let app_with = |layer: SignedLayer| app(post(async |raw: Signed<Raw>| raw.0.len().to_string()), layer);
    let small = app_with(layer(svix()).limit(10));
    assert_eq!(ask(&small, signed(&svix(), "a", b"0123456789")).await.1, "10");
    assert_eq!(ask(&small, signed(&svix(), "a", b"0123456789a")).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let mut announced = signed(&svix(), "a", b"0123456789");
    announced.headers_mut().insert("content-length", "10".parse().unwrap());
    assert_eq!(ask(&small, announced).await.1, "10");
    let mut announced = signed(&svix(), "a", b"");
    announced.headers_mut().insert("content-length", "11".parse().unwrap());
    assert_eq!(ask(&small, announced).await.0, StatusCode::PAYLOAD_TOO_LARGE);

    let usual = app_with(layer(svix()));
    assert_eq!(ask(&usual, signed(&svix(), "a", &vec![b'x'; DEFAULT_LIMIT])).await.0, StatusCode::OK);
    assert_eq!(
        ask(&usual, signed(&svix(), "a", &vec![b'x'; DEFAULT_LIMIT + 1])).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn what_was_taken_is_not_taken_again_and_what_failed_is() {
    let (reached, fail) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
    let (count, failing) = (Arc::clone(&reached), Arc::clone(&fail));
    let handler = async move || {
        count.fetch_add(1, Ordering::Relaxed);
        if failing.swap(0, Ordering::Relaxed) == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::NO_CONTENT }
    };
    let guard = || ReplayGuard::new(10, Duration::from_secs(60));
    let app_of = |layer| app(post(handler.clone()), layer);
    let app = app_of(layer(svix()).guard(guard()));
    let answers = async |app: &Router, id| ask(app, signed(&svix(), id, b"{}")).await.0;
    assert_eq!(answers(&app, "a").await, StatusCode::BAD_GATEWAY);
    assert_eq!(answers(&app, "a").await, StatusCode::NO_CONTENT);
    assert_eq!(answers(&app, "a").await, StatusCode::OK);
    assert_eq!(answers(&app, "b").await, StatusCode::NO_CONTENT);
    assert_eq!(reached.load(Ordering::Relaxed), 3);

    let said = app_of(layer(svix()).guard(guard()).duplicates(StatusCode::ACCEPTED));
    assert_eq!(answers(&said, "a").await, StatusCode::NO_CONTENT);
    assert_eq!(answers(&said, "a").await, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn the_same_request_twice_at_once_is_worked_on_once() {
    let (open, gate) = tokio::sync::oneshot::channel::<()>();
    let gate = Arc::new(Mutex::new(Some(gate)));
    let handler = async move || {
        let gate = gate.lock().unwrap().take();
        if let Some(gate) = gate {
            drop(gate.await);
        }
    };
    let app = app(post(handler), layer(svix()).guard(ReplayGuard::new(10, Duration::from_secs(60))));
    let mut service = app.clone();
    let first = tokio::spawn(service.call(signed(&svix(), "a", b"{}")));
    // The runtime has one thread: once this task is on again, the other waits at its gate.
    tokio::task::yield_now().await;
    let second = call(&app, signed(&svix(), "a", b"{}")).await;
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(second.headers()["retry-after"], "1");
    open.send(()).unwrap();
    assert_eq!(first.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(ask(&app, signed(&svix(), "a", b"{}")).await.0, StatusCode::OK);
}

/// What changes the body between layer and handler changes nothing that the handler reads.
#[tokio::test]
async fn the_payload_is_read_from_the_bytes_that_were_proven() {
    let meddle = axum::middleware::map_request(async |mut request: Request<Body>| {
        *request.body_mut() = Body::from("{\"n\": 666}");
        request
    });
    let route = post(async |text: Signed<Text>| text.payload.0).layer(meddle);
    let answer = ask(&app(route, layer(svix())), signed(&svix(), "a", b"{\"n\": 1}")).await;
    assert_eq!(answer.1, "{\"n\": 1}");
}

#[tokio::test]
async fn other_handlers_find_the_body_and_the_proof_too() {
    let handler = async |request: Request<Body>| {
        let proven = request.extensions().get::<Proven>().unwrap().clone();
        let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body, proven.body());
        proven.proof().scheme().to_owned()
    };
    assert_eq!(ask(&app(post(handler), layer(svix())), signed(&svix(), "a", b"{}")).await.1, "svix");
}

#[tokio::test]
async fn handshakes_are_answered_before_and_after_the_proof() {
    let meta = Verifier::new("meta", ["secret"]).unwrap();
    let app = app(any(async || "handler"), layer(meta).handshake_token(Secret::new("agreed").unwrap()));
    let get = |token: &str| {
        let url = format!("/hook?hub.mode=subscribe&hub.verify_token={token}&hub.challenge=1158201444");
        Request::get(url).body(Body::empty()).unwrap()
    };
    let answer = call(&app, get("agreed")).await;
    assert_eq!(
        (answer.headers()["content-type"].as_bytes(), answer.headers()["x-content-type-options"].as_bytes()),
        (&b"text/plain"[..], &b"nosniff"[..])
    );
    assert_eq!(ask(&app, get("agreed")).await, (StatusCode::OK, "1158201444".to_owned()));
    assert_eq!(ask(&app, get("guessed")).await.0, StatusCode::UNAUTHORIZED);

    let slack = Verifier::new("slack", ["secret"]).unwrap();
    let app = Router::new().route("/hook", post(async || "handler").layer(layer(slack.clone())));
    let asks = br#"{"type":"url_verification","challenge":"abc"}"#;
    assert_eq!(ask(&app, signed(&slack, "", asks)).await.1, "abc");
    assert_eq!(ask(&app, signed(&slack, "", br#"{"type":"event_callback"}"#)).await.1, "handler");
}

/// Whoever comes first would choose the secret, and nothing keeps it.
#[tokio::test]
async fn a_secret_that_comes_by_handshake_is_refused() {
    let asana = Verifier::new("asana", ["secret"]).unwrap();
    let app = app(post(async || "handler"), layer(asana));
    let request = Request::post("/hook").header("X-Hook-Secret", "chosen").body(Body::empty()).unwrap();
    assert_eq!(ask(&app, request).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_clock_that_is_handed_in_is_asked_each_time() {
    let time = Arc::new(AtomicI64::new(NOW_S));
    let clock = Arc::clone(&time);
    let layer = SignedLayer::new(svix()).clock(move || UnixTime::from_secs(clock.load(Ordering::Relaxed)));
    let app = app(post(async || ()), layer);
    assert_eq!(ask(&app, signed(&svix(), "a", b"{}")).await.0, StatusCode::OK);
    time.store(NOW_S + 301, Ordering::Relaxed);
    assert_eq!(ask(&app, signed(&svix(), "a", b"{}")).await.0, StatusCode::UNAUTHORIZED);
}
