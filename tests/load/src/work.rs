//! What the connections of a run ask over KMIP, and the objects that are made for it before.

use std::sync::Arc;

use kmip_codec::{
    ProtocolVersion, Tag,
    attribute::{
        AttributeList, AttributeValue, Attributes, CryptographicDomainParameters, CryptographicParameters, Name,
    },
    object::{KeyBlock, KeyMaterial, KeyValue, ManagedObject, SymmetricKey},
    payload::{
        ActivateRequest, CreateKeyPairRequest, CreateRequest, Data, DecryptRequest, DiscoverVersionsRequest,
        EncryptRequest, GetRequest, LocateRequest, RegisterRequest, Request, Response, SignRequest,
    },
    secret::SecretBytes,
    spec::{
        enums::{
            BlockCipherMode, CryptographicAlgorithm, DigitalSignatureAlgorithm, HashingAlgorithm, KeyFormatType,
            ObjectType, Operation, PaddingMethod, RecommendedCurve,
        },
        masks::CryptographicUsageMask,
    },
    version::V1_4,
};

use crate::{
    kmip::{Link, unexpected},
    options::KmipOperation,
    stats::Failure,
};

/// A message, encoded, and what it asks for.
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    pub(crate) operation: Operation,
    pub(crate) items: usize,
}

/// How objects are prepared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// So many objects, which requests take turns on.
    pub(crate) objects: usize,
    /// Bytes that are encrypted, decrypted or signed.
    pub(crate) bytes: usize,
    /// Items of a batch.
    pub(crate) batch: usize,
}

/// What the clients of a run do.
pub(crate) struct Schedule {
    works: Vec<Work>,
    /// Places in `works`, each as often as its weight says.
    order: Vec<usize>,
}

/// One operation.
enum Work {
    /// Objects with names of their own.
    Make { prefix: String, registers: bool },
    /// The same messages again and again.
    Repeat { messages: Vec<Arc<Message>>, expected: Expected, renews: Option<bool> },
}

/// What an answer must be.
enum Expected {
    Versions,
    Key,
    /// These, one for each message.
    Found(Vec<String>),
    /// At least as long.
    CipherText(usize),
    Plain(Vec<u8>),
    /// At least as long.
    Signature(usize),
}

/// What Encrypt answered, for Decrypt.
struct CipherText {
    key: String,
    data: Vec<u8>,
    iv: Option<Vec<u8>>,
    auth_tag: Option<Vec<u8>>,
}

/// What was made for a run: every object, with whether it is active.
pub(crate) type Objects = Vec<(String, bool)>;

impl Schedule {
    /// Makes what the operations need.
    ///
    /// # Errors
    ///
    /// The first refusal. What was made until then stays: the gateway is not in order.
    pub(crate) async fn make(
        link: &mut Link,
        operations: &[(KmipOperation, u32)],
        extent: Extent,
        prefix: &str,
    ) -> Result<(Self, Objects), Failure> {
        let (mut works, mut objects) = (Vec::new(), Objects::new());
        for (operation, _) in operations {
            let prefix = format!("{prefix}-{}", works.len());
            works.push(Work::make(link, *operation, extent, &prefix, &mut objects).await?);
        }
        // Not one operation's turns and then the next one's: all that are left take turns.
        let mut left: Vec<u32> = operations.iter().map(|(_, weight)| *weight).collect();
        let mut order = Vec::new();
        while left.iter().any(|weight| *weight > 0) {
            for (at, weight) in left.iter_mut().enumerate().filter(|(_, weight)| **weight > 0) {
                *weight -= 1;
                order.push(at);
            }
        }
        Ok((Self { works, order }, objects))
    }

    /// Whether each request has a new connection, and whether that resumes; a mix stays on its connections.
    pub(crate) fn renews(&self) -> Option<bool> {
        match self.works.as_slice() {
            [Work::Repeat { renews, .. }] => *renews,
            _ => None,
        }
    }

