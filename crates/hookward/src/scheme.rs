//! Owns a scheme: how one provider proves its requests, read from a file and checked. Verifying and signing by it are its
//! neighbours' business.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::answer::EventAnswer;
use crate::handshake::Rule;
use crate::key::{self, Key, SecretError};
use crate::parameter::REGISTERED_URL;
use crate::place::Place;
use crate::proof::{Proof, Unit};
use crate::published::Published;
use crate::secret::Secret;
use crate::template::{Source, Template};

/// What the name of a scheme begins with whose secret stands in a header.
const OF_HEADER: &str = "header:";

/// The longest name of such a header.
const MAX_HEADER_NAME: usize = 64;

/// How one provider proves its requests, as data. Read it from TOML, or take one from the [`catalog`](crate::catalog).
///
/// It deserializes from any TOML document, so that a configuration file can hold private schemes in the same syntax.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawScheme")]
pub struct Scheme {
    name: Arc<str>,
    title: String,
    docs: Option<String>,
    body_is_unique: bool,
    gzip: bool,
    proofs: Vec<Proof>,
    handshakes: Vec<Rule>,
    /// Whether one of the handshakes signs what anybody asks it to.
    is_an_oracle: bool,
    answer: Option<EventAnswer>,
    meanings: BTreeMap<String, String>,
    published: Option<Arc<Published>>,
    lacks_parameters: bool,
    registered_url: Option<String>,
}

/// A scheme file: how one provider proves its requests.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RawScheme {
    /// The short name: lower-case letters, digits and hyphens.
    name: String,
    /// The provider's name for people.
    title: String,
    /// The provider's own description.
    docs: Option<String>,
    /// Whether two honest requests never have the same body.
    #[serde(default)]
    body_is_unique: bool,
    /// Whether the body may come compressed with gzip, and is signed as it was before. Compressed anew it is another body, so that a
    /// repeat is only told by an id.
    #[serde(default)]
    gzip: bool,
    /// The ways to prove a request, strongest first.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<crate::proof::RawProof>"))]
    proof: Vec<Proof>,
    /// How the provider makes sure of an endpoint.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<crate::handshake::RawRule>"))]
    handshake: Vec<Rule>,
    /// Where the provider publishes its keys.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::published::RawPublished>"))]
    keys: Option<Published>,
    /// What the provider wants to hear of every event that was taken, where any success would not do.
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::answer::RawEventAnswer>"))]
    answer: Option<EventAnswer>,
    /// Values of parameters, for a scheme of one endpoint: what `{const:NAME}` stands for, and as `url` the URL that was registered,
    /// where requests arrive under another one.
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    /// What each parameter is, in words, for whoever has to say it.
    #[serde(default)]
    meanings: BTreeMap<String, String>,
}

/// A scheme file that cannot be used. Whoever wrote it must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeError {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
    /// What is wrong, without the position.
    pub message: String,
    /// The known name nearest to an unknown one.
    pub nearest: Option<String>,
}

/// The scheme does not say what its secrets look like, so none can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scheme `{scheme}` does not say what its secrets look like")]
pub struct CannotGenerate {
    scheme: String,
}

impl TryFrom<RawScheme> for Scheme {
    type Error = String;

    fn try_from(raw: RawScheme) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if raw.name.is_empty() || !raw.name.bytes().all(plain) {
            return Err(format!("the scheme's name `{}` must be of lower-case letters, digits and hyphens", raw.name));
        }
        if raw.proof.iter().all(|proof| proof.verify_only) {
            return Err("a scheme needs at least one `[[proof]]` that is not `verify_only`".into());
        }
        if raw.gzip && raw.body_is_unique {
            return Err("a body that comes with `gzip` is not one that `body_is_unique` could be said of".into());
        }
        if raw.keys.is_some() && !raw.proof.iter().all(Proof::is_asymmetric) {
            return Err("`[keys]` is for proofs by a public key".into());
        }
        let RawScheme { name, title, docs, body_is_unique, gzip, proof, handshake, keys, answer, parameters, meanings } =
            raw;
        let scheme = Self {
            name: name.into(),
            title,
            docs,
            body_is_unique,
            gzip,
            lacks_parameters: proof.iter().any(|proof| proof.parameters().next().is_some()),
            proofs: proof,
            is_an_oracle: handshake.iter().any(Rule::is_an_oracle),
            handshakes: handshake,
            answer,
            meanings,
            published: keys.map(Arc::new),
            registered_url: None,
        };
        let takes = || scheme.takes().into_iter().map(|parameter| parameter.name);
        if let Some(name) = scheme.meanings.keys().find(|name| !takes().any(|known| known == *name)) {
            let near = nearest_of(name, takes());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!("`meanings` tells of `{name}`, which is no parameter of this scheme{near}"));
        }
        match parameters.is_empty() {
            true => Ok(scheme),
            false => scheme.with_parameters(&parameters).map_err(|error| error.to_string()),
        }
    }
}

