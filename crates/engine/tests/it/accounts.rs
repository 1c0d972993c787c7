//! Accounts under a clock of the test's own: sessions that end, codes that count once, tries that are too many.

mod first_user;
mod prove;

use std::time::Duration;

use hookward_engine::accounts::{
    AccountError, Login, LoginAnswer, NewKey, NewUser, Origin, Proven, SESSION_IDLE, SESSION_MAX, SignedIn, SignedInAs,
    UserPatch,
};
use hookward_engine::ids::{OrganizationId, UserId};
use hookward_engine::model::{Principal, Scope, Scopes};
use hookward_engine::{Declared, EngineError};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::support::Rig;

const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "a long enough one";
const HOME: &str = "192.0.2.1";

fn text(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn operator() -> Principal {
    Principal { organization: OrganizationId::DEFAULT, actor: "key:bootstrap".to_owned(), address: HOME.to_owned() }
}

fn scopes(scopes: &[Scope]) -> Scopes {
    scopes.iter().copied().collect()
}

fn login(email: &str, password: &str, code: Option<&str>, address: &str) -> Login {
    Login {
        organization: "default".to_owned(),
        email: email.to_owned(),
        password: text(password),
        code: code.map(text),
        origin: Origin { address: address.to_owned(), agent: "a browser".to_owned() },
    }
}

/// What a login came to, in a word.
fn word(answer: &LoginAnswer) -> &'static str {
    match answer {
        LoginAnswer::In(_) => "in",
        LoginAnswer::Refused => "refused",
        LoginAnswer::CodeNeeded => "code needed",
        LoginAnswer::TooOften(_) => "too often",
    }
}

impl Rig {
    async fn empty() -> Self {
        Self::new(Declared::default()).await
    }

    /// A user with a password.
    async fn user(&self, email: &str, may: Scopes) -> UserId {
        let new = NewUser { email: email.to_owned(), scopes: may };
        let (user, invitation) = self.engine.invite(&operator(), Scopes::ALL, new).await.unwrap();
        assert!(self.engine.accept_invitation(invitation.expose(), text(PASSWORD), HOME).await.unwrap());
        user.id
    }

    async fn try_login(&self, email: &str, password: &str, code: Option<&str>, address: &str) -> &'static str {
        word(&self.engine.login(login(email, password, code, address)).await.unwrap())
    }

    async fn log_in(&self, code: Option<&str>, address: &str) -> SignedIn {
        match self.engine.login(login(EMAIL, PASSWORD, code, address)).await.unwrap() {
            LoginAnswer::In(signed_in) => *signed_in,
            other => panic!("{other:?}"),
        }
    }

    async fn proven(&self, token: &str) -> Option<Proven> {
        self.engine.authenticate(token, HOME).await.unwrap()
    }

    /// The code that the user's app shows `steps` steps from now.
    fn code(&self, uri: &str, steps: i64) -> String {
        let secret = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap();
        let bits = secret.bytes().map(|letter| match letter {
            b'A'..=b'Z' => letter - b'A',
            _ => letter - b'2' + 26,
        });
        let mut key = num_of_bits(bits);
        key.truncate(20);
        use hookward_engine::clock::Clock;
        let step = self.clock.now().as_secs().div_euclid(30) + steps;
        let tag = aws_lc_rs::hmac::sign(
            &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key),
            &step.to_be_bytes(),
        );
        let at = usize::from(tag.as_ref()[19] & 15);
        let bits: [u8; 4] = tag.as_ref()[at..at + 4].try_into().unwrap();
        format!("{:06}", (u32::from_be_bytes(bits) & 0x7fff_ffff) % 1_000_000)
    }
}

fn num_of_bits(fives: impl Iterator<Item = u8>) -> Vec<u8> {
    let bits: Vec<u8> = fives.flat_map(|five| (0..5).rev().map(move |bit| five >> bit & 1)).collect();
    bits.chunks(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | bit)).collect()
}

fn me(signed_in: &SignedIn) -> SignedInAs {
    SignedInAs { user: signed_in.user.id, session: signed_in.session.id, proven_at: signed_in.session.created_at }
}

fn by(signed_in: &SignedIn) -> Principal {
    let actor = format!("user:{}", signed_in.user.email);
    Principal { organization: signed_in.user.organization, actor, address: HOME.to_owned() }
}

