//! `hookward node`: the processes that serve an installation.

use clap::Subcommand;

use super::exit::Exit;
use super::print::Column;
use super::remote::Gateway;

#[derive(Debug, Subcommand)]
#[command(after_help = "Nodes that have the same revision in force agree on everything that is declared.\n\
Example: hookward node list")]
pub(super) enum What {
    /// All of them, and how each is
    List,
}

const COLUMNS: [Column; 9] = [
    ("NAME", "name"),
    ("STATE", "state"),
    ("ADDRESS", "address"),
    ("VERSION", "version"),
    ("LEASES", "leases"),
    ("REVISION", "revision"),
    ("CLOCK AHEAD (MS)", "clock_ahead_ms"),
    ("SEEN", "seen_at"),
    ("BEGAN", "started_at"),
];

/// Runs `hookward node …`.
pub(super) async fn run(what: What, gateway: &Gateway) -> Result<(), Exit> {
    match what {
        What::List => gateway.list(&gateway.get("/nodes").await?, &COLUMNS),
    }
}
