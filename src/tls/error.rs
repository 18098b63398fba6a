//! What can be wrong with TLS files, in words for the person who has to put it right.

use std::path::PathBuf;

use thiserror::Error;

/// A TLS file or a set of them is not usable.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// No PEM, or not what was expected.
    #[error("{path}: {what}")]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The files do not go together, or the library refuses them.
    #[error("{path}: {source}")]
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// The library's reason.
        source: rustls::Error,
    },
    /// The client CA's file is refused.
    #[error("{path}: {source}")]
    ClientCa {
        /// Which.
        path: PathBuf,
        /// The library's reason.
        source: rustls::server::VerifierBuilderError,
    },
    /// A certificate could not be issued.
    #[error("a certificate cannot be issued: {0}")]
    Issue(#[from] rcgen::Error),
}

impl TlsError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "PC-TLS-FILE",
            Self::Content { .. } => "PC-TLS-PEM",
            Self::Refused { .. } => "PC-TLS-CERTIFICATE",
            Self::ClientCa { .. } => "PC-TLS-CLIENT-CA",
            Self::Issue(_) => "PC-TLS-ISSUE",
        }
    }

    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Io { .. } => "check that the path is right and that the gateway's user may read it",
            Self::Content { .. } => "give a PEM file: CERTIFICATE sections, leaf first, or one unencrypted PRIVATE KEY",
            Self::Refused { .. } => "check that the private key belongs to the first certificate of the file",
            Self::ClientCa { .. } => "give the PEM certificate of the CA that signs the clients",
            Self::Issue(_) => "remove the tls folder of the development directory, so that it is made again",
        }
    }
}
