//! A whole message: header rules, batch order and continuation, response size (contract §1 and §4).

use std::sync::{Arc, atomic::AtomicBool};

use kmip_codec::{
    DecodeError, DecodeErrorKind, Limits, ProtocolVersion,
    codec::DateTime,
    message::{
        Credential, EphemeralFields, RequestHeader, RequestItem, RequestMessage, ResponseHeader, ResponseItem,
        ResponseMessage, TicketCredential, peek_version,
    },
    payload::{Response, ValidationInformation},
    spec::enums::{AsynchronousIndicator, BatchErrorContinuationOption, Operation, ResultReason, ResultStatus},
    ttlv::Item,
    version::{SUPPORTED, V1_4, V2_0, V2_1},
};

use super::{
    asynchronous::{ABOUT, Pending},
    batch::{Exchange, Who},
    connection::Peer,
    dispatch,
    error::{Refusal, decode_reason},
    ops::provision::Provision,
    standing::Standing,
    streams::Streams,
    tickets::Tickets,
};
use crate::{
    authn::{CredentialClaim, Credentials, DeviceClaim},
    domain::{Timestamp, algorithm::HashingAlgorithm},
    engine::{
        Engine, Transaction,
        ops::rng::SeedShare,
        ports::{Lane, Memory},
    },
};
use kmip_codec::secret::Wiped;

/// What the KMIP front end may do and how much it takes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Versions that are answered, newest first.
    pub versions: Vec<ProtocolVersion>,
    /// What one message may cost.
    pub limits: Limits,
    /// Whether the Interop operation is answered; for conformance tests only.
    pub interop: bool,
    /// How much of a client's seed is mixed into the HSM's generator.
    pub rng_seed: SeedShare,
    /// Validations of the HSM, in the operator's words.
    pub validations: Vec<ValidationInformation>,
    /// How long a connection may be idle.
    pub idle: std::time::Duration,
    /// How long a message may take to arrive once it has begun.
    pub message_timeout: std::time::Duration,
    /// How far the time stamp of a message may be from our clock; any, where nothing is said.
    pub skew_max: Option<std::time::Duration>,
    /// Whether a client that has turned its connection is given new objects, values included, rather than told of them.
    pub put: bool,
    /// Whether clients may trade their certificates for others.
    pub re_provision: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            versions: SUPPORTED.into_iter().filter(|version| *version <= V2_1).collect(),
            limits: Limits::AUTHENTICATED,
            interop: false,
            rng_seed: SeedShare::All,
            validations: Vec::new(),
            idle: std::time::Duration::from_secs(1800),
            message_timeout: std::time::Duration::from_secs(30),
            skew_max: None,
            put: false,
            re_provision: false,
        }
    }
}

/// The front end's state, shared by all connections.
pub struct Service {
    /// Runs the use cases.
    pub engine: Arc<Engine>,
    /// Limits and switches.
    pub settings: Settings,
    credentials: Credentials,
    pub(super) tickets: Tickets,
    pub(super) streams: Streams,
    pub(super) pending: Pending,
    pub(super) standing: Standing,
    pub(super) provision: Option<Arc<dyn Provision>>,
}

type Answer = ResponseItem<Response>;

/// A fault of the message as a whole, and whether each item tells it rather than one item without operation.
struct Fault {
    refusal: Refusal,
    by_item: bool,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, by_item: false }
    }
}

impl Service {
    /// A front end without enrolled users and devices, and without a memory of defaults and constraints.
    #[must_use]
    pub fn new(engine: Arc<Engine>, settings: Settings) -> Self {
        Self::with(engine, settings, Credentials::default(), None)
    }

    /// A front end.
    #[must_use]
    pub fn with(
        engine: Arc<Engine>,
        settings: Settings,
        credentials: Credentials,
        memory: Option<Arc<dyn Memory>>,
    ) -> Self {
        let mut mark = [0; 8];
        engine.ports().chance.fill(&mut mark);
        Self {
            engine,
            settings,
            credentials,
            tickets: Tickets::default(),
            streams: Streams::default(),
            pending: Pending::new(mark),
            standing: Standing::new(memory),
            provision: None,
        }
    }

