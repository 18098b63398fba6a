//! KMIP: requests of `kmip-codec` over one TLS connection, one at a time, every answer decoded and checked.

use std::sync::Arc;

use kmip_codec::{
    Limits, ProtocolVersion, Tag,
    attribute::{AttributeList, AttributeValue, Attributes, CryptographicParameters, Name, RevocationReason},
    message::{RequestHeader, RequestItem, RequestMessage, ResponseMessage},
    payload::{
        ActivateRequest, CreateKeyPairRequest, CreateRequest, Data, DecryptRequest, DestroyRequest,
        DiscoverVersionsRequest, EncryptRequest, GetRequest, LocateRequest, Request, Response, RevokeRequest,
        SignRequest,
    },
    secret::SecretBytes,
    spec::{
        enums::{
            BlockCipherMode, CryptographicAlgorithm, DigitalSignatureAlgorithm, HashingAlgorithm, ObjectType,
            PaddingMethod, RecommendedCurve, ResultStatus, RevocationReasonCode,
        },
        masks::CryptographicUsageMask,
    },
    ttlv::{HEADER_BYTES, MessageKind, message_length},
    version::V1_4,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    drive::Client,
    options::KmipOperation,
    stats::Failure,
    transport::{Connection, Endpoint, Traffic},
};

/// A connection that speaks KMIP.
pub(crate) struct Link {
    endpoint: Endpoint,
    connection: Connection,
    version: ProtocolVersion,
    buffer: Vec<u8>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    ///
    /// What TCP or TLS say.
    pub(crate) async fn open(endpoint: &Endpoint, version: ProtocolVersion) -> Result<Self, Failure> {
        let connection = endpoint.connect().await?;
        Ok(Self { endpoint: endpoint.clone(), connection, version, buffer: Vec::new() })
    }

    /// Sends one request and reads the answer.
    ///
    /// # Errors
    ///
    /// A refusal by its result reason; anything else breaks the connection.
    pub(crate) async fn ask(&mut self, request: impl Into<Request>) -> Result<Response, Failure> {
        let request = request.into();
        let operation = request.operation();
        let message = RequestMessage {
            header: RequestHeader::new(self.version),
            items: vec![RequestItem::new(operation, request)],
        };
        let bytes = message.encode().map_err(|error| Failure::refused(format!("cannot be encoded: {error}")))?;
        self.connection.write_all(&bytes).await?;
        self.connection.flush().await?;

        let mut header = [0; HEADER_BYTES];
        self.connection.read_exact(&mut header).await?;
        let limits = Limits::default();
        let length = message_length(&header, MessageKind::Response, &limits).map_err(malformed)?;
        self.buffer.clear();
        self.buffer.extend_from_slice(&header);
        self.buffer.resize(length, 0);
        let rest = self.buffer.get_mut(HEADER_BYTES..).unwrap_or_default();
        self.connection.read_exact(rest).await?;

        let answer = ResponseMessage::decode(&self.buffer, &limits).map_err(malformed)?;
        let mut items = answer.items.into_iter();
        let (Some(item), None) = (items.next(), items.next()) else {
            return Err(Failure::broken("an answer without one batch item"));
        };
        if item.status != ResultStatus::SUCCESS {
            let reason = item.reason.and_then(|reason| reason.name(self.version)).unwrap_or("no reason");
            let text = item.message.unwrap_or_default();
            let name = operation.name(self.version).unwrap_or("?");
            return Err(Failure::refused(format!("KMIP {name}: {reason} ({text})")));
        }
        let payload = item.payload.filter(|_| item.operation == Some(operation));
        let payload = payload.ok_or_else(|| Failure::broken("an answer to something else"))?;
        Response::decode(operation, answer.header.protocol_version, &payload).map_err(malformed)
    }

    async fn reopen(&mut self) -> Result<(), Failure> {
        self.connection = self.endpoint.connect().await?;
        Ok(())
    }
}

fn malformed(error: kmip_codec::DecodeError) -> Failure {
    Failure::broken(format!("malformed answer: {error}"))
}

fn unexpected() -> Failure {
    Failure::refused("an answer with other content than expected")
}

