//! Encrypt, Decrypt, Sign, Signature Verify, MAC, MAC Verify (KMIP 2.1 §6.1.16, .12, .53, .54, .33, .34).
//!
//! Parameters come from the request, else from the object's first *Cryptographic Parameters*; what the HSM layer is given is
//! complete. Defaults stand only where there is no choice. Every operation runs inside the HSM.

use subtle::ConstantTimeEq;

use super::usage::{self, Side};
use crate::{
    authz::Permitted,
    domain::{
        AttributeKind, AttributeValue, CryptographicAlgorithm, CryptographicParameters, ManagedObject, ObjectType,
        OperationKind, SecretValue, TokenReference, UniqueIdentifier, UsageMask,
        algorithm::{BlockCipherMode, DigitalSignatureAlgorithm, HashingAlgorithm, PaddingMethod},
        reference::KeyKind,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{HsmAnswer, HsmRequest, SignInput},
        uses::Use,
    },
};

pub(super) const SECRET_OR_PUBLIC: &[ObjectType] = &[ObjectType::SymmetricKey, ObjectType::PublicKey];
pub(super) const SECRET_OR_PRIVATE: &[ObjectType] = &[ObjectType::SymmetricKey, ObjectType::PrivateKey];

/// Encrypts.
#[derive(Debug)]
pub struct Encrypt {
    /// With which key.
    pub object: UniqueIdentifier,
    /// The request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// The client's IV, counter block or nonce.
    pub iv: Option<Vec<u8>>,
    /// Additional authenticated data.
    pub aad: Vec<u8>,
    /// The plain data.
    pub data: SecretValue,
}

/// Encrypted data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypted {
    /// The data, without tag.
    pub data: Vec<u8>,
    /// The IV, when the server made it.
    pub iv: Option<Vec<u8>>,
    /// The authentication tag.
    pub auth_tag: Option<Vec<u8>>,
}

impl Operation for Encrypt {
    const KIND: OperationKind = OperationKind::Encrypt;
    type Output = Encrypted;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Encrypted, Error> {
        let found = on.into_object()?;
        let key = usage::usable(tools, &found.record, SECRET_OR_PUBLIC, Side::Protect, UsageMask::ENCRYPT)?.clone();
        let parameters = cipher_parameters(&found.record, self.parameters)?;
        let made = made_iv(tools, key.key, &parameters, self.iv.as_ref())?;
        let iv = self.iv.or_else(|| made.clone());
        let size = self.data.len();
        usage::charge(tools, found, size).await?;
        let request = HsmRequest::Encrypt { key, parameters, iv, aad: self.aad, data: self.data };
        match tools.hsm(request).await? {
            HsmAnswer::Encrypted { data, iv, auth_tag } => {
                tools.used(self.object, Use::Encrypt);
                Ok(Encrypted { data, iv: iv.or(made), auth_tag })
            }
            other => Err(crate::engine::unexpected(&other)),
        }
    }
}

/// Decrypts.
#[derive(Debug)]
pub struct Decrypt {
    /// With which key.
    pub object: UniqueIdentifier,
    /// The request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// The IV, counter block or nonce.
    pub iv: Option<Vec<u8>>,
    /// Additional authenticated data.
    pub aad: Vec<u8>,
    /// The authentication tag.
    pub auth_tag: Option<Vec<u8>>,
    /// Whether a tag that is not given stands behind the data.
    pub tag_behind: bool,
    /// The encrypted data.
    pub data: Vec<u8>,
}

impl Operation for Decrypt {
    const KIND: OperationKind = OperationKind::Decrypt;
    type Output = SecretValue;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<SecretValue, Error> {
        let found = on.into_object()?;
        let key = usage::usable(tools, &found.record, SECRET_OR_PRIVATE, Side::Process, UsageMask::DECRYPT)?.clone();
        let parameters = cipher_parameters(&found.record, self.parameters)?;
        if self.iv.is_none() && iv_bytes(key.key, &parameters).is_some() {
            return Err(Error::new(ErrorKind::IvMissing, "the mode needs an IV"));
        }
        let Self { object, iv, aad, mut auth_tag, mut data, tag_behind, .. } = self;
        if is_authenticated(&parameters) && auth_tag.is_none() {
            let tag = tag_behind.then(|| take_tag(&parameters, &mut data)).flatten();
            auth_tag = Some(tag.ok_or_else(|| Error::new(ErrorKind::Cryptographic, "decryption failed"))?);
        }
        let plain = tools.hsm_value(HsmRequest::Decrypt { key, parameters, iv, aad, auth_tag, data }).await?;
        tools.used(object, Use::Decrypt);
        Ok(plain)
    }
}

