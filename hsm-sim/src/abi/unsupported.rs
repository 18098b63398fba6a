//! Entries of the function list that this version does not have: present, as the standard asks, and refused.

use cryptoki_sys::*;

use super::{Entry, call};
use crate::core::{names::Function, rv::Rv};

macro_rules! unsupported {
    ($($entry:ident $function:ident($($argument:ty),*);)+) => {
        $(
            /// Not offered.
                        pub(super) extern "C" fn $entry($(_: $argument),*) -> CK_RV {
                call(Entry::new(Function::$function), |_| Err(Rv(CKR_FUNCTION_NOT_SUPPORTED)))
            }
        )+
    };
}

unsupported! {
    C_AsyncComplete AsyncComplete(CK_SESSION_HANDLE, *mut CK_UTF8CHAR, *mut CK_ASYNC_DATA);
    C_AsyncGetID AsyncGetID(CK_SESSION_HANDLE, *mut CK_UTF8CHAR, *mut CK_ULONG);
    C_AsyncJoin AsyncJoin(CK_SESSION_HANDLE, *mut CK_UTF8CHAR, CK_ULONG, *mut CK_BYTE, CK_ULONG);
}
