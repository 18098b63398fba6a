//! Derive Key: a new key or secret data out of keys and secrets that are here (KMIP 2.1 §6.1.14, §7.12; contract §9).
//!
//! HMAC, the KDFs of SP 800-108 and encryption are made of the token's own mechanisms, so the key stays inside; key agreement
//! is the token's, too, and HKDF and AWS Signature where it has the mechanisms. What it cannot do is computed from the value on
//! the HSM layer's thread, if the operator's table says so: then the trail says so, too, and the object is flagged *Software*.
//! The output is taken in like a registered value, so it was never inside only: *Never Extractable* is false.

use super::{
    crypt,
    register::keep,
    template,
    usage::{self, Side},
};
use crate::{
    authz::Permitted,
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, CryptographicParameters, Lifecycle,
        ManagedObject, ObjectType, OperationKind, Origin, SecretValue, TokenReference, UniqueIdentifier, UsageMask,
        algorithm::{BlockCipherMode, HashingAlgorithm, KeyFormatType},
        attributes::link,
        secret::SecretFacet,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Derivation, Guard, HsmAnswer, HsmRequest, Versioned, Write},
    },
};

/// KMIP *Derivation Method* (KMIP 2.1 §11.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// PBKDF2 over a password.
    Pbkdf2,
    /// A digest of key and data.
    Hash,
    /// HMAC of the data.
    Hmac,
    /// The data encrypted.
    Encrypt,
    /// SP 800-108 in counter mode.
    Counter,
    /// SP 800-108 in feedback mode.
    Feedback,
    /// SP 800-108 in double-pipeline iteration mode.
    DoublePipeline,
    /// Key agreement of a private with a public key.
    Agreement,
    /// The signing key of AWS Signature Version 4.
    AwsSignature,
    /// HKDF.
    Hkdf,
}

/// Derives a key or secret data.
#[derive(Debug)]
pub struct Derive {
    /// Symmetric Key or Secret Data.
    pub object_type: ObjectType,
    /// From which keys and secrets.
    pub objects: Vec<UniqueIdentifier>,
    /// How.
    pub method: Method,
    /// The pseudo-random function or cipher.
    pub parameters: Option<CryptographicParameters>,
    /// Initialization Vector.
    pub iv: Option<Vec<u8>>,
    /// Derivation Data.
    pub data: Option<SecretValue>,
    /// Salt.
    pub salt: Option<Vec<u8>>,
    /// Iteration Count.
    pub iterations: Option<u32>,
    /// Algorithm of the derived key.
    pub algorithm: Option<CryptographicAlgorithm>,
    /// Its length in bits.
    pub length_bits: Option<u32>,
    /// Its other attributes.
    pub attributes: Vec<Attribute>,
    /// What only Barbican's side keeps; whose it is.
    pub secret: SecretFacet,
}

const SOURCES: &[ObjectType] =
    &[ObjectType::SymmetricKey, ObjectType::SecretData, ObjectType::PrivateKey, ObjectType::PublicKey];
/// Longest derived value in bits; the HSM layer's own limit is higher.
const BITS_MAX: u32 = 32_768;
/// More iterations than anybody waits for.
const ITERATIONS_MAX: u32 = 10_000_000;

