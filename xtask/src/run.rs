//! Running other programs: in the repository, printed before they start, their failure an error that names them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use systems::server::repository;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    repository("").canonicalize().expect("this program was built inside the repository")
}

/// Runs a program in the repository; its output is passed on as it comes.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<()> {
    run_with(Command::new(program).args(arguments))
}

/// Runs a prepared command in the repository unless it names another directory.
pub(crate) fn run_with(command: &mut Command) -> Result<()> {
    if command.get_current_dir().is_none() {
        command.current_dir(root());
    }
    let line = line_of(command);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` ended with {status}");
    Ok(())
}

/// Runs a program in the repository and gives its standard output.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    let line = line_of(&command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(output.status.success(), "`{line}` ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed something that is not text"))
}

/// Whether a program of this name can be found.
pub(crate) fn has_program(name: &str) -> bool {
    let path = systems::world::var("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// Builds the binary that the black-box commands start, unless `HOOKWARD_BIN` names one that is built.
pub(crate) fn build_server() -> Result<()> {
    if systems::world::var("HOOKWARD_BIN").is_some() {
        return Ok(());
    }
    run("cargo", &["build", "--package", "hookward-gateway"])
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