#[tokio::test]
async fn whoever_is_invited_sets_a_password_once_and_signs_in() {
    let rig = Rig::empty().await;
    let new = || NewUser { email: " Ada@Example.com".to_owned(), scopes: scopes(&[Scope::Read]) };
    let (user, invitation) = rig.engine.invite(&operator(), Scopes::ALL, new()).await.unwrap();
    assert_eq!(user.email, EMAIL);
    assert!(matches!(rig.engine.invite(&operator(), Scopes::ALL, new()).await, Err(AccountError::Taken(_))));
    assert_eq!(
        rig.try_login(EMAIL, PASSWORD, None, HOME).await,
        "refused",
        "nobody has a password that none was set for"
    );
    let too_short = rig.engine.accept_invitation(invitation.expose(), text("short"), HOME).await;
    assert!(matches!(too_short, Err(AccountError::Engine(EngineError::Invalid(_)))));
    let accept = || rig.engine.accept_invitation(invitation.expose(), text(PASSWORD), HOME);
    assert!(accept().await.unwrap());
    assert!(!accept().await.unwrap(), "once");
    let signed_in = rig.log_in(None, HOME).await;
    let proven = rig.proven(signed_in.token.expose()).await.unwrap();
    assert_eq!((proven.principal.actor.as_str(), proven.scopes), ("user:ada@example.com", scopes(&[Scope::Read])));
    let told = rig.audit().await;
    assert_eq!(told[..4], ["user.login", "user.set_password", "user.login_refused", "user.create"]);
}

#[tokio::test]
async fn an_invitation_ends() {
    let rig = Rig::empty().await;
    let new = NewUser { email: EMAIL.to_owned(), scopes: scopes(&[Scope::Read]) };
    let (_, invitation) = rig.engine.invite(&operator(), Scopes::ALL, new).await.unwrap();
    rig.clock.advance(hookward_engine::accounts::INVITATION);
    assert!(!rig.engine.accept_invitation(invitation.expose(), text(PASSWORD), HOME).await.unwrap());
}

#[tokio::test]
async fn every_login_has_a_session_of_its_own_that_ends_when_idle_and_at_last() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    let (one, two) = (rig.log_in(None, HOME).await, rig.log_in(None, HOME).await);
    assert_ne!(one.token, two.token);
    rig.clock.advance(SESSION_IDLE - Duration::from_secs(1));
    assert!(rig.proven(one.token.expose()).await.is_some());
    rig.clock.advance(Duration::from_secs(1));
    assert!(rig.proven(two.token.expose()).await.is_none(), "idle");
    let mut age = SESSION_IDLE;
    while age < SESSION_MAX {
        assert!(rig.proven(one.token.expose()).await.is_some(), "in use, after {age:?}");
        age += SESSION_IDLE / 2;
        rig.clock.advance(SESSION_IDLE / 2);
    }
    assert!(rig.proven(one.token.expose()).await.is_none(), "no session lasts for ever");
    assert!(rig.engine.own_sessions(me(&one)).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_proves_a_session_is_refused_once_it_is_ended() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    let (one, two) = (rig.log_in(None, HOME).await, rig.log_in(None, HOME).await);
    rig.engine.end_session(&by(&one), me(&one), two.session.id).await.unwrap();
    assert!(rig.proven(two.token.expose()).await.is_none());
    assert!(rig.proven(one.token.expose()).await.is_some());
    rig.engine.end_session(&by(&one), me(&one), one.session.id).await.unwrap();
    assert!(rig.proven(one.token.expose()).await.is_none());
    assert_eq!(rig.audit().await[..2], ["user.logout", "user.end_session"]);
}

#[tokio::test]
async fn nobody_ends_another_users_session() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    rig.user("bob@example.com", Scopes::ALL).await;
    let one = rig.log_in(None, HOME).await;
    let LoginAnswer::In(bob) = rig.engine.login(login("bob@example.com", PASSWORD, None, HOME)).await.unwrap() else {
        panic!("bob is let in");
    };
    let answer = rig.engine.end_session(&by(&one), me(&one), bob.session.id).await;
    assert!(matches!(answer, Err(AccountError::Engine(EngineError::NotFound(_)))), "{answer:?}");
    assert!(rig.proven(bob.token.expose()).await.is_some());
}

