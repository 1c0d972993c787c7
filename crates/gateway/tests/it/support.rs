//! A gateway to test, and a client that sends any bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;

use hookward::{Draft, Secret, UnixTime};
use hookward_engine::store::sqlite::OpenError;
use hookward_gateway::config::{Config, Database};
use hookward_gateway::{Running, StartError, start};
use serde_json::Value;
use systems::database;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The API key of every gateway here.
pub(crate) const KEY: &str = "test-key";

/// The secret of the source `github`.
pub(crate) const GITHUB_SECRET: &str = "It's a Secret to Everybody";

/// A source that proves itself, one that does not, and a destination that takes nothing now.
pub(crate) const SOURCES: &str = r#"
[[source]]
name = "github"
scheme = "github"
secret = "env:GITHUB_SECRET"

[[source]]
name = "open"
unsigned = true
methods = ["*"]

[[source]]
name = "unset"
scheme = "github"
"#;

/// A gateway in a directory that goes with it.
pub(crate) struct Gateway {
    pub(crate) running: Running,
    pub(crate) directory: TempDir,
}

impl Gateway {
    /// Starts one with this configuration.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config).await
    }

    /// Starts one on the data in `directory`.
    pub(crate) async fn start_in(directory: TempDir, config: &str) -> Self {
        // A program that another test starts at this moment shares our files, and so the lock, until it has become itself.
        for _ in 0..10_000 {
            match start(settle(config, directory.path())).await {
                Err(StartError::Store(OpenError::InUse { .. })) => tokio::task::yield_now().await,
                running => return Self { running: running.unwrap(), directory },
            }
        }
        panic!("the data directory stays in use");
    }

    /// Starts another on the data that this one leaves.
    pub(crate) async fn restart(self, config: &str) -> Self {
        assert!(self.running.stop().await, "everything ends in time");
        Self::start_in(self.directory, config).await
    }

    /// Why another one does not start on the data that this one leaves.
    pub(crate) async fn refused_restart(self, config: &str) -> String {
        assert!(self.running.stop().await, "everything ends in time");
        for _ in 0..10_000 {
            match start(settle(config, self.directory.path())).await {
                Err(StartError::Store(OpenError::InUse { .. })) => tokio::task::yield_now().await,
                outcome => return outcome.expect_err("it starts").to_string(),
            }
        }
        panic!("the data directory stays in use");
    }

    /// A request to the public listener.
    pub(crate) async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        send(self.running.public(), method, target, headers, body).await
    }

    /// Bytes to the public listener, and everything that comes back until it closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        raw(self.running.public(), bytes).await
    }

    /// A push as GitHub signs it.
    pub(crate) async fn push(&self, delivery_id: &str, body: &[u8]) -> Answer {
        let signature = sign(body);
        let headers = [
            ("x-github-event", "push"),
            ("x-github-delivery", delivery_id),
            ("x-hub-signature-256", signature.as_str()),
        ];
        self.send("POST", "/in/github", &headers, body).await
    }

    /// An API request with the key.
    pub(crate) async fn api(&self, method: &str, path: &str, body: &str) -> Answer {
        let key = format!("Bearer {KEY}");
        let target = format!("/api/v1{path}");
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        let headers = if body.is_empty() { &headers[..1] } else { &headers[..] };
        let answer = send(self.running.admin(), method, &target, headers, body.as_bytes()).await;
        assert_documented(method, &target, answer.status);
        answer
    }

    /// What an API request that works is answered.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.api("GET", path, "").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }
}

/// Whatever a test is answered, the API's document says that it may be.
fn assert_documented(method: &str, target: &str, status: u16) {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    });
    let path: Vec<&str> = target.split('?').next().unwrap().split('/').collect();
    let is_meant = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == path.len() && template.iter().zip(&path).all(|(part, is)| part.starts_with('{') || part == is)
    };
    let mut meant = DOCUMENT["paths"].as_object().unwrap().iter().filter(|(template, _)| is_meant(template)).peekable();
    // Where nothing is described there is nothing.
    if meant.peek().is_none() {
        assert_eq!(status, 404, "{target} is not in the API's document");
    }
    let operations: Vec<&Value> = meant.filter_map(|(_, path)| path.get(method.to_lowercase())).collect();
    let says = |operation: &&Value| operation["responses"].get(status.to_string()).is_some();
    let is_known = if operations.is_empty() { matches!(status, 404 | 405) } else { operations.iter().any(says) };
    assert!(is_known, "{method} {target}: {status} is not among the answers in docs/openapi.json");
}

