//! PKCS#11 calls with the exact `CK_RV`, one crossing each: the only `unsafe` of the HSM client.
//!
//! `cryptoki` loads and initialises a module; this file calls it, because the crate can neither express every mechanism nor
//! keep every return code, and asks for sizes first. The same path is loaded a second time for its function list, which gives
//! the same library and state. Callers see values: templates, mechanisms, a [`Session`] that closes itself. No pointer
//! outlives the call it was made for, except a module's own initialisation string.

use std::{
    ffi::{CString, c_void},
    path::Path,
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use cryptoki::context::{CInitializeArgs, CInitializeFlags};
use cryptoki_sys::{
    CK_ATTRIBUTE, CK_ATTRIBUTE_TYPE, CK_BBOOL, CK_FALSE, CK_FLAGS, CK_FUNCTION_LIST, CK_FUNCTION_LIST_3_0,
    CK_INTERFACE, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO,
    CK_SLOT_ID, CK_TOKEN_INFO, CK_TRUE, CK_ULONG, CK_UNAVAILABLE_INFORMATION, CKF_DECRYPT, CKF_DIGEST, CKF_ENCRYPT,
    CKF_FIND_OBJECTS, CKF_RW_SESSION, CKF_SERIAL_SESSION, CKF_SIGN, CKF_VERIFY, CKR_BUFFER_TOO_SMALL,
    CKR_CRYPTOKI_NOT_INITIALIZED, CKR_FUNCTION_NOT_SUPPORTED, CKR_GENERAL_ERROR, CKR_OK, CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE, CKU_SO, CKU_USER,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Observer,
    layout::{Attribute, Mechanism, raw_template, with_mechanism, with_mechanism_back},
    module::Module,
};
use crate::domain::TokenId;

/// What a module answered instead of `CKR_OK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The function.
    pub(super) function: &'static str,
    /// The answer.
    pub(super) rv: CK_RV,
}

type Result<T> = std::result::Result<T, Fault>;

/// An object handle; valid for one generation of a token.
pub(super) type Handle = CK_OBJECT_HANDLE;

/// The functions of a loaded module.
pub(super) struct Functions {
    list: CK_FUNCTION_LIST,
    cancel: Option<unsafe extern "C" fn(CK_SESSION_HANDLE, CK_FLAGS) -> CK_RV>,
}

impl Functions {
    /// Takes the function list of a module that is in memory already.
    ///
    /// # Errors
    ///
    /// A text that says what the file lacks.
    pub(super) fn load(path: &Path) -> std::result::Result<Self, String> {
        // SAFETY: `cryptoki` has loaded this file and run its constructors; the second load only adds a reference. The
        // library is leaked, so that the functions stay in memory until the process ends.
        let library = unsafe { cryptoki_sys::Pkcs11::new(path) }.map_err(|error| error.to_string())?;
        let library: &'static cryptoki_sys::Pkcs11 = Box::leak(Box::new(library));
        if library.C_GetFunctionList.is_err() {
            return Err("it has no C_GetFunctionList".to_owned());
        }
        let mut list = ptr::null_mut();
        // SAFETY: the symbol was found; the function fills one pointer.
        let rv = unsafe { library.C_GetFunctionList(&raw mut list) };
        if rv != CKR_OK || list.is_null() {
            return Err(format!("C_GetFunctionList answered 0x{rv:08X}"));
        }
        // SAFETY: PKCS#11 3.1 §5.4.4: the list belongs to the module, is complete and does not change.
        let list = unsafe { *list };
        Ok(Self { list, cancel: Self::session_cancel(library) })
    }

    /// `C_Finalize`, when nobody is in the module: its `CK_RV`.
    pub(super) fn finalize(&self) -> CK_RV {
        let Some(function) = self.list.C_Finalize else { return CKR_FUNCTION_NOT_SUPPORTED };
        // SAFETY: the function comes from the module's own list and stays loaded; a null pointer is what the standard wants.
        unsafe { function(ptr::null_mut()) }
    }

