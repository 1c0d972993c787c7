//! A real browser: Debian's Chromium, driven over WebDriver (W3C) by its own driver. Owns one window; what it does with
//! pages is each test's. It starts with an empty profile and reaches only what a test tells it to.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::running::Running;
use crate::{Request, http, world};

/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// How long a page may take to show what a test waits for.
const PATIENCE: Duration = Duration::from_secs(15);

/// A browser with one window; closed when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: SocketAddr,
    session: String,
    /// Ends with the value, and its browser with it.
    _running: Running,
    /// Goes after them.
    _profile: TempDir,
}

/// The browser, or what shows a page in it, ended of itself: nothing that the page did is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crashed(String);

impl fmt::Display for Crashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the browser crashed: {}", self.0)
    }
}

impl std::error::Error for Crashed {}

/// How large the window is, in CSS pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its width.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

impl Browser {
    /// Starts a browser with an empty profile below `directory`.
    pub fn start(directory: &Path) -> Result<Self> {
        let kept = tempfile::Builder::new().prefix("profile").tempdir_in(directory)?;
        let mut command = Command::new("chromedriver");
        command.arg("--port=0");
        let running = Running::start(command).context("chromedriver (Debian: apt-get install chromium-driver)")?;
        let port = |lines: &[String]| -> Option<u16> {
            let line = lines.iter().find(|line| line.contains("started successfully on port"))?;
            line.trim_end_matches('.').rsplit(' ').next()?.parse().ok()
        };
        let started = running.wait_until(Duration::from_secs(60), |printed, _| port(printed).is_some());
        ensure!(started, "chromedriver did not start: {:?}", running.said());
        let driver = SocketAddr::from(([127, 0, 0, 1], port(&running.printed()).context("its port")?));
        let profile = format!("--user-data-dir={}", kept.path().display());
        let options = json!({
            "args": [
                "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync", "--lang=en-US",
                "--force-color-profile=srgb", "--hide-scrollbars", profile,
            ],
            // Nothing is saved.
            "prefs": { "download_restrictions": 3 },
            "perfLoggingPrefs": { "enableNetwork": true, "enablePage": false },
        });
        let wanted = json!({
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        });
        let new = call(driver, "POST", "/session", &json!({ "capabilities": { "alwaysMatch": wanted } }))?;
        let session = new["sessionId"].as_str().context("a session has an id")?.to_owned();
        Ok(Self { driver, session, _running: running, _profile: kept })
    }