/// What is signed or verified.
#[derive(Debug)]
pub enum Signed {
    /// Data that is hashed by the parameters' hash.
    Data(SecretValue),
    /// A digest made by the client.
    Digest(Vec<u8>),
}

impl Signed {
    fn duplicate(&self) -> Self {
        match self {
            Self::Data(data) => Self::Data(data.duplicate()),
            Self::Digest(digest) => Self::Digest(digest.clone()),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Digest(digest) => digest.len(),
        }
    }
}

impl From<Signed> for SignInput {
    fn from(signed: Signed) -> Self {
        match signed {
            Signed::Data(data) => Self::Data(data),
            Signed::Digest(digest) => Self::Digest(digest),
        }
    }
}

/// Signs.
#[derive(Debug)]
pub struct Sign {
    /// With which private key.
    pub object: UniqueIdentifier,
    /// The request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// What.
    pub input: Signed,
}

impl Operation for Sign {
    const KIND: OperationKind = OperationKind::Sign;
    type Output = Vec<u8>;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Vec<u8>, Error> {
        let found = on.into_object()?;
        let key =
            usage::usable(tools, &found.record, &[ObjectType::PrivateKey], Side::Protect, UsageMask::SIGN)?.clone();
        let parameters = signature_parameters(&found.record, self.parameters, matches!(self.input, Signed::Digest(_)))?;
        usage::charge(tools, found, self.input.len()).await?;
        let signature = tools.hsm_bytes(HsmRequest::Sign { key, parameters, input: self.input.into() }).await?;
        tools.used(self.object, Use::Sign);
        Ok(signature)
    }
}

/// Verifies a signature.
#[derive(Debug)]
pub struct SignatureVerify {
    /// With which public key.
    pub object: UniqueIdentifier,
    /// The request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// What was signed.
    pub input: Signed,
    /// The signature.
    pub signature: Vec<u8>,
}

impl Operation for SignatureVerify {
    const KIND: OperationKind = OperationKind::SignatureVerify;
    type Output = bool;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<bool, Error> {
        let found = on.into_object()?;
        let key =
            usage::usable(tools, &found.record, &[ObjectType::PublicKey], Side::Process, UsageMask::VERIFY)?.clone();
        let parameters = signature_parameters(&found.record, self.parameters, matches!(self.input, Signed::Digest(_)))?;
        let holds = verify(tools, &found.record, &key, parameters, self.input, self.signature).await?;
        tools.used(self.object, Use::SignatureVerify);
        Ok(holds)
    }
}

/// Whether a signature holds by complete parameters.
pub(super) async fn verify(
    tools: &Tools,
    object: &ManagedObject,
    key: &TokenReference,
    parameters: CryptographicParameters,
    input: Signed,
    signature: Vec<u8>,
) -> Result<bool, Error> {
    for parameters in salts(object, parameters) {
        let (key, signature) = (key.clone(), signature.clone());
        let request = HsmRequest::Verify { key, parameters, input: input.duplicate().into(), signature };
        match tools.hsm(request).await? {
            HsmAnswer::Verified(true) => return Ok(true),
            HsmAnswer::Verified(false) => {}
            other => return Err(crate::engine::unexpected(&other)),
        }
    }
    Ok(false)
}

/// A PSS signature does not say how long its salt is. Where the client does not either, the lengths in use are tried: that
/// of the hash, the longest that fits, and none. Everything else is verified once.
fn salts(object: &ManagedObject, parameters: CryptographicParameters) -> Vec<CryptographicParameters> {
    let hash =
        parameters.hashing_algorithm.and_then(crate::crypto::hash::digest_bytes).and_then(|it| i32::try_from(it).ok());
    let (Some(PaddingMethod::PSS), None, Some(hash)) = (parameters.padding_method, parameters.salt_length, hash) else {
        return vec![parameters];
    };
    // RFC 8017 §9.1.1: the encoded message has ⌈(bits − 1) / 8⌉ bytes, of which hash, salt and two bytes must fit.
    let encoded = object.length_bits().and_then(|bits| i32::try_from(bits.saturating_sub(1).div_ceil(8)).ok());
    let longest = encoded.map(|encoded| encoded - hash - 2).filter(|longest| *longest > 0);
    let lengths = [Some(hash), longest, Some(0)];
    lengths
        .into_iter()
        .flatten()
        .map(|salt| CryptographicParameters { salt_length: Some(salt), ..parameters.clone() })
        .collect()
}