    /// `C_SessionCancel`, where the module has an interface of version 3 (PKCS#11 3.1 §5.4.6).
    fn session_cancel(
        library: &'static cryptoki_sys::Pkcs11,
    ) -> Option<unsafe extern "C" fn(CK_SESSION_HANDLE, CK_FLAGS) -> CK_RV> {
        library.C_GetInterface.as_ref().ok()?;
        let mut interface: *mut CK_INTERFACE = ptr::null_mut();
        // SAFETY: the symbol was found; null name and version ask for the default interface; one pointer is filled.
        let rv = unsafe { library.C_GetInterface(ptr::null_mut(), ptr::null_mut(), &raw mut interface, 0) };
        if rv != CKR_OK || interface.is_null() {
            return None;
        }
        // SAFETY: the module answered `CKR_OK`, so the interface is its own static structure.
        let list = unsafe { (*interface).pFunctionList };
        if list.is_null() {
            return None;
        }
        // SAFETY: every function list begins with its version, which is read before anything else of it.
        let version = unsafe { (*list.cast::<CK_FUNCTION_LIST>()).version };
        if version.major < 3 {
            return None;
        }
        // SAFETY: lists of version 3 begin with those fields.
        unsafe { (*list.cast::<CK_FUNCTION_LIST_3_0>()).C_SessionCancel }
    }
}

/// What `C_Initialize` is given; `reserved` is the configuration text some modules want in `pReserved`.
pub(super) fn initialize_args(flags: CInitializeFlags, reserved: Option<CString>) -> CInitializeArgs {
    match reserved.and_then(|text| NonNull::new(text.into_raw())) {
        None => CInitializeArgs::new(flags),
        // SAFETY: a NUL-terminated text is what such modules read there; it is never freed, because some keep the pointer.
        Some(text) => unsafe { CInitializeArgs::new_with_reserved(flags, text.cast::<c_void>()) },
    }
}

/// Calls one function of the list, under the module's lock if it has one, and tells the observer.
macro_rules! call {
    ($caller:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        const FUNCTION: &str = stringify!($function);
        let caller: &Caller = $caller;
        match (caller.module.functions().list.$function, caller.module.enter()) {
            (None, _) => Err(Fault { function: FUNCTION, rv: CKR_FUNCTION_NOT_SUPPORTED }),
            // It is being initialised anew.
            (Some(_), None) => Err(Fault { function: FUNCTION, rv: CKR_CRYPTOKI_NOT_INITIALIZED }),
            (Some(function), Some(_inside)) => {
                let _serial = caller.module.serial();
                let start = Instant::now();
                // SAFETY: the function comes from the module's own list and stays loaded. Every pointer argument was made
                // from a live reference in the calling function, with the length passed beside it counting its elements;
                // PKCS#11 functions keep none of them after they return.
                let rv = unsafe { function($($argument),*) };
                caller.ended(FUNCTION, rv, start)
            }
        }
    }};
}

/// Who calls: one token's pool, for the module's functions that need no session.
pub(super) struct Caller {
    module: &'static Module,
    token: TokenId,
    observer: Arc<dyn Observer>,
    /// Counts how often all sessions became void; those of an older number are not closed, because theirs may be taken.
    epoch: AtomicU64,
}

/// What `C_GetTokenInfo` says. Texts are trimmed of the padding the standard and some modules add.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TokenInfo {
    pub(super) slot: CK_SLOT_ID,
    pub(super) label: Vec<u8>,
    pub(super) serial: Vec<u8>,
    pub(super) manufacturer: String,
    pub(super) model: String,
    pub(super) firmware: String,
    pub(super) hardware: String,
    pub(super) flags: CK_FLAGS,
    /// How many sessions at most; `None` when unlimited or unknown.
    pub(super) sessions_max: Option<u64>,
    /// Its other numbers, as the module gave them.
    pub(super) raw: TokenNumbers,
}

