//! Owns what can be said of a scheme before any request is seen: what it computes, and what everything that it proves is bound to.
//! Proves nothing itself.

use crate::place::Place;
use crate::proof::{Algorithm, Proof};
use crate::scheme::Scheme;
use crate::template::Template;
use crate::verify::Binds;

impl Scheme {
    /// What its proofs are computed with, strongest first, as a scheme file names it.
    pub fn algorithms(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.proofs().iter().map(|proof| proof.algorithm.name()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Whether one of its proofs could be made by experts without the key.
    pub fn is_weak(&self) -> bool {
        self.proofs().iter().any(|proof| proof.algorithm.is_weak())
    }

    /// In how many ways a request may be proven: what one costs at most grows with it.
    pub fn proof_count(&self) -> usize {
        self.proofs().len()
    }

    /// What every request is bound to that it proves, whichever of its proofs that is. The verdict on one request may say more, such
    /// as for a token that carries the end of its time; an id only counts where it is sent.
    pub fn binds(&self) -> Binds {
        let all = Binds { body: true, time: true, url: true, id: true, part_of_body: true, unique: true };
        let both = |a: Binds, b: Binds| {
            let some = |binds: Binds| binds.body || binds.part_of_body;
            Binds {
                body: a.body && b.body,
                time: a.time && b.time,
                url: a.url && b.url,
                id: a.id && b.id,
                part_of_body: !(a.body && b.body) && some(a) && some(b),
                unique: a.unique && b.unique,
            }
        };
        let bound = self.proofs().iter().map(|proof| {
            let binds = binds(proof);
            Binds { unique: binds.id || (binds.body && self.body_is_unique()), ..binds }
        });
        bound.fold(all, both)
    }
}

fn binds(proof: &Proof) -> Binds {
    if proof.algorithm.is_credential() {
        return Binds::default();
    }
    let covers = |covers: fn(&Template) -> bool| proof.templates().any(covers);
    let body = covers(Template::covers_body)
        || (proof.algorithm.is_token_of_its_own() && proof.signature.at.contains(&Place::Body));
    let url = covers(Template::covers_url);
    let is_bound = |place: &Place| match place {
        Place::Json(_) | Place::Form(_) => body || proof.content.has_place(place),
        Place::Query(_) => url || proof.content.has_place(place),
        Place::Claim(_) => true,
        place => proof.content.has_place(place),
    };
    let is_signed = proof.signed_id().is_some() && proof.content.fences_id();
    Binds {
        body,
        time: proof.timestamp.as_ref().is_some_and(|spec| spec.tolerance_s.is_some()),
        url,
        id: proof.items.is_none() && (is_signed || (!proof.id.is_empty() && proof.id.iter().all(is_bound))),
        part_of_body: !body && covers(Template::touches_body),
        unique: false,
    }
}

impl Algorithm {
    /// As a scheme file names it.
    fn name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha256 => "hmac-sha256",
            Self::HmacSha384 => "hmac-sha384",
            Self::HmacSha512 => "hmac-sha512",
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP256Raw => "ecdsa-p256-raw",
            Self::EcdsaP256Sha1 => "ecdsa-p256-sha1",
            Self::RsaSha1 => "rsa-sha1",
            Self::RsaSha256 => "rsa-sha256",
            Self::RsaSha512 => "rsa-sha512",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::Jwt => "jwt",
            Self::Jws => "jws",
            Self::Token => "token",
            Self::Basic => "basic",
        }
    }
}
