//! What it takes to get into a database: its address, the user's password, and whom its certificate is held against. Nothing is
//! connected here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hookward::Secret;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::OpenError;

/// Where a database is, and what it takes to get in.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// `postgres://user@host:port/database`, without a password.
    pub address: String,
    /// The user's password.
    pub password: Option<Secret>,
    /// A PEM file with the authorities that its certificate is held against, in the place of the public ones. With it there is
    /// no connection in clear over a network, unless the address says `sslmode=disable`.
    pub ca: Option<PathBuf>,
}

impl Access {
    /// What takes no more than an address.
    pub fn to(address: impl Into<String>) -> Self {
        Self { address: address.into(), password: None, ca: None }
    }

    /// How to connect.
    pub(super) fn config(&self) -> Result<Config, OpenError> {
        let mut config: Config = self.address.parse().map_err(OpenError::Address)?;
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        let is_networked = config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)));
        if self.ca.is_some() && is_networked && config.get_ssl_mode() == SslMode::Prefer {
            // Whoever says whom to trust does not mean to do without it as soon as somebody on the way says so.
            config.ssl_mode(SslMode::Require);
        }
        Ok(config)
    }

    /// What TLS is made with.
    pub(super) fn tls(&self) -> Result<MakeRustlsConnect, OpenError> {
        let roots = match &self.ca {
            None => RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() },
            Some(path) => {
                authorities(path).map_err(|problem| OpenError::Authorities { path: path.clone(), problem })?
            }
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }
}

/// The certificates in a PEM file.
fn authorities(path: &Path) -> Result<RootCertStore, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    match roots.is_empty() {
        true => Err("there is no PEM certificate in it".to_owned()),
        false => Ok(roots),
    }
}