/// Numbers of `CK_TOKEN_INFO` that are shown and not used, by the standard's names.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[expect(non_snake_case, reason = "the standard's names")]
pub(super) struct TokenNumbers {
    pub(super) ulFreePrivateMemory: CK_ULONG,
    pub(super) ulMaxPinLen: CK_ULONG,
    pub(super) ulMaxRwSessionCount: CK_ULONG,
    pub(super) ulMaxSessionCount: CK_ULONG,
    pub(super) ulMinPinLen: CK_ULONG,
    pub(super) ulTotalPrivateMemory: CK_ULONG,
}

impl Caller {
    /// For the calls of one token.
    pub(super) const fn new(module: &'static Module, token: TokenId, observer: Arc<dyn Observer>) -> Self {
        Self { module, token, observer, epoch: AtomicU64::new(0) }
    }

    fn ended(&self, function: &'static str, rv: CK_RV, start: Instant) -> Result<()> {
        self.observer.called(&self.token, function, rv, start.elapsed());
        if rv == CKR_CRYPTOKI_NOT_INITIALIZED {
            self.module.forgot();
        }
        if rv == CKR_OK { Ok(()) } else { Err(Fault { function, rv }) }
    }

    /// The slots that hold a token.
    pub(super) fn slots(&self) -> Result<Vec<CK_SLOT_ID>> {
        let mut slots: Vec<CK_SLOT_ID> = vec![0; 64];
        loop {
            let mut count = slots.len() as CK_ULONG;
            let answer = call!(self, C_GetSlotList(CK_TRUE, slots.as_mut_ptr(), &raw mut count));
            match answer {
                Err(Fault { rv: CKR_BUFFER_TOO_SMALL, .. }) if length(count) > slots.len() && slots.len() < 65_536 => {
                    slots.resize(length(count).min(65_536), 0);
                }
                Err(fault) => return Err(fault),
                Ok(()) => {
                    slots.truncate(length(count));
                    return Ok(slots);
                }
            }
        }
    }

    /// What the token in that slot says of itself.
    pub(super) fn token_info(&self, slot: CK_SLOT_ID) -> Result<TokenInfo> {
        let mut info = CK_TOKEN_INFO::default();
        call!(self, C_GetTokenInfo(slot, &raw mut info))?;
        let limit = |count: CK_ULONG| (count != CK_UNAVAILABLE_INFORMATION && count != 0).then_some(count);
        let sessions_max = match (limit(info.ulMaxSessionCount), limit(info.ulMaxRwSessionCount)) {
            (Some(all), Some(writing)) => Some(all.min(writing)),
            (one, other) => one.or(other),
        };
        Ok(TokenInfo {
            slot,
            label: trimmed(&info.label).to_vec(),
            serial: trimmed(&info.serialNumber).to_vec(),
            manufacturer: String::from_utf8_lossy(trimmed(&info.manufacturerID)).into_owned(),
            model: String::from_utf8_lossy(trimmed(&info.model)).into_owned(),
            firmware: format!("{}.{}", info.firmwareVersion.major, info.firmwareVersion.minor),
            hardware: format!("{}.{}", info.hardwareVersion.major, info.hardwareVersion.minor),
            flags: info.flags,
            sessions_max,
            raw: TokenNumbers {
                ulFreePrivateMemory: info.ulFreePrivateMemory,
                ulMaxPinLen: info.ulMaxPinLen,
                ulMaxRwSessionCount: info.ulMaxRwSessionCount,
                ulMaxSessionCount: info.ulMaxSessionCount,
                ulMinPinLen: info.ulMinPinLen,
                ulTotalPrivateMemory: info.ulTotalPrivateMemory,
            },
        })
    }

    /// Every mechanism of the token, unknown ones included.
    pub(super) fn mechanisms(&self, slot: CK_SLOT_ID) -> Result<Vec<CK_MECHANISM_TYPE>> {
        let mut count = 0;
        call!(self, C_GetMechanismList(slot, ptr::null_mut(), &raw mut count))?;
        let mut list: Vec<CK_MECHANISM_TYPE> = vec![0; length(count).min(65_536)];
        let mut count = list.len() as CK_ULONG;
        call!(self, C_GetMechanismList(slot, list.as_mut_ptr(), &raw mut count))?;
        list.truncate(length(count));
        Ok(list)
    }

