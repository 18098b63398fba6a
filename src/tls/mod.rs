//! TLS configurations from files, their reload, and the certificates that `dev` issues.
//!
//! TLS 1.2 with ECDHE and AEAD, and TLS 1.3, through one provider that [`install_provider`] names once a process. A
//! reload builds a whole new configuration; sessions of the old one cannot be resumed in it, so that a changed client CA
//! means what it says. Only `app` reads this module.

mod certificate;
mod client;
mod error;
mod files;
mod issue;
mod server;

use std::sync::Once;

pub use certificate::{Summary, spki_sha256};
pub use client::{anonymous_client_config, client_config};
pub use error::TlsError;
pub use files::{Identity, certificates, private_file, write_private};
pub use issue::{ClientFiles, DEVELOPMENT, DevFiles, certify_client, issue_client, make_dev_files, spki_of_file};
pub use server::{Reloadable, ServerFiles};

/// Names the crypto provider of the process; calling it again does nothing.
pub fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
            tracing::debug!("the TLS provider was named before");
        }
    });
}
