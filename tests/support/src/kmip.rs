//! A KMIP client with the certificate of a dev folder.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use kmip_codec::{
    Limits, ProtocolVersion, Tag, UniqueIdentifier,
    attribute::{AttributeValue, Attributes},
    message::{RequestHeader, RequestItem, RequestMessage, ResponseMessage},
    object::{KeyBlock, KeyMaterial, KeyValue, ManagedObject},
    payload::{CreateRequest, GetRequest, Request, Response},
    spec::enums::{CryptographicAlgorithm, KeyFormatType, ObjectType, ResultReason, ResultStatus},
    ttlv::{HEADER_BYTES, MessageKind, message_length},
    version::V2_1,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs},
};
use zeroize::Zeroizing;

use crate::{Gateway, PATIENCE};

/// Why there is no answer, or not the one wished for.
#[derive(Debug)]
pub enum Failure {
    /// The connection broke: what was asked may have happened or not.
    Connection(io::Error),
    /// The gateway refused.
    Refused(Option<ResultReason>, String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

/// A connection of the folder's enrolled client.
pub struct Kmip {
    stream: TlsStream<TcpStream>,
    version: ProtocolVersion,
}

impl Kmip {
    /// Connects to a gateway; speaks 2.1.
    ///
    /// # Errors
    ///
    /// When the gateway is away.
    pub async fn connect(gateway: &Gateway) -> io::Result<Self> {
        Self::to(gateway.kmip(), gateway.folder()).await
    }

    /// Connects to an address with the certificate of a dev folder.
    ///
    /// # Errors
    ///
    /// When nobody is there, or the handshake fails.
    pub async fn to(address: SocketAddr, folder: &Path) -> io::Result<Self> {
        Self::with(address, client(&folder.join("tls"), true)).await
    }

    /// Connects to an address without a certificate.
    ///
    /// # Errors
    ///
    /// When nobody is there, or the handshake fails at once; TLS 1.3 may tell it later.
    pub async fn stranger(address: SocketAddr, folder: &Path) -> io::Result<Self> {
        Self::with(address, client(&folder.join("tls"), false)).await
    }

    async fn with(address: SocketAddr, config: Arc<ClientConfig>) -> io::Result<Self> {
        let connect = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let connector = TlsConnector::from(config);
            connector.connect(ServerName::from(address.ip()), tcp).await
        };
        let late = |_elapsed| io::Error::from(io::ErrorKind::TimedOut);
        let stream = timeout(PATIENCE, connect).await.map_err(late)??;
        Ok(Self { stream, version: V2_1 })
    }

    /// Speaks another version from now on.
    #[must_use]
    pub const fn speaking(mut self, version: ProtocolVersion) -> Self {
        self.version = version;
        self
    }

    /// The connection, for bytes that are no KMIP.
    pub const fn stream(&mut self) -> &mut TlsStream<TcpStream> {
        &mut self.stream
    }

    /// One request, one answer.
    ///
    /// # Errors
    ///
    /// The gateway's refusal, or a broken connection.
    pub async fn ask(&mut self, request: Request) -> Result<Response, Failure> {
        let operation = request.operation();
        let items = vec![RequestItem::new(operation, request)];
        let message = RequestMessage { header: RequestHeader::new(self.version), items };
        let bytes = message.encode().unwrap();
        let late = |_elapsed| Failure::Connection(io::ErrorKind::TimedOut.into());
        let answer = timeout(PATIENCE, self.exchange(&bytes)).await.map_err(late)??;
        let message = ResponseMessage::decode(&answer, &Limits::default()).expect("the gateway's answer is KMIP");
        let version = message.header.protocol_version;
        let item = message.items.into_iter().next().expect("one answer for one request");
        if item.status != ResultStatus::SUCCESS {
            return Err(Failure::Refused(item.reason, item.message.unwrap_or_default()));
        }
        let payload = item.payload.expect("a success has a payload");
        Ok(Response::decode(operation, version, &payload).expect("the payload is of its operation"))
    }

    /// One message out, one in.
    async fn exchange(&mut self, request: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).await?;
        let length = message_length(&header, MessageKind::Response, &Limits::default()).map_err(io::Error::other)?;
        let mut answer = Zeroizing::new(vec![0; length]);
        let (front, rest) = answer.split_at_mut(HEADER_BYTES);
        front.copy_from_slice(&header);
        self.stream.read_exact(rest).await?;
        Ok(answer)
    }

