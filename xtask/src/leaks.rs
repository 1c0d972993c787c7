//! `cargo xtask leaks`: drives every road that a secret travels, then looks for it in everything that was written:
//! database, write-ahead log, a copy taken while running, backups, exports, addresses, logs at their most talkative, what
//! was forwarded, what the API shows.

mod accounts;
mod credentials;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use systems::canary::Search;
use systems::github::push;
use systems::{Canary, Hookward, Receiver, Request, Setup, database};

const CONFIG: &str = r#"
[kms]
provider = "environment"
key = "env:LEAK_MASTER_KEY"

[[source]]
name = "github"
scheme = "github"
secret = "env:LEAK_GITHUB"

[[source]]
name = "bearer"
scheme = "bearer"
methods = ["*"]
secret = "env:LEAK_BEARER"

[[source]]
name = "gitlab"
scheme = "gitlab-token"
secret = "file:LEAK_GITLAB_FILE"

[[source]]
name = "basic"
scheme = "basic"
secret = "env:LEAK_BASIC"

[[source]]
name = "late"
scheme = "github"

[[destination]]
name = "receiver"
type = "http"
url = "env:LEAK_RECEIVER_URL"
forward_headers = ["*"]
set_headers = { "X-Receiver-Token" = "env:LEAK_HEADER" }
allow_addresses = ["127.0.0.0/8"]
sign = { scheme = "standard-webhooks", secret = "env:LEAK_SIGNING" }

[[destination]]
name = "program"
type = "command"
argv = ["true"]
environment = { PROGRAM_TOKEN = "env:LEAK_VARIABLE" }
"#;

const GITHUB: &str = "canary-github/8f1c+20d4";
const GITHUB_OLD: &str = "canary-rotated/41aa+bc03";
const BEARER: &str = "canary-bearer/77e0+91c5";
const GITLAB: &str = "canary-gitlab/3b6d+aa12";
const BASIC: &str = "canary-user:canary-basic/5d5d+1e88";
const LATE: &str = "canary-late/c0de+4f21";
const WRONG: &str = "canary-wrong/e5e5+0b0b";
/// A key of the Standard Webhooks form; the canary is its decoded bytes as well as its text.
const SIGNING: &str = "whsec_Y2FuYXJ5LXNpZ25pbmctMGYxZTJkM2M0YjVhNjk3OA==";
const SIGNING_KEY: &str = "canary-signing-0f1e2d3c4b5a6978";

/// What a destination is told by its settings: it has to receive these.
const QUERY: &str = "canary-query-1b2c-d4e6";
const HEADER: &str = "canary-header/c7c1+0e2f";
const VARIABLE: &str = "canary-variable/90aa+7b31";

/// The master key, 32 bytes, handed over in the environment.
const MASTER_KEY: &str = "canary-master-key/1f6b+c2d8e49a0";

