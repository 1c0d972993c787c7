//! Tests of the verdict.

use hookward::{Message, Secret, UnixTime, catalog};

#[test]
fn the_documented_github_example_verifies() {
    let github = catalog::find("github").unwrap();
    let key = github.key(3, &Secret::new("It's a Secret to Everybody").unwrap()).unwrap();
    let headers = [("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")];
    let message = Message { method: "POST", url: "/", headers: &headers, body: b"Hello, World!" };
    let verified = github.verify(&message, &[key], UnixTime::from_secs(0)).unwrap();
    assert_eq!(verified.key_version(), 3);
    assert!(verified.binds().body);
}
