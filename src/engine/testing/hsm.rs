//! An HSM in memory: keys in a map, made and used for real.

use std::{collections::HashMap, sync::Mutex};

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand,
    rsa::{self, KeySize},
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};

use super::lock;
use crate::{
    domain::{
        CryptographicAlgorithm, CryptographicParameters, ObjectType, ProjectId, SecretValue, TokenId, TokenReference,
        UniqueIdentifier,
        algorithm::{BlockCipherMode, Curve, HashingAlgorithm, PaddingMethod},
        reference::{CkaId, DataHolder, HeldBytes, KeyKind},
    },
    engine::ports::{
        Answer, Derivation, Found, Hsm, HsmAnswer, HsmError, HsmErrorKind, HsmRequest, PairKind, Placement, Terms,
        TokenStatus,
    },
};

#[derive(Clone, Copy)]
enum Content {
    Key { kind: KeyKind, extractable: bool },
    Twin { extractable: bool },
    Bytes(DataHolder),
}

#[derive(Clone)]
struct TokenObject {
    token: TokenId,
    content: Content,
    value: Vec<u8>,
}

/// Keys in a map.
#[derive(Default)]
pub struct MemoryHsm {
    objects: Mutex<HashMap<CkaId, Vec<TokenObject>>>,
    faults: Mutex<Vec<(&'static str, HsmErrorKind, u32)>>,
    calls: Mutex<HashMap<&'static str, u64>>,
    certifier: Mutex<Option<rsa::KeyPair>>,
}

impl MemoryHsm {
    /// The name of its only token.
    pub const TOKEN: &'static str = "memory";

    /// Lets the next `times` requests of that name fail before anything happens.
    pub fn fail(&self, request: &'static str, kind: HsmErrorKind, times: u32) {
        lock(&self.faults).push((request, kind, times));
    }

    /// How often a request of that name was made.
    #[must_use]
    pub fn calls(&self, request: &str) -> u64 {
        lock(&self.calls).get(request).copied().unwrap_or_default()
    }

    /// How many token objects there are.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.objects).values().map(Vec::len).sum()
    }

    /// How many token objects carry this identifier.
    #[must_use]
    pub fn holds(&self, id: UniqueIdentifier) -> usize {
        lock(&self.objects).get(&id.cka_id()).map_or(0, Vec::len)
    }

    /// The values under an identifier, to compare with what a client was given.
    #[must_use]
    pub fn values(&self, id: UniqueIdentifier) -> Vec<Vec<u8>> {
        lock(&self.objects)
            .get(&id.cka_id())
            .map(|objects| objects.iter().map(|object| object.value.clone()).collect())
            .unwrap_or_default()
    }

    fn fault(&self, name: &'static str) -> Result<(), HsmError> {
        *lock(&self.calls).entry(name).or_default() += 1;
        let mut faults = lock(&self.faults);
        let Some(at) = faults.iter().position(|fault| fault.0 == name && fault.2 > 0) else { return Ok(()) };
        let kind = faults.get_mut(at).map(|fault| {
            fault.2 -= 1;
            fault.1
        });
        Err(error(kind.unwrap_or(HsmErrorKind::Internal)))
    }

    fn put(&self, at: &Placement, object: TokenObject) -> TokenReference {
        let reference = match &object.content {
            Content::Key { kind, .. } => reference(at, Some(*kind), None),
            Content::Twin { .. } => reference(at, None, None),
            Content::Bytes(holder) => {
                let length = u32::try_from(object.value.len()).unwrap_or(u32::MAX);
                reference(at, None, Some(HeldBytes { holder: *holder, length }))
            }
        };
        lock(&self.objects).entry(at.cka_id).or_default().push(object);
        reference
    }

    fn value(&self, of: &TokenReference, key: bool) -> Result<Vec<u8>, HsmError> {
        let objects = lock(&self.objects);
        let found = objects.get(&of.cka_id).into_iter().flatten().filter(|object| object.token == of.token);
        let object = found.into_iter().find(|object| matches!(object.content, Content::Key { .. }) == key);
        match object {
            None => Err(error(HsmErrorKind::ObjectMissing)),
            Some(TokenObject {
                content: Content::Key { extractable: false, .. } | Content::Twin { extractable: false },
                ..
            }) => Err(error(HsmErrorKind::NotExtractable)),
            Some(object) => Ok(object.value.clone()),
        }
    }

