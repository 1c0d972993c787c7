//! What a command line may be given that is dangerous or wrong, against the real binary and a real gateway.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use systems::server::API_KEY;
use systems::{Hookward, Request, Setup, world};

use super::{Tally, is_chosen};

const SECRET: &str = "it's a secret to everybody";

/// How long another program may take to be ready.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// A case, against a gateway with a source `open` and a directory of its own.
type Scenario = (&'static str, &'static str, fn(&Hookward, &Path) -> Result<()>);

const SCENARIOS: [Scenario; 7] = [
    ("cl-001-secret-in-arguments", "a secret comes by standard input or a file, never in the arguments", arguments),
    ("cl-002-trailing-newline", "exactly the bytes are verified; one less only when asked", trailing_newline),
    ("cl-003-binary-body", "bytes that are no text are signed and verified as they are", binary_body),
    ("cl-005-open-key-file", "a key that others can read is not used", open_key_file),
    ("cl-007-untrusted-certificate", "who cannot prove to be the gateway is not sent the key", untrusted_certificate),
    ("cl-008-all-without-asking", "what concerns everything is asked, or said with --yes", all_without_asking),
    ("cl-009-terminal-escapes", "what a sender sent does not steer a terminal", terminal_escapes),
];

/// Runs the cases whose id contains `only`.
pub(super) fn run(only: Option<&str>, tally: &mut Tally) -> Result<()> {
    let chosen: Vec<_> = SCENARIOS.iter().filter(|(id, ..)| is_chosen(only, id)).collect();
    tally.skip(
        only,
        "cl-004-send-to-metadata",
        "where `listen` forwards to is its user's choice on its user's machine; what leaves the gateway goes by egress rules",
    );
    if chosen.is_empty() {
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let config = "[[source]]\nname = \"open\"\nunsigned = true\ndedup = { id_headers = [\"X-Id\"] }\n\
                  [[source]]\nname = \"github\"\nscheme = \"github\"\n";
    let server = Setup::new(directory.path(), config)?.start()?;
    for (id, why, scenario) in chosen {
        let own = tempfile::tempdir()?;
        tally.add(id, "scenario", why, scenario(&server, own.path()));
    }
    ensure!(server.terminate()?.success(), "the server did not end in order");
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ended(output: &Output, status: i32, says: &str) -> Result<()> {
    let error = text(&output.stderr);
    ensure!(output.status.code() == Some(status), "ended with {}: {error}", output.status);
    ensure!(error.contains(says), "it does not say {says:?}: {error}");
    Ok(())
}

fn arguments(server: &Hookward, own: &Path) -> Result<()> {
    let (body, headers) = (own.join("body"), own.join("headers"));
    fs::write(&body, "{}")?;
    fs::write(&headers, "")?;
    let (body, headers) = (body.to_string_lossy(), headers.to_string_lossy());
    for wrong in [
        &["secret", "set", "github", "hunter2"][..],
        &["secret", "set", "github", "--secret", "hunter2"],
        &["sign", "--scheme", "github", "--secret", "hunter2", "--body", &body],
        &["verify", "--scheme", "github", "--secret", "hunter2", "--headers", &headers, "--body", &body],
    ] {
        ended(&server.cli(wrong, b"")?, 2, "unexpected argument")?;
    }
    let secrets = server.list("/api/v1/sources/github/secrets")?;
    ensure!(secrets.is_empty(), "a secret was set");
    server.cli_ok(&["secret", "set", "github"], SECRET.as_bytes())?;
    Ok(())
}

/// The headers of a body under [`SECRET`], in a file.
fn signed(server: &Hookward, own: &Path, body: &[u8]) -> Result<()> {
    fs::write(own.join("secret"), SECRET)?;
    fs::write(own.join("body"), body)?;
    let (secret, body) = (own.join("secret"), own.join("body"));
    let (secret, body) = (secret.to_string_lossy(), body.to_string_lossy());
    let arguments = ["sign", "--scheme", "github", "--secret-file", &secret, "--body", &body];
    fs::write(own.join("headers"), server.cli_ok(&arguments, b"")?)?;
    Ok(())
}

fn verified(server: &Hookward, own: &Path, body: &str, more: &[&str], input: &[u8]) -> Result<i32> {
    let path = |name: &str| own.join(name).to_string_lossy().into_owned();
    let (secret, headers) = (path("secret"), path("headers"));
    let mut arguments = vec!["verify", "--scheme", "github", "--secret-file", &secret, "--headers", &headers];
    arguments.extend(["--body", body]);
    arguments.extend(more);
    server.cli(&arguments, input)?.status.code().context("it did not end by itself")
}

fn trailing_newline(server: &Hookward, own: &Path) -> Result<()> {
    signed(server, own, b"{\"a\":1}")?;
    let with = own.join("with-newline");
    fs::write(&with, "{\"a\":1}\n")?;
    let with = with.to_string_lossy();
    ensure!(verified(server, own, &with, &[], b"")? == 5, "one byte more was taken for the same");
    ensure!(verified(server, own, &with, &["--strip-newline"], b"")? == 0, "--strip-newline does not");
    Ok(())
}

fn binary_body(server: &Hookward, own: &Path) -> Result<()> {
    let bytes: Vec<u8> = (0..=255).chain([b'\r', b'\n', 0, b'\n']).collect();
    signed(server, own, &bytes)?;
    let body = own.join("body");
    ensure!(verified(server, own, &body.to_string_lossy(), &[], b"")? == 0, "what was signed is not verified");
    ensure!(verified(server, own, "-", &[], &bytes)? == 0, "bytes on standard input are not the bytes");
    ensure!(verified(server, own, "-", &[], &bytes[..bytes.len() - 1])? == 5, "one byte less was taken for the same");
    Ok(())
}

fn open_key_file(server: &Hookward, own: &Path) -> Result<()> {
    let path = own.join("api-key");
    fs::write(&path, API_KEY)?;
    let list = |mode| -> Result<Output> {
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        let mut command = Command::new(systems::server::binary()?);
        command.args(["source", "list"]).env_clear().env("HOOKWARD_URL", format!("http://{}", server.admin));
        Ok(command.env("HOOKWARD_API_KEY_FILE", &path).stdin(Stdio::null()).output()?)
    };
    ended(&list(0o644)?, 2, "can be read by others (mode 0644)")?;
    ended(&list(0o600)?, 0, "")
}

/// A TLS server whose certificate nobody trusts.
struct Impostor(Child);

impl Drop for Impostor {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn untrusted_certificate(_: &Hookward, own: &Path) -> Result<()> {
    let (key, certificate) = (own.join("key.pem"), own.join("certificate.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .stderr(Stdio::null())
        .status()
        .context("openssl makes the certificate")?;
    ensure!(made.success(), "openssl made no certificate");
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let heard = own.join("heard");
    let impostor = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-key"])
        .arg(&key)
        .arg("-cert")
        .arg(&certificate)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&heard)?)
        .stderr(Stdio::null())
        .spawn()?;
    let impostor = Impostor(impostor);
    let is_there = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    ensure!(world::until(READY_LIMIT, is_there), "openssl does not listen");
    let mut command = Command::new(systems::server::binary()?);
    command.args(["source", "list"]).env_clear().env("HOOKWARD_API_KEY", API_KEY);
    let output = command.env("HOOKWARD_URL", format!("https://localhost:{port}")).stdin(Stdio::null()).output()?;
    drop(impostor);
    ended(&output, 1, "certificate")?;
    let heard = text(&fs::read(&heard)?);
    ensure!(!heard.contains(API_KEY), "the key was sent to an impostor");
    Ok(())
}

fn all_without_asking(server: &Hookward, _: &Path) -> Result<()> {
    server.public(&Request::post("/in/open").body(b"{}"))?;
    let jobs = || server.list("/api/v1/redeliveries").map(|jobs| jobs.len());
    ended(&server.cli(&["redeliver"], b"")?, 2, "--all")?;
    ended(&server.cli(&["redeliver", "--all"], b"")?, 2, "--yes")?;
    ended(&server.cli(&["redeliver", "--all"], b"yes\n")?, 2, "--yes")?;
    ended(&server.cli(&["redeliver", "--all", "--source", "open"], b"")?, 2, "cannot be used with")?;
    ensure!(jobs()? == 0, "a job was made");
    server.cli_ok(&["redeliver", "--all", "--dry-run"], b"")?;
    server.cli_ok(&["redeliver", "--all", "--yes"], b"")?;
    ensure!(jobs()? == 1, "no job was made");
    Ok(())
}

fn terminal_escapes(server: &Hookward, _: &Path) -> Result<()> {
    const EVIL: &str = "\u{9b}31m\u{202e}gnp.exe";
    let request = Request::post("/in/open?\u{9b}").header("X-Id", EVIL).header("X-Evil", EVIL);
    let answer = server.public(&request.body(b"\x1b[2J\x1b]0;owned\x07"))?;
    ensure!(answer.status == 202, "the request was answered {}", answer.status);
    let events = server.list("/api/v1/events?source=open")?;
    let event =
        events.iter().find(|event| event["delivery_id"] == EVIL).context("its delivery id is not what was sent")?;
    let id = event["id"].as_str().context("an event without id")?;
    for command in [["event", "list"], ["event", "show"], ["audit", "list"]] {
        for output in ["table", "json"] {
            let mut arguments = command.to_vec();
            arguments.extend((command[1] == "show").then_some(id));
            arguments.extend(["--output", output]);
            let shown = server.cli_ok(&arguments, b"")?;
            let steers = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            ensure!(!shown.contains(steers), "{arguments:?} steers a terminal: {shown:?}");
        }
    }
    let shown = server.cli_ok(&["event", "show", id], b"")?;
    ensure!(shown.contains("gnp.exe"), "what was sent is not shown at all: {shown}");
    Ok(())
}
