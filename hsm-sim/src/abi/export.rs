//! The functions by their names, for programs that look those up instead of a list.
//!
//! Each leads to the same list that a caller of `C_GetFunctionList` is given: this module's own, or that of forward mode.

use cryptoki_sys::*;

use super::{interface, table::*};

macro_rules! exported {
    ($($entry:ident $function:ident($($name:ident: $type:ty),* $(,)?);)+) => {
        $(
            #[unsafe(no_mangle)]
            unsafe extern "C" fn $entry($($name: $type),*) -> CK_RV {
                // SAFETY: the arguments are the caller's for this function.
                interface::list().$entry.map_or(CKR_FUNCTION_NOT_SUPPORTED, |function| unsafe { function($($name),*) })
            }
        )+
    };
}

functions!(exported);

exported! {
    C_Initialize Initialize(arguments: Any);
    C_Finalize Finalize(reserved: Any);
    C_GetFunctionList GetFunctionList(list: *mut *mut CK_FUNCTION_LIST);
    C_GetTokenInfo GetTokenInfo(slot: SlotId, info: *mut CK_TOKEN_INFO);
    C_FindObjects FindObjects(session: Session, objects: New, most: Ulong, count: Length);
}

#[cfg(not(feature = "v240-only"))]
exported! {
    C_GetInterfaceList GetInterfaceList(list: *mut CK_INTERFACE, count: Length);
    C_GetInterface GetInterface(name: Bytes, version: *mut CK_VERSION, found: *mut *mut CK_INTERFACE, flags: Flags);
}
