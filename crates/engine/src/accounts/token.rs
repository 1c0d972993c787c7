//! Random texts that prove something to whoever is handed one: API keys, sessions, invitations, recovery codes.
//! Owns their form and what is kept of them; what each is good for is known elsewhere.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::clock::Entropy;
use crate::model::Digest;

/// Letters and digits only, so that a double click takes a whole token.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Digits and capitals that nobody mistakes for one another (Crockford's).
const READABLE: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// 62⁴³ is more than 2²⁵⁶.
const RANDOM_LEN: usize = 43;

/// 62⁶ is more than 2³².
const CHECK_LEN: usize = 6;

/// No token is longer, so nothing longer is hashed.
const TOKEN_MAX: usize = 80;

/// A random text that proves something. It is shown to one person or program, once, and not kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A new one that begins with `start`: 256 random bits, then a check by which a text that is cut short or mistyped,
    /// or that only looks like one, is known without asking the store.
    pub(crate) fn new(start: &str, entropy: &dyn Entropy) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_MAX));
        text.push_str(start);
        push_random(&mut text, ALPHABET, RANDOM_LEN, entropy);
        let check = check(&text);
        text.push_str(&check);
        Self(text)
    }

    /// The text, to be shown once.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub(crate) fn digest(&self) -> Digest {
        sha256(&self.0)
    }

    /// The last four characters, by which a person knows it again.
    pub(crate) fn last_four(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What is kept of a token, or `None` when `text` cannot be one.
pub(crate) fn digest_of(text: &str) -> Option<Digest> {
    if text.len() > TOKEN_MAX || text.len() < RANDOM_LEN + CHECK_LEN || !text.is_ascii() {
        return None;
    }
    let (token, given) = text.split_at(text.len() - CHECK_LEN);
    // Comparing in constant time would hide nothing: the check is no secret to whoever has the rest.
    (check(token) == given).then(|| sha256(text))
}

/// 80 random bits that a person can type: `8f3k-…`, four groups of four.
pub(crate) fn recovery_code(entropy: &dyn Entropy) -> Zeroizing<String> {
    let mut code = Zeroizing::new(String::with_capacity(19));
    for group in 0..4 {
        if group > 0 {
            code.push('-');
        }
        push_random(&mut code, READABLE, 4, entropy);
    }
    code
}

/// What is kept of a recovery code, however it was typed.
pub(crate) fn recovery_digest(typed: &str) -> Digest {
    let letters = typed.chars().filter(|letter| !letter.is_whitespace() && *letter != '-').take(64);
    let plain = letters.map(|letter| match letter.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    });
    sha256(&Zeroizing::new(plain.collect::<String>()))
}

fn sha256(text: &str) -> Digest {
    digest(&SHA256, text.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn check(text: &str) -> String {
    let digest = sha256(text);
    let mut rest = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    let mut check = [0; CHECK_LEN];
    for digit in check.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    check.into_iter().map(char::from).collect()
}

/// Appends letters, each as likely as any other: bytes that would favour the first ones are thrown away.
fn push_random(text: &mut String, alphabet: &[u8], letters: usize, entropy: &dyn Entropy) {
    let fair = 256 / alphabet.len() * alphabet.len();
    let mut bytes = Zeroizing::new([0; 64]);
    let mut left = letters;
    while left > 0 {
        entropy.fill(&mut *bytes);
        for byte in bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair).take(left) {
            text.push(char::from(alphabet[byte % alphabet.len()]));
            left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn a_token_is_known_by_its_digest_and_nothing_near_it_is() {
        let token = Token::new("qlens_", &SystemEntropy);
        let text = token.expose();
        assert_eq!(text.len(), "qlens_".len() + RANDOM_LEN + CHECK_LEN);
        assert_eq!(digest_of(text), Some(token.digest()));
        assert!(text.ends_with(token.last_four()));
        for at in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(digest_of(std::str::from_utf8(&other).unwrap()), None, "character {at}");
            assert_eq!(digest_of(&text[..at]), None, "cut to {at}");
        }
        for bad in ["", "qlens_", &format!("{text}0"), &format!(" {text}"), &"é".repeat(30), &"0".repeat(1 << 20)] {
            assert_eq!(digest_of(bad), None);
        }
    }

    #[test]
    fn no_two_tokens_are_alike_and_every_letter_comes() {
        let tokens: HashSet<String> =
            (0..500).map(|_| Token::new("", &SystemEntropy).expose()[..RANDOM_LEN].to_owned()).collect();
        assert_eq!(tokens.len(), 500);
        let letters: HashSet<char> = tokens.iter().flat_map(|token| token.chars()).collect();
        assert_eq!(letters.len(), 62);
    }

    #[test]
    fn a_recovery_code_is_known_however_it_is_typed() {
        let code = recovery_code(&SystemEntropy);
        assert_eq!(code.len(), 19);
        let digest = recovery_digest(&code);
        assert_eq!(recovery_digest(&code.to_uppercase().replace('-', " ")), digest);
        assert_eq!(recovery_digest(&code.replace('-', "").replace('0', "O").replace('1', "l")), digest);
        assert_ne!(recovery_digest(&recovery_code(&SystemEntropy)), digest);
    }

    #[test]
    fn nothing_of_a_token_shows_by_mistake() {
        let token = Token::new("qlens_", &SystemEntropy);
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
