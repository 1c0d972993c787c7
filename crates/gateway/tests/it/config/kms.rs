//! `[kms]`: what each provider needs, what it may not be told, and where a key may be called.

use std::time::Duration;

use hookward_gateway::config::{Config, KeyProvider};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn parse(text: &str) -> Result<Config, String> {
    let variables = |name: &str| match name {
        "KEK" => Some(KEY.to_owned()),
        "SHORT" => Some("AAAA".to_owned()),
        "ZERO" => Some("00".repeat(32)),
        "PROSE" => Some("the key is under the mat".to_owned()),
        "ID" | "SECRET" | "TOKEN" => Some("value".to_owned()),
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
fn a_key_is_in_a_file_unless_something_else_is_said() {
    let kms = Config::defaults().settings.kms;
    assert_eq!(kms.current, KeyProvider::Local { key_file: None });
    assert_eq!((kms.cache_ttl, kms.timeout), (Duration::from_secs(6 * 3600), Duration::from_secs(5)));
    let kms = parse("[kms]\nkey_file = \"/k\"\n[[kms.previous]]\nprovider = \"environment\"\nkey = \"env:KEK\"\n");
    let kms = kms.unwrap().settings.kms;
    assert_eq!(kms.current, KeyProvider::Local { key_file: Some("/k".into()) });
    assert!(matches!(&kms.previous[..], [KeyProvider::Environment { .. }]));
}

#[test]
fn a_key_from_the_environment_is_thirty_two_random_bytes() {
    let problem = |name| problems(&format!("[kms]\nprovider = \"environment\"\nkey = \"env:{name}\"\n"));
    insta::assert_snapshot!(problem("SHORT"), @"hookward.toml:3:7: the value of `env:SHORT` is not a key: it stands for 3 bytes instead of 32; `openssl rand -base64 32` makes a key");
    insta::assert_snapshot!(problem("ZERO"), @"hookward.toml:3:7: the value of `env:ZERO` is not a key: every byte of it is the same; `openssl rand -base64 32` makes a key");
    insta::assert_snapshot!(problem("PROSE"), @"hookward.toml:3:7: the value of `env:PROSE` is not a key: it is neither base64 nor hexadecimal digits; `openssl rand -base64 32` makes a key");
    insta::assert_snapshot!(problem("ABSENT"), @"hookward.toml:3:7: the variable ABSENT is not set");
    insta::assert_snapshot!(problems("[kms]\nprovider = \"environment\"\n"), @"hookward.toml:2:12: the KMS provider `environment` needs `key`");
    insta::assert_snapshot!(problems(&format!("[kms]\nprovider = \"environment\"\nkey = \"{KEY}\"\n")), @r#"hookward.toml:3:7: a secret does not stand in this file: write "env:NAME" or "file:PATH""#);
}

#[test]
fn a_provider_is_told_what_is_its_own() {
    insta::assert_snapshot!(problems("[kms]\nprovider = \"pkcs12\"\n"), @"hookward.toml:2:12: there is no KMS provider `pkcs12`; did you mean `pkcs11`?");
    insta::assert_snapshot!(problems("[kms]\npin = \"env:KEK\"\nslot = 1\n"), @r#"
hookward.toml:2:7: the KMS provider `local` has no `pin`; it has `key_file`
hookward.toml:3:8: the KMS provider `local` has no `slot`; it has `key_file`
"#);
    insta::assert_snapshot!(problems("[kms]\nkeyfile = \"x\"\n"), @"hookward.toml:2:1: unknown key `keyfile` in [kms]; did you mean `key_file`?");
    insta::assert_snapshot!(problems("[kms]\ncache_ttl = \"59s\"\ntimeout = \"0s\"\n"), @r#"
hookward.toml:2:13: `cache_ttl` is 1m to 7d
hookward.toml:3:11: `timeout` must be longer than zero
"#);
    insta::assert_snapshot!(problems("[kms]\ncache_ttl = \"8d\"\n"), @"hookward.toml:2:13: `cache_ttl` is 1m to 7d");
    insta::assert_snapshot!(problems("[[kms.previous]]\nkey_file = \"x\"\ncache_ttl = \"1h\"\n"), @r#"
hookward.toml:2:12: a [[kms.previous]] says which `provider` it had
hookward.toml:3:13: `cache_ttl` belongs in [kms]: it is the same for every key
"#);
    insta::assert_snapshot!(problems("[[kms.previous]]\nprovider = \"local\"\n[[kms.previous.previous]]\nprovider = \"local\"\n"), @"hookward.toml:2:12: every key before this one is a [[kms.previous]] of its own");
}

/// The lines but for the one that says that this build has no such provider.
fn but_for_the_build(problems: &str) -> String {
    let lines = problems.lines().filter(|line| !line.contains("was built without"));
    lines.collect::<Vec<_>>().join("\n")
}

fn aws(more: &str) -> String {
    let named = "key_id = \"1234abcd-12ab-34cd-56ef-1234567890ab\"\nregion = \"eu-central-1\"\n";
    let credentials = "access_key_id = \"env:ID\"\nsecret_access_key = \"env:SECRET\"\n";
    format!("[kms]\nprovider = \"aws\"\n{named}{credentials}{more}\n")
}

#[test]
fn a_kms_is_called_without_tls_only_on_this_machine() {
    let endpoint = |url: &str| match parse(&aws(&format!("endpoint = \"{url}\""))) {
        Ok(_) => String::new(),
        Err(error) => but_for_the_build(&error),
    };
    for url in
        ["http://127.0.0.1:5000", "http://127.9.9.9", "http://[::1]:5000", "http://localhost:5000", "https://kms.test"]
    {
        assert_eq!(endpoint(url), "", "{url}");
    }
    for url in ["http://kms.test", "http://10.0.0.1:5000", "http://127.0.0.1.kms.test", "http://localhost.kms.test"] {
        assert!(endpoint(url).contains("has to begin with `https://`"), "{url}: {}", endpoint(url));
    }
    for url in ["ftp://127.0.0.1", "kms.test", "http://user:pass@127.0.0.1", "https://"] {
        assert!(endpoint(url).contains("`endpoint` is not a URL to call"), "{url}: {}", endpoint(url));
    }
}

#[test]
fn an_aws_key_has_a_name_a_place_and_a_caller() {
    let bare = but_for_the_build(&problems("[kms]\nprovider = \"aws\"\n"));
    insta::assert_snapshot!(bare, @r#"
hookward.toml:2:12: the KMS provider `aws` needs `key_id`
hookward.toml:2:12: `region` is missing, and so are the variables AWS_REGION and AWS_DEFAULT_REGION
hookward.toml:2:12: `access_key_id` is missing, and so is the variable AWS_ACCESS_KEY_ID
hookward.toml:2:12: `secret_access_key` is missing, and so is the variable AWS_SECRET_ACCESS_KEY
"#);
    let alias = aws("").replace("1234abcd-12ab-34cd-56ef-1234567890ab", "alias/hookward");
    insta::assert_snapshot!(but_for_the_build(&problems(&alias)), @"hookward.toml:3:10: an alias may come to mean another key: name the key by its id or its ARN");
}

#[test]
fn a_key_in_a_token_has_a_module_a_token_a_label_and_a_pin() {
    insta::assert_snapshot!(but_for_the_build(&problems("[kms]\nprovider = \"pkcs11\"\n")), @r#"
hookward.toml:2:12: the KMS provider `pkcs11` needs `module`
hookward.toml:2:12: the KMS provider `pkcs11` needs `token`, the token's label, or its `slot`
hookward.toml:2:12: the KMS provider `pkcs11` needs `key_label`
hookward.toml:2:12: the KMS provider `pkcs11` needs `pin`
"#);
    let both = "[kms]\nprovider = \"pkcs11\"\nmodule = \"/nowhere.so\"\ntoken = \"t\"\nslot = 1\nkey_label = \"k\"\npin = \"1234\"\n";
    insta::assert_snapshot!(but_for_the_build(&problems(both)), @r#"
hookward.toml:3:10: there is no PKCS#11 module `/nowhere.so`
hookward.toml:4:9: a token is found by its label (`token`) or by its `slot`, not by both
hookward.toml:7:7: a secret does not stand in this file: write "env:NAME" or "file:PATH"
"#);
}

#[cfg(not(feature = "kms-aws"))]
#[test]
fn a_provider_that_is_not_built_in_names_its_feature() {
    insta::assert_snapshot!(problems(&aws("")), @"hookward.toml:2:12: this hookward was built without the KMS provider `aws`: build it with the cargo feature `kms-aws`");
}
