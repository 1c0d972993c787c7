//! `hookward event-type`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use hookward_engine::event_types::{Misfit, check_payload};
use serde_json::{Map, Value, json, value::RawValue};

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::{Gateway, segment};
use super::resources::Page;
use super::{Remote, verify};

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward event-type set invoice.paid --schema invoice.schema.json")]
pub(super) enum What {
    /// All of them
    List {
        #[command(flatten)]
        page: Page,
    },
    /// One in full, with its schema
    Show {
        /// Its name
        name: String,
    },
    /// Declare it, or change what is given
    Set {
        /// Its name
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Have it declared no more: events of it are accepted like those of any other type
    Remove {
        /// Its name
        name: String,
    },
    /// Say whether a payload fits, without publishing it: exit status 5 if not
    Check {
        /// A file with the payload; `-` is standard input
        file: PathBuf,
        /// The type whose schema the gateway has
        #[arg(long = "type", value_name = "T", required_unless_present = "schema", conflicts_with = "schema")]
        event_type: Option<String>,
        /// A file with a schema: then no gateway is asked
        #[arg(long, value_name = "FILE")]
        schema: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Settings {
    /// What such an event tells, for people
    #[arg(long)]
    description: Option<String>,
    /// A file with the JSON Schema that payloads have to fit
    #[arg(long, value_name = "FILE", conflicts_with = "no_schema")]
    schema: Option<PathBuf>,
    /// Take any payload
    #[arg(long)]
    no_schema: bool,
    /// A file with a payload that such an event may have
    #[arg(long, value_name = "FILE")]
    example: Option<PathBuf>,
    /// Whether receivers should turn to another type
    #[arg(long)]
    deprecated: Option<bool>,
}

const COLUMNS: [Column; 5] = [
    ("NAME", "name"),
    ("SCHEMA", "has_schema"),
    ("DEPRECATED", "deprecated"),
    ("MANAGED BY", "managed_by"),
    ("DESCRIPTION", "description"),
];

/// Runs `hookward event-type …`.
pub(super) async fn run(what: What, remote: Remote) -> Result<(), Exit> {
    let at = |name: &str| format!("/event-types/{}", segment(name));
    match what {
        What::List { page } => {
            let gateway = remote.open()?;
            let mut list = gateway.get(&format!("/event-types{}", page.query(&[]))).await?;
            if gateway.is_for_people() {
                for item in list["items"].as_array_mut().into_iter().flatten() {
                    item["has_schema"] = json!(if item["schema"].is_null() { "no" } else { "yes" });
                }
            }
            gateway.list(&list, &COLUMNS)
        }
        What::Show { name } => {
            let gateway = remote.open()?;
            let mut shown = gateway.get(&at(&name)).await?;
            if gateway.is_for_people() {
                for field in ["schema", "example"] {
                    if !shown[field].is_null() {
                        shown[field] = json!(shown[field].to_string());
                    }
                }
            }
            gateway.show(&shown)
        }
        What::Set { name, settings } => set(&name, settings, &remote.open()?).await,
        What::Remove { name } => {
            let gateway = remote.open()?;
            gateway.delete(&at(&name)).await?;
            gateway.done(&json!({}), &format!("event type `{name}` is declared no more"))
        }
        What::Check { file, schema: Some(schema), .. } => {
            let (schema, payload) = (json_in(&schema)?, super::events::payload(&file)?);
            let checked = check_payload(&schema, &payload);
            let checked = checked.map_err(|problem| Exit::usage(format!("the schema cannot be used: {problem}")))?;
            verdict(checked.err().unwrap_or_default())
        }
        What::Check { file, event_type, .. } => check(&file, &event_type.unwrap_or_default(), &remote.open()?).await,
    }
}

async fn set(name: &str, settings: Settings, gateway: &Gateway) -> Result<(), Exit> {
    let Settings { description, schema, no_schema, example, deprecated } = settings;
    let mut table = Map::new();
    table.extend(description.map(|text| ("description".to_owned(), json!(text))));
    table.extend(deprecated.map(|is_so| ("deprecated".to_owned(), json!(is_so))));
    if no_schema {
        table.insert("schema".to_owned(), Value::Null);
    }
    for (setting, file) in [("schema", schema), ("example", example)] {
        if let Some(file) = file {
            // As text, so that it is kept as it was written.
            let text = String::from_utf8(verify::read(&file)?);
            let text = text.map_err(|_| Exit::usage(format!("{}: not utf-8", file.display())))?;
            table.insert(setting.to_owned(), json!(text));
        }
    }
    let path = format!("/event-types/{}", segment(name));
    let (shown, word) = if gateway.get_if_any(&path).await?.is_some() {
        (gateway.patch(&path, &Value::Object(table)).await?, "changed")
    } else {
        table.insert("name".to_owned(), json!(name));
        (gateway.post("/event-types", &Value::Object(table)).await?, "declared")
    };
    gateway.done(&shown, &format!("event type `{name}` is {word}"))
}

async fn check(file: &Path, event_type: &str, gateway: &Gateway) -> Result<(), Exit> {
    let bytes = super::events::payload(file)?;
    let payload: &RawValue = serde_json::from_slice(&bytes).expect("it was read as JSON");
    let request = format!(r#"{{"type":{},"payload":{payload}}}"#, json!(event_type));
    let told = gateway.post_bytes("/event-types/check", &[], request.into()).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let errors = told["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    verdict(
        errors
            .iter()
            .map(|error| Misfit { pointer: text(&error["pointer"]), message: text(&error["detail"]) })
            .collect(),
    )
}

fn verdict(misfits: Vec<Misfit>) -> Result<(), Exit> {
    if misfits.is_empty() {
        return print::line("it fits");
    }
    for Misfit { pointer, message } in &misfits {
        let place = if pointer.is_empty() { "(the whole payload)" } else { pointer };
        print::line(&print::escaped(&format!("{place}: {message}")))?;
    }
    Err(Exit::refused("the payload does not fit"))
}

fn json_in(path: &Path) -> Result<Value, Exit> {
    let bytes = verify::read(path)?;
    serde_json::from_slice(&bytes).map_err(|error| Exit::usage(format!("{}: not JSON: {error}", path.display())))
}
