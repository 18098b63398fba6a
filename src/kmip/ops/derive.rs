//! Derive Key.

use kmip_codec::{
    payload::{DeriveKeyRequest, DeriveKeyResponse},
    secret::SecretBytes,
    spec::enums::{DerivationMethod, Operation, ResultReason},
};

use super::{create::algorithm_and_length, wire};
use crate::{
    engine::{
        Error, ErrorKind,
        ops::derive::{Derive, Method},
    },
    kmip::{attributes::parameters_in, batch::Exchange, error::Refusal, values},
};

pub(in crate::kmip) async fn derive_key(
    on: &mut Exchange<'_>,
    request: DeriveKeyRequest,
) -> Result<DeriveKeyResponse, Refusal> {
    let object_type = super::create::object_type(request.object_type)?;
    let objects =
        request.unique_identifiers.iter().map(|id| on.object(Some(id))).collect::<Result<Vec<_>, Refusal>>()?;
    let method = method(request.derivation_method).ok_or_else(|| {
        on.refusal(&Error::new(ErrorKind::UnsupportedParameters, "the derivation method is not offered"))
    })?;
    let with = request.derivation_parameters;
    let mut attributes = on.attributes(request.attributes).await?;
    on.stand(object_type, &mut attributes)?;
    let (algorithm, length_bits) = algorithm_and_length(&mut attributes)?;
    let iterations = with
        .iteration_count
        .map(u32::try_from)
        .transpose()
        .map_err(|_negative| Refusal::new(ResultReason::INVALID_FIELD, "an iteration count is not negative"))?;
    #[expect(clippy::disallowed_methods, reason = "a salt is no secret")]
    let salt = with.salt.map(|salt| values::secret(salt).expose_secret().to_vec());
    let made = on
        .run(Derive {
            object_type,
            objects,
            method,
            parameters: with.cryptographic_parameters.as_ref().map(parameters_in),
            iv: with.initialization_vector,
            data: with.derivation_data.map(|data: SecretBytes| values::secret(data)),
            salt,
            iterations,
            algorithm,
            length_bits,
            attributes,
            secret: on.facet(),
        })
        .await?;
    on.made(Operation::DERIVE_KEY, &[made.identifier]);
    Ok(DeriveKeyResponse { unique_identifier: wire(made.identifier), template_attribute: None })
}

const fn method(of: DerivationMethod) -> Option<Method> {
    Some(match of {
        DerivationMethod::PBKDF2 => Method::Pbkdf2,
        DerivationMethod::HASH => Method::Hash,
        DerivationMethod::HMAC => Method::Hmac,
        DerivationMethod::ENCRYPT => Method::Encrypt,
        DerivationMethod::NIST800_108_C => Method::Counter,
        DerivationMethod::NIST800_108_F => Method::Feedback,
        DerivationMethod::NIST800_108_DPI => Method::DoublePipeline,
        DerivationMethod::ASYMMETRIC_KEY => Method::Agreement,
        DerivationMethod::AWS_SIGNATURE_VERSION4 => Method::AwsSignature,
        DerivationMethod::HKDF => Method::Hkdf,
        _ => return None,
    })
}
