//! A whole message: header rules, batch order and continuation, response size (contract §1 and §4).

use std::sync::Arc;

use kmip_codec::{
    DecodeError, DecodeErrorKind, Limits, ProtocolVersion,
    codec::DateTime,
    message::{
        Credential, RequestHeader, RequestItem, RequestMessage, ResponseHeader, ResponseItem, ResponseMessage,
        peek_version,
    },
    payload::Response,
    spec::enums::{AsynchronousIndicator, BatchErrorContinuationOption, Operation, ResultReason},
    ttlv::Item,
    version::{SUPPORTED, V1_4, V2_0, V2_1},
};
use zeroize::Zeroizing;

use super::{
    batch::Exchange,
    connection::Peer,
    dispatch,
    error::{Refusal, decode_reason},
};
use crate::engine::Engine;

/// What the KMIP front end may do and how much it takes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Versions that are answered, newest first.
    pub versions: Vec<ProtocolVersion>,
    /// What one message may cost.
    pub limits: Limits,
    /// Whether the Interop operation is answered; for conformance tests only.
    pub interop: bool,
    /// How long a connection may be idle.
    pub idle: std::time::Duration,
    /// How long a message may take to arrive once it has begun.
    pub message_timeout: std::time::Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            versions: SUPPORTED.into_iter().filter(|version| *version <= V2_1).collect(),
            limits: Limits::AUTHENTICATED,
            interop: false,
            idle: std::time::Duration::from_secs(1800),
            message_timeout: std::time::Duration::from_secs(30),
        }
    }
}

/// The front end's state, shared by all connections.
pub struct Service {
    /// Runs the use cases.
    pub engine: Arc<Engine>,
    /// Limits and switches.
    pub settings: Settings,
}

type Answer = ResponseItem<Response>;

impl Service {
    /// Answers one message. The answer is always a whole, well-formed message.
    pub async fn answer(&self, peer: &Peer, request: &str, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
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
        let header = self.header(asked, version, request, message.header.client_correlation_value.clone());
        let size_max = message.header.maximum_response_size.and_then(|size| usize::try_from(size).ok());
        let single = match message.items.as_slice() {
            [only] => Some((only.operation, only.id.clone())),
            _ => None,
        };
        let items = match check_header(&message.header, &message.items, version) {
            Err(refusal) => vec![ResponseItem::failure(None, refusal.reason, refusal.message)],
            Ok(()) => self.batch(peer, request, version, message).await,
        };
        let answer = ResponseMessage { header, items };
        match answer.encode() {
            Ok(encoded) if size_max.is_none_or(|max| encoded.len() <= max) => encoded,
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
    pub fn refuse(&self, bytes: &[u8]) -> Zeroizing<Vec<u8>> {
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

    async fn batch(
        &self,
        peer: &Peer,
        request: &str,
        version: ProtocolVersion,
        message: RequestMessage<Item<'_>>,
    ) -> Vec<Answer> {
        let option = message.header.batch_error_continuation_option;
        let go_on = option == Some(BatchErrorContinuationOption::CONTINUE);
        let mut exchange = Exchange::new(self, peer, request, version);
        let mut answers = Vec::with_capacity(message.items.len());
        for item in message.items {
            let (operation, id) = (item.operation, item.id.clone());
            let answer = match self.item(&mut exchange, item).await {
                Ok(payload) => Answer { id, ..Answer::success(operation, payload) },
                Err(refusal) => Answer { id, ..Answer::failure(Some(operation), refusal.reason, refusal.message) },
            };
            let failed = answer.reason.is_some();
            answers.push(answer);
            if failed && !go_on {
                break;
            }
        }
        answers
    }

    async fn item(&self, exchange: &mut Exchange<'_>, item: RequestItem<Item<'_>>) -> Result<Response, Refusal> {
        if item.extensions.iter().any(|extension| extension.criticality_indicator) {
            return Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, "the message extension is not known"));
        }
        dispatch::run(exchange, item.operation, &item.payload).await
    }

    /// The message cannot be read: one item without operation, in the version asked for where that can be told.
    fn malformed(&self, error: &DecodeError, bytes: &[u8], newest: ProtocolVersion) -> Zeroizing<Vec<u8>> {
        self.malformed_in(error, peek_version(bytes), newest)
    }

    /// The answer to a text that is no message; `asked` is the version that could be read in it.
    pub(super) fn unreadable(&self, error: &DecodeError, asked: Option<ProtocolVersion>) -> Zeroizing<Vec<u8>> {
        self.malformed_in(error, asked, self.newest())
    }

    /// The answer instead of one that the encoding of the request cannot express.
    pub(super) fn inexpressible(&self, answer: &[u8], reason: ResultReason, text: &str) -> Zeroizing<Vec<u8>> {
        let version = peek_version(answer).unwrap_or_else(|| self.newest());
        self.whole_failure(version, version, text, reason)
    }

    fn newest(&self) -> ProtocolVersion {
        self.settings.versions.first().copied().unwrap_or(V2_1)
    }

    fn malformed_in(
        &self,
        error: &DecodeError,
        asked: Option<ProtocolVersion>,
        newest: ProtocolVersion,
    ) -> Zeroizing<Vec<u8>> {
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
    ) -> Zeroizing<Vec<u8>> {
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

fn encode(answer: &ResponseMessage<Response>) -> Zeroizing<Vec<u8>> {
    answer.encode().unwrap_or_else(|error| {
        tracing::error!(%error, "an answer cannot be encoded");
        Zeroizing::new(Vec::new())
    })
}

/// What must hold before any item runs.
fn check_header(
    header: &RequestHeader,
    items: &[RequestItem<Item<'_>>],
    version: ProtocolVersion,
) -> Result<(), Refusal> {
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
    if header.asynchronous_indicator.is_some_and(|it| it.0 == AsynchronousIndicator::MANDATORY) {
        return refuse(ResultReason::OPERATION_NOT_SUPPORTED, "operations are answered at once only");
    }
    if header.batch_error_continuation_option == Some(BatchErrorContinuationOption::UNDO) && items.len() > 1 {
        return refuse(ResultReason::FEATURE_NOT_SUPPORTED, "batches are not undone yet");
    }
    let credentials = header.authentication.iter().flat_map(|it| &it.credentials);
    for credential in credentials {
        match credential {
            // The certificate says who the client is. Names and devices that old clients send along are no second proof
            // here, because none are enrolled; what claims to prove more than the certificate is refused.
            Credential::UsernameAndPassword(_) | Credential::Device(_) => {}
            _ => {
                return refuse(
                    ResultReason::AUTHENTICATION_NOT_SUCCESSFUL,
                    "credentials of this type are not accepted",
                );
            }
        }
    }
    Ok(())
}

/// The operations that a version offers here, in the order of their codes.
pub(super) fn operations(service: &Service, version: ProtocolVersion) -> Vec<Operation> {
    dispatch::offered(&service.settings, version).collect()
}