    /// Key sizes and flags of a mechanism.
    pub(super) fn mechanism_info(&self, slot: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE) -> Result<CK_MECHANISM_INFO> {
        let mut info = CK_MECHANISM_INFO::default();
        call!(self, C_GetMechanismInfo(slot, mechanism, &raw mut info))?;
        Ok(info)
    }

    /// Opens a read-write session.
    pub(super) fn open(self: &Arc<Self>, slot: CK_SLOT_ID) -> Result<Session> {
        let mut handle = 0;
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        call!(self, C_OpenSession(slot, flags, ptr::null_mut(), None, &raw mut handle))?;
        let epoch = self.epoch.load(Ordering::Acquire);
        Ok(Session { caller: Arc::clone(self), handle, epoch, abandoned: false })
    }

    /// Initialises a token: whatever is on it goes.
    pub(super) fn init_token(&self, slot: CK_SLOT_ID, so_pin: &[u8], mut label: [u8; 32]) -> Result<()> {
        call!(self, C_InitToken(slot, so_pin.as_ptr().cast_mut(), so_pin.len() as CK_ULONG, label.as_mut_ptr()))
    }

    /// All sessions opened until now are void.
    pub(super) fn void_sessions(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Closes whatever sessions this process has with the token.
    pub(super) fn close_all(&self, slot: CK_SLOT_ID) -> Result<()> {
        call!(self, C_CloseAllSessions(slot))
    }

    /// Ends the module's use in this process.
    pub(super) fn finalize(&self) -> Result<()> {
        call!(self, C_Finalize(ptr::null_mut()))
    }
}

fn trimmed(field: &[u8]) -> &[u8] {
    let end = field.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
    field.get(..end).unwrap_or_default()
}

/// A count of the module as a length here; what does not fit is longer than any buffer.
fn length(count: CK_ULONG) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// An answer longer than this is a module's mistake, not data.
pub(super) const OUTPUT_MAX: usize = 64 << 20;

/// One session, closed on drop. Methods take `&mut self`: a session does one thing at a time.
pub(super) struct Session {
    caller: Arc<Caller>,
    handle: CK_SESSION_HANDLE,
    epoch: u64,
    abandoned: bool,
}

/// What was encrypted, and the IV that the module used where it has made one itself.
pub(super) type Sealed = (Zeroizing<Vec<u8>>, Option<Vec<u8>>);

impl Session {
    /// Lets the session go without closing it: its number may be somebody else's by now.
    pub(super) fn abandon(mut self) {
        self.abandoned = true;
    }

    /// Its `CKS_…` state.
    pub(super) fn state(&self) -> Result<CK_ULONG> {
        let mut info = CK_SESSION_INFO::default();
        call!(&self.caller, C_GetSessionInfo(self.handle, &raw mut info))?;
        Ok(info.state)
    }

    /// Logs the application in as `CKU_USER`; without a PIN for a protected authentication path.
    pub(super) fn login(&self, pin: Option<&[u8]>) -> Result<()> {
        let (pointer, count) = pin.map_or((ptr::null_mut(), 0), |pin| (pin.as_ptr().cast_mut(), pin.len()));
        call!(&self.caller, C_Login(self.handle, CKU_USER, pointer, count as CK_ULONG))
    }

    /// Logs the application in as `CKU_SO`; without a PIN for a protected authentication path.
    pub(super) fn login_officer(&self, pin: Option<&[u8]>) -> Result<()> {
        let (pointer, count) = pin.map_or((ptr::null_mut(), 0), |pin| (pin.as_ptr().cast_mut(), pin.len()));
        call!(&self.caller, C_Login(self.handle, CKU_SO, pointer, count as CK_ULONG))
    }

    /// Logs the application out.
    pub(super) fn logout(&self) -> Result<()> {
        call!(&self.caller, C_Logout(self.handle))
    }