#[tokio::test]
async fn a_new_password_asks_for_the_old_one_and_ends_the_other_sessions() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    let (one, two) = (rig.log_in(None, HOME).await, rig.log_in(None, HOME).await);
    let change = |current: &str, new: &str| {
        let (by, me, current, new) = (by(&one), me(&one), text(current), text(new));
        let engine = rig.engine.clone();
        async move { engine.change_password(&by, me, current, new).await }
    };
    assert_eq!(change("not the old one", "another long one").await, Err(AccountError::WrongPassword));
    assert!(matches!(change(PASSWORD, "short").await, Err(AccountError::Engine(EngineError::Invalid(_)))));
    change(PASSWORD, "another long one").await.unwrap();
    assert!(rig.proven(one.token.expose()).await.is_some());
    assert!(rig.proven(two.token.expose()).await.is_none());
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "refused");
    assert_eq!(rig.try_login(EMAIL, "another long one", None, HOME).await, "in");
}

#[tokio::test]
async fn a_second_factor_is_asked_for_and_each_code_counts_once() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    let (one, two) = (rig.log_in(None, HOME).await, rig.log_in(None, HOME).await);
    let wrong = rig.engine.start_totp(&by(&one), me(&one), text("wrong")).await;
    assert_eq!(wrong.unwrap_err(), AccountError::WrongPassword);
    let uri = rig.engine.start_totp(&by(&one), me(&one), text(PASSWORD)).await.unwrap().uri;
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "in", "not in force yet");
    let confirm = |code: String| {
        let (by, me, engine) = (by(&one), me(&one), rig.engine.clone());
        async move { engine.confirm_totp(&by, me, &code).await }
    };
    assert_eq!(confirm("000000".to_owned()).await, Err(AccountError::WrongCode));
    let used = rig.code(&uri, 0);
    let recovery = confirm(used.clone()).await.unwrap();
    assert_eq!(recovery.len(), 10);
    assert!(rig.proven(two.token.expose()).await.is_none(), "other sessions end");
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "code needed");
    assert_eq!(rig.try_login(EMAIL, "not the password", None, HOME).await, "refused", "a code is asked of nobody else");
    assert_eq!(rig.try_login(EMAIL, PASSWORD, Some(&used), HOME).await, "refused", "it was used to confirm");
    rig.clock.advance(Duration::from_secs(30));
    let code = rig.code(&uri, 0);
    assert_eq!(rig.try_login(EMAIL, PASSWORD, Some(&code), HOME).await, "in");
    assert_eq!(rig.try_login(EMAIL, PASSWORD, Some(&code), HOME).await, "refused");
    assert_eq!(rig.try_login(EMAIL, PASSWORD, Some(&recovery[0].to_uppercase()), HOME).await, "in");
    assert_eq!(rig.try_login(EMAIL, PASSWORD, Some(&recovery[0]), HOME).await, "refused");
    assert_eq!(rig.engine.recovery_codes_left(me(&one)).await.unwrap(), 9);
}

#[tokio::test]
async fn a_code_tried_twice_at_once_lets_in_once() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    let one = rig.log_in(None, HOME).await;
    let uri = rig.engine.start_totp(&by(&one), me(&one), text(PASSWORD)).await.unwrap().uri;
    rig.engine.confirm_totp(&by(&one), me(&one), &rig.code(&uri, 0)).await.unwrap();
    let code = rig.code(&uri, 1);
    let attempt = || rig.try_login(EMAIL, PASSWORD, Some(&code), HOME);
    let (one, two, three) = tokio::join!(attempt(), attempt(), attempt());
    let answers = [one, two, three];
    assert_eq!(answers.iter().filter(|answer| **answer == "in").count(), 1, "{answers:?}");
}

#[tokio::test]
async fn a_second_factor_ends_and_recovery_codes_are_renewed_only_by_who_has_both() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    let one = rig.log_in(None, HOME).await;
    let uri = rig.engine.start_totp(&by(&one), me(&one), text(PASSWORD)).await.unwrap().uri;
    let first = rig.engine.confirm_totp(&by(&one), me(&one), &rig.code(&uri, 0)).await.unwrap();
    let again = rig.engine.start_totp(&by(&one), me(&one), text(PASSWORD)).await;
    assert!(matches!(again, Err(AccountError::Taken(_))), "a second factor is not replaced by who has only a session");
    rig.clock.advance(Duration::from_secs(60));
    let wrong = rig.engine.renew_recovery_codes(&by(&one), me(&one), text(PASSWORD), "000000").await;
    assert_eq!(wrong, Err(AccountError::WrongCode));
    let second =
        rig.engine.renew_recovery_codes(&by(&one), me(&one), text(PASSWORD), &rig.code(&uri, 0)).await.unwrap();
    assert_eq!(rig.try_login(EMAIL, PASSWORD, Some(&first[0]), HOME).await, "refused");
    let wrong = rig.engine.remove_totp(&by(&one), me(&one), text("wrong"), &second[0]).await;
    assert_eq!(wrong, Err(AccountError::WrongPassword));
    rig.engine.remove_totp(&by(&one), me(&one), text(PASSWORD), &second[0]).await.unwrap();
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "in");
    assert_eq!(rig.engine.recovery_codes_left(me(&one)).await.unwrap(), 0);
}

