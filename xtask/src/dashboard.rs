//! `cargo xtask dashboard`: the dashboard in a real browser. Every page that links lead to, on a desk and in a hand, light and
//! dark, with scripts and without, held against the accessibility rules of axe-core; what hostile senders and receivers
//! write, in every place where pages show it. Owns the browser's errands; pages are the product's.

mod hostile;
mod journey;
mod pictures;
mod rig;
mod tour;

use anyhow::Result;

use crate::run::has_or_installs;

/// The programs and Debian's packages that have them.
const NEEDED: [(&str, &str); 4] =
    [("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("node", "nodejs"), ("npm", "npm")];

/// One kind of errand.
type Part = fn() -> Result<()>;

const PARTS: [(&str, Part); 3] = [("journey", journey::run), ("tour", tour::run), ("hostile", hostile::run)];

/// Runs the parts whose name contains `only`, or says visibly why not.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    for (program, package) in NEEDED {
        if !has_or_installs("dashboard", program, package)? {
            return Ok(());
        }
    }
    for (name, part) in PARTS {
        if only.is_none_or(|only| name.contains(only)) {
            part()?;
        }
    }
    // These go into the repository, so they are made when they are asked for.
    if only == Some("pictures") {
        pictures::run()?;
    }
    Ok(())
}
