//! `hookward schemes`: what the library can verify and sign, and the files that say how; and the private ones of a gateway. A
//! gateway is asked only where that is said.

mod check;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use hookward::{Parameter, Scheme, catalog};
use serde_json::{Value, json};

use super::exit::Exit;
use super::print;
use super::remote::{Gateway, segment};
use super::verify::read;
use super::{Output, Remote};

/// List the schemes, show one as the file that defines it, check a file of your own, or give it to a gateway
#[derive(Debug, Args)]
pub(super) struct Schemes {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All of them
    List {
        /// Those that a gateway knows, private ones first
        #[arg(long)]
        gateway: bool,
    },
    /// The file that defines one, to start a private scheme from
    Show {
        /// Its name
        name: String,
        /// As a gateway knows it
        #[arg(long)]
        gateway: bool,
    },
    /// Hold a scheme file against its vectors, and tell of each whether it has its answer
    #[command(after_help = "Exit status: 0 all have, 5 some have another, 2 a file cannot be used.\n\
        Example: hookward schemes check mine.toml")]
    Check {
        /// The scheme, in the syntax that `hookward schemes show` prints
        file: PathBuf,
        /// Its vectors, instead of those in NAME.vectors.toml beside it
        #[arg(long, value_name = "FILE")]
        vectors: Option<PathBuf>,
    },
    /// Make a scheme file a private scheme of the gateway's, or what the one of its name is from now on
    #[command(after_help = "Example: hookward schemes check mine.toml && hookward schemes add mine.toml")]
    Add {
        /// The scheme, in the syntax that `hookward schemes show` prints
        file: PathBuf,
        /// It may have the name of one of the catalog, which it then hides
        #[arg(long)]
        replaces_catalog: bool,
    },
    /// Take a private scheme away that nothing uses
    Remove {
        /// Its name
        name: String,
    },
}

/// Runs `hookward schemes …`.
pub(super) async fn run(command: Schemes) -> Result<ExitCode, Exit> {
    let Schemes { what, remote } = command;
    match what.unwrap_or(What::List { gateway: false }) {
        What::List { gateway: false } => list(remote.output)?,
        What::List { gateway: true } => list_of(&remote.open()?).await?,
        What::Show { name, gateway: false } => show(&name, remote.output)?,
        What::Show { name, gateway: true } => show_of(&name, &remote.open()?).await?,
        What::Check { file, vectors } => return check::run(&file, vectors.as_deref()),
        What::Add { file, replaces_catalog } => add(&file, replaces_catalog, &remote.open()?).await?,
        What::Remove { name } => {
            let gateway = remote.open()?;
            gateway.delete(&format!("/schemes/{}", segment(&name))).await?;
            gateway.done(&json!({}), &format!("there is no private scheme `{name}` any more"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Every scheme that the gateway's organization may name.
async fn list_of(gateway: &Gateway) -> Result<(), Exit> {
    let mut items = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let more = if cursor.is_empty() { cursor } else { format!("&cursor={cursor}") };
        let mut page = gateway.get(&format!("/schemes?limit=250{more}")).await?;
        items.extend(page["items"].as_array_mut().map(std::mem::take).unwrap_or_default());
        next = page["next"].as_str().map(str::to_owned);
    }
    if gateway.is_for_people() {
        for item in &mut items {
            item["note"] = json!(note(item));
            let binds = ["body", "time", "url", "id"].into_iter().filter(|name| item["binds"][name] == true);
            item["bound"] = json!(binds.collect::<Vec<_>>().join(", "));
        }
    }
    let columns = [("NAME", "name"), ("PROVIDER", "title"), ("BINDS", "bound"), ("NOTE", "note")];
    gateway.list(&json!({ "items": items, "next": null }), &columns)
}

/// What is to be said of a scheme beside what it does.
fn note(scheme: &Value) -> String {
    if scheme["private"] != true {
        return String::new();
    }
    let hides = match scheme["hides"].as_str() {
        Some("catalog") => ", hides the catalog's",
        Some(_) => ", hides the configuration file's",
        None => "",
    };
    let problem = scheme["problem"].as_str().map(|problem| format!(", cannot be used: {problem}"));
    format!("private, {}{hides}{}", scheme["managed_by"].as_str().unwrap_or_default(), problem.unwrap_or_default())
}

async fn show_of(name: &str, gateway: &Gateway) -> Result<(), Exit> {
    let shown = gateway.get(&format!("/schemes/{}", segment(name))).await?;
    match shown["toml"].as_str() {
        Some(toml) if gateway.is_for_people() => print::out(toml.as_bytes()),
        _ => gateway.show(&shown),
    }
}

async fn add(file: &Path, replaces_catalog: bool, gateway: &Gateway) -> Result<(), Exit> {
    let shown = file.display();
    let text = String::from_utf8(read(file)?).map_err(|_| Exit::usage(format!("{shown}: not utf-8")))?;
    let name =
        toml::from_str::<toml::Table>(&text).ok().and_then(|table| Some(table.get("name")?.as_str()?.to_owned()));
    let Some(name) = name else {
        let problem = Scheme::from_toml(&text).err().map(|error| error.to_string()).unwrap_or_default();
        return Err(Exit::usage(format!("{shown}: {problem}")));
    };
    let body = json!({ "toml": text, "replaces_catalog": replaces_catalog });
    let put = gateway.put(&format!("/schemes/{}", segment(&name)), &body).await?;
    let word = if put["version"] == 1 { "new" } else { "replaced" };
    gateway.done(&put, &format!("scheme `{name}` is in force: {word}, version {}", put["version"]))
}

fn list(output: Output) -> Result<(), Exit> {
    let items: Vec<Value> = catalog::names().filter_map(catalog::find).map(facts).collect();
    match output {
        Output::Json => print::json(&Value::from(items)),
        Output::Table => print::line(&print::table(&items, &[("NAME", "name"), ("PROVIDER", "title")])),
    }
}

fn show(name: &str, output: Output) -> Result<(), Exit> {
    let (Some(scheme), Some(source)) = (catalog::find(name), catalog::source(name)) else {
        return Err(Exit::not_found(format!("unknown scheme `{name}`; `hookward schemes` lists all")));
    };
    match output {
        Output::Table => print::out(source.as_bytes()),
        Output::Json => {
            let mut facts = facts(scheme);
            facts["toml"] = source.into();
            print::json(&facts)
        }
    }
}

fn parameter(parameter: &Parameter<'_>) -> Value {
    json!({ "name": parameter.name, "meaning": parameter.meaning, "is_required": parameter.is_required })
}

fn facts(scheme: &Scheme) -> Value {
    json!({
        "name": scheme.name(),
        "title": scheme.title(),
        "docs": scheme.docs(),
        "tolerance_s": scheme.tolerance().map(|tolerance| tolerance.as_secs()),
        "body_is_unique": scheme.body_is_unique(),
        "parameters": scheme.takes().iter().map(parameter).collect::<Vec<_>>(),
        "signature_headers": scheme.signature_headers(),
        "credential_headers": scheme.credential_headers(),
        "credential_query": scheme.credential_query(),
    })
}
