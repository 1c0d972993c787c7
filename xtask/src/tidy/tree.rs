//! The files under version control, as text: what every rule looks at.

use anyhow::Result;

use crate::run::{output, root};

/// All files of the repository that are text.
pub(super) struct Tree {
    pub(super) files: Vec<File>,
}

/// One file.
pub(super) struct File {
    /// From the root, with forward slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl Tree {
    /// What is committed or about to be.
    pub(super) fn of_repository() -> Result<Self> {
        let listed = output("git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
        let root = root();
        let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
        let file = |path: &str| Some(File { path: path.to_owned(), text: read(path)? });
        Ok(Self { files: listed.lines().filter_map(file).collect() })
    }

    /// Files whose path starts and ends like this.
    pub(super) fn matching<'a>(&'a self, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.path.starts_with(start) && file.path.ends_with(end))
    }

    /// The file at this path.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// A made-up tree, for the rules' tests.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
        Self { files: files.iter().map(file).collect() }
    }
}