    /// With somebody who gives clients other certificates.
    #[must_use]
    pub fn provisioned_by(self, provision: Arc<dyn Provision>) -> Self {
        Self { provision: Some(provision), ..self }
    }

    /// Answers one message. The answer is always a whole, well-formed message.
    pub async fn answer(self: &Arc<Self>, peer: &Peer, request: &str, bytes: &[u8]) -> Wiped {
        self.answer_on(peer, request, bytes, None).await
    }

    /// The same on a connection that may be turned: `turn` is set when the client is its server from the answer on.
    pub(super) async fn answer_on(
        self: &Arc<Self>,
        peer: &Peer,
        request: &str,
        bytes: &[u8],
        turn: Option<&Arc<AtomicBool>>,
    ) -> Wiped {
        let newest = self.newest();
        let message = match RequestMessage::decode(bytes, &self.settings.limits) {
            Ok(message) => message,
            Err(error) => return self.malformed(&error, bytes, newest),
        };
        let asked = message.header.protocol_version;
        let Some(version) = asked.nearest().filter(|version| self.settings.versions.contains(version)) else {
            let error = DecodeError::new(0, DecodeErrorKind::UnsupportedVersion(asked));
            return self.whole_failure(newest, asked, &error.to_string(), decode_reason(error.kind, asked));
        };
        let mut header = self.header(asked, version, request, message.header.client_correlation_value.clone());
        let size_max = message.header.maximum_response_size.and_then(|size| usize::try_from(size).ok());
        let single = match message.items.as_slice() {
            [only] => Some((only.operation, only.id.clone())),
            _ => None,
        };
        if let Some(value) = &message.header.client_correlation_value {
            tracing::debug!(request, client_correlation_value = value, "a client names its message");
        }
        let operations: Vec<_> = message.items.iter().map(|item| (item.operation, item.id.clone())).collect();
        let answered = async {
            check_items(&message.items, version)?;
            self.check_time(&message.header)?;
            let mut who = self.who(peer, &message.header, version, &mut header)?;
            if is_asynchronous(&message.header, version, &operations) {
                let now = self.engine.ports().clock.now();
                Ok(self.pending.submit(self, who, request, version, bytes, &operations, now)?)
            } else {
                who.turn = turn.cloned();
                let room = size_max.map(|max| Room::after(max, &header));
                let answers = self.run_batch(who, request, version, message, room, |_| true).await;
                Ok(answers.into_iter().flatten().collect())
            }
        };
        let items: Vec<Answer> = match answered.await {
            Ok(items) => items,
            Err(Fault { refusal, by_item: false }) => vec![Answer::failure(None, refusal.reason, refusal.message)],
            // One item fails, and the batch stops there.
            Err(Fault { refusal, by_item: true }) => {
                let (operation, id) = operations.into_iter().next().unzip();
                let failure = Answer::failure(operation, refusal.reason, refusal.message);
                vec![Answer { id: id.flatten(), ..failure }]
            }
        };
        let known_too_large = items.iter().any(|item| item.reason == Some(ResultReason::RESPONSE_TOO_LARGE));
        let answer = ResponseMessage { header, items };
        match answer.encode() {
            Ok(encoded) if !known_too_large && size_max.is_none_or(|max| encoded.len() <= max) => encoded,
            // KMIP 2.1 §6.2: the whole answer is replaced; a single item keeps its operation and id.
            _ => {
                let (operation, id) = single.map_or((None, None), |(operation, id)| (Some(operation), id));
                let text = "the answer is larger than the maximum response size";
                let item = ResponseItem { id, ..Answer::failure(operation, ResultReason::RESPONSE_TOO_LARGE, text) };
                encode(&ResponseMessage { header: answer.header, items: vec![item] })
            }
        }
    }

