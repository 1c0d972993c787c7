//! `hookward send`: what a provider would send, signed as it signs, to any receiver; or nearly so, for a receiver that should say no.
//! Speaks to no gateway's API and keeps nothing.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, ValueEnum};
use hookward::{Draft, Key, Scheme, UnixTime};
use hookward_engine::clock::{Clock, Entropy, SystemClock, SystemEntropy};

use super::exit::Exit;
use super::print;
use super::sign::made_id;
use super::verify::{Body, Keyring, Parameter, parse_parameter};
use crate::client::Client;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of an answer's body so much is shown, in characters.
const SHOWN: usize = 100;

/// How far past the tolerance an old request is signed.
const TOO_OLD: Duration = Duration::from_secs(60);

/// Send what a provider would, signed as it signs
///
/// Each request is told in one line: its number, the status, how long it took, and the beginning of the answer.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 every answer was 2xx, 1 one was not, 2 wrong use, 3 unknown scheme.\n\
    Example: hookward send --as stripe --secret-file secret --to http://localhost:3000/hooks --body event.json")]
pub(super) struct Send {
    /// A scheme of `hookward schemes`, or a file in the same syntax (*.toml)
    #[arg(long = "as", value_name = "NAME|FILE.toml")]
    scheme: String,
    /// A file with a secret, newest first; one newline at its end is ignored
    #[arg(long = "secret-file", value_name = "FILE", required = true)]
    secret_files: Vec<std::path::PathBuf>,
    /// What the scheme leaves to be said for each endpoint; `hookward schemes show` tells what
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_parameter)]
    parameters: Vec<Parameter>,
    /// Where to send it
    #[arg(long, value_name = "URL")]
    to: String,
    #[command(flatten)]
    body: Body,
    /// What the body is
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    content_type: String,
    /// The event's type, for schemes with a header for it
    #[arg(long, value_name = "TYPE", default_value = "", hide_default_value = true)]
    event: String,
    /// The delivery's id, the same for all [default: a new one for each]
    #[arg(long)]
    id: Option<String>,
    /// The URL that is signed, where the receiver is called by another name from outside [default: that of --to]
    #[arg(long, value_name = "URL")]
    signed_url: Option<String>,
    /// How many times
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// At most so many in a second; without it each follows the answer before it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: Option<u32>,
    /// What to get wrong, so that the receiver should refuse
    #[arg(long, value_enum, value_name = "WHAT")]
    tamper: Option<Tamper>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tamper {
    /// One more byte than was signed
    Body,
    /// Signed with another secret
    Signature,
    /// Signed long ago, as a captured request would be
    Timestamp,
    /// Another id than was signed
    Id,
}

