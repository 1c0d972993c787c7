//! `hookward kms`: how the keys are that seal all secrets, and everything under the current one.

use clap::Subcommand;
use serde_json::{Value, json};

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::Gateway;

#[derive(Debug, Subcommand)]
#[command(
    after_help = "To change the key or its provider: put the new one in `[kms]` and the old one in `[[kms.previous]]`,\n\
restart, run `hookward kms rewrap`, and take the old one out once `hookward kms status` counts nothing under it."
)]
pub(super) enum What {
    /// Which key seals, what is under which key, and which secrets have to be entered again
    Status,
    /// Send a data key to the KMS and back
    Test,
    /// Bring everything that is sealed under the current key, while traffic runs
    Rewrap {
        /// Only say how far it is
        #[arg(long)]
        status: bool,
        /// Also make the installation key anew if its KMS key is gone for good: leases that consumers hold are lost, and
        /// the configuration's secrets enter their keyrings again
        #[arg(long)]
        give_up_lost: bool,
    },
}

const COUNTS: [Column; 2] = [("SEALED UNDER", "key_id"), ("VALUES", "values")];
const SHUT: [Column; 5] = [
    ("ORGANIZATION", "organization"),
    ("OF", "owner"),
    ("VERSION", "version"),
    ("SEALED UNDER", "key_id"),
    ("PROBLEM", "problem"),
];

/// Runs `hookward kms …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    match what {
        What::Status => status(&gateway.get("/kms").await?, gateway),
        What::Test => {
            let tested = gateway.post("/kms/test", &json!({})).await?;
            let (key_id, took) = (tested["key_id"].as_str().unwrap_or_default(), &tested["duration_ms"]);
            gateway.done(&tested, &format!("`{key_id}` wraps and unwraps, in {took} ms"))
        }
        What::Rewrap { status: true, .. } => gateway.show(&gateway.get("/kms/rewrap").await?),
        What::Rewrap { status: false, give_up_lost } => {
            let rewrap = gateway.post("/kms/rewrap", &json!({ "give_up_lost": give_up_lost })).await?;
            let (total, to) = (&rewrap["total"], rewrap["to"].as_str().unwrap_or_default());
            let sentence = format!("{total} values come under `{to}`\nsee how far it is: hookward kms rewrap --status");
            gateway.done(&rewrap, &sentence)
        }
    }
}

fn status(kms: &Value, gateway: &Gateway) -> Result<(), Exit> {
    if !gateway.is_for_people() {
        return print::json(kms);
    }
    print::line(&format!("key       {}", kms["key_id"].as_str().unwrap_or_default()))?;
    for previous in kms["previous"].as_array().into_iter().flatten() {
        print::line(&format!("previous  {}", previous.as_str().unwrap_or_default()))?;
    }
    print::line(&format!("secrets   {} open, {} not\n", kms["open"], kms["shut"]))?;
    let counts = kms["sealed"].as_object().into_iter().flatten();
    let counts: Vec<_> = counts.map(|(key_id, values)| json!({ "key_id": key_id, "values": values })).collect();
    print::line(&print::table(&counts, &COUNTS))?;
    for (name, title) in [("waiting", "These wait for the KMS:"), ("enter_again", "These have to be entered again:")] {
        let items = kms[name].as_array().map(Vec::as_slice).unwrap_or_default();
        if !items.is_empty() {
            print::line(&format!("\n{title}\n{}", print::table(items, &SHUT)))?;
        }
    }
    Ok(())
}
