//! Events as people look for them, look at them, and have them delivered again.

use serde_json::json;

use super::{Visitor, audited, filled_in, shown, text};
use crate::support::{Answer, Gateway, send};

/// What proves itself, what does not, a program that fails once and for all, one that succeeds, and one that waits.
const BUSY: &str = r#"
[[source]]
name = "github"
scheme = "github"
secret = "env:GITHUB_SECRET"

[[source]]
name = "open"
unsigned = true

[[destination]]
name = "good"
type = "command"
argv = ["/bin/sh", "-c", "printf 'took <b>it</b>'"]
sources = ["github"]

[[destination]]
name = "bad"
type = "command"
argv = ["/bin/sh", "-c", "echo no; exit 7"]
retry = { waits = [] }

[[destination]]
name = "later"
type = "pull"
sources = ["open"]
"#;

const SCOPES: [&str; 2] = ["read", "redeliver"];

/// The id of the event that was committed last, other than those by which the gateway tells of itself.
async fn newest(gateway: &Gateway) -> String {
    let listed = gateway.get("/events?limit=20").await;
    let event = listed["items"].as_array().unwrap().iter().find(|event| event["source"] != "hookward");
    event.unwrap()["id"].as_str().unwrap().to_owned()
}

/// Waits until everything that programs are owed is over.
async fn settled(gateway: &Gateway) {
    for state in ["pending", "leased"] {
        loop {
            let owed = gateway.get(&format!("/deliveries?state={state}")).await;
            if owed["items"].as_array().unwrap().iter().all(|owed| owed["destination"] == "later") {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// How often `part` stands in `page`.
fn count(page: &str, part: &str) -> usize {
    page.matches(part).count()
}

/// The rows of a list, without those of what the gateway tells of itself.
async fn rows(visitor: &mut Visitor<'_>, query: &str) -> usize {
    let page = visitor.page(&format!("/dashboard/events?{query}")).await;
    count(&page, "<td data-label=\"Type\">") - count(&page, "<td data-label=\"Source\" class=\"nowrap\">hookward</td>")
}

#[tokio::test]
async fn events_are_found_by_what_they_are_and_by_what_became_of_them() {
    let gateway = Gateway::start(BUSY).await;
    for n in 0..3 {
        gateway.push(&format!("delivery-{n}"), format!("{{\"n\":{n}}}").as_bytes()).await;
    }
    gateway.push("delivery-0", b"{\"n\":0}").await;
    gateway.send("POST", "/in/open", &[], b"plain").await;
    gateway.api("POST", "/events", r#"{"type":"invoice.paid","payload":{"amount":250}}"#).await;
    settled(&gateway).await;
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    for (query, found) in [
        ("", 6),
        ("source=github", 4),
        ("source=publish", 1),
        ("destination=later", 1),
        ("destination=bad&source=github", 3),
        ("status=exhausted", 5),
        ("status=pending&destination=later", 1),
        ("status=delivered", 3),
        ("status=held", 0),
        ("type=push", 4),
        ("type=p*h", 4),
        ("type=invoice.*", 1),
        ("answer=exit", 5),
        ("answer=timeout", 0),
        ("answer=5xx", 0),
        ("duplicates=only", 1),
        ("duplicates=without&type=push", 3),
        ("q=delivery-1", 1),
        ("q=delivery-9", 0),
        ("since=1h", 6),
        ("until=2020-01-01T00:00", 0),
        ("from=2020-01-01T00:00Z", 6),
        ("body=body.amount+%3E+100", 1),
        ("body=source+%3D%3D+%22open%22&status=", 1),
    ] {
        assert_eq!(rows(&mut ada, query).await, found, "{query}");
    }
    assert_eq!(rows(&mut ada, "source=github&body=body.n+%3E+0").await, 2);
    let page = ada.page("/dashboard/events?source=open&body=body.n+%3E+0").await;
    assert!(text(&page).contains("The expression has no value for 1 event looked at."), "{page}");
    assert!(page.contains("Nothing like that"), "{page}");
    let page = ada.page("/dashboard/events").await;
    assert_eq!((count(&page, "Exhausted</span>"), count(&page, "Exit 7")), (5, 5));
    assert!(page.contains("published</span>") && page.contains("delivery-2") && page.contains("Duplicate"));
}

#[tokio::test]
async fn an_id_of_any_kind_leads_to_its_event() {
    let gateway = Gateway::start(BUSY).await;
    gateway.push("d", b"{}").await;
    settled(&gateway).await;
    let event = newest(&gateway).await;
    let delivery = gateway.get("/deliveries?state=exhausted").await["items"][0]["id"].as_str().unwrap().to_owned();
    let attempt =
        gateway.get(&format!("/deliveries/{delivery}")).await["attempts"][0]["id"].as_str().unwrap().to_owned();
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    for (id, more) in [
        (event.clone(), String::new()),
        (delivery.clone(), format!("?delivery={delivery}")),
        (attempt.clone(), format!("?delivery={delivery}&attempt=1")),
    ] {
        let found = ada.get(&format!("/dashboard/events?q={id}")).await;
        let path = format!("/dashboard/events/{event}{more}");
        assert_eq!((found.status, found.header("location")), (303, Some(path.as_str())), "{id}");
        let page = ada.page(&path).await;
        assert!(page.contains(&delivery) && page.contains("Exit 7"), "{page}");
        let missing = format!("{}{:032x}", &id[..4], 7);
        let answer = ada.get(&format!("/dashboard/events?q={missing}")).await;
        assert_eq!(answer.status, 422);
        assert!(answer.text().contains("There is nothing with this id.") && answer.text().contains(&missing));
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_where_it_was_typed() {
    let gateway = Gateway::start(BUSY).await;
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    for (query, says, kept) in [
        ("status=odd", "There is no such status.", "value=\"odd\""),
        ("source=nobody", "There is no source `nobody`.", "<option selected>nobody</option>"),
        ("destination=nobody", "There is no destination `nobody`.", "<option selected>nobody</option>"),
        ("since=2h", "There is no such span of time.", ""),
        ("from=yesterday", "Write a time like 2026-01-31T09:30, in UTC.", "value=\"yesterday\""),
        ("until=%3Cb%3E", "Write a time like 2026-01-31T09:30, in UTC.", "value=\"&#60;b&#62;\""),
        ("answer=700", "This is a status like 500 or 5xx, or one of the outcomes offered.", "value=\"700\""),
        ("duplicates=maybe", "Duplicates are shown as well, alone, or not at all.", ""),
        ("type=*a*a*a*a*a", "A pattern has at most 4 stars.", "value=\"*a*a*a*a*a\""),
        ("body=body.n+%3D%3D", "This is no expression:", "value=\"body.n ==\""),
    ] {
        let answer = ada.get(&format!("/dashboard/events?{query}")).await;
        assert_eq!(answer.status, 422, "{query}");
        assert!(text(&answer.text()).contains(says), "{query}: {}", answer.text());
        assert!(answer.text().contains(kept), "{query}: {}", answer.text());
    }
    let at_limit = ada.get(&format!("/dashboard/events?q={}", "x".repeat(1024))).await;
    let beyond = ada.get(&format!("/dashboard/events?q={}", "x".repeat(1025))).await;
    assert_eq!((at_limit.status, beyond.status), (200, 422));
    assert_eq!(ada.get("/dashboard/events?before=forged").await.status, 422);
}

#[tokio::test]
async fn a_list_goes_on_where_its_page_ends_and_tells_what_came_since() {
    let gateway = Gateway::start(BUSY).await;
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    let empty = ada.page("/dashboard/events").await;
    assert!(empty.contains("No events yet") && empty.contains("curl -X POST"));
    for n in 0..101 {
        gateway.push(&format!("d{n}"), n.to_string().as_bytes()).await;
    }
    let first = ada.page("/dashboard/events?type=push").await;
    assert_eq!(count(&first, "<td data-label=\"Type\">"), 50);
    assert!(!first.contains("rel=\"prev\"") && !first.contains("First page"));
    let link = |page: &str, mark: &str| {
        let (before, _) = page.split_once(mark)?;
        Some(text(before.rsplit_once('"')?.0.rsplit_once('"')?.1))
    };
    let older = link(&first, " rel=\"next\">Older").unwrap();
    let second = ada.page(&older).await;
    assert_eq!(link(&second, " rel=\"prev\">Newer").as_deref(), Some("/dashboard/events?type=push"));
    let third = ada.page(&link(&second, " rel=\"next\">Older").unwrap()).await;
    assert_eq!(count(&third, "<td data-label=\"Type\">"), 1);
    assert!(third.contains("d0</div>") && !third.contains("rel=\"next\"") && !third.contains("data-live"));
    assert_eq!(link(&third, " rel=\"prev\">Newer"), Some(older));
    assert_eq!(link(&third, ">First page").as_deref(), Some("/dashboard/events?type=push"));
    let news = link(&first, " data-every").unwrap();
    assert!(!ada.page(&news).await.contains(" new</a>"));
    gateway.push("one", b"more").await;
    gateway.send("POST", "/in/open", &[], b"of another type").await;
    settled(&gateway).await;
    let told = ada.page(&news).await;
    assert!(told.contains("href=\"/dashboard/events?type=push\">1 new</a>"), "{told}");
    let pending = ada.page("/dashboard/events?source=open").await;
    let news = link(&pending, " data-every").unwrap();
    let event = newest(&gateway).await;
    let told = ada.page(&news).await;
    assert!(told.contains(&format!("data-into=\"standing-{event}\"")) && told.contains("Exhausted"), "{told}");
}

#[tokio::test]
async fn an_event_shows_how_it_was_proven_what_it_says_and_what_became_of_it() {
    let gateway = Gateway::start(BUSY).await;
    let body = br#"{"b":1.0,"a":["x"]}"#;
    let signature = crate::support::sign(body);
    let headers = [
        ("x-github-event", "push"),
        ("x-github-delivery", "d-1"),
        ("x-hub-signature-256", signature.as_str()),
        ("authorization", "Bearer very-secret"),
        ("content-type", "application/json"),
    ];
    assert_eq!(gateway.send("POST", "/in/github", &headers, body).await.status, 202);
    settled(&gateway).await;
    let event = newest(&gateway).await;
    let path = format!("/dashboard/events/{event}");
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    let page = ada.page(&path).await;
    for part in ["The sender holds version 1 of the secret of github.", "<code>d-1</code>", "POST /in/github", "Exit 7"]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert_eq!((count(&page, "Covered</span>"), count(&page, "Not covered</span>")), (1, 3));
    assert!(page.contains("<span class=\"name\">&#34;b&#34;</span>: <span class=\"literal\">1.0</span>"), "{page}");
    assert!(!page.contains("very-secret"), "credentials are not kept");
    let curl = shown(&page, "curl");
    assert!(curl.starts_with("# left out: authorization\ncurl -X POST https://hookward.test/in/github"), "{curl}");
    assert!(curl.ends_with(r#"--data-raw '{"b":1.0,"a":["x"]}'"#), "{curl}");
    assert!(!page.contains("data-live="), "all is over");
    assert!(ada.page(&format!("{path}?body=hex")).await.contains("000000  7b 22 62 22 3a"));
    assert!(text(&ada.page(&format!("{path}?body=raw")).await).contains(r#">{"b":1.0,"a":["x"]}</pre>"#));
    let good = gateway.get("/deliveries?state=delivered").await["items"][0]["id"].as_str().unwrap().to_owned();
    let page = ada.page(&format!("{path}?delivery={good}&attempt=1")).await;
    assert!(page.contains("Exit 0") && page.contains("took &#60;b&#62;it&#60;/b&#62;"), "{page}");
    assert_eq!(count(&page, "<rect class=\"stage-run\""), 2, "its bar, and the legend");
    let saved = ada.get(&format!("/dashboard/deliveries/{good}/output")).await;
    assert_eq!((saved.status, saved.text().as_str()), (200, "took <b>it</b>"));
    gateway.push("d-1", b"{}").await;
    let again = ada.page(&format!("/dashboard/events/{}", newest(&gateway).await)).await;
    assert!(again.contains(&format!("It repeats <a href=\"{path}\">{event}</a>")), "{again}");
    gateway.send("POST", "/in/open", &[], b"").await;
    let open = ada.page(&format!("/dashboard/events/{}", newest(&gateway).await)).await;
    assert!(open.contains("Unsigned") && open.contains("It is empty.") && open.contains("data-live="), "{open}");
}

#[tokio::test]
async fn whatever_was_sent_is_text() {
    let gateway = Gateway::start(BUSY).await;
    let evil = "\"><script>window.__pwned=1</script><img src=x onerror=window.__pwned=1>{{7*7}}";
    let headers = [("x-evil", evil), ("user-agent", evil), ("idempotency-key", evil)];
    gateway.send("POST", &format!("/in/open?{}", "%3Cscript%3E"), &headers, evil.as_bytes()).await;
    let event = newest(&gateway).await;
    let turned = "{\"s\":\"\\ud800 \u{202e}\u{1b}[2J\"}";
    gateway.send("POST", "/in/open", &[("content-type", "application/json")], turned.as_bytes()).await;
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    for path in [
        "/dashboard/events".to_owned(),
        format!("/dashboard/events?q={}", "%22%3E%3Cscript%3Ewindow.__pwned"),
        format!("/dashboard/events?type={}", "%22%3E%3Cscript%3Ewindow.__pwned"),
        format!("/dashboard/events/{event}"),
        format!("/dashboard/events/{event}?body=raw"),
        format!("/dashboard/events/{event}?body=%22%3E%3Cscript%3E&delivery=%22%3E%3Cscript%3E"),
        format!("/dashboard/events/{event}/progress?delivery=%22%3E%3Cscript%3E"),
    ] {
        let page = ada.page(&path).await;
        assert_eq!((count(&page, "<script>"), count(&page, "<img src=x")), (0, 0), "{path}: {page}");
    }
    let page = ada.page(&format!("/dashboard/events/{event}")).await;
    assert!(page.contains("&#60;script&#62;window.__pwned=1&#60;/script&#62;"), "{page}");
    let page = ada.page(&format!("/dashboard/events/{}", newest(&gateway).await)).await;
    assert!(page.contains("\\ud800 \\u{202e}") && !page.contains('\u{202e}') && !page.contains('\u{1b}'), "{page}");
    let saved = ada.get(&format!("/dashboard/events/{event}/body")).await;
    assert_eq!((saved.status, saved.text().as_str()), (200, evil));
    assert_eq!(saved.header("content-type"), Some("application/octet-stream"));
    assert_eq!(saved.header("x-content-type-options"), Some("nosniff"));
    let name = format!("attachment; filename=\"{event}.body\"");
    assert_eq!(saved.header("content-disposition"), Some(name.as_str()));
    let raw = raw_head(&gateway, &ada, &format!("/dashboard/events/{event}/body")).await;
    assert!(raw.contains("content-security-policy: sandbox\r\n"), "{raw}");
}

/// The head of an answer as it came, with headers that stand there twice.
async fn raw_head(gateway: &Gateway, ada: &Visitor<'_>, path: &str) -> String {
    let cookie = format!("hookward_session={}", ada.cookie("hookward_session").unwrap());
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: hookward.test\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n");
    crate::support::raw(gateway.running.admin(), request.as_bytes()).await
}

#[tokio::test]
async fn an_event_is_owed_again_and_called_off_and_the_audit_log_says_who_asked() {
    let gateway = Gateway::start(BUSY).await;
    gateway.send("POST", "/in/open", &[], b"x").await;
    settled(&gateway).await;
    let event = newest(&gateway).await;
    let path = format!("/dashboard/events/{event}");
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    let redeliver = format!("{path}/redeliver");
    let sent = ada.submit(&path, &redeliver, &[("destination", "later")]).await;
    let page = ada.follow(&sent).await;
    assert!(page.contains("It is owed again") && page.contains("Asked for again, after dlv_"), "{page}");
    let entry = audited(&gateway, "event.redeliver").await;
    assert_eq!((&entry["actor"], &entry["target"]), (&json!("user:ada@example.com"), &json!(format!("event:{event}"))));
    let (_, rest) = page.split_once("/dashboard/deliveries/").unwrap();
    let delivery = &rest[..36];
    let cancel = format!("/dashboard/deliveries/{delivery}/cancel");
    let sent = ada.submit_on(&page, &cancel, &[]).await;
    let page = ada.follow(&sent).await;
    assert!(page.contains("What was outstanding is cancelled.") && page.contains("Cancelled</span>"), "{page}");
    let entry = audited(&gateway, "delivery.cancel").await;
    assert_eq!(
        (&entry["actor"], &entry["target"]),
        (&json!("user:ada@example.com"), &json!(format!("delivery:{delivery}")))
    );
    let late = ada.post(&cancel, &filled_in(&page, &redeliver, &[]), "same-origin").await;
    assert_eq!(late.status, 422, "{}", late.text());
    assert!(late.text().contains("it cannot be cancelled"), "{}", late.text());
    let nobody =
        ada.post(&redeliver, &with(&filled_in(&page, &redeliver, &[]), "destination", "nobody"), "same-origin").await;
    assert_eq!(nobody.status, 404);
    let elsewhere = ada.post(&redeliver, &filled_in(&page, &redeliver, &[]), "cross-site").await;
    assert_eq!(elsewhere.status, 403);
}

#[tokio::test]
async fn all_that_match_are_owed_again_when_their_number_is_meant() {
    let gateway = Gateway::start(BUSY).await;
    for n in 0..3 {
        gateway.push(&format!("d-{n}"), n.to_string().as_bytes()).await;
    }
    gateway.send("POST", "/in/open", &[], b"plain").await;
    settled(&gateway).await;
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    let all = "/dashboard/events/redeliver-all";
    assert!(!ada.page("/dashboard/events").await.contains(all), "everything is no filter");
    assert_eq!(ada.get(all).await.status, 422);
    let wanted = format!("{all}?destination=bad&source=github");
    assert!(
        text(&ada.page("/dashboard/events?source=github&destination=bad").await)
            .contains("source=github&destination=bad\">Redeliver all that match")
    );
    let asked = ada.page(&wanted).await;
    assert!(asked.contains("<strong>3 events</strong> will be owed again to <strong>bad</strong>"), "{asked}");
    // What comes now was not counted, and so is not meant.
    gateway.push("d-3", b"3").await;
    settled(&gateway).await;
    let deliveries =
        async || gateway.get("/deliveries?destination=bad&limit=100").await["items"].as_array().unwrap().len();
    let before = deliveries().await;
    let fewer = with(&filled_in(&asked, all, &[]), "count", "2");
    let refused = ada.post(all, &fewer, "same-origin").await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("Meanwhile it is another number.") && refused.text().contains("3 events"));
    assert_eq!(deliveries().await, before, "nothing was done");
    let done = ada.submit_on(&asked, all, &[]).await;
    assert!(ada.follow(&done).await.contains("It is owed again"));
    assert_eq!(deliveries().await, before + 3);
    assert_eq!(audited(&gateway, "event.redeliver").await["actor"], "user:ada@example.com");
    let none = ada.page(&format!("{all}?type=nothing")).await;
    assert!(none.contains("No event is as the filters want it.") && !none.contains("<button class=\"first\">"));
    let everyone = ada.page(&format!("{all}?type=pu*&body=body+%3D%3D+1")).await;
    assert!(everyone.contains("<strong>1 event</strong> will be owed again, each to every destination"), "{everyone}");
    assert_eq!(ada.get(&format!("{all}?type=push&from=yesterday")).await.status, 422);
    let forged = with(&filled_in(&asked, all, &[]), "newest", "forged");
    assert_eq!(ada.post(all, &forged, "same-origin").await.status, 422);
}

fn with(fields: &[(String, String)], name: &str, value: &str) -> Vec<(String, String)> {
    let others = fields.iter().filter(|(is, _)| is != name).cloned();
    others.chain([(name.to_owned(), value.to_owned())]).collect()
}

#[tokio::test]
async fn several_are_chosen_and_owed_again_or_called_off() {
    let gateway = Gateway::start(BUSY).await;
    for n in 0..3 {
        gateway.send("POST", "/in/open", &[], n.to_string().as_bytes()).await;
    }
    settled(&gateway).await;
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    let list = "/dashboard/events?source=open";
    let page = ada.page(list).await;
    let act = "/dashboard/events/redeliver";
    let mut fields = filled_in(&page, act, &[]);
    let listed = gateway.get("/events?source=open").await;
    let ids: Vec<String> =
        listed["items"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.iter().all(|id| page.contains(&format!("name=\"event\" value=\"{id}\""))), "{page}");
    let none = ada.post(act, &fields, "same-origin").await;
    assert_eq!((none.status, none.text().contains("Choose events first.")), (422, true));
    fields.extend(ids[..2].iter().map(|id| ("event".to_owned(), id.clone())));
    let done = ada.post(act, &fields, "same-origin").await;
    assert_eq!(done.header("location"), Some("/dashboard/events?source=open&notice=redelivered"));
    assert!(ada.follow(&done).await.contains("It is owed again"));
    settled(&gateway).await;
    let owed = gateway.get("/deliveries?destination=later").await["items"].as_array().unwrap().len();
    assert_eq!(owed, 5, "each of two once more");
    let done = ada.post("/dashboard/events/cancel", &fields, "same-origin").await;
    assert!(ada.follow(&done).await.contains("What was outstanding is cancelled."));
    let left = gateway.get("/deliveries?destination=later&state=pending").await["items"].as_array().unwrap().len();
    assert_eq!(left, 1, "what was not chosen stays");
    let again = ada.post("/dashboard/events/cancel", &fields, "same-origin").await;
    assert!(ada.follow(&again).await.contains("Nothing of that was outstanding."));
    fields.push(("event".to_owned(), format!("evt_{:032x}", 7)));
    let some = ada.post(act, &fields, "same-origin").await;
    assert_eq!(some.status, 200);
    assert!(some.text().contains("2 of 3 events are owed again.") && some.text().contains("there is no event"));
    let stray = with(&fields[..3], "back", "//evil.example");
    let stray = ada.post("/dashboard/events/cancel", &with(&stray, "event", &ids[2]), "same-origin").await;
    assert_eq!(stray.header("location"), Some("/dashboard/events?notice=cancelled"));
    let many: Vec<_> = (0..101).map(|_| ("event".to_owned(), ids[0].clone())).chain(fields[..2].to_vec()).collect();
    assert_eq!(ada.post(act, &many, "same-origin").await.status, 422);
}

#[tokio::test]
async fn who_may_only_read_sees_no_buttons_and_is_refused() {
    let gateway = Gateway::start(BUSY).await;
    gateway.send("POST", "/in/open", &[], b"x").await;
    let event = newest(&gateway).await;
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    let page = ada.page(&format!("/dashboard/events/{event}")).await;
    let act = format!("/dashboard/events/{event}/redeliver");
    assert!(page.contains(&act));
    let mut vera = gateway.visitor("vera@example.com", &["read"]).await;
    let list = vera.page("/dashboard/events").await;
    let page = vera.page(&format!("/dashboard/events/{event}")).await;
    assert!(!list.contains("type=\"checkbox\"") && !list.contains("/dashboard/events/redeliver"));
    assert!(!page.contains(&act) && !page.contains("/cancel\""));
    // With a form of her own.
    let form = filled_in(&page, "/dashboard/sign-out", &[]);
    for path in
        [act.as_str(), "/dashboard/events/redeliver", "/dashboard/events/cancel", "/dashboard/deliveries/x/cancel"]
    {
        assert_eq!(vera.post(path, &form, "same-origin").await.status, 403, "{path}");
    }
    let mut stranger = gateway.stranger();
    for path in ["/dashboard/events", &format!("/dashboard/events/{event}/body")] {
        let sent = stranger.get(path).await;
        assert!(sent.header("location").is_some_and(|to| to.starts_with("/dashboard/sign-in?next=")), "{path}");
    }
}

#[tokio::test]
async fn what_is_another_organizations_is_not_there() {
    let gateway = Gateway::start(BUSY).await;
    let made = gateway.api("POST", "/organizations", r#"{"name":"acme","key_prefix":"acme"}"#).await.json();
    let key = format!("Bearer {}", made["key"].as_str().unwrap());
    let publish = |body: &'static str| {
        let headers = [("authorization", key.clone()), ("content-type", "application/json".to_owned())];
        let admin = gateway.running.admin();
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            send(admin, "POST", "/api/v1/events", &headers, body.as_bytes()).await
        }
    };
    let theirs: Answer = publish(r#"{"type":"theirs","payload":1}"#).await;
    let event = theirs.json()["eventId"].as_str().unwrap().to_owned();
    let mut ada = gateway.visitor("ada@example.com", &SCOPES).await;
    assert!(!ada.page("/dashboard/events").await.contains("theirs"));
    for path in ["", "/progress", "/body"] {
        assert_eq!(ada.get(&format!("/dashboard/events/{event}{path}")).await.status, 404, "{path}");
    }
    let answer = ada.get(&format!("/dashboard/events?q={event}")).await;
    assert!(answer.text().contains("There is nothing with this id."));
    let token = filled_in(&ada.page("/dashboard/events").await, "/dashboard/sign-out", &[]);
    let redeliver = ada.post(&format!("/dashboard/events/{event}/redeliver"), &token, "same-origin").await;
    assert_eq!(redeliver.status, 404);
    for odd in ["evt_x", "%00", "dlv_019c1f2e5d4a7b3c8d6e9f0a1b2c3d4e"] {
        assert_eq!(ada.get(&format!("/dashboard/events/{odd}")).await.status, 404, "{odd}");
    }
}
