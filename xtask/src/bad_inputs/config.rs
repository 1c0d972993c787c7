//! Wrong and dangerous configurations against the real binary: how it ends, what it says, what it leaves alone.
//! What only needs a file stands in `tests/bad-inputs/config/cases.toml`; what needs more is a function here.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use serde::Deserialize;
use systems::{Hookward, Request, Setup, database, world};

use super::{Tally, is_chosen, read};

/// How long a gateway that does not start may take to say so.
const END_LIMIT: Duration = Duration::from_secs(20);

/// The database in a data directory.
const DATABASE: &str = "hookward.db";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    id: String,
    why: String,
    file: String,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default)]
    environment: BTreeMap<String, String>,
    /// A file beside the configuration that everybody can read.
    open_file: Option<String>,
    /// How the process ended; 0 when it serves.
    status: i32,
    #[serde(default)]
    says: Vec<String>,
    /// The sources that there are then.
    sources: Option<Vec<String>>,
    /// A line of `/metrics`.
    metric: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Encoding {
    #[default]
    Utf8,
    #[serde(rename = "utf-8-bom")]
    Utf8Bom,
    #[serde(rename = "utf-16")]
    Utf16,
    Crlf,
}

/// A case that is more than a file.
type Scenario = (&'static str, &'static str, fn() -> Result<()>);

/// Those that are about SQLite's files.
const OF_FILES: [&str; 3] = ["cf-016-open-database", "cf-018-sqlite", "cf-032-newer-schema"];

/// The one that is about PostgreSQL's settings.
const OF_POSTGRES: &str = "cf-020-postgres-sync";

const SCENARIOS: [Scenario; 6] = [
    ("cf-016-open-database", "what everybody could write is closed, with a word in the log", open_database),
    ("cf-018-sqlite", "the SQLite that is linked in does not lose commits", sound_sqlite),
    (OF_POSTGRES, "a database that says what it has not yet written down is not used", unsynced),
    ("cf-027-unset-secret", "a source whose secret is not set believes nobody", unset_secret),
    ("cf-031-reload", "a file that is wrong when it is read again changes nothing", reload),
    ("cf-032-newer-schema", "a database of a later version is not touched", newer_schema),
];

/// Runs the cases whose id contains `only`.
pub(super) fn run(only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let corpus: Corpus = read("config/cases.toml")?;
    for case in corpus.case.iter().filter(|case| is_chosen(only, &case.id)) {
        tally.add(&case.id, &format!("exit {}", case.status), &case.why, judge(case));
    }
    for (id, why, scenario) in SCENARIOS.iter().filter(|(id, ..)| is_chosen(only, id)) {
        match database::is_postgres() {
            true if OF_FILES.contains(id) => tally.skip(only, id, "it is about SQLite's files"),
            false if *id == OF_POSTGRES => tally.skip(only, id, "it is about PostgreSQL's settings"),
            _ => tally.add(id, "scenario", why, scenario()),
        }
    }
    Ok(())
}

fn judge(case: &Case) -> Result<()> {
    let directory = tempfile::tempdir()?;
    if let Some(name) = &case.open_file {
        let path = directory.path().join(name);
        fs::write(&path, [7; 32])?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
    }
    let config = directory.path().join("hookward.toml");
    fs::write(&config, encoded(&expanded(&case.file, directory.path())?, case.encoding))?;
    let mut setup = Setup::with_config_file(directory.path(), &config)?;
    for (name, value) in &case.environment {
        setup = setup.env(name, value);
    }
    if case.status != 0 {
        let (status, said) = ended(&setup, &config, &[])?;
        ensure!(status == case.status, "ended with {status}: {said}");
        ensure!(!setup.data().join(DATABASE).exists() || case.status == 1, "it made a database before it looked");
        return says(case, &said);
    }
    let server = setup.start()?;
    says(case, &fs::read_to_string(setup.log())?)?;
    if let Some(expected) = &case.sources {
        ensure!(names(&server)? == *expected, "its sources are {:?}", names(&server)?);
    }
    if let Some(line) = &case.metric {
        let metrics = server.admin(Request::get("/metrics"))?;
        ensure!(metrics.text().lines().any(|found| found == line), "/metrics does not say {line}");
    }
    ensure!(server.terminate()?.success(), "it did not end in order");
    Ok(())
}

