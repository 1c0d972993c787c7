//! The `${…}` of the corpus: secrets, signatures, the time, bytes that TOML cannot hold.
//!
//! `${unique}`: text that no other case has · `${now}`, `${now+N}`, `${now-N}`, `${now_ms}` ·
//! `${secret:W}`: a secret's text, W one of active, old, expired, other · `${percent:W}`: every byte of it escaped ·
//! `${hex:W}`, `${HEX:W}`, `${b64:W}`: HMAC-SHA-256 under that secret of what the case signs; W may also be `empty`, `null` or `public` ·
//! `${dangling:W}`: the same in base64 with its unused last bits set ·
//! `${hex:W..N}`: its first N characters · `${rep:TEXT*N}` · `${byte:C3}`

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use systems::github::hmac_sha256;
use systems::world;

/// Which of a source's secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// The newest.
    Active,
    /// The previous one, inside its grace.
    Old,
    /// One whose grace is over.
    Expired,
    /// Another source's.
    Other,
}

impl Which {
    fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "active" => Self::Active,
            "old" => Self::Old,
            "expired" => Self::Expired,
            "other" => Self::Other,
            _ => bail!("no secret is called `{name}`"),
        })
    }

    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Active => b"bad-inputs-secret-active-0",
            Self::Old => b"bad-inputs-secret-previous",
            Self::Expired => b"bad-inputs-secret-expired-",
            Self::Other => b"bad-inputs-secret-anothers",
        }
    }
}

/// The one key of the source that verifies Ed25519: the published one of Standard Webhooks' own tests.
const PUBLIC_KEY: &str = "1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

/// A secret's text in the form that the source's scheme wants.
pub(super) fn secret(source: &str, which: Which) -> String {
    match source {
        "standard-webhooks" => format!("whsec_{}", STANDARD.encode(which.bytes())),
        "standard-webhooks-ed25519" => format!("whpk_{PUBLIC_KEY}"),
        "qflow" => STANDARD.encode(which.bytes()),
        _ => String::from_utf8_lossy(which.bytes()).into_owned(),
    }
}

/// The HMAC key that the secret stands for.
fn key(name: &str) -> Result<Vec<u8>> {
    match name {
        "empty" => Ok(Vec::new()),
        "null" => Ok(b"null".to_vec()),
        "public" => Ok(STANDARD.decode(PUBLIC_KEY)?),
        _ => Which::named(name).map(|which| which.bytes().to_vec()),
    }
}

/// Expands the texts of one case; `unique` and `now` are the same in all of its steps.
pub(super) struct Expander {
    id: String,
    now: u64,
}

impl Expander {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), now: world::unix_seconds() }
    }

    /// Text that no other case of this run has.
    pub(super) fn unique(&self, part: &str) -> String {
        format!("{}-{part}", self.id)
    }

    /// Expands `text` for a source; `signed` is what signatures are computed over.
    pub(super) fn expand(&self, text: &str, source: &str, signed: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            out.extend_from_slice(before.as_bytes());
            let (name, tail) = after.split_once('}').with_context(|| format!("no `}}` after `${{{after:.20}`"))?;
            out.extend(self.value(name, source, signed)?);
            rest = tail;
        }
        out.extend_from_slice(rest.as_bytes());
        Ok(out)
    }

    fn value(&self, name: &str, source: &str, signed: &[u8]) -> Result<Vec<u8>> {
        let (kind, argument) = name.split_once(':').unwrap_or((name, ""));
        Ok(match kind {
            "unique" => self.unique("once").into_bytes(),
            "secret" => secret(source, Which::named(argument)?).into_bytes(),
            "percent" => percent(secret(source, Which::named(argument)?).as_bytes()).into_bytes(),
            "hex" => cut(argument, |key| Ok(hex::encode(hmac_sha256(key, signed))))?,
            "HEX" => cut(argument, |key| Ok(hex::encode_upper(hmac_sha256(key, signed))))?,
            "b64" => cut(argument, |key| Ok(STANDARD.encode(hmac_sha256(key, signed))))?,
            "dangling" => dangling(&STANDARD.encode(hmac_sha256(&key(argument)?, signed))).into_bytes(),
            "rep" => {
                let (text, count) = argument.rsplit_once('*').context("`rep` is TEXT*N")?;
                text.repeat(count.parse()?).into_bytes()
            }
            "byte" => vec![u8::from_str_radix(argument, 16)?],
            _ => self.time(name)?.into_bytes(),
        })
    }

    fn time(&self, name: &str) -> Result<String> {
        let shift = name.strip_prefix("now").with_context(|| format!("`${{{name}}}` means nothing"))?;
        let now = i64::try_from(self.now)?;
        Ok(match shift {
            "" => now.to_string(),
            "_ms" => (now * 1000).to_string(),
            _ => (now + shift.parse::<i64>()?).to_string(),
        })
    }
}

/// `active` or `active..12`.
fn cut(argument: &str, compute: impl Fn(&[u8]) -> Result<String>) -> Result<Vec<u8>> {
    let (name, length) = argument.split_once("..").unwrap_or((argument, ""));
    let text = compute(&key(name)?)?;
    let length = if length.is_empty() { text.len() } else { length.parse()? };
    Ok(text.as_bytes()[..length].to_vec())
}

/// The base64 of 32 bytes ends in a letter of which two bits say nothing, and `=`: the same with one of the two set.
fn dangling(text: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let start = &text[..text.len() - 2];
    let last = text.chars().rev().nth(1).and_then(|letter| LETTERS.find(letter)).unwrap_or_default();
    format!("{start}{}=", &LETTERS[last + 1..last + 2])
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02X}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_what_they_say() {
        let expander = Expander { id: "it".to_owned(), now: 1000 };
        let expand = |text| String::from_utf8(expander.expand(text, "github", b"b").unwrap()).unwrap();
        assert_eq!(expand("a ${now}/${now+5}/${now-5}/${now_ms} ${rep:xy*3}"), "a 1000/1005/995/1000000 xyxyxy");
        assert_eq!(expand("${hex:active..4}").len(), 4);
        let (canonical, dangling) = (expand("${b64:active}"), expand("${dangling:active}"));
        assert!(canonical != dangling && canonical[..42] == dangling[..42] && dangling.ends_with('='));
        assert_ne!(expand("${hex:active}"), expand("${hex:old}"));
        assert_eq!(expander.expand("${byte:C3}", "github", b"").unwrap(), [0xC3]);
        assert!(expander.expand("${nonsense}", "github", b"").is_err());
        assert!(expander.expand("${open", "github", b"").is_err());
    }
}
