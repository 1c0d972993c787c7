//! `cargo xtask bench dashboard`: the dashboard's pages over a store of so many events, each with an attempt: the list of
//! events with every filter, and the other pages beside it. The median time of each page is held against 50 ms.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use serde_json::json;
use systems::{Client, Hookward, Receiver, Request, Response, Setup, github, world};

use super::deliver::{median, percentile};
use crate::run::root;

const SECRET: &str = "dashboard-benchmark-secret";
const EMAIL: &str = "ana@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// How long a page may take.
const LIMIT_MS: f64 = 50.0;

/// How long what was sent may take to be delivered once nothing more is.
const DRAIN: Duration = Duration::from_secs(300);

/// Senders at once.
const SENDERS: u64 = 16;

/// Every so many attempts one is answered 503.
const FAILS: u64 = 1_000;

/// Every so many events one is sent again.
const REPEATS: u64 = 500;

/// Every so many events one is of a type that is rare.
const RARE: u64 = 10_000;

/// The list with one filter or several. `418` and `timeout` are how no attempt ended, so nothing ends the look early.
const FILTERS: [&str; 22] = [
    "",
    "status=delivered",
    "status=exhausted",
    "status=held",
    "source=github",
    "destination=ci",
    "destination=ci&status=exhausted",
    "type=push",
    "type=release",
    "type=rel*",
    "type=*nothing*",
    "since=24h",
    "from=2020-01-01T00:00&until=2020-01-02T00:00",
    "answer=503",
    "answer=5xx",
    "answer=418",
    "answer=timeout",
    "source=github&destination=ci&answer=418",
    "duplicates=only",
    "duplicates=without&answer=418",
    "q=00000007-dddd-4ddd-8ddd-dddddddddddd",
    "body=body.ref+%3D%3D+%22nothing%22",
];

const PAGES: [&str; 7] = [
    "/dashboard",
    "/dashboard/overview",
    "/dashboard/sources",
    "/dashboard/sources/github",
    "/dashboard/destinations",
    "/dashboard/destinations/ci",
    "/dashboard/audit",
];

/// How much and how often.
#[derive(Args)]
pub(crate) struct Plan {
    /// Events in the store
    #[arg(long, default_value_t = 100_000)]
    events: u64,
    /// How often each page is asked for
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

/// Measures, prints, and fails when the median of a page is above the limit.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    // On the disk that the repository is on: a temporary directory may be memory.
    let place = root().join("target/xtask/bench");
    std::fs::create_dir_all(&place)?;
    let directory = tempfile::tempdir_in(&place)?;
    let server = filled(directory.path(), plan.events)?;
    let mut visitor = Visitor::sign_in(&server)?;
    let lists = FILTERS.iter().map(|filter| format!("/dashboard/events?{filter}"));
    let mut paths: Vec<String> = lists.chain(PAGES.map(str::to_owned)).collect();
    paths.push(visitor.deep_page()?);
    println!("{:<66} {:>9} {:>9}", "page", "median ms", "slowest");
    let mut worst: f64 = 0.0;
    for path in &paths {
        let mut times = visitor.times(path, plan.rounds)?;
        let (middle, _) = median(&mut times);
        println!("{path:<66} {middle:>9.2} {:>9.2}", percentile(&times, 1.0));
        worst = worst.max(middle);
    }
    println!(
        "over {} events the slowest page takes {worst:.1} ms, {:.2} of {LIMIT_MS} ms",
        plan.events,
        worst / LIMIT_MS
    );
    ensure!(worst <= LIMIT_MS, "a page takes {worst:.1} ms, {LIMIT_MS} ms are allowed");
    ensure!(server.terminate()?.success(), "the gateway did not end in order");
    Ok(())
}

/// A gateway that has taken and delivered so many events.
fn filled(directory: &Path, events: u64) -> Result<Hookward> {
    let tries = AtomicU64::new(1);
    let fails = move |_: &_| if tries.fetch_add(1, Ordering::Relaxed).is_multiple_of(FAILS) { 503 } else { 204 };
    let receiver = Receiver::start_forgetful(fails)?;
    let server = Setup::new(directory, &config(&receiver))?.env("BENCH_SECRET", SECRET).start()?;
    let began = world::instant();
    let (address, next) = (server.public, AtomicU64::new(1));
    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(|| send(address, &next, events))).collect();
        let ended = senders.into_iter().map(|sender| sender.join().map_err(|_| anyhow!("a sender panicked"))?);
        ended.collect::<Result<()>>()
    })?;
    let is_over = |state: &str| {
        let page = server.get(&format!("/api/v1/deliveries?state={state}&limit=1"));
        page.is_ok_and(|page| page["items"].as_array().is_some_and(Vec::is_empty))
    };
    let all_over = world::until(DRAIN, || is_over("pending") && is_over("leased"));
    ensure!(all_over, "deliveries are still outstanding {DRAIN:?} after the last event");
    println!("{events} events were taken and delivered in {:.0} s", began.elapsed().as_secs_f64());
    Ok(server)
}

