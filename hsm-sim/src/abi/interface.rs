//! The function lists and the interfaces that show them (PKCS#11 3.1 §5.4.4, §5.4.5).

use std::{ffi::CStr, sync::OnceLock};

use cryptoki_sys::*;

use super::{
    cipher::*, digest::*, dual::*, forward, general::*, guard, key::*, message::*, message_sign::*, object::*, pointer,
    recover::*, session::*, sign::*, slot::*, unsupported::*,
};
use crate::{
    config::{InterfaceMax, Settings},
    core::rv::Rv,
};

macro_rules! list {
    ($list:ident $major:literal . $minor:literal: $($function:ident)+) => {
        $list { version: CK_VERSION { major: $major, minor: $minor }, $($function: Some($function),)+ }
    };
}

static LIST_2_40: CK_FUNCTION_LIST = list! {
    CK_FUNCTION_LIST 2 . 40:
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
    C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo
    C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject
    C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal
    C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal
    C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal
    C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit
    C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
    C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom C_GenerateRandom
    C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
};

static LIST_3_0: CK_FUNCTION_LIST_3_0 = list! {
    CK_FUNCTION_LIST_3_0 3 . 0:
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
    C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo
    C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject
    C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal
    C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal
    C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal
    C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit
    C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
    C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom C_GenerateRandom
    C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent C_GetInterfaceList C_GetInterface C_LoginUser
    C_SessionCancel C_MessageEncryptInit C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext
    C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext
    C_MessageDecryptFinal C_MessageSignInit C_SignMessage C_SignMessageBegin C_SignMessageNext C_MessageSignFinal
    C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
};

static LIST_3_2: CK_FUNCTION_LIST_3_2 = list! {
    CK_FUNCTION_LIST_3_2 3 . 2:
    C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo C_GetTokenInfo C_GetMechanismList
    C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo
    C_GetOperationState C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject
    C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects C_FindObjectsFinal
    C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal
    C_DigestInit C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal
    C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit
    C_VerifyRecover C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
    C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom C_GenerateRandom
    C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent C_GetInterfaceList C_GetInterface C_LoginUser
    C_SessionCancel C_MessageEncryptInit C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext
    C_MessageEncryptFinal C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext
    C_MessageDecryptFinal C_MessageSignInit C_SignMessage C_SignMessageBegin C_SignMessageNext C_MessageSignFinal
    C_MessageVerifyInit C_VerifyMessage C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal C_EncapsulateKey
    C_DecapsulateKey C_VerifySignatureInit C_VerifySignature C_VerifySignatureUpdate C_VerifySignatureFinal
    C_GetSessionValidationFlags C_AsyncComplete C_AsyncGetID C_AsyncJoin C_WrapKeyAuthenticated
    C_UnwrapKeyAuthenticated
};

const NAME: &CStr = c"PKCS 11";

/// An interface as it is handed out: pointers to statics.
struct Interface {
    version: (u8, u8),
    shown_from: InterfaceMax,
    raw: CK_INTERFACE,
}

// SAFETY: the pointers lead to immutable statics.
unsafe impl Sync for Interface {}
// SAFETY: as above.
unsafe impl Send for Interface {}

const fn interface(version: (u8, u8), shown_from: InterfaceMax, list: *const std::ffi::c_void) -> Interface {
    let raw =
        CK_INTERFACE { pInterfaceName: NAME.as_ptr().cast_mut().cast(), pFunctionList: list.cast_mut(), flags: 0 };
    Interface { version, shown_from, raw }
}

/// The newest first, which is the one to give when nobody asks for a version.
static INTERFACES: [Interface; 3] = [
    interface((3, 2), InterfaceMax::V3_2, (&raw const LIST_3_2).cast()),
    interface((3, 0), InterfaceMax::V3_0, (&raw const LIST_3_0).cast()),
    interface((2, 40), InterfaceMax::V2_40, (&raw const LIST_2_40).cast()),
];

/// The interfaces that the options show. They are asked for before `C_Initialize`, so only the environment counts; options
/// that cannot be read hide nothing, and `C_Initialize` reports them.
fn shown() -> impl Iterator<Item = &'static Interface> {
    static NEWEST: OnceLock<InterfaceMax> = OnceLock::new();
    let newest = *NEWEST.get_or_init(|| {
        Settings::resolve(None).map_or_else(|_| InterfaceMax::default(), |settings| settings.config.interface_max)
    });
    let target = forward::target();
    let interfaces = if target.is_some() { forwarding() } else { &INTERFACES };
    interfaces.iter().filter(move |interface| {
        interface.shown_from <= newest && target.is_none_or(|target| target.has(interface.version))
    })
}

/// The interfaces of forward mode.
fn forwarding() -> &'static [Interface; 3] {
    static FORWARDING: OnceLock<[Interface; 3]> = OnceLock::new();
    FORWARDING.get_or_init(|| {
        let lists = forward::lists();
        [
            interface((3, 2), InterfaceMax::V3_2, (&raw const lists.v3_2).cast()),
            interface((3, 0), InterfaceMax::V3_0, (&raw const lists.v3_0).cast()),
            interface((2, 40), InterfaceMax::V2_40, (&raw const lists.v2_40).cast()),
        ]
    })
}

/// All functions: this module's own, or those of forward mode.
pub(super) fn list() -> &'static CK_FUNCTION_LIST_3_2 {
    if forward::target().is_some() { &forward::lists().v3_2 } else { &LIST_3_2 }
}

/// # Safety
///
/// `list` is null or writable.
pub(super) unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    guard(|| {
        let ours = if forward::target().is_some() { &raw const forward::lists().v2_40 } else { &raw const LIST_2_40 };
        // SAFETY: as the caller promises.
        unsafe { pointer::put(list, ours.cast_mut()) }
    })
}

/// # Safety
///
/// `count` is null or points to a `CK_ULONG`; `list` is null or points to that many writable interfaces.
pub(super) unsafe extern "C" fn C_GetInterfaceList(list: *mut CK_INTERFACE, count: *mut CK_ULONG) -> CK_RV {
    guard(|| {
        let interfaces: Vec<_> = shown().map(|interface| interface.raw).collect();
        // SAFETY: as the caller promises.
        unsafe { pointer::put_list(list, count, &interfaces) }
    })
}

/// # Safety
///
/// `name` is null or ends in NUL; `version` is null or readable; `found` is null or writable.
pub(super) unsafe extern "C" fn C_GetInterface(
    name: *mut CK_UTF8CHAR,
    version: *mut CK_VERSION,
    found: *mut *mut CK_INTERFACE,
    flags: CK_FLAGS,
) -> CK_RV {
    guard(|| {
        pointer::check(found)?;
        // SAFETY: not null, and ends in NUL as the caller promises.
        let is_ours = name.is_null() || unsafe { CStr::from_ptr(name.cast()) } == NAME;
        let wanted = if version.is_null() {
            None
        } else {
            // SAFETY: not null, and readable as the caller promises.
            let version = unsafe { version.read_unaligned() };
            Some((version.major, version.minor))
        };
        let interface = shown()
            .find(|interface| {
                is_ours && wanted.is_none_or(|wanted| wanted == interface.version) && flags & !interface.raw.flags == 0
            })
            .ok_or(Rv(CKR_FUNCTION_FAILED))?;
        // SAFETY: as the caller promises.
        unsafe { pointer::put(found, (&raw const interface.raw).cast_mut()) }
    })
}
