//! The KMS that is a token: an AES key that never leaves it, reached by its vendor's PKCS#11 module.
//! Owns the thread that talks to the module, because its calls block, and what to do when a session is lost.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use hookward::Secret;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::master::data_key;
use super::{Kms, KmsError};
use crate::clock::Entropy;

const NONCE_LEN: usize = 12;
const TAG_BITS: u64 = 128;

/// Calls that wait for the module; one more is refused.
const WAITING_MAX: usize = 256;

/// Where a key is.
#[derive(Debug, Clone)]
pub struct Pkcs11Config {
    /// The module's library.
    pub module: PathBuf,
    /// How the token is found.
    pub token: TokenPlace,
    /// The label of the one AES key of 256 bits.
    pub key_label: String,
    /// The user's PIN.
    pub pin: Secret,
}

/// How a token is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// By its label.
    Label(String),
    /// By its slot's number.
    Slot(u64),
}

/// A key in a token.
#[derive(Debug)]
pub struct Pkcs11Kms {
    id: String,
    calls: mpsc::Sender<Call>,
    entropy: Arc<dyn Entropy>,
}

#[derive(Debug)]
struct Call {
    what: What,
    aad: Vec<u8>,
    answer: oneshot::Sender<Result<Zeroizing<Vec<u8>>, KmsError>>,
}

#[derive(Debug)]
enum What {
    /// With the nonce to wrap with.
    Wrap(Zeroizing<[u8; 32]>, [u8; NONCE_LEN]),
    Unwrap(Vec<u8>),
}

/// Why a call did not succeed.
enum Failure {
    /// The session, or whatever is behind it, is gone or was never there.
    Lost(String),
    /// The token does not decrypt it.
    NotDecrypted,
    /// Asking again would do harm.
    Forbidden(String),
}

impl Pkcs11Kms {
    /// Nothing is loaded yet: the module is when it is first needed, on a thread of its own that ends with this.
    ///
    /// # Errors
    ///
    /// One sentence, when the PIN is not text or there is no thread.
    pub fn new(config: Pkcs11Config, entropy: Arc<dyn Entropy>) -> Result<Self, String> {
        let id = format!("pkcs11:{}", config.key_label);
        let pin = std::str::from_utf8(config.pin.expose()).map_err(|_| "`pin` is not text".to_owned())?;
        let pin = AuthPin::new(pin.to_owned().into());
        let (calls, waiting) = mpsc::channel(WAITING_MAX);
        let token = Token { config, pin, module: None, open: None, forbidden: None };
        std::thread::Builder::new()
            .name("pkcs11".to_owned())
            .spawn(move || token.serve(waiting))
            .map_err(|error| format!("no thread for the PKCS#11 module: {error}"))?;
        Ok(Self { id, calls, entropy })
    }

    async fn call(&self, what: What, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let away = |problem: &str| KmsError::Unavailable(format!("PKCS#11: {problem}"));
        let (answer, answered) = oneshot::channel();
        let call = Call { what, aad: aad.to_vec(), answer };
        self.calls.try_send(call).map_err(|_| away("too many calls wait for the module"))?;
        answered.await.unwrap_or_else(|_| Err(away("the module's thread has ended")))
    }
}

#[async_trait]
impl Kms for Pkcs11Kms {
    fn key_id(&self) -> &str {
        &self.id
    }

    async fn wrap(&self, data_key: &[u8; 32], aad: &[u8]) -> Result<Vec<u8>, KmsError> {
        let mut nonce = [0; NONCE_LEN];
        self.entropy.fill(&mut nonce);
        let wrapped = self.call(What::Wrap(Zeroizing::new(*data_key), nonce), aad).await?;
        Ok([&nonce[..], &wrapped].concat())
    }

    async fn unwrap(&self, key_id: &str, wrapped: &[u8], aad: &[u8]) -> Result<Zeroizing<[u8; 32]>, KmsError> {
        if key_id != self.id {
            return Err(KmsError::WrongKey { sealed_under: key_id.to_owned(), holds: self.id.clone() });
        }
        data_key(&self.call(What::Unwrap(wrapped.to_vec()), aad).await?)
    }
}

/// What the thread has.
struct Token {
    config: Pkcs11Config,
    pin: AuthPin,
    module: Option<Pkcs11>,
    open: Option<(Session, ObjectHandle)>,
    /// The token refused the PIN: a token locks itself after a few wrong ones.
    forbidden: Option<String>,
}

impl Token {
    fn serve(mut self, mut calls: mpsc::Receiver<Call>) {
        while let Some(Call { what, aad, answer }) = calls.blocking_recv() {
            // Whoever has stopped waiting needs no answer.
            if !answer.is_closed() {
                let result = self.answer(&what, &aad);
                let _ = answer.send(result);
            }
        }
    }

    /// Tries twice: a session that was lost is opened anew.
    fn answer(&mut self, what: &What, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let failure = match self.attempt(what, aad) {
            Ok(value) => return Ok(value),
            Err(Failure::Forbidden(problem)) => Failure::Forbidden(problem),
            Err(_) => {
                self.open = None;
                match self.attempt(what, aad) {
                    Ok(value) => return Ok(value),
                    Err(failure) => failure,
                }
            }
        };
        match failure {
            // Some modules say "general error" for a value that is not theirs; whether the token works tells them apart.
            Failure::NotDecrypted if self.works() => Err(KmsError::Damaged),
            Failure::NotDecrypted => Err(KmsError::Unavailable("PKCS#11: the token does not decrypt".to_owned())),
            Failure::Lost(problem) | Failure::Forbidden(problem) => {
                Err(KmsError::Unavailable(format!("PKCS#11: {problem}")))
            }
        }
    }

