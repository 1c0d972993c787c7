//! The `report` kind: tells a code host how another destination's delivery ended, as a commit status, a check run, and
//! a comment that is made once and then kept up to date.
//! Owns the order of the calls and what they say; which delivery is told of, and whether to try again, is not known here.

mod api;
mod github;
mod gitlab;
mod subject;
mod text;

use std::sync::Arc;

use tokio::time::timeout;

use super::{InvalidDestination, Parcel, Report};
use crate::clock::Clock;
use crate::egress::{Connector, Deadlines, EgressPolicy, Endpoint, HttpClient, Resolve};
use crate::model::{Outcome, ReportProvider, ReportSpec};

use api::{Api, Place};
use subject::Subject;
use text::Message;

/// A destination that is a code host's API.
#[derive(Debug)]
pub struct ReportDestination {
    spec: ReportSpec,
    base: String,
    client: HttpClient,
    deadlines: Deadlines,
}

impl ReportDestination {
    /// A destination with these settings. The deadline of an attempt is that of all its calls together.
    ///
    /// # Errors
    ///
    /// [`InvalidDestination`] if the settings can never work.
    pub fn new(
        spec: &ReportSpec,
        deadlines: impl Into<Deadlines>,
        policy: &EgressPolicy,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, InvalidDestination> {
        let (endpoint, deadlines) = (Endpoint::parse(&spec.api_url)?, deadlines.into());
        let connector = Connector::new(policy, &spec.allow_addresses, deadlines, resolver)?;
        connector.check(&endpoint)?;
        let base = spec.api_url.trim_end_matches('/').to_owned();
        Ok(Self { spec: spec.clone(), base, client: connector.into_client(), deadlines })
    }

    /// Where the API begins, as the settings say it.
    pub fn url(&self) -> &str {
        &self.spec.api_url
    }

    /// Says once how the delivery that the parcel tells of ended. Saying it again changes nothing: a status has one
    /// context, a check run the delivery's id, a comment the destination's mark.
    pub async fn attempt(&self, parcel: Parcel<'_>, clock: &dyn Clock) -> Report {
        let Some(concluded) = parcel.concluded else {
            return Report::failed(Outcome::Unusable, "there is no outcome to tell");
        };
        let subject = match Subject::read(self.spec.provider, &parcel.json_text()) {
            Ok(Some(subject)) => subject,
            Ok(None) => return done("the event names no commit: nothing to tell"),
            Err(problem) => return Report::failed(Outcome::Unusable, problem),
        };
        let message = Message::new(concluded, &subject);
        let place = Place { client: &self.client, base: &self.base, first_byte: self.deadlines.first_byte };
        let api = Api::new(place, self.spec.provider, &parcel.signature, clock);
        let calls = async {
            match self.spec.provider {
                ReportProvider::Github => github::tell(&api, &self.spec, &subject, &message).await,
                ReportProvider::Gitlab => gitlab::tell(&api, &self.spec, &subject, &message).await,
            }
        };
        let total = self.deadlines.total;
        let report = match timeout(total, calls).await {
            Ok(Ok(told)) => done(&told.join(", ")),
            Ok(Err(report)) => *report,
            Err(_) => Report::failed(Outcome::Timeout, format!("not everything was told within {total:?}")),
        };
        Report { exchange: api.last(), ..report }
    }
}

/// What was told stands in the excerpt, where an answer would.
fn done(told: &str) -> Report {
    let excerpt = told.to_owned().into();
    Report { excerpt, ..Report::failed(Outcome::Success, "") }
}
