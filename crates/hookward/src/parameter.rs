//! Owns parameters: what a scheme leaves to be said for each endpoint, such as an app key, a webhook's id, or the URL that was
//! registered. No parameter is a secret.

use std::collections::BTreeMap;

use crate::published::Published;
use crate::scheme::{Scheme, nearest_of};

/// The parameter that every scheme takes which signs the URL: the URL as it was registered, where requests arrive under another one.
pub(crate) const REGISTERED_URL: &str = "url";

/// What that one is.
const REGISTERED_URL_IS: &str = "the url as the provider has it, where it is not the one that requests arrive under";

/// The longest value of a parameter, in bytes.
pub const MAX_PARAMETER: usize = 2048;

/// What a scheme leaves to be said for each endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter<'s> {
    /// Its name.
    pub name: &'s str,
    /// What it is, in words; empty where the scheme does not say.
    pub meaning: &'s str,
    /// Whether nothing can be verified or signed without it.
    pub is_required: bool,
}

/// Values that the parameters of a scheme cannot have. Whoever set them must act.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    /// The scheme has no parameter of this name.
    #[error("scheme `{scheme}` has no parameter `{name}`{}", .nearest.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// The scheme.
        scheme: String,
        /// The name that was given.
        name: String,
        /// The name of one of its parameters that is like it.
        nearest: Option<String>,
    },
    /// A parameter that the scheme needs was not given.
    #[error("scheme `{scheme}` needs the parameter `{name}`{}{meaning}", if .meaning.is_empty() { "" } else { ": " })]
    Missing {
        /// The scheme.
        scheme: String,
        /// The parameter.
        name: String,
        /// What it is, in words.
        meaning: String,
    },
    /// The value is empty, too long, or has control characters.
    #[error("the parameter `{0}` must be plain text of at most {MAX_PARAMETER} bytes")]
    NotPlain(String),
    /// The registered URL is not absolute.
    #[error("the parameter `url` must be an absolute url")]
    UrlNotAbsolute,
}

impl ParameterError {
    /// The parameter that it is about.
    pub fn name(&self) -> &str {
        match self {
            Self::Unknown { name, .. } | Self::Missing { name, .. } | Self::NotPlain(name) => name,
            Self::UrlNotAbsolute => REGISTERED_URL,
        }
    }
}

/// Whether a text can be the value of a parameter.
fn check(name: &str, value: &str) -> Result<(), ParameterError> {
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

    /// Everything that may be said for an endpoint: [`Scheme::parameters`]; what is in the URL of published keys, which are not fetched
    /// without it; and `url` where the URL is signed.
    pub fn takes(&self) -> Vec<Parameter<'_>> {
        let required = self.parameters().into_iter();
        let required = required.map(|name| Parameter { name, meaning: self.meaning(name), is_required: true });
        let url = Parameter { name: REGISTERED_URL, meaning: REGISTERED_URL_IS, is_required: false };
        let names = self.published().into_iter().flat_map(Published::parameters);
        let of_keys = names.map(|name| Parameter { name, meaning: self.meaning(name), is_required: false });
        required.chain(of_keys).chain(self.signs_url().then_some(url)).collect()
    }

    /// The same scheme for one endpoint, as far as `values` go. Keys are the same for both.
    ///
    /// # Errors
    ///
    /// For a name that is none of [`Scheme::takes`]; and for a value that is not plain text.
    pub fn with_parameters(&self, values: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        let known = self.takes();
        for (name, value) in values {
            if !known.iter().any(|parameter| parameter.name == name) {
                let (scheme, name) = (self.name().to_owned(), name.clone());
                let nearest = nearest_of(&name, known.iter().map(|parameter| parameter.name)).map(str::to_owned);
                return Err(ParameterError::Unknown { scheme, name, nearest });
            }
            check(name, value)?;
        }
        let mut filled = self.clone();
        filled.fill(values);
        Ok(filled)
    }

    /// The same scheme for one endpoint, with everything said that has to be.
    ///
    /// # Errors
    ///
    /// Like [`Scheme::with_parameters`]; and for one of [`Scheme::parameters`] that is not among `values`.
    pub fn for_endpoint(&self, values: &BTreeMap<String, String>) -> Result<Self, ParameterError> {
        let filled = self.with_parameters(values)?;
        let Some(missing) = filled.parameters().first().map(|name| (*name).to_owned()) else { return Ok(filled) };
        let (scheme, meaning) = (self.name().to_owned(), self.meaning(&missing).to_owned());
        Err(ParameterError::Missing { scheme, name: missing, meaning })
    }
}