    /// Answers one message of a client that is not enrolled.
    #[must_use]
    pub fn refuse(&self, bytes: &[u8]) -> Wiped {
        let newest = self.newest();
        match RequestMessage::decode(bytes, &Limits::BEFORE_AUTHENTICATION) {
            Ok(message) => {
                let asked = message.header.protocol_version.nearest();
                let version = asked.filter(|version| self.settings.versions.contains(version)).unwrap_or(newest);
                let header = self.header(version, version, "", None);
                let text = "the client certificate is not enrolled";
                let item = Answer::failure(None, ResultReason::AUTHENTICATION_NOT_SUCCESSFUL, text);
                encode(&ResponseMessage { header, items: vec![item] })
            }
            Err(error) => self.malformed(&error, bytes, newest),
        }
    }

    /// A message whose time stamp is too far from our clock is refused where the operator asks for that; one without a
    /// time stamp says nothing (KMIP 2.1 §8.2).
    fn check_time(&self, header: &RequestHeader) -> Result<(), Refusal> {
        let (Some(skew), Some(stamp)) = (self.settings.skew_max, header.time_stamp) else { return Ok(()) };
        let now = self.engine.ports().clock.now().seconds();
        if stamp.0.abs_diff(now) <= skew.as_secs() {
            return Ok(());
        }
        Err(Refusal::new(ResultReason::PERMISSION_DENIED, "the time stamp is too far from the server's clock"))
    }

    /// Who asks: the client that its certificate proves, narrowed by every credential of the header.
    fn who(
        &self,
        peer: &Peer,
        header: &RequestHeader,
        version: ProtocolVersion,
        answer: &mut ResponseHeader,
    ) -> Result<Who, Fault> {
        let now = self.engine.ports().clock.now();
        let mut who = Who {
            principal: Arc::clone(&peer.principal),
            address: peer.address.clone(),
            rights: None,
            budget: None,
            client: Arc::clone(&peer.principal),
            turn: None,
        };
        for credential in header.authentication.iter().flat_map(|it| &it.credentials) {
            if let Credential::Ticket(TicketCredential { ticket }) = credential {
                let admitted = self.tickets.admit(ticket.ticket_value.expose_secret(), &peer.principal, now);
                let admission =
                    admitted.map_err(|refused| Fault { refusal: refused.refusal, by_item: refused.by_item })?;
                who.principal = Arc::new(admission.principal);
                who.client = Arc::new(admission.client);
                who.rights = admission.rights;
                who.budget = admission.budget;
                continue;
            }
            let Some(claim) = claim(credential) else {
                // No attestation is asked for, and none can be verified: what claims to be one proves nothing.
                let reason = match credential {
                    Credential::Attestation(_) => ResultReason::ATTESTATION_FAILED,
                    _ => ResultReason::AUTHENTICATION_NOT_SUCCESSFUL,
                };
                return Err(Refusal::new(reason, "credentials of this type are not accepted").into());
            };
            match self.credentials.verify(&who.principal, &claim, now) {
                Ok(Some(proof)) => {
                    who.principal = Arc::new(proof.principal);
                    answer.server_hashed_password = proof.answer.filter(|_| version >= V2_0);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::info!(client = ?peer.principal.name, %error, "a credential is refused");
                    let reason = ResultReason::AUTHENTICATION_NOT_SUCCESSFUL;
                    return Err(Refusal::new(reason, "the credential proves nothing").into());
                }
            }
        }
        Ok(who)
    }

