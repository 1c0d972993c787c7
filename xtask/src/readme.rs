//! `cargo xtask readme`: runs the README's walk as it is written, on free ports, and compares what it prints.
//! A `sh` block between the walk's two marks is a terminal; `#=>` lines are what the command before them prints, with `…`
//! for what differs; `hookward serve` is the server of the terminals after it.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use systems::{server, world};

use crate::run::{has_or_installs, root};

/// One command of the walk and what it must print, if the page says.
#[derive(Debug, PartialEq, Eq)]
struct Chunk {
    commands: String,
    expected: Option<String>,
}

/// Runs the walk.
pub(crate) fn run() -> Result<()> {
    if !has_or_installs("readme", "bash", "bash")? || !has_or_installs("readme", "curl", "curl")? {
        return Ok(());
    }
    let chunks = chunks(&std::fs::read_to_string(root().join("README.md"))?)?;
    ensure!(!chunks.is_empty(), "the README has no walk");
    let directory = tempfile::tempdir()?;
    let (public, admin) = free_ports()?;
    let script = script(&chunks).replace("127.0.0.1:8080", &format!("127.0.0.1:{public}"));
    let script = script.replace("127.0.0.1:8081", &format!("127.0.0.1:{admin}"));
    std::fs::write(directory.path().join("walk.sh"), script)?;
    let binary = server::binary()?;
    let path = format!(
        "{}:{}",
        binary.parent().context("a binary is in a directory")?.display(),
        world::var("PATH").unwrap_or_default()
    );
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "walk.sh"])
        .env_clear()
        .env("PATH", path)
        .env("HOOKWARD_URL", format!("http://127.0.0.1:{admin}"))
        .current_dir(directory.path())
        .output()?;
    compare(&chunks, directory.path(), &output)
}

/// Two different ports that were free a moment ago.
fn free_ports() -> Result<(u16, u16)> {
    let (one, other) = (TcpListener::bind(("127.0.0.1", 0))?, TcpListener::bind(("127.0.0.1", 0))?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

fn compare(chunks: &[Chunk], directory: &Path, output: &std::process::Output) -> Result<()> {
    for (index, chunk) in chunks.iter().enumerate() {
        let Ok(printed) = std::fs::read_to_string(directory.join(format!("out.{index}"))) else { break };
        let Some(expected) = &chunk.expected else { continue };
        ensure!(
            matches(expected, printed.trim_end()),
            "the README says that\n{}prints\n{expected}\nbut it printed\n{printed}",
            chunk.commands
        );
    }
    if !output.status.success() {
        let log = std::fs::read_to_string(directory.join("server.log")).unwrap_or_default();
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("the README's walk ended with {}\n{said}\nthe server said:\n{log}", output.status);
    }
    println!("readme: {} commands ran as they are written", chunks.len());
    Ok(())
}

/// The walk as one script: the output of each chunk in a file of its own, servers in the background.
fn script(chunks: &[Chunk]) -> String {
    let mut script = String::from(
        "set +m\nserver=\nstop() { [ -z \"$server\" ] || { kill $server; wait $server; }; }\ntrap stop EXIT\n",
    );
    for (index, chunk) in chunks.iter().enumerate() {
        if let Some(serve) = chunk.commands.strip_prefix("hookward serve") {
            let _ = write!(
                script,
                "stop\nhookward serve --public 127.0.0.1:8080 --admin 127.0.0.1:8081{} > server.log 2>&1 &\nserver=$!\n\
                 for _ in $(seq 200); do curl -sf http://127.0.0.1:8080/readyz > ready && break; sleep 0.05; done\n",
                serve.trim_end()
            );
        } else {
            let _ = writeln!(script, "{{\n{}}} > out.{index}", chunk.commands);
        }
    }
    script
}

/// The commands between the two marks, in order.
fn chunks(readme: &str) -> Result<Vec<Chunk>> {
    let (_, walk) = readme.split_once("<!-- walk -->").context("no `<!-- walk -->`")?;
    let (walk, _) = walk.split_once("<!-- /walk -->").context("no `<!-- /walk -->`")?;
    let mut chunks = Vec::new();
    for block in walk.split("```sh\n").skip(1) {
        let (block, _) = block.split_once("```").context("a block that does not end")?;
        let mut commands = String::new();
        let mut here_document = false;
        for line in block.lines() {
            if let Some(expected) = line.strip_prefix("#=> ") {
                let commands = std::mem::take(&mut commands);
                chunks.push(Chunk { commands, expected: Some(expected.to_owned()) });
                continue;
            }
            if !here_document && line.starts_with("hookward serve") && !commands.is_empty() {
                chunks.push(Chunk { commands: std::mem::take(&mut commands), expected: None });
            }
            here_document = line.contains("<<'END'") || (here_document && line != "END");
            commands.push_str(line);
            commands.push('\n');
        }
        if !commands.is_empty() {
            chunks.push(Chunk { commands, expected: None });
        }
    }
    Ok(chunks)
}

/// Whether `text` is `pattern`, where each `…` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    rest.is_empty() || last.is_some_and(|part| part.is_empty() || text.ends_with(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_commands_and_what_they_print() {
        let page = "x\n<!-- walk -->\n```sh\na=1\nhookward serve --config c\n```\ntext\n```sh\necho $a\n#=> 1\necho 2\n```\n<!-- /walk -->\n";
        let chunk = |commands: &str, expected: Option<&str>| Chunk {
            commands: commands.to_owned(),
            expected: expected.map(str::to_owned),
        };
        let expected = [
            chunk("a=1\n", None),
            chunk("hookward serve --config c\n", None),
            chunk("echo $a\n", Some("1")),
            chunk("echo 2\n", None),
        ];
        assert_eq!(chunks(page).unwrap(), expected);
    }

    #[test]
    fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
        assert!(matches("a…c", "abbbc"));
        assert!(matches("a…", "a"));
        assert!(matches("abc", "abc"));
        assert!(!matches("abc", "abcd"));
        assert!(!matches("a…c", "abd"));
        assert!(!matches("a…c", "xac"));
    }
}