    /// Shows pages in a window of this size; below 600 pixels as a phone does.
    pub fn resize(&self, Size { width, height }: Size) -> Result<()> {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics).map(drop)
    }

    /// Whether pages may run scripts, from the next one on.
    pub fn scripts(&self, allowed: Scripts) -> Result<()> {
        let disabled = json!({ "value": allowed == Scripts::Off });
        self.devtools("Emulation.setScriptExecutionDisabled", &disabled).map(drop)
    }

    /// What pages are told of the system's theme, `light` or `dark`; and that nothing is to move.
    pub fn prefer(&self, theme: &str) -> Result<()> {
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": theme }, { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools("Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// Lets pages of `origin` write to the clipboard and read from it, as a person's click does.
    pub fn allow_clipboard(&self, origin: &str) -> Result<()> {
        let granted = json!({ "origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.devtools("Browser.grantPermissions", &granted).map(drop)
    }

    /// What the clipboard holds.
    pub fn clipboard(&self) -> Result<String> {
        let read = "const done = arguments[0]; navigator.clipboard.readText().then(done, error => done(String(error)))";
        Ok(self.run_async(read, &[])?.as_str().context("the clipboard holds text")?.to_owned())
    }

    /// From the next page on, what pages do after a time they do so many times as early.
    pub fn hurry(&self, times: u32) -> Result<()> {
        let source = format!(
            "const wait = window.setTimeout; window.setTimeout = (then, ms, ...with_) => wait(then, ms / {times}, ...with_)"
        );
        self.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": source })).map(drop)
    }

    /// Goes back one page.
    pub fn back(&self) -> Result<()> {
        self.post("/back", &json!({})).map(drop)
    }

    /// The same page again.
    pub fn reload(&self) -> Result<()> {
        self.post("/refresh", &json!({})).map(drop)
    }

    /// The page's cookies, those included that scripts do not see.
    pub fn cookies(&self) -> Result<Vec<Value>> {
        Ok(self.get("/cookie")?.as_array().context("a list of cookies")?.clone())
    }

    /// Puts a cookie there, as if this page had set it.
    pub fn set_cookie(&self, name: &str, value: &str) -> Result<()> {
        self.post("/cookie", &json!({ "cookie": { "name": name, "value": value } })).map(drop)
    }

    /// Opens a page and waits until it is there.
    pub fn open(&self, url: &str) -> Result<()> {
        self.post("/url", &json!({ "url": url })).map(drop)
    }

    /// The address of the page.
    pub fn url(&self) -> Result<String> {
        Ok(self.get("/url")?.as_str().context("a page has an address")?.to_owned())
    }

    /// The page's title.
    pub fn title(&self) -> Result<String> {
        Ok(self.get("/title")?.as_str().context("a page has a title")?.to_owned())
    }

    /// The document's text, as it is seen.
    pub fn text(&self) -> Result<String> {
        self.text_of("body")
    }

    /// The document as it stands, markup and all.
    pub fn html(&self) -> Result<String> {
        Ok(self.get("/source")?.as_str().context("a page has a source")?.to_owned())
    }

    /// The text of the first element that a CSS selector finds, as it is seen.
    pub fn text_of(&self, selector: &str) -> Result<String> {
        let element = self.find(selector)?;
        Ok(self.get(&format!("/element/{element}/text"))?.as_str().unwrap_or_default().to_owned())
    }

    /// The same, if there is such an element now.
    pub fn text_if_any(&self, selector: &str) -> Result<Option<String>> {
        let found = self.post("/elements", &json!({ "using": "css selector", "value": selector }))?;
        let Some(element) = found.get(0).and_then(|one| one[ELEMENT].as_str()) else { return Ok(None) };
        Ok(self.get(&format!("/element/{element}/text"))?.as_str().map(str::to_owned))
    }

    /// What stands in a field now.
    pub fn value_of(&self, selector: &str) -> Result<String> {
        let element = self.find(selector)?;
        Ok(self.get(&format!("/element/{element}/property/value"))?.as_str().unwrap_or_default().to_owned())
    }

    /// How many elements a CSS selector finds.
    pub fn count(&self, selector: &str) -> Result<usize> {
        let found = self.post("/elements", &json!({ "using": "css selector", "value": selector }))?;
        Ok(found.as_array().context("a list of elements")?.len())
    }

    /// Clicks on the first element that a CSS selector finds.
    pub fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector)?;
        let clicked = self.post(&format!("/element/{element}/click"), &json!({}));
        clicked.with_context(|| format!("clicking on `{selector}`")).map(drop)
    }

    /// Writes into a field, in place of what stood there.
    pub fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.find(selector)?;
        self.post(&format!("/element/{element}/clear"), &json!({}))?;
        let typed = self.post(&format!("/element/{element}/value"), &json!({ "text": text }));
        typed.with_context(|| format!("writing into `{selector}`")).map(drop)
    }

    /// Chooses an option of a list by its value.
    pub fn choose(&self, selector: &str, value: &str) -> Result<()> {
        self.click(&format!("{selector} option[value=\"{value}\"]"))
    }

    /// Puts the focus on the first element that a CSS selector finds.
    pub fn focus(&self, selector: &str) -> Result<()> {
        let script = "const one = document.querySelector(arguments[0]); one?.focus(); return one !== null";
        ensure!(self.run(script, &[selector.into()])? == true, "nothing matches `{selector}`");
        Ok(())
    }

    /// Presses keys, wherever the page has its focus.
    pub fn press(&self, keys: &str) -> Result<()> {
        let strokes = keys.chars().flat_map(|key| {
            [
                json!({ "type": "keyDown", "value": key.to_string() }),
                json!({ "type": "keyUp", "value": key.to_string() }),
            ]
        });
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() });
        self.post("/actions", &json!({ "actions": [keyboard] })).map(drop)
    }

    /// Runs a script's body in the page, and gives what it returns. Works where pages may not run scripts only as far as
    /// the driver does.
    pub fn run(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        self.post("/execute/sync", &json!({ "script": script, "args": arguments }))
    }

    /// The same for one that calls its last argument when it is done.
    pub fn run_async(&self, script: &str, arguments: &[Value]) -> Result<Value> {
        self.post("/execute/async", &json!({ "script": script, "args": arguments }))
    }

    /// Waits until a CSS selector finds something.
    pub fn wait_for(&self, selector: &str) -> Result<()> {
        let there = world::until(PATIENCE, || self.count(selector).is_ok_and(|count| count > 0));
        ensure!(there, "nothing matches `{selector}` at {}: {}", self.url()?, self.text()?);
        Ok(())
    }

    /// Waits until the page says something.
    pub fn wait_for_text(&self, wanted: &str) -> Result<()> {
        let there = world::until(PATIENCE, || self.text().is_ok_and(|text| text.contains(wanted)));
        ensure!(there, "`{wanted}` is not at {}: {}", self.url()?, self.text()?);
        Ok(())
    }

    /// A picture of the window, as PNG.
    pub fn screenshot(&self) -> Result<Vec<u8>> {
        let picture = self.get("/screenshot")?;
        Ok(STANDARD.decode(picture.as_str().context("a picture is text")?)?)
    }

    /// What the console was told since the last time: errors, refused content, warnings. Not what a browser's own pages say,
    /// such as the one that it begins with.
    pub fn console(&self) -> Result<Vec<String>> {
        let lines = self.post("/se/log", &json!({ "type": "browser" }))?;
        let is_a_pages = |line: &&Value| !line["message"].as_str().is_some_and(is_its_own);
        let told = |line: &Value| format!("{}: {}", line["level"], line["message"]);
        Ok(lines.as_array().context("a list of lines")?.iter().filter(is_a_pages).map(told).collect())
    }

    /// What was asked for over the network since the last time, and how it was answered. A browser has pages and pictures of
    /// its own.
    pub fn traffic(&self) -> Result<Traffic> {
        let lines = self.post("/se/log", &json!({ "type": "performance" }))?;
        let mut traffic = Traffic::default();
        for line in lines.as_array().context("a list of lines")? {
            let message: Value = serde_json::from_str(line["message"].as_str().unwrap_or_default())?;
            let (method, told) = (&message["message"]["method"], &message["message"]["params"]);
            let address = |of: &Value| Some(of["url"].as_str()?.to_owned()).filter(|url| !is_its_own(url));
            if method == "Network.requestWillBeSent" {
                let Some(url) = address(&told["request"]) else { continue };
                let referer = told["request"]["headers"]["Referer"].as_str().filter(|referer| !referer.is_empty());
                traffic.referers.extend(referer.map(str::to_owned));
                traffic.requested.push(url);
                // A redirect is told with the request that follows it.
                if let Some(status) = told["redirectResponse"]["status"].as_u64() {
                    traffic.answered.extend(address(&told["redirectResponse"]).map(|url| (url, status)));
                }
            } else if method == "Network.responseReceived" {
                let Some(status) = told["response"]["status"].as_u64() else { continue };
                traffic.answered.extend(address(&told["response"]).map(|url| (url, status)));
            }
        }
        Ok(traffic)
    }

    fn find(&self, selector: &str) -> Result<String> {
        let wanted = json!({ "using": "css selector", "value": selector });
        let mut found = None;
        world::until(PATIENCE, || {
            found = self.post("/element", &wanted).ok();
            found.is_some()
        });
        let Some(found) = found else { bail!("nothing matches `{selector}` at {}: {}", self.url()?, self.title()?) };
        Ok(found[ELEMENT].as_str().context("an element has an id")?.to_owned())
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Result<Value> {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    fn get(&self, path: &str) -> Result<Value> {
        call(self.driver, "GET", &format!("/session/{}{path}", self.session), &Value::Null)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        call(self.driver, "POST", &format!("/session/{}{path}", self.session), body)
    }
}

/// What went over the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// The addresses that were asked for.
    pub requested: Vec<String>,
    /// The addresses that were answered, and the status.
    pub answered: Vec<(String, u64)>,
    /// From which pages requests said they came.
    pub referers: Vec<String>,
}

