//! `cargo xtask oidc`: people sign in by way of a real OpenID Connect provider, oidc-provider from npm.
//! Owns the processes; the provider and the browser are in `xtask/js/oidc.mjs`, the installation is `octokit`'s.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Child;

use anyhow::{Context, Result, ensure};
use systems::Setup;

use crate::octokit::{install, with_node};
use crate::run::has_or_installs;

const SECRET: &str = "interop-client-secret-of-some-length";

const CONFIG: &str = r#"
[[oidc]]
name = "node"
issuer = "ISSUER"
client_id = "hookward"
client_secret = "env:INTEROP_SECRET"
domains = ["example.com"]
create = true
scopes = ["read"]
"#;

/// Runs the interop test, or says visibly why it did not.
pub(crate) fn run() -> Result<()> {
    if !has_or_installs("oidc", "node", "nodejs")? || !has_or_installs("oidc", "npm", "npm")? {
        return Ok(());
    }
    let script = install("oidc.mjs")?;
    let directory = tempfile::tempdir()?;
    with_node(&script, |node| drive(node, directory.path()))
}

/// Starts the gateway once the provider says where it is, tells the script where that is, and passes its findings on.
fn drive(node: &mut Child, directory: &Path) -> Result<()> {
    let mut said = BufReader::new(node.stdout.take().context("standard output was asked for")?).lines();
    let issuer = said.next().context("oidc.mjs said nothing")??;
    let server = Setup::new(directory, &CONFIG.replace("ISSUER", &issuer))?.env("INTEROP_SECRET", SECRET).start()?;
    let gateway = serde_json::json!({ "admin": server.admin.to_string(), "secret": SECRET });
    writeln!(node.stdin.take().context("standard input was asked for")?, "{gateway}")?;
    for line in said {
        println!("{}", line?);
    }
    let status = server.terminate()?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}
