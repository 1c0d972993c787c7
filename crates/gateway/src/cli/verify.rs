//! `hookward verify`: the library's verdict on a request kept in files, and why it is no better. Owns reading those files; `sign`
//! shares them. Speaks to no gateway.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use hookward::explain::{Explanation, Finding, KnownSecret, Standing, explain};
use hookward::{Key, Message, ParameterError, Scheme, Secret, UnixTime, Verified, catalog};

use serde_json::{Value, json};

use super::exit::Exit;
use super::{Output, print};
use crate::config;

/// Say whether a request kept in files is authentic
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 verified, 5 refused, 2 wrong use, 3 unknown scheme.\n\
    Example: hookward verify --scheme github --secret-file secret --headers headers --body body --explain")]
pub(super) struct Verify {
    #[command(flatten)]
    pub(super) keyring: Keyring,
    /// The headers, one "Name: value" a line
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    #[command(flatten)]
    pub(super) body: Body,
    /// The request's method
    #[arg(long, default_value = "POST")]
    method: String,
    /// The absolute URL that was called; only some schemes need it
    #[arg(long, default_value = "", hide_default_value = true)]
    url: String,
    /// Judge as of this time instead of now
    #[arg(long, value_name = "UNIX_SECONDS", value_parser = parse_time)]
    at: Option<UnixTime>,
    /// Say what is wrong with a refused request, and what to change; no secret and no expected signature is printed
    #[arg(long)]
    explain: bool,
    /// A file with a secret that may have signed instead, such as an old one or another endpoint's
    #[arg(long = "other-secret-file", value_name = "FILE", requires = "explain")]
    other_secret_files: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// A request's body.
#[derive(Debug, Args)]
pub(super) struct Body {
    /// The body, byte for byte; `-` is standard input
    #[arg(long = "body", value_name = "FILE")]
    file: PathBuf,
    /// Without the newline that an editor added to the body's end
    #[arg(long)]
    strip_newline: bool,
}

impl Body {
    /// Its bytes.
    pub(super) fn read(&self) -> Result<Vec<u8>, Exit> {
        let bytes = if self.file.as_os_str() == "-" {
            let mut bytes = Vec::new();
            let read = std::io::stdin().read_to_end(&mut bytes);
            read.map_err(|error| Exit::usage(format!("standard input cannot be read: {error}")))?;
            bytes
        } else {
            read(&self.file)?
        };
        Ok(if self.strip_newline { config::without_newline(bytes).to_vec() } else { bytes })
    }
}

/// A scheme and its secrets.
#[derive(Debug, Args)]
pub(super) struct Keyring {
    /// A scheme of `hookward schemes`, or a file in the same syntax (*.toml)
    #[arg(long, value_name = "NAME|FILE.toml")]
    scheme: String,
    /// A file with a secret, newest first; one newline at its end is ignored
    #[arg(long = "secret-file", value_name = "FILE", required = true)]
    secret_files: Vec<PathBuf>,
    /// What the scheme leaves to be said for each endpoint; `hookward schemes show` tells what
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parse_parameter)]
    parameters: Vec<Parameter>,
}

/// A parameter of a scheme, with its value.
pub(super) type Parameter = (String, String);

/// Runs `hookward verify …`.
pub(super) fn run(command: Verify, now: UnixTime) -> Result<ExitCode, Exit> {
    let scheme = command.keyring.scheme()?;
    let keys = match command.explain {
        // A secret that cannot be a key is one of the things that are explained.
        true => command.keyring.usable_keys(&scheme)?,
        false => command.keyring.keys(&scheme)?,
    };
    let headers = parse_headers(&read(&command.headers)?, &command.headers)?;
    let body = command.body.read()?;
    let message = Message { method: &command.method, url: &command.url, headers: &headers, body: &body };
    let now = command.at.unwrap_or(now);
    let refusal = match scheme.verify(&message, &keys, now) {
        Ok(verified) => {
            match command.output {
                Output::Table => print::line(&describe(&verified, &command.keyring.secret_files))?,
                Output::Json => print::json(&fields(&verified, &command.keyring.secret_files))?,
            }
            return Ok(ExitCode::SUCCESS);
        }
        Err(refusal) => refusal,
    };
    let explanation = match command.explain {
        true => Some(explained(&command, &scheme, &message, now)?),
        false => None,
    };
    let findings = explanation.as_ref().map_or(&[][..], Explanation::findings);
    match command.output {
        Output::Table => {
            let said = findings.iter().map(|finding| format!("\n{}: {finding}", finding.evidence()));
            print::line(&format!("refused: {}{}", refusal.id(), said.collect::<String>()))?;
        }
        Output::Json => {
            let findings: Vec<Value> = findings.iter().map(finding_fields).collect();
            print::json(&json!({ "verified": false, "refusal": refusal.id(), "findings": findings }))?;
        }
    }
    Err(Exit::refused(refusal))
}

