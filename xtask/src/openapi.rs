//! `cargo xtask openapi`: writes `docs/openapi.json` as the running server gives it. A test holds the file against the code.

use anyhow::{Result, ensure};
use systems::{Request, Setup, http};

use crate::run::root;

/// Writes the file.
pub(crate) fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let server = Setup::new(directory.path(), "")?.start()?;
    // Without a key: the document is for anyone.
    let answer = http::send(server.admin, &Request::get("/api/openapi.json"))?;
    ensure!(answer.status == 200, "the document is answered {}", answer.status);
    let path = root().join("docs/openapi.json");
    std::fs::create_dir_all(root().join("docs"))?;
    std::fs::write(&path, &answer.message.body)?;
    ensure!(server.terminate()?.success(), "the server did not end in order");
    println!("openapi: wrote docs/openapi.json");
    Ok(())
}
