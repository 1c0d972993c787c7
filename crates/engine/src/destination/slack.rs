//! The `slack` kind: a text made of the event, posted to an incoming webhook.
//! Owns what is posted; its URL is a secret that is in no setting, so whoever makes this has opened it. The request itself is
//! made as for `http`.

pub mod template;

use std::sync::Arc;

use ::http::header::CONTENT_TYPE;
use serde_json::json;

use self::template::{Subject, Template};
use super::http::{HOP, HttpDestination};
use super::{InvalidDestination, Parcel, Report, rfc3339};
use crate::clock::Clock;
use crate::egress::{Deadlines, EgressPolicy, Resolve};
use crate::model::{HttpSpec, RequestRecord, SlackSpec};

/// A destination that is a channel of Slack's.
#[derive(Debug)]
pub struct SlackDestination {
    template: Template,
    http: HttpDestination,
}

impl SlackDestination {
    /// What posts to `url`.
    ///
    /// # Errors
    ///
    /// [`InvalidDestination`] if the template or the URL can never work.
    pub fn new(
        spec: &SlackSpec,
        url: &str,
        deadlines: impl Into<Deadlines>,
        policy: &EgressPolicy,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, InvalidDestination> {
        let template = Template::parse(&spec.template).map_err(InvalidDestination::Template)?;
        let http = HttpSpec {
            url: url.to_owned(),
            forward_headers: vec![],
            set_headers: vec![(CONTENT_TYPE.as_str().to_owned(), "application/json; charset=utf-8".to_owned())],
            allow_addresses: spec.allow_addresses.clone(),
            oauth2: None,
            mtls: None,
        };
        Ok(Self { template, http: HttpDestination::new(&http, deadlines, policy, resolver)? })
    }

    /// Posts the text once.
    pub async fn attempt(&self, parcel: Parcel<'_>, clock: &dyn Clock) -> Report {
        let body = json!({ "text": self.text(&parcel) }).to_string();
        // Of the request that became the event only its hops go on: the rest describes another body.
        let hops = parcel.request.headers.iter().filter(|(name, _)| HOP == name.as_str());
        let request = RequestRecord { headers: hops.cloned().collect(), ..RequestRecord::default() };
        let parcel = Parcel { body: body.into(), request: &request, ..parcel };
        let mut report = self.http.attempt(parcel, clock).await;
        // The path of the URL is what lets anybody post.
        if let Some(exchange) = &mut report.exchange {
            exchange.target = self.http.origin();
        }
        report
    }

    fn text(&self, parcel: &Parcel<'_>) -> String {
        self.template.render(&Subject {
            event: &parcel.event.to_string(),
            event_type: parcel.event_type,
            source: parcel.source,
            received_at: &rfc3339(parcel.received_at),
            delivery: &parcel.delivery.to_string(),
            attempt: parcel.number,
            body: &parcel.json_text(),
        })
    }
}
