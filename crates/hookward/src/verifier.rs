//! Owns the verifier: a scheme with the keys in force, in one value, for a program that has one provider to listen to. Decides nothing
//! itself.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::catalog;
use crate::handshake::Handshake;
use crate::key::{Key, SecretError};
use crate::message::{Draft, Message};
use crate::parameter::ParameterError;
use crate::refusal::Refusal;
use crate::replay::ReplayKey;
use crate::scheme::{Scheme, SchemeError, nearest_of};
use crate::secret::Secret;
use crate::sign::{SignError, Signed};
use crate::time::UnixTime;
use crate::url;
use crate::verify::Verified;

/// A scheme with its keys: what a program needs that listens to one provider.
///
/// ```
/// use hookward::{Message, UnixTime, Verifier};
///
/// let github = Verifier::new("github", ["It's a Secret to Everybody"])?;
/// let headers = [("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17")];
/// let request = Message { method: "POST", url: "/hook", headers: &headers, body: b"Hello, World!" };
///
/// assert!(github.verify(&request, UnixTime::from_secs(1_700_000_000)).is_ok());
/// # Ok::<(), hookward::VerifierError>(())
/// ```
#[derive(Clone)]
pub struct Verifier {
    scheme: Cow<'static, Scheme>,
    keys: Vec<Key>,
    origin: Option<String>,
}

/// Why no verifier could be made. Whoever configured it must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifierError {
    /// No scheme of the catalog has this name.
    #[error("no scheme is called `{name}`{}", .nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default())]
    UnknownScheme {
        /// What was asked for.
        name: String,
        /// The known name nearest to it.
        nearest: Option<&'static str>,
    },
    /// The text is no scheme.
    #[error(transparent)]
    Scheme(#[from] SchemeError),
    /// There is no secret at all.
    #[error("scheme `{scheme}` needs a secret")]
    NoSecret {
        /// The scheme's name.
        scheme: String,
    },
    /// One of the secrets cannot be a key of the scheme.
    #[error("secret {} of scheme `{scheme}`: {error}", .index + 1)]
    Secret {
        /// The scheme's name.
        scheme: String,
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        error: SecretError,
    },
    /// A parameter of the scheme is unknown, missing, or has a value that it cannot have.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// A URL cannot begin with this.
    #[error("an origin is written `https://example.com`, without a path, not `{0}`")]
    BadOrigin(String),
}

impl Verifier {
    /// A verifier by a scheme of the [`catalog`]. Of several secrets the newest comes first; every one of them is accepted.
    ///
    /// # Errors
    /// When there is no such scheme or no secret, or when one of them cannot be a key of the scheme.
    pub fn new<S: AsRef<[u8]>>(scheme: &str, secrets: impl IntoIterator<Item = S>) -> Result<Self, VerifierError> {
        let Some(found) = catalog::find(scheme) else {
            let nearest = nearest_of(scheme, catalog::names());
            return Err(VerifierError::UnknownScheme { name: scheme.to_owned(), nearest });
        };
        Self::with(Cow::Borrowed(found), secrets)
    }

