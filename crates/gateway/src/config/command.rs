//! What is special about a `[[destination]]` of type `command`: the program, when it is run again, what is kept of it.

use std::path::Path;

use hookward::Secret;
use hookward_engine::DeclaredSecret;
use hookward_engine::model::{CheckoutSpec, CommandSpec, OUTPUT_BYTES, Signing};
use toml::Spanned;

use super::settings::{Absent, allow_addresses, bounded, pairs, refuse, resolve, resolve_secret, url_problem};
use super::sign::Signs;
use super::values::Switch;
use super::{Check, file};

/// The most output that can be kept of an attempt, in bytes. It is in memory while the program runs.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// What a checkout may take unless the file says otherwise, and at most, in bytes.
const CHECKOUT_BYTES: usize = 1 << 30;
const CHECKOUT_BYTES_MAX: usize = 1 << 40;

/// The scheme by which a checkout's credential is kept, and the user of one that is only a token.
const SCHEME: &str = "basic";
const TOKEN_USER: &[u8] = b"x-access-token:";

pub(super) fn command(check: &mut Check<'_>, file: file::Destination) -> Result<Option<CommandSpec>, Absent> {
    let Some(argv) = file.argv else {
        check.problem(&file.kind, "a destination of type `command` needs an `argv`");
        return Ok(None);
    };
    let has_place = check.directory.is_some() || file.directory.is_some() || check.references.are_here();
    if !has_place && argv.get_ref().first().is_some_and(|program| program.contains('/') && !program.starts_with('/')) {
        check.problem(&argv, "there is no file that the program could stand beside: name it by its whole path");
    }
    if argv.get_ref().first().is_none_or(String::is_empty) || argv.get_ref().iter().any(|word| word.contains('\0')) {
        check.problem(&argv, "`argv` is a program and its arguments, like [\"./deploy\", \"--now\"]");
    }
    let environment = pairs(check, file.environment, |name, value| {
        (name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
            .then(|| format!("`{}` cannot be a variable", name.escape_debug()))
    })?;
    let checks_out = file.checkout.as_ref().is_some_and(|one| matches!(one.get_ref(), Switch::On(_)));
    if let Some(directory) = file.directory.as_ref().filter(|_| checks_out) {
        check.problem(directory, "a program runs in its `directory` or in a `checkout`, not both");
    }
    let directory = file.directory.map(Spanned::into_inner);
    let mut argv = argv.into_inner();
    if let (None, Some(program)) = (&directory, argv.first_mut()) {
        *program = beside_the_file(check.directory, program);
    }
    let output_bytes = bounded(check, file.output_bytes.as_ref(), OUTPUT_BYTES, 0..=OUTPUT_BYTES_MAX, "output_bytes");
    let checkout = match file.checkout.map(Spanned::into_inner) {
        Some(Switch::On(table)) => Some(Box::new(checkout(check, *table)?)),
        Some(Switch::Off) | None => None,
    };
    Ok(Some(CommandSpec { argv, directory, environment, output_bytes, checkout }))
}

/// A program written as a relative path, without a `directory` that it could be relative to, stands beside the
/// configuration file: never in whatever directory it runs in, which may hold what a sender chose.
fn beside_the_file(directory: Option<&Path>, program: &str) -> String {
    match directory {
        Some(directory) if program.contains('/') && Path::new(program).is_relative() => {
            directory.join(program.trim_start_matches("./")).to_string_lossy().into_owned()
        }
        _ => program.to_owned(),
    }
}

fn checkout(check: &mut Check<'_>, table: file::CheckoutTable) -> Result<CheckoutSpec, Absent> {
    let base = match &table.base {
        None => None,
        Some(base) => {
            let value = resolve(check, base)?;
            let problem = |url: &String| url_problem(url).or_else(|| url.contains('?').then_some("it has a query"));
            if let Some(problem) = value.as_ref().and_then(problem) {
                check.problem(base, format!("this `base` cannot be used: {problem}"));
            }
            value
        }
    };
    if let (Some(url), Some(_)) = (&table.url, &table.base) {
        check.problem(url, "a checkout has a `url` or a `base`, not both");
    }
    let max_bytes = bounded(check, table.max_bytes.as_ref(), CHECKOUT_BYTES, 1..=CHECKOUT_BYTES_MAX, "max_bytes");
    Ok(CheckoutSpec {
        url: check.expression(table.url),
        commit: check.expression(table.commit),
        base,
        allow_addresses: allow_addresses(check, table.allow_addresses.as_ref()),
        max_bytes: max_bytes as u64,
    })
}

/// A checkout's credential becomes a signature of scheme `basic`, so that it is kept and rotated like every other secret.
/// A token alone is the password of the user that GitHub and GitLab take tokens from.
pub(super) fn credential(
    check: &mut Check<'_>,
    checkout: Option<&Spanned<Switch<file::CheckoutTable>>>,
) -> Result<Option<Signs>, Absent> {
    let Some(Switch::On(table)) = checkout.map(Spanned::get_ref) else { return Ok(None) };
    let Some(credential) = &table.credential else { return Ok(None) };
    let signing = vec![Signing::by(SCHEME)];
    let Some(value) = resolve_secret(check, credential)? else { return Ok(Some((signing, vec![]))) };
    let value = if value.expose().contains(&b':') {
        value
    } else {
        Secret::new([TOKEN_USER, value.expose()].concat()).expect("it has a user at least")
    };
    check.key(SCHEME, credential, &value);
    Ok(Some((signing, vec![DeclaredSecret::new(SCHEME, value)])))
}

/// The settings of this type in a destination of another.
pub(super) fn refuse_elsewhere(check: &mut Check<'_>, file: &file::Destination, kind: &str) {
    refuse(check, file.argv.as_ref(), "argv", kind);
    refuse(check, file.directory.as_ref(), "directory", kind);
    refuse(check, file.environment.as_ref(), "environment", kind);
    refuse(check, file.retry_exit_codes.as_ref(), "retry_exit_codes", kind);
    refuse(check, file.output_bytes.as_ref(), "output_bytes", kind);
    refuse(check, file.checkout.as_ref(), "checkout", kind);
}

/// The exit statuses after which a program is run again.
pub(super) fn retry_exit_codes(check: &mut Check<'_>, codes: Option<&Spanned<Vec<Spanned<i64>>>>) -> Option<Vec<u8>> {
    let codes = codes?.get_ref().iter();
    let mut listed = Vec::new();
    for code in codes {
        match u8::try_from(*code.get_ref()) {
            Ok(code @ 1..) => listed.push(code),
            _ => check
                .problem(code, format!("`{}` is not an exit status of a failure: those are 1 to 255", code.get_ref())),
        }
    }
    Some(listed)
}
