//! `cargo xtask vectors`: the vectors that a program of its own computes from the scheme files, and the table of providers. Owns
//! running it; which requests it makes, and how it reads a scheme, is in `xtask/vectors`, which is Python and shares no code with
//! the library.

use std::process::Command;

use anyhow::Result;

use crate::run::{has_or_installs, root, run_with};

/// Writes the computed part of every vector file, or compares it with what is there.
pub(crate) fn run(check: bool) -> Result<()> {
    for program in ["python3", "openssl"] {
        if !has_or_installs("vectors", program, program)? {
            return Ok(());
        }
    }
    let mut command = Command::new("python3");
    // Nothing is left behind in the tree.
    command
        .args(["-B", "xtask/vectors/vectors.py", "crates/hookward/schemes", "docs/providers.md"])
        .args(check.then_some("--check"));
    run_with(command.current_dir(root()))?;
    println!("vectors: every scheme's are those that are computed, and docs/providers.md has them all");
    Ok(())
}
