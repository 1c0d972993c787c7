//! What goes over the wire as operators see it: what is kept of each attempt, which deadline ended it, and that no event goes
//! round for ever.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use systems::{Hookward, Receiver, Reply, Request, Setup, world};

const PATIENCE: Duration = Duration::from_secs(30);

fn server(directory: &Path, config: &str) -> Hookward {
    Setup::new(directory, config).unwrap().start().unwrap()
}

fn publish(server: &Hookward) -> String {
    let body = json!({ "type": "t", "payload": { "n": 1 } }).to_string();
    let request = Request::post("/api/v1/events").header("Content-Type", "application/json").body(body.as_bytes());
    let answer = server.admin(request).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["eventId"].as_str().unwrap().to_owned()
}

/// The event's only delivery, once it has this many attempts.
fn delivery(server: &Hookward, event: &str, attempts: usize) -> Value {
    let mut shown = Value::Null;
    let tried = || {
        let list = server.list(&format!("/api/v1/deliveries?event={event}")).unwrap();
        let Some(id) = list.first().and_then(|one| one["id"].as_str()) else { return false };
        shown = server.get(&format!("/api/v1/deliveries/{id}")).unwrap();
        shown["attempts"].as_array().is_some_and(|tried| tried.len() >= attempts)
    };
    assert!(world::until(PATIENCE, tried), "not enough attempts: {shown:#}");
    shown
}

fn header<'v>(headers: &'v Value, name: &str) -> Option<&'v str> {
    headers.as_array()?.iter().find(|pair| pair[0] == name)?[1].as_str()
}

#[test]
fn an_attempt_shows_what_was_exchanged_and_no_credential() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start_with(|_| Reply {
        headers: vec![("X-Note".to_owned(), "<b>\u{9b}2J</b>".to_owned())],
        ..Reply::from(500)
    });
    let receiver = receiver.unwrap();
    let config = format!(
        "[[destination]]\nname = \"out\"\ntype = \"http\"\nurl = \"{}\"\nallow_addresses = [\"127.0.0.0/8\"]\n\
         set_headers = {{ \"X-Api-Key\" = \"canary-in-a-header\" }}\nretry = {{ waits = [] }}\n\
         sign = {{ scheme = \"bearer\", secret = \"env:TOKEN\" }}\n",
        receiver.url("/hook?key=canary-in-a-query")
    );
    let setup = Setup::new(directory.path(), &config).unwrap().env("TOKEN", "canary-as-a-token");
    let server = setup.start().unwrap();
    let shown = delivery(&server, &publish(&server), 1);
    let attempt = &shown["attempts"][0];
    let exchange = &attempt["exchange"];
    assert_eq!((&exchange["method"], &exchange["target"]), (&json!("POST"), &json!(receiver.url("/hook"))));
    let sent = &exchange["request_headers"];
    for name in ["authorization", "x-api-key"] {
        assert_eq!(header(sent, name), Some("[redacted]"), "{exchange:#}");
    }
    assert_eq!(header(sent, "hookward-delivery-id"), shown["id"].as_str());
    assert_eq!(header(sent, "host"), Some(receiver.address().to_string().as_str()));
    assert!(header(&exchange["response_headers"], "x-note").unwrap().starts_with("<b>"));
    for stage in ["connect_us", "first_byte_us"] {
        assert!(exchange["timings"][stage].is_u64(), "{exchange:#}");
    }
    assert!(exchange["timings"]["resolve_us"].is_null() && exchange["timings"]["tls_us"].is_null());
    assert!(attempt["node"].as_str().unwrap().starts_with("nod_"));

    let id = shown["id"].as_str().unwrap();
    let printed = server.cli_ok(&["delivery", "show", id], b"").unwrap();
    assert!(printed.contains("exchange.target") && printed.contains("x-note: <b>"), "{printed}");
    assert!(printed.chars().all(|c| c == '\n' || !c.is_control()), "{printed:?}");
    let everything = format!("{shown}{printed}{}", std::fs::read_to_string(setup.log()).unwrap());
    assert!(!everything.contains("canary-"), "{everything}");
}

