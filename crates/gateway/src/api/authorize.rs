//! Who is let through: whoever proves to be somebody by the key that the installation was started with, a key of an
//! organization, or a session. Owns where a proof may stand in a request; what it proves is the engine's.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use hookward_engine::accounts::{BOOTSTRAP, Proven};
use hookward_engine::ids::OrganizationId;
use hookward_engine::model::{Principal, Scope, Scopes};
use http::request::Parts;
use http::{Extensions, HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::caller::Authenticated;
use super::problem::{Code, Problem};
use super::{Api, cookie};
use crate::accept::Peer;
use crate::ingest::client::client;
use crate::openapi::{Operation, Takes};

/// Parameters of a query by which people send keys where these end up in logs and histories.
const NEVER_IN_QUERY: [&str; 4] = ["api_key", "key", "token", "access_token"];

/// Lets a request through when it proves who sends it, and says who that is.
pub(crate) async fn authorize(
    State(api): State<Arc<Api>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if request.uri().query().is_some_and(has_credential) {
        return Err(unauthorized("a key in the query ends up in logs: send it as `Authorization: Bearer <key>` only"));
    }
    let headers = request.headers();
    let address = address(&api, request.extensions(), headers);
    let token = match (headers.contains_key(header::AUTHORIZATION), cookie::session(headers, api.sign_in.transport)) {
        (true, _) => bearer(headers),
        (false, Some(session)) => {
            cookie::check_own_page(request.method(), headers)?;
            Some(session.as_bytes().to_vec())
        }
        (false, None) => None,
    };
    let token = token.ok_or_else(|| unauthorized(HOW))?;
    let authenticated = api.prove(&token, &address).await?.ok_or_else(|| unauthorized(HOW))?;
    request.extensions_mut().insert(Arc::new(authenticated));
    Ok(next.run(request).await)
}

const HOW: &str = "send the API key as `Authorization: Bearer <key>`";

fn unauthorized(detail: &str) -> Problem {
    Problem::new(Code::Unauthorized, detail)
}

/// Where a request comes from: the peer, or whom a proxy of ours speaks for.
fn address(api: &Api, extensions: &Extensions, headers: &HeaderMap) -> String {
    let peer = extensions.get::<Peer>().map_or(NOWHERE, |Peer(peer)| *peer);
    client(peer, headers, &api.sign_in.trusted_proxies).address.to_string()
}

/// The peer of a request that came over no connection: there is none but in a router that is tried by itself.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Where a request comes from that proves nothing yet.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) address: String,
}

impl Takes for Sender {
    fn describe(_: &mut Operation<'_>) {}
}

impl FromRequestParts<Arc<Api>> for Sender {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Infallible> {
        Ok(Self { address: address(api, &parts.extensions, &parts.headers) })
    }
}

/// Whom the session of a browser proves, and the session.
pub(crate) async fn by_session<'h>(
    api: &Api,
    headers: &'h HeaderMap,
    extensions: &Extensions,
) -> Result<Option<(Authenticated, &'h str)>, Problem> {
    let Some(session) = cookie::session(headers, api.sign_in.transport) else { return Ok(None) };
    let authenticated = api.prove(session.as_bytes(), &address(api, extensions, headers)).await?;
    Ok(authenticated.map(|authenticated| (authenticated, session)))
}

impl Api {
    /// Lets everybody see the metrics while there is one organization. Where there are more, they name the sources of all
    /// of them: then it takes a key of who operates the installation.
    pub(crate) async fn may_see_metrics(&self, sender: &Sender, headers: &HeaderMap) -> Result<(), Problem> {
        if self.engine.organizations().len() <= 1 {
            return Ok(());
        }
        let proven = match bearer(headers) {
            Some(token) => self.prove(&token, &sender.address).await?,
            None => None,
        };
        let may = |who: &Authenticated| who.principal.operates() && who.scopes.contains(Scope::Read);
        let problem = "there are several organizations: send a key of the default one, with the scope `read`";
        if proven.as_ref().is_some_and(may) { Ok(()) } else { Err(unauthorized(problem)) }
    }

    /// Whom `token` proves.
    async fn prove(&self, token: &[u8], address: &str) -> Result<Option<Authenticated>, Problem> {
        // Nobody acts on what may not be so any more.
        self.engine.check_current()?;
        // Digests are compared, in constant time: neither length nor content of the key shows.
        let given: [u8; 32] = Sha256::digest(token).into();
        if bool::from(given.ct_eq(&self.key_digest)) {
            let actor = format!("key:{BOOTSTRAP}");
            let address = address.to_owned();
            let principal = Principal { organization: OrganizationId::DEFAULT, actor, address };
            return Ok(Some(Authenticated { principal, scopes: Scopes::ALL, signed_in: None }));
        }
        let Ok(token) = std::str::from_utf8(token) else { return Ok(None) };
        let proven = self.engine.authenticate(token, address).await?;
        Ok(proven.map(|Proven { principal, scopes, signed_in }| Authenticated { principal, scopes, signed_in }))
    }
}

/// What stands in the one `Authorization` header after `Bearer`.
fn bearer(headers: &HeaderMap) -> Option<Vec<u8>> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.to_vec())
}

/// Whether a parameter is named as credentials are.
fn has_credential(query: &str) -> bool {
    let mut names = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    names.any(|name| {
        let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
        NEVER_IN_QUERY.iter().any(|never| name.trim().eq_ignore_ascii_case(never))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_in_the_query_is_seen_however_it_is_written() {
        for query in ["key=x", "limit=1&api_key=x", "API_KEY=x", "access%5Ftoken=x", "token", "a=b&&Token="] {
            assert!(has_credential(query), "{query}");
        }
        for query in ["", "limit=1", "keys=x", "cursor=key", "a=token"] {
            assert!(!has_credential(query), "{query}");
        }
    }
}
