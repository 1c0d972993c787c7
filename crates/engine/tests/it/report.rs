//! Tests of `destination/report.rs`, through the corridor: a delivery ends, and the code host hears of it.

use crate::{ORG, by};
use std::time::Duration;

use hookward::Secret;
use hookward_engine::model::{
    Delivery, DeliveryCause, DeliveryState, DestinationKind, Outcome, ReportProvider, ReportSpec, Signing,
};
use hookward_engine::{Declared, DeclaredDestination, DeclaredSecret};

use crate::support::code_host::{CodeHost, Host, SHA, TOKEN};
use crate::support::receiver::Receiver;
use crate::support::{Rig, SECRET, github, http_to, push};

fn report(name: &str, host: &CodeHost, provider: ReportProvider) -> DeclaredDestination {
    let mut destination = http_to(name, String::new());
    destination.spec.kind = DestinationKind::Report(ReportSpec {
        of: "scan".to_owned(),
        provider,
        api_url: host.url(),
        status: Some("hookward/scan".to_owned()),
        check_run: (provider == ReportProvider::Github).then(|| "scan".to_owned()),
        comment: true,
        allow_addresses: vec!["127.0.0.0/8".parse().unwrap()],
    });
    destination.spec.signing = vec![Signing::by("bearer")];
    destination.secrets = vec![DeclaredSecret::new("bearer", Secret::new(TOKEN).unwrap())];
    destination
}

/// A source whose events go to `scan`, whose ends are told to the host.
async fn rig(receiver: &Receiver, host: &CodeHost, provider: ReportProvider) -> Rig {
    let mut scan = http_to("scan", receiver.url());
    scan.spec.retry.waits_s = vec![5];
    Rig::new(Declared {
        sources: vec![github()],
        destinations: vec![scan, report("tell", host, provider)],
        ..Declared::default()
    })
    .await
}

fn pull_request(n: u32) -> String {
    format!(
        r#"{{"n":{n},"repository":{{"full_name":"acme/web"}},"pull_request":{{"number":7,"head":{{"sha":"{SHA}"}}}}}}"#
    )
}

fn merge_request(n: u32) -> String {
    format!(
        r#"{{"n":{n},"project":{{"path_with_namespace":"acme/web"}},"object_attributes":{{"iid":7,"last_commit":{{"id":"{SHA}"}}}}}}"#
    )
}

async fn of(rig: &Rig, name: &str) -> Vec<Delivery> {
    rig.deliveries().await.into_iter().filter(|delivery| delivery.destination_name == name).collect()
}

#[tokio::test]
async fn a_delivery_that_ends_well_is_told_as_status_check_run_and_comment() {
    let (receiver, host) = (Receiver::start().await, CodeHost::start(Host::Github).await);
    let rig = rig(&receiver, &host, ReportProvider::Github).await;
    rig.send(push(SECRET, "d-1", &pull_request(1))).await;
    assert!(of(&rig, "tell").await.is_empty(), "told before it ended");
    rig.engine.run_until_idle().await;
    let scan = of(&rig, "scan").await.remove(0);
    let told = of(&rig, "tell").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].cause, DeliveryCause::Outcome { of: scan.id });
    assert!(matches!(told[0].state, DeliveryState::Delivered { .. }));
    let state = host.faultless();
    assert_eq!(state.statuses[0]["state"], "success");
    assert_eq!(state.statuses[0]["context"], "hookward/scan");
    assert_eq!(state.check_runs[0]["conclusion"], "success");
    assert_eq!(state.check_runs[0]["external_id"], scan.id.to_string());
    let comments: Vec<_> = state.comments.values().collect();
    assert_eq!(comments.len(), 1);
    assert!(comments[0].1.starts_with("<!-- hookward:scan -->\n**scan** on 0123456789"), "{}", comments[0].1);
}

#[tokio::test]
async fn the_comment_is_made_once_and_then_updated_whoever_else_uses_its_mark() {
    for (host, provider, body) in [
        (Host::Github, ReportProvider::Github, pull_request as fn(u32) -> String),
        (Host::Gitlab, ReportProvider::Gitlab, merge_request),
    ] {
        let (receiver, host) = (Receiver::start().await, CodeHost::start(host).await);
        // More than one page, and a stranger's comment under our mark.
        let strangers = (1..=60).map(|id| (id, (false, "looks good".to_owned())));
        host.state.lock().unwrap().comments = strangers.collect();
        host.state.lock().unwrap().comments.insert(61, (false, "<!-- hookward:scan -->\nfooled you".to_owned()));
        let rig = rig(&receiver, &host, provider).await;
        for n in 1..=3 {
            rig.send(push(SECRET, &format!("d-{n}"), &body(n))).await;
            rig.engine.run_until_idle().await;
        }
        let state = host.faultless();
        let ours: Vec<_> = state.comments.iter().filter(|(_, (own, _))| *own).collect();
        assert_eq!(ours.len(), 1, "{ours:?}");
        assert_eq!(state.statuses.len(), 3);
        assert_eq!(state.comments[&61].1, "<!-- hookward:scan -->\nfooled you");
    }
}

