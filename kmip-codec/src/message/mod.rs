//! Whole messages: header and batch items (KMIP 1.0 §7, 2.1 §8).
//!
//! A message is decoded in two steps. The first reads header and batch framing and leaves each payload an [`Item`], so
//! that a payload this crate cannot read fails its own batch item only; `payload::Request::decode` and
//! `payload::Response::decode` are the second. Encoding takes typed payloads or items. Batch Count is never stored: it
//! is checked on the way in and counted on the way out.

mod credential;
mod header;

pub use credential::{
    Attestation, Credential, Device, HashedPassword, OneTimePassword, Ticket, TicketCredential, UsernameAndPassword,
};
pub use header::{Asynchronous, Authentication, EphemeralFields, RequestHeader, ResponseHeader};

use crate::codec::{Codec, Structure, fields};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::limits::Limits;
use crate::secret::Wiped;
use crate::spec::enums::{Operation, ResultReason, ResultStatus};
use crate::spec::tags::Tag;
use crate::ttlv::{self, Context, Item, MessageKind, Reader, Value, Writer};
use crate::version::{ProtocolVersion, SUPPORTED, V2_1};

/// What can stand as the payload of a batch item that is to be written.
pub trait Payload {
    /// Writes the payload under `tag`.
    fn encode_payload(&self, tag: Tag, writer: &mut Writer);
}

impl Payload for Item<'_> {
    fn encode_payload(&self, tag: Tag, writer: &mut Writer) {
        writer.value(tag, &self.value);
    }
}

/// A request.
#[derive(PartialEq, Debug)]
pub struct RequestMessage<P> {
    /// The header.
    pub header: RequestHeader,
    /// The batch items, in order.
    pub items: Vec<RequestItem<P>>,
}

/// A response.
#[derive(PartialEq, Debug)]
pub struct ResponseMessage<P> {
    /// The header.
    pub header: ResponseHeader,
    /// The batch items, in order.
    pub items: Vec<ResponseItem<P>>,
}

/// One operation that is asked for.
#[derive(PartialEq, Debug)]
pub struct RequestItem<P> {
    /// Which operation.
    pub operation: Operation,
    /// What the answer need not contain, 2.0 and later.
    pub ephemeral: Option<EphemeralFields>,
    /// Comes back with the answer, up to 2.1.
    pub id: Option<Vec<u8>>,
    /// What the operation is to do.
    pub payload: P,
    /// Vendor extensions.
    pub extensions: Vec<MessageExtension>,
}

/// The answer to one operation.
#[derive(PartialEq, Debug)]
pub struct ResponseItem<P> {
    /// Which operation; absent when the message as a whole was refused.
    pub operation: Option<Operation>,
    /// The id of the request's batch item, up to 2.1.
    pub id: Option<Vec<u8>>,
    /// How it ended.
    pub status: ResultStatus,
    /// Why it failed.
    pub reason: Option<ResultReason>,
    /// The same for people.
    pub message: Option<String>,
    /// What to poll for when the operation is pending.
    pub asynchronous_correlation_value: Option<Vec<u8>>,
    /// What came out.
    pub payload: Option<P>,
    /// Vendor extensions.
    pub extensions: Vec<MessageExtension>,
}

impl<P> RequestItem<P> {
    /// An item with nothing optional.
    pub const fn new(operation: Operation, payload: P) -> Self {
        Self { operation, ephemeral: None, id: None, payload, extensions: Vec::new() }
    }
}

impl<P> ResponseItem<P> {
    /// A success.
    pub fn success(operation: Operation, payload: P) -> Self {
        Self { payload: Some(payload), ..Self::with_status(Some(operation), ResultStatus::SUCCESS) }
    }

    /// A failure; without an operation, of the whole message.
    pub fn failure(operation: Option<Operation>, reason: ResultReason, message: impl Into<String>) -> Self {
        Self {
            reason: Some(reason),
            message: Some(message.into()),
            ..Self::with_status(operation, ResultStatus::OPERATION_FAILED)
        }
    }

