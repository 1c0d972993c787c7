//! The developer's tools against the real binary: what `listen` brings to a laptop, what `tail` shows, how `echo` behaves.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use systems::github::signature;
use systems::{Hookward, Relay, Request, Running, Setup, http};

const PATIENCE: Duration = Duration::from_secs(30);

const GITHUB: &str = "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:GITHUB_SECRET\"\n";

fn setup(directory: &Path, config: &str) -> Setup {
    Setup::new(directory, config).unwrap().env("GITHUB_SECRET", "s3cret")
}

/// A receiver that tells each request as JSON, with its body.
struct Echo {
    running: Running,
    address: SocketAddr,
}

impl Echo {
    fn start(setup: &Setup, listen: &str, more: &[&str]) -> Self {
        let mut command = setup.command();
        command.args(["echo", "--json", "--headers", "--body", "--listen", listen]).args(more);
        let running = Running::start(command).unwrap();
        assert!(running.wait_until(PATIENCE, |printed, _| !printed.is_empty()), "{:?}", running.said());
        let first: Value = serde_json::from_str(&running.printed()[0]).unwrap();
        let address = first["listening"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Self { running, address }
    }

    fn requests(&self) -> Vec<Value> {
        self.running.printed()[1..].iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn bodies(&self) -> Vec<String> {
        self.requests().iter().map(|request| request["body"].as_str().unwrap().to_owned()).collect()
    }

    fn wait_for(&self, count: usize) -> bool {
        self.running.wait_until(PATIENCE, |printed, _| printed.len() > count)
    }
}

fn publish(server: &Hookward, numbers: std::ops::RangeInclusive<u32>) {
    for n in numbers {
        let request = Request::post("/api/v1/events").header("Content-Type", "application/json");
        let body = format!(r#"{{"type":"count","payload":{{ "n":{n} }}}}"#);
        assert_eq!(server.admin(request.body(body.as_bytes())).unwrap().status, 202);
    }
}

fn counted(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|n| format!(r#"{{ "n":{n} }}"#)).collect()
}

fn listen(setup: &Setup, url: &str, source: &str, to: SocketAddr, more: &[&str]) -> Running {
    let mut command = setup.command();
    let forward = format!("http://{to}/hooks");
    command.args(["listen", "--url", url, "--source", source, "--forward", &forward, "--output", "json"]).args(more);
    let running = Running::start(command).unwrap();
    let is_ready = |_: &[String], said: &[String]| said.iter().any(|line| line.contains("Ctrl-C ends"));
    assert!(running.wait_until(PATIENCE, is_ready), "{:?}", running.said());
    running
}

#[test]
fn listen_loses_nothing_while_the_gateway_or_the_program_is_away_and_keeps_the_order() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(directory.path(), "");
    let server = setup.start().unwrap();
    let relay = Relay::start().unwrap();
    relay.point_at(Some(server.admin));
    let state = directory.path().join("state.json").display().to_string();
    publish(&server, 1..=1);
    let app = Echo::start(&setup, "127.0.0.1:0", &[]);
    let listening = listen(&setup, &relay.url(), "publish", app.address, &["--state", &state]);
    publish(&server, 2..=5);
    assert!(app.wait_for(4), "{:?}", listening.said());
    // What was there before is not brought.
    assert_eq!(app.bodies(), counted(2..=5));
    let headers = app.requests()[0]["headers"].to_string();
    assert!(headers.contains("hookward-event-id") && headers.contains("application/json"), "{headers}");

    let address = app.address.to_string();
    let mut came = app.bodies();
    app.running.kill().unwrap();
    publish(&server, 6..=7);
    let is_down = |printed: &[String], _: &[String]| printed.iter().any(|line| line.contains("no answer"));
    assert!(listening.wait_until(PATIENCE, is_down), "{:?}", listening.printed());
    relay.point_at(None);
    server.kill().unwrap();
    let server = setup.start().unwrap();
    relay.point_at(Some(server.admin));
    publish(&server, 8..=9);
    let app = Echo::start(&setup, &address, &[]);
    assert!(app.wait_for(4), "{:?} {:?}", listening.printed(), listening.said());
    publish(&server, 10..=10);
    assert!(app.wait_for(5), "{:?} {:?}", listening.printed(), listening.said());

    // All of them are written down as done before it ends.
    assert!(
        listening.wait_until(PATIENCE, |printed, _| printed.iter().filter(|line| line.contains(":200")).count() == 9)
    );
    let said_before = fs::read_to_string(&state).unwrap();
    listening.kill().unwrap();
    publish(&server, 11..=12);
    let listening = listen(&setup, &relay.url(), "publish", app.address, &["--state", &state]);
    let is_whole = |printed: &[String], _: &[String]| printed.iter().any(|line| line.contains(r#"\"n\":12"#));
    let whole = app.running.wait_until(PATIENCE, is_whole);
    assert!(whole, "{said_before} {:?} {:?}", listening.printed(), listening.said());
    came.extend(app.bodies());
    // An event whose end was not written down yet may come again, and none may be missing or out of order.
    let mut once = came.clone();
    once.dedup();
    assert_eq!(once, counted(2..=12));
    assert!(came.len() <= once.len() + 1, "{came:?}");
}

#[test]
fn listen_proves_again_and_signs_anew() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(directory.path(), GITHUB);
    let server = setup.start().unwrap();
    let write = |name: &str, text: &str| {
        let path: PathBuf = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (right, wrong) = (write("right", "s3cret\n"), write("wrong", "another\n"));
    let own = write("own", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    let app = Echo::start(&setup, "127.0.0.1:0", &["--scheme", "standard-webhooks", "--secret-file", &own]);
    let url = format!("http://{}", server.admin);
    let signing = ["--sign-with", "standard-webhooks", "--sign-secret-file", &own];
    let state = |name: &str| directory.path().join(name).display().to_string();
    let with = |secret: &str, kept: &str| {
        let more = [&["--scheme", "github", "--secret-file", secret, "--state", kept][..], &signing].concat();
        listen(&setup, &url, "github", app.address, &more)
    };
    let good = with(&right, &state("a"));
    let bad = with(&wrong, &state("b"));
    let push = br#"{"ref":"refs/heads/main"}"#;
    let request = Request::post("/in/github").header("X-GitHub-Event", "push").header("X-GitHub-Delivery", "d-1");
    let request = request.header("X-Hub-Signature-256", &signature(b"s3cret", push)).body(push);
    assert_eq!(server.public(&request).unwrap().status, 202);
    assert!(app.wait_for(1), "{:?}", good.said());
    let is_told = |printed: &[String], _: &[String]| printed.iter().any(|line| line.contains("not proven here"));
    assert!(bad.wait_until(PATIENCE, is_told), "{:?}", bad.printed());
    let requests = app.requests();
    assert_eq!((requests.len(), &requests[0]["verified"], &requests[0]["status"]), (1, &json!(true), &json!(200)));
    assert_eq!(requests[0]["body"].as_str().unwrap().as_bytes(), push);
    assert!(requests[0]["headers"].to_string().contains("x-github-event"));
}

#[test]
fn tail_shows_events_and_attempts_as_they_happen() {
    let directory = tempfile::tempdir().unwrap();
    let config = "[[destination]]\nname = \"flaky\"\ntype = \"http\"\nurl = \"env:OUT\"\n\
                  retry = { waits = [\"1s\"], jitter_percent = 0 }\nallow_addresses = [\"127.0.0.0/8\"]\n";
    let plain = setup(directory.path(), "");
    let app = Echo::start(&plain, "127.0.0.1:0", &[]);
    let setup = setup(directory.path(), config).env("OUT", &format!("http://{}/status/503", app.address));
    let server = setup.start().unwrap();
    let tail = |more: &[&str]| {
        let mut command = setup.command();
        command.args(["tail", "--url", &format!("http://{}", server.admin)]).args(more);
        let running = Running::start(command).unwrap();
        assert!(running.wait_until(PATIENCE, |_, said| !said.is_empty()));
        running
    };
    let (all, json, none) =
        (tail(&[]), tail(&["--destination", "flaky", "--output", "json"]), tail(&["--type", "other"]));
    publish(&server, 1..=1);
    // Hookward tells of the delivery that is exhausted by an event of its own.
    let of_the_event = |printed: &[String]| -> Vec<String> {
        printed.iter().filter(|line| line.contains(" publish count ")).cloned().collect()
    };
    assert!(all.wait_until(PATIENCE, |printed, _| of_the_event(printed).len() == 3), "{:?}", all.printed());
    let printed = of_the_event(&all.printed());
    assert!(printed[0].contains(" event    publish count evt_"), "{printed:?}");
    assert!(printed[1].contains(" → flaky #1 503 in ") && printed[2].contains(" → flaky #2 503 in "), "{printed:?}");
    assert!(json.wait_until(PATIENCE, |printed, _| printed.len() == 2), "{:?}", json.printed());
    let attempt: Value = serde_json::from_str(&json.printed()[1]).unwrap();
    assert_eq!((&attempt["kind"], &attempt["number"], &attempt["status"]), (&json!("attempt"), &json!(2), &json!(503)));
    assert_eq!(none.kill().unwrap(), Vec::<String>::new());
}

fn answer(echo: &Echo, target: &str) -> std::io::Result<http::Response> {
    http::send(echo.address, &Request::get(target))
}

#[test]
fn echo_behaves_as_the_path_says() {
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(directory.path(), "");
    let echo = Echo::start(&setup, "127.0.0.1:0", &[]);
    let status = |target: &str| answer(&echo, target).unwrap().status;
    assert_eq!((status("/"), status("/status/503"), status("/any/status/204")), (200, 503, 204));
    let later = answer(&echo, "/status/429/retry-after/7").unwrap();
    assert_eq!((later.status, later.header("retry-after")), (429, Some("7")));
    assert_eq!(answer(&echo, "/redirect").unwrap().header("location"), Some("/"));
    let began = systems::world::instant();
    assert_eq!(status("/delay/300ms/status/500"), 500);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert!(answer(&echo, "/reset").is_err() && answer(&echo, "/close").is_err());
    let failed = (0..200).filter(|_| status("/?fail=0.5") == 503).count();
    assert!((50..150).contains(&failed), "{failed} of 200");
    assert_eq!((status("/status/500?fail=0"), status("/status/500?fail=1")), (200, 500));
    let told: Vec<String> = echo.requests().iter().filter_map(|one| one["did"].as_str().map(str::to_owned)).collect();
    assert!(told.contains(&"reset".to_owned()) && told.contains(&"closed".to_owned()), "{told:?}");
}

#[test]
fn echo_hangs_drips_and_never_ends_when_asked_to() {
    use std::io::{Read, Write};
    let directory = tempfile::tempdir().unwrap();
    let setup = setup(directory.path(), "");
    let echo = Echo::start(&setup, "127.0.0.1:0", &[]);
    let ask = |target: &str| {
        let mut stream = TcpStream::connect(echo.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).unwrap();
        stream
    };
    let mut buffer = [0; 64 << 10];
    assert!(ask("/hang").read(&mut buffer).is_err(), "it answered");
    assert!(echo.wait_for(1) && echo.requests()[0]["did"] == "hangs");
    let mut endless = ask("/endless");
    let mut read = 0;
    while read < 4 << 20 {
        read += endless.read(&mut buffer).unwrap();
    }
    let mut drips = ask("/drip/20ms");
    let mut text = String::new();
    while text.matches("\r\n.\r\n").count() < 5 {
        let read = drips.read(&mut buffer).unwrap();
        text += std::str::from_utf8(&buffer[..read]).unwrap();
    }
}
