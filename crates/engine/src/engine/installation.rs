//! The installation's own key: made at first start, sealed like every secret, kept among the engine's small values.

use serde_json::json;

use super::{EngineError, Parts};
use crate::kms::Sealed;
use crate::kms::seal::{open, seal};
use crate::store::Change;

/// The key under which this installation fingerprints values, made at first start and sealed. That it opens proves
/// that the KMS key is the right one.
pub(super) async fn installation_key(parts: &Parts) -> Result<[u8; 32], EngineError> {
    const NAME: &str = "installation_key";
    let aad = b"hookward installation key";
    if let Some(kept) = parts.store.meta(NAME).await? {
        let damaged = || EngineError::Inconsistent("meta value `installation_key` is damaged".to_owned());
        let sealed: Sealed = serde_json::from_slice(&kept).map_err(|_| damaged())?;
        return open(&*parts.kms, aad, &sealed).await?.as_slice().try_into().map_err(|_| damaged());
    }
    let mut key = [0; 32];
    parts.entropy.fill(&mut key);
    let sealed = seal(&*parts.kms, &*parts.entropy, aad, &key).await?;
    let value = serde_json::to_vec(&json!(sealed)).expect("a sealed value is plain JSON");
    parts.store.change(vec![Change::PutMeta { name: NAME.to_owned(), value }], vec![]).await?;
    Ok(key)
}
