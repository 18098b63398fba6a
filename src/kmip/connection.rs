//! One client connection: whole messages in, answers out, in the order of the requests.
//!
//! A stream whose next message cannot be delimited is closed without an answer (contract §1). The client's identity was
//! settled when the connection was accepted; nothing a message says changes it.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BufMut as _;
use kmip_codec::{
    Limits, ProtocolVersion,
    message::peek_version,
    ttlv::{HEADER_BYTES, MessageKind, message_length},
    version::V2_1,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Semaphore,
    task::{spawn_blocking, yield_now},
};
use tokio_util::sync::CancellationToken;

use super::{announce, message::Service};
use crate::{alarm::Alarms, domain::Principal};
use kmip_codec::secret::Wiped;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The enrolled client that the certificate proves.
    pub principal: Arc<Principal>,
    /// Its address without port.
    pub address: String,
}

/// Bytes of messages that may be in flight at once, over all connections; readers wait for room.
const IN_FLIGHT_BYTES: usize = 128 << 20;
static IN_FLIGHT: Semaphore = Semaphore::const_new(IN_FLIGHT_BYTES);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Bytes that are made room for before anything has arrived, and that are read at once.
pub(super) const STEP: usize = 1 << 16;

/// To wipe so many bytes and to give their pages back takes some ten microseconds.
const WIPED_IN_PLACE: usize = 1 << 18;

/// How long a client may take to read an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one connection until the client leaves, is idle for too long, breaks the framing, or the gateway drains.
pub async fn serve<S>(stream: S, peer: Peer, service: Arc<Service>, drain: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    converse(stream, Some(&peer), &service, &drain).await;
}

/// Answers every message of a client whose certificate is valid but not enrolled with *Authentication Not Successful*,
/// within the limits for peers we know nothing about.
pub async fn refuse<S>(stream: S, service: Arc<Service>, drain: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    converse(stream, None, &service, &drain).await;
}

async fn converse<S>(mut stream: S, peer: Option<&Peer>, service: &Arc<Service>, drain: &CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let limits = peer.map_or(&Limits::BEFORE_AUTHENTICATION, |_| &service.settings.limits);
    let connection = next_number();
    let turn = Arc::new(AtomicBool::new(false));
    let alarms = Alarms::default();
    let mut count = 0_u64;
    let mut draining = pin!(drain.cancelled());
    loop {
        let message = tokio::select! {
            biased;
            () = draining.as_mut() => break,
            message = next(&mut stream, service, limits, &alarms) => message,
        };
        let Some((message, room)) = message else { break };
        count += 1;
        let request = format!("kmip-{connection}-{count}");
        let answer = match peer {
            Some(peer) => service.answer_on(peer, &request, &message, Some(&turn)).await,
            None => service.refuse(&message),
        };
        if answer.is_empty() {
            break;
        }
        // From the answer on nothing is missed.
        let turned = turn.load(Ordering::Relaxed).then(|| service.engine.listen());
        match alarms.within(WRITE_TIMEOUT, write(&mut stream, &answer)).await {
            Some(Ok(())) => {}
            Some(Err(_)) | None => break,
        }
        if let (Some(changes), Some(peer)) = (turned, peer) {
            let version = peek_version(&message).and_then(ProtocolVersion::nearest).unwrap_or(V2_1);
            announce::speak(&mut stream, peer, service, version, changes, drain).await;
            break;
        }
        let_go(message, room);
    }
    let _ = alarms.within(Duration::from_secs(1), stream.shutdown()).await;
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, answer: &[u8]) -> std::io::Result<()> {
    stream.write_all(answer).await?;
    stream.flush().await
}

/// A share of the budget for messages in flight.
pub(super) type Room = tokio::sync::SemaphorePermit<'static>;

