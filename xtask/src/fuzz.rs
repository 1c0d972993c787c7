//! `cargo xtask fuzz`: inputs made up and mutated for minutes, guided by what they reach, against everything that reads what strangers send.
//! Owns building the targets of `fuzz/`, their first inputs, and running them. What a target asserts is in its own file.
//!
//! libFuzzer comes with the crate `libfuzzer-sys`; the instrumentation is the compiler's own, so that no nightly one is needed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::run::{has_or_installs, output, root, run_with};

const TARGETS: [&str; 7] = ["scheme", "signature", "token", "key", "template", "explain", "verify"];

/// The flags that instrument a program for libFuzzer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// An input that takes so many seconds hangs.
const HANG_S: u32 = 10;

/// Which targets, and for how long.
#[derive(clap::Args)]
pub(crate) struct Plan {
    /// Only this one: `scheme`, `signature`, `token`, `key`, `template`, `explain` or `verify`
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS))]
    target: Option<String>,
    /// For each target, after its first inputs
    #[arg(long, default_value_t = 600)]
    seconds: u32,
}

impl Plan {
    /// Long enough to find what breaks at once.
    pub(crate) fn short() -> Self {
        Self { target: None, seconds: 5 }
    }
}

/// Builds the targets and runs them, one after the other. Ends at the first input that fails, which it names.
pub(crate) fn run(plan: &Plan) -> Result<()> {
    if !has_or_installs("fuzz", "c++", "g++")? {
        return Ok(());
    }
    let programs = build()?;
    let place = root().join("target/fuzz");
    for target in TARGETS.into_iter().filter(|target| plan.target.as_deref().is_none_or(|only| only == *target)) {
        let seeds = place.join("seeds").join(target);
        write_seeds(target, &seeds).with_context(|| format!("the first inputs of `{target}`"))?;
        let (found, failing) = (place.join("corpus").join(target), place.join("artifacts").join(target));
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&failing)?;
        let log = place.join(format!("{target}.log"));
        let output = File::create(&log)?;
        let status = Command::new(programs.join(target))
            .args([&found, &seeds])
            .arg(format!("-max_total_time={}", plan.seconds))
            .arg(format!("-timeout={HANG_S}"))
            .arg(format!("-artifact_prefix={}/", failing.display()))
            .arg("-print_final_stats=1")
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if !status.success() {
            let tail: Vec<&str> = said.lines().rev().take(40).collect();
            tail.iter().rev().for_each(|line| println!("{line}"));
        }
        ensure!(status.success(), "target `{target}` ended with {status}; the input is in {}", failing.display());
        println!("fuzz: {target}: {}", summary(&said)?);
    }
    Ok(())
}

/// Where the programs are.
fn build() -> Result<PathBuf> {
    let about = output("rustc", &["-vV"])?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names its host")?;
    let mut command = Command::new("cargo");
    // With a target named, the flags are not those of build scripts.
    command.args([
        "build",
        "--release",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "target/fuzz",
        "--target",
    ]);
    run_with(command.arg(host).env("RUSTFLAGS", FLAGS))?;
    Ok(root().join("target/fuzz").join(host).join("release"))
}

/// How often it ran, and how much it reached.
fn summary(said: &str) -> Result<String> {
    let executed = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let executed = executed.context("libFuzzer tells how many inputs it ran")?.trim();
    let reached =
        said.lines().rev().find_map(|line| line.split_once("cov: ")).context("libFuzzer tells its coverage")?.1;
    let mut numbers = reached.split_whitespace();
    let (edges, features) = (numbers.next().unwrap_or_default(), numbers.nth(1).unwrap_or_default());
    Ok(format!("{executed} inputs, {edges} edges and {features} features reached, no failure"))
}

/// What of a vector makes an input.
#[derive(Deserialize)]
struct Vector {
    secrets: Vec<String>,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    method: Option<String>,
    url: Option<String>,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    /// In place of `body`, of one that is no text.
    body_base64: Option<String>,
    now_s: Option<i64>,
    now_ms: Option<i64>,
    verified: Option<toml::Value>,
}

#[derive(Deserialize)]
struct Vectors {
    vector: Vec<Vector>,
}

/// Writes the inputs that a target begins with, made of the catalog's files.
fn write_seeds(target: &str, place: &Path) -> Result<()> {
    fs::create_dir_all(place)?;
    let seeds = match target {
        "scheme" => schemes()?.into_iter().map(|(_, text)| text.into_bytes()).collect(),
        "template" => templates()?,
        "token" => tokens(),
        "key" => keys()?,
        // The doctor tries hundreds of things for each request that is refused, and none for one that is believed.
        "explain" => requests(|vector| vector.verified.is_some(), 1)?,
        "verify" => requests(|_| true, 1)?,
        _ => requests(|_| true, usize::MAX)?,
    };
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(place.join(format!("{number:04}")), seed)?;
    }
    Ok(())
}

