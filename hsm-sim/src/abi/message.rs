//! Encryption and decryption of messages (PKCS#11 3.1 §5.9, §5.11), and the parameter structures that authenticated
//! wrapping shares with them: the IV and the tag are in them, in or out.

use cryptoki_sys::*;

use super::{
    Entry, entry_call,
    pointer::{self, Sink},
    session_call,
};
use crate::{
    core::{
        messages::{Generator, MessageParams},
        names::Function,
        operation::Way,
        rv::{Result, Rv},
        session::Session,
    },
    crypto,
};

const INVALID: Rv = Rv(CKR_MECHANISM_PARAM_INVALID);

/// The parameters of a message, and where the caller wants IV and tag.
pub(super) struct Place {
    pub(super) params: MessageParams,
    iv: *mut CK_BYTE,
    tag: *mut CK_BYTE,
}

impl Place {
    /// Reads the structure of a mechanism.
    ///
    /// # Safety
    ///
    /// `parameter` is null or points to `length` readable bytes that are the message parameters of the mechanism, whose IV
    /// and tag are null or readable and writable for the lengths given there.
    pub(super) unsafe fn read(
        mechanism: CK_MECHANISM_TYPE,
        parameter: *const std::ffi::c_void,
        length: CK_ULONG,
    ) -> Result<Self> {
        // SAFETY (all of the blocks below): as the caller promises.
        match mechanism {
            CKM_AES_GCM => {
                // SAFETY: as above.
                let gcm = unsafe { structure::<CK_GCM_MESSAGE_PARAMS>(parameter, length) }?;
                if !gcm.ulTagBits.is_multiple_of(8) {
                    return Err(INVALID);
                }
                let generator = (gcm.ivGenerator, gcm.ulIvFixedBits);
                // SAFETY: as above.
                unsafe { Self::new((gcm.pIv, gcm.ulIvLen), generator, (gcm.pTag, gcm.ulTagBits / 8), 0) }
            }
            CKM_AES_CCM => {
                // SAFETY: as above.
                let ccm = unsafe { structure::<CK_CCM_MESSAGE_PARAMS>(parameter, length) }?;
                let (nonce, generator) = ((ccm.pNonce, ccm.ulNonceLen), (ccm.nonceGenerator, ccm.ulNonceFixedBits));
                // SAFETY: as above.
                unsafe { Self::new(nonce, generator, (ccm.pMAC, ccm.ulMACLen), ccm.ulDataLen) }
            }
            CKM_CHACHA20_POLY1305 => {
                // SAFETY: as above.
                let chacha = unsafe { structure::<CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS>(parameter, length) }?;
                let nonce = (chacha.pNonce, chacha.ulNonceLen);
                // SAFETY: as above. The structure has no generator, and its tag one length.
                unsafe { Self::new(nonce, (CKG_NO_GENERATE, 0), (chacha.pTag, 16), 0) }
            }
            _ => Err(Rv(CKR_MECHANISM_INVALID)),
        }
    }

    /// # Safety
    ///
    /// IV and tag are null or readable for their lengths.
    unsafe fn new(
        (iv, iv_length): (*mut CK_BYTE, CK_ULONG),
        (generator, fixed_bits): (CK_GENERATOR_FUNCTION, CK_ULONG),
        (tag, tag_length): (*mut CK_BYTE, CK_ULONG),
        data_length: CK_ULONG,
    ) -> Result<Self> {
        if tag.is_null() || tag_length > TAG_BYTES_MAX {
            return Err(INVALID);
        }
        // SAFETY: as the caller promises.
        let held = unsafe { pointer::bytes(tag, tag_length).map_err(|_bad| INVALID)?.to_vec() };
        // SAFETY: as the caller promises.
        let place = unsafe { Self::with_tag((iv, iv_length), (generator, fixed_bits), held, data_length) }?;
        Ok(Self { tag, ..place })
    }