    /// An item with nothing but a status.
    pub const fn with_status(operation: Option<Operation>, status: ResultStatus) -> Self {
        Self {
            operation,
            id: None,
            status,
            reason: None,
            message: None,
            asynchronous_correlation_value: None,
            payload: None,
            extensions: Vec::new(),
        }
    }
}

fields! {
    /// Something the standard does not define (KMIP 1.0 §6.16).
    #[derive(Clone)]
    pub struct MessageExtension {
        vendor_identification: required String, [VENDOR_IDENTIFICATION V1_0..];
        /// An item with a critical extension must not be executed by who does not know the extension.
        criticality_indicator: required bool, [CRITICALITY_INDICATOR V1_0..];
        vendor_extension: required Value<'static>, [VENDOR_EXTENSION V1_0..];
    }

    /// The fields of a request's batch item before and after its payload.
    struct RequestFrame {
        operation: required Operation, [OPERATION V1_0..];
        ephemeral: optional EphemeralFields, [EPHEMERAL V2_0..];
        id: optional Vec<u8>, [UNIQUE_BATCH_ITEM_ID V1_0..=V2_1];
        extensions: repeated MessageExtension, [MESSAGE_EXTENSION V1_0..];
    }

    /// The fields of a response's batch item before and after its payload.
    struct ResponseFrame {
        operation: optional Operation, [OPERATION V1_0..];
        id: optional Vec<u8>, [UNIQUE_BATCH_ITEM_ID V1_0..=V2_1];
        status: required ResultStatus, [RESULT_STATUS V1_0..];
        reason: optional ResultReason, [RESULT_REASON V1_0..];
        message: optional String, [RESULT_MESSAGE V1_0..];
        asynchronous_correlation_value: optional Vec<u8>, [ASYNCHRONOUS_CORRELATION_VALUE V1_0..];
        extensions: repeated MessageExtension, [MESSAGE_EXTENSION V1_0..];
    }
}

/// Reads the protocol version of a message that may be malformed further on, for the answer that says so.
///
/// `None` when the message does not begin with a header that begins with a version.
pub fn peek_version(bytes: &[u8]) -> Option<ProtocolVersion> {
    // Message, header, version and the two numbers have fixed places: 8 bytes of header each, then 16 for each number.
    let version = bytes.get(16..56)?;
    let limits = Limits { message_bytes_max: 64, ..Limits::default() };
    let item = ttlv::parse(version, &limits).ok().filter(|item| item.tag == Tag::PROTOCOL_VERSION)?;
    let context = Context { version: SUPPORTED[0], ignore_unknown: true };
    ProtocolVersion::decode(&item, context).ok()
}

/// A message taken apart: the header's version, the header and how many batch items follow.
struct Parts<'a> {
    context: Context,
    header: Item<'a>,
    message: Item<'a>,
    count: usize,
}

impl<'a> Parts<'a> {
    /// Refuses messages of another kind, without a header in front, of an unknown major version, or with other fields.
    fn of(bytes: &'a [u8], kind: MessageKind, header_tag: Tag, limits: &Limits) -> Result<Self, DecodeError> {
        let message = ttlv::parse(bytes, limits)?;
        let tag = message.tag;
        let within = |offset, kind| DecodeError::new(offset, kind).within(tag);
        if tag != kind.tag() || !matches!(message.value, Value::Structure(_)) {
            return Err(within(0, DecodeErrorKind::NotAMessage));
        }
        let mut children = message.children();
        let Some(header) = children.next().filter(|header| header.tag == header_tag) else {
            return Err(within(0, DecodeErrorKind::MissingField(header_tag)));
        };
        let version = header::version_of(&header).map_err(|error| error.within(tag))?;
        let context = Context::new(version).map_err(|error| error.within(tag))?;
        let mut count = 0;
        for child in children {
            match child.tag {
                Tag::BATCH_ITEM if count == limits.batch_items_max => {
                    return Err(within(child.offset, DecodeErrorKind::TooMany));
                }
                Tag::BATCH_ITEM => count += 1,
                other if other == header_tag => {
                    return Err(within(child.offset, DecodeErrorKind::DuplicateField(other)));
                }
                _ if context.ignore_unknown => {}
                other => return Err(within(child.offset, DecodeErrorKind::UnexpectedField(other))),
            }
        }
        Ok(Self { context, header, message, count })
    }

