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
use crate::config::{KeyManagement, KeyProvider};

/// Whether this installation may have sealed something before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    First,
    Later,
}

/// The current key and the previous ones.
pub(super) fn keychain(
    keys: &KeyManagement,
    data: &Path,
    start: Start,
    entropy: &Arc<dyn Entropy>,
) -> Result<Arc<dyn Kms>, StartError> {
    let current = provider(&keys.current, data, start, entropy)?;
    let previous = keys.previous.iter().map(|old| provider(old, data, Start::Later, entropy));
    Ok(Arc::new(Keychain::new(current, previous.collect::<Result<_, _>>()?)))
}

fn provider(
    provider: &KeyProvider,
    data: &Path,
    start: Start,
    entropy: &Arc<dyn Entropy>,
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
        KeyProvider::Aws(_) => Err(not_compiled_in("aws")),
        KeyProvider::Pkcs11(_) => Err(not_compiled_in("pkcs11")),
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

fn not_compiled_in(name: &str) -> StartError {
    StartError::Key(format!("this hookward was built without the cargo feature `kms-{name}`"))
}
