//! The mechanism table: what this token offers, in the numbers `C_GetMechanismInfo` answers with.
//!
//! Each family file owns a slice of rows; this file only joins and searches them. A row says what a mechanism is for by
//! carrying the functions that do it, so flags cannot promise what nothing implements.

use std::sync::LazyLock;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    aes, ccm, chacha20, combine, des, dh, digest, ecdh, ecdsa, eddsa,
    error::{CryptoError, Result},
    gcm, generate, hkdf, kbkdf,
    key::Key,
    keywrap, mac, ml_dsa, ml_kem,
    operation::{CipherOperation, Digester, Direction, SignOperation, VerifyOperation},
    params::{Hash, ParamKind, Params},
    rsa_cipher, rsa_sign, xts,
};

pub(super) type CipherFn = fn(Direction, &Params, &Key) -> Result<Box<dyn CipherOperation>>;
pub(super) type SignFn = fn(&Params, &Key) -> Result<Box<dyn SignOperation>>;
pub(super) type VerifyFn = fn(&Params, &Key) -> Result<Box<dyn VerifyOperation>>;
pub(super) type WrapFn = fn(&Params, &Key, &[u8]) -> Result<Vec<u8>>;
pub(super) type UnwrapFn = fn(&Params, &Key, &[u8]) -> Result<Zeroizing<Vec<u8>>>;
pub(super) type DeriveFn = fn(&Params, &Key, Option<usize>) -> Result<Zeroizing<Vec<u8>>>;
pub(super) type DeriveManyFn = fn(&Params, &Key, &[usize]) -> Result<Vec<Zeroizing<Vec<u8>>>>;
pub(super) type CiphertextBytesFn = fn(&Key) -> Result<usize>;
pub(super) type EncapsulateFn = fn(&Params, &Key) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>)>;
pub(super) type DecapsulateFn = fn(&Params, &Key, &[u8]) -> Result<Zeroizing<Vec<u8>>>;
/// Signs, or gives back what was signed.
pub(super) type RecoverFn = fn(&Key, &[u8]) -> Result<Vec<u8>>;

/// The three functions of a key encapsulation.
#[derive(Clone, Copy)]
pub(super) struct Encapsulation {
    ciphertext_bytes: CiphertextBytesFn,
    encapsulate: EncapsulateFn,
    decapsulate: DecapsulateFn,
}

/// What the token offers under one mechanism number.
#[derive(Clone, Copy)]
pub struct MechanismInfo {
    /// The mechanism's number.
    pub mechanism: CK_MECHANISM_TYPE,
    /// Its name without `CKM_`, as profiles, fault plans and statistics spell it.
    pub name: &'static str,
    /// Smallest key, in the unit the standard uses for the mechanism.
    pub min: CK_ULONG,
    /// Largest key, in the same unit.
    pub max: CK_ULONG,
    /// `CKF_ENCRYPT` and so on; `CKF_HW` is never set.
    pub flags: CK_FLAGS,
    /// Key types it takes, or makes; empty for digests.
    pub key_types: &'static [CK_KEY_TYPE],
    /// The parameter structure it expects.
    pub params: ParamKind,
    /// Whether data may come in several parts.
    pub is_multi_part: bool,
    /// Whether it is offered only to callers of what is old.
    pub is_legacy: bool,
    /// Whether what it derives gives away its base key to whoever knows the other input.
    pub is_leaky: bool,
    pub(super) cipher: Option<CipherFn>,
    pub(super) sign: Option<SignFn>,
    pub(super) verify: Option<VerifyFn>,
    pub(super) digest: Option<Hash>,
    pub(super) wrap: Option<WrapFn>,
    pub(super) unwrap: Option<UnwrapFn>,
    pub(super) derive: Option<DeriveFn>,
    pub(super) derive_many: Option<DeriveManyFn>,
    pub(super) encapsulation: Option<Encapsulation>,
    pub(super) recover: Option<(RecoverFn, RecoverFn)>,
}

impl MechanismInfo {
    /// Whether every flag of `flags` is set.
    pub const fn allows(&self, flags: CK_FLAGS) -> bool {
        self.flags & flags == flags
    }

    pub(super) const fn new(
        mechanism: CK_MECHANISM_TYPE,
        name: &'static str,
        key_types: &'static [CK_KEY_TYPE],
        sizes: (CK_ULONG, CK_ULONG),
        params: ParamKind,
    ) -> Self {
        Self {
            mechanism,
            name,
            min: sizes.0,
            max: sizes.1,
            flags: 0,
            key_types,
            params,
            is_multi_part: true,
            is_legacy: false,
            is_leaky: false,
            cipher: None,
            sign: None,
            verify: None,
            digest: None,
            wrap: None,
            unwrap: None,
            derive: None,
            derive_many: None,
            encapsulation: None,
            recover: None,
        }
    }

    pub(super) const fn flags(mut self, flags: CK_FLAGS) -> Self {
        self.flags |= flags;
        self
    }

    pub(super) const fn single_part(mut self) -> Self {
        self.is_multi_part = false;
        self
    }