    /// Reads the header and compares its Batch Count, which 3.0 does not have, with the items.
    fn header<H: Structure>(&self) -> Result<H, DecodeError> {
        let within = |error: DecodeError| error.within(self.message.tag);
        let mut reader = Reader::new(&self.header, self.context).map_err(within)?;
        let header = H::decode_fields(&mut reader).map_err(within)?;
        if self.context.version <= V2_1 {
            let item = reader.required(Tag::BATCH_COUNT).map_err(within)?;
            let count = i32::decode(&item, self.context).map_err(|error| within(reader.within(error)))?;
            if usize::try_from(count).ok() != Some(self.count) {
                return Err(within(
                    reader.within(DecodeError::new(item.offset, DecodeErrorKind::BatchCount).within(Tag::BATCH_COUNT)),
                ));
            }
        }
        reader.finish().map_err(within)?;
        Ok(header)
    }

    /// Reads each batch item with its payload left as it is.
    fn items<F: Structure, T>(
        self,
        payload_tag: Tag,
        make: impl Fn(F, Option<Item<'a>>, usize) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let (context, message) = (self.context, self.message);
        let read = |item: Item<'a>| {
            let mut reader = Reader::new(&item, context)?;
            let frame = F::decode_fields(&mut reader)?;
            let payload = reader.optional(payload_tag)?;
            reader.finish()?;
            make(frame, payload, item.offset)
        };
        let items = message.children().filter(|child| child.tag == Tag::BATCH_ITEM);
        let mut read_items = Vec::with_capacity(self.count);
        for item in items {
            read_items.push(read(item).map_err(|error| error.within(message.tag))?);
        }
        Ok(read_items)
    }
}

impl<'a> RequestMessage<Item<'a>> {
    /// Reads header and batch framing; payloads stay items.
    ///
    /// # Errors
    ///
    /// Whatever makes the message as a whole unreadable; `UnsupportedVersion` for an unknown major version.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let parts = Parts::of(bytes, MessageKind::Request, Tag::REQUEST_HEADER, limits)?;
        let header = parts.header()?;
        let items = parts.items(Tag::REQUEST_PAYLOAD, |frame: RequestFrame, payload, offset| {
            let RequestFrame { operation, ephemeral, id, extensions } = frame;
            let missing = DecodeErrorKind::MissingField(Tag::REQUEST_PAYLOAD);
            let payload = payload.ok_or_else(|| DecodeError::new(offset, missing).within(Tag::BATCH_ITEM))?;
            Ok(RequestItem { operation, ephemeral, id, payload, extensions })
        })?;
        Ok(Self { header, items })
    }
}

impl<'a> ResponseMessage<Item<'a>> {
    /// Reads header and batch framing; payloads stay items.
    ///
    /// # Errors
    ///
    /// As for requests.
    pub fn decode(bytes: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let parts = Parts::of(bytes, MessageKind::Response, Tag::RESPONSE_HEADER, limits)?;
        let header = parts.header()?;
        let items = parts.items(Tag::RESPONSE_PAYLOAD, |frame: ResponseFrame, payload, _| {
            let ResponseFrame { operation, id, status, reason, message, asynchronous_correlation_value, extensions } =
                frame;
            Ok(ResponseItem {
                operation,
                id,
                status,
                reason,
                message,
                asynchronous_correlation_value,
                payload,
                extensions,
            })
        })?;
        Ok(Self { header, items })
    }
}

/// Starts a message for a version; unknown ones are answered as the newest known of their major, or of all.
fn writer_for(version: ProtocolVersion) -> Writer {
    let [newest, ..] = SUPPORTED;
    Writer::new(version.nearest().unwrap_or(newest))
}

