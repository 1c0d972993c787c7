//! `cargo xtask interop`: Hookward and the packages that providers publish, held against each other. What Hookward signs they accept, what
//! they sign Hookward accepts, and one changed byte, or another secret, is refused by both; prints the table. Then the handlers of
//! `docs/verify`. Owns installing and the table; the packages are in `xtask/interop`. Hookward is there as its packages for Python and Node.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::bindings;
use crate::run::{has_or_installs, output_of, root, run_with, unless_installed};

/// Fewer schemes than this are held against nobody's package.
const LEAST: usize = 19;

/// What is run, by the directory that has it.
const FILES: [(&str, &[&str]); 2] = [
    (
        "xtask/interop",
        &[
            "package.json",
            "package-lock.json",
            ".npmrc",
            "requirements.txt",
            "interop.mjs",
            "node.mjs",
            "interop.py",
            "handlers.mjs",
        ],
    ),
    ("docs/verify", &["express.mjs", "flask_app.py"]),
];

/// One package, of which everything held.
#[derive(Debug, Deserialize)]
struct Finding {
    scheme: String,
    /// With its version.
    package: String,
    language: String,
    /// It accepts what Hookward signs.
    accepts: bool,
    /// Hookward accepts what it signs; nothing where it only verifies.
    accepted: Option<bool>,
}

/// Runs it, or says visibly why not.
pub(crate) fn run() -> Result<()> {
    for (program, package) in [("node", "nodejs"), ("npm", "npm"), ("python3", "python3-venv")] {
        if !has_or_installs("interop", program, package)? {
            return Ok(());
        }
    }
    let place = root().join("target/xtask/interop");
    std::fs::create_dir_all(&place)?;
    for (directory, files) in FILES {
        for file in files {
            let from = root().join(directory).join(file);
            std::fs::copy(&from, place.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    let mut findings = node(&place)?;
    findings.extend(python(&place)?);
    findings.sort_by(|a, b| (&a.scheme, &a.language).cmp(&(&b.scheme, &b.language)));
    print_table(&findings);
    let mut schemes: Vec<&str> = findings.iter().map(|finding| finding.scheme.as_str()).collect();
    schemes.dedup();
    ensure!(schemes.len() >= LEAST, "only {} schemes were held against somebody else's package", schemes.len());
    let mut handlers = Command::new("node");
    run_with(handlers.arg("handlers.mjs").arg(place.join("venv/bin/python")).current_dir(&place))
}

fn node(place: &Path) -> Result<Vec<Finding>> {
    unless_installed(place, "package-lock.json", |place| {
        run_with(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(place))
    })?;
    bindings::install_node(&place.join("node_modules/hookward"))?;
    read(&output_of(Command::new("node").args(["--no-warnings", "interop.mjs"]).current_dir(place))?)
}

fn python(place: &Path) -> Result<Vec<Finding>> {
    let python = place.join("venv/bin/python");
    unless_installed(place, "requirements.txt", |place| {
        run_with(Command::new("python3").args(["-m", "venv", "--clear", "venv"]).current_dir(place))?;
        bindings::pip(&python, &["-r", "requirements.txt"], place)
    })?;
    bindings::install_wheel(&python, &bindings::wheel(&place.join("wheels"))?)?;
    read(&output_of(Command::new(&python).args(["-B", "-W", "ignore", "interop.py"]).current_dir(place))?)
}

fn read(lines: &str) -> Result<Vec<Finding>> {
    lines.lines().map(|line| serde_json::from_str(line).with_context(|| format!("not a finding: {line}"))).collect()
}

fn print_table(findings: &[Finding]) {
    println!("{:<20} {:<36} {:<8} {:<14} Hookward accepts theirs", "scheme", "package", "", "accepts ours");
    for Finding { scheme, package, language, accepts, accepted } in findings {
        let theirs = match accepted {
            Some(true) => "yes",
            Some(false) => "no",
            None => "it only verifies",
        };
        let ours = if *accepts { "yes" } else { "no" };
        println!("{scheme:<20} {package:<36} {language:<8} {ours:<14} {theirs}");
    }
    println!("interop: {} packages; a changed byte and another secret were refused by both, each time", findings.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handlers_on_the_page_are_those_that_run() {
        let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
        let page = read("docs/verify/README.md");
        for (language, file) in [("js", "docs/verify/express.mjs"), ("python", "docs/verify/flask_app.py")] {
            assert!(page.contains(&format!("```{language}\n{}```", read(file))), "{file}");
        }
    }
}
