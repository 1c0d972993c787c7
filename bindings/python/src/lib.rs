//! Owns the native half of the Python package: the library's values as Python's plainest. Classes, exceptions and what frameworks need
//! are the package's own, in `python/hookward`.

use std::time::Duration;

use hookward::{Draft, Message, Scheme, Secret, UnixTime, Verified, catalog};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};

/// Name, key version, id, event type, time in ms, what is covered, and whether the proof is a weak one.
type Verdict = (String, u32, Option<String>, Option<String>, Option<i64>, Covered, bool);

/// Body, time, URL, id, a part of the body, what tells a repeat.
type Covered = (bool, bool, bool, bool, bool, bool);

/// The refusal's id and its sentence.
type Refusal = (&'static str, String);

/// Content type, headers, body, and the secret that came with it.
type Answer<'py> = (Option<&'static str>, Vec<(String, String)>, String, Option<Bound<'py, pyo3::types::PyBytes>>);

/// Headers, query parameters, the versions of the keys that signed, and the body to send instead.
type Signed = (Vec<(String, String)>, Vec<(String, String)>, Vec<u32>, Option<Vec<u8>>);

type Headers = Vec<(PyBackedStr, PyBackedBytes)>;

/// A scheme with its keys.
#[pyclass(frozen, module = "hookward._native")]
struct Verifier(hookward::Verifier);

#[pymethods]
impl Verifier {
    #[new]
    fn new(
        scheme: &str,
        toml: Option<&str>,
        secrets: Vec<PyBackedBytes>,
        tolerance_s: Option<u64>,
        origin: Option<&str>,
        parameters: Vec<(String, String)>,
    ) -> PyResult<Self> {
        let made = match toml {
            Some(text) => {
                Scheme::from_toml(text).map_err(Into::into).and_then(|read| hookward::Verifier::of(read, secrets))
            }
            None => hookward::Verifier::new(scheme, secrets),
        };
        let verifier = made.and_then(|verifier| verifier.with_parameters(parameters));
        let verifier = verifier.and_then(|verifier| match origin {
            Some(origin) => verifier.with_origin(origin),
            None => Ok(verifier),
        });
        let verifier = verifier.map_err(invalid)?;
        Ok(Self(match tolerance_s {
            Some(seconds) => verifier.with_tolerance(Duration::from_secs(seconds)),
            None => verifier,
        }))
    }

    fn scheme(&self) -> &str {
        self.0.scheme().name()
    }

    fn verify(
        &self,
        method: &str,
        url: &str,
        headers: Headers,
        body: &[u8],
        now_ms: i64,
    ) -> (Option<Verdict>, Option<Refusal>) {
        let message = Message { method, url, headers: &headers, body };
        match self.0.verify(&message, UnixTime::from_millis(now_ms)) {
            Ok(verified) => (Some(verdict(&verified)), None),
            Err(refusal) => (None, Some((refusal.id(), refusal.to_string()))),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a request has that many parts, and Python hands over each")]
    fn handshake<'py>(
        &self,
        python: Python<'py>,
        method: &str,
        url: &str,
        headers: Headers,
        body: &[u8],
        now_ms: i64,
        token: Option<&[u8]>,
    ) -> PyResult<(Option<Answer<'py>>, Option<Refusal>)> {
        let message = Message { method, url, headers: &headers, body };
        let token = token.map(Secret::new).transpose().map_err(invalid)?;
        let asked = self.0.handshake(&message, token.as_ref(), None).or_else(|| {
            let has_any = self.0.scheme().has_handshakes();
            let proof = has_any.then(|| self.0.verify(&message, UnixTime::from_millis(now_ms)).ok()).flatten()?;
            self.0.handshake(&message, token.as_ref(), Some(&proof))
        });
        // One that wants a URL visited is the program's: it comes as an event.
        let asked = asked.filter(|asked| !matches!(asked, Ok(answer) if answer.visits.is_some()));
        Ok(match asked {
            None => (None, None),
            Some(Err(refusal)) => (None, Some((refusal.id(), refusal.to_string()))),
            Some(Ok(answer)) => {
                let adopts = answer.adopts.map(|secret| pyo3::types::PyBytes::new(python, secret.expose()));
                (Some((answer.content_type, answer.headers, answer.body, adopts)), None)
            }
        })
    }

    fn sign(&self, method: &str, url: &str, id: &str, event_type: &str, body: &[u8], now_ms: i64) -> PyResult<Signed> {
        let draft = Draft { id, event_type, method, url, body };
        let signed = self.0.sign(&draft, UnixTime::from_millis(now_ms)).map_err(invalid)?;
        Ok((signed.headers, signed.query, signed.signed_by, signed.body))
    }
}

fn verdict(verified: &Verified<'_>) -> Verdict {
    let binds = verified.binds();
    (
        verified.scheme().to_owned(),
        verified.key_version(),
        verified.id().map(str::to_owned),
        verified.event_type().map(str::to_owned),
        verified.timestamp().map(UnixTime::as_millis),
        (binds.body, binds.time, binds.url, binds.id, binds.part_of_body, binds.unique),
        verified.is_weak(),
    )
}

/// A new secret in the format of a scheme: of the catalog, or as the text of a file.
#[pyfunction]
fn generate(scheme: &str, toml: Option<&str>) -> PyResult<String> {
    let read = toml.map(Scheme::from_toml).transpose().map_err(invalid)?;
    let known =
        || catalog::find(scheme).ok_or_else(|| PyValueError::new_err(format!("no scheme is called `{scheme}`")));
    let scheme = match &read {
        Some(scheme) => scheme,
        None => known()?,
    };
    let mut failure = None;
    let secret = scheme.generate(&mut |buffer| failure = getrandom::fill(buffer).err().or(failure.take()));
    if let Some(failure) = failure {
        return Err(PyOSError::new_err(failure.to_string()));
    }
    let secret = secret.map_err(invalid)?;
    Ok(String::from_utf8(secret.expose().to_vec()).expect("a generated secret is text"))
}

/// The names of the catalog.
#[pyfunction]
fn schemes() -> Vec<&'static str> {
    catalog::names().collect()
}

/// The file of a scheme of the catalog.
#[pyfunction]
fn scheme_source(scheme: &str) -> Option<&'static str> {
    catalog::source(scheme)
}

fn invalid(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The module that the package imports.
#[pymodule]
#[pyo3(name = "_native")]
mod native {
    #[pymodule_export]
    use super::{Verifier, generate, scheme_source, schemes};
}
