//! `hookward schemes check`: a scheme file held against its vectors, each a request whose verdict is known from somewhere else. Owns
//! reading a file of vectors and telling which of them have another answer.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookward::{Handshake, Key, Message, Refusal, Scheme, Secret, UnixTime, Verified};
use serde::Deserialize;

use super::super::exit::Exit;
use super::super::print;
use super::super::verify::read;

/// A file of vectors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    vector: Vec<Vector>,
    /// Requests that may be handshakes.
    #[serde(default)]
    handshake: Vec<Vector>,
}

/// A request and what becomes of it. Of several secrets the first is the newest and has the highest version.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    /// `published`, `computed` or `derived`: for people.
    #[serde(rename = "origin")]
    _origin: Option<String>,
    #[serde(rename = "source")]
    _source: Option<String>,
    #[serde(rename = "note")]
    _note: Option<String>,
    secrets: Vec<String>,
    /// What the scheme leaves to be said for each endpoint.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    /// The handshake token.
    token: Option<String>,
    #[serde(default = "post")]
    method: String,
    #[serde(default = "example")]
    url: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    /// A body that is not text.
    body_base64: Option<String>,
    now_s: Option<i64>,
    now_ms: Option<i64>,
    verified: Option<Expected>,
    refused: Option<String>,
    /// What a handshake is answered with.
    answer: Option<Answer>,
    /// Of what is no handshake: `verified`, or the refusal.
    event: Option<String>,
}

/// What is found in a request that is believed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    key: u32,
    id: Option<String>,
    event_type: Option<String>,
    timestamp_s: Option<i64>,
    timestamp_ms: Option<i64>,
}

/// What a handshake is answered with.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Answer {
    content_type: Option<String>,
    headers: Vec<(String, String)>,
    body: String,
    adopts: Option<String>,
}

/// As it stands in the file.
impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "verified with key {}", self.key)?;
        for (name, text) in [("id", &self.id), ("event type", &self.event_type)] {
            text.iter().try_for_each(|text| write!(f, ", {name} {text}"))?;
        }
        for (unit, time) in [("s", self.timestamp_s), ("ms", self.timestamp_ms)] {
            time.iter().try_for_each(|time| write!(f, ", signed at {time} {unit}"))?;
        }
        Ok(())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered with {} `{}`", self.content_type.as_deref().unwrap_or("no type"), self.body)?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, ", {name}: {value}"))?;
        self.adopts.iter().try_for_each(|secret| write!(f, ", adopting `{secret}`"))
    }
}

fn post() -> String {
    "POST".to_owned()
}

fn example() -> String {
    "https://example.com/hook".to_owned()
}

