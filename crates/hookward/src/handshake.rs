//! Owns handshakes: the question with which a provider makes sure of an endpoint before it sends there, and what it wants to hear.
//! Decides from the request alone; answering, and keeping a secret that came this way, is the caller's.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::content::Content;
use crate::encoding::Encoding;
use crate::key::Key;
use crate::message::Message;
use crate::place::{Fault, Place};
use crate::proof::Conditions;
use crate::published::{self, UrlPattern};
use crate::refusal::Refusal;
use crate::scheme::Scheme;
use crate::secret::Secret;
use crate::template::Template;
use crate::url;
use crate::verify::Verified;

/// The longest challenge that is answered, in bytes.
pub const MAX_CHALLENGE: usize = 1024;

/// The largest body of an unproven request that is looked into for a handshake, in bytes.
pub const MAX_HANDSHAKE_BODY: usize = 8 * 1024;

/// What to answer a provider that asks, always with status 200. Nothing in it is markup: send it with `nosniff`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The body's type; `None` when it is empty.
    pub content_type: Option<&'static str>,
    /// Headers to send besides.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
    /// The secret that the provider signs with from now on, if that is how it tells. Nothing proves it: whoever comes first chooses
    /// it, so it may only become the secret of an endpoint that has never had one.
    pub adopts: Option<Secret>,
    /// The URL to ask with GET, which is how the provider learns that the endpoint wants to hear from it. It is one that the scheme
    /// allows. Nothing is to be answered before that was done.
    pub visits: Option<String>,
}

/// One question and its answer, as data. A checked `RawRule`.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawRule")]
pub(crate) struct Rule {
    method: String,
    signed: bool,
    when: Conditions,
    token: Option<Place>,
    challenge: Option<Place>,
    adopt: bool,
    visit: Option<Visit>,
    answer: Answer,
}

/// A `[[handshake]]` table: a question with which a provider makes sure of an endpoint, and its answer.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRule {
    /// The method of the request.
    method: String,
    /// Whether the request is proven like any other. Of one that is not, a body is looked into only if it is small.
    #[serde(default)]
    signed: bool,
    /// What else stands where: a text, or `*` for anything; `body = ""` for an empty body.
    #[serde(default)]
    when: Conditions,
    /// Where the handshake token stands that operator and provider agreed on.
    token: Option<Place>,
    /// Where the text stands that is asked with. Without one the answer is always the same.
    challenge: Option<Place>,
    /// Whether the challenge is the secret from now on.
    #[serde(default)]
    adopt: bool,
    /// What is to be asked before the answer, of a handshake that is `signed`.
    visit: Option<Visit>,
    /// What is answered, always with status 200; nothing but that where it is left out.
    #[serde(default)]
    answer: RawAnswer,
}

/// A URL that a handshake names, to be asked with GET.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Visit {
    /// Where it stands.
    at: Place,
    /// What it may be.
    url: Vec<UrlPattern>,
}

/// At most one of them. In each text `{challenge}` is the challenge, and `{hmac:hex}` or `{hmac:base64}` its signature under the secret,
/// and `{sha256:hex}` the SHA-256 of the challenge, the handshake token and the URL without its query, one after the other.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    /// The body.
    text: Option<String>,
    /// The members of a JSON object: texts, or numbers.
    json: Option<BTreeMap<String, Member>>,
    /// Headers of an answer without a body.
    header: Option<BTreeMap<String, String>>,
}

/// A member of a JSON object.
#[derive(Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
enum Member {
    /// A number as it is.
    Number(i64),
    /// A text in which parts are named.
    Text(String),
}

#[derive(Clone, Debug)]
enum Answer {
    Empty,
    Text(Vec<Piece>),
    Json(Vec<(String, Written)>),
    Header(Vec<(String, Vec<Piece>)>),
}

#[derive(Clone, Debug)]
enum Written {
    Number(i64),
    Text(Vec<Piece>),
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Challenge,
    Hmac(Encoding),
    /// Of the challenge, the handshake token and the URL.
    Sha256,
}

impl TryFrom<RawRule> for Rule {
    type Error = String;