/// Tries every secret that is named, as its file has it but for a newline at its end.
fn explained(command: &Verify, scheme: &Scheme, message: &Message<'_>, now: UnixTime) -> Result<Explanation, Exit> {
    let in_force = command.keyring.secret_files.iter().map(|path| (path, Standing::InForce));
    let others = command.other_secret_files.iter().map(|path| (path, Standing::Another));
    let named = in_force.chain(others).map(|(path, standing)| {
        let secret =
            Secret::new(secret_text(path)?).map_err(|error| Exit::usage(format!("{}: {error}", path.display())))?;
        Ok((path.display().to_string(), secret, standing))
    });
    let named = named.collect::<Result<Vec<_>, Exit>>()?;
    let known = named.iter().map(|(label, secret, standing)| KnownSecret { label, secret, standing: *standing });
    Ok(explain(scheme, message, &known.collect::<Vec<_>>(), now))
}

fn finding_fields(finding: &Finding) -> Value {
    json!({
        "evidence": finding.evidence().to_string(),
        "causes": finding.causes().map(|cause| cause.id()).collect::<Vec<_>>(),
        "secret": finding.secret(),
        "explanation": finding.to_string(),
    })
}

fn fields(verified: &Verified<'_>, files: &[PathBuf]) -> Value {
    json!({
        "verified": true,
        "scheme": verified.scheme(),
        "secret": file_of(verified, files).map(|file| file.display().to_string()),
        "id": verified.id(),
        "event_type": verified.event_type(),
        "timestamp_s": verified.timestamp().map(UnixTime::as_secs),
        "binds": bound(verified),
    })
}

fn file_of<'f>(verified: &Verified<'_>, files: &'f [PathBuf]) -> Option<&'f PathBuf> {
    usize::try_from(verified.key_version()).ok().and_then(|version| files.get(version.checked_sub(1)?))
}