impl Operation for Derive {
    const KIND: OperationKind = OperationKind::Derive;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Objects(self.objects.clone())
    }

    async fn run(mut self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let mut sources = on.into_inner().objects;
        if sources.is_empty() {
            return Err(Error::new(ErrorKind::Missing, "a key is derived from at least one object"));
        }
        if !matches!(self.object_type, ObjectType::SymmetricKey | ObjectType::SecretData) {
            return Err(Error::new(ErrorKind::InvalidField, "symmetric keys and secret data are derived"));
        }
        for source in &sources {
            usage::allowed(tools, &source.record, SOURCES, Side::Protect, UsageMask::DERIVE)?;
        }
        let bits = self.length_bits.ok_or_else(|| Error::new(ErrorKind::Missing, "the length is missing"))?;
        if self.object_type == ObjectType::SymmetricKey && self.algorithm.is_none() {
            return Err(Error::new(ErrorKind::Missing, "a symmetric key needs an algorithm"));
        }
        let bytes = match (self.algorithm, bits) {
            (Some(CryptographicAlgorithm::TRIPLE_DES), 112) => 16,
            (Some(CryptographicAlgorithm::TRIPLE_DES), 168) => 24,
            (_, bits) if bits != 0 && bits.is_multiple_of(8) && bits <= BITS_MAX => bits / 8,
            _ => return Err(Error::new(ErrorKind::InvalidField, "a derived value has whole bytes")),
        };
        let mut object = self.record(tools, bits)?;
        for source in &sources {
            object.link(link::DERIVATION_BASE, source.record.identifier)?;
        }
        let method = self.method;
        let (output, outside) = self.derive(tools, &sources, bytes).await?;
        if outside {
            tracing::info!(object = %object.identifier, ?method, "a value was used outside of the HSM, as the operator allows");
            object.attributes.set(AttributeKind::ProtectionStorageMask, AttributeValue::Integer(SOFTWARE));
        }
        let value = cut(output, bytes)?;
        let value = template::raw_value(self.object_type, self.algorithm, object.usage(), value)?;
        let mut also = Vec::with_capacity(sources.len());
        for Versioned { record, revision } in &mut sources {
            record.link(link::DERIVED, object.identifier)?;
            record.lifecycle.last_change = tools.now();
            also.push(Write::PutObject(Box::new(record.clone()), Guard::At(*revision)));
        }
        keep(tools, object, Some(value), also).await
    }
}

impl Derive {
    fn record(&mut self, tools: &Tools, bits: u32) -> Result<ManagedObject, Error> {
        let now = tools.now();
        let mut lifecycle = Lifecycle::new(now);
        lifecycle.original_creation = Some(now.to_seconds());
        let mut object = ManagedObject {
            identifier: tools.identifier(),
            object_type: self.object_type,
            project: tools.principal().project.clone(),
            creator: tools.principal().name.clone(),
            origin: Origin::Kmip,
            value: None,
            format: Some(KeyFormatType::RAW),
            subtype: (self.object_type == ObjectType::SecretData).then_some(SECRET_DATA_SEED),
            lifecycle,
            attributes: Default::default(),
            secret: self.secret.clone(),
        };
        if let Some(algorithm) = self.algorithm {
            object.attributes.set(AttributeKind::CryptographicAlgorithm, AttributeValue::Enumeration(algorithm.0));
        }
        object.attributes.set(AttributeKind::CryptographicLength, AttributeValue::Integer(bits.cast_signed()));
        template::apply(&mut object, std::mem::take(&mut self.attributes))?;
        template::server_attributes(&mut object, tools.settings(), false);
        object.attributes.set(AttributeKind::NeverExtractable, AttributeValue::Boolean(false));
        Ok(object)
    }

