//! What carries out a destination's attempts: built of its settings, and of the values of it that are kept sealed, which are
//! opened when an attempt needs them. Owns the building, and for how long what was built with them is kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hookward::Secret;

use crate::clock::{Clock, Timestamp};
use crate::declare::sealed;
use crate::declare::served::is_incomplete;
use crate::destination::command::CommandDestination;
use crate::destination::http::HttpDestination;
use crate::destination::oauth2::OAuth2Destination;
use crate::destination::report::ReportDestination;
use crate::destination::slack::SlackDestination;
use crate::destination::{InvalidDestination, Parcel, Report};
use crate::egress::{ClientCertificate, Deadlines, SystemResolver};
use crate::engine::{Inner, Parts};
use crate::model::{
    DestinationKind, DestinationSpec, ENVIRONMENT, HEADERS, HttpSpec, MTLS, OAUTH2, Outcome, SlackSpec, URL,
};
use crate::registry::LiveDestination;

/// What carries out an attempt.
#[derive(Debug)]
pub(crate) enum Runner {
    Http(Box<HttpDestination>),
    OAuth2(Box<OAuth2Destination>),
    Command(Box<CommandDestination>),
    Report(Box<ReportDestination>),
    Slack(Box<SlackDestination>),
    /// Its settings cannot work; every attempt says why.
    Broken(String),
}

/// Values that are kept sealed and are open now, each with its purpose and version.
type Values = Vec<(&'static str, u32, Arc<Secret>)>;

impl Runner {
    fn new(spec: &DestinationSpec, values: &Values, parts: &Parts) -> Self {
        let built = match &spec.kind {
            DestinationKind::Http(http) => Self::http(http, Deadlines::of(spec), values, parts),
            DestinationKind::Report(report) => {
                let report =
                    ReportDestination::new(report, Deadlines::of(spec), &parts.egress, Arc::new(SystemResolver));
                report.map(|report| Self::Report(Box::new(report)))
            }
            DestinationKind::Slack(slack) => Self::slack(slack, Deadlines::of(spec), values, parts),
            DestinationKind::Pull(_) => return Self::Broken("a consumer has to ask for it".to_owned()),
            DestinationKind::Command(command) => {
                let checkouts = parts.checkouts();
                let command = CommandDestination::new(command, spec.timeout, parts.supervisor.clone(), &checkouts);
                command.map(|command| Self::Command(Box::new(command)))
            }
        };
        built.unwrap_or_else(|error| Self::Broken(error.to_string()))
    }

    fn http(spec: &HttpSpec, deadlines: Deadlines, values: &Values, parts: &Parts) -> Result<Self, InvalidDestination> {
        let resolver = || Arc::new(SystemResolver);
        let certificate = match (&spec.mtls, value(values, MTLS)) {
            (Some(mtls), Some(key)) => Some(ClientCertificate::new(&mtls.certificate, key.expose())?),
            _ => None,
        };
        let http = HttpDestination::showing(certificate, spec, deadlines, &parts.egress, resolver())?;
        match (&spec.oauth2, value(values, OAUTH2)) {
            (Some(oauth2), Some(secret)) => {
                let oauth2 = OAuth2Destination::new(
                    http,
                    deadlines.total,
                    (spec, oauth2),
                    Arc::clone(secret),
                    &parts.egress,
                    resolver(),
                )?;
                Ok(Self::OAuth2(Box::new(oauth2)))
            }
            _ => Ok(Self::Http(Box::new(http))),
        }
    }

    fn slack(
        spec: &SlackSpec,
        deadlines: Deadlines,
        values: &Values,
        parts: &Parts,
    ) -> Result<Self, InvalidDestination> {
        let url = value(values, URL).expect("its url is among the values that it needs");
        let url = String::from_utf8_lossy(url.expose());
        let slack = SlackDestination::new(spec, &url, deadlines, &parts.egress, Arc::new(SystemResolver))?;
        Ok(Self::Slack(Box::new(slack)))
    }

    /// Where requests go, where a signature may cover it.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Http(http) => http.url(),
            Self::OAuth2(oauth2) => oauth2.url(),
            Self::Report(report) => report.url(),
            Self::Command(_) | Self::Slack(_) | Self::Broken(_) => "",
        }
    }

    /// One try, one outcome.
    pub(crate) async fn attempt(&self, parcel: Parcel<'_>, clock: &dyn Clock) -> Report {
        let called_off = parcel.called_off;
        let report = match self {
            // A program is not just left: it is asked to end, and what it wrote is kept.
            Self::Command(command) => Some(command.attempt(parcel).await),
            Self::Http(http) => called_off.run_until_cancelled(http.attempt(parcel, clock)).await,
            Self::OAuth2(http) => called_off.run_until_cancelled(http.attempt(parcel, clock)).await,
            Self::Report(report) => called_off.run_until_cancelled(report.attempt(parcel, clock)).await,
            Self::Slack(slack) => called_off.run_until_cancelled(slack.attempt(parcel, clock)).await,
            Self::Broken(problem) => Some(Report::failed(Outcome::Unusable, problem.clone())),
        };
        report.unwrap_or_else(|| Report::failed(Outcome::Cancelled, "it was called off while it ran"))
    }
}

