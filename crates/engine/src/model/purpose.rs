//! What a version of a destination's secret is for: the key of one of its schemes, or the value of one of its settings.
//! Owns which purposes a destination has; what a scheme is belongs to the library.

use super::destination::{ENVIRONMENT, HEADERS, MTLS, OAUTH2, URL};
use super::{DestinationKind, DestinationSpec, Signing};
use crate::clock::Timestamp;

/// Whether versions of this purpose hold a setting of a destination. No scheme that signs may have such a name.
pub fn is_setting(purpose: &str) -> bool {
    [URL, HEADERS, ENVIRONMENT, OAUTH2, MTLS].contains(&purpose)
}

impl DestinationSpec {
    /// What the secrets are for that an operator gives it and rotates: its schemes, the main one first, then settings.
    /// Settings that only a declaration gives are not among them.
    pub fn purposes(&self) -> Vec<&str> {
        let settings: &[(&str, bool)] = match &self.kind {
            DestinationKind::Http(http) => &[(OAUTH2, http.oauth2.is_some()), (MTLS, http.mtls.is_some())],
            DestinationKind::Slack(_) => &[(URL, true)],
            DestinationKind::Command(_) | DestinationKind::Report(_) | DestinationKind::Pull(_) => &[],
        };
        let settings = settings.iter().filter(|(_, is_there)| *is_there).map(|(purpose, _)| *purpose);
        self.signing.iter().map(|signing| signing.scheme.as_str()).chain(settings).collect()
    }
}

impl Signing {
    /// Whether this scheme signs at `now`.
    pub fn signs_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