fn bound(verified: &Verified<'_>) -> Vec<&'static str> {
    let binds = verified.binds();
    let bound = [
        ("body", binds.body),
        ("part of the body", binds.part_of_body),
        ("time", binds.time),
        ("url", binds.url),
        ("id", binds.id),
    ];
    bound.into_iter().filter(|(_, bound)| *bound).map(|(name, _)| name).collect()
}

fn describe(verified: &Verified<'_>, files: &[PathBuf]) -> String {
    let mut text = format!("verified {}", verified.scheme());
    if let Some(file) = file_of(verified, files) {
        text += &format!(" with the secret in {}", file.display());
    }
    if let Some(id) = verified.id() {
        text += &format!(", id {id}");
    }
    if let Some(event_type) = verified.event_type() {
        text += &format!(", event type {event_type}");
    }
    if let Some(time) = verified.timestamp() {
        text += &format!(", signed at {}", time.as_secs());
    }
    if verified.is_weak() {
        text += ", by a weak proof";
    }
    let bound = bound(verified);
    text + "; binds " + &if bound.is_empty() { "nothing".to_owned() } else { bound.join(", ") }
}

impl Keyring {
    /// Of other options than its own.
    pub(super) fn of(scheme: String, secret_files: Vec<PathBuf>, parameters: Vec<Parameter>) -> Self {
        Self { scheme, secret_files, parameters }
    }

    /// The scheme for this endpoint, from the catalog or from a file.
    pub(super) fn scheme(&self) -> Result<Scheme, Exit> {
        let mut values = BTreeMap::new();
        for (name, value) in &self.parameters {
            if values.insert(name.clone(), value.clone()).is_some() {
                return Err(Exit::usage(format!("the parameter `{name}` is given twice")));
            }
        }
        self.general_scheme()?.for_endpoint(&values).map_err(|error| match error {
            ParameterError::Missing { .. } => Exit::usage(format!("{error}; say it with --param {}=…", error.name())),
            error => Exit::usage(error),
        })
    }

    fn general_scheme(&self) -> Result<Scheme, Exit> {
        if let Some(scheme) = catalog::find(&self.scheme) {
            return Ok(scheme.clone());
        }
        let path = Path::new(&self.scheme);
        if path.extension().is_some_and(|extension| extension == "toml") {
            let text =
                String::from_utf8(read(path)?).map_err(|_| Exit::usage(format!("{}: not utf-8", path.display())))?;
            return Scheme::from_toml(&text).map_err(|error| Exit::usage(format!("{}: {error}", path.display())));
        }
        let nearest = catalog::names().min_by_key(|name| strsim::osa_distance(name, &self.scheme)).unwrap_or_default();
        Err(Exit::not_found(format!(
            "unknown scheme `{}`; did you mean `{nearest}`? `hookward schemes` lists all",
            self.scheme
        )))
    }

    /// The keys, newest first; a key's version is its file's position, from 1.
    pub(super) fn keys(&self, scheme: &Scheme) -> Result<Vec<Key>, Exit> {
        (1..).zip(&self.secret_files).map(|(version, path)| key(scheme, version, path)).collect()
    }

    /// The keys of those files that hold one.
    fn usable_keys(&self, scheme: &Scheme) -> Result<Vec<Key>, Exit> {
        let mut keys = Vec::new();
        for (version, path) in (1..).zip(&self.secret_files) {
            let secret = Secret::new(secret_text(path)?);
            keys.extend(secret.ok().and_then(|secret| scheme.key(version, &secret).ok()));
        }
        Ok(keys)
    }
}

/// The text of a secret's file, without a newline at its end.
fn secret_text(path: &Path) -> Result<Vec<u8>, Exit> {
    let mut text = read(path)?;
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn key(scheme: &Scheme, version: u32, path: &Path) -> Result<Key, Exit> {
    let name = path.display();
    let secret = Secret::new(secret_text(path)?).map_err(|error| Exit::usage(format!("{name}: {error}")))?;
    scheme.key(version, &secret).map_err(|error| Exit::usage(format!("{name}: {error}")))
}

/// The bytes of a file that the command line names.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Exit> {
    std::fs::read(path).map_err(|error| Exit::usage(format!("cannot read {}: {error}", path.display())))
}

/// Lines of `Name: value`; blanks around a value do not belong to it, as in HTTP.
fn parse_headers(text: &[u8], path: &Path) -> Result<Vec<(String, Vec<u8>)>, Exit> {
    let mut headers = Vec::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let wrong = || Exit::usage(format!("{}, line {number}: a header is written \"Name: value\"", path.display()));
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
        let name = std::str::from_utf8(&line[..colon]).ok().filter(|name| is_header_name(name)).ok_or_else(wrong)?;
        let value = line[colon + 1..].trim_ascii();
        headers.push((name.to_owned(), value.to_vec()));
    }
    Ok(headers)
}

fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// `NAME=VALUE`.
pub(super) fn parse_parameter(text: &str) -> Result<Parameter, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "write NAME=VALUE".to_owned())?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Unix seconds, with up to three decimals for schemes that count milliseconds.
pub(super) fn parse_time(text: &str) -> Result<UnixTime, String> {
    let wrong = || format!("`{text}` is not a time in unix seconds");
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 3 {
        return Err(wrong());
    }
    let seconds: i64 = seconds.parse().map_err(|_| wrong())?;
    let millis: i64 = format!("{fraction:0<3}").parse().map_err(|_| wrong())?;
    let total = seconds.checked_mul(1000).and_then(|total| total.checked_add(millis)).ok_or_else(wrong)?;
    Ok(UnixTime::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_digits_with_up_to_three_decimals() {
        assert_eq!(parse_time("1700000000"), Ok(UnixTime::from_secs(1_700_000_000)));
        assert_eq!(parse_time("1700000000.5"), Ok(UnixTime::from_millis(1_700_000_000_500)));
        assert_eq!(parse_time("1700000000.123"), Ok(UnixTime::from_millis(1_700_000_000_123)));
        for wrong in ["", "-1", "+1", "1e9", "1.", ".5", "1.2345", "9223372036854775807"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn headers_are_lines_and_values_are_trimmed_once() {
        let parsed = parse_headers(b"A: 1\r\nb:2 \n\nC: x: y\n", Path::new("h")).unwrap();
        let expected = [("A", "1"), ("b", "2"), ("C", "x: y")];
        assert_eq!(parsed, expected.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
        assert!(parse_headers(b"no colon\n", Path::new("h")).is_err());
        assert!(parse_headers(b": no name\n", Path::new("h")).is_err());
    }
}
