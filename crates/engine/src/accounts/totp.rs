//! Time-based codes (RFC 6238) as every authenticator app makes them: HMAC-SHA-1, 30 seconds, six digits.
//! Pure: that a code counts once is the store's, how often one may be tried `login`'s.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::clock::{Entropy, Timestamp};

/// Seconds of one code.
const STEP_S: i64 = 30;

/// How many steps a clock may be wrong.
const SKEW: i64 = 1;

/// The key of somebody's codes.
#[derive(Debug)]
pub(crate) struct TotpKey(Zeroizing<Vec<u8>>);

impl TotpKey {
    /// A new one, as long as SHA-1's digest.
    pub(crate) fn new(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new(vec![0; 20]);
        entropy.fill(&mut key);
        Self(key)
    }

    pub(crate) fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The step in which `code` is right, around `now`.
    pub(crate) fn step_of(&self, code: &str, now: Timestamp) -> Option<u64> {
        let step = now.as_secs().div_euclid(STEP_S);
        let mut found = None;
        // All are compared, so that which one it was takes no time of its own.
        for near in step - SKEW..=step + SKEW {
            let Ok(near) = u64::try_from(near) else { continue };
            if verify_slices_are_equal(self.code(near).as_bytes(), code.as_bytes()).is_ok() {
                found = Some(near);
            }
        }
        found
    }

    fn code(&self, step: u64) -> Zeroizing<String> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.0);
        let tag = hmac::sign(&key, &step.to_be_bytes());
        let tag = tag.as_ref();
        // RFC 4226, 5.3: the last four bits say where the 31 bits of the code are.
        let at = usize::from(tag[19] & 0xf);
        let bits = u32::from_be_bytes([tag[at] & 0x7f, tag[at + 1], tag[at + 2], tag[at + 3]]);
        Zeroizing::new(format!("{:06}", bits % 1_000_000))
    }

    /// What an authenticator app is told, often as a picture. It holds the key.
    pub(crate) fn uri(&self, issuer: &str, email: &str) -> Zeroizing<String> {
        let (issuer, email) = (escaped(issuer), escaped(email));
        let secret = base32(&self.0);
        let secret = secret.as_str();
        Zeroizing::new(format!(
            "otpauth://totp/{issuer}:{email}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period=30"
        ))
    }
}

fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// RFC 4648 base32 without padding, as authenticator apps want it.
fn base32(bytes: &[u8]) -> Zeroizing<String> {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    for chunk in bytes.chunks(5) {
        let mut block = [0; 8];
        block[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(block);
        for letter in 0..(chunk.len() * 8).div_ceil(5) {
            text.push(char::from(LETTERS[(bits >> (35 - 5 * letter)) as usize & 31]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TotpKey {
        TotpKey(Zeroizing::new(b"12345678901234567890".to_vec()))
    }

    /// RFC 6238, appendix B (the last six of its eight digits).
    const VECTORS: [(i64, &str); 6] = [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ];

    #[test]
    fn codes_are_those_of_the_rfc() {
        for (secs, code) in VECTORS {
            let now = Timestamp::from_millis(secs * 1000);
            assert_eq!(key().step_of(code, now), Some(u64::try_from(secs / 30).unwrap()), "{secs}");
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn counters_are_those_of_the_rfc() {
        let codes: Vec<String> = (0..10).map(|step| key().code(step).to_string()).collect();
        assert_eq!(
            codes,
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
        );
    }

    #[test]
    fn a_clock_may_be_one_step_wrong_and_not_two() {
        // The code of the step from 30 to 59 s.
        for (secs, is_right) in [(0, true), (29, true), (59, true), (89, true), (90, false), (119, false)] {
            let now = Timestamp::from_millis(secs * 1000);
            assert_eq!(key().step_of("287082", now).is_some(), is_right, "{secs}");
        }
        let before = Timestamp::from_millis(1_111_111_109_000 - 60_000);
        assert_eq!(key().step_of("081804", before), None, "nor two steps early");
    }

    #[test]
    fn nothing_but_six_digits_is_a_code() {
        let now = Timestamp::from_millis(59_000);
        for bad in ["", "28708", "2870822", " 287082", "287082 ", "28708２", "287083"] {
            assert_eq!(key().step_of(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn the_uri_is_what_apps_read() {
        assert_eq!(
            key().uri("Hookward", "me@example.com").as_str(),
            "otpauth://totp/Hookward:me%40example%2Ecom?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Hookward\
             &algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn base32_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()).as_str(), text);
        }
    }
}
