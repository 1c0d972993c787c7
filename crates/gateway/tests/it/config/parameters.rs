//! What a scheme leaves to be said for each endpoint: what is read, and what is said about mistakes.

use hookward_engine::model::Proof;

use super::{parse, problems};

#[test]
fn parameters_are_read_where_a_scheme_stands() {
    let config = parse(
        r#"
[[source]]
name = "shop"
scheme = "tiktok-shop"
parameters = { app_key = "6a3f" }
[[source]]
name = "calls"
scheme = "twilio"
[source.parameters]
url = "https://example.com/calls?of=1"
[[source]]
name = "plain"
scheme = "twilio"
[[destination]]
name = "next"
type = "http"
url = "https://next.example/hooks"
sign = [{ scheme = "square", parameters = { url = "https://registered.example/" } }, { scheme = "svix" }]
"#,
    )
    .unwrap();
    let said = |name: &str| {
        let source = config.sources.iter().find(|source| source.name == name).unwrap();
        let Proof::Scheme { parameters, .. } = &source.spec.proof else { panic!("{name} has a scheme") };
        parameters.iter().map(|(name, is)| format!("{name}={is}")).collect::<Vec<_>>()
    };
    assert_eq!(said("shop"), ["app_key=6a3f"]);
    assert_eq!(said("calls"), ["url=https://example.com/calls?of=1"]);
    assert!(said("plain").is_empty());
    let signing = &config.destinations[0].spec.signing;
    assert_eq!(signing[0].parameters["url"], "https://registered.example/");
    assert!(signing[1].parameters.is_empty());
}

#[test]
fn what_is_wrong_with_them_is_said_where_it_stands() {
    let source = |rest: &str| problems(&format!("[[source]]\nname = \"a\"\n{rest}\n"));
    insta::assert_snapshot!(source("scheme = \"tiktok-shop\""), @r#"hookward.toml:3:10: scheme `tiktok-shop` needs the parameter `app_key`: the app's key, which is shown beside its secret; say it as `parameters = { app_key = "…" }`"#);
    insta::assert_snapshot!(source("scheme = \"tiktok-shop\"\nparameters = { app_kay = \"x\" }"), @r#"
hookward.toml:3:10: scheme `tiktok-shop` needs the parameter `app_key`: the app's key, which is shown beside its secret; say it as `parameters = { app_key = "…" }`
hookward.toml:4:26: scheme `tiktok-shop` has no parameter `app_kay`; did you mean `app_key`?
"#);
    insta::assert_snapshot!(source("scheme = \"github\"\nparameters = { url = \"https://a.test/\" }"), @r#"hookward.toml:4:22: scheme `github` has no parameter `url`"#);
    insta::assert_snapshot!(source("scheme = \"twilio\"\nparameters = { url = \"/in/a\" }"), @r#"hookward.toml:4:22: the parameter `url` must be an absolute url"#);
    insta::assert_snapshot!(source("scheme = \"paypal\"\n[source.parameters]\nwebhook_id = \"env:ID\""), @r#"hookward.toml:5:14: the parameter `webhook_id` is no secret: write the value itself"#);
    insta::assert_snapshot!(source("scheme = \"paypal\"\n[source.parameters]\nwebhook_id = \"\""), @r#"hookward.toml:5:14: the parameter `webhook_id` must be plain text of at most 2048 bytes"#);
    insta::assert_snapshot!(source("scheme = \"paypal\"\nparameters = { webhook_id = 5 }"), @r#"hookward.toml:4:29: invalid type: integer `5`, expected a string"#);
    insta::assert_snapshot!(source("unsigned = true\nparameters = { url = \"https://a.test/\" }"), @r#"hookward.toml:4:14: a source with `unsigned = true` has no scheme that takes parameters"#);
    let sign = |rest: &str| {
        let destination = "[[destination]]\nname = \"b\"\ntype = \"http\"\nurl = \"https://b.test/\"";
        problems(&format!("{destination}\nsign = {{ scheme = \"solidgate\"{rest} }}\n"))
    };
    insta::assert_snapshot!(sign(""), @r#"hookward.toml:5:19: scheme `solidgate` needs the parameter `public_key`: the public key of the pair whose secret key signs; say it as `parameters = { public_key = "…" }`"#);
    insta::assert_snapshot!(sign(", parameters = { public = \"p\", url = \"https://b.test/\" }"), @r#"
hookward.toml:5:19: scheme `solidgate` needs the parameter `public_key`: the public key of the pair whose secret key signs; say it as `parameters = { public_key = "…" }`
hookward.toml:5:56: scheme `solidgate` has no parameter `public`; did you mean `public_key`?
hookward.toml:5:67: scheme `solidgate` has no parameter `url`
"#);
}