/// Makes a MAC.
#[derive(Debug)]
pub struct Mac {
    /// With which key.
    pub object: UniqueIdentifier,
    /// The request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// Over what.
    pub data: SecretValue,
}

impl Operation for Mac {
    const KIND: OperationKind = OperationKind::Mac;
    type Output = Vec<u8>;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Vec<u8>, Error> {
        let found = on.into_object()?;
        let types = &[ObjectType::SymmetricKey];
        let key = usage::usable(tools, &found.record, types, Side::Protect, UsageMask::MAC_GENERATE)?.clone();
        let parameters = mac_parameters(&found.record, self.parameters)?;
        usage::charge(tools, found, self.data.len()).await?;
        tools.hsm_bytes(HsmRequest::Mac { key, parameters, data: self.data }).await
    }
}

/// Verifies a MAC, in constant time.
#[derive(Debug)]
pub struct MacVerify {
    /// With which key.
    pub object: UniqueIdentifier,
    /// The request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// Over what.
    pub data: SecretValue,
    /// The MAC.
    pub mac: Vec<u8>,
}

impl Operation for MacVerify {
    const KIND: OperationKind = OperationKind::MacVerify;
    type Output = bool;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<bool, Error> {
        let object = on.into_object()?.record;
        let types = &[ObjectType::SymmetricKey];
        let key = usage::usable(tools, &object, types, Side::Process, UsageMask::MAC_VERIFY)?.clone();
        let parameters = mac_parameters(&object, self.parameters)?;
        let mac = tools.hsm_bytes(HsmRequest::Mac { key, parameters, data: self.data }).await?;
        Ok(mac.ct_eq(&self.mac).into())
    }
}

/// The request's parameters, each missing one taken from the object's first *Cryptographic Parameters*.
pub(super) fn merged(object: &ManagedObject, request: Option<CryptographicParameters>) -> CryptographicParameters {
    let stored = match object.attributes.value(&AttributeKind::CryptographicParameters) {
        Some(AttributeValue::CryptographicParameters(stored)) => (**stored).clone(),
        _ => CryptographicParameters::default(),
    };
    let Some(asked) = request else { return stored };
    CryptographicParameters {
        block_cipher_mode: asked.block_cipher_mode.or(stored.block_cipher_mode),
        padding_method: asked.padding_method.or(stored.padding_method),
        hashing_algorithm: asked.hashing_algorithm.or(stored.hashing_algorithm),
        key_role_type: asked.key_role_type.or(stored.key_role_type),
        digital_signature_algorithm: asked.digital_signature_algorithm.or(stored.digital_signature_algorithm),
        cryptographic_algorithm: asked.cryptographic_algorithm.or(stored.cryptographic_algorithm),
        random_iv: asked.random_iv.or(stored.random_iv),
        iv_length: asked.iv_length.or(stored.iv_length),
        tag_length: asked.tag_length.or(stored.tag_length),
        fixed_field_length: asked.fixed_field_length.or(stored.fixed_field_length),
        invocation_field_length: asked.invocation_field_length.or(stored.invocation_field_length),
        counter_length: asked.counter_length.or(stored.counter_length),
        initial_counter_value: asked.initial_counter_value.or(stored.initial_counter_value),
        salt_length: asked.salt_length.or(stored.salt_length),
        mask_generator: asked.mask_generator.or(stored.mask_generator),
        mask_generator_hashing_algorithm: asked
            .mask_generator_hashing_algorithm
            .or(stored.mask_generator_hashing_algorithm),
        p_source: asked.p_source.or(stored.p_source),
        trailer_field: asked.trailer_field.or(stored.trailer_field),
    }
}
/// Takes the authentication tag off the end of the data; none where the data is too short for one.
pub(super) fn take_tag(parameters: &CryptographicParameters, data: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = usize::try_from(parameters.tag_length.unwrap_or(16)).ok()?;
    data.len().checked_sub(length).map(|at| data.split_off(at))
}

