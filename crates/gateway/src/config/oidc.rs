//! `[[oidc]]`: providers by way of which people sign in. Owns what each must be told; nothing is called here.

use std::collections::{BTreeMap, HashMap};

use hookward::Secret;
use hookward_engine::model::{Scope, Scopes};
use toml::Spanned;

use super::reference::ResolvedSecret;
use super::{Check, file, settings};

/// A provider as declared.
#[derive(Debug)]
pub struct OidcDeclaration {
    /// Its name in our URLs.
    pub name: String,
    /// Its own name, exactly as it writes it: a URL.
    pub issuer: String,
    /// What we are called there.
    pub client_id: String,
    /// What we prove that with.
    pub client_secret: Secret,
    /// The name of the organization whose users it sends.
    pub organization: String,
    /// Where the addresses of newcomers are; anywhere when empty.
    pub domains: Vec<String>,
    /// What newcomers may do who were not invited; `None` when these do not come in.
    pub newcomers: Option<Scopes>,
    /// The claim that says what users may do, and what its values come to.
    pub grants: Option<Grants>,
}

/// What a provider's groups come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grants {
    /// The claim: a text or a list of texts.
    pub claim: String,
    /// Scopes by value.
    pub scopes: BTreeMap<String, Scopes>,
}

/// The providers in a file.
pub(super) fn providers(check: &mut Check<'_>, tables: Vec<file::Oidc>) -> Vec<OidcDeclaration> {
    let mut seen = HashMap::new();
    tables.into_iter().filter_map(|table| provider(check, table, &mut seen)).collect()
}

fn provider(check: &mut Check<'_>, table: file::Oidc, seen: &mut HashMap<String, ()>) -> Option<OidcDeclaration> {
    settings::name(check, &table.name, "OpenID Connect provider", seen);
    if !is_dialable(table.issuer.get_ref()) || table.issuer.get_ref().contains(['?', '#']) {
        check.problem(&table.issuer, "`issuer` is a URL that begins with `https://`, as the provider itself writes it");
    }
    if table.client_id.get_ref().is_empty() {
        check.problem(&table.client_id, "`client_id` is empty");
    }
    let scopes = table.scopes.as_ref().map(|scopes| names(check, scopes));
    let creates = table.create.as_ref().is_some_and(|create| *create.get_ref());
    let domains = table.domains.map(|domains| domains.into_iter().map(|domain| self::domain(check, domain)).collect());
    let domains: Vec<String> = domains.unwrap_or_default();
    if let Some(create) = table.create.as_ref().filter(|_| creates) {
        if domains.is_empty() {
            check.problem(create, "`create` lets in whoever the provider knows: say whose addresses in `domains`");
        }
        if scopes.is_none() {
            check.problem(create, "`create` needs `scopes`: what newcomers may do");
        }
    } else if let Some(scopes) = &table.scopes {
        check.problem(scopes, "`scopes` are what newcomers may do: say `create = true`");
    }
    let grants = match (table.claim, table.grants) {
        (Some(claim), Some(grants)) => {
            let scopes = grants.into_inner().into_iter().map(|(value, scopes)| (value, names(check, &scopes)));
            Some(Grants { claim: claim.into_inner(), scopes: scopes.collect() })
        }
        (Some(claim), None) => {
            check.problem(&claim, "`claim` needs `grants`: what its values come to");
            None
        }
        (None, Some(grants)) => {
            check.problem(&grants, "`grants` needs `claim`: where the values are");
            None
        }
        (None, None) => None,
    };
    Some(OidcDeclaration {
        client_secret: secret(check, &table.name, &table.client_secret)?,
        name: table.name.into_inner(),
        issuer: table.issuer.into_inner(),
        client_id: table.client_id.into_inner(),
        organization: table.organization.unwrap_or_else(|| "default".to_owned()),
        domains,
        newcomers: scopes.filter(|_| creates),
        grants,
    })
}

/// Without its secret a provider is left out, with a notice.
fn secret(check: &mut Check<'_>, name: &Spanned<String>, at: &Spanned<String>) -> Option<Secret> {
    match check.references.secret(at.get_ref()) {
        Ok(ResolvedSecret::Value(secret)) => return Some(secret),
        Ok(ResolvedSecret::Absent(variable)) => {
            let name = name.get_ref();
            check.notices.push(format!("OpenID Connect provider `{name}` is left out: `{variable}` is not set"));
        }
        Ok(ResolvedSecret::Stored) => check.problem(at, "nothing is stored here: write \"env:NAME\" or \"file:PATH\""),
        Err(problem) => check.problem(at, problem),
    }
    None
}

fn names(check: &mut Check<'_>, list: &file::Names) -> Scopes {
    if list.get_ref().iter().any(|name| name.get_ref() == "*") {
        return Scopes::ALL;
    }
    let mut scopes = Vec::new();
    for name in list.get_ref() {
        match name.get_ref().parse::<Scope>() {
            Ok(scope) => scopes.push(scope),
            Err(error) => check.problem(name, error.to_string()),
        }
    }
    scopes.into_iter().collect()
}

fn domain(check: &mut Check<'_>, domain: Spanned<String>) -> String {
    if domain.get_ref().is_empty() || domain.get_ref().contains(['@', '*', ' ', '/']) {
        check.problem(&domain, "a domain is what stands in an address after the `@`, like \"example.com\"");
    }
    domain.into_inner().to_lowercase()
}

/// Whether we may send people, codes and our secret there: over TLS, or to this machine itself.
pub(crate) fn is_dialable(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    match uri.scheme_str() {
        Some("https") => !host.is_empty() && !has_user,
        Some("http") => address.is_ok_and(|address| address.is_loopback()) && !has_user,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_tls_or_nowhere() {
        for good in
            ["https://id.example", "https://id.example:8443/realms/a", "http://127.0.0.1:3000", "http://[::1]/x"]
        {
            assert!(is_dialable(good), "{good}");
        }
        for bad in [
            "",
            "id.example",
            "http://id.example",
            "http://localhost",
            "http://127.0.0.1.evil.example",
            "ftp://a",
            "https://a@b",
        ] {
            assert!(!is_dialable(bad), "{bad}");
        }
    }
}
