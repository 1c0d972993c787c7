//! Envelope encryption of one value: a data key of its own, wrapped by the KMS.
//! Owns the sealed bytes and what they are bound to. Knows no store and no clock.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
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
/// The sealed bytes are a byte for their form, the data key's commitment, nonce, ciphertext and tag. AES-GCM alone does not commit to
/// its key: there are ciphertexts that open under two, so a KMS that hands out another key than it was given is found out by
/// the commitment, before anything is opened.
///
/// # Errors
///
/// Whatever the KMS fails with.
pub async fn seal(kms: &dyn Kms, entropy: &dyn Entropy, aad: &[u8], plaintext: &[u8]) -> Result<Sealed, KmsError> {
    let mut data_key = Zeroizing::new([0; 32]);
    entropy.fill(data_key.as_mut());
    let wrapped_key = kms.wrap(&data_key, aad).await?;
    let derived = Derived::of(&data_key);
    let encrypted = encrypt(&cipher(&derived.key), entropy, aad, plaintext);
    let ciphertext = [&FORM[..], &derived.commitment, &encrypted].concat();
    Ok(Sealed { key_id: kms.key_id().to_owned(), wrapped_key, ciphertext })
}

/// Opens what [`seal`] sealed with the same `aad`, and what it sealed before there were commitments.
///
/// # Errors
///
/// [`KmsError::Damaged`] if anything of it differs from what was sealed, and whatever the KMS fails with.
pub async fn open(kms: &dyn Kms, aad: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, KmsError> {
    let data_key = kms.unwrap(&sealed.key_id, &sealed.wrapped_key, aad).await?;
    match committed(&sealed.ciphertext) {
        None => decrypt(&cipher(&data_key), aad, &sealed.ciphertext),
        Some((commitment, encrypted)) => {
            let derived = Derived::of(&data_key);
            derived.verify(commitment)?;
            decrypt(&cipher(&derived.key), aad, encrypted)
        }
    }
}

/// The same value with its data key wrapped by the key that `kms` wraps with now. The value itself is not opened, unless
/// its form is an old one: then it is sealed anew.
///
/// # Errors
///
/// As [`open`] and [`seal`].
pub async fn rewrap(kms: &dyn Kms, entropy: &dyn Entropy, aad: &[u8], sealed: &Sealed) -> Result<Sealed, KmsError> {
    let Some((commitment, _)) = committed(&sealed.ciphertext) else {
        return seal(kms, entropy, aad, &open(kms, aad, sealed).await?).await;
    };
    let data_key = kms.unwrap(&sealed.key_id, &sealed.wrapped_key, aad).await?;
    // Never wrap a key that would not open the value: the old wrapping is about to be replaced.
    Derived::of(&data_key).verify(commitment)?;
    let wrapped_key = kms.wrap(&data_key, aad).await?;
    Ok(Sealed { key_id: kms.key_id().to_owned(), wrapped_key, ciphertext: sealed.ciphertext.clone() })
}

/// What the sealed bytes begin with. The form before it had no mark: it began with a random nonce of 12 bytes, which is
/// never this by chance.
const FORM: &[u8; 8] = b"hwseal\0\x02";

const COMMITMENT_LEN: usize = 32;

/// The commitment and what follows it, in the form that has one.
fn committed(ciphertext: &[u8]) -> Option<(&[u8; COMMITMENT_LEN], &[u8])> {
    ciphertext.strip_prefix(FORM)?.split_first_chunk()
}

/// What a data key is used for, each derived apart from the other.
struct Derived {
    key: Zeroizing<[u8; 32]>,
    commitment: [u8; COMMITMENT_LEN],
}

impl Derived {
    fn of(data_key: &[u8; 32]) -> Self {
        let hmac = hmac::Key::new(hmac::HMAC_SHA256, data_key);
        let derive = |label: &[u8]| {
            let tag = hmac::sign(&hmac, label);
            <[u8; 32]>::try_from(tag.as_ref()).expect("HMAC-SHA256 gives 32 bytes")
        };
        Self {
            key: Zeroizing::new(derive(b"hookward/seal/v2/key")),
            commitment: derive(b"hookward/seal/v2/commitment"),
        }
    }

    fn verify(&self, commitment: &[u8; COMMITMENT_LEN]) -> Result<(), KmsError> {
        verify_slices_are_equal(&self.commitment, commitment).map_err(|_| KmsError::Damaged)
    }
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
