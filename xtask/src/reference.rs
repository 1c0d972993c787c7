//! `cargo xtask reference`: docs/schemes.md and docs/scheme.schema.json, as the library describes the files that it reads.

use anyhow::{Result, ensure};

use crate::run::{output, root};

/// Each file with what the library's example is asked for.
const FILES: [(&str, &str); 2] = [("docs/schemes.md", "page"), ("docs/scheme.schema.json", "schema")];

/// Writes both files, or compares them with what is there.
pub(crate) fn run(check: bool) -> Result<()> {
    for (file, what) in FILES {
        let example =
            ["run", "--quiet", "--package", "hookward", "--features", "schema", "--example", "reference", "--", what];
        let text = output("cargo", &example)?;
        let path = root().join(file);
        if check {
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            ensure!(
                found.trim_end() == text.trim_end(),
                "{file} is not what the library says: run `cargo xtask reference`"
            );
        } else {
            std::fs::write(&path, format!("{}\n", text.trim_end()))?;
        }
    }
    println!("reference: docs/schemes.md and docs/scheme.schema.json are what the library says");
    Ok(())
}