    /// For parameters that have no place for the tag.
    ///
    /// # Safety
    ///
    /// The IV is null or readable for its length.
    unsafe fn with_tag(
        (iv, iv_length): (*mut CK_BYTE, CK_ULONG),
        (generator, fixed_bits): (CK_GENERATOR_FUNCTION, CK_ULONG),
        tag: Vec<u8>,
        data_length: CK_ULONG,
    ) -> Result<Self> {
        if iv.is_null() || !(1..=IV_BYTES_MAX).contains(&iv_length) {
            return Err(INVALID);
        }
        let generator = match generator {
            CKG_NO_GENERATE => Generator::Caller,
            CKG_GENERATE => Generator::Any,
            CKG_GENERATE_COUNTER => Generator::Counter,
            CKG_GENERATE_COUNTER_XOR => Generator::CounterXor,
            CKG_GENERATE_RANDOM => Generator::Random,
            _ => return Err(INVALID),
        };
        let number = |value: CK_ULONG| usize::try_from(value).map_err(|_too_large| INVALID);
        // SAFETY: as the caller promises.
        let params = unsafe {
            MessageParams {
                iv: pointer::bytes(iv, iv_length).map_err(|_bad| INVALID)?.to_vec(),
                fixed_bits: number(fixed_bits)?,
                generator,
                tag,
                data_bytes: number(data_length)?,
            }
        };
        if params.generator != Generator::Caller && params.fixed_bits > 8 * params.iv.len() {
            return Err(INVALID);
        }
        Ok(Self { params, iv, tag: std::ptr::null_mut() })
    }

    /// Reads the structures that `C_WrapKey` and `C_UnwrapKey` take beside those for data, with their additional data;
    /// nothing when the parameter is not one of them, which its length tells.
    ///
    /// # Safety
    ///
    /// `mechanism` is null or readable, and its parameter null or readable for its length and the structure of that length,
    /// whose pointers are null or readable, the IV's writable, for the lengths given there.
    pub(super) unsafe fn read_wrap(
        mechanism: *const CK_MECHANISM,
    ) -> Result<Option<(CK_MECHANISM_TYPE, Self, Vec<u8>)>> {
        if mechanism.is_null() {
            return Ok(None);
        }
        // SAFETY: not null, and readable as the caller promises.
        let raw = unsafe { mechanism.read_unaligned() };
        let (parameter, length) = (raw.pParameter.cast_const(), raw.ulParameterLen);
        let tag = |bytes: CK_ULONG| match usize::try_from(bytes) {
            Ok(length) if bytes <= TAG_BYTES_MAX => Ok(vec![0; length]),
            _ => Err(INVALID),
        };
        // SAFETY (all of the blocks below): as the caller promises.
        let (place, aad) = match raw.mechanism {
            CKM_AES_GCM if length == size_of::<CK_GCM_WRAP_PARAMS>() as CK_ULONG => {
                // SAFETY: as above.
                let gcm = unsafe { structure::<CK_GCM_WRAP_PARAMS>(parameter, length) }?;
                if !gcm.ulTagBits.is_multiple_of(8) {
                    return Err(INVALID);
                }
                let generator = (gcm.ivGenerator, gcm.ulIvFixedBits);
                // SAFETY: as above.
                let place = unsafe { Self::with_tag((gcm.pIv, gcm.ulIvLen), generator, tag(gcm.ulTagBits / 8)?, 0) }?;
                (place, (gcm.pAAD, gcm.ulAADLen))
            }
            CKM_AES_CCM if length == size_of::<CK_CCM_WRAP_PARAMS>() as CK_ULONG => {
                // SAFETY: as above.
                let ccm = unsafe { structure::<CK_CCM_WRAP_PARAMS>(parameter, length) }?;
                let (nonce, generator) = ((ccm.pNonce, ccm.ulNonceLen), (ccm.nonceGenerator, ccm.ulNonceFixedBits));
                // SAFETY: as above.
                let place = unsafe { Self::with_tag(nonce, generator, tag(ccm.ulMACLen)?, ccm.ulDataLen) }?;
                (place, (ccm.pAAD, ccm.ulAADLen))
            }
            _ => return Ok(None),
        };
        // SAFETY: as above.
        let aad = unsafe { pointer::bytes(aad.0, aad.1) }.map_err(|_bad| INVALID)?;
        Ok(Some((raw.mechanism, place, aad.to_vec())))
    }

