//! Why a TLS handshake failed, as a closed set of words for the metric and the log.

use std::io;

use rustls::{CertificateError, Error, PeerIncompatible};

/// The word for a failed handshake; one of a fixed list, so that it can be a label.
#[must_use]
pub fn reason(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(tls) => tls_reason(tls),
        None => match error.kind() {
            io::ErrorKind::TimedOut => "timeout",
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => "closed",
            _ => "io",
        },
    }
}

fn tls_reason(error: &Error) -> &'static str {
    match error {
        Error::NoCertificatesPresented => "no-certificate",
        Error::InvalidCertificate(certificate) => certificate_reason(certificate),
        // The first bytes are no TLS record: plain HTTP, plain TTLV, a port scan.
        Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => "not-tls",
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoSignatureSchemesInCommon
            | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
            | PeerIncompatible::NamedGroupsExtensionRequired
            | PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::NoEcPointFormatsInCommon,
        ) => "no-common-cipher",
        Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => "old-protocol",
        Error::PeerIncompatible(_) => "incompatible",
        Error::NoApplicationProtocol => "no-common-alpn",
        Error::AlertReceived(_) => "alert-received",
        Error::PeerMisbehaved(_) | Error::InappropriateHandshakeMessage { .. } | Error::DecryptError => "misbehaved",
        _ => "other",
    }
}

fn certificate_reason(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "certificate-expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "certificate-not-yet-valid",
        CertificateError::UnknownIssuer => "certificate-unknown-issuer",
        CertificateError::BadSignature => "certificate-bad-signature",
        CertificateError::Revoked => "certificate-revoked",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "certificate-purpose",
        _ => "certificate-other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_word() {
        let tls = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let table = [
            (tls(Error::NoCertificatesPresented), "no-certificate"),
            (tls(Error::InvalidCertificate(CertificateError::Expired)), "certificate-expired"),
            (tls(Error::InvalidCertificate(CertificateError::UnknownIssuer)), "certificate-unknown-issuer"),
            (tls(Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon)), "no-common-cipher"),
            (tls(Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled)), "old-protocol"),
            (io::Error::from(io::ErrorKind::TimedOut), "timeout"),
            (io::Error::from(io::ErrorKind::UnexpectedEof), "closed"),
        ];
        for (error, word) in table {
            assert_eq!(reason(&error), word, "{error:?}");
        }
    }
}