fn says(case: &Case, said: &str) -> Result<()> {
    match case.says.iter().find(|part| !said.contains(part.as_str())) {
        Some(part) => bail!("it does not say {part:?}: {said:.1000}"),
        None => Ok(()),
    }
}

/// Starts a gateway, with these options besides, that is to end by itself: its status, and what it said on standard error.
fn ended(setup: &Setup, config: &Path, options: &[&str]) -> Result<(i32, String)> {
    let error = setup.log().with_extension("stderr");
    let mut child = setup
        .command()
        .args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config"])
        .arg(config)
        .arg("--data")
        .arg(setup.data())
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&error)?)
        .spawn()?;
    let mut status = None;
    world::until(END_LIMIT, || {
        status = child.try_wait().ok().flatten();
        status.is_some()
    });
    let said = fs::read_to_string(&error)?;
    let Some(status) = status else {
        child.kill()?;
        child.wait()?;
        bail!("it went on: {said:.1000}");
    };
    Ok((status.code().with_context(|| format!("it did not end by itself: {status}"))?, said))
}

/// Replaces `{{directory}}`, `{{nested N}}` and `{{repeated N TEXT}}`.
fn expanded(text: &str, directory: &Path) -> Result<String> {
    let mut rest = text;
    let mut whole = String::new();
    while let Some((before, after)) = rest.split_once("{{") {
        let (marker, after) = after.split_once("}}").context("a marker without its end")?;
        whole += before;
        let words: Vec<&str> = marker.splitn(3, ' ').collect();
        match words.as_slice() {
            ["directory"] => whole += &directory.display().to_string(),
            ["nested", depth] => whole += &"{ a = ".repeat(depth.parse()?),
            ["repeated", times, text] => whole += &text.repeat(times.parse()?),
            _ => bail!("there is no marker {marker:?}"),
        }
        rest = after;
    }
    Ok(whole + rest)
}

fn encoded(text: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Utf8 => text.as_bytes().to_vec(),
        Encoding::Utf8Bom => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        Encoding::Utf16 => [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect(),
        Encoding::Crlf => text.replace('\n', "\r\n").into_bytes(),
    }
}

fn names(server: &Hookward) -> Result<Vec<String>> {
    let sources = server.list("/api/v1/sources")?;
    let mut names: Vec<String> =
        sources.iter().filter_map(|source| source["name"].as_str().map(str::to_owned)).collect();
    names.sort();
    Ok(names)
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o777)
}

fn open_database() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let setup = Setup::new(directory.path(), "")?;
    ensure!(setup.start()?.terminate()?.success(), "it did not end in order");
    let database = setup.data().join(DATABASE);
    fs::set_permissions(&database, Permissions::from_mode(0o666))?;
    fs::set_permissions(setup.data(), Permissions::from_mode(0o777))?;
    let server = setup.start()?;
    let (file, parent) = (mode(&database)?, mode(setup.data())?);
    ensure!(file == 0o600 && parent & 0o022 == 0, "the database is {file:o} in a directory that is {parent:o}");
    let log = fs::read_to_string(setup.log())?;
    ensure!(log.contains("was writable by everybody") && log.contains("had mode 0666"), "the log says nothing: {log}");
    ensure!(server.terminate()?.success(), "it did not end in order");
    Ok(())
}

/// SQLite leaves its version in the header of what it writes.
fn sound_sqlite() -> Result<()> {
    const SOUND: u32 = 3_051_003;
    let directory = tempfile::tempdir()?;
    let setup = Setup::new(directory.path(), "")?;
    ensure!(setup.start()?.terminate()?.success(), "it did not end in order");
    let bytes = fs::read(setup.data().join(DATABASE))?;
    let version = bytes.get(96..100).and_then(|field| field.try_into().ok()).map(u32::from_be_bytes);
    ensure!(version.is_some_and(|version| version >= SOUND), "it is {version:?}, at least {SOUND} is sound");
    Ok(())
}

