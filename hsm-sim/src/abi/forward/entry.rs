//! The functions of forward mode: a table of signatures, each of which becomes a call of the other module.
//!
//! The names of arguments matter: `session`, `slot`, `mechanism`, `object`, and `output` with `length` are what the fault
//! plan sees of a call.

#![expect(non_snake_case, reason = "the standard's names")]

use std::ffi::c_void;

use cryptoki_sys::{
    CK_ASYNC_DATA as Async, CK_ATTRIBUTE, CK_BBOOL as Bool, CK_BYTE, CK_FLAGS as Flags, CK_FUNCTION_LIST_3_2, CK_INFO,
    CK_MECHANISM, CK_MECHANISM_INFO, CK_MECHANISM_TYPE as Kind, CK_NOTIFY as Notify, CK_OBJECT_HANDLE as Handle,
    CK_SESSION_HANDLE as Session, CK_SESSION_INFO, CK_SESSION_VALIDATION_FLAGS_TYPE as Validation,
    CK_SLOT_ID as SlotId, CK_SLOT_INFO, CK_TOKEN_INFO, CK_ULONG as Ulong, CK_USER_TYPE as User, *,
};

use super::{
    STATE, faults,
    faults::{Seen, forward},
    initialise, target,
};
use crate::{abi::guard, abi::interface, core::names::Function, core::rv::Rv, fault};

type Bytes = *mut CK_BYTE;
type Length = *mut Ulong;
type Mechanism = *mut CK_MECHANISM;
type Template = *mut CK_ATTRIBUTE;
type New = *mut Handle;
type Any = *mut c_void;

/// Notes an argument that the plan can see.
macro_rules! note {
    ($seen:ident session $value:ident) => {
        Seen { session: Some($value), ..$seen }
    };
    ($seen:ident slot $value:ident) => {
        Seen { slot: Some($value), ..$seen }
    };
    ($seen:ident object $value:ident) => {
        Seen { object: Some($value), ..$seen }
    };
    ($seen:ident mechanism $value:ident) => {
        Seen { mechanism: $value, ..$seen }
    };
    ($seen:ident output $value:ident) => {
        Seen { output: $value, ..$seen }
    };
    ($seen:ident length $value:ident) => {
        Seen { length: $value, ..$seen }
    };
    ($seen:ident $other:ident $value:ident) => {
        $seen
    };
}

macro_rules! forwarded {
    ($($entry:ident $function:ident($($name:ident: $type:ty),* $(,)?);)+) => {
        $(
            unsafe extern "C" fn $entry($($name: $type),*) -> CK_RV {
                let seen = Seen::new(Function::$function);
                $(let seen = note!(seen $name $name);)*
                // SAFETY: the arguments are the caller's for this function, which goes to the same function.
                unsafe {
                    forward(&seen, |target| match target.list.$entry {
                        Some(function) => function($($name),*),
                        None => CKR_FUNCTION_NOT_SUPPORTED,
                    })
                }
            }
        )+

        /// A list of all functions of this file.
        pub(super) fn list() -> CK_FUNCTION_LIST_3_2 {
            CK_FUNCTION_LIST_3_2 {
                version: CK_VERSION { major: 3, minor: 2 },
                C_Initialize: Some(C_Initialize),
                C_Finalize: Some(C_Finalize),
                C_GetFunctionList: Some(interface::C_GetFunctionList),
                C_GetInterfaceList: Some(interface::C_GetInterfaceList),
                C_GetInterface: Some(interface::C_GetInterface),
                C_GetTokenInfo: Some(C_GetTokenInfo),
                C_FindObjects: Some(C_FindObjects),
                $($entry: Some($entry),)+
            }
        }
    };
}

forwarded! {
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

unsafe extern "C" fn C_Initialize(arguments: Any) -> CK_RV {
    guard(|| initialise(target().ok_or(Rv(CKR_GENERAL_ERROR))?, arguments))
}

unsafe extern "C" fn C_Finalize(reserved: Any) -> CK_RV {
    let seen = Seen::new(Function::Finalize);
    // SAFETY: the arguments are the caller's for this function, which goes to the same function.
    let rv = unsafe {
        forward(&seen, |target| match target.list.C_Finalize {
            Some(function) => function(reserved),
            None => CKR_FUNCTION_NOT_SUPPORTED,
        })
    };
    if rv == CKR_OK {
        *STATE.write() = None;
    }
    rv
}

unsafe extern "C" fn C_GetTokenInfo(slot: SlotId, info: *mut CK_TOKEN_INFO) -> CK_RV {
    let mut seen = Seen::new(Function::GetTokenInfo);
    seen.slot = Some(slot);
    // SAFETY: the arguments are the caller's for this function, which goes to the same function.
    unsafe {
        forward(&seen, |target| {
            let Some(function) = target.list.C_GetTokenInfo else { return CKR_FUNCTION_NOT_SUPPORTED };
            let rv = function(slot, info);
            if rv == CKR_OK && !info.is_null() && fault::is_armed() {
                let mut spoilt = info.read_unaligned();
                fault::token_info(&mut spoilt);
                info.write_unaligned(spoilt);
            }
            rv
        })
    }
}

unsafe extern "C" fn C_FindObjects(session: Session, objects: New, most: Ulong, count: Length) -> CK_RV {
    let mut seen = Seen::new(Function::FindObjects);
    seen.session = Some(session);
    // SAFETY: the arguments are the caller's for this function, which goes to the same function.
    unsafe {
        forward(&seen, |target| {
            let Some(function) = target.list.C_FindObjects else { return CKR_FUNCTION_NOT_SUPPORTED };
            let rv = function(session, objects, most, count);
            if rv == CKR_OK && !count.is_null() && !objects.is_null() {
                let found = usize::try_from(count.read_unaligned().min(most)).unwrap_or(0);
                let mut kept = 0;
                for place in 0..found {
                    let handle = objects.add(place).read_unaligned();
                    let facts = || faults::facts(target, session, handle).unwrap_or_default();
                    if !fault::is_lost(facts) {
                        objects.add(kept).write_unaligned(handle);
                        kept += 1;
                    }
                }
                count.write_unaligned(kept as Ulong);
            }
            rv
        })
    }
}
