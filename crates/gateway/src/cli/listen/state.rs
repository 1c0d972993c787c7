//! How far `listen` came, in a file: the position of the last answer of which everything is done, and the last event done of
//! the answer after it.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::cli::exit::Exit;
use crate::world;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    /// Where to go on.
    after: Option<String>,
    /// The last event behind it that is done.
    done: Option<String>,
}

pub(super) struct State {
    path: PathBuf,
    kept: Kept,
}

impl State {
    /// That of whoever listens to the same with the same words, unless a file is named.
    pub(super) fn open(path: Option<PathBuf>, what: &[&str]) -> Result<Self, Exit> {
        let path = match path {
            Some(path) => path,
            None => default_directory()?.join(format!("listen-{}.json", short(what))),
        };
        let kept = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(Exit::usage(format!("{} cannot be read: {error}", path.display()))),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
                Exit::usage(format!("{} is not what `listen` keeps: name another with --state", path.display()))
            })?,
        };
        Ok(Self { path, kept })
    }

    pub(super) fn position(&self) -> Option<&str> {
        self.kept.after.as_deref()
    }

    /// Nothing of before counts.
    pub(super) fn forget(&mut self) {
        self.kept = Kept::default();
    }

    /// Those of `items` that are behind the last one done.
    pub(super) fn not_done(&self, items: Vec<Value>) -> Vec<Value> {
        let done = self.kept.done.as_deref();
        let behind = items.iter().position(|item| done.is_some_and(|done| item["id"] == done));
        items.into_iter().skip(behind.map_or(0, |at| at + 1)).collect()
    }

    /// An event that came after the position `after` is done.
    pub(super) fn done(&mut self, after: &str, event: &str) -> Result<(), Exit> {
        self.kept = Kept { after: Some(after.to_owned()), done: Some(event.to_owned()) };
        self.write()
    }

    /// Everything up to this position is done.
    pub(super) fn moved(&mut self, after: &str) -> Result<(), Exit> {
        if self.kept.after.as_deref() == Some(after) && self.kept.done.is_none() {
            return Ok(());
        }
        self.kept = Kept { after: Some(after.to_owned()), done: None };
        self.write()
    }

    /// Replaced whole: a process that dies meanwhile leaves the one or the other.
    fn write(&self) -> Result<(), Exit> {
        let directory = self.path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
        let text = serde_json::to_vec(&self.kept).expect("two texts are JSON");
        let written = std::fs::create_dir_all(directory).and_then(|()| {
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            file.write_all(&text)?;
            file.persist(&self.path)?;
            Ok(())
        });
        written.map_err(|error| Exit::failure(format!("{} cannot be written: {error}", self.path.display())))
    }
}

fn default_directory() -> Result<PathBuf, Exit> {
    let given = |name: &str| world::variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = given("XDG_STATE_HOME").or_else(|| Some(given("HOME")?.join(".local/state")));
    let homeless = || Exit::usage("HOME is not set: name a file with --state");
    Ok(state.ok_or_else(homeless)?.join("hookward"))
}

/// A short name for something that is told by several texts.
fn short(what: &[&str]) -> String {
    let digest = what.iter().fold(Sha256::new(), |digest, text| digest.chain_update(text).chain_update([0]));
    hex::encode(&digest.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_done_is_not_done_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("below/state.json");
        let items = || vec![json!({ "id": "a" }), json!({ "id": "b" }), json!({ "id": "c" })];
        let mut state = State::open(Some(path.clone()), &[]).unwrap();
        assert_eq!((state.position(), state.not_done(items()).len()), (None, 3));
        state.done("1", "b").unwrap();
        let mut state = State::open(Some(path.clone()), &[]).unwrap();
        assert_eq!((state.position(), state.not_done(items())), (Some("1"), vec![json!({ "id": "c" })]));
        state.moved("2").unwrap();
        let state = State::open(Some(path.clone()), &[]).unwrap();
        assert_eq!((state.position(), state.not_done(items()).len()), (Some("2"), 3));
        std::fs::write(&path, "something else").unwrap();
        assert!(State::open(Some(path), &[]).is_err());
    }
}
