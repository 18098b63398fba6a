//! Message headers (KMIP 1.0 §7.1, 2.1 §8 and §9), without Batch Count, which the message itself counts.

use super::Credential;
use crate::attribute::Nonce;
use crate::codec::{Codec, DateTime, fields};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::fuzzing::{Sample, Seeds};
use crate::spec::enums::{AsynchronousIndicator, AttestationType, BatchErrorContinuationOption, Ephemeral};
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, Reader, Writer};
use crate::version::{ProtocolVersion, V2_0, V3_0};

fields! {
    /// What goes before the batch items of a request.
    #[derive(Default)]
    pub struct RequestHeader {
        protocol_version: required ProtocolVersion, [PROTOCOL_VERSION V1_0..];
        maximum_response_size: optional i32, [MAXIMUM_RESPONSE_SIZE V1_0..];
        client_correlation_value: optional String, [CLIENT_CORRELATION_VALUE V1_4..];
        server_correlation_value: optional String, [SERVER_CORRELATION_VALUE V1_4..];
        asynchronous_indicator: optional Asynchronous, [ASYNCHRONOUS_INDICATOR V1_0..];
        attestation_capable_indicator: optional bool, [ATTESTATION_CAPABLE_INDICATOR V1_2..];
        attestation_types: repeated AttestationType, [ATTESTATION_TYPE V1_2..];
        authentication: optional Authentication, [AUTHENTICATION V1_0..];
        batch_error_continuation_option: optional BatchErrorContinuationOption, [BATCH_ERROR_CONTINUATION_OPTION V1_0..];
        batch_order_option: optional bool, [BATCH_ORDER_OPTION V1_0..=V2_1];
        time_stamp: optional DateTime, [TIME_STAMP V1_0..];
    }

    /// What goes before the batch items of a response.
    #[derive(Clone)]
    pub struct ResponseHeader {
        protocol_version: required ProtocolVersion, [PROTOCOL_VERSION V1_0..];
        time_stamp: required DateTime, [TIME_STAMP V1_0..];
        nonce: optional Nonce, [NONCE V1_2..];
        server_hashed_password: optional Vec<u8>, [SERVER_HASHED_PASSWORD V2_0..];
        attestation_types: repeated AttestationType, [ATTESTATION_TYPE V1_2..];
        client_correlation_value: optional String, [CLIENT_CORRELATION_VALUE V1_4..];
        server_correlation_value: optional String, [SERVER_CORRELATION_VALUE V1_4..];
    }

    /// The credentials of a request, all of which must hold.
    #[derive(Default)]
    pub struct Authentication {
        credentials: repeated Credential, [CREDENTIAL V1_0..];
    }
}

impl RequestHeader {
    /// A header that says nothing but the version.
    pub fn new(protocol_version: ProtocolVersion) -> Self {
        Self { protocol_version, ..Self::default() }
    }
}

impl ResponseHeader {
    /// A header with what every response has.
    pub const fn new(protocol_version: ProtocolVersion, time_stamp: DateTime) -> Self {
        Self {
            protocol_version,
            time_stamp,
            nonce: None,
            server_hashed_password: None,
            attestation_types: Vec::new(),
            client_correlation_value: None,
            server_correlation_value: None,
        }
    }
}

/// The oldest version, for headers that are filled in later.
impl Default for ProtocolVersion {
    fn default() -> Self {
        crate::version::V1_0
    }
}

impl Codec for ProtocolVersion {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(item, context)?;
        let mut number = |tag| {
            let found = reader.required(tag)?;
            i32::decode(&found, context).map_err(|error| reader.within(error))
        };
        let version = Self::new(number(Tag::PROTOCOL_VERSION_MAJOR)?, number(Tag::PROTOCOL_VERSION_MINOR)?);
        reader.finish()?;
        Ok(version)
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        writer.structure(tag, |writer| {
            writer.integer(Tag::PROTOCOL_VERSION_MAJOR, self.major);
            writer.integer(Tag::PROTOCOL_VERSION_MINOR, self.minor);
        });
    }
}

impl Sample for ProtocolVersion {
    fn sample(_: &mut Seeds, version: ProtocolVersion) -> Self {
        version
    }
}

/// Asynchronous Indicator: from 2.0 an enumeration; in 1.x a Boolean, where true means that the client accepts an
/// answer later, which is `Optional` here (KMIP 1.0 §6.7, 2.0 §8.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asynchronous(pub AsynchronousIndicator);

impl Codec for Asynchronous {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        if context.version >= V2_0 {
            return AsynchronousIndicator::decode(item, context).map(Self);
        }
        let accepts = bool::decode(item, context)?;
        Ok(Self(if accepts { AsynchronousIndicator::OPTIONAL } else { AsynchronousIndicator::PROHIBITED }))
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        if writer.version() >= V2_0 {
            self.0.encode(tag, writer);
        } else {
            writer.boolean(tag, self.0 != AsynchronousIndicator::PROHIBITED);
        }
    }
}

impl Sample for Asynchronous {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        let indicator = AsynchronousIndicator::sample(seeds, V3_0);
        let collapses = version < V2_0 && indicator == AsynchronousIndicator::MANDATORY;
        Self(if collapses { AsynchronousIndicator::OPTIONAL } else { indicator })
    }
}

/// Ephemeral: which fields of the answer are not wanted; a Boolean up to 2.1, where true means the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EphemeralFields {
    /// Nothing is left out; a Boolean of 2.x only.
    None,
    /// What this value says is left out.
    Without(Ephemeral),
}

impl Codec for EphemeralFields {
    fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
        if context.version >= V3_0 {
            return Ephemeral::decode(item, context).map(Self::Without);
        }
        let is_ephemeral = bool::decode(item, context)?;
        Ok(if is_ephemeral { Self::Without(Ephemeral::DATA) } else { Self::None })
    }

    fn encode(&self, tag: Tag, writer: &mut Writer) {
        match self {
            Self::Without(fields) if writer.version() >= V3_0 => fields.encode(tag, writer),
            Self::None if writer.version() >= V3_0 => {}
            other => writer.boolean(tag, *other != Self::None),
        }
    }
}

impl Sample for EphemeralFields {
    fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
        match seeds.below(2) {
            _ if version >= V3_0 => Self::Without(Sample::sample(seeds, version)),
            0 => Self::None,
            _ => Self::Without(Ephemeral::DATA),
        }
    }
}

/// Reads the version out of a header that may be wrong in other places.
pub(super) fn version_of(header: &Item<'_>) -> Result<ProtocolVersion, DecodeError> {
    let lenient = Context { version: crate::version::V1_0, ignore_unknown: true };
    let version = header
        .child(Tag::PROTOCOL_VERSION)
        .ok_or_else(|| DecodeError::new(header.offset, DecodeErrorKind::MissingField(Tag::PROTOCOL_VERSION)))
        .and_then(|version| ProtocolVersion::decode(&version, lenient));
    version.map_err(|error| error.within(header.tag))
}
