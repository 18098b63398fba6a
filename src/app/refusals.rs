//! What `serve` and `dev` refuse to run with, so that nobody is unsafe by accident (design decision 15).

use std::{fs, net::SocketAddr};

use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::problem::Problem;
use crate::{
    config::{AuthMode, Config, Module},
    engine::ports::TokenStatus,
    tls::Summary,
};

/// What `serve` refuses before it starts anything.
pub(super) fn serve(config: &Config) -> Result<(), Problem> {
    let kmip = [&config.kmip.certificate, &config.kmip.client_ca];
    for path in kmip.into_iter().chain(&config.rest.certificate) {
        // A file that cannot be read is reported by whoever needs it, with a better text.
        let text = fs::read(path).unwrap_or_default();
        let certificates = CertificateDer::pem_slice_iter(&text).flatten();
        if certificates.filter_map(|der| Summary::of(&der).ok()).any(|summary| summary.is_development()) {
            return Err(Problem::new(
                "PC-SERVE-DEV-CERTIFICATE",
                format!(
                    "{} was made by `portcullis dev`; its CA's key lies in a folder of somebody's laptop",
                    path.display()
                ),
                "use certificates of your own CA",
            ));
        }
    }
    for (name, hsm) in &config.hsm {
        if hsm.module == Module::Embedded && !hsm.allow_simulated_hsm {
            return Err(simulated(name));
        }
    }
    let rest = &config.rest;
    if !rest.listen.ip().is_loopback() {
        if rest.auth.mode == AuthMode::Unauthenticated {
            return Err(Problem::new(
                "PC-SERVE-UNAUTHENTICATED",
                format!("rest.auth.mode is \"unauthenticated\", but rest.listen is {}", rest.listen),
                "use mode \"keystone\" or \"tokens\", or listen on loopback",
            ));
        }
        if rest.certificate.is_none() && !rest.behind_proxy {
            return Err(Problem::new(
                "PC-SERVE-PLAIN-HTTP",
                format!("rest.listen is {} without TLS: payloads would cross the network readable", rest.listen),
                "give rest.certificate and rest.key, or set rest.behind_proxy = true where a proxy ends TLS",
            ));
        }
    }
    Ok(())
}

/// What `serve` refuses once the tokens are known.
pub(super) fn tokens(config: &Config, status: &[TokenStatus]) -> Result<(), Problem> {
    let allowed = |name: &str| config.hsm.get(name).is_some_and(|hsm| hsm.allow_simulated_hsm);
    for token in status.iter().filter(|token| token.software && !token.simulated && !allowed(&token.token.0)) {
        // The operator has installed and named it: that is no accident. But nobody shall take it for hardware.
        tracing::warn!(
            token = %token.token, module = token.module,
            "this token is software: whoever reads its files and PIN has every key; hsm.{}.allow_simulated_hsm = true \
             says that this is meant",
            token.token,
        );
    }
    match status.iter().find(|token| token.simulated && !allowed(&token.token.0)) {
        Some(token) => Err(simulated(&token.token.0)),
        None => Ok(()),
    }
}

/// What `dev` refuses: everything but loopback.
pub(super) fn dev(config: &Config) -> Result<(), Problem> {
    let off_loopback = |address: &&SocketAddr| !address.ip().is_loopback();
    let listeners = [&config.kmip.listen, &config.rest.listen, &config.ops.listen];
    match listeners.into_iter().chain(&config.kmip.https_listen).find(off_loopback) {
        Some(address) => Err(Problem::new(
            "PC-DEV-LOOPBACK",
            format!("`dev` does not listen on {address}: it is open to everybody who can reach it"),
            "use 127.0.0.1 or [::1], or `portcullis serve` with a configuration",
        )),
        None => Ok(()),
    }
}

fn simulated(name: &str) -> Problem {
    Problem::new(
        "PC-SERVE-SIMULATED-HSM",
        format!("the token hsm.{name} is a simulator: whoever reads its files and PIN has every key"),
        format!("use a real module, or set hsm.{name}.allow_simulated_hsm = true to accept that"),
    )
}
