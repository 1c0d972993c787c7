//! The link by which the first user of an installation comes to be. It proves that whoever opens it sees what this process
//! printed; it is in this process's memory only, and good until there is a user.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookward_engine::clock::Entropy;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What the path of the link begins with; its text comes after it.
pub(crate) const PATH: &str = "/dashboard/first-run";

/// Whether this process waits for a first user, and what proves that one may become it.
pub(crate) struct FirstRun(Mutex<Option<Zeroizing<String>>>);

impl FirstRun {
    /// There is a user, and so no link.
    pub(crate) fn over() -> Self {
        Self(Mutex::new(None))
    }

    /// A new link.
    pub(crate) fn begin(entropy: &dyn Entropy) -> Self {
        let mut random = Zeroizing::new([0; 32]);
        entropy.fill(&mut *random);
        Self(Mutex::new(Some(Zeroizing::new(URL_SAFE_NO_PAD.encode(*random)))))
    }

    /// The path of the link while it is good.
    pub(crate) fn path(&self) -> Option<String> {
        self.look(|text| text.map(|text| format!("{PATH}/{text}")))
    }

    /// Whether there is no user yet, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        self.look(|text| text.is_some())
    }

    /// Whether `given` is the link's text.
    pub(crate) fn is(&self, given: &str) -> bool {
        self.look(|text| text.is_some_and(|text| text.as_bytes().ct_eq(given.as_bytes()).into()))
    }

    /// There is a user now: the link is good for nothing any more.
    pub(crate) fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn look<T>(&self, look: impl FnOnce(Option<&str>) -> T) -> T {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        look(text.as_ref().map(|text| text.as_str()))
    }
}

impl fmt::Debug for FirstRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FirstRun(…)")
    }
}

#[cfg(test)]
mod tests {
    use hookward_engine::clock::SystemEntropy;

    use super::*;

    #[test]
    fn a_link_is_good_until_there_is_a_user() {
        let first_run = FirstRun::begin(&SystemEntropy);
        let path = first_run.path().unwrap();
        let text = path.strip_prefix("/dashboard/first-run/").unwrap();
        assert_eq!(text.len(), 43);
        assert!(first_run.is(text) && first_run.is_open());
        assert!(!first_run.is("") && !first_run.is(&text[1..]) && !FirstRun::begin(&SystemEntropy).is(text));
        assert!(!format!("{first_run:?}").contains(text));
        first_run.end();
        assert!(!first_run.is(text) && !first_run.is_open() && first_run.path().is_none());
        assert!(!FirstRun::over().is_open() && !FirstRun::over().is(""));
    }
}
