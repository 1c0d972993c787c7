//! Where a configuration's secrets come from, and what is said of those that cannot be.

use super::{parse, problems};

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
fn a_secret_has_the_shape_of_its_schemes_keys() {
    let text = "[[source]]\nname = \"a\"\nscheme = \"basic\"\nsecret = \"env:SET\"\n";
    insta::assert_snapshot!(problems(text), @"hookward.toml:4:10: the value of `env:SET` cannot be a secret of scheme `basic`: basic credentials are written user:password");
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

#[test]
fn a_secret_that_is_nothing_is_no_secret() {
    let source = |secret: &str| format!("[[source]]\nname = \"a\"\nscheme = \"github\"\nsecret = \"{secret}\"\n");
    let http =
        |rest: &str| format!("[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"https://x.test/\"\n{rest}\n");
    insta::assert_snapshot!(problems(&source("env:EMPTY")), @"hookward.toml:4:10: `env:EMPTY` is set to nothing: an empty secret would prove nothing");
    insta::assert_snapshot!(problems(&source("env:BLANK")), @"hookward.toml:4:10: `env:BLANK` may not be empty or blank");
    insta::assert_snapshot!(problems(&source("")), @r#"hookward.toml:4:10: a secret does not stand in this file: write "env:NAME" or "file:PATH""#);
    // What the keyring has stays; what is not a secret has to be said.
    assert!(parse(&source("stored")).unwrap().sources[0].secret.is_none());
    let header = http("set_headers = { \"X-Key\" = \"stored\" }");
    assert!(problems(&header).contains("nothing is stored here that could be kept"));
}
