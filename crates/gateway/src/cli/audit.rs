//! `hookward audit`. Looking at the log and taking it out ask the gateway; checking it needs none.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use hookward_engine::model::{Broken, ChainRow, Checked, Head, Verifier};
use hookward_engine::store::sqlite;

use super::exit::Exit;
use super::print::{self, Column};
use super::remote::{Gateway, query};
use super::resources::Page;
use super::{Output, Remote};
use crate::api::audit::line;

/// The longest line of an export, in bytes: longer than any row can be.
const LINE_MAX: u64 = 16 << 20;

#[derive(Debug, Subcommand)]
#[command(after_help = "Example: hookward audit verify hookward-data --head 4711:…")]
pub(super) enum What {
    /// What happened, newest first
    List {
        /// Only by this actor, such as key:bootstrap
        #[arg(long)]
        actor: Option<String>,
        /// Only this action, such as secret.reveal
        #[arg(long)]
        action: Option<String>,
        /// Only on this target, such as source:github
        #[arg(long)]
        target: Option<String>,
        /// Not before this time, such as 2026-01-31T09:30:00Z
        #[arg(long)]
        since: Option<String>,
        /// Before this time
        #[arg(long)]
        until: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// The last row's position and hash: kept elsewhere, it shows whether a row up to it is changed or gone
    Head,
    /// Every row as a line of JSON, oldest first
    Export {
        /// Everybody's rows, for whoever operates the installation
        #[arg(long)]
        all: bool,
        /// Only those after this position
        #[arg(long, default_value_t = 0)]
        after: u32,
    },
    /// Check that no row was changed, removed or put in, without a gateway
    Verify {
        /// A data directory, which a gateway may be using, or an export; `-` is standard input
        path: PathBuf,
        /// The head that was published: the log has to reach it, and with this hash
        #[arg(long, value_name = "SEQ:HASH", conflicts_with = "partial")]
        head: Option<Head>,
        /// The export has only some of the rows, such as one organization's
        #[arg(long)]
        partial: bool,
    },
}

const COLUMNS: [Column; 6] =
    [("SEQ", "seq"), ("AT", "at"), ("ACTOR", "actor"), ("FROM", "address"), ("ACTION", "action"), ("TARGET", "target")];

/// Runs `hookward audit …`.
pub(super) async fn run(what: What, remote: Remote) -> Result<(), Exit> {
    match what {
        What::Verify { path, head, partial } => verify(&path, head, partial, remote.output),
        What::List { actor, action, target, since, until, page } => {
            let query = page.query(&[
                ("actor", actor.as_deref()),
                ("action", action.as_deref()),
                ("target", target.as_deref()),
                ("since", since.as_deref()),
                ("until", until.as_deref()),
            ]);
            let gateway = remote.open()?;
            gateway.list(&gateway.get(&format!("/audit{query}")).await?, &COLUMNS)
        }
        What::Head => {
            let gateway = remote.open()?;
            let head = gateway.get("/audit/head").await?;
            gateway.done(&head, head["head"].as_str().unwrap_or_default())
        }
        What::Export { all, after } => export(&remote.open()?, all, after).await,
    }
}

async fn export(gateway: &Gateway, all: bool, after: u32) -> Result<(), Exit> {
    let after = after.to_string();
    let query = query(&[("chain", Some(if all { "all" } else { "own" })), ("after", Some(&after))]);
    gateway.stream(&format!("/audit/export{query}"), print::out).await
}

fn verify(path: &Path, head: Option<Head>, partial: bool, output: Output) -> Result<(), Exit> {
    let verifier = if partial { Verifier::of_some() } else { Verifier::whole() };
    let verifier = head.into_iter().fold(verifier, Verifier::against);
    let checked = if path.is_dir() {
        let checked = sqlite::check_audit(path, verifier).map_err(Exit::failure)?;
        checked.map_err(|broken| broken.to_string())
    } else if path == Path::new("-") {
        check_lines(io::stdin().lock(), verifier)?
    } else {
        let file = File::open(path).map_err(|error| Exit::not_found(format!("`{}`: {error}", path.display())))?;
        check_lines(BufReader::new(file), verifier)?
    };
    let checked = checked.map_err(|problem| Exit::refused(format!("`{}`: {problem}", path.display())))?;
    if output == Output::Json {
        let Checked { rows, linked, head } = checked;
        let value = serde_json::json!({ "rows": rows, "linked": linked, "head": head.to_string() });
        return print::json(&value);
    }
    print::line(&sentence(&checked, partial))
}

fn sentence(checked: &Checked, partial: bool) -> String {
    let Checked { rows, linked, head } = checked;
    if partial && linked < rows {
        let alone = rows - linked;
        return format!(
            "{rows} rows, none of them changed; {linked} follow the one before them, and whether rows are missing before \
             the other {alone} cannot be told from these\nlast {head}"
        );
    }
    format!("{rows} rows, none changed, missing or put in\nhead {head}")
}

/// The first line that is not a row as it was written is named by its number, and by its row where that can be told.
fn check_lines(mut lines: impl BufRead, mut verifier: Verifier) -> Result<Result<Checked, String>, Exit> {
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = lines.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
        if read.map_err(|error| Exit::failure(format!("line {number} cannot be read: {error}")))? == 0 {
            break;
        }
        let Some(row) = line::read(&line) else {
            return Ok(Err(format!("line {number} is not a row as an export writes it")));
        };
        let prev = Some(row.prev.as_bytes().as_slice());
        let found = ChainRow { seq: row.seq, facts: row.facts(), prev, hash: row.hash.as_bytes() };
        if let Err(broken) = verifier.check(&found) {
            return Ok(Err(format!("line {number}: {broken}")));
        }
    }
    Ok(verifier.finish().map_err(|broken: Broken| broken.to_string()))
}