#[tokio::test]
async fn the_key_of_a_second_factor_is_nowhere_on_disk() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    let one = rig.log_in(None, HOME).await;
    let uri = rig.engine.start_totp(&by(&one), me(&one), text(PASSWORD)).await.unwrap().uri;
    let codes = rig.engine.confirm_totp(&by(&one), me(&one), &rig.code(&uri, 0)).await.unwrap();
    let secret = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let disk = crate::support::everything_in(rig.dir.path());
    for secret in [secret, PASSWORD, &codes[0], &codes[0].replace('-', ""), one.token.expose()] {
        assert!(!disk.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret}");
    }
}

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_are_told_alike_and_both_are_listed() {
    let rig = Rig::empty().await;
    let id = rig.user(EMAIL, Scopes::ALL).await;
    assert_eq!(rig.try_login("nobody@example.com", PASSWORD, None, HOME).await, "refused");
    assert_eq!(rig.try_login(EMAIL, "not the password", None, HOME).await, "refused");
    let elsewhere = Login { organization: "acme".to_owned(), ..login(EMAIL, PASSWORD, None, HOME) };
    assert_eq!(word(&rig.engine.login(elsewhere).await.unwrap()), "refused");
    let patch = UserPatch { disabled: Some(true), ..UserPatch::default() };
    rig.engine.change_user(&operator(), Scopes::ALL, id, patch).await.unwrap();
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "refused");
    let log = rig.audit().await;
    assert_eq!(log.iter().filter(|action| *action == "user.login_refused").count(), 4);
}

#[tokio::test]
async fn an_account_is_tried_ten_times_and_then_once_a_minute() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    for attempt in 0..10 {
        let address = format!("198.51.100.{attempt}");
        assert_eq!(rig.try_login(EMAIL, "not the password", None, &address).await, "refused");
    }
    let answer = rig.engine.login(login(EMAIL, PASSWORD, None, "203.0.113.1")).await.unwrap();
    let LoginAnswer::TooOften(wait) = answer else { panic!("{answer:?}") };
    assert_eq!(wait, Duration::from_secs(60), "even the right password");
    rig.clock.advance(wait);
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, "203.0.113.1").await, "in");
}

#[tokio::test]
async fn whoever_guesses_does_not_keep_the_owner_out() {
    let rig = Rig::empty().await;
    rig.user(EMAIL, Scopes::ALL).await;
    rig.log_in(None, HOME).await;
    for round in 0..50 {
        rig.try_login(EMAIL, "not the password", None, &format!("198.51.100.{round}")).await;
    }
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, "203.0.113.1").await, "too often");
    for _ in 0..30 {
        assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "in", "where the owner signed in before");
    }
}

#[tokio::test]
async fn an_address_is_tried_twenty_times_whatever_the_account() {
    let rig = Rig::empty().await;
    for account in 0..20 {
        let email = format!("user{account}@example.com");
        assert_eq!(rig.try_login(&email, "not the password", None, "198.51.100.1").await, "refused");
    }
    assert_eq!(rig.try_login("user20@example.com", PASSWORD, None, "198.51.100.1").await, "too often");
    assert_eq!(rig.try_login("user20@example.com", PASSWORD, None, "198.51.100.2").await, "refused");
}

#[tokio::test]
async fn a_disabled_or_removed_user_is_out_at_once() {
    let rig = Rig::empty().await;
    let id = rig.user(EMAIL, Scopes::ALL).await;
    let one = rig.log_in(None, HOME).await;
    let disable = |disabled| UserPatch { disabled: Some(disabled), ..UserPatch::default() };
    rig.engine.change_user(&operator(), Scopes::ALL, id, disable(true)).await.unwrap();
    assert!(rig.proven(one.token.expose()).await.is_none());
    rig.engine.change_user(&operator(), Scopes::ALL, id, disable(false)).await.unwrap();
    assert!(rig.proven(one.token.expose()).await.is_none(), "a session that ended does not come back");
    let two = rig.log_in(None, HOME).await;
    rig.engine.remove_user(&operator(), id).await.unwrap();
    assert!(rig.proven(two.token.expose()).await.is_none());
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "refused");
}