    pub(super) const fn legacy(mut self) -> Self {
        self.is_legacy = true;
        self
    }

    pub(super) const fn leaky(mut self) -> Self {
        self.is_leaky = true;
        self
    }

    pub(super) const fn encrypts(mut self, cipher: CipherFn) -> Self {
        self.cipher = Some(cipher);
        self.flags(CKF_ENCRYPT | CKF_DECRYPT)
    }

    pub(super) const fn signs(mut self, sign: SignFn, verify: VerifyFn) -> Self {
        self.sign = Some(sign);
        self.verify = Some(verify);
        self.flags(CKF_SIGN | CKF_VERIFY | CKF_MESSAGE_SIGN | CKF_MESSAGE_VERIFY)
    }

    pub(super) const fn digests(mut self, hash: Hash) -> Self {
        self.digest = Some(hash);
        self.flags(CKF_DIGEST)
    }

    pub(super) const fn wraps(mut self, wrap: WrapFn, unwrap: UnwrapFn) -> Self {
        self.wrap = Some(wrap);
        self.unwrap = Some(unwrap);
        self.flags(CKF_WRAP | CKF_UNWRAP)
    }

    pub(super) const fn derives(mut self, derive: DeriveFn) -> Self {
        self.derive = Some(derive);
        self.flags(CKF_DERIVE)
    }

    /// For derivations that make several keys at once.
    pub(super) const fn derives_many(mut self, derive: DeriveManyFn) -> Self {
        self.derive_many = Some(derive);
        self.flags(CKF_DERIVE)
    }

    pub(super) const fn encapsulates(
        mut self,
        ciphertext_bytes: CiphertextBytesFn,
        encapsulate: EncapsulateFn,
        decapsulate: DecapsulateFn,
    ) -> Self {
        self.encapsulation = Some(Encapsulation { ciphertext_bytes, encapsulate, decapsulate });
        self.flags(CKF_ENCAPSULATE | CKF_DECAPSULATE)
    }

    pub(super) const fn recovers(mut self, sign: RecoverFn, verify: RecoverFn) -> Self {
        self.recover = Some((sign, verify));
        self.flags(CKF_SIGN_RECOVER | CKF_VERIFY_RECOVER)
    }

    /// For the AEADs, which also work message by message.
    pub(super) const fn takes_messages(self) -> Self {
        self.flags(CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT | CKF_MULTI_MESSAGE)
    }
}

impl std::fmt::Debug for MechanismInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MechanismInfo")
            .field("name", &self.name)
            .field("min", &self.min)
            .field("max", &self.max)
            .field("flags", &format_args!("{:#x}", self.flags))
            .finish_non_exhaustive()
    }
}

/// The slices of the families.
const FAMILIES: &[&[MechanismInfo]] = &[
    generate::MECHANISMS,
    generate::DIGEST_KEYS,
    rsa_sign::MECHANISMS,
    rsa_sign::HASHED.as_flattened(),
    rsa_cipher::MECHANISMS,
    ecdsa::MECHANISMS,
    eddsa::MECHANISMS,
    aes::MECHANISMS,
    gcm::MECHANISMS,
    ccm::MECHANISMS,
    xts::MECHANISMS,
    chacha20::MECHANISMS,
    mac::CMAC_MECHANISMS,
    mac::CBC_MAC_MECHANISMS,
    mac::GMAC_MECHANISMS,
    keywrap::MECHANISMS,
    des::MECHANISMS,
    digest::MECHANISMS,
    mac::HMAC_MECHANISMS,
    ecdh::MECHANISMS,
    dh::MECHANISMS,
    hkdf::MECHANISMS,
    kbkdf::MECHANISMS,
    combine::MECHANISMS,
    ml_kem::MECHANISMS,
    ml_dsa::MECHANISMS,
    ml_dsa::HASHED,
];

static TABLE: LazyLock<Vec<&'static MechanismInfo>> = LazyLock::new(|| {
    let mut table: Vec<_> = FAMILIES.iter().copied().flatten().collect();
    table.sort_by_key(|info| info.mechanism);
    table
});

/// Every mechanism offered, by rising number.
pub fn mechanisms() -> &'static [&'static MechanismInfo] {
    &TABLE
}

/// The places of the rows by mechanism number, looked up several times in every operation.
static PLACES: LazyLock<Vec<u16>> = LazyLock::new(|| {
    let numbers = TABLE.last().and_then(|info| usize::try_from(info.mechanism).ok()).unwrap_or_default() + 1;
    let mut places = vec![u16::MAX; numbers];
    for (row, info) in TABLE.iter().enumerate() {
        let place = usize::try_from(info.mechanism).ok().and_then(|number| places.get_mut(number));
        if let (Some(place), Ok(row)) = (place, u16::try_from(row)) {
            *place = row;
        }
    }
    places
});

/// The row of one offered mechanism.
pub fn mechanism(mechanism: CK_MECHANISM_TYPE) -> Option<&'static MechanismInfo> {
    let place = PLACES.get(usize::try_from(mechanism).ok()?)?;
    TABLE.get(usize::from(*place)).copied()
}

