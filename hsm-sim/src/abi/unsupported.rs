//! Entries of the function list that this version does not have: present, as the standard asks, and refused.

use cryptoki_sys::*;

use super::{Entry, call};
use crate::core::{names::Function, rv::Rv};

macro_rules! unsupported {
    ($($entry:ident $function:ident($($argument:ty),*);)+) => {
        $(
            /// Not offered.
            #[unsafe(no_mangle)]
            pub(super) extern "C" fn $entry($(_: $argument),*) -> CK_RV {
                call(Entry::new(Function::$function), |_| Err(Rv(CKR_FUNCTION_NOT_SUPPORTED)))
            }
        )+
    };
}

unsupported! {
    C_MessageSignInit MessageSignInit(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE);
    C_SignMessage SignMessage(
        CK_SESSION_HANDLE, *mut std::ffi::c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG
    );
    C_SignMessageBegin SignMessageBegin(CK_SESSION_HANDLE, *mut std::ffi::c_void, CK_ULONG);
    C_SignMessageNext SignMessageNext(
        CK_SESSION_HANDLE, *mut std::ffi::c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, *mut CK_ULONG
    );
    C_MessageSignFinal MessageSignFinal(CK_SESSION_HANDLE);
    C_MessageVerifyInit MessageVerifyInit(CK_SESSION_HANDLE, *mut CK_MECHANISM, CK_OBJECT_HANDLE);
    C_VerifyMessage VerifyMessage(
        CK_SESSION_HANDLE, *mut std::ffi::c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, CK_ULONG
    );
    C_VerifyMessageBegin VerifyMessageBegin(CK_SESSION_HANDLE, *mut std::ffi::c_void, CK_ULONG);
    C_VerifyMessageNext VerifyMessageNext(
        CK_SESSION_HANDLE, *mut std::ffi::c_void, CK_ULONG, *mut CK_BYTE, CK_ULONG, *mut CK_BYTE, CK_ULONG
    );
    C_MessageVerifyFinal MessageVerifyFinal(CK_SESSION_HANDLE);
    C_AsyncComplete AsyncComplete(CK_SESSION_HANDLE, *mut CK_UTF8CHAR, *mut CK_ASYNC_DATA);
    C_AsyncGetID AsyncGetID(CK_SESSION_HANDLE, *mut CK_UTF8CHAR, *mut CK_ULONG);
    C_AsyncJoin AsyncJoin(CK_SESSION_HANDLE, *mut CK_UTF8CHAR, CK_ULONG, *mut CK_BYTE, CK_ULONG);
}
