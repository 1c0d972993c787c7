//! Owns which combinations in a `[[proof]]` table make sense. What each of them means is `proof`'s business.

use crate::filter::Filter;
use crate::place::{self, Place};
use crate::proof::{Alg, Algorithm, Proof, RawProof};
use crate::template::{Part, Source, Template};

impl TryFrom<RawProof> for Proof {
    type Error = String;

    fn try_from(raw: RawProof) -> Result<Self, String> {
        raw.check_places()?;
        raw.check_timestamp()?;
        raw.check_content()?;
        raw.check_values()?;
        raw.check_key()?;
        raw.check_token()?;
        raw.check_must()?;
        let body_sha256 = match raw.body_sha256 {
            Some(Place::Query(name)) => Some(name),
            None => None,
            Some(_) => return Err("`body_sha256` must be a query place".into()),
        };
        Ok(Self {
            algorithm: raw.algorithm,
            key: raw.key,
            signature: raw.signature,
            content: raw.content,
            prehash: raw.prehash,
            timestamp: raw.timestamp,
            id: raw.id,
            event_type: raw.event_type,
            body_sha256,
            verify_only: raw.verify_only,
            when: raw.when,
            items: raw.items.as_deref().map(place::pointer).transpose()?,
            alg: raw.alg,
            claims: raw.claims.into_iter().collect(),
            must: raw.must.into_iter().collect(),
        })
    }
}

impl RawProof {
    fn is_token(&self) -> bool {
        self.algorithm.is_token_of_its_own()
    }

    fn check_places(&self) -> Result<(), String> {
        let sends = |place: &Place| {
            matches!(place, Place::Header(_) | Place::Numbered(_) | Place::Authorization(_) | Place::Query(_))
                || (matches!(place, Place::Entry(..) | Place::Base64Json(..)) && !self.algorithm.is_credential())
        };
        let in_body = |place: &Place| match place {
            Place::Json(tokens) => !tokens.iter().any(|token| token == "*") && !self.content.covers_body(),
            Place::Form(_) => !self.content.covers_body(),
            Place::Body => self.algorithm == Algorithm::Jwt,
            _ => false,
        };
        // A token in the body can be read everywhere in it.
        let carries = |place: &Place| match self.algorithm.is_credential() {
            true => sends(place) || matches!(place, Place::Json(_) | Place::Form(_)),
            false => sends(place) || in_body(place),
        };
        if self.signature.at.is_empty() || !self.signature.at.iter().all(carries) {
            return Err("`signature.at` needs places of kind header, authorization or query, or json and form where the content \
                        does not hold the whole body"
                .into());
        }
        let of_headers = self.signature.at.iter().all(|place| matches!(place, Place::Header(_) | Place::Numbered(_)));
        if self.signature.repeats && !of_headers {
            return Err("`signature.repeats` needs places of kind header".into());
        }
        if self.signature.at.iter().any(|place| matches!(place, Place::Numbered(_))) && !self.signature.repeats {
            return Err("numbered headers need `signature.repeats`".into());
        }
        let names = |place: &Place| match place {
            Place::Header(_) | Place::Json(_) | Place::Form(_) | Place::Query(_) => true,
            Place::Claim(_) => self.algorithm == Algorithm::Jwt,
            _ => false,
        };
        if !self.id.iter().chain(&self.event_type).all(names) {
            return Err(
                "`id` and `event_type` need places of kind header, json, form, query or, of a jwt, claim".into()
            );
        }
        let when = |(place, _): &(Place, String)| {
            matches!(place, Place::Header(_) | Place::Json(_) | Place::Form(_) | Place::Query(_))
        };
        if !self.when.0.iter().all(when) {
            return Err("`when` reads places of kind header, json, form or query".into());
        }
        Ok(())
    }

    /// What nothing signs proves nothing.
    fn check_must(&self) -> Result<(), String> {
        let is_signed = |place: &Place| match place {
            Place::Json(_) | Place::Form(_) => self.content.covers_body() || self.content.has_place(place),
            Place::Header(_) | Place::Query(_) => self.content.has_place(place),
            _ => false,
        };
        match self.must.keys().all(is_signed) {
            true => Ok(()),
            false => {
                Err("`must` reads places of kind header, json, form or query that are part of what is signed".into())
            }
        }
    }

    fn check_timestamp(&self) -> Result<(), String> {
        let Some(timestamp) = &self.timestamp else {
            return match self.content.has_timestamp() {
                true => Err("`timestamp` and the content's `{timestamp}` need each other".into()),
                false => Ok(()),
            };
        };
        let is_named = self.content.has_timestamp();
        match &timestamp.at {
            Place::Claim(_) if self.algorithm == Algorithm::Jwt && !is_named => Ok(()),
            Place::Claim(_) => Err("a timestamp in a claim needs a `jwt`, whose content names no `{timestamp}`".into()),
            Place::Header(_) if is_named || (self.content.has_list() && !self.is_token()) => Ok(()),
            Place::Entry(..) if is_named => Ok(()),
            Place::Signature(_) if !is_named => {
                Err("`timestamp` and the content's `{timestamp}` need each other".into())
            }
            Place::Signature(_) if self.signature.separator.is_some() && !self.signature.repeats => Ok(()),
            Place::Signature(_) => Err("a timestamp in the signature needs `signature.separator`".into()),
            place @ (Place::Json(_) | Place::Form(_) | Place::Query(_)) => {
                let covered = match place {
                    Place::Query(_) => self.content.covers_url() || self.content.values().any(|(_, s)| s.is_query()),
                    _ => self.content.covers_body(),
                };
                match is_named || covered || self.content.has_place(place) {
                    true => Ok(()),
                    false => Err("`timestamp.at` must be part of what is signed".into()),
                }
            }
            Place::Header(_) => Err("`timestamp` and the content's `{timestamp}` need each other".into()),
            _ => Err("`timestamp.at` needs a place of kind header, signature, json, form, query or claim".into()),
        }
    }