    fn answer(&self, request: HsmRequest) -> Result<HsmAnswer, HsmError> {
        self.fault(name_of(&request))?;
        match request {
            HsmRequest::GenerateKey { at, kind, bytes, extractable, digest, .. } => {
                let value = random(bytes as usize)?;
                let hashed = digest.then(|| digest_of(&value));
                let reference = self.put(
                    &at,
                    TokenObject { token: at.token.clone(), content: Content::Key { kind, extractable }, value },
                );
                Ok(HsmAnswer::Made { reference, digest: hashed })
            }
            HsmRequest::GenerateKeyPair { private, public, kind, extractable, .. } => {
                let (private_kind, public_kind, secret, shown) = pair(kind)?;
                let (private_digest, public_digest) = (Some(digest_of(&secret)), digest_of(&shown));
                let content = Content::Key { kind: private_kind, extractable };
                let token = private.token.clone();
                let private = self.put(&private, TokenObject { token: token.clone(), content, value: secret });
                let content = Content::Key { kind: public_kind, extractable: true };
                let public = self.put(&public, TokenObject { token, content, value: shown });
                Ok(HsmAnswer::MadePair { private, public, private_digest, public_digest })
            }
            HsmRequest::ImportKey { at, kind, value, extractable, .. } => {
                if kind == KeyKind::Aes && ![16, 24, 32].contains(&value.len()) {
                    return Err(error(HsmErrorKind::BadData));
                }
                let content = Content::Key { kind, extractable };
                let object = TokenObject { token: at.token.clone(), content, value: taken(&value) };
                let reference = self.put(&at, object);
                Ok(HsmAnswer::Made { reference, digest: None })
            }
            HsmRequest::HoldBytes { at, value, beside_key } => {
                let holder = if beside_key { DataHolder::Data } else { DataHolder::GenericSecret };
                let (token, content) = (at.token.clone(), Content::Bytes(holder));
                let object = TokenObject { token, content, value: taken(&value) };
                Ok(HsmAnswer::Made { reference: self.put(&at, object), digest: None })
            }
            HsmRequest::MakeTwin { of, value, extractable, .. } => {
                let value = match value {
                    Some(value) => taken(&value),
                    None => self.value(&of, true)?,
                };
                let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
                let content = Content::Twin { extractable };
                let object = TokenObject { token: of.token.clone(), content, value };
                lock(&self.objects).entry(of.cka_id).or_default().push(object);
                let bytes = Some(HeldBytes { holder: DataHolder::GenericSecret, length });
                Ok(HsmAnswer::Made { reference: TokenReference { bytes, ..of }, digest: None })
            }
            HsmRequest::CopyTo { reference, to } => {
                let mut objects = lock(&self.objects);
                let found = objects.entry(reference.cka_id).or_default();
                let own: Vec<_> = found.iter().filter(|object| object.token == reference.token).cloned().collect();
                let stays = |object: &TokenObject| {
                    matches!(
                        object.content,
                        Content::Key { extractable: false, .. } | Content::Twin { extractable: false }
                    )
                };
                if own.is_empty() {
                    return Err(error(HsmErrorKind::ObjectMissing));
                }
                if own.iter().any(stays) {
                    return Err(error(HsmErrorKind::NotExtractable));
                }
                found.retain(|object| object.token != to);
                found.extend(own.into_iter().map(|object| TokenObject { token: to.clone(), ..object }));
                Ok(HsmAnswer::Made { reference: TokenReference { token: to, ..reference }, digest: None })
            }
            HsmRequest::Destroy { at } | HsmRequest::Clear { at } => {
                self.remove(&at);
                Ok(HsmAnswer::Done)
            }
            HsmRequest::Find { at } => Ok(HsmAnswer::Found(self.found(&at))),
            HsmRequest::RevealKey { reference } => Ok(HsmAnswer::Value(self.value(&reference, true)?.into())),
            HsmRequest::RevealBytes { reference } => Ok(HsmAnswer::Value(self.value(&reference, false)?.into())),
            HsmRequest::Digest { reference, hash: HashingAlgorithm::SHA_256 } => {
                let value = self.value(&reference, reference.bytes.is_none())?;
                Ok(HsmAnswer::Bytes(digest_of(&value)))
            }
            HsmRequest::Random { bytes, .. } => Ok(HsmAnswer::Value(random(bytes as usize)?.into())),
            HsmRequest::SeedRandom { .. } => Ok(HsmAnswer::Done),
            HsmRequest::Encrypt { key, parameters, iv, data, .. } if is_cbc(&parameters) => {
                let data = cbc(&self.value(&key, true)?, iv.as_deref(), taken(&data), true, &parameters)?;
                Ok(HsmAnswer::Encrypted { data, iv: None, auth_tag: None })
            }
            HsmRequest::Decrypt { key, parameters, iv, data, .. } if is_cbc(&parameters) => {
                Ok(HsmAnswer::Value(cbc(&self.value(&key, true)?, iv.as_deref(), data, false, &parameters)?.into()))
            }
            HsmRequest::Mac { key, parameters, data }
                if parameters.hashing_algorithm == Some(HashingAlgorithm::SHA_256)
                    && matches!(
                        parameters.cryptographic_algorithm,
                        None | Some(CryptographicAlgorithm::AES | CryptographicAlgorithm::HMAC_SHA256)
                    ) =>
            {
                let key = SecretValue::new(self.value(&key, key.bytes.is_none())?);
                Ok(HsmAnswer::Bytes(crate::crypto::hash::hmac_sha256(&key, &[&taken(&data)]).to_vec()))
            }
            HsmRequest::CertifierKey => self.certifier(|pair| {
                AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map(|der| der.as_ref().to_vec())
            }),
            HsmRequest::CertifierSign { data } => self.certifier(|pair| {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &rand::SystemRandom::new(), &data, &mut signature)?;
                Ok(signature)
            }),
            // As a token without any of these mechanisms.
            HsmRequest::Derive { outside: false, .. } => Err(error(HsmErrorKind::Unsupported)),
            HsmRequest::Derive { key, how, outside: true } => {
                let value = SecretValue::new(self.value(&key, key.bytes.is_none())?);
                derived(&value, how).map(HsmAnswer::Value)
            }
            HsmRequest::Digest { .. }
            | HsmRequest::WrapKey { .. }
            | HsmRequest::WrapBytes { .. }
            | HsmRequest::UnwrapBytes { .. }
            | HsmRequest::Encrypt { .. }
            | HsmRequest::Decrypt { .. }
            | HsmRequest::Sign { .. }
            | HsmRequest::Verify { .. }
            | HsmRequest::Mac { .. } => Err(error(HsmErrorKind::Unsupported)),
        }
    }

    /// Something by the issuer of certificates, made when it is wanted for the first time.
    fn certifier(
        &self,
        of: impl FnOnce(&rsa::KeyPair) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified>,
    ) -> Result<HsmAnswer, HsmError> {
        let failed = |_unspecified: aws_lc_rs::error::Unspecified| error(HsmErrorKind::Internal);
        let mut certifier = lock(&self.certifier);
        let pair = match &mut *certifier {
            Some(pair) => pair,
            none => none.insert(rsa::KeyPair::generate(KeySize::Rsa2048).map_err(failed)?),
        };
        of(pair).map(HsmAnswer::Bytes).map_err(failed)
    }

    fn remove(&self, at: &Placement) {
        let mut objects = lock(&self.objects);
        if let Some(found) = objects.get_mut(&at.cka_id) {
            found.retain(|object| object.token != at.token);
            if found.is_empty() {
                objects.remove(&at.cka_id);
            }
        }
    }

    fn found(&self, at: &Placement) -> Found {
        let mut found = Found::default();
        let objects = lock(&self.objects);
        for object in objects.get(&at.cka_id).into_iter().flatten().filter(|object| object.token == at.token) {
            match object.content {
                Content::Key { kind, .. } if kind.is_private() => found.private += 1,
                Content::Key { kind, .. } if kind.is_public() => found.public += 1,
                Content::Key { .. } | Content::Twin { .. } | Content::Bytes(DataHolder::GenericSecret) => {
                    found.secret += 1;
                }
                Content::Bytes(DataHolder::Data) => found.data += 1,
            }
        }
        found
    }
}