    /// Whether a value goes through the token and back.
    fn works(&mut self) -> bool {
        // The token draws the nonce, which has to be a fresh one.
        let (value, mut nonce) = (Zeroizing::new([7; 32]), [0; NONCE_LEN]);
        if !self.session().is_ok_and(|(session, _)| session.generate_random_slice(&mut nonce).is_ok()) {
            return false;
        }
        let wrap = What::Wrap(value.clone(), nonce);
        let Ok(wrapped) = self.attempt(&wrap, b"hookward/check/v1") else { return false };
        let whole = [&nonce[..], &wrapped].concat();
        self.attempt(&What::Unwrap(whole), b"hookward/check/v1")
            .is_ok_and(|opened| opened.as_slice() == value.as_slice())
    }

    fn attempt(&mut self, what: &What, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let (session, key) = self.session()?;
        match what {
            What::Wrap(data_key, nonce) => {
                let mut nonce = *nonce;
                let mechanism = Mechanism::AesGcm(gcm(&mut nonce, aad)?);
                let wrapped = session.encrypt(&mechanism, key, data_key.as_slice());
                wrapped.map(Zeroizing::new).map_err(|error| Failure::Lost(error.to_string()))
            }
            What::Unwrap(wrapped) => {
                let (nonce, wrapped) = wrapped.split_first_chunk::<NONCE_LEN>().ok_or(Failure::NotDecrypted)?;
                let mut nonce = *nonce;
                let mechanism = Mechanism::AesGcm(gcm(&mut nonce, aad)?);
                session.decrypt(&mechanism, key, wrapped).map(Zeroizing::new).map_err(not_decrypted)
            }
        }
    }

    /// The session, opened if there is none, and the key in it.
    fn session(&mut self) -> Result<(&Session, ObjectHandle), Failure> {
        if let Some(problem) = &self.forbidden {
            return Err(Failure::Forbidden(problem.clone()));
        }
        if self.open.is_none() {
            self.open = Some(self.connect()?);
        }
        let (session, key) = self.open.as_ref().expect("it was opened");
        Ok((session, *key))
    }

    fn connect(&mut self) -> Result<(Session, ObjectHandle), Failure> {
        let lost = |what: &str, error: Error| Failure::Lost(format!("{what}: {error}"));
        if self.module.is_none() {
            let module = Pkcs11::new(&self.config.module).map_err(|error| lost("the module does not load", error))?;
            match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
                Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
                Err(error) => return Err(lost("the module does not start", error)),
            }
            self.module = Some(module);
        }
        let module = self.module.as_ref().expect("it was loaded");
        let slots = module.get_slots_with_token().map_err(|error| lost("no slots", error))?;
        let is_meant = |slot: &cryptoki::slot::Slot| match &self.config.token {
            TokenPlace::Slot(number) => slot.id() == *number,
            TokenPlace::Label(label) => module.get_token_info(*slot).is_ok_and(|info| info.label().trim_end() == label),
        };
        let mut meant = slots.into_iter().filter(is_meant);
        let (slot, None) = (meant.next(), meant.next()) else {
            return Err(Failure::Lost("several tokens have this label: name the slot".to_owned()));
        };
        let slot = slot.ok_or_else(|| Failure::Lost("there is no such token".to_owned()))?;
        let session = module.open_ro_session(slot).map_err(|error| lost("no session", error))?;
        match session.login(UserType::User, Some(&self.pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(
                refusal @ (RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLocked | RvError::PinExpired),
                _,
            )) => {
                let problem =
                    format!("the token refuses the PIN ({refusal:?}); it is not tried again before a restart");
                self.forbidden = Some(problem.clone());
                return Err(Failure::Forbidden(problem));
            }
            Err(error) => return Err(lost("no login", error)),
        }
        let key = self.find_key(&session)?;
        Ok((session, key))
    }

    /// The one key of the label, if it is one that the token keeps to itself.
    fn find_key(&self, session: &Session) -> Result<ObjectHandle, Failure> {
        let label = &self.config.key_label;
        let lost = |error: Error| Failure::Lost(format!("key `{label}`: {error}"));
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(label.as_bytes().to_vec()),
        ];
        let found = session.find_objects(&template).map_err(lost)?;
        let [key] = found[..] else {
            let problem = format!("the token has {} AES keys `{label}`; there has to be one", found.len());
            return Err(Failure::Lost(problem));
        };
        let wanted = [AttributeType::Extractable, AttributeType::ValueLen];
        for attribute in session.get_attributes(key, &wanted).map_err(lost)? {
            match attribute {
                Attribute::Extractable(true) => {
                    return Err(Failure::Lost(format!(
                        "key `{label}` may be taken out of the token: make one that may not"
                    )));
                }
                Attribute::ValueLen(length) if u64::from(length) != 32 => {
                    return Err(Failure::Lost(format!("key `{label}` has {} bytes instead of 32", u64::from(length))));
                }
                _ => {}
            }
        }
        Ok(key)
    }
}

fn gcm<'a>(nonce: &'a mut [u8], aad: &'a [u8]) -> Result<GcmParams<'a>, Failure> {
    GcmParams::new(nonce, aad, TAG_BITS.into()).map_err(|error| Failure::Lost(error.to_string()))
}

fn not_decrypted(error: Error) -> Failure {
    match error {
        Error::Pkcs11(
            RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::DataInvalid
            | RvError::DataLenRange
            | RvError::GeneralError
            | RvError::FunctionFailed,
            _,
        ) => Failure::NotDecrypted,
        error => Failure::Lost(error.to_string()),
    }
}
