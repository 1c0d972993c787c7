//! The replay guard: what it knows, what it forgets, and that it does not grow.

use std::time::Duration;

use hookward::{Admission, Draft, Message, ReplayGuard, ReplayKey, UnixTime, Verifier};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn later(secs: i64) -> UnixTime {
    UnixTime::from_secs(NOW.as_secs() + secs)
}

fn key(number: u32) -> ReplayKey {
    let verifier = Verifier::new("github", ["x"]).unwrap();
    let body = number.to_string();
    let draft = Draft { id: "", event_type: "", method: "POST", url: "https://example.com", body: body.as_bytes() };
    let signed = verifier.sign(&draft, NOW).unwrap();
    let request = Message { method: "POST", url: "/", headers: &signed.headers, body: body.as_bytes() };
    verifier.replay_key(&verifier.verify(&request, NOW).unwrap(), body.as_bytes()).unwrap()
}

fn take(guard: &ReplayGuard, number: u32, now: UnixTime) {
    let Admission::First(ticket) = guard.admit(key(number), now) else { panic!("{number} came before") };
    ticket.keep(now);
}

#[test]
fn what_was_taken_is_known_until_the_window_ends() {
    let guard = ReplayGuard::new(10, MINUTE);
    take(&guard, 1, NOW);
    let clone = guard.clone();
    assert!(matches!(clone.admit(key(1), later(59)), Admission::Taken));
    assert!(matches!(guard.admit(key(2), later(59)), Admission::First(_)));
    assert!(matches!(guard.admit(key(1), later(60)), Admission::First(_)));
    assert!(guard.is_empty());
}

#[test]
fn what_failed_may_come_again_and_what_is_under_way_may_not() {
    let guard = ReplayGuard::new(10, MINUTE);
    let Admission::First(ticket) = guard.admit(key(1), NOW) else { panic!() };
    assert!(matches!(guard.admit(key(1), NOW), Admission::UnderWay));
    drop(ticket);
    assert!(matches!(guard.admit(key(1), NOW), Admission::First(_)));
}

#[test]
fn it_holds_its_capacity_and_forgets_the_oldest() {
    let guard = ReplayGuard::new(3, MINUTE);
    for number in 0..4 {
        take(&guard, number, NOW);
        assert!(guard.len() <= 3);
    }
    assert!(matches!(guard.admit(key(0), NOW), Admission::First(_)));
    for number in 1..4 {
        assert!(matches!(guard.admit(key(number), NOW), Admission::Taken), "{number}");
    }
}
