//! A request that shows whether a source is set up, as commands for a shell: one that is believed, one that is not. Made of
//! the scheme's own recipe, so that it is right for schemes that nobody has thought of here.

use hookward::{Piece, Recipe, RecipeAlgorithm, RecipeEncoding, RecipePlace, Scheme};
use hookward_engine::model::{Proof, Source};

use crate::config::Door;

/// Commands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    /// Answered with 2xx, and an event.
    pub(super) believed: String,
    /// Answered with 401, and a reason on the page; where something has to be proven.
    pub(super) refused: Option<String>,
}

/// What stands for the secret, for the person to replace.
pub(super) const SECRET: &str = "paste the secret here";

/// A body that is new each second.
const BODY: &str = r#"BODY="{\"id\":\"check-$(date +%s)\",\"type\":\"check\"}""#;

/// The checks of a source at `url`; none where a shell cannot sign.
pub(super) fn check(source: &Source, scheme: Option<&Scheme>, url: &str, door: Option<&Door>) -> Option<Check> {
    let method = door.and_then(|door| door.methods.first()).map_or("POST", String::as_str);
    let curl = format!("curl -i -X {method} {}", quoted(url));
    let tail = " \\\n  -H 'Content-Type: application/json' --data-binary \"$BODY\"";
    match (&source.spec.proof, scheme) {
        (Proof::Unsigned, _) => Some(Check { believed: format!("{BODY}\n{curl}{tail}"), refused: None }),
        (Proof::Scheme { .. }, Some(scheme)) => {
            let recipe = scheme.recipe();
            let believed = signed(&recipe, url, method)?;
            let refused = Some(format!("{curl} \\\n  -H 'Content-Type: application/json' --data-binary '{{}}'"));
            Some(Check { believed, refused })
        }
        _ => None,
    }
}

fn signed(recipe: &Recipe<'_>, url: &str, method: &str) -> Option<String> {
    let mut lines = vec![format!("SECRET='{SECRET}'"), BODY.to_owned()];
    let mut headers = vec!["'Content-Type: application/json'".to_owned()];
    let mut target = quoted(url);
    if let Some(id) = recipe.id {
        lines.push("ID=\"check-$(date +%s)\"".to_owned());
        headers.push(format!("\"{}: $ID\"", in_quotes(id)));
    }
    if let Some(name) = recipe.event_type {
        headers.push(format!("'{name}: check'"));
    }
    let mut credential = None;
    match recipe.algorithm {
        RecipeAlgorithm::Basic => credential = Some("-u \"$SECRET\"".to_owned()),
        RecipeAlgorithm::Token => match recipe.place {
            RecipePlace::Header(name) => {
                headers.push(format!("\"{}: {}$SECRET\"", in_quotes(name), in_quotes(recipe.prefix)))
            }
            RecipePlace::Authorization(word) => headers.push(format!("\"Authorization: {} $SECRET\"", in_quotes(word))),
            RecipePlace::Query(name) => target = format!("{}\"?{}=$SECRET\"", quoted(url), in_quotes(name)),
            RecipePlace::Body => return None,
        },
        RecipeAlgorithm::Ed25519 | RecipeAlgorithm::Other => return None,
        hmac => {
            lines.extend(signature(recipe, hmac)?);
            if let Some(name) = recipe.time.and_then(|time| time.header) {
                headers.push(format!("\"{}: $TIME\"", in_quotes(name)));
            }
            let before = match recipe.place {
                RecipePlace::Header(name) => format!("{}: ", in_quotes(name)),
                RecipePlace::Authorization(word) => format!("Authorization: {} ", in_quotes(word)),
                RecipePlace::Query(_) | RecipePlace::Body => return None,
            };
            let beside = recipe.time.filter(|time| time.header.is_none());
            let separator = recipe.separator.map(String::from).unwrap_or_default();
            let beside = beside.map_or_else(String::new, |time| format!("{}=$TIME{separator}", in_quotes(time.entry)));
            headers.push(format!("\"{before}{beside}{}$SIGNATURE\"", in_quotes(recipe.prefix)));
        }
    }
    let mut curl = format!("curl -i -X {method} {target}");
    for option in credential.into_iter().chain(headers.iter().map(|header| format!("-H {header}"))) {
        curl.push_str(" \\\n  ");
        curl.push_str(&option);
    }
    curl.push_str(" \\\n  --data-binary \"$BODY\"");
    lines.push(curl);
    Some(lines.join("\n"))
}

/// The lines that compute `$SIGNATURE`, and `$TIME` where one is signed.
fn signature(recipe: &Recipe<'_>, algorithm: RecipeAlgorithm) -> Option<Vec<String>> {
    let mut lines = Vec::new();
    if let Some(time) = recipe.time {
        lines.push(if time.is_in_millis { "TIME=\"$(date +%s)000\"" } else { "TIME=$(date +%s)" }.to_owned());
    }
    let mut content = String::new();
    for piece in &recipe.content {
        match piece {
            Piece::Text(text) => content.push_str(&in_quotes(text)),
            Piece::Body => content.push_str("$BODY"),
            Piece::Time => content.push_str("$TIME"),
            Piece::Id => content.push_str("$ID"),
            Piece::Other => return None,
        }
    }
    let text = match recipe.key_prefix {
        "" => "\"$SECRET\"".to_owned(),
        prefix => format!("\"${{SECRET#{prefix}}}\""),
    };
    let in_hex = "od -An -vtx1 | tr -d ' \\n'";
    lines.push(match recipe.key_encoding {
        None => format!("KEY=$(printf %s {text} | {in_hex})"),
        Some(RecipeEncoding::Hex) => format!("KEY={text}"),
        Some(RecipeEncoding::Base64) => format!("KEY=$(printf %s {text} | base64 -d | {in_hex})"),
        Some(RecipeEncoding::OtherBase64 | RecipeEncoding::Other) => return None,
    });
    let digest = match algorithm {
        RecipeAlgorithm::HmacSha1 => "sha1",
        RecipeAlgorithm::HmacSha256 => "sha256",
        RecipeAlgorithm::HmacSha512 => "sha512",
        RecipeAlgorithm::Ed25519 | RecipeAlgorithm::Token | RecipeAlgorithm::Basic | RecipeAlgorithm::Other => {
            return None;
        }
    };
    let written = match recipe.encoding? {
        RecipeEncoding::Hex => in_hex,
        RecipeEncoding::Base64 => "base64 | tr -d '\\n'",
        RecipeEncoding::OtherBase64 | RecipeEncoding::Other => return None,
    };
    lines.push(format!(
        "SIGNATURE=$(printf %s \"{content}\" |\n  openssl dgst -{digest} -mac HMAC -macopt \"hexkey:$KEY\" -binary | {written})"
    ));
    Some(lines)
}

/// Text in single quotes of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Text between double quotes of a shell.
fn in_quotes(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '"' | '$' | '`' | '\\') {
            written.push('\\');
        }
        written.push(letter);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_takes_text_for_text() {
        assert_eq!(quoted("/a'b$(c)"), "'/a'\\''b$(c)'");
        assert_eq!(in_quotes("a\"$b`\\"), "a\\\"\\$b\\`\\\\");
    }
}