    /// Sets the user PIN, as SO.
    pub(super) fn init_pin(&self, pin: &[u8]) -> Result<()> {
        call!(&self.caller, C_InitPIN(self.handle, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG))
    }

    /// Ends whatever operation is active, where the module can.
    pub(super) fn cancel(&mut self) -> Result<()> {
        const FUNCTION: &str = "C_SessionCancel";
        let Some(function) = self.caller.module.functions().cancel else {
            return Err(Fault { function: FUNCTION, rv: CKR_FUNCTION_NOT_SUPPORTED });
        };
        let Some(_inside) = self.caller.module.enter() else {
            return Err(Fault { function: FUNCTION, rv: CKR_CRYPTOKI_NOT_INITIALIZED });
        };
        let flags = CKF_ENCRYPT | CKF_DECRYPT | CKF_DIGEST | CKF_SIGN | CKF_VERIFY | CKF_FIND_OBJECTS;
        let _serial = self.caller.module.serial();
        let start = Instant::now();
        // SAFETY: the function is of the module's own version 3 list and takes two numbers.
        let rv = unsafe { function(self.handle, flags) };
        self.caller.ended(FUNCTION, rv, start)
    }

    /// Random bytes.
    pub(super) fn random(&mut self, count: usize) -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(vec![0; count]);
        call!(&self.caller, C_GenerateRandom(self.handle, bytes.as_mut_ptr(), count as CK_ULONG))?;
        Ok(bytes)
    }

    /// Mixes bytes into the generator.
    pub(super) fn seed(&mut self, seed: &[u8]) -> Result<()> {
        call!(&self.caller, C_SeedRandom(self.handle, seed.as_ptr().cast_mut(), seed.len() as CK_ULONG))
    }

    /// Makes an object from its attributes.
    pub(super) fn create(&mut self, template: &[Attribute]) -> Result<Handle> {
        let mut raw = raw_template(template);
        let mut handle = 0;
        call!(&self.caller, C_CreateObject(self.handle, raw.as_mut_ptr(), raw.len() as CK_ULONG, &raw mut handle))?;
        Ok(handle)
    }

    /// Destroys an object.
    pub(super) fn destroy(&mut self, object: Handle) -> Result<()> {
        call!(&self.caller, C_DestroyObject(self.handle, object))
    }

    /// Finds the objects that match, at most `max`.
    pub(super) fn find(&mut self, template: &[Attribute], max: usize) -> Result<Vec<Handle>> {
        let mut raw = raw_template(template);
        call!(&self.caller, C_FindObjectsInit(self.handle, raw.as_mut_ptr(), raw.len() as CK_ULONG))?;
        let found = self.find_all(max);
        let finished = call!(&self.caller, C_FindObjectsFinal(self.handle));
        let found = found?;
        finished?;
        Ok(found)
    }

    fn find_all(&self, max: usize) -> Result<Vec<Handle>> {
        let mut found = Vec::new();
        let mut batch: [Handle; 16] = [0; 16];
        while found.len() < max {
            let mut count = 0;
            call!(
                &self.caller,
                C_FindObjects(self.handle, batch.as_mut_ptr(), batch.len() as CK_ULONG, &raw mut count)
            )?;
            if count == 0 {
                break;
            }
            found.extend(batch.iter().take(length(count)));
        }
        found.truncate(max);
        Ok(found)
    }