impl Scheme {
    /// Reads a scheme file.
    pub fn from_toml(text: &str) -> Result<Self, SchemeError> {
        toml::from_str(text).map_err(|error| SchemeError::new(text, &error))
    }

    /// The scheme of requests that carry the secret itself in the header `name`, and prove nothing else. It is called
    /// `header:NAME` in lower case, which no scheme file can be. `None` for what is no header's name.
    pub fn of_header(name: &str) -> Option<Self> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if name.is_empty() || name.len() > MAX_HEADER_NAME || !name.bytes().all(is_token) {
            return None;
        }
        let quoted = toml::Value::from(format!("header:{name}"));
        let proof = format!(
            "algorithm = \"token\"\nkey = {{ generate = {{ bytes = 32, encoding = \"hex\" }} }}\nsignature = {{ at = [{quoted}] }}"
        );
        let proof = toml::from_str(&proof).expect("a token in a header is a proof");
        Some(Self {
            name: format!("{OF_HEADER}{}", name.to_ascii_lowercase()).into(),
            title: format!("A secret in the header {name}"),
            docs: None,
            body_is_unique: false,
            gzip: false,
            proofs: vec![proof],
            handshakes: Vec::new(),
            is_an_oracle: false,
            answer: None,
            meanings: BTreeMap::new(),
            published: None,
            lacks_parameters: false,
            registered_url: None,
        })
    }

    /// The scheme that [`Scheme::of_header`] calls so.
    pub fn of_header_named(scheme: &str) -> Option<Self> {
        Self::of_header(scheme.strip_prefix(OF_HEADER)?).filter(|found| found.name() == scheme)
    }

    /// The short name, as in `--scheme NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The provider's name for people.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The provider's own description of its scheme.
    pub fn docs(&self) -> Option<&str> {
        self.docs.as_deref()
    }

    /// Whether two honest requests of this provider never have the same body, so that a repeated body is a replay.
    pub fn body_is_unique(&self) -> bool {
        self.body_is_unique
    }

    /// Whether what is proven of a compressed body is what it was before.
    pub(crate) fn takes_gzip(&self) -> bool {
        self.gzip
    }

    /// What the provider wants to hear of every event that was taken; `None` where any success will do.
    pub fn event_answer(&self) -> Option<&EventAnswer> {
        self.answer.as_ref()
    }

    /// How far from now a signed timestamp may be. `None` if the scheme signs no time, or judges none.
    pub fn tolerance(&self) -> Option<Duration> {
        let widest =
            self.proofs.iter().filter_map(|proof| proof.timestamp.as_ref()).filter_map(|spec| spec.tolerance_s).max();
        widest.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// The same scheme with another tolerance, to the second. Nothing changes where no time is signed.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: Duration) -> Self {
        for spec in self.proofs.iter_mut().filter_map(|proof| proof.timestamp.as_mut()) {
            spec.tolerance_s = Some(tolerance.as_secs().try_into().unwrap_or(u32::MAX));
        }
        self
    }

    /// Turns a secret into a key of this scheme; refuses one that cannot be.
    pub fn key(&self, version: u32, secret: &Secret) -> Result<Key, SecretError> {
        Key::new(version, Arc::clone(&self.name), &self.proofs, secret)
    }

    /// Whether this secret may be set now: it can be a key, is no public key where a secret one belongs, and is as long
    /// as the scheme asks of new ones. One that is in use already may be less.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_new(&self, secret: &Secret) -> Result<(), SecretError> {
        let signing = self.proofs.first().expect("a scheme has at least one proof");
        key::check_new(signing, secret.expose())?;
        self.key(1, secret).map(drop)
    }

    /// Makes a new secret in the provider's own format. `fill` fills a buffer with entropy.
    pub fn generate(&self, fill: &mut dyn FnMut(&mut [u8])) -> Result<Secret, CannotGenerate> {
        let made = self.proofs.iter().find_map(|proof| key::generate(proof, fill));
        made.ok_or_else(|| CannotGenerate { scheme: self.name.to_string() })
    }

    /// The headers that carry the secret itself. Redact them before anything is stored or logged.
    pub fn credential_headers(&self) -> Vec<&str> {
        unique(self.credential_places().flat_map(Place::headers))
    }

    /// The query parameters that carry the secret itself. Redact them before anything is stored or logged.
    pub fn credential_query(&self) -> Vec<&str> {
        unique(self.credential_places().filter_map(|place| match place {
            Place::Query(name) => Some(name.as_str()),
            _ => None,
        }))
    }

    /// Every header that verification reads. Forward them, and the next hop can verify again.
    pub fn signature_headers(&self) -> Vec<&str> {
        unique(self.proofs.iter().flat_map(|proof| {
            let timestamp = proof.timestamp.as_ref().map(|spec| &spec.at);
            let places = proof.signature.at.iter().chain(timestamp).chain(&proof.id).chain(&proof.event_type);
            let values = proof.templates().flat_map(Template::values).filter_map(|(_, source)| match source {
                Source::Place(place) => Some(place),
                _ => None,
            });
            let named = self.published().into_iter().flat_map(Published::places);
            let more = proof.when.0.iter().map(|(place, _)| place).chain(named);
            let places: Vec<&Place> = places.chain(more).chain(values).collect();
            let is_form = |(_, source): (&[_], &Source)| *source == Source::Plivo;
            let has_form = proof.content.has_form()
                || proof.content.values().any(is_form)
                || places.iter().any(|at| matches!(at, Place::Form(_)));
            let form = has_form.then_some("Content-Type");
            let lists = proof.content.values().filter_map(|(_, source)| match source {
                Source::Listed(list) => Some(list.as_str()),
                _ => None,
            });
            places.into_iter().flat_map(Place::headers).chain(form).chain(lists)
        }))
    }

    /// Whether a request can carry a signature of each key, whatever kinds of key the scheme has, so that a receiver that
    /// knows any one of them accepts it. Otherwise it carries one alone, and who sends has to know which key the receiver has.
    pub fn carries_every_signature(&self) -> bool {
        let mut sent = self.proofs.iter().filter(|proof| !proof.verify_only);
        sent.all(|proof| proof.signature.separator.is_some() && !proof.algorithm.is_credential())
    }

    /// A header that signing by this scheme and by `other` would give two values. Both may write the id, the event type
    /// or the same kind of time: these are the same for both.
    pub fn clashes_with<'a>(&'a self, other: &'a Self) -> Option<&'a str> {
        let theirs: Vec<_> = other.written().collect();
        let clashes = |(name, part): &(&str, Written)| {
            let mut same_name = theirs.iter().filter(|(their_name, _)| their_name.eq_ignore_ascii_case(name));
            same_name.any(|(_, their_part)| their_part != part || *part == Written::Proof)
        };
        self.written().find(clashes).map(|(name, _)| name)
    }

    /// The headers that signing writes, with what.
    fn written(&self) -> impl Iterator<Item = (&str, Written)> {
        self.proofs.iter().filter(|proof| !proof.verify_only).flat_map(|proof| {
            let time = proof.timestamp.as_ref().map(|spec| (&spec.at, Written::Time(spec.unit)));
            let proofs = proof.signature.at.first().map(|at| (at, Written::Proof));
            let id = proof.id.first().map(|at| (at, Written::Id));
            let event_type = proof.event_type.first().map(|at| (at, Written::EventType));
            let places = [proofs, time, id, event_type].into_iter().flatten();
            places.filter_map(|(place, part)| Some((place.header()?, part)))
        })
    }

    fn credential_places(&self) -> impl Iterator<Item = &Place> {
        let proofs = self.proofs.iter().filter(|proof| proof.algorithm.is_credential());
        let handshakes = self.handshakes.iter().flat_map(Rule::credential_places);
        proofs.flat_map(|proof| &proof.signature.at).chain(handshakes)
    }

    /// The URL that is signed: as it was registered, or as the request was called.
    pub(crate) fn signed_url<'a>(&'a self, called: &'a str) -> &'a str {
        self.registered_url.as_deref().unwrap_or(called)
    }

    /// Whether another URL is signed than the one that is called.
    pub(crate) fn has_registered_url(&self) -> bool {
        self.registered_url.is_some()
    }

    /// The same scheme, registered at this URL.
    pub(crate) fn registered_at(&self, url: String) -> Self {
        Self { registered_url: Some(url), ..self.clone() }
    }

    /// Whether any proof signs the URL.
    pub(crate) fn signs_url(&self) -> bool {
        self.proofs.iter().any(Proof::signs_url) || self.answers_with_url()
    }

    /// What a parameter is, in words; empty where the scheme does not say.
    pub(crate) fn meaning(&self, parameter: &str) -> &str {
        self.meanings.get(parameter).map_or("", String::as_str)
    }

    /// Whether a parameter has no value yet.
    pub(crate) fn lacks_parameters(&self) -> bool {
        self.lacks_parameters
    }

    /// Puts the values of parameters in their places.
    pub(crate) fn fill(&mut self, values: &BTreeMap<String, String>) {
        self.proofs.iter_mut().for_each(|proof| proof.fill(values));
        self.lacks_parameters = self.proofs.iter().any(|proof| proof.parameters().next().is_some());
        if let Some(published) = &mut self.published {
            Arc::make_mut(published).fill(values);
        }
        self.handshakes.iter_mut().for_each(|rule| rule.fill(values));
        if let Some(url) = values.get(REGISTERED_URL) {
            self.registered_url = Some(url.clone());
        }
    }

    pub(crate) fn proofs(&self) -> &[Proof] {
        &self.proofs
    }

    /// The same scheme with this one proof.
    pub(crate) fn with_proof(&self, proof: Proof) -> Self {
        let mut changed = self.clone();
        changed.proofs = vec![proof];
        changed
    }

    pub(crate) fn handshakes(&self) -> &[Rule] {
        &self.handshakes
    }

    /// Whether one of the handshakes signs what anybody asks it to.
    pub(crate) fn is_an_oracle(&self) -> bool {
        self.is_an_oracle
    }

    pub(crate) fn published(&self) -> Option<&Published> {
        self.published.as_deref()
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }
}

/// What signing writes into a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// The signature or the credential.
    Proof,
    Time(Unit),
    Id,
    EventType,
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut unique: Vec<&str> = Vec::new();
    for name in names {
        if !unique.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            unique.push(name);
        }
    }
    unique
}

impl SchemeError {
    fn new(text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: error.message().to_owned(),
            nearest: nearest(error.message()),
        }
    }
}

/// The known name most like the unknown one, of a message "unknown … `name`, expected one of `a`, `b`".
fn nearest(message: &str) -> Option<String> {
    let (unknown, known) = message.strip_prefix("unknown ")?.split_once(", expected ")?;
    let unknown = unknown.split('`').nth(1)?;
    nearest_of(unknown, known.split('`').skip(1).step_by(2)).map(str::to_owned)
}

/// The known name most like an unknown one, where one is like it at all.
pub(crate) fn nearest_of<'k>(unknown: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let scored = known.map(|name| (strsim::osa_distance(unknown, name), name));
    scored.min().filter(|(distance, name)| *distance <= name.len().max(3) / 2).map(|(_, name)| name)
}

impl std::fmt::Display for SchemeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SchemeError {}
