//! `cargo xtask bench verify`: what verification costs beside a bare HMAC and other verifiers. Owns only the starting: the measuring is
//! a package outside the workspace, so that the verifiers it is compared with are compiled and locked for nothing else.

use anyhow::Result;

use crate::run::run;

/// Builds the benchmark and runs it; it fails when the library is slower than promised.
pub(crate) fn run_all() -> Result<()> {
    let manifest = "xtask/verify-bench/Cargo.toml";
    run("cargo", &["run", "--release", "--manifest-path", manifest, "--target-dir", "target/verify-bench"])
}