impl Hsm for MemoryHsm {
    fn place(&self, _: &ProjectId, _: ObjectType) -> Result<TokenId, HsmError> {
        self.fault("place")?;
        Ok(TokenId(Self::TOKEN.to_owned()))
    }

    fn place_on(&self, token: &TokenId) -> Result<TokenId, HsmError> {
        self.fault("place")?;
        Ok(token.clone())
    }

    fn call(&self, request: HsmRequest, _: Terms) -> Answer<'_, Result<HsmAnswer, HsmError>> {
        Box::pin(async move { self.answer(request) })
    }

    fn status(&self) -> Vec<TokenStatus> {
        Vec::new()
    }
}

const fn error(kind: HsmErrorKind) -> HsmError {
    HsmError { kind, function: "memory", rv: 0, again: None }
}

fn reference(at: &Placement, key: Option<KeyKind>, bytes: Option<HeldBytes>) -> TokenReference {
    TokenReference { token: at.token.clone(), cka_id: at.cka_id, key, bytes }
}

#[expect(clippy::disallowed_methods, reason = "the HSM of the tests holds the value")]
fn taken(value: &SecretValue) -> Vec<u8> {
    value.expose_secret().to_vec()
}

fn random(count: usize) -> Result<Vec<u8>, HsmError> {
    let mut bytes = vec![0; count];
    rand::fill(&mut bytes).map_err(|_unspecified| error(HsmErrorKind::Internal))?;
    Ok(bytes)
}

