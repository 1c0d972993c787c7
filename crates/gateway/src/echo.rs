//! A receiver that behaves as the path of each request says: it answers, late, badly or never. For trying out what senders do
//! about it. Owns serving; what a path says is `behaviour`'s.

mod behaviour;
mod body;
mod wire;

use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hookward::{Key, Message, Scheme, UnixTime};
use hookward_engine::clock::{Clock, Entropy};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use behaviour::{Act, Behaviour};
use body::EchoBody;
use wire::Wire;

/// The largest body that is taken, in bytes.
const BODY_MAX: usize = 256 << 20;

/// How many of a body's first characters are shown.
const SHOWN_MAX: usize = 16 << 10;

/// A receiver.
pub(crate) struct Echo {
    /// Tells the time and waits.
    pub(crate) clock: Arc<dyn Clock>,
    /// Decides what happens only sometimes.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// By which requests have to be signed, if they have to.
    pub(crate) proof: Option<(Scheme, Vec<Key>)>,
    /// What is told of each request.
    pub(crate) told: Telling,
}

/// What is told of each request, and to whom.
pub(crate) struct Telling {
    /// Whether the headers are.
    pub(crate) headers: bool,
    /// Whether the body is.
    pub(crate) body: bool,
    /// Whether it is told as JSON.
    pub(crate) json: bool,
    /// Takes a line; `None` when nobody wants any.
    pub(crate) line: Option<fn(&str)>,
}

/// How a request was met.
struct Met {
    status: Option<u16>,
    did: &'static str,
    verdict: Option<Result<u32, String>>,
    duration: Duration,
}

