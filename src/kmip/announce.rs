//! The other direction: the gateway as a KMIP client that tells of changes (KMIP 2.1 §6.2; contract §6, Notify and Put).
//!
//! It speaks on a connection whose roles a client has turned by Set Endpoint Role, or on one that it opens to a listener of the
//! configuration. What a client is told is what it may read: attributes are read, and values revealed, as that client, with
//! the audit records of any other reader. A destroyed object is told of once. Delivery to a listener is tried again with a
//! growing pause and in order; what waits for it does not outlive the process.

use std::{io, sync::Arc, time::Duration};

use kmip_codec::{
    ProtocolVersion,
    attribute::{self as wire_attributes, AttributeKind, OptionalAttributeList},
    message::{RequestHeader, RequestItem, RequestMessage, ResponseMessage},
    payload::{GetRequest, NotifyRequest, PutRequest, Request},
    spec::enums::{PutFunction, ResultStatus},
    ttlv::{HEADER_BYTES, MessageKind, message_length},
    version::V2_0,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::broadcast::error::RecvError,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    attributes,
    batch::{Exchange, Who},
    connection::{Peer, next_number},
    message::Service,
    ops,
};
use crate::{
    domain::{Attribute, attributes::link},
    engine::{
        Change, Listening,
        ops::attributes::{AttributeSet, ReadAttributes},
    },
};
use kmip_codec::secret::Wiped;

/// The first pause after a delivery that failed, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A listener that a client has, as the configuration names it.
#[derive(Clone)]
pub struct Listener {
    /// The client that is told, as it is enrolled.
    pub peer: Peer,
    /// Where it listens, for the log.
    pub address: String,
    /// What we speak.
    pub version: ProtocolVersion,
    /// Whether new objects are put, values included, rather than told of.
    pub put: bool,
}

/// Tells the client at the other end of what changes, until it leaves, says something unasked, or the gateway drains.
pub(super) async fn speak<S>(
    stream: &mut S,
    peer: &Peer,
    service: &Arc<Service>,
    version: ProtocolVersion,
    mut changes: Listening,
    drain: &CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let teller = Teller { peer, service, version, put: service.settings.put };
    let mut unasked = [0];
    loop {
        let change = tokio::select! {
            () = drain.cancelled() => return,
            _ = stream.read(&mut unasked) => return,
            change = next(&mut changes) => change,
        };
        let Some(change) = change else { return };
        for message in teller.messages(&change).await {
            if let Err(error) = deliver(stream, service, &message).await {
                tracing::info!(%error, client = peer.principal.name, "a client is told of nothing more");
                return;
            }
        }
    }
}

/// Tells a listener of what changes until the gateway drains; `dial` connects to it.
pub async fn announce<S, F>(
    listener: Listener,
    dial: impl Fn() -> F + Send + Sync,
    service: Arc<Service>,
    drain: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: Future<Output = io::Result<S>> + Send,
{
    let changes = service.engine.listen();
    tokio::select! {
        () = drain.cancelled() => {}
        () = deliver_all(&listener, dial, &service, changes) => {}
    }
}

async fn deliver_all<S, F>(
    listener: &Listener,
    dial: impl Fn() -> F + Send + Sync,
    service: &Arc<Service>,
    mut changes: Listening,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: Future<Output = io::Result<S>> + Send,
{
    let teller = Teller { peer: &listener.peer, service, version: listener.version, put: listener.put };
    let mut open: Option<S> = None;
    while let Some(change) = next(&mut changes).await {
        for message in teller.messages(&change).await {
            let mut pause = PAUSE.0;
            while let Err(error) = deliver_to(&dial, service, &mut open, &message).await {
                open = None;
                let seconds = pause.as_secs();
                tracing::warn!(%error, address = listener.address, seconds, "a change could not be told; again later");
                sleep(pause).await;
                pause = (2 * pause).min(PAUSE.1);
            }
        }
    }
}

/// The next change; `None` when there will be none.
async fn next(changes: &mut Listening) -> Option<Arc<Change>> {
    loop {
        match changes.recv().await {
            Ok(change) => return Some(change),
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "a client was too slow: it is not told of changes")
            }
            Err(RecvError::Closed) => return None,
        }
    }
}

