//! Key wrapping on the way out and in: encryption, a MAC or signature, or both (KMIP 2.1 §3.1 Key Wrapping Data; contract §5).
//!
//! Encryption happens inside the HSM; a MAC or signature is made by the use case of its own operation, so the same usage
//! masks and limits hold. What is authenticated is the encoded key value, or the bare material where there is no encoding;
//! with *Encrypt then MAC/sign* it is what was encrypted.

use std::sync::{Arc, Mutex, PoisonError};

use kmip_codec::{
    attribute::CryptographicParameters as WireParameters,
    object::{
        EncryptionKeyInformation, KeyMaterial, KeyValue, KeyWrappingData, KeyWrappingSpecification,
        MacSignatureKeyInformation, ManagedObject as WireObject,
    },
    secret::SecretBytes,
    spec::enums::{EncodingOption, ResultReason, WrappingMethod},
};

use super::{
    get::{As, prefer},
    wire,
};
use crate::{
    domain::{
        CryptographicParameters, ManagedObject, ObjectType, SecretValue, UniqueIdentifier,
        algorithm::KeyFormatType as F, attributes::link,
    },
    engine::{
        Error, ErrorKind,
        ops::{
            attributes::ReadAttributes,
            crypt::{Mac, MacVerify, Sign, SignatureVerify, Signed},
            reveal::{Encode, Form, Reveal, RevealWrapped, Unwrap},
        },
    },
    kmip::{attributes, batch::Exchange, error::Refusal, values},
};

/// What a wrapping specification or wrapping data asks for, held against its method.
struct Plan {
    encryption: Option<EncryptionKeyInformation>,
    authentication: Option<MacSignatureKeyInformation>,
    /// Whether the MAC or signature is over the plain key value rather than over what was encrypted.
    over_plain: bool,
    bare: bool,
}

impl Plan {
    fn new(
        method: WrappingMethod,
        encryption: Option<EncryptionKeyInformation>,
        authentication: Option<MacSignatureKeyInformation>,
        encoding: Option<EncodingOption>,
    ) -> Result<Self, Refusal> {
        let (encrypts, authenticates, over_plain) = match method {
            WrappingMethod::ENCRYPT => (true, false, false),
            WrappingMethod::MAC_SIGN => (false, true, true),
            WrappingMethod::ENCRYPT_THEN_MAC_SIGN => (true, true, false),
            WrappingMethod::MAC_SIGN_THEN_ENCRYPT => (true, true, true),
            _ => {
                let text = "keys are wrapped by encryption, by a MAC or signature, or by both";
                return Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, text));
            }
        };
        let fits = |wanted, given: bool| match (wanted, given) {
            (true, false) => Err(Refusal::new(ResultReason::INVALID_MESSAGE, "a key of the wrapping is not named")),
            (false, true) => Err(Refusal::new(ResultReason::INVALID_FIELD, "the wrapping method has no such key")),
            _ => Ok(()),
        };
        fits(encrypts, encryption.is_some())?;
        fits(authenticates, authentication.is_some())?;
        let bare = encoding == Some(EncodingOption::NO_ENCODING);
        Ok(Self { encryption, authentication, over_plain, bare })
    }
}

fn parameters(from: Option<&WireParameters>) -> Option<CryptographicParameters> {
    from.map(attributes::parameters_in)
}

fn missing_wrapping_key(on: &Exchange<'_>) -> Refusal {
    on.refusal(&Error::new(ErrorKind::WrappingKeyMissing, "the wrapping key does not exist"))
}

/// An error of an operation on the wrapping key, where *not found* means that key.
fn about_key(on: &Exchange<'_>, error: &Error) -> Refusal {
    if error.kind == ErrorKind::NotFound { missing_wrapping_key(on) } else { on.refusal(error) }
}

