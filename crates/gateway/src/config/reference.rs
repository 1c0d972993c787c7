//! `env:NAME` and `file:PATH`: values that do not stand in the configuration itself, and `stored`: the one in force.
//! Resolves them once, when a configuration is read. It reads no environment itself: it is handed a lookup.

use std::collections::HashMap;

use hookward::Secret;
use zeroize::Zeroizing;

/// Where `env:NAME` is looked up: `None` for a variable that is not set.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The word for what the gateway has already.
pub(crate) const STORED: &str = "stored";

/// Whose values references stand for.
#[derive(Clone, Copy)]
pub(crate) enum References<'a> {
    /// This machine's: its environment and its files.
    Here(&'a Environment<'a>),
    /// Those of whoever sent the configuration, who looked them up and sent them along, each under the reference's text.
    Sent(&'a HashMap<String, Zeroizing<String>>),
    /// Nobody's: what the API is told are values.
    Nowhere,
}

/// What a reference came to.
pub(super) enum Resolved {
    /// A value.
    Value(Zeroizing<String>),
    /// A variable that is not set, or set to nothing. The operator decides later.
    Absent(String),
}

/// What a secret's place came to.
pub(super) enum ResolvedSecret {
    /// A value.
    Value(Secret),
    /// A variable that is not set.
    Absent(String),
    /// Whatever the keyring has.
    Stored,
}

impl References<'_> {
    /// Whether they are looked up on this machine.
    pub(super) fn are_here(self) -> bool {
        matches!(self, Self::Here(_))
    }

    /// Whether an absent variable is looked for elsewhere than where the gateway runs.
    pub(super) fn are_sent(self) -> bool {
        matches!(self, Self::Sent(_))
    }

    /// What a variable of this machine is set to, if anything.
    pub(super) fn variable(self, name: &str) -> Option<String> {
        match self {
            Self::Here(environment) => environment(name).filter(|value| !value.is_empty()),
            Self::Sent(_) | Self::Nowhere => None,
        }
    }

    /// The value of `text`: itself, unless it is a reference. `env:NAME:-text` is `text` when the variable is not set.
    pub(super) fn resolve(self, text: &str) -> Result<Resolved, String> {
        if text == STORED {
            return Err("nothing is stored here that could be kept: write the value, or a reference to it".to_owned());
        }
        if !is_reference(text) {
            return Ok(Resolved::Value(Zeroizing::new(text.to_owned())));
        }
        match self {
            Self::Here(environment) => look_up(text, environment),
            Self::Sent(values) => Ok(match values.get(text).filter(|value| !value.is_empty()) {
                Some(value) => Resolved::Value(value.clone()),
                None => Resolved::Absent(text.to_owned()),
            }),
            Self::Nowhere => Err("a reference is not looked up for the API: send the value itself".to_owned()),
        }
    }

    /// A secret. In a configuration it is only ever a reference, which has to lead to something.
    pub(super) fn secret(self, text: &str) -> Result<ResolvedSecret, String> {
        if text == STORED {
            return Ok(ResolvedSecret::Stored);
        }
        let bytes = match self {
            Self::Nowhere if !is_reference(text) => Zeroizing::new(text.as_bytes().to_vec()),
            _ if !is_reference(text) => {
                return Err("a secret does not stand in this file: write \"env:NAME\" or \"file:PATH\"".to_owned());
            }
            _ if text.starts_with("env:") && text.contains(":-") => {
                return Err("a secret has no default: write \"env:NAME\" or \"file:PATH\"".to_owned());
            }
            // Not as text: a file's bytes may be any.
            Self::Here(_) if text.starts_with("file:") => from_file(&text["file:".len()..])?,
            Self::Here(environment) if environment(&text["env:".len()..]).is_some_and(|value| value.is_empty()) => {
                return Err(format!("`{text}` is set to nothing: an empty secret would prove nothing"));
            }
            _ => match self.resolve(text)? {
                Resolved::Value(value) => Zeroizing::new(value.as_bytes().to_vec()),
                Resolved::Absent(name) => return Ok(ResolvedSecret::Absent(name)),
            },
        };
        let what = if is_reference(text) { format!("`{text}`") } else { "a secret".to_owned() };
        let secret = Secret::new(bytes.to_vec()).map_err(|_| format!("{what} may not be empty or blank"))?;
        Ok(ResolvedSecret::Value(secret))
    }
}

/// Whether this text stands for a value somewhere else.
pub(crate) fn is_reference(text: &str) -> bool {
    text.starts_with("env:") || text.starts_with("file:")
}

/// The value of a reference, for sending it to a gateway; `None` for a variable that is not set.
pub(crate) fn look_up_here(text: &str, environment: &Environment<'_>) -> Result<Option<Zeroizing<String>>, String> {
    Ok(match look_up(text, environment)? {
        Resolved::Value(value) => Some(value),
        Resolved::Absent(_) => None,
    })
}

fn look_up(text: &str, environment: &Environment<'_>) -> Result<Resolved, String> {
    if let Some(path) = text.strip_prefix("file:") {
        let bytes = from_file(path)?;
        let value = std::str::from_utf8(&bytes).map_err(|_| format!("file `{path}` is not UTF-8 text"))?;
        return Ok(Resolved::Value(Zeroizing::new(value.to_owned())));
    }
    let name = text.strip_prefix("env:").unwrap_or(text);
    let (name, otherwise) = name.split_once(":-").map_or((name, None), |(name, text)| (name, Some(text)));
    Ok(match (from_environment(name, environment)?, otherwise) {
        (Resolved::Absent(_), Some(text)) => Resolved::Value(Zeroizing::new(text.to_owned())),
        (resolved, _) => resolved,
    })
}

fn from_environment(name: &str, environment: &Environment<'_>) -> Result<Resolved, String> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(format!("`env:{name}` does not name a variable"));
    }
    Ok(match environment(name) {
        Some(value) if !value.is_empty() => Resolved::Value(Zeroizing::new(value)),
        _ => Resolved::Absent(name.to_owned()),
    })
}

/// A file's bytes without its one trailing newline, which editors and `echo` add.
pub(crate) fn from_file(path: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("file `{path}` cannot be read: {error}"))?;
    Ok(without_newline(bytes))
}

/// `bytes` without one trailing newline (`\n` or `\r\n`).
pub(crate) fn without_newline(bytes: Vec<u8>) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(bytes);
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}
