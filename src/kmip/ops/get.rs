//! Get: a value, plain or wrapped under another key.

use kmip_codec::{
    object::{KeyMaterial, KeyValue, KeyWrappingData, KeyWrappingSpecification},
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
    if request.key_compression_type.is_some_and(|it| it != enums::KeyCompressionType::EC_PUBLIC_KEY_TYPE_UNCOMPRESSED) {
        return Err(Refusal::new(ResultReason::KEY_COMPRESSION_TYPE_NOT_SUPPORTED, "keys are given uncompressed"));
    }
    let wanted = request.key_format_type.map(|it| F(it.number()));
    match request.key_wrapping_specification {
        Some(specification) if request.key_wrap_type != Some(KeyWrapType::NOT_WRAPPED) => {
            wrapped(on, object, wanted, specification).await
        }
        _ => plain(on, object, wanted).await,
    }
}

async fn plain(on: &Exchange<'_>, object: UniqueIdentifier, wanted: Option<F>) -> Result<GetResponse, Refusal> {
    // Which form is read depends on the object's own format, which is known once it is loaded: a format that differs
    // from it needs the canonical key. Reading attributes first costs a look-up, and only where a format is named.
    let prefer = match wanted {
        None => Prefer::AsGiven,
        Some(wanted) => prefer(&on.run(ReadAttributes { object, digest: false }).await?.object, wanted),
    };
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

async fn wrapped(
    on: &Exchange<'_>,
    object: UniqueIdentifier,
    wanted: Option<F>,
    specification: KeyWrappingSpecification,
) -> Result<GetResponse, Refusal> {
    let refuse = |reason, text: &'static str| Refusal::new(reason, text);
    if specification.wrapping_method != WrappingMethod::ENCRYPT || specification.mac_signature_key_information.is_some()
    {
        return Err(refuse(ResultReason::FEATURE_NOT_SUPPORTED, "keys are wrapped by encryption only"));
    }
    let information = specification
        .encryption_key_information
        .ok_or_else(|| refuse(ResultReason::INVALID_MESSAGE, "the wrapping key is not named"))?;
    let wrapping_key = on.object(Some(&information.unique_identifier)).map_err(|_not_ours| missing_wrapping_key(on))?;
    let mode = information.cryptographic_parameters.as_ref().and_then(|it| it.block_cipher_mode);
    let mode = match mode {
        None | Some(BlockCipherMode::NIST_KEY_WRAP) => WrapMode::AesKeyWrap,
        Some(BlockCipherMode::AES_KEY_WRAP_PADDING) => WrapMode::AesKeyWrapPadding,
        Some(_) => {
            let error = Error::new(ErrorKind::UnsupportedParameters, "keys are wrapped by NIST or AES key wrap");
            return Err(on.refusal(&error));
        }
    };
    let bare = specification.encoding_option == Some(EncodingOption::NO_ENCODING);
    if bare && !specification.attribute_names.is_empty() {
        let error = Error::new(ErrorKind::WrappingEncoding, "attributes travel in an encoded key value only");
        return Err(on.refusal(&error));
    }
    let set = on.run(ReadAttributes { object, digest: false }).await?;
    if !(set.object.object_type.is_key() || set.object.object_type == ObjectType::SecretData) {
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
    let operation = RevealWrapped { object, wrapping_key, mode, prefer: prefer(&set.object, format), encode };
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
    Ok(GetResponse {
        object_type: enums::ObjectType::from_number(wrapped.object.object_type.number()),
        unique_identifier: wire(object),
        object: values::block_object(&wrapped.object, block).map_err(|error| on.refusal(&error))?,
    })
}

fn missing_wrapping_key(on: &Exchange<'_>) -> Refusal {
    on.refusal(&Error::new(ErrorKind::WrappingKeyMissing, "the wrapping key does not exist"))
}
