//! `[kms]`: which key seals all secrets, and which ones did before. Owns what each provider of a key must be told.
//! Nothing is opened or called here.

use std::path::PathBuf;
use std::time::Duration;

use hookward::Secret;
use hookward_engine::clock::SystemEntropy;
use hookward_engine::kms::environment::EnvironmentKms;
use toml::Spanned;

use super::reference::ResolvedSecret;
use super::values::Lapse;
use super::{Check, file, problems, settings};

/// What there is to say about keys.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyManagement {
    /// The key that seals.
    pub current: KeyProvider,
    /// Keys that only open what they sealed before.
    pub previous: Vec<KeyProvider>,
    /// How long an opened secret is kept.
    pub cache_ttl: Duration,
    /// How long the provider may take for one key.
    pub timeout: Duration,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyProvider {
    /// In a file; `master.key` in the data directory when absent.
    Local {
        /// The file.
        key_file: Option<PathBuf>,
    },
    /// In the configuration's surroundings.
    Environment {
        /// 32 bytes as base64 or hexadecimal digits.
        key: Secret,
    },
    /// In AWS KMS.
    Aws(AwsKey),
    /// In a token with a PKCS#11 module.
    Pkcs11(Pkcs11Key),
}

/// A key in AWS KMS.
#[derive(Debug, Clone, PartialEq)]
pub struct AwsKey {
    /// Its id or ARN.
    pub key_id: String,
    /// Where it is.
    pub region: String,
    /// What to call in place of the region's own endpoint.
    pub endpoint: Option<String>,
    /// Who calls.
    pub access_key_id: Secret,
    /// The caller's secret.
    pub secret_access_key: Secret,
    /// For temporary credentials.
    pub session_token: Option<Secret>,
}

/// A key in a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Pkcs11Key {
    /// The PKCS#11 library.
    pub module: PathBuf,
    /// Where the token is.
    pub token: Token,
    /// The key's label.
    pub key_label: String,
    /// What opens the token.
    pub pin: Secret,
}

/// How a token is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// By its label.
    Label(String),
    /// By its slot's number.
    Slot(u64),
}

const PROVIDERS: [&str; 4] = ["local", "environment", "aws", "pkcs11"];

/// The shortest and the longest that an opened secret may be kept.
const CACHE_TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(7 * 86_400);

/// Reads `[kms]`.
pub(super) fn kms(check: &mut Check<'_>, file: &file::Kms) -> KeyManagement {
    let cache_ttl = file.cache_ttl.as_ref().map_or(Lapse(Duration::from_secs(6 * 3600)), |lapse| *lapse.get_ref()).0;
    if let Some(at) = &file.cache_ttl
        && !CACHE_TTL.contains(&cache_ttl)
    {
        check.problem(at, "`cache_ttl` is 1m to 7d");
    }
    let default = Spanned::new(0..0, Lapse(Duration::from_secs(5)));
    let timeout = check.timeout(file.timeout.as_ref().unwrap_or(&default), "timeout");
    let current = provider(check, file);
    let mut previous = Vec::new();
    for old in &file.previous {
        for (at, name) in [(&old.cache_ttl, "cache_ttl"), (&old.timeout, "timeout")] {
            if let Some(at) = at {
                check.problem(at, format!("`{name}` belongs in [kms]: it is the same for every key"));
            }
        }
        if !old.previous.is_empty() {
            check.problem(&whole(old), "every key before this one is a [[kms.previous]] of its own");
        }
        if old.provider.is_none() {
            check.problem(&whole(old), "a [[kms.previous]] says which `provider` it had");
        }
        previous.push(provider(check, old));
    }
    KeyManagement { current, previous, cache_ttl, timeout }
}

/// The place of the first thing that stands in a table; its beginning is not known.
fn whole(file: &file::Kms) -> Spanned<()> {
    let provider = [("provider", file.provider.as_ref())];
    let spans = texts(file).into_iter().chain(provider).filter_map(|(_, value)| value.map(Spanned::span));
    Spanned::new(spans.min_by_key(|span| span.start).unwrap_or(0..0), ())
}