    /// Reads one attribute into a buffer of `guess` bytes, or of the length the module names.
    pub(super) fn attribute(
        &mut self,
        object: Handle,
        kind: CK_ATTRIBUTE_TYPE,
        guess: usize,
    ) -> Result<Zeroizing<Vec<u8>>> {
        const FUNCTION: &str = "C_GetAttributeValue";
        let mut buffer = Zeroizing::new(vec![0_u8; guess.max(8)]);
        let mut attribute =
            CK_ATTRIBUTE { type_: kind, pValue: buffer.as_mut_ptr().cast(), ulValueLen: buffer.len() as CK_ULONG };
        match call!(&self.caller, C_GetAttributeValue(self.handle, object, &raw mut attribute, 1)) {
            Err(Fault { rv: CKR_BUFFER_TOO_SMALL, .. }) => {
                attribute = CK_ATTRIBUTE { type_: kind, pValue: ptr::null_mut(), ulValueLen: 0 };
                call!(&self.caller, C_GetAttributeValue(self.handle, object, &raw mut attribute, 1))?;
                let needed = length(attribute.ulValueLen);
                if needed > OUTPUT_MAX {
                    return Err(Fault { function: FUNCTION, rv: CKR_GENERAL_ERROR });
                }
                buffer = Zeroizing::new(vec![0; needed.max(1)]);
                attribute = CK_ATTRIBUTE {
                    type_: kind,
                    pValue: buffer.as_mut_ptr().cast(),
                    ulValueLen: buffer.len() as CK_ULONG,
                };
                call!(&self.caller, C_GetAttributeValue(self.handle, object, &raw mut attribute, 1))?;
            }
            answer => answer?,
        }
        if length(attribute.ulValueLen) > buffer.len() {
            return Err(Fault { function: FUNCTION, rv: CKR_GENERAL_ERROR });
        }
        buffer.truncate(length(attribute.ulValueLen));
        Ok(buffer)
    }

    /// Changes attributes of an object.
    pub(super) fn set(&mut self, object: Handle, template: &[Attribute]) -> Result<()> {
        let mut raw = raw_template(template);
        call!(&self.caller, C_SetAttributeValue(self.handle, object, raw.as_mut_ptr(), raw.len() as CK_ULONG))
    }

    /// Reads two truth values in one call.
    pub(super) fn flags(&mut self, object: Handle, kinds: [CK_ATTRIBUTE_TYPE; 2]) -> Result<[bool; 2]> {
        let mut values: [CK_BBOOL; 2] = [CK_FALSE; 2];
        let [first, second] = &mut values;
        let mut raw = [(kinds[0], first), (kinds[1], second)].map(|(kind, value)| CK_ATTRIBUTE {
            type_: kind,
            pValue: ptr::from_mut(value).cast(),
            ulValueLen: size_of::<CK_BBOOL>() as CK_ULONG,
        });
        call!(&self.caller, C_GetAttributeValue(self.handle, object, raw.as_mut_ptr(), 2))?;
        Ok(values.map(|value| value != CK_FALSE))
    }

    /// Reads a number.
    pub(super) fn number(&mut self, object: Handle, kind: CK_ATTRIBUTE_TYPE) -> Result<CK_ULONG> {
        let bytes = self.attribute(object, kind, size_of::<CK_ULONG>())?;
        bytes
            .first_chunk()
            .map(|bytes| CK_ULONG::from_ne_bytes(*bytes))
            .ok_or(Fault { function: "C_GetAttributeValue", rv: CKR_GENERAL_ERROR })
    }

    /// Makes a secret key.
    pub(super) fn generate(&mut self, mechanism: &Mechanism, template: &[Attribute]) -> Result<Handle> {
        let mut raw = raw_template(template);
        let mut handle = 0;
        with_mechanism(mechanism, |mechanism| {
            let count = raw.len() as CK_ULONG;
            call!(&self.caller, C_GenerateKey(self.handle, mechanism, raw.as_mut_ptr(), count, &raw mut handle))
        })?;
        Ok(handle)
    }

    /// Makes a key pair: the public and the private handle.
    pub(super) fn generate_pair(
        &mut self,
        mechanism: &Mechanism,
        public: &[Attribute],
        private: &[Attribute],
    ) -> Result<(Handle, Handle)> {
        let (mut raw_public, mut raw_private) = (raw_template(public), raw_template(private));
        let (mut public, mut private) = (0, 0);
        with_mechanism(mechanism, |mechanism| {
            call!(
                &self.caller,
                C_GenerateKeyPair(
                    self.handle,
                    mechanism,
                    raw_public.as_mut_ptr(),
                    raw_public.len() as CK_ULONG,
                    raw_private.as_mut_ptr(),
                    raw_private.len() as CK_ULONG,
                    &raw mut public,
                    &raw mut private,
                )
            )
        })?;
        Ok((public, private))
    }