/// One request, ready.
struct Request {
    url: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// What came of the requests so far.
#[derive(Default)]
struct Tally {
    accepted: usize,
    /// Of those that were answered.
    took: Vec<Duration>,
    sent: usize,
}

/// Runs `hookward send …`.
pub(super) async fn run(command: Send) -> Result<ExitCode, Exit> {
    let body = command.body.read()?;
    let sender = Sender::new(&command)?;
    let client = Client::patient(PATIENCE)?;
    let clock = SystemClock::new();
    let (began, began_at) = (clock.elapsed(), clock.now());
    let mut tally = Tally::default();
    for number in 0..command.repeat {
        if let Some(rate) = command.rate {
            clock.sleep_until(began_at.plus(Duration::from_secs(1) * number / rate)).await;
        }
        let request = sender.request(&body, super::now())?;
        let asked = clock.elapsed();
        let answer = client.send("POST", &request.url, &request.headers, request.body).await;
        let took = clock.elapsed().saturating_sub(asked);
        tally.sent += 1;
        let told = match answer {
            Ok(answer) => {
                tally.took.push(took);
                tally.accepted += usize::from((200..300).contains(&answer.status));
                format!("{}  {:>8}  {}", answer.status, millis(took), excerpt(&answer.body))
            }
            Err(error) => format!("---  {:>8}  {}", millis(took), print::escaped(&format!("{error:#}"))),
        };
        print::line(&format!("{:>5}  {}", number + 1, told.trim_end()))?;
    }
    if tally.sent > 1 {
        print::line(&tally.told(clock.elapsed().saturating_sub(began)))?;
    }
    Ok(if tally.accepted == tally.sent { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A scheme and the keys that sign, with what is the same for every request.
struct Sender<'c> {
    command: &'c Send,
    scheme: Scheme,
    keys: Vec<Key>,
}

impl<'c> Sender<'c> {
    fn new(command: &'c Send) -> Result<Self, Exit> {
        let is_url = command.to.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !is_url {
            return Err(Exit::usage(format!("`{}` is not a URL like http://localhost:3000/hooks", command.to)));
        }
        let keyring = Keyring::of(command.scheme.clone(), command.secret_files.clone(), command.parameters.clone());
        let scheme = keyring.scheme()?;
        let mut keys = keyring.keys(&scheme)?;
        match command.tamper {
            Some(Tamper::Signature) => {
                let another = scheme.generate(&mut |bytes| SystemEntropy.fill(bytes)).map_err(Exit::usage)?;
                keys = vec![scheme.key(1, &another).map_err(Exit::usage)?];
            }
            Some(Tamper::Timestamp) if scheme.tolerance().is_none() => {
                return Err(Exit::usage(format!("`{}` signs no time that could be an old one", scheme.name())));
            }
            _ => {}
        }
        Ok(Self { command, scheme, keys })
    }

    fn request(&self, body: &[u8], now: UnixTime) -> Result<Request, Exit> {
        let command = self.command;
        let at = match (command.tamper, self.scheme.tolerance()) {
            (Some(Tamper::Timestamp), Some(tolerance)) => earlier(now, tolerance + TOO_OLD),
            _ => now,
        };
        let id = command.id.clone().unwrap_or_else(|| made_id(&self.salted(body), now));
        let url = command.signed_url.as_deref().unwrap_or(&command.to);
        let draft = Draft { id: &id, event_type: &command.event, method: "POST", url, body };
        let signed = self.scheme.sign(&draft, &self.keys, at).map_err(Exit::usage)?;
        let mut headers = signed.headers;
        let mut body = signed.body.unwrap_or_else(|| body.to_vec());
        match command.tamper {
            Some(Tamper::Body) => body.push(b' '),
            Some(Tamper::Id) => {
                let mut carries = headers.iter_mut().filter(|(_, value)| *value == id).peekable();
                if carries.peek().is_none() {
                    return Err(Exit::usage(format!("`{}` has no header for the id", self.scheme.name())));
                }
                carries.for_each(|(_, value)| value.push('x'));
            }
            Some(Tamper::Signature | Tamper::Timestamp) | None => {}
        }
        headers.push(("Content-Type".to_owned(), command.content_type.clone()));
        let mut url = command.to.clone();
        for (name, value) in &signed.query {
            url += &format!("{}{name}={value}", if url.contains('?') { '&' } else { '?' });
        }
        Ok(Request { url, headers, body: body.into() })
    }

    /// Two requests of one millisecond have two ids.
    fn salted(&self, body: &[u8]) -> Vec<u8> {
        let mut salt = [0; 8];
        SystemEntropy.fill(&mut salt);
        [&salt, body].concat()
    }
}

impl Tally {
    fn told(&mut self, whole: Duration) -> String {
        self.took.sort_unstable();
        let of = |percent: usize| self.took.get((self.took.len() * percent / 100).min(self.took.len() - 1)).copied();
        let times = match self.took.is_empty() {
            true => "no answer".to_owned(),
            false => {
                let shown =
                    [50, 95, 99].map(|percent| format!("p{percent} {}", millis(of(percent).unwrap_or_default())));
                format!("{}, slowest {}", shown.join(", "), millis(of(100).unwrap_or_default()))
            }
        };
        let (sent, accepted) = (self.sent, self.accepted);
        let rate = f64::from(u32::try_from(sent).unwrap_or(u32::MAX)) / whole.as_secs_f64().max(0.001);
        format!("{sent} sent, {accepted} answered 2xx, {} not; {rate:.1} a second; {times}", sent - accepted)
    }
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

fn earlier(now: UnixTime, by: Duration) -> UnixTime {
    UnixTime::from_millis(now.as_millis().saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

/// The beginning of an answer's first line, without what steers a terminal.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().next().unwrap_or_default();
    print::escaped(&line.chars().take(SHOWN).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_says_how_many_how_fast_and_how_slow() {
        let took = (1..=100).rev().map(Duration::from_millis).collect();
        let mut tally = Tally { accepted: 98, took, sent: 101 };
        let expected = "101 sent, 98 answered 2xx, 3 not; 50.5 a second; \
                        p50 51.0 ms, p95 96.0 ms, p99 100.0 ms, slowest 100.0 ms";
        assert_eq!(tally.told(Duration::from_secs(2)), expected);
        let mut nobody = Tally { accepted: 0, took: vec![], sent: 2 };
        assert_eq!(nobody.told(Duration::from_secs(1)), "2 sent, 0 answered 2xx, 2 not; 2.0 a second; no answer");
    }

    #[test]
    fn an_excerpt_is_short_and_steers_nothing() {
        assert_eq!(excerpt(b"one\ntwo"), "one");
        assert_eq!(excerpt("é".repeat(200).as_bytes()).chars().count(), SHOWN);
        assert!(!excerpt(b"\x1b[31m").contains('\x1b'));
    }
}
