//! One's own account: who one is, the password, where one is signed in. The second factor is `second_factor`'s.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use hookward_engine::model::{Session, User};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::form::{Form, Nothing};
use super::super::notice::{Notice, Noticed};
use super::super::page::{Failure, Page, Refused};
use super::super::shell::{Section, Shell};
use super::super::visitor::{Anybody, Look};
use super::super::words::When;
use super::{done, id, scopes};
use crate::api::Api;

pub(super) const PATH: &str = "/dashboard/settings";

/// Which part of the page a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Password,
    SecondFactor,
}

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/settings.html")]
pub(super) struct Settings {
    shell: Shell,
    email: String,
    role: String,
    scopes: String,
    has_password: bool,
    has_second_factor: bool,
    codes_left: u32,
    sessions: Vec<Row>,
    problem: Option<(Part, String)>,
}

#[derive(Debug)]
struct Row {
    id: String,
    address: String,
    agent: String,
    /// What the agent is, for people.
    browser: String,
    began: When,
    seen: When,
    is_this: bool,
}

impl Settings {
    /// What is wrong with what was sent from `part`.
    fn problem(&self, part: &str) -> Option<&str> {
        let of = |at: Part| match at {
            Part::Password => part == "password",
            Part::SecondFactor => part == "second factor",
        };
        self.problem.as_ref().filter(|(at, _)| of(*at)).map(|(_, says)| says.as_str())
    }
}

/// A new password.
#[derive(Deserialize)]
pub(super) struct NewPassword {
    /// Of who has one.
    #[serde(default)]
    current: Zeroizing<String>,
    password: Zeroizing<String>,
    repeated: Zeroizing<String>,
}

async fn blank(api: &Api, look: &Look) -> Result<Settings, Failure> {
    let (engine, me) = (api.engine(), look.signed_in);
    let User { email, scopes, password, totp, .. } = engine.own_user(&look.who.principal, me).await?;
    let now = api.clock().now();
    let row = |session: Session| Row {
        id: session.id.to_string(),
        address: session.address,
        browser: browser(&session.agent),
        agent: session.agent,
        began: When::new(session.created_at, now),
        seen: When::new(session.last_seen_at, now),
        is_this: session.id == me.session,
    };
    Ok(Settings {
        shell: look.shell(api, Section::Settings, "Settings"),
        email,
        role: scopes::name(scopes),
        scopes: scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", "),
        has_password: password.is_some(),
        has_second_factor: totp.is_some_and(|totp| totp.confirmed_at.is_some()),
        codes_left: engine.recovery_codes_left(me).await?,
        sessions: engine.own_sessions(me).await?.into_iter().map(row).collect(),
        problem: None,
    })
}

/// What a browser is and runs on, as far as it says so in a way that others do too; else all that it says.
fn browser(agent: &str) -> String {
    // Each says that it is also those after it.
    const BROWSERS: [(&str, &str); 6] = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("HeadlessChrome/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Version/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 6] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Macintosh", "macOS"),
        ("Linux", "Linux"),
    ];
    let found = BROWSERS.iter().find_map(|(mark, name)| Some((name, agent.split_once(mark)?.1)));
    let Some((name, rest)) = found.filter(|_| agent.starts_with("Mozilla/")) else { return agent.to_owned() };
    let version: String = rest.chars().take_while(char::is_ascii_digit).collect();
    match SYSTEMS.iter().find(|(mark, _)| agent.contains(mark)) {
        Some((_, system)) => format!("{name} {version} on {system}"),
        None => format!("{name} {version}"),
    }
}

/// The page again, with what is wrong, unless that is no fault of what was sent.
pub(super) async fn again(api: &Api, look: &Look, part: Part, why: Failure) -> Result<Response, Failure> {
    let (status, problem) = why.into_words()?;
    let page = Settings { problem: Some((part, problem)), ..blank(api, look).await? };
    Ok(Refused(status, page).into_response())
}

/// `GET /dashboard/settings`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Query(noticed): Query<Noticed>,
) -> Result<Response, Failure> {
    let mut page = blank(&api, &look).await?;
    page.shell = page.shell.noticing(noticed.notice);
    Ok(Page(page).into_response())
}

/// `POST /dashboard/settings/password`
pub(super) async fn change_password(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Form(new): Form<NewPassword>,
) -> Result<Response, Failure> {
    let NewPassword { current, password, repeated } = new;
    if password != repeated {
        let why = Failure::invalid("The two new passwords are not the same.");
        return again(&api, &look, Part::Password, why).await;
    }
    let (engine, by, me) = (api.engine(), &look.who.principal, look.signed_in);
    let has_one = engine.own_user(by, me).await?.password.is_some();
    let set = if has_one {
        engine.change_password(by, me, current, password).await
    } else {
        // A password is a way to stay for whoever merely found the session.
        look.recently_proven(&api, PATH)?;
        engine.set_first_password(by, me, password).await
    };
    match set {
        Ok(()) => Ok(done(PATH, if has_one { Notice::PasswordChanged } else { Notice::OwnPasswordSet })),
        Err(error) => again(&api, &look, Part::Password, error.into()).await,
    }
}

/// `POST /dashboard/settings/sessions/{id}`
pub(super) async fn end_session(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Path(session): Path<String>,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    api.engine().end_session(&look.who.principal, look.signed_in, id(&session, "session")?).await?;
    Ok(done(PATH, Notice::SessionEnded))
}

/// `POST /dashboard/settings/sessions/others`
pub(super) async fn end_others(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Form(Nothing {}): Form<Nothing>,
) -> Result<Response, Failure> {
    api.engine().end_other_sessions(&look.who.principal, look.signed_in).await?;
    Ok(done(PATH, Notice::SessionsEnded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_told_in_three_words() {
        for (agent, told) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36",
                "Chrome 148 on Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36 Edg/148.0.0.0",
                "Edge 148 on Windows",
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:151.0) Gecko/20100101 Firefox/151.0",
                "Firefox 151 on macOS",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1",
                "Safari 19 on iPhone",
            ),
            ("curl/8.9.1", "curl/8.9.1"),
            ("Chrome/1", "Chrome/1"),
            ("", ""),
        ] {
            assert_eq!(browser(agent), told);
        }
    }
}
