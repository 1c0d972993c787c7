//! A `[[destination]]` of type `report`: whose ends are told, to which code host, and how.
//! Which calls that makes is the engine's.

use hookward_engine::model::{ReportProvider, ReportSpec};
use toml::Spanned;

use super::settings::{Absent, allow_addresses, refuse, resolve, unreachable};
use super::{Check, file, problems};

/// The settings that only this type has.
pub(super) fn refuse_elsewhere(check: &mut Check<'_>, file: &file::Destination, kind: &str) {
    refuse(check, file.of.as_ref(), "of", kind);
    refuse(check, file.provider.as_ref(), "provider", kind);
    refuse(check, file.api.as_ref(), "api", kind);
    refuse(check, file.token.as_ref(), "token", kind);
    refuse(check, file.status.as_ref(), "status", kind);
    refuse(check, file.check_run.as_ref(), "check_run", kind);
    refuse(check, file.comment.as_ref(), "comment", kind);
}

/// Its token becomes a signature of scheme `bearer`, so that it is kept and rotated like every other secret.
pub(super) fn token_as_signature(check: &mut Check<'_>, file: &mut file::Destination) {
    if file.kind.get_ref() != "report" {
        return;
    }
    let Some(token) = file.token.take() else { return };
    if let Some(sign) = &file.sign {
        let at = sign.0.first().map_or_else(|| token.span(), |sign| sign.scheme.span());
        check.problem(&Spanned::new(at, ()), "a destination of type `report` has a `token` instead of `sign`");
    }
    let scheme = Spanned::new(token.span(), "bearer".to_owned());
    let sign = file::Sign { scheme, parameters: None, secret: Some(token), sign_with: None, until: None };
    file.sign = Some(file::Signs(vec![sign]));
}

pub(super) fn report(check: &mut Check<'_>, file: file::Destination) -> Result<Option<ReportSpec>, Absent> {
    let (Some(of), Some(provider)) = (file.of, file.provider) else {
        check.problem(&file.kind, "a destination of type `report` needs `of` (a destination's name) and a `provider`");
        return Ok(None);
    };
    let (provider, api_url) = match provider.get_ref().as_str() {
        "github" => (ReportProvider::Github, "https://api.github.com"),
        "gitlab" => (ReportProvider::Gitlab, "https://gitlab.com/api/v4"),
        other => {
            let near = problems::nearest(other, ["github", "gitlab"].into_iter());
            check.problem(&provider, format!("there is no provider `{}` to report to{near}", other.escape_debug()));
            return Ok(None);
        }
    };
    let allow_addresses = allow_addresses(check, file.allow_addresses.as_ref());
    let api_url = match &file.api {
        None => api_url.to_owned(),
        Some(api) => {
            let Some(url) = resolve(check, api)? else { return Ok(None) };
            let has_query = || url.contains('?').then(|| "it has a query".to_owned());
            if let Some(problem) = unreachable(check, &url, &allow_addresses).or_else(has_query) {
                check.problem(api, format!("this `api` cannot be used: {problem}"));
            }
            url
        }
    };
    if let Some(check_run) = file.check_run.as_ref().filter(|_| provider == ReportProvider::Gitlab) {
        check.problem(check_run, "GitLab has no check runs: use `status`");
    }
    let comment = file.comment.is_some_and(|comment| comment.into_inner());
    if file.status.is_none() && file.check_run.is_none() && !comment {
        check.problem(&file.kind, "this report says nothing: give it `status`, `check_run` or `comment = true`");
    }
    Ok(Some(ReportSpec {
        of: of.into_inner(),
        provider,
        api_url,
        status: file.status.map(Spanned::into_inner),
        check_run: file.check_run.map(Spanned::into_inner),
        comment,
        allow_addresses,
    }))
}

/// Every report is of a destination that there is, and that does something itself.
pub(super) fn subjects<'f>(check: &mut Check<'_>, files: impl Iterator<Item = &'f file::Destination> + Clone) {
    let doers = files.clone().filter(|file| file.kind.get_ref() != "report");
    let others = check.around.destinations.clone();
    let others = others.iter().filter(|(_, does_something)| *does_something).map(|(name, _)| name.as_str());
    let known: Vec<&str> = doers.map(|file| file.name.get_ref().as_str()).chain(others).collect();
    for of in files.filter_map(|file| file.of.as_ref()) {
        if !known.contains(&of.get_ref().as_str()) {
            let near = problems::nearest(of.get_ref(), known.iter().copied());
            check.problem(of, format!("there is no destination `{}` to report of{near}", of.get_ref().escape_debug()));
        }
    }
}
