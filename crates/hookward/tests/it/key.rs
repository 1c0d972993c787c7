//! Tests of keys: which secret may become a key of which scheme, and the making of new ones.

use hookward::{MAX_TOKEN, Scheme, Secret, SecretError, catalog};

use crate::support::{base64, generated, plain_names, scheme};

fn refused(name: &str, secret: &str) -> SecretError {
    scheme(name).key(1, &Secret::new(secret).unwrap()).unwrap_err()
}

fn accepted(name: &str, secret: &str) -> bool {
    scheme(name).key(1, &Secret::new(secret).unwrap()).is_ok()
}

const PUBLIC: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

#[test]
fn a_public_key_never_becomes_an_hmac_key() {
    assert_eq!(refused("standard-webhooks", PUBLIC), SecretError::NotDecodable("base64"));
    assert!(accepted("standard-webhooks-ed25519", PUBLIC));
}

#[test]
fn a_shared_secret_never_becomes_a_public_key() {
    let prefix = SecretError::PrefixMissing("whpk_".into());
    assert_eq!(refused("standard-webhooks-ed25519", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), prefix);
    assert_eq!(refused("standard-webhooks-ed25519", &PUBLIC[5..]), prefix);
}

#[test]
fn a_bad_asymmetric_key_is_refused() {
    let short = SecretError::WrongLength { expected: "32", found: 31 };
    assert_eq!(refused("standard-webhooks-ed25519", &format!("whpk_{}", base64(&[1; 31]))), short);
    let short = SecretError::WrongLength { expected: "32 or 64", found: 33 };
    assert_eq!(refused("standard-webhooks-ed25519", &format!("whsk_{}", base64(&[1; 33]))), short);
    // The point of order four, under which one signature fits many messages.
    assert_eq!(refused("standard-webhooks-ed25519", &format!("whpk_{}", base64(&[0; 32]))), SecretError::BadPublicKey);
    assert_eq!(refused("standard-webhooks-ed25519", &format!("whsk_{}", base64(&[1; 64]))), SecretError::BadPrivateKey);
    assert!(accepted("standard-webhooks-ed25519", &format!("whsk_{}", base64(&[1; 32]))));
}

#[test]
fn a_secret_must_have_the_schemes_encoding() {
    assert_eq!(refused("qflow", "not base64!"), SecretError::NotDecodable("base64"));
    assert_eq!(refused("standard-webhooks", "whsec_"), SecretError::Empty);
    assert_eq!(refused("gitlab", "whsec_!"), SecretError::NotDecodable("base64"));
    assert!(accepted("gitlab", "any other text"));
    assert!(accepted("stripe", "whsec_!"));
}

#[test]
fn a_token_must_fit_into_a_header() {
    for text in [" padded", "padded ", "line\nfeed", "n\0l", "\u{85}x"] {
        assert_eq!(refused("bearer", text), SecretError::NotSendable, "{text:?}");
    }
    assert!(accepted("bearer", &"a".repeat(MAX_TOKEN)));
    assert_eq!(refused("bearer", &"a".repeat(MAX_TOKEN + 1)), SecretError::NotSendable);
    assert!(scheme("bearer").key(1, &Secret::new(vec![0xff]).unwrap()).is_err());
}

#[test]
fn basic_credentials_have_a_colon() {
    assert_eq!(refused("basic", "user"), SecretError::NoColon);
    assert!(accepted("basic", "user:"));
    assert!(accepted("basic", &format!("u:{}", "p".repeat(MAX_TOKEN - 2))));
    assert_eq!(refused("basic", &format!("u:{}", "p".repeat(MAX_TOKEN - 1))), SecretError::NotSendable);
}

#[test]
fn a_key_prints_no_secret() {
    let key = scheme("bearer").key(7, &Secret::new("hunter2").unwrap()).unwrap();
    assert_eq!(format!("{key:?}"), r#"Key { scheme: "bearer", version: 7, .. }"#);
}

#[test]
fn a_generated_secret_is_a_key_of_its_scheme_and_no_two_are_equal() {
    for name in plain_names() {
        let (one, two) = (generated(scheme(name), 1), generated(scheme(name), 2));
        assert_ne!(one, two, "{name}");
        assert!(scheme(name).key(1, &Secret::new(one).unwrap()).is_ok(), "{name}");
    }
}

#[test]
fn a_scheme_that_does_not_say_how_generates_nothing() {
    let text = catalog::source("github").unwrap().replace("key = {", "# key = {");
    let error = Scheme::from_toml(&text).unwrap().generate(&mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "scheme `github` does not say what its secrets look like");
}

#[test]
fn a_new_secret_is_held_to_more_than_one_in_use() {
    let new = |name: &str, secret: &str| scheme(name).check_new(&Secret::new(secret).unwrap());
    let of = |bytes: usize| format!("whsec_{}", base64(&vec![1; bytes]));
    for name in ["standard-webhooks", "svix"] {
        assert!(accepted(name, &of(23)), "in use it goes on working");
        assert_eq!(new(name, &of(23)), Err(SecretError::TooShort { least: 24, found: 23 }));
        assert_eq!(new(name, &of(24)), Ok(()));
        assert_eq!(new(name, "whsec_!!!notbase64"), Err(SecretError::NotDecodable("base64")));
    }
    for name in ["github", "stripe", "standard-webhooks", "gitlab-token"] {
        assert_eq!(new(name, PUBLIC), Err(SecretError::PrefixRefused("whpk_".into())));
    }
    assert_eq!(new("standard-webhooks-ed25519", PUBLIC), Ok(()));
    assert_eq!(new("github", "short, and for this provider good enough"), Ok(()));
}
