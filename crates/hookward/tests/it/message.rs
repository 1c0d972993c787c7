//! Tests of the header containers.

use std::collections::{BTreeMap, HashMap};

use hookward::Headers;

fn first_and_second(headers: &dyn Headers) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    (headers.nth("x-A", 0).map(<[u8]>::to_vec), headers.nth("x-A", 1).map(<[u8]>::to_vec))
}

#[test]
fn every_container_answers_without_regard_to_case() {
    let pairs = [("X-a", "1"), ("X-b", "2")];
    let one = (Some(b"1".to_vec()), None);
    assert_eq!(first_and_second(&pairs), one);
    assert_eq!(first_and_second(&pairs.as_slice()), one);
    assert_eq!(first_and_second(&pairs.to_vec()), one);
    assert_eq!(first_and_second(&HashMap::<String, Vec<u8>>::from([("X-A".into(), b"1".to_vec())])), one);
    assert_eq!(first_and_second(&BTreeMap::from([("x-a", "1")])), one);
}

#[test]
fn repeated_headers_are_seen_in_order() {
    assert_eq!(first_and_second(&[("x-a", "1"), ("n", "-"), ("X-A", "2")]), (Some(b"1".to_vec()), Some(b"2".to_vec())));
    assert_eq!(first_and_second(&HashMap::from([("x-a", "1"), ("n", "-")])), (Some(b"1".to_vec()), None));
}

#[test]
fn the_first_two_are_what_one_by_one_gives() {
    let check = |headers: &dyn Headers| {
        for name in ["x-a", "X-B", "absent"] {
            assert_eq!(headers.first_two(name), [headers.nth(name, 0), headers.nth(name, 1)]);
        }
    };
    let pairs = [("x-a", "1"), ("x-b", "-"), ("X-A", "2"), ("X-a", "3")];
    check(&pairs);
    check(&pairs.to_vec());
    check(&&pairs);
    check(&HashMap::from(pairs));
    check(&BTreeMap::from(pairs));
}