    async fn derive(
        &mut self,
        tools: &Tools,
        sources: &[Versioned<ManagedObject>],
        bytes: u32,
    ) -> Result<(SecretValue, bool), Error> {
        let inside = |value| (value, false);
        // The key comes first; a second object of secret data stands for the derivation data (KMIP 1.0 §4.5).
        let key = sources
            .iter()
            .find(|it| it.record.object_type == ObjectType::PrivateKey)
            .or_else(|| sources.iter().find(|it| it.record.object_type == ObjectType::SymmetricKey))
            .or_else(|| sources.first())
            .ok_or_else(Error::not_found)?;
        let other = sources.iter().find(|it| it.record.identifier != key.record.identifier);
        let reference = tools.reference(&key.record)?.clone();
        if self.method == Method::Agreement {
            return self.agree(tools, reference, other).await.map(inside);
        }
        let data = self.derivation_data(tools, other).await?;
        let parameters = crypt::merged(&key.record, self.parameters.take());
        let hash = || {
            let keyed = [parameters.cryptographic_algorithm, key.record.algorithm()];
            let by_key = keyed.into_iter().flatten().find_map(keyed_hash);
            parameters.hashing_algorithm.or(by_key)
        };
        let needed = |hash: Option<HashingAlgorithm>| {
            hash.ok_or_else(|| Error::new(ErrorKind::BadParameters, "the hashing algorithm is missing"))
        };
        let exposed = |data: Option<SecretValue>| data.as_ref().map(open).unwrap_or_default();
        let how = match self.method {
            Method::Hash => Derivation::Hash { hash: needed(hash())?, data: exposed(data) },
            Method::Pbkdf2 => {
                if data.is_some() {
                    return Err(Error::new(ErrorKind::InvalidField, "the password is given twice"));
                }
                let salt = self.salt.take();
                let salt = salt.ok_or_else(|| Error::new(ErrorKind::Missing, "PBKDF2 needs a salt"))?;
                let iterations = self.iterations.filter(|count| (1..=ITERATIONS_MAX).contains(count));
                let iterations =
                    iterations.ok_or_else(|| Error::new(ErrorKind::InvalidField, "PBKDF2 needs an iteration count"))?;
                // RFC 8018's own default.
                let hash = hash().unwrap_or(HashingAlgorithm::SHA_1);
                Derivation::Pbkdf2 { hash, salt, iterations, bytes }
            }
            Method::Hkdf => {
                let hash = hash().unwrap_or(HashingAlgorithm::SHA_256);
                Derivation::Hkdf { hash, salt: self.salt.take().unwrap_or_default(), info: exposed(data), bytes }
            }
            Method::AwsSignature => Derivation::AwsSignature { scope: scope(&exposed(data))? },
            Method::Encrypt => {
                let data = data.ok_or_else(no_data)?;
                return self.encrypt(tools, &key.record, reference, parameters, data).await.map(inside);
            }
            Method::Hmac => {
                let data = data.ok_or_else(no_data)?;
                let function = Prf { tools, key: reference, parameters: hmac_with(needed(hash())?) };
                return function.of(&[&open(&data)]).await.map(inside);
            }
            Method::Counter | Method::Feedback | Method::DoublePipeline => {
                let fixed = fixed_input(data.as_ref().ok_or_else(no_data)?, bytes);
                let function = match (parameters.block_cipher_mode, hash()) {
                    (Some(BlockCipherMode::CMAC), _) => CryptographicParameters {
                        block_cipher_mode: Some(BlockCipherMode::CMAC),
                        ..CryptographicParameters::default()
                    },
                    (_, hash) => hmac_with(needed(hash)?),
                };
                let function = Prf { tools, key: reference, parameters: function };
                let iv = self.iv.take().unwrap_or_default();
                return sp800_108(self.method, &function, &fixed, iv, bytes).await.map(inside);
            }
            Method::Agreement => return Err(Error::new(ErrorKind::Internal, "a derivation took the wrong way")),
        };
        self.inside_or_not(tools, reference, how).await
    }

    /// Asks the HSM, and where it cannot, computes from the value if that is allowed. Answers whether it was computed so.
    async fn inside_or_not(
        &self,
        tools: &Tools,
        key: TokenReference,
        how: Derivation,
    ) -> Result<(SecretValue, bool), Error> {
        let ask = |outside| HsmRequest::Derive { key: key.clone(), how: how.clone(), outside };
        let refusal = match tools.hsm_value(ask(false)).await {
            Ok(value) => return Ok((value, false)),
            Err(error) if error.kind == ErrorKind::UnsupportedParameters => error,
            Err(error) => return Err(error),
        };
        let table = &tools.settings().software_fallback;
        let (allowed, text) = match self.method {
            Method::Hash => (table.hash, "the HSM hashes no keys, and software_fallback.hash is off"),
            Method::Pbkdf2 => (table.pbkdf2, "the HSM has no PBKDF2, and software_fallback.pbkdf2 is off"),
            Method::Hkdf => (table.hkdf, "the HSM has no HKDF for this key, and software_fallback.hkdf is off"),
            Method::AwsSignature => {
                (table.aws_signature, "the HSM cannot prefix this key, and software_fallback.aws_signature is off")
            }
            _ => return Err(refusal),
        };
        if !allowed {
            return Err(Error::new(ErrorKind::UnsupportedParameters, text).because(refusal));
        }
        tools.becomes(OperationKind::DeriveInSoftware);
        tools.hsm_value(ask(true)).await.map(|value| (value, true))
    }