pub(super) fn cipher_parameters(
    object: &ManagedObject,
    request: Option<CryptographicParameters>,
) -> Result<CryptographicParameters, Error> {
    let mut parameters = merged(object, request);
    let algorithm = object.algorithm();
    if let (Some(asked), Some(have)) = (parameters.cryptographic_algorithm, algorithm)
        && asked != have
    {
        return Err(Error::new(ErrorKind::BadParameters, "the key is of another algorithm"));
    }
    parameters.cryptographic_algorithm = parameters.cryptographic_algorithm.or(algorithm);
    if object.object_type == ObjectType::SymmetricKey {
        let block = matches!(algorithm, Some(CryptographicAlgorithm::AES | CryptographicAlgorithm::TRIPLE_DES));
        if algorithm == Some(CryptographicAlgorithm::CHACHA20_POLY1305) {
            // There is one mode only, and messages may leave it out.
            parameters.block_cipher_mode = parameters.block_cipher_mode.or(Some(BlockCipherMode::AEAD));
        }
        if block && parameters.block_cipher_mode.is_none() {
            return Err(Error::new(ErrorKind::BadParameters, "the block cipher mode is missing"));
        }
        if is_authenticated(&parameters) {
            // SP 800-38D §5.2.1.2: 16, 15, 14, 13, 12 bytes; 8 and 4 for short-lived uses that KMIP does not name. Tags of CCM
            // have an even length (SP 800-38C §A.1).
            let ccm = parameters.block_cipher_mode == Some(BlockCipherMode::CCM);
            match parameters.tag_length {
                None => parameters.tag_length = Some(16),
                Some(4 | 8 | 12..=16) if !ccm => {}
                Some(4 | 6 | 8 | 10 | 12 | 14 | 16) if ccm => {}
                Some(_) => {
                    return Err(Error::new(
                        ErrorKind::TagLength,
                        "the length of the authentication tag is not allowed",
                    ));
                }
            }
        }
        parameters.padding_method = parameters.padding_method.or(Some(PaddingMethod::NONE));
    } else {
        parameters.padding_method = parameters.padding_method.or(Some(PaddingMethod::PKCS1_V1_5));
        if parameters.padding_method == Some(PaddingMethod::OAEP) {
            parameters.hashing_algorithm = parameters.hashing_algorithm.or(Some(HashingAlgorithm::SHA_1));
            parameters.mask_generator_hashing_algorithm =
                parameters.mask_generator_hashing_algorithm.or(Some(HashingAlgorithm::SHA_1));
        }
    }
    Ok(parameters)
}

pub(super) fn is_authenticated(parameters: &CryptographicParameters) -> bool {
    matches!(parameters.block_cipher_mode, Some(BlockCipherMode::GCM | BlockCipherMode::CCM | BlockCipherMode::AEAD))
}

/// The IV that the server makes, where the client gives none and the mode needs one.
///
/// # Errors
///
/// `IvMissing` when the client says that the server makes none.
pub(super) fn made_iv(
    tools: &Tools,
    key: Option<KeyKind>,
    parameters: &CryptographicParameters,
    given: Option<&Vec<u8>>,
) -> Result<Option<Vec<u8>>, Error> {
    match (given, iv_bytes(key, parameters)) {
        (None, Some(length)) if parameters.random_iv != Some(false) => Ok(Some(tools.random_bytes(length))),
        (None, Some(_)) => Err(Error::new(ErrorKind::IvMissing, "the mode needs an IV")),
        _ => Ok(None),
    }
}

/// The length of the IV that the mode needs, or `None` where it needs none.
pub(super) fn iv_bytes(key: Option<KeyKind>, parameters: &CryptographicParameters) -> Option<usize> {
    let block = match key {
        Some(KeyKind::TripleDes) => 8,
        Some(KeyKind::Aes | KeyKind::AesXts) => 16,
        // RFC 8439 §2.3; the shorter nonce of the first publication is for clients that bring one.
        Some(KeyKind::ChaCha20) => return Some(12),
        _ => return None,
    };
    match parameters.block_cipher_mode? {
        BlockCipherMode::ECB | BlockCipherMode::NIST_KEY_WRAP | BlockCipherMode::AES_KEY_WRAP_PADDING => None,
        BlockCipherMode::GCM | BlockCipherMode::CCM => Some(12),
        _ => Some(block),
    }
}

