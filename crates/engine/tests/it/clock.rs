//! Tests of `clock/step.rs` through the engine: a wall clock that is set is noticed, and believes nobody the more for it.

use std::time::Duration;

use hookward::{Draft, Refusal, Secret, UnixTime};
use hookward_engine::clock::Clock;
use hookward_engine::model::Proof;
use hookward_engine::{Declared, InboundRequest, Receipt};

use crate::support::{Rig, github};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[tokio::test]
async fn a_wall_clock_that_is_set_back_is_noticed_and_believes_nobody_from_the_future() {
    let mut source = github();
    source.spec.proof = Proof::by("standard-webhooks");
    source.secret = Some(Secret::new(SECRET).unwrap());
    let rig = Rig::new(Declared { sources: vec![source], destinations: vec![], ..Declared::default() }).await;
    rig.clock.advance(Duration::from_secs(2 * 3600));
    assert_eq!(rig.engine.clock_step(), None);
    let true_time = UnixTime::from_millis(rig.clock.now().as_millis());
    rig.clock.set_back(Duration::from_secs(3600));
    assert_eq!(rig.engine.clock_step().map(|step| step.by_ms), Some(-3_600_000));
    let receipt = rig.send(signed("d-1", "{}", true_time)).await;
    assert!(matches!(receipt, Receipt::Refused(Refusal::TimestampTooNew { ahead_s: 3600 })), "{receipt:?}");
}

/// A request under Standard Webhooks, signed at `at`.
fn signed(id: &str, body: &str, at: UnixTime) -> InboundRequest {
    let scheme = hookward::catalog::find("standard-webhooks").unwrap();
    let key = scheme.key(1, &Secret::new(SECRET).unwrap()).unwrap();
    let draft = Draft { id, event_type: "a", method: "POST", url: "/", body: body.as_bytes() };
    let signed = scheme.sign(&draft, &[key], at).unwrap();
    let headers = signed.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.into()));
    InboundRequest {
        method: "POST".to_owned(),
        url: "/in/github".to_owned(),
        headers: headers.collect(),
        body: body.to_owned().into(),
        remote: String::new(),
    }
}
