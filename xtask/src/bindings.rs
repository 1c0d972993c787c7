//! `cargo xtask bindings`: the packages for Python and Node, built as whoever installs them gets them, and tested there: every vector of
//! the library, headers of every shape, the helpers for frameworks, the README's code. Owns building and installing; the tests are the
//! packages' own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::{has_or_installs, output_of, root, run, run_with, unless_installed};

/// Builds and tests both, or says visibly why not.
pub(crate) fn run_all() -> Result<()> {
    for (program, package) in [("node", "nodejs"), ("npm", "npm"), ("python3", "python3-venv")] {
        if !has_or_installs("bindings", program, package)? {
            return Ok(());
        }
    }
    let python = python()?;
    let tests = root().join("bindings/python/tests");
    run_with(Command::new(&python).args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]).arg(tests))?;
    let types = [
        "-B",
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        "target/xtask/bindings/mypy",
        "--config-file",
        "bindings/python/pyproject.toml",
        "--package",
        "hookward",
    ];
    run_with(Command::new(&python).args(types))?;

    let node = node()?;
    let tests = ["vectors", "verifier", "frameworks", "readme"].map(|name| format!("test/{name}.test.mjs"));
    let mut command = Command::new("node");
    command.args(["--test", "--test-reporter=dot"]).args(tests).current_dir(&node);
    run_with(command.env("HOOKWARD_SCHEMES", format!("file://{}/crates/hookward/schemes/", root().display())))?;
    run_with(Command::new("node").args(["node_modules/typescript/bin/tsc", "-p", "test"]).current_dir(&node))
}

/// A Python in which the package is installed, and what its tests need.
fn python() -> Result<PathBuf> {
    let place = root().join("target/xtask/bindings/python");
    std::fs::create_dir_all(&place)?;
    std::fs::copy(root().join("bindings/python/requirements.txt"), place.join("requirements.txt"))?;
    let python = place.join("venv/bin/python");
    unless_installed(&place, "requirements.txt", |place| {
        run_with(Command::new("python3").args(["-m", "venv", "--clear", "venv"]).current_dir(place))?;
        pip(&python, &["-r", "requirements.txt"], place)
    })?;
    install_wheel(&python, &wheel(&place.join("wheels"))?)?;
    Ok(python)
}

/// Builds the wheel into a directory that has nothing else in it, and gives its path. Maturin is a program of its own beside what a
/// wheel is tested with.
pub(crate) fn wheel(to: &Path) -> Result<PathBuf> {
    let place = root().join("target/xtask/bindings/maturin");
    std::fs::create_dir_all(&place)?;
    std::fs::copy(root().join("bindings/python/build-requirements.txt"), place.join("requirements.txt"))?;
    let python = place.join("venv/bin/python");
    unless_installed(&place, "requirements.txt", |place| {
        run_with(Command::new("python3").args(["-m", "venv", "--clear", "venv"]).current_dir(place))?;
        pip(&python, &["-r", "requirements.txt"], place)
    })?;
    drop(std::fs::remove_dir_all(to));
    // The same profile and target as everything else, so that the library's dependencies are compiled once.
    let mut build = Command::new(place.join("venv/bin/maturin"));
    build.args(["build", "--quiet", "--profile", "dev", "--auditwheel", "skip"]);
    run_with(build.args(["--manifest-path", "bindings/python/Cargo.toml", "--out"]).arg(to))?;
    let wheel = std::fs::read_dir(to)?.next().context("maturin made no wheel")??.path();
    ensure!(wheel.to_string_lossy().contains("-cp39-abi3-"), "{} is not for every Python", wheel.display());
    Ok(wheel)
}

/// Installs a wheel in place of what was there.
pub(crate) fn install_wheel(python: &Path, wheel: &Path) -> Result<()> {
    pip(python, &["--no-deps", "--no-index", "--force-reinstall", &wheel.to_string_lossy()], &root())
}

/// `pip install`.
pub(crate) fn pip(python: &Path, arguments: &[&str], directory: &Path) -> Result<()> {
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    run_with(Command::new(python).args(install).args(arguments).current_dir(directory))
}

/// A directory with the npm package installed beside what its tests need.
fn node() -> Result<PathBuf> {
    let (from, place) = (root().join("bindings/node"), root().join("target/xtask/bindings/node"));
    std::fs::create_dir_all(place.join("test"))?;
    for file in ["package.json", "package-lock.json", ".npmrc", "README.md"] {
        std::fs::copy(from.join(file), place.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    for file in std::fs::read_dir(from.join("test"))? {
        let file = file?;
        std::fs::copy(file.path(), place.join("test").join(file.file_name()))?;
    }
    unless_installed(&place, "package-lock.json", |place| {
        run_with(Command::new("npm").args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(place))
    })?;
    install_node(&place.join("node_modules/hookward"))?;
    Ok(place)
}

/// The package as npm would unpack it, with the addon for this platform.
pub(crate) fn install_node(to: &Path) -> Result<()> {
    let from = root().join("bindings/node");
    std::fs::create_dir_all(to)?;
    for file in ["package.json", "index.js", "web.js", "index.d.ts"] {
        std::fs::copy(from.join(file), to.join(file)).with_context(|| format!("cannot copy {file}"))?;
    }
    run("cargo", &["build", "--package", "hookward-node"])?;
    let script = "const { platform, arch } = process; const gnu = process.report.getReport().header.glibcVersionRuntime; \
                  console.log(`${platform}-${arch}` + (platform === 'linux' ? (gnu ? '-gnu' : '-musl') : ''))";
    let target = output_of(Command::new("node").args(["-e", script]))?;
    let library = if cfg!(target_os = "macos") { "libhookward_node.dylib" } else { "libhookward_node.so" };
    // Not over the old one, which a process may still have in memory.
    let addon = to.join(format!("hookward.{}.node", target.trim()));
    drop(std::fs::remove_file(&addon));
    std::fs::copy(root().join("target/debug").join(library), &addon).context("the addon was not built")?;
    Ok(())
}
