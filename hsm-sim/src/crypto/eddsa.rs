//! Ed25519 and Ed448 (PKCS#11 3.1 §6.3.16, RFC 8032): pure, with context, prehashed. One form never verifies another's
//! signature.

use cryptoki_sys::*;

use super::{
    edwards25519,
    error::{CryptoError, Result},
    ffi::ed25519,
    goldilocks::{self, Signed},
    key::{GoldilocksPrivateKey, GoldilocksPublicKey, Key, RawPrivateKey, RawPublicKey},
    mechanism::MechanismInfo,
    message::Message,
    operation::{SignOperation, VerifyOperation},
    params::{Hash, ParamKind, Params},
};

/// The key type of Edwards curves.
pub(super) const KEY_TYPES: &[CK_KEY_TYPE] = &[CKK_EC_EDWARDS];
/// Sizes of the curves in bits.
pub(super) const SIZES: (CK_ULONG, CK_ULONG) = (255, 448);
/// What C_GetMechanismInfo says of the curve: its points are always compressed.
pub(super) const CURVE_FLAGS: CK_FLAGS = CKF_EC_F_P | CKF_EC_OID | CKF_EC_CURVENAME | CKF_EC_COMPRESS;

/// The rows of this family.
pub(super) const MECHANISMS: &[MechanismInfo] =
    &[MechanismInfo::new(CKM_EDDSA, "EDDSA", KEY_TYPES, SIZES, ParamKind::OptionalEddsa).flags(CURVE_FLAGS).signs(
        |params, key| match key {
            Key::Ed25519Private(key) => {
                let (form, message) = form(params)?;
                Ok(Box::new(EdSigner { key: key.clone(), form, message }))
            }
            Key::Ed448Private(key) => Ok(Box::new(Goldilocks::new(params, Some(key.clone()), key.public().clone())?)),
            _ => Err(CryptoError::KeyTypeInconsistent),
        },
        |params, key| {
            let key = match key {
                Key::Ed25519Public(key) => key.clone(),
                Key::Ed25519Private(key) => key.public(),
                Key::Ed448Public(key) => return Ok(Box::new(Goldilocks::new(params, None, key.clone())?)),
                Key::Ed448Private(key) => return Ok(Box::new(Goldilocks::new(params, None, key.public().clone())?)),
                _ => return Err(CryptoError::KeyTypeInconsistent),
            };
            let (form, message) = form(params)?;
            Ok(Box::new(EdVerifier { key, form, message }))
        },
    )];

enum Form {
    Pure,
    Context(Vec<u8>),
    Prehash(Vec<u8>),
}

/// A parameter block that names neither a context nor the digest asks for Ed25519ctx with an empty context: not the pure
/// form, which is another signature.
fn form(params: &Params) -> Result<(Form, Message)> {
    match params {
        Params::None => Ok((Form::Pure, Message::whole(MESSAGE_BYTES_MAX))),
        Params::Eddsa { context, .. } if context.len() > CONTEXT_BYTES_MAX => Err(CryptoError::MechanismParamInvalid),
        Params::Eddsa { prehash: true, context } => {
            Ok((Form::Prehash(context.clone()), Message::digest(Hash::Sha512)?))
        }
        Params::Eddsa { prehash: false, context } => {
            Ok((Form::Context(context.clone()), Message::whole(MESSAGE_BYTES_MAX)))
        }
        _ => Err(CryptoError::MechanismParamInvalid),
    }
}

fn digest(data: &[u8]) -> Result<&[u8; 64]> {
    data.try_into().map_err(|_length| CryptoError::GeneralError)
}

struct EdSigner {
    key: RawPrivateKey,
    form: Form,
    message: Message,
}

