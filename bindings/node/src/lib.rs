//! Owns the native half of the npm package: the library's values as JavaScript's plainest. Classes, headers of every shape and what
//! frameworks need are the package's own, in `index.js`.

use std::collections::HashMap;
use std::time::Duration;

use hookward::{Draft, Message, Scheme, Secret, UnixTime, Verified, catalog};
use napi::bindgen_prelude::{Buffer, Error, Result, Status};
use napi_derive::napi;

/// A scheme with its keys.
#[napi]
pub struct Verifier(hookward::Verifier);

/// A request: `headers` are pairs of a name and a value, whose characters are bytes.
#[napi(object)]
pub struct Request {
    /// In upper case.
    pub method: String,
    /// Absolute, or a path with its query.
    pub url: String,
    /// Pairs.
    pub headers: Vec<Vec<String>>,
    /// Byte for byte.
    pub body: Buffer,
    /// Unix time in milliseconds.
    pub now: f64,
}

/// The proof, or why there is none.
#[napi(object)]
#[derive(Default)]
pub struct Outcome {
    /// The refusal's id.
    pub code: Option<String>,
    /// Its sentence.
    pub message: Option<String>,
    /// Who signed.
    pub verified: Option<Verdict>,
    /// What to answer a handshake.
    pub handshake: Option<Answer>,
}

/// A proof.
#[napi(object)]
pub struct Verdict {
    /// The scheme's name.
    pub scheme: String,
    /// Which key.
    pub key_version: u32,
    /// The delivery's id.
    pub id: Option<String>,
    /// The event's type.
    pub event_type: Option<String>,
    /// Unix time in milliseconds.
    pub timestamp: Option<f64>,
    /// What is covered.
    pub binds: Covered,
    /// Of a kind that experts could make without the secret.
    pub is_weak: bool,
}

/// What a proof covers.
#[napi(object)]
pub struct Covered {
    /// The body.
    pub body: bool,
    /// The time of signing.
    pub time: bool,
    /// The URL.
    pub url: bool,
    /// The delivery's id.
    pub id: bool,
    /// Some values of the body, where it is not covered as a whole.
    pub part_of_body: bool,
    /// What tells a repeat.
    pub unique: bool,
}

/// What to answer a handshake, with status 200.
#[napi(object)]
pub struct Answer {
    /// The body's type.
    pub content_type: Option<String>,
    /// Pairs.
    pub headers: Vec<Vec<String>>,
    /// The body.
    pub body: String,
    /// The secret from now on.
    pub adopts: Option<Buffer>,
}

/// What is going to be sent.
#[napi(object)]
pub struct Outgoing {
    /// The delivery's id.
    pub id: String,
    /// The event's type.
    pub event_type: String,
    /// In upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Byte for byte.
    pub body: Buffer,
    /// Unix time in milliseconds.
    pub now: f64,
}

/// What proves it.
#[napi(object)]
pub struct Signed {
    /// Pairs.
    pub headers: Vec<Vec<String>>,
    /// Query parameters to append.
    pub query: Vec<Vec<String>>,
    /// The versions of the keys that signed.
    pub signed_by: Vec<u32>,
    /// The body to send instead.
    pub body: Option<Buffer>,
}

#[napi]
impl Verifier {
    /// By a scheme of the catalog, or by the text of a file.
    #[napi(constructor)]
    pub fn new(
        scheme: String,
        toml: Option<String>,
        secrets: Vec<Buffer>,
        tolerance_s: Option<u32>,
        origin: Option<String>,
        parameters: HashMap<String, String>,
    ) -> Result<Self> {
        let made = match toml {
            Some(text) => {
                Scheme::from_toml(&text).map_err(Into::into).and_then(|read| hookward::Verifier::of(read, secrets))
            }
            None => hookward::Verifier::new(&scheme, secrets),
        };
        let verifier = made.and_then(|verifier| verifier.with_parameters(parameters));
        let verifier = verifier.and_then(|verifier| match origin {
            Some(origin) => verifier.with_origin(&origin),
            None => Ok(verifier),
        });
        let verifier = verifier.map_err(invalid)?;
        Ok(Self(match tolerance_s {
            Some(seconds) => verifier.with_tolerance(Duration::from_secs(seconds.into())),
            None => verifier,
        }))
    }

    /// The scheme's name.
    #[napi(getter)]
    pub fn scheme(&self) -> String {
        self.0.scheme().name().to_owned()
    }

    /// The verdict on a request.
    #[napi]
    pub fn verify(&self, request: Request) -> Outcome {
        let headers = bytes_of(&request.headers);
        match self.0.verify(&message(&request, &headers), millis(request.now)) {
            Ok(verified) => Outcome { verified: Some(verdict(&verified)), ..Outcome::default() },
            Err(refusal) => refused(&refusal),
        }
    }

