//! Every page that links lead to, as different people see it: on a desk and in a hand, in the light and in the dark, with what
//! clicks open, with a form that was filled in wrongly, and without scripts.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use systems::{Crashed, Receiver, Scripts, github};

use super::axe::Axe;
use super::rig::{DESK, HAND, Rig};

/// How many pages of one kind are looked at.
const OF_A_KIND: usize = 1;

/// What there is at least; fewer were not found.
const PAGES_MIN: usize = 41;
const OPENED_MIN: usize = 60;
const FORMS_MIN: usize = 6;

/// What was seen, and what was wrong with it.
#[derive(Default)]
struct Tour {
    pages: Vec<String>,
    /// Dialogs, and what was folded.
    opened: usize,
    /// Forms that were sent with nothing in them.
    forms: usize,
    crashed: usize,
    problems: Vec<String>,
}

/// Walks over all pages, and fails when one of them is not as it should be.
pub(super) fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let receiver = Receiver::start(|received| if received.body().len().is_multiple_of(2) { 200 } else { 500 })?;
    let mut rig = Rig::start(directory.path(), &receiver)?;
    for number in 0..6 {
        rig.push(&format!("tour-{number}"), &github::push_body(number * 1000))?;
    }
    let refused = github::push("/in/github", b"another secret", "refused", &github::push_body(7));
    ensure!(rig.server.public(&refused)?.status == 401, "a wrong signature was believed");
    rig.put_scheme("Ours")?;
    rig.post("/keys", &json!({ "name": "a-program", "scopes": ["read"] }))?;
    rig.post("/users", &json!({ "email": "ben@example.com", "scopes": ["read"] }))?;
    let axe = Axe::install()?;
    let mut tour = Tour::default();
    tour.look("/dashboard/sign-in", &rig, &axe)?;
    rig.sign_in()?;
    tour.walk(&mut rig, &axe)?;
    tour.without_scripts(&mut rig)?;
    tour.mistaken(&mut rig, &axe)?;
    let Tour { pages, opened, forms, crashed, problems } = tour;
    for problem in &problems {
        println!("dashboard: {problem}");
    }
    ensure!(problems.is_empty(), "{} problems on {} pages", problems.len(), pages.len());
    let seen = format!(
        "{} pages, each in 4 ways and without scripts, {opened} things opened, {forms} forms sent empty",
        pages.len()
    );
    ensure!(pages.len() >= PAGES_MIN && opened >= OPENED_MIN && forms >= FORMS_MIN, "only {seen}: {pages:?}");
    println!("dashboard: {seen}: nothing wrong; the browser crashed {crashed} times");
    ensure!(rig.server.terminate()?.success(), "the gateway did not end in order");
    Ok(())
}

impl Tour {
    /// Looks at every page that links lead to, a few of each kind.
    fn walk(&mut self, rig: &mut Rig, axe: &Axe) -> Result<()> {
        let mut of_kind: BTreeMap<String, usize> = BTreeMap::new();
        let mut known = BTreeSet::from(["/dashboard".to_owned()]);
        let mut next = VecDeque::from(["/dashboard".to_owned()]);
        while let Some(path) = next.pop_front() {
            let seen = of_kind.entry(kind(&path)).or_default();
            *seen += 1;
            if *seen > OF_A_KIND {
                continue;
            }
            let links = self.once_more(rig, &path, |tour, rig| tour.look(&path, rig, axe))?;
            next.extend(links.into_iter().filter(|link| known.insert(link.clone())));
            self.pages.push(path);
        }
        Ok(())
    }

    /// Does something with a page, and once more in a new browser when that crashed. Crashing again is a failure.
    fn once_more<T>(&mut self, rig: &mut Rig, path: &str, errand: impl Fn(&mut Self, &Rig) -> Result<T>) -> Result<T> {
        match errand(self, rig) {
            Err(error) if error.is::<Crashed>() => {
                println!("dashboard: {path}: {error:#}; once more in a new one");
                self.crashed += 1;
                rig.renew()?;
                errand(self, rig).with_context(|| format!("{path}, the second time"))
            }
            done => done.with_context(|| path.to_owned()),
        }
    }

    /// Looks at one page in all ways, and at what it opens. Gives the pages that it leads to.
    fn look(&mut self, path: &str, rig: &Rig, axe: &Axe) -> Result<Vec<String>> {
        rig.browser.resize(DESK)?;
        rig.browser.prefer("light")?;
        rig.open(path)?;
        if let Err(problem) = rig.is_quiet() {
            self.problems.push(format!("{path}: {problem}"));
        }
        let links = links(rig)?;
        axe.enter(&rig.browser)?;
        for size in [DESK, HAND] {
            rig.browser.resize(size)?;
            let place = format!("{path} ({} wide)", size.width);
            let wide = rig.browser.run("return document.documentElement.scrollWidth - window.innerWidth", &[])?;
            if wide.as_i64().is_none_or(|wide| wide > 0) {
                self.problems.push(format!("{place}: it is {wide} pixels wider than the window"));
            }
            self.problems.extend(axe.in_both_themes(&rig.browser, &place)?);
        }
        self.open_all(path, rig, axe)?;
        // The rules that were put into the page are no part of it.
        rig.browser.console()?;
        Ok(links)
    }