fn config(receiver: &Receiver) -> String {
    format!(
        "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:BENCH_SECRET\"\n\n\
         [[destination]]\nname = \"ci\"\ntype = \"http\"\nurl = \"{}\"\nsources = [\"github\"]\nconcurrency = 64\n\
         retry = {{ waits = [] }}\nallow_addresses = [\"127.0.0.0/8\"]\n",
        receiver.url("/hooks")
    )
}

/// Sends events until the last one is taken.
fn send(address: SocketAddr, next: &AtomicU64, last: u64) -> Result<()> {
    let mut client = Client::new(address);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number > last {
            return Ok(());
        }
        let kind = match number {
            number if number.is_multiple_of(RARE) => "release",
            number if number.is_multiple_of(3) => "issues",
            _ => "push",
        };
        let id = format!("{number:08x}-dddd-4ddd-8ddd-dddddddddddd");
        let request = github::event(kind, "/in/github", SECRET.as_bytes(), &id, &github::push_body(number));
        let times = if number.is_multiple_of(REPEATS) { 2 } else { 1 };
        for (time, wanted) in (0..times).zip([202, 200]) {
            let answer = client.send(&request)?;
            ensure!(answer.status == wanted, "time {time} of a push was answered {} {}", answer.status, answer.text());
        }
    }
}

/// Somebody who looks at pages.
struct Visitor {
    client: Client,
    cookie: String,
}

impl Visitor {
    /// A user who may do everything.
    fn sign_in(server: &Hookward) -> Result<Self> {
        let post = |path: &str, body: serde_json::Value| -> Result<Response> {
            let request = Request::post(path).header("Content-Type", "application/json");
            let answer = server.admin(request.body(body.to_string().as_bytes()))?;
            ensure!(answer.status / 100 == 2, "POST {path}: {} {}", answer.status, answer.text());
            Ok(answer)
        };
        let made = post("/api/v1/users", json!({ "email": EMAIL, "scopes": ["*"] }))?.json();
        post("/api/v1/invitation", json!({ "token": made["invitation"], "password": PASSWORD }))?;
        let form = format!("email={}&password={}", EMAIL.replace('@', "%40"), PASSWORD.replace(' ', "+"));
        let request = Request::post("/dashboard/sign-in")
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Sec-Fetch-Site", "same-origin")
            .body(form.as_bytes());
        let answer = systems::http::send(server.admin, &request)?;
        let cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        let cookie = cookie.with_context(|| format!("no session: {} {}", answer.status, answer.text()))?.to_owned();
        Ok(Self { client: Client::new(server.admin), cookie })
    }

    fn page(&mut self, path: &str) -> Result<String> {
        let answer = self.client.send(&Request::get(path).header("Cookie", &self.cookie))?;
        ensure!(answer.status == 200, "GET {path}: {} {}", answer.status, answer.text());
        Ok(answer.text())
    }

    /// How long a page takes, in milliseconds, once it was looked at.
    fn times(&mut self, path: &str, rounds: usize) -> Result<Vec<f64>> {
        self.page(path)?;
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds.max(1) {
            let asked = world::instant();
            self.page(path)?;
            times.push(asked.elapsed().as_secs_f64() * 1_000.0);
        }
        Ok(times)
    }

    /// A page of the list some pages back.
    fn deep_page(&mut self) -> Result<String> {
        let mut path = "/dashboard/events".to_owned();
        for _ in 0..10 {
            let page = self.page(&path)?;
            let link = page.split("<a ").find(|link| link.contains(" rel=\"next\"")).context("no older page")?;
            let (_, link) = link.split_once("href=\"").context("no address of the older page")?;
            path = link.split('"').next().unwrap_or_default().replace("&#38;", "&");
        }
        Ok(path)
    }
}
