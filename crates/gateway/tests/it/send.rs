//! `hookward send`, to a gateway that proves what it gets.

use std::fmt::Write as _;

use hookward::catalog;

use crate::support::Gateway;

/// Schemes with a hex and a base64 signature, an id that is signed, one that is not, a time in the signature, a form, a token.
const SCHEMES: [&str; 6] = ["github", "standard-webhooks", "stripe", "slack", "shopify", "gitlab-token"];

fn config() -> String {
    let mut config = String::new();
    for scheme in SCHEMES {
        writeln!(config, "[[source]]\nname = \"{scheme}\"\nscheme = \"{scheme}\"").unwrap();
    }
    config
}

/// A gateway with a source for each scheme, each with a secret that is also in a file of the scheme's name.
async fn gateway() -> Gateway {
    let gateway = Gateway::start(&config()).await;
    for scheme in SCHEMES {
        let secret = catalog::find(scheme).unwrap().generate(&mut |bytes| bytes.fill(7)).unwrap();
        let file = gateway.directory.path().join(scheme);
        std::fs::write(file, secret.expose()).unwrap();
        gateway.ok(&["secret", "set", scheme], secret.expose()).await;
    }
    gateway
}

async fn send(gateway: &Gateway, scheme: &str, more: &[&str]) -> (i32, String, String) {
    let to = format!("http://{}/in/{scheme}", gateway.running.public());
    let secret = gateway.directory.path().join(scheme);
    let mut arguments =
        vec!["send", "--as", scheme, "--secret-file", secret.to_str().unwrap(), "--to", &to, "--body", "-"];
    arguments.extend(more);
    let ran = gateway.run(&arguments, b"{\"id\":\"evt_1\",\"type\":\"a.b\"}").await;
    (ran.status, ran.stdout, ran.stderr)
}

#[tokio::test]
async fn what_is_sent_is_believed_and_what_is_tampered_with_is_not() {
    let gateway = gateway().await;
    for scheme in SCHEMES {
        let (status, stdout, stderr) = send(&gateway, scheme, &["--event", "a.b"]).await;
        assert_eq!(status, 0, "{scheme}: {stdout}{stderr}");
        assert!(stdout.starts_with("    1  202  "), "{scheme}: {stdout}");
        assert_eq!(stdout.lines().count(), 1, "{scheme}: {stdout}");
        let known = catalog::find(scheme).unwrap();
        for tamper in ["body", "signature", "timestamp", "id"] {
            let (status, stdout, stderr) = send(&gateway, scheme, &["--tamper", tamper]).await;
            let impossible = match tamper {
                "timestamp" => known.tolerance().is_none(),
                "id" => !["github", "standard-webhooks", "shopify", "gitlab-token"].contains(&scheme),
                _ => false,
            };
            // What a proof does not cover can be changed, and a receiver cannot tell.
            let unnoticed =
                (tamper == "id" && scheme != "standard-webhooks") || (tamper == "body" && scheme == "gitlab-token");
            let expected = if impossible { 2 } else { i32::from(!unnoticed) };
            assert_eq!(status, expected, "{scheme} {tamper}: {stdout}{stderr}");
            assert_eq!(stdout.contains("  401  "), expected == 1, "{scheme} {tamper}: {stdout}");
            assert_eq!(stderr.is_empty(), expected != 2, "{scheme} {tamper}: {stderr}");
        }
    }
}

#[tokio::test]
async fn repeats_are_new_deliveries_and_summed_up() {
    let gateway = gateway().await;
    let (status, stdout, _) = send(&gateway, "standard-webhooks", &["--repeat", "5", "--rate", "100"]).await;
    assert_eq!(status, 0, "{stdout}");
    assert_eq!(stdout.matches("  202  ").count(), 5, "{stdout}");
    let summary = stdout.lines().last().unwrap();
    assert!(summary.starts_with("5 sent, 5 answered 2xx, 0 not; ") && summary.contains("p95 "), "{summary}");

    // The same id is the same delivery: taken once, and said so.
    let (status, stdout, _) = send(&gateway, "standard-webhooks", &["--repeat", "2", "--id", "msg_same"]).await;
    assert_eq!(status, 0);
    assert!(stdout.contains("  202  ") && stdout.contains("  200  "), "{stdout}");
    assert!(stdout.lines().last().unwrap().starts_with("2 sent, 2 answered 2xx"), "{stdout}");
}

#[tokio::test]
async fn nobody_there_is_told_and_wrong_use_sends_nothing() {
    let gateway = gateway().await;
    let secret = gateway.directory.path().join("github");
    let secret = secret.to_str().unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("http://{nobody}/");
    for (arguments, status, told) in [
        (vec!["--as", "github", "--to", &nobody], 1, "---"),
        (vec!["--as", "githb", "--to", &nobody], 3, "did you mean `github`?"),
        (vec!["--as", "github", "--to", "example.com"], 2, "is not a URL"),
        (vec!["--as", "github", "--to", &nobody, "--repeat", "0"], 2, "--repeat"),
        (vec!["--as", "github", "--to", &nobody, "--rate", "0"], 2, "--rate"),
    ] {
        let arguments = [&["send", "--secret-file", secret, "--body", "-"], &arguments[..]].concat();
        let ran = gateway.run(&arguments, b"{}").await;
        assert_eq!(ran.status, status, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.contains(told) || ran.stderr.contains(told), "{arguments:?}: {}{}", ran.stdout, ran.stderr);
        assert!(
            !ran.stderr.contains(&"07".repeat(32)) && !ran.stdout.contains(&"07".repeat(32)),
            "the secret is shown"
        );
    }
}
