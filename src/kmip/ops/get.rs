//! Get: a value, plain or wrapped under another key.

use kmip_codec::{
    attribute as wire_attributes,
    object::{KeyMaterial, KeyValue, KeyWrappingData, KeyWrappingSpecification, ManagedObject as WireObject},
    payload::{GetRequest, GetResponse},
    secret::SecretBytes,
    spec::enums::{self, BlockCipherMode, EncodingOption, KeyWrapType, ResultReason, WrappingMethod},
};

use super::wire;
use crate::{
    domain::{ManagedObject, ObjectType, Origin, UniqueIdentifier, algorithm::KeyFormatType as F},
    engine::{
        Error, ErrorKind,
        ops::{
            attributes::ReadAttributes,
            reveal::{Encode, Form, Prefer, Reveal, RevealWrapped},
        },
        ports::WrapMode,
    },
    kmip::{attributes, batch::Exchange, error::Refusal, values},
};

pub(in crate::kmip) async fn get(on: &mut Exchange<'_>, request: GetRequest) -> Result<GetResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    match form(on, object, &request).await? {
        As::Plain(wanted, prefer) => plain(on, object, wanted, prefer).await,
        form => {
            let value = wrapped(on, object, form, true).await?;
            let value = value.ok_or_else(|| on.refusal(&Error::new(ErrorKind::Internal, "nothing was wrapped")))?;
            Ok(GetResponse { object_type: value.object_type(), unique_identifier: wire(object), object: value })
        }
    }
}

/// How a value is given out.
pub(super) enum As {
    /// Plain, or wrapped as it came: in this format, read like this.
    Plain(Option<F>, Prefer),
    /// Wrapped under another key.
    Wrapped(Option<F>, Box<KeyWrappingSpecification>),
}

impl As {
    /// How it is read when it leaves as it is.
    pub(super) const fn plain(&self) -> Option<Prefer> {
        match self {
            Self::Plain(_, prefer) => Some(*prefer),
            Self::Wrapped(..) => None,
        }
    }

    /// The format asked for.
    pub(super) const fn format(&self) -> Option<F> {
        match self {
            Self::Plain(wanted, _) | Self::Wrapped(wanted, _) => *wanted,
        }
    }
}

/// What a Get or Export asks for.
pub(super) async fn form(on: &Exchange<'_>, object: UniqueIdentifier, request: &GetRequest) -> Result<As, Refusal> {
    if request.key_compression_type.is_some_and(|it| it != enums::KeyCompressionType::EC_PUBLIC_KEY_TYPE_UNCOMPRESSED) {
        return Err(Refusal::new(ResultReason::KEY_COMPRESSION_TYPE_NOT_SUPPORTED, "keys are given uncompressed"));
    }
    let wanted = request.key_format_type.map(|it| F(it.number()));
    if let Some(specification) = request.key_wrapping_specification.clone()
        && request.key_wrap_type.is_none()
    {
        return Ok(As::Wrapped(wanted, Box::new(specification)));
    }
    match request.key_wrap_type {
        None | Some(KeyWrapType::AS_REGISTERED) => {}
        Some(KeyWrapType::NOT_WRAPPED) => return Ok(As::Plain(wanted, preferred(on, object, wanted).await?)),
        Some(_) => {
            let error = Error::new(ErrorKind::WrapTypeUnsupported, "keys are given unwrapped or as registered");
            return Err(on.refusal(&error));
        }
    }
    let prefer = match wanted {
        None => Prefer::AsRegistered,
        Some(wanted) => {
            // A key that came wrapped leaves wrapped, in the format that it came in.
            let known = on.run(ReadAttributes { object, digest: false }).await?.object;
            if values::came_wrapped(&known) && known.format == Some(wanted) {
                Prefer::AsRegistered
            } else {
                prefer(&known, wanted)
            }
        }
    };
    Ok(As::Plain(wanted, prefer))
}

/// Which form is read depends on the object's own format, which is known once it is loaded: a format that differs from
/// it needs the canonical key. Reading attributes first costs a look-up, and only where a format is named.
async fn preferred(on: &Exchange<'_>, object: UniqueIdentifier, wanted: Option<F>) -> Result<Prefer, Refusal> {
    match wanted {
        None => Ok(Prefer::AsGiven),
        Some(wanted) => Ok(prefer(&on.run(ReadAttributes { object, digest: false }).await?.object, wanted)),
    }
}

async fn plain(
    on: &Exchange<'_>,
    object: UniqueIdentifier,
    wanted: Option<F>,
    prefer: Prefer,
) -> Result<GetResponse, Refusal> {
    let revealed = match on.execute(Reveal { object, prefer }).await {
        Ok(revealed) => revealed,
        Err(error) if error.kind == ErrorKind::ValueMissing => return without_value(on, object, &error).await,
        Err(error) => return Err(on.refusal(&error)),
    };
    let wire_object = values::outgoing(&revealed.object, revealed.value, revealed.form, wanted, on.version)
        .map_err(|error| on.refusal(&error))?;
    Ok(GetResponse {
        object_type: enums::ObjectType::from_number(revealed.object.object_type.number()),
        unique_identifier: wire(object),
        object: wire_object,
    })
}