    /// Gives the caller the IV that was made.
    ///
    /// # Safety
    ///
    /// As [`read`](Self::read).
    pub(super) unsafe fn put_iv(&self) {
        if self.params.generator != Generator::Caller {
            // SAFETY: not null and writable for the length that was read from there.
            unsafe { std::ptr::copy(self.params.iv.as_ptr(), self.iv, self.params.iv.len()) };
        }
    }

    /// Gives the caller the tag that was made.
    ///
    /// # Safety
    ///
    /// As [`read`](Self::read).
    pub(super) unsafe fn put_tag(&self) {
        // SAFETY: not null and writable for the length that was read from there.
        unsafe { std::ptr::copy(self.params.tag.as_ptr(), self.tag, self.params.tag.len()) };
    }
}

/// # Safety
///
/// The pointer is null or readable for the length, and every bit pattern is a `T`.
unsafe fn structure<T>(pointer: *const std::ffi::c_void, length: CK_ULONG) -> Result<T> {
    if pointer.is_null() || length != size_of::<T>() as CK_ULONG {
        return Err(INVALID);
    }
    // SAFETY: not null and of the right length; alignment does not matter.
    Ok(unsafe { pointer.cast::<T>().read_unaligned() })
}

const IV_BYTES_MAX: CK_ULONG = 256;
const TAG_BYTES_MAX: CK_ULONG = 16;

/// # Safety
///
/// `mechanism` is null or readable, its parameter null or as [`Place::read`] wants it; null ends the process.
unsafe fn init(
    function: Function,
    way: Way,
    session: CK_SESSION_HANDLE,
    mechanism: *const CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    let entry = unsafe { Entry::session(function, session).with_mechanism(mechanism) };
    entry_call(entry, session, |_, session| {
        if mechanism.is_null() {
            *session.operations().messages(way) = None;
            return Ok(());
        }
        // SAFETY: not null, and readable as the caller promises.
        let raw = unsafe { mechanism.read_unaligned() };
        let flag = match way {
            Way::Encrypt => CKF_MESSAGE_ENCRYPT,
            Way::Decrypt => CKF_MESSAGE_DECRYPT,
        };
        crypto::mechanism(raw.mechanism).filter(|info| info.allows(flag)).ok_or(Rv(CKR_MECHANISM_INVALID))?;
        // What matters comes with each message, but what is given here must be the structure, too.
        let expected = match raw.mechanism {
            CKM_AES_GCM => size_of::<CK_GCM_MESSAGE_PARAMS>(),
            CKM_AES_CCM => size_of::<CK_CCM_MESSAGE_PARAMS>(),
            _ => size_of::<CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS>(),
        };
        if raw.pParameter.is_null() || raw.ulParameterLen != expected as CK_ULONG {
            return Err(INVALID);
        }
        session.message_init(way, raw.mechanism, key)
    })
}

fn mechanism_of(session: &Session, way: Way) -> Result<CK_MECHANISM_TYPE> {
    let mut operations = session.operations();
    operations.messages(way).as_ref().map(|messages| messages.mechanism()).ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))
}

/// What a caller hands to one of the functions below.
struct Parameter(*mut std::ffi::c_void, CK_ULONG);
struct Data(*mut CK_BYTE, CK_ULONG);
struct Target(*mut CK_BYTE, *mut CK_ULONG);

