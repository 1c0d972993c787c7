//! One provider at the other end: what it says of itself, its keys, and codes turned into who somebody is.
//! Everything that it says is taken from where its own document says, over TLS, in bounded time and size.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hookward_engine::accounts::{Expected, ProviderKeys, TokenRefusal, Vouched};
use hookward_engine::clock::{Clock, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, MutexGuard};
use zeroize::Zeroizing;

use super::{Attempt, vouched};
use crate::client::Client;
use crate::config::{OidcDeclaration, is_dialable};

/// What stands unescaped in a form.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How far a provider's clock may be from ours.
const SKEW: Duration = Duration::from_secs(60);

/// How long what a provider says of itself is believed.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 60);

/// How soon a provider is asked for its keys again because of one that it does not have: anybody can name one.
const KEYS_EVERY: Duration = Duration::from_secs(60);

/// Why somebody could not be signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The provider does not answer, or not as providers do.
    #[error("{0}")]
    Provider(String),
    /// The provider does not take the code.
    #[error("the provider refuses the code: {0}")]
    Code(String),
    /// It was to ask who it is, and took what it knew.
    #[error("the provider did not ask who it is again")]
    NotAsked,
    /// Its token is not believed.
    #[error("the ID token is refused: {0}")]
    Token(#[from] TokenRefusal),
}

/// What a provider says of itself (OpenID Connect Discovery 1.0).
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// What is known of a provider, and since when.
#[derive(Debug, Default)]
struct Known {
    metadata: Option<(Duration, Arc<Metadata>)>,
    keys: Option<Arc<ProviderKeys>>,
    /// When it was last asked for its keys because of one that it did not have.
    keys_again_at: Option<Duration>,
}

/// A provider.
#[derive(Debug)]
pub(crate) struct Provider {
    declared: OidcDeclaration,
    redirect_uri: String,
    client: Client,
    known: Mutex<Known>,
}

impl Provider {
    /// The provider as declared. Nothing is asked of it before somebody wants to sign in.
    pub(super) fn new(declared: OidcDeclaration, origin: &str, extra_roots: Option<&[u8]>) -> anyhow::Result<Self> {
        let redirect_uri = format!("{origin}/auth/oidc/{}/callback", declared.name);
        Ok(Self { declared, redirect_uri, client: Client::new(extra_roots)?, known: Mutex::default() })
    }

    pub(crate) fn declared(&self) -> &OidcDeclaration {
        &self.declared
    }

