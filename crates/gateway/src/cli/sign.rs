//! `hookward sign`: the headers that make a body kept in a file authentic. Speaks to no gateway and sends nothing.

use std::io::Write;
use std::process::ExitCode;

use clap::Args;
use hookward::{Draft, UnixTime};
use sha2::{Digest, Sha256};

use super::exit::Exit;
use super::print;
use super::verify::{Body, Keyring, parse_time};

/// Print the headers that sign a body
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 signed, 2 wrong use, 3 unknown scheme.\n\
    Example: hookward sign --scheme github --secret-file secret --body body")]
pub(super) struct Sign {
    #[command(flatten)]
    keyring: Keyring,
    #[command(flatten)]
    body: Body,
    /// The delivery's id [default: made from the body and the time]
    #[arg(long)]
    id: Option<String>,
    /// The event's type, for schemes with a header for it
    #[arg(long, value_name = "TYPE", default_value = "", hide_default_value = true)]
    event_type: String,
    /// The request's method
    #[arg(long, default_value = "POST")]
    method: String,
    /// The absolute URL that is going to be called; only some schemes need it
    #[arg(long, default_value = "", hide_default_value = true)]
    url: String,
    /// Sign as of this time instead of now
    #[arg(long, value_name = "UNIX_SECONDS", value_parser = parse_time)]
    at: Option<UnixTime>,
}

/// Runs `hookward sign …`.
pub(super) fn run(command: Sign, now: UnixTime) -> Result<ExitCode, Exit> {
    let scheme = command.keyring.scheme()?;
    let keys = command.keyring.keys(&scheme)?;
    let body = command.body.read()?;
    let at = command.at.unwrap_or(now);
    let id = command.id.unwrap_or_else(|| made_id(&body, at));
    let draft =
        Draft { id: &id, event_type: &command.event_type, method: &command.method, url: &command.url, body: &body };
    let signed = scheme.sign(&draft, &keys, at).map_err(Exit::usage)?;
    for (name, value) in &signed.headers {
        print::line(&format!("{name}: {value}"))?;
    }
    if signed.body.is_some() {
        return Err(Exit::usage("this scheme signs inside the body, which headers cannot show"));
    }
    for (name, value) in &signed.query {
        // Not on standard output, which holds headers only. There is nowhere left to complain when standard error is closed.
        let _ = writeln!(std::io::stderr(), "append to the query of the url: {name}={value}");
    }
    Ok(ExitCode::SUCCESS)
}

/// An id that the same body has only once in a millisecond.
pub(super) fn made_id(body: &[u8], at: UnixTime) -> String {
    let digest = Sha256::new().chain_update(at.as_millis().to_be_bytes()).chain_update(body).finalize();
    format!("msg_{}", hex::encode(&digest[..16]))
}