    /// The answer to a request that is a handshake; an empty outcome for any other.
    #[napi]
    pub fn handshake(&self, request: Request, token: Option<Buffer>) -> Result<Outcome> {
        let headers = bytes_of(&request.headers);
        let message = message(&request, &headers);
        let token = token.map(|token| Secret::new(&*token)).transpose().map_err(invalid)?;
        let asked = self.0.handshake(&message, token.as_ref(), None).or_else(|| {
            let has_any = self.0.scheme().has_handshakes();
            let proof = has_any.then(|| self.0.verify(&message, millis(request.now)).ok()).flatten()?;
            self.0.handshake(&message, token.as_ref(), Some(&proof))
        });
        // One that wants a URL visited is the program's: it comes as an event.
        let asked = asked.filter(|asked| !matches!(asked, Ok(answer) if answer.visits.is_some()));
        Ok(match asked {
            None => Outcome::default(),
            Some(Err(refusal)) => refused(&refusal),
            Some(Ok(answer)) => {
                let handshake = Answer {
                    content_type: answer.content_type.map(str::to_owned),
                    headers: pairs(answer.headers),
                    body: answer.body,
                    adopts: answer.adopts.map(|secret| secret.expose().to_vec().into()),
                };
                Outcome { handshake: Some(handshake), ..Outcome::default() }
            }
        })
    }

    /// Signs what is going to be sent.
    #[napi]
    pub fn sign(&self, outgoing: Outgoing) -> Result<Signed> {
        let Outgoing { id, event_type, method, url, body, now } = &outgoing;
        let signed = self.0.sign(&Draft { id, event_type, method, url, body }, millis(*now)).map_err(invalid)?;
        let body = signed.body.map(Buffer::from);
        Ok(Signed { headers: pairs(signed.headers), query: pairs(signed.query), signed_by: signed.signed_by, body })
    }
}

/// A new secret in the format of a scheme of the catalog.
#[napi]
pub fn generate(scheme: String) -> Result<String> {
    let found = catalog::find(&scheme).ok_or_else(|| invalid(format!("no scheme is called `{scheme}`")))?;
    let mut failure = None;
    let secret = found.generate(&mut |buffer| failure = getrandom::fill(buffer).err().or(failure.take()));
    if let Some(failure) = failure {
        return Err(Error::new(Status::GenericFailure, failure.to_string()));
    }
    let secret = secret.map_err(invalid)?;
    Ok(String::from_utf8(secret.expose().to_vec()).expect("a generated secret is text"))
}

/// The names of the catalog.
#[napi]
pub fn schemes() -> Vec<String> {
    catalog::names().map(str::to_owned).collect()
}

/// The file of a scheme of the catalog.
#[napi]
pub fn scheme_source(scheme: String) -> Option<String> {
    catalog::source(&scheme).map(str::to_owned)
}

/// Of each character the byte that it stands for, as Node decodes headers; text beyond that as UTF-8.
fn bytes_of(headers: &[Vec<String>]) -> Vec<(&str, Vec<u8>)> {
    let bytes = |value: &String| {
        let latin: Option<Vec<u8>> = value.chars().map(|c| u8::try_from(c).ok()).collect();
        latin.unwrap_or_else(|| value.as_bytes().to_vec())
    };
    let pair = |pair: &'_ [String]| pair.get(1).map(bytes);
    headers.iter().filter_map(|header| Some((header.first()?.as_str(), pair(header)?))).collect()
}

fn message<'a>(request: &'a Request, headers: &'a Vec<(&'a str, Vec<u8>)>) -> Message<'a> {
    Message { method: &request.method, url: &request.url, headers, body: &request.body }
}

fn verdict(verified: &Verified<'_>) -> Verdict {
    let binds = verified.binds();
    Verdict {
        scheme: verified.scheme().to_owned(),
        key_version: verified.key_version(),
        id: verified.id().map(str::to_owned),
        event_type: verified.event_type().map(str::to_owned),
        timestamp: verified.timestamp().map(|time| time.as_millis() as f64),
        binds: Covered {
            body: binds.body,
            time: binds.time,
            url: binds.url,
            id: binds.id,
            part_of_body: binds.part_of_body,
            unique: binds.unique,
        },
        is_weak: verified.is_weak(),
    }
}

fn refused(refusal: &hookward::Refusal) -> Outcome {
    Outcome { code: Some(refusal.id().to_owned()), message: Some(refusal.to_string()), ..Outcome::default() }
}

fn pairs(headers: Vec<(String, String)>) -> Vec<Vec<String>> {
    headers.into_iter().map(|(name, value)| vec![name, value]).collect()
}

/// Saturates; what is no number is the epoch, at which nothing is fresh.
fn millis(now: f64) -> UnixTime {
    UnixTime::from_millis(now as i64)
}

fn invalid(error: impl std::fmt::Display) -> Error {
    Error::new(Status::InvalidArg, error.to_string())
}