/// Drives the traffic and searches.
pub(crate) fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    // Beside the searched directory, as an operator would keep it.
    let outside = tempfile::tempdir()?;
    let gitlab = outside.path().join("gitlab-token");
    fs::write(&gitlab, format!("{GITLAB}\n"))?;
    let receiver = Receiver::start(|_| 204)?;
    let config = CONFIG.replace("LEAK_GITLAB_FILE", &gitlab.display().to_string());
    let setup = Setup::new(directory.path(), &config)?
        .env("LEAK_GITHUB", GITHUB_OLD)
        .env("LEAK_BEARER", BEARER)
        .env("LEAK_BASIC", BASIC)
        .env("LEAK_SIGNING", SIGNING)
        .env("LEAK_RECEIVER_URL", &receiver.url(&format!("/hooks?key={QUERY}")))
        .env("LEAK_HEADER", HEADER)
        .env("LEAK_VARIABLE", VARIABLE)
        .env("LEAK_MASTER_KEY", &base64(MASTER_KEY))
        .env("HOOKWARD_LOG", "trace");
    let server = setup.start()?;
    let accepted = drive(&server)?;
    let mut canaries = canaries();
    canaries.extend(accounts::drive(&server)?);
    let told = credentials::drive(&server)?;
    told.ensure_each_was_told_its_own()?;
    canaries.extend(told.canaries.iter().cloned());
    ensure!(receiver.wait_for(accepted, Duration::from_secs(30)), "only {} deliveries came", receiver.count());
    ensure_no_core(&server)?;

    let mut search = Search::default();
    take_away(&server, directory.path())?;
    look_at_api(&server, &told.names, &mut search, &canaries)?;
    // Taken while the write-ahead log is full: what a careless backup would hold.
    search.look_through(directory.path(), &canaries)?;
    ensure!(server.terminate()?.success(), "the server did not end in order");
    for received in receiver.received() {
        let told = format!("{received:?}");
        ensure!([QUERY, HEADER].iter().all(|own| told.contains(own)), "the receiver was not told what it should be");
        search.look_at("a forwarded request", told.as_bytes(), &canaries[RECEIVERS_OWN..]);
    }
    search.look_through(directory.path(), &canaries)?;
    ensure_the_search_works(directory.path())?;
    for found in &search.found {
        println!("leaks: {found}");
    }
    if !search.found.is_empty() {
        bail!("{} places give a secret away", search.found.len());
    }
    println!(
        "leaks: {} secrets in every form in none of {} places ({} bytes)",
        canaries.len(),
        search.files,
        search.bytes
    );
    Ok(())
}

/// What an operator takes along: backups, the audit log.
fn take_away(server: &Hookward, directory: &Path) -> Result<()> {
    fs::write(directory.join("audit.ndjson"), server.cli_ok(&["audit", "export", "--all"], b"")?)?;
    // PostgreSQL's own tools make the others.
    if database::is_postgres() {
        return Ok(());
    }
    let backup = directory.join("backup").display().to_string();
    server.cli_ok(&["backup", &backup], b"")?;
    server.cli_ok(&["restore", &backup, "--data", &directory.join("restored").display().to_string()], b"")?;
    Ok(())
}

/// A core would hold what the search must not find.
fn ensure_no_core(server: &Hookward) -> Result<()> {
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid()))?;
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).context("no limit on cores")?;
    let zeros = core.split_whitespace().filter(|word| *word == "0").count();
    ensure!(zeros == 2, "the server may leave a core: {core}");
    Ok(())
}

/// How many of the canaries come first that the receiver is to be told.
const RECEIVERS_OWN: usize = 2;

fn canaries() -> Vec<Canary> {
    let named = [
        ("the query of a destination's url", QUERY),
        ("a header of a destination", HEADER),
        ("a variable of a program", VARIABLE),
        ("the GitHub secret", GITHUB),
        ("the rotated GitHub secret", GITHUB_OLD),
        ("the bearer token", BEARER),
        ("the GitLab token", GITLAB),
        ("the basic credentials", BASIC),
        ("the secret set later", LATE),
        ("a wrong credential", WRONG),
        ("the signing secret", SIGNING),
        ("the signing key", SIGNING_KEY),
        ("the API key", systems::server::API_KEY),
        ("the master key", MASTER_KEY),
        ("the master key as it was handed over", &base64(MASTER_KEY)),
    ];
    named.into_iter().map(|(name, secret)| Canary::new(name, secret)).collect()
}

