//! The pictures of the README: the main pages after a day with something to see, in the light and in the dark.

mod day;

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use systems::{Browser, MovableClock, Size};

use super::rig::Rig;
use crate::run::{has_or_installs, root};
use day::Day;

/// The most that a picture may have, in bytes: they are in the repository.
const PICTURE_MAX: usize = 150 << 10;

/// A page, how high the window is, and what is clicked on before.
struct Picture {
    name: &'static str,
    path: String,
    height: u32,
    click: Option<&'static str>,
}

/// Writes `docs/pictures/PAGE-THEME.png`.
pub(super) fn run() -> Result<()> {
    if !has_or_installs("dashboard", "pngquant", "pngquant")? {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let mut clock = MovableClock::new(directory.path())?;
    let (mut day, rig) = Day::start(directory.path(), &clock, Browser::start(directory.path())?)?;
    let event = day.go_by(&rig, &mut clock)?;
    rig.sign_in()?;
    let picture = |name, path: &str, height, click| Picture { name, path: path.to_owned(), height, click };
    let pictures = [
        picture("overview", "/dashboard?range=24h", 1000, None),
        picture("events", "/dashboard/events", 800, None),
        picture("event", &format!("/dashboard/events/{event}"), 1100, None),
        picture("source", "/dashboard/sources/github", 900, None),
        picture("rotate", "/dashboard/sources/stripe#secrets", 800, Some("#secrets [data-dialog=rotate]")),
        picture("destination", "/dashboard/destinations/billing", 900, None),
    ];
    let place = root().join("docs/pictures");
    std::fs::create_dir_all(&place)?;
    for picture in &pictures {
        for theme in ["light", "dark"] {
            let png = small(&take(&rig, picture, theme)?)?;
            ensure!(png.len() <= PICTURE_MAX, "{} has {} bytes", picture.name, png.len());
            std::fs::write(place.join(format!("{}-{theme}.png", picture.name)), png)?;
        }
    }
    println!("dashboard: {} pictures in docs/pictures", pictures.len() * 2);
    rig.end().map(drop)
}

fn take(rig: &Rig, picture: &Picture, theme: &str) -> Result<Vec<u8>> {
    rig.browser.resize(Size { width: 1280, height: picture.height })?;
    rig.browser.prefer(theme)?;
    rig.open("/dashboard/settings")?;
    rig.open(&picture.path)?;
    rig.browser.wait_for("main h1")?;
    if let Some(opener) = picture.click {
        rig.browser.click(opener)?;
    }
    rig.browser.screenshot()
}

/// The same picture with fewer colours: pages have few.
fn small(png: &[u8]) -> Result<Vec<u8>> {
    let mut command = Command::new("pngquant");
    command.args(["--speed", "1", "--strip", "--quality", "70-95", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start pngquant")?;
    child.stdin.take().context("standard input was asked for")?.write_all(png)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "pngquant ended with {}", output.status);
    Ok(output.stdout)
}
