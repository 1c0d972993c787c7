//! A certificate that is shown to receivers (mutual TLS): read from PEM, and held against its key.
//! Knows no connection; the connector shows it.

use std::fmt;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{Error, InconsistentKeys};

use super::connector::provider;

/// The longest certificate with its chain, and the longest key, in bytes of PEM.
pub const PEM_MAX: usize = 64 * 1024;

/// The most certificates of a chain.
const CHAIN_MAX: usize = 10;

/// Why a certificate and its key cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// There is no certificate in the text, or not a whole one.
    #[error("the certificate is not PEM as in `-----BEGIN CERTIFICATE-----`: {0}")]
    Certificate(String),
    /// It holds a private key, which does not belong in a setting that is shown.
    #[error("the certificate has a private key in it: that goes into `key`, which is kept sealed")]
    KeyInCertificate,
    /// There is no key in the text, or one that is encrypted or of another kind.
    #[error("the key is not an unencrypted private key in PEM: {0}")]
    Key(String),
    /// The one does not belong to the other.
    #[error("the key is not the one of the certificate")]
    Mismatch,
}

impl CertificateProblem {
    /// Whether the key is to be changed, and not the certificate.
    pub fn is_of_the_key(&self) -> bool {
        matches!(self, Self::Key(_) | Self::Mismatch)
    }
}

/// A certificate with its chain, and its private key.
pub struct ClientCertificate {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl ClientCertificate {
    /// Reads both, and makes sure that they belong together.
    ///
    /// # Errors
    ///
    /// What is wrong with which.
    pub fn new(certificate: &str, key: &[u8]) -> Result<Self, CertificateProblem> {
        let chain = chain(certificate)?;
        let unreadable = |problem: &dyn fmt::Display| CertificateProblem::Key(problem.to_string());
        if key.len() > PEM_MAX {
            return Err(unreadable(&format!("it is longer than {PEM_MAX} bytes")));
        }
        // What the reader says may repeat some of the key.
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| unreadable(&"begin it with `-----BEGIN PRIVATE KEY-----`, or the same of EC or RSA"))?;
        let provider = provider();
        let signing = provider.key_provider.load_private_key(key.clone_key());
        let signing = signing.map_err(|_| unreadable(&"it is no RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key"))?;
        match rustls::sign::CertifiedKey::new(chain.clone(), signing).keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Self { chain, key }),
            Err(Error::InconsistentKeys(_)) => Err(CertificateProblem::Mismatch),
            Err(error) => Err(CertificateProblem::Certificate(error.to_string())),
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// Makes sure that a certificate can be read, where its key is not at hand.
///
/// # Errors
///
/// [`CertificateProblem::Certificate`], [`CertificateProblem::KeyInCertificate`].
pub fn check_certificate(certificate: &str) -> Result<(), CertificateProblem> {
    chain(certificate).map(drop)
}

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateProblem> {
    let unreadable = |problem: &dyn fmt::Display| CertificateProblem::Certificate(problem.to_string());
    if pem.len() > PEM_MAX {
        return Err(unreadable(&format!("it is longer than {PEM_MAX} bytes")));
    }
    if pem.contains("PRIVATE KEY-----") {
        return Err(CertificateProblem::KeyInCertificate);
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.map_err(|error| unreadable(&error))?;
    if chain.is_empty() || chain.len() > CHAIN_MAX {
        return Err(unreadable(&format!("there are {} certificates in it, not 1 to {CHAIN_MAX}", chain.len())));
    }
    for certificate in &chain {
        rustls::server::ParsedCertificate::try_from(certificate).map_err(|error| unreadable(&error))?;
    }
    Ok(chain)
}

/// Whether `error` says that the other side ended the TLS session with an alert. After a handshake that stood here, that is its
/// word on the certificate: it did not take the one that was shown, or wants one.
pub(crate) fn is_alert(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let tls = match inner {
        Some(inner) => inner.downcast_ref::<Error>(),
        None => error.downcast_ref::<Error>(),
    };
    matches!(tls, Some(Error::AlertReceived(_)))
}