/// Sends right and wrong credentials by every road. Gives how many requests were accepted.
fn drive(server: &Hookward) -> Result<usize> {
    server.cli_ok(&["secret", "set", "late"], LATE.as_bytes())?;
    server.cli_ok(&["secret", "set", "github"], GITHUB.as_bytes())?;
    server.cli_ok(&["secret", "reveal", "github"], b"")?;
    let escape = |secret: &str| secret.replace('/', "%2F").replace('+', "%2B");
    let basic = base64(BASIC);
    let accepted = [
        push("/in/github", GITHUB.as_bytes(), "d-1", b"{\"n\":1}"),
        push("/in/github", GITHUB_OLD.as_bytes(), "d-2", b"{\"n\":2}"),
        push("/in/late", LATE.as_bytes(), "d-3", b"{\"n\":3}"),
        Request::post("/in/bearer").header("Authorization", &format!("Bearer {BEARER}")).body(b"{}"),
        Request::post(&format!("/in/bearer?a=1&token={}", escape(BEARER))).body(b"{}"),
        Request::post("/in/gitlab").header("X-Gitlab-Token", GITLAB).header("X-Gitlab-Event", "Push Hook").body(b"{}"),
        Request::post("/in/basic").header("Authorization", &format!("Basic {basic}")).body(b"{}"),
    ];
    for request in &accepted {
        let response = server.public(request)?;
        ensure!(response.status == 202, "{}: {} {}", request.target, response.status, response.text());
    }
    let refused = [
        Request::post("/in/bearer").header("Authorization", &format!("Bearer {WRONG}")).body(b"{}"),
        Request::post(&format!("/in/bearer?token={}", escape(WRONG))).body(b"{}"),
        Request::post(&format!("/in/bearer?token={0}&token={0}", escape(BEARER))).body(b"{}"),
        Request::post("/in/gitlab").header("X-Gitlab-Token", WRONG).body(b"{}"),
        Request::post("/in/basic").header("Authorization", &format!("Basic {}", base64(WRONG))).body(b"{}"),
        Request::post("/in/github").header("Authorization", &format!("Bearer {GITHUB}")).body(b"{}"),
    ];
    for request in &refused {
        let response = server.public(request)?;
        ensure!(response.status == 401, "{}: {} {}", request.target, response.status, response.text());
    }
    let elsewhere = server.public(&Request::post(&format!("/nowhere?token={}", escape(WRONG))))?;
    ensure!(elsewhere.status == 404, "an unknown path was answered {}", elsewhere.status);
    Ok(accepted.len())
}

fn look_at_api(server: &Hookward, made: &[String], search: &mut Search, canaries: &[Canary]) -> Result<()> {
    let mut paths: Vec<String> = [
        "events",
        "deliveries",
        "audit",
        "audit/export?chain=all",
        "sources",
        "sources/github",
        "destinations",
        "destinations/receiver",
        "sources/github/secrets",
        "destinations/receiver/secrets",
        "refusals",
        "keys",
        "users",
        "organizations",
        "me",
        "redeliveries",
        "config/export",
    ]
    .map(|list| format!("/api/v1/{list}"))
    .into();
    for name in made {
        paths.extend([format!("/api/v1/destinations/{name}"), format!("/api/v1/destinations/{name}/secrets")]);
    }
    for kind in ["events", "deliveries"] {
        for item in server.list(&format!("/api/v1/{kind}"))? {
            paths.push(format!("/api/v1/{kind}/{}", item["id"].as_str().context("an item without id")?));
        }
    }
    for path in paths {
        let response = server.admin(Request::get(&path))?;
        ensure!(response.status == 200, "GET {path}: {} {}", response.status, response.text());
        search.look_at(&path, format!("{:?}", response.message).as_bytes(), canaries);
        search.look_at(&path, &response.message.body, canaries);
    }
    let metrics = server.admin(Request::get("/metrics"))?;
    search.look_at("/metrics", &metrics.message.body, canaries);
    Ok(())
}

/// A search that finds nothing anywhere proves nothing: the same search must find what is certainly there.
fn ensure_the_search_works(directory: &Path) -> Result<()> {
    let mut control = Search::default();
    control.look_through(directory, &[Canary::new("a stored header", "GitHub-Hookshot")])?;
    ensure!(!control.found.is_empty(), "the search does not even find what was stored");
    Ok(())
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
