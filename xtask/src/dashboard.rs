//! `cargo xtask dashboard`: the dashboard in a real browser. Every page that links lead to, on a desk and in a hand, light and
//! dark, with scripts and without, held against the accessibility rules of axe-core; what hostile senders and receivers
//! write, in every place where pages show it. Owns the browser's errands; pages are the product's.

mod axe;
mod hostile;
mod journey;
mod panel;
mod pictures;
mod rig;
mod systems;
mod tour;

use ::systems::world;
use anyhow::Result;

use crate::run::has_or_installs;

/// The programs and Debian's packages that have them.
const NEEDED: [(&str, &str); 5] = [
    ("chromium", "chromium"),
    ("chromedriver", "chromium-driver"),
    ("faketime", "faketime"),
    ("node", "nodejs"),
    ("npm", "npm"),
];

/// How much is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What every change goes through.
    Short,
    /// The first hour in every combination of window, theme and scripts.
    Full,
}

/// One kind of errand.
type Part = fn(Extent) -> Result<()>;

const PARTS: [(&str, Part); 4] = [
    ("journey", journey::run),
    ("systems", |_| systems::run()),
    ("tour", |_| tour::run()),
    ("hostile", |_| hostile::run()),
];

/// Runs the parts whose name contains `only`, or says visibly why not.
pub(crate) fn run(only: Option<&str>, extent: Extent) -> Result<()> {
    for (program, package) in NEEDED {
        if !has_or_installs("dashboard", program, package)? {
            return Ok(());
        }
    }
    for (name, part) in PARTS {
        if only.is_none_or(|only| name.contains(only)) {
            let started = world::instant();
            part(extent)?;
            println!("dashboard: {name}: {:.1} s", started.elapsed().as_secs_f64());
        }
    }
    // These go into the repository, so they are made when they are asked for.
    if only == Some("pictures") {
        pictures::run()?;
    }
    Ok(())
}
