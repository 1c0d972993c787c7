//! The secrets of a source or a destination, as somebody goes through them on its page: looks at one, copies it, reads what a
//! rotation means, rotates. With scripts it all stays on the page; without, each step has a page of its own.

use anyhow::{Context, Result, ensure};
use systems::{Browser, Scripts};

/// Why somebody looks.
pub(super) const REASON: &str = "setting up the other side";

/// The panel on one page.
pub(super) struct Panel<'a> {
    browser: &'a Browser,
    page: String,
    scripts: Scripts,
}

impl<'a> Panel<'a> {
    /// That of the page at this address.
    pub(super) fn new(browser: &'a Browser, page: String, scripts: Scripts) -> Self {
        Self { browser, page, scripts }
    }

    /// Looks at a version: a reason is asked for, the value comes only then, and goes nowhere else. Gives it.
    pub(super) fn reveal(&self, version: u32) -> Result<String> {
        let browser = self.browser;
        browser.open(&self.page)?;
        let before = browser.html()?;
        let details = format!("#secrets details:has(form[action$=\"/secrets/{version}/reveal\"])");
        browser.click(&format!("{details} summary"))?;
        let look = format!("{details} button.first");
        browser.click(&look)?;
        ensure!(browser.count("#value")? == 0, "version {version} is shown to whoever gives no reason");
        browser.fill(&format!("{details} [name=reason]"), REASON)?;
        browser.click(&look)?;
        browser.wait_for("#value")?;
        let value = browser.text_of("#value")?;
        ensure!(!value.is_empty(), "nothing is shown");
        ensure!(!before.contains(&value), "version {version} is in the page before anybody asked");
        for place in [browser.url()?, browser.title()?] {
            ensure!(!place.contains(&value), "version {version} is in `{place}`");
        }
        if self.scripts == Scripts::On {
            ensure!(browser.url()? == self.page, "it led to {}", browser.url()?);
        }
        Ok(value)
    }

    /// Copies the value that is shown, and gives what was copied.
    pub(super) fn copy(&self) -> Result<String> {
        self.browser.click("[data-copy=value]")?;
        self.browser.wait_for_text("Copied")?;
        self.browser.clipboard()
    }

    /// Leaves the page and comes back to it: no value is there any more.
    pub(super) fn leave(&self, value: &str) -> Result<()> {
        self.browser.open(&format!("{}#refusals", self.page))?;
        self.browser.open("about:blank")?;
        self.browser.back()?;
        self.browser.wait_for("#secrets")?;
        ensure!(!self.browser.html()?.contains(value), "the value is still there after the page was left");
        Ok(())
    }

    /// Asks for a rotation. Gives what is said of it, and does nothing yet.
    pub(super) fn ask(&self) -> Result<String> {
        self.browser.open(&self.page)?;
        self.browser.click("#secrets [data-dialog=rotate]")?;
        self.browser.wait_for(&format!("{} form", self.dialog()))?;
        self.browser.text_of(self.dialog())
    }

    /// Does what was asked for, on the terms that stand there. Gives the version that it made.
    pub(super) fn rotate(&self) -> Result<u32> {
        self.browser.click(&format!("{} form[action$=\"/rotate\"] button.first", self.dialog()))?;
        self.browser.wait_for("main > .notice[role=status]").context("after a rotation")?;
        let newest = self.browser.text_of("#secrets .versions li strong")?;
        newest
            .rsplit(' ')
            .next()
            .and_then(|number| number.parse().ok())
            .with_context(|| format!("`{newest}`: a version"))
    }

    fn dialog(&self) -> &'static str {
        match self.scripts {
            Scripts::On => "dialog#rotate[open]",
            Scripts::Off => "main",
        }
    }
}
