//! The C interface as a C program has it, for what the crate above it does not reach.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic too")]

use std::{ffi::CString, ptr};

use cryptoki_sys::*;
use tempfile::TempDir;

use crate::support::{self, USER_PIN};

/// A module of its own with a session that is logged in.
pub(crate) struct Raw {
    pub(crate) list: CK_FUNCTION_LIST_3_2,
    pub(crate) session: CK_SESSION_HANDLE,
    pub(crate) slot: CK_SLOT_ID,
    pub(crate) library: Pkcs11,
    folder: TempDir,
}

/// Calls an entry of the list.
macro_rules! call {
    ($raw:expr, $function:ident($($argument:expr),* $(,)?)) => {
        // SAFETY: each test gives pointers that its call may use, or null ones that it must refuse.
        unsafe { $raw.list.$function.unwrap()($($argument),*) }
    };
}

pub(crate) use call;

impl Raw {
    pub(crate) fn new() -> Self {
        Self::with_config("")
    }

    pub(crate) fn with_config(lines: &str) -> Self {
        Self::with_pin(lines, USER_PIN)
    }

    /// For profiles whose user PINs have a form.
    pub(crate) fn with_pin(lines: &str, user_pin: &str) -> Self {
        let folder = support::new_store_with_pin(lines, user_pin);
        let copy = folder.path().join("module.so");
        std::fs::copy(support::module(), &copy).unwrap();
        // SAFETY: the module has no initialisers that matter.
        let library = unsafe { Pkcs11::new(&copy) }.unwrap();
        let mut interface = ptr::null_mut();
        // SAFETY: null asks for the default interface, which the module answers with a static.
        let rv = unsafe { library.C_GetInterface(ptr::null_mut(), ptr::null_mut(), &raw mut interface, 0) };
        assert_eq!(rv, CKR_OK);
        // SAFETY: the default interface is 3.2, whose list this is.
        let list = unsafe { *(*interface).pFunctionList.cast::<CK_FUNCTION_LIST_3_2>() };
        let mut raw = Self { list, session: 0, slot: 0, library, folder };
        let at = raw.folder.path().display();
        let reserved = CString::new(format!("hsm-sim:store={at}/store;config={at}/hsm-sim.toml")).unwrap();
        let mut arguments = CK_C_INITIALIZE_ARGS {
            flags: CKF_OS_LOCKING_OK,
            pReserved: reserved.as_ptr().cast_mut().cast(),
            ..Default::default()
        };
        assert_eq!(call!(raw, C_Initialize((&raw mut arguments).cast())), CKR_OK);
        let (mut slots, mut count) = ([0; 4], 4);
        assert_eq!(call!(raw, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &raw mut count)), CKR_OK);
        raw.slot = slots[0];
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        let mut session = 0;
        assert_eq!(call!(raw, C_OpenSession(raw.slot, flags, ptr::null_mut(), None, &raw mut session)), CKR_OK);
        raw.session = session;
        let pin = user_pin.as_ptr().cast_mut();
        assert_eq!(call!(raw, C_Login(session, CKU_USER, pin, user_pin.len() as CK_ULONG)), CKR_OK);
        raw
    }

    /// Where its store and its options are.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// An AES key that may do everything.
    pub(crate) fn key(&self) -> CK_OBJECT_HANDLE {
        let (mut yes, mut length) = (CK_TRUE, 32_u64);
        let mut template = vec![attribute(CKA_VALUE_LEN, &mut length)];
        let usages =
            [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE, CKA_EXTRACTABLE];
        for usage in usages {
            template.push(attribute(usage, &mut yes));
        }
        let mut key = 0;
        let mut generate = mechanism(CKM_AES_KEY_GEN, &mut []);
        let count = template.len() as CK_ULONG;
        let rv =
            call!(self, C_GenerateKey(self.session, &raw mut generate, template.as_mut_ptr(), count, &raw mut key));
        assert_eq!(rv, CKR_OK);
        key
    }

    /// An object of ulong attributes, flags that are true, and byte attributes.
    pub(crate) fn create(
        &self,
        numbers: &mut [(CK_ATTRIBUTE_TYPE, CK_ULONG)],
        flags: &[CK_ATTRIBUTE_TYPE],
        bytes: &mut [(CK_ATTRIBUTE_TYPE, Vec<u8>)],
    ) -> CK_OBJECT_HANDLE {
        let mut yes = CK_TRUE;
        let mut template: Vec<_> = numbers.iter_mut().map(|(kind, value)| attribute(*kind, value)).collect();
        template.extend(flags.iter().map(|kind| attribute(*kind, &mut yes)));
        template.extend(bytes.iter_mut().map(|(kind, value)| CK_ATTRIBUTE {
            type_: *kind,
            pValue: value.as_mut_ptr().cast(),
            ulValueLen: value.len() as CK_ULONG,
        }));
        let mut object = 0;
        let count = template.len() as CK_ULONG;
        assert_eq!(call!(self, C_CreateObject(self.session, template.as_mut_ptr(), count, &raw mut object)), CKR_OK);
        object
    }

    pub(crate) fn encrypt_init(&self, number: CK_MECHANISM_TYPE, parameter: &mut [u8], key: CK_OBJECT_HANDLE) -> CK_RV {
        let mut mechanism = mechanism(number, parameter);
        call!(self, C_EncryptInit(self.session, &raw mut mechanism, key))
    }

    /// `C_Encrypt` of zeroes into a buffer of a length; answers with the code and the length told.
    pub(crate) fn encrypt(&self, bytes: usize, room: Option<usize>) -> (CK_RV, CK_ULONG) {
        let (mut data, mut output) = (vec![0; bytes], vec![0; room.unwrap_or(0)]);
        let mut length = room.unwrap_or(0) as CK_ULONG;
        let pointer = if room.is_some() { output.as_mut_ptr() } else { ptr::null_mut() };
        let rv = call!(self, C_Encrypt(self.session, data.as_mut_ptr(), bytes as CK_ULONG, pointer, &raw mut length));
        (rv, length)
    }
}

pub(crate) fn mechanism(number: CK_MECHANISM_TYPE, parameter: &mut [u8]) -> CK_MECHANISM {
    let pointer = if parameter.is_empty() { ptr::null_mut() } else { parameter.as_mut_ptr().cast() };
    CK_MECHANISM { mechanism: number, pParameter: pointer, ulParameterLen: parameter.len() as CK_ULONG }
}

/// A mechanism with a structure as its parameter.
pub(crate) fn mechanism_of<T>(number: CK_MECHANISM_TYPE, parameter: &mut T) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: number,
        pParameter: ptr::from_mut(parameter).cast(),
        ulParameterLen: size_of::<T>() as CK_ULONG,
    }
}

pub(crate) fn attribute<T>(kind: CK_ATTRIBUTE_TYPE, value: &mut T) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE { type_: kind, pValue: ptr::from_mut(value).cast(), ulValueLen: size_of::<T>() as CK_ULONG }
}
