//! `hookward echo`: a receiver for trying out, which behaves as it is asked to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use hookward_engine::clock::{SystemClock, SystemEntropy};
use serde_json::json;
use tokio::net::TcpListener;

use super::exit::Exit;
use super::print;
use super::verify::{Keyring, Parameter, parse_parameter};
use crate::echo::{Echo as Receiver, Telling};
use crate::serve;

/// Receive requests, and behave as their paths say
///
/// Each is told in one line. Parts of a path can be combined; others mean nothing, and what is not said goes well:
///
///   /status/503       answers with that status
///   /delay/5s         waits before anything else
///   /retry-after/30   answers 503 with Retry-After, or the status given
///   /redirect         answers 302
///   /reset  /close    ends the connection without an answer, by a reset or politely
///   /hang             never answers
///   /drip/100ms       answers with a body that comes byte by byte
///   /endless          answers with a body that does not end
///   ?fail=0.3         does all this to three requests in ten, and 503 when nothing is said
#[derive(Debug, Args)]
#[command(verbatim_doc_comment, after_help = "Example: hookward echo --listen 127.0.0.1:9000 --body")]
pub(super) struct Echo {
    /// Where to listen; port 0 is a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Answer 401 to what is not signed by this scheme
    #[arg(long, value_name = "NAME|FILE.toml", requires = "secret_files")]
    scheme: Option<String>,
    /// A file with a secret of it, newest first
    #[arg(long = "secret-file", value_name = "FILE", requires = "scheme")]
    secret_files: Vec<PathBuf>,
    /// What it leaves to be said for each endpoint; `hookward schemes show` tells what
    #[arg(long = "param", value_name = "NAME=VALUE", requires = "scheme", value_parser = parse_parameter)]
    parameters: Vec<Parameter>,
    /// Show headers
    #[arg(long)]
    headers: bool,
    /// Show bodies, their first 16 KiB
    #[arg(long)]
    body: bool,
    /// Tell each request as a line of JSON
    #[arg(long)]
    json: bool,
    /// Tell nothing of requests
    #[arg(long, conflicts_with_all = ["headers", "body"])]
    quiet: bool,
}

/// Runs `hookward echo`.
pub(super) async fn run(command: Echo) -> Result<(), Exit> {
    let Echo { listen, scheme, secret_files, parameters, headers, body, json, quiet } = command;
    let proof = match scheme {
        None => None,
        Some(scheme) => {
            let keyring = Keyring::of(scheme, secret_files, parameters);
            let scheme = keyring.scheme()?;
            let keys = keyring.keys(&scheme)?;
            Some((scheme, keys))
        }
    };
    let failed = |error: std::io::Error| Exit::failure(format!("cannot listen on {listen}: {error}"));
    let listener = TcpListener::bind(listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let url = format!("http://{address}");
    if json {
        print::json_line(&json!({ "listening": url }))?;
    } else {
        print::line(&format!("listening on {url}"))?;
    }
    let told = Telling { headers, body, json, line: (!quiet).then_some(tell) };
    let receiver = Receiver { clock: Arc::new(SystemClock::new()), entropy: Arc::new(SystemEntropy), proof, told };
    tokio::select! {
        () = Arc::new(receiver).serve(listener) => {}
        () = serve::interrupted() => {}
    }
    Ok(())
}

/// Whoever does not want to read any more is no reason to receive no more.
fn tell(line: &str) {
    let lines = line.split('\n').map(print::escaped).collect::<Vec<_>>().join("\n");
    let _ = print::line(&lines);
}
