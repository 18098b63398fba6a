//! Encrypt, Decrypt, Sign, Signature Verify, MAC, MAC Verify, Hash, RNG Retrieve, RNG Seed: single-part.
//!
//! Multi-part requests are refused with *Feature Not Supported* until sessions can be leased for them.

use kmip_codec::{
    payload::{
        DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, HashRequest, HashResponse, MacRequest,
        MacResponse, MacVerifyRequest, MacVerifyResponse, RngRetrieveRequest, RngRetrieveResponse, RngSeedRequest,
        RngSeedResponse, SignRequest, SignResponse, SignatureVerifyRequest, SignatureVerifyResponse,
    },
    secret::SecretBytes,
    spec::enums::{ResultReason, ValidityIndicator},
};

use super::wire;
use crate::{
    crypto::hash,
    domain::CryptographicParameters,
    engine::{
        Error, ErrorKind,
        ops::{
            crypt::{Decrypt, Encrypt, Mac, MacVerify, Sign, SignatureVerify, Signed},
            rng::{RngRetrieve, RngSeed},
        },
    },
    kmip::{attributes::parameters_in, batch::Exchange, error::Refusal, values},
};

/// Init and Final together without a correlation value are a single part; anything else needs a stream.
fn single_part(correlation: Option<&Vec<u8>>, init: Option<bool>, last: Option<bool>) -> Result<(), Refusal> {
    let single = correlation.is_none() && init.unwrap_or(false) == last.unwrap_or(false);
    if single {
        Ok(())
    } else {
        Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, "data in parts is not taken yet"))
    }
}

fn parameters(from: Option<&kmip_codec::attribute::CryptographicParameters>) -> Option<CryptographicParameters> {
    from.map(parameters_in)
}

pub(in crate::kmip) async fn encrypt(
    on: &mut Exchange<'_>,
    request: EncryptRequest,
) -> Result<EncryptResponse, Refusal> {
    single_part(request.correlation_value.as_ref(), request.init_indicator, request.final_indicator)?;
    let object = on.object(request.unique_identifier.as_ref())?;
    let encrypted = on
        .run(Encrypt {
            object,
            parameters: parameters(request.cryptographic_parameters.as_ref()),
            iv: request.iv_counter_nonce,
            aad: request.authenticated_encryption_additional_data.unwrap_or_default(),
            data: on.data(request.data)?,
        })
        .await?;
    Ok(EncryptResponse {
        unique_identifier: wire(object),
        data: Some(SecretBytes::from(encrypted.data)),
        iv_counter_nonce: encrypted.iv,
        correlation_value: None,
        authenticated_encryption_tag: encrypted.auth_tag,
    })
}

#[expect(clippy::disallowed_methods, reason = "encrypted data goes on to the HSM")]
pub(in crate::kmip) async fn decrypt(
    on: &mut Exchange<'_>,
    request: DecryptRequest,
) -> Result<DecryptResponse, Refusal> {
    single_part(request.correlation_value.as_ref(), request.init_indicator, request.final_indicator)?;
    let object = on.object(request.unique_identifier.as_ref())?;
    let plain = on
        .run(Decrypt {
            object,
            parameters: parameters(request.cryptographic_parameters.as_ref()),
            iv: request.iv_counter_nonce,
            aad: request.authenticated_encryption_additional_data.unwrap_or_default(),
            auth_tag: request.authenticated_encryption_tag,
            data: on.data(request.data)?.expose_secret().to_vec(),
        })
        .await?;
    Ok(DecryptResponse {
        unique_identifier: wire(object),
        data: Some(values::answered(&plain)),
        correlation_value: None,
    })
}

fn signed(
    on: &Exchange<'_>,
    data: Option<kmip_codec::payload::Data>,
    digested: Option<SecretBytes>,
) -> Result<Signed, Refusal> {
    match (data, digested) {
        (None, Some(digest)) => Ok(Signed::Digest(digest.expose_secret().to_vec())),
        (data, None) => Ok(Signed::Data(on.data(data)?)),
        (Some(_), Some(_)) => {
            Err(Refusal::new(ResultReason::INVALID_MESSAGE, "data and digested data exclude each other"))
        }
    }
}

pub(in crate::kmip) async fn sign(on: &mut Exchange<'_>, request: SignRequest) -> Result<SignResponse, Refusal> {
    single_part(request.correlation_value.as_ref(), request.init_indicator, request.final_indicator)?;
    let object = on.object(request.unique_identifier.as_ref())?;
    let input = signed(on, request.data, request.digested_data)?;
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let signature = on.run(Sign { object, parameters, input }).await?;
    Ok(SignResponse { unique_identifier: wire(object), signature_data: Some(signature), correlation_value: None })
}

