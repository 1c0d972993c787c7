//! Envelope encryption of one value: a data key of its own, wrapped by the KMS.
//! Owns the sealed bytes and what they are bound to. Knows no store and no clock.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::{Kms, KmsError, Sealed};
use crate::clock::Entropy;
use crate::ids::OrganizationId;
use crate::model::SecretOwner;

const TAG_LEN: usize = 16;

/// What a secret's ciphertext is bound to: its organization, its owner and its version, in fields of fixed length.
/// A ciphertext moved to another place in the store does not open there.
pub fn associated_data(organization: OrganizationId, owner: SecretOwner, version: u32) -> Vec<u8> {
    let (kind, id) = match &owner {
        SecretOwner::Source(id) => (b's', id.as_bytes()),
        SecretOwner::Destination(id) => (b'd', id.as_bytes()),
    };
    let mut data = b"hookward/secret/v1\0".to_vec();
    data.extend_from_slice(organization.as_bytes());
    data.push(kind);
    data.extend_from_slice(id);
    data.extend_from_slice(&version.to_be_bytes());
    data
}

/// Seals `plaintext` under a fresh data key that `kms` wraps; both are bound to `aad`.
///
/// # Errors
///
/// Whatever the KMS fails with.
pub async fn seal(kms: &dyn Kms, entropy: &dyn Entropy, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, KmsError> {
    let mut data_key = Zeroizing::new([0; 32]);
    entropy.fill(data_key.as_mut());
    let wrapped_key = kms.wrap(&data_key, aad).await?;
    let ciphertext = encrypt(&cipher(&data_key), entropy, aad, plaintext);
    Ok(Sealed { key_id: kms.key_id().to_owned(), wrapped_key, ciphertext })
}

/// Opens what [`seal`] sealed with the same `aad`.
///
/// # Errors
///
/// [`KmsError::Damaged`] if anything of it differs from what was sealed, and whatever the KMS fails with.
pub async fn open(kms: &dyn Kms, aad: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let data_key = kms.unwrap(&sealed.key_id, &sealed.wrapped_key, aad).await?;
    decrypt(&cipher(&data_key), aad, &sealed.ciphertext)
}

/// AES-256-GCM under `key`.
pub(super) fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("AES-256 takes a key of 32 bytes"))
}

/// Nonce, ciphertext and tag. The nonce is random: under one key, 2³² values are safe.
pub(super) fn encrypt(cipher: &LessSafeKey, entropy: &dyn Entropy, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    entropy.fill(&mut nonce);
    // All of it at once, so that no copy of the plaintext is left behind by growing.
    let mut sealed = Vec::with_capacity(NONCE_LEN + plaintext.len() + TAG_LEN);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plaintext);
    let tag = cipher
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut sealed[NONCE_LEN..])
        .expect("a secret is far shorter than AES-GCM's limit of 64 GiB");
    sealed.extend_from_slice(tag.as_ref());
    sealed
}

/// What [`encrypt`] made, opened.
pub(super) fn decrypt(cipher: &LessSafeKey, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(KmsError::Damaged)?;
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    let length = cipher
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut plaintext)
        .map_err(|_| KmsError::Damaged)?
        .len();
    plaintext.truncate(length);
    Ok(plaintext)
}
