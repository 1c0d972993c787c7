//! `cargo xtask tidy`: the house rules of STYLE.md that no compiler checks, each a small function over the tree.
//! Owns running and reporting them; the rules live below, each with a test that shows it failing.

mod boundaries;
mod layout;
mod rust;
mod size;
mod tree;
mod words;

use anyhow::{Result, bail};

use tree::Tree;

/// One broken rule: where, and what to do about it.
type Complaint = String;

type Rule = fn(&Tree) -> Vec<Complaint>;

const RULES: &[(&str, Rule)] = &[
    ("files are short", size::files_are_short),
    ("functions are short", size::functions_are_short),
    ("ARCHITECTURE.md is short", size::architecture_is_short),
    ("files say what they own", words::files_say_what_they_own),
    ("unfinished work names its condition", words::todo_has_its_condition),
    ("SQL is lower case", words::sql_is_lower_case),
    ("pages hold no code", words::pages_hold_no_code),
    ("exceptions are expected", words::exceptions_are_expected),
    ("nothing names a machine", words::nothing_names_a_machine),
    ("crates know only what they may", boundaries::crates_know_only_what_they_may),
    ("crates depend only on what they may", boundaries::crates_depend_only_on_what_they_may),
    ("every scheme has vectors", layout::every_scheme_has_vectors),
    ("migrations are numbered alike", layout::migrations_are_numbered_alike),
    ("one test binary per crate", layout::one_test_binary_per_crate),
];

/// Checks every rule and prints every complaint.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::of_repository()?;
    let mut complaints = 0;
    for (name, rule) in RULES {
        for complaint in rule(&tree) {
            println!("tidy: {complaint}  [{name}]");
            complaints += 1;
        }
    }
    if complaints > 0 {
        bail!("{complaints} complaints");
    }
    println!("tidy: {} rules hold for {} files", RULES.len(), tree.files.len());
    Ok(())
}
