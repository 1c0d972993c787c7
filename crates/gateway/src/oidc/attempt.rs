//! One browser's attempt to sign in. All that the protocol needs to know it again (state, nonce, the PKCE verifier) is
//! derived from a secret that only that browser has, in a cookie: nothing is kept here, so nothing can be filled up, and
//! what one browser began no other can end.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookward_engine::clock::{Entropy, Timestamp};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// How long somebody may take at the provider.
pub(crate) const ATTEMPT: Duration = Duration::from_secs(10 * 60);

/// An attempt to sign in at one provider.
#[derive(Debug)]
pub(crate) struct Attempt {
    provider: String,
    /// The random secret and the time of its making, as the cookie has them.
    cookie: Zeroizing<String>,
    begun_at: Timestamp,
}

impl Attempt {
    /// A new one.
    pub(crate) fn new(provider: &str, now: Timestamp, entropy: &dyn Entropy) -> Self {
        let mut random = Zeroizing::new([0; 32]);
        entropy.fill(&mut *random);
        let cookie = Zeroizing::new(format!("{}.{}", URL_SAFE_NO_PAD.encode(*random), now.as_millis()));
        Self { provider: provider.to_owned(), cookie, begun_at: now }
    }

    /// The one that a browser began at this provider and brings `state` for, unless it is over.
    pub(crate) fn resume(provider: &str, cookie: &str, state: &str, now: Timestamp) -> Option<Self> {
        let (_, begun_at) = cookie.split_once('.')?;
        let begun_at = Timestamp::from_millis(begun_at.parse().ok()?);
        let attempt = Self { provider: provider.to_owned(), cookie: Zeroizing::new(cookie.to_owned()), begun_at };
        // The time is part of what the state is derived from: one that was changed leads to another state.
        let is_its_own = bool::from(attempt.state().as_bytes().ct_eq(state.as_bytes()));
        let is_over = now.since(attempt.begun_at) >= ATTEMPT || attempt.begun_at > now;
        (is_its_own && !is_over).then_some(attempt)
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
        let attempt = Attempt::new("okta", NOW, &SystemEntropy);
        let other = Attempt::new("okta", NOW, &SystemEntropy);
        let resumed = Attempt::resume("okta", attempt.cookie(), &attempt.state(), NOW).unwrap();
        assert_eq!((resumed.nonce(), resumed.verifier()), (attempt.nonce(), attempt.verifier()));
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
        let attempt = Attempt::new("okta", NOW, &SystemEntropy);
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
        let attempt = Attempt::new("okta", NOW, &SystemEntropy);
        assert_eq!(attempt.challenge(), URL_SAFE_NO_PAD.encode(Sha256::digest(attempt.verifier().as_bytes())));
        assert_eq!(attempt.verifier().len(), 43, "the RFC's least and recommended length");
    }
}