fn put_header(header: &impl Structure, tag: Tag, items: usize, writer: &mut Writer) {
    writer.structure(tag, |writer| {
        header.encode_fields(writer);
        if writer.version() <= V2_1 {
            writer.integer(Tag::BATCH_COUNT, i32::try_from(items).unwrap_or(i32::MAX));
        }
    });
}

fn put_some<T: Codec>(value: Option<&T>, tag: Tag, writer: &mut Writer) {
    if let Some(value) = value {
        value.encode(tag, writer);
    }
}

impl<P: Payload> RequestMessage<P> {
    /// Writes the message for the version its header names.
    ///
    /// # Errors
    ///
    /// When an item is too long to be written.
    pub fn encode(&self) -> Result<Wiped, EncodeError> {
        let mut writer = writer_for(self.header.protocol_version);
        writer.structure(Tag::REQUEST_MESSAGE, |writer| {
            put_header(&self.header, Tag::REQUEST_HEADER, self.items.len(), writer);
            for item in &self.items {
                writer.structure(Tag::BATCH_ITEM, |writer| item.encode(writer));
            }
        });
        writer.finish()
    }
}

impl<P: Payload> RequestItem<P> {
    fn encode(&self, writer: &mut Writer) {
        self.operation.encode(Tag::OPERATION, writer);
        let version = writer.version();
        if Tag::EPHEMERAL.is_defined(version) {
            put_some(self.ephemeral.as_ref(), Tag::EPHEMERAL, writer);
        }
        if version <= V2_1 {
            put_some(self.id.as_ref(), Tag::UNIQUE_BATCH_ITEM_ID, writer);
        }
        self.payload.encode_payload(Tag::REQUEST_PAYLOAD, writer);
        self.extensions.iter().for_each(|extension| extension.encode(Tag::MESSAGE_EXTENSION, writer));
    }
}

impl<P: Payload> ResponseMessage<P> {
    /// Writes the message for the version its header names.
    ///
    /// # Errors
    ///
    /// When an item is too long to be written.
    pub fn encode(&self) -> Result<Wiped, EncodeError> {
        let mut writer = writer_for(self.header.protocol_version);
        writer.structure(Tag::RESPONSE_MESSAGE, |writer| {
            put_header(&self.header, Tag::RESPONSE_HEADER, self.items.len(), writer);
            for item in &self.items {
                writer.structure(Tag::BATCH_ITEM, |writer| item.encode(writer));
            }
        });
        writer.finish()
    }
}

impl<P: Payload> ResponseItem<P> {
    /// How many bytes the item takes in a message of that version.
    ///
    /// # Errors
    ///
    /// Those of writing it.
    pub fn encoded_bytes(&self, version: ProtocolVersion) -> Result<usize, EncodeError> {
        let mut writer = writer_for(version);
        writer.structure(Tag::BATCH_ITEM, |writer| self.encode(writer));
        Ok(writer.finish()?.len())
    }

    fn encode(&self, writer: &mut Writer) {
        put_some(self.operation.as_ref(), Tag::OPERATION, writer);
        if writer.version() <= V2_1 {
            put_some(self.id.as_ref(), Tag::UNIQUE_BATCH_ITEM_ID, writer);
        }
        self.status.encode(Tag::RESULT_STATUS, writer);
        put_some(self.reason.as_ref(), Tag::RESULT_REASON, writer);
        put_some(self.message.as_ref(), Tag::RESULT_MESSAGE, writer);
        put_some(self.asynchronous_correlation_value.as_ref(), Tag::ASYNCHRONOUS_CORRELATION_VALUE, writer);
        if let Some(payload) = &self.payload {
            payload.encode_payload(Tag::RESPONSE_PAYLOAD, writer);
        }
        self.extensions.iter().for_each(|extension| extension.encode(Tag::MESSAGE_EXTENSION, writer));
    }
}