fn offered(number: CK_MECHANISM_TYPE) -> Result<&'static MechanismInfo> {
    mechanism(number).ok_or(CryptoError::MechanismInvalid)
}

/// Starts an encryption under a mechanism with `CKF_ENCRYPT`.
pub fn encryptor(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key) -> Result<Box<dyn CipherOperation>> {
    let open = offered(mechanism)?.cipher.ok_or(CryptoError::MechanismInvalid)?;
    open(Direction::Encrypt, params, key)
}

/// Starts a decryption under a mechanism with `CKF_DECRYPT`.
pub fn decryptor(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key) -> Result<Box<dyn CipherOperation>> {
    let open = offered(mechanism)?.cipher.ok_or(CryptoError::MechanismInvalid)?;
    open(Direction::Decrypt, params, key)
}

/// Starts a signature or MAC under a mechanism with `CKF_SIGN`.
pub fn signer(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key) -> Result<Box<dyn SignOperation>> {
    let open = offered(mechanism)?.sign.ok_or(CryptoError::MechanismInvalid)?;
    open(params, key)
}

/// Starts a verification under a mechanism with `CKF_VERIFY`.
pub fn verifier(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key) -> Result<Box<dyn VerifyOperation>> {
    let open = offered(mechanism)?.verify.ok_or(CryptoError::MechanismInvalid)?;
    open(params, key)
}

/// Starts a digest under a mechanism with `CKF_DIGEST`.
pub fn digester(mechanism: CK_MECHANISM_TYPE) -> Result<Digester> {
    Digester::new(offered(mechanism)?.digest.ok_or(CryptoError::MechanismInvalid)?)
}

/// Wraps key bytes (a secret's value, or a private key's PKCS#8 DER) under `key`.
pub fn wrap(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key, plain: &[u8]) -> Result<Vec<u8>> {
    let wrap = offered(mechanism)?.wrap.ok_or(CryptoError::MechanismInvalid)?;
    wrap(params, key, plain)
}

/// Unwraps what [`wrap`] made; every failure of content is [`CryptoError::WrappedKeyInvalid`].
pub fn unwrap(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let unwrap = offered(mechanism)?.unwrap.ok_or(CryptoError::MechanismInvalid)?;
    unwrap(params, key, wrapped)
}

/// Derives the value of a secret key of so many bytes (`CKA_VALUE_LEN`, or the key type's only length), or, without a
/// length, of the length the mechanism gives by itself. More than the mechanism can give is `KeySizeRange`.
pub fn derive(
    mechanism: CK_MECHANISM_TYPE,
    params: &Params,
    key: &Key,
    bytes: Option<usize>,
) -> Result<Zeroizing<Vec<u8>>> {
    let info = offered(mechanism)?;
    if let (Some(derive), Some(bytes)) = (info.derive_many, bytes) {
        return derive(params, key, &[bytes])?.pop().ok_or(CryptoError::GeneralError);
    }
    let derive = info.derive.ok_or(CryptoError::MechanismInvalid)?;
    derive(params, key, bytes)
}

/// Derives the values of several keys under a mechanism that can.
pub fn derive_many(
    mechanism: CK_MECHANISM_TYPE,
    params: &Params,
    key: &Key,
    lengths: &[usize],
) -> Result<Vec<Zeroizing<Vec<u8>>>> {
    let derive = offered(mechanism)?.derive_many.ok_or(CryptoError::MechanismInvalid)?;
    derive(params, key, lengths)
}

/// Length of the ciphertext that [`encapsulate`] makes.
pub fn encapsulated_bytes(mechanism: CK_MECHANISM_TYPE, key: &Key) -> Result<usize> {
    let functions = offered(mechanism)?.encapsulation.ok_or(CryptoError::MechanismInvalid)?;
    (functions.ciphertext_bytes)(key)
}

/// Makes a shared secret for a public key, and the ciphertext that carries it.
pub fn encapsulate(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>)> {
    let functions = offered(mechanism)?.encapsulation.ok_or(CryptoError::MechanismInvalid)?;
    (functions.encapsulate)(params, key)
}

/// Recovers the shared secret of a ciphertext.
pub fn decapsulate(
    mechanism: CK_MECHANISM_TYPE,
    params: &Params,
    key: &Key,
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>> {
    let functions = offered(mechanism)?.encapsulation.ok_or(CryptoError::MechanismInvalid)?;
    (functions.decapsulate)(params, key, ciphertext)
}

/// Signs so that the data can be recovered from the signature.
pub fn sign_recover(mechanism: CK_MECHANISM_TYPE, key: &Key, data: &[u8]) -> Result<Vec<u8>> {
    let (sign, _) = offered(mechanism)?.recover.ok_or(CryptoError::MechanismInvalid)?;
    sign(key, data)
}

/// Gives back the data of a signature; what is none is `SignatureInvalid`, or `SignatureLenRange`.
pub fn verify_recover(mechanism: CK_MECHANISM_TYPE, key: &Key, signature: &[u8]) -> Result<Vec<u8>> {
    let (_, verify) = offered(mechanism)?.recover.ok_or(CryptoError::MechanismInvalid)?;
    verify(key, signature)
}
