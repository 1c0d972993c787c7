//! Which files must stand beside which.

use std::collections::{BTreeMap, BTreeSet};

use super::Complaint;
use super::tree::Tree;

const SCHEMES: &str = "crates/hookward/schemes/";
const MIGRATIONS: &str = "crates/engine/migrations/";

pub(super) fn every_scheme_has_vectors(tree: &Tree) -> Vec<Complaint> {
    let names: BTreeSet<&str> = tree.matching(SCHEMES, ".toml").map(|file| &file.path[SCHEMES.len()..]).collect();
    let mut complaints = Vec::new();
    for name in &names {
        let partner = match name.strip_suffix(".vectors.toml") {
            Some(scheme) => format!("{scheme}.toml"),
            None => format!("{}.vectors.toml", name.trim_end_matches(".toml")),
        };
        if !names.contains(partner.as_str()) {
            complaints.push(format!("{SCHEMES}{name}: `{partner}` is missing beside it"));
        }
    }
    complaints
}

pub(super) fn migrations_are_numbered_alike(tree: &Tree) -> Vec<Complaint> {
    let mut stores: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for file in tree.matching(MIGRATIONS, "") {
        if let Some((store, name)) = file.path[MIGRATIONS.len()..].split_once('/') {
            stores.entry(store).or_default().push(name);
        }
    }
    let mut complaints = Vec::new();
    for (store, names) in &mut stores {
        names.sort_unstable();
        for (number, name) in (baseline(names).unwrap_or(1)..).zip(names.iter()) {
            let number = format!("{number:04}_");
            if !name.starts_with(&number) || !name.ends_with(".sql") {
                complaints.push(format!("{MIGRATIONS}{store}/{name}: must be called `{number}….sql`"));
            }
        }
    }
    // What one that joined later has after its baseline, everybody has.
    let common = stores.values().filter_map(|names| baseline(names)).max().unwrap_or(0);
    let mut lists = stores.values().map(|names| {
        names.iter().filter(|name| number_of(name).is_none_or(|number| number > common)).collect::<Vec<_>>()
    });
    if let Some(first) = lists.next()
        && lists.any(|list| list != first)
    {
        complaints.push(format!("{MIGRATIONS}: the stores' migrations have different names"));
    }
    complaints
}

/// Where a store's migrations begin that joined later: its first one stands for all that the others' had come to.
fn baseline(names: &[&str]) -> Option<usize> {
    names.first().filter(|name| name.ends_with("_baseline.sql")).and_then(|name| number_of(name))
}

fn number_of(name: &str) -> Option<usize> {
    name.split('_').next()?.parse().ok()
}

pub(super) fn one_test_binary_per_crate(tree: &Tree) -> Vec<Complaint> {
    let stray = |path: &str| {
        let (_, below) = path.split_once("/tests/").filter(|_| path.starts_with("crates/"))?;
        (!below.contains('/')).then(|| format!("{path}: integration tests live in `tests/it/`, one binary per crate"))
    };
    tree.matching("crates/", ".rs").filter_map(|file| stray(&file.path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_without_vectors_is_found_and_the_other_way_round() {
        let path = |name: &str| format!("{SCHEMES}{name}");
        let (a, b, c, d) = (path("a.toml"), path("a.vectors.toml"), path("b.toml"), path("c.vectors.toml"));
        let tree = Tree::of(&[(&a, ""), (&b, ""), (&c, ""), (&d, "")]);
        assert_eq!(every_scheme_has_vectors(&tree).len(), 2);
    }

    #[test]
    fn a_gap_and_a_difference_between_stores_are_found() {
        let path = |name: &str| format!("{MIGRATIONS}{name}");
        let (a, b) = (path("sqlite/0001_a.sql"), path("sqlite/0003_c.sql"));
        assert_eq!(migrations_are_numbered_alike(&Tree::of(&[(&a, ""), (&b, "")])).len(), 1);
        let other = path("postgres/0001_b.sql");
        assert_eq!(migrations_are_numbered_alike(&Tree::of(&[(&a, ""), (&other, "")])).len(), 1);
        let (two, baseline) = (path("sqlite/0002_b.sql"), path("postgres/0002_baseline.sql"));
        assert_eq!(migrations_are_numbered_alike(&Tree::of(&[(&a, ""), (&two, ""), (&baseline, "")])), [""; 0]);
        let third = path("sqlite/0003_c.sql");
        let lacking = Tree::of(&[(&a, ""), (&two, ""), (&third, ""), (&baseline, "")]);
        assert_eq!(migrations_are_numbered_alike(&lacking).len(), 1);
    }

    #[test]
    fn a_second_test_binary_is_found() {
        let tree = Tree::of(&[("crates/a/tests/it/main.rs", ""), ("crates/a/tests/more.rs", "")]);
        assert_eq!(one_test_binary_per_crate(&tree).len(), 1);
    }
}
