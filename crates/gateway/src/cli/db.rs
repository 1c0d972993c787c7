//! `hookward db`: what is done with a database as a whole. It opens the data itself, where `hookward backup` asks a gateway.
//! Owns what is typed and shown; what is done is the engine's `moving`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use hookward::Secret;
use hookward_engine::backup::RestoreError;
use hookward_engine::clock::{Clock, SystemClock, SystemEntropy};
use hookward_engine::kms::Kms;
use hookward_engine::moving::{self, Address, Copy, MoveError, Moved, Run, Status};
use hookward_engine::store::postgres::{self, Access};
use serde_json::{Value, json};

use super::exit::Exit;
use super::print::{self, Column};
use super::{backup, serve};
use crate::config::{Config, PASSWORD_VARIABLE, Settings, look_up_here};
use crate::{serve as gateway, world};

mod progress;

const PLACES: &str = "Databases are `sqlite:DIRECTORY` and `postgres://user@host:port/database`. The password of a database is in\n\
HOOKWARD_DATABASE_PASSWORD, a file of authorities for its certificate in HOOKWARD_DATABASE_CA, or both in the configuration file.";

#[derive(Debug, Subcommand)]
#[command(after_help = PLACES)]
pub(super) enum What {
    /// Copy everything into another database, compare it there, and bring its secrets under the key that is used there
    ///
    /// Nothing may serve either meanwhile. A copy that was ended goes on when the same command is run again; before its end
    /// nothing serves it.
    #[command(
        after_help = "Example: hookward db copy --from sqlite:/var/lib/hookward --to postgres://hookward@db.example.com/hookward"
    )]
    Copy(CopyOptions),
    /// Say how a database stands
    Status {
        #[command(flatten)]
        which: Which,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Bring a database's schema to what this version of Hookward needs, which `serve` does as well
    Migrate {
        #[command(flatten)]
        which: Which,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Save everything in a file, while it may be served
    ///
    /// The master key is never in it: without the key a restored gateway has no secret.
    Backup {
        /// The file to make
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        #[command(flatten)]
        which: Which,
    },
    /// Put a backup in place, wherever it was taken
    Restore {
        /// The backup
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// Where to: `sqlite:DIRECTORY` or `postgres://…`, new or empty
        #[arg(long, value_name = "DATABASE")]
        to: String,
        /// The password of `--to`: env:NAME or file:PATH
        #[arg(long, value_name = "REFERENCE")]
        to_password: Option<String>,
        /// The authorities that the certificate of `--to` is held against, in PEM [default: HOOKWARD_DATABASE_CA]
        #[arg(long, value_name = "FILE")]
        to_ca: Option<PathBuf>,
    },
}

/// Which database, as `serve` is told.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The configuration file of the gateway
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory [default: hookward-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The PostgreSQL database: postgres://user@host/database [default: the file in --data]
    #[arg(long, value_name = "URL")]
    database: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct CopyOptions {
    /// What to copy: `sqlite:DIRECTORY` or `postgres://…`
    #[arg(long, value_name = "DATABASE")]
    from: String,
    /// Where to: new, empty, or the same copy unfinished
    #[arg(long, value_name = "DATABASE")]
    to: String,
    /// The configuration that `--to` will be served with: secrets come under the key of its `[kms]`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data directory that `--to` will be served with: secrets come under its master key, if it has one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The password of `--from`: env:NAME or file:PATH
    #[arg(long, value_name = "REFERENCE")]
    from_password: Option<String>,
    /// The password of `--to`: env:NAME or file:PATH
    #[arg(long, value_name = "REFERENCE")]
    to_password: Option<String>,
    /// The authorities that the certificate of `--from` is held against, in PEM [default: HOOKWARD_DATABASE_CA]
    #[arg(long, value_name = "FILE")]
    from_ca: Option<PathBuf>,
    /// The same for `--to`
    #[arg(long, value_name = "FILE")]
    to_ca: Option<PathBuf>,
    /// Show what was compared as JSON
    #[arg(long)]
    json: bool,
}

const TABLES: [Column; 3] = [("TABLE", "table"), ("ROWS", "rows"), ("SHA-256", "sha256")];
const ROWS: [Column; 2] = [("TABLE", "table"), ("ROWS", "rows")];

/// Runs `hookward db …`.
pub(super) async fn run(what: What) -> Result<(), Exit> {
    match what {
        What::Copy(options) => copy(options).await,
        What::Status { which, json } => {
            let address = which.settings()?.1;
            let status = moving::status(address).await.map_err(exit)?;
            show_status(&status, json)
        }
        What::Migrate { which, dry_run } => {
            let (address, run) = (which.settings()?.1, if dry_run { Run::OnlyToSay } else { Run::Really });
            let name = address.to_string();
            let migrated = moving::migrate(address, run).await.map_err(exit)?;
            let names = migrated.names.join(", ");
            print::line(&match (migrated.names.is_empty(), run) {
                (true, _) => format!("{name}: at schema {}, which is the newest", migrated.to),
                (_, Run::Really) => format!("{name}: from schema {} to {}: {names}", migrated.from, migrated.to),
                (_, Run::OnlyToSay) => {
                    format!("{name}: would go from schema {} to {}: {names}", migrated.from, migrated.to)
                }
            })
        }
        What::Backup { to, which } => {
            let address = which.settings()?.1;
            let beside = to.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
            let saved = moving::backup(address, beside.to_owned(), SystemClock::new().now()).await.map_err(exit)?;
            let keys = saved.manifest.key_ids.join(", ");
            let bytes = backup::keep(&to, saved)?;
            let keys = if keys.is_empty() { String::new() } else { format!("; its secrets need {keys}") };
            print::line(&format!("{}: {bytes} bytes{keys}", to.display()))
        }
        What::Restore { from, to, to_password, to_ca } => {
            let address = address("--to", &to, (to_password.as_deref(), to_ca), None)?;
            let restored = moving::restore(from, address, progress::watcher()).await;
            let restored = restored.map_err(|error| match error {
                RestoreError::Copy(error) => exit(error),
                error => backup::exit(error),
            })?;
            backup::tell(&to, &restored)
        }
    }
}

impl Which {
    /// The settings, and the database that they name.
    fn settings(&self) -> Result<(Settings, Address), Exit> {
        let mut settings = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::defaults(),
        }
        .settings;
        if let Some(data) = &self.data {
            settings.data.clone_from(data);
        }
        if let Some(address) = &self.database {
            settings.database = Some(serve::database(settings.database.take(), address)?);
        }
        let address = match &settings.database {
            None => Address::Sqlite(settings.data.clone()),
            Some(database) => Address::Postgres(database.access.clone()),
        };
        Ok((settings, address))
    }
}

/// What `option` names.
fn address(
    option: &str,
    text: &str,
    (password, ca): (Option<&str>, Option<PathBuf>),
    configured: Option<&crate::config::Database>,
) -> Result<Address, Exit> {
    let usage = |problem: &dyn std::fmt::Display| Exit::usage(format!("{option}: {problem}"));
    if let Some(directory) = text.strip_prefix("sqlite:") {
        return match directory {
            "" => Err(usage(&"`sqlite:` is followed by the data directory")),
            directory => Ok(Address::Sqlite(PathBuf::from(directory))),
        };
    }
    postgres::check_address(text).map_err(|problem| {
        usage(&format!("it is neither `sqlite:DIRECTORY` nor the address of a PostgreSQL database: {problem}"))
    })?;
    let secret = |text: &[u8]| Secret::new(text.to_vec()).ok();
    let configured = configured.map(|database| &database.access).filter(|access| access.address == text);
    let password = match password {
        Some(reference) => {
            let found = look_up_here(reference, &world::variable).map_err(|problem| usage(&problem))?;
            let found = found.ok_or_else(|| usage(&format!("the password `{reference}` is not set")))?;
            secret(found.as_bytes())
        }
        None => match configured {
            Some(access) => access.password.clone(),
            None => world::variable(PASSWORD_VARIABLE).and_then(|text| secret(text.as_bytes())),
        },
    };
    let ca = ca.or_else(|| configured.map_or_else(serve::authorities, |access| access.ca.clone()));
    Ok(Address::Postgres(Access { address: text.to_owned(), password, ca }))
}

async fn copy(options: CopyOptions) -> Result<(), Exit> {
    let settings = match &options.config {
        Some(path) => Config::load(path)?,
        None => Config::defaults(),
    }
    .settings;
    let configured = settings.database.as_ref();
    let from = (options.from_password.as_deref(), options.from_ca.clone());
    let from = address("--from", &options.from, from, configured)?;
    let to = (options.to_password.as_deref(), options.to_ca.clone());
    let to = address("--to", &options.to, to, configured)?;
    let kms = keys(&options, settings, &from, &to)?;
    let entropy = Arc::new(SystemEntropy);
    let copy = Copy { from, to, kms, entropy, now: SystemClock::new().now() };
    let moved = moving::copy(copy, progress::watcher()).await.map_err(exit)?;
    show_copy(&options, &moved)
}

/// What secrets come under where they are copied to, if that is known.
fn keys(
    options: &CopyOptions,
    mut settings: Settings,
    from: &Address,
    to: &Address,
) -> Result<Option<Arc<dyn Kms>>, Exit> {
    match (&options.data, to) {
        (Some(data), _) | (None, Address::Sqlite(data)) => settings.data.clone_from(data),
        (None, Address::Postgres(_)) if options.config.is_none() => return Ok(None),
        (None, Address::Postgres(_)) => {}
    }
    let source = match from {
        Address::Sqlite(directory) => Some(directory.as_path()),
        Address::Postgres(_) => None,
    };
    gateway::keys_of_copy(&settings, source).map_err(Exit::failure)
}

fn show_copy(options: &CopyOptions, moved: &Moved) -> Result<(), Exit> {
    let Moved { verified, rewrapped, sealed } = moved;
    if options.json {
        return print::json(&json!({
            "tables": verified.tables,
            "audit_head": verified.head.to_string(),
            "texts_replaced": verified.replaced,
            "rewrapped": rewrapped.as_ref().map(|one| json!({ "to": one.to, "done": one.done, "skipped": one.skipped })),
            "sealed": sealed.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        }));
    }
    let tables: Vec<Value> = verified.tables.iter().map(|table| json!(table)).collect();
    print::line(&print::table(&tables, &TABLES))?;
    print::line(&format!("\ncopied and compared, value by value; the audit log holds, head {}", verified.head))?;
    if verified.replaced > 0 {
        print::line(&format!(
            "{} texts had a zero in them, which PostgreSQL cannot hold: U+FFFD stands there now",
            verified.replaced
        ))?;
    }
    if let Some(rewrapped) = rewrapped.as_ref().filter(|rewrapped| rewrapped.done > 0) {
        print::line(&format!("{} secrets came under `{}`", rewrapped.done, rewrapped.to))?;
    }
    for (key_id, values) in sealed {
        let own = rewrapped.as_ref().is_some_and(|rewrapped| rewrapped.to == *key_id);
        let needs = if own { "" } else { ": whoever serves it needs that key" };
        print::line(&format!("{values} secrets are under `{key_id}`{needs}"))?;
    }
    Ok(())
}

fn show_status(status: &Status, as_json: bool) -> Result<(), Exit> {
    if as_json {
        return print::json(&json!(status));
    }
    let said = |milliseconds: i64| {
        jiff::Timestamp::from_millisecond(milliseconds).map_or_else(|_| milliseconds.to_string(), |at| at.to_string())
    };
    let mut lines = vec![
        format!("database     {}", status.database),
        format!("kept by      {}", status.kept_by),
        format!("schema       {} of {}", status.schema, status.newest_schema),
        format!("size         {} bytes", status.size_bytes),
        format!("outstanding  {} deliveries", status.outstanding),
    ];
    lines.extend(status.oldest_due_at_ms.map(|at| format!("oldest due   {}", said(at))));
    lines.extend(status.oldest_snapshot_s.map(|age| format!("snapshot     the oldest is {age} s old")));
    lines.extend(status.dead_rows.map(|rows| format!("dead rows    {rows}")));
    lines.extend(status.locks.map(|locks| {
        let told = format!("locks        a list takes {}, and there is room for {}", locks.of_a_list, locks.room);
        match locks.is_tight() {
            true => told + ": too few; raise max_locks_per_transaction, or keep fewer days",
            false => told,
        }
    }));
    lines.extend(status.unfinished_copy_of.as_ref().map(|origin| format!("unfinished   it is a copy of {origin}")));
    print::line(&lines.join("\n"))?;
    let about = |is_about: bool| if is_about { "about " } else { "" };
    let rows = status.rows.iter();
    let rows: Vec<_> =
        rows.map(|one| json!({ "table": one.table, "rows": format!("{}{}", about(one.is_about), one.rows) })).collect();
    print::line(&format!("\n{}", print::table(&rows, &ROWS)))
}

fn exit(error: MoveError) -> Exit {
    match error {
        MoveError::Missing(_) => Exit::not_found(error),
        _ => Exit::failure(error),
    }
}
