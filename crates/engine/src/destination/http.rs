//! The `http` kind: one POST of the raw bytes, one answer.
//! Owns what is sent and how an answer is read. Addresses are judged by `egress`; whether to try again is not known here.

pub mod exchange;
mod headers;
pub(super) mod retry_after;

use std::sync::Arc;
use std::time::Duration;

use ::http::header::HOST;
use ::http::{Method, Request, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{InvalidDestination, Parcel, Report};
use crate::clock::{Clock, Timestamp};
use crate::egress::{ClientCertificate, Connector, Deadlines, EgressPolicy, Endpoint, HttpClient, Resolve};
use crate::model::{HttpSpec, Outcome, RESPONSE_EXCERPT_MAX};

use exchange::Trace;
pub(crate) use exchange::failure;
pub(super) use headers::HOP;
use headers::HeaderPlan;

/// How many gateways an event may pass: one that arrives with this many hops is not sent on.
pub const HOPS_MAX: u32 = 5;

/// A destination that takes events by HTTP. Its connections are its own, so that its slowness is too.
#[derive(Debug)]
pub struct HttpDestination {
    endpoint: Endpoint,
    headers: HeaderPlan,
    client: HttpClient,
    deadlines: Deadlines,
}

impl HttpDestination {
    /// A destination with these settings.
    ///
    /// # Errors
    ///
    /// [`InvalidDestination`] if the settings can never work. A host name is not resolved here, because what it
    /// resolves to later is what counts; an address literal is judged at once.
    pub fn new(
        spec: &HttpSpec,
        deadlines: impl Into<Deadlines>,
        policy: &EgressPolicy,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, InvalidDestination> {
        Self::showing(None, spec, deadlines, policy, resolver)
    }

    /// The same with a certificate that is shown to the receiver.
    ///
    /// # Errors
    ///
    /// Likewise.
    pub fn showing(
        certificate: Option<ClientCertificate>,
        spec: &HttpSpec,
        deadlines: impl Into<Deadlines>,
        policy: &EgressPolicy,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, InvalidDestination> {
        let (endpoint, deadlines) = (Endpoint::parse(&spec.url)?, deadlines.into());
        let connector = Connector::showing(certificate, policy, &spec.allow_addresses, deadlines, resolver)?;
        connector.check(&endpoint)?;
        Ok(Self { endpoint, headers: HeaderPlan::new(spec)?, client: connector.into_client(), deadlines })
    }

    /// Sends the parcel once and reads the head of the answer, and of its body what is kept.
    ///
    /// The answer's head decides: a 2xx is a success even if its body breaks off or never ends. The body is not
    /// decoded, not read beyond [`RESPONSE_EXCERPT_MAX`], and not waited for beyond the deadline.
    pub async fn attempt(&self, parcel: Parcel<'_>, clock: &dyn Clock) -> Report {
        self.attempt_within(self.deadlines.total, parcel, clock).await
    }

    /// The same with another deadline.
    pub(super) async fn attempt_within(&self, limit: Duration, parcel: Parcel<'_>, clock: &dyn Clock) -> Report {
        let mut request = match self.request(parcel) {
            Ok(request) => request,
            Err(problem) => return Report::failed(Outcome::Unusable, problem),
        };
        let mut trace = Trace::begin(self.endpoint.without_query(), &mut request);
        let mut answer = None;
        let exchange = async {
            let response = trace.send(&self.client, request, self.deadlines.first_byte).await?;
            let answer = answer.insert(Answer::new(&response, clock.now()));
            answer.read(response.into_body()).await;
            Ok::<(), Report>(())
        };
        let ended = timeout(limit, exchange).await;
        let report = match (answer, ended) {
            (Some(answer), _) => answer.into_report(),
            (None, Ok(Err(report))) => report,
            (None, _) => Report::failed(Outcome::Timeout, trace.overdue(limit)),
        };
        Report { exchange: Some(trace.finish()), ..report }
    }

    /// Where it sends to.
    pub fn url(&self) -> &str {
        self.endpoint.text()
    }

    /// Where it sends to, without the path, which may be a secret.
    pub(super) fn origin(&self) -> String {
        let uri = self.endpoint.uri();
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}", uri.scheme_str().unwrap_or_default())
    }

    fn request(&self, parcel: Parcel<'_>) -> Result<Request<Full<Bytes>>, String> {
        let mut request = Request::new(Full::new(parcel.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.uri().clone();
        *request.headers_mut() = self.headers.compose(&parcel)?;
        // The client would write it too, but what is kept is what is sent.
        request.headers_mut().insert(HOST, self.endpoint.host_header());
        Ok(request)
    }
}

/// What is kept of an answer.
struct Answer {
    status: u16,
    success: bool,
    retry_after: Option<Duration>,
    excerpt: BytesMut,
}

impl Answer {
    fn new(response: &Response<Incoming>, now: Timestamp) -> Self {
        Self {
            status: response.status().as_u16(),
            success: response.status().is_success(),
            retry_after: retry_after::parse(response.headers(), now),
            excerpt: BytesMut::new(),
        }
    }

    /// Reads until the body ends or enough is kept. A body left unread closes its connection.
    async fn read(&mut self, mut body: Incoming) {
        while let Some(Ok(frame)) = body.frame().await {
            let Some(data) = frame.data_ref() else { continue };
            let room = RESPONSE_EXCERPT_MAX - self.excerpt.len();
            self.excerpt.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return;
            }
        }
    }

    fn into_report(self) -> Report {
        let (outcome, detail) = match self.success {
            true => (Outcome::Success, String::new()),
            false => (Outcome::Status, format!("answered {}", self.status)),
        };
        let retry_after = self.retry_after.filter(|_| !self.success);
        Report {
            status: Some(self.status),
            retry_after,
            excerpt: self.excerpt.freeze(),
            ..Report::failed(outcome, detail)
        }
    }
}
