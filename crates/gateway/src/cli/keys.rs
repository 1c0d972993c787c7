//! `hookward key`. The text of a new key is printed once, alone on its line, so that a script can keep it.

use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::{Gateway, segment};
use super::resources::Page;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward key create ci --scope publish --expires-at 2027-01-01T00:00:00Z")]
pub(super) enum What {
    /// Make one, and print it: it cannot be seen again
    Create {
        /// What the audit log calls it
        name: String,
        /// What it may do: read, publish, pull, redeliver, reveal, rotate, export, admin, or `*` for all
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<String>,
        /// When it ends by itself, such as 2027-01-31T09:30:00Z
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Newest first, without what proves them
    List {
        #[command(flatten)]
        page: Page,
    },
    /// End one: the next request with it is refused
    Revoke {
        /// Its id, `key_…`
        id: String,
    },
}

const COLUMNS: [Column; 7] = [
    ("ID", "id"),
    ("NAME", "name"),
    ("ENDS WITH", "last_four"),
    ("STATE", "state"),
    ("SCOPES", "scopes"),
    ("LAST USED", "last_used_at"),
    ("EXPIRES", "expires_at"),
];

/// Runs `hookward key …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    match what {
        What::Create { name, scopes, expires_at } => {
            let wanted = json!({ "name": name, "scopes": scopes, "expires_at": expires_at });
            let made = gateway.post("/keys", &wanted).await?;
            let key = made["key"].as_str().ok_or_else(|| Exit::failure("the gateway's answer has no key"))?;
            if gateway.is_for_people() { print::line(key) } else { print::json(&made) }
        }
        What::List { page } => gateway.list(&gateway.get(&format!("/keys{}", page.query(&[]))).await?, &COLUMNS),
        What::Revoke { id } => {
            gateway.delete(&format!("/keys/{}", segment(&id))).await?;
            gateway.done(&Value::Null, &format!("key `{id}` is revoked"))
        }
    }
}
