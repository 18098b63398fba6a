//! KMIP over HTTPS: one message a POST to `/kmip`, in TTLV, JSON or XML (message-encoding profiles; contract §2).
//!
//! The content type names the encoding of the request and of the answer. Whatever KMIP has to say comes with status 200,
//! failures too; other statuses are for requests that are not HTTP as it should be: path, method, type, size, time. The
//! text encodings become TTLV before anything looks at them, so identity, limits, audit and Maximum Response Size are
//! those of the TTLV port.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use http_body_util::BodyExt;
use kmip_codec::{
    Limits,
    spec::enums::ResultReason,
    text::{self, Encoding},
};
use tokio::time::timeout;

use super::{
    connection::{self, Peer, Room},
    message::Service,
};
use kmip_codec::secret::Wiped;

/// The path of messages.
pub const PATH: &str = "/kmip";

/// What an answer of ours may be: it is ours.
const ANSWER: Limits = Limits {
    message_bytes_max: usize::MAX,
    depth_max: 64,
    items_max: usize::MAX,
    batch_items_max: usize::MAX,
    text_bytes_max: usize::MAX,
};

/// The routes of one connection; without a peer, every message is answered *Authentication Not Successful*.
pub fn https(service: Arc<Service>, peer: Option<Peer>) -> Router {
    let door = Arc::new(Door { service, peer, connection: connection::next_number(), count: AtomicU64::new(0) });
    Router::new().route(PATH, post(answer)).with_state(door)
}

/// What the requests of one connection share.
struct Door {
    service: Arc<Service>,
    peer: Option<Peer>,
    connection: u64,
    count: AtomicU64,
}

/// A request that gets an HTTP status instead of a message.
struct Fault(StatusCode, &'static str);

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.0, format!("{}\n", self.1)).into_response()
    }
}

async fn answer(State(door): State<Arc<Door>>, request: Request) -> Result<Response, Fault> {
    let encoding = encoding(request.headers())?;
    let settings = &door.service.settings;
    let limits = door.peer.as_ref().map_or(&Limits::BEFORE_AUTHENTICATION, |_| &settings.limits);
    let declared = length(request.headers())?;
    let body = Reading { encoding, most: limits.message_bytes_max, patience: settings.message_timeout };
    let (bytes, room) = body.read(declared, request.into_body()).await?;
    let answer = door.converse(encoding, &bytes, limits).await;
    // The room is kept while the message is worked on, as on the TTLV port.
    drop((bytes, room));
    // The client's library copies the answer anyway; what we hold is wiped when it has been sent.
    let mut response = Response::new(Body::from(bytes::Bytes::from_owner(answer)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(encoding)));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

impl Door {
    /// The answer in the encoding of the request.
    async fn converse(&self, encoding: Encoding, bytes: &[u8], limits: &Limits) -> Wiped {
        if encoding == Encoding::Ttlv {
            return self.run(bytes).await;
        }
        let answer = match text::to_ttlv(encoding, bytes, limits) {
            Ok(request) => self.run(&request).await,
            Err(refused) => self.service.unreadable(&refused.error, refused.version),
        };
        text::from_ttlv(encoding, &answer, &ANSWER).unwrap_or_else(|error| {
            // A name of the client's with a control character, which only XML cannot express.
            tracing::warn!(%error, "an answer cannot be written in the encoding of its request");
            let failure = self.service.inexpressible(&answer, ResultReason::GENERAL_FAILURE, &error.to_string());
            text::from_ttlv(encoding, &failure, &ANSWER).unwrap_or_default()
        })
    }

    async fn run(&self, bytes: &[u8]) -> Wiped {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let request = format!("kmip-{}-{count}", self.connection);
        match &self.peer {
            Some(peer) => self.service.answer(peer, &request, bytes).await,
            None => self.service.refuse(bytes),
        }
    }
}

/// What the content type says; another charset than UTF-8 is another type.
fn encoding(headers: &HeaderMap) -> Result<Encoding, Fault> {
    let fault = Fault(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "the content type is application/octet-stream, application/json or text/xml, without content encoding",
    );
    let identity =
        headers.get(header::CONTENT_ENCODING).is_none_or(|it| it.as_bytes().eq_ignore_ascii_case(b"identity"));
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).filter(|_| identity) else {
        return Err(fault);
    };
    let mut parts = value.split(';');
    let media = parts.next().unwrap_or_default().trim();
    let charset =
        parts.filter_map(|part| part.trim().split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("charset"));
    let charset = charset.map_or("utf-8", |(_, name)| name.trim_matches('"'));
    if !["utf-8", "us-ascii"].iter().any(|known| charset.eq_ignore_ascii_case(known)) {
        return Err(fault);
    }
    let known = [
        ("application/octet-stream", Encoding::Ttlv),
        ("application/json", Encoding::Json),
        ("text/xml", Encoding::Xml),
        ("application/xml", Encoding::Xml),
    ];
    known.iter().find(|(name, _)| media.eq_ignore_ascii_case(name)).map(|(_, encoding)| *encoding).ok_or(fault)
}

const fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Ttlv => "application/octet-stream",
        Encoding::Json => "application/json",
        Encoding::Xml => "text/xml",
    }
}

/// The length that the client declares; hyper has checked that there is one at most, and that it is a number.
fn length(headers: &HeaderMap) -> Result<Option<usize>, Fault> {
    let Some(value) = headers.get(header::CONTENT_LENGTH) else { return Ok(None) };
    let length = value.to_str().ok().and_then(|text| text.parse().ok());
    length.map(Some).ok_or(Fault(StatusCode::BAD_REQUEST, "the content length is no number"))
}

/// How a body is read.
struct Reading {
    encoding: Encoding,
    most: usize,
    patience: Duration,
}

impl Reading {
    async fn read(&self, declared: Option<usize>, body: Body) -> Result<(Wiped, Option<Room>), Fault> {
        if declared.is_some_and(|length| length > self.most) {
            return Err(too_large());
        }
        timeout(self.patience, self.collect(declared, body))
            .await
            .map_err(|_elapsed| Fault(StatusCode::REQUEST_TIMEOUT, "the message took too long to arrive"))?
    }

    /// Takes what arrives. Room for a declared length is taken at once, otherwise as it comes.
    async fn collect(&self, declared: Option<usize>, mut body: Body) -> Result<(Wiped, Option<Room>), Fault> {
        // A text and its TTLV form exist at the same time.
        let forms = if self.encoding == Encoding::Ttlv { 1 } else { 2 };
        let busy = || Fault(StatusCode::SERVICE_UNAVAILABLE, "too many messages are in flight");
        let mut room = match declared {
            Some(length) => Some(connection::room(length * forms).await.ok_or_else(busy)?),
            None => None,
        };
        let mut bytes = Wiped::new(Vec::with_capacity(declared.unwrap_or(0).min(connection::STEP)));
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err(Fault(StatusCode::BAD_REQUEST, "the body ended early"));
            };
            let Ok(data) = frame.into_data() else { continue };
            if data.len() > self.most - bytes.len() {
                return Err(too_large());
            }
            if declared.is_none() {
                let more = connection::room(data.len() * forms).await.ok_or_else(busy)?;
                match &mut room {
                    Some(room) => room.merge(more),
                    None => room = Some(more),
                }
            }
            connection::append(&mut bytes, &data, declared.unwrap_or(0));
        }
        Ok((bytes, room))
    }
}

const fn too_large() -> Fault {
    Fault(StatusCode::PAYLOAD_TOO_LARGE, "the message is larger than the limit")
}
