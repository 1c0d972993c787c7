//! `hookward filter`: an expression tried on an event of the gateway's, or on a body in a file. Evaluated here, by the
//! engine's own evaluator; the gateway is only asked for the event.

use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Subcommand;
use hookward_engine::expression::{ALLOWANCE, Expression, Subject};
use serde_json::Value;

use super::exit::Exit;
use super::print;
use super::remote::{Gateway, segment};
use super::{Remote, verify};

#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Print an expression's value for an event
    #[command(after_help = "Exit status: 0 true or any other value, 5 false, 1 it has no value for this event, \
        2 wrong use or not an expression, 3 unknown event.\n\
        Example: hookward filter test 'event == \"push\"' --event evt_0190…\n\
        Example: hookward filter test 'body.ref == \"refs/heads/main\"' --type push --body push.json")]
    Test {
        /// The expression, in CEL over `event`, `headers`, `body` and `source`
        #[arg(value_name = "EXPRESSION")]
        text: String,
        /// An event of the gateway's, `evt_…`
        #[arg(long, value_name = "ID", required_unless_present = "body", conflicts_with_all = ["body", "event_type", "source", "headers"])]
        event: Option<String>,
        /// A file with a body; `-` is standard input
        #[arg(long, value_name = "FILE")]
        body: Option<PathBuf>,
        /// The event's type, beside a body
        #[arg(long = "type", value_name = "T", default_value = "", hide_default_value = true)]
        event_type: String,
        /// The source's name, beside a body
        #[arg(long, value_name = "S", default_value = "", hide_default_value = true)]
        source: String,
        /// A header, beside a body
        #[arg(long = "header", value_name = "NAME: VALUE")]
        headers: Vec<String>,
    },
}

/// Runs `hookward filter …`.
pub(super) async fn run(what: What, remote: Remote) -> Result<ExitCode, Exit> {
    let What::Test { text, event, body, event_type, source, headers } = what;
    let expression =
        Expression::compile(&text).map_err(|error| Exit::usage(format!("this is not an expression: {error}")))?;
    let subject = match (event, body) {
        (Some(id), _) => of_gateway(&remote.open()?, &id).await?,
        (None, Some(file)) => {
            let headers = headers.iter().map(|line| header(line)).collect::<Result<_, _>>()?;
            Subject { event: event_type, source, headers, body: read(&file)? }
        }
        (None, None) => return Err(Exit::usage("name an `--event` or a file with a `--body`")),
    };
    let value = expression.evaluate(&mut subject.view(), ALLOWANCE);
    let value = value.map_err(|failure| Exit::failure(format!("it has no value for this event: {failure}")))?;
    print::line(&value.to_string())?;
    Ok(if value == Value::Bool(false) { ExitCode::from(5) } else { ExitCode::SUCCESS })
}

/// The event as the gateway keeps it, which is what its own expressions see.
async fn of_gateway(gateway: &Gateway, id: &str) -> Result<Subject, Exit> {
    let path = format!("/events/{}", segment(id));
    let shown = gateway.get(&path).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let headers = shown["request"]["headers"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(Subject {
        event: text(&shown["type"]),
        source: text(&shown["source"]),
        headers: headers.iter().map(|pair| (text(&pair[0]), text(&pair[1]).into())).collect(),
        body: gateway.bytes(&format!("{path}/body")).await?,
    })
}

fn header(line: &str) -> Result<(String, Bytes), Exit> {
    let pair = line.split_once(':').filter(|(name, _)| http::HeaderName::try_from(*name).is_ok());
    let (name, value) = pair.ok_or_else(|| Exit::usage(format!("`{line}` is not a header: write `Name: value`")))?;
    Ok((name.to_ascii_lowercase(), Bytes::copy_from_slice(value.trim().as_bytes())))
}

fn read(file: &std::path::Path) -> Result<Bytes, Exit> {
    if file.as_os_str() != "-" {
        return verify::read(file).map(Bytes::from);
    }
    let mut bytes = Vec::new();
    let read = std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes);
    read.map_err(|error| Exit::failure(format!("standard input cannot be read: {error}")))?;
    Ok(bytes.into())
}