    /// A verifier by a scheme of your own: [`Scheme::from_toml`] reads one.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn of<S: AsRef<[u8]>>(scheme: Scheme, secrets: impl IntoIterator<Item = S>) -> Result<Self, VerifierError> {
        Self::with(Cow::Owned(scheme), secrets)
    }

    fn with<S: AsRef<[u8]>>(
        scheme: Cow<'static, Scheme>,
        secrets: impl IntoIterator<Item = S>,
    ) -> Result<Self, VerifierError> {
        let secrets: Vec<S> = secrets.into_iter().collect();
        let name = || scheme.name().to_owned();
        if secrets.is_empty() {
            return Err(VerifierError::NoSecret { scheme: name() });
        }
        let versions = (1..=u32::try_from(secrets.len()).unwrap_or(u32::MAX)).rev();
        let key = |(index, (version, secret)): (usize, (u32, &S))| {
            let secret = Secret::new(secret.as_ref()).map_err(|_| SecretError::Empty);
            let key = secret.and_then(|secret| scheme.key(version, &secret));
            key.map_err(|error| VerifierError::Secret { scheme: name(), index, error })
        };
        let keys = versions.zip(&secrets).enumerate().map(key).collect::<Result<_, _>>()?;
        Ok(Self { scheme, keys, origin: None })
    }

    /// The same with another tolerance, to the second, in place of the provider's. Nothing changes where no time is signed.
    #[must_use]
    pub fn with_tolerance(self, tolerance: Duration) -> Self {
        let scheme = Cow::Owned(self.scheme.into_owned().with_tolerance(tolerance));
        Self { scheme, ..self }
    }

    /// The same for one endpoint: values of what [`Scheme::takes`] lists. A scheme that needs some refuses every request without them.
    ///
    /// ```
    /// use hookward::Verifier;
    ///
    /// let shop = Verifier::new("tiktok-shop", ["the app's secret"])?;
    /// assert!(shop.clone().with_parameters([("app_kay", "6a3f")]).is_err());
    /// let shop = shop.with_parameters([("app_key", "6a3f")])?;
    /// # Ok::<(), hookward::VerifierError>(())
    /// ```
    ///
    /// # Errors
    /// For an unknown name, for one that is missing, and for a value that is not plain text.
    pub fn with_parameters<N: Into<String>, V: Into<String>>(
        self,
        values: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, VerifierError> {
        let values: BTreeMap<_, _> = values.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let scheme = Cow::Owned(self.scheme.for_endpoint(&values)?);
        Ok(Self { scheme, ..self })
    }

    /// The same for a program that is called at `origin`, such as `https://example.com`: where a request knows only its path,
    /// its URL is that below the origin. Needed where the URL is signed; a `Host` header is never believed.
    ///
    /// # Errors
    /// When it is not a scheme and an authority alone.
    pub fn with_origin(self, origin: &str) -> Result<Self, VerifierError> {
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        let plain = |text: &&str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@".contains(&byte))
        };
        match authority.filter(plain) {
            Some(_) => Ok(Self { origin: Some(origin.to_owned()), ..self }),
            None => Err(VerifierError::BadOrigin(origin.to_owned())),
        }
    }

    /// The scheme.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Decides whether the request was made by a holder of one of the secrets. See [`Scheme::verify`].
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify<'m>(&self, message: &Message<'m>, now: UnixTime) -> Result<Verified<'m>, Refusal> {
        match self.absolute(message.url) {
            None => self.scheme.verify(message, &self.keys, now),
            Some(url) => {
                self.scheme.verify(&Message { url: &url, ..*message }, &self.keys, now).map(Verified::into_owned)
            }
        }
    }

    /// Signs what is going to be sent, with every secret where the scheme can carry several. See [`Scheme::sign`].
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn sign(&self, draft: &Draft<'_>, now: UnixTime) -> Result<Signed, SignError> {
        self.scheme.sign(draft, &self.keys, now)
    }

    /// The answer to a request that is a handshake; `None` for any other. See [`Scheme::handshake`].
    pub fn handshake(
        &self,
        message: &Message<'_>,
        token: Option<&Secret>,
        proof: Option<&Verified<'_>>,
    ) -> Option<Result<Handshake, Refusal>> {
        self.scheme.handshake(message, &self.keys, token, proof)
    }

    /// What tells a proven request from every other one, for a [`ReplayGuard`](crate::ReplayGuard): its id where the proof binds it,
    /// else the body where no two honest requests have the same. Else the id that came with it: that tells honest repeats, while
    /// whoever captured a request can give it another. `None` where there is nothing.
    pub fn replay_key(&self, verified: &Verified<'_>, body: &[u8]) -> Option<ReplayKey> {
        let binds = verified.binds();
        let id = || verified.id().map(|id| ReplayKey::of("id", verified.scheme(), id.as_bytes()));
        match () {
            () if binds.id => id(),
            () if binds.body && self.scheme.body_is_unique() => {
                Some(ReplayKey::of("body", verified.scheme(), &Sha256::digest(body)))
            }
            () => id(),
        }
    }

    /// The absolute URL, if there is an origin and the request knows only its path.
    fn absolute(&self, url: &str) -> Option<String> {
        let origin = self.origin.as_ref().filter(|_| !url::is_absolute(url))?;
        Some(format!("{origin}{url}"))
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Verifier");
        shown
            .field("scheme", &self.scheme.name())
            .field("keys", &self.keys.len())
            .field("origin", &self.origin)
            .finish()
    }
}