    /// Wraps `key` under `wrapping`.
    pub(super) fn wrap(
        &mut self,
        mechanism: &Mechanism,
        wrapping: Handle,
        key: Handle,
        guess: usize,
    ) -> Result<Zeroizing<Vec<u8>>> {
        with_mechanism(mechanism, |mechanism| {
            output(guess, |buffer, count| {
                call!(&self.caller, C_WrapKey(self.handle, mechanism, wrapping, key, buffer, count))
            })
        })
    }

    /// Derives a new object from `base`.
    pub(super) fn derive(&mut self, mechanism: &Mechanism, base: Handle, template: &[Attribute]) -> Result<Handle> {
        let mut raw = raw_template(template);
        let mut handle = 0;
        with_mechanism(mechanism, |mechanism| {
            let count = raw.len() as CK_ULONG;
            call!(&self.caller, C_DeriveKey(self.handle, mechanism, base, raw.as_mut_ptr(), count, &raw mut handle))
        })?;
        Ok(handle)
    }

    /// Unwraps `blob` under `unwrapping` into a new object.
    pub(super) fn unwrap(
        &mut self,
        mechanism: &Mechanism,
        unwrapping: Handle,
        blob: &[u8],
        template: &[Attribute],
    ) -> Result<Handle> {
        let mut raw = raw_template(template);
        let mut handle = 0;
        with_mechanism(mechanism, |mechanism| {
            call!(
                &self.caller,
                C_UnwrapKey(
                    self.handle,
                    mechanism,
                    unwrapping,
                    blob.as_ptr().cast_mut(),
                    blob.len() as CK_ULONG,
                    raw.as_mut_ptr(),
                    raw.len() as CK_ULONG,
                    &raw mut handle,
                )
            )
        })?;
        Ok(handle)
    }

    /// Encrypts in one part.
    pub(super) fn encrypt(&mut self, mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        with_mechanism(mechanism, |mechanism| call!(&self.caller, C_EncryptInit(self.handle, mechanism, key)))?;
        let (input, size) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        output(data.len() + 64, |buffer, count| call!(&self.caller, C_Encrypt(self.handle, input, size, buffer, count)))
    }