impl SignOperation for EdSigner {
    fn signature_bytes(&self) -> usize {
        ed25519::SIGNATURE_BYTES
    }

    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &mut [u8]) -> Result<usize> {
        let data = self.message.finish()?;
        let key = self.key.expanded();
        let made = match &self.form {
            Form::Pure => ed25519::sign(key, &data)?,
            // The library makes no signature with an empty context.
            Form::Context(context) if context.is_empty() => edwards25519::sign_context(key, context, &data)?,
            Form::Context(context) => ed25519::sign_context(key, context, &data)?,
            Form::Prehash(context) => ed25519::sign_prehash(key, context, digest(&data)?)?,
        };
        signature.get_mut(..made.len()).ok_or(CryptoError::GeneralError)?.copy_from_slice(&made);
        Ok(made.len())
    }
}

struct EdVerifier {
    key: RawPublicKey,
    form: Form,
    message: Message,
}

impl VerifyOperation for EdVerifier {
    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &[u8]) -> Result<()> {
        let data = self.message.finish()?;
        let signature = signature.try_into().map_err(|_length| CryptoError::SignatureLenRange)?;
        let key = self.key.bytes();
        match &self.form {
            Form::Pure => ed25519::verify(key, &data, signature),
            Form::Context(context) if context.is_empty() => {
                edwards25519::verify_context(key, context, &data, signature)
            }
            Form::Context(context) => ed25519::verify_context(key, context, &data, signature),
            Form::Prehash(context) => ed25519::verify_prehash(key, context, digest(&data)?, signature),
        }
        .map_err(|_whatever| CryptoError::SignatureInvalid)
    }
}

/// Keys of Ed448 have this length, which their type does not say.
fn exact(key: &[u8]) -> Result<&[u8; goldilocks::KEY_BYTES]> {
    key.try_into().map_err(|_length| CryptoError::KeyTypeInconsistent)
}

/// Ed448, which has one form with a context that may be empty, and one over a digest. The parameter block that says which
/// is required (PKCS#11 3.1 §6.3.16).
struct Goldilocks {
    private: Option<GoldilocksPrivateKey>,
    public: GoldilocksPublicKey,
    prehash: bool,
    context: Vec<u8>,
    message: Message,
}

impl Goldilocks {
    fn new(params: &Params, private: Option<GoldilocksPrivateKey>, public: GoldilocksPublicKey) -> Result<Self> {
        let (prehash, context) = match params {
            Params::Eddsa { prehash, context } if context.len() <= CONTEXT_BYTES_MAX => (*prehash, context.clone()),
            _ => return Err(CryptoError::MechanismParamInvalid),
        };
        let message = if prehash { Message::digest(Hash::Shake256)? } else { Message::whole(MESSAGE_BYTES_MAX) };
        Ok(Self { private, public, prehash, context, message })
    }

    fn signed<'a>(&'a self, data: &'a [u8]) -> Signed<'a> {
        Signed { prehash: self.prehash, context: &self.context, data }
    }
}

impl SignOperation for Goldilocks {
    fn signature_bytes(&self) -> usize {
        goldilocks::SIGNATURE_BYTES
    }

    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &mut [u8]) -> Result<usize> {
        let data = self.message.finish()?;
        let private = self.private.as_ref().ok_or(CryptoError::KeyTypeInconsistent)?;
        let made = goldilocks::sign(exact(private.value())?, exact(self.public.bytes())?, &self.signed(&data))?;
        signature.get_mut(..made.len()).ok_or(CryptoError::GeneralError)?.copy_from_slice(&made);
        Ok(made.len())
    }
}

impl VerifyOperation for Goldilocks {
    fn update(&mut self, data: &[u8]) -> Result<()> {
        self.message.update(data)
    }

    fn finish(&mut self, signature: &[u8]) -> Result<()> {
        let data = self.message.finish()?;
        let signature = signature.try_into().map_err(|_length| CryptoError::SignatureLenRange)?;
        goldilocks::verify(exact(self.public.bytes())?, &self.signed(&data), signature)
    }
}

/// RFC 8032 §5.1.
const CONTEXT_BYTES_MAX: usize = 255;
/// Pure signatures go over the message twice, so it is kept.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