    /// What the client gave, or what a second object holds; not both (KMIP 1.0 §4.5).
    async fn derivation_data(
        &mut self,
        tools: &Tools,
        other: Option<&Versioned<ManagedObject>>,
    ) -> Result<Option<SecretValue>, Error> {
        match (self.data.take(), other) {
            (Some(_), Some(_)) => Err(Error::new(ErrorKind::InvalidField, "the derivation data is given twice")),
            (None, Some(other)) => {
                let reference = tools.reference(&other.record)?.clone();
                let request = match reference.bytes {
                    Some(_) => HsmRequest::RevealBytes { reference },
                    None => HsmRequest::RevealKey { reference },
                };
                tools.hsm_value(request).await.map(Some)
            }
            (data, None) => Ok(data),
        }
    }

    async fn agree(
        &mut self,
        tools: &Tools,
        key: TokenReference,
        other: Option<&Versioned<ManagedObject>>,
    ) -> Result<SecretValue, Error> {
        let peer = match (self.data.take(), other) {
            (Some(_), Some(_)) => {
                return Err(Error::new(ErrorKind::InvalidField, "the other public key is given twice"));
            }
            (Some(given), None) => open(&given),
            (None, Some(other)) if other.record.object_type == ObjectType::PublicKey => {
                let reference = tools.reference(&other.record)?.clone();
                open(&tools.hsm_value(HsmRequest::RevealKey { reference }).await?)
            }
            _ => return Err(Error::new(ErrorKind::Missing, "key agreement needs a private and a public key")),
        };
        if !key.key.is_some_and(crate::domain::reference::KeyKind::is_private) {
            return Err(Error::new(ErrorKind::WrongObjectType, "key agreement needs a private key"));
        }
        tools.hsm_value(HsmRequest::Derive { key, how: Derivation::Agreement { peer }, outside: false }).await
    }

    async fn encrypt(
        &mut self,
        tools: &Tools,
        record: &ManagedObject,
        key: TokenReference,
        parameters: CryptographicParameters,
        data: SecretValue,
    ) -> Result<SecretValue, Error> {
        let parameters = crypt::cipher_parameters(record, Some(parameters))?;
        // "An empty IV is assumed if not provided": of zeros, where the mode needs one.
        let iv = self.iv.take().or_else(|| crypt::iv_bytes(key.key, &parameters).map(|length| vec![0; length]));
        match tools.hsm(HsmRequest::Encrypt { key, parameters, iv, aad: Vec::new(), data }).await? {
            HsmAnswer::Encrypted { data, .. } => Ok(SecretValue::new(data)),
            other => Err(crate::engine::unexpected(&other)),
        }
    }
}

/// KMIP 2.1 §11.46, *Protection Storage Mask*: Software.
const SOFTWARE: i32 = 1;
/// KMIP 2.1 §11.54, *Secret Data Type*: Seed.
const SECRET_DATA_SEED: u32 = 2;

fn no_data() -> Error {
    Error::new(ErrorKind::Missing, "the derivation data is missing")
}

#[expect(clippy::disallowed_methods, reason = "derivation data goes on to the HSM layer")]
fn open(value: &SecretValue) -> Vec<u8> {
    value.expose_secret().to_vec()
}