    /// Where a browser is sent.
    pub(crate) async fn authorization_url(&self, attempt: &Attempt, clock: &dyn Clock) -> Result<String, Fault> {
        let metadata = self.metadata(clock).await?;
        let query = form(&[
            ("response_type", "code"),
            ("client_id", &self.declared.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", "openid email profile"),
            ("state", &attempt.state()),
            ("nonce", &attempt.nonce()),
            ("code_challenge", &attempt.challenge()),
            ("code_challenge_method", "S256"),
        ]);
        let endpoint = &metadata.authorization_endpoint;
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        let again = if attempt.purpose().again { "&prompt=login&max_age=0" } else { "" };
        Ok(format!("{endpoint}{separator}{}{again}", query.as_str()))
    }

    /// Whether an answer that says it is `issuer`'s can be this provider's (RFC 9207): one that always says so has to.
    pub(crate) async fn is_of(&self, issuer: Option<&str>, clock: &dyn Clock) -> Result<bool, Fault> {
        let metadata = self.metadata(clock).await?;
        Ok(match issuer {
            Some(issuer) => issuer == self.declared.issuer,
            None => !metadata.authorization_response_iss_parameter_supported,
        })
    }

    /// Who came back with `code`.
    pub(crate) async fn redeem(&self, code: &str, attempt: &Attempt, clock: &dyn Clock) -> Result<Vouched, Fault> {
        let metadata = self.metadata(clock).await?;
        let tokens = self.exchange(&metadata, code, attempt).await?;
        let text = |name: &str| tokens.get(name).and_then(Value::as_str);
        let id_token = text("id_token").ok_or_else(|| Fault::Provider("it answers without an ID token".to_owned()))?;
        let mut claims = self.verify(&metadata, id_token, &attempt.nonce(), clock).await?;
        if attempt.purpose().again && !was_asked(&claims, attempt.begun_at()) {
            return Err(Fault::NotAsked);
        }
        // Where the token is kept small, the address and the groups are told separately.
        if !claims.contains_key("email")
            && let (Some(endpoint), Some(access_token)) = (&metadata.userinfo_endpoint, text("access_token"))
        {
            self.add_userinfo(endpoint, access_token, &mut claims).await?;
        }
        Ok(vouched(&self.declared, &claims))
    }

    /// What the provider says of itself, asked for when it is not known or too old. Whoever comes meanwhile waits for the
    /// same answer. If there is none, the old one serves.
    async fn metadata(&self, clock: &dyn Clock) -> Result<Arc<Metadata>, Fault> {
        let mut known = self.known.lock().await;
        let now = clock.elapsed();
        let before = known.metadata.clone();
        if let Some((at, metadata)) = &before
            && now.saturating_sub(*at) < KNOWN_FOR
        {
            return Ok(Arc::clone(metadata));
        }
        match (self.discover().await, before) {
            (Ok(metadata), _) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((now, Arc::clone(&metadata)));
                known.keys = None;
                Ok(metadata)
            }
            (Err(fault), Some((_, metadata))) => {
                tracing::warn!(provider = self.declared.name, %fault, "what was known of the provider before is used");
                Ok(metadata)
            }
            (Err(fault), None) => Err(fault),
        }
    }

