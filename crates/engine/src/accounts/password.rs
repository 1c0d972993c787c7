//! Passwords: what may be one, and its slow hash. A few are hashed at a time, so that whoever asks for many costs neither
//! the machine's memory nor its processors. Whose password it is, and how often one may be tried, is `login`'s.

use std::sync::Arc;

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::clock::Entropy;
use crate::error::EngineError;

/// The fewest characters.
pub const PASSWORD_MIN: usize = 12;

/// The most bytes.
pub const PASSWORD_MAX: usize = 1024;

/// Hashes under way at once: 19 MiB and one processor each.
const AT_ONCE: usize = 2;

/// Passwords that wait for their turn; one more is answered "unavailable".
const WAITING: usize = 64;

/// The hash of nobody's password, as slow as any: an unknown user costs what a known one does.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgb3duIHNhbA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is tried first wherever the length allows it. Compared in lower case.
const COMMON: [&str; 24] = [
    "000000000000",
    "111111111111",
    "123123123123",
    "1234567890123",
    "123456789012",
    "12345678901234567890",
    "123456789abc",
    "1q2w3e4r5t6y",
    "1qaz2wsx3edc",
    "abcdefghijkl",
    "administrator",
    "changemechangeme",
    "correcthorsebatterystaple",
    "hookwardhookward",
    "iloveyou1234",
    "letmeinletmein",
    "password1234",
    "password12345",
    "passwordpassword",
    "qwerty123456",
    "qwertyqwerty",
    "qwertyuiop[]",
    "qwertyuiop123",
    "zaq12wsxcde3",
];

/// Why `password` may not be the password of the user with this email address; `None` when it may.
pub(crate) fn problem(password: &str, email: &str) -> Option<String> {
    if password.chars().count() < PASSWORD_MIN || password.len() > PASSWORD_MAX {
        return Some(format!("a password has at least {PASSWORD_MIN} characters and at most {PASSWORD_MAX} bytes"));
    }
    let plain = Zeroizing::new(password.to_lowercase());
    let is_common = COMMON.contains(&plain.as_str()) || plain.chars().all(|letter| plain.starts_with(letter));
    (is_common || *plain == email).then(|| "this password is among the first that anybody would try".to_owned())
}

/// Where passwords are hashed.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    room: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), room: Semaphore::new(AT_ONCE + WAITING) }
    }
}

impl Passwords {
    /// The hash to keep, with its salt and its parameters.
    pub(crate) async fn hash(&self, password: Zeroizing<String>, entropy: &dyn Entropy) -> Result<String, EngineError> {
        let mut salt = [0; 16];
        entropy.fill(&mut salt);
        self.in_turn(move || {
            let hash = argon2().hash_password_with_salt(password.as_bytes(), &salt);
            hash.expect("the password, the salt and the parameters are within argon2's limits").to_string()
        })
        .await
    }

    /// Whether `password` is the one that was hashed. Takes as long when there is no hash.
    pub(crate) async fn verify(&self, password: Zeroizing<String>, hash: Option<String>) -> Result<bool, EngineError> {
        // What cannot be anybody's costs what any other does.
        let is_possible = hash.is_some() && password.len() <= PASSWORD_MAX;
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        self.in_turn(move || {
            let end = password.len().min(PASSWORD_MAX);
            let is_it = argon2().verify_password(&password.as_bytes()[..end], hash.as_str()).is_ok();
            is_it && is_possible
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, EngineError> {
        let full = |_| EngineError::Unavailable("too many passwords are waiting to be checked".to_owned());
        let _room = self.room.try_acquire().map_err(full)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        task.await.map_err(|error| EngineError::Unavailable(format!("a password was not hashed: {error}")))
    }
}

/// Argon2id with 19 MiB, two passes, one lane: the first of the equivalent choices in OWASP's password storage cheat
/// sheet. A hash that is kept says its own parameters, so these may change.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, Some(32)).expect("parameters within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    fn text(password: &str) -> Zeroizing<String> {
        Zeroizing::new(password.to_owned())
    }

    #[tokio::test]
    async fn a_password_is_known_by_its_hash_and_no_other_is() {
        let passwords = Passwords::default();
        let hash = passwords.hash(text("a long enough one"), &SystemEntropy).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(passwords.hash(text("a long enough one"), &SystemEntropy).await.unwrap(), hash, "its own salt");
        assert!(passwords.verify(text("a long enough one"), Some(hash.clone())).await.unwrap());
        for wrong in ["a long enough onf", "a long enough one ", "", "A long enough one"] {
            assert!(!passwords.verify(text(wrong), Some(hash.clone())).await.unwrap(), "{wrong}");
        }
        assert!(!passwords.verify(text("a long enough one"), None).await.unwrap());
    }

    #[tokio::test]
    async fn an_overlong_password_is_not_the_one_that_it_begins_with() {
        let passwords = Passwords::default();
        let longest = "p".repeat(PASSWORD_MAX);
        let hash = passwords.hash(text(&longest), &SystemEntropy).await.unwrap();
        assert!(passwords.verify(text(&longest), Some(hash.clone())).await.unwrap());
        assert!(!passwords.verify(text(&format!("{longest}p")), Some(hash)).await.unwrap());
    }

    #[test]
    fn the_hash_of_nobody_costs_what_others_do() {
        use argon2::password_hash::phc::PasswordHash;
        let parameters = |hash: &str| Params::try_from(&PasswordHash::new(hash).unwrap()).unwrap();
        let own = argon2().hash_password_with_salt(b"password", &[7; 16]).unwrap().to_string();
        assert_eq!(parameters(NOBODY), parameters(&own));
        let lengths = |hash: &str| hash.split('$').map(str::len).collect::<Vec<_>>();
        assert_eq!(lengths(NOBODY), lengths(&own));
    }

    #[test]
    fn length_and_the_most_common_are_all_that_is_asked() {
        for bad in ["", "elevenchars", "Password1234", "aaaaaaaaaaaaaaaa", "me@example.com", &"ab".repeat(513)] {
            assert!(problem(bad, "me@example.com").is_some(), "{bad}");
        }
        let most = "ab".repeat(512);
        for good in ["twelve chars", "ääääääääääää1", "correct horse battery", most.as_str()] {
            assert_eq!(problem(good, "me@example.com"), None, "{good}");
        }
    }

    #[tokio::test]
    async fn more_passwords_than_may_wait_are_turned_away_at_once() {
        let passwords = Passwords::default();
        let _all = passwords.room.try_acquire_many(u32::try_from(AT_ONCE + WAITING).unwrap()).unwrap();
        let answer = passwords.verify(text("a long enough one"), None).await;
        assert!(matches!(answer, Err(EngineError::Unavailable(_))), "{answer:?}");
    }
}