/// Digital signature algorithm ↔ padding and hash (KMIP 2.1 §11.17).
const SIGNATURES: &[(DigitalSignatureAlgorithm, Option<PaddingMethod>, Option<HashingAlgorithm>)] = &[
    (DigitalSignatureAlgorithm::SHA1_WITH_RSA, Some(PaddingMethod::PKCS1_V1_5), Some(HashingAlgorithm::SHA_1)),
    (DigitalSignatureAlgorithm::SHA224_WITH_RSA, Some(PaddingMethod::PKCS1_V1_5), Some(HashingAlgorithm::SHA_224)),
    (DigitalSignatureAlgorithm::SHA256_WITH_RSA, Some(PaddingMethod::PKCS1_V1_5), Some(HashingAlgorithm::SHA_256)),
    (DigitalSignatureAlgorithm::SHA384_WITH_RSA, Some(PaddingMethod::PKCS1_V1_5), Some(HashingAlgorithm::SHA_384)),
    (DigitalSignatureAlgorithm::SHA512_WITH_RSA, Some(PaddingMethod::PKCS1_V1_5), Some(HashingAlgorithm::SHA_512)),
    (DigitalSignatureAlgorithm::RSASSA_PSS, Some(PaddingMethod::PSS), None),
    (DigitalSignatureAlgorithm::ECDSA_WITH_SHA1, None, Some(HashingAlgorithm::SHA_1)),
    (DigitalSignatureAlgorithm::ECDSA_WITH_SHA224, None, Some(HashingAlgorithm::SHA_224)),
    (DigitalSignatureAlgorithm::ECDSA_WITH_SHA256, None, Some(HashingAlgorithm::SHA_256)),
    (DigitalSignatureAlgorithm::ECDSA_WITH_SHA384, None, Some(HashingAlgorithm::SHA_384)),
    (DigitalSignatureAlgorithm::ECDSA_WITH_SHA512, None, Some(HashingAlgorithm::SHA_512)),
];

pub(super) fn signature_parameters(
    object: &ManagedObject,
    request: Option<CryptographicParameters>,
    digested: bool,
) -> Result<CryptographicParameters, Error> {
    let mut parameters = merged(object, request);
    if let Some(asked) = parameters.digital_signature_algorithm {
        let row = SIGNATURES.iter().find(|row| row.0 == asked);
        let (_, padding, hash) =
            row.ok_or_else(|| Error::new(ErrorKind::UnsupportedParameters, "the signature algorithm is not offered"))?;
        if parameters.hashing_algorithm.is_some_and(|given| hash.is_some_and(|hash| hash != given)) {
            return Err(Error::new(ErrorKind::BadParameters, "hash and signature algorithm contradict each other"));
        }
        parameters.padding_method = padding.or(parameters.padding_method);
        parameters.hashing_algorithm = hash.or(parameters.hashing_algorithm);
    }
    // A digest of a hash that nobody names is signed as it is (TC-RSA-SIGN-DIGESTEDDATA).
    let hashes = !digested && object.algorithm() != Some(CryptographicAlgorithm::ED25519);
    if parameters.hashing_algorithm.is_none() && hashes {
        parameters.hashing_algorithm = Some(HashingAlgorithm::SHA_256);
    }
    if object.algorithm() == Some(CryptographicAlgorithm::RSA) {
        parameters.padding_method = parameters.padding_method.or(Some(PaddingMethod::PKCS1_V1_5));
    }
    parameters.cryptographic_algorithm = parameters.cryptographic_algorithm.or_else(|| object.algorithm());
    Ok(parameters)
}

pub(super) fn mac_parameters(
    object: &ManagedObject,
    request: Option<CryptographicParameters>,
) -> Result<CryptographicParameters, Error> {
    let mut parameters = merged(object, request);
    parameters.cryptographic_algorithm = parameters.cryptographic_algorithm.or_else(|| object.algorithm());
    let cipher = matches!(
        parameters.cryptographic_algorithm,
        Some(CryptographicAlgorithm::AES | CryptographicAlgorithm::TRIPLE_DES)
    );
    if cipher && parameters.block_cipher_mode.is_none() && parameters.hashing_algorithm.is_none() {
        parameters.block_cipher_mode = Some(BlockCipherMode::CMAC);
    }
    if parameters.cryptographic_algorithm.is_none() && parameters.hashing_algorithm.is_none() {
        return Err(Error::new(ErrorKind::BadParameters, "the MAC algorithm is missing"));
    }
    Ok(parameters)
}
