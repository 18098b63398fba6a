//! The signatures of the functions that forward mode hands on, once for all who walk them.
//!
//! The names of arguments matter: `session`, `slot`, `mechanism`, `object`, and `output` with `length` are what the fault
//! plan sees of a call.

use std::ffi::c_void;

pub(super) use cryptoki_sys::{
    CK_ASYNC_DATA as Async, CK_BBOOL as Bool, CK_FLAGS as Flags, CK_MECHANISM_TYPE as Kind, CK_NOTIFY as Notify,
    CK_OBJECT_HANDLE as Handle, CK_SESSION_HANDLE as Session, CK_SESSION_VALIDATION_FLAGS_TYPE as Validation,
    CK_SLOT_ID as SlotId, CK_ULONG as Ulong, CK_USER_TYPE as User,
};
use cryptoki_sys::{CK_ATTRIBUTE, CK_BYTE, CK_MECHANISM};

pub(super) type Bytes = *mut CK_BYTE;
pub(super) type Length = *mut Ulong;
pub(super) type Mechanism = *mut CK_MECHANISM;
pub(super) type Template = *mut CK_ATTRIBUTE;
pub(super) type New = *mut Handle;
pub(super) type Any = *mut c_void;

/// Gives a macro every function but those that are particular: `C_Initialize`, `C_Finalize`, the three that hand out
/// lists, `C_GetTokenInfo` and `C_FindObjects`.
macro_rules! functions {
    ($with:ident) => {
        $with! {
                    C_GetInfo GetInfo(info: *mut CK_INFO);
                    C_GetSlotList GetSlotList(with_token: Bool, slots: *mut SlotId, count: Length);
                    C_GetSlotInfo GetSlotInfo(slot: SlotId, info: *mut CK_SLOT_INFO);
                    C_GetMechanismList GetMechanismList(slot: SlotId, list: *mut Kind, count: Length);
                    C_GetMechanismInfo GetMechanismInfo(slot: SlotId, kind: Kind, info: *mut CK_MECHANISM_INFO);
                    C_InitToken InitToken(slot: SlotId, pin: Bytes, pin_length: Ulong, label: Bytes);
                    C_InitPIN InitPIN(session: Session, pin: Bytes, pin_length: Ulong);
                    C_SetPIN SetPIN(session: Session, old: Bytes, old_length: Ulong, new: Bytes, new_length: Ulong);
                    C_OpenSession OpenSession(slot: SlotId, flags: Flags, application: Any, notify: Notify, opened: *mut Session);
                    C_CloseSession CloseSession(session: Session);
                    C_CloseAllSessions CloseAllSessions(slot: SlotId);
                    C_GetSessionInfo GetSessionInfo(session: Session, info: *mut CK_SESSION_INFO);
                    C_GetOperationState GetOperationState(session: Session, output: Bytes, length: Length);
                    C_SetOperationState SetOperationState(session: Session, saved: Bytes, bytes: Ulong, key: Handle, other: Handle);
                    C_Login Login(session: Session, user: User, pin: Bytes, pin_length: Ulong);
                    C_Logout Logout(session: Session);
                    C_CreateObject CreateObject(session: Session, template: Template, count: Ulong, new: New);
                    C_CopyObject CopyObject(session: Session, object: Handle, template: Template, count: Ulong, new: New);
                    C_DestroyObject DestroyObject(session: Session, object: Handle);
                    C_GetObjectSize GetObjectSize(session: Session, object: Handle, size: Length);
                    C_GetAttributeValue GetAttributeValue(session: Session, object: Handle, template: Template, count: Ulong);
                    C_SetAttributeValue SetAttributeValue(session: Session, object: Handle, template: Template, count: Ulong);
                    C_FindObjectsInit FindObjectsInit(session: Session, template: Template, count: Ulong);
                    C_FindObjectsFinal FindObjectsFinal(session: Session);
                    C_EncryptInit EncryptInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_Encrypt Encrypt(session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length);
                    C_EncryptUpdate EncryptUpdate(session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length);
                    C_EncryptFinal EncryptFinal(session: Session, output: Bytes, length: Length);
                    C_DecryptInit DecryptInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_Decrypt Decrypt(session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length);
                    C_DecryptUpdate DecryptUpdate(session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length);
                    C_DecryptFinal DecryptFinal(session: Session, output: Bytes, length: Length);
                    C_DigestInit DigestInit(session: Session, mechanism: Mechanism);
                    C_Digest Digest(session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length);
                    C_DigestUpdate DigestUpdate(session: Session, data: Bytes, bytes: Ulong);
                    C_DigestKey DigestKey(session: Session, object: Handle);
                    C_DigestFinal DigestFinal(session: Session, output: Bytes, length: Length);
                    C_SignInit SignInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_Sign Sign(session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length);
                    C_SignUpdate SignUpdate(session: Session, data: Bytes, bytes: Ulong);
                    C_SignFinal SignFinal(session: Session, output: Bytes, length: Length);
                    C_SignRecoverInit SignRecoverInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_SignRecover SignRecover(session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length);
                    C_VerifyInit VerifyInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_Verify Verify(session: Session, data: Bytes, bytes: Ulong, signature: Bytes, signature_length: Ulong);
                    C_VerifyUpdate VerifyUpdate(session: Session, data: Bytes, bytes: Ulong);
                    C_VerifyFinal VerifyFinal(session: Session, signature: Bytes, signature_length: Ulong);
                    C_VerifyRecoverInit VerifyRecoverInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_VerifyRecover VerifyRecover(session: Session, signature: Bytes, bytes: Ulong, output: Bytes, length: Length);
                    C_DigestEncryptUpdate DigestEncryptUpdate(
                        session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length,
                    );
                    C_DecryptDigestUpdate DecryptDigestUpdate(
                        session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length,
                    );
                    C_SignEncryptUpdate SignEncryptUpdate(session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length);
                    C_DecryptVerifyUpdate DecryptVerifyUpdate(
                        session: Session, data: Bytes, bytes: Ulong, output: Bytes, length: Length,
                    );
                    C_GenerateKey GenerateKey(session: Session, mechanism: Mechanism, template: Template, count: Ulong, new: New);
                    C_GenerateKeyPair GenerateKeyPair(
                        session: Session, mechanism: Mechanism, public: Template, public_count: Ulong, private: Template,
                        private_count: Ulong, new_public: New, new_private: New,
                    );
                    C_WrapKey WrapKey(
                        session: Session, mechanism: Mechanism, wrapping: Handle, object: Handle, output: Bytes, length: Length,
                    );
                    C_UnwrapKey UnwrapKey(
                        session: Session, mechanism: Mechanism, object: Handle, wrapped: Bytes, bytes: Ulong, template: Template,
                        count: Ulong, new: New,
                    );
                    C_DeriveKey DeriveKey(
                        session: Session, mechanism: Mechanism, object: Handle, template: Template, count: Ulong, new: New,
                    );
                    C_SeedRandom SeedRandom(session: Session, seed: Bytes, bytes: Ulong);
                    C_GenerateRandom GenerateRandom(session: Session, random: Bytes, bytes: Ulong);
                    C_GetFunctionStatus GetFunctionStatus(session: Session);
                    C_CancelFunction CancelFunction(session: Session);
                    C_WaitForSlotEvent WaitForSlotEvent(flags: Flags, happened: *mut SlotId, reserved: Any);
                    C_LoginUser LoginUser(session: Session, user: User, pin: Bytes, pin_length: Ulong, name: Bytes, bytes: Ulong);
                    C_SessionCancel SessionCancel(session: Session, flags: Flags);
                    C_MessageEncryptInit MessageEncryptInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_EncryptMessage EncryptMessage(
                        session: Session, parameter: Any, parameter_bytes: Ulong, aad: Bytes, aad_bytes: Ulong, data: Bytes,
                        bytes: Ulong, output: Bytes, length: Length,
                    );
                    C_EncryptMessageBegin EncryptMessageBegin(
                        session: Session, parameter: Any, parameter_bytes: Ulong, aad: Bytes, aad_bytes: Ulong,
                    );
                    C_EncryptMessageNext EncryptMessageNext(
                        session: Session, parameter: Any, parameter_bytes: Ulong, data: Bytes, bytes: Ulong, output: Bytes,
                        length: Length, flags: Flags,
                    );
                    C_MessageEncryptFinal MessageEncryptFinal(session: Session);
                    C_MessageDecryptInit MessageDecryptInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_DecryptMessage DecryptMessage(
                        session: Session, parameter: Any, parameter_bytes: Ulong, aad: Bytes, aad_bytes: Ulong, data: Bytes,
                        bytes: Ulong, output: Bytes, length: Length,
                    );
                    C_DecryptMessageBegin DecryptMessageBegin(
                        session: Session, parameter: Any, parameter_bytes: Ulong, aad: Bytes, aad_bytes: Ulong,
                    );
                    C_DecryptMessageNext DecryptMessageNext(
                        session: Session, parameter: Any, parameter_bytes: Ulong, data: Bytes, bytes: Ulong, output: Bytes,
                        length: Length, flags: Flags,
                    );
                    C_MessageDecryptFinal MessageDecryptFinal(session: Session);
                    C_MessageSignInit MessageSignInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_SignMessage SignMessage(
                        session: Session, parameter: Any, parameter_bytes: Ulong, data: Bytes, bytes: Ulong, output: Bytes,
                        length: Length,
                    );
                    C_SignMessageBegin SignMessageBegin(session: Session, parameter: Any, parameter_bytes: Ulong);
                    C_SignMessageNext SignMessageNext(
                        session: Session, parameter: Any, parameter_bytes: Ulong, data: Bytes, bytes: Ulong, output: Bytes,
                        length: Length,
                    );
                    C_MessageSignFinal MessageSignFinal(session: Session);
                    C_MessageVerifyInit MessageVerifyInit(session: Session, mechanism: Mechanism, object: Handle);
                    C_VerifyMessage VerifyMessage(
                        session: Session, parameter: Any, parameter_bytes: Ulong, data: Bytes, bytes: Ulong, signature: Bytes,
                        signature_bytes: Ulong,
                    );
                    C_VerifyMessageBegin VerifyMessageBegin(session: Session, parameter: Any, parameter_bytes: Ulong);
                    C_VerifyMessageNext VerifyMessageNext(
                        session: Session, parameter: Any, parameter_bytes: Ulong, data: Bytes, bytes: Ulong, signature: Bytes,
                        signature_bytes: Ulong,
                    );
                    C_MessageVerifyFinal MessageVerifyFinal(session: Session);
                    C_EncapsulateKey EncapsulateKey(
                        session: Session, mechanism: Mechanism, object: Handle, template: Template, count: Ulong, output: Bytes,
                        length: Length, new: New,
                    );
                    C_DecapsulateKey DecapsulateKey(
                        session: Session, mechanism: Mechanism, object: Handle, template: Template, count: Ulong, sealed: Bytes,
                        bytes: Ulong, new: New,
                    );
                    C_VerifySignatureInit VerifySignatureInit(
                        session: Session, mechanism: Mechanism, object: Handle, signature: Bytes, bytes: Ulong,
                    );
                    C_VerifySignature VerifySignature(session: Session, data: Bytes, bytes: Ulong);
                    C_VerifySignatureUpdate VerifySignatureUpdate(session: Session, data: Bytes, bytes: Ulong);
                    C_VerifySignatureFinal VerifySignatureFinal(session: Session);
                    C_GetSessionValidationFlags GetSessionValidationFlags(session: Session, kind: Validation, flags: *mut Flags);
                    C_AsyncComplete AsyncComplete(session: Session, name: Bytes, result: *mut Async);
                    C_AsyncGetID AsyncGetID(session: Session, name: Bytes, id: Length);
                    C_AsyncJoin AsyncJoin(session: Session, name: Bytes, id: Ulong, data: Bytes, bytes: Ulong);
                    C_WrapKeyAuthenticated WrapKeyAuthenticated(
                        session: Session, mechanism: Mechanism, wrapping: Handle, object: Handle, aad: Bytes, aad_bytes: Ulong,
                        output: Bytes, length: Length,
                    );
                    C_UnwrapKeyAuthenticated UnwrapKeyAuthenticated(
                        session: Session, mechanism: Mechanism, object: Handle, wrapped: Bytes, bytes: Ulong, template: Template,
                        count: Ulong, aad: Bytes, aad_bytes: Ulong, new: New,
                    );
        }
    };
}

pub(super) use functions;