    /// Creates or registers; the identifier.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub async fn make(&mut self, request: Request) -> Result<String, Failure> {
        Ok(match self.ask(request).await? {
            Response::Create(made) => text_of(&made.unique_identifier),
            Response::Register(made) => text_of(&made.unique_identifier),
            other => panic!("an answer to {}", other.operation()),
        })
    }

    /// The object as Get gives it in its own format.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub async fn get(&mut self, id: &str) -> Result<ManagedObject, Failure> {
        self.get_as(id, None).await
    }

    /// The object as Get gives it in that format.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub async fn get_as(&mut self, id: &str, format: Option<KeyFormatType>) -> Result<ManagedObject, Failure> {
        let get = GetRequest { unique_identifier: Some(id.into()), key_format_type: format, ..GetRequest::default() };
        match self.ask(Request::Get(Box::new(get))).await? {
            Response::Get(got) => Ok(got.object),
            other => panic!("an answer to {}", other.operation()),
        }
    }
}

/// The TLS side of the folder's enrolled client, or of one that knows the folder's CA only.
fn client(tls: &Path, has_certificate: bool) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(tls.join("ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let chain = CertificateDer::pem_file_iter(tls.join("client.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(tls.join("client.key")).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(if has_certificate {
        config.with_client_auth_cert(chain, key).unwrap()
    } else {
        config.with_no_client_auth()
    })
}

/// An identifier's text.
#[must_use]
pub fn text_of(id: &UniqueIdentifier) -> String {
    id.as_text().unwrap().to_owned()
}

/// Makes a symmetric key.
#[must_use]
pub fn create(attributes: Attributes) -> Request {
    let object_type = ObjectType::SYMMETRIC_KEY;
    Request::Create(Box::new(CreateRequest { object_type, attributes, protection_storage_masks: None }))
}

/// The attributes of a new AES-256 key that may encrypt and decrypt.
#[must_use]
pub fn aes() -> Attributes {
    Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(0xC))
}

/// A key block of that format.
#[must_use]
pub fn key_of(
    format: KeyFormatType,
    material: KeyMaterial,
    algorithm: Option<CryptographicAlgorithm>,
    bits: Option<i32>,
) -> KeyBlock {
    KeyBlock {
        key_format_type: format,
        key_compression_type: None,
        key_value: Some(KeyValue::Plain { material, attributes: Default::default() }),
        cryptographic_algorithm: algorithm,
        cryptographic_length: bits,
        key_wrapping_data: None,
    }
}

/// The bytes of an object that is given out as bytes.
#[must_use]
pub fn material(object: ManagedObject) -> Vec<u8> {
    let block = match object {
        ManagedObject::SymmetricKey(key) => key.key_block,
        ManagedObject::PublicKey(key) => key.key_block,
        ManagedObject::PrivateKey(key) => key.key_block,
        ManagedObject::SecretData(secret) => secret.key_block,
        ManagedObject::OpaqueObject(opaque) => return opaque.opaque_data_value.expose_secret().to_vec(),
        ManagedObject::Certificate(certificate) => return certificate.certificate_value,
        other => panic!("a {}", other.object_type()),
    };
    match block.key_value {
        Some(KeyValue::Plain { material: KeyMaterial::Bytes(bytes), .. }) => bytes.expose_secret().to_vec(),
        other => panic!("no bytes: {other:?}"),
    }
}
