//! Providers by way of which people sign in, as they are declared.

use hookward_engine::model::Scopes;

use super::{parse, problems};

fn table(rest: &str) -> String {
    let secret = "client_secret = \"env:SET\"";
    format!("[[oidc]]\nname = \"okta\"\nissuer = \"https://id.example\"\nclient_id = \"a\"\n{secret}\n{rest}\n")
}

#[test]
fn a_provider_is_declared_with_whom_it_lets_in() {
    let config = parse(&table("domains = [\"Example.com\"]\ncreate = true\nscopes = [\"*\"]")).unwrap();
    let [okta] = &config.oidc[..] else { panic!("{:?}", config.oidc) };
    assert_eq!((okta.name.as_str(), okta.organization.as_str()), ("okta", "default"));
    assert_eq!((&okta.domains[..], okta.newcomers), (&["example.com".to_owned()][..], Some(Scopes::ALL)));
    let config = parse(&table("")).unwrap();
    assert_eq!((config.oidc[0].newcomers, &config.oidc[0].grants), (None, &None));
}

#[test]
fn what_would_let_in_anybody_is_refused() {
    insta::assert_snapshot!(problems(&table("create = true\nscopes = [\"read\"]")), @"hookward.toml:6:10: `create` lets in whoever the provider knows: say whose addresses in `domains`");
    insta::assert_snapshot!(problems(&table("create = true\ndomains = [\"a.b\"]")), @"hookward.toml:6:10: `create` needs `scopes`: what newcomers may do");
    insta::assert_snapshot!(problems(&table("scopes = [\"read\"]")), @"hookward.toml:6:10: `scopes` are what newcomers may do: say `create = true`");
    insta::assert_snapshot!(problems(&table("domains = [\"*.example.com\"]")), @r#"hookward.toml:6:12: a domain is what stands in an address after the `@`, like "example.com""#);
    insta::assert_snapshot!(problems(&table("claim = \"groups\"")), @"hookward.toml:6:9: `claim` needs `grants`: what its values come to");
    insta::assert_snapshot!(problems(&table("grants = { a = [\"read\"] }")), @"hookward.toml:6:10: `grants` needs `claim`: where the values are");
    insta::assert_snapshot!(problems(&table("claim = \"groups\"\ngrants = { a = [\"raed\"] }")), @"hookward.toml:7:17: there is no scope `raed`; known are read, publish, pull, redeliver, reveal, rotate, export and admin");
}

#[test]
fn a_provider_is_reached_over_tls() {
    for issuer in ["http://id.example", "id.example", "https://id.example?a=b", "https://user@id.example"] {
        let config = table("").replace("https://id.example", issuer);
        assert_eq!(
            problems(&config),
            "hookward.toml:3:10: `issuer` is a URL that begins with `https://`, as the provider itself writes it",
            "{issuer}"
        );
    }
}

#[test]
fn a_provider_without_its_secret_is_left_out_with_a_notice() {
    let config = parse(&table("").replace("env:SET", "env:UNSET")).unwrap();
    assert!(config.oidc.is_empty());
    assert_eq!(config.notices, ["OpenID Connect provider `okta` is left out: `UNSET` is not set"]);
    let written = table("").replace("env:SET", "hunter2");
    insta::assert_snapshot!(problems(&written), @r#"hookward.toml:5:17: a secret does not stand in this file: write "env:NAME" or "file:PATH""#);
}

#[test]
fn two_providers_have_two_names() {
    insta::assert_snapshot!(problems(&(table("") + &table(""))), @"hookward.toml:8:8: there are two OpenID Connect providers `okta`");
}
