//! A refused request of which it is known what happened to it, and what must hold for everything that is said of one.

use std::collections::BTreeSet;

use base64::Engine as _;
use hookward::explain::{Cause, Evidence, Explanation, KnownSecret, MAX_HMACS, Standing, explain};
use hookward::{Draft, Scheme, Secret, UnixTime};
use miniz_oxide::deflate;

use crate::support::{Request, keys, scheme};

pub(super) const NOW_S: i64 = 1_700_000_000;
pub(super) const SECRET: &str = "c2VjcmV0LW9mLXRoaXMtdmVyeS1zb3VyY2UxMjM0NTY=";
pub(super) const OTHER: &str = "dGhlLXNlY3JldC1vZi1hbm90aGVyLXNvdXJjZTY1NDMyMQ==";
pub(super) const ENDED: &str = "0011223344556677889900aabbccddeeff001122";
pub(super) const URL: &str = "https://example.com/hook";

pub(super) fn now() -> UnixTime {
    UnixTime::from_secs(NOW_S)
}

/// A request as the sender made it, and what is known where it arrives.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) scheme: Scheme,
    pub(super) request: Request,
    pub(super) secrets: Vec<(&'static str, Vec<u8>, Standing)>,
}

/// The sender signs with `secret` at `at_s`.
pub(super) fn signed(by: &Scheme, secret: &[u8], body: &[u8], url: &str, at_s: i64) -> Request {
    let draft = Draft { id: "msg_2a", event_type: "ping", method: "POST", url, body };
    let signed = by.sign(&draft, &keys(by, &[secret]), UnixTime::from_secs(at_s)).unwrap();
    let headers = signed.headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
    Request { method: "POST".into(), url: url.into(), headers, body: body.to_vec() }
}

impl Case {
    pub(super) fn new(name: &str, body: &[u8]) -> Self {
        Self::by(scheme(name), SECRET.as_bytes(), body)
    }

    pub(super) fn by(by: &Scheme, secret: &[u8], body: &[u8]) -> Self {
        let secrets = vec![
            ("this", SECRET.as_bytes().to_vec(), Standing::InForce),
            ("an old version", ENDED.as_bytes().to_vec(), Standing::Ended),
            ("source other", OTHER.as_bytes().to_vec(), Standing::Another),
        ];
        Self { scheme: by.clone(), request: signed(by, secret, body, URL, NOW_S), secrets }
    }

    /// What arrives is another body.
    pub(super) fn arrives(mut self, body: impl AsRef<[u8]>) -> Self {
        self.request.body = body.as_ref().to_vec();
        self
    }

    pub(super) fn set(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.request.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub(super) fn value(&self, name: &str) -> String {
        let found = self.request.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        String::from_utf8(found.unwrap().1.clone()).unwrap()
    }

    pub(super) fn moved(mut self, from: &str, to: &str) -> Self {
        for (name, _) in &mut self.request.headers {
            if name.eq_ignore_ascii_case(from) {
                *name = to.to_owned();
            }
        }
        self
    }

    /// What is known here as the secret in force.
    pub(super) fn holding(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets[0].1 = secret.as_ref().to_vec();
        self
    }

    pub(super) fn at(mut self, url: &str) -> Self {
        self.request.url = url.to_owned();
        self
    }

    pub(super) fn read_as(mut self, name: &str) -> Self {
        self.scheme = scheme(name).clone();
        self
    }

    pub(super) fn explained(&self) -> Explanation {
        self.explained_at(now())
    }

    pub(super) fn explained_at(&self, now: UnixTime) -> Explanation {
        let secrets: Vec<Secret> = self.secrets.iter().map(|(_, text, _)| Secret::new(text.clone()).unwrap()).collect();
        let known: Vec<KnownSecret<'_>> = self
            .secrets
            .iter()
            .zip(&secrets)
            .map(|((label, _, standing), secret)| KnownSecret { label, secret, standing: *standing })
            .collect();
        let explanation = explain(&self.scheme, &self.request.message(), &known, now);
        assert!(explanation.hmacs() <= MAX_HMACS);
        self.says_no_secret(&explanation);
        explanation
    }

    /// Neither a secret nor its decoded bytes nor a signature that any known key makes of this body, in any spelling.
    fn says_no_secret(&self, explanation: &Explanation) {
        let said = format!("{explanation} {explanation:?}");
        for (_, secret, _) in &self.secrets {
            let text = String::from_utf8_lossy(secret).trim().to_owned();
            assert!(text.len() < 6 || !said.contains(&text), "{said}");
            for decoded in [base64::engine::general_purpose::STANDARD.decode(&text).ok(), hex::decode(&text).ok()] {
                let decoded = decoded.filter(|decoded| decoded.len() > 5).unwrap_or_else(|| b"\0\0\0\0\0\0".to_vec());
                spells_not(&said, &decoded);
            }
            let Ok(key) = self.scheme.key(1, &Secret::new(secret.clone()).unwrap()) else { continue };
            let draft = Draft { id: "msg_2a", event_type: "", method: "POST", url: URL, body: &self.request.body };
            for (_, value) in self.scheme.sign(&draft, &[key], now()).map(|signed| signed.headers).unwrap_or_default() {
                let last = value.rsplit(['=', ',', ' ']).find(|part| part.len() > 16).unwrap_or("no signature at all");
                assert!(!said.contains(last), "{said}");
            }
        }
    }
}

pub(super) fn spells_not(said: &str, bytes: &[u8]) {
    let base64 = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
    let (hex, raw) = (hex::encode(bytes), String::from_utf8_lossy(bytes).into_owned());
    for spelling in [base64, hex, raw] {
        assert!(!said.contains(&spelling), "{said}");
    }
}

pub(super) fn proven(explanation: &Explanation) -> BTreeSet<Cause> {
    let proven = explanation.findings().iter().filter(|finding| finding.evidence() == Evidence::Proven);
    proven.flat_map(|finding| finding.causes().collect::<Vec<_>>()).collect()
}

pub(super) fn check(what: &str, case: &Case, expected: &[Cause]) {
    let explanation = case.explained();
    let expected: BTreeSet<Cause> = expected.iter().copied().collect();
    assert_eq!(proven(&explanation), expected, "{what}: {explanation} ({} hmacs)", explanation.hmacs());
}

pub(super) fn gzip(body: &[u8]) -> Vec<u8> {
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    [&head[..], &deflate::compress_to_vec(body, 6), &[0; 8]].concat()
}
