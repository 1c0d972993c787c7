//! Accepts connections: how many, for how long, and their end when the gateway stops.
//! Knows nothing of routes; one request at a time goes to the service it was given.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::brake::Brake;
use crate::config::Limits;
use crate::wire::{Busy, Watch, Wire};

/// How long to wait after an accept that failed for want of something, such as file descriptors.
const BACK_OFF: Duration = Duration::from_millis(100);

const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The peer of a request's connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What a listener's connections share.
struct House {
    limits: Limits,
    brake: Brake,
}

/// Serves connections to `listener` until `stop`, then stops accepting, lets requests in flight finish, and returns.
pub(crate) async fn serve<S, B>(listener: TcpListener, limits: Limits, service: S, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let room = Arc::new(Semaphore::new(limits.connections));
    let house = Arc::new(House { limits, brake: Brake::new() });
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&room).try_acquire_owned() {
                Ok(permit) => {
                    let connection =
                        connection(stream, peer, Arc::clone(&house), service.clone(), stop.clone(), permit);
                    connections.spawn(connection);
                }
                Err(_) => turn_away(&stream),
            },
            // The peer gave up before we came to it.
            Err(error) if is_the_peers(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections now");
                let _ = timeout(BACK_OFF, stop.cancelled()).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn is_the_peers(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Over the cap: one short answer that fits the socket's empty buffer, and the end.
fn turn_away(stream: &TcpStream) {
    tracing::debug!("a connection over the limit was turned away");
    let _ = stream.try_write(FULL);
}

async fn connection<S, B>(
    stream: TcpStream,
    peer: SocketAddr,
    house: Arc<House>,
    service: S,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + Sync + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Unpin + 'static,
{
    let _ = stream.set_nodelay(true);
    let House { limits, brake } = &*house;
    let watch = Arc::new(Watch::default());
    let wire = Wire::new(stream, Arc::clone(&watch), limits.header_timeout, limits.idle_timeout);
    let service = service_fn(|request| Box::pin(one(request, peer, &watch, brake, &service)));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The wire's own deadlines tell a slow head from an idle connection.
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.header_count)
        .serve_connection(TokioIo::new(wire), service);
    let mut stopped = std::pin::pin!(stop.cancelled());
    let mut stopping = false;
    let result = std::future::poll_fn(|cx| {
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    })
    .await;
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
    let wire = connection.into_parts().io.into_inner();
    wire.close().await;
}

/// One request: what no route may see is answered here.
async fn one<S, B>(
    mut request: Request<Incoming>,
    peer: SocketAddr,
    watch: &Arc<Watch>,
    brake: &Brake,
    service: &S,
) -> Result<Response<Either<Held<B>, Full<Bytes>>>, Infallible>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    // Held until the answer's last byte is on its way: a reader of a long one is not idle.
    let busy = watch.busy();
    // This is no proxy: CONNECT names no path that could be answered.
    if watch.is_ambiguous() || !has_one_host(&request) || request.method() == Method::CONNECT {
        return Ok(short(StatusCode::BAD_REQUEST, r#"{"error":"Bad request"}"#));
    }
    request.extensions_mut().insert(Peer(peer));
    let response = service.call(request).await?;
    brake.hold(peer, response.status()).await;
    Ok(response.map(|body| Either::Left(Held { body, _busy: busy })))
}

/// The body of an answer, until whose end the connection is not idle.
#[derive(Debug)]
struct Held<B> {
    body: B,
    _busy: Busy,
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn has_one_host(request: &Request<Incoming>) -> bool {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    hosts == 1 || (hosts == 0 && request.version() < http::Version::HTTP_11)
}

fn short<B>(status: StatusCode, body: &'static str) -> Response<Either<B, Full<Bytes>>> {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from_static(body.as_bytes()))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