fn texts(file: &file::Kms) -> [(&'static str, Option<&Spanned<String>>); 11] {
    [
        ("key_file", file.key_file.as_ref()),
        ("key", file.key.as_ref()),
        ("key_id", file.key_id.as_ref()),
        ("region", file.region.as_ref()),
        ("endpoint", file.endpoint.as_ref()),
        ("access_key_id", file.access_key_id.as_ref()),
        ("secret_access_key", file.secret_access_key.as_ref()),
        ("session_token", file.session_token.as_ref()),
        ("module", file.module.as_ref()),
        ("key_label", file.key_label.as_ref()),
        ("pin", file.pin.as_ref()),
    ]
}

fn provider(check: &mut Check<'_>, file: &file::Kms) -> KeyProvider {
    let local = Spanned::new(0..0, "local".to_owned());
    let name = file.provider.as_ref().unwrap_or(&local);
    let (own, found): (&[&str], _) = match name.get_ref().as_str() {
        "local" => (&["key_file"], Some(local_key(file))),
        "environment" => (&["key"], environment(check, file, name)),
        "aws" => {
            let own = &["key_id", "region", "endpoint", "access_key_id", "secret_access_key", "session_token"];
            compiled_in(check, name, cfg!(feature = "kms-aws"));
            (own, aws(check, file, name).map(KeyProvider::Aws))
        }
        "pkcs11" => {
            compiled_in(check, name, cfg!(feature = "kms-pkcs11"));
            (&["module", "token", "slot", "key_label", "pin"], pkcs11(check, file, name).map(KeyProvider::Pkcs11))
        }
        other => {
            let near = problems::nearest(other, PROVIDERS.into_iter());
            let other = other.escape_debug();
            check.problem(name, format!("there is no KMS provider `{other}`{near}"));
            return local_key(file);
        }
    };
    let mut given = texts(file).map(|(key, value)| (key, value.map(Spanned::span))).to_vec();
    given.push(("token", file.token.as_ref().map(Spanned::span)));
    given.push(("slot", file.slot.as_ref().map(Spanned::span)));
    for (key, span) in given {
        if let Some(span) = span.filter(|_| !own.contains(&key)) {
            let message = format!("the KMS provider `{}` has no `{key}`; it has {}", name.get_ref(), list(own));
            check.problem(&Spanned::new(span, ()), message);
        }
    }
    // Where something is missing there is a problem, and nothing starts.
    found.unwrap_or_else(|| local_key(file))
}

fn local_key(file: &file::Kms) -> KeyProvider {
    KeyProvider::Local { key_file: file.key_file.as_ref().map(|path| PathBuf::from(path.get_ref())) }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn compiled_in(check: &mut Check<'_>, name: &Spanned<String>, is_there: bool) {
    if !is_there {
        let name_text = name.get_ref();
        check.problem(
            name,
            format!(
                "this hookward was built without the KMS provider `{name_text}`: build it with the cargo feature \
                 `kms-{name_text}`"
            ),
        );
    }
}

fn environment(check: &mut Check<'_>, file: &file::Kms, name: &Spanned<String>) -> Option<KeyProvider> {
    let at = required(check, file.key.as_ref(), "key", name)?;
    let key = secret(check, at)?;
    if let Err(problem) = EnvironmentKms::new(&key, std::sync::Arc::new(SystemEntropy)) {
        check.problem(at, format!("the value of `{}` is not a key: {problem}", at.get_ref()));
    }
    Some(KeyProvider::Environment { key })
}

fn aws(check: &mut Check<'_>, file: &file::Kms, name: &Spanned<String>) -> Option<AwsKey> {
    let key_id = required(check, file.key_id.as_ref(), "key_id", name).cloned();
    if let Some(at) = key_id.as_ref().filter(|at| at.get_ref().contains("alias/")) {
        check.problem(at, "an alias may come to mean another key: name the key by its id or its ARN");
    }
    let given = |value: &Option<Spanned<String>>| value.as_ref().map(|value| value.get_ref().clone());
    let variable = |check: &Check<'_>, name: &str| check.references.variable(name);
    let region = given(&file.region).or_else(|| variable(check, "AWS_REGION"));
    let region = region.or_else(|| variable(check, "AWS_DEFAULT_REGION"));
    if region.is_none() {
        check.problem(name, "`region` is missing, and so are the variables AWS_REGION and AWS_DEFAULT_REGION");
    }
    if let Some(at) = &file.endpoint {
        endpoint(check, at);
    }
    let access_key_id = credential(check, file.access_key_id.as_ref(), "AWS_ACCESS_KEY_ID");
    let secret_access_key = credential(check, file.secret_access_key.as_ref(), "AWS_SECRET_ACCESS_KEY");
    // A token belongs to the credentials that it came with.
    let session_token = match (&file.session_token, &file.access_key_id) {
        (None, Some(_)) => None,
        (token, _) => credential(check, token.as_ref(), "AWS_SESSION_TOKEN"),
    };
    for (value, key, variable) in [
        (&access_key_id, "access_key_id", "AWS_ACCESS_KEY_ID"),
        (&secret_access_key, "secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ] {
        if value.is_none() {
            check.problem(name, format!("`{key}` is missing, and so is the variable {variable}"));
        }
    }
    let (access_key_id, secret_access_key) = (access_key_id?, secret_access_key?);
    let (key_id, endpoint) = (key_id?.into_inner(), given(&file.endpoint));
    Some(AwsKey { key_id, region: region?, endpoint, access_key_id, secret_access_key, session_token })
}

/// Data keys go to the endpoint in the clear of its protocol: without TLS they stay on this machine.
fn endpoint(check: &mut Check<'_>, at: &Spanned<String>) {
    let text = at.get_ref();
    if let Some(problem) = settings::url_problem(text) {
        check.problem(at, format!("`endpoint` is not a URL to call: {problem}"));
        return;
    }
    let uri: Option<http::Uri> = text.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    let is_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if !text.starts_with("https://") && !is_loopback {
        check.problem(at, "`endpoint` has to begin with `https://`: data keys would be on the wire in the clear");
    }
}

fn pkcs11(check: &mut Check<'_>, file: &file::Kms, name: &Spanned<String>) -> Option<Pkcs11Key> {
    let module = required(check, file.module.as_ref(), "module", name).cloned();
    if let Some(at) = module.as_ref().filter(|at| !std::path::Path::new(at.get_ref()).is_file()) {
        check.problem(at, format!("there is no PKCS#11 module `{}`", at.get_ref().escape_debug()));
    }
    let token = match (&file.token, &file.slot) {
        (Some(label), None) => Some(Token::Label(label.get_ref().clone())),
        (None, Some(slot)) => Some(Token::Slot(*slot.get_ref())),
        (Some(label), Some(_)) => {
            check.problem(label, "a token is found by its label (`token`) or by its `slot`, not by both");
            None
        }
        (None, None) => {
            check.problem(name, "the KMS provider `pkcs11` needs `token`, the token's label, or its `slot`");
            None
        }
    };
    let key_label = required(check, file.key_label.as_ref(), "key_label", name).cloned();
    let pin = required(check, file.pin.as_ref(), "pin", name).cloned().and_then(|at| secret(check, &at));
    Some(Pkcs11Key {
        module: PathBuf::from(module?.into_inner()),
        token: token?,
        key_label: key_label?.into_inner(),
        pin: pin?,
    })
}

fn required<'f>(
    check: &mut Check<'_>,
    value: Option<&'f Spanned<String>>,
    key: &str,
    name: &Spanned<String>,
) -> Option<&'f Spanned<String>> {
    if value.is_none() {
        check.problem(name, format!("the KMS provider `{}` needs `{key}`", name.get_ref()));
    }
    value
}

/// A secret that must be there now: without it nothing can be opened.
fn secret(check: &mut Check<'_>, at: &Spanned<String>) -> Option<Secret> {
    match check.references.secret(at.get_ref()) {
        Ok(ResolvedSecret::Value(secret)) => Some(secret),
        Ok(ResolvedSecret::Stored) => {
            check.problem(at, "what opens everything else is not stored: write \"env:NAME\" or \"file:PATH\"");
            None
        }
        Ok(ResolvedSecret::Absent(variable)) => {
            check.problem(at, format!("the variable {variable} is not set"));
            None
        }
        Err(problem) => {
            check.problem(at, problem);
            None
        }
    }
}

/// A credential as the file says it, or as the variable that every AWS tool reads has it.
fn credential(check: &mut Check<'_>, given: Option<&Spanned<String>>, variable: &str) -> Option<Secret> {
    match given {
        Some(at) => secret(check, at),
        None => check.references.variable(variable).and_then(|value| Secret::new(value).ok()),
    }
}
