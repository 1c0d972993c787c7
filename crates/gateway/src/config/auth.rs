//! How an `http` destination is told who calls: `auth`, `oauth2` and `mtls`, and the secret that comes with each.
//! How they are sent is the engine's; signatures are `sign`'s.

use hookward::Scheme;
use hookward_engine::DeclaredSecret;
use hookward_engine::declare::check_schemes;
use hookward_engine::egress::{ClientCertificate, check_certificate};
use hookward_engine::model::{MTLS, MtlsSpec, OAUTH2, OAuth2ClientAuth, OAuth2Spec, Signing};
use serde::Deserialize;
use toml::Spanned;

use super::settings::{Absent, refuse, resolve, resolve_secret, url_problem};
use super::{Check, destinations, file, problems};

/// The longest client id, scope or audience, in bytes, and the most scopes.
const TEXT_MAX: usize = 1024;
const SCOPES_MAX: usize = 32;

/// `auth`: one credential that is sent as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    basic: Option<Spanned<String>>,
    bearer: Option<Spanned<String>>,
    header: Option<Spanned<String>>,
    secret: Option<Spanned<String>>,
}

/// `oauth2`: an access token that is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OAuth2 {
    token_url: Spanned<String>,
    client_id: Spanned<String>,
    secret: Spanned<String>,
    #[serde(default)]
    scopes: Vec<Spanned<String>>,
    audience: Option<Spanned<String>>,
    auth: Option<Spanned<String>>,
}

/// `mtls`: a certificate that is shown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mtls {
    certificate: Spanned<String>,
    key: Spanned<String>,
}

/// What a destination has besides signatures.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    /// A scheme that sends the secret itself.
    pub(super) signing: Option<Signing>,
    pub(super) oauth2: Option<Box<OAuth2Spec>>,
    pub(super) mtls: Option<MtlsSpec>,
    /// Values that came with them.
    pub(super) secrets: Vec<DeclaredSecret>,
    /// Where `auth` stands.
    at: Option<Spanned<()>>,
}

/// The settings that only an `http` destination has.
pub(super) fn refuse_elsewhere(check: &mut Check<'_>, file: &file::Destination, kind: &str) {
    refuse(check, file.auth.as_ref(), "auth", kind);
    refuse(check, file.oauth2.as_ref(), "oauth2", kind);
    refuse(check, file.mtls.as_ref(), "mtls", kind);
}

pub(super) fn credentials(check: &mut Check<'_>, file: &mut file::Destination) -> Result<Credentials, Absent> {
    if file.kind.get_ref() != "http" {
        return Ok(Credentials::default());
    }
    let mut found = Credentials::default();
    let mut carried = Vec::new();
    if let Some(auth) = file.auth.take() {
        carried.extend(auth_by_secret(check, &auth, &mut found)?);
    }
    if let Some(oauth2) = file.oauth2.take() {
        if carried.iter().any(|header: &String| header == "authorization") {
            check.problem(&oauth2, "`auth` and `oauth2` both fill the `Authorization` header: give one of them");
        }
        carried.push("authorization".to_owned());
        oauth2_settings(check, oauth2.into_inner(), &mut found)?;
    }
    if let Some(mtls) = file.mtls.take() {
        mtls_settings(check, mtls.into_inner(), &mut found)?;
    }
    for (name, value) in file.set_headers.iter().flat_map(|set| set.get_ref()) {
        if carried.contains(&name.to_ascii_lowercase()) {
            let problem =
                format!("header `{}` is what `auth` or `oauth2` fills: it is set only there", name.escape_debug());
            check.problem(value, problem);
        }
    }
    Ok(found)
}

/// Puts a credential that is sent as it is beside the schemes that sign.
pub(super) fn add(
    check: &mut Check<'_>,
    found: Credentials,
    signing: &mut Vec<Signing>,
    secrets: &mut Vec<DeclaredSecret>,
) {
    secrets.extend(found.secrets);
    let Some(entry) = found.signing else { return };
    signing.push(entry);
    let scheme = |entry: &Signing| {
        let known = check.find(&entry.scheme).cloned();
        known.or_else(|| Scheme::of_header_named(&entry.scheme))
    };
    let schemes: Option<Vec<Scheme>> = signing.iter().map(scheme).collect();
    // What is wrong with `sign` alone is said there.
    if let (Some(schemes), Some(at)) = (schemes, found.at)
        && let Err((index, problem)) = check_schemes(signing, &schemes.iter().collect::<Vec<_>>())
        && index + 1 == signing.len()
    {
        check.problem(&at, problem);
    }
}

