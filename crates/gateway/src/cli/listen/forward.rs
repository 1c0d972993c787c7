//! What a program on this machine is sent for an event: the bytes and headers as they came, without what belonged to their
//! connection, proven again on request and signed anew on request.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use hookward::{Draft, Key, Message, Scheme, UnixTime};
use hookward_engine::clock::{Clock, SystemClock};
use hookward_engine::model::REDACTED;
use serde_json::Value;

use crate::cli::exit::Exit;
use crate::cli::now;
use crate::cli::verify::{Keyring, Parameter, parse_parameter};
use crate::client::Client;

/// Headers of the connection that the event came over, or that the client writes itself.
const OF_THE_CONNECTION: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[derive(Debug, Args)]
pub(in crate::cli) struct Schemes {
    /// Prove each event once more, here: by this scheme
    #[arg(long, value_name = "NAME|FILE.toml", requires = "secret_files", help_heading = "Signatures")]
    scheme: Option<String>,
    /// A file with a secret of it
    #[arg(long = "secret-file", value_name = "FILE", requires = "scheme", help_heading = "Signatures")]
    secret_files: Vec<PathBuf>,
    /// What it leaves to be said for each endpoint
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "scheme", value_parser = parse_parameter, help_heading = "Signatures")]
    parameters: Vec<Parameter>,
    /// Sign each event anew, by this scheme
    #[arg(long, value_name = "NAME|FILE.toml", requires = "sign_secret_files", help_heading = "Signatures")]
    sign_with: Option<String>,
    /// A file with the secret to sign with
    #[arg(long = "sign-secret-file", value_name = "FILE", requires = "sign_with", help_heading = "Signatures")]
    sign_secret_files: Vec<PathBuf>,
    /// What that scheme leaves to be said for each endpoint
    #[arg(long = "sign-param", value_name = "NAME=VALUE", requires = "sign_with", value_parser = parse_parameter, help_heading = "Signatures")]
    sign_parameters: Vec<Parameter>,
}

/// A scheme with its keys.
struct Hand {
    scheme: Scheme,
    keys: Vec<Key>,
}

impl Hand {
    fn new(scheme: Option<String>, files: Vec<PathBuf>, parameters: Vec<Parameter>) -> Result<Option<Self>, Exit> {
        let Some(scheme) = scheme else { return Ok(None) };
        let keyring = Keyring::of(scheme, files, parameters);
        let scheme = keyring.scheme()?;
        let keys = keyring.keys(&scheme)?;
        Ok(Some(Self { scheme, keys }))
    }
}

/// What came of one try.
pub(super) struct Told {
    /// What the program answered.
    pub(super) status: Option<u16>,
    pub(super) duration: Duration,
    /// What there is to say besides.
    pub(super) detail: String,
    is_left_out: bool,
}

impl Told {
    /// Nothing was sent, and nothing will be.
    pub(super) fn left_out(why: String) -> Self {
        Self { status: None, duration: Duration::ZERO, detail: format!("left out: {why}"), is_left_out: true }
    }

    /// Whether the event is done with.
    pub(super) fn is_over(&self, insist: bool) -> bool {
        self.is_left_out || self.status.is_some_and(|status| !insist || (200..300).contains(&status))
    }
}

pub(super) struct Forwarding {
    url: String,
    client: Client,
    prover: Option<Hand>,
    signer: Option<Hand>,
    clock: SystemClock,
}

impl Forwarding {
    pub(super) fn new(url: &str, timeout: Duration, schemes: Schemes) -> Result<Self, Exit> {
        let is_url = url.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !is_url {
            return Err(Exit::usage(format!("`{url}` is not a URL like http://localhost:3000/hooks")));
        }
        let Schemes { scheme, secret_files, parameters, sign_with, sign_secret_files, sign_parameters } = schemes;
        let prover = Hand::new(scheme, secret_files, parameters)?;
        let signer = Hand::new(sign_with, sign_secret_files, sign_parameters)?;
        Ok(Self { url: url.to_owned(), client: Client::patient(timeout)?, prover, signer, clock: SystemClock::new() })
    }

    /// Sends an event once.
    pub(super) async fn send(&self, event: &Value, body: &Bytes) -> Result<Told, Exit> {
        let request = &event["request"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pairs = request["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let original: Vec<(String, String)> = pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
        let method = text(&request["method"]);
        if let Some(problem) = self.disproven(event, &method, &original, body) {
            return Ok(Told::left_out(problem));
        }
        let mut headers: Vec<_> = original.into_iter().filter(|(name, value)| is_passed_on(name, value)).collect();
        let mut url = self.url.clone();
        let mut sent = body.clone();
        if let Some(Hand { scheme, keys }) = &self.signer {
            let (id, event_type) = (text(&event["id"]), text(&event["type"]));
            let draft = Draft { id: &id, event_type: &event_type, method: &method, url: &url, body };
            let signed = scheme.sign(&draft, keys, now()).map_err(Exit::usage)?;
            headers.retain(|(name, _)| !signed.headers.iter().any(|(new, _)| new.eq_ignore_ascii_case(name)));
            headers.extend(signed.headers);
            if let Some(changed) = signed.body {
                sent = changed.into();
            }
            for (name, value) in &signed.query {
                url += &format!("{}{name}={value}", if url.contains('?') { '&' } else { '?' });
            }
        }
        headers.push(("hookward-event-id".to_owned(), text(&event["id"])));
        headers.push(("hookward-source".to_owned(), text(&event["source"])));
        let began = self.clock.elapsed();
        let answer = self.client.send(&method, &url, &headers, sent).await;
        let duration = self.clock.elapsed().saturating_sub(began);
        Ok(match answer {
            Ok(answer) => Told { status: Some(answer.status), duration, detail: String::new(), is_left_out: false },
            Err(error) => {
                let detail = format!("no answer: {error:#}; trying again");
                Told { status: None, duration, detail, is_left_out: false }
            }
        })
    }

    /// Why the event is not what its sender signed, as of the moment when it came.
    fn disproven(&self, event: &Value, method: &str, headers: &[(String, String)], body: &[u8]) -> Option<String> {
        let Hand { scheme, keys } = self.prover.as_ref()?;
        let received_at: jiff::Timestamp = event["received_at"].as_str()?.parse().ok()?;
        let headers: Vec<(&str, &[u8])> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let url = event["request"]["target"].as_str().unwrap_or_default();
        let message = Message { method, url, headers: &headers, body };
        let at = UnixTime::from_millis(received_at.as_millisecond());
        scheme.verify(&message, keys, at).err().map(|refusal| format!("its signature is not proven here: {refusal}"))
    }
}

/// Whether a header goes along. What was a credential is not kept with an event, so it cannot.
fn is_passed_on(name: &str, value: &str) -> bool {
    !OF_THE_CONNECTION.contains(&name.to_ascii_lowercase().as_str()) && value != REDACTED
}
