//! Owns the answers to two questions, for every provider: is this webhook authentic, and how do I sign this one. Knows no clock,
//! no randomness, no async, no I/O, no HTTP server type and no logging: values in, values out.
//!
//! New here? The [`guide`] has a tour, and the attacks as chapters.
//!
//! How a provider signs is data: a [`Scheme`], read from a small TOML file. The [`catalog`] has those of well-known providers; a private one is
//! [read](Scheme::from_toml) from your own text. Both directions read the same file, so whatever can be verified can be signed.
//!
//! # Verify
//!
//! Make [`Key`]s once, when secrets change; hand [`Scheme::verify`] the request as it arrived and the time.
//!
//! ```
//! use hookward::{Message, Secret, UnixTime, catalog};
//!
//! let github = catalog::find("github").expect("github is in the catalog");
//! let key = github.key(1, &Secret::new("It's a Secret to Everybody")?)?;
//!
//! let headers = [
//!     ("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"),
//!     ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
//! ];
//! let request = Message { method: "POST", url: "/hook", headers: &headers, body: b"Hello, World!" };
//! let now = UnixTime::from_secs(1_700_000_000);
//!
//! let verified = github.verify(&request, &[key.clone()], now)?;
//! assert_eq!(verified.key_version(), 1);
//! assert_eq!(verified.id(), Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"));
//! assert!(verified.binds().body && !verified.binds().id);
//!
//! // One byte more, and it is somebody else's.
//! let forged = Message { body: b"Hello, World!\n", ..request };
//! assert_eq!(github.verify(&forged, &[key], now).unwrap_err().id(), "signature-mismatch");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The body must be the bytes off the wire. A body that was parsed and written again is another body.
//!
//! # Sign
//!
//! ```
//! use hookward::{Draft, Message, Secret, UnixTime, catalog};
//!
//! let scheme = catalog::find("standard-webhooks").expect("standard-webhooks is in the catalog");
//! let key = scheme.key(1, &Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?)?;
//! let now = UnixTime::from_secs(1_614_265_330);
//! let draft = Draft {
//!     id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
//!     event_type: "test",
//!     method: "POST",
//!     url: "https://example.com/hook",
//!     body: br#"{"test": 2432232314}"#,
//! };
//!
//! let signed = scheme.sign(&draft, &[key.clone()], now)?;
//! let (name, value) = signed.headers.last().expect("a signature is a header here");
//! assert_eq!((name.as_str(), value.as_str()), ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
//!
//! let sent = Message { method: draft.method, url: draft.url, headers: &signed.headers, body: draft.body };
//! assert!(scheme.verify(&sent, &[key], now).is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rotate
//!
//! Every operation takes several keys, newest first. While both are live both verify, and the verdict names the one that did, so that
//! you see when the old one is no longer used. A scheme whose header is a list sends a signature for each.
//!
//! ```
//! use hookward::{Draft, Message, Secret, UnixTime, catalog};
//!
//! let stripe = catalog::find("stripe").expect("stripe is in the catalog");
//! let old = stripe.key(1, &Secret::new("whsec_old")?)?;
//! let new = stripe.key(2, &Secret::new("whsec_new")?)?;
//! let now = UnixTime::from_secs(1_700_000_000);
//! let draft = Draft { id: "", event_type: "", method: "POST", url: "/", body: br#"{"id":"evt_1","type":"ping"}"# };
//!
//! let by_old = stripe.sign(&draft, &[old.clone()], now)?;
//! let sent = Message { method: "POST", url: "/", headers: &by_old.headers, body: draft.body };
//! assert_eq!(stripe.verify(&sent, &[new.clone(), old.clone()], now)?.key_version(), 1);
//! assert!(stripe.verify(&sent, &[new.clone()], now).is_err());
//!
//! assert_eq!(stripe.sign(&draft, &[new, old], now)?.signed_by, [2, 1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Answer a handshake
//!
//! Some providers make sure of an endpoint before they send there. Ask [`Scheme::handshake`] with every request that arrives, and again
//! with the proof, if there is one: it says what to answer, and nothing for a request that is an event.
//!
//! ```
//! use hookward::{Message, Secret, catalog};
//!
//! let meta = catalog::find("meta").expect("meta is in the catalog");
//! let url = "/hook?hub.mode=subscribe&hub.verify_token=agreed&hub.challenge=1158201444";
//! let request = Message { method: "GET", url, headers: &[("Host", "example.com")], body: b"" };
//!
//! let answer = meta.handshake(&request, &[], Some(&Secret::new("agreed")?), None).expect("it is one")?;
//! assert_eq!((answer.content_type, answer.body.as_str()), (Some("text/plain"), "1158201444"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Find out why
//!
//! [`explain::explain`] says in one sentence why a request is refused, and what to change.
//!
//! # Features
//!
//! None is on by default.
//!
//! - **`http`**: an [`http::HeaderMap`](https://docs.rs/http) is [`Headers`], and `Verifier::verify_request` takes an `http::Request`.
//! - **`axum`**: the module `axum`, with an extractor `Signed<T>` and a layer that has a limit and remembers what was taken.
//!
//! # Attacks considered
//!
//! Each has a chapter in [`guide::attacks`].
//!
//! - **Guessing a signature by timing.** A signature is decoded to bytes of fixed length and compared in constant time with every
//!   candidate; a token is compared by its digest. Nothing longer than a token can be is even hashed.
//! - **The empty key.** A [`Secret`] cannot be empty or blank, and what is left of it after a prefix cannot be empty either.
//! - **A public key as an HMAC key.** Kinds of key are distinct types, chosen by the scheme; the request chooses no algorithm.
//! - **Downgrade.** Where a scheme has two proofs, a stronger one that was sent decides alone, even if a weaker one would match.
//! - **An old request sent again.** A signed timestamp is judged, on both sides, after the signature. Where none is signed, or the
//!   id is not, [`Verified::binds`] says so: remember ids, and bodies where [`Scheme::body_is_unique`].
//! - **One signature for two requests.** Every header that counts may occur once. An id may not hold the separator that ends it in the signed
//!   bytes. Signatures have one spelling: base64 is decoded canonically, Ed25519 strictly.
//! - **Two readings of one request.** A timestamp is ASCII digits. A query parameter is decoded exactly once. Header and query are not both taken.
//! - **A signature made to order.** A handshake that comes unsigned and is answered with a signature is answered for a bare text only,
//!   and no bare text is believed as a body of such a scheme.
//! - **A token that chooses.** What a JSON Web Token's header may name is a list in the scheme, of one kind of key; `none` is in none, and a
//!   token that asks for an extension is refused.
//! - **One value in two places.** What is signed of a header, form, query or JSON body occurs once, or the request is refused; it may not hold
//!   the text that ends it in the signed bytes.
//! - **A part taken for the whole.** [`Binds`] says whether the whole body is covered, a part, or nothing; a CRC covers nothing.
//! - **A weak proof taken for a strong one.** [`Verified::is_weak`] tells of plain hashes over the secret and of RSA with SHA-1.
//!   An RSA key has at least 2048 bits.
//! - **Exhaustion.** At most [`MAX_SIGNATURES`] signatures, [`MAX_ASYMMETRIC_SIGNATURES`] and [`MAX_FORM_FIELDS`] are looked at; the body is hashed once for each live key; JSON is looked into
//!   only after the proof, without recursion; or, where a value of it is itself signed, up to [`MAX_HINT_SCAN`] and [`MAX_ITEMS`].
//! - **Leaking.** A [`Refusal`] never holds a secret or the signature that was expected. [`Scheme::credential_headers`] and
//!   [`Scheme::credential_query`] name the places to redact before a request is stored.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub use answer::EventAnswer;
pub use handshake::{Handshake, MAX_CHALLENGE, MAX_HANDSHAKE_BODY};
pub use hint::{Hint, HintError, MAX_HINT, MAX_HINT_DEPTH, MAX_HINT_SCAN, json_text};
pub use jwt::MAX_JWT;
pub use key::{Key, MAX_TOKEN, SecretError};
pub use message::{Draft, Headers, Message};
pub use parameter::{MAX_PARAMETER, Parameter, ParameterError};
pub use published::{KeyFormat, KeySet, KeySetError, MAX_NAMED_URL, MAX_PUBLISHED_KEYS, PUBLISHED, WantedKey};
pub use recipe::{Piece, Recipe, RecipeAlgorithm, RecipeEncoding, RecipePlace, RecipeTime};
pub use refusal::Refusal;
pub use replay::{Admission, ReplayGuard, ReplayKey, Ticket};
pub use scheme::{CannotGenerate, Scheme, SchemeError};
pub use secret::{EmptySecret, Secret};
pub use sign::{SignError, Signed};
pub use signature::{MAX_ASYMMETRIC_SIGNATURES, MAX_SIGNATURES};
pub use time::UnixTime;
pub use url::MAX_FORM_FIELDS;
pub use verifier::{Verifier, VerifierError};
pub use verify::{Binds, MAX_ITEMS, Verified};

mod about;
mod answer;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
mod binds;
pub mod catalog;
mod check;
mod content;
mod curve;
mod encoding;
pub mod explain;
mod filter;
pub mod guide;
mod gzip;
mod handshake;
mod hint;
#[cfg(feature = "http")]
mod http;
mod json;
mod jwt;
mod key;
mod message;
mod pair;
mod parameter;
mod place;
mod proof;
mod published;
mod recipe;
#[cfg(feature = "schema")]
#[cfg_attr(docsrs, doc(cfg(feature = "schema")))]
pub mod reference;
mod refusal;
mod replay;
#[cfg(feature = "rsa")]
mod rsa;
mod scheme;
mod secret;
mod sign;
mod signature;
mod template;
mod time;
mod url;
mod verifier;
mod verify;