/// A key whose value this server was never given is answered with an empty key block (TC-MDO-1).
async fn without_value(on: &Exchange<'_>, object: UniqueIdentifier, error: &Error) -> Result<GetResponse, Refusal> {
    let known = on.run(ReadAttributes { object, digest: false }).await?.object;
    if !known.object_type.is_key() || known.origin != Origin::Kmip {
        return Err(on.refusal(error));
    }
    let block = values::plain_block(&known, values::default_format(&known), None, on.version);
    Ok(GetResponse {
        object_type: enums::ObjectType::from_number(known.object_type.number()),
        unique_identifier: wire(object),
        object: values::block_object(&known, block).map_err(|error| on.refusal(&error))?,
    })
}

fn prefer(object: &ManagedObject, wanted: F) -> Prefer {
    if object.format == Some(wanted) { Prefer::AsGiven } else { Prefer::Canonical }
}

/// The object wrapped under another key, or nothing where the form asks for no wrapping. `ends_fresh` is false for reads
/// that change nothing.
pub(super) async fn wrapped(
    on: &Exchange<'_>,
    object: UniqueIdentifier,
    form: As,
    ends_fresh: bool,
) -> Result<Option<WireObject>, Refusal> {
    let As::Wrapped(wanted, specification) = form else { return Ok(None) };
    let specification = *specification;
    let refuse = |reason, text: &'static str| Refusal::new(reason, text);
    if specification.wrapping_method != WrappingMethod::ENCRYPT || specification.mac_signature_key_information.is_some()
    {
        return Err(refuse(ResultReason::FEATURE_NOT_SUPPORTED, "keys are wrapped by encryption only"));
    }
    let information = specification
        .encryption_key_information
        .ok_or_else(|| refuse(ResultReason::INVALID_MESSAGE, "the wrapping key is not named"))?;
    let wrapping_key = on.object(Some(&information.unique_identifier)).map_err(|_not_ours| missing_wrapping_key(on))?;
    let mode = wrap_mode(information.cryptographic_parameters.as_ref()).map_err(|error| on.refusal(&error))?;
    let bare = specification.encoding_option == Some(EncodingOption::NO_ENCODING);
    if bare && !specification.attribute_names.is_empty() {
        let error = Error::new(ErrorKind::WrappingEncoding, "attributes travel in an encoded key value only");
        return Err(on.refusal(&error));
    }
    let set = on.run(ReadAttributes { object, digest: false }).await?;
    if !set.object.object_type.has_key_block() {
        let error = Error::new(ErrorKind::WrongObjectType, "objects without a key block are not wrapped");
        return Err(on.refusal(&error));
    }
    let format = wanted.unwrap_or_else(|| values::default_format(&set.object));
    let inside: Vec<_> = set
        .attributes
        .iter()
        .filter(|attribute| {
            let name = attributes::wire_kind(&attribute.kind).name(on.version);
            specification.attribute_names.iter().any(|wanted| Some(wanted) == name.as_ref())
        })
        .cloned()
        .collect();
    let version = on.version;
    let raw = bare && set.object.object_type == ObjectType::SymmetricKey && format == F::RAW;
    let encode: Option<Encode> = (!raw).then(|| -> Encode {
        Box::new(move |object: &ManagedObject, value, form: Form| {
            let material = values::material(object, &value, form, format, version)?;
            if bare {
                match material {
                    KeyMaterial::Bytes(bytes) => Ok(values::secret(bytes)),
                    _ => Err(Error::new(
                        ErrorKind::WrappingEncoding,
                        "a transparent key is wrapped in its encoding only",
                    )),
                }
            } else {
                values::encoded_for_wrapping(material, attributes::for_client(&inside, version), version)
            }
        })
    });
    let operation =
        RevealWrapped { object, wrapping_key, mode, prefer: prefer(&set.object, format), encode, ends_fresh };
    let wrapped = match on.execute(operation).await {
        Ok(wrapped) => wrapped,
        Err(error) if error.kind == ErrorKind::NotFound => return Err(missing_wrapping_key(on)),
        Err(error) => return Err(on.refusal(&error)),
    };
    let data = KeyWrappingData {
        wrapping_method: WrappingMethod::ENCRYPT,
        encryption_key_information: Some(kmip_codec::object::EncryptionKeyInformation {
            unique_identifier: wire(wrapping_key),
            cryptographic_parameters: information.cryptographic_parameters,
        }),
        mac_signature_key_information: None,
        mac_signature: None,
        iv_counter_nonce: None,
        encoding_option: specification.encoding_option,
    };
    let bytes = SecretBytes::from(wrapped.wrapped);
    let mut block = values::plain_block(&wrapped.object, format, None, version);
    // Wrapped material is a byte string in the place of the key value, with and without its encoding (TC-141).
    block.key_value = Some(KeyValue::Wrapped(bytes));
    block.key_wrapping_data = Some(data);
    values::block_object(&wrapped.object, block).map(Some).map_err(|error| on.refusal(&error))
}

/// The mode that wrapping parameters name; the one of RFC 3394 when they name none.
pub(super) fn wrap_mode(parameters: Option<&wire_attributes::CryptographicParameters>) -> Result<WrapMode, Error> {
    match parameters.and_then(|it| it.block_cipher_mode) {
        None | Some(BlockCipherMode::NIST_KEY_WRAP) => Ok(WrapMode::AesKeyWrap),
        Some(BlockCipherMode::AES_KEY_WRAP_PADDING) => Ok(WrapMode::AesKeyWrapPadding),
        Some(_) => Err(Error::new(ErrorKind::UnsupportedParameters, "keys are wrapped by NIST or AES key wrap")),
    }
}

fn missing_wrapping_key(on: &Exchange<'_>) -> Refusal {
    on.refusal(&Error::new(ErrorKind::WrappingKeyMissing, "the wrapping key does not exist"))
}
