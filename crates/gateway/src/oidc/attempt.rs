//! One browser's attempt to sign in. All that the protocol needs to know it again (state, nonce, the PKCE verifier) is
//! derived from a secret that only that browser has, in a cookie: nothing is kept here, so nothing can be filled up, and
//! what one browser began no other can end.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookward_engine::clock::{Entropy, Timestamp};
use hookward_engine::ids::SessionId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How long somebody may take at the provider.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(10 * 60);

/// What an attempt is for. It is known again as everything else of the attempt is: state and nonce are derived from it too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Purpose {
    /// The page to go to then; empty where nothing was said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) next: String,
    /// The session that this browser has already, which ends when the same user comes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaces: Option<SessionId>,
    /// The provider is to ask who it is although it knows them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) again: bool,
}

/// An attempt to sign in at one provider.
#[derive(Debug)]
pub(crate) struct Attempt {
    provider: String,
    /// The random secret, the time of its making and its purpose, as the cookie has them.
    cookie: Zeroizing<String>,
    begun_at: Timestamp,
    purpose: Purpose,
}

impl Attempt {
    /// A new one.
    pub(crate) fn new(provider: &str, purpose: Purpose, now: Timestamp, entropy: &dyn Entropy) -> Self {
        let mut random = Zeroizing::new([0; 32]);
        entropy.fill(&mut *random);
        let told = serde_json::to_vec(&purpose).expect("a purpose is texts");
        let (random, told) = (URL_SAFE_NO_PAD.encode(*random), URL_SAFE_NO_PAD.encode(told));
        let cookie = Zeroizing::new(format!("{random}.{}.{told}", now.as_millis()));
        Self { provider: provider.to_owned(), cookie, begun_at: now, purpose }
    }

    /// The one that a browser began at this provider and brings `state` for, unless it is over.
    pub(crate) fn resume(provider: &str, cookie: &str, state: &str, now: Timestamp) -> Option<Self> {
        let (_, rest) = cookie.split_once('.')?;
        let (begun_at, purpose) = rest.split_once('.')?;
        let begun_at = Timestamp::from_millis(begun_at.parse().ok()?);
        let purpose = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(purpose).ok()?).ok()?;
        let cookie = Zeroizing::new(cookie.to_owned());
        let attempt = Self { provider: provider.to_owned(), cookie, begun_at, purpose };
        // Time and purpose are part of what the state is derived from: one that was changed leads to another state.
        let is_its_own = bool::from(attempt.state().as_bytes().ct_eq(state.as_bytes()));
        let is_over = now.since(attempt.begun_at) >= ATTEMPT || attempt.begun_at > now;
        (is_its_own && !is_over).then_some(attempt)
    }

    /// What it is for.
    pub(crate) fn purpose(&self) -> &Purpose {
        &self.purpose
    }

    /// When it began.
    pub(crate) fn begun_at(&self) -> Timestamp {
        self.begun_at
    }

    /// What the cookie holds.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// What the provider sends back, by which this attempt is known.
    pub(crate) fn state(&self) -> String {
        self.derive("state")
    }

    /// What the provider writes into the ID token.
    pub(crate) fn nonce(&self) -> String {
        self.derive("nonce")
    }

    /// What proves to the provider that who brings the code is who was sent (RFC 7636).
    pub(crate) fn verifier(&self) -> Zeroizing<String> {
        Zeroizing::new(self.derive("verifier"))
    }

    /// What the provider is told of the verifier beforehand.
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier().as_bytes()))
    }

    /// Each with a name of its own, so that from one that is seen in a URL none of the others follows.
    fn derive(&self, what: &str) -> String {
        let mut digest = Sha256::new();
        for part in ["hookward oidc", what, &self.provider, &self.cookie] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        URL_SAFE_NO_PAD.encode(digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use hookward_engine::clock::SystemEntropy;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    #[test]
    fn an_attempt_is_resumed_by_who_began_it_where_it_was_begun() {
        let purpose = Purpose { next: "/dashboard/keys".to_owned(), again: true, ..Purpose::default() };
        let attempt = Attempt::new("okta", purpose.clone(), NOW, &SystemEntropy);
        let other = Attempt::new("okta", Purpose::default(), NOW, &SystemEntropy);
        let resumed = Attempt::resume("okta", attempt.cookie(), &attempt.state(), NOW).unwrap();
        assert_eq!((resumed.nonce(), resumed.verifier()), (attempt.nonce(), attempt.verifier()));
        assert_eq!((resumed.purpose(), resumed.begun_at()), (&purpose, NOW));
        let (secret, _) = attempt.cookie().rsplit_once('.').unwrap();
        let elsewhere = format!("{secret}.{}", other.cookie().rsplit_once('.').unwrap().1);
        assert!(Attempt::resume("okta", &elsewhere, &attempt.state(), NOW).is_none(), "for another purpose");
        assert!(Attempt::resume("okta", other.cookie(), &attempt.state(), NOW).is_none(), "another browser");
        assert!(Attempt::resume("google", attempt.cookie(), &attempt.state(), NOW).is_none(), "another provider");
        for state in ["", &attempt.nonce(), &attempt.challenge()] {
            assert!(Attempt::resume("okta", attempt.cookie(), state, NOW).is_none(), "{state}");
        }
        for cookie in ["", ".", "a.b", &attempt.cookie()[1..], &format!("{}0", attempt.cookie())] {
            assert!(Attempt::resume("okta", cookie, &attempt.state(), NOW).is_none(), "{cookie}");
        }
    }

    #[test]
    fn an_attempt_ends() {
        let attempt = Attempt::new("okta", Purpose::default(), NOW, &SystemEntropy);
        let resume = |now| Attempt::resume("okta", attempt.cookie(), &attempt.state(), now).is_some();
        assert!(resume(NOW.plus(ATTEMPT - Duration::from_millis(1))));
        assert!(!resume(NOW.plus(ATTEMPT)));
        assert!(!resume(NOW.minus(Duration::from_millis(1))), "nor does it begin later");
    }

    #[test]
    fn a_challenge_is_that_of_the_rfc() {
        // RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let attempt = Attempt::new("okta", Purpose::default(), NOW, &SystemEntropy);
        assert_eq!(attempt.challenge(), URL_SAFE_NO_PAD.encode(Sha256::digest(attempt.verifier().as_bytes())));
        assert_eq!(attempt.verifier().len(), 43, "the RFC's least and recommended length");
    }
}
