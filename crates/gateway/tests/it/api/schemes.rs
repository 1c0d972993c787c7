//! Private schemes over the API: put in force, used, replaced and removed; what is wrong with one, and whose it is.

use hookward::{Draft, Scheme, Secret, UnixTime};
use serde_json::{Value, json};

use super::problem;
use crate::support::{Answer, Gateway, KEY, send};

const SECRET: &str = "a secret of thirty-two characters";

/// An HMAC of the body in this header.
fn file(name: &str, header: &str) -> String {
    format!(
        "# Of our own.\nname = \"{name}\"\ntitle = \"Ours\"\n\n[[proof]]\nalgorithm = \"hmac-sha256\"\n\
         signature = {{ at = [\"header:{header}\"], encodings = [\"hex\"] }}\ncontent = \"{{body}}\"\n"
    )
}

impl Gateway {
    async fn put_scheme(&self, name: &str, toml: &str) -> Answer {
        self.api("PUT", &format!("/schemes/{name}"), &json!({ "toml": toml }).to_string()).await
    }

    async fn make_source(&self, key: &str, name: &str, scheme: &str) -> Answer {
        let source = json!({ "name": name, "scheme": scheme, "secret": SECRET });
        self.api_as(key, "POST", "/sources", &source.to_string()).await
    }

