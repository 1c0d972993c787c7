//! Tests of what a template is filled with, where it takes more than a template to tell.

use hookward::Refusal;

use crate::language::{URL, hmac, honest, verify};

#[test]
fn headers_that_are_listed_are_signed_up_to_a_limit() {
    let listing = |count: usize| {
        let names: Vec<String> = (1..count).map(|n| format!("X-{n}")).chain(["x-list".to_owned()]).collect();
        let list = names.join(", ");
        let value = |name: &str| if name == "x-list" { list.clone() } else { format!("value of {name}") };
        let lines: Vec<String> = names.iter().map(|name| format!("{}:{}", name.to_lowercase(), value(name))).collect();
        // The same bytes under a scheme that signs bodies give the signature.
        let mut request = honest(&hmac("{body}"), URL, &format!("{}.{{}}", lines.join(";")));
        request.headers.extend(names.iter().map(|name| (name.clone(), value(name).into_bytes())));
        request.body = b"{}".to_vec();
        verify(&hmac("{headers:X-List}.{body}"), &request).map(drop)
    };
    assert_eq!(listing(1), Ok(()));
    assert_eq!(listing(64), Ok(()));
    assert_eq!(listing(65), Err(Refusal::PartMalformed));
}