    /// Unfolds what is folded, and opens every dialog, as clicks do.
    fn open_all(&mut self, path: &str, rig: &Rig, axe: &Axe) -> Result<()> {
        let unfold = "const folded = [...document.querySelectorAll('details:not([open]) > summary')];
                      folded.forEach(one => one.click());
                      return folded.length";
        let unfolded = rig.browser.run(unfold, &[])?.as_u64().context("a count")?;
        if unfolded > 0 {
            self.opened += usize::try_from(unfolded)?;
            self.problems.extend(axe.in_both_themes(&rig.browser, &format!("{path} (unfolded)"))?);
        }
        let openers = rig
            .browser
            .run("return [...document.querySelectorAll('[data-dialog]')].map(opener => opener.dataset.dialog)", &[])?;
        for dialog in openers.as_array().into_iter().flatten().filter_map(Value::as_str) {
            let opener = format!("[data-dialog=\"{dialog}\"]");
            rig.browser.click(&opener)?;
            self.dialog(path, dialog, rig, axe)?;
            let is_back = rig
                .browser
                .run("return document.activeElement === document.querySelector(arguments[0])", &[opener.into()])?;
            if is_back != true {
                self.problems.push(format!("{path}: the focus is not back where `{dialog}` was opened"));
            }
        }
        if path == "/dashboard" {
            rig.browser.press("?")?;
            self.dialog(path, "keys", rig, axe)?;
        }
        Ok(())
    }

    /// A dialog that was opened: held against the rules, and closed by its key.
    fn dialog(&mut self, path: &str, dialog: &str, rig: &Rig, axe: &Axe) -> Result<()> {
        const ESCAPE: &str = "\u{e00c}";
        rig.browser.wait_for(&format!("dialog#{dialog}[open]"))?;
        self.opened += 1;
        self.problems.extend(axe.in_both_themes(&rig.browser, &format!("{path} (dialog `{dialog}`)"))?);
        rig.browser.press(ESCAPE)?;
        if rig.browser.count("dialog[open]")? > 0 {
            self.problems.push(format!("{path}: `{dialog}` does not close"));
        }
        Ok(())
    }

    /// Pages say the same to whoever runs no scripts.
    fn without_scripts(&mut self, rig: &mut Rig) -> Result<()> {
        for path in self.pages.clone() {
            self.once_more(rig, &path, |tour, rig| {
                rig.browser.scripts(Scripts::Off)?;
                rig.open(&path)?;
                ensure!(rig.browser.count("html.scripted")? == 0, "scripts ran although they are off");
                for size in [DESK, HAND] {
                    rig.browser.resize(size)?;
                    if rig.browser.text_of("main h1")?.trim().is_empty() {
                        tour.problems.push(format!("{path} (no scripts, {} wide): it has no heading", size.width));
                    }
                }
                if let Err(problem) = rig.is_quiet() {
                    tour.problems.push(format!("{path} (no scripts): {problem}"));
                }
                Ok(())
            })?;
        }
        rig.browser.scripts(Scripts::On)
    }

    /// Forms that are sent with nothing in them come back and say what is wrong.
    fn mistaken(&mut self, rig: &mut Rig, axe: &Axe) -> Result<()> {
        let send = "const form = [...document.querySelectorAll('main form[method=post]:not([data-into])')]
                      .find(form => form.querySelector('[required]:not([type=checkbox])'));
                    if (!form) return false;
                    form.querySelectorAll('input[required], textarea[required]').forEach(field => { field.value = ''; });
                    form.noValidate = true;
                    form.requestSubmit();
                    return true";
        for path in self.pages.clone() {
            self.once_more(rig, &path, |tour, rig| {
                rig.browser.resize(DESK)?;
                rig.open(&path)?;
                if rig.browser.run(send, &[])? != true {
                    return Ok(());
                }
                tour.forms += 1;
                rig.browser.wait_for(".notice.bad, .wrong")?;
                axe.enter(&rig.browser)?;
                tour.problems.extend(axe.in_both_themes(&rig.browser, &format!("{path} (sent empty)"))?);
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Where the links of a page lead to inside the dashboard.
fn links(rig: &Rig) -> Result<Vec<String>> {
    let links =
        "return [...document.querySelectorAll('a[href]:not([download])')].map(link => link.getAttribute('href'))";
    let links = rig.browser.run(links, &[])?;
    let links = links.as_array().into_iter().flatten().filter_map(Value::as_str);
    let links = links.map(|link| link.split('#').next().unwrap_or_default().to_owned());
    Ok(links.filter(|link| link.starts_with("/dashboard")).collect())
}

/// A path without what tells one thing from another of its kind.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_number = |segment: &str| segment.bytes().all(|byte| byte.is_ascii_digit());
    let is_id =
        |segment: &&str| !segment.is_empty() && is_number(segment) || segment.len() > 30 && segment.contains('_');
    // Of schemes there are hundreds, private ones first.
    let is_scheme = |at: usize| at == 3 && path.starts_with("/dashboard/schemes/");
    let segments = path.split('/').enumerate();
    let segments = segments.map(|(at, segment)| if is_id(&segment) || is_scheme(at) { "ID" } else { segment });
    let fields = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    format!(
        "{}?{}",
        segments.collect::<Vec<_>>().join("/"),
        fields.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join("&")
    )
}
