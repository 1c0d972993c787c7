//! What senders are answered that insist on an answer, and when.

use hookward::{Draft, Secret, UnixTime, catalog};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway};

const SECRET: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";

const SOURCE: &str =
    "limits = { body_bytes = 2000, bodies_bytes = 2000 }\n[[source]]\nname = \"adyen\"\nscheme = \"adyen-standard\"\n";

/// One notification of a batch of one, signed.
fn notification(reference: &str, secret: &str) -> Vec<u8> {
    let item = json!({
        "pspReference": reference, "merchantAccountCode": "Acme", "merchantReference": "Order-1",
        "amount": { "currency": "EUR", "value": 1130 }, "eventCode": "AUTHORISATION", "success": "true", "additionalData": {},
    });
    let body = json!({ "live": "false", "notificationItems": [{ "NotificationRequestItem": item }] }).to_string();
    let scheme = catalog::find("adyen-standard").unwrap();
    let key = scheme.key(1, &Secret::new(secret).unwrap()).unwrap();
    let draft = Draft { id: "", event_type: "", method: "POST", url: "/", body: body.as_bytes() };
    scheme.sign(&draft, &[key], UnixTime::from_secs(0)).unwrap().body.unwrap()
}

impl Gateway {
    async fn with_adyen(more: &str) -> Self {
        let gateway = Self::start(&format!("{SOURCE}{more}")).await;
        let secret = json!({ "secret": SECRET }).to_string();
        assert_eq!(gateway.api("POST", "/sources/adyen/secrets", &secret).await.status, 201);
        gateway
    }

    async fn notify(&self, body: &[u8]) -> Answer {
        self.send("POST", "/in/adyen", &[("content-type", "application/json")], body).await
    }
}

#[tokio::test]
async fn a_provider_that_insists_hears_what_it_wants_of_what_is_safe_and_of_nothing_else() {
    let gateway = Gateway::with_adyen("").await;
    let said = |answer: &Answer| (answer.status, answer.text(), answer.header("content-type").map(str::to_owned));
    let accepted = (200, "[accepted]".to_owned(), Some("text/plain".to_owned()));
    let body = notification("7914073381342284", SECRET);
    assert_eq!(said(&gateway.notify(&body).await), accepted);
    let events = gateway.get("/events").await;
    assert_eq!(events["items"].as_array().unwrap().len(), 1);
    let event = events["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.api("GET", &format!("/events/{event}/body"), "").await.body, body);
    assert_eq!(said(&gateway.notify(&body).await), accepted, "a repeat is safe, too");

    let forged = gateway.notify(&notification("8", &SECRET.replace('4', "5"))).await;
    assert_eq!((forged.status, forged.text().as_str()), (401, r#"{"error":"Unauthorized"}"#));
    let mut slow = tokio::net::TcpStream::connect(gateway.running.public()).await.unwrap();
    let head = "POST /in/adyen HTTP/1.1\r\nhost: x\r\ncontent-length: 2000\r\nexpect: 100-continue\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut slow, head.as_bytes()).await.unwrap();
    crate::support::read_until(&mut slow, "\r\n\r\n").await;
    tokio::io::AsyncWriteExt::write_all(&mut slow, &[b'x'; 1999]).await.unwrap();
    // The first of these may come before the slow one's bytes are read.
    let other = notification("9", SECRET);
    let mut answer = gateway.notify(&other).await;
    for _ in 0..1000 {
        if answer.status != 200 {
            break;
        }
        answer = gateway.notify(&other).await;
    }
    assert_eq!(answer.status, 503, "there is no room to keep it");
    assert!(!answer.text().contains("accepted"));
}

#[tokio::test]
async fn what_the_source_says_itself_goes_before() {
    let gateway = Gateway::with_adyen("answers = { accepted = { status = 202, body = \"ok\" } }").await;
    let body = notification("1", SECRET);
    let first = gateway.notify(&body).await;
    assert_eq!((first.status, first.text().as_str()), (202, "ok"));
    let again = gateway.notify(&body).await;
    assert_eq!((again.status, again.text().as_str()), (200, "[accepted]"));
    let door = gateway.get("/sources/adyen").await["door"]["answers"].clone();
    assert_eq!(door["duplicate"], json!({ "status": 200, "body": "[accepted]", "content_type": "text/plain" }));
}

#[tokio::test]
async fn the_verdict_of_an_event_tells_what_is_covered_and_how_soundly() {
    let gateway = Gateway::with_adyen("").await;
    gateway.notify(&notification("1", SECRET)).await;
    let events = gateway.get("/events").await;
    let shown = gateway.get(&format!("/events/{}", events["items"][0]["id"].as_str().unwrap())).await;
    let verdict: &Value = &shown["verdict"];
    assert_eq!(
        verdict["binds"],
        json!({ "body": false, "part_of_body": true, "time": false, "url": false, "id": true, "unique": true })
    );
    assert_eq!(verdict["is_weak"], false);
}
