//! The audit log over the API, and checked without it.

use super::problem;
use crate::support::{Gateway, SOURCES};

/// A gateway whose log tells of some pushes and reveals.
async fn logged() -> Gateway {
    let gateway = Gateway::start(SOURCES).await;
    for n in 0..5 {
        assert_eq!(gateway.push(&format!("d-{n}"), format!("{{\"n\":{n}}}").as_bytes()).await.status, 202);
    }
    let revealed = gateway.api("POST", "/sources/github/secrets/1/reveal", r#"{"reason":"test"}"#).await;
    assert_eq!(revealed.status, 200, "{}", revealed.text());
    gateway
}

#[tokio::test]
async fn the_list_is_narrowed_and_shows_each_rows_place() {
    let gateway = logged().await;
    let all = gateway.get("/audit?since=0").await;
    assert!(all["items"].as_array().unwrap().len() > 6);
    let one = gateway.get("/audit?action=secret.reveal&actor=key:bootstrap&target=source:github").await;
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
    assert_eq!(one["items"][0]["hash"], all["items"][0]["hash"]);
    for none in ["since=2999-01-01T00:00:00Z", "until=0", "from=4000000000", "actor=nobody"] {
        assert_eq!(gateway.get(&format!("/audit?{none}")).await["items"], serde_json::json!([]), "{none}");
    }
    for bad in ["since=yesterday", "until=-1", "since=0&from=0", "who=me"] {
        assert!(matches!(problem(&gateway.api("GET", &format!("/audit?{bad}"), "").await).0, 400 | 422), "{bad}");
    }
    let head = gateway.get("/audit/head").await;
    assert_eq!((&head["seq"], &head["hash"]), (&all["items"][0]["seq"], &all["items"][0]["hash"]));
}

#[tokio::test]
async fn what_is_taken_out_can_be_checked_without_the_gateway() {
    let gateway = logged().await;
    let lines = gateway.ok(&["audit", "export", "--all"], b"").await;
    let head = gateway.ok(&["audit", "head"], b"").await;
    let verify = async |lines: &str, more: &[&str]| {
        gateway.run(&[&["audit", "verify", "-"], more].concat(), lines.as_bytes()).await
    };
    let whole = verify(&lines, &["--head", head.trim()]).await;
    let rows = lines.lines().count();
    let told = format!("{rows} rows, none changed, missing or put in\nhead {head}");
    assert_eq!((whole.status, whole.stdout, whole.stderr), (0, told, String::new()));
    // The export itself is in it.
    assert!(lines.lines().last().unwrap().contains("\"audit.export\""));
    let changed = verify(&lines.replacen("source:github", "source:gitlab", 1), &[]).await;
    assert_eq!((changed.status, changed.stdout.as_str()), (5, ""));
    assert!(changed.stderr.contains("is not as it was written"), "{}", changed.stderr);
    let respelt = verify(&lines.replacen(",\"at\"", ", \"at\"", 1), &[]).await;
    assert_eq!(respelt.stderr, "hookward: `-`: line 1 is not a row as an export writes it\n");
    let cut: String = lines.lines().take(rows - 1).map(|line| format!("{line}\n")).collect();
    assert_eq!(verify(&cut, &[]).await.status, 0);
    let cut = verify(&cut, &["--head", head.trim()]).await;
    assert_eq!(cut.stderr, format!("hookward: `-`: row {rows} is missing: the log ends before it\n"));
    let rest: String = lines.lines().skip(2).map(|line| format!("{line}\n")).collect();
    assert_eq!(verify(&rest, &[]).await.stderr, "hookward: `-`: line 1: row 1 is missing: the next one is 3\n");
    let rest = verify(&rest, &["--partial"]).await;
    assert!(rest.status == 0 && rest.stdout.contains("before the other 1 cannot be told"), "{rest:?}");
    let after = gateway.ok(&["audit", "export", "--all", "--after", &(rows - 1).to_string()], b"").await;
    assert!(after.starts_with(lines.lines().last().unwrap()));
}

#[tokio::test]
async fn the_data_directory_is_checked_while_the_gateway_runs_and_after() {
    if !systems::database::has_files("the audit log in a data directory") {
        return;
    }
    let gateway = logged().await;
    let data = gateway.directory.path().join("data").display().to_string();
    let head = gateway.ok(&["audit", "head"], b"").await;
    let running = gateway.ok(&["audit", "verify", &data, "--head", head.trim()], b"").await;
    assert!(running.ends_with(&format!("head {head}")), "{running}");
    assert!(gateway.push("d-9", b"{}").await.status == 202);
    let json = gateway.ok(&["audit", "verify", &data, "--head", head.trim(), "--output", "json"], b"").await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(json["rows"].as_u64() > Some(6) && json["rows"] == json["linked"]);
    let other = head.trim().replace(|letter: char| letter.is_ascii_lowercase(), "0");
    let forged = gateway.run(&["audit", "verify", &data, "--head", &other], b"").await;
    assert!(forged.status == 5 && forged.stderr.contains("is not the one whose hash was published"), "{forged:?}");
    let gateway = gateway.restart(SOURCES).await;
    assert_eq!(gateway.run(&["audit", "verify", &data, "--head", head.trim()], b"").await.status, 0);
    assert_eq!(gateway.run(&["audit", "verify", &data, "--head", "1:zz"], b"").await.status, 2);
    assert_eq!(gateway.run(&["audit", "verify", "nowhere"], b"").await.status, 3);
}

#[tokio::test]
async fn taking_out_needs_its_scope() {
    let gateway = logged().await;
    let (reader, _) = gateway.key("reader", &["read"]).await;
    assert_eq!(gateway.api_as(&reader, "GET", "/audit/head", "").await.status, 200);
    assert_eq!(problem(&gateway.api_as(&reader, "GET", "/audit/export", "").await).0, 403);
    let (exporter, _) = gateway.key("exporter", &["export"]).await;
    let own = gateway.api_as(&exporter, "GET", "/audit/export", "").await;
    assert_eq!((own.status, own.header("content-type")), (200, Some("application/x-ndjson")));
    assert_eq!(problem(&gateway.api_as(&exporter, "GET", "/audit/export?chain=none", "").await).0, 422);
}

#[tokio::test]
async fn who_asks_for_what_is_seldom_is_told_that_there_is_more_to_look_at() {
    let gateway = logged().await;
    let rows = "insert into audit (seq, organization_id, at_ms, actor, address, action, target, detail, hash)
        with recursive n (i) as (select 1 union all select i + 1 from n where i < 10100)
        select last.seq + i, organization_id, at_ms, 'system', '', 'made.up', 'test', '{}', zeroblob(32)
        from (select * from audit order by seq desc limit 1) as last, n";
    let path = gateway.directory.path().join("data/hookward.db");
    rusqlite::Connection::open(path).unwrap().execute(rows, []).unwrap();
    let asked = "/audit?action=secret.reveal";
    let first = gateway.get(asked).await;
    assert_eq!(first["items"], serde_json::json!([]));
    let cursor = first["next"].as_str().expect("there are rows that were not looked at");
    let second = gateway.get(&format!("{asked}&cursor={cursor}")).await;
    assert_eq!((second["items"].as_array().unwrap().len(), second["next"].as_str()), (1, None));
    let listed = gateway.ok(&["audit", "list", "--action", "secret.reveal"], b"").await;
    assert_eq!(listed, format!("none so far; more to look at: --cursor {cursor}\n"));
    let mut ana = gateway.visitor("ana@example.com", &["*"]).await;
    let page = ana.page("/dashboard/audit?action=secret.reveal").await;
    assert!(page.contains("Nothing so far") && page.contains("Look further back"), "{page}");
    assert!(!page.contains("No entry is like that</h2>"), "{page}");
}
