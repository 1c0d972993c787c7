//! What is declared, as every store must keep it.

use std::time::Duration;

use hookward_engine::clock::Timestamp;
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::*;
use hookward_engine::store::*;

use super::support::*;

async fn load(store: &Shared) -> Resources {
    store.load().await.unwrap()
}

pub(crate) async fn what_is_declared_comes_back(store: &Shared) {
    let mut removed = source(2);
    removed.removed_at = Some(at(9));
    let mut http = destination(1);
    http.spec.kind = DestinationKind::Http(HttpSpec {
        url: "https://example.com/hook".to_owned(),
        forward_headers: vec!["x-github-*".to_owned()],
        set_headers: vec![("X-Organization-Id".to_owned(), "acme".to_owned())],
        allow_addresses: vec!["127.0.0.0/8".parse().unwrap()],
        oauth2: None,
        mtls: None,
    });
    http.state = DestinationState::Disabled { reason: "not declared".to_owned() };
    let mut used = secret(SecretOwner::Source(source_id(1)), 2);
    used.not_after = Some(at(5));
    used.revoked_at = Some(at(4));
    used.first_used_at = Some(at(1));
    used.last_used_at = Some(at(3));
    used.uses = 7;
    used.purpose = "github".to_owned();
    used.last_accepted_at = Some(at(2));
    let default = Organization {
        id: ORG,
        name: "default".to_owned(),
        key_prefix: "hookward".to_owned(),
        created_at: Timestamp::from_millis(0),
        erasing_at: None,
    };
    let other = Organization {
        id: OrganizationId::from_bytes([7; 16]),
        name: "acme".to_owned(),
        key_prefix: "acme".to_owned(),
        created_at: at(1),
        erasing_at: Some(at(2)),
    };
    let expected = Resources {
        event_types: vec![],
        schemes: vec![scheme("acme", 1), scheme("internal", 2)],
        organizations: vec![other.clone(), default],
        sources: vec![source(1), removed],
        destinations: vec![http, destination(2)],
        secrets: vec![
            secret(SecretOwner::Destination(destination_id(2)), 1),
            used,
            secret(SecretOwner::Source(source_id(1)), 1),
        ],
    };
    let sources = expected.sources.iter().cloned().map(Change::PutSource);
    let destinations = expected.destinations.iter().cloned().map(Box::new).map(Change::PutDestination);
    let secrets = expected.secrets.iter().cloned().map(Change::PutSecret);
    let entry = audit("config.apply", at(1));
    let organization = [Change::PutOrganization(other)];
    let schemes = expected.schemes.iter().cloned().map(Change::PutScheme);
    let changes = organization.into_iter().chain(sources).chain(destinations).chain(secrets).chain(schemes);
    store.change(changes.collect(), vec![entry.clone()]).await.unwrap();
    assert_eq!(load(store).await, expected);
    let logged = store.audit(ORG, PAGE).await.unwrap().items;
    assert_eq!(logged.iter().map(|row| (row.seq, &row.entry)).collect::<Vec<_>>(), [(1, &entry)]);
}

pub(crate) async fn putting_again_replaces_only_what_is_declared(store: &Shared) {
    declare(store, 1).await;
    let paused = Change::SetDestinationState(destination_id(1), DestinationState::Paused);
    store.change(vec![paused], vec![]).await.unwrap();
    let mut again = source(1);
    again.spec.grace = Duration::from_secs(5);
    again.removed_at = Some(at(8));
    again.created_at = at(7);
    let mut destination = destination(1);
    destination.spec.concurrency = 9;
    store.change(vec![Change::PutSource(again), Change::PutDestination(Box::new(destination))], vec![]).await.unwrap();
    let kept = load(store).await;
    assert_eq!((kept.sources[0].spec.grace, kept.sources[0].removed_at), (Duration::from_secs(5), Some(at(8))));
    assert_eq!(kept.sources[0].created_at, at(0));
    assert_eq!(kept.destinations[0].spec.concurrency, 9);
    assert_eq!(kept.destinations[0].state, DestinationState::Paused);
}

