//! Tests of `destination/command.rs`. Programs are given to `/bin/sh -c`, which is an argument vector like any other.

use std::path::Path;
use std::time::Duration;

use hookward_engine::Output;
use hookward_engine::clock::{Clock, SystemClock};
use hookward_engine::destination::command::{CommandDestination, DEFAULT_PATH};
use hookward_engine::destination::{InvalidDestination, Report};
use hookward_engine::model::{CommandSpec, KeptOutput, OUTPUT_BYTES, Outcome, RESPONSE_EXCERPT_MAX};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::support::outbound::{AMPLE, FAIR, Sample, checkouts, supervisor};

fn shell(script: &str) -> CommandSpec {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    CommandSpec { argv, directory: None, environment: Vec::new(), output_bytes: OUTPUT_BYTES, checkout: None }
}

async fn run(spec: &CommandSpec, sample: &Sample, deadline: Duration) -> Report {
    let destination = CommandDestination::new(spec, deadline, supervisor(), &checkouts()).unwrap().with_grace(FAIR);
    destination.attempt(sample.parcel()).await
}

async fn output(script: &str) -> Report {
    run(&shell(script), &Sample::new("the body"), AMPLE).await
}

fn text(report: &Report) -> &str {
    std::str::from_utf8(&report.excerpt).unwrap()
}

/// Waits until no process has the number that stands in this file.
async fn gone(file: &Path) {
    let number = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    let gone = async {
        while kill(Pid::from_raw(number), None).is_ok() && !is_zombie(number) {
            tokio::task::yield_now().await;
        }
    };
    timeout(AMPLE, gone).await.expect("the process is still there");
}

/// No process has the number that stands in this file, not even one that waits to be buried.
fn gone_now(file: &Path) {
    let number = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    assert!(kill(Pid::from_raw(number), None).is_err(), "process {number} is still there");
}