pub(in crate::kmip) async fn signature_verify(
    on: &mut Exchange<'_>,
    request: SignatureVerifyRequest,
) -> Result<SignatureVerifyResponse, Refusal> {
    single_part(request.correlation_value.as_ref(), request.init_indicator, request.final_indicator)?;
    let object = on.object(request.unique_identifier.as_ref())?;
    let input = signed(on, request.data, request.digested_data)?;
    let signature = request
        .signature_data
        .ok_or_else(|| Refusal::new(ResultReason::INVALID_MESSAGE, "the signature is missing"))?;
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let holds = on.run(SignatureVerify { object, parameters, input, signature }).await?;
    Ok(SignatureVerifyResponse {
        unique_identifier: wire(object),
        validity_indicator: Some(validity(holds)),
        data: None,
        correlation_value: None,
    })
}

const fn validity(holds: bool) -> ValidityIndicator {
    if holds { ValidityIndicator::VALID } else { ValidityIndicator::INVALID }
}

pub(in crate::kmip) async fn mac(on: &mut Exchange<'_>, request: MacRequest) -> Result<MacResponse, Refusal> {
    single_part(request.correlation_value.as_ref(), request.init_indicator, request.final_indicator)?;
    let object = on.object(request.unique_identifier.as_ref())?;
    let data = on.data(request.data)?;
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let mac = on.run(Mac { object, parameters, data }).await?;
    Ok(MacResponse { unique_identifier: wire(object), mac_data: Some(mac), correlation_value: None })
}

pub(in crate::kmip) async fn mac_verify(
    on: &mut Exchange<'_>,
    request: MacVerifyRequest,
) -> Result<MacVerifyResponse, Refusal> {
    single_part(request.correlation_value.as_ref(), request.init_indicator, request.final_indicator)?;
    let object = on.object(request.unique_identifier.as_ref())?;
    let data = on.data(request.data)?;
    let mac = request.mac_data.ok_or_else(|| Refusal::new(ResultReason::INVALID_MESSAGE, "the MAC is missing"))?;
    let parameters = parameters(request.cryptographic_parameters.as_ref());
    let holds = on.run(MacVerify { object, parameters, data, mac }).await?;
    Ok(MacVerifyResponse {
        unique_identifier: wire(object),
        validity_indicator: Some(validity(holds)),
        correlation_value: None,
    })
}

pub(in crate::kmip) async fn hash(on: &mut Exchange<'_>, request: HashRequest) -> Result<HashResponse, Refusal> {
    single_part(request.correlation_value.as_ref(), request.init_indicator, request.final_indicator)?;
    let asked = parameters_in(&request.cryptographic_parameters).hashing_algorithm;
    let algorithm =
        asked.ok_or_else(|| Refusal::new(ResultReason::INVALID_MESSAGE, "the hashing algorithm is missing"))?;
    let data = on.data(request.data)?;
    // No key is involved, so no use case either: the digest is made here (design decision 5).
    let digest = hash::digest_secret(algorithm, &data).map_err(|error| {
        let unsupported = Error::new(ErrorKind::UnsupportedParameters, "the hashing algorithm is not offered");
        on.refusal(&unsupported.because(error))
    })?;
    Ok(HashResponse { data: Some(SecretBytes::from(digest)), correlation_value: None })
}

pub(in crate::kmip) async fn rng_retrieve(
    on: &mut Exchange<'_>,
    request: RngRetrieveRequest,
) -> Result<RngRetrieveResponse, Refusal> {
    let bytes = u32::try_from(request.data_length)
        .map_err(|_negative| Refusal::new(ResultReason::INVALID_FIELD, "a data length is not negative"))?;
    let value = on.run(RngRetrieve { bytes }).await?;
    Ok(RngRetrieveResponse { data: values::answered(&value) })
}

pub(in crate::kmip) async fn rng_seed(
    on: &mut Exchange<'_>,
    request: RngSeedRequest,
) -> Result<RngSeedResponse, Refusal> {
    let data = on.data(Some(request.data))?;
    let accepted = on.run(RngSeed { data }).await?;
    Ok(RngSeedResponse { data_length: i32::try_from(accepted).unwrap_or(i32::MAX) })
}
