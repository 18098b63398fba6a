//! Encrypt, Decrypt, Sign, Signature Verify, MAC, MAC Verify, Hash, RNG Retrieve, RNG Seed: at once or in parts.

use kmip_codec::{
    UniqueIdentifier as WireId,
    payload::{
        Data, DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, HashRequest, HashResponse, MacRequest,
        MacResponse, MacVerifyRequest, MacVerifyResponse, RngRetrieveRequest, RngRetrieveResponse, RngSeedRequest,
        RngSeedResponse, SignRequest, SignResponse, SignatureVerifyRequest, SignatureVerifyResponse,
    },
    secret::SecretBytes,
    spec::enums::{DataEnumeration, ResultReason, ValidityIndicator},
    version::V1_4,
};

use super::wire;
use crate::{
    crypto::hash::{self, Hasher},
    domain::{CryptographicParameters, SecretValue, UniqueIdentifier},
    engine::{
        Error, ErrorKind,
        ops::{
            crypt::{Decrypt, Encrypt, Encrypted, Mac, MacVerify, Sign, SignatureVerify, Signed},
            rng::{Hash, RngRetrieve, RngSeed},
            stream::{DecryptPart, EncryptPart, MacPart, MacVerifyPart, SignPart, SignatureVerifyPart},
        },
    },
    kmip::{
        attributes::parameters_in,
        batch::Exchange,
        error::Refusal,
        streams::{self, Held},
        values,
    },
};

/// One part of an operation in parts.
struct Part {
    /// The value under which it has begun; a new one for the first part.
    value: Vec<u8>,
    /// What has begun; `None` for the first part.
    begun: Option<Held>,
    /// With which object.
    object: Option<UniqueIdentifier>,
    /// Whether it is the last one.
    last: bool,
}

/// Which part of an operation a request is; `None` for one that is done at once: Init and Final together, or neither.
fn part(
    on: &Exchange<'_>,
    value: Option<Vec<u8>>,
    init: Option<bool>,
    last: Option<bool>,
    named: Option<&WireId>,
    has_object: bool,
) -> Result<Option<Part>, Refusal> {
    let (init, last) = (init.unwrap_or(false), last.unwrap_or(false));
    if value.is_none() && init == last {
        return Ok(None);
    }
    if on.may_be_undone() {
        return Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, "parts of an operation cannot be undone"));
    }
    let Some(value) = value else {
        if last {
            return Ok(None);
        }
        let object = if has_object { Some(on.object(named)?) } else { None };
        return Ok(Some(Part { value: on.random(streams::VALUE_BYTES), begun: None, object, last }));
    };
    if init {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "what has begun cannot begin again"));
    }
    let (object, held) = on.service.streams.take(&value, on.principal(), on.now(), on.version)?;
    if named.is_some() && has_object && Some(on.object(named)?) != object {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "the operation in parts is another object's"));
    }
    Ok(Some(Part { value, begun: Some(held), object, last }))
}

impl Part {
    fn object(&self, on: &Exchange<'_>) -> Result<UniqueIdentifier, Refusal> {
        self.object.ok_or_else(|| streams::unknown(on.version))
    }

    /// Keeps what goes on; answers the correlation value, or `None` after the last part.
    fn keep(self, on: &Exchange<'_>, held: Held) -> Result<Option<Vec<u8>>, Refusal> {
        if self.last {
            return Ok(None);
        }
        let value = self.value.clone();
        on.service.streams.keep(self.value, on.principal(), self.object, held, on.now(), on.version)?;
        Ok(Some(value))
    }
}

/// What has begun as this kind of operation.
macro_rules! begun {
    ($on:expr, $part:expr, $($pattern:pat => $value:expr),+) => {
        match $part.begun.take() {
            None => None,
            $(Some($pattern) => Some($value),)+
            Some(_) => return Err(streams::unknown($on.version)),
        }
    };
}

/// The data of a part, of which the last may have none.
fn part_data(on: &Exchange<'_>, data: Option<Data>) -> Result<SecretValue, Refusal> {
    data.map_or_else(|| Ok(SecretValue::new(Vec::new())), |data| on.data(Some(data)))
}

fn some(bytes: Vec<u8>) -> Option<SecretBytes> {
    (!bytes.is_empty()).then(|| SecretBytes::from(bytes))
}

fn parameters(from: Option<&kmip_codec::attribute::CryptographicParameters>) -> Option<CryptographicParameters> {
    from.map(parameters_in)
}