/// The memory of this process.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Whether only the entry is left, which is for whoever adopted the process to remove.
fn is_zombie(number: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{number}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

#[tokio::test]
async fn the_body_is_on_standard_input_byte_for_byte() {
    let report = output("cat").await;
    let expected = Report {
        outcome: Outcome::Success,
        exit_code: Some(0),
        excerpt: "the body".into(),
        output: Some(KeptOutput { total_bytes: 8, bytes: "the body".into() }),
        ..Report::failed(Outcome::Success, "")
    };
    assert_eq!(report, expected);
    let body: Vec<u8> = (0..=255).cycle().take(25 << 20).collect();
    let digest = hex::encode(Sha256::digest(&body));
    let report = run(&shell("sha256sum"), &Sample::new(body), AMPLE).await;
    assert_eq!(text(&report), format!("{digest}  -\n"));
}

#[tokio::test]
async fn a_body_nobody_reads_harms_nobody() {
    let report = run(&shell("exec <&-; echo done"), &Sample::new(vec![0; 25 << 20]), AMPLE).await;
    assert_eq!((report.outcome, text(&report)), (Outcome::Success, "done\n"));
    let report = run(&shell("echo done"), &Sample::new(vec![0; 25 << 20]), AMPLE).await;
    assert_eq!((report.outcome, text(&report)), (Outcome::Success, "done\n"));
}

#[tokio::test]
async fn the_exit_status_decides() {
    let report = output("echo out; echo err >&2; echo out again; exit 3").await;
    assert_eq!((report.outcome, report.detail.as_str()), (Outcome::Exit, "exited with status 3"));
    assert_eq!(text(&report), "out\nerr\nout again\n", "both outputs, in order");
    let report = output("kill -SEGV $$").await;
    assert_eq!((report.outcome, report.detail.as_str()), (Outcome::Exit, "ended by SIGSEGV"));
}

#[tokio::test]
async fn the_environment_holds_the_event_and_what_is_configured_only() {
    let mut spec = shell("env | sort");
    spec.environment = vec![("GREETING".to_owned(), "a=b\nc".to_owned())];
    let sample = Sample::new("{}").header("content-type", "application/json");
    let report = run(&spec, &sample, AMPLE).await;
    let mut expected = vec![
        "GREETING=a=b".to_owned(),
        "HOOKWARD_ATTEMPT=3".to_owned(),
        "HOOKWARD_CONTENT_TYPE=application/json".to_owned(),
        format!("HOOKWARD_DELIVERY_ID={}", sample.delivery),
        format!("HOOKWARD_EVENT_ID={}", sample.event),
        "HOOKWARD_EVENT_TYPE=push".to_owned(),
        "HOOKWARD_RECEIVED_AT=2023-11-14T22:13:20.123Z".to_owned(),
        "HOOKWARD_SENDER_DELIVERY_ID=72d3162e".to_owned(),
        "HOOKWARD_SOURCE=github".to_owned(),
        format!("PATH={DEFAULT_PATH}"),
        "c".to_owned(),
    ];
    // The shell adds these by itself.
    let shells_own = ["PWD=", "SHLVL=", "_=", "OLDPWD="];
    let mut lines: Vec<&str> = text(&report).lines().collect();
    lines.retain(|line| !shells_own.iter().any(|own| line.starts_with(own)));
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!(lines, expected);

    spec.environment = vec![("PATH".to_owned(), "/bin:/usr/bin".to_owned())];
    spec.argv = ["sh", "-c", "echo $PATH"].map(str::to_owned).to_vec();
    assert_eq!(text(&run(&spec, &sample, AMPLE).await), "/bin:/usr/bin\n");
}

#[tokio::test]
async fn what_a_sender_wrote_cannot_keep_the_program_from_starting() {
    let mut sample = Sample::new("{}").header("content-type", &b"\xff\0; rm -rf /"[..]);
    sample.event_type = format!("a\0b{}", "\u{e9}".repeat(1 << 20));
    sample.delivery_id = Some("$(reboot)\n".repeat(1 << 20));
    let script = "printf '%s' \"$HOOKWARD_EVENT_TYPE\" | head -c 5; echo; printf '%s' \"$HOOKWARD_CONTENT_TYPE\"";
    let report = run(&shell(script), &sample, AMPLE).await;
    assert_eq!((report.outcome, text(&report)), (Outcome::Success, "a\u{fffd}b\n\u{fffd}\u{fffd}; rm -rf /"));
}

#[tokio::test]
async fn arguments_pass_no_shell() {
    let mut spec = shell("");
    spec.argv = ["printf", "%s|", "a b", "$HOME", "; exit 9", "*"].map(str::to_owned).to_vec();
    spec.directory = Some("/".to_owned());
    assert_eq!(text(&run(&spec, &Sample::new(""), AMPLE).await), "a b|$HOME|; exit 9|*|");
    spec.argv = vec!["pwd".to_owned()];
    assert_eq!(text(&run(&spec, &Sample::new(""), AMPLE).await), "/\n");
}

#[tokio::test]
async fn a_program_that_cannot_start_says_which_and_why() {
    let mut spec = shell("");
    spec.argv = vec!["no-such-program".to_owned()];
    spec.directory = Some("/".to_owned());
    let report = run(&spec, &Sample::new(""), AMPLE).await;
    assert_eq!(report.outcome, Outcome::Spawn);
    assert_eq!(report.detail, "cannot start `no-such-program` in `/`: No such file or directory (os error 2)");
    spec.argv = vec!["/bin/sh".to_owned()];
    spec.directory = Some("/no/such/directory".to_owned());
    assert_eq!(run(&spec, &Sample::new(""), AMPLE).await.outcome, Outcome::Spawn);
}

#[tokio::test]
async fn output_beyond_the_limit_is_drained_and_both_ends_are_kept() {
    let report = output("echo first; yes | head -c 30000000; echo last").await;
    assert_eq!(report.outcome, Outcome::Success);
    assert!(report.excerpt.len() <= RESPONSE_EXCERPT_MAX, "{}", report.excerpt.len());
    assert!(text(&report).starts_with("first\ny\n") && text(&report).ends_with("y\nlast\n"));
    assert!(text(&report).contains(" bytes left out ...]\n"));
}

#[tokio::test]
async fn a_program_that_hangs_is_asked_to_end_at_its_deadline() {
    let report = run(&shell("echo begun; exec sleep 600"), &Sample::new(""), FAIR).await;
    assert_eq!((report.outcome, text(&report)), (Outcome::Timeout, "begun\n"));
    assert_eq!(report.detail, "still running after 1s, ended by SIGTERM");
    let report =
        run(&shell("trap 'echo bye; exit 0' TERM; while :; do sleep 0.01; done"), &Sample::new(""), FAIR).await;
    assert_eq!(report.outcome, Outcome::Timeout, "too late is too late");
    assert!(text(&report).ends_with("bye\n"), "what it writes while it ends is kept");
}

#[tokio::test]
async fn a_program_that_refuses_to_end_is_ended_with_all_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let pids = ["leader", "child"].map(|name| directory.path().join(name));
    let script = format!(
        "trap '' TERM; echo $$ >{}; (echo $$ >/dev/null; exec sleep 600) & echo $! >{}; while :; do sleep 600; done",
        pids[0].display(),
        pids[1].display()
    );
    let report = run(&shell(&script), &Sample::new(vec![0; 1 << 20]), FAIR).await;
    assert_eq!(report.outcome, Outcome::Timeout);
    assert_eq!(report.detail, "still running after 1s, ignored SIGTERM for 1s, ended by SIGKILL");
    pids.iter().for_each(|file| gone_now(file));
}