/// Objects made for a run, before it is measured.
pub(crate) struct Prepared {
    /// Every object, with whether it is active.
    objects: Vec<(String, bool)>,
    work: Arc<Work>,
}

/// What the clients of a run do.
enum Work {
    Create { prefix: String },
    Get(Vec<String>),
    Locate(Vec<(String, String)>),
    Encrypt { keys: Vec<String>, data: Vec<u8>, parameters: CryptographicParameters },
    Decrypt { texts: Vec<CipherText>, data: Vec<u8>, parameters: CryptographicParameters },
    Sign { keys: Vec<String>, data: Vec<u8>, parameters: CryptographicParameters },
    Discover,
}

/// What Encrypt answered, for Decrypt.
struct CipherText {
    key: String,
    data: Vec<u8>,
    iv: Option<Vec<u8>>,
    auth_tag: Option<Vec<u8>>,
}

impl Prepared {
    /// Makes what the operation needs.
    ///
    /// # Errors
    ///
    /// The first refusal. What was made until then stays: the gateway is not in order.
    pub(crate) async fn make(
        link: &mut Link,
        operation: KmipOperation,
        count: usize,
        size: usize,
        prefix: &str,
    ) -> Result<Self, Failure> {
        let data = pattern(size);
        let cipher = cipher(link.version);
        let mut objects = Vec::new();
        let work = match operation {
            KmipOperation::Create => Work::Create { prefix: prefix.to_owned() },
            KmipOperation::Discover => Work::Discover,
            KmipOperation::Get => Work::Get(keys(link, prefix, count, false, &mut objects).await?),
            KmipOperation::Locate => {
                let made = keys(link, prefix, count, false, &mut objects).await?;
                Work::Locate(made.into_iter().enumerate().map(|(at, id)| (format!("{prefix}-{at}"), id)).collect())
            }
            KmipOperation::Encrypt => {
                let keys = keys(link, prefix, count, true, &mut objects).await?;
                Work::Encrypt { keys, data, parameters: cipher }
            }
            KmipOperation::Decrypt => {
                let keys = keys(link, prefix, count, true, &mut objects).await?;
                let mut texts = Vec::with_capacity(keys.len());
                for key in keys {
                    texts.push(encrypted(link, &key, &data, &cipher).await?);
                }
                Work::Decrypt { texts, data, parameters: cipher }
            }
            KmipOperation::Sign => {
                let mut keys = Vec::with_capacity(count);
                for at in 0..count {
                    keys.push(key_pair(link, &format!("{prefix}-{at}"), &mut objects).await?);
                }
                Work::Sign { keys, data, parameters: signature() }
            }
        };
        Ok(Self { objects, work: Arc::new(work) })
    }

    /// A client for this work; `number` tells it from the others.
    pub(crate) fn client(&self, link: Link, number: usize) -> KmipClient {
        KmipClient { link, work: Arc::clone(&self.work), number, turn: number, made: Vec::new() }
    }

    /// Everything to be destroyed: what was prepared, and what the clients made.
    pub(crate) fn into_objects(self, clients: &mut [KmipClient]) -> Vec<(String, bool)> {
        let made = clients.iter_mut().flat_map(|client| client.made.drain(..)).map(|id| (id, false));
        self.objects.into_iter().chain(made).collect()
    }
}

/// Destroys an object; an active one is revoked first, since only then it may be destroyed (KMIP 1.4 §4.21).
///
/// # Errors
///
/// The first refusal.
pub(crate) async fn destroy(link: &mut Link, id: &str, is_active: bool) -> Result<(), Failure> {
    if is_active {
        let revocation_reason = RevocationReason { code: RevocationReasonCode::CESSATION_OF_OPERATION, message: None };
        let revoke =
            RevokeRequest { unique_identifier: Some(id.into()), revocation_reason, compromise_occurrence_date: None };
        link.ask(revoke).await?;
    }
    link.ask(DestroyRequest { unique_identifier: Some(id.into()) }).await.map(drop)
}