/// Before 1.4 there is no field for an authentication tag, so it stands behind the data (RFC 5116 §5.1).
fn with_tag(on: &Exchange<'_>, mut encrypted: Encrypted) -> Encrypted {
    if on.version < V1_4
        && let Some(tag) = encrypted.auth_tag.take()
    {
        encrypted.data.extend(tag);
    }
    encrypted
}

pub(in crate::kmip) async fn encrypt(
    on: &mut Exchange<'_>,
    request: EncryptRequest,
) -> Result<EncryptResponse, Refusal> {
    let EncryptRequest { correlation_value, init_indicator, final_indicator, .. } = request;
    let named = request.unique_identifier.as_ref();
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let (iv, aad) = (request.iv_counter_nonce, request.authenticated_encryption_additional_data.unwrap_or_default());
    let Some(mut part) = part(on, correlation_value, init_indicator, final_indicator, named, true)? else {
        let object = on.object(named)?;
        let data = on.data(request.data)?;
        let encrypted = with_tag(on, on.run(Encrypt { object, parameters, iv, aad, data }).await?);
        on.put_out(DataEnumeration::ENCRYPT, SecretValue::new(encrypted.data.clone()));
        return Ok(EncryptResponse {
            unique_identifier: wire(object),
            data: Some(SecretBytes::from(encrypted.data)),
            iv_counter_nonce: encrypted.iv,
            correlation_value: None,
            authenticated_encryption_tag: encrypted.auth_tag,
        });
    };
    let (object, data, last) = (part.object(on)?, part_data(on, request.data)?, part.last);
    let stream = begun!(on, part, Held::Encrypt(stream) => stream);
    let (stream, encrypted) = Box::pin(on.run(EncryptPart { object, stream, parameters, iv, aad, data, last })).await?;
    let encrypted = with_tag(on, encrypted);
    Ok(EncryptResponse {
        unique_identifier: wire(object),
        data: some(encrypted.data),
        iv_counter_nonce: encrypted.iv,
        correlation_value: part.keep(on, Held::Encrypt(stream))?,
        authenticated_encryption_tag: encrypted.auth_tag,
    })
}

#[expect(clippy::disallowed_methods, reason = "encrypted data goes on to the HSM")]
pub(in crate::kmip) async fn decrypt(
    on: &mut Exchange<'_>,
    request: DecryptRequest,
) -> Result<DecryptResponse, Refusal> {
    let DecryptRequest { correlation_value, init_indicator, final_indicator, .. } = request;
    let named = request.unique_identifier.as_ref();
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let (iv, aad) = (request.iv_counter_nonce, request.authenticated_encryption_additional_data.unwrap_or_default());
    let (auth_tag, tag_behind) = (request.authenticated_encryption_tag, on.version < V1_4);
    let Some(mut part) = part(on, correlation_value, init_indicator, final_indicator, named, true)? else {
        let object = on.object(named)?;
        let data = on.data(request.data)?.expose_secret().to_vec();
        let plain = on.run(Decrypt { object, parameters, iv, aad, auth_tag, tag_behind, data }).await?;
        on.put_out(DataEnumeration::DECRYPT, plain.duplicate());
        let data = Some(values::answered(&plain));
        return Ok(DecryptResponse { unique_identifier: wire(object), data, correlation_value: None });
    };
    let (object, data, last) = (part.object(on)?, part_data(on, request.data)?, part.last);
    let stream = begun!(on, part, Held::Decrypt(stream) => stream);
    let (stream, plain) =
        Box::pin(on.run(DecryptPart { object, stream, parameters, iv, aad, auth_tag, tag_behind, data, last })).await?;
    Ok(DecryptResponse {
        unique_identifier: wire(object),
        data: (!plain.is_empty()).then(|| values::answered(&plain)),
        correlation_value: part.keep(on, Held::Decrypt(stream))?,
    })
}

fn signed(on: &Exchange<'_>, data: Option<Data>, digested: Option<SecretBytes>) -> Result<Signed, Refusal> {
    match (data, digested) {
        (None, Some(digest)) => Ok(Signed::Digest(digest.expose_secret().to_vec())),
        (data, None) => Ok(Signed::Data(on.data(data)?)),
        (Some(_), Some(_)) => {
            Err(Refusal::new(ResultReason::INVALID_MESSAGE, "data and digested data exclude each other"))
        }
    }
}

/// A digest has no parts.
fn undigested(digested: Option<&SecretBytes>) -> Result<(), Refusal> {
    match digested {
        None => Ok(()),
        Some(_) => Err(Refusal::new(ResultReason::INVALID_FIELD, "digested data is given at once")),
    }
}

