//! What this process was started with, and where it is, for whoever looks at it. Nothing here changes while it runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use hookward_engine::clock::Timestamp;

use crate::api::Public;
use crate::config::{Config, InForce};

/// What this process was started with.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    /// The configuration file's name, if there is one.
    pub(crate) file: Option<String>,
    /// Every setting that is the same for all sources and destinations.
    pub(crate) in_force: Vec<InForce>,
    /// Where data is kept.
    pub(crate) data: PathBuf,
    /// The public listener, as senders meet it.
    pub(crate) senders: Public,
    /// When it began.
    pub(crate) started_at: Timestamp,
    /// Where the public listener is.
    pub(crate) public: SocketAddr,
    /// Where the admin listener is.
    pub(crate) admin: SocketAddr,
}

impl Installation {
    /// Of a process that began at `started_at` with `config`; its listeners are where that wants them until it is known better.
    pub(crate) fn new(config: &Config, started_at: Timestamp) -> Self {
        let settings = &config.settings;
        Self {
            file: config.file().map(str::to_owned),
            in_force: config.in_force(),
            data: settings.data.clone(),
            senders: Public {
                body_bytes: settings.limits.body_bytes,
                origin: settings.origin.clone().unwrap_or_default(),
                is_configured: settings.origin.is_some(),
            },
            started_at,
            public: settings.public,
            admin: settings.admin,
        }
    }

    /// The same, now that it listens.
    pub(crate) fn listening(mut self, public: SocketAddr, admin: SocketAddr) -> Self {
        if !self.senders.is_configured {
            self.senders.origin = format!("http://{public}");
        }
        Self { public, admin, ..self }
    }
}
