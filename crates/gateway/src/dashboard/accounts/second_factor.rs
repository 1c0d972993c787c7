//! One's own second factor: set up with an authenticator app, confirmed, removed; its recovery codes, shown once.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hookward_engine::accounts::AccountError;
use qrcodegen::{QrCode, QrCodeEcc};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::form::Form;
use super::super::notice::Notice;
use super::super::page::{Failure, Page, Refused};
use super::super::shell::{Section, Shell};
use super::super::visitor::Anybody;
use super::done;
use super::settings::{self, Part};
use crate::api::Api;

/// Light modules around a code, as readers need them.
const QUIET: i32 = 4;

/// A text as a picture that a telephone reads: the path of its dark modules, one unit each.
#[derive(Debug)]
struct Picture {
    size: i32,
    path: Zeroizing<String>,
}

impl Picture {
    /// The picture of `text`; none when it is too long for one.
    fn of(text: &str) -> Option<Self> {
        let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
        let mut path = String::new();
        for y in 0..code.size() {
            for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
                write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET).expect("a string takes everything");
            }
        }
        Some(Self { size: code.size() + 2 * QUIET, path: Zeroizing::new(path) })
    }
}

/// What an authenticator app is to know. It is in one answer only.
struct Start {
    picture: Option<Picture>,
    /// For who cannot take a picture of the screen.
    secret: Zeroizing<String>,
    uri: Zeroizing<String>,
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Start(…)")
    }
}

impl Start {
    fn new(uri: Zeroizing<String>) -> Self {
        let secret = uri.split("secret=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
        // Four letters at a time are read without losing one's place.
        let letters: Vec<char> = secret.chars().collect();
        let groups = letters.chunks(4).map(|group| group.iter().collect::<String>());
        let secret = Zeroizing::new(groups.collect::<Vec<_>>().join(" "));
        Self { picture: Picture::of(&uri), secret, uri }
    }
}

#[derive(Debug, Template)]
#[template(path = "dashboard/accounts/second_factor.html")]
struct Confirm {
    shell: Shell,
    /// Not there any more when a code was wrong.
    start: Option<Start>,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "dashboard/accounts/recovery_codes.html")]
struct Codes {
    shell: Shell,
    codes: Zeroizing<String>,
    /// The second factor is new.
    is_first: bool,
}

/// That it is really the user who asks.
#[derive(Deserialize)]
pub(super) struct Really {
    password: Zeroizing<String>,
    #[serde(default)]
    code: Zeroizing<String>,
}

/// A code of the second factor that is to be in force.
#[derive(Deserialize)]
pub(super) struct Code {
    code: Zeroizing<String>,
}

/// `POST /dashboard/settings/second-factor`
pub(super) async fn start(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Form(Really { password, .. }): Form<Really>,
) -> Result<Response, Failure> {
    let started = match api.engine().start_totp(&look.who.principal, look.signed_in, password).await {
        Ok(started) => started,
        Err(error) => return settings::again(&api, &look, Part::SecondFactor, error.into()).await,
    };
    let shell = look.shell(&api, Section::Settings, "Second factor");
    Ok(Page(Confirm { shell, start: Some(Start::new(started.uri)), problem: None }).into_response())
}

/// `POST /dashboard/settings/second-factor/confirm`
pub(super) async fn confirm(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Form(Code { code }): Form<Code>,
) -> Result<Response, Failure> {
    match api.engine().confirm_totp(&look.who.principal, look.signed_in, &code).await {
        Ok(codes) => {
            let shell = look.shell(&api, Section::Settings, "Recovery codes");
            Ok(Page(Codes { shell, codes: lines(&codes), is_first: true }).into_response())
        }
        Err(AccountError::Taken(problem)) => {
            let why = Failure::invalid(format!("{problem}."));
            settings::again(&api, &look, Part::SecondFactor, why).await
        }
        Err(error) => {
            let (status, problem) = Failure::from(error).into_words()?;
            let shell = look.shell(&api, Section::Settings, "Second factor");
            Ok(Refused(status, Confirm { shell, start: None, problem: Some(problem) }).into_response())
        }
    }
}

/// `POST /dashboard/settings/second-factor/remove`
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Form(Really { password, code }): Form<Really>,
) -> Result<Response, Failure> {
    match api.engine().remove_totp(&look.who.principal, look.signed_in, password, &code).await {
        Ok(()) => Ok(done(settings::PATH, Notice::SecondFactorRemoved)),
        Err(error) => settings::again(&api, &look, Part::SecondFactor, error.into()).await,
    }
}

/// `POST /dashboard/settings/recovery-codes`
pub(super) async fn renew_codes(
    State(api): State<Arc<Api>>,
    Anybody(look): Anybody,
    Form(Really { password, code }): Form<Really>,
) -> Result<Response, Failure> {
    match api.engine().renew_recovery_codes(&look.who.principal, look.signed_in, password, &code).await {
        Ok(codes) => {
            let shell = look.shell(&api, Section::Settings, "Recovery codes");
            Ok(Page(Codes { shell, codes: lines(&codes), is_first: false }).into_response())
        }
        Err(error) => settings::again(&api, &look, Part::SecondFactor, error.into()).await,
    }
}

fn lines(codes: &[Zeroizing<String>]) -> Zeroizing<String> {
    Zeroizing::new(codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_quiet_edge_and_the_three_corners_of_every_code() {
        let uri = Zeroizing::new("otpauth://totp/Hookward:a%40b?secret=GEZDGNBVGY3TQOJQ&issuer=Hookward".to_owned());
        let start = Start::new(uri);
        let Picture { size, path } = start.picture.as_ref().unwrap();
        let side = size - 2 * QUIET;
        assert!(side >= 21 && (side - 17) % 4 == 0, "{side}");
        let is_dark = |x: i32, y: i32| path.contains(&format!("M{} {}h1v1h-1z", x + QUIET, y + QUIET));
        for (left, top) in [(0, 0), (side - 7, 0), (0, side - 7)] {
            for at in 0..7 {
                assert!(is_dark(left + at, top) && is_dark(left, top + at) && is_dark(left + at, top + 6));
            }
            assert!(is_dark(left + 3, top + 3) && !is_dark(left + 1, top + 1));
        }
        assert_eq!(start.secret.as_str(), "GEZD GNBV GY3T QOJQ");
        assert!(Picture::of(&"a".repeat(5000)).is_none());
    }
}
