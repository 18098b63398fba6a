//! Connections that the gateway makes itself: to listeners of its clients.

use std::{io, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Somebody else's TLS listener.
#[derive(Clone)]
pub struct Dialer {
    /// Host and port.
    pub address: String,
    /// What its certificate must be for.
    pub name: ServerName<'static>,
    /// Whom we trust and what we show.
    pub tls: Arc<ClientConfig>,
}

impl Dialer {
    /// Connects; waits as long as the network does.
    ///
    /// # Errors
    ///
    /// The network's, and a certificate that does not hold.
    pub async fn connect(self) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(&self.address).await?;
        tcp.set_nodelay(true)?;
        TlsConnector::from(self.tls).connect(self.name, tcp).await
    }
}
