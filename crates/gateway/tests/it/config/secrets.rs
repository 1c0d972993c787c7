//! Where a configuration's secrets come from, and what is said of those that cannot be.

use hookward_engine::clock::Timestamp;
use hookward_engine::model::SignWith;

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

fn signing(sign: &str) -> String {
    format!("[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"https://x.test/\"\nsign = {sign}\n")
}

#[test]
fn a_destination_signs_with_one_scheme_or_with_several() {
    let of = |sign: &str| {
        let destination = parse(&signing(sign)).unwrap().destinations.remove(0);
        let schemes: Vec<String> = destination.spec.signing.iter().map(|signing| signing.scheme.clone()).collect();
        let secrets: Vec<String> = destination.secrets.iter().map(|secret| secret.purpose.clone()).collect();
        (schemes.join(" "), secrets.join(" "))
    };
    let pair = |schemes: &str, secrets: &str| (schemes.to_owned(), secrets.to_owned());
    assert_eq!(of("{ scheme = \"qlens\", secret = \"env:SET\" }"), pair("qlens", "qlens"));
    let both = "[{ scheme = \"qlens\", secret = \"env:SET\" }, { scheme = \"bearer\", secret = \"env:SET\" }]";
    assert_eq!(of(both), pair("qlens bearer", "qlens bearer"));
    assert_eq!(of("[{ scheme = \"qlens\" }, { scheme = \"svix\" }]"), pair("qlens svix", ""));
    assert_eq!(of("[]"), pair("", ""));
    let spec = parse(&signing(
        "[{ scheme = \"qlens\", sign_with = \"previous\", until = \"2026-12-31T01:00:00+01:00\" }, { scheme = \"svix\" }]",
    ));
    let spec = spec.unwrap().destinations.remove(0).spec;
    assert_eq!(spec.signing[0].until, Some(Timestamp::from_millis(1_798_675_200_000)));
    assert_eq!(spec.signing[0].sign_with, Some(SignWith::Previous));
    assert_eq!((spec.signing[1].until, spec.signing[1].sign_with), (None, None));
}

#[test]
fn schemes_that_do_not_go_together_are_named_where_they_stand() {
    let said = |sign: &str| problems(&signing(sign));
    insta::assert_snapshot!(said("[{ scheme = \"bearer\" }, { scheme = \"basic\" }]"), @"hookward.toml:5:43: schemes `bearer` and `basic` both write header `Authorization`: keep one of them");
    insta::assert_snapshot!(said("[{ scheme = \"qlens\" }, { scheme = \"qlens\" }]"), @"hookward.toml:5:42: scheme `qlens` signs once: give one entry for it");
    insta::assert_snapshot!(said("[{ scheme = \"qlens\" }, { scheme = \"qlen\" }]"), @"hookward.toml:5:42: there is no scheme `qlen`; did you mean `qlens`?");
    insta::assert_snapshot!(said("{ scheme = \"qlens\", until = \"2026-12-31T00:00:00Z\" }"), @"hookward.toml:5:19: nothing would be signed once the last `until` is past: leave it out of the scheme that stays");
    insta::assert_snapshot!(said("{ scheme = \"qlens\", until = \"tomorrow\" }"), @r#"hookward.toml:5:36: `until` is a time like "2026-12-31T00:00:00Z""#);
    insta::assert_snapshot!(said("{ scheme = \"qlens\", sign_with = \"newst\" }"), @"hookward.toml:5:40: `sign_with` is newest, previous or adaptive, not `newst`; did you mean `newest`?");
    insta::assert_snapshot!(said("{ scheme = \"qflow\", sign_with = \"newest\" }"), @"hookward.toml:5:40: scheme `qflow` sends a signature of every secret: there is none to choose");
    let unknown = said("[{ scheme = \"qlens\", secrt = \"env:SET\" }]");
    assert!(unknown.contains("unknown key `secrt`") && unknown.contains("did you mean `secret`?"), "{unknown}");
    let neither = said("true");
    assert!(neither.starts_with("hookward.toml:5:8: ") && neither.contains("or a list of such tables"), "{neither}");
    let five = ["qlens", "qflow", "bearer", "github", "stripe"].map(|name| format!("{{ scheme = \"{name}\" }}"));
    insta::assert_snapshot!(said(&format!("[{}]", five.join(", "))), @"hookward.toml:5:110: a destination signs with at most 4 schemes");
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