async fn keys(
    link: &mut Link,
    prefix: &str,
    count: usize,
    activate: bool,
    objects: &mut Vec<(String, bool)>,
) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::with_capacity(count);
    for at in 0..count {
        let id = create(link, format!("{prefix}-{at}")).await?;
        if activate {
            link.ask(ActivateRequest { unique_identifier: Some(id.as_str().into()) }).await?;
        }
        objects.push((id.clone(), activate));
        keys.push(id);
    }
    Ok(keys)
}

/// An AES-256 key that encrypts and decrypts.
async fn create(link: &mut Link, name: String) -> Result<String, Failure> {
    let mask = CryptographicUsageMask::ENCRYPT | CryptographicUsageMask::DECRYPT;
    let attributes = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(mask.bits()))
        .with(Tag::NAME, AttributeValue::Name(Name::text(name)));
    let create = CreateRequest { object_type: ObjectType::SYMMETRIC_KEY, attributes, protection_storage_masks: None };
    match link.ask(create).await? {
        Response::Create(made) => text(&made.unique_identifier),
        _ => Err(unexpected()),
    }
}

/// A P-256 pair with an active private key, which is returned.
async fn key_pair(link: &mut Link, name: &str, objects: &mut Vec<(String, bool)>) -> Result<String, Failure> {
    let curve = kmip_codec::attribute::CryptographicDomainParameters {
        recommended_curve: Some(RecommendedCurve::P_256),
        ..Default::default()
    };
    let common = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::ECDSA.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
        .with(Tag::CRYPTOGRAPHIC_DOMAIN_PARAMETERS, AttributeValue::CryptographicDomainParameters(curve));
    let half = |mask: CryptographicUsageMask, half: &str| {
        Attributes::default()
            .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(mask.bits()))
            .with(Tag::NAME, AttributeValue::Name(Name::text(format!("{name}-{half}"))))
    };
    let pair = CreateKeyPairRequest {
        common_attributes: Some(common),
        private_key_attributes: Some(half(CryptographicUsageMask::SIGN, "private")),
        public_key_attributes: Some(half(CryptographicUsageMask::VERIFY, "public")),
        ..CreateKeyPairRequest::default()
    };
    let Response::CreateKeyPair(made) = link.ask(pair).await? else { return Err(unexpected()) };
    let (private, public) = (text(&made.private_key_unique_identifier)?, text(&made.public_key_unique_identifier)?);
    link.ask(ActivateRequest { unique_identifier: Some(private.as_str().into()) }).await?;
    objects.extend([(private.clone(), true), (public, false)]);
    Ok(private)
}

async fn encrypted(
    link: &mut Link,
    key: &str,
    data: &[u8],
    parameters: &CryptographicParameters,
) -> Result<CipherText, Failure> {
    let encrypt = EncryptRequest {
        unique_identifier: Some(key.into()),
        cryptographic_parameters: Some(parameters.clone()),
        data: Some(Data::Bytes(SecretBytes::copy_of(data))),
        ..EncryptRequest::default()
    };
    let Response::Encrypt(made) = link.ask(encrypt).await? else { return Err(unexpected()) };
    let text = made.data.filter(|text| text.len() >= data.len()).ok_or_else(unexpected)?;
    Ok(CipherText {
        key: key.to_owned(),
        data: text.expose_secret().to_vec(),
        iv: made.iv_counter_nonce,
        auth_tag: made.authenticated_encryption_tag,
    })
}

/// GCM where the version has a field for its tag, from 1.4; CBC before. The server makes the IV.
fn cipher(version: ProtocolVersion) -> CryptographicParameters {
    let common = CryptographicParameters {
        cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
        random_iv: Some(true),
        ..CryptographicParameters::default()
    };
    if version >= V1_4 {
        CryptographicParameters {
            block_cipher_mode: Some(BlockCipherMode::GCM),
            tag_length: Some(16),
            iv_length: Some(12),
            ..common
        }
    } else {
        CryptographicParameters {
            block_cipher_mode: Some(BlockCipherMode::CBC),
            padding_method: Some(PaddingMethod::PKCS5),
            ..common
        }
    }
}

