//! Encrypt, Decrypt, Sign, Signature Verify, MAC and MAC Verify in parts (KMIP 1.3 §4.29–4.34, 2.1 §6.1).
//!
//! Between two parts no HSM session is held: what a mode needs to go on (the last block, the counter, the running hash) is
//! kept here, and the key does its work inside the HSM part by part. So a stream survives a lost session, costs none of
//! the token's few sessions while its client thinks, and works on tokens without multi-part functions. Authenticated data is
//! given out only after its tag was checked. State, usage mask and usage limits are looked at with every part.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    crypt::{self, Encrypted, Signed},
    usage::{self, Side},
};
use crate::{
    authz::Permitted,
    crypto::hash::Hasher,
    domain::{
        CryptographicAlgorithm, CryptographicParameters, ManagedObject, ObjectType, OperationKind, SecretValue,
        TokenReference, UniqueIdentifier, UsageMask,
        algorithm::{BlockCipherMode, PaddingMethod},
        reference::KeyKind,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{HsmAnswer, HsmRequest, Versioned},
        uses::Use,
    },
};

/// Most bytes that one stream holds back.
pub const HELD_BYTES_MAX: usize = 4 << 20;

/// How a mode goes on after a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    /// Blocks do not know each other.
    Blocks,
    /// The last encrypted block is the next IV.
    Encrypted,
    /// The last block of the key stream is the next IV.
    KeyStream,
    /// That many bits of the IV count blocks.
    Counter(u32),
    /// What has been put out does not depend on what follows: all is encrypted again, and only the new part is given.
    Again,
    /// Nothing is given before the end.
    End,
}

/// An encryption or decryption that has begun.
pub struct CipherStream {
    parameters: CryptographicParameters,
    iv: Option<Vec<u8>>,
    aad: Vec<u8>,
    tag: Option<Vec<u8>>,
    chain: Chain,
    block: usize,
    held: Zeroizing<Vec<u8>>,
    given: usize,
}

fn joined(held: &[u8], part: &SecretValue) -> Zeroizing<Vec<u8>> {
    let mut all = Zeroizing::new(Vec::with_capacity(held.len() + part.len()));
    all.extend_from_slice(held);
    #[expect(clippy::disallowed_methods, reason = "the part waits for the rest of its block")]
    all.extend_from_slice(part.expose_secret());
    all
}

fn may_be_held(bytes: usize) -> Result<(), Error> {
    if bytes > HELD_BYTES_MAX {
        return Err(Error::new(ErrorKind::TooLarge, "the parts are too large to be held until the end"));
    }
    Ok(())
}

impl CipherStream {
    fn new(
        key: &TokenReference,
        parameters: CryptographicParameters,
        iv: Option<Vec<u8>>,
        aad: Vec<u8>,
        encrypting: bool,
    ) -> Self {
        let block = if key.key == Some(KeyKind::TripleDes) { 8 } else { 16 };
        let secret = matches!(key.key, Some(KeyKind::Aes | KeyKind::TripleDes));
        let chain = match parameters.block_cipher_mode {
            Some(BlockCipherMode::ECB) if secret => Chain::Blocks,
            Some(BlockCipherMode::CBC) if secret => Chain::Encrypted,
            Some(BlockCipherMode::CFB) if secret => Chain::Encrypted,
            Some(BlockCipherMode::OFB) if secret => Chain::KeyStream,
            Some(BlockCipherMode::CTR) if secret => {
                Chain::Counter(parameters.counter_length.and_then(|bits| u32::try_from(bits).ok()).unwrap_or(128))
            }
            Some(BlockCipherMode::GCM | BlockCipherMode::CCM | BlockCipherMode::AEAD) if encrypting => Chain::Again,
            _ => Chain::End,
        };
        Self { parameters, iv, aad, tag: None, chain, block, held: Zeroizing::default(), given: 0 }
    }

