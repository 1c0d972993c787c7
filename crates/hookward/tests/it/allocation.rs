//! Holds that verifying takes no heap where it needs none. The counter counts this thread alone, so tests may run beside it.

use hookward::UnixTime;

use crate::support::{Request, keys, scheme};

fn allocations(name: &str, secret: &str, event_type: &str) -> u64 {
    let scheme = scheme(name);
    let keys = keys(scheme, &["0123456789", secret]);
    let body = format!("{{\"type\":\"user.created\",\"data\":\"{}\"}}", "x".repeat(1024));
    let now = UnixTime::from_secs(1_700_000_000);
    let draft = hookward::Draft { id: "id-1", event_type, method: "POST", url: "/", body: body.as_bytes() };
    let signed = scheme.sign(&draft, &keys[1..], now).unwrap();
    let headers: Vec<(&str, &str)> = signed.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let request = Request::post(&headers, &body);
    let counted = allocation_counter::measure(|| {
        let verified = request.verify(scheme, &keys, now).unwrap();
        assert_eq!(verified.key_version(), 1);
    });
    counted.count_total
}

#[test]
fn a_body_only_scheme_verifies_without_the_heap() {
    assert_eq!(allocations("github", "It's a Secret to Everybody", "push"), 0);
    assert_eq!(allocations("github-sha1", "It's a Secret to Everybody", "push"), 0);
    assert_eq!(allocations("shopify", "hush", "orders/create"), 0);
    assert_eq!(allocations("qlens", "hush", ""), 0);
}

#[test]
fn so_does_one_that_signs_more_than_the_body() {
    assert_eq!(allocations("qflow", "c2l4dGVlbiBieXRlIGtleQ==", ""), 0);
    assert_eq!(allocations("gitlab-token", "a plain token", "Push Hook"), 0);
    assert_eq!(allocations("standard-webhooks", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ""), 0);
    assert_eq!(allocations("stripe", "whsec_one", ""), 0);
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocation_counter::measure(|| drop(std::hint::black_box(Box::new(7)))).count_total, 1);
}
