//! Running other programs: in the repository, printed before they start, their failure an error that names them.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use systems::server::repository;
use systems::world::{has_program, is_ci, var};

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
    output_of(Command::new(program).args(arguments).current_dir(root()))
}

/// Runs a prepared command and gives its standard output.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let line = line_of(command);
    let output = command.output().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(output.status.success(), "`{line}` ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` printed something that is not text"))
}

/// Whether an outside program is there for a check. Where nothing may be skipped a missing one is installed from Debian, or
/// fails the check; elsewhere its absence is said aloud.
pub(crate) fn has_or_installs(check: &str, program: &str, package: &str) -> Result<bool> {
    if has_program(program) {
        return Ok(true);
    }
    if !is_ci() {
        println!("{check}: SKIPPED: `{program}` is missing (Debian: apt-get install {package})");
        return Ok(false);
    }
    // Two steps that run at a time may miss something each, and Debian's tools do not wait for each other.
    let turn = File::create(std::env::temp_dir().join("hookward-xtask-apt.lock"))?;
    turn.lock()?;
    if has_program(program) {
        return Ok(true);
    }
    run("apt-get", &["update"])?;
    run("apt-get", &["install", "--yes", "--no-install-recommends", package])?;
    ensure!(has_program(program), "{check}: `{program}` is missing, and Debian's package `{package}` did not bring it");
    Ok(true)
}

/// Installs once for each content of the file that says what.
pub(crate) fn unless_installed(place: &Path, list: &str, install: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let wanted = std::fs::read(place.join(list))?;
    let mark = place.join(format!("{list}.installed"));
    if std::fs::read(&mark).is_ok_and(|known| known == wanted) {
        return Ok(());
    }
    install(place)?;
    Ok(std::fs::write(mark, wanted)?)
}

/// The features that are not in the default build, of the binary and of the library.
pub(crate) const EVERYTHING: &str = "hookward-gateway/kms-aws,hookward-gateway/kms-pkcs11,hookward/axum";

/// Builds the binary with all features, unless `HOOKWARD_BIN` names one that is built.
pub(crate) fn build_everything() -> Result<()> {
    if var("HOOKWARD_BIN").is_some() {
        return Ok(());
    }
    run("cargo", &["build", "--package", "hookward-gateway", "--features", EVERYTHING])
}

/// Builds the binary that the black-box commands start, unless `HOOKWARD_BIN` names one that is built.
pub(crate) fn build_server() -> Result<()> {
    if var("HOOKWARD_BIN").is_some() {
        return Ok(());
    }
    run("cargo", &["build", "--package", "hookward-gateway"])
}

fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
