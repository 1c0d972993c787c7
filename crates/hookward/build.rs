//! Owns the list of the schemes that come with the library: every file in `schemes/`, in the order of its name. Reads none of them.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

#[expect(clippy::disallowed_methods, reason = "a build script is told by its environment where it works")]
fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=schemes");
    println!("cargo::rerun-if-changed=build.rs");
    let here = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let names = names(&Path::new(&here).join("schemes"))?;
    let mut table = format!("static ENTRIES: [Entry; {}] = [\n", names.len());
    for name in &names {
        let path = format!("/schemes/{name}.toml");
        let source = format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))");
        writeln!(table, "    Entry::new({name:?}, {source}),").map_err(io::Error::other)?;
    }
    table += "];\n";
    fs::write(Path::new(&out).join("catalog.rs"), table)
}

/// The names of the scheme files, sorted. A file of vectors, `NAME.vectors.toml`, is none.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let file = entry?.file_name();
        let file = file.to_str().ok_or_else(|| io::Error::other("the name of a scheme file is not utf-8"))?;
        names.extend(file.strip_suffix(".toml").filter(|name| !name.contains('.')).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}
