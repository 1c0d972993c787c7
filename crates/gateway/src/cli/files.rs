//! `hookward plan`, `apply` and `export`: a configuration file against what a gateway has in force. References are looked up
//! here, on the machine where the file is kept, and their values sent.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};

use super::exit::Exit;
use super::print;
use super::remote::Gateway;
use super::secret::confirm;
use crate::config;
use crate::world;

/// The status of a plan that would change something.
const CHANGES: u8 = 10;

/// A configuration file.
#[derive(Debug, Args)]
pub(super) struct File {
    /// The file; `-` is standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: PathBuf,
}

/// Runs `hookward plan`.
pub(super) async fn plan(file: File, gateway: &Gateway) -> Result<ExitCode, Exit> {
    let sent = read(&file.file)?;
    let plan = gateway.post("/config/plan", &sent).await?;
    if gateway.is_for_people() {
        print::out(told(&plan).as_bytes())?
    } else {
        print::json(&plan)?
    }
    Ok(if is_same(&plan) { ExitCode::SUCCESS } else { ExitCode::from(CHANGES) })
}

/// Runs `hookward apply`.
pub(super) async fn apply(file: File, yes: bool, gateway: &Gateway) -> Result<(), Exit> {
    let sent = read(&file.file)?;
    let plan = gateway.post("/config/plan", &sent).await?;
    if plan["changes"].as_array().is_none_or(Vec::is_empty) {
        return gateway.done(&plan, told(&plan).trim_end());
    }
    if gateway.is_for_people() {
        print::out(told(&plan).as_bytes())?;
    }
    confirm("all of this comes into force at once", yes)?;
    let done = gateway.post("/config/apply", &sent).await?;
    gateway.done(&done, "it is in force")
}

/// Runs `hookward export`.
pub(super) async fn export(gateway: &Gateway) -> Result<(), Exit> {
    let exported = gateway.get("/config/export").await?;
    if !gateway.is_for_people() {
        return print::json(&exported);
    }
    let text = toml::to_string(&exported).map_err(|error| Exit::failure(format!("this is no TOML: {error}")))?;
    print::out(text.as_bytes())
}

/// The file's tables, and the values of its references.
fn read(path: &Path) -> Result<Value, Exit> {
    let name = if path.as_os_str() == "-" { "standard input".to_owned() } else { path.display().to_string() };
    let unreadable = |error: std::io::Error| Exit::usage(format!("{name} cannot be read: {error}"));
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map_err(unreadable)?;
    } else {
        text = std::fs::read_to_string(path).map_err(unreadable)?;
    }
    let mut file = config::tables(&text, &name)?;
    let mut references = Map::new();
    for kind in ["source", "destination", "event_type", "scheme"] {
        look_up(&file[kind], &mut references).map_err(|problem| Exit::usage(format!("{name}: {problem}")))?;
    }
    file["references"] = Value::Object(references);
    Ok(file)
}

/// Every reference in a value, looked up. A variable that is not set is left to the gateway, which may have its value.
fn look_up(value: &Value, found: &mut Map<String, Value>) -> Result<(), String> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| look_up(item, found)),
        Value::Object(members) => members.values().try_for_each(|member| look_up(member, found)),
        Value::String(text) if config::is_reference(text) && !found.contains_key(text) => {
            if let Some(value) = config::look_up_here(text, &world::variable)? {
                found.insert(text.clone(), json!(value.as_str()));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether nothing that is in force would be another.
fn is_same(plan: &Value) -> bool {
    plan["changes"].as_array().into_iter().flatten().all(|change| change["act"] == "adopt")
}

fn told(plan: &Value) -> String {
    let mut lines = Vec::new();
    let list = |name: &str| plan[name].as_array().cloned().unwrap_or_default();
    for change in list("changes") {
        let mark = match change["act"].as_str() {
            Some("create") => '+',
            Some("remove") => '-',
            Some("adopt") => '=',
            _ => '~',
        };
        let word = |name: &str| print::escaped(change[name].as_str().unwrap_or_default());
        lines.push(format!("{mark} {} `{}`", word("kind"), word("name")));
        if change["act"] == "adopt" {
            lines.push("    is managed by a file from now on, and not over the API".to_owned());
        }
        for field in change["fields"].as_array().into_iter().flatten() {
            let value = |side: &str| match &field[side] {
                Value::Null => "(none)".to_owned(),
                value => print::escaped(&value.to_string()),
            };
            let name = print::escaped(field["field"].as_str().unwrap_or_default());
            lines.push(match change["act"].as_str() {
                Some("create") => format!("    {name}: {}", value("after")),
                _ => format!("    {name}: {} → {}", value("before"), value("after")),
            });
        }
        if change["values_changed"] == true {
            lines.push("    what its references stand for is not what it was".to_owned());
        }
        if change["secret"] == true {
            lines.push("    a secret enters its keyring".to_owned());
        }
    }
    for (name, word) in [("drift", "drift"), ("notices", "notice")] {
        let told = list(name);
        lines.extend(told.iter().map(|text| format!("{word}: {}", print::escaped(text.as_str().unwrap_or_default()))));
    }
    let changes = list("changes").iter().filter(|change| change["act"] != "adopt").count();
    lines.push(match changes {
        0 => "nothing changes".to_owned(),
        1 => "1 change".to_owned(),
        many => format!("{many} changes"),
    });
    lines.join("\n") + "\n"
}
