//! The configuration file: its defaults, its examples, and what is said about mistakes.

use hookward_engine::model::DestinationKind;
use hookward_gateway::config::Config;

mod credentials;
mod default_file;
mod health;
mod kms;
mod limits;
mod oidc;
mod order;
mod parameters;
mod retention;
mod secrets;

fn parse(text: &str) -> Result<Config, String> {
    let variables = |name: &str| match name {
        "SET" => Some("a-value-long-enough".to_owned()),
        "EMPTY" => Some(String::new()),
        "BLANK" => Some("  ".to_owned()),
        "WEBHOOK" => Some("https://hooks.slack.test/services/a/b".to_owned()),
        "SIGNING" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        _ => None,
    };
    Config::parse(text, "hookward.toml", &variables).map_err(|error| error.to_string())
}

fn problems(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("this has no problem: {text}"),
        Err(error) => error,
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    insta::assert_snapshot!(problems("[[source]]\nname = \"a\"\npth = \"/a\"\n"), @"hookward.toml:3:1: unknown key `pth` in [[source]]; did you mean `path`?");
    insta::assert_snapshot!(problems("[limits]\nbody_byte = 1\n"), @"hookward.toml:2:1: unknown key `body_byte` in [limits]; did you mean `body_bytes`?");
    insta::assert_snapshot!(problems("dta = \"x\"\n"), @"hookward.toml:1:1: unknown key `dta` in the top level; did you mean `data`?");
    insta::assert_snapshot!(problems("[admin]\nport = 1\n"), @"hookward.toml:2:1: unknown key `port` in [admin]; known are `address`, `origin`, `trusted_proxies`, `commands`, `key_prefix`");
    insta::assert_snapshot!(problems("[[source]]\nname = \"a\"\ndedup = { bdy = true }\n"), @"hookward.toml:3:11: unknown key `bdy` in [[source]]; did you mean `body`?");
}

#[test]
fn what_is_not_toml_is_placed() {
    insta::assert_snapshot!(problems("data = \n"), @"hookward.toml:1:8: string values must be quoted, expected literal string");
    insta::assert_snapshot!(problems("data = \"a\"\ndata = \"b\"\n"), @"hookward.toml:2:1: duplicate key");
    insta::assert_snapshot!(problems("[[source]]\npath = \"/a\"\n"), @"hookward.toml:1:1: missing key `name`");
}

