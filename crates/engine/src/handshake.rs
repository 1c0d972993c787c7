//! Handshakes at the inbound door: a provider makes sure of a source before it sends there, and is told what it wants to hear.
//! Owns the handshake tokens, the adoption of a first secret, and what the audit log says; what is answered is the scheme's.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use hookward::{Secret, Verified};
use serde_json::json;

use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::exposure::Exposed;
use crate::ids::SourceId;
use crate::model::{AuditEntry, Principal, Rate, SecretOwner};
use crate::rate::Bucket;
use crate::receive::{InboundRequest, Receipt, Unavailable, message};
use crate::refusals::Why;
use crate::registry::LiveSource;
use crate::secrets::{NewSecret, Terms};

/// How many handshakes of a source the audit log lists one by one. Anybody can ask, so more are only counted.
pub const HANDSHAKES_LISTED: Rate = Rate { requests: 1, per: Duration::from_secs(60), burst: 10 };

/// The tokens that operators told providers, by source. They live here only, as the configuration has them, and are stored nowhere.
pub(crate) type Tokens = HashMap<SourceId, Secret>;

/// Which handshakes of a source were listed.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    bucket: Bucket,
    /// Since the last one that was.
    unlisted: u64,
}

impl Engine {
    /// The methods with which providers make sure of `source`, whatever methods its events come with.
    pub fn handshake_methods(&self, source: SourceId) -> Vec<String> {
        let registry = self.inner().registry();
        let scheme = registry.source(source).and_then(|live| live.scheme.as_ref());
        scheme.map(|scheme| scheme.handshake_methods().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Answers a request that can be nothing but a handshake, by its method; `None` if it is not one either.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] when the store does not answer, or the source is not declared any more.
    pub async fn shake_hands(
        &self,
        source: SourceId,
        request: &InboundRequest,
    ) -> Result<Option<Receipt>, Unavailable> {
        let registry = self.inner().registry();
        let Some(live) = registry.source(source) else {
            return Err(Unavailable(format!("source `{source}` is not declared")));
        };
        let now = self.inner().clock().now();
        let exposed = self.exposed(&registry, live, request, now).await;
        self.handshake(live, request, None, &exposed, now).await
    }

    /// Answers a handshake. `None` for any other request.
    pub(crate) async fn handshake(
        &self,
        live: &LiveSource,
        request: &InboundRequest,
        proof: Option<&Verified<'_>>,
        exposed: &Exposed,
        now: Timestamp,
    ) -> Result<Option<Receipt>, Unavailable> {
        let Some(scheme) = live.scheme.as_ref().filter(|scheme| scheme.has_handshakes()) else { return Ok(None) };
        let keys = self.inner().opened(&live.keyring, now).await;
        let tokens = self.inner().handshake_tokens();
        let answer = scheme.handshake(&message(request), &keys.keys, tokens.get(&live.source.id), proof);
        let mut answer = match answer {
            None => return Ok(None),
            Some(_) if let Some(problem) = keys.problem() => return Err(Unavailable(problem)),
            Some(Ok(answer)) => answer,
            Some(Err(refusal)) => {
                self.inner().refuse(
                    live.door(),
                    refusal.id(),
                    || Why::of(&refusal, Some(scheme)),
                    request,
                    exposed,
                    now,
                );
                return Ok(Some(Receipt::Refused(refusal)));
            }
        };
        if let Some(url) = answer.visits.take()
            && let Err(problem) = self.inner().visit(live, &url).await
        {
            let problem = format!("the handshake's url: {problem}");
            return Ok(Some(self.undecided(live, problem, request, exposed, now)));
        }
        let unavailable = |error: EngineError| Unavailable(error.to_string());
        if let Some(secret) = answer.adopts.take()
            && !self.adopt(live, secret, &request.remote).await.map_err(unavailable)?
        {
            return Ok(None);
        }
        self.list(live, request, now).await.map_err(unavailable)?;
        Ok(Some(Receipt::Answered(answer)))
    }

    /// Makes `secret` the source's first. Nothing proves it, so a source that ever had one is left as it is.
    async fn adopt(&self, live: &LiveSource, secret: Secret, remote: &str) -> Result<bool, EngineError> {
        const ORIGIN: &str = "handshake";
        let owner = SecretOwner::Source(live.source.id);
        let has_had_one = || !self.inner().registry().secrets(owner).is_empty();
        // Whoever knocks later does not even make operators wait.
        if has_had_one() {
            return Ok(false);
        }
        let _one_at_a_time = self.inner().administration().await;
        if has_had_one() {
            return Ok(false);
        }
        let (version, changes) =
            self.inner().secret_changes(owner, None, NewSecret::Given(secret), Terms::default(), ORIGIN).await?;
        let by = door(live, remote);
        let detail = json!({ "version": version, "origin": ORIGIN });
        let audit = AuditEntry::by(&by, "secret.rotate", by.actor.clone(), self.inner().clock().now(), detail);
        self.inner().change(changes, vec![audit]).await?;
        self.inner().refresh().await?;
        Ok(true)
    }

    async fn list(&self, live: &LiveSource, request: &InboundRequest, now: Timestamp) -> Result<(), EngineError> {
        let unlisted = {
            let mut listing = live.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
            match listing.bucket.take(&HANDSHAKES_LISTED, self.inner().clock().elapsed()) {
                Ok(()) => std::mem::take(&mut listing.unlisted),
                Err(_) => {
                    listing.unlisted += 1;
                    return Ok(());
                }
            }
        };
        let by = door(live, &request.remote);
        let detail = json!({ "method": request.method, "unlisted_before": unlisted });
        let entry = AuditEntry::by(&by, "webhook.handshake", by.actor.clone(), now, detail);
        Ok(self.inner().store().record(vec![entry]).await?)
    }
}

/// Who shakes hands at a door: nobody has proven who.
fn door(live: &LiveSource, remote: &str) -> Principal {
    let actor = format!("source:{}", live.source.name);
    Principal { organization: live.source.organization, actor, address: remote.to_owned() }
}
