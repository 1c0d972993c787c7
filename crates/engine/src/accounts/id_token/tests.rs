//! Every way in which a token can be wrong, and what others have signed.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const NOW_S: i64 = 1_700_000_000;

const EXPECTED: Expected<'_> =
    Expected { issuer: "https://id.example", client_id: "hookward", nonce: "the nonce", now: NOW };

fn good() -> Value {
    json!({
        "iss": "https://id.example", "aud": "hookward", "sub": "ada", "nonce": "the nonce",
        "iat": NOW_S, "exp": NOW_S + 300,
    })
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn token(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", b64(header.to_string()), b64(claims.to_string()));
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", b64(signature))
}

/// A provider with an Ed25519 key called `1`.
struct Provider {
    key: Ed25519KeyPair,
}

impl Provider {
    fn new() -> Self {
        Self { key: Ed25519KeyPair::generate().unwrap() }
    }

    fn jwk(&self) -> Value {
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "sig", "x": b64(self.key.public_key()) })
    }

    fn keys(&self) -> ProviderKeys {
        keys(&[self.jwk()])
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        token(header, claims, |signed| self.key.sign(signed).as_ref().to_vec())
    }

    fn verdict(&self, claims: &Value) -> Result<(), TokenRefusal> {
        let token = self.sign(&json!({ "alg": "EdDSA", "kid": "1" }), claims);
        self.keys().verify(&token, &EXPECTED).map(drop)
    }
}

fn keys(jwks: &[Value]) -> ProviderKeys {
    ProviderKeys::parse(json!({ "keys": jwks }).to_string().as_bytes()).unwrap()
}

/// The good claims with one in place of another.
fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

/// The good claims without one.
fn without(name: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn a_token_of_each_kind_of_key_is_believed() {
    let random = SystemRandom::new();
    let provider = Provider::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    // PKCS #1: a sequence of the modulus, which begins with a zero, and the exponent 65537.
    let der = rsa.public_key().as_ref();
    let (n, e) = (b64(&der[9..265]), b64([1, 0, 1]));
    let rsa_jwk = json!({ "kty": "RSA", "kid": "rsa", "alg": "RS256", "n": n, "e": e });
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = ec.public_key().as_ref();
    let ec_jwk = json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": b64(&point[1..33]), "y": b64(&point[33..]) });
    let keys = keys(&[provider.jwk(), rsa_jwk, ec_jwk]);
    let by_rsa = token(&json!({ "alg": "RS256", "kid": "rsa", "typ": "JWT" }), &good(), |signed| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, signed, &mut signature).unwrap();
        signature
    });
    let by_ec = token(&json!({ "alg": "ES256", "kid": "ec" }), &good(), |signed| {
        ec.sign(&random, signed).unwrap().as_ref().to_vec()
    });
    let by_ed = provider.sign(&json!({ "alg": "EdDSA", "kid": "1" }), &good());
    for token in [&by_rsa, &by_ec, &by_ed] {
        assert_eq!(keys.verify(token, &EXPECTED).unwrap()["sub"], "ada");
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            bytes[at] ^= 1;
            let forged = format!("{rest}.{}", b64(&bytes));
            assert_eq!(keys.verify(&forged, &EXPECTED), Err(TokenRefusal::Signature), "byte {at}");
            bytes[at] ^= 1;
        }
    }
    for (alg, kid) in [("RS256", "ec"), ("ES256", "rsa"), ("EdDSA", "rsa")] {
        let crossed = provider.sign(&json!({ "alg": alg, "kid": kid }), &good());
        assert_eq!(keys.verify(&crossed, &EXPECTED), Err(TokenRefusal::UnknownKey), "a key is for its own algorithm");
    }
}

#[test]
fn a_token_that_nobody_signed_is_refused() {
    let provider = Provider::new();
    for alg in ["none", "None", "NONE", "", "HS256", "HS512", "RS384", "PS256", "ES384", "RS1", "eddsa"] {
        let header = json!({ "alg": alg, "kid": "1" });
        let unsigned = token(&header, &good(), |_| Vec::new());
        assert_eq!(provider.keys().verify(&unsigned, &EXPECTED), Err(TokenRefusal::Algorithm(alg.to_owned())));
    }
    let public = provider.key.public_key().as_ref().to_vec();
    let confused = token(&json!({ "alg": "HS256", "kid": "1" }), &good(), |signed| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), signed).as_ref().to_vec()
    });
    assert_eq!(provider.keys().verify(&confused, &EXPECTED), Err(TokenRefusal::Algorithm("HS256".to_owned())));
    let stripped = token(&json!({ "alg": "EdDSA", "kid": "1" }), &good(), |_| Vec::new());
    assert_eq!(provider.keys().verify(&stripped, &EXPECTED), Err(TokenRefusal::Signature));
}

#[test]
fn a_secret_is_never_taken_for_a_public_key() {
    let provider = Provider::new();
    let secret = json!({ "kty": "oct", "kid": "1", "k": b64(b"a shared secret") });
    let sealing =
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "1", "use": "enc", "x": b64(provider.key.public_key()) });
    let other_use =
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "1", "alg": "ES256", "x": b64(provider.key.public_key()) });
    let token = provider.sign(&json!({ "alg": "EdDSA", "kid": "1" }), &good());
    for jwk in [secret, sealing, other_use] {
        let keys = keys(std::slice::from_ref(&jwk));
        assert!(keys.is_empty(), "{jwk}");
        assert_eq!(keys.verify(&token, &EXPECTED), Err(TokenRefusal::UnknownKey));
    }
}

