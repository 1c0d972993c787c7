//! How a destination proves who calls, and the type `slack`: what comes of the settings, and what is said of those that cannot be.

use hookward_engine::model::{DestinationKind, MTLS, OAUTH2, OAuth2ClientAuth, Signing, URL};
use hookward_gateway::config::{Config, DestinationDeclaration};

use super::problems;

const CLIENT: &str = include_str!("../../../../engine/tests/it/tls/client.pem");
const CLIENT_KEY: &str = include_str!("../../../../engine/tests/it/tls/client.key");
const STRANGER_KEY: &str = include_str!("../../../../engine/tests/it/tls/stranger.key");

fn http(rest: &str) -> String {
    format!("[[destination]]\nname = \"a\"\ntype = \"http\"\nurl = \"https://x.test/\"\n{rest}\n")
}

fn slack(rest: &str) -> String {
    format!("[[destination]]\nname = \"a\"\ntype = \"slack\"\n{rest}\n")
}

fn parse(text: &str) -> Result<Config, String> {
    let variables = |name: &str| match name {
        "SET" => Some("a-value-long-enough".to_owned()),
        "BASIC" => Some("user:a-password".to_owned()),
        "SIGNING" => Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        "CLIENT" => Some(CLIENT.to_owned()),
        "CLIENT_KEY" => Some(CLIENT_KEY.to_owned()),
        "STRANGER_KEY" => Some(STRANGER_KEY.to_owned()),
        "WEBHOOK" => Some("https://hooks.slack.test/services/hunter2".to_owned()),
        "PLAIN" => Some("http://hooks.slack.test/services/hunter2".to_owned()),
        "NO_URL" => Some("hunter2".to_owned()),
        _ => None,
    };
    Config::parse(text, "hookward.toml", &variables).map_err(|error| error.to_string())
}

fn only(text: &str) -> DestinationDeclaration {
    let mut config = parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    config.destinations.remove(0)
}

fn problem(text: &str) -> String {
    let problem = parse(text).expect_err(text);
    assert!(!problem.contains("hunter2") && !problem.contains("PRIVATE KEY-----\nM"), "{problem}");
    problem
}

#[test]
fn a_credential_is_one_of_the_schemes_with_a_secret_of_its_own() {
    let cases = [
        ("auth = { basic = \"env:BASIC\" }", "basic"),
        ("auth = { bearer = \"env:SET\" }", "bearer"),
        ("auth = { header = \"X-Api-Key\", secret = \"env:SET\" }", "header:x-api-key"),
    ];
    for (auth, scheme) in cases {
        let declared = only(&http(auth));
        assert_eq!(declared.spec.signing, [Signing::by(scheme)]);
        assert_eq!(declared.secrets.iter().map(|secret| secret.purpose.as_str()).collect::<Vec<_>>(), [scheme]);
        let beside =
            only(&http(&format!("{auth}\nsign = {{ scheme = \"standard-webhooks\", secret = \"env:SIGNING\" }}")));
        assert_eq!(beside.spec.signing, [Signing::by("standard-webhooks"), Signing::by(scheme)]);
    }
    assert!(parse(&http("auth = { bearer = \"env:GONE\" }")).unwrap().destinations.is_empty(), "it is left out");
}

