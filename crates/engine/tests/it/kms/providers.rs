//! Tests of `kms/environment.rs`, `kms/keychain.rs`, the missing key file, and the commitment of `kms/seal.rs`.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use hookward::Secret;
use hookward_engine::clock::SystemEntropy;
use hookward_engine::kms::environment::{EnvironmentKms, EnvironmentKmsError};
use hookward_engine::kms::keychain::Keychain;
use hookward_engine::kms::local::{LocalKms, MissingKms};
use hookward_engine::kms::seal::{open, rewrap, seal};
use hookward_engine::kms::{Kms, KmsError, Sealed, check};
use zeroize::Zeroizing;

fn environment(text: &str) -> Result<EnvironmentKms, EnvironmentKmsError> {
    EnvironmentKms::new(&Secret::new(text).unwrap(), Arc::new(SystemEntropy))
}

fn key(byte: u8) -> Arc<dyn Kms> {
    let bytes: Vec<u8> = (0..32).map(|at| byte.wrapping_add(at)).collect();
    Arc::new(environment(&STANDARD.encode(bytes)).unwrap())
}

#[test]
fn a_key_as_text_is_read_in_any_of_its_forms() {
    let bytes: Vec<u8> = (200..232).collect();
    let forms = [STANDARD.encode(&bytes), URL_SAFE.encode(&bytes), STANDARD_NO_PAD.encode(&bytes), hex::encode(&bytes)];
    let id = environment(&forms[0]).unwrap().key_id().to_owned();
    assert!(id.starts_with("environment:") && id.len() == 20, "{id}");
    for form in forms.iter().map(|form| format!("{form}\n")).chain([hex::encode_upper(&bytes)]) {
        assert_eq!(environment(&form).unwrap().key_id(), id, "{form}");
    }
}

#[test]
fn a_text_that_is_no_key_is_refused() {
    for (text, expected) in [
        ("AAAA".to_owned(), EnvironmentKmsError::Length(3)),
        (STANDARD.encode([1; 31]), EnvironmentKmsError::Length(31)),
        (STANDARD.encode([1; 33]), EnvironmentKmsError::Length(33)),
        (STANDARD.encode([7; 32]), EnvironmentKmsError::NotRandom),
        ("00".repeat(32), EnvironmentKmsError::NotRandom),
        ("a key, surely".to_owned(), EnvironmentKmsError::NotText),
    ] {
        assert_eq!(environment(&text).unwrap_err(), expected, "{text}");
    }
}

#[tokio::test]
async fn a_keychain_wraps_with_the_current_key_and_unwraps_with_the_one_named() {
    let (old, new) = (key(1), key(2));
    let before = seal(&*old, &SystemEntropy, b"place", b"value").await.unwrap();
    let chain = Keychain::new(Arc::clone(&new), vec![Arc::clone(&old)]);
    assert_eq!(chain.key_ids(), [new.key_id(), old.key_id()]);
    assert_eq!(open(&chain, b"place", &before).await.unwrap().as_slice(), b"value");
    let after = rewrap(&chain, &SystemEntropy, b"place", &before).await.unwrap();
    assert_eq!(after.key_id, new.key_id());
    assert_eq!(after.ciphertext, before.ciphertext, "the value itself is not touched");
    assert_eq!(open(&*new, b"place", &after).await.unwrap().as_slice(), b"value");
    let alone = Keychain::new(Arc::clone(&new), vec![]);
    let wrong = KmsError::WrongKey { sealed_under: old.key_id().to_owned(), holds: new.key_id().to_owned() };
    assert_eq!(open(&alone, b"place", &before).await, Err(wrong));
    assert_eq!(check(&chain, &SystemEntropy).await, Ok(()));
}

#[tokio::test]
async fn a_key_file_that_comes_back_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    let lost = LocalKms::open(&path, Arc::new(SystemEntropy)).unwrap();
    let sealed = seal(&lost, &SystemEntropy, b"place", b"value").await.unwrap();
    let aside = directory.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    let missing = MissingKms::new(&path, Arc::new(SystemEntropy));
    let Err(KmsError::Unavailable(problem)) = open(&missing, b"place", &sealed).await else { panic!("it opened") };
    assert!(problem.contains("is missing; restore it from a backup"), "{problem}");
    assert!(matches!(check(&missing, &SystemEntropy).await, Err(KmsError::Unavailable(_))));
    std::fs::rename(&aside, &path).unwrap();
    assert_eq!(open(&missing, b"place", &sealed).await.unwrap().as_slice(), b"value");
    assert_eq!(missing.key_id(), lost.key_id());
}

/// A KMS that hands out another key than it was given.
#[derive(Debug)]
struct Liar(Arc<dyn Kms>);

#[async_trait]
impl Kms for Liar {
    fn key_id(&self) -> &str {
        self.0.key_id()
    }

    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.0.wrap(data_key, aad).await
    }

    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        let mut data_key = self.0.unwrap(key_id, wrapped, aad).await?;
        data_key[31] ^= 1;
        Ok(data_key)
    }
}

#[tokio::test]
async fn another_data_key_is_found_out_and_never_wrapped_again() {
    let kms = key(1);
    let sealed = seal(&*kms, &SystemEntropy, b"place", b"value").await.unwrap();
    let liar = Liar(Arc::clone(&kms));
    assert_eq!(open(&liar, b"place", &sealed).await, Err(KmsError::Damaged));
    assert_eq!(rewrap(&liar, &SystemEntropy, b"place", &sealed).await, Err(KmsError::Damaged));
    assert_eq!(check(&liar, &SystemEntropy).await, Err(KmsError::Damaged));
}

#[tokio::test]
async fn the_commitment_alone_keeps_another_data_key_out() {
    let kms = key(1);
    let one = seal(&*kms, &SystemEntropy, b"place", b"value").await.unwrap();
    let other = seal(&*kms, &SystemEntropy, b"place", b"value").await.unwrap();
    // Everything of the other but the commitment: under its own data key it would open.
    let forged = [&other.ciphertext[..8], &one.ciphertext[8..40], &other.ciphertext[40..]].concat();
    let forged = Sealed { ciphertext: forged, ..other };
    assert_eq!(open(&*kms, b"place", &forged).await, Err(KmsError::Damaged));
}

/// As values were sealed before there were commitments.
async fn seal_as_before(kms: &dyn Kms, aad: &[u8], value: &[u8]) -> Sealed {
    let (data_key, nonce) = ([9; 32], [3; 12]);
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &data_key).unwrap());
    let mut bytes = value.to_vec();
    cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut bytes).unwrap();
    let wrapped_key = kms.wrap(&data_key, aad).await.unwrap();
    Sealed { key_id: kms.key_id().to_owned(), wrapped_key, ciphertext: [&nonce[..], &bytes].concat() }
}

#[tokio::test]
async fn what_was_sealed_before_there_were_commitments_opens_and_gets_one_when_it_is_rewrapped() {
    let kms = key(1);
    let old = seal_as_before(&*kms, b"place", b"value").await;
    assert_eq!(open(&*kms, b"place", &old).await.unwrap().as_slice(), b"value");
    assert_eq!(open(&*kms, b"elsewhere", &old).await, Err(KmsError::Damaged));
    let new = rewrap(&*kms, &SystemEntropy, b"place", &old).await.unwrap();
    assert_eq!(new.ciphertext[..8], *b"hwseal\0\x02");
    assert_eq!(open(&*kms, b"place", &new).await.unwrap().as_slice(), b"value");
    assert_eq!(open(&*kms, b"elsewhere", &new).await, Err(KmsError::Damaged));
}