    /// Runs the items in their order; `begin` says for each whether it is still wanted, and `None` stands for one that is
    /// not. Items after a failure that ends the batch are left out.
    pub(super) async fn run_batch(
        &self,
        who: Who,
        request: &str,
        version: ProtocolVersion,
        message: RequestMessage<Item<'_>>,
        room: Option<Room>,
        begin: impl Fn(usize) -> bool + Send,
    ) -> Vec<Option<Answer>> {
        let option = message.header.batch_error_continuation_option;
        let go_on = option == Some(BatchErrorContinuationOption::CONTINUE);
        let undo = option == Some(BatchErrorContinuationOption::UNDO) && message.items.len() > 1;
        let transaction = undo.then(|| self.engine.begin());
        let mut exchange = Exchange::new(self, who, request, version, transaction.clone());
        exchange.room = room;
        if message.items.len() > 1 {
            exchange.waits_in(Lane::Bulk);
        }
        exchange.asked = message.header.protocol_version;
        let mut answers: Vec<Option<Answer>> = Vec::with_capacity(message.items.len());
        let (mut failed, mut too_large) = (false, false);
        for (at, item) in message.items.into_iter().enumerate() {
            if !begin(at) {
                answers.push(None);
                continue;
            }
            let repeats = match exchange.repeats(&item.payload) {
                Ok(repeats) => repeats,
                Err(refusal) => {
                    answers.push(Some(Answer::failure(Some(item.operation), refusal.reason, refusal.message)));
                    failed = true;
                    if go_on {
                        continue;
                    }
                    break;
                }
            };
            let earlier = exchange.begin_repeating();
            for nth in 0..repeats {
                exchange.stands_for(nth);
                let id = item.id.clone();
                let answer = match self.item(&mut exchange, &item).await {
                    Ok(answer) => Answer { id, ..answer },
                    Err(refusal) => {
                        Answer { id, ..Answer::failure(Some(item.operation), refusal.reason, refusal.message) }
                    }
                };
                failed = answer.status == ResultStatus::OPERATION_FAILED;
                too_large |= answer.reason == Some(ResultReason::RESPONSE_TOO_LARGE);
                if let Some(room) = &mut exchange.room {
                    room.take(&answer, version);
                }
                answers.push(Some(answer));
                if too_large || failed && !go_on {
                    break;
                }
            }
            exchange.end_repeating(earlier);
            if too_large || failed && !go_on {
                break;
            }
        }
        if let Some(transaction) = transaction {
            self.end(&transaction, failed, &mut answers, &exchange).await;
        }
        answers
    }

    /// Ends a batch with Undo: everything becomes true, or all but the last item are told as undone.
    async fn end(
        &self,
        transaction: &Transaction,
        failed: bool,
        answers: &mut [Option<Answer>],
        exchange: &Exchange<'_>,
    ) {
        let ended =
            if failed { self.engine.roll_back(transaction).await } else { self.engine.commit(transaction).await };
        let failure = ended.err().map(|error| exchange.refusal(&error));
        if !failed && failure.is_none() {
            return;
        }
        let Some((last, earlier)) = answers.split_last_mut() else { return };
        if let (Some(refusal), Some(last)) = (failure, last) {
            let (operation, id) = (last.operation, last.id.take());
            *last = Answer { id, ..Answer::failure(operation, refusal.reason, refusal.message) };
        }
        for answer in earlier.iter_mut().flatten() {
            answer.status = ResultStatus::OPERATION_UNDONE;
        }
    }