    fn check_content(&self) -> Result<(), String> {
        if self.algorithm.is_credential() {
            let signs = !self.content.is_empty() || self.timestamp.is_some() || self.body_sha256.is_some();
            let spells = !self.signature.encodings.is_empty() || self.signature.separator.is_some();
            return match signs || spells || self.signature.repeats || self.items.is_some() || self.prehash.is_some() {
                true => {
                    Err("a token signs nothing: it has no content, timestamp, encodings, separator or repeats".into())
                }
                false => Ok(()),
            };
        }
        let needs = (!self.is_token(), self.algorithm != Algorithm::Jwt);
        if self.signature.encodings.is_empty() == needs.0 || self.content.is_empty() == needs.1 {
            return Err(match self.algorithm {
                Algorithm::Jwt => "a `jwt` has neither `content` nor `signature.encodings`",
                Algorithm::Jws => "a `jws` has `content` and no `signature.encodings`",
                _ => "a signature needs `content` and `signature.encodings`",
            }
            .into());
        }
        if self.content.has_id() && !matches!(self.id.first(), Some(Place::Header(_))) {
            return Err("the content's `{id}` needs a header as the first place of `id`".into());
        }
        if self.body_sha256.is_some() && !(self.content.has_form() && self.content.has_url()) {
            return Err("`body_sha256` needs the content's `{form:sorted}` and the url".into());
        }
        if self.content.has(&Part::Secret) != self.algorithm.is_plain_hash() {
            return Err("a plain hash and the content's `{secret}` need each other".into());
        }
        if self.prehash.is_some() && self.is_token() {
            return Err("a `jwt` or `jws` has no `prehash`".into());
        }
        Ok(())
    }

    /// What the templates look for must be something that they can find.
    fn check_values(&self) -> Result<(), String> {
        let is_free = |(filters, _): &(&[Filter], &Source)| filters.contains(&Filter::Free);
        if self.content.values().filter(is_free).count() > 1 {
            return Err("only one value of a content can be `free`".into());
        }
        let entry = |(_, source): (&[Filter], &Source)| matches!(source, Source::Place(Place::Signature(_)));
        if self.content.values().any(entry) && self.signature.separator.is_none() {
            return Err("`{signature:…}` in the content needs `signature.separator`".into());
        }
        let is_in_claim = |template: &Template| {
            template.has(&Part::Secret)
                || template.has_timestamp()
                || template.has_id()
                || template.has_form()
                || template.has_url_any_port()
                || template.values().any(entry)
        };
        match self.claims.values().any(is_in_claim) {
            true => {
                Err("a claim names neither `{timestamp}`, `{id}` and `{secret}` nor what stands beside a signature"
                    .into())
            }
            false => Ok(()),
        }
    }

    fn check_key(&self) -> Result<(), String> {
        let key = &self.key;
        let prefixes = [&key.prefix, &key.optional_prefix, &key.refused_prefix];
        if prefixes.iter().filter(|prefix| prefix.is_some()).count() > 1 {
            return Err("a key has at most one of `prefix`, `optional_prefix` and `refused_prefix`".into());
        }
        let ed25519 = self.algorithm == Algorithm::Ed25519;
        if key.private_prefix.is_some() && (!ed25519 || key.prefix.is_none()) {
            return Err("`key.private_prefix` needs an asymmetric algorithm and `key.prefix` for public keys".into());
        }
        if ed25519 && key.encoding.is_none() {
            return Err("an asymmetric key needs `key.encoding`".into());
        }
        let pair = self.algorithm.is_asymmetric() || self.alg.iter().any(|alg| alg.algorithm().is_asymmetric());
        if pair && key.hash.is_some() {
            return Err("an asymmetric key has no `key.hash`".into());
        }
        match &key.generate {
            Some(generate) if generate.bytes == 0 || generate.bytes > 64 => {
                Err("`key.generate.bytes` must be from 1 to 64".into())
            }
            Some(generate) if pair && (generate.bytes != 32 || key.private_prefix.is_none()) => {
                Err("an asymmetric key is generated from 32 bytes and needs `key.private_prefix`".into())
            }
            _ => Ok(()),
        }
    }

    fn check_token(&self) -> Result<(), String> {
        if self.is_token() == self.alg.is_empty() {
            return Err("a `jwt` or `jws`, and nothing else, has `alg`".into());
        }
        if !self.claims.is_empty() && self.algorithm != Algorithm::Jwt {
            return Err("`claims` needs a `jwt`".into());
        }
        let kind = |alg: &Alg| match alg.algorithm() {
            Algorithm::Ed25519 => 0,
            algorithm if algorithm.is_ecdsa() => 1,
            algorithm if algorithm.is_rsa() => 2,
            _ => 3,
        };
        if self.alg.iter().any(|alg| kind(alg) != kind(&self.alg[0])) {
            return Err("all of `alg` must be of one kind of key".into());
        }
        let lists = self.signature.separator.is_some() || self.signature.repeats || self.items.is_some();
        if self.is_token() && lists {
            return Err("a `jwt` or `jws` stands alone: it has no `separator`, `repeats` or `items`".into());
        }
        let in_item = |place: &Place| matches!(place, Place::Json(_));
        match self.items.is_some() && (!self.signature.at.iter().all(in_item) || self.content.covers_body()) {
            true => Err("`items` needs signatures at places of kind json, and contents of json values".into()),
            false => Ok(()),
        }
    }
}