#[tokio::test]
async fn nobody_becomes_more_by_way_of_a_user() {
    let rig = Rig::empty().await;
    let id = rig.user(EMAIL, Scopes::ALL).await;
    let (half, has) = (operator(), scopes(&[Scope::Admin, Scope::Read]));
    let new = NewUser { email: "more@example.com".to_owned(), scopes: Scopes::ALL };
    assert_eq!(rig.engine.invite(&half, has, new).await.unwrap_err(), AccountError::Scopes);
    assert_eq!(rig.engine.reset_user(&half, has, id).await.unwrap_err(), AccountError::Scopes);
    let less = NewUser { email: "less@example.com".to_owned(), scopes: scopes(&[Scope::Read]) };
    let (less, _) = rig.engine.invite(&half, has, less).await.unwrap();
    let more = UserPatch { scopes: Some(Scopes::ALL), ..UserPatch::default() };
    assert_eq!(rig.engine.change_user(&half, has, less.id, more).await.unwrap_err(), AccountError::Scopes);
    rig.engine.change_user(&half, has, id, UserPatch { disabled: Some(true), ..UserPatch::default() }).await.unwrap();
    let enable = UserPatch { disabled: Some(false), ..UserPatch::default() };
    assert_eq!(rig.engine.change_user(&half, has, id, enable).await.unwrap_err(), AccountError::Scopes);
}

#[tokio::test]
async fn a_reset_takes_everything_by_which_the_user_was_known() {
    let rig = Rig::empty().await;
    let id = rig.user(EMAIL, Scopes::ALL).await;
    let one = rig.log_in(None, HOME).await;
    let uri = rig.engine.start_totp(&by(&one), me(&one), text(PASSWORD)).await.unwrap().uri;
    rig.engine.confirm_totp(&by(&one), me(&one), &rig.code(&uri, 0)).await.unwrap();
    let (_, invitation) = rig.engine.reset_user(&operator(), Scopes::ALL, id).await.unwrap();
    assert!(rig.proven(one.token.expose()).await.is_none());
    assert_eq!(rig.try_login(EMAIL, PASSWORD, None, HOME).await, "refused");
    assert!(rig.engine.accept_invitation(invitation.expose(), text("another long one"), HOME).await.unwrap());
    assert_eq!(rig.try_login(EMAIL, "another long one", None, HOME).await, "in", "without the old second factor");
}

#[tokio::test]
async fn the_last_who_may_administer_an_organization_stays() {
    let rig = Rig::empty().await;
    let acme = rig.engine.create_organization(&operator(), "acme", None).await.unwrap();
    let (first, token) = rig.engine.first_key(&operator(), acme.id).await.unwrap();
    assert!(token.expose().starts_with("acme_"));
    let again = rig.engine.first_key(&operator(), acme.id).await;
    assert!(matches!(again, Err(AccountError::Taken(_))), "once somebody is there, nobody else makes keys: {again:?}");
    let admin = rig.proven(token.expose()).await.unwrap().principal;
    assert_eq!(admin.organization, acme.id);
    assert_eq!(rig.engine.revoke_key(&admin, first.id).await, Err(AccountError::LastAdmin));
    assert!(rig.proven(token.expose()).await.is_some());
    let second = NewKey { name: "second".to_owned(), scopes: Scopes::ALL, expires_at: None };
    let (second, _) = rig.engine.create_key(&admin, Scopes::ALL, second).await.unwrap();
    rig.engine.revoke_key(&admin, first.id).await.unwrap();
    assert_eq!(rig.engine.revoke_key(&admin, second.id).await, Err(AccountError::LastAdmin));
    let new = NewUser { email: EMAIL.to_owned(), scopes: Scopes::ALL };
    let (user, invitation) = rig.engine.invite(&admin, Scopes::ALL, new).await.unwrap();
    assert_eq!(rig.engine.revoke_key(&admin, second.id).await, Err(AccountError::LastAdmin), "not in yet");
    assert!(rig.engine.accept_invitation(invitation.expose(), text(PASSWORD), HOME).await.unwrap());
    rig.engine.revoke_key(&admin, second.id).await.unwrap();
    let disable = UserPatch { disabled: Some(true), ..UserPatch::default() };
    let answer = rig.engine.change_user(&admin, Scopes::ALL, user.id, disable).await;
    assert_eq!(answer.unwrap_err(), AccountError::LastAdmin);
    assert_eq!(rig.engine.remove_user(&admin, user.id).await, Err(AccountError::LastAdmin));
    let nothing = UserPatch { scopes: Some(scopes(&[Scope::Read])), ..UserPatch::default() };
    let answer = rig.engine.change_user(&admin, Scopes::ALL, user.id, nothing).await;
    assert_eq!(answer.unwrap_err(), AccountError::LastAdmin);
}