    async fn item(&self, exchange: &mut Exchange<'_>, item: &RequestItem<Item<'_>>) -> Result<Answer, Refusal> {
        if item.extensions.iter().any(|extension| extension.criticality_indicator) {
            return Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, "the message extension is not known"));
        }
        // The answer of Poll is that of the operation it asks for, with its own code and status.
        let ephemeral = matches!(item.ephemeral, Some(EphemeralFields::Without(_)));
        // An answer without its data has room for more than can be told beforehand.
        let room = if ephemeral { exchange.room.take() } else { None };
        let response = dispatch::run(exchange, item.operation, &item.payload).await;
        exchange.room = room.or(exchange.room);
        let response = response?;
        if let Some(polled) = exchange.take_polled() {
            return Ok(polled);
        }
        let mut answer = Answer::success(item.operation, response);
        if let (true, Some(payload)) = (ephemeral, &mut answer.payload) {
            without_data(payload);
        }
        Ok(answer)
    }

    /// The message cannot be read: one item without operation, in the version asked for where that can be told.
    fn malformed(&self, error: &DecodeError, bytes: &[u8], newest: ProtocolVersion) -> Wiped {
        self.malformed_in(error, peek_version(bytes), newest)
    }

    /// The answer to a text that is no message; `asked` is the version that could be read in it.
    pub(super) fn unreadable(&self, error: &DecodeError, asked: Option<ProtocolVersion>) -> Wiped {
        self.malformed_in(error, asked, self.newest())
    }

    /// The answer instead of one that the encoding of the request cannot express.
    pub(super) fn inexpressible(&self, answer: &[u8], reason: ResultReason, text: &str) -> Wiped {
        let version = peek_version(answer).unwrap_or_else(|| self.newest());
        self.whole_failure(version, version, text, reason)
    }

    fn newest(&self) -> ProtocolVersion {
        self.settings.versions.first().copied().unwrap_or(V2_1)
    }

    fn malformed_in(&self, error: &DecodeError, asked: Option<ProtocolVersion>, newest: ProtocolVersion) -> Wiped {
        let known = asked.filter(|asked| asked.nearest().is_some_and(|it| self.settings.versions.contains(&it)));
        let reason = decode_reason(error.kind, asked.unwrap_or(newest));
        let reason = match (error.kind, known) {
            (DecodeErrorKind::UnsupportedVersion(_), _) | (_, Some(_)) => reason,
            (_, None) => ResultReason::INVALID_MESSAGE,
        };
        self.whole_failure(known.unwrap_or(newest), asked.unwrap_or(newest), &error.to_string(), reason)
    }

    fn whole_failure(
        &self,
        version: ProtocolVersion,
        asked: ProtocolVersion,
        text: &str,
        reason: ResultReason,
    ) -> Wiped {
        // A reason that the answer's version lacks would not be understood: 1.x knows Invalid Message only.
        let reason = if asked >= V2_0 && reason.is_defined(version) { reason } else { old_reason(reason) };
        let header = self.header(version, version, "", None);
        let item = Answer::failure(None, reason, text);
        encode(&ResponseMessage { header, items: vec![item] })
    }

    fn header(
        &self,
        asked: ProtocolVersion,
        version: ProtocolVersion,
        request: &str,
        client_correlation_value: Option<String>,
    ) -> ResponseHeader {
        let now = DateTime(self.engine.ports().clock.now().seconds());
        let mut header = ResponseHeader::new(asked, now);
        if version >= V1_4 {
            header.client_correlation_value = client_correlation_value;
            header.server_correlation_value = Some(request.to_owned()).filter(|request| !request.is_empty());
        }
        header
    }
}

fn old_reason(reason: ResultReason) -> ResultReason {
    match reason {
        ResultReason::INVALID_FIELD | ResultReason::INVALID_MESSAGE => reason,
        _ => ResultReason::INVALID_MESSAGE,
    }
}

fn encode(answer: &ResponseMessage<Response>) -> Wiped {
    answer.encode().unwrap_or_else(|error| {
        tracing::error!(%error, "an answer cannot be encoded");
        Wiped::new(Vec::new())
    })
}

/// How much an answer may still grow, where the client says how long it may be (KMIP 2.1 §8.2, Maximum Response Size). What
/// cannot fit is refused before it is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room(usize);

/// Every item has these: its structure, operation, status and the structure of its payload.
const ITEM_BYTES: usize = 8 + 16 + 16 + 8;

impl Room {
    /// What a header leaves.
    fn after(max: usize, header: &ResponseHeader) -> Self {
        let empty = ResponseMessage::<Response> { header: header.clone(), items: Vec::new() };
        Self(max.saturating_sub(encode(&empty).len()))
    }

    /// Whether an item with a payload of so many bytes can still fit.
    pub(super) const fn holds(self, payload: usize) -> bool {
        payload.saturating_add(ITEM_BYTES) <= self.0
    }

    /// Whether this answer fits.
    pub(super) fn holds_answer(self, answer: &Answer, version: ProtocolVersion) -> bool {
        answer.encoded_bytes(version).is_ok_and(|bytes| bytes <= self.0)
    }