    /// Whether the end has a padding to add or to take away.
    fn is_padded(&self) -> bool {
        matches!(self.chain, Chain::Blocks | Chain::Encrypted)
            && matches!(self.parameters.block_cipher_mode, Some(BlockCipherMode::ECB | BlockCipherMode::CBC))
            && !matches!(self.parameters.padding_method, None | Some(PaddingMethod::NONE))
    }

    /// Takes a part in and gives what can be worked on now; the rest waits.
    fn ready(&mut self, part: &SecretValue, last: bool, encrypting: bool) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut all = joined(&self.held, part);
        let whole_blocks = |length: usize| length - length % self.block;
        let now = match self.chain {
            _ if last => all.len(),
            Chain::End => 0,
            Chain::Again => all.len(),
            // The last block may hold the padding.
            _ if !encrypting && self.is_padded() => whole_blocks(all.len().saturating_sub(1)),
            _ => whole_blocks(all.len()),
        };
        let rest = if self.chain == Chain::Again && !last {
            Zeroizing::new(all.to_vec())
        } else {
            let tail = Zeroizing::new(all.get(now..).unwrap_or_default().to_vec());
            all.truncate(now);
            tail
        };
        may_be_held(rest.len())?;
        self.held = rest;
        Ok(all)
    }

    /// The parameters of one part: the padding belongs to the end.
    fn parameters(&self, last: bool) -> CryptographicParameters {
        let mut parameters = self.parameters.clone();
        if !last && self.is_padded() {
            parameters.padding_method = Some(PaddingMethod::NONE);
        }
        parameters
    }

    /// Moves the IV behind `plain` and its `encrypted` form.
    fn advance(&mut self, plain: &[u8], encrypted: &[u8]) {
        let Some(iv) = &mut self.iv else { return };
        let last =
            |bytes: &[u8]| bytes.len().checked_sub(self.block).and_then(|at| bytes.get(at..)).map(<[u8]>::to_vec);
        match self.chain {
            Chain::Encrypted => *iv = last(encrypted).unwrap_or_else(|| iv.clone()),
            Chain::KeyStream => {
                if let (Some(plain), Some(encrypted)) = (last(plain), last(encrypted)) {
                    *iv = plain.iter().zip(encrypted).map(|(one, other)| one ^ other).collect();
                }
            }
            Chain::Counter(bits) => {
                let Ok(start) = <[u8; 16]>::try_from(iv.as_slice()) else { return };
                let mask = u128::MAX.checked_shr(128_u32.saturating_sub(bits)).unwrap_or_default();
                let blocks = u128::try_from(plain.len() / self.block).unwrap_or_default();
                let counter = u128::from_be_bytes(start);
                *iv = ((counter & !mask) | (counter.wrapping_add(blocks) & mask)).to_be_bytes().to_vec();
            }
            Chain::Blocks | Chain::Again | Chain::End => {}
        }
    }
}

/// One part to encrypt.
pub struct EncryptPart {
    /// With which key.
    pub object: UniqueIdentifier,
    /// What has begun; `None` for the first part.
    pub stream: Option<CipherStream>,
    /// First part: the request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// First part: the client's IV, counter block or nonce.
    pub iv: Option<Vec<u8>>,
    /// First part: additional authenticated data.
    pub aad: Vec<u8>,
    /// The part.
    pub data: SecretValue,
    /// Whether it is the last one.
    pub last: bool,
}

