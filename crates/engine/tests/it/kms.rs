//! Tests of `kms/`: sealing, and the keys that wrap.

mod providers;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use hookward_engine::clock::{Entropy, SystemEntropy};
use hookward_engine::ids::{DestinationId, OrganizationId, SourceId};
use hookward_engine::kms::local::{LocalKms, LocalKmsError};
use hookward_engine::kms::seal::{associated_data, open, seal};
use hookward_engine::kms::{Kms, KmsError, Sealed};
use hookward_engine::model::SecretOwner;

fn kms(directory: &Path) -> LocalKms {
    LocalKms::open(&directory.join("master.key"), Arc::new(SystemEntropy)).unwrap()
}

/// Places for a secret, each of which differs from another in one part only.
fn places() -> Vec<Vec<u8>> {
    let organizations = [OrganizationId::DEFAULT, OrganizationId::from_bytes([7; 16])];
    let owners = [
        SecretOwner::Source(SourceId::from_bytes([1; 16])),
        SecretOwner::Source(SourceId::from_bytes([2; 16])),
        SecretOwner::Destination(DestinationId::from_bytes([1; 16])),
    ];
    let mut places = Vec::new();
    for organization in organizations {
        for owner in owners {
            places.extend([1, 2, 257].map(|version| associated_data(organization, owner, version)));
        }
    }
    places
}

#[tokio::test]
async fn a_value_opens_only_in_the_place_it_was_sealed_for() {
    let directory = tempfile::tempdir().unwrap();
    let kms = kms(directory.path());
    let places = places();
    let mut sealed = Vec::new();
    for (index, place) in places.iter().enumerate() {
        sealed.push(seal(&kms, &SystemEntropy, place, format!("secret {index}").as_bytes()).await.unwrap());
    }
    for (from, sealed) in sealed.iter().enumerate() {
        for (to, place) in places.iter().enumerate() {
            let opened = open(&kms, place, sealed).await;
            match from == to {
                true => assert_eq!(opened.unwrap().as_slice(), format!("secret {from}").as_bytes()),
                false => assert_eq!(opened, Err(KmsError::Damaged), "{from} opened at {to}"),
            }
        }
    }
}

#[tokio::test]
async fn parts_of_two_values_do_not_mix() {
    let directory = tempfile::tempdir().unwrap();
    let kms = kms(directory.path());
    let first = seal(&kms, &SystemEntropy, b"place", b"one").await.unwrap();
    let second = seal(&kms, &SystemEntropy, b"place", b"two").await.unwrap();
    let mixed = Sealed { wrapped_key: second.wrapped_key, ..first };
    assert_eq!(open(&kms, b"place", &mixed).await, Err(KmsError::Damaged));
}

#[tokio::test]
async fn every_changed_byte_and_every_cut_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let kms = kms(directory.path());
    let sealed = seal(&kms, &SystemEntropy, b"place", b"whsec_something").await.unwrap();
    let damaged = async |change: &dyn Fn(&mut Sealed)| {
        let mut sealed = sealed.clone();
        change(&mut sealed);
        assert_eq!(open(&kms, b"place", &sealed).await, Err(KmsError::Damaged), "{sealed:?}");
    };
    for index in 0..sealed.ciphertext.len() {
        damaged(&|sealed| sealed.ciphertext[index] ^= 1).await;
        damaged(&|sealed| sealed.ciphertext.truncate(index)).await;
    }
    for index in 0..sealed.wrapped_key.len() {
        damaged(&|sealed| sealed.wrapped_key[index] ^= 0x80).await;
        damaged(&|sealed| sealed.wrapped_key.truncate(index)).await;
    }
    damaged(&|sealed| sealed.ciphertext.push(0)).await;
    damaged(&|sealed| sealed.wrapped_key.push(0)).await;
}

#[tokio::test]
async fn any_length_goes_round_and_no_two_seals_are_alike() {
    let directory = tempfile::tempdir().unwrap();
    let kms = kms(directory.path());
    for length in [0, 1, 15, 16, 17, 65_536] {
        let value = vec![b's'; length];
        let one = seal(&kms, &SystemEntropy, b"place", &value).await.unwrap();
        let two = seal(&kms, &SystemEntropy, b"place", &value).await.unwrap();
        assert_eq!(open(&kms, b"place", &one).await.unwrap().as_slice(), value);
        assert_eq!(one.ciphertext.len(), 8 + 32 + 12 + length + 16);
        assert_ne!(one.wrapped_key, two.wrapped_key);
        assert_ne!(one.ciphertext, two.ciphertext);
        assert!(length < 15 || !one.ciphertext.windows(length).any(|window| window == value));
    }
}