impl Echo {
    /// Serves until it is dropped.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            // What fails here is one connection's matter, or passes.
            let Ok((stream, remote)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let echo = Arc::clone(&self);
            tokio::spawn(async move {
                let is_reset = Arc::new(AtomicBool::new(false));
                let service = service_fn(|request| echo.meet(request, remote, &is_reset));
                let io = Wire::new(stream, Arc::clone(&is_reset));
                let serving = http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service);
                // How a connection ends is told with its request.
                let _ = serving.await;
            });
        }
    }

    async fn meet(
        &self,
        request: Request<Incoming>,
        remote: SocketAddr,
        is_reset: &AtomicBool,
    ) -> Result<Response<EchoBody>, Broken> {
        let began = self.clock.elapsed();
        let (parts, body) = request.into_parts();
        let behaviour = Behaviour::of(parts.uri.path(), parts.uri.query(), self.chance());
        let body = match Limited::new(body, BODY_MAX).collect().await {
            Ok(body) => body.to_bytes(),
            Err(_) => return Err(Broken),
        };
        let verdict = self.verdict(&parts, &body);
        if !behaviour.delay.is_zero() {
            self.clock.sleep_until(self.clock.now().plus(behaviour.delay)).await;
        }
        let is_refused = matches!(verdict, Some(Err(_)));
        let act = if is_refused && behaviour.act == Act::Answer { Act::Refuse } else { behaviour.act };
        let status = match act {
            Act::Refuse => Some(StatusCode::UNAUTHORIZED),
            Act::Answer | Act::Drip(_) | Act::Endless => Some(behaviour.status),
            Act::Reset | Act::Close | Act::Hang => None,
        };
        let duration = self.clock.elapsed().saturating_sub(began);
        self.tell(
            &parts,
            &body,
            remote,
            &Met { status: status.map(|s| s.as_u16()), did: act.name(), verdict, duration },
        );
        match (act, status) {
            (Act::Hang, _) => std::future::pending().await,
            (Act::Reset, _) => {
                is_reset.store(true, Ordering::Relaxed);
                Err(Broken)
            }
            (_, Some(status)) => Ok(answer(&behaviour, act, status)),
            (_, None) => Err(Broken),
        }
    }

    /// A number from 0 to 1, without 1.
    fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        self.entropy.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }

    fn verdict(&self, parts: &Parts, body: &Bytes) -> Option<Result<u32, String>> {
        let (scheme, keys) = self.proof.as_ref()?;
        let headers: Vec<(&str, &[u8])> =
            parts.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let url = format!("http://{host}{}", parts.uri);
        let message = Message { method: parts.method.as_str(), url: &url, headers: &headers, body };
        let now = UnixTime::from_millis(self.clock.now().as_millis());
        let verified = scheme.verify(&message, keys, now);
        Some(verified.map(|verified| verified.key_version()).map_err(|refusal| refusal.to_string()))
    }

    fn tell(&self, parts: &Parts, body: &Bytes, remote: SocketAddr, met: &Met) {
        let Some(line) = self.told.line else { return };
        let text = if self.told.json {
            self.as_json(parts, body, remote, met).to_string()
        } else {
            self.as_text(parts, body, met)
        };
        line(&text);
    }

    fn as_text(&self, parts: &Parts, body: &Bytes, met: &Met) -> String {
        let ms = met.duration.as_micros() as f64 / 1000.0;
        let mut text = format!("{} {} → ", parts.method, parts.uri);
        match met.status {
            Some(status) if met.did == "answered" => write!(text, "{status}"),
            Some(status) => write!(text, "{status} {}", met.did),
            None => write!(text, "{}", met.did),
        }
        .expect("a text takes any text");
        write!(text, " after {ms:.1} ms, {} bytes", body.len()).expect("a text takes any text");
        match &met.verdict {
            Some(Ok(version)) => write!(text, ", verified with secret {version}"),
            Some(Err(refusal)) => write!(text, ", not verified: {refusal}"),
            None => Ok(()),
        }
        .expect("a text takes any text");
        for name in ["hookward-event-id", "hookward-attempt"] {
            if let Some(value) = parts.headers.get(name).and_then(|value| value.to_str().ok()) {
                write!(text, ", {name} {value}").expect("a text takes any text");
            }
        }
        if self.told.headers {
            for (name, value) in &parts.headers {
                write!(text, "\n  {name}: {}", String::from_utf8_lossy(value.as_bytes()))
                    .expect("a text takes any text");
            }
        }
        if self.told.body {
            write!(text, "\n  {}", shown(body)).expect("a text takes any text");
        }
        text
    }

    fn as_json(&self, parts: &Parts, body: &Bytes, remote: SocketAddr, met: &Met) -> Value {
        let mut value = json!({
            "at_ms": self.clock.now().as_millis(), "remote": remote.to_string(), "method": parts.method.as_str(),
            "target": parts.uri.to_string(), "status": met.status, "did": met.did,
            "duration_ms": met.duration.as_micros() as f64 / 1000.0, "body_bytes": body.len(),
            "verified": met.verdict.as_ref().map(Result::is_ok),
        });
        if let Some(Err(refusal)) = &met.verdict {
            value["refusal"] = json!(refusal);
        }
        if self.told.headers {
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let headers = parts.headers.iter().map(|(name, value)| json!([name.as_str(), text(value)]));
            value["headers"] = headers.collect();
        }
        if self.told.body {
            value["body"] = json!(shown(body));
        }
        value
    }
}

/// The start of a body as text.
fn shown(body: &Bytes) -> String {
    String::from_utf8_lossy(&body[..body.len().min(SHOWN_MAX)]).into_owned()
}

fn answer(behaviour: &Behaviour, act: Act, status: StatusCode) -> Response<EchoBody> {
    let body = match act {
        Act::Drip(pause) => EchoBody::drip(pause),
        Act::Endless => EchoBody::endless(),
        _ => EchoBody::whole(),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    if let Some(seconds) = behaviour.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(location) = &behaviour.location {
        headers.insert(header::LOCATION, location.clone());
    }
    response
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken off, as it was asked for")]
struct Broken;

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