    /// As [`Self::encrypt`]; and the IV that the module used where it makes one itself, in whichever of the two calls.
    pub(super) fn encrypt_back(&mut self, mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Sealed> {
        let (input, size) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        let (output, iv) = with_mechanism_back(mechanism, |mechanism| {
            call!(&self.caller, C_EncryptInit(self.handle, mechanism, key))?;
            output(data.len() + 64, |buffer, count| {
                call!(&self.caller, C_Encrypt(self.handle, input, size, buffer, count))
            })
        });
        Ok((output?, iv))
    }

    /// Decrypts in one part.
    pub(super) fn decrypt(&mut self, mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        with_mechanism(mechanism, |mechanism| call!(&self.caller, C_DecryptInit(self.handle, mechanism, key)))?;
        let (input, size) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        output(data.len() + 64, |buffer, count| call!(&self.caller, C_Decrypt(self.handle, input, size, buffer, count)))
    }

    /// Signs, or makes a MAC, in one part.
    pub(super) fn sign(&mut self, mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Vec<u8>> {
        with_mechanism(mechanism, |mechanism| call!(&self.caller, C_SignInit(self.handle, mechanism, key)))?;
        let (input, size) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
        let mut signature =
            output(1024, |buffer, count| call!(&self.caller, C_Sign(self.handle, input, size, buffer, count)))?;
        Ok(std::mem::take(&mut *signature))
    }

    /// Whether the signature holds.
    pub(super) fn verify(&mut self, mechanism: &Mechanism, key: Handle, data: &[u8], signature: &[u8]) -> Result<bool> {
        with_mechanism(mechanism, |mechanism| call!(&self.caller, C_VerifyInit(self.handle, mechanism, key)))?;
        let answer = call!(
            &self.caller,
            C_Verify(
                self.handle,
                data.as_ptr().cast_mut(),
                data.len() as CK_ULONG,
                signature.as_ptr().cast_mut(),
                signature.len() as CK_ULONG,
            )
        );
        match answer {
            Ok(()) => Ok(true),
            Err(Fault { rv: CKR_SIGNATURE_INVALID | CKR_SIGNATURE_LEN_RANGE, .. }) => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.abandoned || self.epoch != self.caller.epoch.load(Ordering::Acquire) {
            return;
        }
        // A session that cannot be closed is gone already: with its token, or with the module.
        if let Err(fault) = call!(&self.caller, C_CloseSession(self.handle)) {
            tracing::debug!(token = %self.caller.token, rv = fault.rv, "C_CloseSession");
        }
    }
}

/// Calls once with a buffer of `guess` bytes, and once more when the module asks for another length.
fn output(guess: usize, mut call: impl FnMut(*mut u8, *mut CK_ULONG) -> Result<()>) -> Result<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(vec![0_u8; guess]);
    let mut count = buffer.len() as CK_ULONG;
    match call(buffer.as_mut_ptr(), &raw mut count) {
        Err(Fault { rv: CKR_BUFFER_TOO_SMALL, .. }) if length(count) > guess && length(count) <= OUTPUT_MAX => {
            buffer = Zeroizing::new(vec![0; length(count)]);
            call(buffer.as_mut_ptr(), &raw mut count)?;
        }
        answer => answer?,
    }
    if length(count) > buffer.len() {
        return Err(Fault { function: "output length", rv: CKR_GENERAL_ERROR });
    }
    buffer.truncate(length(count));
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::{super::layout::Parameter, *};

    #[test]
    fn parameter_structures_have_the_sizes_of_the_header() {
        let size = |parameter: Parameter| {
            // SAFETY: `with_mechanism` passes a pointer to a live structure.
            with_mechanism(&Mechanism { code: 0, parameter }, |raw| unsafe { (*raw).ulParameterLen })
        };
        assert_eq!(size(Parameter::None), 0);
        assert_eq!(size(Parameter::Iv(vec![0; 16])), 16);
        assert_eq!(size(Parameter::Counter { bits: 128, block: [0; 16] }), 24);
        let gcm = |short| Parameter::Gcm { iv: vec![0; 12], aad: vec![], tag_bits: 128, short };
        assert_eq!((size(gcm(false)), size(gcm(true))), (48, 40));
        assert_eq!(size(Parameter::Oaep { hash: 0, mgf: 0, label: vec![] }), 40);
        assert_eq!(size(Parameter::Pss { hash: 0, mgf: 0, salt: 0 }), 24);
        assert_eq!(size(Parameter::Ccm { data_bytes: 0, nonce: vec![0; 12], aad: vec![], tag_bytes: 16 }), 48);
        assert_eq!(size(Parameter::Hkdf { hash: 0, salt: vec![], info: vec![] }), 64);
        assert_eq!(size(Parameter::Text(vec![1])), 16);
    }

    #[test]
    fn padding_of_either_kind_is_trimmed() {
        assert_eq!(trimmed(b"label   "), b"label");
        assert_eq!(trimmed(b"a b\0\0"), b"a b");
        assert_eq!(trimmed(b"    "), b"");
    }

    #[test]
    fn an_output_takes_the_length_the_module_names() {
        let mut calls = 0;
        let answer = output(4, |_, count| {
            calls += 1;
            // SAFETY: `output` passes a pointer to its own count.
            unsafe { *count = 9 };
            if calls == 1 { Err(Fault { function: "C_Sign", rv: CKR_BUFFER_TOO_SMALL }) } else { Ok(()) }
        });
        assert_eq!((answer.map(|bytes| bytes.len()), calls), (Ok(9), 2));
        let lie = output(4, |_, count| {
            // SAFETY: as above.
            unsafe { *count = 9 };
            Ok(())
        });
        assert_eq!(lie.map_err(|fault| fault.rv).err(), Some(CKR_GENERAL_ERROR));
    }
}