#[tokio::test]
async fn what_a_program_leaves_running_ends_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let child = directory.path().join("child");
    let script = format!("sleep 600 & echo $! >{}; echo done", child.display());
    let report = run(&shell(&script), &Sample::new(""), AMPLE).await;
    assert_eq!((report.outcome, text(&report)), (Outcome::Success, "done\n"));
    gone_now(&child);
}

/// A daemon as they are made: forked twice, in a session of its own, its input and output elsewhere, deaf to SIGTERM.
fn daemon(file: &Path) -> String {
    let file = file.display();
    format!(
        "setsid sh -c 'trap \"\" TERM HUP; (echo $$ >/dev/null; sh -c \"echo \\$\\$ >{file}.new; mv {file}.new {file}; exec sleep 600\" \
         </dev/null >/dev/null 2>&1 & )'; until [ -e {file} ]; do :; done"
    )
}

#[tokio::test]
async fn a_daemon_ends_with_its_program() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("daemon");
    let report = output(&format!("{}; echo done; exit 7", daemon(&file))).await;
    assert_eq!((report.outcome, text(&report)), (Outcome::Exit, "done\n"));
    assert_eq!(report.detail, "exited with status 7", "what is left behind changes nothing");
    gone_now(&file);
    let other = directory.path().join("other");
    let report = run(&shell(&format!("{}; exec sleep 600", daemon(&other))), &Sample::new(""), FAIR).await;
    assert_eq!(report.outcome, Outcome::Timeout);
    gone_now(&other);
}

#[tokio::test]
async fn a_program_whose_delivery_is_called_off_is_asked_to_end_and_its_output_is_kept() {
    for (trap, end) in [("echo bye; exit 0", "ended by SIGTERM"), ("", "ignored SIGTERM for 1s, ended by SIGKILL")] {
        let sample = Sample::new("");
        let spec = shell(&format!("trap '{trap}' TERM; echo begun; while :; do sleep 0.01; done"));
        let called_off = async {
            while sample.output.kept().total_bytes == 0 {
                tokio::task::yield_now().await;
            }
            sample.called_off.cancel();
        };
        let (report, ()) = tokio::join!(run(&spec, &sample, AMPLE), called_off);
        assert_eq!(report.outcome, Outcome::Cancelled);
        assert_eq!((report.exit_code, report.detail), (None, format!("called off while it ran, {end}")));
        let output = report.output.unwrap().bytes;
        assert!(output.starts_with(b"begun\n") && output.ends_with(b"bye\n") != trap.is_empty(), "{output:?}");
    }
}

#[tokio::test]
async fn output_is_kept_up_to_its_own_limit() {
    let mut spec = shell("yes 0123456 | head -c 100000; echo last");
    spec.output_bytes = 50_000;
    let sample = Sample { output: Output::new(50_000), ..Sample::new("") };
    let report = run(&spec, &sample, AMPLE).await;
    let output = report.output.unwrap();
    assert_eq!(output.total_bytes, 100_005);
    assert!((49_000..=50_000).contains(&output.bytes.len()), "{}", output.bytes.len());
    assert!(output.bytes.ends_with(b"last\n") && report.excerpt.ends_with(b"last\n"));
    assert!(report.excerpt.len() <= RESPONSE_EXCERPT_MAX);
}

#[tokio::test]
async fn a_program_that_forks_as_fast_as_it_can_ends_at_its_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let counter = directory.path().join("counter");
    // Each process makes another in a session of its own and ends: there is always one that nobody has seen yet.
    let script = format!(
        "echo 'printf x >>{0}; exec setsid -f sh {1}' >{1}; trap '' TERM; sh {1}; while :; do sleep 600; done",
        counter.display(),
        directory.path().join("script").display()
    );
    let report = run(&shell(&script), &Sample::new(""), FAIR).await;
    assert_eq!(report.outcome, Outcome::Timeout);
    let size = || std::fs::metadata(&counter).unwrap().len();
    let before = size();
    assert!(before > 10, "it forked {before} times only");
    output("sleep 0.2").await;
    assert_eq!(size(), before, "one of them is left");
}

