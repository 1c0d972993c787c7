//! Programs as destinations, with the gateway killed, stopped and asked about them: nothing of a program outlives what it
//! was run for, and what it was run for is not lost.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use systems::world::{peak_kib, until};
use systems::{Hookward, Request, Setup, database};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with one program as destination, whose processes are told by a variable in their environment.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) directory: TempDir,
    mark: String,
}

impl World {
    /// `$DIR` in the script is a directory for its notes. `settings` are more lines of the destination.
    pub(crate) fn new(script: &str, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mark = format!("mark-{}", directory.path().display());
        let dir = directory.path().display();
        let config = format!(
            "[[destination]]\nname = \"run\"\ntype = \"command\"\nargv = [\"/bin/sh\", \"-c\", '''{script}''']\n\
             environment = {{ MARK = \"{mark}\", DIR = \"{dir}\" }}\n\
             retry = {{ waits = [\"1s\"], jitter_percent = 0 }}\n{settings}\n"
        );
        let setup = Setup::new(directory.path(), &config).unwrap().env("TMPDIR", &dir.to_string());
        Self { setup, directory, mark }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits until the program has written a file.
    pub(crate) fn wait_for(&self, name: &str) {
        assert!(until(PATIENCE, || self.path(name).exists()), "the program never wrote `{name}`");
    }

    /// How many processes of the program there are, wherever they hide.
    pub(crate) fn processes(&self) -> usize {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let environments = entries.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
        environments.filter(|environment| contains(environment, self.mark.as_bytes())).count()
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Owes the program one event, and gives the delivery's id.
fn publish(server: &Hookward) -> String {
    publish_body(server, &json!({}))
}

/// The same with this body.
pub(crate) fn publish_body(server: &Hookward, body: &Value) -> String {
    let request = Request::post("/api/v1/events")
        .header("Content-Type", "application/json")
        .body(json!({ "type": "run", "payload": body }).to_string().as_bytes());
    let answer = server.admin(request).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let event = answer.json()["eventId"].as_str().unwrap().to_owned();
    let deliveries = server.list(&format!("/api/v1/deliveries?event={event}")).unwrap();
    deliveries[0]["id"].as_str().unwrap().to_owned()
}

/// How long an attempt may take that a gateway dies at.
const LONGEST: Duration = Duration::from_secs(30);

/// The delivery once it is in this state.
pub(crate) fn wait_until(server: &Hookward, delivery: &str, state: &str) -> Value {
    wait_within(PATIENCE, server, delivery, state)
}

/// The same of a delivery that a gateway which is gone was attempting.
pub(crate) fn wait_after_death(server: &Hookward, delivery: &str, state: &str) -> Value {
    wait_within(PATIENCE + database::lease(LONGEST), server, delivery, state)
}

fn wait_within(limit: Duration, server: &Hookward, delivery: &str, state: &str) -> Value {
    let mut shown = Value::Null;
    let reached = until(limit, || {
        shown = server.get(&format!("/api/v1/deliveries/{delivery}")).unwrap();
        shown["state"] == state
    });
    assert!(reached, "it never was {state}: {shown:#}");
    shown
}

pub(crate) fn outcomes(delivery: &Value) -> Vec<&str> {
    delivery["attempts"].as_array().unwrap().iter().map(|attempt| attempt["outcome"].as_str().unwrap()).collect()
}

/// Hangs with children, a daemon and deaf ears; goes well the second time.
const STUBBORN: &str = "[ $HOOKWARD_ATTEMPT = 1 ] || exit 0\n\
    trap '' TERM HUP INT\n\
    sleep 600 &\n\
    setsid sh -c '(exec sleep 600) </dev/null >/dev/null 2>&1 & sleep 600' &\n\
    setsid -f sleep 600\n\
    touch $DIR/begun\n\
    while :; do sleep 600; done";

#[test]
fn a_program_dies_with_a_gateway_that_is_killed_and_runs_again() {
    let world = World::new(STUBBORN, "timeout = \"15s\"");
    let server = world.setup.start().unwrap();
    let delivery = publish(&server);
    world.wait_for("begun");
    assert!(until(PATIENCE, || world.processes() >= 5), "only {} processes began", world.processes());
    assert!(has_children(server.pid()), "no supervisor is seen");
    server.kill().unwrap();
    assert!(until(PATIENCE, || world.processes() == 0), "{} processes outlived the gateway", world.processes());

    let server = world.setup.start().unwrap();
    let shown = wait_after_death(&server, &delivery, "delivered");
    assert_eq!(outcomes(&shown), ["interrupted", "success"]);
}

#[test]
fn a_program_that_outlasts_the_drain_ends_with_the_gateway_and_runs_again() {
    let world = World::new(STUBBORN, "timeout = \"15s\"\n[limits]\ndrain_timeout = \"1s\"");
    let server = world.setup.start().unwrap();
    let delivery = publish(&server);
    world.wait_for("begun");
    assert!(server.terminate().unwrap().success());
    assert!(until(PATIENCE, || world.processes() == 0), "{} processes outlived the gateway", world.processes());
    let server = world.setup.start().unwrap();
    assert_eq!(outcomes(&wait_after_death(&server, &delivery, "delivered")), ["interrupted", "success"]);
}

#[test]
fn a_program_is_ended_at_its_deadline_with_all_that_it_started() {
    let world = World::new(STUBBORN, "timeout = \"1s\"");
    let server = world.setup.start().unwrap();
    let delivery = publish(&server);
    let shown = wait_until(&server, &delivery, "delivered");
    assert_eq!(outcomes(&shown), ["timeout", "success"]);
    assert_eq!(world.processes(), 0);
    assert!(until(PATIENCE, || !has_children(server.pid())), "a supervisor is left");
}

#[test]
fn a_run_that_is_called_off_ends_with_all_that_it_started() {
    let script = format!("echo begun; {STUBBORN}");
    let world = World::new(&script, "timeout = \"60s\"");
    let server = world.setup.start().unwrap();
    let delivery = publish(&server);
    world.wait_for("begun");
    let said = server.cli_ok(&["delivery", "cancel", &delivery], b"").unwrap();
    assert_eq!(said, format!("delivery `{delivery}` is told to end\n"));
    let shown = wait_until(&server, &delivery, "cancelled");
    assert_eq!(outcomes(&shown), ["cancelled"]);
    assert_eq!(world.processes(), 0);
    for follow in [None, Some("--follow")] {
        let arguments: Vec<_> = ["delivery", "output", &delivery].into_iter().chain(follow).collect();
        assert_eq!(server.cli_ok(&arguments, b"").unwrap(), "begun\n");
    }
}

#[test]
fn a_run_that_is_called_off_before_the_gateway_is_killed_does_not_run_again() {
    let world = World::new(STUBBORN, "timeout = \"15s\"");
    let server = world.setup.start().unwrap();
    let delivery = publish(&server);
    world.wait_for("begun");
    // The program is deaf, so the gateway dies within its grace.
    server.cli_ok(&["delivery", "cancel", &delivery], b"").unwrap();
    server.kill().unwrap();
    assert!(until(PATIENCE, || world.processes() == 0), "{} processes outlived the gateway", world.processes());
    let server = world.setup.start().unwrap();
    assert_eq!(outcomes(&wait_after_death(&server, &delivery, "cancelled")), ["interrupted"]);
}

#[test]
fn a_newer_event_of_a_key_ends_the_older_run_and_runs_itself() {
    let script = "commit=$(cut -d'\"' -f4); touch $DIR/$commit; echo $commit\n\
        [ $commit = new ] || { trap 'echo ended; exit 0' TERM; setsid sleep 600 & while :; do sleep 0.1; done; }";
    let world = World::new(script, "timeout = \"60s\"\nlatest_wins = \"body.ref\"\nconcurrency = 2");
    let server = world.setup.start().unwrap();
    let run = |commit: &str, branch: &str| publish_body(&server, &json!({ "commit": commit, "ref": branch }));
    let other = run("other", "next");
    let old = run("old", "main");
    world.wait_for("old");
    world.wait_for("other");
    let waiting = run("waiting", "main");
    let new = run("new", "main");
    let shown = wait_until(&server, &old, "cancelled");
    assert_eq!(outcomes(&shown), ["cancelled"]);
    assert!(shown["superseded_by"].is_string(), "{shown:#}");
    let output = server.cli_ok(&["delivery", "output", &old], b"").unwrap();
    assert!(output.starts_with("old\n") && output.ends_with("ended\n"), "{output}");
    assert_eq!(outcomes(&wait_until(&server, &new, "delivered")), ["success"]);
    wait_until(&server, &waiting, "cancelled");
    assert_eq!(server.get(&format!("/api/v1/deliveries/{other}")).unwrap()["state"], "leased", "another key runs on");
    server.cli_ok(&["delivery", "cancel", &other], b"").unwrap();
    wait_until(&server, &other, "cancelled");
    assert_eq!(world.processes(), 0);
}

#[test]
fn only_chosen_exit_statuses_are_tried_again() {
    let script = "echo attempt $HOOKWARD_ATTEMPT; [ $HOOKWARD_ATTEMPT = 1 ] && exit 75; exit 1";
    let world = World::new(script, "retry_exit_codes = [75]");
    let server = world.setup.start().unwrap();
    let delivery = publish(&server);
    let shown = wait_until(&server, &delivery, "exhausted");
    let codes: Vec<_> =
        shown["attempts"].as_array().unwrap().iter().map(|attempt| attempt["exit_code"].clone()).collect();
    assert_eq!(codes, [75, 1]);
    for (attempt, output) in [("1", "attempt 1\n"), ("2", "attempt 2\n")] {
        assert_eq!(server.cli_ok(&["delivery", "output", &delivery, "--attempt", attempt], b"").unwrap(), output);
    }
}

#[test]
fn a_flood_of_output_costs_the_gateway_no_memory_and_both_its_ends_are_kept() {
    // The body says how much the program writes.
    let script = "read -r bytes; echo first; head -c $bytes /dev/zero; echo last";
    let world = World::new(script, "timeout = \"60s\"");
    let server = world.setup.start().unwrap();
    // What a first run of any size costs (threads, caches, a connection) is not the flood's.
    let little = publish_body(&server, &json!(1_000_000));
    wait_until(&server, &little, "delivered");
    let before = peak_kib(server.pid()).unwrap();
    let delivery = publish_body(&server, &json!(2_000_000_000));
    wait_until(&server, &delivery, "delivered");
    // The kernel counts resident pages in batches: a peak that did not move may read a little lower.
    let grown = peak_kib(server.pid()).unwrap().saturating_sub(before);
    assert!(grown < 16 << 10, "{grown} KiB");
    let output = server.cli_ok(&["delivery", "output", &delivery], b"").unwrap();
    assert!(output.starts_with("first\n\0") && output.ends_with("\0last\n"));
    assert!((200 << 10..=256 << 10).contains(&output.len()), "{}", output.len());
}

/// Whether a process has a child, dead or alive.
fn has_children(pid: u32) -> bool {
    let stats = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("stat"));
    let stats = stats.filter_map(|stat| std::fs::read_to_string(stat).ok());
    // After the name in brackets come the state and the parent.
    let parents = stats.filter_map(|stat| Some(stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned()));
    parents.into_iter().any(|parent| parent == pid.to_string())
}