    /// Items of a message; one where messages differ.
    pub(crate) fn items(&self) -> usize {
        match self.works.as_slice() {
            [Work::Repeat { messages, .. }] => messages.first().map_or(1, |message| message.items),
            _ => 1,
        }
    }

    /// The message of a client's turn.
    ///
    /// # Errors
    ///
    /// When it cannot be encoded.
    pub(crate) fn message(
        &self,
        version: ProtocolVersion,
        client: usize,
        turn: usize,
    ) -> Result<Arc<Message>, Failure> {
        let (work, turn) = self.work(turn)?;
        match work {
            Work::Make { prefix, registers } => {
                let name = format!("{prefix}-{client}-{turn}");
                let request = if *registers { register(name) } else { create(name) };
                Message::of(version, vec![request]).map(Arc::new)
            }
            Work::Repeat { messages, .. } => turn_of(messages, turn).cloned(),
        }
    }

    /// Checks the answers to the message of a turn; the object that came of it.
    ///
    /// # Errors
    ///
    /// When one is not as expected.
    pub(crate) fn accept(&self, turn: usize, answers: Vec<Response>) -> Result<Option<String>, Failure> {
        let (work, turn) = self.work(turn)?;
        let Work::Repeat { expected, .. } = work else {
            return match answers.as_slice() {
                [Response::Create(made)] => text(&made.unique_identifier).map(Some),
                [Response::Register(made)] => text(&made.unique_identifier).map(Some),
                _ => Err(unexpected()),
            };
        };
        let is_expected = |answer: &Response| match (expected, answer) {
            (Expected::Versions, Response::DiscoverVersions(found)) => !found.protocol_versions.is_empty(),
            (Expected::Key, Response::Get(got)) => got.object_type == ObjectType::SYMMETRIC_KEY,
            (Expected::Found(ids), Response::Locate(found)) => match found.unique_identifiers.as_slice() {
                [one] => one.as_text().is_some() && one.as_text() == turn_of(ids, turn).ok().map(String::as_str),
                _ => false,
            },
            (Expected::CipherText(bytes), Response::Encrypt(made)) => {
                made.data.as_ref().is_some_and(|text| text.len() >= *bytes)
            }
            (Expected::Plain(data), Response::Decrypt(plain)) => {
                plain.data.as_ref().is_some_and(|it| it.expose_secret() == data.as_slice())
            }
            (Expected::Signature(bytes), Response::Sign(signed)) => {
                signed.signature_data.as_ref().is_some_and(|it| it.len() >= *bytes)
            }
            _ => false,
        };
        if answers.iter().all(is_expected) { Ok(None) } else { Err(unexpected()) }
    }

    /// Whose turn it is, and which of its own.
    fn work(&self, turn: usize) -> Result<(&Work, usize), Failure> {
        let at = turn_of(&self.order, turn)?;
        // One operation goes through all of its objects; those of a mix each skip what the others do.
        let work = self.works.get(*at).ok_or_else(unexpected)?;
        Ok((work, if self.works.len() == 1 { turn } else { turn / self.order.len().max(1) + turn }))
    }
}

