//! `hookward serve`: options over the file, a few lines on what was started, and the wait for the end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use hookward::Secret;
use hookward_engine::Waking;
use hookward_engine::ids::OrganizationId;
use hookward_engine::store::postgres::{self, Access};
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use tokio::signal::unix::Signal;

use super::exit::Exit;
use super::print;
use crate::config::{CA_VARIABLE, Config, Database, PASSWORD_VARIABLE, check_node_name};
use crate::serve::{self, Running};
use crate::world;

/// Notices that are printed; the rest are counted.
const NOTICES: usize = 4;

/// Names in a list that are printed; the rest are counted.
const NAMES: usize = 6;

#[derive(Debug, Args)]
#[command(after_help = "Example: hookward serve --config hookward.toml --data /var/lib/hookward\n\n\
HOOKWARD_API_KEY is the API key; without it one is made and kept in `api-key` in the data directory.\n\
HOOKWARD_LOG (debug, info, warn, …) and HOOKWARD_LOG_FORMAT=json set the log on standard error.\n\
SIGTERM finishes what is in flight and ends; SIGHUP reads the file's sources and destinations again. `hookward config default` prints every setting.")]
pub(super) struct Serve {
    /// The configuration file; without one the defaults hold, and what was declared before stays
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where data is kept [default: hookward-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The PostgreSQL database that nodes share: postgres://user@host/database [default: a file in --data]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// What this node is called among others [default: the machine's name]
    #[arg(long, value_name = "NAME", env = "HOOKWARD_NODE_NAME")]
    node_name: Option<String>,
    /// The listener that the internet reaches; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    public: Option<SocketAddr>,
    /// The listener for the dashboard and the API; port 0 takes a free one [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
}

/// Runs `hookward serve`.
pub(super) async fn run(options: Serve) -> Result<ExitCode, Exit> {
    let mut config = match &options.config {
        Some(path) => Config::load(path)?,
        None => Config::defaults(),
    };
    overrule(&mut config, &options)?;
    let given_key = world::variable("HOOKWARD_API_KEY").and_then(|key| Secret::new(key).ok());
    let has_key = given_key.is_some();
    config.api_key = given_key;
    let notices = std::mem::take(&mut config.notices);
    for notice in &notices {
        tracing::warn!("{notice}");
    }
    let data = config.settings.data.display().to_string();
    let database = config.settings.database.as_ref().map(|database| database.access.address.clone());
    allow_many_files();
    leave_no_core();
    let interrupted = serve::interrupted();
    let hangups = serve::hangups();
    let running = serve::start(config).await.map_err(Exit::failure)?;
    print::out(welcome(&running, &data, database.as_deref(), &notices, has_key).as_bytes())?;
    tokio::select! {
        () = interrupted => {}
        never = reload(&running, options.config.as_deref(), hangups) => match never {},
    }
    tracing::info!("stopping: no new requests, and what is in flight finishes");
    let at_once = serve::interrupted();
    tokio::select! {
        _ = running.stop() => {}
        () = at_once => tracing::warn!("told twice: stopped at once"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts what the command line says in the place of what the file does.
fn overrule(config: &mut Config, options: &Serve) -> Result<(), Exit> {
    let Config { settings, written, .. } = config;
    if let Some(data) = &options.data {
        settings.data.clone_from(data);
        written.overrule("data", "--data");
    }
    if let Some(address) = &options.database {
        settings.database = Some(database(settings.database.take(), address)?);
        written.overrule("database.address", "--database");
    }
    if let Some(name) = options.node_name.as_ref().filter(|name| !name.is_empty()) {
        check_node_name(name).map_err(|problem| Exit::usage(format!("--node-name: {problem}")))?;
        settings.node.name = Some(name.clone());
        written.overrule("node.name", "--node-name");
    }
    if let Some(public) = options.public {
        settings.public = public;
        written.overrule("public.address", "--public");
    }
    if let Some(admin) = options.admin {
        settings.admin = admin;
        written.overrule("admin.address", "--admin");
    }
    Ok(())
}

/// The database at `--database`, in the place of the one that the file names.
pub(super) fn database(named: Option<Database>, address: &str) -> Result<Database, Exit> {
    postgres::check_address(address).map_err(|problem| Exit::usage(format!("--database: {problem}")))?;
    let waking = named.as_ref().map_or(Waking::default(), |database| database.waking);
    let (password, ca) = named.map_or((None, None), |database| (database.access.password, database.access.ca));
    let password = password.or_else(|| world::variable(PASSWORD_VARIABLE).and_then(|text| Secret::new(text).ok()));
    let ca = ca.or_else(authorities);
    Ok(Database { access: Access { address: address.to_owned(), password, ca }, waking })
}

/// The file of authorities that the environment names.
pub(super) fn authorities() -> Option<PathBuf> {
    world::variable(CA_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Reads the file again at each SIGHUP. One that cannot be put in force changes nothing, and the log says why.
async fn reload(running: &Running, file: Option<&Path>, mut hangups: Signal) -> Infallible {
    loop {
        if hangups.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        let Some(path) = file else {
            tracing::warn!("SIGHUP: there is no configuration file to read again");
            continue;
        };
        match Config::load(path) {
            Ok(config) => {
                config.notices.iter().for_each(|notice| tracing::warn!("{notice}"));
                if let Err(error) = running.reload(config).await {
                    tracing::error!("the configuration stays as it was: {error}");
                }
            }
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
    }
}

/// A connection is a file. The soft limit is often far below what the system allows.
fn allow_many_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// A core holds every secret that is open: none is written, and nobody but root reads this process's memory.
fn leave_no_core() {
    let left = setrlimit(Resource::RLIMIT_CORE, 0, 0).and_then(|()| set_dumpable(false));
    if let Err(error) = left {
        tracing::warn!(%error, "a crash may leave a core, which would hold secrets");
    }
}

/// At most 15 lines: where things are, and what to try next.
fn welcome(running: &Running, data: &str, database: Option<&str>, notices: &[String], has_key: bool) -> String {
    let (public, admin) = (running.public(), running.admin());
    let sources: Vec<_> =
        running.engine().sources(OrganizationId::DEFAULT).into_iter().map(|source| source.name).collect();
    let destinations: Vec<_> =
        running.engine().destinations(OrganizationId::DEFAULT).into_iter().map(|to| to.name).collect();
    let mut lines = vec![
        format!("hookward {} is serving", env!("CARGO_PKG_VERSION")),
        format!("  public        http://{public}  (senders)"),
        format!("  admin         http://{admin}  (dashboard, API, /metrics; keep it private)"),
        format!("  data          {data}"),
        format!("  sources       {}", names(&sources)),
        format!("  destinations  {}", names(&destinations)),
    ];
    lines.extend(database.map(|address| format!("  database      {address}")));
    lines.extend(running.first_run_link().map(|link| format!("  first user    {link}  (once)")));
    lines.extend(notices.iter().take(NOTICES).map(|notice| format!("  notice        {notice}")));
    if notices.len() > NOTICES {
        lines.push(format!("  notice        and {} more, in the log", notices.len() - NOTICES));
    }
    let key = if has_key { String::new() } else { format!(" HOOKWARD_API_KEY=$(cat {data}/api-key)") };
    lines.push("Try next:".to_owned());
    lines.push(format!("  export HOOKWARD_URL=http://{admin}{key}"));
    match sources.first() {
        Some(name) => lines.push(format!("  hookward secret list {name} && hookward event list")),
        None => lines.push(
            "  hookward config default > hookward.toml   # every setting, explained; add a [[source]]".to_owned(),
        ),
    }
    lines.join("\n") + "\n"
}

fn names(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        few if few.len() <= NAMES => few.join(", "),
        many => format!("{} and {} more", many[..NAMES].join(", "), many.len() - NAMES),
    }
}
