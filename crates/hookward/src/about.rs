//! Owns where in a request the part stands that a refusal is about. Reads no request.

use crate::handshake::Rule;
use crate::place::Place;
use crate::proof::Proof;
use crate::published::Published;
use crate::refusal::Refusal;
use crate::scheme::Scheme;

impl Scheme {
    /// Where the part of a request stands that `refusal` is about, written as in a scheme file: `header:X-Hub-Signature-256`,
    /// `authorization:Bearer`, `query:token`. Every place that would do; none for a refusal that is about no one place.
    pub fn places_of(&self, refusal: &Refusal) -> Vec<String> {
        let mut places: Vec<String> = Vec::new();
        let named: Vec<String> = match refusal {
            Refusal::UrlMissing | Refusal::UrlRefused | Refusal::KeyUnknown | Refusal::KeyRefused => {
                self.places_of_urls()
            }
            _ => Vec::new(),
        };
        for place in named.into_iter().chain(self.proofs().iter().flat_map(|proof| part(proof, refusal))) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    fn places_of_urls(&self) -> Vec<String> {
        let visited = self.handshakes().iter().filter_map(Rule::visited);
        self.published().into_iter().flat_map(Published::places).chain(visited).map(Place::to_string).collect()
    }
}

/// Where one proof has the part that a refusal is about.
fn part(proof: &Proof, refusal: &Refusal) -> Vec<String> {
    let text = |places: &[Place]| places.iter().map(Place::to_string).collect();
    match refusal {
        Refusal::SignatureMissing
        | Refusal::SignatureRepeated
        | Refusal::SignatureMalformed
        | Refusal::TooManySignatures
        | Refusal::SignatureMismatch
            if !proof.algorithm.is_credential() =>
        {
            text(&proof.signature.at)
        }
        Refusal::CredentialMissing
        | Refusal::CredentialRepeated
        | Refusal::CredentialMalformed
        | Refusal::CredentialMismatch
            if proof.algorithm.is_credential() =>
        {
            text(&proof.signature.at)
        }
        Refusal::TimestampMissing
        | Refusal::TimestampRepeated
        | Refusal::TimestampMalformed
        | Refusal::TimestampTooOld { .. }
        | Refusal::TimestampTooNew { .. } => proof.timestamp.iter().map(|spec| spec.at.to_string()).collect(),
        Refusal::IdMissing | Refusal::IdRepeated | Refusal::IdMalformed => text(&proof.id),
        Refusal::EventTypeRepeated | Refusal::EventTypeMalformed => text(&proof.event_type),
        Refusal::PartMismatch => proof.must.iter().map(|(place, _)| place.to_string()).collect(),
        Refusal::AlgorithmRefused => proof.when.0.iter().map(|(place, _)| place.to_string()).collect(),
        Refusal::BodyDigestMissing | Refusal::BodyDigestMismatch => {
            proof.body_sha256.iter().map(|name| Place::Query(name.clone()).to_string()).collect()
        }
        _ => Vec::new(),
    }
}