/// # Safety
///
/// The parameter is as [`Place::read`] wants it, data null or readable for its length, the target as [`Sink::new`] wants it.
unsafe fn single(
    function: Function,
    way: Way,
    session: CK_SESSION_HANDLE,
    (parameter, aad, input, target): (Parameter, Data, Data, Target),
) -> CK_RV {
    session_call(function, session, |_, session| {
        let mechanism = mechanism_of(session, way)?;
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(target.0, target.1) }?;
        // SAFETY: as the caller promises.
        let (aad, input) = unsafe { (pointer::copied(pointer::bytes(aad.0, aad.1)?)?, sink.beside(input.0, input.1)?) };
        // SAFETY: as the caller promises.
        let mut place = unsafe { Place::read(mechanism, parameter.0, parameter.1) }?;
        let mut is_done = false;
        let outcome = sink.fill(|output| {
            let mut operations = session.operations();
            let messages = operations.messages(way).as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
            let written = messages.single(&mut place.params, &aad, &input, output)?;
            is_done = matches!(written, crate::core::operation::Written::Done(_));
            Ok(written)
        });
        if is_done && way == Way::Encrypt {
            // SAFETY: as the caller promises.
            unsafe {
                place.put_iv();
                place.put_tag();
            }
        }
        outcome
    })
}

/// # Safety
///
/// As [`single`].
unsafe fn begin(
    function: Function,
    way: Way,
    session: CK_SESSION_HANDLE,
    (parameter, aad): (Parameter, Data),
) -> CK_RV {
    session_call(function, session, |_, session| {
        let mechanism = mechanism_of(session, way)?;
        // SAFETY: as the caller promises.
        let (aad, mut place) =
            unsafe { (pointer::bytes(aad.0, aad.1)?, Place::read(mechanism, parameter.0, parameter.1)?) };
        let mut operations = session.operations();
        let messages = operations.messages(way).as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        messages.begin(&mut place.params, aad)?;
        if way == Way::Encrypt {
            // SAFETY: as the caller promises.
            unsafe { place.put_iv() };
        }
        Ok(())
    })
}

/// # Safety
///
/// As [`single`].
unsafe fn next(
    function: Function,
    way: Way,
    session: CK_SESSION_HANDLE,
    flags: CK_FLAGS,
    (parameter, input, target): (Parameter, Data, Target),
) -> CK_RV {
    session_call(function, session, |_, session| {
        let mechanism = mechanism_of(session, way)?;
        let is_last = flags & CKF_END_OF_MESSAGE != 0;
        // SAFETY: as the caller promises.
        let sink = unsafe { Sink::new(target.0, target.1) }?;
        // SAFETY: as the caller promises.
        let input = unsafe { sink.beside(input.0, input.1) }?;
        // SAFETY: as the caller promises.
        let mut place = unsafe { Place::read(mechanism, parameter.0, parameter.1) }?;
        let mut is_done = false;
        let outcome = sink.fill(|output| {
            let mut operations = session.operations();
            let messages = operations.messages(way).as_mut().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
            let written = messages.next(&mut place.params, &input, output, is_last)?;
            is_done = is_last && matches!(written, crate::core::operation::Written::Done(_));
            Ok(written)
        });
        if is_done && way == Way::Encrypt {
            // SAFETY: as the caller promises.
            unsafe { place.put_tag() };
        }
        outcome
    })
}

/// # Safety
///
/// As [`init`].
pub(super) unsafe extern "C" fn C_MessageEncryptInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    unsafe { init(Function::MessageEncryptInit, Way::Encrypt, session, mechanism, key) }
}

/// # Safety
///
/// As [`init`].
pub(super) unsafe extern "C" fn C_MessageDecryptInit(
    session: CK_SESSION_HANDLE,
    mechanism: *mut CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    // SAFETY: as the caller promises.
    unsafe { init(Function::MessageDecryptInit, Way::Decrypt, session, mechanism, key) }
}

