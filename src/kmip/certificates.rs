//! What X.509 certificates say of themselves, as attributes; and the names that certificates are asked for by.

use kmip_codec::{
    Tag,
    version::{V1_4, V2_1},
};

use super::{attributes, values::facts};
use crate::{
    crypto::{self, certificate::NameField},
    domain::{Attribute, AttributeKind as K, AttributeValue as V},
};

/// What an X.509 certificate says of itself; nothing for one that cannot be read, which is held all the same.
pub(super) fn certificate_attributes(der: &[u8]) -> Vec<Attribute> {
    use kmip_codec::attribute as wire;
    let length = i32::try_from(der.len()).unwrap_or(i32::MAX);
    let mut found = vec![Attribute::new(K::CertificateLength, V::Integer(length))];
    let Ok(certificate) = crypto::certificate::Certificate::from_der(der) else { return found };
    if let Some((algorithm, bits)) = certificate.key_facts() {
        found.extend(facts(Some(algorithm), Some(bits)));
    }
    for (name, kinds) in
        [(&certificate.subject, subject_kind as fn(NameField) -> K), (&certificate.issuer, issuer_kind)]
    {
        let mut index = std::collections::HashMap::new();
        for (field, text) in &name.fields {
            let next: &mut u32 = index.entry(kinds(*field)).or_default();
            found.push(Attribute { kind: kinds(*field), index: *next, value: V::Text(text.clone()) });
            *next = next.saturating_add(1);
        }
    }
    if let Some(algorithm) = certificate.signature_algorithm {
        found.push(Attribute::new(K::DigitalSignatureAlgorithm, V::Enumeration(algorithm.0)));
    }
    let serial = crypto::hash::to_hex(&certificate.serial);
    let (issuer, subject) = (certificate.issuer, certificate.subject);
    let structures = [
        (
            Tag::X_509_CERTIFICATE_IDENTIFIER,
            wire::AttributeValue::X509CertificateIdentifier(wire::X509CertificateIdentifier {
                issuer: issuer.der.clone(),
                // The published cases show the whole INTEGER, tag and length included.
                serial_number: der_integer(&certificate.serial),
            }),
        ),
        (
            Tag::X_509_CERTIFICATE_ISSUER,
            wire::AttributeValue::X509CertificateIssuer(wire::X509CertificateIssuer {
                distinguished_name: issuer.der,
                alternative_names: certificate.issuer_alternative_names,
            }),
        ),
        (
            Tag::X_509_CERTIFICATE_SUBJECT,
            wire::AttributeValue::X509CertificateSubject(wire::X509CertificateSubject {
                distinguished_name: subject.der,
                alternative_names: certificate.subject_alternative_names,
            }),
        ),
    ];
    let old = [
        (
            Tag::CERTIFICATE_IDENTIFIER,
            wire::AttributeValue::CertificateIdentifier(wire::CertificateIdentifier {
                issuer: issuer.text.clone(),
                serial_number: Some(serial),
            }),
        ),
        (
            Tag::CERTIFICATE_ISSUER,
            wire::AttributeValue::CertificateIssuer(wire::CertificateIssuer {
                distinguished_name: issuer.text,
                alternative_names: Vec::new(),
            }),
        ),
        (
            Tag::CERTIFICATE_SUBJECT,
            wire::AttributeValue::CertificateSubject(wire::CertificateSubject {
                distinguished_name: subject.text,
                alternative_names: Vec::new(),
            }),
        ),
    ];
    let both = structures.into_iter().map(|it| (it, V2_1)).chain(old.into_iter().map(|it| (it, V1_4)));
    found.extend(
        both.filter_map(|((tag, value), version)| attributes::one(wire::Attribute::new(tag, value), version).ok()),
    );
    found
}

/// The name that a *Certificate Subject* attribute of a client gives, for a certificate to be made.
pub(super) fn subject_text(attribute: &Attribute) -> Option<String> {
    use kmip_codec::attribute as wire;
    match (&attribute.kind, attributes::out(attribute)?.value?) {
        (K::CertificateSubject, wire::AttributeValue::CertificateSubject(subject)) => Some(subject.distinguished_name),
        _ => None,
    }
}

/// The INTEGER with that content.
pub(super) fn der_integer(content: &[u8]) -> Vec<u8> {
    // RFC 5280 §4.1.2.2: serial numbers have at most 20 bytes; longer ones are cut from certificates nobody should make.
    let content = content.get(..content.len().min(127)).unwrap_or_default();
    let mut der = vec![2, u8::try_from(content.len()).unwrap_or(127)];
    der.extend_from_slice(content);
    der
}

macro_rules! name_kinds {
    ($name:ident: $($field:ident $kind:ident;)+) => {
        const fn $name(field: NameField) -> K {
            match field { $(NameField::$field => K::$kind,)+ }
        }
    };
}

name_kinds! { subject_kind:
    Cn CertificateSubjectCn;
    O CertificateSubjectO;
    Ou CertificateSubjectOu;
    Email CertificateSubjectEmail;
    C CertificateSubjectC;
    St CertificateSubjectSt;
    L CertificateSubjectL;
    Uid CertificateSubjectUid;
    SerialNumber CertificateSubjectSerialNumber;
    Title CertificateSubjectTitle;
    Dc CertificateSubjectDc;
    DnQualifier CertificateSubjectDnQualifier;
}

name_kinds! { issuer_kind:
    Cn CertificateIssuerCn;
    O CertificateIssuerO;
    Ou CertificateIssuerOu;
    Email CertificateIssuerEmail;
    C CertificateIssuerC;
    St CertificateIssuerSt;
    L CertificateIssuerL;
    Uid CertificateIssuerUid;
    SerialNumber CertificateIssuerSerialNumber;
    Title CertificateIssuerTitle;
    Dc CertificateIssuerDc;
    DnQualifier CertificateIssuerDnQualifier;
}
