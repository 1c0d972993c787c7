//! Owns the text of a secret: never empty, never printed, wiped when dropped. How that text becomes a key is `key`'s business.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A shared or private key as its owner wrote it. It cannot be empty or blank, has no `Display`, a redacted `Debug`, is compared in
/// constant time and is wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

/// A secret was empty or nothing but blanks; an HMAC under such a key would be anybody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret may not be empty or blank")]
pub struct EmptySecret;

impl Secret {
    /// Takes the bytes over as they are: nothing is trimmed.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, EmptySecret> {
        let mut bytes = bytes.into();
        if bytes.iter().all(|byte| byte.is_ascii_whitespace() || *byte == 0) {
            bytes.zeroize();
            return Err(EmptySecret);
        }
        Ok(Self(bytes))
    }

    /// The bytes themselves. Whoever calls this answers for where they go.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}
