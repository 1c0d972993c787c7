//! Transient checkouts, against a real git server: exactly the event's commit, and nothing of it afterwards.

use std::path::PathBuf;

use serde_json::{Value, json};
use systems::canary::Search;
use systems::git::GitServer;
use systems::receiver::Reply;
use systems::world::until;
use systems::{Canary, Hookward, Receiver};

use crate::triggers::{PATIENCE, World, outcomes, publish_body, wait_after_death, wait_until};

/// What stands in the repository's file and may not be found anywhere afterwards.
const SOURCE: &str = "source-canary/7be1+c05d";
const PASSWORD: &str = "password-canary/1f00+9a3c";

/// A world whose program runs in a checkout with these settings.
fn world(script: &str, settings: &str) -> World {
    World::new(script, &format!("timeout = \"30s\"\ncheckout = {{ allow_addresses = [\"127.0.0.0/8\"], {settings} }}"))
}

/// A push as GitHub tells of it.
fn push(url: &str, commit: &str) -> Value {
    json!({ "ref": "refs/heads/main", "after": commit, "repository": { "full_name": "acme/web", "clone_url": url } })
}

/// What is below the directory of checkouts.
fn checkouts(world: &World) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(world.setup.data().join("checkouts")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Runs the program once and gives the first attempt with its output.
fn first_attempt(server: &Hookward, body: &Value) -> (Value, String) {
    let delivery = publish_body(server, body);
    let mut attempts = Value::Null;
    assert!(until(PATIENCE, || {
        attempts = server.get(&format!("/api/v1/deliveries/{delivery}")).unwrap()["attempts"].take();
        attempts.as_array().is_some_and(|attempts| !attempts.is_empty())
    }));
    let output = server.cli_ok(&["delivery", "output", &delivery, "--attempt", "1"], b"").unwrap();
    (attempts[0].take(), output)
}

#[test]
fn a_program_runs_in_exactly_the_events_commit_and_nothing_of_it_is_left() {
    let git = GitServer::start(None).unwrap();
    let commit = git.commit("acme/web", &[("a/file", SOURCE), ("small", "1")]).unwrap();
    git.commit("acme/web", &[("a/file", "another"), ("small", "2")]).unwrap();
    let script = "set -e\n\
        [ \"$PWD\" = \"$HOOKWARD_CHECKOUT\" ]; [ $(git rev-parse HEAD) = $HOOKWARD_COMMIT ]; [ $(cat small) = 1 ]\n\
        [ $(git rev-list --all HEAD | wc -l) = 1 ]; stat -c %a $HOOKWARD_CHECKOUT/.. ; sha256sum <a/file | cut -c1-8\n\
        cp a/file $(mktemp); mkdir locked; cp a/file locked; chmod 0 locked/file; chmod 500 locked; chmod 0 a\n\
        (trap '' TERM; while :; do echo x >$HOOKWARD_CHECKOUT/again; done) >/dev/null 2>&1 &";
    let world = world(script, "");
    let server = world.setup.start().unwrap();
    let (attempt, output) = first_attempt(&server, &push(&git.url("acme/web"), &commit));
    assert_eq!((attempt["outcome"].as_str(), attempt["exit_code"].as_i64()), (Some("success"), Some(0)), "{output}");
    assert!(output.starts_with("700\n"), "{output}");
    assert_eq!(checkouts(&world), Vec::<PathBuf>::new());
    assert_eq!(world.processes(), 0);
    let mut search = Search::default();
    search.look_through(world.directory.path(), &[Canary::new("the source", SOURCE)]).unwrap();
    server.kill().unwrap();
    search.look_through(world.directory.path(), &[Canary::new("the source", SOURCE)]).unwrap();
    assert!(search.files > 5 && search.found.is_empty(), "{:?}", search.found);
}

#[test]
fn a_credential_is_handed_to_the_host_and_seen_nowhere() {
    let git = GitServer::start(Some(&format!("x-access-token:{PASSWORD}"))).unwrap();
    let commit = git.commit("acme/web", &[("file", "content")]).unwrap();
    // Everything that the program could see of git's run: its own environment, and what was left of git's.
    let world = world(
        "env; cat .git/config; ls -a $HOME $TMPDIR; cat file",
        "base = \"env:GIT_BASE\", credential = \"env:TOKEN\"",
    );
    let base = git.url("").trim_end_matches("/.git").to_owned();
    let setup = world.setup.clone().env("TOKEN", PASSWORD).env("GIT_BASE", &base).env("HOOKWARD_LOG", "debug");
    let server = setup.start().unwrap();
    let (attempt, output) = first_attempt(&server, &push("https://github.invalid/acme/web.git", &commit));
    assert_eq!(attempt["outcome"], "success", "{attempt}: {output}");
    assert!(output.ends_with("content"));
    let mut search = Search::default();
    let canaries = [Canary::new("the password", PASSWORD)];
    search.look_at("the output", output.as_bytes(), &canaries);
    search.look_through(world.directory.path(), &canaries).unwrap();
    assert!(search.found.is_empty(), "{:?}", search.found);
}

#[test]
fn a_server_that_says_the_credential_back_does_not_bring_it_into_the_output() {
    let server = Receiver::start_with(|received| match received.header("authorization") {
        None => {
            Reply { headers: vec![("WWW-Authenticate".to_owned(), "Basic realm=\"x\"".to_owned())], ..Reply::from(401) }
        }
        Some(value) => Reply {
            headers: vec![("Content-Type".to_owned(), "text/plain".to_owned())],
            body: format!("you said {value}, which is {PASSWORD}\n").into_bytes(),
            ..Reply::from(403)
        },
    });
    let rogue = server.unwrap();
    let world = world("echo ran", "credential = \"env:TOKEN\"");
    let server = world.setup.clone().env("TOKEN", &format!("me:{PASSWORD}")).start().unwrap();
    let (attempt, output) = first_attempt(&server, &push(&rogue.url("/acme/web.git"), &"a".repeat(40)));
    assert_eq!(attempt["outcome"], "checkout");
    assert!(output.contains("you said Basic [redacted], which is [redacted]"), "{output}");
    assert!(!output.contains("ran"));
    let mut search = Search::default();
    search.look_through(world.directory.path(), &[Canary::new("the password", PASSWORD)]).unwrap();
    assert!(search.found.is_empty(), "{:?}", search.found);
}

#[test]
fn a_commit_that_cannot_be_had_is_an_outcome_of_its_own_and_tried_again() {
    let git = GitServer::start(None).unwrap();
    git.commit("acme/web", &[("file", "content")]).unwrap();
    let world = world("echo ran", "");
    let server = world.setup.start().unwrap();
    let delivery = publish_body(&server, &push(&git.url("acme/web"), &"a".repeat(40)));
    let shown = wait_until(&server, &delivery, "exhausted");
    assert_eq!(outcomes(&shown), ["checkout", "checkout"]);
    assert_eq!(shown["attempts"][0]["detail"], "`git fetch` exited with status 128");
    assert!(shown["attempts"][0]["excerpt"].as_str().unwrap().contains("not our ref"), "{shown:#}");
    assert_eq!(checkouts(&world), Vec::<PathBuf>::new());
    let (attempt, _) = first_attempt(&server, &push(&git.url("acme/web"), "--upload-pack=touch /tmp/x"));
    assert_eq!(attempt["detail"], "the event's commit is not 40 or 64 hex digits");
}

#[test]
fn git_goes_only_where_the_guard_lets_it() {
    let git = GitServer::start(None).unwrap();
    let commit = git.commit("acme/web", &[("file", "content")]).unwrap();
    let url = git.url("acme/web");
    let detail = |world: &World, url: &str| {
        let server = world.setup.start().unwrap();
        let (attempt, _) = first_attempt(&server, &push(url, &commit));
        assert_eq!(attempt["outcome"], "checkout");
        attempt["detail"].as_str().unwrap().to_owned()
    };
    let closed = World::new("echo ran", "checkout = true");
    assert!(detail(&closed, &url).contains("`127.0.0.1` is refused"), "{}", detail(&closed, &url));
    for bad in ["file:///etc", "ssh://127.0.0.1/x", "ext::sh -c id", "http://user:pass@127.0.0.1/x", "/etc"] {
        assert!(detail(&closed, bad).contains("the repository's url"), "{bad}: {}", detail(&closed, bad));
    }
    assert!(git.received().is_empty(), "nothing was asked of the server");
    // A server that is allowed may not send git on to another, nor to a file.
    let open = world("echo ran", "");
    let elsewhere = Receiver::start(|_| 404).unwrap();
    let location = elsewhere.url("/acme/web.git/info/refs?service=git-upload-pack");
    let sly = Receiver::start_with(move |_| Reply {
        headers: vec![("Location".to_owned(), location.clone())],
        ..Reply::from(302)
    });
    assert_eq!(detail(&open, &sly.unwrap().url("/acme/web.git")), "`git fetch` exited with status 128");
    assert_eq!(elsewhere.count(), 0);
}

#[test]
fn a_name_is_pinned_to_the_addresses_that_were_judged() {
    let git = GitServer::start(None).unwrap();
    let commit = git.commit("acme/web", &[("file", "content")]).unwrap();
    let world = World::new("cat file", "checkout = { allow_addresses = [\"127.0.0.0/8\", \"::1/128\"] }");
    let server = world.setup.start().unwrap();
    let url = git.url("acme/web").replace("127.0.0.1", "localhost");
    let (attempt, output) = first_attempt(&server, &push(&url, &commit));
    assert_eq!((attempt["outcome"].as_str(), output.as_str()), (Some("success"), "content"), "{attempt}");
}

#[test]
fn an_event_of_another_shape_says_where_by_expressions() {
    let git = GitServer::start(None).unwrap();
    let commit = git.commit("acme/web", &[("file", "content")]).unwrap();
    let world = world("cat file", "url = 'body.where + \".git\"', commit = 'event == \"run\" ? body.what[0] : \"\"'");
    let server = world.setup.start().unwrap();
    let place = git.url("acme/web").trim_end_matches(".git").to_owned();
    let (attempt, output) = first_attempt(&server, &json!({ "where": place, "what": [commit] }));
    assert_eq!((attempt["outcome"].as_str(), output.as_str()), (Some("success"), "content"), "{attempt}");
    let (attempt, _) = first_attempt(&server, &json!({ "where": place, "what": [] }));
    assert!(attempt["detail"].as_str().unwrap().starts_with("the checkout's `commit`: "), "{attempt}");
}

#[test]
fn a_checkout_that_is_too_large_ends_before_it_fills_the_disk() {
    let git = GitServer::start(None).unwrap();
    let large = "0123456789abcdef".repeat(1 << 18);
    let commit = git.commit("acme/web", &[("large", &large)]).unwrap();
    let world = world("echo ran", "max_bytes = \"1MiB\"");
    let server = world.setup.start().unwrap();
    let (attempt, output) = first_attempt(&server, &push(&git.url("acme/web"), &commit));
    assert_eq!(attempt["outcome"], "checkout", "{attempt} {output}");
    assert!(attempt["detail"].as_str().unwrap().starts_with("`git checkout`"), "{attempt}");
    assert_eq!(checkouts(&world), Vec::<PathBuf>::new());
}

#[test]
fn what_a_repository_brings_along_does_nothing() {
    let git = GitServer::start(None).unwrap();
    let files = [
        (".gitattributes", "* filter=evil\n*.bin filter=lfs diff=lfs merge=lfs\n"),
        (".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = https://127.0.0.1:1/x\n"),
        (".gitconfig", "[filter \"evil\"]\n\tsmudge = touch /evil\n"),
        ("a.bin", "version https://git-lfs.github.com/spec/v1\n"),
        ("hooks/post-checkout", "#!/bin/sh\necho hooked\n"),
    ];
    let commit = git.commit("acme/web", &files).unwrap();
    let world = world("cat a.bin; ls .git/hooks 2>/dev/null; echo end", "");
    let server = world.setup.start().unwrap();
    let (attempt, output) = first_attempt(&server, &push(&git.url("acme/web"), &commit));
    assert_eq!(attempt["outcome"], "success", "{output}");
    assert_eq!(output, "version https://git-lfs.github.com/spec/v1\nend\n");
    let linked = git.commit_link("acme/web", "a.bin", "/etc/passwd").unwrap();
    let (_, output) = first_attempt(&server, &push(&git.url("acme/web"), &linked));
    assert_eq!(output, "/etc/passwdend\n", "a link is a file that says where it would lead");
}

#[test]
fn a_checkout_goes_with_a_gateway_that_is_killed_and_with_a_run_that_is_called_off() {
    let git = GitServer::start(None).unwrap();
    let commit = git.commit("acme/web", &[("file", SOURCE)]).unwrap();
    let script = "[ $HOOKWARD_ATTEMPT = 1 ] || exit 0; trap '' TERM; touch $DIR/begun; while :; do sleep 600; done";
    let world = world(script, "");
    let server = world.setup.start().unwrap();
    let delivery = publish_body(&server, &push(&git.url("acme/web"), &commit));
    world.wait_for("begun");
    assert_eq!(checkouts(&world).len(), 1);
    server.kill().unwrap();
    assert!(until(PATIENCE, || checkouts(&world).is_empty() && world.processes() == 0), "{:?}", checkouts(&world));

    // What a machine that lost its power leaves is gone once the gateway is there again.
    let left = world.setup.data().join("checkouts/dlv_left-1/source");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("file"), SOURCE).unwrap();
    let server = world.setup.start().unwrap();
    assert!(!left.exists());
    assert_eq!(outcomes(&wait_after_death(&server, &delivery, "delivered")), ["interrupted", "success"]);

    std::fs::remove_file(world.path("begun")).unwrap();
    let delivery = publish_body(&server, &push(&git.url("acme/web"), &commit));
    world.wait_for("begun");
    server.cli_ok(&["delivery", "cancel", &delivery], b"").unwrap();
    wait_until(&server, &delivery, "cancelled");
    assert_eq!((checkouts(&world).len(), world.processes()), (0, 0));
}
