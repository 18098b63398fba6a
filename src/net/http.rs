//! HTTP over an accepted connection: HTTP/2 where TLS agreed on it, otherwise HTTP/1.1.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    rt::{Sleep, Timer},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tower::ServiceExt;

use super::listener::Connection;
use crate::alarm::{Alarm, Alarms};

/// What an HTTP connection may cost. Bodies have their limits in the router.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// For the whole head of a request, and for the silence between two requests.
    pub head_timeout: Duration,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Requests at the same time on one HTTP/2 connection.
    pub streams_max: u32,
    /// For a request, from its head to the head of the answer; 408 when it takes longer. Any, where nothing is said.
    pub request_timeout: Option<Duration>,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(30),
            head_bytes_max: 64 * 1024,
            streams_max: 100,
            request_timeout: None,
        }
    }
}

/// Serves requests with `router` until the peer closes or the gateway drains.
///
/// Every request carries `ConnectInfo<SocketAddr>` and, where the peer showed a certificate, [`PeerCertificate`].
pub async fn serve_http(connection: Connection, router: Router, limits: HttpLimits) {
    let Connection { stream, peer, certificate, drain } = connection;
    let is_http2 = stream.alpn() == Some(b"h2");
    let certificate = certificate.map(|der| PeerCertificate(der.into()));
    let alarms = Alarms::default();
    let timer = HeadTimer(alarms.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        let answer = router.clone().oneshot(request.map(Body::new));
        let alarms = limits.request_timeout.map(|limit| (limit, alarms.clone()));
        async move {
            let answer = match alarms {
                Some((limit, alarms)) => alarms.within(limit, answer).await.unwrap_or_else(|| Ok(late())),
                None => answer.await,
            };
            Ok::<_, Infallible>(answer.unwrap_or_else(|never| match never {}))
        }
    });
    // The version is fixed beforehand: guessing it from the first bytes would wait for them without a time-out.
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut builder = if is_http2 { builder.http2_only() } else { builder.http1_only() };
    builder
        .http1()
        .timer(timer)
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes_max.max(8192))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.head_timeout);
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = drain.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, error = %error, "an HTTP connection ended early");
    }
}

/// The answer to a request that takes too long.
fn late() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::REQUEST_TIMEOUT;
    answer
}

/// The clock of the heads of HTTP/1.1: one timer for all that a connection brings.
struct HeadTimer(Alarms);

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep(self.0.after(duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep(self.0.at(deadline)))
    }
}

struct HeadSleep(Alarm);

impl Future for HeadSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl Sleep for HeadSleep {}

/// The peer's verified certificate, as a request extension.
#[derive(Clone, Debug)]
pub struct PeerCertificate(pub std::sync::Arc<[u8]>);