/// One credential, and the header that carries it.
fn auth_by_secret(
    check: &mut Check<'_>,
    auth: &Spanned<Auth>,
    found: &mut Credentials,
) -> Result<Option<String>, Absent> {
    let Auth { basic, bearer, header, secret } = auth.get_ref();
    let (scheme, given) = match (basic, bearer, header, secret) {
        (Some(given), None, None, None) => (hookward::catalog::find("basic").cloned(), given),
        (None, Some(given), None, None) => (hookward::catalog::find("bearer").cloned(), given),
        (None, None, Some(name), Some(given)) => (header_scheme(check, name), given),
        _ => {
            let forms = "`basic = \"…\"`, `bearer = \"…\"`, or `header = \"X-Api-Key\"` with its `secret`";
            check.problem(auth, format!("`auth` is one of {forms}"));
            return Ok(None);
        }
    };
    let value = resolve_secret(check, given)?;
    let Some(scheme) = scheme else { return Ok(None) };
    if let Some(problem) = value.as_ref().and_then(|value| scheme.check_new(value).err()) {
        check.problem(given, format!("this cannot be sent: {problem}"));
    }
    let carried = scheme.credential_headers().first().map(|name| name.to_ascii_lowercase());
    found.secrets.extend(value.map(|value| DeclaredSecret::new(scheme.name(), value)));
    found.at = Some(Spanned::new(auth.span(), ()));
    found.signing = Some(Signing::by(scheme.name()));
    Ok(carried)
}

fn header_scheme(check: &mut Check<'_>, name: &Spanned<String>) -> Option<Scheme> {
    let text = name.get_ref();
    if destinations::OWN_HEADERS.contains(&text.to_ascii_lowercase().as_str()) {
        check.problem(name, format!("header `{text}` belongs to the connection and cannot be set"));
        return None;
    }
    let scheme = Scheme::of_header(text);
    if scheme.is_none() {
        check.problem(name, format!("`{}` is not a header name", text.escape_debug()));
    }
    scheme
}

fn oauth2_settings(check: &mut Check<'_>, oauth2: OAuth2, found: &mut Credentials) -> Result<(), Absent> {
    let OAuth2 { token_url, client_id, secret, scopes, audience, auth } = oauth2;
    let url = resolve(check, &token_url)?;
    let query = |url: &str| url.contains('?').then_some("it has a query");
    if let Some(problem) = url.as_deref().and_then(|url| url_problem(url).or_else(|| query(url))) {
        check.problem(&token_url, format!("this `token_url` cannot be used: {problem}"));
    }
    let client = resolve(check, &client_id)?;
    if let Some(client) = &client {
        check_text(check, &client_id, client, "client_id", |_| true);
    }
    if scopes.len() > SCOPES_MAX {
        check.problem(&scopes[SCOPES_MAX], format!("`scopes` has at most {SCOPES_MAX}"));
    }
    for scope in &scopes {
        check_text(check, scope, scope.get_ref(), "scopes", |letter| !matches!(letter, ' ' | '"' | '\\'));
    }
    if let Some(audience) = &audience {
        check_text(check, audience, audience.get_ref(), "audience", |_| true);
    }
    let auth = match auth.as_ref().map(|auth| auth.get_ref().as_str()) {
        None | Some("basic") => OAuth2ClientAuth::Basic,
        Some("body") => OAuth2ClientAuth::Body,
        Some(other) => {
            let near = problems::nearest(other, ["basic", "body"].into_iter());
            let problem =
                format!("a client proves itself by `basic` or in the `body`, not by `{}`{near}", other.escape_debug());
            check.problem(auth.as_ref().expect("it was just looked at"), problem);
            OAuth2ClientAuth::Basic
        }
    };
    if let Some(value) = resolve_secret(check, &secret)? {
        found.secrets.push(DeclaredSecret::new(OAUTH2, value));
    }
    if let (Some(token_url), Some(client_id)) = (url, client) {
        let scopes = scopes.into_iter().map(Spanned::into_inner).collect();
        let audience = audience.map(Spanned::into_inner);
        found.oauth2 = Some(Box::new(OAuth2Spec { token_url, client_id, scopes, audience, auth }));
    }
    Ok(())
}

fn check_text(check: &mut Check<'_>, at: &Spanned<String>, text: &str, what: &str, may: impl Fn(char) -> bool) {
    let is_good = |letter: char| !letter.is_control() && may(letter);
    if text.is_empty() || text.len() > TEXT_MAX || !text.chars().all(is_good) {
        check.problem(at, format!("`{what}` is 1 to {TEXT_MAX} characters that a token endpoint can be sent"));
    }
}

fn mtls_settings(check: &mut Check<'_>, mtls: Mtls, found: &mut Credentials) -> Result<(), Absent> {
    let Mtls { certificate, key } = mtls;
    let text = resolve(check, &certificate)?;
    let value = resolve_secret(check, &key)?;
    let Some(text) = text else { return Ok(()) };
    let problem = match &value {
        Some(value) => ClientCertificate::new(&text, value.expose()).err(),
        None => check_certificate(&text).err(),
    };
    if let Some(problem) = problem {
        let at = if problem.is_of_the_key() { &key } else { &certificate };
        check.problem(at, format!("`mtls` cannot be used: {problem}"));
    }
    found.secrets.extend(value.map(|value| DeclaredSecret::new(MTLS, value)));
    found.mtls = Some(MtlsSpec { certificate: text });
    Ok(())
}
