//! What is special about a `[[destination]]` of type `command`: the program, when it is run again, what is kept of it.

use std::path::Path;

use hookward_engine::model::{CommandSpec, OUTPUT_BYTES};
use toml::Spanned;

use super::destinations::{Absent, bounded, pairs, refuse};
use super::{Check, file};

/// The most output that can be kept of an attempt, in bytes. It is in memory while the program runs.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

pub(super) fn command(check: &mut Check<'_>, file: file::Destination) -> Result<Option<CommandSpec>, Absent> {
    let Some(argv) = file.argv else {
        check.problem(&file.kind, "a destination of type `command` needs an `argv`");
        return Ok(None);
    };
    if argv.get_ref().first().is_none_or(String::is_empty) || argv.get_ref().iter().any(|word| word.contains('\0')) {
        check.problem(&argv, "`argv` is a program and its arguments, like [\"./deploy\", \"--now\"]");
    }
    let environment = pairs(check, file.environment, |name, value| {
        (name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
            .then(|| format!("`{}` cannot be a variable", name.escape_debug()))
    })?;
    let directory = file.directory.map(Spanned::into_inner);
    let mut argv = argv.into_inner();
    if let (None, Some(program)) = (&directory, argv.first_mut()) {
        *program = beside_the_file(check.directory, program);
    }
    let output_bytes = bounded(check, file.output_bytes.as_ref(), OUTPUT_BYTES, 0..=OUTPUT_BYTES_MAX, "output_bytes");
    Ok(Some(CommandSpec { argv, directory, environment, output_bytes }))
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

/// The settings of this type in a destination of another.
pub(super) fn refuse_elsewhere(check: &mut Check<'_>, file: &file::Destination, kind: &str) {
    refuse(check, file.argv.as_ref(), "argv", kind);
    refuse(check, file.directory.as_ref(), "directory", kind);
    refuse(check, file.environment.as_ref(), "environment", kind);
    refuse(check, file.retry_exit_codes.as_ref(), "retry_exit_codes", kind);
    refuse(check, file.output_bytes.as_ref(), "output_bytes", kind);
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