impl Operation for EncryptPart {
    const KIND: OperationKind = OperationKind::Encrypt;
    type Output = (CipherStream, Encrypted);

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let found = on.into_object()?;
        let (types, need) = (crypt::SECRET_OR_PUBLIC, UsageMask::ENCRYPT);
        let key = usage::usable(tools, &found.record, types, Side::Protect, need)?.clone();
        let mut made = None;
        let mut stream = match self.stream {
            Some(stream) => stream,
            None => {
                let parameters = crypt::cipher_parameters(&found.record, self.parameters)?;
                made = crypt::made_iv(tools, key.key, &parameters, self.iv.as_ref())?;
                CipherStream::new(&key, parameters, self.iv.or_else(|| made.clone()), self.aad, true)
            }
        };
        usage::charge(tools, found, self.data.len()).await?;
        if self.last {
            tools.used(self.object, Use::Encrypt);
        }
        let part = stream.ready(&self.data, self.last, true)?;
        let authenticated = crypt::is_authenticated(&stream.parameters);
        if part.is_empty() && !(self.last && (stream.is_padded() || authenticated || stream.chain == Chain::End)) {
            return Ok((stream, Encrypted { data: Vec::new(), iv: made, auth_tag: None }));
        }
        let request = HsmRequest::Encrypt {
            key,
            parameters: stream.parameters(self.last),
            iv: stream.iv.clone(),
            aad: stream.aad.clone(),
            data: SecretValue::new(part.to_vec()),
        };
        let HsmAnswer::Encrypted { mut data, auth_tag, iv } = tools.hsm(request).await? else {
            return Err(Error::new(ErrorKind::Internal, "the HSM failed"));
        };
        stream.advance(&part, &data);
        if stream.chain == Chain::Again && iv.is_some() && !self.last {
            // The device makes an IV of its own for each message: what it gives for a part is of another message than what it
            // will give for all of them. So nothing is given before the end, and then its IV with it.
            stream.chain = Chain::End;
            return Ok((stream, Encrypted { data: Vec::new(), iv: None, auth_tag: None }));
        }
        if stream.chain == Chain::Again {
            data.drain(..stream.given.min(data.len()));
            stream.given += data.len();
        }
        let auth_tag = auth_tag.filter(|_| self.last);
        // One that the device has made is the one that counts.
        Ok((stream, Encrypted { data, iv: iv.or(made), auth_tag }))
    }
}

/// One part to decrypt.
pub struct DecryptPart {
    /// With which key.
    pub object: UniqueIdentifier,
    /// What has begun; `None` for the first part.
    pub stream: Option<CipherStream>,
    /// First part: the request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// First part: the IV, counter block or nonce.
    pub iv: Option<Vec<u8>>,
    /// First part: additional authenticated data.
    pub aad: Vec<u8>,
    /// The authentication tag, with whichever part it comes.
    pub auth_tag: Option<Vec<u8>>,
    /// Whether a tag that never comes stands behind the data.
    pub tag_behind: bool,
    /// The part.
    pub data: SecretValue,
    /// Whether it is the last one.
    pub last: bool,
}

impl Operation for DecryptPart {
    const KIND: OperationKind = OperationKind::Decrypt;
    type Output = (CipherStream, SecretValue);

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    #[expect(clippy::disallowed_methods, reason = "the part that was decrypted decides how the next begins")]
    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let found = on.into_object()?;
        let (types, need) = (crypt::SECRET_OR_PRIVATE, UsageMask::DECRYPT);
        let key = usage::usable(tools, &found.record, types, Side::Process, need)?.clone();
        let mut stream = match self.stream {
            Some(stream) => stream,
            None => {
                let parameters = crypt::cipher_parameters(&found.record, self.parameters)?;
                if self.iv.is_none() && crypt::iv_bytes(key.key, &parameters).is_some() {
                    return Err(Error::new(ErrorKind::IvMissing, "the mode needs an IV"));
                }
                CipherStream::new(&key, parameters, self.iv, self.aad, false)
            }
        };
        if self.last {
            tools.used(self.object, Use::Decrypt);
        }
        stream.tag = self.auth_tag.or(stream.tag);
        let part = stream.ready(&self.data, self.last, false)?;
        let authenticated = crypt::is_authenticated(&stream.parameters);
        let mut data = part.to_vec();
        if authenticated && self.last && stream.tag.is_none() && self.tag_behind {
            stream.tag = crypt::take_tag(&stream.parameters, &mut data);
        }
        if authenticated && self.last && stream.tag.is_none() {
            return Err(Error::new(ErrorKind::Cryptographic, "decryption failed"));
        }
        if part.is_empty() && !(self.last && (stream.is_padded() || authenticated || stream.chain == Chain::End)) {
            return Ok((stream, SecretValue::new(Vec::new())));
        }
        let request = HsmRequest::Decrypt {
            key,
            parameters: stream.parameters(self.last),
            iv: stream.iv.clone(),
            aad: stream.aad.clone(),
            auth_tag: stream.tag.clone(),
            data,
        };
        let plain = tools.hsm_value(request).await?;
        stream.advance(plain.expose_secret(), &part);
        Ok((stream, plain))
    }
}

