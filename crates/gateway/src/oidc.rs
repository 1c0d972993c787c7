//! Signing in by way of OpenID Connect providers (authorization code with PKCE): where people are sent, and what they
//! bring back. Owns the protocol; who is let in on a provider's word is the engine's.

mod attempt;
mod provider;

pub(crate) use attempt::{ATTEMPT, Attempt, Purpose};
pub(crate) use provider::{Fault, Provider};

use hookward_engine::accounts::Vouched;
use hookward_engine::model::{Identity, Scopes};
use serde_json::{Map, Value};

use crate::config::{Grants, OidcDeclaration};

/// The providers of an installation.
#[derive(Debug)]
pub(crate) struct Providers {
    list: Vec<Provider>,
}

impl Providers {
    /// The declared ones; `origin` is where browsers reach us, `extra_roots` whom we trust besides the public authorities.
    pub(crate) fn new(
        declared: Vec<OidcDeclaration>,
        origin: &str,
        extra_roots: Option<&[u8]>,
    ) -> anyhow::Result<Self> {
        let list = declared.into_iter().map(|one| Provider::new(one, origin, extra_roots));
        Ok(Self { list: list.collect::<anyhow::Result<_>>()? })
    }

    /// What they are called.
    pub(crate) fn names(&self) -> Vec<String> {
        self.list.iter().map(|provider| provider.declared().name.clone()).collect()
    }

    /// What those are called that send an organization's users.
    pub(crate) fn names_for(&self, organization: &str) -> Vec<String> {
        let of = |provider: &&Provider| provider.declared().organization == organization;
        self.list.iter().filter(of).map(|provider| provider.declared().name.clone()).collect()
    }

    /// The provider of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&Provider> {
        self.list.iter().find(|provider| provider.declared().name == name)
    }
}

/// What claims say of somebody.
fn vouched(declared: &OidcDeclaration, claims: &Map<String, Value>) -> Vouched {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // Some providers write the truth value as a text.
    let is_verified = match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified == "true",
        _ => false,
    };
    Vouched {
        identity: Identity { issuer: declared.issuer.clone(), subject: text("sub").unwrap_or_default().to_owned() },
        verified_email: text("email").filter(|_| is_verified).map(str::to_owned),
        scopes: declared.grants.as_ref().map(|grants| granted(grants, claims)),
    }
}

/// The scopes of all values that somebody has.
fn granted(grants: &Grants, claims: &Map<String, Value>) -> Scopes {
    let values = match claims.get(&grants.claim) {
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(value)) => vec![value.as_str()],
        _ => vec![],
    };
    values.into_iter().filter_map(|value| grants.scopes.get(value)).flat_map(|scopes| scopes.iter()).collect()
}
