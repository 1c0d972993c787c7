//! `[database]`: where the data is kept if not in a file of this machine. Owns what an address may say; nothing is opened here.

use std::path::PathBuf;

use hookward::Secret;
use hookward_engine::Waking;
use hookward_engine::store::postgres::{self, Access};

use super::{Check, file, settings};

/// What stands in for a password that the file does not say.
pub const PASSWORD_VARIABLE: &str = "HOOKWARD_DATABASE_PASSWORD";

/// What stands in for a file of authorities that the file does not name.
pub const CA_VARIABLE: &str = "HOOKWARD_DATABASE_CA";

/// A PostgreSQL database.
#[derive(Debug, Clone, PartialEq)]
pub struct Database {
    /// Where it is, and what it takes to get in.
    pub access: Access,
    /// Whether its nodes tell each other to look.
    pub waking: Waking,
}

/// Reads `[database]`.
pub(super) fn database(check: &mut Check<'_>, file: &file::Database) -> Option<Database> {
    let Some(at) = &file.address else {
        if let Some(password) = &file.password {
            check
                .problem(password, "`password` needs `address`: without one the data is in a file and has no password");
        }
        if let Some(ca) = &file.ca {
            check.problem(ca, "`ca` needs `address`: without one the data is in a file");
        }
        if let Some(listen) = &file.listen {
            check.problem(listen, "`listen` needs `address`: without one there are no other nodes");
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
    let variable = || check.references.variable(CA_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let ca = file.ca.as_ref().map(|at| at.get_ref().clone()).or_else(variable);
    let waking = match file.listen.as_ref().is_none_or(|listen| *listen.get_ref()) {
        true => Waking::Knocks,
        false => Waking::LooksOnly,
    };
    Some(Database { access: Access { address, password, ca }, waking })
}
