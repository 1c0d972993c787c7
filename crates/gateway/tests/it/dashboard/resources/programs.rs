//! What pages give to be run: quick checks in a shell, and programs that verify deliveries. Each is taken from its page as
//! a person would copy it, and run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookward::{Draft, Piece, RecipeAlgorithm, RecipeEncoding, RecipePlace, Scheme, Secret, UnixTime, catalog};
use serde_json::json;

use super::{Visitor, shown};
use crate::support::Gateway;

/// Schemes that between them have everything that a program has to know: hex and base64, keys that are text and that are
/// decoded, lists, times in both units in both places, ids, literals.
/// And one that leaves something to be said, which may be any text.
const SCHEMES: [&str; 9] =
    ["qlens", "qflow", "stripe", "standard-webhooks", "slack", "shopify", "github-sha1", "x", "tiktok-shop"];

/// The value of every parameter.
const SAID: &str = r#"a "$1" #{2} ${3} `4` \n 'e"#;

const BODY: &[u8] = "{\"type\":\"a.b\",\"text\":\"naïve \\u0000 \u{1F980}\"}".as_bytes();

const NOW_S: i64 = 1_800_000_000;

/// Whether this is a run in which nothing may be skipped.
#[expect(clippy::disallowed_methods, reason = "only the environment says so")]
fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Runs a program, if there is one of that name; that there is none is said, and fails where nothing may be skipped. The
/// gateway goes on meanwhile.
async fn run(program: &str, arguments: &[&str], directory: &Path, input: &str) -> Option<String> {
    let file = directory.join("input");
    std::fs::write(&file, input).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(std::fs::File::open(&file).unwrap());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = match started {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(!is_ci(), "`{program}` is needed here");
            // Past what captures the output of tests: a skip is seen.
            std::io::stderr().write_all(format!("SKIPPED: there is no `{program}` here\n").as_bytes()).unwrap();
            return None;
        }
        output => output.unwrap(),
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {stderr}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn the_quick_checks_of_every_scheme_are_believed_and_the_others_are_not() {
    let gateway = Gateway::start("").await;
    let mut ada = gateway.visitor("ada@example.com", &["*"]).await;
    let directory = tempfile::tempdir().unwrap();
    let mut without = Vec::new();
    let has_secrets_here = |name: &&str| catalog::find(name).unwrap().generate(&mut |bytes| bytes.fill(7)).is_ok();
    for name in catalog::names().filter(has_secrets_here) {
        let source = json!({ "name": name, "scheme": name, "parameters": parameters(name) }).to_string();
        assert_eq!(gateway.api("POST", "/sources", &source).await.status, 201, "{name}");
        let secret = secret(catalog::find(name).unwrap(), 9);
        let set =
            gateway.api("POST", &format!("/sources/{name}/secrets"), &json!({ "secret": secret }).to_string()).await;
        assert_eq!(set.status, 201, "{name}: {}", set.text());
        let page = ada.page(&format!("/dashboard/sources/{name}")).await;
        if !page.contains("check-good") {
            without.push(name);
            continue;
        }
        let believed = shown(&page, "check-good").replace("paste the secret here", &secret);
        let answer = run("sh", &["-c", &believed], directory.path(), "").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{name}: {believed}\n{answer}");
        let refused = shown(&page, "check-bad");
        let answer = run("sh", &["-c", &refused], directory.path(), "").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{name}: {refused}\n{answer}");
    }
    let a_shell_signs = |name: &&str| {
        let scheme = at_endpoint(name);
        let recipe = scheme.recipe();
        let is_known = !matches!(recipe.algorithm, RecipeAlgorithm::Ed25519 | RecipeAlgorithm::Other)
            && !matches!(recipe.encoding, Some(RecipeEncoding::OtherBase64 | RecipeEncoding::Other));
        is_known && recipe.place != RecipePlace::Body && !recipe.content.contains(&Piece::Other)
    };
    let expected: Vec<&str> = catalog::names().filter(has_secrets_here).filter(|name| !a_shell_signs(name)).collect();
    assert_eq!(without, expected, "a shell signs as all the others do");
}

/// What every scheme is told that leaves something to be said.
fn parameters(scheme: &str) -> BTreeMap<String, String> {
    let names = catalog::find(scheme).unwrap().parameters();
    names.into_iter().map(|name| (name.to_owned(), SAID.to_owned())).collect()
}

fn at_endpoint(scheme: &str) -> Scheme {
    catalog::find(scheme).unwrap().for_endpoint(&parameters(scheme)).unwrap()
}

/// A request, and whether it is authentic.
struct Case {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    secret: String,
    now_s: i64,
    is_authentic: bool,
}

impl Case {
    /// As the programs here read it: base64 of everything, with blanks between.
    fn line(&self) -> String {
        let mut line = format!("{} {} {}", STANDARD.encode(&self.secret), self.now_s, STANDARD.encode(&self.body));
        for (name, value) in &self.headers {
            write!(line, " {name}={}", STANDARD.encode(value)).unwrap();
        }
        line
    }
}

fn secret(scheme: &Scheme, byte: u8) -> String {
    let secret = scheme.generate(&mut |bytes| bytes.fill(byte)).unwrap();
    String::from_utf8(secret.expose().to_vec()).unwrap()
}

/// What Hookward sends under two secrets, and what others might.
fn cases(scheme: &Scheme) -> Vec<Case> {
    let (new, old, other) = (secret(scheme, 1), secret(scheme, 2), secret(scheme, 3));
    let key = |version, text: &str| scheme.key(version, &Secret::new(text).unwrap()).unwrap();
    let keys = [key(2, &new), key(1, &old)];
    let draft = Draft { id: "msg_1", event_type: "a.b", method: "POST", url: "https://a.example.com/", body: BODY };
    let sent = scheme.sign(&draft, &keys, UnixTime::from_secs(NOW_S)).unwrap();
    let headers: Vec<_> = sent.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    let case = |secret: &str, is_authentic| Case {
        headers: headers.clone(),
        body: BODY.to_vec(),
        secret: secret.to_owned(),
        now_s: NOW_S,
        is_authentic,
    };
    let altered = [BODY, b" "].concat();
    let with = |change: fn(&mut String)| {
        let mut headers = headers.clone();
        headers.iter_mut().for_each(|(_, value)| change(value));
        headers
    };
    let is_timed = scheme.tolerance().is_some();
    vec![
        case(&new, true),
        case(&old, scheme.carries_every_signature()),
        case(&other, false),
        Case { body: altered, ..case(&new, false) },
        Case { headers: vec![], ..case(&new, false) },
        Case { headers: with(|value| value.insert(0, 'é')), ..case(&new, false) },
        Case { headers: with(|value| value.replace_range(..1, "é")), ..case(&new, false) },
        Case { headers: with(|value| value.truncate(value.len() / 2)), ..case(&new, false) },
        Case { now_s: NOW_S + 299, ..case(&new, true) },
        Case { now_s: NOW_S + 302, ..case(&new, !is_timed) },
        Case { now_s: NOW_S - 302, ..case(&new, !is_timed) },
    ]
}

async fn program(visitor: &mut Visitor<'_>, scheme: &str, language: &str) -> String {
    shown(&visitor.page(&format!("/dashboard/destinations/{scheme}?language={language}")).await, "snippet")
}

/// Runs what a page gives for each scheme, wrapped as `wrap` says, with `command`.
async fn verify(language: &str, file: &str, wrap: impl Fn(String) -> String, commands: &[(&str, &[&str])]) {
    let gateway = Gateway::start("").await;
    let mut ada = gateway.visitor("ada@example.com", &["read"]).await;
    for name in SCHEMES {
        let destination = json!({ "name": name, "type": "http", "url": "https://a.example.com/", "sign": { "scheme": name, "parameters": parameters(name) } });
        let made = gateway.api("POST", "/destinations", &destination.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let cases = cases(&at_endpoint(name));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(file), wrap(program(&mut ada, name, language).await)).unwrap();
        let input: String = cases.iter().map(|case| case.line() + "\n").collect();
        let mut output = String::new();
        for (program, arguments) in commands {
            match run(program, arguments, directory.path(), &input).await {
                Some(text) => output = text,
                None => return,
            }
        }
        let found: Vec<_> = output.lines().map(|line| line == "true").collect();
        let expected: Vec<_> = cases.iter().map(|case| case.is_authentic).collect();
        assert_eq!(found, expected, "{language}: {name}");
    }
}

#[tokio::test]
async fn what_node_is_given_verifies() {
    let wrap = |program: String| program + include_str!("programs/node.js");
    verify("node", "verify.js", wrap, &[("node", &["verify.js"])]).await;
}

#[tokio::test]
async fn what_python_is_given_verifies() {
    let wrap = |program: String| program + include_str!("programs/python.py");
    verify("python", "verify.py", wrap, &[("python3", &["verify.py"])]).await;
}

#[tokio::test]
async fn what_ruby_is_given_verifies() {
    let wrap = |program: String| program + include_str!("programs/ruby.rb");
    verify("ruby", "verify.rb", wrap, &[("ruby", &["verify.rb"])]).await;
}

#[tokio::test]
async fn what_php_is_given_verifies() {
    let wrap = |program: String| program + include_str!("programs/php.php");
    verify("php", "verify.php", wrap, &[("php", &["verify.php"])]).await;
}

#[tokio::test]
async fn what_go_is_given_verifies() {
    let wrap = |program: String| {
        let is_timed = program.contains("now time.Time");
        let call =
            if is_timed { "Verify(headers, body, secret, time.Unix(now, 0))" } else { "Verify(headers, body, secret)" };
        let program = program.replacen("package webhook", "package main", 1);
        // What the wrapper needs besides, which the program may have.
        let mut imports = String::new();
        for import in ["bufio", "encoding/base64", "fmt", "os", "strconv", "strings"] {
            if !program.contains(&format!("\"{import}\"")) {
                writeln!(imports, "\t\"{import}\"").unwrap();
            }
        }
        let program = program.replacen("import (\n", &format!("import (\n{imports}"), 1);
        program + &include_str!("programs/go.txt").replace("VERIFY", call)
    };
    verify("go", "verify.go", wrap, &[("go", &["run", "verify.go"])]).await;
}

#[tokio::test]
async fn what_java_is_given_verifies() {
    let wrap = |program: String| program + include_str!("programs/java.txt");
    let commands: [(&str, &[&str]); 2] =
        [("javac", &["-encoding", "UTF-8", "Main.java"]), ("java", &["-cp", ".", "Main"])];
    verify("java", "Main.java", wrap, &commands).await;
}

/// Mono stands in for .NET, which Debian does not have: the program keeps to what both know.
#[tokio::test]
async fn what_c_sharp_is_given_verifies() {
    let wrap = |program: String| program + include_str!("programs/csharp.txt");
    verify("csharp", "verify.cs", wrap, &[("mcs", &["verify.cs"]), ("mono", &["verify.exe"])]).await;
}

/// The same for a scheme that leaves something to be said.
mod rust_at_endpoint {
    include!("programs/rust_at_endpoint.txt");

    pub(super) fn is_authentic(headers: &[(&str, &str)], body: &[u8], secret: &str, now_s: i64) -> bool {
        verify(headers, "/", body, secret, now_s).is_ok()
    }
}

/// What the page gives for Rust, compiled into this test.
mod rust {
    include!("programs/rust.txt");

    pub(super) fn is_authentic(headers: &[(&str, &str)], body: &[u8], secret: &str, now_s: i64) -> bool {
        verify(headers, "/", body, secret, now_s).is_ok()
    }
}

#[tokio::test]
async fn what_rust_is_given_verifies() {
    let gateway = Gateway::start("[[destination]]\nname = \"qflow\"\ntype = \"http\"\nurl = \"https://a.example.com/\"\nsign = { scheme = \"qflow\" }").await;
    let mut ada = gateway.visitor("ada@example.com", &["read"]).await;
    assert_eq!(program(&mut ada, "qflow", "rust").await.trim(), include_str!("programs/rust.txt").trim());
    for case in cases(catalog::find("qflow").unwrap()) {
        let headers: Vec<_> = case.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(rust::is_authentic(&headers, &case.body, &case.secret, case.now_s), case.is_authentic);
    }
}

#[tokio::test]
async fn what_rust_is_given_says_what_the_scheme_leaves_to_be_said() {
    let gateway = Gateway::start("").await;
    let sign = json!({ "scheme": "tiktok-shop", "parameters": parameters("tiktok-shop") });
    let destination = json!({ "name": "shop", "type": "http", "url": "https://a.example.com/", "sign": sign });
    assert_eq!(gateway.api("POST", "/destinations", &destination.to_string()).await.status, 201);
    let mut ada = gateway.visitor("ada@example.com", &["read"]).await;
    let given = program(&mut ada, "shop", "rust").await;
    assert_eq!(given.trim(), include_str!("programs/rust_at_endpoint.txt").trim());
    for case in cases(&at_endpoint("tiktok-shop")) {
        let headers: Vec<_> = case.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let is_authentic = rust_at_endpoint::is_authentic(&headers, &case.body, &case.secret, case.now_s);
        assert_eq!(is_authentic, case.is_authentic);
    }
}
