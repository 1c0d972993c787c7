//! The two ends of signing in by way of a provider: people are sent there, and come back. What they see then is the
//! dashboard's.

use axum::Json;
use axum::response::{AppendHeaders, IntoResponse, Response};
use hookward_engine::accounts::{Admission, LoginAnswer, SignedIn};
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::Principal;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use super::authorize::Sender;
use super::problem::{Code, Problem};
use super::{Api, cookie, login, me, users};
use crate::oidc::{Attempt, Fault, Provider, Purpose};

/// What a provider sends people back with. Providers add what they like.
#[derive(Deserialize)]
pub(crate) struct Brought {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    iss: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// A session that began, as a browser's page shows it: what proves it is in the cookie only.
#[derive(Serialize)]
struct Begun {
    session: me::Session,
    user: users::Shown,
}

/// Somebody who came back from a provider and is signed in.
#[derive(Debug)]
pub(crate) struct Arrived {
    signed_in: Box<SignedIn>,
    /// Where they go on.
    pub(crate) next: String,
    cookies: [(HeaderName, HeaderValue); 2],
}

impl Arrived {
    /// The session's cookie, and the end of the attempt's.
    pub(crate) fn cookies(&self) -> AppendHeaders<[(HeaderName, HeaderValue); 2]> {
        AppendHeaders(self.cookies.clone())
    }

    /// As a program is told.
    pub(crate) fn into_json(self) -> Response {
        let cookies = self.cookies();
        let SignedIn { user, session, .. } = *self.signed_in;
        let session = me::session(&session, session.id);
        (cookies, Json(Begun { session, user: users::shown(user) })).into_response()
    }
}

/// Sends a browser to a provider.
pub(crate) async fn send(api: &Api, sender: &Sender, name: &str, purpose: Purpose) -> Result<Response, Problem> {
    let provider = provider(api, sender, name)?;
    let attempt = Attempt::new(name, purpose, api.clock.now(), &*api.sign_in.entropy);
    let url = provider.authorization_url(&attempt, &*api.clock).await.map_err(|fault| unavailable(name, &fault))?;
    let not_text = |_| unavailable(name, &Fault::Provider("its endpoint cannot stand in a header".to_owned()));
    let headers = [
        (header::LOCATION, HeaderValue::try_from(url).map_err(not_text)?),
        (header::SET_COOKIE, cookie::set_attempt(name, attempt.cookie(), api.sign_in.transport)),
    ];
    Ok((StatusCode::SEE_OTHER, headers).into_response())
}

/// Takes a browser that a provider sent back.
pub(crate) async fn come_back(
    api: &Api,
    sender: &Sender,
    name: &str,
    headers: &HeaderMap,
    brought: Brought,
) -> Result<Arrived, Problem> {
    let provider = provider(api, sender, name)?;
    let (attempt, code) = resume(api, provider, name, headers, brought).await?;
    let organization = organization(api, provider)?;
    let origin = login::origin(sender, headers);
    let vouched = match provider.redeem(&code, &attempt, &*api.clock).await {
        Ok(vouched) => vouched,
        Err(fault @ Fault::Provider(_)) => return Err(unavailable(name, &fault)),
        Err(fault) => {
            tracing::warn!(provider = name, %fault, "a sign-in was refused");
            let by = Principal { organization, actor: format!("provider:{name}"), address: origin.address };
            api.engine.note_refused_login(&by, "", &fault.to_string()).await?;
            return Err(Problem::new(Code::Unauthorized, "what the provider says is not believed: begin again"));
        }
    };
    let declared = provider.declared();
    let admission = Admission {
        provider: name.to_owned(),
        organization,
        domains: declared.domains.clone(),
        newcomers: declared.newcomers,
    };
    let LoginAnswer::In(signed_in) = api.engine.sign_in_vouched(vouched, &admission, &origin).await? else {
        return Err(Problem::new(Code::Forbidden, "the provider knows you, but nobody invited you here"));
    };
    // For going there and for coming back.
    (0..2).for_each(|_| api.engine.forgive_address(&sender.address));
    let Purpose { next, replaces, .. } = attempt.purpose().clone();
    if let Some(before) = replaces {
        api.engine.replace_session(&signed_in, before, &sender.address).await?;
    }
    let cookies = [
        (header::SET_COOKIE, cookie::set(&signed_in.token, api.sign_in.transport)),
        (header::SET_COOKIE, cookie::clear_attempt(name, api.sign_in.transport)),
    ];
    Ok(Arrived { signed_in, next, cookies })
}

/// The attempt that this browser began, with the provider's code for it. Before anything is believed or sent anywhere:
/// whose sign-in it is.
async fn resume(
    api: &Api,
    provider: &Provider,
    name: &str,
    headers: &HeaderMap,
    brought: Brought,
) -> Result<(Attempt, String), Problem> {
    let Brought { code, state, iss, error } = brought;
    let again = || {
        Problem::new(
            Code::Forbidden,
            format!("this sign-in is not one that this browser began a while ago: begin again at /auth/oidc/{name}"),
        )
    };
    let kept = cookie::attempt(headers, name, api.sign_in.transport).ok_or_else(again)?;
    let attempt = Attempt::resume(name, kept, state.as_deref().unwrap_or_default(), api.clock.now());
    let attempt = attempt.ok_or_else(again)?;
    let is_of = provider.is_of(iss.as_deref(), &*api.clock).await.map_err(|fault| unavailable(name, &fault))?;
    if !is_of {
        return Err(again());
    }
    match (code, error) {
        (Some(code), None) => Ok((attempt, code)),
        (_, error) => {
            let error: String = error.unwrap_or_default().chars().filter(char::is_ascii_graphic).take(64).collect();
            Err(Problem::new(Code::Forbidden, format!("the provider did not sign anybody in: `{error}`")))
        }
    }
}

/// Whose users the provider sends.
fn organization(api: &Api, provider: &Provider) -> Result<OrganizationId, Problem> {
    let name = &provider.declared().organization;
    let found = api.engine.organizations().into_iter().find(|known| known.name == *name);
    let missing = || Problem::new(Code::NotFound, format!("there is no organization `{name}`"));
    Ok(found.ok_or_else(missing)?.id)
}

/// The provider, for an address that has not come too often.
fn provider<'a>(api: &'a Api, sender: &Sender, name: &str) -> Result<&'a Provider, Problem> {
    let missing = || Problem::new(Code::NotFound, format!("there is no provider `{}`", name.escape_debug()));
    let provider = api.sign_in.providers.find(name).ok_or_else(missing)?;
    let too_often = |wait| Problem::too_often("too many tries from this address", wait);
    api.engine.try_from_address(&sender.address).map_err(too_often)?;
    Ok(provider)
}

fn unavailable(name: &str, fault: &Fault) -> Problem {
    tracing::error!(provider = name, %fault, "an OpenID Connect provider cannot be used");
    Problem::new(Code::Unavailable, format!("the provider `{name}` cannot be used now; the log says why"))
}