#[tokio::test]
async fn a_wrapped_value_that_is_not_a_key_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let kms = kms(directory.path());
    assert_eq!(kms.unwrap(kms.key_id(), b"", b"").await, Err(KmsError::Damaged));
    assert_eq!(kms.unwrap(kms.key_id(), &[0; 60], b"").await, Err(KmsError::Damaged));
}

#[tokio::test]
async fn another_key_says_so() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, theirs) = (kms(ours.path()), kms(theirs.path()));
    let sealed = seal(&theirs, &SystemEntropy, b"place", b"value").await.unwrap();
    let wrong = KmsError::WrongKey { sealed_under: theirs.key_id().to_owned(), holds: ours.key_id().to_owned() };
    assert_eq!(open(&ours, b"place", &sealed).await, Err(wrong));
    let forged = Sealed { key_id: ours.key_id().to_owned(), ..sealed };
    assert_eq!(open(&ours, b"place", &forged).await, Err(KmsError::Damaged));
}

#[tokio::test]
async fn the_key_is_made_once_for_its_owner_only_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    let first = kms(directory.path());
    let key = fs::read(&path).unwrap();
    assert_eq!(key.len(), 32);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left behind");
    let sealed = seal(&first, &SystemEntropy, b"place", b"value").await.unwrap();
    let second = kms(directory.path());
    assert_eq!(fs::read(&path).unwrap(), key);
    assert_eq!(open(&second, b"place", &sealed).await.unwrap().as_slice(), b"value");
    assert!(LocalKms::open_existing(&path, Arc::new(SystemEntropy)).is_ok());
    let id = first.key_id().strip_prefix("local:").unwrap();
    assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(format!("{first:?}"), format!("LocalKms {{ key: MasterKey {{ id: \"local:{id}\", .. }} }}"));
}

#[test]
fn two_processes_that_start_at_once_end_up_with_one_key() {
    let directory = tempfile::tempdir().unwrap();
    let ids: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| kms(directory.path()).key_id().to_owned())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

fn refusal(path: &Path) -> LocalKmsError {
    LocalKms::open(path, Arc::new(SystemEntropy)).expect_err("refused")
}

#[test]
fn a_key_file_that_others_may_read_or_write_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    kms(directory.path());
    for mode in [0o640, 0o604, 0o620, 0o602, 0o601, 0o610, 0o644, 0o666, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, LocalKmsError::Exposed { .. }), "{error}");
        let expected =
            format!("the key file `{}` is open to others (mode {mode:04o}); run `chmod 600` on it", path.display());
        assert_eq!(error.to_string(), expected);
    }
    for mode in [0o600, 0o400, 0o700] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        kms(directory.path());
    }
}

#[test]
fn what_is_not_a_key_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    for content in [&b""[..], &[1; 31], &[1; 33], &[0; 32], &[255; 32], b"0123456789abcdef0123456789abcdef\n"] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, LocalKmsError::Malformed { .. }), "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(refusal(&path), LocalKmsError::Malformed { .. }));
}

#[test]
fn a_missing_key_is_made_only_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.key");
    let missing = LocalKms::open_existing(&path, Arc::new(SystemEntropy)).expect_err("refused");
    assert!(matches!(missing, LocalKmsError::Missing { .. }), "{missing}");
    assert!(!path.exists());
    let nowhere = directory.path().join("no/such/directory/master.key");
    let error = refusal(&nowhere);
    assert!(matches!(error, LocalKmsError::Io { action: "create", .. }), "{error}");
    assert!(error.to_string().contains(nowhere.to_str().unwrap()), "{error}");
}

/// Entropy that is worn out: every byte the same.
#[derive(Debug)]
struct Dead;

impl Entropy for Dead {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[test]
fn a_key_that_is_not_random_is_never_used() {
    let directory = tempfile::tempdir().unwrap();
    let result = LocalKms::open(&directory.path().join("master.key"), Arc::new(Dead));
    assert!(matches!(result, Err(LocalKmsError::Malformed { .. })));
}
