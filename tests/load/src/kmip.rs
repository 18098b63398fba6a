//! KMIP: requests of `kmip-codec` over one TLS connection, every answer decoded and checked.
//!
//! What is asked again and again is encoded once, so that the load program takes as little of the machine as it can.

use std::{collections::VecDeque, sync::Arc};

use kmip_codec::{
    Limits, ProtocolVersion,
    attribute::RevocationReason,
    message::{RequestHeader, RequestItem, RequestMessage, ResponseMessage},
    payload::{DestroyRequest, Request, Response, RevokeRequest},
    spec::enums::{Operation, ResultStatus, RevocationReasonCode},
    ttlv::{HEADER_BYTES, MessageKind, message_length},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};

use crate::{
    drive::Client,
    echo,
    stats::Failure,
    transport::{Connection, Endpoint, Traffic},
    work::{Message, Schedule},
};

/// A connection that speaks KMIP.
pub(crate) struct Link {
    endpoint: Endpoint,
    connection: Connection,
    pub(crate) version: ProtocolVersion,
    buffer: Vec<u8>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    ///
    /// What TCP or TLS say.
    pub(crate) async fn open(endpoint: &Endpoint, version: ProtocolVersion) -> Result<Self, Failure> {
        let connection = endpoint.connect().await?;
        Ok(Self { endpoint: endpoint.clone(), connection, version, buffer: Vec::new() })
    }

    /// Sends one request and reads the answer.
    ///
    /// # Errors
    ///
    /// A refusal by its result reason; anything else breaks the connection.
    pub(crate) async fn ask(&mut self, request: impl Into<Request>) -> Result<Response, Failure> {
        let message = Message::of(self.version, vec![request.into()])?;
        self.send(&message).await?;
        self.receive(&message).await?.pop().ok_or_else(unexpected)
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// What TCP or TLS say.
    pub(crate) async fn send(&mut self, message: &Message) -> Result<(), Failure> {
        self.connection.write_all(&message.bytes).await?;
        Ok(self.connection.flush().await?)
    }

    /// Reads the answers to all items of a message that was sent.
    ///
    /// # Errors
    ///
    /// The first refusal by its result reason; anything else breaks the connection.
    pub(crate) async fn receive(&mut self, message: &Message) -> Result<Vec<Response>, Failure> {
        let mut header = [0; HEADER_BYTES];
        self.connection.read_exact(&mut header).await?;
        let limits = Limits::default();
        let length = message_length(&header, MessageKind::Response, &limits).map_err(malformed)?;
        self.buffer.clear();
        self.buffer.extend_from_slice(&header);
        self.buffer.resize(length, 0);
        let rest = self.buffer.get_mut(HEADER_BYTES..).unwrap_or_default();
        self.connection.read_exact(rest).await?;

        let answer = ResponseMessage::decode(&self.buffer, &limits).map_err(malformed)?;
        let version = answer.header.protocol_version;
        if answer.items.len() != message.items {
            return Err(Failure::broken("an answer with another number of batch items"));
        }
        let mut answers = Vec::with_capacity(message.items);
        for item in answer.items {
            if item.status != ResultStatus::SUCCESS {
                let reason = item.reason.and_then(|reason| reason.name(self.version)).unwrap_or("no reason");
                let text = item.message.unwrap_or_default();
                let name = message.operation.name(self.version).unwrap_or("?");
                return Err(Failure::refused(format!("KMIP {name}: {reason} ({text})")));
            }
            let payload = item.payload.filter(|_| item.operation == Some(message.operation));
            let payload = payload.ok_or_else(|| Failure::broken("an answer to something else"))?;
            answers.push(Response::decode(message.operation, version, &payload).map_err(malformed)?);
        }
        Ok(answers)
    }

    /// The same with a new store of sessions.
    pub(crate) fn renewed(mut self, resumes: bool) -> Self {
        self.endpoint = self.endpoint.renewed(resumes);
        self
    }

    async fn reopen(&mut self) -> Result<(), Failure> {
        self.connection = self.endpoint.connect_as(self.connection.traffic().clone()).await?;
        Ok(())
    }
}

impl Message {
    /// One message of these requests, which are all for the same operation.
    ///
    /// # Errors
    ///
    /// When it cannot be encoded.
    pub(crate) fn of(version: ProtocolVersion, requests: Vec<Request>) -> Result<Self, Failure> {
        let operation = requests.first().map_or(Operation::DISCOVER_VERSIONS, Request::operation);
        let count = requests.len();
        let items = requests.into_iter().enumerate().map(|(at, request)| {
            let item = RequestItem::new(operation, request);
            // Several items of one message have to be told apart, up to 2.1.
            if count > 1 { RequestItem { id: Some(at.to_be_bytes().to_vec()), ..item } } else { item }
        });
        let message = RequestMessage { header: RequestHeader::new(version), items: items.collect() };
        let bytes = message.encode().map_err(|error| Failure::refused(format!("cannot be encoded: {error}")))?;
        Ok(Self { bytes: bytes.to_vec(), operation, items: count })
    }
}

fn malformed(error: kmip_codec::DecodeError) -> Failure {
    Failure::broken(format!("malformed answer: {error}"))
}

/// The failure of an answer that is not what was asked for.
pub(crate) fn unexpected() -> Failure {
    Failure::refused("an answer with other content than expected")
}

/// Destroys an object; an active one is revoked first, since only then it may be destroyed (KMIP 1.4 §4.21).
///
/// # Errors
///
/// The first refusal.
pub(crate) async fn destroy(link: &mut Link, id: &str, is_active: bool) -> Result<(), Failure> {
    if is_active {
        let revocation_reason = RevocationReason { code: RevocationReasonCode::CESSATION_OF_OPERATION, message: None };
        let revoke =
            RevokeRequest { unique_identifier: Some(id.into()), revocation_reason, compromise_occurrence_date: None };
        link.ask(revoke).await?;
    }
    link.ask(DestroyRequest { unique_identifier: Some(id.into()) }).await.map(drop)
}

/// One connection of a run.
pub(crate) struct KmipClient {
    link: Link,
    schedule: Arc<Schedule>,
    /// Which client it is.
    number: usize,
    /// Requests sent so far, counted from where this client begins.
    turn: usize,
    /// Requests under way: when they were sent, which turn, and what.
    waiting: VecDeque<(Instant, usize, Arc<Message>)>,
    in_flight: usize,
    begun: Option<Instant>,
    /// Whether each request has a new connection, and whether that resumes.
    renews: Option<bool>,
    /// Objects that it made.
    pub(crate) made: Vec<String>,
}

impl KmipClient {
    /// A client with so many requests under way; `number` tells it from the others.
    pub(crate) fn new(link: Link, schedule: Arc<Schedule>, number: usize, in_flight: usize) -> Self {
        let renews = schedule.renews();
        Self {
            link: if let Some(resumes) = renews { link.renewed(resumes) } else { link },
            schedule,
            number,
            turn: number,
            waiting: VecDeque::new(),
            in_flight,
            begun: None,
            renews,
            made: Vec::new(),
        }
    }

