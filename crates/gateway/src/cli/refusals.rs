//! `hookward refusal`.

use clap::Subcommand;

use super::exit::Exit;
use super::print::Column;
use super::remote::{Gateway, segment};
use super::resources::Page;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward refusal list --source github")]
pub(super) enum What {
    /// The last ones, newest first
    List {
        /// Only this source's, or those at this path whose source could not be told
        #[arg(long)]
        source: Option<String>,
        /// Only with this reason, such as signature-mismatch
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// One in full, with its headers and the start of its body
    Show {
        /// Its id, `ref_…`
        id: String,
    },
}

const COLUMNS: [Column; 6] = [
    ("ID", "id"),
    ("AT", "at_door"),
    ("REASON", "reason"),
    ("FROM", "remote"),
    ("REFUSED", "refused_at"),
    ("COUNT", "count"),
];

/// Runs `hookward refusal …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    match what {
        What::List { source, reason, page } => {
            let query = page.query(&[("source", source.as_deref()), ("reason", reason.as_deref())]);
            let mut list = gateway.get(&format!("/refusals{query}")).await?;
            if gateway.is_for_people() {
                for item in list["items"].as_array_mut().into_iter().flatten() {
                    let door = if item["source"].is_null() { &item["path"] } else { &item["source"] };
                    item["at_door"] = door.clone();
                }
            }
            gateway.list(&list, &COLUMNS)
        }
        What::Show { id } => gateway.show(&gateway.get(&format!("/refusals/{}", segment(&id))).await?),
    }
}
