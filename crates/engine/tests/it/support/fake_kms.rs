//! A KMS in the test's hands: it answers, is away, hangs, or hands out another key, and counts what it is asked.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hookward_engine::clock::SystemEntropy;
use hookward_engine::kms::local::LocalKms;
use hookward_engine::kms::{Kms, KmsError};
use tokio::sync::watch;
use zeroize::Zeroizing;

/// What it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Answers,
    Away,
    /// No answer until it is in another mood.
    Hangs,
    /// Another key than it was given.
    Lies,
}

/// A local key that has moods.
#[derive(Debug)]
pub(crate) struct FakeKms {
    key: LocalKms,
    mood: watch::Sender<Mood>,
    unwraps: Mutex<HashMap<Vec<u8>, usize>>,
}

impl FakeKms {
    /// With the key file of the rigs.
    pub(crate) fn new(dir: &Path) -> Arc<Self> {
        let key = LocalKms::open(&dir.join("master.key"), Arc::new(SystemEntropy)).expect("a local key");
        Arc::new(Self { key, mood: watch::Sender::new(Mood::Answers), unwraps: Mutex::default() })
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// How many times the data key was asked for that is wrapped so.
    pub(crate) fn unwraps_of(&self, wrapped: &[u8]) -> usize {
        self.unwraps.lock().unwrap().get(wrapped).copied().unwrap_or(0)
    }

    /// How many times any data key was asked for.
    pub(crate) fn unwraps(&self) -> usize {
        self.unwraps.lock().unwrap().values().sum()
    }

    /// Completes when something was asked for that it does not answer.
    pub(crate) async fn is_asked(&self, wrapped: &[u8]) {
        while self.unwraps_of(wrapped) == 0 {
            tokio::task::yield_now().await;
        }
    }

    async fn mood(&self) -> Result<Mood, KmsError> {
        let mut mood = self.mood.subscribe();
        let mood = *mood.wait_for(|mood| *mood != Mood::Hangs).await.expect("the KMS outlives its callers");
        if mood == Mood::Away { Err(KmsError::Unavailable("it is away".to_owned())) } else { Ok(mood) }
    }
}

#[async_trait]
impl Kms for FakeKms {
    fn key_id(&self) -> &str {
        self.key.key_id()
    }

    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError> {
        self.mood().await?;
        self.key.wrap(data_key, aad).await
    }

    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        *self.unwraps.lock().unwrap().entry(wrapped.to_vec()).or_default() += 1;
        let mood = self.mood().await?;
        let mut data_key = self.key.unwrap(key_id, wrapped, aad).await?;
        data_key[0] ^= u8::from(mood == Mood::Lies);
        Ok(data_key)
    }
}