fn digest_of(value: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, value).as_ref().to_vec()
}

fn derived(value: &SecretValue, how: Derivation) -> Result<SecretValue, HsmError> {
    use crate::crypto::kdf;
    match how {
        Derivation::Hash { hash, data } => kdf::hash(hash, value, &data),
        Derivation::Pbkdf2 { hash, salt, iterations, bytes } => {
            kdf::pbkdf2(hash, value, &salt, iterations, bytes as usize)
        }
        Derivation::Hkdf { hash, salt, info, bytes } => kdf::hkdf(hash, value, &salt, &info, bytes as usize),
        Derivation::AwsSignature { scope } => Ok(kdf::aws_signature(value, &scope)),
        Derivation::Agreement { .. } => return Err(error(HsmErrorKind::Unsupported)),
    }
    .map_err(|_refused| error(HsmErrorKind::Unsupported))
}

fn is_cbc(parameters: &CryptographicParameters) -> bool {
    parameters.block_cipher_mode == Some(BlockCipherMode::CBC)
        && matches!(parameters.padding_method, Some(PaddingMethod::PKCS5 | PaddingMethod::NONE))
}

/// AES-CBC, the one cipher that the HSM of the tests offers; without padding it takes whole blocks only.
fn cbc(
    key: &[u8],
    iv: Option<&[u8]>,
    mut data: Vec<u8>,
    encrypt: bool,
    parameters: &CryptographicParameters,
) -> Result<Vec<u8>, HsmError> {
    if parameters.padding_method == Some(PaddingMethod::NONE) {
        if !data.len().is_multiple_of(16) {
            return Err(error(HsmErrorKind::BadData));
        }
        let padded = CryptographicParameters { padding_method: Some(PaddingMethod::PKCS5), ..parameters.clone() };
        if encrypt {
            let length = data.len();
            let mut encrypted = cbc(key, iv, data, true, &padded)?;
            encrypted.truncate(length);
            return Ok(encrypted);
        }
        // A block of padding behind the data, as it would look encrypted.
        let last = data.len().checked_sub(16).and_then(|at| data.get(at..)).map(<[u8]>::to_vec);
        let padding = cbc(key, last.as_deref().or(iv), Vec::new(), true, &padded)?;
        data.extend(padding);
        return cbc(key, iv, data, false, &padded);
    }
    use aws_lc_rs::{
        cipher::{
            AES_128, AES_256, DecryptionContext, EncryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey,
            UnboundCipherKey,
        },
        iv::FixedLength,
    };
    let bad = |_unspecified: aws_lc_rs::error::Unspecified| error(HsmErrorKind::BadParameters);
    let iv: [u8; 16] = iv.and_then(|iv| iv.try_into().ok()).ok_or_else(|| error(HsmErrorKind::BadParameters))?;
    let algorithm = if key.len() == 16 { &AES_128 } else { &AES_256 };
    let key = UnboundCipherKey::new(algorithm, key).map_err(bad)?;
    if encrypt {
        let key = PaddedBlockEncryptingKey::cbc_pkcs7(key).map_err(bad)?;
        key.less_safe_encrypt(&mut data, EncryptionContext::Iv128(FixedLength::from(iv))).map_err(bad)?;
        Ok(data)
    } else {
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(bad)?;
        let context = DecryptionContext::Iv128(FixedLength::from(iv));
        let plain = key.decrypt(&mut data, context).map_err(|_failed| error(HsmErrorKind::DecryptionFailed))?;
        Ok(plain.to_vec())
    }
}

