//! `hookward pull`: leases from a `pull` destination, a line of JSON each, acknowledged once they are printed if that is
//! asked for.

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::print;
use super::remote::{Gateway, segment};

#[derive(Debug, Args)]
#[group(skip)]
#[command(after_help = "Each line is the API's lease: `lease`, `delivery`, `event`, `headers`, `body_base64`, …\n\
    Example: hookward pull worker --max 10 --wait 20 --ack | jq -r .body_base64 | base64 -d")]
pub(super) struct Pull {
    /// The destination's name
    destination: String,
    /// How many at most, 1 to 100
    #[arg(long, default_value_t = 1)]
    max: u32,
    /// How long the leases hold
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    visibility: u64,
    /// How long to wait when there is nothing, at most 20
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Acknowledge what was printed; without it the leases run out, and it is handed out again
    #[arg(long)]
    ack: bool,
}

/// Runs `hookward pull`.
pub(super) async fn run(pull: Pull, gateway: &Gateway) -> Result<(), Exit> {
    let ask = json!({ "max": pull.max, "visibility_s": pull.visibility, "wait_s": pull.wait });
    let path = format!("/destinations/{}/lease", segment(&pull.destination));
    let leased = gateway.post(&path, &ask).await?;
    let items = leased["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    for item in items {
        print::line(&item.to_string())?;
    }
    if !pull.ack || items.is_empty() {
        return Ok(());
    }
    let leases: Vec<_> = items.iter().map(|item| &item["lease"]).collect();
    let ended = gateway.post("/leases/ack", &json!({ "leases": leases })).await?;
    let ended = ended["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lost = ended.iter().filter(|end| end["result"] != "acknowledged").count();
    if lost > 0 {
        return Err(Exit::failure(format!("{lost} of {} leases were lost before they were acknowledged", items.len())));
    }
    Ok(())
}