#[tokio::test]
async fn a_program_cannot_end_its_supervisor_by_asking() {
    let report = output("trap '' TERM; kill -TERM $PPID; kill -HUP $PPID; kill -INT $PPID; kill 0; echo done").await;
    assert_eq!((report.outcome, text(&report)), (Outcome::Success, "done\n"));
}

#[tokio::test]
async fn a_program_whose_supervisor_is_killed_dies_and_its_end_is_unknown() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("program");
    let script = format!("echo $$ >{}; kill -KILL $PPID; exec sleep 600", file.display());
    let report = run(&shell(&script), &Sample::new(""), AMPLE).await;
    assert_eq!(report.outcome, Outcome::Interrupted);
    assert_eq!(report.detail, "the program's end is unknown: the supervisor was lost");
    gone(&file).await;
}

#[tokio::test]
async fn a_gigabyte_of_output_takes_no_memory() {
    let before = resident_kib();
    let report = run(&shell("head -c 1000000000 /dev/zero; echo end"), &Sample::new(""), AMPLE).await;
    assert_eq!(report.outcome, Outcome::Success);
    assert!(report.excerpt.ends_with(b"end\n"));
    let grown = resident_kib().saturating_sub(before);
    // Other tests of this process hold bodies of their own meanwhile.
    assert!(grown < 256 << 10, "{grown} KiB");
}

#[tokio::test]
async fn the_end_of_the_output_is_seen_and_not_waited_for() {
    let clock = SystemClock::new();
    for script in ["echo done", "sleep 600 & echo done"] {
        let mut shortest = AMPLE;
        for _ in 0..5 {
            let begun = clock.elapsed();
            assert_eq!(text(&output(script).await), "done\n");
            shortest = shortest.min(clock.elapsed() - begun);
        }
        // Only when the end goes unseen does the wait for a daemon's output set in, every time.
        assert!(shortest < Duration::from_millis(250), "{script}: {shortest:?}");
    }
}

#[tokio::test]
async fn an_attempt_that_is_given_up_ends_its_program() {
    let directory = tempfile::tempdir().unwrap();
    let pids = ["leader", "child"].map(|name| directory.path().join(name));
    let script =
        format!("trap '' TERM; sleep 600 & echo $! >{}; echo $$ >{}; wait", pids[1].display(), pids[0].display());
    let destination = CommandDestination::new(&shell(&script), AMPLE, supervisor(), &checkouts()).unwrap();
    let sample = Sample::new("");
    let begun = async {
        while !std::fs::read_to_string(&pids[0]).is_ok_and(|text| text.ends_with('\n')) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        report = destination.attempt(sample.parcel()) => panic!("{report:?}"),
        () = begun => {}
    }
    gone(&pids[0]).await;
    gone(&pids[1]).await;
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let problem = |change: &dyn Fn(&mut CommandSpec)| {
        let mut spec = shell("true");
        change(&mut spec);
        match CommandDestination::new(&spec, AMPLE, supervisor(), &checkouts()) {
            Err(InvalidDestination::Command(problem)) => problem,
            other => panic!("{other:?}"),
        }
    };
    let set = |name: &str, value: &str| {
        let entry = (name.to_owned(), value.to_owned());
        problem(&move |spec| spec.environment = vec![entry.clone()])
    };
    assert_eq!(problem(&|spec| spec.argv.clear()), "it names no program");
    assert_eq!(problem(&|spec| spec.argv[0].clear()), "it names no program");
    assert_eq!(problem(&|spec| spec.argv[2].push('\0')), "an argument or the directory holds a NUL character");
    assert_eq!(
        problem(&|spec| spec.directory = Some("\0".to_owned())),
        "an argument or the directory holds a NUL character"
    );
    assert_eq!(set("", "v"), "`` cannot name an environment variable");
    assert_eq!(set("A=B", "v"), "`A=B` cannot name an environment variable");
    assert_eq!(set("A\0", "v"), "`A\\0` cannot name an environment variable");
    assert_eq!(set("A", "\0"), "the value of the environment variable `A` holds a NUL character");
    assert_eq!(set("HOOKWARD_EVENT_ID", "v"), "the environment variable `HOOKWARD_EVENT_ID` is set by Hookward");
}