type MadePair = (KeyKind, KeyKind, Vec<u8>, Vec<u8>);

fn pair(kind: PairKind) -> Result<MadePair, HsmError> {
    let failed = |_unspecified: aws_lc_rs::error::Unspecified| error(HsmErrorKind::Unsupported);
    match kind {
        PairKind::Rsa { bits } => {
            let size = match bits {
                2048 => KeySize::Rsa2048,
                3072 => KeySize::Rsa3072,
                4096 => KeySize::Rsa4096,
                _ => return Err(error(HsmErrorKind::Unsupported)),
            };
            let pair = rsa::KeyPair::generate(size).map_err(failed)?;
            let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?.as_ref().to_vec();
            let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map_err(failed)?.as_ref().to_vec();
            Ok((KeyKind::RsaPrivate, KeyKind::RsaPublic, private, public))
        }
        PairKind::Ec(curve) => {
            let algorithm = match curve {
                Curve::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
                Curve::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
                Curve::P521 => &signature::ECDSA_P521_SHA512_ASN1_SIGNING,
                Curve::Secp256k1 => &signature::ECDSA_P256K1_SHA256_ASN1_SIGNING,
            };
            let pair = EcdsaKeyPair::generate(algorithm).map_err(failed)?;
            let private = pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec();
            let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map_err(failed)?.as_ref().to_vec();
            Ok((KeyKind::EcPrivate(curve), KeyKind::EcPublic(curve), private, public))
        }
        PairKind::Ed25519 => {
            let pair = Ed25519KeyPair::generate().map_err(failed)?;
            let private = pair.to_pkcs8v1().map_err(failed)?.as_ref().to_vec();
            let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).map_err(failed)?.as_ref().to_vec();
            Ok((KeyKind::Ed25519Private, KeyKind::Ed25519Public, private, public))
        }
    }
}

/// The name by which requests are counted and told to fail.
const fn name_of(request: &HsmRequest) -> &'static str {
    match request {
        HsmRequest::GenerateKey { .. } => "generate-key",
        HsmRequest::GenerateKeyPair { .. } => "generate-key-pair",
        HsmRequest::ImportKey { .. } => "import-key",
        HsmRequest::HoldBytes { .. } => "hold-bytes",
        HsmRequest::MakeTwin { .. } => "make-twin",
        HsmRequest::Derive { .. } => "derive",
        HsmRequest::Destroy { .. } => "destroy",
        HsmRequest::CopyTo { .. } => "copy-to",
        HsmRequest::Clear { .. } => "clear",
        HsmRequest::Find { .. } => "find",
        HsmRequest::RevealKey { .. } => "reveal-key",
        HsmRequest::RevealBytes { .. } => "reveal-bytes",
        HsmRequest::Digest { .. } => "digest",
        HsmRequest::WrapKey { .. } => "wrap-key",
        HsmRequest::WrapBytes { .. } => "wrap-bytes",
        HsmRequest::UnwrapBytes { .. } => "unwrap-bytes",
        HsmRequest::Encrypt { .. } => "encrypt",
        HsmRequest::Decrypt { .. } => "decrypt",
        HsmRequest::Sign { .. } => "sign",
        HsmRequest::Verify { .. } => "verify",
        HsmRequest::Mac { .. } => "mac",
        HsmRequest::CertifierKey => "certifier-key",
        HsmRequest::CertifierSign { .. } => "certifier-sign",
        HsmRequest::Random { .. } => "random",
        HsmRequest::SeedRandom { .. } => "seed-random",
    }
}