    fn try_from(raw: RawRule) -> Result<Self, String> {
        let fits =
            |place: &Place| matches!(place, Place::Header(_) | Place::Query(_) | Place::Form(_) | Place::Json(_));
        let asks = |place: &Place| fits(place) || *place == Place::Body;
        if !raw.token.iter().chain(&raw.challenge).all(fits) || !raw.when.0.iter().all(|(place, _)| asks(place)) {
            return Err("a handshake reads places of kind header, query, form or json, and `when` also the body".into());
        }
        let looks = matches!(raw.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        if raw.challenge.is_none() && raw.when.0.is_empty() && !looks {
            return Err("a handshake needs a `challenge` or `when`, or the method GET, HEAD or OPTIONS".into());
        }
        if raw.challenge.is_none() && raw.adopt {
            return Err("a handshake that does `adopt` needs a `challenge`".into());
        }
        if raw.signed && (raw.token.is_some() || raw.adopt) {
            return Err("a handshake that is `signed` has no `token` and does not `adopt`".into());
        }
        if let Some(visit) = &raw.visit
            && !(raw.signed && fits(&visit.at) && visit.url.iter().all(UrlPattern::is_over_tls))
        {
            return Err("a handshake with `visit` is `signed`, and what it visits begins with `https://`".into());
        }
        let answer = Answer::try_from(raw.answer)?;
        if raw.challenge.is_none() && answer.pieces().any(|piece| !matches!(piece, Piece::Literal(_))) {
            return Err("the answer names a `challenge`, and the handshake has none".into());
        }
        let RawRule { method, signed, when, token, challenge, adopt, visit, .. } = raw;
        Ok(Self { method, signed, when, token, challenge, adopt, visit, answer })
    }
}

impl TryFrom<RawAnswer> for Answer {
    type Error = String;