async fn deliver_to<S, F>(
    dial: impl Fn() -> F,
    service: &Service,
    open: &mut Option<S>,
    message: &[u8],
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    F: Future<Output = io::Result<S>> + Send,
{
    let stream = match open {
        Some(stream) => stream,
        None => open.insert(timeout(service.settings.message_timeout, dial()).await??),
    };
    deliver(stream, service, message).await
}

/// One request out, its answer in. A refusal is logged and is an answer.
async fn deliver<S>(stream: &mut S, service: &Service, message: &[u8]) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let exchange = async {
        stream.write_all(message).await?;
        stream.flush().await?;
        let mut header = [0; HEADER_BYTES];
        stream.read_exact(&mut header).await?;
        let limits = &service.settings.limits;
        let length = message_length(&header, MessageKind::Response, limits).map_err(io::Error::other)?;
        let mut answer = header.to_vec();
        let rest = u64::try_from(length.saturating_sub(HEADER_BYTES)).unwrap_or(u64::MAX);
        (&mut *stream).take(rest).read_to_end(&mut answer).await?;
        let answer = ResponseMessage::decode(&answer, limits).map_err(io::Error::other)?;
        for item in answer.items.iter().filter(|item| item.status != ResultStatus::SUCCESS) {
            tracing::info!(reason = ?item.reason, "a client refused to be told");
        }
        Ok(())
    };
    timeout(service.settings.message_timeout, exchange).await?
}

/// Who is told, and how.
struct Teller<'a> {
    peer: &'a Peer,
    service: &'a Arc<Service>,
    version: ProtocolVersion,
    put: bool,
}

impl Teller<'_> {
    /// What the client is told of a change, as whole messages: nothing of what it may not see.
    async fn messages(&self, change: &Change) -> Vec<Wiped> {
        let now = self.service.engine.ports().clock.now();
        let told_before = change.before.as_ref().is_some_and(|before| before.state(now).is_destroyed());
        if told_before || change.after.project != self.peer.principal.project {
            return Vec::new();
        }
        let who = Who {
            principal: Arc::clone(&self.peer.principal),
            address: self.peer.address.clone(),
            rights: None,
            budget: None,
            client: Arc::clone(&self.peer.principal),
            turn: None,
        };
        let request = format!("kmip-tell-{}", next_number());
        let mut exchange = Exchange::new(self.service, who, &request, self.version, None);
        let read = ReadAttributes { object: change.object, digest: false };
        let Ok(AttributeSet { object, .. }) = exchange.execute(read).await else { return Vec::new() };
        let before = change.before.as_ref().map(|before| before.all_attributes(now)).unwrap_or_default();
        let after = object.all_attributes(now);
        let mut requests = Vec::new();
        if change.before.is_none() && self.put {
            requests.extend(self.put(&mut exchange, change, &after).await);
        }
        if requests.is_empty() {
            requests.extend(self.notify(change, &before, &after));
        }
        let encode = |request: Request| {
            let items = vec![RequestItem::new(request.operation(), request)];
            let message = RequestMessage { header: RequestHeader::new(self.version), items };
            message.encode().inspect_err(|error| tracing::warn!(%error, "a change cannot be encoded")).ok()
        };
        requests.into_iter().filter_map(encode).collect()
    }

    /// The attributes that changed, and those that are gone: without a value in 1.x, by reference from 2.0 on.
    fn notify(&self, change: &Change, before: &[Attribute], after: &[Attribute]) -> Option<Request> {
        let changed = after.iter().filter(|attribute| !before.contains(attribute));
        let mut list = attributes::for_client(changed, self.version);
        let gone = before.iter().filter(|was| !after.iter().any(|is| is.kind == was.kind && is.index == was.index));
        let mut references: Vec<AttributeKind> = Vec::new();
        for attribute in gone {
            let kind = attributes::wire_kind(&attribute.kind);
            if !kind.is_defined(self.version) {
                continue;
            }
            if self.version < V2_0 {
                let index = (attribute.index > 0).then(|| i32::try_from(attribute.index).unwrap_or(i32::MAX));
                list.items.push(wire_attributes::Attribute { kind, index, value: None });
            } else if !references.contains(&kind) {
                references.push(kind);
            }
        }
        if list.items.is_empty() && references.is_empty() {
            return None;
        }
        Some(Request::from(NotifyRequest {
            unique_identifier: ops::wire(change.object),
            attributes: OptionalAttributeList(list),
            attribute_references: references,
        }))
    }

    /// The object itself, where the client may have its value.
    async fn put(&self, exchange: &mut Exchange<'_>, change: &Change, after: &[Attribute]) -> Option<Request> {
        let ask = GetRequest { unique_identifier: Some(ops::wire(change.object)), ..GetRequest::default() };
        let got = ops::get::get(exchange, ask).await.ok()?;
        let replaced = change.after.links(link::REPLACED).next();
        Some(Request::from(PutRequest {
            unique_identifier: ops::wire(change.object),
            put_function: if replaced.is_some() { PutFunction::REPLACE } else { PutFunction::NEW },
            replaced_unique_identifier: replaced.map(ops::wire),
            object: got.object,
            attributes: OptionalAttributeList(attributes::for_client(after, self.version)),
        }))
    }
}
