//! `hookward organization`: for whoever operates the installation.

use clap::Subcommand;
use serde_json::json;

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::{Gateway, segment};
use super::resources::Page;
use super::secret::confirm;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward organization create acme")]
pub(super) enum What {
    /// All of them
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Make one, and the key with which it administers itself, which is shown this once
    Create {
        /// Its name: `a-z 0-9 -`
        name: String,
        /// What its keys begin with, like `qlens` for `qlens_…`; made of its name when not given
        #[arg(long)]
        key_prefix: Option<String>,
    },
    /// Erase one for ever, with its events, bodies and secrets
    Erase {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

const COLUMNS: [Column; 4] =
    [("NAME", "name"), ("ID", "id"), ("KEYS BEGIN WITH", "key_prefix"), ("ERASED SINCE", "erasing_at")];

/// Runs `hookward organization …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    match what {
        What::List { page } => {
            gateway.list(&gateway.get(&format!("/organizations{}", page.query(&[]))).await?, &COLUMNS)
        }
        What::Create { name, key_prefix } => {
            let made = gateway.post("/organizations", &json!({ "name": name, "key_prefix": key_prefix })).await?;
            let key = made["key"].as_str().ok_or_else(|| Exit::failure("the gateway's answer has no key"))?;
            gateway.done(&made, key)
        }
        What::Erase { name, yes } => {
            let mut cursor = None;
            let id = loop {
                let page = gateway
                    .get(&format!("/organizations{}", super::remote::query(&[("cursor", cursor.as_deref())])))
                    .await?;
                let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
                if let Some(found) = items.iter().find(|item| item["name"] == name) {
                    break found["id"].as_str().unwrap_or_default().to_owned();
                }
                match page["next"].as_str() {
                    Some(next) => cursor = Some(next.to_owned()),
                    None => return Err(Exit::not_found(format!("there is no organization `{name}`"))),
                }
            };
            confirm(&format!("everything of organization `{name}` is erased: events, bodies, secrets, keys"), yes)?;
            gateway.delete(&format!("/organizations/{}", segment(&id))).await?;
            print::line(&format!("organization `{name}` is not in force any more, and is being erased"))
        }
    }
}