#[tokio::test]
async fn a_delivery_is_told_of_when_it_is_exhausted_and_not_before() {
    let (receiver, host) = (Receiver::start().await, CodeHost::start(Host::Github).await);
    let rig = rig(&receiver, &host, ReportProvider::Github).await;
    receiver.answer_next("500 Oops", "");
    receiver.answer_next("500 Oops", "");
    rig.send(push(SECRET, "d-1", &pull_request(1))).await;
    rig.engine.run_until_idle().await;
    assert!(of(&rig, "tell").await.is_empty(), "told although it is tried again");
    rig.clock.advance(Duration::from_secs(5));
    rig.engine.run_until_idle().await;
    assert!(matches!(of(&rig, "scan").await[0].state, DeliveryState::Exhausted { .. }));
    let state = host.faultless();
    assert_eq!(state.statuses[0]["state"], "error");
    assert_eq!(state.statuses[0]["description"], "did not finish: answered 500");
}

#[tokio::test]
async fn a_host_that_is_down_or_too_busy_is_told_later_and_nothing_is_made_twice() {
    let (receiver, host) = (Receiver::start().await, CodeHost::start(Host::Github).await);
    let rig = rig(&receiver, &host, ReportProvider::Github).await;
    // The status is set, the check run made, and then the host breaks.
    let unhappy = [(201, ""), (503, "retry-after: 60\r\n")];
    host.state.lock().unwrap().answers = unhappy.to_vec();
    rig.send(push(SECRET, "d-1", &pull_request(1))).await;
    rig.engine.run_until_idle().await;
    let told = of(&rig, "tell").await.remove(0);
    assert!(matches!(told.state, DeliveryState::Pending { .. }));
    rig.clock.advance(Duration::from_secs(60));
    rig.engine.run_until_idle().await;
    let (told, attempts) = rig.engine.store().delivery(ORG, told.id).await.unwrap();
    assert!(matches!(told.state, DeliveryState::Delivered { .. }));
    assert_eq!(attempts.iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(), [Outcome::Status, Outcome::Success]);
    assert!(attempts[0].detail.contains("check-runs answered 503"), "{attempts:?}");
    let state = host.faultless();
    assert_eq!((state.check_runs.len(), state.comments.len()), (1, 1));
}

#[tokio::test]
async fn an_ambiguous_check_run_is_found_again_by_its_delivery() {
    let (receiver, host) = (Receiver::start().await, CodeHost::start(Host::Github).await);
    let rig = rig(&receiver, &host, ReportProvider::Github).await;
    rig.send(push(SECRET, "d-1", &pull_request(1))).await;
    rig.engine.run_until_idle().await;
    // The same end told again.
    let told = of(&rig, "tell").await.remove(0);
    let (_, attempts) = rig.engine.store().delivery(ORG, told.id).await.unwrap();
    assert_eq!(attempts.len(), 1);
    let event = rig.deliveries().await[0].event;
    rig.engine.redeliver(event, Some("scan"), &by("test")).await.unwrap();
    rig.engine.run_until_idle().await;
    // Another delivery of the scan is another run of the check, and the same comment.
    let made = {
        let state = host.faultless();
        (state.check_runs.len(), state.comments.len(), state.statuses.len())
    };
    assert_eq!(made, (2, 1, 2));
    let refused = rig.engine.redeliver(event, Some("tell"), &by("test")).await.unwrap_err();
    assert_eq!(refused.to_string(), "`tell` tells how `scan` ends: redeliver to `scan`");
}

#[tokio::test]
async fn a_form_is_read_like_the_json_in_it() {
    let (receiver, host) = (Receiver::start().await, CodeHost::start(Host::Github).await);
    let rig = rig(&receiver, &host, ReportProvider::Github).await;
    let json = pull_request(1);
    let form = format!("payload={}", percent_encoding::utf8_percent_encode(&json, percent_encoding::NON_ALPHANUMERIC));
    let mut request = push(SECRET, "d-1", &form);
    request.headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".into()));
    rig.send(request).await;
    rig.engine.run_until_idle().await;
    assert_eq!(host.faultless().statuses.len(), 1);
}

#[tokio::test]
async fn an_event_without_a_commit_has_nothing_to_tell() {
    let (receiver, host) = (Receiver::start().await, CodeHost::start(Host::Github).await);
    let rig = rig(&receiver, &host, ReportProvider::Github).await;
    let deleted = format!(r#"{{"repository":{{"full_name":"acme/web"}},"after":"{}"}}"#, "0".repeat(40));
    rig.send(push(SECRET, "d-1", &deleted)).await;
    rig.engine.run_until_idle().await;
    assert!(matches!(of(&rig, "tell").await[0].state, DeliveryState::Delivered { .. }));
    assert!(host.faultless().calls.is_empty());
}

#[tokio::test]
async fn a_cancelled_delivery_is_not_told_of() {
    let (receiver, host) = (Receiver::start().await, CodeHost::start(Host::Github).await);
    let rig = rig(&receiver, &host, ReportProvider::Github).await;
    rig.send(push(SECRET, "d-1", &pull_request(1))).await;
    let scan = of(&rig, "scan").await.remove(0);
    rig.engine.cancel(scan.id, &by("test")).await.unwrap();
    rig.engine.run_until_idle().await;
    assert_eq!(rig.deliveries().await.len(), 1);
}
