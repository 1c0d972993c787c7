//! A `[[destination]]` of type `slack`: the incoming webhook, which is a secret, and what is posted there.

use hookward_engine::DeclaredSecret;
use hookward_engine::destination::slack::template::{DEFAULT_TEMPLATE, Template};
use hookward_engine::model::{SlackSpec, URL};

use super::settings::{Absent, allow_addresses, refuse, resolve_secret, url_problem};
use super::{Check, file};

/// The settings that only this type has.
pub(super) fn refuse_elsewhere(check: &mut Check<'_>, file: &file::Destination, kind: &str) {
    refuse(check, file.template.as_ref(), "template", kind);
}

/// The webhook's URL, taken out of the settings: like every secret it stands in none of them.
pub(super) fn webhook(check: &mut Check<'_>, file: &mut file::Destination) -> Result<Option<DeclaredSecret>, Absent> {
    if file.kind.get_ref() != "slack" {
        return Ok(None);
    }
    let Some(url) = file.url.take() else {
        check.problem(&file.kind, "a destination of type `slack` needs the `url` of an incoming webhook");
        return Ok(None);
    };
    let Some(value) = resolve_secret(check, &url)? else { return Ok(None) };
    let text = std::str::from_utf8(value.expose()).unwrap_or_default();
    // Where internal addresses are reached on purpose, what stands in for Slack there may do without TLS.
    let is_plain = text.starts_with("http://") && file.allow_addresses.is_none();
    let problem = url_problem(text).or_else(|| is_plain.then_some("it does not begin with `https://`"));
    if let Some(problem) = problem {
        check.problem(&url, format!("this url cannot be used: {problem}"));
    }
    Ok(Some(DeclaredSecret::new(URL, value)))
}

pub(super) fn slack(check: &mut Check<'_>, file: file::Destination) -> SlackSpec {
    let template = match file.template {
        None => DEFAULT_TEMPLATE.to_owned(),
        Some(template) => {
            if let Err(error) = Template::parse(template.get_ref()) {
                check.problem(&template, format!("this template cannot be used: {error}"));
            }
            template.into_inner()
        }
    };
    let allow_addresses = allow_addresses(check, file.allow_addresses.as_ref());
    SlackSpec { template, allow_addresses }
}