    /// Where sessions are resumed, the first answer brings what the first of them needs.
    ///
    /// # Errors
    ///
    /// As for any request.
    pub(crate) async fn prime(mut self) -> Result<Self, Failure> {
        if self.renews.is_some() {
            self.link.reopen().await?;
            self.send().await?;
            self.receive().await?;
        }
        Ok(self)
    }

    async fn send(&mut self) -> Result<(), Failure> {
        self.turn += 1;
        let message = self.schedule.message(self.link.version, self.number, self.turn)?;
        let begun = Instant::now();
        self.link.send(&message).await?;
        self.waiting.push_back((begun, self.turn, message));
        Ok(())
    }

    async fn receive(&mut self) -> Result<(), Failure> {
        let Some((begun, turn, message)) = self.waiting.pop_front() else { return Ok(()) };
        self.begun = Some(begun);
        let answers = self.link.receive(&message).await?;
        self.made.extend(self.schedule.accept(turn, answers)?);
        Ok(())
    }
}

impl Client for KmipClient {
    async fn once(&mut self) -> Result<(), Failure> {
        if let Some(resumes) = self.renews {
            self.begun = None;
            let begun = Instant::now();
            echo::renew(&mut self.link.connection, &self.link.endpoint).await?;
            self.send().await?;
            self.receive().await?;
            // The handshake is a part of what is measured.
            self.begun = Some(begun);
            return echo::check_kind(&self.link.connection, resumes);
        }
        while self.waiting.len() < self.in_flight {
            self.send().await?;
        }
        self.receive().await
    }

    fn traffic(&self) -> &Traffic {
        self.link.connection.traffic()
    }

    async fn reconnect(&mut self) -> Result<(), Failure> {
        self.waiting.clear();
        self.link.reopen().await
    }

    fn begun(&self) -> Option<Instant> {
        self.begun
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        while !self.waiting.is_empty() {
            self.receive().await?;
        }
        Ok(())
    }
}