/// Whether an address is none of the network's.
fn is_its_own(url: &str) -> bool {
    ["chrome:", "chrome-untrusted:", "data:", "about:"].iter().any(|own| url.starts_with(own))
}

/// Whether pages may run scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scripts {
    /// They may.
    On,
    /// They may not.
    Off,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let path = format!("/session/{}", self.session);
        let _ = call(self.driver, "DELETE", &path, &Value::Null);
    }
}

/// One command of the protocol, and its value.
fn call(driver: SocketAddr, method: &str, path: &str, body: &Value) -> Result<Value> {
    let mut request = Request::new(method, path).header("Content-Type", "application/json");
    if !body.is_null() {
        request = request.body(body.to_string().as_bytes());
    }
    let answer = http::send(driver, &request).with_context(|| format!("{method} {path}"))?;
    let mut value = answer.json();
    let value = value["value"].take();
    if answer.status == 200 {
        return Ok(value);
    }
    let (error, message) = (value["error"].to_string(), value["message"].to_string());
    let ended =
        ["invalid session id", "tab crashed", "page crash", "not connected to DevTools", "chrome not reachable"];
    if ended.iter().any(|end| error.contains(end) || message.contains(end)) {
        return Err(Crashed(message).into());
    }
    bail!("{method} {path}: {error}: {message}")
}
