//! Programs as destinations, with the gateway killed, stopped and asked about them: nothing of a program outlives what it
//! was run for, and what it was run for is not lost.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use systems::world::until;
use systems::{Hookward, Request, Setup};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A gateway with one program as destination, whose processes are told by a variable in their environment.
struct World {
    setup: Setup,
    directory: TempDir,
    mark: String,
}

impl World {
    /// `$DIR` in the script is a directory for its notes. `settings` are more lines of the destination.
    fn new(script: &str, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mark = format!("mark-{}", directory.path().display());
        let dir = directory.path().display();
        let config = format!(
            "[[destination]]\nname = \"run\"\ntype = \"command\"\nargv = [\"/bin/sh\", \"-c\", '''{script}''']\n\
             environment = {{ MARK = \"{mark}\", DIR = \"{dir}\" }}\n\
             retry = {{ waits = [\"1s\"], jitter_percent = 0 }}\n{settings}\n"
        );
        let setup = Setup::new(directory.path(), &config).unwrap();
        Self { setup, directory, mark }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Waits until the program has written a file.
    fn wait_for(&self, name: &str) {
        assert!(until(PATIENCE, || self.path(name).exists()), "the program never wrote `{name}`");
    }

    /// How many processes of the program there are, wherever they hide.
    fn processes(&self) -> usize {
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
    let request = Request::post("/api/v1/events").body(json!({ "type": "run", "payload": {} }).to_string().as_bytes());
    let answer = server.admin(request).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    let event = answer.json()["eventId"].as_str().unwrap().to_owned();
    let deliveries = server.list(&format!("/api/v1/deliveries?event={event}")).unwrap();
    deliveries[0]["id"].as_str().unwrap().to_owned()
}

/// The delivery once it is in this state.
fn wait_until(server: &Hookward, delivery: &str, state: &str) -> Value {
    let mut shown = Value::Null;
    let reached = until(PATIENCE, || {
        shown = server.get(&format!("/api/v1/deliveries/{delivery}")).unwrap();
        shown["state"] == state
    });
    assert!(reached, "it never was {state}: {shown:#}");
    shown
}

fn outcomes(delivery: &Value) -> Vec<&str> {
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
    let world = World::new(STUBBORN, "");
    let server = world.setup.start().unwrap();
    let delivery = publish(&server);
    world.wait_for("begun");
    assert!(world.processes() >= 5, "{}", world.processes());
    assert!(has_children(server.pid()), "no supervisor is seen");
    server.kill().unwrap();
    assert!(until(PATIENCE, || world.processes() == 0), "{} processes outlived the gateway", world.processes());

    let server = world.setup.start().unwrap();
    let shown = wait_until(&server, &delivery, "delivered");
    assert_eq!(outcomes(&shown), ["interrupted", "success"]);
}

#[test]
fn a_program_that_outlasts_the_drain_ends_with_the_gateway_and_runs_again() {
    let world = World::new(STUBBORN, "timeout = \"60s\"\n[limits]\ndrain_timeout = \"1s\"");
    let server = world.setup.start().unwrap();
    let delivery = publish(&server);
    world.wait_for("begun");
    assert!(server.terminate().unwrap().success());
    assert!(until(PATIENCE, || world.processes() == 0), "{} processes outlived the gateway", world.processes());
    let server = world.setup.start().unwrap();
    assert_eq!(outcomes(&wait_until(&server, &delivery, "delivered")), ["interrupted", "success"]);
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

/// Whether a process has a child, dead or alive.
fn has_children(pid: u32) -> bool {
    let stats = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("stat"));
    let stats = stats.filter_map(|stat| std::fs::read_to_string(stat).ok());
    // After the name in brackets come the state and the parent.
    let parents = stats.filter_map(|stat| Some(stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned()));
    parents.into_iter().any(|parent| parent == pid.to_string())
}