#[test]
fn each_timeout_has_its_own_sentence() {
    let directory = tempfile::tempdir().unwrap();
    // The kernel makes connections here, and nobody takes them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let destination = |name: &str, scheme: &str, more: &str| {
        format!(
            "[[destination]]\nname = \"{name}\"\ntype = \"http\"\nurl = \"{scheme}://127.0.0.1:{port}/\"\nretry = {{ waits = [] }}\n\
             allow_addresses = [\"127.0.0.0/8\"]\n{more}\n"
        )
    };
    let config = [
        destination("total", "http", "timeout = \"300ms\""),
        destination("first-byte", "http", "first_byte_timeout = \"300ms\""),
        destination("connect", "https", "connect_timeout = \"300ms\""),
    ];
    let server = server(directory.path(), &config.concat());
    let event = publish(&server);
    let mut ended = Vec::new();
    let all = || {
        ended = server.list(&format!("/api/v1/deliveries?event={event}&state=exhausted")).unwrap();
        ended.len() == 3
    };
    assert!(world::until(PATIENCE, all), "still under way: {ended:?}");
    for one in ended {
        let path = format!("/api/v1/deliveries/{}", one["id"].as_str().unwrap());
        let attempt = server.get(&path).unwrap()["attempts"][0].take();
        let sentence = match one["destination"].as_str().unwrap() {
            "total" => "no answer within 300ms",
            "first-byte" => "the answer did not begin within 300ms of the request",
            _ => "no connection to `127.0.0.1` within 300ms: the TLS handshake was still going on",
        };
        assert_eq!((&attempt["outcome"], &attempt["detail"]), (&json!("timeout"), &json!(sentence)));
    }
}

fn onward(to: SocketAddr) -> Value {
    json!({
        "name": "onward", "type": "http", "url": format!("http://{to}/in/round"), "sources": ["round"],
        "allow_addresses": ["127.0.0.0/8"], "retry": { "waits": [] },
    })
}

#[test]
fn two_gateways_that_point_at_each_other_stop_after_five_hops() {
    let config = "[[source]]\nname = \"round\"\nunsigned = true\ndedup = { body = false }\n";
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [one, other] = directories.each_ref().map(|directory| server(directory.path(), config));
    for (from, to) in [(&one, &other), (&other, &one)] {
        let request = Request::post("/api/v1/destinations").header("Content-Type", "application/json");
        let answer = from.admin(request.body(onward(to.public).to_string().as_bytes())).unwrap();
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    assert_eq!(one.public(&Request::post("/in/round").body(b"round")).unwrap().status, 202);
    let mut last = Vec::new();
    let stopped = || {
        last = [&one, &other]
            .iter()
            .flat_map(|server| server.list("/api/v1/deliveries?state=exhausted").unwrap())
            .collect();
        !last.is_empty()
    };
    assert!(world::until(PATIENCE, stopped), "it still goes round");
    // One, other, one, other, one: the sixth to take it has it from five gateways, and keeps it.
    let path = format!("/api/v1/deliveries/{}", last[0]["id"].as_str().unwrap());
    let attempt = other.get(&path).unwrap()["attempts"][0].take();
    assert_eq!((&attempt["outcome"], &attempt["exchange"]), (&json!("unusable"), &Value::Null));
    assert_eq!(attempt["detail"], "loop: the event has already passed 5 gateways");
    let events = [&one, &other].map(|server| server.list("/api/v1/events?source=round").unwrap().len());
    assert_eq!((last.len(), events), (1, [3, 3]));
}

#[test]
fn a_gateway_does_not_deliver_to_itself_unless_told() {
    let source = "[[source]]\nname = \"round\"\nunsigned = true\ndedup = { body = false }\n";
    for (own, outcome) in [("", 422), ("allow_own = true\n", 201)] {
        let directory = tempfile::tempdir().unwrap();
        let server = server(directory.path(), &format!("[egress]\nallow = [\"127.0.0.0/8\"]\n{own}\n{source}"));
        for address in [server.public, server.admin] {
            let mut table = onward(address);
            table["name"] = json!(format!("to-{}", address.port()));
            let request = Request::post("/api/v1/destinations").header("Content-Type", "application/json");
            let answer = server.admin(request.body(table.to_string().as_bytes())).unwrap();
            assert_eq!(answer.status, outcome, "{}", answer.text());
        }
    }
}
