//! Requests that are carried out once, as every store must keep them.

use bytes::Bytes;
use hookward_engine::ids::OrganizationId;
use hookward_engine::store::*;

use super::support::*;

fn key(n: u8) -> RequestKey {
    RequestKey { organization: OrganizationId::DEFAULT, digest: [n; 32] }
}

fn request(n: u8, fingerprint: u8) -> NewRequest {
    NewRequest { key: key(n), fingerprint: [fingerprint; 32], expires_at: at(1000) }
}

fn answer() -> KeptAnswer {
    KeptAnswer { status: 201, body: Bytes::from_static(b"{}"), is_whole: true }
}

pub(crate) async fn a_request_is_begun_once_and_its_answer_comes_back(store: &Shared) {
    assert_eq!(store.begin(request(1, 1), at(1)).await, Ok(Known::Begun));
    assert_eq!(store.begin(request(1, 1), at(2)).await, Ok(Known::Unfinished));
    assert_eq!(store.begin(request(1, 2), at(2)).await, Ok(Known::Another));
    store.keep_answer(key(1), answer()).await.unwrap();
    assert_eq!(store.begin(request(1, 1), at(3)).await, Ok(Known::Answered(answer())));
    assert_eq!(store.begin(request(1, 2), at(3)).await, Ok(Known::Another));
    let part = KeptAnswer { is_whole: false, ..answer() };
    assert_eq!(store.begin(request(2, 1), at(3)).await, Ok(Known::Begun));
    store.keep_answer(key(2), part.clone()).await.unwrap();
    assert_eq!(store.begin(request(2, 1), at(3)).await, Ok(Known::Answered(part)));
}

pub(crate) async fn a_request_given_up_may_be_begun_again(store: &Shared) {
    assert_eq!(store.begin(request(1, 1), at(1)).await, Ok(Known::Begun));
    store.give_up(key(1)).await.unwrap();
    assert_eq!(store.begin(request(1, 2), at(2)).await, Ok(Known::Begun));
    store.keep_answer(key(1), answer()).await.unwrap();
    store.give_up(key(1)).await.unwrap();
    assert_eq!(store.begin(request(1, 2), at(3)).await, Ok(Known::Answered(answer())), "what was answered stays");
}

pub(crate) async fn a_request_is_another_organizations_own(store: &Shared) {
    let other = RequestKey { organization: OrganizationId::from_bytes(id_bytes(9, 2)), ..key(1) };
    assert_eq!(store.begin(request(1, 1), at(1)).await, Ok(Known::Begun));
    let theirs = NewRequest { key: other, ..request(1, 2) };
    assert_eq!(store.begin(theirs, at(1)).await, Ok(Known::Begun));
}

pub(crate) async fn a_request_is_remembered_until_its_end(store: &Shared) {
    assert_eq!(store.begin(request(1, 1), at(1)).await, Ok(Known::Begun));
    store.keep_answer(key(1), answer()).await.unwrap();
    assert_eq!(store.begin(request(1, 1), at(999)).await, Ok(Known::Answered(answer())));
    let later = NewRequest { expires_at: at(5000), ..request(1, 2) };
    assert_eq!(store.begin(later, at(1000)).await, Ok(Known::Begun));
    assert_eq!(store.begin(request(1, 2), at(1001)).await, Ok(Known::Unfinished));
}