/// The number of the next connection, for request ids.
pub(super) fn next_number() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Wipes a message and gives its room back; a long one not on this thread, which others wait for.
fn let_go(message: Wiped, room: Room) {
    if message.len() > WIPED_IN_PLACE {
        spawn_blocking(move || {
            drop(message);
            drop(room);
        });
    }
}

/// Waits for room in the budget; a message larger than all of it takes all of it.
pub(super) async fn room(bytes: usize) -> Option<Room> {
    let permits = u32::try_from(bytes.min(IN_FLIGHT_BYTES)).ok()?;
    IN_FLIGHT.acquire_many(permits).await.ok()
}

/// Adds bytes to a message of that expected length. It moves at most twice where the length is known, and what it moves
/// out of is wiped: a length alone makes nobody allocate, and no part of a key stays behind.
pub(super) fn append(message: &mut Wiped, bytes: &[u8], expected: usize) {
    make_room(message, bytes.len(), expected);
    message.extend_from_slice(bytes);
}

/// Makes room for so many more bytes; see [`append`].
fn make_room(message: &mut Wiped, bytes: usize, expected: usize) {
    let needed = message.len() + bytes;
    if needed > message.capacity() {
        let mut bigger =
            Wiped::new(Vec::with_capacity(expected.max(needed).max((2 * message.len()).min(needed + (1 << 20)))));
        bigger.extend_from_slice(message);
        *message = bigger;
    }
}

/// The next whole message; `None` when the stream ends or cannot be followed any further.
async fn next<S: AsyncRead + Unpin>(
    stream: &mut S,
    service: &Service,
    limits: &Limits,
    alarms: &Alarms,
) -> Option<(Wiped, Room)> {
    let settings = &service.settings;
    let mut header = [0; HEADER_BYTES];
    let (first, rest) = header.split_at_mut(1);
    alarms.within(settings.idle, stream.read_exact(first)).await?.ok()?;
    alarms.within(settings.message_timeout, stream.read_exact(rest)).await?.ok()?;
    let length = match message_length(&header, MessageKind::Request, limits) {
        Ok(length) => length,
        Err(error) => {
            tracing::info!(%error, "a KMIP connection is closed: its next message cannot be delimited");
            return None;
        }
    };
    let room = alarms.within(settings.message_timeout, room(length)).await??;
    let mut message = Wiped::new(Vec::with_capacity(length.min(STEP)));
    message.extend_from_slice(&header);
    let mut turn = 0;
    let body = async {
        // Grows with what arrives, in steps: a length alone makes nobody allocate. What arrives is read into its place: a
        // buffer between would have to be wiped for each message, whatever the message's length.
        while message.len() < length {
            make_room(&mut message, 1, length);
            let room = (length - message.len()).min(message.capacity() - message.len());
            let read = stream.read_buf(&mut (&mut *message).limit(room)).await.ok()?;
            if read == 0 {
                return None;
            }
            // Whoever sends a long message takes turns with the others.
            turn += read;
            if turn >= STEP {
                turn = 0;
                yield_now().await;
            }
        }
        Some(())
    };
    alarms.within(settings.message_timeout, body).await??;
    Some((message, room))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many connections there are: what they hold together stays within the budget, and who comes later waits.
    #[tokio::test]
    async fn messages_in_flight_share_one_budget() {
        let message = 16 << 20;
        let mut held = Vec::new();
        for _ in 0..IN_FLIGHT_BYTES / message {
            held.push(room(message).await.unwrap());
        }
        assert_eq!(IN_FLIGHT.available_permits(), 0);
        let later = tokio::spawn(async move { room(message).await.is_some() });
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(!later.is_finished(), "a message beyond the budget was taken");
        drop(held.pop());
        assert!(later.await.unwrap());
        drop(held);
        // One that is larger than all of it takes all of it, and no more than that.
        drop(room(2 * IN_FLIGHT_BYTES).await.unwrap());
        assert_eq!(IN_FLIGHT.available_permits(), IN_FLIGHT_BYTES);
    }
}
