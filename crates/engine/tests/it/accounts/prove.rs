//! Proving again who one is, and what it does to the session that asks.

use std::time::Duration;

use hookward_engine::accounts::{AccountError, Again};
use hookward_engine::clock::Clock;
use hookward_engine::model::Scope;

use super::{EMAIL, HOME, PASSWORD, by, me, scopes, text};
use crate::support::Rig;

#[tokio::test]
async fn a_session_knows_when_its_user_last_proved_who_they_are() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, scopes(&[Scope::Read])).await;
    let (here, elsewhere) = (rig.log_in(None, HOME).await, rig.log_in(None, HOME).await);
    let begun_at = rig.clock.now();
    rig.clock.advance(Duration::from_secs(601));
    let proven_at = async |token: &str| rig.proven(token).await.unwrap().signed_in.unwrap().proven_at;
    assert_eq!(proven_at(here.token.expose()).await, begun_at, "using it proves nothing");
    for (again, wrong) in [
        (Again::Password(text("not the password")), AccountError::WrongPassword),
        (Again::Code(text("123456")), AccountError::WrongCode),
    ] {
        assert_eq!(rig.engine.prove_again(&by(&here), me(&here), again).await, Err(wrong));
        assert_eq!(proven_at(here.token.expose()).await, begun_at);
    }
    let token = rig.engine.prove_again(&by(&here), me(&here), Again::Password(text(PASSWORD))).await.unwrap();
    assert_eq!(proven_at(token.expose()).await, rig.clock.now());
    assert!(rig.proven(here.token.expose()).await.is_none(), "the session goes on under another token");
    assert_eq!(proven_at(elsewhere.token.expose()).await, begun_at, "nor in another session");
}

#[tokio::test]
async fn a_code_proves_it_once_and_guesses_are_few() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, scopes(&[Scope::Read])).await;
    let here = rig.log_in(None, HOME).await;
    let uri = rig.engine.start_totp(&by(&here), me(&here), text(PASSWORD)).await.unwrap().uri;
    rig.engine.confirm_totp(&by(&here), me(&here), &rig.code(&uri, 0)).await.unwrap();
    rig.clock.advance(Duration::from_secs(60));
    let code = rig.code(&uri, 0);
    rig.engine.prove_again(&by(&here), me(&here), Again::Code(text(&code))).await.unwrap();
    let twice = rig.engine.prove_again(&by(&here), me(&here), Again::Code(text(&code))).await;
    assert_eq!(twice, Err(AccountError::WrongCode));
    let mut answers = Vec::new();
    for _ in 0..10 {
        answers.push(rig.engine.prove_again(&by(&here), me(&here), Again::Password(text("a guess"))).await);
    }
    assert!(matches!(answers.last(), Some(Err(AccountError::TooOften(_)))), "{answers:?}");
}

#[tokio::test]
async fn a_session_in_place_of_another_ends_that_one_if_it_is_the_same_users() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, scopes(&[Scope::Read])).await;
    rig.user("eve@example.com", scopes(&[Scope::Read])).await;
    let (before, new) = (rig.log_in(None, HOME).await, rig.log_in(None, HOME).await);
    let login = super::login("eve@example.com", PASSWORD, None, HOME);
    let hookward_engine::accounts::LoginAnswer::In(of_eve) = rig.engine.login(login).await.unwrap() else {
        panic!("eve is let in");
    };
    rig.engine.replace_session(&new, of_eve.session.id, HOME).await.unwrap();
    assert!(rig.proven(of_eve.token.expose()).await.is_some(), "nobody ends another's");
    rig.engine.replace_session(&new, before.session.id, HOME).await.unwrap();
    assert!(rig.proven(before.token.expose()).await.is_none() && rig.proven(new.token.expose()).await.is_some());
}