/// Runs the vectors of the scheme in `path`: those in `vectors`, or in the file beside it.
pub(super) fn run(path: &Path, vectors: Option<&Path>) -> Result<ExitCode, Exit> {
    let scheme =
        Scheme::from_toml(&text(path)?).map_err(|error| Exit::usage(format!("{}: {error}", path.display())))?;
    let beside = vectors.map_or_else(|| path.with_extension("vectors.toml"), PathBuf::from);
    let file: File = toml::from_str(&text(&beside)?)
        .map_err(|error| Exit::usage(format!("{}: {}", beside.display(), error.to_string().trim_end())))?;
    let all: Vec<(&Vector, bool)> =
        file.vector.iter().map(|one| (one, false)).chain(file.handshake.iter().map(|one| (one, true))).collect();
    if all.is_empty() {
        return Err(Exit::usage(format!("{}: there is no `[[vector]]`", beside.display())));
    }
    let mut wrong = 0;
    for (vector, is_handshake) in &all {
        let (expected, found) =
            vector.judge(&scheme, *is_handshake).map_err(|error| error.of(&beside, &vector.name))?;
        if expected == found {
            print::line(&format!("ok     {}", vector.name))?;
        } else {
            wrong += 1;
            print::line(&format!("WRONG  {}: {found}, not {expected}", vector.name))?;
        }
    }
    if wrong > 0 {
        return Err(Exit::refused(format!("{wrong} of {} vectors have another answer", all.len())));
    }
    print::line(&format!("{}: all {} vectors have their answer", scheme.name(), all.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn text(path: &Path) -> Result<String, Exit> {
    String::from_utf8(read(path)?).map_err(|_| Exit::usage(format!("{}: not utf-8", path.display())))
}

/// A vector that cannot be run.
struct Unusable(String);

impl Unusable {
    fn of(self, file: &Path, vector: &str) -> Exit {
        Exit::usage(format!("{}: vector `{vector}`: {}", file.display(), self.0))
    }
}

impl Vector {
    /// What it says and what is so, each as a sentence.
    fn judge(&self, scheme: &Scheme, is_handshake: bool) -> Result<(String, String), Unusable> {
        let scheme = &scheme.with_parameters(&self.parameters).map_err(|error| Unusable(error.to_string()))?;
        let body = match (&self.body, &self.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).map_err(|error| Unusable(format!("`body_base64`: {error}")))?,
            (None, None) => Vec::new(),
            (Some(_), Some(_)) => return Err(Unusable("it has both `body` and `body_base64`".to_owned())),
        };
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let message = Message { method: &self.method, url: &self.url, headers: &headers, body: &body };
        let keys = self.keys(scheme)?;
        let now = UnixTime::from_millis(self.now_ms.unwrap_or(self.now_s.unwrap_or_default().saturating_mul(1000)));
        let verdict = scheme.verify(&message, &keys, now);
        if !is_handshake {
            return Ok((self.expected()?, told(verdict.as_ref(), self.verified.as_ref())));
        }
        let token = self.token.as_ref().map(|token| secret(token)).transpose()?;
        let unproven = scheme.handshake(&message, &keys, token.as_ref(), None);
        let answered =
            unproven.or_else(|| scheme.handshake(&message, &keys, token.as_ref(), Some(verdict.as_ref().ok()?)));
        let found = match answered {
            Some(Ok(handshake)) => answer(&handshake),
            Some(Err(refusal)) => format!("refused: {}", refusal.id()),
            None => format!("no handshake, {}", verdict.as_ref().map_or_else(Refusal::id, |_| "verified")),
        };
        Ok((self.expected()?, found))
    }

    fn expected(&self) -> Result<String, Unusable> {
        match (&self.verified, &self.refused, &self.answer, &self.event) {
            (Some(expected), None, None, None) => Ok(expected.to_string()),
            (None, Some(refusal), None, None) => Ok(format!("refused: {refusal}")),
            (None, None, Some(answer), None) => Ok(answer.to_string()),
            (None, None, None, Some(event)) => Ok(format!("no handshake, {event}")),
            _ => Err(Unusable("it needs one of `verified`, `refused`, `answer` and `event`".to_owned())),
        }
    }

    fn keys(&self, scheme: &Scheme) -> Result<Vec<Key>, Unusable> {
        let count = u32::try_from(self.secrets.len()).map_err(|_| Unusable("it has too many secrets".to_owned()))?;
        let versions = (1..=count).rev();
        let key = |(version, text): (u32, &String)| {
            scheme.key(version, &secret(text)?).map_err(|error| Unusable(error.to_string()))
        };
        versions.zip(&self.secrets).map(key).collect()
    }
}

fn secret(text: &str) -> Result<Secret, Unusable> {
    Secret::new(text).map_err(|error| Unusable(error.to_string()))
}

/// The verdict, with the time in the unit that the vector has it in.
fn told(verdict: Result<&Verified<'_>, &Refusal>, expected: Option<&Expected>) -> String {
    let verified = match verdict {
        Ok(verified) => verified,
        Err(refusal) => return format!("refused: {}", refusal.id()),
    };
    let in_millis = expected.is_some_and(|expected| expected.timestamp_ms.is_some());
    let time = verified.timestamp();
    let found = Expected {
        key: verified.key_version(),
        id: verified.id().map(str::to_owned),
        event_type: verified.event_type().map(str::to_owned),
        timestamp_s: time.filter(|_| !in_millis).map(UnixTime::as_secs),
        timestamp_ms: time.filter(|_| in_millis).map(UnixTime::as_millis),
    };
    found.to_string()
}

fn answer(handshake: &Handshake) -> String {
    let found = Answer {
        content_type: handshake.content_type.map(str::to_owned),
        headers: handshake.headers.clone(),
        body: handshake.body.clone(),
        adopts: handshake.adopts.as_ref().map(|secret| String::from_utf8_lossy(secret.expose()).into_owned()),
    };
    found.to_string()
}
