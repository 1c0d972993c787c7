//! `cargo xtask receivers`: deliveries as those see them who get them. The outbound examples and the schemes of the official
//! packages, received on Express and on Flask before, during and after a rotation, on a clock that is moved by hours and days.
//! Owns the installation; what receives is in `xtask/receivers`, what verifies in `examples/receivers`.

mod course;
mod examples;
mod packages;
mod party;
mod tampering;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use systems::{MovableClock, world};

use crate::run::{has_or_installs, root, run_with, unless_installed};
use party::Party;

/// Everything that a receiver is made of, by the directory that has it.
const FILES: [(&str, &[&str]); 2] = [
    (
        "xtask/receivers",
        &["package.json", "package-lock.json", ".npmrc", "requirements.txt", "express.mjs", "flask_receiver.py"],
    ),
    ("examples/receivers", &["standard-library.mjs", "standard_library.py", "sdks.mjs", "sdks.py"]),
];

/// A receiver's part in one gateway's life.
type Run = fn(&mut Party, &mut MovableClock, &Path) -> Result<()>;

const COURSES: [(&str, Run); 4] = [
    ("qualitypilot", examples::qualitypilot),
    ("qualifio", examples::qualifio),
    ("qflow", examples::qflow),
    ("packages", packages::run),
];

/// Runs the courses whose name contains `only`, or says visibly why not.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let needed = [("node", "nodejs"), ("npm", "npm"), ("python3", "python3-venv"), ("faketime", "faketime")];
    for (program, package) in needed {
        if !has_or_installs("receivers", program, package)? {
            return Ok(());
        }
    }
    let place = install()?;
    for (receiver, command) in [("express", express as fn(&Path) -> Command), ("flask", flask)] {
        for (name, course) in COURSES.iter().filter(|(name, _)| only.is_none_or(|only| name.contains(only))) {
            let directory = tempfile::tempdir()?;
            let mut clock = MovableClock::new(directory.path())?;
            let mut party = Party::start(receiver, command(&place).envs(clock.environment()))?;
            course(&mut party, &mut clock, directory.path())
                .with_context(|| format!("{name}, received by {receiver}"))?;
            println!(
                "receivers: {name}, received by {receiver}: {} requests judged right in {} days",
                party.judged(),
                (clock.unix_seconds() - world::unix_seconds()) / 86_400
            );
        }
    }
    Ok(())
}

/// The receivers with their packages, below `target`, where nothing is committed from.
fn install() -> Result<PathBuf> {
    let place = root().join("target/xtask/receivers");
    std::fs::create_dir_all(&place)?;
    for (directory, files) in FILES {
        for file in files {
            let from = root().join(directory).join(file);
            std::fs::copy(&from, place.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    unless_installed(&place, "package-lock.json", |place| {
        run_with(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(place))
    })?;
    unless_installed(&place, "requirements.txt", |place| {
        run_with(Command::new("python3").args(["-m", "venv", "--clear", "python"]).current_dir(place))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"];
        run_with(Command::new(place.join("python/bin/python")).args(pip).current_dir(place))
    })?;
    Ok(place)
}

fn express(place: &Path) -> Command {
    let mut command = Command::new("node");
    command.arg("express.mjs").current_dir(place);
    command
}

fn flask(place: &Path) -> Command {
    let mut command = Command::new(place.join("python/bin/python"));
    command.args(["-B", "flask_receiver.py"]).current_dir(place);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page shows what is run, and nothing else.
    #[test]
    fn the_code_on_the_page_is_the_code_that_runs() {
        let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
        let page = read("docs/receivers.md");
        let files =
            FILES[1].1.iter().map(|file| (*file, read(&format!("examples/receivers/{file}")))).collect::<Vec<_>>();
        let mut blocks = 0;
        for (language, end) in [("js", ".mjs"), ("python", ".py")] {
            for block in page.split(&format!("```{language}\n")).skip(1) {
                let (code, _) = block.split_once("```").unwrap();
                let stands = files.iter().any(|(file, text)| file.ends_with(end) && text.contains(code));
                assert!(stands, "not in examples/receivers:\n{code}");
                blocks += 1;
            }
        }
        assert!(blocks >= 13, "only {blocks} blocks of code were found");
    }
}