/// Every scheme's name and file.
fn schemes() -> Result<Vec<(String, String)>> {
    let mut schemes = Vec::new();
    for entry in fs::read_dir(root().join("crates/hookward/schemes"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".toml")).unwrap_or_default();
        if !name.is_empty() && !name.ends_with(".vectors") {
            schemes.push((name.to_owned(), fs::read_to_string(&path)?));
        }
    }
    schemes.sort();
    Ok(schemes)
}

fn vectors(scheme: &str) -> Result<Vec<Vector>> {
    let path = root().join("crates/hookward/schemes").join(format!("{scheme}.vectors.toml"));
    Ok(toml::from_str::<Vectors>(&fs::read_to_string(path)?)?.vector)
}

/// Requests as `fuzz/src/lib.rs` reads them, at most so many of each scheme.
fn requests(wanted: impl Fn(&Vector) -> bool, most: usize) -> Result<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    for (scheme, _) in schemes()? {
        for vector in vectors(&scheme)?.into_iter().filter(&wanted).take(most) {
            let secret = vector.secrets.first().map(|secret| secret.replace('\n', "\\n")).unwrap_or_default();
            let parameters: Vec<String> = vector.parameters.iter().map(|(n, v)| format!("{n}={v}")).collect();
            let now = vector.now_ms.unwrap_or(vector.now_s.unwrap_or_default() * 1000);
            let method = vector.method.as_deref().unwrap_or("POST");
            let url = vector.url.as_deref().unwrap_or("https://example.com/hook");
            let headers: String = vector.headers.iter().map(|(n, v)| format!("{n}: {v}\n")).collect();
            let head = format!("{scheme}\n{secret}\n{}\n{now}\n{method} {url}\n{headers}\n", parameters.join("\t"));
            let body = match &vector.body_base64 {
                Some(text) => STANDARD.decode(text).with_context(|| format!("a vector of `{scheme}`"))?,
                None => vector.body.into_bytes(),
            };
            requests.push([head.into_bytes(), body].concat());
        }
    }
    Ok(requests)
}

/// Two requests in which the same bytes are split in another way, or that differ in a value: an id, another id, another URL, a body and
/// another body.
const PAIRS: [&str; 3] = [
    "id-1\nid-2\nhttps://example.com/hook?x=2\n{\"a\":\"1\",\"b\":[2]}\n{\"a\":\"1\",\"b\":[3]}",
    "a.b\na\n\nc\nb.c",
    "a1\na\nhttps://example.com/hook?x=\nc\n1c",
];

/// Every content of the catalog, once, with each pair of requests.
fn templates() -> Result<Vec<Vec<u8>>> {
    let mut contents = Vec::new();
    for (name, text) in schemes()? {
        let file: toml::Table = toml::from_str(&text).with_context(|| name)?;
        let proofs = file.get("proof").and_then(toml::Value::as_array).into_iter().flatten();
        contents.extend(proofs.filter_map(|proof| Some(proof.get("content")?.as_str()?.to_owned())));
    }
    contents.sort();
    contents.dedup();
    let with = |content: &String| PAIRS.map(|pair| format!("{content}\n{pair}").into_bytes());
    Ok(contents.iter().flat_map(with).collect())
}

/// A token that is believed with each body that it may have, and one that asks for too much.
fn tokens() -> Vec<Vec<u8>> {
    let claims = "{\"iss\":\"me\",\"iat\":1700000000,\"jti\":\"1\",\
                  \"body\":\"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\"}";
    let tokens = [
        format!("{{\"alg\":\"HS256\",\"typ\":\"JWT\"}}\n{claims}\ne30.e30.AAAA\n{{}}"),
        "{\"alg\":\"HS256\"}\n{\"iss\":\"me\",\"iat\":1700000000}\ne30..AAAA\n".to_owned(),
        format!("{{\"alg\":\"none\",\"crit\":[\"b64\"],\"b64\":false}}\n{claims}\ne30.e30.\n{{}}"),
    ];
    tokens.map(String::into_bytes).into()
}

/// Keys of the catalog's vectors and of the generator's, each under every algorithm, as text and as what is in it.
fn keys() -> Result<Vec<Vec<u8>>> {
    let mut texts = Vec::new();
    for (scheme, _) in schemes()? {
        texts.extend(vectors(&scheme)?.into_iter().flat_map(|vector| vector.secrets));
    }
    texts.retain(|text| text.contains("-----BEGIN") || text.trim_start().starts_with('{'));
    for entry in fs::read_dir(root().join("xtask/vectors/rsa"))? {
        texts.push(fs::read_to_string(entry?.path())?);
    }
    texts.sort();
    texts.dedup();
    let mut keys = Vec::new();
    for text in &texts {
        let inside: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(inside).unwrap_or_default();
        for algorithm in 0..11_u8 {
            keys.push([&[algorithm], text.as_bytes()].concat());
            keys.push([&[algorithm], der.as_slice()].concat());
        }
    }
    Ok(keys)
}
