//! Nodes, as operators and senders see them: who is told of them, how they agree, and what one does that is cut off.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use systems::{Receiver, database, world};

use crate::db::Database;
use crate::support::{Answer, Gateway, SOURCES, send};

/// Gateways that share a database.
struct Cluster {
    nodes: Vec<Gateway>,
    database: Database,
}

impl Cluster {
    /// Two gateways with this configuration, `one` and `two`; nothing where there is no PostgreSQL.
    async fn of_two(config: &str) -> Option<Self> {
        let database = Database::new()?;
        let mut nodes = Vec::new();
        for name in ["one", "two"] {
            let directory = tempfile::tempdir().unwrap();
            let data = directory.path().join("data");
            std::fs::create_dir(&data).unwrap();
            if let Some(Gateway { directory, .. }) = nodes.first() {
                std::fs::copy(directory.path().join("data/master.key"), data.join("master.key")).unwrap();
            }
            let address = database.address();
            let config =
                format!("[database]\naddress = \"{address}\"\n[node]\nname = \"{name}\"\nvalidity = \"2s\"\n{config}");
            nodes.push(Gateway::start_in(directory, &config).await);
        }
        Some(Self { nodes, database })
    }

    async fn stop(self) {
        for node in self.nodes {
            assert!(node.running.stop().await, "everything ends in time");
        }
    }
}

/// A transaction that holds the row that nodes look at. As long as it is there nobody hears any news.
struct Silence(Child);

