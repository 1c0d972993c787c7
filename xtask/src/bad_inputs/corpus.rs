//! The corpus as it is written: `tests/bad-inputs/*.toml`. Unknown fields are errors, every id is there once.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::read;
use crate::run::root;

/// One request and its one right answer; in `then`, requests that follow it. Texts may contain `${…}`, see `expand`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Case {
    /// Names the case; empty in `then`.
    pub(super) id: String,
    /// What would be wrong about another answer.
    pub(super) why: String,
    /// The source whose door and secrets are meant.
    pub(super) source: String,
    pub(super) method: String,
    /// The request target; the source's door when empty. `query` is added to it.
    pub(super) target: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// What `${hex:…}` and `${b64:…}` are computed over; the body when empty.
    pub(super) signed: String,
    /// Adds the headers that make a request to the `github` source valid.
    pub(super) valid: bool,
    /// The whole request as bytes, instead of all of the above; pieces are sent one after the other.
    pub(super) raw: Vec<String>,
    /// How long to wait between pieces.
    pub(super) pause_ms: u64,
    /// Sent again and again after `raw`, until the server answers or closes.
    pub(super) endless: String,
    /// Closes the sending half after the last piece.
    pub(super) half_close: bool,
    /// How many times it is sent; each time there is the same answer.
    pub(super) times: usize,
    /// The answer's status; 0 is none at all.
    pub(super) status: u16,
    pub(super) stores: Stores,
    pub(super) then: Vec<Self>,
}

/// What is in the store afterwards that was not there before.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stores {
    Nothing,
    Event,
    Duplicate,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            id: String::new(),
            why: String::new(),
            source: "github".to_owned(),
            method: "POST".to_owned(),
            target: String::new(),
            query: String::new(),
            headers: Vec::new(),
            body: r#"{"a":"${unique}"}"#.to_owned(),
            signed: String::new(),
            valid: false,
            raw: Vec::new(),
            pause_ms: 0,
            endless: String::new(),
            half_close: false,
            times: 1,
            status: 0,
            stores: Stores::Nothing,
            then: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Case>,
}

/// Every case, file by file in the order of their names.
pub(super) fn load() -> Result<Vec<Case>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(root().join("tests/bad-inputs"))? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let (mut cases, mut ids) = (Vec::new(), BTreeSet::new());
    for path in paths {
        let file: File = read(&path)?;
        for case in file.case {
            ensure!(!case.id.is_empty() && !case.why.is_empty(), "{}: a case without id or why", path.display());
            ensure!(ids.insert(case.id.clone()), "{}: `{}` is there twice", path.display(), case.id);
            cases.push(case);
        }
    }
    Ok(cases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_well_formed() {
        assert!(load().unwrap().len() > 80);
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        assert!(toml::from_str::<File>("[[case]]\nid = \"a\"\nstaus = 401\n").is_err());
    }
}