pub(crate) async fn a_private_scheme_is_replaced_and_removed_in_its_organization_only(store: &Shared) {
    let theirs = PrivateScheme { organization: OrganizationId::from_bytes([7; 16]), ..scheme("acme", 1) };
    let put = [scheme("acme", 1), theirs.clone()].map(Change::PutScheme);
    store.change(put.to_vec(), vec![]).await.unwrap();
    let again = PrivateScheme { toml: "name = \"acme\"".to_owned(), created_at: at(9), ..scheme("acme", 2) };
    store.change(vec![Change::PutScheme(again.clone())], vec![]).await.unwrap();
    let kept = PrivateScheme { created_at: at(1), ..again };
    assert_eq!(load(store).await.schemes, [kept, theirs.clone()]);
    let remove = vec![Change::RemoveScheme(ORG, "acme".to_owned())];
    store.change(remove.clone(), vec![audit("scheme.remove", at(2))]).await.unwrap();
    assert_eq!(load(store).await.schemes, [theirs]);
    assert!(matches!(store.change(remove, vec![]).await, Err(StoreError::NotFound { .. })));
}

pub(crate) async fn changes_are_all_or_nothing(store: &Shared) {
    declare(store, 1).await;
    let before = load(store).await;
    let mut taken = source(3);
    taken.name = "source-1".to_owned();
    let unknown = SecretOwner::Source(source_id(9));
    for last in [
        Change::SetDestinationState(destination_id(9), DestinationState::Paused),
        Change::RetireSecret { owner: unknown, version: 1, not_after: None, revoked_at: None },
        Change::PutSecret(secret(SecretOwner::Source(source_id(1)), 1)),
        Change::PutSource(taken),
        Change::RemoveScheme(ORG, "acme".to_owned()),
    ] {
        let changes = vec![
            Change::PutScheme(scheme("new", 1)),
            Change::PutSource(source(2)),
            Change::SetDestinationState(destination_id(1), DestinationState::Paused),
            Change::PutMeta { name: "name".to_owned(), value: vec![1] },
            last.clone(),
        ];
        let outcome = store.change(changes, vec![audit("config.apply", at(1))]).await;
        assert!(outcome.is_err(), "{last:?}");
        assert_eq!(load(store).await, before);
        assert_eq!(store.meta("name").await.unwrap(), None);
        assert_eq!(store.audit(ORG, PAGE).await.unwrap().items, []);
    }
}

pub(crate) async fn a_secret_is_retired_and_never_unrevoked(store: &Shared) {
    declare(store, 0).await;
    let owner = SecretOwner::Source(source_id(1));
    let retire = |not_after, revoked_at| Change::RetireSecret { owner, version: 1, not_after, revoked_at };
    let mut ends = Vec::new();
    for change in
        [retire(Some(at(50)), None), retire(Some(at(50)), Some(at(20))), retire(None, None), retire(None, Some(at(90)))]
    {
        store.change(vec![change], vec![]).await.unwrap();
        let kept = load(store).await.secrets.remove(0);
        ends.push((kept.not_after, kept.revoked_at));
    }
    let revoked = Some(at(20));
    assert_eq!(ends, [(Some(at(50)), None), (Some(at(50)), revoked), (None, revoked), (None, revoked)]);
}

pub(crate) async fn small_values_are_kept_by_name(store: &Shared) {
    assert_eq!(store.meta("name").await.unwrap(), None);
    for value in [vec![], vec![0, 255], vec![3; 1000]] {
        store.change(vec![Change::PutMeta { name: "name".to_owned(), value: value.clone() }], vec![]).await.unwrap();
        assert_eq!(store.meta("name").await.unwrap(), Some(value));
    }
    assert_eq!(store.meta("Name").await.unwrap(), None);
}

pub(crate) async fn held_deliveries_are_due_when_the_destination_is_active_again(store: &Shared) {
    declare(store, 2).await;
    let mut new = owing(owing(new_event(1), 1, 1), 2, 2);
    new.deliveries[0].due_at = at(9_000_000);
    store.commit(new).await.unwrap();
    let set = |state| vec![Change::SetDestinationState(destination_id(1), state)];
    let disabled = DestinationState::Disabled { reason: "gone".to_owned() };
    store.change(set(disabled), vec![audit("destination.disable", at(100))]).await.unwrap();
    assert_eq!(state_of(store, 1).await, DeliveryState::Held { since: at(100) });
    store.change(set(DestinationState::Paused), vec![audit("destination.pause", at(110))]).await.unwrap();
    assert_eq!(state_of(store, 1).await, DeliveryState::Held { since: at(100) });
    assert_eq!(state_of(store, 2).await, DeliveryState::Pending { due_at: at(1) });
    store.change(set(DestinationState::Active), vec![audit("destination.resume", at(120))]).await.unwrap();
    assert_eq!(store.claim(request(at(120), &[(1, 9)])).await.unwrap().len(), 1);
}