fn unsynced() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let setup = Setup::new(directory.path(), "")?;
    let address = database::address(setup.data())?.context("servers keep their data in PostgreSQL")?;
    let off =
        "do $$ begin execute format('alter database %I set synchronous_commit = off', current_database()); end $$";
    database::psql(&address, off)?;
    let config = directory.path().join("hookward.toml");
    let (status, said) = ended(&setup, &config, &["--database", &address])?;
    ensure!(status == 1 && said.contains("has synchronous_commit off"), "ended with {status}: {said}");
    let tables = database::psql(&address, "select count(*) from pg_tables where schemaname = 'public'")?;
    ensure!(tables == b"0\n", "it made tables before it looked");
    Ok(())
}

fn unset_secret() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let config = "[[source]]\nname = \"github\"\nscheme = \"github\"\nsecret = \"env:UNSET\"\n";
    let setup = Setup::new(directory.path(), config)?;
    let server = setup.start()?;
    for secret in ["", " ", "UNSET", "env:UNSET"] {
        let answer = server.public(&systems::github::push("/in/github", secret.as_bytes(), "d", b"{}"))?;
        ensure!(answer.status == 401, "a request signed with {secret:?} was answered {}", answer.status);
    }
    let log = fs::read_to_string(setup.log())?;
    ensure!(log.contains("UNSET is not set"), "the log does not say so: {log}");
    ensure!(server.terminate()?.success(), "it did not end in order");
    Ok(())
}

fn reload() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let source = |name: &str| format!("[[source]]\nname = \"{name}\"\nunsigned = true\n");
    let setup = Setup::new(directory.path(), &source("a"))?;
    let config = directory.path().join("hookward.toml");
    let server = setup.start()?;
    let pid = Pid::from_raw(i32::try_from(server.pid())?);
    let log = || fs::read_to_string(setup.log()).unwrap_or_default();
    for wrong in ["[[source]]\nname = \"b\"\nunsgned = true\n", "[[source]\n", "\0"] {
        let complaints = log().matches("the configuration stays as it was").count();
        fs::write(&config, wrong)?;
        kill(pid, Signal::SIGHUP)?;
        let said = || log().matches("the configuration stays as it was").count() > complaints;
        ensure!(world::until(END_LIMIT, said), "the log says nothing of {wrong:?}: {}", log());
        ensure!(names(&server)? == ["a"], "its sources are {:?}", names(&server)?);
        let answer = server.public(&Request::post("/in/a").body(b"{}"))?;
        ensure!(answer.status / 100 == 2, "the door that was there answers {}", answer.status);
    }
    fs::write(&config, source("a") + &source("b"))?;
    kill(pid, Signal::SIGHUP)?;
    let is_open = || server.public(&Request::post("/in/b").body(b"{}")).is_ok_and(|answer| answer.status == 202);
    ensure!(world::until(END_LIMIT, is_open), "a good file is not in force: {}", log());
    ensure!(server.terminate()?.success(), "it did not end in order");
    Ok(())
}

fn newer_schema() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let setup = Setup::new(directory.path(), "")?;
    ensure!(setup.start()?.terminate()?.success(), "it did not end in order");
    let database = setup.data().join(DATABASE);
    let connection = Connection::open(&database)?;
    connection.execute("insert into migrations (number, name) values (9999, 'from the future')", [])?;
    connection.close().map_err(|(_, error)| error)?;
    let before = fs::read(&database)?;
    let (status, said) = ended(&setup, &directory.path().join("hookward.toml"), &[])?;
    ensure!(status == 1 && said.contains("is at schema 9999"), "ended with {status}: {said}");
    ensure!(fs::read(&database)? == before, "the database is not what it was");
    Ok(())
}