pub(in crate::kmip) async fn sign(on: &mut Exchange<'_>, request: SignRequest) -> Result<SignResponse, Refusal> {
    let SignRequest { correlation_value, init_indicator, final_indicator, .. } = request;
    let named = request.unique_identifier.as_ref();
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let Some(mut part) = part(on, correlation_value, init_indicator, final_indicator, named, true)? else {
        let object = on.object(named)?;
        let input = signed(on, request.data, request.digested_data)?;
        let signature = on.run(Sign { object, parameters, input }).await?;
        on.put_out(DataEnumeration::SIGN_SIGNATURE_DATA, SecretValue::new(signature.clone()));
        let signature_data = Some(signature);
        return Ok(SignResponse { unique_identifier: wire(object), signature_data, correlation_value: None });
    };
    undigested(request.digested_data.as_ref())?;
    let (object, data, last) = (part.object(on)?, part_data(on, request.data)?, part.last);
    let stream = begun!(on, part, Held::Sign(stream) => stream);
    let (stream, signature_data) = Box::pin(on.run(SignPart { object, stream, parameters, data, last })).await?;
    let correlation_value = part.keep(on, Held::Sign(stream))?;
    Ok(SignResponse { unique_identifier: wire(object), signature_data, correlation_value })
}

pub(in crate::kmip) async fn signature_verify(
    on: &mut Exchange<'_>,
    request: SignatureVerifyRequest,
) -> Result<SignatureVerifyResponse, Refusal> {
    let SignatureVerifyRequest { correlation_value, init_indicator, final_indicator, .. } = request;
    let named = request.unique_identifier.as_ref();
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let answer = |object, holds: Option<bool>, correlation_value| SignatureVerifyResponse {
        unique_identifier: wire(object),
        validity_indicator: holds.map(validity),
        data: None,
        correlation_value,
    };
    let Some(mut part) = part(on, correlation_value, init_indicator, final_indicator, named, true)? else {
        let object = on.object(named)?;
        let input = signed(on, request.data, request.digested_data)?;
        let missing = || Refusal::new(ResultReason::INVALID_MESSAGE, "the signature is missing");
        let signature = request.signature_data.ok_or_else(missing)?;
        let holds = on.run(SignatureVerify { object, parameters, input, signature }).await?;
        return Ok(answer(object, Some(holds), None));
    };
    undigested(request.digested_data.as_ref())?;
    let (object, data, last) = (part.object(on)?, part_data(on, request.data)?, part.last);
    let begun = begun!(on, part, Held::Verify(stream, signature) => (stream, signature));
    let (stream, earlier) = begun.map_or((None, None), |(stream, signature)| (Some(stream), signature));
    let signature = request.signature_data.or(earlier);
    let known = signature.clone();
    let step = SignatureVerifyPart { object, stream, parameters, data, signature, last };
    let (stream, holds) = Box::pin(on.run(step)).await?;
    let correlation_value = part.keep(on, Held::Verify(stream, known))?;
    Ok(answer(object, holds, correlation_value))
}

const fn validity(holds: bool) -> ValidityIndicator {
    if holds { ValidityIndicator::VALID } else { ValidityIndicator::INVALID }
}

pub(in crate::kmip) async fn mac(on: &mut Exchange<'_>, request: MacRequest) -> Result<MacResponse, Refusal> {
    let MacRequest { correlation_value, init_indicator, final_indicator, .. } = request;
    let named = request.unique_identifier.as_ref();
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let Some(mut part) = part(on, correlation_value, init_indicator, final_indicator, named, true)? else {
        let object = on.object(named)?;
        let data = on.data(request.data)?;
        let mac = on.run(Mac { object, parameters, data }).await?;
        on.put_out(DataEnumeration::MAC_MAC_DATA, SecretValue::new(mac.clone()));
        return Ok(MacResponse { unique_identifier: wire(object), mac_data: Some(mac), correlation_value: None });
    };
    let (object, data, last) = (part.object(on)?, part_data(on, request.data)?, part.last);
    let stream = begun!(on, part, Held::Mac(stream) => stream);
    let (stream, mac_data) = Box::pin(on.run(MacPart { object, stream, parameters, data, last })).await?;
    let correlation_value = part.keep(on, Held::Mac(stream))?;
    Ok(MacResponse { unique_identifier: wire(object), mac_data, correlation_value })
}