/// # Safety
///
/// As [`single`].
pub(super) unsafe extern "C" fn C_EncryptMessage(
    session: CK_SESSION_HANDLE,
    parameter: *mut std::ffi::c_void,
    parameter_length: CK_ULONG,
    aad: *mut CK_BYTE,
    aad_length: CK_ULONG,
    input: *mut CK_BYTE,
    input_length: CK_ULONG,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
) -> CK_RV {
    let given = (
        Parameter(parameter, parameter_length),
        Data(aad, aad_length),
        Data(input, input_length),
        Target(output, output_length),
    );
    // SAFETY: as the caller promises.
    unsafe { single(Function::EncryptMessage, Way::Encrypt, session, given) }
}

/// # Safety
///
/// As [`single`].
pub(super) unsafe extern "C" fn C_DecryptMessage(
    session: CK_SESSION_HANDLE,
    parameter: *mut std::ffi::c_void,
    parameter_length: CK_ULONG,
    aad: *mut CK_BYTE,
    aad_length: CK_ULONG,
    input: *mut CK_BYTE,
    input_length: CK_ULONG,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
) -> CK_RV {
    let given = (
        Parameter(parameter, parameter_length),
        Data(aad, aad_length),
        Data(input, input_length),
        Target(output, output_length),
    );
    // SAFETY: as the caller promises.
    unsafe { single(Function::DecryptMessage, Way::Decrypt, session, given) }
}

/// # Safety
///
/// As [`single`].
pub(super) unsafe extern "C" fn C_EncryptMessageBegin(
    session: CK_SESSION_HANDLE,
    parameter: *mut std::ffi::c_void,
    parameter_length: CK_ULONG,
    aad: *mut CK_BYTE,
    aad_length: CK_ULONG,
) -> CK_RV {
    let given = (Parameter(parameter, parameter_length), Data(aad, aad_length));
    // SAFETY: as the caller promises.
    unsafe { begin(Function::EncryptMessageBegin, Way::Encrypt, session, given) }
}

/// # Safety
///
/// As [`single`].
pub(super) unsafe extern "C" fn C_DecryptMessageBegin(
    session: CK_SESSION_HANDLE,
    parameter: *mut std::ffi::c_void,
    parameter_length: CK_ULONG,
    aad: *mut CK_BYTE,
    aad_length: CK_ULONG,
) -> CK_RV {
    let given = (Parameter(parameter, parameter_length), Data(aad, aad_length));
    // SAFETY: as the caller promises.
    unsafe { begin(Function::DecryptMessageBegin, Way::Decrypt, session, given) }
}

/// # Safety
///
/// As [`single`].
pub(super) unsafe extern "C" fn C_EncryptMessageNext(
    session: CK_SESSION_HANDLE,
    parameter: *mut std::ffi::c_void,
    parameter_length: CK_ULONG,
    input: *mut CK_BYTE,
    input_length: CK_ULONG,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
    flags: CK_FLAGS,
) -> CK_RV {
    let given = (Parameter(parameter, parameter_length), Data(input, input_length), Target(output, output_length));
    // SAFETY: as the caller promises.
    unsafe { next(Function::EncryptMessageNext, Way::Encrypt, session, flags, given) }
}

/// # Safety
///
/// As [`single`].
pub(super) unsafe extern "C" fn C_DecryptMessageNext(
    session: CK_SESSION_HANDLE,
    parameter: *mut std::ffi::c_void,
    parameter_length: CK_ULONG,
    input: *mut CK_BYTE,
    input_length: CK_ULONG,
    output: *mut CK_BYTE,
    output_length: *mut CK_ULONG,
    flags: CK_FLAGS,
) -> CK_RV {
    let given = (Parameter(parameter, parameter_length), Data(input, input_length), Target(output, output_length));
    // SAFETY: as the caller promises.
    unsafe { next(Function::DecryptMessageNext, Way::Decrypt, session, flags, given) }
}

/// Ends the encryption of messages.
pub(super) extern "C" fn C_MessageEncryptFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    session_call(Function::MessageEncryptFinal, session, |_, session| session.message_final(Way::Encrypt))
}

/// Ends the decryption of messages.
pub(super) extern "C" fn C_MessageDecryptFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    session_call(Function::MessageDecryptFinal, session, |_, session| session.message_final(Way::Decrypt))
}