    /// The status of a request that this file signs.
    async fn send_signed(&self, path: &str, toml: &str, body: &str) -> u16 {
        let scheme = Scheme::from_toml(toml).unwrap();
        let key = scheme.key(1, &Secret::new(SECRET).unwrap()).unwrap();
        let draft = Draft { id: "", event_type: "", method: "POST", url: "/", body: body.as_bytes() };
        let signed = scheme.sign(&draft, &[key], UnixTime::from_secs(0)).unwrap();
        let headers: Vec<_> = signed.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send("POST", path, &headers, body.as_bytes()).await.status
    }
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_scheme_file_is_put_in_force_and_used_at_once_and_after_a_restart() {
    let gateway = Gateway::start("").await;
    let toml = file("acme", "x-acme");
    let put = gateway.put_scheme("acme", &toml).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let shown = put.json();
    assert_eq!((&shown["toml"], &shown["version"], &shown["managed_by"]), (&json!(toml), &json!(1), &json!("api")));
    assert_eq!((&shown["private"], &shown["hides"], &shown["used_by"]), (&json!(true), &Value::Null, &json!([])));
    assert_eq!((&shown["binds"]["body"], &shown["binds"]["time"]), (&json!(true), &json!(false)));
    assert_eq!((&shown["algorithms"], &shown["weak"]), (&json!(["hmac-sha256"]), &json!(false)));
    assert_eq!(gateway.make_source(KEY, "acme", "acme").await.status, 201);
    assert_eq!(gateway.send_signed("/in/acme", &toml, "{\"n\":1}").await, 202);
    let gateway = gateway.restart("").await;
    assert_eq!(gateway.send_signed("/in/acme", &toml, "{\"n\":2}").await, 202);
    let newer = file("acme", "x-newer");
    assert_eq!(gateway.put_scheme("acme", &newer).await.json()["version"], 2);
    assert_eq!(gateway.send_signed("/in/acme", &toml, "{\"n\":3}").await, 401);
    assert_eq!(gateway.send_signed("/in/acme", &newer, "{\"n\":4}").await, 202);
    assert_eq!(gateway.get("/schemes/acme").await["used_by"], json!(["source `acme`"]));
    let in_use = gateway.api("DELETE", "/schemes/acme", "").await;
    assert_eq!(problem(&in_use), (409, "not_possible".to_owned()));
    assert!(in_use.text().contains("scheme `acme` is in use by source `acme`"), "{}", in_use.text());
    assert_eq!(gateway.api("DELETE", "/sources/acme", "").await.status, 204);
    assert_eq!(gateway.api("DELETE", "/schemes/acme", "").await.status, 204);
    assert_eq!(problem(&gateway.api("GET", "/schemes/acme", "").await), (404, "not_found".to_owned()));
    assert_eq!(problem(&gateway.api("DELETE", "/schemes/acme", "").await), (404, "not_found".to_owned()));
    let audited = gateway.get("/audit").await;
    let actions: Vec<_> =
        audited["items"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap()).collect();
    let of_schemes: Vec<_> = actions.into_iter().filter(|action| action.starts_with("scheme.")).collect();
    assert_eq!(of_schemes, ["scheme.remove", "scheme.update", "scheme.create"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_file_is_told_with_its_place() {
    let gateway = Gateway::start("").await;
    let refused = gateway.put_scheme("acme", &file("acme", "x-acme").replace("title", "titel")).await;
    assert_eq!(problem(&refused), (422, "scheme_refused".to_owned()));
    let told = refused.json();
    assert_eq!(told["place"], json!({ "line": 3, "column": 1, "nearest": "title" }));
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.starts_with("line 3, column 1: unknown field `titel`"), "{detail}");
    assert!(detail.ends_with("did you mean `title`?"), "{detail}");
    let other = gateway.put_scheme("other", &file("acme", "x-acme")).await;
    assert_eq!(problem(&other), (422, "invalid_request".to_owned()));
    let large = gateway.put_scheme("acme", &format!("#{}", "x".repeat(65_536))).await;
    assert_eq!(problem(&large), (422, "invalid_request".to_owned()));
    let field = gateway.api("PUT", "/schemes/acme", r#"{"toml":"","name":"acme"}"#).await;
    assert_eq!(problem(&field), (422, "invalid_request".to_owned()));
    assert_eq!(gateway.get("/schemes?private=true").await["items"], json!([]));
}

#[tokio::test]
async fn the_list_has_private_ones_first_and_then_all_of_the_catalog() {
    let gateway = Gateway::start("").await;
    gateway.put_scheme("zeta", &file("zeta", "x-a")).await;
    let (mut seen, mut next) = (Vec::new(), Some(String::new()));
    while let Some(cursor) = next {
        let more = if cursor.is_empty() { cursor } else { format!("&cursor={cursor}") };
        let page = gateway.get(&format!("/schemes?limit=100{more}")).await;
        seen.extend(names(&page).into_iter().map(str::to_owned));
        next = page["next"].as_str().map(str::to_owned);
    }
    let expected: Vec<_> = std::iter::once("zeta").chain(hookward::catalog::names()).collect();
    assert_eq!(seen, expected);
    assert_eq!(names(&gateway.get("/schemes?private=true").await), ["zeta"]);
    assert_eq!(
        names(&gateway.get("/schemes?private=false&limit=1").await),
        [hookward::catalog::names().next().unwrap()]
    );
    assert_eq!(problem(&gateway.api("GET", "/schemes?private=yes", "").await), (422, "invalid_query".to_owned()));
    let stripe = gateway.get("/schemes/stripe").await;
    assert_eq!(stripe["toml"].as_str(), hookward::catalog::source("stripe"));
    assert_eq!((&stripe["managed_by"], &stripe["tolerance_s"]), (&json!("catalog"), &json!(300)));
}

#[tokio::test]
async fn a_name_of_the_catalog_or_of_the_file_is_not_taken_unawares() {
    let config = "[[scheme]]\nname = \"ours\"\ntitle = \"Ours\"\n[[scheme.proof]]\nalgorithm = \"token\"\n\
                  signature = { at = [\"header:x-token\"] }\n";
    let gateway = Gateway::start(config).await;
    let taken = gateway.put_scheme("github", &file("github", "x-a")).await;
    assert_eq!(problem(&taken), (409, "not_possible".to_owned()));
    assert!(taken.text().contains("scheme `github` is in the catalog"), "{}", taken.text());
    let body = json!({ "toml": file("github", "x-a"), "replaces_catalog": true }).to_string();
    assert_eq!(gateway.api("PUT", "/schemes/github", &body).await.json()["hides"], "catalog");
    let of_file = gateway.put_scheme("ours", &file("ours", "x-a")).await;
    assert_eq!(problem(&of_file), (409, "not_possible".to_owned()));
    assert!(of_file.text().contains("managed by the configuration file"), "{}", of_file.text());
    let removed = gateway.api("DELETE", "/schemes/ours", "").await;
    assert!(removed.text().contains("managed by the configuration file"), "{}", removed.text());
    let shown = gateway.get("/schemes/ours").await;
    assert_eq!((&shown["managed_by"], &shown["private"], &shown["toml"]), (&json!("file"), &json!(true), &Value::Null));
}

#[tokio::test]
async fn an_organization_has_its_own_and_only_its_administrators_change_them() {
    let gateway = Gateway::start("").await;
    let made = gateway.api("POST", "/organizations", r#"{"name":"acme"}"#).await.json();
    let theirs = made["key"].as_str().unwrap();
    let (our_file, their_file) = (file("acme", "x-ours"), file("acme", "x-theirs"));
    gateway.put_scheme("acme", &our_file).await;
    let missing = gateway.api_as(theirs, "GET", "/schemes/acme", "").await;
    assert_eq!(problem(&missing), (404, "not_found".to_owned()));
    let put = json!({ "toml": their_file }).to_string();
    assert_eq!(gateway.api_as(theirs, "PUT", "/schemes/acme", &put).await.status, 200);
    assert_eq!(gateway.get("/schemes/acme").await["toml"], json!(our_file));
    assert_eq!(gateway.make_source(KEY, "a", "acme").await.status, 201);
    assert_eq!(gateway.make_source(theirs, "a", "acme").await.status, 201);
    assert_eq!(gateway.send_signed("/in/a", &our_file, "{}").await, 202);
    assert_eq!(gateway.send_signed("/in/acme/a", &their_file, "{}").await, 202);
    assert_eq!(gateway.send_signed("/in/acme/a", &our_file, "{}").await, 401);
    let reader = gateway.key("reader", &["read"]).await.0;
    assert_eq!(gateway.api_as(&reader, "GET", "/schemes/acme", "").await.status, 200);
    for (method, body) in [("PUT", put.as_str()), ("DELETE", "")] {
        let forbidden = gateway.api_as(&reader, method, "/schemes/acme", body).await;
        assert_eq!(problem(&forbidden), (403, "forbidden".to_owned()), "{method}");
    }
    let nobody = send(gateway.running.admin(), "GET", "/api/v1/schemes", &[], b"").await;
    assert_eq!(problem(&nobody), (401, "unauthorized".to_owned()));
}

#[tokio::test]
async fn private_schemes_are_exported_and_applied_with_the_rest() {
    let gateway = Gateway::start("").await;
    gateway.put_scheme("acme", &file("acme", "x-acme")).await;
    gateway.make_source(KEY, "a", "acme").await;
    let exported = gateway.get("/config/export").await;
    assert_eq!((&exported["scheme"][0]["name"], &exported["source"][0]["scheme"]), (&json!("acme"), &json!("acme")));
    let planned = gateway.api("POST", "/config/plan", &exported.to_string()).await.json();
    let acts: Vec<_> = planned["changes"].as_array().unwrap().iter().map(|one| (&one["kind"], &one["act"])).collect();
    assert_eq!(acts, [(&json!("scheme"), &json!("adopt")), (&json!("source"), &json!("adopt"))]);
    let mut file = exported.clone();
    file["scheme"][0]["proof"][0]["signature"]["at"][0] = json!("header:x-other");
    let applied = gateway.api("POST", "/config/apply", &file.to_string()).await.json();
    assert_eq!(applied["changes"][0]["fields"][0]["field"], "proof", "{applied}");
    assert_eq!(gateway.get("/schemes/acme").await["managed_by"], "file");
    assert_eq!(gateway.put_scheme("acme", "name = \"acme\"").await.status, 422);
    let over_the_api = gateway.put_scheme("acme", &crate::api::schemes::file("acme", "x-a")).await;
    assert_eq!(problem(&over_the_api), (409, "not_possible".to_owned()));
    // With their sources, they go as they came.
    let gone = gateway.api("POST", "/config/apply", "{}").await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    assert_eq!(gateway.get("/schemes?private=true").await["items"], json!([]));
    file["scheme"][0]["proof"][0]["algoritm"] = json!("x");
    let wrong = gateway.api("POST", "/config/apply", &file.to_string()).await;
    assert_eq!(problem(&wrong), (422, "invalid_request".to_owned()));
    assert!(wrong.text().contains("algoritm"), "{}", wrong.text());
}

#[tokio::test]
async fn a_file_goes_on_with_a_name_that_the_catalog_took_and_takes_no_other() {
    let config = |name: &str, more: &str| {
        format!(
            "[[scheme]]\nname = \"{name}\"\n{more}title = \"Ours\"\n[[scheme.proof]]\nalgorithm = \"token\"\n\
             signature = {{ at = [\"header:x-token\"] }}\n"
        )
    };
    // What nothing is known of was there before.
    let gateway = Gateway::start(&config("github", "")).await;
    assert_eq!(gateway.get("/schemes/github").await["hides"], "catalog");
    let gateway = gateway.restart(&config("github", "")).await;
    assert_eq!(gateway.get("/schemes/github").await["managed_by"], "file");
    let gateway = gateway.restart(&config("stripe", "replaces_catalog = true\n")).await;
    assert_eq!(gateway.get("/schemes/stripe").await["managed_by"], "file");
    assert_eq!(gateway.get("/schemes/github").await["managed_by"], "catalog");
    let refused = gateway.refused_restart(&config("github", "")).await;
    assert!(refused.contains("scheme `github` is in the catalog"), "{refused}");
}