/// The object wrapped, or nothing where the form asks for no wrapping. `ends_fresh` is false for reads that change nothing.
pub(super) async fn wrapped(
    on: &Exchange<'_>,
    object: UniqueIdentifier,
    form: As,
    ends_fresh: bool,
) -> Result<Option<WireObject>, Refusal> {
    let As::Wrapped(wanted, specification) = form else { return Ok(None) };
    let KeyWrappingSpecification {
        wrapping_method,
        encryption_key_information,
        mac_signature_key_information,
        attribute_names,
        attribute_references,
        encoding_option,
    } = *specification;
    let plan = Plan::new(wrapping_method, encryption_key_information, mac_signature_key_information, encoding_option)?;
    if plan.bare && !(attribute_names.is_empty() && attribute_references.is_empty()) {
        let error = Error::new(ErrorKind::WrappingEncoding, "attributes travel in an encoded key value only");
        return Err(on.refusal(&error));
    }
    let wrapping_key = match &plan.encryption {
        Some(information) => {
            let key = on.object(Some(&information.unique_identifier)).map_err(|_not_ours| missing_wrapping_key(on))?;
            Some((key, parameters(information.cryptographic_parameters.as_ref())))
        }
        None => None,
    };
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
            let kind = attributes::wire_kind(&attribute.kind);
            let name = kind.name(on.version);
            attribute_names.iter().any(|wanted| Some(wanted) == name.as_ref()) || attribute_references.contains(&kind)
        })
        .cloned()
        .collect();
    let prefer = prefer(&set.object, format);
    let Some((wrapping_key, parameters)) = wrapping_key else {
        return authenticated(on, object, format, plan, encoding_option, inside).await.map(Some);
    };
    let version = on.version;
    let raw = plan.bare && set.object.object_type == ObjectType::SymmetricKey && format == F::RAW;
    let stays_inside = raw && !(plan.authentication.is_some() && plan.over_plain);
    let bare = plan.bare;
    // What a MAC or signature over the plain key value needs, put aside on its way into the HSM.
    let aside: Arc<Mutex<Option<SecretValue>>> = Arc::default();
    let put_aside = plan.over_plain.then(|| Arc::clone(&aside));
    let encode: Option<Encode> = (!stays_inside).then(|| -> Encode {
        Box::new(move |object: &ManagedObject, value, form: Form| {
            let material = values::material(object, &value, form, format, version)?;
            let encoded = if bare {
                match material {
                    KeyMaterial::Bytes(bytes) => values::secret(bytes),
                    _ => {
                        let text = "a transparent key is wrapped in its encoding only";
                        return Err(Error::new(ErrorKind::WrappingEncoding, text));
                    }
                }
            } else {
                values::encoded_for_wrapping(material, attributes::for_client(&inside, version), version)?
            };
            if let Some(aside) = put_aside {
                *aside.lock().unwrap_or_else(PoisonError::into_inner) = Some(encoded.duplicate());
            }
            Ok(encoded)
        })
    });
    let operation = RevealWrapped { object, wrapping_key, parameters, prefer, encode, ends_fresh };
    let wrapped = on.execute(operation).await.map_err(|error| about_key(on, &error))?;
    let mac_signature = match &plan.authentication {
        None => None,
        Some(information) => {
            let plain = aside.lock().unwrap_or_else(PoisonError::into_inner).take();
            let over = plain.unwrap_or_else(|| SecretValue::new(wrapped.wrapped.clone()));
            Some(authenticate(on, information, over).await?)
        }
    };
    let data = KeyWrappingData {
        wrapping_method,
        encryption_key_information: plan
            .encryption
            .map(|information| EncryptionKeyInformation { unique_identifier: wire(wrapping_key), ..information }),
        mac_signature_key_information: plan.authentication,
        mac_signature,
        iv_counter_nonce: wrapped.iv,
        encoding_option,
    };
    let mut block = values::plain_block(&wrapped.object, format, None, version);
    // Wrapped material is a byte string in the place of the key value, with and without its encoding (TC-141).
    block.key_value = Some(KeyValue::Wrapped(SecretBytes::from(wrapped.wrapped)));
    block.key_wrapping_data = Some(data);
    values::block_object(&wrapped.object, block).map(Some).map_err(|error| on.refusal(&error))
}

/// The object in plain, with a MAC or signature beside it.
async fn authenticated(
    on: &Exchange<'_>,
    object: UniqueIdentifier,
    format: F,
    plan: Plan,
    encoding_option: Option<EncodingOption>,
    inside: Vec<crate::domain::Attribute>,
) -> Result<WireObject, Refusal> {
    let known = on.run(ReadAttributes { object, digest: false }).await?.object;
    let revealed = on.run(Reveal { object, prefer: prefer(&known, format) }).await?;
    let material = |value: &SecretValue| values::material(&revealed.object, value, revealed.form, format, on.version);
    let inside = attributes::for_client(&inside, on.version);
    let value = KeyValue::Plain {
        material: material(&revealed.value).map_err(|error| on.refusal(&error))?,
        attributes: kmip_codec::attribute::OptionalAttributeList(inside),
    };
    let over = values::authenticated_bytes(&value, plan.bare, on.version)?;
    let information = plan
        .authentication
        .ok_or_else(|| Refusal::new(ResultReason::INVALID_MESSAGE, "the key of the MAC or signature is not named"))?;
    let mac_signature = Some(authenticate(on, &information, over).await?);
    let mut block = values::plain_block(&revealed.object, format, None, on.version);
    block.key_value = Some(value);
    block.key_wrapping_data = Some(KeyWrappingData {
        wrapping_method: WrappingMethod::MAC_SIGN,
        encryption_key_information: None,
        mac_signature_key_information: Some(information),
        mac_signature,
        iv_counter_nonce: None,
        encoding_option,
    });
    values::block_object(&revealed.object, block).map_err(|error| on.refusal(&error))
}

