//! The KMS that the configuration asks for, put together. Owns when a key may be made: never where one was before.

use std::path::Path;
use std::sync::Arc;

use hookward_engine::clock::Entropy;
use hookward_engine::kms::Kms;
use hookward_engine::kms::environment::EnvironmentKms;
use hookward_engine::kms::keychain::Keychain;
use hookward_engine::kms::local::{LocalKms, LocalKmsError, MissingKms};

use super::StartError;
use super::data::MASTER_KEY_FILE;
use crate::config::{AwsKey, KeyManagement, KeyProvider, Pkcs11Key};

/// Whether this start may make a key: the first one may, before which nothing was sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    First,
    Later,
}

/// The current key and the previous ones. `roots` are trusted besides the public ones, as for destinations.
pub(super) fn keychain(
    keys: &KeyManagement,
    data: &Path,
    start: Start,
    entropy: &Arc<dyn Entropy>,
    roots: Option<&[u8]>,
) -> Result<Arc<dyn Kms>, StartError> {
    let current = provider(&keys.current, data, start, entropy, roots)?;
    let previous = keys.previous.iter().map(|old| provider(old, data, Start::Later, entropy, roots));
    Ok(Arc::new(Keychain::new(current, previous.collect::<Result<_, _>>()?)))
}

/// As [`keychain`], for what was sealed in another place, whose data directory may have the key in it that did. None where
/// there is no key yet.
pub(super) fn keychain_of_copy(
    keys: &KeyManagement,
    data: &Path,
    source: Option<&Path>,
    entropy: &Arc<dyn Entropy>,
    roots: Option<&[u8]>,
) -> Result<Option<Arc<dyn Kms>>, StartError> {
    if let KeyProvider::Local { key_file } = &keys.current
        && !key_file.as_deref().unwrap_or(&data.join(MASTER_KEY_FILE)).is_file()
    {
        return Ok(None);
    }
    let current = provider(&keys.current, data, Start::Later, entropy, roots)?;
    let previous = keys.previous.iter().map(|old| provider(old, data, Start::Later, entropy, roots));
    let mut previous = previous.collect::<Result<Vec<_>, _>>()?;
    if let Some(key_file) = source.map(|source| source.join(MASTER_KEY_FILE)).filter(|file| file.is_file()) {
        previous.push(local(&key_file, Start::Later, entropy)?);
    }
    Ok(Some(Arc::new(Keychain::new(current, previous))))
}

fn provider(
    provider: &KeyProvider,
    data: &Path,
    start: Start,
    entropy: &Arc<dyn Entropy>,
    roots: Option<&[u8]>,
) -> Result<Arc<dyn Kms>, StartError> {
    match provider {
        KeyProvider::Local { key_file } => {
            let default = data.join(MASTER_KEY_FILE);
            local(key_file.as_deref().unwrap_or(&default), start, entropy)
        }
        KeyProvider::Environment { key } => {
            let kms = EnvironmentKms::new(key, Arc::clone(entropy));
            Ok(Arc::new(kms.map_err(|problem| StartError::Key(format!("the key of `[kms]`: {problem}")))?))
        }
        KeyProvider::Aws(key) => aws(key, roots),
        KeyProvider::Pkcs11(key) => pkcs11(key, entropy),
    }
}

fn local(key_file: &Path, start: Start, entropy: &Arc<dyn Entropy>) -> Result<Arc<dyn Kms>, StartError> {
    if start == Start::First {
        return Ok(Arc::new(LocalKms::open(key_file, Arc::clone(entropy))?));
    }
    // A key made now could not open what an earlier one sealed: a lost key is the operator's to find.
    match LocalKms::open_existing(key_file, Arc::clone(entropy)) {
        Ok(kms) => Ok(Arc::new(kms)),
        Err(error @ LocalKmsError::Missing { .. }) => {
            tracing::error!(%error, "started without the key: no secret can be used until it is back");
            Ok(Arc::new(MissingKms::new(key_file, Arc::clone(entropy))))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(feature = "kms-aws")]
fn aws(key: &AwsKey, roots: Option<&[u8]>) -> Result<Arc<dyn Kms>, StartError> {
    use hookward_engine::kms::aws::{AwsConfig, AwsKms};
    let AwsKey { key_id, region, endpoint, access_key_id, secret_access_key, session_token } = key.clone();
    let extra_roots_pem = roots.map(<[u8]>::to_vec);
    let config =
        AwsConfig { key_id, region, endpoint, access_key_id, secret_access_key, session_token, extra_roots_pem };
    Ok(Arc::new(AwsKms::new(config).map_err(StartError::Key)?))
}

#[cfg(not(feature = "kms-aws"))]
fn aws(_: &AwsKey, _: Option<&[u8]>) -> Result<Arc<dyn Kms>, StartError> {
    Err(StartError::Key("this hookward was built without the cargo feature `kms-aws`".to_owned()))
}

#[cfg(feature = "kms-pkcs11")]
fn pkcs11(key: &Pkcs11Key, entropy: &Arc<dyn Entropy>) -> Result<Arc<dyn Kms>, StartError> {
    use crate::config::Token;
    use hookward_engine::kms::pkcs11::{Pkcs11Config, Pkcs11Kms, TokenPlace};
    let Pkcs11Key { module, token, key_label, pin } = key.clone();
    let token = match token {
        Token::Label(label) => TokenPlace::Label(label),
        Token::Slot(slot) => TokenPlace::Slot(slot),
    };
    let kms = Pkcs11Kms::new(Pkcs11Config { module, token, key_label, pin }, Arc::clone(entropy));
    Ok(Arc::new(kms.map_err(StartError::Key)?))
}

#[cfg(not(feature = "kms-pkcs11"))]
fn pkcs11(_: &Pkcs11Key, _: &Arc<dyn Entropy>) -> Result<Arc<dyn Kms>, StartError> {
    Err(StartError::Key("this hookward was built without the cargo feature `kms-pkcs11`".to_owned()))
}
