//! Who looks at a page: a user with a session, held against the scope that the page needs. As with the API's `Caller`, a
//! page gets at anything only by way of its `Visitor`. Programs have keys, and the API.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hookward_engine::accounts::SignedInAs;
use hookward_engine::model::{Principal, Scopes};
use http::Method;
use http::request::Parts;

use super::form::Token;
use super::page::{self, Failure};
use super::preferences::Preferences;
use crate::api::Api;
use crate::api::authorize::by_session;
use crate::api::caller::{Authenticated, Needs, RECENT};

/// What pages know of whoever asks.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) who: Authenticated,
    pub(super) signed_in: SignedInAs,
    /// What the forms of this session bring along.
    pub(super) token: Token,
    pub(super) preferences: Preferences,
    /// The path asked for.
    pub(super) path: String,
}

/// Lets through who has a session; others are sent to where one gets it, and from there back.
pub(super) async fn admit(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Result<Response, Failure> {
    let (headers, extensions) = (request.headers(), request.extensions());
    let look = by_session(&api, headers, extensions).await?.and_then(|(who, session)| {
        let (token, preferences) = (Token::of(session), Preferences::read(headers));
        Some(Look { signed_in: who.signed_in?, who, token, preferences, path: request.uri().path().to_owned() })
    });
    let Some(look) = look else {
        let back = request.uri().path_and_query().filter(|_| *request.method() == Method::GET);
        return Ok(page::sign_in_first(back.map(|back| back.as_str())));
    };
    request.extensions_mut().insert(Arc::new(look));
    Ok(next.run(request).await)
}

/// A user who has the scope that `S` names.
#[derive(Debug)]
pub(super) struct Visitor<S> {
    pub(super) look: Arc<Look>,
    needs: PhantomData<S>,
}

impl<S> Visitor<S> {
    /// What they may do besides.
    pub(super) fn scopes(&self) -> Scopes {
        self.look.who.scopes
    }

    /// Lets through who proved a short while ago who they are; others prove it again first, and come back to `back`.
    pub(super) fn recently_proven(&self, api: &Api, back: &str) -> Result<(), Failure> {
        self.look.recently_proven(api, back)
    }
}

impl Look {
    /// The same for whoever it is.
    pub(super) fn recently_proven(&self, api: &Api, back: &str) -> Result<(), Failure> {
        if api.clock().now() < self.signed_in.proven_at.plus(RECENT) {
            return Ok(());
        }
        Err(Failure::First(format!("/dashboard/confirm?next={}", page::escaped(back))))
    }
}

impl<S> Deref for Visitor<S> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.look.who.principal
    }
}

impl<A: Sync, S: Needs> FromRequestParts<A> for Visitor<S> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &A) -> Result<Self, Failure> {
        let look = look(parts)?;
        if !look.who.scopes.contains(S::SCOPE) {
            return Err(Failure::forbidden(format!("This needs the scope `{}`, which you do not have.", S::SCOPE)));
        }
        Ok(Self { look, needs: PhantomData })
    }
}

/// Whoever it is, without any scope: for what concerns nobody else.
#[derive(Debug)]
pub(super) struct Anybody(pub(in crate::dashboard) Arc<Look>);

impl<A: Sync> FromRequestParts<A> for Anybody {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &A) -> Result<Self, Failure> {
        look(parts).map(Self)
    }
}

/// Only a route outside of `admit` comes here without one.
pub(super) fn look(parts: &Parts) -> Result<Arc<Look>, Failure> {
    parts.extensions.get::<Arc<Look>>().cloned().ok_or_else(|| Failure::forbidden("Sign in first."))
}
