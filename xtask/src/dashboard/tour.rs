//! Every page that links lead to, as different people see it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use systems::{Receiver, Scripts, Size};

use super::rig::Rig;
use crate::octokit;

const DESK: Size = Size { width: 1440, height: 900 };
const HAND: Size = Size { width: 390, height: 844 };

/// How many pages of one kind are looked at.
const OF_A_KIND: usize = 1;

/// Pages that there are at least.
const PAGES_MIN: usize = 12;

/// Walks over all pages, and fails when one of them is not as it should be.
pub(super) fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let receiver = Receiver::start(|received| if received.body().len() % 2 == 0 { 200 } else { 500 })?;
    let rig = Rig::start(directory.path(), &receiver)?;
    for number in 0..6 {
        rig.push(&format!("tour-{number}"), &systems::github::push_body(number * 1000))?;
    }
    let axe = octokit::install("octokit.mjs")?.with_file_name("node_modules/axe-core/axe.min.js");
    let axe = std::fs::read_to_string(&axe).with_context(|| axe.display().to_string())?;
    rig.browser.resize(DESK)?;
    rig.open("/dashboard/sign-in")?;
    let mut problems = Vec::new();
    look(&rig, "/dashboard/sign-in", &axe, &mut problems)?;
    rig.sign_in()?;
    let pages = pages(&rig)?;
    for page in &pages {
        look(&rig, page, &axe, &mut problems)?;
    }
    without_scripts(&rig, &pages, &mut problems)?;
    for problem in &problems {
        println!("dashboard: {problem}");
    }
    ensure!(problems.is_empty(), "{} problems on {} pages", problems.len(), pages.len());
    ensure!(pages.len() >= PAGES_MIN, "only {} pages were found: {pages:?}", pages.len());
    println!("dashboard: {} pages, each in 4 ways and without scripts: nothing wrong", pages.len());
    ensure!(rig.server.terminate()?.success(), "the gateway did not end in order");
    Ok(())
}

/// The paths of all pages that links lead to, a few of each kind.
fn pages(rig: &Rig) -> Result<Vec<String>> {
    let mut of_kind: BTreeMap<String, usize> = BTreeMap::new();
    let mut known = BTreeSet::from(["/dashboard".to_owned()]);
    let mut next = VecDeque::from(["/dashboard".to_owned()]);
    let mut pages = Vec::new();
    while let Some(path) = next.pop_front() {
        let seen = of_kind.entry(kind(&path)).or_default();
        *seen += 1;
        if *seen > OF_A_KIND {
            continue;
        }
        rig.open(&path)?;
        let links =
            "return [...document.querySelectorAll('a[href]:not([download])')].map(link => link.getAttribute('href'))";
        for link in rig.browser.run(links, &[])?.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let link = link.split('#').next().unwrap_or_default();
            if link.starts_with("/dashboard") && !link.contains("/raw") && known.insert(link.to_owned()) {
                next.push_back(link.to_owned());
            }
        }
        pages.push(path);
    }
    Ok(pages)
}

/// A path without what tells one thing from another of its kind.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_id = |segment: &&str| segment.len() > 30 && segment.contains('_');
    let segments = path.split('/').map(|segment| if is_id(&segment) { "ID" } else { segment });
    let fields = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    format!(
        "{}?{}",
        segments.collect::<Vec<_>>().join("/"),
        fields.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("&")
    )
}

/// Looks at one page on a desk and in a hand, in the light and in the dark.
fn look(rig: &Rig, path: &str, axe: &str, problems: &mut Vec<String>) -> Result<()> {
    for size in [DESK, HAND] {
        for theme in ["light", "dark"] {
            let place = format!("{path} ({theme}, {} wide)", size.width);
            rig.browser.resize(size)?;
            rig.browser.prefer(theme)?;
            rig.open(path)?;
            if let Err(problem) = rig.is_quiet() {
                problems.push(format!("{place}: {problem}"));
            }
            let wide = rig.browser.run("return document.documentElement.scrollWidth - window.innerWidth", &[])?;
            if wide.as_i64().is_none_or(|wide| wide > 0) {
                problems.push(format!("{place}: it is {wide} pixels wider than the window"));
            }
            problems.extend(violations(rig, axe)?.into_iter().map(|violation| format!("{place}: {violation}")));
            // The rules that were put into the page are no part of it.
            rig.browser.console()?;
        }
    }
    Ok(())
}

/// What axe-core finds: the rule, and the first elements that break it.
fn violations(rig: &Rig, axe: &str) -> Result<Vec<String>> {
    rig.browser.run(axe, &[])?;
    let found = rig.browser.run_async(
        "const done = arguments[arguments.length - 1];
         axe.run(document, { resultTypes: ['violations'] }).then(
           found => done(found.violations.map(one =>
             `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html.slice(0, 200)).join(' · ')}`)),
           error => done(String(error)));",
        &[],
    )?;
    match found {
        Value::Array(found) => Ok(found.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()),
        other => bail!("axe-core did not run: {other}"),
    }
}

/// Pages say the same to whoever runs no scripts.
fn without_scripts(rig: &Rig, pages: &[String], problems: &mut Vec<String>) -> Result<()> {
    rig.browser.scripts(Scripts::Off)?;
    for (size, path) in [DESK, HAND].into_iter().flat_map(|size| pages.iter().map(move |path| (size, path))) {
        rig.browser.resize(size)?;
        rig.open(path)?;
        if rig.browser.count("html.scripted")? > 0 {
            bail!("scripts ran although they are off");
        }
        if rig.browser.text_of("main h1")?.trim().is_empty() {
            problems.push(format!("{path} (no scripts, {} wide): it has no heading", size.width));
        }
    }
    rig.browser.scripts(Scripts::On)
}
