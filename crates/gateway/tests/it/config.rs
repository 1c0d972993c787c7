//! The configuration file: its defaults, its examples, and what is said about mistakes.

use hookward_gateway::config::{Config, DEFAULT};

fn parse(text: &str) -> Result<Config, String> {
    let variables = |name: &str| (name == "SET").then(|| "a-value-long-enough".to_owned());
    Config::parse(text, "hookward.toml", &variables).map_err(|error| error.to_string())
}

fn problems(text: &str) -> String {
    match parse(text) {
        Ok(_) => panic!("this has no problem: {text}"),
        Err(error) => error,
    }
}

#[test]
fn the_default_file_says_the_built_in_defaults() {
    assert_eq!(parse(DEFAULT).unwrap().settings, Config::defaults().settings);
}

/// The examples in the default file are commented out; they have to work when they are not.
#[test]
fn the_default_files_examples_work() {
    let (examples, _) = DEFAULT.split_once("# A scheme of your own").unwrap();
    let is_setting = |line: &&str| {
        let line = line.trim_start_matches("# ");
        line.starts_with("[[")
            || line.starts_with("[source.")
            || line
                .split_once(" = ")
                .is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'))
    };
    let (_, examples) = examples.split_once("# [[unmatched]]").unwrap();
    let lines = format!("# [[unmatched]]{examples}");
    let text: Vec<&str> = lines.lines().filter(is_setting).map(|line| line.trim_start_matches("# ")).collect();
    let text = text.join("\n").replace("env:GITHUB_SECRET", "env:SET").replace("env:CI_SECRET", "env:SET");
    let text = text.replace(r#"scheme = "standard-webhooks", "#, r#"scheme = "github", "#);
    let config = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(config.sources.len(), 1);
    assert_eq!(config.destinations.len(), 2);
    assert_eq!(config.unmatched.len(), 1);
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_known_one() {
    insta::assert_snapshot!(problems("[[source]]\nname = \"a\"\npth = \"/a\"\n"), @"hookward.toml:3:1: unknown key `pth` in [[source]]; did you mean `path`?");
    insta::assert_snapshot!(problems("[limits]\nbody_byte = 1\n"), @"hookward.toml:2:1: unknown key `body_byte` in [limits]; did you mean `body_bytes`?");
    insta::assert_snapshot!(problems("dta = \"x\"\n"), @"hookward.toml:1:1: unknown key `dta` in the top level; did you mean `data`?");
    insta::assert_snapshot!(problems("[admin]\nport = 1\n"), @"hookward.toml:2:1: unknown key `port` in [admin]; known are `address`");
    insta::assert_snapshot!(problems("[[source]]\nname = \"a\"\ndedup = { bdy = true }\n"), @"hookward.toml:3:11: unknown key `bdy` in [[source]]; did you mean `body`?");
}

#[test]
fn what_is_not_toml_is_placed() {
    insta::assert_snapshot!(problems("data = \n"), @"");
    insta::assert_snapshot!(problems("data = \"a\"\ndata = \"b\"\n"), @"");
    insta::assert_snapshot!(problems("[[source]]\npath = \"/a\"\n"), @"");
}

#[test]
fn values_are_checked_where_they_stand() {
    insta::assert_snapshot!(problems("[public]\naddress = \"localhost\"\n"), @"");
    insta::assert_snapshot!(problems("[limits]\nbody_timeout = \"5 parsecs\"\n"), @"");
    insta::assert_snapshot!(problems("[limits]\nbody_bytes = \"25MB\"\n"), @"");
    insta::assert_snapshot!(problems("[limits]\nbody_bytes = 0\nheader_bytes = 100\nidle_timeout = \"0s\"\n"), @"");
    insta::assert_snapshot!(problems("[egress]\nallow = [\"10.0.0.0/99\"]\n"), @"");
    insta::assert_snapshot!(problems("[public]\norigin = \"https://x.test/path\"\n"), @"");
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
"#), @"");
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
sign = { scheme = "nope", secret = "file:/does/not/exist" }
[[destination]]
name = "d"
type = "http"
url = "https://user:hunter2@x.test/#a"
[[destination]]
name = "e"
type = "command"
argv = []
"#), @"");
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
    insta::assert_snapshot!(config.notices.join("\n"), @"");
}

#[test]
fn a_secret_file_loses_one_newline_only() {
    let directory = tempfile::tempdir().unwrap();
    for (kept, expected) in
        [("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), ("s3cret\n\n", "s3cret\n"), ("s3cret ", "s3cret ")]
    {
        let file = directory.path().join("secret");
        std::fs::write(&file, kept).unwrap();
        let text = format!("[[source]]\nname = \"a\"\nscheme = \"github\"\nsecret = \"file:{}\"\n", file.display());
        let config = parse(&text).unwrap();
        assert_eq!(config.sources[0].secret.as_ref().unwrap().expose(), expected.as_bytes());
    }
}

#[test]
fn no_message_repeats_a_secret() {
    for text in [
        "[[source]]\nname = \"a\"\nscheme = \"github\"\nsecret = \"hunter2\"\n",
        "[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"https://user:hunter2@x.test/\"\n",
    ] {
        assert!(!problems(text).contains("hunter2"), "{}", problems(text));
    }
}
