//! Signing in and out, and the first password of whoever was invited.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use hookward_engine::accounts::{Login, LoginAnswer, Origin, SignedIn};
use http::{HeaderMap, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::answers::{Done, WithCookie};
use super::authorize::Sender;
use super::caller::Person;
use super::extract::Short;
use super::problem::{Code, Problem};
use super::{Api, cookie, me, users};

/// Who wants to sign in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Login")]
pub(crate) struct Wanted {
    #[schemars(example = &"ana@example.com")]
    email: String,
    #[schemars(with = "String")]
    password: Zeroizing<String>,
    /// A code of the second factor, or a recovery code.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    totp: Option<Zeroizing<String>>,
    #[serde(default)]
    organization: Option<String>,
}

/// A session that began. Its token is in this answer only.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SignedIn")]
pub(crate) struct Begun {
    #[schemars(with = "String")]
    token: Zeroizing<String>,
    session: me::Session,
    user: users::Shown,
}

/// Who was invited.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Acceptance")]
pub(crate) struct Invited {
    #[schemars(with = "String")]
    token: Zeroizing<String>,
    #[schemars(with = "String")]
    password: Zeroizing<String>,
}

/// `POST /login`
pub(crate) async fn login(
    State(api): State<Arc<Api>>,
    sender: Sender,
    headers: HeaderMap,
    Short(Wanted { email, password, totp, organization }): Short<Wanted>,
) -> Result<WithCookie<Json<Begun>>, Problem> {
    cookie::refuse_foreign_page(&headers)?;
    let organization = organization.unwrap_or_else(|| "default".to_owned());
    let login = Login { organization, email, password, code: totp, origin: origin(&sender, &headers) };
    match api.engine.login(login).await? {
        LoginAnswer::In(signed_in) => Ok(begun(&api, *signed_in)),
        answer => Err(refused(answer)),
    }
}

/// `POST /logout`
pub(crate) async fn logout(State(api): State<Arc<Api>>, person: Person) -> Result<WithCookie<Done>, Problem> {
    api.engine.end_session(&person, person.signed_in, person.signed_in.session).await?;
    Ok(WithCookie(cookie::clear(api.sign_in.transport), Done))
}

/// `POST /invitation`
pub(crate) async fn accept(
    State(api): State<Arc<Api>>,
    sender: Sender,
    headers: HeaderMap,
    Short(Invited { token, password }): Short<Invited>,
) -> Result<Done, Problem> {
    cookie::refuse_foreign_page(&headers)?;
    if let Err(wait) = api.engine.try_from_address(&sender.address) {
        return Err(Problem::too_often("too many tries from this address", wait));
    }
    if api.engine.accept_invitation(&token, password, &sender.address).await? {
        return Ok(Done);
    }
    Err(Problem::new(Code::Unauthorized, "this is no invitation, or it was used or is over: ask for another"))
}

/// The answer about a session that began: for programs in the body, for browsers in a cookie.
pub(crate) fn begun(api: &Api, signed_in: SignedIn) -> WithCookie<Json<Begun>> {
    let SignedIn { user, session, token } = signed_in;
    let set_cookie = cookie::set(&token, api.sign_in.transport);
    let begun = Begun {
        token: Zeroizing::new(token.expose().to_owned()),
        session: me::session(&session, session.id),
        user: users::shown(user),
    };
    WithCookie(set_cookie, Json(begun))
}

/// Why nobody was signed in. Whether it was the user, the password or the code is not said.
pub(crate) fn refused(answer: LoginAnswer) -> Problem {
    match answer {
        LoginAnswer::CodeNeeded => {
            Problem::new(Code::SecondFactorNeeded, "a code of the second factor is needed: send it as `totp`")
        }
        LoginAnswer::TooOften(wait) => Problem::too_often("too many tries", wait),
        LoginAnswer::In(_) | LoginAnswer::Refused => {
            Problem::new(Code::Unauthorized, "the email address, the password or the code is not right")
        }
    }
}

/// Where somebody signs in.
pub(crate) fn origin(sender: &Sender, headers: &HeaderMap) -> Origin {
    let agent = headers.get(header::USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned());
    Origin { address: sender.address.clone(), agent: agent.unwrap_or_default() }
}
