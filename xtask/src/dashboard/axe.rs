//! The accessibility rules of axe-core, run in a page.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use systems::Browser;

use crate::octokit;

/// The rules, as they are put into pages.
pub(super) struct Axe(String);

/// Which rules are held against a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    All,
    /// Those that a theme can break.
    OfColours,
}

impl Axe {
    /// The rules, installed below `target`.
    pub(super) fn install() -> Result<Self> {
        let path = octokit::install("octokit.mjs")?.with_file_name("node_modules/axe-core/axe.min.js");
        Ok(Self(std::fs::read_to_string(&path).with_context(|| path.display().to_string())?))
    }

    /// Puts the rules into the page that is open.
    pub(super) fn enter(&self, browser: &Browser) -> Result<()> {
        browser.run(&self.0, &[]).map(drop)
    }

    /// What breaks the rules in the page as it stands, in the light and in the dark. The page is the same in both, but for
    /// its colours.
    pub(super) fn in_both_themes(&self, browser: &Browser, place: &str) -> Result<Vec<String>> {
        let mut found = Vec::new();
        for (theme, rules) in [("light", Rules::All), ("dark", Rules::OfColours)] {
            browser.prefer(theme)?;
            let broken = self.broken(browser, rules).with_context(|| place.to_owned())?;
            found.extend(broken.into_iter().map(|rule| format!("{place}, {theme}: {rule}")));
        }
        Ok(found)
    }

    /// What breaks the rules in the page as it stands.
    pub(super) fn here(&self, browser: &Browser) -> Result<Vec<String>> {
        self.enter(browser)?;
        self.broken(browser, Rules::All)
    }

    /// The rules that are broken, each with the first elements that break it.
    fn broken(&self, browser: &Browser, rules: Rules) -> Result<Vec<String>> {
        let only = match rules {
            Rules::All => Value::Null,
            Rules::OfColours => json!({ "type": "rule", "values": ["color-contrast", "link-in-text-block"] }),
        };
        let found = browser.run_async(
            "const [only, done] = arguments;
             const options = { resultTypes: ['violations'], ...(only && { runOnly: only }) };
             axe.run(document, options).then(
               found => done(found.violations.map(one =>
                 `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html.slice(0, 200)).join(' · ')}`)),
               error => done(String(error)));",
            &[only],
        )?;
        match found {
            Value::Array(found) => Ok(found.iter().map(|one| one.as_str().unwrap_or_default().to_owned()).collect()),
            other => bail!("axe-core did not run: {other}"),
        }
    }
}
