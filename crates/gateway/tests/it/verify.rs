//! `hookward verify`, `sign` and `schemes`: requests kept in files, without any gateway.

use std::fs;
use std::path::Path;
use std::process::Command;

use hookward::{Draft, RecipePlace, Scheme, Secret, UnixTime, catalog};
use tempfile::TempDir;

/// Exit status, standard output and standard error of a command run in a directory.
fn run(directory: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hookward"));
    let output = command.args(arguments).current_dir(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A directory with the request that GitHub documents, and what may be wrong with one.
fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("secret", "It's a Secret to Everybody\n"),
        ("crlf", "It's a Secret to Everybody\r\n"),
        ("two-newlines", "It's a Secret to Everybody\n\n"),
        ("next", "another secret"),
        ("empty", "\n"),
        ("body", "Hello, World!"),
        (
            "headers",
            "x-hub-signature-256:  sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17 \r\n",
        ),
        ("no-headers", ""),
        ("not-headers", "\nX-Hub-Signature-256\n"),
        ("mine.toml", catalog::source("github").unwrap()),
        ("bad.toml", "name = \"mine\"\ntitel = \"Mine\"\n"),
    ] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn the_exit_status_tells_verified_refused_wrong_use_and_unknown_scheme_apart() {
    let directory = directory();
    for (scheme, secrets, headers, status, printed) in [
        ("github", &["secret"][..], "headers", 0, "verified github with the secret in secret; binds body\n"),
        ("github", &["crlf"], "headers", 0, "verified github with the secret in crlf; binds body\n"),
        ("github", &["next", "secret"], "headers", 0, "verified github with the secret in secret; binds body\n"),
        ("mine.toml", &["secret"], "headers", 0, "verified github with the secret in secret; binds body\n"),
        ("github", &["next"], "headers", 5, "refused: signature-mismatch\n"),
        ("github", &["two-newlines"], "headers", 5, "refused: signature-mismatch\n"),
        ("github", &["secret"], "no-headers", 5, "refused: signature-missing\n"),
        ("github", &["empty"], "headers", 2, "empty: a secret may not be empty or blank"),
        ("github", &["absent"], "headers", 2, "cannot read absent: "),
        ("github", &["secret"], "not-headers", 2, "not-headers, line 2: a header is written \"Name: value\""),
        ("qflow", &["secret"], "headers", 2, "secret: the secret is not base64"),
        ("bad.toml", &["secret"], "headers", 2, "bad.toml: line 2, column 1: unknown field `titel`"),
        ("github", &[], "headers", 2, "--secret-file"),
        ("githb", &["secret"], "headers", 3, "unknown scheme `githb`; did you mean `github`?"),
    ] {
        let mut arguments = vec!["verify", "--scheme", scheme, "--headers", headers, "--body", "body"];
        arguments.extend(secrets.iter().flat_map(|file| ["--secret-file", file]));
        let (found, stdout, stderr) = run(directory.path(), &arguments);
        assert_eq!(found, status, "{arguments:?}: {stderr}");
        if status == 0 || status == 5 {
            assert_eq!(stdout, printed);
        } else {
            assert!(stdout.is_empty() && stderr.contains(printed), "{stderr}");
        }
    }
}

#[test]
fn a_refusal_is_explained_without_a_secret() {
    let directory = directory();
    fs::write(directory.path().join("longer"), "Hello, World!\n").unwrap();
    let run_with = |secret: &str, body: &str, more: &[&str]| {
        let base = ["verify", "--explain", "--scheme", "github", "--headers", "headers"];
        run(directory.path(), &[&base[..], &["--secret-file", secret, "--body", body], more].concat())
    };
    let (status, stdout, stderr) = run_with("secret", "longer", &[]);
    assert_eq!(status, 5, "{stderr}");
    assert_eq!(
        stdout,
        "refused: signature-mismatch\nproven: the signature is right if the newline at the body's end is taken off: keep the \
         body's bytes as they arrived: no editor, shell or text mode between\n"
    );
    assert!(stderr.starts_with("hookward: no signature matches a live secret"), "{stderr}");
    let (status, stdout, _) = run_with("two-newlines", "body", &["--output", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &answer["refusal"], &answer["verified"]), (5, &"signature-mismatch".into(), &false.into()));
    let finding = &answer["findings"][0];
    assert_eq!((&finding["evidence"], &finding["secret"]), (&"proven".into(), &"two-newlines".into()));
    assert_eq!(finding["causes"], serde_json::json!(["secret-surrounded"]));
    let (status, stdout, _) = run_with("next", "longer", &["--other-secret-file", "secret"]);
    assert_eq!(status, 5);
    assert!(
        stdout.contains("the secret of secret is taken") && stdout.contains("newline at the body's end"),
        "{stdout}"
    );
    let (_, stdout, _) = run_with("next", "body", &[]);
    assert!(stdout.contains("\nsuspected: perhaps the sender has another secret"), "{stdout}");
    for said in [stdout, stderr] {
        assert!(
            !said.contains("Everybody") && !said.contains("another secret\n") && !said.contains("757107"),
            "{said}"
        );
    }
    // What cannot even be a key is explained, not complained about.
    let qflow = [
        "verify",
        "--explain",
        "--scheme",
        "qflow",
        "--headers",
        "headers",
        "--secret-file",
        "secret",
        "--body",
        "body",
    ];
    let (status, stdout, _) = run(directory.path(), &qflow);
    assert_eq!((status, stdout.lines().next()), (5, Some("refused: no-usable-secret")));
    let (status, stdout, _) = run_with("secret", "body", &["--output", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &answer["verified"], &answer["binds"]), (0, &true.into(), &serde_json::json!(["body"])));
}

#[test]
fn a_time_is_judged_as_of_the_one_given() {
    let directory = directory();
    let sign = ["sign", "--scheme", "stripe", "--secret-file", "next", "--body", "body", "--at", "1700000000"];
    let (status, headers, _) = run(directory.path(), &sign);
    assert_eq!(status, 0);
    fs::write(directory.path().join("signed"), headers).unwrap();
    for (at, status) in [("1700000300", 0), ("1700000301", 5), ("1699999699.999", 5), ("soon", 2)] {
        let verify = [
            "verify",
            "--scheme",
            "stripe",
            "--secret-file",
            "next",
            "--headers",
            "signed",
            "--body",
            "body",
            "--at",
            at,
        ];
        assert_eq!(run(directory.path(), &verify).0, status, "{at}");
    }
}

#[test]
fn what_sign_prints_verify_believes_under_every_scheme() {
    let directory = directory();
    for scheme in catalog::names().filter_map(catalog::find) {
        let Some(secret) = secret_of_any_request(scheme) else { continue };
        fs::write(directory.path().join("generated"), secret.expose()).unwrap();
        let url = "https://example.com/hook";
        let keys = ["--scheme", scheme.name(), "--secret-file", "generated", "--body", "body"];
        let (status, headers, stderr) = run(directory.path(), &[&["sign"], &keys[..], &["--url", url]].concat());
        assert_eq!(status, 0, "{}: {stderr}", scheme.name());
        assert!(stderr.is_empty() != is_called_otherwise(scheme), "{}: {stderr}", scheme.name());
        fs::write(directory.path().join("signed"), headers).unwrap();
        let query = stderr.lines().filter_map(|line| line.rsplit(' ').next()).collect::<Vec<_>>().join("&");
        let called = if query.is_empty() { url.to_owned() } else { format!("{url}?{query}") };
        let verify = [&["verify", "--headers", "signed", "--url", &called], &keys[..]].concat();
        let (status, stdout, stderr) = run(directory.path(), &verify);
        assert_eq!(status, 0, "{}: {stdout}{stderr}", scheme.name());
    }
}

/// A secret, where requests can be signed as they are: not where an endpoint has parameters, where a key is made elsewhere, or where
/// something in the body is signed for itself.
fn secret_of_any_request(scheme: &Scheme) -> Option<Secret> {
    let secret = scheme.generate(&mut |bytes| bytes.fill(7)).ok()?;
    let key = scheme.key(1, &secret).unwrap();
    let draft =
        Draft { id: "one", event_type: "", method: "POST", url: "https://example.com/hook", body: b"Hello, World!" };
    let signed = scheme.sign(&draft, &[key], UnixTime::from_secs(1_700_000_000)).ok()?;
    (signed.body.is_none() && scheme.parameters().is_empty()).then_some(secret)
}

/// Whether what proves the request, or some of it, stands in the URL that is called.
fn is_called_otherwise(scheme: &Scheme) -> bool {
    scheme.name() == "twilio" || matches!(scheme.recipe().place, RecipePlace::Query(_))
}

#[test]
fn sign_says_what_is_wrong_with_its_use() {
    let directory = directory();
    let keys = ["sign", "--secret-file", "next", "--body", "body", "--scheme"];
    for (rest, status, message) in [
        (&["twilio"][..], 2, "the scheme signs the absolute url, and only a path is given"),
        (&["github", "--id", "line\nfeed"], 2, "the delivery id is empty or has characters that it may not have"),
        (&["nothing"], 3, "unknown scheme `nothing`"),
    ] {
        let (found, stdout, stderr) = run(directory.path(), &[&keys[..], rest].concat());
        assert_eq!((found, stdout.as_str()), (status, ""), "{rest:?}");
        assert!(stderr.contains(message), "{stderr}");
    }
}

#[test]
fn schemes_are_shown_as_the_files_that_define_them() {
    let directory = directory();
    let (status, stdout, _) = run(directory.path(), &["schemes", "show", "stripe"]);
    assert_eq!((status, stdout.as_str()), (0, catalog::source("stripe").unwrap()));
    let (_, listed, _) = run(directory.path(), &["schemes"]);
    assert_eq!(listed.lines().count(), 1 + catalog::names().count());
    assert_eq!(run(directory.path(), &["schemes", "show", "nothing"]).0, 3);
    let (_, json, _) = run(directory.path(), &["schemes", "show", "bearer", "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(shown["credential_query"], serde_json::json!(["token"]));
}

#[test]
fn a_scheme_file_is_held_against_its_vectors() {
    let directory = directory();
    let check = |arguments: &[&str]| run(directory.path(), &[&["schemes", "check"][..], arguments].concat());
    let schemes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hookward/schemes");
    for name in ["asana", "gitlab", "meta", "qflow", "zoom"] {
        let (status, stdout, stderr) = check(&[schemes.join(format!("{name}.toml")).to_str().unwrap()]);
        assert_eq!(status, 0, "{name}: {stdout}{stderr}");
        assert!(stdout.lines().rev().skip(1).all(|line| line.starts_with("ok ")), "{stdout}");
    }
    let good = fs::read_to_string(schemes.join("github.vectors.toml")).unwrap();
    let all = good.matches("[[vector]]").count();
    let write = |text: &str| fs::write(directory.path().join("mine.vectors.toml"), text).unwrap();
    write(&good);
    let (status, stdout, stderr) = check(&["mine.toml"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(stdout.ends_with(&format!("github: all {all} vectors have their answer\n")), "{stdout}");

    write(&good.replacen("refused = \"signature-mismatch\"", "refused = \"signature-missing\"", 1));
    let (status, stdout, stderr) = check(&["mine.toml"]);
    assert_eq!((status, stderr), (5, format!("hookward: 1 of {all} vectors have another answer\n")));
    assert!(stdout.contains(": refused: signature-mismatch, not refused: signature-missing\n"), "{stdout}");

    for (text, status, message) in [
        ("", 2, "mine.vectors.toml: there is no `[[vector]]`"),
        ("[[vector]]\nnme = \"x\"\n", 2, "unknown field `nme`"),
        ("[[vector]]\nname = \"x\"\nsecrets = [\"s\"]\nheaders = []\n", 2, "vector `x`: it needs one of `verified`"),
        ("[[vector]]\nname = \"x\"\nsecrets = [\"\"]\nheaders = []\nrefused = \"y\"\n", 2, "may not be empty"),
    ] {
        write(text);
        let (found, _, stderr) = check(&["mine.toml"]);
        assert_eq!(found, status, "{stderr}");
        assert!(stderr.contains(message), "{stderr}");
    }
    let elsewhere = schemes.join("github.vectors.toml");
    assert_eq!(check(&["mine.toml", "--vectors", elsewhere.to_str().unwrap()]).0, 0);
    let (status, _, stderr) = check(&["bad.toml"]);
    assert_eq!(status, 2);
    assert!(stderr.contains("bad.toml: line 2, column 1: unknown field `titel`"), "{stderr}");
    assert!(stderr.contains("did you mean `title`?"), "{stderr}");
    assert_eq!(check(&["absent.toml"]).0, 2);
}

#[test]
fn what_a_scheme_leaves_to_be_said_is_an_option() {
    let directory = directory();
    let body = ["--secret-file", "secret", "--body", "body"];
    let run_with = |first: &[&str], more: &[&str]| run(directory.path(), &[first, &body, more].concat());
    let sign = ["sign", "--scheme", "tiktok-shop"];
    let (status, headers, stderr) = run_with(&sign, &["--param", "app_key=6a=3f"]);
    assert_eq!(status, 0, "{stderr}");
    fs::write(directory.path().join("signed"), headers).unwrap();
    let verify = ["verify", "--scheme", "tiktok-shop", "--headers", "signed"];
    let (status, stdout, stderr) = run_with(&verify, &["--param", "app_key=6a=3f"]);
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    assert_eq!(run_with(&verify, &["--param", "app_key=6a"]).0, 5);
    for (more, problem) in [
        (
            &[][..],
            "needs the parameter `app_key`: the app's key, which is shown beside its secret; say it with --param app_key=…",
        ),
        (&["--param", "app_kay=1"], "scheme `tiktok-shop` has no parameter `app_kay`; did you mean `app_key`?"),
        (&["--param", "app_key=1", "--param", "app_key=2"], "the parameter `app_key` is given twice"),
        (&["--param", "app_key"], "write NAME=VALUE"),
    ] {
        let (status, stdout, stderr) = run_with(&verify, more);
        assert!(status == 2 && stdout.is_empty() && stderr.contains(problem), "{status} {stderr}");
    }
    let shown = run(directory.path(), &["schemes", "show", "twilio", "--output", "json"]).1;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["parameters"][0]["name"], &shown["parameters"][0]["is_required"]),
        (&"url".into(), &false.into())
    );
}
