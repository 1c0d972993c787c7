//! The default file: it says the built-in defaults, and its examples work.

use hookward_gateway::config::{Config, DEFAULT};

use super::parse;

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
    // The files of `mtls` are not here.
    let text: Vec<&str> = text.into_iter().filter(|line| !line.starts_with("mtls = ")).collect();
    let text = text.join("\n").replace("env:CI_SECRET", "env:SIGNING").replace("SLACK_WEBHOOK_URL", "WEBHOOK");
    let set = ["env:GITHUB_SECRET", "env:GITHUB_TOKEN", "env:GIT_TOKEN", "env:CI_TOKEN"];
    let text = set.iter().fold(text, |text, name| text.replace(name, "env:SET"));
    let config = parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!((config.sources.len(), config.destinations.len(), config.unmatched.len()), (1, 6, 1));
}
