//! Owns parameters: what a scheme leaves to be said for each endpoint, such as an app key, a webhook's id, or the URL that was
//! registered. No parameter is a secret.

use std::collections::BTreeMap;

use crate::scheme::Scheme;

/// The parameter that every scheme takes which signs the URL: the URL as it was registered, where requests arrive under another one.
pub(crate) const REGISTERED_URL: &str = "url";

/// The longest value of a parameter, in bytes.
pub const MAX_PARAMETER: usize = 2048;

/// A value that no parameter of the scheme can have. Whoever set it must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The scheme has no parameter of this name.
    #[error("scheme `{scheme}` has no parameter `{name}`")]
    Unknown {
        /// The scheme.
        scheme: String,
        /// The name that was given.
        name: String,
    },
    /// The value is empty, too long, or has control characters.
    #[error("the parameter `{0}` must be plain text of at most {MAX_PARAMETER} bytes")]
    NotPlain(String),
    /// The registered URL is not absolute.
    #[error("the parameter `url` must be an absolute url")]
    UrlNotAbsolute,
}

/// Whether a text can be the value of a parameter.
pub(crate) fn check(name: &str, value: &str) -> Result<(), ParameterError> {
    if value.is_empty() || value.len() > MAX_PARAMETER || value.chars().any(char::is_control) {
        return Err(ParameterError::NotPlain(name.to_owned()));
    }
    match name == REGISTERED_URL && !crate::url::is_absolute(value) {
        true => Err(ParameterError::UrlNotAbsolute),
        false => Ok(()),
    }
}

impl Scheme {
    /// The parameters that have to be said before requests of this scheme can be verified or signed, in order of their names.
    pub fn parameters(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.proofs().iter().flat_map(|proof| proof.parameters()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The same scheme for one endpoint. Keys are the same for both.
    ///
    /// # Errors
    ///
    /// For a name that is none of [`Scheme::parameters`], nor `url` where the URL is signed; and for a value that is not plain text.
    pub fn with_parameters(&self, values: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        let known = self.parameters();
        for (name, value) in values {
            let is_url = name == REGISTERED_URL && self.signs_url();
            if !is_url && !known.contains(&name.as_str()) {
                return Err(ParameterError::Unknown { scheme: self.name().to_owned(), name: name.clone() });
            }
            check(name, value)?;
        }
        let mut filled = self.clone();
        filled.fill(values);
        Ok(filled)
    }
}
