//! What is done with secrets on pages: a look at one, a new one, the end of one. Each asks first who it is, says what it
//! means, and is in the audit log before anything is shown.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hookward_engine::clock::Timestamp;
use hookward_engine::model::Principal;
use hookward_engine::{EngineError, NewSecret, Terms};
use http::{HeaderValue, StatusCode, header};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::form::{Form, NOT_A_TIME, moment};
use super::super::notice::Notice;
use super::super::page::{self, Failure, Page, Refused};
use super::super::shell::Shell;
use super::super::visitor::Visitor;
use super::at::{At, one, section, word};
use super::panel::{self, About, Change, Keyholder};
use crate::api::Api;
use crate::api::caller::{Reveal, Rotate};
use crate::api::problem::Problem;
use crate::api::secrets::{self as api_secrets, Encoding, GRACE_MAX_S, Owners};
use crate::config::parse_lapse;

/// For how long a value stands on a page, in seconds.
const SHOWN_S: u32 = 30;

/// The pages, for sources or for destinations; which, they find beside the request.
pub(super) fn routes(owners: Owners) -> Router<Arc<Api>> {
    let path = |rest: &str| format!("/dashboard/{}/{{name}}/secrets{rest}", word(owners));
    Router::new()
        .route(&path("/rotate"), get(show_rotate).post(rotate))
        .route(&path("/set"), get(show_set).post(set))
        .route(&path("/{version}/reveal"), post(reveal))
        .route(&path("/{version}/revoke"), get(show_revoke).post(revoke))
        .route(&path("/{version}/end"), get(show_end).post(move_end))
}

/// A value, for a moment; or why it is not shown.
#[derive(Template)]
#[template(path = "dashboard/secret.html")]
struct Revealed {
    shell: Shell,
    back: String,
    one: &'static str,
    name: String,
    version: u32,
    shown: Result<(Zeroizing<String>, bool), String>,
    seconds: u32,
}

/// What is about to be done, and what it means.
#[derive(Debug, Template)]
#[template(path = "dashboard/secret_change.html")]
struct Changing {
    shell: Shell,
    back: String,
    name: String,
    change: Change,
    act: Act,
    /// The version that it is about, unless it makes a new one.
    about: Option<About>,
    problem: Option<String>,
}

/// What.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Rotate,
    Set,
    Revoke(u32),
    MoveEnd(u32),
}

impl Act {
    /// Where its form is.
    fn path(self, holder: &Keyholder) -> String {
        let secrets = holder.secrets();
        match self {
            Self::Rotate => format!("{secrets}/rotate"),
            Self::Set => format!("{secrets}/set"),
            Self::Revoke(version) => format!("{secrets}/{version}/revoke"),
            Self::MoveEnd(version) => format!("{secrets}/{version}/end"),
        }
    }

    /// What the page with its form is called.
    fn title(self, name: &str) -> String {
        match self {
            Self::Rotate => format!("Rotate the secret of {name}"),
            Self::Set => format!("Set a secret of {name}"),
            Self::Revoke(version) => format!("Revoke version {version} of {name}"),
            Self::MoveEnd(version) => format!("Move the end of version {version} of {name}"),
        }
    }

    fn version(self) -> Option<u32> {
        match self {
            Self::Rotate | Self::Set => None,
            Self::Revoke(version) | Self::MoveEnd(version) => Some(version),
        }
    }
}

/// Why somebody looks.
#[derive(Deserialize)]
struct Looking {
    #[serde(default)]
    reason: String,
}

/// A new secret.
#[derive(Deserialize)]
struct New {
    /// Given, unless one is to be made.
    #[serde(default)]
    secret: Zeroizing<String>,
    #[serde(default)]
    is_base64: bool,
    #[serde(default)]
    purpose: String,
    /// The version that was the newest when the form was shown.
    newest: u32,
    #[serde(default)]
    grace: Grace,
    /// Of another one.
    #[serde(default)]
    lapse: String,
}

/// How long those before it stay valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Grace {
    /// As long as the owner says.
    #[default]
    Own,
    None,
    Other,
}

/// That it is meant.
#[derive(Deserialize)]
struct Ending {
    #[serde(default)]
    force: bool,
}

/// Another end.
#[derive(Deserialize)]
struct NewEnd {
    end: End,
    /// From now on.
    #[serde(default)]
    lapse: String,
    #[serde(default)]
    at: String,
}

/// Which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    After,
    At,
    Never,
}

