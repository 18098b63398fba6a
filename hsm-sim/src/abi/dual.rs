//! Two operations over the same data in one call (PKCS#11 3.1 §5.17).

use cryptoki_sys::*;

use super::{pointer::Sink, session_call};
use crate::core::names::Function;

macro_rules! dual {
    ($($(#[$doc:meta])* $entry:ident $function:ident $both:ident $take:ident;)+) => {
        $(
            $(#[$doc])*
            ///
            /// # Safety
            ///
            /// `part` is null or readable for its length; `output` and `output_length` are a buffer as `Sink::new` wants it.
                        pub(super) unsafe extern "C" fn $entry(
                session: CK_SESSION_HANDLE,
                part: *mut CK_BYTE,
                part_length: CK_ULONG,
                output: *mut CK_BYTE,
                output_length: *mut CK_ULONG,
            ) -> CK_RV {
                session_call(Function::$function, session, |_, session| {
                    // SAFETY: as the caller promises.
                    let sink = unsafe { Sink::new(output, output_length) }?;
                    // SAFETY: as the caller promises.
                    let part = unsafe { sink.beside(part, part_length) }?;
                    sink.fill(|output| {
                        let mut operations = session.operations();
                        operations.check_both(Function::$function)?;
                        operations.$both(&part, output, |operations, data| operations.$take.update(data))
                    })
                })
            }
        )+
    };
}

dual! {
    /// Digests a part and encrypts it.
    C_DigestEncryptUpdate DigestEncryptUpdate update_and_encrypt digest;
    /// Decrypts a part and digests what comes out.
    C_DecryptDigestUpdate DecryptDigestUpdate decrypt_and_update digest;
    /// Signs a part and encrypts it.
    C_SignEncryptUpdate SignEncryptUpdate update_and_encrypt sign;
    /// Decrypts a part and verifies what comes out.
    C_DecryptVerifyUpdate DecryptVerifyUpdate decrypt_and_update verify;
}