pub(in crate::kmip) async fn mac_verify(
    on: &mut Exchange<'_>,
    request: MacVerifyRequest,
) -> Result<MacVerifyResponse, Refusal> {
    let MacVerifyRequest { correlation_value, init_indicator, final_indicator, .. } = request;
    let named = request.unique_identifier.as_ref();
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let answer = |object, holds: Option<bool>, correlation_value| MacVerifyResponse {
        unique_identifier: wire(object),
        validity_indicator: holds.map(validity),
        correlation_value,
    };
    let Some(mut part) = part(on, correlation_value, init_indicator, final_indicator, named, true)? else {
        let object = on.object(named)?;
        let data = on.data(request.data)?;
        let missing = || Refusal::new(ResultReason::INVALID_MESSAGE, "the MAC is missing");
        let mac = request.mac_data.ok_or_else(missing)?;
        let holds = on.run(MacVerify { object, parameters, data, mac }).await?;
        return Ok(answer(object, Some(holds), None));
    };
    let (object, data, last) = (part.object(on)?, part_data(on, request.data)?, part.last);
    let begun = begun!(on, part, Held::MacVerify(stream, mac) => (stream, mac));
    let (stream, earlier) = begun.map_or((None, None), |(stream, mac)| (Some(stream), mac));
    let mac = request.mac_data.or(earlier);
    let known = mac.clone();
    let (stream, holds) = Box::pin(on.run(MacVerifyPart { object, stream, parameters, data, mac, last })).await?;
    let correlation_value = part.keep(on, Held::MacVerify(stream, known))?;
    Ok(answer(object, holds, correlation_value))
}

#[expect(clippy::disallowed_methods, reason = "the data is hashed, as asked")]
pub(in crate::kmip) async fn hash(on: &mut Exchange<'_>, request: HashRequest) -> Result<HashResponse, Refusal> {
    let HashRequest { correlation_value, init_indicator, final_indicator, .. } = request;
    let asked = parameters_in(&request.cryptographic_parameters).hashing_algorithm;
    let algorithm =
        asked.ok_or_else(|| Refusal::new(ResultReason::INVALID_MESSAGE, "the hashing algorithm is missing"));
    // No key is involved, so the digest is made here (design decision 5); whether the client may have it is asked all the same.
    on.run(Hash).await?;
    let unsupported = |on: &Exchange<'_>, error: crate::crypto::Error| {
        let unsupported = Error::new(ErrorKind::UnsupportedParameters, "the hashing algorithm is not offered");
        on.refusal(&unsupported.because(error))
    };
    let Some(mut part) = part(on, correlation_value, init_indicator, final_indicator, None, false)? else {
        let data = on.data(request.data)?;
        let digest = hash::digest_secret(algorithm?, &data).map_err(|error| unsupported(on, error))?;
        on.put_out(DataEnumeration::HASH, SecretValue::new(digest.clone()));
        return Ok(HashResponse { data: Some(SecretBytes::from(digest)), correlation_value: None });
    };
    let data = part_data(on, request.data)?;
    let mut hasher = match begun!(on, part, Held::Hash(hasher) => hasher) {
        Some(hasher) => hasher,
        None => Hasher::new(algorithm?).map_err(|error| unsupported(on, error))?,
    };
    hasher.update(data.expose_secret());
    if part.last {
        return Ok(HashResponse { data: Some(SecretBytes::from(hasher.finish())), correlation_value: None });
    }
    Ok(HashResponse { data: None, correlation_value: part.keep(on, Held::Hash(hasher))? })
}

pub(in crate::kmip) async fn rng_retrieve(
    on: &mut Exchange<'_>,
    request: RngRetrieveRequest,
) -> Result<RngRetrieveResponse, Refusal> {
    let bytes = u32::try_from(request.data_length)
        .map_err(|_negative| Refusal::new(ResultReason::INVALID_FIELD, "a data length is not negative"))?;
    let value = on.run(RngRetrieve { bytes }).await?;
    on.put_out(DataEnumeration::RNG_RETRIEVE, value.duplicate());
    Ok(RngRetrieveResponse { data: values::answered(&value) })
}

pub(in crate::kmip) async fn rng_seed(
    on: &mut Exchange<'_>,
    request: RngSeedRequest,
) -> Result<RngSeedResponse, Refusal> {
    let data = on.data(Some(request.data))?;
    let accepted = on.run(RngSeed { data, share: on.service.settings.rng_seed }).await?;
    Ok(RngSeedResponse { data_length: i32::try_from(accepted).unwrap_or(i32::MAX) })
}