/// The leading bytes of the output.
#[expect(clippy::disallowed_methods, reason = "a derived value is cut to its length before the HSM takes it in")]
fn cut(output: SecretValue, bytes: u32) -> Result<SecretValue, Error> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    let cut = output.expose_secret().get(..bytes).map(|bytes| SecretValue::new(bytes.to_vec()));
    cut.ok_or_else(|| Error::new(ErrorKind::Cryptographic, "the derivation gives fewer bytes than are asked for"))
}

const fn keyed_hash(algorithm: CryptographicAlgorithm) -> Option<HashingAlgorithm> {
    Some(match algorithm {
        CryptographicAlgorithm::HMAC_SHA1 => HashingAlgorithm::SHA_1,
        CryptographicAlgorithm::HMAC_SHA224 => HashingAlgorithm::SHA_224,
        CryptographicAlgorithm::HMAC_SHA256 => HashingAlgorithm::SHA_256,
        CryptographicAlgorithm::HMAC_SHA384 => HashingAlgorithm::SHA_384,
        CryptographicAlgorithm::HMAC_SHA512 => HashingAlgorithm::SHA_512,
        CryptographicAlgorithm::HMAC_SHA3_256 => HashingAlgorithm::SHA3_256,
        CryptographicAlgorithm::HMAC_SHA3_384 => HashingAlgorithm::SHA3_384,
        CryptographicAlgorithm::HMAC_SHA3_512 => HashingAlgorithm::SHA3_512,
        _ => return None,
    })
}

fn hmac_with(hash: HashingAlgorithm) -> CryptographicParameters {
    CryptographicParameters { hashing_algorithm: Some(hash), ..CryptographicParameters::default() }
}

/// Date, region and service, in this order (KMIP 2.1 §7.12), with slashes between them as AWS writes a credential scope.
fn scope(data: &[u8]) -> Result<[Vec<u8>; 3], Error> {
    let parts: Vec<Vec<u8>> = data.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
    parts.try_into().map_err(|_parts: Vec<Vec<u8>>| {
        Error::new(ErrorKind::InvalidField, "the derivation data is date/region/service")
    })
}

/// Label ‖ 0 ‖ Context as the client gives it, and the length in bits of all that is made (SP 800-108 §5).
fn fixed_input(data: &SecretValue, bytes: u32) -> Vec<u8> {
    let mut fixed = open(data);
    fixed.extend_from_slice(&bytes.saturating_mul(8).to_be_bytes());
    fixed
}

/// A pseudo-random function inside the HSM.
struct Prf<'a> {
    tools: &'a Tools,
    key: TokenReference,
    parameters: CryptographicParameters,
}

impl Prf<'_> {
    async fn of(&self, parts: &[&[u8]]) -> Result<SecretValue, Error> {
        let data = SecretValue::new(parts.concat());
        let request = HsmRequest::Mac { key: self.key.clone(), parameters: self.parameters.clone(), data };
        self.tools.hsm_bytes(request).await.map(SecretValue::new)
    }
}

/// The three KDFs of SP 800-108 with a counter of 32 bits before the fixed input (§5.1–5.3).
async fn sp800_108(
    method: Method,
    function: &Prf<'_>,
    fixed: &[u8],
    iv: Vec<u8>,
    bytes: u32,
) -> Result<SecretValue, Error> {
    let wanted = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut output = zeroize::Zeroizing::new(Vec::with_capacity(wanted.saturating_add(64)));
    let mut previous = SecretValue::new(iv);
    let mut pipeline = SecretValue::new(fixed.to_vec());
    for counter in 1_u32.. {
        let number = counter.to_be_bytes();
        let block = match method {
            Method::Feedback => function.of(&[&open(&previous), &number, fixed]).await?,
            Method::DoublePipeline => {
                pipeline = function.of(&[&open(&pipeline)]).await?;
                function.of(&[&open(&pipeline), &number, fixed]).await?
            }
            _ => function.of(&[&number, fixed]).await?,
        };
        output.extend_from_slice(&open(&block));
        previous = block;
        if output.len() >= wanted {
            break;
        }
    }
    Ok(SecretValue::new(std::mem::take(&mut *output)))
}
