//! `cargo xtask constant-time`: a verdict takes the same number of instructions wherever a signature or a token is wrong.
//! Owns running callgrind and judging its counts; what is counted is the library's example `constant_time`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::run::{has_or_installs, output_of, root, run};

/// What ends each count, and what is counted. Names of functions of the example.
const END: &str = "constant_time::counted_end";
const COUNTED: [&str; 2] = ["constant_time::counted_verdict", "constant_time::counted_leak"];

/// The C library's functions that look after the heap.
const HEAP: [&str; 8] =
    ["malloc", "free", "realloc", "calloc", "_int_malloc", "_int_free", "_int_realloc", "malloc_consolidate"];

/// The comparison that leaks, so that the check is seen to fail.
const CONTROL: &str = "planted";

/// Characters of the shortest signature of the catalog: 20 bytes in base64, without padding.
const POSITIONS_MIN: usize = 27;

/// The schemes that are counted: together every algorithm with a secret key, every spelling of a signature and every place of one.
/// Nothing is counted of public keys: whoever measures the verdict knows everything that it depends on.
const SCHEMES: [&str; 22] = [
    "asana",
    "basic",
    "bearer",
    "dropbox",
    "github",
    "github-sha1",
    "gitlab",
    "gitlab-token",
    "meta",
    "microsoft-graph",
    "okta",
    "qflow",
    "qlens",
    "qualifio",
    "shopify",
    "slack",
    "standard-webhooks",
    "stripe",
    "svix",
    "twilio",
    "x",
    "zoom",
];

/// Counts and judges.
pub(crate) fn run_all() -> Result<()> {
    if !has_or_installs("constant-time", "valgrind", "valgrind")? {
        return Ok(());
    }
    // Optimised as it is released: what the compiler makes of a comparison is what counts.
    // Nothing is counted of RSA, whose keys are public where they verify.
    let without_rsa = ["--no-default-features", "--package", "hookward", "--example", "constant_time"];
    run("cargo", &[&["build", "--release"], &without_rsa[..]].concat())?;
    let directory = tempfile::tempdir()?;
    let labels = count(directory.path())?;
    let mut counts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (number, label) in (1..).zip(labels.lines()) {
        let scheme = label.split(' ').next().context("an empty line")?;
        counts
            .entry(scheme.to_owned())
            .or_default()
            .push(instructions(&directory.path().join(format!("out.{number}")))?);
    }
    for line in judge(&counts)? {
        println!("constant-time: {line}");
    }
    let counted: BTreeSet<&str> = counts.keys().map(String::as_str).filter(|name| *name != CONTROL).collect();
    ensure!(counted == BTreeSet::from(SCHEMES), "only these schemes were counted: {counted:?}");
    Ok(())
}

/// Runs the example under callgrind, which writes a file for each line printed. Gives the lines.
fn count(directory: &Path) -> Result<String> {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--dump-before={END}"));
    command.args(COUNTED.map(|name| format!("--toggle-collect={name}")));
    command.arg(format!("--callgrind-out-file={}", directory.join("out").display()));
    command.arg(root().join("target/release/examples/constant_time")).args(SCHEMES);
    output_of(&mut command)
}

/// The instructions of one of callgrind's files, without those of the heap: how long it looks for room depends on what was
/// given back before, not on the request.
fn instructions(path: &Path) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("callgrind wrote no {}", path.display()))?;
    let (mut all, mut counted) = (0, 0);
    let (mut is_heap, mut is_of_callee) = (false, false);
    for line in text.lines() {
        if let Some(function) = line.strip_prefix("fn=") {
            is_heap = HEAP.contains(&function);
        } else if line.starts_with("calls=") {
            is_of_callee = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            let cost = line.split(' ').nth(1).context("a line without a cost")?;
            let cost: u64 = cost.parse().with_context(|| format!("`{line}` has no cost"))?;
            if !std::mem::take(&mut is_of_callee) {
                all += cost;
                counted += if is_heap { 0 } else { cost };
            }
        }
    }
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("a count without a total")?;
    ensure!(total.trim() == all.to_string(), "{}: callgrind counts {total}, its lines {all}", path.display());
    Ok(counted)
}

/// A line for each scheme. An error when one takes different counts, was hardly counted, or the control takes but one.
fn judge(counts: &BTreeMap<String, Vec<u64>>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for (scheme, counts) in counts.iter().filter(|(scheme, _)| *scheme != CONTROL) {
        let different: BTreeSet<_> = counts.iter().collect();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        ensure!(
            different.len() == 1,
            "`{scheme}` takes from {} to {} instructions, depending on where the first difference is",
            least.copied().unwrap_or_default(),
            most.copied().unwrap_or_default()
        );
        ensure!(counts.len() >= POSITIONS_MIN, "`{scheme}` was counted at {} positions only", counts.len());
        ensure!(
            counts[0] > 1000,
            "`{scheme}`: a verdict does not take {} instructions: nothing was counted",
            counts[0]
        );
        lines.push(format!("{scheme}: {} instructions at each of {} positions", counts[0], counts.len()));
    }
    let control: BTreeSet<_> = counts.get(CONTROL).into_iter().flatten().collect();
    ensure!(control.len() > 1, "the comparison that leaks was not found out: this check proves nothing");
    lines.push(format!("a planted comparison that stops early was found out: {} different counts", control.len()));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(github: Vec<u64>, planted: Vec<u64>) -> Result<Vec<String>> {
        judge(&BTreeMap::from([("github".to_owned(), github), (CONTROL.to_owned(), planted)]))
    }

    #[test]
    fn one_count_that_differs_is_a_leak() {
        let mut counts = vec![17_165; 64];
        assert_eq!(judged(counts.clone(), vec![18, 32]).unwrap().len(), 2);
        counts[63] += 1;
        let problem = judged(counts, vec![18, 32]).unwrap_err().to_string();
        assert!(problem.starts_with("`github` takes from 17165 to 17166 instructions"), "{problem}");
    }

    #[test]
    fn a_control_that_passes_is_a_failure() {
        assert!(judged(vec![17_165; 64], vec![18, 18]).is_err());
        assert!(judged(vec![17_165; 64], vec![]).is_err());
    }

    #[test]
    fn nothing_counted_is_a_failure() {
        assert!(judged(vec![0; 64], vec![18, 32]).is_err());
        assert!(judged(vec![17_165; 26], vec![18, 32]).is_err());
    }
}