impl Work {
    async fn make(
        link: &mut Link,
        operation: KmipOperation,
        extent: Extent,
        prefix: &str,
        objects: &mut Objects,
    ) -> Result<Self, Failure> {
        let Extent { objects: count, bytes, batch } = extent;
        let (data, cipher, version) = (pattern(bytes), cipher(link.version), link.version);
        let discover = || vec![DiscoverVersionsRequest::default().into()];
        let (requests, expected): (Vec<Vec<Request>>, _) = match operation {
            KmipOperation::Create | KmipOperation::Register => {
                let registers = operation == KmipOperation::Register;
                return Ok(Self::Make { prefix: prefix.to_owned(), registers });
            }
            KmipOperation::Discover | KmipOperation::Connect | KmipOperation::Resume => {
                (vec![discover()], Expected::Versions)
            }
            KmipOperation::Get => {
                let keys = keys(link, prefix, count, false, objects).await?;
                (keys.iter().map(|key| vec![get(key)]).collect(), Expected::Key)
            }
            KmipOperation::Locate => {
                let keys = keys(link, prefix, count, false, objects).await?;
                ((0..count).map(|at| vec![locate(&format!("{prefix}-{at}"))]).collect(), Expected::Found(keys))
            }
            KmipOperation::Encrypt => {
                let keys = keys(link, prefix, count, true, objects).await?;
                let requests = keys.iter().map(|key| vec![encrypt(key, &data, &cipher)]).collect();
                (requests, Expected::CipherText(bytes))
            }
            KmipOperation::Batch => {
                let keys = keys(link, prefix, count, true, objects).await?;
                let message = |at: usize| {
                    let keys = keys.iter().cycle().skip(at).take(batch);
                    keys.map(|key| encrypt(key, &data, &cipher)).collect()
                };
                ((0..count).map(message).collect(), Expected::CipherText(bytes))
            }
            KmipOperation::Decrypt => {
                let keys = keys(link, prefix, count, true, objects).await?;
                let mut requests = Vec::with_capacity(keys.len());
                for key in keys {
                    let text = encrypted(link, &key, &data, &cipher).await?;
                    requests.push(vec![decrypt(&text, &cipher)]);
                }
                (requests, Expected::Plain(data))
            }
            KmipOperation::Sign | KmipOperation::SignRsa => {
                let is_rsa = operation == KmipOperation::SignRsa;
                let mut requests = Vec::with_capacity(count);
                for at in 0..count {
                    let key = key_pair(link, &format!("{prefix}-{at}"), is_rsa, objects).await?;
                    requests.push(vec![sign(&key, &data, signature(is_rsa))]);
                }
                (requests, Expected::Signature(if is_rsa { 256 } else { 64 }))
            }
        };
        let messages = requests.into_iter().map(|requests| Message::of(version, requests).map(Arc::new));
        let renews = match operation {
            KmipOperation::Connect => Some(false),
            KmipOperation::Resume => Some(true),
            _ => None,
        };
        Ok(Self::Repeat { messages: messages.collect::<Result<_, _>>()?, expected, renews })
    }
}

async fn keys(
    link: &mut Link,
    prefix: &str,
    count: usize,
    activate: bool,
    objects: &mut Objects,
) -> Result<Vec<String>, Failure> {
    let mut keys = Vec::with_capacity(count);
    for at in 0..count {
        let Response::Create(made) = link.ask(create(format!("{prefix}-{at}"))).await? else {
            return Err(unexpected());
        };
        let id = text(&made.unique_identifier)?;
        if activate {
            link.ask(ActivateRequest { unique_identifier: Some(id.as_str().into()) }).await?;
        }
        objects.push((id.clone(), activate));
        keys.push(id);
    }
    Ok(keys)
}

/// An AES-256 key that encrypts and decrypts.
fn aes(name: String) -> Attributes {
    let mask = CryptographicUsageMask::ENCRYPT | CryptographicUsageMask::DECRYPT;
    Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
        .with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(mask.bits()))
        .with(Tag::NAME, AttributeValue::Name(Name::text(name)))
}

/// A key that the HSM makes.
pub(crate) fn create(name: String) -> Request {
    let attributes = aes(name);
    CreateRequest { object_type: ObjectType::SYMMETRIC_KEY, attributes, protection_storage_masks: None }.into()
}

/// A key that the client brings.
fn register(name: String) -> Request {
    let material = KeyMaterial::Bytes(SecretBytes::copy_of(&pattern(32)));
    let key_block = KeyBlock {
        key_format_type: KeyFormatType::RAW,
        key_compression_type: None,
        key_value: Some(KeyValue::Plain { material, attributes: Default::default() }),
        cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
        cryptographic_length: Some(256),
        key_wrapping_data: None,
    };
    RegisterRequest {
        object_type: ObjectType::SYMMETRIC_KEY,
        attributes: aes(name),
        object: Some(ManagedObject::SymmetricKey(SymmetricKey { key_block })),
        protection_storage_masks: None,
    }
    .into()
}

