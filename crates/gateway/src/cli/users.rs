//! `hookward user`. The invitation of a new user is printed once, alone on its line: whoever has it sets the password.

use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::{Gateway, segment};
use super::resources::Page;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward user create ada@example.com --scope read,redeliver")]
pub(super) enum What {
    /// Invite somebody, and print the invitation: it cannot be seen again
    Create {
        /// Their email address
        email: String,
        /// What they may do: read, publish, pull, redeliver, reveal, rotate, export, admin, or `*` for all
        #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
        scopes: Vec<String>,
    },
    /// Newest first
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Keep one from signing in; sessions end at once
    Disable {
        /// Their id, `usr_…`
        id: String,
    },
    /// Let one sign in again
    Enable {
        /// Their id, `usr_…`
        id: String,
    },
    /// Take password, second factor and sessions, and print a new invitation
    Reset {
        /// Their id, `usr_…`
        id: String,
    },
    /// Remove one; the audit log keeps the name
    Remove {
        /// Their id, `usr_…`
        id: String,
    },
}

const COLUMNS: [Column; 6] = [
    ("ID", "id"),
    ("EMAIL", "email"),
    ("STATE", "state"),
    ("SCOPES", "scopes"),
    ("SECOND FACTOR", "has_second_factor"),
    ("LAST LOGIN", "last_login_at"),
];

/// Runs `hookward user …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    let at = |id: &str| format!("/users/{}", segment(id));
    match what {
        What::Create { email, scopes } => {
            invitation(&gateway.post("/users", &json!({ "email": email, "scopes": scopes })).await?, gateway)
        }
        What::List { page } => gateway.list(&gateway.get(&format!("/users{}", page.query(&[]))).await?, &COLUMNS),
        What::Disable { id } => {
            let user = gateway.patch(&at(&id), &json!({ "disabled": true })).await?;
            gateway.done(&user, &format!("user `{id}` cannot sign in any more"))
        }
        What::Enable { id } => {
            let user = gateway.patch(&at(&id), &json!({ "disabled": false })).await?;
            gateway.done(&user, &format!("user `{id}` can sign in again"))
        }
        What::Reset { id } => invitation(&gateway.post(&format!("{}/reset", at(&id)), &json!({})).await?, gateway),
        What::Remove { id } => {
            gateway.delete(&at(&id)).await?;
            gateway.done(&Value::Null, &format!("user `{id}` is removed"))
        }
    }
}

fn invitation(answer: &Value, gateway: &Gateway) -> Result<(), Exit> {
    if !gateway.is_for_people() {
        return print::json(answer);
    }
    print::line(answer["invitation"].as_str().ok_or_else(|| Exit::failure("the gateway's answer has no invitation"))?)
}