/// A signature over data that comes in parts: the running hash, or the data itself for schemes that sign data.
pub struct DigestStream {
    parameters: CryptographicParameters,
    hasher: Option<Hasher>,
    held: Zeroizing<Vec<u8>>,
}

impl DigestStream {
    fn new(object: &ManagedObject, request: Option<CryptographicParameters>) -> Result<Self, Error> {
        let parameters = crypt::signature_parameters(object, request, false)?;
        let hasher = match parameters.hashing_algorithm {
            Some(hash) if object.algorithm() != Some(CryptographicAlgorithm::ED25519) => {
                let made = Hasher::new(hash).map_err(|error| {
                    Error::new(ErrorKind::UnsupportedParameters, "the hash is not offered").because(error)
                })?;
                Some(made)
            }
            _ => None,
        };
        Ok(Self { parameters, hasher, held: Zeroizing::default() })
    }

    fn update(&mut self, part: &SecretValue) -> Result<(), Error> {
        match &mut self.hasher {
            #[expect(clippy::disallowed_methods, reason = "the data is hashed to be signed")]
            Some(hasher) => hasher.update(part.expose_secret()),
            None => {
                may_be_held(self.held.len() + part.len())?;
                self.held = joined(&self.held, part);
            }
        }
        Ok(())
    }

    fn input(&mut self) -> Signed {
        match self.hasher.take() {
            Some(hasher) => Signed::Digest(hasher.finish()),
            None => Signed::Data(SecretValue::new(std::mem::take(&mut *self.held))),
        }
    }
}

/// One part to sign.
pub struct SignPart {
    /// With which private key.
    pub object: UniqueIdentifier,
    /// What has begun; `None` for the first part.
    pub stream: Option<DigestStream>,
    /// First part: the request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// The part.
    pub data: SecretValue,
    /// Whether it is the last one.
    pub last: bool,
}

impl Operation for SignPart {
    const KIND: OperationKind = OperationKind::Sign;
    type Output = (DigestStream, Option<Vec<u8>>);

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let found = on.into_object()?;
        let types = &[ObjectType::PrivateKey];
        let key = usage::usable(tools, &found.record, types, Side::Protect, UsageMask::SIGN)?.clone();
        let begun = self.stream.map_or_else(|| DigestStream::new(&found.record, self.parameters), Ok);
        let mut stream = begun?;
        usage::charge(tools, found, self.data.len()).await?;
        stream.update(&self.data)?;
        if !self.last {
            return Ok((stream, None));
        }
        let (parameters, input) = (stream.parameters.clone(), stream.input().into());
        let signature = tools.hsm_bytes(HsmRequest::Sign { key, parameters, input }).await?;
        tools.used(self.object, Use::Sign);
        Ok((stream, Some(signature)))
    }
}

/// One part to verify.
pub struct SignatureVerifyPart {
    /// With which public key.
    pub object: UniqueIdentifier,
    /// What has begun; `None` for the first part.
    pub stream: Option<DigestStream>,
    /// First part: the request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// The part.
    pub data: SecretValue,
    /// Last part: the signature.
    pub signature: Option<Vec<u8>>,
    /// Whether it is the last one.
    pub last: bool,
}