fn settle(config: &str, directory: &Path) -> Config {
    let variables = |name: &str| match name {
        "GITHUB_SECRET" => Some(GITHUB_SECRET.to_owned()),
        _ => name.strip_suffix("_SECRET").map(|owner| format!("the secret of {owner}")),
    };
    let mut config = Config::parse(config, "hookward.toml", &variables).unwrap();
    keep_in(&mut config, &directory.join("data"));
    config.settings.public = SocketAddr::from(([127, 0, 0, 1], 0));
    config.settings.admin = SocketAddr::from(([127, 0, 0, 1], 0));
    config.api_key = Some(Secret::new(KEY).unwrap());
    config.supervisor.program = env!("CARGO_BIN_EXE_hookward").into();
    config
}

/// Its data is in this directory, or in the database that stands for it; or in the one that it names.
pub(crate) fn keep_in(config: &mut Config, data: &Path) {
    data.clone_into(&mut config.settings.data);
    if config.settings.database.is_some() {
        return;
    }
    if let Some(address) = database::address(data).unwrap() {
        config.settings.database = Some(Database {
            access: hookward_engine::store::postgres::Access::to(address),
            waking: hookward_engine::Waking::default(),
        });
    }
}

/// GitHub's signature of `body`.
pub(crate) fn sign(body: &[u8]) -> String {
    sign_with(GITHUB_SECRET, body)
}

/// GitHub's signature of `body` under a secret; `env:WEB_SECRET` is `the secret of WEB`.
pub(crate) fn sign_with(secret: &str, body: &[u8]) -> String {
    let scheme = hookward::catalog::find("github").unwrap();
    let key = scheme.key(1, &Secret::new(secret).unwrap()).unwrap();
    let draft = Draft { id: "d", event_type: "push", method: "POST", url: "/", body };
    let signed = scheme.sign(&draft, &[key], UnixTime::from_secs(0)).unwrap();
    let header = signed.headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("x-hub-signature-256"));
    header.unwrap().1
}

/// What came back.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The first answer in `text`.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let end = text.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = std::str::from_utf8(&text[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut headers: BTreeMap<_, _> = lines.filter_map(pair).collect();
        headers.remove("date");
        Self { status, headers, body: text[end + 4..].to_vec() }
    }
}

/// One request on a connection of its own.
pub(crate) async fn send(to: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: hookward.test\r\nconnection: close\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += &format!("content-length: {}\r\n\r\n", body.len());
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    let mut answer = Answer::parse(raw(to, &bytes).await.as_bytes());
    answer.headers.remove("connection");
    answer
}

/// Everything that an API request is answered, byte for byte.
pub(crate) async fn send_bytes(gateway: &Gateway, target: &str) -> Vec<u8> {
    let head = format!("GET {target} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\nconnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(gateway.running.admin()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}

/// Sends bytes and reads until the other side closes.
pub(crate) async fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // An answer that comes before all is read may close the connection under us: what counts is the answer.
    let _ = stream.write_all(bytes).await;
    read_all(&mut stream).await
}

/// Everything until the other side closes.
pub(crate) async fn read_all(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads until `end` has come.
pub(crate) async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    while !answer.contains(end) {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert_ne!(read, 0, "closed after {answer:?}");
        answer += &String::from_utf8_lossy(&part[..read]);
    }
    answer
}

/// Every byte of every file below `directory`, and of the database that stands for it.
pub(crate) fn everything_in(directory: &Path) -> Vec<u8> {
    let mut bytes: Vec<u8> = database::rows(directory).unwrap().into_iter().flat_map(|(_, rows)| rows).collect();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        bytes.extend(if path.is_dir() { everything_in(&path) } else { std::fs::read(&path).unwrap() });
    }
    bytes
}