#[test]
fn a_client_and_a_certificate_are_settings_and_their_secrets_are_not() {
    let token = "oauth2 = { token_url = \"https://id.test/token\", client_id = \"me\", secret = \"env:SET\", \
                 scopes = [\"a\", \"b\"], auth = \"body\" }\nmtls = { certificate = \"env:CLIENT\", key = \"env:CLIENT_KEY\" }";
    let declared = only(&http(token));
    let DestinationKind::Http(spec) = declared.spec.kind else { panic!("it is http") };
    let oauth2 = spec.oauth2.unwrap();
    assert_eq!((oauth2.auth, oauth2.scopes), (OAuth2ClientAuth::Body, vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(spec.mtls.unwrap().certificate, CLIENT);
    assert_eq!(declared.secrets.iter().map(|secret| secret.purpose.as_str()).collect::<Vec<_>>(), [OAUTH2, MTLS]);
}

#[test]
fn slack_has_a_secret_for_a_url_and_a_template() {
    let declared = only(&slack("url = \"env:WEBHOOK\""));
    assert_eq!(declared.secrets[0].purpose, URL);
    assert!(!format!("{:?} {}", declared.spec, declared.declared).contains("hunter2"));
    assert!(parse(&slack("url = \"env:PLAIN\"\nallow_addresses = [\"10.0.0.0/8\"]")).is_ok());
}

#[test]
fn what_cannot_be_sent_is_said_where_it_stands() {
    let oauth2 = |rest: &str| {
        let whole = "token_url = \"https://id.test/token\", client_id = \"me\", secret = \"env:SET\"";
        http(&format!("oauth2 = {{ {whole}{rest} }}"))
    };
    insta::assert_snapshot!(problem(&http("auth = { bearer = \"hunter2\" }")), @r#"hookward.toml:5:19: a secret does not stand in this file: write "env:NAME" or "file:PATH""#);
    insta::assert_snapshot!(problem(&http("auth = { basic = \"env:SET\" }")), @"hookward.toml:5:18: this cannot be sent: basic credentials are written user:password");
    insta::assert_snapshot!(problem(&http("auth = { basic = \"env:BASIC\", bearer = \"env:SET\" }")), @r#"hookward.toml:5:8: `auth` is one of `basic = "…"`, `bearer = "…"`, or `header = "X-Api-Key"` with its `secret`"#);
    insta::assert_snapshot!(problem(&http("auth = { header = \"X-Api-Key\" }")), @r#"hookward.toml:5:8: `auth` is one of `basic = "…"`, `bearer = "…"`, or `header = "X-Api-Key"` with its `secret`"#);
    insta::assert_snapshot!(problem(&http("auth = { header = \"X Y\", secret = \"env:SET\" }")), @"hookward.toml:5:19: `X Y` is not a header name");
    insta::assert_snapshot!(problem(&http("auth = { header = \"Host\", secret = \"env:SET\" }")), @"hookward.toml:5:19: header `Host` belongs to the connection and cannot be set");
    insta::assert_snapshot!(problem(&http("auth = { berer = \"env:SET\" }")), @"hookward.toml:5:10: unknown key `berer` in [[destination]]; did you mean `bearer`?");
    insta::assert_snapshot!(problem(&http("auth = { bearer = \"env:SET\" }\nset_headers = { authorization = \"x\" }")), @"hookward.toml:6:33: header `authorization` is what `auth` or `oauth2` fills: it is set only there");
    insta::assert_snapshot!(problem(&http("auth = { bearer = \"env:SET\" }\nsign = { scheme = \"basic\", secret = \"env:BASIC\" }")), @"hookward.toml:5:8: schemes `basic` and `bearer` both write header `Authorization`: keep one of them");
    let both = format!("{}auth = {{ bearer = \"env:SET\" }}\n", oauth2(""));
    insta::assert_snapshot!(problem(&both), @"hookward.toml:5:10: `auth` and `oauth2` both fill the `Authorization` header: give one of them");
    insta::assert_snapshot!(problem(&oauth2(", auth = \"bassic\"")), @"hookward.toml:5:94: a client proves itself by `basic` or in the `body`, not by `bassic`; did you mean `basic`?");
    insta::assert_snapshot!(problem(&oauth2(", scopes = [\"a b\"]")), @"hookward.toml:5:97: `scopes` is 1 to 1024 characters that a token endpoint can be sent");
    insta::assert_snapshot!(problem(&oauth2("").replace("https://id.test/token", "https://id.test/?hunter2")), @"hookward.toml:5:24: this `token_url` cannot be used: it has a query");
    insta::assert_snapshot!(problem(&oauth2("").replace("https://id.test/token", "ftp://id.test/")), @"hookward.toml:5:24: this `token_url` cannot be used: it does not begin with `http://` or `https://`");
    insta::assert_snapshot!(problem(&http("mtls = { certificate = \"env:CLIENT\", key = \"env:STRANGER_KEY\" }")), @"hookward.toml:5:44: `mtls` cannot be used: the key is not the one of the certificate");
    insta::assert_snapshot!(problem(&http("mtls = { certificate = \"env:SET\", key = \"env:CLIENT_KEY\" }")), @"hookward.toml:5:24: `mtls` cannot be used: the certificate is not PEM as in `-----BEGIN CERTIFICATE-----`: there are 0 certificates in it, not 1 to 10");
    insta::assert_snapshot!(problem(&http("mtls = { certificate = \"env:CLIENT_KEY\", key = \"env:CLIENT_KEY\" }")), @"hookward.toml:5:24: `mtls` cannot be used: the certificate has a private key in it: that goes into `key`, which is kept sealed");
    insta::assert_snapshot!(problem(&slack("")), @"hookward.toml:3:8: a destination of type `slack` needs the `url` of an incoming webhook");
    insta::assert_snapshot!(problem(&slack("url = \"https://hooks.slack.test/services/hunter2\"")), @r#"hookward.toml:4:7: a secret does not stand in this file: write "env:NAME" or "file:PATH""#);
    insta::assert_snapshot!(problem(&slack("url = \"env:PLAIN\"")), @"hookward.toml:4:7: this url cannot be used: it does not begin with `https://`");
    insta::assert_snapshot!(problem(&slack("url = \"env:NO_URL\"")), @"hookward.toml:4:7: this url cannot be used: it does not begin with `http://` or `https://`");
    insta::assert_snapshot!(problem(&slack("url = \"env:WEBHOOK\"\ntemplate = \"\"\"\nx {{ event.tpe }}\"\"\"")), @"hookward.toml:5:12: this template cannot be used: line 1, column 3 of it: there is no `event.tpe`: write `event.id`, `event.type`, `event.source`, `event.received_at`, `event.delivery`, `event.attempt`, or `body.…` for a value of the body");
    insta::assert_snapshot!(problem(&slack("url = \"env:WEBHOOK\"\nset_headers = {}\nsign = { scheme = \"github\" }")), @"hookward.toml:5:15: a destination of type `slack` has no `set_headers`\nhookward.toml:6:19: a destination of type `slack` has no `sign`");
    insta::assert_snapshot!(problems(&http("template = \"x\"")), @"hookward.toml:5:12: a destination of type `http` has no `template`");
    insta::assert_snapshot!(problems("[[destination]]\nname = \"a\"\ntype = \"pull\"\nauth = { bearer = \"env:SET\" }\n"), @"hookward.toml:4:8: a destination of type `pull` has no `auth`");
}
