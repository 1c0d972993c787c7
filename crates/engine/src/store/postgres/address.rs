//! What an address may say, and what is said of one that leads nowhere: in words that tell the operator what to do. Nothing is
//! connected here.

use std::error::Error as _;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where the password of the address's user is looked for.
const PASSWORD: &str = "the password is `password` in `[database]`, or the variable HOOKWARD_DATABASE_PASSWORD";

/// Whom certificates are held against.
const AUTHORITIES: &str =
    "the public authorities, or those in the file that `ca` in `[database]` or HOOKWARD_DATABASE_CA names";

/// What is wrong with an address, if anything is.
pub(super) fn check(address: &str) -> Result<(), String> {
    let config: Config = address.parse().map_err(|error| fault(&error))?;
    if config.get_password().is_some() {
        return Err("a password has no place in it, where lists of processes and of settings show it".to_owned());
    }
    match config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        true => Err(format!("it names no host; {FORM}")),
        false => Ok(()),
    }
}

const FORM: &str = "an address is `postgres://user@host:port/database`";

/// Why an address cannot be read.
pub(super) fn fault(error: &tokio_postgres::Error) -> String {
    let problem = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    match problem.contains("`sslmode`") {
        true => {
            "`sslmode` is `disable`, `prefer` or `require`; wherever there is TLS, the certificate is held against the \
                 public authorities or those of `ca`, and against the host"
                .to_owned()
        }
        false => format!("{problem}; {FORM}"),
    }
}

/// Host, port and database, for messages.
pub(super) fn name(config: &Config) -> String {
    let port = config.get_ports().first().filter(|port| **port != 5432).map(|port| format!(":{port}"));
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
    };
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{host}{}/{database}", port.unwrap_or_default())
}

/// Why the database cannot be used, and what to do.
pub(super) fn refusal(error: &tokio_postgres::Error) -> String {
    let said = error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
    if let Some(refused) = error.as_db_error() {
        let (said, code) = (super::said(error), refused.code().code());
        return match code {
            "3D000" => format!("{said}; create it first, with `createdb` or `create database`"),
            "28P01" => format!("{said}; {PASSWORD}"),
            "28000" if said.contains("does not exist") => format!("{said}; create it first, with `createuser`"),
            "28000" => format!("{said}; the server's pg_hba.conf says who may come from where"),
            "42501" => format!("{said}; let the user make tables there: make it the owner of the database"),
            "53300" => format!("{said}; raise its max_connections, or run fewer nodes"),
            "57P03" => format!("{said}; wait until it is ready"),
            _ => said,
        };
    }
    match error.to_string().as_str() {
        "error connecting to server" => format!("{said}; is it running, and is this where it listens?"),
        "error performing TLS handshake" if said.ends_with("does not support TLS") => {
            format!("{said}; only on a network that nobody else is on may the address say `sslmode=disable`")
        }
        "error performing TLS handshake" => {
            format!("{said}; certificates are held against {AUTHORITIES}, and against the host in the address")
        }
        _ if said.ends_with("password missing") => format!("it asks for a password, and there is none; {PASSWORD}"),
        _ => said,
    }
}
