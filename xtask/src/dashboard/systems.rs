//! The secrets of the example systems, in the browser: each is looked at, copied and rotated with the grace of its system; the
//! old value and the new one then do in real requests what the dialog said they would.

mod deliveries;
mod requests;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use systems::{Browser, Setup};

use super::panel::REASON;
use super::rig::Rig;
use crate::run::root;

/// One system, in a directory of its own, with the browser that it hands on.
type System = fn(&Path, Browser) -> Result<Browser>;

const SYSTEMS: [(&str, System); 5] = [
    ("qualitypilot", deliveries::qualitypilot),
    ("qualifio", deliveries::qualifio),
    ("qflow", deliveries::qflow),
    ("quantgov", requests::quantgov),
    ("trustedoss", requests::trustedoss),
];

/// Goes through all of them.
pub(super) fn run() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut browser = Browser::start(directory.path())?;
    browser.resize(super::rig::DESK)?;
    for (name, system) in SYSTEMS {
        let place = directory.path().join(name);
        std::fs::create_dir_all(&place)?;
        browser = system(&place, browser).with_context(|| name)?;
        println!("dashboard: {name}: its secrets looked at, copied and rotated");
    }
    Ok(())
}

/// The gateway of an example, and somebody who is signed in.
fn start(directory: &Path, name: &str, environment: &[(&str, &str)], browser: Browser) -> Result<Rig> {
    let config = root().join("examples").join(name).join("hookward.toml");
    let setup = Setup::with_config_file(directory, &config)?;
    let setup = environment.iter().fold(setup, |setup, (name, value)| setup.env(name, value));
    let rig = Rig::of(&setup, directory, browser)?;
    rig.browser.allow_clipboard(&rig.origin)?;
    rig.sign_in()?;
    Ok(rig)
}

/// Looks at a version, which has to be `value` where that is known, copies it and leaves. Gives it.
fn look(rig: &Rig, owner: &str, version: u32, value: Option<&str>) -> Result<String> {
    let panel = rig.panel(owner);
    let shown = panel.reveal(version)?;
    ensure!(value.is_none_or(|value| shown == value), "version {version} of {owner} is shown as `{shown}`");
    let copied = panel.copy()?;
    ensure!(copied == shown, "`{copied}` was copied");
    panel.leave(&shown)?;
    Ok(shown)
}

/// Rotates, and holds what is said before against `says`. Gives the new value.
fn rotate(rig: &Rig, owner: &str, says: &[&str]) -> Result<String> {
    let panel = rig.panel(owner);
    let told = panel.ask()?;
    for sentence in says {
        ensure!(told.contains(sentence), "the dialog of {owner} does not say `{sentence}`: {told}");
    }
    let version = panel.rotate()?;
    look(rig, owner, version, None)
}

/// What was done to the secrets of `owner` is in the audit log, with its reason, and none of their values is.
fn audited(rig: &Rig, owner: &str, values: &[&str]) -> Result<()> {
    let target = owner.replace("sources/", "source:").replace("destinations/", "destination:");
    for action in ["secret.reveal", "secret.rotate"] {
        rig.open(&format!("/dashboard/audit?action={action}&target={target}"))?;
        ensure!(rig.browser.count("[data-rows] > tr")? > 0, "no `{action}` of {target} is in the audit log");
        rig.browser.click("[data-rows] > tr td a")?;
        rig.browser.wait_for("main h1 code")?;
        let text = rig.browser.text()?;
        ensure!(action != "secret.reveal" || text.contains(REASON), "the audit log has no reason: {text}");
        ensure!(!values.iter().any(|value| text.contains(value)), "the audit log of {target} has a secret");
    }
    rig.is_quiet()
}