impl Operation for SignatureVerifyPart {
    const KIND: OperationKind = OperationKind::SignatureVerify;
    type Output = (DigestStream, Option<bool>);

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let Versioned { record, .. } = on.into_object()?;
        let types = &[ObjectType::PublicKey];
        let key = usage::usable(tools, &record, types, Side::Process, UsageMask::VERIFY)?.clone();
        let begun = self.stream.map_or_else(|| DigestStream::new(&record, self.parameters), Ok);
        let mut stream = begun?;
        stream.update(&self.data)?;
        if !self.last {
            return Ok((stream, None));
        }
        let signature = self.signature.ok_or_else(|| Error::new(ErrorKind::Missing, "the signature is missing"))?;
        let (parameters, input) = (stream.parameters.clone(), stream.input());
        let holds = crypt::verify(tools, &record, &key, parameters, input, signature).await?;
        tools.used(self.object, Use::SignatureVerify);
        Ok((stream, Some(holds)))
    }
}

/// A MAC over data that comes in parts.
pub struct MacStream {
    parameters: CryptographicParameters,
    held: Zeroizing<Vec<u8>>,
}

impl MacStream {
    fn new(object: &ManagedObject, request: Option<CryptographicParameters>) -> Result<Self, Error> {
        Ok(Self { parameters: crypt::mac_parameters(object, request)?, held: Zeroizing::default() })
    }

    fn update(&mut self, part: &SecretValue) -> Result<(), Error> {
        may_be_held(self.held.len() + part.len())?;
        self.held = joined(&self.held, part);
        Ok(())
    }

    async fn finish(&mut self, tools: &Tools, key: TokenReference) -> Result<Vec<u8>, Error> {
        let data = SecretValue::new(std::mem::take(&mut *self.held));
        tools.hsm_bytes(HsmRequest::Mac { key, parameters: self.parameters.clone(), data }).await
    }
}

/// One part of what a MAC is made over.
pub struct MacPart {
    /// With which key.
    pub object: UniqueIdentifier,
    /// What has begun; `None` for the first part.
    pub stream: Option<MacStream>,
    /// First part: the request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// The part.
    pub data: SecretValue,
    /// Whether it is the last one.
    pub last: bool,
}

impl Operation for MacPart {
    const KIND: OperationKind = OperationKind::Mac;
    type Output = (MacStream, Option<Vec<u8>>);

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let found = on.into_object()?;
        let types = &[ObjectType::SymmetricKey];
        let key = usage::usable(tools, &found.record, types, Side::Protect, UsageMask::MAC_GENERATE)?.clone();
        let begun = self.stream.map_or_else(|| MacStream::new(&found.record, self.parameters), Ok);
        let mut stream = begun?;
        usage::charge(tools, found, self.data.len()).await?;
        stream.update(&self.data)?;
        let mac = if self.last { Some(stream.finish(tools, key).await?) } else { None };
        Ok((stream, mac))
    }
}

/// One part of what a MAC is verified over.
pub struct MacVerifyPart {
    /// With which key.
    pub object: UniqueIdentifier,
    /// What has begun; `None` for the first part.
    pub stream: Option<MacStream>,
    /// First part: the request's parameters.
    pub parameters: Option<CryptographicParameters>,
    /// The part.
    pub data: SecretValue,
    /// Last part: the MAC.
    pub mac: Option<Vec<u8>>,
    /// Whether it is the last one.
    pub last: bool,
}

impl Operation for MacVerifyPart {
    const KIND: OperationKind = OperationKind::MacVerify;
    type Output = (MacStream, Option<bool>);

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let object = on.into_object()?.record;
        let types = &[ObjectType::SymmetricKey];
        let key = usage::usable(tools, &object, types, Side::Process, UsageMask::MAC_VERIFY)?.clone();
        let begun = self.stream.map_or_else(|| MacStream::new(&object, self.parameters), Ok);
        let mut stream = begun?;
        stream.update(&self.data)?;
        if !self.last {
            return Ok((stream, None));
        }
        let mac = self.mac.ok_or_else(|| Error::new(ErrorKind::Missing, "the MAC is missing"))?;
        let made = stream.finish(tools, key).await?;
        Ok((stream, Some(made.ct_eq(&mac).into())))
    }
}