    fn try_from(raw: RawAnswer) -> Result<Self, String> {
        let all = |texts: BTreeMap<String, String>| {
            texts.into_iter().map(|(name, text)| Ok((name, pieces(&text)?))).collect::<Result<Vec<_>, String>>()
        };
        match (raw.text, raw.json, raw.header) {
            (None, None, None) => Ok(Self::Empty),
            (Some(text), None, None) => pieces(&text).map(Self::Text),
            (None, Some(members), None) => {
                let member = |(name, member)| match member {
                    Member::Number(number) => Ok((name, Written::Number(number))),
                    Member::Text(text) => Ok((name, Written::Text(pieces(&text)?))),
                };
                members.into_iter().map(member).collect::<Result<Vec<_>, String>>().map(Self::Json)
            }
            (None, None, Some(headers)) => {
                let is_name = |name: &String| {
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                };
                match headers.keys().find(|name| !is_name(name)) {
                    Some(name) => Err(format!("`{}` is not the name of a header", name.escape_debug())),
                    None => all(headers).map(Self::Header),
                }
            }
            _ => Err("a handshake's answer is at most one of `text`, `json` and `header`".into()),
        }
    }
}

impl Answer {
    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        let texts: Vec<&Vec<Piece>> = match self {
            Self::Empty => Vec::new(),
            Self::Text(pieces) => vec![pieces],
            Self::Header(headers) => headers.iter().map(|(_, pieces)| pieces).collect(),
            Self::Json(members) => {
                let texts = members.iter().filter_map(|(_, member)| match member {
                    Written::Text(pieces) => Some(pieces),
                    Written::Number(_) => None,
                });
                texts.collect()
            }
        };
        texts.into_iter().flatten()
    }
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    if !is_printable(text) {
        return Err(format!("the answer `{}` is not plain text", text.escape_debug()));
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((literal, after)) = rest.split_once('{') {
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        let (name, after) = after.split_once('}').ok_or_else(|| format!("unbalanced braces in the answer `{text}`"))?;
        pieces.push(match name {
            "challenge" => Piece::Challenge,
            "hmac:hex" => Piece::Hmac(Encoding::Hex),
            "hmac:base64" => Piece::Hmac(Encoding::Base64),
            "sha256:hex" => Piece::Sha256,
            _ => {
                return Err(format!(
                    "unknown part `{name}`, expected one of `challenge`, `hmac:hex`, `hmac:base64`, `sha256:hex`"
                ));
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest.to_owned()));
    }
    Ok(pieces)
}

impl Scheme {
    /// The answer to a request that is a handshake; `None` for any other. Ask once with what arrived, and, if it was
    /// [verified](Scheme::verify), again with the proof: some providers sign their handshakes. `token` is the handshake token that the
    /// operator told the provider, for those that send one back.
    ///
    /// # Errors
    ///
    /// For a handshake that is not to be answered: its token is not ours, there is no key to answer with, or what it asks with is too
    /// long or not plain text.
    pub fn handshake(
        &self,
        message: &Message<'_>,
        keys: &[Key],
        token: Option<&Secret>,
        proof: Option<&Verified<'_>>,
    ) -> Option<Result<Handshake, Refusal>> {
        let mut rules = self.handshakes().iter();
        let rule = rules.find(|rule| rule.signed == proof.is_some() && rule.is_asked_by(message))?;
        let Some(challenge) = &rule.challenge else { return Some(self.answer(rule, "", message, keys, token, proof)) };
        match read(challenge, message) {
            Ok(None) => None,
            Ok(Some(challenge)) => Some(self.answer(rule, &challenge, message, keys, token, proof)),
            Err(_) => Some(Err(Refusal::ChallengeMalformed)),
        }
    }

    /// Whether its provider makes sure of endpoints at all.
    pub fn has_handshakes(&self) -> bool {
        !self.handshakes().is_empty()
    }

    /// The methods of the handshakes that come unsigned: they are asked with them whatever methods events come with.
    pub fn handshake_methods(&self) -> impl Iterator<Item = &str> {
        self.handshakes().iter().filter(|rule| !rule.signed).map(|rule| rule.method.as_str())
    }

    /// Whether it takes a handshake token.
    pub fn has_handshake_token(&self) -> bool {
        self.handshakes().iter().any(|rule| rule.token.is_some() || rule.has_hash())
    }

    /// Whether the answer to a handshake has the URL in it.
    pub(crate) fn answers_with_url(&self) -> bool {
        self.handshakes().iter().any(Rule::has_hash)
    }

    fn answer(
        &self,
        rule: &Rule,
        challenge: &str,
        message: &Message<'_>,
        keys: &[Key],
        token: Option<&Secret>,
        proof: Option<&Verified<'_>>,
    ) -> Result<Handshake, Refusal> {
        if let Some(place) = &rule.token {
            check_token(place, message, token)?;
        }
        let fits = if rule.is_an_oracle() { is_bare(challenge.as_bytes()) } else { is_printable(challenge) };
        if !fits {
            return Err(Refusal::ChallengeMalformed);
        }
        let write = |pieces: &[Piece]| {
            let texts = pieces.iter().map(|piece| match piece {
                Piece::Literal(text) => Ok(text.clone()),
                Piece::Challenge => Ok(challenge.to_owned()),
                Piece::Hmac(encoding) => self.hmac(challenge, keys, proof).map(|tag| encoding.encode(&tag)),
                Piece::Sha256 => self.digest(challenge, message, token),
            });
            texts.collect::<Result<String, Refusal>>()
        };
        let all = |texts: &[(String, Vec<Piece>)]| {
            texts.iter().map(|(name, pieces)| Ok((name.clone(), write(pieces)?))).collect::<Result<Vec<_>, Refusal>>()
        };
        let mut handshake =
            Handshake { content_type: None, headers: Vec::new(), body: String::new(), adopts: None, visits: None };
        match &rule.answer {
            Answer::Empty => {}
            Answer::Text(pieces) => {
                handshake.content_type = Some("text/plain");
                handshake.body = write(pieces)?;
            }
            Answer::Json(members) => {
                let member = |(name, member): &(String, Written)| match member {
                    Written::Number(number) => Ok((name.clone(), serde_json::Value::from(*number))),
                    Written::Text(pieces) => Ok((name.clone(), serde_json::Value::from(write(pieces)?))),
                };
                let members: BTreeMap<_, _> = members.iter().map(member).collect::<Result<_, Refusal>>()?;
                handshake.content_type = Some("application/json");
                handshake.body = serde_json::to_string(&members).expect("texts can be written as JSON");
            }
            Answer::Header(headers) => handshake.headers = all(headers)?,
        }
        if let Some(visit) = &rule.visit {
            let named = visit.at.sent(message).map_err(|_| Refusal::UrlRefused)?.ok_or(Refusal::UrlMissing)?;
            handshake.visits = Some(published::allowed(&visit.url, &named)?.0);
        }
        if rule.adopt {
            handshake.adopts = Some(Secret::new(challenge).map_err(|_| Refusal::ChallengeMalformed)?);
        }
        Ok(handshake)
    }

    /// The challenge's signature under the key that proved the request, or else under the newest that can sign.
    fn hmac(&self, challenge: &str, keys: &[Key], proof: Option<&Verified<'_>>) -> Result<Vec<u8>, Refusal> {
        let template = Template::body();
        let content = Content::of_body(&template, challenge.as_bytes());
        let version = proof.map(Verified::key_version);
        let mut keys = keys.iter().filter(|key| version.is_none_or(|version| key.version() == version));
        let tag = keys.find_map(|key| key.material(self.shared_name(), 0)?.sign(&content));
        tag.ok_or(Refusal::NoUsableSecret)
    }

    /// The SHA-256 of the challenge, the handshake token and the URL that was registered, or else was called, without its query.
    fn digest(&self, challenge: &str, message: &Message<'_>, token: Option<&Secret>) -> Result<String, Refusal> {
        let token = token.ok_or(Refusal::NoUsableSecret)?;
        let called = message.url.split(['?', '#']).next().unwrap_or_default();
        let url = self.signed_url(called);
        if !url::is_absolute(url) {
            return Err(Refusal::UrlNotAbsolute);
        }
        let digest = Sha256::new().chain_update(challenge).chain_update(token.expose()).chain_update(url);
        Ok(Encoding::Hex.encode(&digest.finalize()))
    }

    /// Anybody can have a bare challenge signed where handshakes are answered with a signature and come unsigned. So a bare text is
    /// never an event of such a scheme.
    pub(crate) fn could_be_a_challenge(&self, body: &[u8]) -> bool {
        self.is_an_oracle() && is_bare(body)
    }
}

impl Rule {
    fn is_asked_by(&self, message: &Message<'_>) -> bool {
        let is_there = |(place, is): &(Place, String)| match place {
            Place::Body => *message.body == *is.as_bytes(),
            place => matches!(read(place, message), Ok(Some(found)) if is == "*" || found == *is),
        };
        // Of what nothing proves, no large body is looked into.
        let looks_inside = |place: &Place| matches!(place, Place::Json(_) | Place::Form(_));
        let mut places = self.when.0.iter().map(|(place, _)| place).chain(&self.challenge).chain(&self.token);
        let is_small = self.signed || message.body.len() <= MAX_HANDSHAKE_BODY || !places.any(looks_inside);
        self.method == message.method && is_small && self.when.0.iter().all(is_there)
    }

    /// Where the URL stands that is to be visited.
    pub(crate) fn visited(&self) -> Option<&Place> {
        self.visit.as_ref().map(|visit| &visit.at)
    }

    pub(crate) fn fill(&mut self, values: &BTreeMap<String, String>) {
        self.visit.iter_mut().flat_map(|visit| &mut visit.url).for_each(|pattern| pattern.fill(values));
    }

    /// Whether it signs what anybody asks it to.
    pub(crate) fn is_an_oracle(&self) -> bool {
        !self.signed && self.answer.pieces().any(|piece| matches!(piece, Piece::Hmac(_)))
    }

    /// Whether it answers with a digest of the handshake token.
    fn has_hash(&self) -> bool {
        self.answer.pieces().any(|piece| matches!(piece, Piece::Sha256))
    }

    /// The places that hold a secret.
    pub(crate) fn credential_places(&self) -> impl Iterator<Item = &Place> {
        self.token.iter().chain(self.challenge.iter().filter(|_| self.adopt))
    }
}

fn check_token(place: &Place, message: &Message<'_>, token: Option<&Secret>) -> Result<(), Refusal> {
    let sent = match read(place, message) {
        Ok(Some(sent)) => sent,
        Ok(None) => return Err(Refusal::CredentialMissing),
        Err(Fault::Repeated) => return Err(Refusal::CredentialRepeated),
        Err(_) => return Err(Refusal::CredentialMalformed),
    };
    let token = token.ok_or(Refusal::NoUsableSecret)?;
    let equal: bool = Sha256::digest(sent.as_bytes()).ct_eq(&Sha256::digest(token.expose())).into();
    if equal { Ok(()) } else { Err(Refusal::CredentialMismatch) }
}

/// What stands in a place. A query is read like a form here: a blank may be written `+`.
fn read<'m>(place: &Place, message: &Message<'m>) -> Result<Option<Cow<'m, str>>, Fault> {
    match place {
        Place::Query(name) => Ok(url::query_text(message.url, name)?.filter(|text| !text.is_empty()).map(Cow::Owned)),
        place => place.read(message),
    }
}

fn is_printable(text: &str) -> bool {
    text.len() <= MAX_CHALLENGE && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Letters, digits and what base64 and URLs have besides: nothing that an object in JSON could begin with.
fn is_bare(text: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    !text.is_empty() && text.len() <= MAX_CHALLENGE && text.iter().all(plain)
}
