//! The first user: made once, however often it is tried, and never beside another.

use hookward_engine::accounts::{AccountError, FirstUser, Origin, SignedIn};
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::Scopes;

use super::{EMAIL, HOME, PASSWORD, scopes, text};
use crate::support::Rig;
use hookward_engine::model::Scope;

fn first(email: &str, password: &str) -> FirstUser {
    let origin = Origin { address: HOME.to_owned(), agent: "a browser".to_owned() };
    FirstUser { email: email.to_owned(), password: text(password), origin }
}

#[tokio::test]
async fn the_first_user_may_do_everything_and_is_signed_in() {
    let rig = Rig::empty().await;
    assert!(!rig.engine.has_user(OrganizationId::DEFAULT).await.unwrap());
    for (email, password) in [("ada", PASSWORD), (EMAIL, "elevenchars"), (EMAIL, EMAIL)] {
        let refused = rig.engine.create_first_user(first(email, password)).await;
        assert!(matches!(refused, Err(AccountError::Engine(_))), "{refused:?}");
    }
    let SignedIn { user, token, .. } = rig.engine.create_first_user(first("Ada@Example.com", PASSWORD)).await.unwrap();
    assert_eq!((user.email.as_str(), user.scopes), (EMAIL, Scopes::ALL));
    assert_eq!(rig.proven(token.expose()).await.unwrap().scopes, Scopes::ALL);
    assert!(rig.engine.has_user(OrganizationId::DEFAULT).await.unwrap());
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "in");
}

#[tokio::test]
async fn of_two_at_once_one_is_the_first_and_after_another_user_none_is() {
    let rig = Rig::empty().await;
    let (one, other) = tokio::join!(
        rig.engine.create_first_user(first("ada@example.com", PASSWORD)),
        rig.engine.create_first_user(first("eve@example.com", PASSWORD))
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "{one:?} {other:?}");
    let rig = Rig::empty().await;
    rig.user("bob@example.com", scopes(&[Scope::Read])).await;
    let late = rig.engine.create_first_user(first(EMAIL, PASSWORD)).await;
    assert!(matches!(late, Err(AccountError::Taken(_))), "{late:?}");
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "refused");
}
