//! Sources and destinations that come over the API: one by one, and as a file that is planned and applied.

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, everything_in, send, sign_with};

const EMPTY: &str = "[admin]\ncommands = false\n";

const SECRET: &str = "the-secret-of-a-new-source";

impl Gateway {
    async fn done(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.api(method, path, &body).await
    }

    async fn made(&self, path: &str, body: Value) -> Value {
        let answer = self.done("POST", path, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    async fn refused(&self, method: &str, path: &str, body: Value) -> (u16, String) {
        let answer = self.done(method, path, body).await;
        assert!(answer.status >= 400, "{}", answer.text());
        (answer.status, answer.json()["detail"].as_str().unwrap().to_owned())
    }

    /// The key of another organization, `acme`.
    async fn another(&self) -> String {
        self.made("/organizations", json!({ "name": "acme" })).await["key"].as_str().unwrap().to_owned()
    }

    async fn as_other(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        let authorization = format!("Bearer {key}");
        let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
        send(self.running.admin(), method, &format!("/api/v1{path}"), &headers, body.to_string().as_bytes()).await
    }
}

fn source(name: &str) -> Value {
    json!({ "name": name, "unsigned": true })
}

#[tokio::test]
async fn the_request_after_the_201_finds_its_door() {
    let gateway = Gateway::start(EMPTY).await;
    assert_eq!(gateway.send("POST", "/in/shop", &[], b"{}").await.status, 404);
    let shop = json!({ "name": "shop", "scheme": "github", "secret": SECRET, "event_types": ["push"] });
    let made = gateway.made("/sources", shop).await;
    assert_eq!((made["managed_by"].as_str(), made["door"]["path"].as_str()), (Some("api"), Some("/in/shop")));
    assert_eq!(made["declared"]["secret"], "stored");
    let signature = sign_with(SECRET, b"{}");
    let headers = [("x-github-event", "push"), ("x-hub-signature-256", signature.as_str())];
    assert_eq!(gateway.send("POST", "/in/shop", &headers, b"{}").await.status, 202);
    // It moves, and the old door is closed at once.
    let moved = gateway.done("PATCH", "/sources/shop", json!({ "path": "/hooks/shop", "event_types": null })).await;
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert_eq!(moved.json()["event_types"], json!([]));
    assert_eq!(gateway.send("POST", "/in/shop", &headers, b"{}").await.status, 404);
    assert_eq!(gateway.send("POST", "/hooks/shop", &headers, b"{}").await.status, 200, "its secret is what it was");
    assert_eq!(gateway.done("DELETE", "/sources/shop", Value::Null).await.status, 204);
    assert_eq!(gateway.send("POST", "/hooks/shop", &headers, b"{}").await.status, 404);
    assert_eq!(gateway.done("DELETE", "/sources/shop", Value::Null).await.status, 404);
    assert_eq!(gateway.get("/events").await["items"].as_array().unwrap().len(), 2, "its events stay");
    let everything = everything_in(gateway.directory.path());
    assert!(!everything.windows(SECRET.len()).any(|window| window == SECRET.as_bytes()), "a secret stands on disk");
}

/// A body, the status of its answer, and what that says.
type Case = (&'static str, u16, &'static str);

const SOURCES: &[Case] = &[
    (r#"{"name":"there","unsigned":true,"path":"/x"}"#, 409, "there is a source `there` already"),
    (r#"{"name":"new","unsigned":true,"path":"/in/there"}"#, 409, "already that of source `there`"),
    (r#"{"name":"x"}"#, 422, "has no `scheme`"),
    (r#"{"name":"x","scheme":"none"}"#, 422, "`/scheme`: there is no scheme `none`"),
    (r#"{"name":"x","unsigned":true,"is_admin":true}"#, 422, "`/is_admin`: unknown key `is_admin`"),
    (r#"{"name":"<script>","unsigned":true}"#, 422, "`/name`: `<script>` is not a name"),
    (r#"{"name":"x","scheme":"github","secret":"  "}"#, 422, "`/secret`: a secret may not be empty"),
    (r#"{"name":"x","scheme":"svix","secret":"whsec_AAAA"}"#, 422, "needs at least 24"),
    (r#"{"name":"x","scheme":"github","secret":"whpk_hunter2"}"#, 422, "may not begin with `whpk_`"),
    (r#"{"name":"x","scheme":"github","secret":"env:HOME"}"#, 422, "send the value itself"),
    (r#"{"name":"x","scheme":"github","secret":"file:/hunter2"}"#, 422, "send the value itself"),
    (r#"{"name":"x","scheme":"meta","handshake_token":"t"}"#, 422, "only the file that `serve` reads"),
    (r#"{"name":"x","scheme":"stripe","dedup":{"window":"300s"}}"#, 422, "`/dedup/window`: a window shorter"),
    (r#"{"name":"x","unsigned":true,"methods":[null]}"#, 422, "`/methods/0`"),
    (r#"{"name":7}"#, 422, "`/name`"),
    ("[]", 422, ""),
];

const DESTINATIONS: &[Case] = &[
    (r#"{"name":"x","type":"http","url":"env:URL"}"#, 422, "`/url`: a reference is not looked up"),
    (r#"{"name":"x","type":"http","url":"https://a.test/","timeout":"0s"}"#, 422, "`/timeout`"),
    (r#"{"name":"x","type":"http","url":"https://a.test/","timeout":"24h"}"#, 422, "`/timeout`"),
    (r#"{"name":"x","type":"http","url":"https://a.test/","concurrency":1000000}"#, 422, "`/concurrency`"),
    (
        r#"{"name":"x","type":"http","url":"https://a.test/","set_headers":{"X-A\r\nX-Evil":"1"}}"#,
        422,
        "is not a header name",
    ),
    (r#"{"name":"x","type":"http","url":"https://a.test/","set_headers":{"X-é":"1"}}"#, 422, "is not a header name"),
    (
        r#"{"name":"x","type":"http","url":"https://a.test/","set_headers":{"X":"stored"}}"#,
        422,
        "nothing is stored here",
    ),
    (
        r#"{"name":"x","type":"http","url":"https://a.test/","sources":["nowhere"]}"#,
        422,
        "`/sources/0`: there is no source",
    ),
    (r#"{"name":"x","type":"command","argv":["/bin/true"]}"#, 422, "commands = true"),
];

#[tokio::test]
async fn what_is_sent_is_held_to_the_rules_of_the_file() {
    let gateway = Gateway::start(EMPTY).await;
    gateway.made("/sources", source("there")).await;
    for (path, cases) in [("/sources", SOURCES), ("/destinations", DESTINATIONS)] {
        for (body, status, told) in cases {
            let answer = gateway.api("POST", path, body).await;
            let text = answer.text();
            // What is unacceptable is 422, or as long as the API says so of every such body 400.
            assert!(answer.status == *status || (*status == 422 && answer.status == 400), "{body}: {text}");
            assert!(answer.json()["detail"].as_str().unwrap().contains(told), "{body}: {text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
    let many: serde_json::Map<_, _> = (0..1000).map(|number| (format!("X-{number}"), json!("1"))).collect();
    let many = json!({ "name": "x", "type": "http", "url": "https://a.test/", "set_headers": many });
    assert!(gateway.refused("POST", "/destinations", many).await.1.contains("`set_headers` has at most 64"));
    assert_eq!(gateway.get("/sources").await["items"].as_array().unwrap().len(), 1, "nothing came of any of it");
    let allowed = json!({ "name": "to-it", "type": "http", "url": "https://a.test/", "sources": ["there", "publish"] });
    gateway.made("/destinations", allowed).await;
}

#[tokio::test]
async fn what_a_file_manages_is_read_only_but_for_its_secrets() {
    let file = "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:GITHUB_SECRET\"\n\
                [[destination]]\nname = \"ci\"\ntype = \"http\"\nurl = \"https://a.test/\"\n";
    let gateway = Gateway::start(file).await;
    let told = "is managed by the configuration file: change it there";
    for (path, what) in [("/sources/github", "source `github`"), ("/destinations/ci", "destination `ci`")] {
        let expected = (409, format!("{what} {told}"));
        assert_eq!(gateway.refused("PATCH", path, json!({ "event_types": ["a"] })).await, expected);
        assert_eq!(gateway.refused("DELETE", path, Value::Null).await, expected);
        assert_eq!(gateway.get(path).await["managed_by"], "file");
    }
    assert_eq!(gateway.get("/sources/github").await["declared"]["secret"], "env:GITHUB_SECRET");
    gateway.made("/sources/github/secrets", json!({ "secret": "another one, rotated here" })).await;
    let (status, detail) = gateway.refused("POST", "/config/apply", json!({ "source": [source("x")] })).await;
    assert!(status == 409 && detail.contains("SIGHUP"), "{detail}");
}

#[tokio::test]
async fn a_destination_that_moves_takes_no_credential_along() {
    let gateway = Gateway::start(EMPTY).await;
    let url = "https://old.test/?key=canary";
    let headers = json!({ "Authorization": "Bearer canary", "X-Org": "canary" });
    let sign = json!({ "scheme": "bearer", "secret": "canary-token" });
    let made = json!({ "name": "ci", "type": "http", "url": url, "set_headers": headers, "sign": sign });
    let shown = gateway.made("/destinations", made).await;
    assert!(!shown.to_string().contains("canary"), "{shown}");
    assert_eq!((&shown["declared"]["url"], &shown["url"]), (&json!("stored"), &json!("https://old.test/?…")));
    assert_eq!((&shown["signing"], &shown["authentication"]), (&json!([]), &json!(["bearer"])));
    let patched = gateway.done("PATCH", "/destinations/ci", json!({ "concurrency": 2 })).await.json();
    assert_eq!(patched["set_headers"], json!(["Authorization", "X-Org"]), "{patched}");
    let live =
        |secrets: Value| secrets["items"].as_array().unwrap().iter().filter(|one| one["state"] == "live").count();
    assert_eq!((&patched["dropped"], &patched["url"]), (&json!([]), &json!("https://old.test/?…")));
    assert_eq!(live(gateway.get("/destinations/ci/secrets").await), 3);
    // The token, the query and the headers are versions 1 to 3; another query is the same place.
    let patch = json!({ "url": "https://old.test/?key=other", "set_headers": { "X-Org": "another" } });
    let patched = gateway.done("PATCH", "/destinations/ci", patch).await.json();
    assert_eq!(patched["dropped"], json!([]), "{patched}");
    let reveal = |version: u32| format!("/destinations/ci/secrets/{version}/reveal");
    let shown = gateway.done("POST", &reveal(5), json!({})).await.json();
    assert_eq!(shown["secret"], r#"{"Authorization":"Bearer canary","X-Org":"another"}"#);
    let shown = gateway.done("POST", &reveal(4), json!({})).await.json();
    assert_eq!(shown["secret"], "https://old.test/?key=other");
    let moved = gateway.done("PATCH", "/destinations/ci", json!({ "url": "https://evil.test/" })).await;
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert!(moved.json()["set_headers"] == json!([]) && !moved.text().contains("canary"), "{}", moved.text());
    assert_eq!(moved.json()["dropped"], json!(["set_headers.Authorization", "set_headers.X-Org", "bearer"]));
    let told = gateway.get("/audit").await;
    let update = told["items"].as_array().unwrap().iter().find(|row| row["action"] == "destination.update").unwrap();
    assert_eq!(update["detail"]["dropped"], json!(["bearer"]), "{update}");
    assert_eq!(live(gateway.get("/destinations/ci/secrets").await), 0);
    assert_eq!(gateway.done("DELETE", "/destinations/ci", Value::Null).await.status, 204);
    assert_eq!(gateway.api("GET", "/destinations/ci", "").await.status, 404);
    assert_eq!(gateway.get("/destinations").await["items"], json!([]));
}

#[tokio::test]
async fn organizations_have_paths_of_their_own_and_are_told_nothing_of_others() {
    let gateway = Gateway::start("[[source]]\nname = \"hidden\"\nunsigned = true\npath = \"/in/acme/a\"\n").await;
    let key = gateway.another().await;
    let made = gateway.as_other(&key, "POST", "/sources", source("b")).await;
    assert_eq!((made.status, made.json()["door"]["path"].as_str()), (201, Some("/in/acme/b")), "{}", made.text());
    assert_eq!(gateway.send("POST", "/in/acme/b", &[], b"{}").await.status, 202);
    let taken = gateway.as_other(&key, "POST", "/sources", source("a")).await;
    assert_eq!(taken.status, 409);
    assert!(!taken.text().contains("hidden"), "{}", taken.text());
    let reaching = json!({ "name": "x", "type": "http", "url": "http://10.0.0.1/", "allow_addresses": ["10.0.0.0/8"] });
    let reaching = gateway.as_other(&key, "POST", "/destinations", reaching).await;
    assert!(reaching.text().contains("for whoever runs this gateway to say"), "{}", reaching.text());
    let own = gateway.as_other(&key, "GET", "/config/export", Value::Null).await;
    assert!(own.json()["source"].as_array().unwrap().len() == 1 && !own.text().contains("hidden"), "{}", own.text());
}

#[tokio::test]
async fn a_file_is_planned_applied_and_taken_out_again() {
    let gateway = Gateway::start(EMPTY).await;
    let file = gateway.directory.path().join("hooks.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let name = file.to_str().unwrap();
    let token = gateway.directory.path().join("token");
    std::fs::write(&token, "canary-token\n").unwrap();
    let text = format!(
        "[limits]\nbody_bytes = 1\n[[source]]\nname = \"shop\"\nunsigned = true\n[[destination]]\nname = \"ci\"\ntype = \"http\"\n\
         url = \"https://a.test/?key=canary\"\nset_headers = {{ \"X-Key\" = \"canary\" }}\nconcurrency = 3\n\
         sign = {{ scheme = \"bearer\", secret = \"file:{}\" }}\n",
        token.display()
    );
    write(&text);
    let plan = gateway.run(&["plan", "-f", name], b"").await;
    assert_eq!(plan.status, 10, "{plan:?}");
    assert!(plan.stdout.contains("+ source `shop`") && plan.stdout.ends_with("2 changes\n"), "{}", plan.stdout);
    assert!(!plan.stdout.contains("canary"), "{}", plan.stdout);
    let unsure = gateway.run(&["apply", "-f", name], b"").await;
    assert!(unsure.status == 2 && unsure.stderr.contains("--yes"), "{unsure:?}");
    assert_eq!(gateway.get("/sources").await["items"], json!([]), "nothing was done");
    gateway.ok(&["apply", "-f", name, "--yes"], b"").await;
    assert_eq!(gateway.send("POST", "/in/shop", &[], b"{}").await.status, 202);
    for again in [&["plan", "-f", name][..], &["apply", "-f", name]] {
        let same = gateway.run(again, b"").await;
        assert_eq!((same.status, same.stdout.as_str()), (0, "nothing changes\n"), "{same:?}");
    }
    // The way out and back, without the file that the secret was in.
    std::fs::remove_file(&token).unwrap();
    let exported = gateway.ok(&["export"], b"").await;
    assert!(!exported.contains("canary"), "{exported}");
    let exported = exported.replace(&format!("file:{}", token.display()), "stored");
    let back = gateway.run(&["plan", "-f", "-"], exported.as_bytes()).await;
    assert_eq!((back.status, back.stdout.as_str()), (0, "nothing changes\n"), "{exported}\n{back:?}");
    let other = exported.replace("concurrency = 3", "concurrency = 4");
    let changed = gateway.run(&["plan", "-f", "-"], other.as_bytes()).await;
    assert_eq!(changed.status, 10);
    assert!(changed.stdout.contains("~ destination `ci`\n    concurrency: 3 → 4\n"), "{}", changed.stdout);
    // What somebody did meanwhile shows; what is not in a file goes.
    gateway.ok(&["destination", "pause", "ci"], b"").await;
    gateway.made("/sources", source("by-api")).await;
    write("[[source]]\nname = \"shop\"\nunsigned = true\nmethods = [\"PUT\"]\n");
    let plan = gateway.run(&["plan", "-f", name], b"").await.stdout;
    for line in [
        "~ source `shop`\n    methods: (none) → [\"PUT\"]\n",
        "- destination `ci`\n",
        "drift: destination `ci` is paused\n",
        "notice: source `by-api` is managed over the API, by no file\n",
    ] {
        assert!(plan.contains(line), "{plan}");
    }
    gateway.ok(&["apply", "-f", name, "--yes"], b"").await;
    assert_eq!(gateway.send("POST", "/in/shop", &[], b"{}").await.status, 405);
    assert_eq!(gateway.send("POST", "/in/by-api", &[], b"{}").await.status, 202);
    assert_eq!(gateway.get("/destinations").await["items"], json!([]));
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_before_anything_of_it_is_in_force() {
    let gateway = Gateway::start(EMPTY).await;
    for (text, told) in [
        ("[[source]\n", "standard input:1:"),
        (
            "[[source]]\nname = \"a\"\nunsigned = true\n[[source]]\nname = \"b\"\n",
            "`/source/1/name`: source `b` has no `scheme`",
        ),
        (
            "[[source]]\nname = \"a\"\nscheme = \"github\"\nsecret = \"hunter2\"\n",
            "`/source/0/secret`: a secret does not stand",
        ),
        (
            "[[source]]\nname = \"a\"\nscheme = \"github\"\nsecret = \"file:/nothing/here\"\n",
            "`/nothing/here` cannot be read",
        ),
        (
            "[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"env:NO_SUCH_VARIABLE\"\n",
            "`env:NO_SUCH_VARIABLE` is not set",
        ),
        ("[[destination]]\nname = \"a\"\ntype = \"command\"\nargv = [\"/bin/true\"]\n", "commands = true"),
    ] {
        for verb in [&["plan", "-f", "-"][..], &["apply", "--yes", "-f", "-"]] {
            let ran = gateway.run(verb, text.as_bytes()).await;
            assert!(ran.status == 2 && ran.stderr.contains(told), "{text}: {ran:?}");
            assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        }
    }
    assert_eq!(gateway.get("/sources").await["items"], json!([]));
}

#[tokio::test]
async fn what_the_served_file_says_in_the_clear_is_kept_nowhere_and_planned_all_the_same() {
    let served = "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:GITHUB_SECRET\"\n\
                  [[destination]]\nname = \"ci\"\ntype = \"http\"\nurl = \"https://a.test/?key=canary-query\"\n\
                  set_headers = { \"X-Key\" = \"canary-header\" }\n";
    let gateway = Gateway::start(served).await;
    let everything = everything_in(gateway.directory.path());
    assert!(!everything.windows(7).any(|window| window == b"canary-"), "what the file says is kept");
    let exported = gateway.ok(&["export"], b"").await;
    assert!(!exported.contains("canary"), "{exported}");
    for (file, status) in [
        (exported.as_str(), 0),
        (served, 0),
        (&served.replace("canary-header", "another"), 10),
        (&served.replace("canary-query", "another"), 10),
    ] {
        let plan = gateway.run(&["plan", "-f", "-"], file.as_bytes()).await;
        assert_eq!(plan.status, status, "{file}\n{plan:?}");
        assert!(!plan.stdout.contains("canary") && !plan.stdout.contains("another"), "{}", plan.stdout);
    }
}

#[tokio::test]
async fn a_destination_signs_with_several_schemes_each_with_its_own_secret() {
    let gateway = Gateway::start(EMPTY).await;
    let two = json!([{ "scheme": "qlens", "secret": "the-first-secret-of-qlens" }, { "scheme": "svix" }]);
    let ci = json!({ "name": "ci", "type": "http", "url": "https://ci.test/", "sign": two });
    let made = gateway.made("/destinations", ci).await;
    assert_eq!(made["signing"][0]["scheme"], "qlens");
    assert_eq!(made["declared"]["sign"], json!([{ "scheme": "qlens", "secret": "stored" }, { "scheme": "svix" }]));
    let secrets = "/destinations/ci/secrets";
    let made = gateway.made(&format!("{secrets}/rotate"), json!({ "scheme": "svix" })).await;
    assert_eq!(made["version"], 2);
    gateway.made(secrets, json!({ "secret": "the-second-secret-of-qlens", "grace_s": 0 })).await;
    let list = async || {
        let items = gateway.get(secrets).await["items"].as_array().unwrap().clone();
        let told = |item: &Value| ["scheme", "state"].map(|field| item[field].as_str().unwrap().to_owned()).join(" ");
        items.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(list().await, ["qlens live", "svix live", "qlens expired"]);
    let (status, problem) = gateway.refused("POST", &format!("{secrets}/rotate"), json!({ "scheme": "github" })).await;
    assert_eq!(
        (status, problem.as_str()),
        (422, "destination:ci has no secret for `github`; those that it has are for `qlens`, `svix`")
    );
    // Entries keep their secrets in another order, and without naming them; one that goes takes its secrets along.
    let turned = json!({ "sign": [{ "scheme": "svix" }, { "scheme": "qlens", "until": "2999-01-01T00:00:00Z" }] });
    let turned = gateway.done("PATCH", "/destinations/ci", turned).await;
    assert_eq!(turned.status, 200, "{}", turned.text());
    assert_eq!(turned.json()["signing"][1]["until"], "2999-01-01T00:00:00.000Z");
    assert_eq!(list().await, ["qlens live", "svix live", "qlens expired"]);
    let one = gateway.done("PATCH", "/destinations/ci", json!({ "sign": { "scheme": "svix" } })).await;
    assert_eq!(one.status, 200, "{}", one.text());
    assert_eq!(list().await, ["qlens revoked", "svix live", "qlens revoked"]);
}

#[tokio::test]
async fn a_file_with_several_schemes_is_planned_applied_and_exported() {
    let gateway = Gateway::start(EMPTY).await;
    let file = |sign: Value| {
        json!({
            "destination": [{ "name": "ci", "type": "http", "url": "https://ci.test/", "sign": sign }],
            "references": { "env:OLD": "the-secret-of-qlens", "env:NEW": "the-secret-of-bearer" },
        })
    };
    let (old, new) =
        (json!({ "scheme": "qlens", "secret": "env:OLD" }), json!({ "scheme": "bearer", "secret": "env:NEW" }));
    let applied = gateway.done("POST", "/config/apply", file(json!([old, new]))).await;
    assert_eq!(applied.status, 200, "{}", applied.text());
    assert_eq!(gateway.get("/destinations/ci/secrets").await["items"].as_array().unwrap().len(), 2);
    // The same again, even in another order, gives nobody another secret; a literal that was sent is not shown.
    for (sign, changes) in [(json!([old, new]), 0), (json!([new, old]), 1)] {
        let planned = gateway.done("POST", "/config/plan", file(sign)).await.json();
        let list = planned["changes"].as_array().unwrap();
        assert_eq!(list.len(), changes, "{planned}");
        assert!(list.iter().all(|change| change["secret"] == false), "{planned}");
    }
    let exported = gateway.get("/config/export").await;
    assert_eq!(exported["destination"][0]["sign"], json!([old, new]));
    let ended = json!({ "scheme": "qlens", "secret": "env:OLD", "until": "2020-01-01T00:00:00Z" });
    let applied = gateway.done("POST", "/config/apply", file(json!([ended, new]))).await;
    assert_eq!(applied.status, 200, "{}", applied.text());
    let notice = "destination `ci`: scheme `qlens` signs no more, its `until` is past";
    assert_eq!(applied.json()["notices"], json!([notice]));
    assert_eq!(gateway.get("/destinations/ci").await["signing"][0]["ended"], true);
}