#[tokio::test]
async fn an_organization_whose_keys_have_all_ended_is_given_another() {
    let rig = Rig::empty().await;
    let acme = rig.engine.create_organization(&operator(), "acme", None).await.unwrap();
    let (first, token) = rig.engine.first_key(&operator(), acme.id).await.unwrap();
    let admin = rig.proven(token.expose()).await.unwrap().principal;
    use hookward_engine::clock::Clock;
    let expires_at = Some(rig.clock.now().plus(Duration::from_secs(60)));
    let brief = NewKey { name: "brief".to_owned(), scopes: Scopes::ALL, expires_at };
    let (_, brief) = rig.engine.create_key(&admin, Scopes::ALL, brief).await.unwrap();
    rig.engine.revoke_key(&admin, first.id).await.unwrap();
    rig.clock.advance(Duration::from_secs(59));
    assert!(rig.proven(brief.expose()).await.is_some());
    rig.clock.advance(Duration::from_secs(1));
    assert!(rig.proven(brief.expose()).await.is_none(), "at the exact second");
    rig.engine.first_key(&operator(), acme.id).await.unwrap();
}

#[tokio::test]
async fn one_organization_sees_nothing_of_anothers_accounts() {
    let rig = Rig::empty().await;
    let acme = rig.engine.create_organization(&operator(), "acme", None).await.unwrap();
    let (_, token) = rig.engine.first_key(&operator(), acme.id).await.unwrap();
    let admin = rig.proven(token.expose()).await.unwrap().principal;
    let id = rig.user(EMAIL, Scopes::ALL).await;
    let key = NewKey { name: "ci".to_owned(), scopes: Scopes::ALL, expires_at: None };
    let (key, text) = rig.engine.create_key(&operator(), Scopes::ALL, key).await.unwrap();
    let not_found = |answer: Result<(), AccountError>| {
        assert!(matches!(answer, Err(AccountError::Engine(EngineError::NotFound(_)))), "{answer:?}");
    };
    not_found(rig.engine.key(acme.id, key.id).await.map(drop));
    not_found(rig.engine.revoke_key(&admin, key.id).await);
    not_found(rig.engine.user(acme.id, id).await.map(drop));
    not_found(rig.engine.reset_user(&admin, Scopes::ALL, id).await.map(drop));
    not_found(rig.engine.remove_user(&admin, id).await);
    not_found(rig.engine.change_user(&admin, Scopes::ALL, id, UserPatch::default()).await.map(drop));
    let page = crate::support::ALL;
    assert_eq!(rig.engine.users(acme.id, page).await.unwrap().items.len(), 0);
    assert_eq!(rig.engine.keys(acme.id, page).await.unwrap().items.len(), 1);
    assert!(rig.proven(text.expose()).await.is_some());
    let same = NewUser { email: EMAIL.to_owned(), scopes: Scopes::ALL };
    rig.engine.invite(&admin, Scopes::ALL, same).await.expect("the same person may be in both");
}

#[tokio::test]
async fn uses_are_written_together_and_before_the_end() {
    let rig = Rig::empty().await;
    let new = NewKey { name: "ci".to_owned(), scopes: Scopes::ALL, expires_at: None };
    let (key, token) = rig.engine.create_key(&operator(), Scopes::ALL, new).await.unwrap();
    let used_at = |rig: &Rig| {
        let store = rig.store.clone();
        async move { store.key(OrganizationId::DEFAULT, key.id).await.unwrap().last_used_at }
    };
    for _ in 0..100 {
        assert!(rig.proven(token.expose()).await.is_some());
    }
    use hookward_engine::clock::Clock;
    let now = Some(rig.clock.now());
    assert_eq!(used_at(&rig).await, None, "a request writes nothing");
    assert_eq!(rig.engine.key(OrganizationId::DEFAULT, key.id).await.unwrap().last_used_at, now);
    let stop = CancellationToken::new();
    stop.cancel();
    rig.engine.run(stop).await;
    assert_eq!(used_at(&rig).await, now);
}