#[test]
fn a_key_in_the_token_itself_proves_nothing() {
    let (provider, attacker) = (Provider::new(), Provider::new());
    let header = json!({ "alg": "EdDSA", "kid": "1", "jwk": attacker.jwk(), "jku": "https://evil.example/keys" });
    let token = attacker.sign(&header, &good());
    assert_eq!(provider.keys().verify(&token, &EXPECTED), Err(TokenRefusal::Signature));
}

#[test]
fn a_token_without_a_key_id_is_only_for_who_has_a_single_key() {
    let (one, two) = (Provider::new(), Provider::new());
    let token = one.sign(&json!({ "alg": "EdDSA" }), &good());
    assert!(one.keys().verify(&token, &EXPECTED).is_ok());
    assert_eq!(keys(&[one.jwk(), two.jwk()]).verify(&token, &EXPECTED), Err(TokenRefusal::UnknownKey));
    let unknown = one.sign(&json!({ "alg": "EdDSA", "kid": "2" }), &good());
    assert_eq!(one.keys().verify(&unknown, &EXPECTED), Err(TokenRefusal::UnknownKey));
}

#[test]
fn a_token_of_another_issuer_is_refused() {
    let provider = Provider::new();
    assert_eq!(provider.verdict(&good()), Ok(()));
    for issuer in
        [json!("https://evil.example"), json!("https://id.example/"), json!(["https://id.example"]), json!(null)]
    {
        assert_eq!(provider.verdict(&with("iss", issuer)), Err(TokenRefusal::Issuer));
    }
    assert_eq!(provider.verdict(&without("iss")), Err(TokenRefusal::Issuer));
}

#[test]
fn a_token_for_somebody_else_is_refused() {
    let provider = Provider::new();
    for audience in [json!("other"), json!(["other"]), json!([]), json!(null), json!(["hookward", "other"]), json!(7)] {
        assert_eq!(provider.verdict(&with("aud", audience.clone())), Err(TokenRefusal::Audience), "{audience}");
    }
    assert_eq!(provider.verdict(&without("aud")), Err(TokenRefusal::Audience));
    assert_eq!(provider.verdict(&with("azp", json!("other"))), Err(TokenRefusal::Audience));
    assert_eq!(provider.verdict(&with("azp", json!("hookward"))), Ok(()));
    assert_eq!(provider.verdict(&with("aud", json!(["hookward"]))), Ok(()));
    let mut several = with("aud", json!(["other", "hookward"]));
    several["azp"] = json!("hookward");
    assert_eq!(provider.verdict(&several), Ok(()), "who authorized it is us");
}

#[test]
fn a_token_of_another_sign_in_is_refused() {
    let provider = Provider::new();
    for nonce in [json!("another"), json!(""), json!(null), json!("the nonce ")] {
        assert_eq!(provider.verdict(&with("nonce", nonce)), Err(TokenRefusal::Nonce));
    }
    assert_eq!(provider.verdict(&without("nonce")), Err(TokenRefusal::Nonce));
}

#[test]
fn a_token_is_valid_in_its_time_give_or_take_a_minute() {
    let provider = Provider::new();
    for (name, secs, verdict) in [
        ("exp", -60, Err(TokenRefusal::Time)),
        ("exp", -59, Ok(())),
        ("iat", 60, Ok(())),
        ("iat", 61, Err(TokenRefusal::Time)),
        ("nbf", 60, Ok(())),
        ("nbf", 61, Err(TokenRefusal::Time)),
        ("nbf", -1000, Ok(())),
    ] {
        assert_eq!(provider.verdict(&with(name, json!(NOW_S + secs))), verdict, "{name} {secs}");
    }
    for claims in [without("exp"), without("iat"), with("exp", json!("never")), with("iat", json!(null))] {
        assert_eq!(provider.verdict(&claims), Err(TokenRefusal::Time));
    }
    assert_eq!(provider.verdict(&with("exp", json!(1e300))), Ok(()), "saturates");
}

#[test]
fn a_token_names_somebody() {
    let provider = Provider::new();
    for subject in [json!(""), json!(7), json!(null), json!("s".repeat(256))] {
        assert!(matches!(provider.verdict(&with("sub", subject)), Err(TokenRefusal::Malformed(_))));
    }
    assert_eq!(provider.verdict(&with("sub", json!("s".repeat(255)))), Ok(()));
}

#[test]
fn what_is_no_token_is_malformed() {
    let provider = Provider::new();
    let good = provider.sign(&json!({ "alg": "EdDSA", "kid": "1" }), &good());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    for bad in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{signature}=="),
        format!("{header}.{claims}.{signature}.{signature}"),
        format!("{header} .{claims}.{signature}"),
        "a".repeat(TOKEN_MAX + 1),
    ] {
        let verdict = provider.keys().verify(&bad, &EXPECTED);
        assert!(verdict.is_err() && verdict != Err(TokenRefusal::Time), "{bad:.80}: {verdict:?}");
    }
    let critical =
        provider.sign(&json!({ "alg": "EdDSA", "kid": "1", "crit": ["b64"], "b64": false }), &with("a", json!(1)));
    assert!(matches!(provider.keys().verify(&critical, &EXPECTED), Err(TokenRefusal::Malformed(_))));
}

#[test]
fn what_is_no_set_of_keys_is_refused() {
    for bad in ["", "[]", "{}", r#"{"keys":7}"#] {
        assert!(ProviderKeys::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    let many = vec![Provider::new().jwk(); KEYS_MAX + 1];
    assert!(ProviderKeys::parse(json!({ "keys": many }).to_string().as_bytes()).is_err());
    assert!(ProviderKeys::parse(json!({ "keys": many[1..] }).to_string().as_bytes()).is_ok());
}