/// The MAC of a secret key, or the signature of a private one.
async fn authenticate(
    on: &Exchange<'_>,
    information: &MacSignatureKeyInformation,
    data: SecretValue,
) -> Result<Vec<u8>, Refusal> {
    let object = on.object(Some(&information.unique_identifier)).map_err(|_not_ours| missing_wrapping_key(on))?;
    let parameters = parameters(information.cryptographic_parameters.as_ref());
    let known = on.execute(ReadAttributes { object, digest: false }).await.map_err(|error| about_key(on, &error))?;
    let made = match known.object.object_type {
        ObjectType::PrivateKey => on.execute(Sign { object, parameters, input: Signed::Data(data) }).await,
        ObjectType::SymmetricKey => on.execute(Mac { object, parameters, data }).await,
        _ => Err(Error::new(ErrorKind::WrappingKeyWrongType, "the object makes neither MAC nor signature")),
    };
    made.map_err(|error| about_key(on, &error))
}

/// Whether a MAC or signature holds. A signature is verified by the public half, whichever half is named.
async fn verify(
    on: &Exchange<'_>,
    information: &MacSignatureKeyInformation,
    given: Option<&Vec<u8>>,
    data: SecretValue,
) -> Result<(), Error> {
    let wrong = || Error::new(ErrorKind::Cryptographic, "the MAC or signature of the wrapped key does not hold");
    let given = given.cloned().ok_or_else(wrong)?;
    let object = on.object(Some(&information.unique_identifier)).map_err(|_not_ours| Error::not_found())?;
    let parameters = parameters(information.cryptographic_parameters.as_ref());
    let known = on.execute(ReadAttributes { object, digest: false }).await?.object;
    let holds = match known.object_type {
        ObjectType::SymmetricKey => on.execute(MacVerify { object, parameters, data, mac: given }).await?,
        ObjectType::PublicKey | ObjectType::PrivateKey => {
            let public = match known.object_type {
                ObjectType::PublicKey => object,
                _ => known.links(link::PUBLIC_KEY).next().ok_or_else(Error::not_found)?,
            };
            let input = Signed::Data(data);
            on.execute(SignatureVerify { object: public, parameters, input, signature: given }).await?
        }
        _ => return Err(Error::new(ErrorKind::WrappingKeyWrongType, "the object makes neither MAC nor signature")),
    };
    if holds { Ok(()) } else { Err(wrong()) }
}

/// The plain value of what came wrapped, verified where it came with a MAC or signature.
///
/// # Errors
///
/// Why it cannot be unwrapped here; `Cryptographic` where it must not be believed.
pub(super) async fn unwrapped(on: &Exchange<'_>, wrapped: &values::WrappedValue) -> Result<SecretValue, Error> {
    let data = &wrapped.data;
    let plan = Plan::new(
        data.wrapping_method,
        data.encryption_key_information.clone(),
        data.mac_signature_key_information.clone(),
        data.encoding_option,
    );
    let plan = plan.map_err(|refusal| Error::new(ErrorKind::UnsupportedFeature, refusal.message))?;
    let unsupported = || Error::new(ErrorKind::UnsupportedFeature, "this wrapping is not undone here");
    let information = plan.encryption.as_ref().ok_or_else(unsupported)?;
    if let (Some(by), false) = (&plan.authentication, plan.over_plain) {
        verify(on, by, data.mac_signature.as_ref(), SecretValue::new(wrapped.blob.clone())).await?;
    }
    let wrapping_key = on.object(Some(&information.unique_identifier)).map_err(|_not_ours| Error::not_found())?;
    let unwrap = Unwrap {
        wrapping_key,
        blob: wrapped.blob.clone(),
        parameters: parameters(information.cryptographic_parameters.as_ref()),
        iv: data.iv_counter_nonce.clone(),
    };
    let value = on.execute(unwrap).await?;
    if let (Some(by), true) = (&plan.authentication, plan.over_plain) {
        verify(on, by, data.mac_signature.as_ref(), value.duplicate()).await?;
    }
    Ok(value)
}

/// Verifies an object that came in plain with a MAC or signature, and takes that off: the object is registered as any other.
///
/// # Errors
///
/// *Cryptographic Failure* where it does not hold; those of its key.
pub(super) async fn verified(on: &Exchange<'_>, object: &mut WireObject) -> Result<(), Refusal> {
    let Some((data, over)) = values::take_authentication(object, on.version)? else { return Ok(()) };
    let information = data
        .mac_signature_key_information
        .as_ref()
        .ok_or_else(|| Refusal::new(ResultReason::INVALID_MESSAGE, "the key of the MAC or signature is not named"))?;
    verify(on, information, data.mac_signature.as_ref(), over).await.map_err(|error| about_key(on, &error))
}