/// `POST …/secrets/{version}/reveal`
async fn reveal(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Reveal>,
    Extension(owners): Extension<Owners>,
    At((name, version)): At<(String, u32)>,
    Form(Looking { reason }): Form<Looking>,
) -> Result<Response, Failure> {
    let holder = Keyholder::find(&api, &visitor, owners, &name)?;
    let back = format!("{}#secrets", holder.page());
    visitor.recently_proven(&api, &holder.page())?;
    let shell = visitor.shell(&api, section(owners), format!("Secret of {name}"));
    let page = |shown| Revealed { shell, back: back.clone(), one: one(owners), name, version, shown, seconds: SHOWN_S };
    match api.engine().reveal(holder.owner, version, &visitor, &reason).await {
        Ok(secret) => {
            let (text, encoding) = api_secrets::written(&secret);
            let page = Page(page(Ok((text, encoding == Encoding::Base64))));
            let again = HeaderValue::from_str(&format!("{SHOWN_S};url={back}")).expect("a path is escaped");
            Ok(([(header::REFRESH, again)], page).into_response())
        }
        Err(error) => {
            let (status, problem) = said(error)?;
            Ok(Refused(status, page(Err(problem))).into_response())
        }
    }
}

/// What can be said beside the form again; what cannot is a failure.
fn said(error: EngineError) -> Result<(StatusCode, String), Failure> {
    match Failure::from(error) {
        Failure::Said { status, detail, .. } if !status.is_server_error() && status != StatusCode::NOT_FOUND => {
            Ok((status, detail))
        }
        failure => Err(failure),
    }
}

/// Whose secrets it is about, for somebody who proved a short while ago who they are. Others do so first, and come back to
/// the form.
fn open(api: &Api, visitor: &Visitor<Rotate>, owners: Owners, name: &str, act: Act) -> Result<Keyholder, Failure> {
    let holder = Keyholder::find(api, visitor, owners, name)?;
    visitor.recently_proven(api, &act.path(&holder))?;
    Ok(holder)
}

async fn show(api: &Api, visitor: &Visitor<Rotate>, owners: Owners, name: &str, act: Act) -> Result<Response, Failure> {
    let holder = open(api, visitor, owners, name, act)?;
    Ok(Page(changing(api, visitor, &holder, act).await?).into_response())
}

/// `GET …/secrets/rotate`
async fn show_rotate(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Rotate>,
    Extension(owners): Extension<Owners>,
    At(name): At<String>,
) -> Result<Response, Failure> {
    show(&api, &visitor, owners, &name, Act::Rotate).await
}

/// `GET …/secrets/set`
async fn show_set(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Rotate>,
    Extension(owners): Extension<Owners>,
    At(name): At<String>,
) -> Result<Response, Failure> {
    show(&api, &visitor, owners, &name, Act::Set).await
}

/// `GET …/secrets/{version}/revoke`
async fn show_revoke(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Rotate>,
    Extension(owners): Extension<Owners>,
    At((name, version)): At<(String, u32)>,
) -> Result<Response, Failure> {
    show(&api, &visitor, owners, &name, Act::Revoke(version)).await
}

/// `GET …/secrets/{version}/end`
async fn show_end(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Rotate>,
    Extension(owners): Extension<Owners>,
    At((name, version)): At<(String, u32)>,
) -> Result<Response, Failure> {
    show(&api, &visitor, owners, &name, Act::MoveEnd(version)).await
}

async fn changing(api: &Api, visitor: &Visitor<Rotate>, holder: &Keyholder, act: Act) -> Result<Changing, Failure> {
    let kept = api.engine().secrets(holder.owner).await?;
    let about = act.version().map(|version| panel::about(&kept, version, api.clock().now())).transpose()?;
    let change = panel::change(api, visitor, holder, &kept).await?;
    let shell = visitor.shell(api, section(holder.owners), act.title(&holder.name));
    let (back, name) = (format!("{}#secrets", holder.page()), holder.name.clone());
    Ok(Changing { shell, back, name, change, act, about, problem: None })
}

/// `POST …/secrets/rotate`
async fn rotate(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Rotate>,
    Extension(owners): Extension<Owners>,
    At(name): At<String>,
    Form(new): Form<New>,
) -> Result<Response, Failure> {
    let holder = open(&api, &visitor, owners, &name, Act::Rotate)?;
    let done = put(&api, &visitor, &holder, &new, NewSecret::Generated).await?;
    after(&api, &visitor, &holder, Act::Rotate, done, Notice::SecretRotated).await
}

/// `POST …/secrets/set`
async fn set(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Rotate>,
    Extension(owners): Extension<Owners>,
    At(name): At<String>,
    Form(new): Form<New>,
) -> Result<Response, Failure> {
    let holder = open(&api, &visitor, owners, &name, Act::Set)?;
    let encoding = if new.is_base64 { Encoding::Base64 } else { Encoding::Utf8 };
    let done = match api_secrets::value(&new.secret, encoding) {
        Ok(value) => put(&api, &visitor, &holder, &new, NewSecret::Given(value)).await?,
        Err(problem) => Err(refused(problem)),
    };
    after(&api, &visitor, &holder, Act::Set, done, Notice::SecretSet).await
}