    async fn discover(&self) -> Result<Metadata, Fault> {
        let issuer = self.declared.issuer.trim_end_matches('/');
        let answer = self.get(&format!("{issuer}/.well-known/openid-configuration"), &[]).await?;
        let metadata: Metadata = serde_json::from_slice(&answer)
            .map_err(|error| Fault::Provider(format!("its document is not what providers have: {error}")))?;
        if metadata.issuer != self.declared.issuer {
            let says = metadata.issuer.escape_debug();
            return Err(Fault::Provider(format!("it says that it is `{says}`, not `{}`", self.declared.issuer)));
        }
        let endpoints = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri];
        let open = endpoints.into_iter().chain(&metadata.userinfo_endpoint).find(|url| !is_dialable(url));
        match open {
            Some(url) => Err(Fault::Provider(format!("its endpoint `{}` is not one over TLS", url.escape_debug()))),
            None => Ok(metadata),
        }
    }

    /// Turns a code into tokens.
    async fn exchange(&self, metadata: &Metadata, code: &str, attempt: &Attempt) -> Result<Map<String, Value>, Fault> {
        let OidcDeclaration { client_id, client_secret, .. } = &self.declared;
        let secret = std::str::from_utf8(client_secret.expose())
            .map_err(|_| Fault::Provider("its `client_secret` is not text".to_owned()))?;
        let verifier = attempt.verifier();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &verifier),
        ];
        let mut headers = vec![
            ("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()),
            ("accept".to_owned(), "application/json".to_owned()),
        ];
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        let takes = |method: &str| methods.is_none_or(|methods| methods.iter().any(|known| known == method));
        if takes("client_secret_basic") {
            let pair = Zeroizing::new(format!("{}:{}", escaped(client_id), escaped(secret)));
            headers.push(("authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair.as_bytes()))));
        } else if takes("client_secret_post") {
            fields.extend([("client_id", client_id.as_str()), ("client_secret", secret)]);
        } else {
            return Err(Fault::Provider("it takes a client's secret neither as `Basic` nor in the form".to_owned()));
        }
        let body = Bytes::from(form(&fields).as_bytes().to_vec());
        let answer = self.client.send("POST", &metadata.token_endpoint, &headers, body).await;
        let answer = answer.map_err(|error| Fault::Provider(format!("{error:#}")))?;
        let fields: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap_or_default();
        match answer.status {
            200 => Ok(fields),
            // The code, or we: either way this sign-in is over.
            400 | 401 => {
                let error = fields.get("error").and_then(Value::as_str).unwrap_or("no reason");
                Err(Fault::Code(error.chars().take(64).collect()))
            }
            status => Err(Fault::Provider(format!("it answers {status} to a code"))),
        }
    }

    /// The claims of an ID token, with the provider's newest keys if it takes those.
    async fn verify(
        &self,
        metadata: &Metadata,
        token: &str,
        nonce: &str,
        clock: &dyn Clock,
    ) -> Result<Map<String, Value>, Fault> {
        let OidcDeclaration { issuer, client_id, .. } = &self.declared;
        let expected = Expected { issuer, client_id, nonce, now: clock.now() };
        let mut known = self.known.lock().await;
        let keys = match &known.keys {
            Some(keys) => Arc::clone(keys),
            None => self.fetch_keys(&mut known, metadata).await?,
        };
        let verdict = keys.verify(token, &expected);
        let now = clock.elapsed();
        let may_ask = known.keys_again_at.is_none_or(|at| now.saturating_sub(at) >= KEYS_EVERY);
        if verdict == Err(TokenRefusal::UnknownKey) && may_ask {
            known.keys_again_at = Some(now);
            return Ok(self.fetch_keys(&mut known, metadata).await?.verify(token, &expected)?);
        }
        Ok(verdict?)
    }

    async fn fetch_keys(
        &self,
        known: &mut MutexGuard<'_, Known>,
        metadata: &Metadata,
    ) -> Result<Arc<ProviderKeys>, Fault> {
        let answer = self.get(&metadata.jwks_uri, &[]).await?;
        let keys = Arc::new(ProviderKeys::parse(&answer).map_err(Fault::Provider)?);
        known.keys = Some(Arc::clone(&keys));
        Ok(keys)
    }

    /// Adds what the provider says beside the token, if it is of the same person.
    async fn add_userinfo(
        &self,
        endpoint: &str,
        access_token: &str,
        claims: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let bearer = ("authorization".to_owned(), format!("Bearer {access_token}"));
        let answer = self.get(endpoint, &[bearer]).await?;
        let more: Map<String, Value> = serde_json::from_slice(&answer)
            .map_err(|_| Fault::Provider("what it says of the user is not a JSON object".to_owned()))?;
        if more.get("sub") != claims.get("sub") {
            return Err(Fault::Provider("what it says of the user is of somebody else".to_owned()));
        }
        for (name, value) in more {
            claims.entry(name).or_insert(value);
        }
        Ok(())
    }

    async fn get(&self, url: &str, headers: &[(String, String)]) -> Result<Bytes, Fault> {
        let answer = self.client.send("GET", url, headers, Bytes::new()).await;
        let answer = answer.map_err(|error| Fault::Provider(format!("{error:#}")))?;
        match answer.status {
            200 => Ok(answer.body),
            status => Err(Fault::Provider(format!("it answers {status} at `{url}`"))),
        }
    }
}

/// Whether somebody showed the provider who they are since `begun_at`. Not all providers say when that was: then it counts
/// that they were sent there, and came back.
fn was_asked(claims: &Map<String, Value>, begun_at: Timestamp) -> bool {
    let asked_at = claims.get("auth_time").and_then(Value::as_i64);
    asked_at.is_none_or(|at| at >= begun_at.minus(SKEW).as_secs())
}

/// Pairs as a form, and as a query.
fn form(pairs: &[(&str, &str)]) -> Zeroizing<String> {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    Zeroizing::new(pairs.join("&"))
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}