#[test]
fn values_are_checked_where_they_stand() {
    insta::assert_snapshot!(problems("[public]\naddress = \"localhost\"\n"), @r#"hookward.toml:2:11: `localhost` is not an address and port: write them like "127.0.0.1:8080""#);
    insta::assert_snapshot!(problems("[limits]\nbody_timeout = \"5 parsecs\"\n"), @r#"hookward.toml:2:16: `5 parsecs` is not a lapse of time: write a whole number and `ms`, `s`, `m`, `h` or `d`, like "30m""#);
    insta::assert_snapshot!(problems("[limits]\nbody_bytes = \"25MB\"\n"), @r#"hookward.toml:2:14: invalid value: string "25MB", expected a whole number, or a size like "25MiB""#);
    insta::assert_snapshot!(problems("[limits]\nbody_bytes = 0\nheader_bytes = 100\nidle_timeout = \"0s\"\n"), @r#"
hookward.toml:2:14: `body_bytes` must be at least 1
hookward.toml:3:16: `header_bytes` must be at least 8KiB, because real senders need that much
hookward.toml:4:16: `idle_timeout` must be longer than zero
"#);
    insta::assert_snapshot!(problems("[egress]\nallow = [\"10.0.0.0/99\"]\n"), @r#"hookward.toml:2:9: `10.0.0.0/99` is not a range of addresses: write one like "10.0.0.0/8" or "fd00::/8""#);
    insta::assert_snapshot!(problems("[public]\norigin = \"https://x.test/path\"\n"), @r#"hookward.toml:2:10: `origin` is like "https://hooks.example.com": a scheme and a host, no path"#);
}

#[test]
fn sources_that_share_a_path_agree_on_what_comes_before_the_body() {
    let source =
        |name: &str, rest: &str| format!("[[source]]\nname = \"{name}\"\npath = \"/x\"\nunsigned = true\n{rest}\n");
    let web = source("web", "hint = { \"/repo\" = \"web\" }");
    let api = source("api", "hint = { \"/repo\" = \"api\" }");
    assert_eq!(parse(&format!("{web}{api}")).unwrap().sources.len(), 2);
    let beside_web = |rest: &str| problems(&format!("{web}{}", source("api", rest)));
    insta::assert_snapshot!(beside_web(""), @"hookward.toml:8:8: path `/x` is already that of source `web`; sources share a path only when each has a `hint`");
    insta::assert_snapshot!(beside_web("hint = { \"/repo\" = \"web\" }"), @"hookward.toml:8:8: sources `web` and `api` share path `/x` and have the same hint `web`");
    insta::assert_snapshot!(beside_web("hint = { \"/id\" = \"api\" }\nmethods = [\"PUT\"]\nbody_bytes = 9\nallow_addresses = [\"10.0.0.1\"]\n[source.answers]\nrefused = { status = 403 }\nwrong_method = { status = 400 }"), @r"
hookward.toml:8:8: sources `web` and `api` share path `/x`, so they need the same place in `hint`
hookward.toml:8:8: sources `web` and `api` share path `/x`, so they need the same `methods`
hookward.toml:8:8: sources `web` and `api` share path `/x`, so they need the same `allow_addresses`
hookward.toml:8:8: sources `web` and `api` share path `/x`, so they need the same `body_bytes`
hookward.toml:8:8: sources `web` and `api` share path `/x`, so they need the same `answers.refused`
hookward.toml:8:8: sources `web` and `api` share path `/x`, so they need the same `answers.wrong_method`
");
    insta::assert_snapshot!(problems(&format!("{web}{api}{}", source("three", "hint = { \"/repo\" = \"api\" }"))), @"hookward.toml:13:8: sources `api` and `three` share path `/x` and have the same hint `api`");
    for (hint, problem) in [
        ("{}", "a hint is one place and its value, like { \"/repository/full_name\" = \"acme/web\" }"),
        (
            "{ \"/a\" = \"x\", \"/b\" = \"y\" }",
            "a hint is one place and its value, like { \"/repository/full_name\" = \"acme/web\" }",
        ),
        ("{ \"a\" = \"x\" }", "this hint cannot be used: the JSON pointer `a` must begin with `/`"),
        ("{ \"/a\" = \"\" }", "a hint's value has 1 to 1024 bytes"),
    ] {
        assert_eq!(problems(&source("web", &format!("hint = {hint}"))), format!("hookward.toml:5:8: {problem}"));
    }
    let long = |len: usize| source("web", &format!("hint = {{ \"/a\" = \"{}\" }}", "v".repeat(len)));
    assert!(parse(&long(1024)).is_ok());
    assert!(problems(&long(1025)).ends_with("a hint's value has 1 to 1024 bytes"));
}

#[test]
fn a_source_may_take_less_than_the_gateway_does() {
    let source =
        |rest: &str| format!("[limits]\nbody_bytes = 1000\n[[source]]\nname = \"a\"\nunsigned = true\n{rest}\n");
    assert!(parse(&source("body_bytes = 1000")).is_ok());
    for size in ["0", "1001", "\"1KiB\""] {
        let problem = "`body_bytes` of a source is from 1 to that in [limits], which is 1000";
        assert_eq!(problems(&source(&format!("body_bytes = {size}"))), format!("hookward.toml:6:14: {problem}"));
    }
    let types =
        |types: &str| parse(&source(&format!("event_types = {types}"))).unwrap().sources.remove(0).spec.event_types;
    assert_eq!(types(r#"["push", "issues.*"]"#), ["push", "issues.*"]);
    assert!(types(r#"["push", "*"]"#).is_empty());
    let problem = "`pu*sh` is not an event type: a `*` stands only at the end, after a dot";
    assert_eq!(problems(&source(r#"event_types = ["pu*sh"]"#)), format!("hookward.toml:6:16: {problem}"));
}

#[test]
fn addresses_are_ranges() {
    let source = |ranges: &str| format!("[[source]]\nname = \"a\"\nunsigned = true\nallow_addresses = {ranges}\n");
    assert!(parse(&source(r#"["192.30.252.0/22", "2001:db8::1"]"#)).is_ok());
    insta::assert_snapshot!(problems(&source("[]")), @"hookward.toml:4:19: nobody could come to a source without addresses: leave `allow_addresses` out for all");
    insta::assert_snapshot!(problems(&source(r#"["github.com"]"#)), @r#"hookward.toml:4:19: `github.com` is not a range of addresses: write one like "10.0.0.0/8" or "fd00::/8""#);
    insta::assert_snapshot!(problems("[public]\ntrusted_proxies = [\"10.0.0.0/33\"]\n"), @r#"hookward.toml:2:19: `10.0.0.0/33` is not a range of addresses: write one like "10.0.0.0/8" or "fd00::/8""#);
}

#[test]
fn a_handshake_token_is_for_schemes_that_take_one() {
    let source = |rest: &str| format!("[[source]]\nname = \"a\"\n{rest}\n");
    let token = |scheme: &str, token: &str| source(&format!("scheme = \"{scheme}\"\nhandshake_token = \"{token}\""));
    assert!(parse(&token("meta", "env:SET")).unwrap().sources[0].handshake_token.is_some());
    let notices = |text: &str| parse(text).unwrap().notices;
    let unset = "source `a`: UNSET is not set, so it has no handshake token";
    assert_eq!(notices(&token("meta", "env:UNSET")), [unset]);
    let none = "source `a`: it has no `handshake_token`, so its provider cannot make sure of it";
    assert_eq!(notices(&source("scheme = \"meta\"")), [none]);
    insta::assert_snapshot!(problems(&token("github", "env:SET")), @"hookward.toml:4:19: the scheme of source `a` takes no `handshake_token`");
    insta::assert_snapshot!(problems(&token("meta", "typed here")), @r#"hookward.toml:4:19: a secret does not stand in this file: write "env:NAME" or "file:PATH""#);
}

#[test]
fn a_rate_is_a_number_in_a_lapse() {
    let source = |rate: &str| format!("[[source]]\nname = \"a\"\nunsigned = true\nrate = {rate}\n");
    let rate = |text: &str| parse(&source(text)).unwrap().sources.remove(0).spec.rate.unwrap();
    assert_eq!(rate(r#"{ requests = 100, per = "1s", burst = 200 }"#).burst, 200);
    assert_eq!(rate(r#"{ requests = 1000000, per = "1m" }"#).burst, 1_000_000);
    for (text, column, problem) in [
        (r#"{ requests = 0, per = "1s" }"#, 21, "`requests` of a rate is 1 to 1000000"),
        (r#"{ requests = 1000001, per = "1s", burst = 1 }"#, 21, "`requests` of a rate is 1 to 1000000"),
        (r#"{ requests = 1, per = "1s", burst = 0 }"#, 44, "`burst` of a rate is 1 to 1000000"),
        (r#"{ requests = 1, per = "0s" }"#, 30, "`per` must be longer than zero"),
    ] {
        assert_eq!(problems(&source(text)), format!("hookward.toml:4:{column}: {problem}"));
    }
}

#[test]
fn sources_are_checked() {
    insta::assert_snapshot!(problems(r#"
[[source]]
name = "Web Shop"
scheme = "githb"
[[source]]
name = "a"
unsigned = true
path = "/x"
[[source]]
name = "a"
unsigned = true
path = "/x"
[[source]]
name = "b"
[[source]]
name = "c"
scheme = "github"
unsigned = true
[[source]]
name = "d"
unsigned = true
secret = "env:SET"
[[source]]
name = "publish"
unsigned = true
path = "healthz"
methods = ["post"]
[[source]]
name = "e"
scheme = "github"
secret = "hunter2"
path = "/healthz"
dedup = { id_headers = ["X Y"] }
methods = []
[source.answers]
accepted = { status = 404 }
duplicate = { status = 204, body = "x" }
refused = { status = 200 }
[[source]]
name = "hookward"
unsigned = true
"#), @r#"
hookward.toml:3:8: `Web Shop` is not a name: use 1 to 64 of `a` to `z`, `0` to `9` and `-`
hookward.toml:3:8: path `/in/Web Shop` cannot be used: it contains a blank or something that is not ASCII: write it percent-encoded, as it is requested
hookward.toml:4:10: there is no scheme `githb`; did you mean `github`?
hookward.toml:10:8: there are two sources `a`
hookward.toml:12:8: path `/x` is already that of source `a`; sources share a path only when each has a `hint`
hookward.toml:14:8: source `b` has no `scheme`; for one that proves nothing write `unsigned = true`
hookward.toml:17:10: a source has a `scheme` or `unsigned = true`, not both
hookward.toml:22:10: a source with `unsigned = true` has no use for a secret
hookward.toml:24:8: `publish` is the name of the API's own door: call this source something else
hookward.toml:26:8: path `healthz` cannot be used: it does not begin with `/`
hookward.toml:27:12: `post` is not a method; write one like "POST"
hookward.toml:31:10: a secret does not stand in this file: write "env:NAME" or "file:PATH"
hookward.toml:32:8: path `/healthz` cannot be used: the listener answers it itself
hookward.toml:33:25: `X Y` is not a header name
hookward.toml:34:11: a source takes at least one method; write ["*"] for every method
hookward.toml:36:23: status 404 is not possible here: this answer is 2xx, because the event is safe
hookward.toml:37:24: an answer with status 204 has no body
hookward.toml:38:22: status 200 is not possible here: this answer is 4xx, because nothing was stored
hookward.toml:40:8: `hookward` is the name of the door of Hookward's own events: call this source something else
"#);
}

#[test]
fn destinations_are_checked() {
    insta::assert_snapshot!(problems(r#"
[[source]]
name = "github"
unsigned = true
[[destination]]
name = "a"
type = "htpp"
[[destination]]
name = "b"
type = "http"
argv = ["x"]
[[destination]]
name = "b"
type = "command"
url = "http://x.test/"
[[destination]]
name = "c"
type = "http"
url = "ftp://x.test/"
sources = ["gihub"]
event_types = ["a*b"]
set_headers = { "Host" = "x", "A B" = "x" }
forward_headers = ["X-*", "a b*"]
concurrency = 0
timeout = "0s"
retry = { waits = ["10ms"], jitter_percent = 101 }
sign = { scheme = "quite-another-one", secret = "file:/does/not/exist" }
[[destination]]
name = "d"
type = "http"
url = "https://user:hunter2@x.test/#a"
[[destination]]
name = "e"
type = "command"
argv = []
"#), @r#"
hookward.toml:7:8: there is no type of destination `htpp`; did you mean `http`?
hookward.toml:10:8: a destination of type `http` needs a `url`
hookward.toml:11:8: a destination of type `http` has no `argv`
hookward.toml:13:8: there are two destinations `b`
hookward.toml:14:8: a destination of type `command` needs an `argv`
hookward.toml:15:7: a destination of type `command` has no `url`
hookward.toml:19:7: this url cannot be used: it does not begin with `http://` or `https://`
hookward.toml:20:12: there is no source `gihub`; did you mean `github`?
hookward.toml:21:16: `a*b` is not an event type: a `*` stands only at the end, after a dot
hookward.toml:22:26: header `Host` belongs to the connection and cannot be set
hookward.toml:22:39: `A B` is not a header name
hookward.toml:23:27: `a b*` is not a header name
hookward.toml:24:15: `concurrency` is 1 to 1024
hookward.toml:25:11: `timeout` must be longer than zero
hookward.toml:26:20: a wait is in whole seconds
hookward.toml:26:46: `jitter_percent` is 0 to 100
hookward.toml:27:19: there is no scheme `quite-another-one`
hookward.toml:27:49: file `/does/not/exist` cannot be read: No such file or directory (os error 2)
hookward.toml:31:7: this url cannot be used: it holds user info; set an `Authorization` header in `set_headers`
hookward.toml:35:8: `argv` is a program and its arguments, like ["./deploy", "--now"]
"#);
}

#[test]
fn types_of_events_are_checked_where_they_stand() {
    let config = parse("[[event_type]]\nname = \"a.b\"\nschema = \"env:SCHEMA:-{}\"\nexample = \"7\"\n").unwrap();
    let spec = &config.event_types[0].spec;
    assert_eq!((&spec.schema, &spec.example), (&Some(serde_json::json!({})), &Some(serde_json::json!(7))));
    let one = |more: &str| format!("[[event_type]]\nname = \"a\"\n{more}\n");
    insta::assert_snapshot!(problems(&one("shema = \"{}\"")), @"hookward.toml:3:1: unknown key `shema` in [[event_type]]; did you mean `schema`?");
    insta::assert_snapshot!(problems(&one("schema = \"{\"")), @"hookward.toml:3:10: this is not JSON: EOF while parsing an object at line 1 column 1");
    for (text, wanted) in [
        (one("schema = '{\"type\":7}'"), "hookward.toml:3:10: event type `a`: its schema cannot be used: `/type`: "),
        (one("schema = \"env:NOT_SET\""), "hookward.toml:3:10: `NOT_SET` is not set, and there is JSON wanted"),
        (one("") + &one(""), "hookward.toml:5:8: there are two event types `a`"),
        ("[[event_type]]\nname = \"a b\"\n".to_owned(), "hookward.toml:2:8: event type `a b`: a type is 1 to 256"),
        (
            "[publishing]\nundeclared_types = \"deny\"\n".to_owned(),
            "hookward.toml:2:20: `undeclared_types` is \"accept\"",
        ),
        ("[publishing]\nundeclared = \"refuse\"\n".to_owned(), "hookward.toml:2:1: unknown key `undeclared`"),
    ] {
        let told = problems(&text);
        assert!(told.starts_with(wanted), "{told}");
    }
}

#[test]
fn an_absent_variable_leaves_a_destination_out_with_a_notice() {
    let config = parse(
        r#"
[[source]]
name = "a"
scheme = "github"
secret = "env:NOT_SET"
[[destination]]
name = "b"
type = "http"
url = "env:NOT_SET"
[[destination]]
name = "c"
type = "http"
url = "https://x.test/"
set_headers = { "Authorization" = "env:SET" }
sign = { scheme = "github", secret = "env:NOT_SET" }
"#,
    );
    let config = config.unwrap();
    assert!(config.destinations.is_empty());
    assert!(config.sources[0].secret.is_none());
    insta::assert_snapshot!(config.notices.join("\n"), @r#"
source `a`: NOT_SET is not set, so it gives no secret
destination `b` is left out: NOT_SET is not set
destination `c` is left out: NOT_SET is not set
"#);
}

#[test]
fn a_report_names_a_destination_a_host_and_something_to_say() {
    let report = |settings: &str| {
        let scan = "[[destination]]\nname = \"scan\"\ntype = \"command\"\nargv = [\"true\"]\n";
        format!("{scan}[[destination]]\nname = \"tell\"\ntype = \"report\"\n{settings}")
    };
    let whole = "of = \"scan\"\nprovider = \"gitlab\"\ntoken = \"env:SET\"\ncomment = true\n";
    let config = parse(&report(whole)).unwrap();
    assert_eq!(config.destinations.len(), 2);
    assert_eq!(config.destinations[1].spec.signing[0].scheme, "bearer");
    // Without its token it is left out, not sent without.
    assert_eq!(parse(&report(&whole.replace("env:SET", "env:NOT_SET"))).unwrap().destinations.len(), 1);
    insta::assert_snapshot!(problems(&report("comment = true\n")), @"hookward.toml:7:8: a destination of type `report` needs `of` (a destination's name) and a `provider`");
    insta::assert_snapshot!(problems(&report("of = \"scna\"\nprovider = \"github\"\ncomment = true\n")), @"hookward.toml:8:6: there is no destination `scna` to report of; did you mean `scan`?");
    insta::assert_snapshot!(problems(&report("of = \"scan\"\nprovider = \"githbu\"\ncomment = true\n")), @"hookward.toml:9:12: there is no provider `githbu` to report to; did you mean `github`?");
    insta::assert_snapshot!(problems(&report("of = \"scan\"\nprovider = \"gitlab\"\ncheck_run = \"x\"\n")), @"hookward.toml:10:13: GitLab has no check runs: use `status`");
    insta::assert_snapshot!(problems(&report("of = \"scan\"\nprovider = \"github\"\n")), @"hookward.toml:7:8: this report says nothing: give it `status`, `check_run` or `comment = true`");
    insta::assert_snapshot!(problems(&report("of = \"scan\"\nprovider = \"github\"\nstatus = \"s\"\ntoken = \"ghp_x\"\n")), @"hookward.toml:11:9: a secret does not stand in this file: write \"env:NAME\" or \"file:PATH\"");
    insta::assert_snapshot!(problems(&report("of = \"scan\"\nprovider = \"github\"\nstatus = \"s\"\nurl = \"https://x\"\n")), @"hookward.toml:11:7: a destination of type `report` has no `url`");
}

#[test]
fn a_relative_program_stands_beside_the_file_unless_it_has_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hookward.toml");
    let destination = |settings: &str| format!("[[destination]]\nname = \"a\"\ntype = \"command\"\n{settings}\n");
    for (settings, expected) in [
        ("argv = [\"./scan\"]", directory.path().join("scan").to_str().unwrap()),
        ("argv = [\"scan\"]", "scan"),
        ("argv = [\"/bin/scan\"]", "/bin/scan"),
        ("argv = [\"./scan\"]\ndirectory = \"/srv\"", "./scan"),
    ] {
        std::fs::write(&path, destination(settings)).unwrap();
        let config = Config::load(&path).unwrap();
        let DestinationKind::Command(command) = &config.destinations[0].spec.kind else { panic!("not a command") };
        assert_eq!(command.argv[0], expected, "{settings}");
    }
}

#[test]
fn a_commands_own_settings_are_checked() {
    let command = |rest: &str| format!("[[destination]]\nname = \"a\"\ntype = \"command\"\nargv = [\"x\"]\n{rest}");
    insta::assert_snapshot!(problems(&command("retry_exit_codes = [75, 0, 256]\noutput_bytes = \"17MiB\"\n")), @r#"
    hookward.toml:5:25: `0` is not an exit status of a failure: those are 1 to 255
    hookward.toml:5:28: `256` is not an exit status of a failure: those are 1 to 255
    hookward.toml:6:16: `output_bytes` is 0 to 16777216
    "#);
    let http = "[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"http://x.test/\"\nretry_exit_codes = []\noutput_bytes = 1\n";
    insta::assert_snapshot!(problems(http), @r#"
    hookward.toml:5:20: a destination of type `http` has no `retry_exit_codes`
    hookward.toml:6:16: a destination of type `http` has no `output_bytes`
    "#);
    let config = parse(&command("retry_exit_codes = [75, 255]\noutput_bytes = 0\n")).unwrap();
    let spec = &config.destinations[0].spec;
    assert_eq!(spec.retry.exit_codes, Some(vec![75, 255]));
    assert!(matches!(&spec.kind, DestinationKind::Command(command) if command.output_bytes == 0));
}

fn checkout(value: &str) -> String {
    format!("[[destination]]\nname = \"a\"\ntype = \"command\"\nargv = [\"x\"]\ncheckout = {value}\n")
}

#[test]
fn a_checkout_is_checked() {
    insta::assert_snapshot!(problems(&checkout("\"yes\"")), @r#"hookward.toml:5:12: invalid type: string "yes", expected true, or a table like { base = "https://git.example.com" }"#);
    insta::assert_snapshot!(problems(&checkout("{ bse = \"x\" }")), @"hookward.toml:5:14: unknown key `bse` in [[destination]]; did you mean `base`?");
    insta::assert_snapshot!(problems(&checkout("{ base = \"git.test\", max_bytes = 0, credential = \"t0ken\" }\ndirectory = \"/\"")), @r#"
    hookward.toml:5:21: this `base` cannot be used: it does not begin with `http://` or `https://`
    hookward.toml:5:45: `max_bytes` is 1 to 1099511627776
    hookward.toml:5:61: a secret does not stand in this file: write "env:NAME" or "file:PATH"
    hookward.toml:6:13: a program runs in its `directory` or in a `checkout`, not both
    "#);
    insta::assert_snapshot!(problems(&checkout("{ credential = \"env:SET:-t0ken\" }")), @r#"hookward.toml:5:27: a secret has no default: write "env:NAME" or "file:PATH""#);
    insta::assert_snapshot!(problems(&checkout("{ url = 'body.', base = \"https://git.test\" }")), @r"
    hookward.toml:5:20: a checkout has a `url` or a `base`, not both
    hookward.toml:5:20: this is not an expression: line 1, character 6: expected identifier after '.'
    ");
    let http = "[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"http://x.test/\"\ncheckout = true\n";
    insta::assert_snapshot!(problems(http), @"hookward.toml:5:12: a destination of type `http` has no `checkout`");
}

#[test]
fn a_checkouts_credential_is_a_secret_of_its_own_and_its_base_may_have_a_default() {
    let config = parse(&checkout("{ base = \"env:NOT_SET:-https://git.test/x\", credential = \"env:SET\" }")).unwrap();
    let destination = &config.destinations[0];
    assert_eq!(destination.secrets[0].value.expose(), b"x-access-token:a-value-long-enough");
    assert_eq!(destination.spec.signing[0].scheme, "basic");
    let DestinationKind::Command(command) = &destination.spec.kind else { panic!("{:?}", destination.spec.kind) };
    assert_eq!(command.checkout.as_ref().unwrap().base.as_deref(), Some("https://git.test/x"));
    let absent = parse(&checkout("{ credential = \"env:NOT_SET\" }")).unwrap();
    insta::assert_snapshot!(absent.notices.join("\n"), @"destination `a` is left out: NOT_SET is not set");
    for none in ["false", "true"] {
        let config = parse(&checkout(none)).unwrap();
        assert_eq!((config.destinations[0].spec.signing.is_empty(), config.notices.len()), (true, 0));
    }
}

#[test]
fn an_expression_has_to_compile_and_says_where_not() {
    let text = r#"
[[source]]
name = "a"
unsigned = true
filter = 'body.x ='
[[destination]]
name = "b"
type = "command"
argv = ["/bin/true"]
filter = 'evnt == "push"'
once_per = 'now()'
latest_wins = "body.ref"
"#;
    let error = Config::parse(text, "f.toml", &|_| None).unwrap_err().to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3, "{error}");
    assert!(lines[0].starts_with("f.toml:5:10: this is not an expression: line 1, character "), "{error}");
    assert_eq!(
        lines[1],
        "f.toml:10:10: this is not an expression: there is no variable `evnt`; known are `body`, `event`, `headers`, `source`"
    );
    assert!(lines[2].starts_with("f.toml:11:12: this is not an expression: there is no function `now`"), "{error}");
}

#[test]
fn what_consumers_pull_from_has_few_settings_of_its_own() {
    let pull = |more: &str| format!("[[destination]]\nname = \"a\"\ntype = \"pull\"\n{more}");
    for (more, expected) in [("", true), ("ordered = true", true), ("ordered = false", false)] {
        let kind = parse(&pull(more)).unwrap().destinations.remove(0).spec.kind;
        assert!(matches!(&kind, DestinationKind::Pull(pull) if pull.ordered == expected), "{more}: {kind:?}");
    }
    let wrong = "url = \"http://x.test/\"\nargv = [\"x\"]\ntimeout = \"5s\"\nconcurrency = 2\n";
    insta::assert_snapshot!(problems(&pull(&format!("{wrong}sign = {{ scheme = \"github\" }}\n"))), @r"
    hookward.toml:4:7: a destination of type `pull` has no `url`
    hookward.toml:5:8: a destination of type `pull` has no `argv`
    hookward.toml:6:11: a destination of type `pull` has no `timeout`
    hookward.toml:7:15: a destination of type `pull` has no `concurrency`
    hookward.toml:8:19: a destination of type `pull` has no `sign`
    ");
    let http = "[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"http://x.test/\"\nordered = true\n";
    insta::assert_snapshot!(problems(http), @"hookward.toml:5:11: a destination of type `http` has no `ordered`");
}