fn signature() -> CryptographicParameters {
    CryptographicParameters {
        digital_signature_algorithm: Some(DigitalSignatureAlgorithm::ECDSA_WITH_SHA256),
        hashing_algorithm: Some(HashingAlgorithm::SHA_256),
        ..CryptographicParameters::default()
    }
}

/// Data of this many bytes that no two neighbours of are alike.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(size).collect()
}

fn text(id: &kmip_codec::UniqueIdentifier) -> Result<String, Failure> {
    id.as_text().map(str::to_owned).ok_or_else(unexpected)
}

/// One connection of a run.
pub(crate) struct KmipClient {
    link: Link,
    work: Arc<Work>,
    number: usize,
    turn: usize,
    made: Vec<String>,
}

impl Client for KmipClient {
    async fn once(&mut self) -> Result<(), Failure> {
        self.turn += 1;
        let link = &mut self.link;
        match &*self.work {
            Work::Create { prefix } => {
                let made = create(link, format!("{prefix}-{}-{}", self.number, self.turn)).await?;
                self.made.push(made);
                Ok(())
            }
            Work::Get(keys) => {
                let get = GetRequest {
                    unique_identifier: Some(turn_of(keys, self.turn)?.as_str().into()),
                    ..GetRequest::default()
                };
                match link.ask(get).await? {
                    Response::Get(got) if got.object_type == ObjectType::SYMMETRIC_KEY => Ok(()),
                    _ => Err(unexpected()),
                }
            }
            Work::Locate(names) => {
                let (name, id) = turn_of(names, self.turn)?;
                let attributes = Attributes::default().with(Tag::NAME, AttributeValue::Name(Name::text(name)));
                let locate = LocateRequest { attributes: AttributeList(attributes), ..LocateRequest::default() };
                let Response::Locate(found) = link.ask(locate).await? else { return Err(unexpected()) };
                match found.unique_identifiers.as_slice() {
                    [one] if one.as_text() == Some(id) => Ok(()),
                    _ => Err(unexpected()),
                }
            }
            Work::Encrypt { keys, data, parameters } => {
                encrypted(link, turn_of(keys, self.turn)?, data, parameters).await.map(drop)
            }
            Work::Decrypt { texts, data, parameters } => {
                let text = turn_of(texts, self.turn)?;
                let decrypt = DecryptRequest {
                    unique_identifier: Some(text.key.as_str().into()),
                    cryptographic_parameters: Some(parameters.clone()),
                    data: Some(Data::Bytes(SecretBytes::copy_of(&text.data))),
                    iv_counter_nonce: text.iv.clone(),
                    authenticated_encryption_tag: text.auth_tag.clone(),
                    ..DecryptRequest::default()
                };
                match link.ask(decrypt).await? {
                    Response::Decrypt(plain) if plain.data == Some(SecretBytes::copy_of(data)) => Ok(()),
                    _ => Err(unexpected()),
                }
            }
            Work::Sign { keys, data, parameters } => {
                let sign = SignRequest {
                    unique_identifier: Some(turn_of(keys, self.turn)?.as_str().into()),
                    cryptographic_parameters: Some(parameters.clone()),
                    data: Some(Data::Bytes(SecretBytes::copy_of(data))),
                    ..SignRequest::default()
                };
                match link.ask(sign).await? {
                    Response::Sign(signed) if signed.signature_data.as_ref().is_some_and(|it| it.len() >= 64) => Ok(()),
                    _ => Err(unexpected()),
                }
            }
            Work::Discover => match link.ask(DiscoverVersionsRequest::default()).await? {
                Response::DiscoverVersions(found) if !found.protocol_versions.is_empty() => Ok(()),
                _ => Err(unexpected()),
            },
        }
    }

    fn traffic(&self) -> &Traffic {
        self.link.connection.traffic()
    }

    async fn reconnect(&mut self) -> Result<(), Failure> {
        self.link.reopen().await
    }
}

/// The objects of a run are used in turn; each connection begins at another.
pub(crate) fn turn_of<T>(objects: &[T], turn: usize) -> Result<&T, Failure> {
    let at = turn.checked_rem(objects.len()).unwrap_or(0);
    objects.get(at).ok_or_else(|| Failure::refused("no objects were prepared"))
}