impl Silence {
    fn of(database: &Database) -> Self {
        let mut psql = Command::new("psql");
        psql.args([&database.address(), "-qAt"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = psql.spawn().unwrap();
        let held = b"begin; lock table revision in access exclusive mode;\n";
        child.stdin.as_mut().unwrap().write_all(held).unwrap();
        Self(child)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // The end of what it is told is the end of its transaction.
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

async fn ready(gateway: &Gateway) -> Answer {
    send(gateway.running.admin(), "GET", "/readyz", &[], b"").await
}

/// Much more than any of it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again until it is so: real time goes by.
async fn until<T>(what: &str, mut asked: impl AsyncFnMut() -> Option<T>) -> T {
    let since = world::instant();
    while since.elapsed() < PATIENCE {
        if let Some(found) = asked().await {
            return found;
        }
        tokio::task::yield_now().await;
    }
    panic!("{what}: it does not come to that");
}

fn names(nodes: &Value) -> Vec<&str> {
    nodes["items"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_gateway_by_itself_is_the_one_node() {
    let gateway = Gateway::start(&format!("[node]\nname = \"alone\"\n{SOURCES}")).await;
    let nodes = gateway.get("/nodes").await;
    let [node] = &nodes["items"].as_array().unwrap()[..] else { panic!("{nodes}") };
    assert_eq!((&node["name"], &node["state"], &node["answers"]), (&"alone".into(), &"serving".into(), &true.into()));
    assert_eq!(node["address"], gateway.running.public().to_string());
    assert_eq!((&node["leases"], &node["version"]), (&0.into(), &env!("CARGO_PKG_VERSION").into()));
    let listed = gateway.ok(&["node", "list"], b"").await;
    let (head, row) = listed.split_once('\n').unwrap();
    for (at, title) in ["NAME", "STATE", "ADDRESS", "LEASES", "REVISION", "CLOCK AHEAD (MS)"].into_iter().enumerate() {
        assert!(head.contains(title), "{at}: {listed}");
    }
    assert!(row.starts_with("alone") && row.contains("serving") && row.contains(node["address"].as_str().unwrap()));
    // Whoever does not operate the installation is not told.
    let made = gateway.api("POST", "/organizations", r#"{"name":"acme"}"#).await.json();
    let theirs = gateway.run_as(made["key"].as_str().unwrap(), &["node", "list"], b"").await;
    assert_eq!((theirs.status, theirs.stdout.as_str()), (4, ""), "{}", theirs.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_lists_all_of_them_and_agrees_on_what_is_in_force() {
    let Some(cluster) = Cluster::of_two(SOURCES).await else { return };
    let [one, two] = &cluster.nodes[..] else { panic!("two nodes") };
    let both = until("both are seen", async || {
        let nodes = two.get("/nodes").await;
        let revisions: Vec<_> = nodes["items"].as_array().unwrap().iter().map(|node| &node["revision"]).collect();
        (names(&nodes) == ["one", "two"] && revisions[0] == revisions[1]).then(|| nodes.clone())
    });
    let before = both.await["items"][0]["revision"].as_i64().unwrap();
    let made = one.api("POST", "/destinations", r#"{"name":"worker","type":"pull","sources":["github"]}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let nodes = until("both have it in force", async || {
        let nodes = one.get("/nodes").await;
        let items = nodes["items"].as_array().unwrap();
        items.iter().all(|node| node["revision"].as_i64().unwrap() > before).then(|| nodes.clone())
    });
    let nodes = nodes.await;
    for (node, gateway) in nodes["items"].as_array().unwrap().iter().zip(&cluster.nodes) {
        assert_eq!(node["state"], "serving");
        assert_eq!(node["address"], gateway.running.public().to_string());
        assert_eq!(node["answers"], node["name"] == "one");
        assert!(node["clock_ahead_ms"].as_i64().unwrap().abs() < 1_000, "they have one clock: {node}");
    }
    let mut ana = two.visitor("ana@example.com", &["*"]).await;
    let page = ana.page("/dashboard/system").await;
    for text in ["one", "two", "serving", "Oldest snapshot", "Dead rows", "Revision in force"] {
        assert!(page.contains(text), "`{text}` is not in\n{page}");
    }
    let Cluster { mut nodes, database } = cluster;
    assert!(nodes.remove(0).running.stop().await);
    let left = nodes[0].get("/nodes").await;
    assert_eq!(left["items"][0]["state"], "gone", "{left}");
    Cluster { nodes, database }.stop().await;
}

/// Gateways that start at the same moment on a database; of each whether it has the master key.
async fn start_together(database: &Database, count: usize) -> Vec<(Gateway, bool)> {
    let config = format!("[database]\naddress = \"{}\"\n{SOURCES}", database.address());
    let starts = (0..count).map(|_| {
        let config = config.clone();
        tokio::spawn(async move { Gateway::start_in(tempfile::tempdir().unwrap(), &config).await })
    });
    let mut started = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        let gateway = start.await.unwrap();
        let has_key = gateway.directory.path().join("data/master.key").exists();
        let key = gateway.get("/kms").await["key_id"].as_str().unwrap().to_owned();
        assert_eq!(has_key, !key.ends_with(":missing"), "{key}");
        started.push((gateway, has_key));
    }
    started
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nodes_that_start_together_one_makes_the_master_key_whoever_made_the_tables() {
    for made_before in [false, true] {
        let Some(database) = Database::new() else { return };
        if made_before {
            crate::db::ok(&["db", "migrate", "--database", &database.address()]);
        }
        let mut nodes = start_together(&database, 3).await;
        assert_eq!(nodes.iter().filter(|(_, has_key)| *has_key).count(), 1, "one has a key, and others have none");
        // The one that has it is known to all of them, so nobody makes another.
        let (keeper, _) = nodes.remove(nodes.iter().position(|(_, has_key)| *has_key).unwrap());
        assert_eq!(keeper.get("/kms").await["shut"], 0);
        for (node, _) in nodes {
            let data = node.directory.path().join("data");
            let node = node.restart(&format!("[database]\naddress = \"{}\"", database.address())).await;
            assert!(!data.join("master.key").exists());
            assert!(node.running.stop().await);
        }
        assert!(keeper.running.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_no_news_refuses_everywhere_delivers_nothing_and_comes_back_by_itself() {
    let receiver = Receiver::start(|_| 500).unwrap();
    let ways = "retry = { waits = [\"5s\", \"5s\"], jitter_percent = 0 }\nallow_addresses = [\"127.0.0.0/8\"]";
    let config = format!(
        "{SOURCES}\n[[destination]]\nname = \"ci\"\ntype = \"http\"\nurl = \"{}\"\nsources = [\"github\"]\n{ways}\n",
        receiver.url("/")
    );
    let Some(cluster) = Cluster::of_two(&config).await else { return };
    let (gateway, other) = (&cluster.nodes[0], &cluster.nodes[1]);
    let mut ana = gateway.visitor("ana@example.com", &["*"]).await;
    assert_eq!(gateway.push("d-1", b"{}").await.status, 202);
    until("it is attempted", async || (receiver.count() == 1).then_some(())).await;
    let address = cluster.database.address();
    let is = |sql: &str| database::psql(&address, sql).unwrap() == b"t\n";
    until("that is written", async || is("select count(*) = 1 from attempts").then_some(())).await;

    let silence = Silence::of(&cluster.database);
    for node in [gateway, other] {
        let unready = until("it is not ready", async || Some(ready(node).await).filter(|answer| answer.status == 503));
        let reason = unready.await.json()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("has not been heard for more than 2 s"), "{reason}");
    }
    let public = gateway.send("GET", "/readyz", &[], b"").await;
    assert_eq!((public.status, public.text().contains("heard")), (503, false), "strangers are not told why");
    let refused = [
        gateway.push("d-2", b"{\"n\":2}").await,
        gateway.send("POST", "/in/open", &[], b"{}").await,
        gateway.send("POST", "/in/nowhere", &[], b"{}").await,
        gateway.api("GET", "/sources", "").await,
        gateway.api("POST", "/events", r#"{"type":"a.b","payload":{}}"#).await,
        ana.get("/dashboard").await,
        ana.get("/dashboard/system").await,
    ];
    for (n, answer) in refused.iter().enumerate() {
        let retry_after = answer.header("retry-after").and_then(|seconds| seconds.parse::<u32>().ok());
        assert!(answer.status == 503 && retry_after.is_some(), "{n}: {answer:?}");
    }
    assert!(refused[5].text().contains("Not now"), "a page says so: {}", refused[5].text());
    // Its second try is due, the database answers, and nobody makes it.
    let is_late =
        "select max(due_at_ms) + 1000 < (extract(epoch from clock_timestamp()) * 1000)::bigint from deliveries";
    until("the second try is late", async || is(is_late).then_some(())).await;
    assert_eq!(receiver.count(), 1, "nothing is signed and sent");
    assert!(is("select count(*) = 1 from events"));

    drop(silence);
    until("it is attempted again", async || (receiver.count() > 1).then_some(())).await;
    for (n, node) in cluster.nodes.iter().enumerate() {
        until("it is ready again", async || (ready(node).await.status == 200).then_some(())).await;
        assert_eq!(node.push(&format!("d-{}", n + 3), format!("{{\"n\":{}}}", n + 3).as_bytes()).await.status, 202);
        assert_eq!(node.api("GET", "/sources", "").await.status, 200);
    }
    ana.page("/dashboard/system").await;
    cluster.stop().await;
}
