//! Certify, Re-certify, Validate.

use kmip_codec::{
    payload::{
        CertifyRequest, CertifyResponse, ReCertifyRequest, ReCertifyResponse, ValidateRequest, ValidateResponse,
    },
    spec::enums::{CertificateRequestType, Operation, ResultReason, ValidityIndicator},
};

use super::wire;
use crate::{
    domain::{Attribute, AttributeKind, ObjectType},
    engine::{
        Error, ErrorKind,
        ops::certify::{Certify, Recertify, Validate, Validity},
    },
    kmip::{attributes, batch::Exchange, certificates, error::Refusal},
};

/// Requests are PKCS#10, in DER or PEM.
fn accepted(on: &Exchange<'_>, of: Option<CertificateRequestType>) -> Result<(), Refusal> {
    match of {
        None | Some(CertificateRequestType::PKCS_10 | CertificateRequestType::PEM) => Ok(()),
        Some(_) => {
            let error = Error::new(ErrorKind::UnsupportedFeature, "certificate requests are PKCS#10, in DER or PEM");
            Err(on.refusal(&error))
        }
    }
}

/// The subject that attributes name, taken out of them: the server sets it from the certificate.
fn subject(attributes: &mut Vec<Attribute>) -> Option<String> {
    let subject = attributes.iter().find_map(certificates::subject_text);
    attributes.retain(|attribute| {
        !matches!(attribute.kind, AttributeKind::CertificateSubject | AttributeKind::X509CertificateSubject)
    });
    subject
}

pub(in crate::kmip) async fn certify(
    on: &mut Exchange<'_>,
    request: CertifyRequest,
) -> Result<CertifyResponse, Refusal> {
    accepted(on, request.certificate_request_type)?;
    let object = on.object(request.unique_identifier.as_ref())?;
    let mut attributes = on.attributes(request.attributes.unwrap_or_default()).await?;
    on.stand(ObjectType::Certificate, &mut attributes)?;
    let subject = subject(&mut attributes);
    let certify = Certify {
        object,
        request: request.certificate_request,
        subject,
        attributes,
        secret: on.facet(),
        describe: certificates::certificate_attributes,
    };
    let made = on.run(certify).await?;
    on.made(Operation::CERTIFY, &[made.identifier]);
    Ok(CertifyResponse { unique_identifier: wire(made.identifier), template_attribute: None })
}

pub(in crate::kmip) async fn re_certify(
    on: &mut Exchange<'_>,
    request: ReCertifyRequest,
) -> Result<ReCertifyResponse, Refusal> {
    accepted(on, request.certificate_request_type)?;
    if request.certificate_request_unique_identifier.is_some() {
        let text = "a stored certificate request is certified by Certify";
        return Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, text));
    }
    let object = on.object(request.unique_identifier.as_ref())?;
    let mut attributes = on.attributes(request.attributes.unwrap_or_default()).await?;
    subject(&mut attributes);
    on.stand_again(object, &attributes).await?;
    let recertify = Recertify {
        object,
        request: request.certificate_request,
        offset: request.offset.map(|seconds| seconds.0),
        attributes,
        describe: certificates::certificate_attributes,
    };
    let made = on.run(recertify).await?;
    on.made(Operation::RE_CERTIFY, &[made.identifier]);
    Ok(ReCertifyResponse { unique_identifier: wire(made.identifier), template_attribute: None })
}

pub(in crate::kmip) async fn validate(
    on: &mut Exchange<'_>,
    request: ValidateRequest,
) -> Result<ValidateResponse, Refusal> {
    let objects =
        request.unique_identifiers.iter().map(|id| on.object(Some(id))).collect::<Result<Vec<_>, Refusal>>()?;
    let certificates = request.certificates.into_iter().map(|it| it.certificate_value).collect();
    let at = request.validity_date.map(attributes::timestamp);
    let validity = on.run(Validate { objects, certificates, at }).await?;
    let validity_indicator = match validity {
        Validity::Valid => ValidityIndicator::VALID,
        Validity::Invalid => ValidityIndicator::INVALID,
        Validity::Unknown => ValidityIndicator::UNKNOWN,
    };
    Ok(ValidateResponse { validity_indicator })
}
