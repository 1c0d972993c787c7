//! Who calls: proven by `authorize`, and held against the scope that an endpoint needs. A handler gets at anything only by
//! way of its `Caller`, so there is none that forgets whose things are meant or who may see them.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use hookward_engine::accounts::SignedInAs;
use hookward_engine::model::{Principal, Scope, Scopes};
use http::request::Parts;

use super::Api;
use super::problem::{Code, Problem};
use crate::openapi::{Operation, Takes};

/// For how long after a person proved who they are they may do what is grave: see a secret, change one, let others in.
pub(crate) const RECENT: Duration = Duration::from_secs(600);

/// Who was authenticated, and what they may do. Put into the request by `authorize`.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated {
    pub(crate) principal: Principal,
    pub(crate) scopes: Scopes,
    /// The session, when it is a person.
    pub(crate) signed_in: Option<SignedInAs>,
}

/// A caller who has the scope that `S` names.
#[derive(Debug)]
pub(crate) struct Caller<S> {
    authenticated: Arc<Authenticated>,
    needs: PhantomData<S>,
}

impl<S> Caller<S> {
    /// What it may do besides.
    pub(crate) fn scopes(&self) -> Scopes {
        self.authenticated.scopes
    }

    /// Lets through a program, and a person who proved a short while ago who they are: for what is grave, as on pages.
    pub(crate) fn recently_proven(self, api: &Api) -> Result<Self, Problem> {
        if self.authenticated.signed_in.is_none_or(|me| api.clock().now() < me.proven_at.plus(RECENT)) {
            return Ok(self);
        }
        Err(Problem::new(
            Code::Forbidden,
            "it is too long ago that you proved who you are: sign in again, or confirm it in the dashboard",
        ))
    }

    /// Lets through only who operates the installation: the default organization.
    pub(crate) fn operator(self) -> Result<Self, Problem> {
        if self.operates() {
            return Ok(self);
        }
        Err(Problem::new(
            Code::Forbidden,
            "only the default organization, which operates the installation, may do that",
        ))
    }
}

impl<S> Deref for Caller<S> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.authenticated.principal
    }
}

/// A scope as a type.
pub(crate) trait Needs {
    /// Which.
    const SCOPE: Scope;
}

macro_rules! scopes {
    ($($name:ident),*) => {$(
        #[doc = concat!("See [`Scope::", stringify!($name), "`].")]
        #[derive(Debug)]
        pub(crate) struct $name;

        impl Needs for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )*};
}

scopes!(Read, Publish, Pull, Redeliver, Reveal, Rotate, Export, Admin);

impl<S: Needs> Takes for Caller<S> {
    fn describe(operation: &mut Operation<'_>) {
        operation.needs(S::SCOPE.name());
    }
}

impl<A: Sync, S: Needs> FromRequestParts<A> for Caller<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &A) -> Result<Self, Problem> {
        let authenticated = authenticated(parts)?;
        if !authenticated.scopes.contains(S::SCOPE) {
            return Err(Problem::new(Code::Forbidden, format!("this needs the scope `{}`", S::SCOPE)));
        }
        Ok(Self { authenticated, needs: PhantomData })
    }
}

/// Whoever it is, without any scope: for what concerns nobody but the caller.
#[derive(Debug)]
pub(crate) struct Anybody(Arc<Authenticated>);

impl Anybody {
    /// What the caller may do.
    pub(crate) fn scopes(&self) -> Scopes {
        self.0.scopes
    }

    /// The session, when it is a person.
    pub(crate) fn signed_in(&self) -> Option<SignedInAs> {
        self.0.signed_in
    }
}

impl Deref for Anybody {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.0.principal
    }
}

impl Takes for Anybody {
    fn describe(operation: &mut Operation<'_>) {
        operation.needs_anybody();
    }
}

impl<A: Sync> FromRequestParts<A> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &A) -> Result<Self, Problem> {
        authenticated(parts).map(Self)
    }
}

/// A user who is signed in, and who sees to their own account.
#[derive(Debug)]
pub(crate) struct Person {
    authenticated: Arc<Authenticated>,
    /// Who, in which session.
    pub(crate) signed_in: SignedInAs,
}

impl Deref for Person {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.authenticated.principal
    }
}

impl Takes for Person {
    fn describe(operation: &mut Operation<'_>) {
        operation.needs_person();
    }
}

impl<A: Sync> FromRequestParts<A> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &A) -> Result<Self, Problem> {
        let authenticated = authenticated(parts)?;
        let signed_in = authenticated.signed_in;
        let signed_in =
            signed_in.ok_or_else(|| Problem::new(Code::Forbidden, "only a user who is signed in can do that"))?;
        Ok(Self { authenticated, signed_in })
    }
}

/// Only a route outside of `authorize` comes here without one.
fn authenticated(parts: &Parts) -> Result<Arc<Authenticated>, Problem> {
    let authenticated = parts.extensions.get::<Arc<Authenticated>>().cloned();
    authenticated.ok_or_else(|| Problem::new(Code::Unauthorized, "authenticate first"))
}
