//! `cargo xtask octokit`: GitHub's own example payloads, signed and verified by GitHub's own package, through the gateway.
//! Owns the processes and the installation; what is checked is in `xtask/js/octokit.mjs`.

mod examples;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use systems::Setup;
use systems::server::API_KEY;

use crate::run::{has_or_installs, root, run_with};

const SECRET: &str = "interop-secret";

const CONFIG: &str = r#"
[[source]]
name = "github"
scheme = "github"
secret = "env:INTEROP_SECRET"

[[destination]]
name = "octokit"
type = "http"
url = "env:INTEROP_RECEIVER_URL"
forward_headers = ["Content-Type", "X-GitHub-*", "X-Hub-Signature-256"]
allow_addresses = ["127.0.0.0/8"]
"#;

/// Runs the interop test, or says visibly why it did not.
pub(crate) fn run() -> Result<()> {
    if !has_or_installs("octokit", "node", "nodejs")? || !has_or_installs("octokit", "npm", "npm")? {
        return Ok(());
    }
    let script = install("octokit.mjs")?;
    let directory = tempfile::tempdir()?;
    with_node(&script, |node| drive(node, directory.path()))?;
    let packages = script.parent().context("a file has a directory")?.join("node_modules");
    examples::run(&packages.join("@octokit/webhooks-examples"))
}

/// The packages of `xtask/js`, installed below `target`, where nothing is committed from, with one of its scripts.
pub(crate) fn install(script: &str) -> Result<PathBuf> {
    let (from, to) = (root().join("xtask/js"), root().join("target/xtask/js"));
    std::fs::create_dir_all(&to)?;
    // Two steps that run at a time may want them.
    let turn = std::fs::File::create(to.join("turn"))?;
    turn.lock()?;
    let lock = std::fs::read(from.join("package-lock.json"))?;
    let installed = std::fs::read(to.join("installed.json")).is_ok_and(|known| known == lock);
    for file in ["package.json", "package-lock.json", ".npmrc", script] {
        std::fs::copy(from.join(file), to.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    if !installed {
        run_with(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(&to))?;
        std::fs::write(to.join("installed.json"), lock)?;
    }
    Ok(to.join(script))
}

/// Runs a script, with which `drive` talks over its standard input and output, to its end.
pub(crate) fn with_node(script: &Path, drive: impl FnOnce(&mut Child) -> Result<()>) -> Result<()> {
    let mut node = Command::new("node");
    node.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.spawn().context("cannot start node")?;
    let result = drive(&mut node);
    if result.is_err() {
        drop(node.kill());
    }
    let status = node.wait()?;
    result?;
    ensure!(status.success(), "{} ended with {status}", script.display());
    Ok(())
}

/// Tells the script where the gateway is, once each knows the other, and passes its findings on.
fn drive(node: &mut Child, directory: &Path) -> Result<()> {
    let mut said = BufReader::new(node.stdout.take().context("standard output was asked for")?).lines();
    let url = said.next().context("octokit.mjs said nothing")??;
    let setup = Setup::new(directory, CONFIG)?.env("INTEROP_SECRET", SECRET).env("INTEROP_RECEIVER_URL", &url);
    let server = setup.start()?;
    let gateway = serde_json::json!({
        "public": server.public.to_string(),
        "admin": server.admin.to_string(),
        "apiKey": API_KEY,
        "secret": SECRET,
    });
    writeln!(node.stdin.take().context("standard input was asked for")?, "{gateway}")?;
    for line in said {
        println!("{}", line?);
    }
    let status = server.terminate()?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}