/// `POST …/secrets/{version}/revoke`
async fn revoke(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Rotate>,
    Extension(owners): Extension<Owners>,
    At((name, version)): At<(String, u32)>,
    Form(Ending { force }): Form<Ending>,
) -> Result<Response, Failure> {
    let act = Act::Revoke(version);
    let holder = open(&api, &visitor, owners, &name, act)?;
    let done = match api.engine().revoke(holder.owner, version, force, &visitor).await {
        Ok(()) => Ok(()),
        Err(EngineError::Conflict(_)) => {
            Err((StatusCode::CONFLICT, "This version is in use: say that you mean it all the same.".to_owned()))
        }
        Err(error) => Err(said(error)?),
    };
    after(&api, &visitor, &holder, act, done, Notice::SecretRevoked).await
}

/// `POST …/secrets/{version}/end`
async fn move_end(
    State(api): State<Arc<Api>>,
    visitor: Visitor<Rotate>,
    Extension(owners): Extension<Owners>,
    At((name, version)): At<(String, u32)>,
    Form(new): Form<NewEnd>,
) -> Result<Response, Failure> {
    let act = Act::MoveEnd(version);
    let holder = open(&api, &visitor, owners, &name, act)?;
    let done = match new.read(api.clock().now()) {
        Ok(end) => match api.engine().set_end(holder.owner, version, end, false, &visitor).await {
            Ok(()) => Ok(()),
            Err(error) => Err(said(error)?),
        },
        Err(problem) => Err((StatusCode::UNPROCESSABLE_ENTITY, problem.to_owned())),
    };
    after(&api, &visitor, &holder, act, done, Notice::SecretEndMoved).await
}

impl NewEnd {
    /// The end that is asked for, which is still to come.
    fn read(&self, now: Timestamp) -> Result<Option<Timestamp>, &'static str> {
        let end = match self.end {
            End::Never => return Ok(None),
            End::After => lapse(&self.lapse).map(|lapse| now.plus(lapse)).ok_or(NO_LAPSE)?,
            End::At => moment(&self.at)?.ok_or(NOT_A_TIME)?,
        };
        if end <= now {
            return Err("That is over already. To end it now, revoke it.");
        }
        Ok(Some(end))
    }
}

fn refused(problem: Problem) -> (StatusCode, String) {
    match Failure::from(problem) {
        Failure::Said { status, detail, .. } => (status, detail),
        Failure::First(_) => (StatusCode::UNPROCESSABLE_ENTITY, String::new()),
    }
}

const NO_LAPSE: &str = "Say how long the old secret goes on working, like 30m, 24h or 7d: at most ten years.";

fn lapse(text: &str) -> Option<Duration> {
    parse_lapse(text.trim()).filter(|lapse| lapse.as_secs() <= GRACE_MAX_S)
}

/// Whether it was done, or how it is told why not.
type Done = Result<(), (StatusCode, String)>;

async fn put(api: &Api, by: &Principal, holder: &Keyholder, new: &New, value: NewSecret) -> Result<Done, Failure> {
    let grace = match new.grace {
        Grace::Own => None,
        Grace::None => Some(Duration::ZERO),
        Grace::Other => match lapse(&new.lapse) {
            Some(lapse) => Some(lapse),
            None => return Ok(Err((StatusCode::UNPROCESSABLE_ENTITY, NO_LAPSE.to_owned()))),
        },
    };
    let terms = Terms { grace, newest: Some(new.newest), ..Terms::default() };
    let purpose = Some(new.purpose.as_str()).filter(|purpose| !purpose.is_empty());
    match api.engine().put_secret(holder.owner, purpose, value, terms, by).await {
        Ok(_) => Ok(Ok(())),
        Err(EngineError::Stale(_)) => {
            let words =
                "Somebody else has changed this secret since you opened the page. Look at what is in force now.";
            Ok(Err((StatusCode::PRECONDITION_FAILED, words.to_owned())))
        }
        Err(error) => Ok(Err(said(error)?)),
    }
}

/// Back to the page of whoever has the secret, or the form again.
async fn after(
    api: &Api,
    visitor: &Visitor<Rotate>,
    holder: &Keyholder,
    act: Act,
    done: Done,
    notice: Notice,
) -> Result<Response, Failure> {
    match done {
        Ok(()) => Ok(page::see_other(&format!("{}?notice={}#secrets", holder.page(), notice.code()))),
        Err((status, problem)) => {
            let form = Changing { problem: Some(problem), ..changing(api, visitor, holder, act).await? };
            Ok(Refused(status, form).into_response())
        }
    }
}
