//! Canaries: secrets that must be found nowhere, in whatever form a careless program would write them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::database;

/// A secret and the byte strings that would give it away.
#[derive(Debug, Clone)]
pub struct Canary {
    /// What the secret is, for the report.
    pub name: String,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Canary {
    /// Everything that `secret` may look like. Secrets of under 12 bytes would be found by chance.
    pub fn new(name: &str, secret: &str) -> Self {
        Self::of_bytes(name, secret.as_bytes())
    }

    /// The same of a secret that is no text.
    pub fn of_bytes(name: &str, bytes: &[u8]) -> Self {
        assert!(bytes.len() >= 12, "a canary of {} bytes is too short to be told from chance", bytes.len());
        let mut forms = vec![
            ("plain", bytes.to_vec()),
            ("hex", hex::encode(bytes).into_bytes()),
            ("upper-case hex", hex::encode_upper(bytes).into_bytes()),
            ("JSON array", json_array(bytes)),
        ];
        // Inside a longer base64 text the secret may start at any of three alignments.
        for before in 0..3 {
            forms.push(("base64", aligned(bytes, before, |padded| STANDARD_NO_PAD.encode(padded))));
            forms.push(("base64url", aligned(bytes, before, |padded| URL_SAFE_NO_PAD.encode(padded))));
        }
        forms.push(("percent", percent(bytes, |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte), false)));
        forms.push(("percent", percent(bytes, |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte), true)));
        forms.push(("percent throughout", percent(bytes, |_| false, false)));
        forms.push(("percent throughout", percent(bytes, |_| false, true)));
        Self { name: name.to_owned(), forms }
    }

    /// The first form in which the secret stands in `bytes`.
    pub fn found_in(&self, bytes: &[u8]) -> Option<&'static str> {
        let stands = |form: &[u8]| bytes.windows(form.len()).any(|window| window == form);
        self.forms.iter().find(|(_, form)| stands(form)).map(|(name, _)| *name)
    }
}

/// What a search looked at and what it found.
#[derive(Debug, Default)]
pub struct Search {
    /// Files, and tables of a database, looked at.
    pub files: usize,
    /// Bytes looked at.
    pub bytes: u64,
    /// One sentence for each canary found.
    pub found: Vec<String>,
}

impl Search {
    /// Looks through a file, or every file below a directory, and through the database for which that stands, if it is elsewhere.
    pub fn look_through(&mut self, path: &Path, canaries: &[Canary]) -> Result<()> {
        for (table, rows) in database::rows(path)? {
            self.look_at(&table, &rows, canaries);
        }
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                self.look_through(&entry?.path(), canaries)?;
            }
            return Ok(());
        }
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.look_at(&path.display().to_string(), &bytes, canaries);
        Ok(())
    }

    /// Looks through some bytes.
    pub fn look_at(&mut self, place: &str, bytes: &[u8], canaries: &[Canary]) {
        self.files += 1;
        self.bytes += bytes.len() as u64;
        for canary in canaries {
            if let Some(form) = canary.found_in(bytes) {
                self.found.push(format!("{place} contains {} as {form}", canary.name));
            }
        }
    }
}

/// The characters of a base64 text that depend on nothing but the secret, when `before` bytes stand before it.
fn aligned(secret: &[u8], before: usize, encode: impl Fn(&[u8]) -> String) -> Vec<u8> {
    let mut padded = vec![0; before];
    padded.extend_from_slice(secret);
    let text = encode(&padded).into_bytes();
    let first = before.div_ceil(3) * (before + 1);
    let whole = padded.len() / 3 * 4;
    text[first..whole].to_vec()
}

fn percent(bytes: &[u8], plain: impl Fn(u8) -> bool, lower: bool) -> Vec<u8> {
    let escape = |byte: u8| if lower { format!("%{byte:02x}") } else { format!("%{byte:02X}") };
    bytes.iter().flat_map(|&byte| if plain(byte) { vec![byte] } else { escape(byte).into_bytes() }).collect()
}

/// As a byte vector is printed by `Debug` or by a JSON serialiser.
fn json_array(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    const SECRET: &str = "s3cret/with+odd bytes?";

    #[test]
    fn every_form_is_found_inside_other_bytes() {
        let canary = Canary::new("it", SECRET);
        let upper = percent(SECRET.as_bytes(), |byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte), false);
        let forms: Vec<Vec<u8>> = vec![
            SECRET.into(),
            hex::encode(SECRET).into(),
            hex::encode_upper(SECRET).into(),
            format!("{:?}", SECRET.as_bytes()).into(),
            STANDARD.encode(SECRET).into(),
            STANDARD.encode(format!("x{SECRET}yz")).into(),
            STANDARD.encode(format!("xy{SECRET}z")).into(),
            URL_SAFE_NO_PAD.encode(format!("user:{SECRET}")).into(),
            upper,
        ];
        for form in forms {
            let around = [b"before ", form.as_slice(), b" after"].concat();
            assert!(canary.found_in(&around).is_some(), "{}", String::from_utf8_lossy(&around));
        }
    }

    #[test]
    fn an_innocent_text_is_not_accused() {
        assert_eq!(Canary::new("it", SECRET).found_in(b"s3cret with other bytes, hex c0ffee, base64 czNjcmV0"), None);
    }

    #[test]
    fn a_directory_is_searched_to_its_leaves() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("deep")).unwrap();
        fs::write(directory.path().join("deep/file"), hex::encode(SECRET)).unwrap();
        let mut search = Search::default();
        search.look_through(directory.path(), &[Canary::new("it", SECRET)]).unwrap();
        assert_eq!((search.files, search.found.len()), (1, 1));
    }
}