fn get(key: &str) -> Request {
    GetRequest { unique_identifier: Some(key.into()), ..GetRequest::default() }.into()
}

fn locate(name: &str) -> Request {
    let attributes = Attributes::default().with(Tag::NAME, AttributeValue::Name(Name::text(name)));
    LocateRequest { attributes: AttributeList(attributes), ..LocateRequest::default() }.into()
}

fn encrypt(key: &str, data: &[u8], parameters: &CryptographicParameters) -> Request {
    EncryptRequest {
        unique_identifier: Some(key.into()),
        cryptographic_parameters: Some(parameters.clone()),
        data: Some(Data::Bytes(SecretBytes::copy_of(data))),
        ..EncryptRequest::default()
    }
    .into()
}

fn decrypt(text: &CipherText, parameters: &CryptographicParameters) -> Request {
    DecryptRequest {
        unique_identifier: Some(text.key.as_str().into()),
        cryptographic_parameters: Some(parameters.clone()),
        data: Some(Data::Bytes(SecretBytes::copy_of(&text.data))),
        iv_counter_nonce: text.iv.clone(),
        authenticated_encryption_tag: text.auth_tag.clone(),
        ..DecryptRequest::default()
    }
    .into()
}

fn sign(key: &str, data: &[u8], parameters: CryptographicParameters) -> Request {
    SignRequest {
        unique_identifier: Some(key.into()),
        cryptographic_parameters: Some(parameters),
        data: Some(Data::Bytes(SecretBytes::copy_of(data))),
        ..SignRequest::default()
    }
    .into()
}

/// A pair of P-256 or RSA-2048 with an active private key, which is returned.
async fn key_pair(link: &mut Link, name: &str, is_rsa: bool, objects: &mut Objects) -> Result<String, Failure> {
    let (algorithm, bits) =
        if is_rsa { (CryptographicAlgorithm::RSA, 2048) } else { (CryptographicAlgorithm::ECDSA, 256) };
    let mut common = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(algorithm.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(bits));
    if !is_rsa {
        let curve =
            CryptographicDomainParameters { recommended_curve: Some(RecommendedCurve::P_256), ..Default::default() };
        common =
            common.with(Tag::CRYPTOGRAPHIC_DOMAIN_PARAMETERS, AttributeValue::CryptographicDomainParameters(curve));
    }
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
    let Response::Encrypt(made) = link.ask(encrypt(key, data, parameters)).await? else { return Err(unexpected()) };
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

fn signature(is_rsa: bool) -> CryptographicParameters {
    let hashing_algorithm = Some(HashingAlgorithm::SHA_256);
    if is_rsa {
        CryptographicParameters {
            cryptographic_algorithm: Some(CryptographicAlgorithm::RSA),
            padding_method: Some(PaddingMethod::PKCS1V1_5),
            hashing_algorithm,
            ..CryptographicParameters::default()
        }
    } else {
        CryptographicParameters {
            digital_signature_algorithm: Some(DigitalSignatureAlgorithm::ECDSA_WITH_SHA256),
            hashing_algorithm,
            ..CryptographicParameters::default()
        }
    }
}

/// Data of this many bytes that no two neighbours of are alike.
pub(crate) fn pattern(size: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(size).collect()
}

fn text(id: &kmip_codec::UniqueIdentifier) -> Result<String, Failure> {
    id.as_text().map(str::to_owned).ok_or_else(unexpected)
}

/// The objects of a run are used in turn; each connection begins at another.
pub(crate) fn turn_of<T>(objects: &[T], turn: usize) -> Result<&T, Failure> {
    let at = turn.checked_rem(objects.len()).unwrap_or(0);
    objects.get(at).ok_or_else(|| Failure::refused("no objects were prepared"))
}
