//! `[database]`: where the data is kept if not in a file of this machine. Owns what an address may say; nothing is opened here.

use hookward::Secret;
use hookward_engine::store::postgres;

use super::{Check, file, settings};

/// What stands in for a password that the file does not say.
pub const PASSWORD_VARIABLE: &str = "HOOKWARD_DATABASE_PASSWORD";

/// A PostgreSQL database.
#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    /// `postgres://user@host:port/database`, without a password.
    pub address: String,
    /// The user's password.
    pub password: Option<Secret>,
}

/// Reads `[database]`.
pub(super) fn database(check: &mut Check<'_>, file: &file::Database) -> Option<Database> {
    let Some(at) = &file.address else {
        if let Some(password) = &file.password {
            check
                .problem(password, "`password` needs `address`: without one the data is in a file and has no password");
        }
        return None;
    };
    let address = settings::resolve(check, at).ok().flatten()?;
    if let Err(problem) = postgres::check_address(&address) {
        check.problem(at, format!("`address` cannot be used: {problem}"));
    }
    let given = file.password.as_ref().map(|at| (at, settings::resolve_secret(check, at)));
    let password = match given {
        Some((at, Err(settings::Absent(variable)))) => {
            check.problem(at, format!("the variable `{variable}` is not set"));
            None
        }
        Some((_, Ok(password))) => password,
        None => check.references.variable(PASSWORD_VARIABLE).and_then(|text| Secret::new(text).ok()),
    };
    Some(Database { address, password })
}