fn value<'v>(values: &'v Values, purpose: &str) -> Option<&'v Arc<Secret>> {
    values.iter().find(|(known, ..)| *known == purpose).map(|(_, _, value)| value)
}

/// What an attempt is carried out with.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) runner: Arc<Runner>,
    /// The versions of sealed values that prove who calls.
    pub(crate) proven_by: Vec<u32>,
}

/// A destination's runner. What was built with values that are kept sealed is kept no longer than these may be open.
#[derive(Debug)]
pub(crate) enum Assembly {
    /// It needs none of them.
    Plain(Ready),
    /// The last one that was built.
    Sealed(Mutex<Option<Assembled>>),
}

#[derive(Debug)]
pub(crate) struct Assembled {
    ready: Ready,
    versions: Vec<u32>,
    /// On the clock that never jumps.
    until: Duration,
}

impl Assembly {
    pub(crate) fn new(spec: &DestinationSpec, parts: &Parts) -> Self {
        if is_incomplete(spec) {
            let problem = "its headers, variables or query stand in a file that is not served";
            return Self::plain(Runner::Broken(problem.to_owned()));
        }
        match needed(spec).is_empty() {
            true => Self::plain(Runner::new(spec, &vec![], parts)),
            false => Self::Sealed(Mutex::default()),
        }
    }

    fn plain(runner: Runner) -> Self {
        Self::Plain(Ready { runner: Arc::new(runner), proven_by: vec![] })
    }

    /// Forgets what was built with values that must not be used any more.
    pub(crate) fn expire(&self, elapsed: Duration) {
        if let Self::Sealed(last) = self {
            let mut last = lock(last);
            if last.as_ref().is_some_and(|last| elapsed >= last.until) {
                *last = None;
            }
        }
    }
}

fn lock(last: &Mutex<Option<Assembled>>) -> MutexGuard<'_, Option<Assembled>> {
    last.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Inner {
    /// What carries out an attempt of `live` at `now`, with the values that are in force then.
    ///
    /// # Errors
    ///
    /// A sentence: which of them is not there, or does not open.
    pub(crate) async fn runner(&self, live: &LiveDestination, now: Timestamp) -> Result<Ready, String> {
        let last = match &*live.assembly {
            Assembly::Plain(ready) => return Ok(ready.clone()),
            Assembly::Sealed(last) => last,
        };
        let spec = &live.destination.spec;
        let (mut values, mut until) = (Values::new(), Duration::MAX);
        for purpose in needed(spec) {
            let gone = || format!("{} not stored any more: set {} again", told(purpose).0, told(purpose).1);
            let opened = self.opened(live.sealed(purpose).ok_or_else(gone)?, now).await;
            if let Some(problem) = opened.problem() {
                return Err(problem);
            }
            let (version, value) = opened.values.first().cloned().ok_or_else(gone)?;
            values.push((purpose, version, value));
            until = until.min(opened.open_until);
        }
        let versions: Vec<u32> = values.iter().map(|(_, version, _)| *version).collect();
        if let Some(last) = lock(last).as_mut().filter(|last| last.versions == versions) {
            last.until = until;
            return Ok(last.ready.clone());
        }
        let mut whole = spec.clone();
        for (purpose, _, value) in values.iter().filter(|(purpose, ..)| sealed::missing(spec).contains(purpose)) {
            if !sealed::put_back(&mut whole, purpose, value) {
                return Err(format!("{} stored for other settings: set {} again", told(purpose).0, told(purpose).1));
            }
        }
        let purposes = spec.purposes();
        let proving = values.iter().filter(|(purpose, ..)| purposes.contains(purpose));
        let proven_by = proving.map(|(_, version, _)| *version).collect();
        let ready = Ready { runner: Arc::new(Runner::new(&whole, &values, self.parts())), proven_by };
        *lock(last) = Some(Assembled { ready: ready.clone(), versions, until });
        Ok(ready)
    }
}

/// The purposes of sealed values without which there is no attempt.
fn needed(spec: &DestinationSpec) -> Vec<&'static str> {
    let mut needed = sealed::missing(spec);
    match &spec.kind {
        DestinationKind::Http(http) => {
            needed.extend(http.oauth2.as_ref().map(|_| OAUTH2));
            needed.extend(http.mtls.as_ref().map(|_| MTLS));
        }
        DestinationKind::Slack(_) => needed.push(URL),
        DestinationKind::Command(_) | DestinationKind::Report(_) | DestinationKind::Pull(_) => {}
    }
    needed
}

/// What a purpose is in a sentence.
fn told(purpose: &str) -> (&'static str, &'static str) {
    match purpose {
        HEADERS => ("the values of its headers are", "them"),
        ENVIRONMENT => ("the values of its variables are", "them"),
        OAUTH2 => ("the secret of its OAuth 2 client is", "it"),
        MTLS => ("the key of its certificate is", "it"),
        _ => ("its url is", "it"),
    }
}
