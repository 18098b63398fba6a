//! Which gateway: the folder of a running `portcullis dev`, and the rule that load goes to this machine only.

use std::{
    fs,
    net::{SocketAddr, ToSocketAddrs as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail, ensure};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::Value;

use crate::transport::Endpoint;

/// The folder of a gateway.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    dir: PathBuf,
    addresses: Value,
    allow_remote: bool,
}

impl Target {
    /// Reads `addresses.json`.
    ///
    /// # Errors
    ///
    /// When the folder is not that of a gateway which has run.
    pub(crate) fn read(dir: &Path, allow_remote: bool) -> anyhow::Result<Self> {
        let path = dir.join("addresses.json");
        let text = fs::read(&path)
            .with_context(|| format!("{}: is `portcullis dev --dir {}` running?", path.display(), dir.display()))?;
        let addresses = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        Ok(Self { dir: dir.to_owned(), addresses, allow_remote })
    }

    /// The KMIP listener, with the folder's client certificate.
    ///
    /// # Errors
    ///
    /// When an address or a file is missing or wrong, or the address is not allowed.
    pub(crate) fn kmip(&self) -> anyhow::Result<Endpoint> {
        let authority = self.text("kmip")?;
        let config = self.tls()?.with_client_auth_cert(
            CertificateDer::pem_file_iter(self.file("client.pem"))
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .with_context(|| self.file("client.pem").display().to_string())?,
            PrivateKeyDer::from_pem_file(self.file("client.key"))
                .with_context(|| self.file("client.key").display().to_string())?,
        );
        self.endpoint(authority, Some(config.context("the client's certificate and key")?))
    }

    /// The Barbican listener and the authority for `Host`.
    ///
    /// # Errors
    ///
    /// As for KMIP.
    pub(crate) fn rest(&self) -> anyhow::Result<(Endpoint, String)> {
        let url = self.text("rest")?.trim_end_matches('/');
        let (authority, config) = match url.split_once("://") {
            Some(("http", authority)) => (authority, None),
            Some(("https", authority)) => (authority, Some(self.tls()?.with_no_client_auth())),
            _ => bail!("the REST address is not an http or https URL: {url}"),
        };
        Ok((self.endpoint(authority, config)?, authority.to_owned()))
    }

    /// Where the metrics are, if that listener is open.
    pub(crate) fn ops(&self) -> Option<SocketAddr> {
        let url = self.text("ops").ok()?;
        resolve(url.trim_end_matches('/').strip_prefix("http://")?, self.allow_remote).ok()
    }

    /// The TLS of the KMIP listener, for a server that does nothing else: the folder's own certificates, and a client's asked for.
    ///
    /// # Errors
    ///
    /// When a file is missing or wrong.
    pub(crate) fn server(&self) -> anyhow::Result<ServerConfig> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots()?)).build()?;
        let (certificate, key) = (self.file("server.pem"), self.file("server.key"));
        let chain = CertificateDer::pem_file_iter(&certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| certificate.display().to_string())?;
        let key = PrivateKeyDer::from_pem_file(&key).with_context(|| key.display().to_string())?;
        Ok(ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key)?)
    }

    fn endpoint(&self, authority: &str, tls: Option<ClientConfig>) -> anyhow::Result<Endpoint> {
        let address = resolve(authority, self.allow_remote)?;
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host).trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("not a host name: {host}"))?;
        Ok(Endpoint { address, tls: tls.map(|config| (Arc::new(config), name)) })
    }

    fn tls(&self) -> anyhow::Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>> {
        Ok(ClientConfig::builder().with_root_certificates(self.roots()?))
    }

    fn roots(&self) -> anyhow::Result<RootCertStore> {
        let path = self.file("ca.pem");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&path).with_context(|| path.display().to_string())? {
            roots.add(certificate.with_context(|| path.display().to_string())?)?;
        }
        Ok(roots)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join("tls").join(name)
    }

    fn text(&self, name: &str) -> anyhow::Result<&str> {
        self.addresses
            .get(name)
            .and_then(Value::as_str)
            .with_context(|| format!("addresses.json has no `{name}`: that listener is not open"))
    }
}

/// Finds the address, and refuses those of other machines: a load program must not become a weapon by a typing error.
fn resolve(authority: &str, allow_remote: bool) -> anyhow::Result<SocketAddr> {
    let found: Vec<SocketAddr> =
        authority.to_socket_addrs().with_context(|| format!("cannot resolve {authority}"))?.collect();
    let address = *found.first().with_context(|| format!("{authority} has no address"))?;
    ensure!(
        allow_remote || found.iter().all(|address| address.ip().is_loopback()),
        "{authority} is not on this machine; --allow-remote says that you mean it"
    );
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_are_refused_unless_meant() {
        for local in ["127.0.0.1:5696", "[::1]:5696", "127.8.8.8:1"] {
            assert!(resolve(local, false).is_ok(), "{local}");
        }
        for remote in ["192.0.2.1:5696", "[2001:db8::1]:5696", "0.0.0.0:5696"] {
            let refused = resolve(remote, false).unwrap_err().to_string();
            assert!(refused.contains("--allow-remote"), "{refused}");
            assert_eq!(resolve(remote, true).unwrap(), remote.parse().unwrap());
        }
    }

    #[test]
    fn a_folder_without_a_gateway_says_what_to_start() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Target::read(dir.path(), false).unwrap_err().to_string();
        assert!(refused.contains("portcullis dev"), "{refused}");
    }

    #[test]
    fn a_listener_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("addresses.json"), r#"{"rest": "ftp://127.0.0.1:1"}"#).unwrap();
        let target = Target::read(dir.path(), false).unwrap();
        assert!(target.kmip().err().unwrap().to_string().contains("`kmip`"));
        assert!(target.rest().err().unwrap().to_string().contains("not an http or https URL"));
    }
}