    /// Less room, by one answer.
    fn take(&mut self, answer: &Answer, version: ProtocolVersion) {
        self.0 = self.0.saturating_sub(answer.encoded_bytes(version).unwrap_or(ITEM_BYTES));
    }
}

/// What must hold before any item runs.
fn check_items(items: &[RequestItem<Item<'_>>], version: ProtocolVersion) -> Result<(), Refusal> {
    let refuse = |reason, text: &'static str| Err(Refusal::new(reason, text));
    if items.is_empty() {
        return refuse(ResultReason::INVALID_MESSAGE, "the message has no batch item");
    }
    if version <= V2_1 && items.len() > 1 {
        let mut ids: Vec<&[u8]> = items.iter().filter_map(|item| item.id.as_deref()).collect();
        if ids.len() != items.len() {
            return refuse(ResultReason::INVALID_MESSAGE, "each item of a batch needs a unique batch item id");
        }
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            return refuse(ResultReason::INVALID_MESSAGE, "a unique batch item id is given twice");
        }
    }
    Ok(())
}

/// Whether the items are answered later. Up to 1.4 the client says that it takes that, and expects it; from 2.0 on only
/// *Mandatory* asks for it. What is about pending operations is answered at once.
fn is_asynchronous(
    header: &RequestHeader,
    version: ProtocolVersion,
    operations: &[(Operation, Option<Vec<u8>>)],
) -> bool {
    let wanted = header.asynchronous_indicator.is_some_and(|it| match it.0 {
        AsynchronousIndicator::MANDATORY => true,
        AsynchronousIndicator::OPTIONAL => version < V2_0,
        _ => false,
    });
    wanted && !operations.iter().any(|(operation, _)| ABOUT.contains(operation))
}

/// The authentication layer's word for a credential; `None` for types that prove nothing here.
fn claim(credential: &Credential) -> Option<CredentialClaim<'_>> {
    Some(match credential {
        Credential::UsernameAndPassword(it) => CredentialClaim::Password {
            user: &it.username,
            password: it.password.as_ref().map(|text| text.expose_secret().as_bytes()),
        },
        Credential::Device(it) => CredentialClaim::Device(DeviceClaim {
            serial_number: it.device_serial_number.as_deref(),
            password: it.password.as_ref().map(|text| text.expose_secret().as_bytes()),
            device_identifier: it.device_identifier.as_deref(),
            network_identifier: it.network_identifier.as_deref(),
            machine_identifier: it.machine_identifier.as_deref(),
            media_identifier: it.media_identifier.as_deref(),
        }),
        Credential::OneTimePassword(it) => CredentialClaim::OneTime {
            user: &it.username,
            password: it.password.as_ref().map(|text| text.expose_secret().as_bytes()),
            one_time: it.one_time_password.expose_secret().as_bytes(),
        },
        Credential::HashedPassword(it) => CredentialClaim::Hashed {
            user: &it.username,
            time: Timestamp::from_micros(it.time_stamp.0),
            hash: it.hashing_algorithm.map_or(HashingAlgorithm::SHA_256, |hash| HashingAlgorithm(hash.number())),
            value: it.hashed_password.expose_secret(),
        },
        _ => return None,
    })
}

/// Takes the data out of an answer whose client wants it for later items only (KMIP 2.1 §9.8, Ephemeral).
fn without_data(response: &mut Response) {
    match response {
        Response::Encrypt(it) => it.data = None,
        Response::Decrypt(it) => it.data = None,
        Response::Hash(it) => it.data = None,
        Response::Sign(it) => it.signature_data = None,
        Response::Mac(it) => it.mac_data = None,
        Response::SignatureVerify(it) => it.data = None,
        _ => {}
    }
}

/// The operations that a version offers here, in the order of their codes.
pub(super) fn operations(service: &Service, version: ProtocolVersion) -> Vec<Operation> {
    dispatch::offered(&service.settings, version).collect()
}
