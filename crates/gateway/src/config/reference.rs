//! `env:NAME` and `file:PATH`: values that do not stand in the configuration itself.
//! Resolves them once, at start. It never reads the environment itself: it is handed a lookup.

use hookward::Secret;
use zeroize::Zeroizing;

/// Where `env:NAME` is looked up: `None` for a variable that is not set.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What a reference came to.
pub(super) enum Resolved {
    /// A value.
    Value(Zeroizing<String>),
    /// A variable that is not set, or set to nothing. The operator decides later.
    Absent(String),
}

/// The value of `text`: itself, unless it is a reference. `env:NAME:-text` is `text` when the variable is not set.
pub(super) fn resolve(text: &str, environment: &Environment<'_>) -> Result<Resolved, String> {
    if let Some(name) = text.strip_prefix("env:") {
        let (name, otherwise) = name.split_once(":-").map_or((name, None), |(name, text)| (name, Some(text)));
        return Ok(match (from_environment(name, environment)?, otherwise) {
            (Resolved::Absent(_), Some(text)) => Resolved::Value(Zeroizing::new(text.to_owned())),
            (resolved, _) => resolved,
        });
    }
    match text.strip_prefix("file:") {
        Some(path) => {
            let bytes = from_file(path)?;
            let value = std::str::from_utf8(&bytes).map_err(|_| format!("file `{path}` is not UTF-8 text"))?;
            Ok(Resolved::Value(Zeroizing::new(value.to_owned())))
        }
        None => Ok(Resolved::Value(Zeroizing::new(text.to_owned()))),
    }
}

/// A secret: only ever a reference. `Ok(Err(name))` names the variable that is not set.
pub(super) fn secret(text: &str, environment: &Environment<'_>) -> Result<Result<Secret, String>, String> {
    let bytes = if let Some(path) = text.strip_prefix("file:") {
        from_file(path)?
    } else if text.starts_with("env:") && text.contains(":-") {
        return Err("a secret has no default: write \"env:NAME\" or \"file:PATH\"".to_owned());
    } else if text.starts_with("env:") {
        match resolve(text, environment)? {
            Resolved::Value(value) => Zeroizing::new(value.as_bytes().to_vec()),
            Resolved::Absent(name) => return Ok(Err(name)),
        }
    } else {
        return Err("a secret does not stand in this file: write \"env:NAME\" or \"file:PATH\"".to_owned());
    };
    Secret::new(bytes.to_vec()).map(Ok).map_err(|_| format!("`{text}` is empty"))
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
