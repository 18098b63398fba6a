//! What a broken program does to a module: handles that are stale, calls in the wrong order, pointers that are not aligned,
//! many threads on one session, and going on after a fork. Each is answered, and what is right goes on working.

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

#[expect(dead_code, reason = "every test program uses its own part")]
#[path = "support/raw.rs"]
mod raw;

use std::{
    ffi::CString,
    io,
    os::unix::process::CommandExt,
    process::Command,
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use cryptoki_sys::*;
use raw::{Raw, attribute, call, mechanism, mechanism_of};
use support::USER_PIN;

/// Calls each entry that takes a session and needs no operation before it.
fn on_session(raw: &Raw, session: CK_SESSION_HANDLE) -> Vec<(&'static str, CK_RV)> {
    let (mut bytes, mut length, mut handle, mut count) = ([0_u8; 64], 64, 0, 0);
    let (data, null) = (bytes.as_mut_ptr(), ptr::null_mut::<u8>());
    let (length, handle, count) = (&raw mut length, &raw mut handle, &raw mut count);
    let mut info = CK_SESSION_INFO::default();
    let (mut ecb, mut sha256) = (mechanism(CKM_AES_ECB, &mut []), mechanism(CKM_SHA256, &mut []));
    let (ecb, sha256) = (&raw mut ecb, &raw mut sha256);
    let none = ptr::null_mut::<CK_ATTRIBUTE>();
    macro_rules! all {
        ($($function:ident($($argument:expr),*);)+) => {
            vec![$((stringify!($function), call!(raw, $function(session $(, $argument)*)))),+]
        };
    }
    all! {
        C_CloseSession();
        C_GetSessionInfo(&raw mut info);
        C_GetOperationState(data, length);
        C_SetOperationState(data, 8, 0, 0);
        C_Login(CKU_USER, data, 8);
        C_Logout();
        C_InitPIN(data, 8);
        C_SetPIN(data, 8, data, 8);
        C_CreateObject(none, 0, handle);
        C_CopyObject(1, none, 0, handle);
        C_DestroyObject(1);
        C_GetObjectSize(1, length);
        C_GetAttributeValue(1, none, 0);
        C_SetAttributeValue(1, none, 0);
        C_FindObjectsInit(none, 0);
        C_FindObjects(handle, 1, count);
        C_FindObjectsFinal();
        C_EncryptInit(ecb, 1);
        C_Encrypt(data, 16, data, length);
        C_EncryptUpdate(data, 16, data, length);
        C_EncryptFinal(data, length);
        C_DecryptInit(ecb, 1);
        C_Decrypt(data, 16, data, length);
        C_DecryptUpdate(data, 16, data, length);
        C_DecryptFinal(data, length);
        C_DigestInit(sha256);
        C_Digest(data, 16, data, length);
        C_DigestUpdate(data, 16);
        C_DigestKey(1);
        C_DigestFinal(data, length);
        C_SignInit(sha256, 1);
        C_Sign(data, 16, data, length);
        C_SignUpdate(data, 16);
        C_SignFinal(data, length);
        C_SignRecoverInit(sha256, 1);
        C_SignRecover(data, 16, data, length);
        C_VerifyInit(sha256, 1);
        C_Verify(data, 16, data, 16);
        C_VerifyUpdate(data, 16);
        C_VerifyFinal(data, 16);
        C_VerifyRecoverInit(sha256, 1);
        C_VerifyRecover(data, 16, data, length);
        C_DigestEncryptUpdate(data, 16, data, length);
        C_DecryptDigestUpdate(data, 16, data, length);
        C_SignEncryptUpdate(data, 16, data, length);
        C_DecryptVerifyUpdate(data, 16, data, length);
        C_GenerateKey(ecb, none, 0, handle);
        C_GenerateKeyPair(ecb, none, 0, none, 0, handle, count);
        C_WrapKey(ecb, 1, 1, data, length);
        C_UnwrapKey(ecb, 1, data, 16, none, 0, handle);
        C_DeriveKey(ecb, 1, none, 0, handle);
        C_SeedRandom(data, 16);
        C_GenerateRandom(data, 16);
        C_GetFunctionStatus();
        C_CancelFunction();
        C_LoginUser(CKU_USER, data, 8, null, 0);
        C_SessionCancel(CKF_ENCRYPT);
        C_MessageEncryptInit(ecb, 1);
        C_EncryptMessage(null.cast(), 0, null, 0, data, 16, data, length);
        C_EncryptMessageBegin(null.cast(), 0, null, 0);
        C_EncryptMessageNext(null.cast(), 0, data, 16, data, length, 0);
        C_MessageEncryptFinal();
        C_MessageDecryptInit(ecb, 1);
        C_DecryptMessage(null.cast(), 0, null, 0, data, 16, data, length);
        C_DecryptMessageBegin(null.cast(), 0, null, 0);
        C_DecryptMessageNext(null.cast(), 0, data, 16, data, length, 0);
        C_MessageDecryptFinal();
        C_MessageSignInit(sha256, 1);
        C_SignMessage(null.cast(), 0, data, 16, data, length);
        C_SignMessageBegin(null.cast(), 0);
        C_SignMessageNext(null.cast(), 0, data, 16, data, length);
        C_MessageSignFinal();
        C_MessageVerifyInit(sha256, 1);
        C_VerifyMessage(null.cast(), 0, data, 16, data, 16);
        C_VerifyMessageBegin(null.cast(), 0);
        C_VerifyMessageNext(null.cast(), 0, data, 16, data, 16);
        C_MessageVerifyFinal();
        C_EncapsulateKey(ecb, 1, none, 0, data, length, handle);
        C_DecapsulateKey(ecb, 1, none, 0, data, 16, handle);
        C_VerifySignatureInit(sha256, 1, data, 16);
        C_VerifySignature(data, 16);
        C_VerifySignatureUpdate(data, 16);
        C_VerifySignatureFinal();
        C_GetSessionValidationFlags(0, count);
        C_WrapKeyAuthenticated(ecb, 1, 1, null, 0, data, length);
        C_UnwrapKeyAuthenticated(ecb, 1, data, 16, none, 0, null, 0, handle);
    }
}

#[test]
fn a_session_that_is_closed_or_never_was_is_refused_by_every_function() {
    let raw = Raw::new();
    let mut closed = 0;
    let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
    assert_eq!(call!(raw, C_OpenSession(raw.slot, flags, ptr::null_mut(), None, &raw mut closed)), CKR_OK);
    assert_eq!(call!(raw, C_CloseSession(closed)), CKR_OK);
    for session in [closed, 0, CK_ULONG::MAX, 1 << 40] {
        for (function, rv) in on_session(&raw, session) {
            assert_eq!(rv, CKR_SESSION_HANDLE_INVALID, "{function} on {session:#x}");
        }
    }
    assert_eq!(raw.encrypt_init(CKM_AES_ECB, &mut [], raw.key()), CKR_OK);
}

#[test]
fn what_goes_on_without_having_begun_is_refused() {
    let raw = Raw::new();
    let begins_nothing = |function: &str| {
        let goes_on = ["Update", "Final", "FindObjects", "Next", "Begin"];
        let whole = ["C_Encrypt", "C_Decrypt", "C_Digest", "C_Sign", "C_Verify", "C_SignRecover", "C_VerifyRecover"];
        let more = [
            "C_VerifySignature",
            "C_EncryptMessage",
            "C_DecryptMessage",
            "C_SignMessage",
            "C_VerifyMessage",
            "C_DigestKey",
            "C_GetOperationState",
        ];
        function != "C_FindObjectsInit"
            && (goes_on.iter().any(|end| function.ends_with(end))
                || whole.contains(&function)
                || more.contains(&function))
    };
    // The first call closes the session, so the functions are asked one by one on sessions that live.
    let mut asked = 0;
    let session = raw.session;
    let names: Vec<_> = on_session(&raw, 0).into_iter().map(|(function, _)| function).collect();
    for function in names.into_iter().filter(|function| begins_nothing(function)) {
        let (mut bytes, mut length, mut count) = ([0_u8; 64], 64, 0);
        let (data, length) = (bytes.as_mut_ptr(), &raw mut length);
        let null = ptr::null_mut::<std::ffi::c_void>();
        let rv = match function {
            "C_Encrypt" => call!(raw, C_Encrypt(session, data, 16, data, length)),
            "C_EncryptUpdate" => call!(raw, C_EncryptUpdate(session, data, 16, data, length)),
            "C_EncryptFinal" => call!(raw, C_EncryptFinal(session, data, length)),
            "C_Decrypt" => call!(raw, C_Decrypt(session, data, 16, data, length)),
            "C_DecryptUpdate" => call!(raw, C_DecryptUpdate(session, data, 16, data, length)),
            "C_DecryptFinal" => call!(raw, C_DecryptFinal(session, data, length)),
            "C_Digest" => call!(raw, C_Digest(session, data, 16, data, length)),
            "C_DigestUpdate" => call!(raw, C_DigestUpdate(session, data, 16)),
            "C_DigestKey" => call!(raw, C_DigestKey(session, 1)),
            "C_DigestFinal" => call!(raw, C_DigestFinal(session, data, length)),
            "C_Sign" => call!(raw, C_Sign(session, data, 16, data, length)),
            "C_SignUpdate" => call!(raw, C_SignUpdate(session, data, 16)),
            "C_SignFinal" => call!(raw, C_SignFinal(session, data, length)),
            "C_SignRecover" => call!(raw, C_SignRecover(session, data, 16, data, length)),
            "C_Verify" => call!(raw, C_Verify(session, data, 16, data, 16)),
            "C_VerifyUpdate" => call!(raw, C_VerifyUpdate(session, data, 16)),
            "C_VerifyFinal" => call!(raw, C_VerifyFinal(session, data, 16)),
            "C_VerifyRecover" => call!(raw, C_VerifyRecover(session, data, 16, data, length)),
            "C_DigestEncryptUpdate" => call!(raw, C_DigestEncryptUpdate(session, data, 16, data, length)),
            "C_DecryptDigestUpdate" => call!(raw, C_DecryptDigestUpdate(session, data, 16, data, length)),
            "C_SignEncryptUpdate" => call!(raw, C_SignEncryptUpdate(session, data, 16, data, length)),
            "C_DecryptVerifyUpdate" => call!(raw, C_DecryptVerifyUpdate(session, data, 16, data, length)),
            "C_FindObjects" => call!(raw, C_FindObjects(session, length, 1, &raw mut count)),
            "C_FindObjectsFinal" => call!(raw, C_FindObjectsFinal(session)),
            "C_EncryptMessage" => call!(raw, C_EncryptMessage(session, null, 0, data, 0, data, 16, data, length)),
            "C_EncryptMessageBegin" => call!(raw, C_EncryptMessageBegin(session, null, 0, data, 0)),
            "C_EncryptMessageNext" => call!(raw, C_EncryptMessageNext(session, null, 0, data, 16, data, length, 0)),
            "C_MessageEncryptFinal" => call!(raw, C_MessageEncryptFinal(session)),
            "C_DecryptMessage" => call!(raw, C_DecryptMessage(session, null, 0, data, 0, data, 16, data, length)),
            "C_DecryptMessageBegin" => call!(raw, C_DecryptMessageBegin(session, null, 0, data, 0)),
            "C_DecryptMessageNext" => call!(raw, C_DecryptMessageNext(session, null, 0, data, 16, data, length, 0)),
            "C_MessageDecryptFinal" => call!(raw, C_MessageDecryptFinal(session)),
            "C_SignMessage" => call!(raw, C_SignMessage(session, null, 0, data, 16, data, length)),
            "C_SignMessageBegin" => call!(raw, C_SignMessageBegin(session, null, 0)),
            "C_SignMessageNext" => call!(raw, C_SignMessageNext(session, null, 0, data, 16, data, length)),
            "C_MessageSignFinal" => call!(raw, C_MessageSignFinal(session)),
            "C_VerifyMessage" => call!(raw, C_VerifyMessage(session, null, 0, data, 16, data, 16)),
            "C_VerifyMessageBegin" => call!(raw, C_VerifyMessageBegin(session, null, 0)),
            "C_VerifyMessageNext" => call!(raw, C_VerifyMessageNext(session, null, 0, data, 16, data, 16)),
            "C_MessageVerifyFinal" => call!(raw, C_MessageVerifyFinal(session)),
            "C_VerifySignature" => call!(raw, C_VerifySignature(session, data, 16)),
            "C_VerifySignatureUpdate" => call!(raw, C_VerifySignatureUpdate(session, data, 16)),
            "C_VerifySignatureFinal" => call!(raw, C_VerifySignatureFinal(session)),
            "C_GetOperationState" => call!(raw, C_GetOperationState(session, data, length)),
            other => panic!("{other} is not in the list"),
        };
        assert_eq!(rv, CKR_OPERATION_NOT_INITIALIZED, "{function}");
        asked += 1;
    }
    assert!(asked > 30);
}

/// Memory whose address is odd.
struct Odd(Vec<u8>);

impl Odd {
    fn of<T: Copy>(values: &[T]) -> Self {
        let mut odd = Self(vec![0; size_of_val(values) + 2]);
        let place = odd.place::<T>();
        for (at, value) in values.iter().enumerate() {
            // SAFETY: the memory has room for all values.
            unsafe { place.add(at).write_unaligned(*value) };
        }
        odd
    }

    fn place<T>(&mut self) -> *mut T {
        let start = self.0.as_mut_ptr();
        // SAFETY: there are two bytes more than the values need.
        unsafe { start.add(1 - start.addr() % 2) }.cast()
    }

    fn read<T: Copy>(&mut self) -> T {
        // SAFETY: the first value is there.
        unsafe { self.place::<T>().read_unaligned() }
    }
}

#[test]
fn pointers_that_are_not_aligned_are_read_bytewise() {
    let raw = Raw::new();
    let (mut yes, mut bytes, mut class) = (Odd::of(&[CK_TRUE]), Odd::of(&[32 as CK_ULONG]), Odd::of(&[CKO_SECRET_KEY]));
    let value =
        |kind, place: *mut CK_BYTE, length| CK_ATTRIBUTE { type_: kind, pValue: place.cast(), ulValueLen: length };
    let mut template = Odd::of(&[
        value(CKA_VALUE_LEN, bytes.place(), 8),
        value(CKA_ENCRYPT, yes.place(), 1),
        value(CKA_CLASS, class.place(), 8),
    ]);
    let mut generate = Odd::of(&[mechanism(CKM_AES_KEY_GEN, &mut [])]);
    let mut key = Odd::of(&[0 as CK_OBJECT_HANDLE]);
    let rv = call!(raw, C_GenerateKey(raw.session, generate.place(), template.place(), 3, key.place()));
    assert_eq!(rv, CKR_OK);
    let key: CK_OBJECT_HANDLE = key.read();
    let mut iv = Odd::of(&[[9_u8; 12]]);
    let mut gcm =
        Odd::of(&[CK_GCM_PARAMS { pIv: iv.place(), ulIvLen: 12, ulIvBits: 96, ulTagBits: 128, ..Default::default() }]);
    let mut encrypt = Odd::of(&[CK_MECHANISM {
        mechanism: CKM_AES_GCM,
        pParameter: gcm.place(),
        ulParameterLen: size_of::<CK_GCM_PARAMS>() as CK_ULONG,
    }]);
    assert_eq!(call!(raw, C_EncryptInit(raw.session, encrypt.place(), key)), CKR_OK);
    let (mut data, mut output, mut length) =
        (Odd::of(&[[1_u8; 20]]), Odd::of(&[[0_u8; 36]]), Odd::of(&[36 as CK_ULONG]));
    assert_eq!(call!(raw, C_Encrypt(raw.session, data.place(), 20, output.place(), length.place())), CKR_OK);
    assert_eq!(length.read::<CK_ULONG>(), 36);
    assert_ne!(output.read::<[u8; 36]>(), [0; 36]);
    let (mut slots, mut count) = (Odd::of(&[[0 as CK_SLOT_ID; 8]]), Odd::of(&[8 as CK_ULONG]));
    assert_eq!(call!(raw, C_GetSlotList(CK_TRUE, slots.place(), count.place())), CKR_OK);
    assert_eq!(slots.read::<CK_SLOT_ID>(), raw.slot);
    let mut info = Odd::of(&[CK_TOKEN_INFO::default()]);
    assert_eq!(call!(raw, C_GetTokenInfo(raw.slot, info.place())), CKR_OK);
    let mut read = Odd::of(&[0_u8; 8]);
    let mut wanted = Odd::of(&[value(CKA_CLASS, read.place(), 8)]);
    assert_eq!(call!(raw, C_GetAttributeValue(raw.session, key, wanted.place(), 1)), CKR_OK);
    assert_eq!(read.read::<CK_OBJECT_CLASS>(), CKO_SECRET_KEY);
    let mut found = Odd::of(&[0 as CK_OBJECT_HANDLE]);
    assert_eq!(call!(raw, C_FindObjectsInit(raw.session, template.place(), 3)), CKR_OK);
    assert_eq!(call!(raw, C_FindObjects(raw.session, found.place(), 1, count.place())), CKR_OK);
    assert_eq!((found.read::<CK_OBJECT_HANDLE>(), count.read::<CK_ULONG>()), (key, 1));
}

#[test]
fn many_threads_on_one_session_get_codes_and_break_nothing() {
    let raw = Raw::new();
    let key = raw.key();
    let (done, calls) = (AtomicU64::new(0), if std::env::var_os("LONG").is_some() { 20_000 } else { 1_500 });
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (list, session, done) = (raw.list, raw.session, &done);
            scope.spawn(move || {
                struct Part {
                    list: CK_FUNCTION_LIST_3_2,
                }
                let part = Part { list };
                for turn in 0..calls {
                    let (mut data, mut output, mut length, mut object) = ([7_u8; 32], [0_u8; 64], 64, 0);
                    let (input, place, length) = (data.as_mut_ptr(), output.as_mut_ptr(), &raw mut length);
                    let (mut ecb, mut sha256) = (mechanism(CKM_AES_ECB, &mut []), mechanism(CKM_SHA256, &mut []));
                    let mut bytes = 32_u64;
                    let mut template = [attribute(CKA_VALUE_LEN, &mut bytes)];
                    let mut generate = mechanism(CKM_AES_KEY_GEN, &mut []);
                    let rv = match (turn + thread) % 9 {
                        0 => call!(part, C_EncryptInit(session, &raw mut ecb, key)),
                        1 => call!(part, C_Encrypt(session, input, 32, place, length)),
                        2 => call!(part, C_EncryptUpdate(session, input, 32, place, length)),
                        3 => call!(part, C_DigestInit(session, &raw mut sha256)),
                        4 => call!(part, C_Digest(session, input, 32, place, length)),
                        5 => call!(part, C_FindObjectsInit(session, ptr::null_mut(), 0)),
                        6 => call!(part, C_FindObjectsFinal(session)),
                        7 => {
                            let rv = call!(
                                part,
                                C_GenerateKey(session, &raw mut generate, template.as_mut_ptr(), 1, &raw mut object)
                            );
                            if rv == CKR_OK { call!(part, C_DestroyObject(session, object)) } else { rv }
                        }
                        _ => call!(part, C_GenerateRandom(session, place, 16)),
                    };
                    let known = [CKR_OK, CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED];
                    assert!(known.contains(&rv), "{rv:#x}");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.load(Ordering::Relaxed), 8 * calls);
    assert_eq!(call!(raw, C_SessionCancel(raw.session, CKF_ENCRYPT | CKF_DIGEST | CKF_FIND_OBJECTS)), CKR_OK);
    assert_eq!(raw.encrypt_init(CKM_AES_ECB, &mut [], key), CKR_OK);
    assert_eq!(raw.encrypt(32, Some(32)), (CKR_OK, 32));
}

#[test]
fn a_forked_child_starts_anew_and_its_parent_goes_on() {
    let raw = Raw::new();
    let key = raw.key();
    assert_eq!(raw.encrypt_init(CKM_AES_ECB, &mut [], key), CKR_OK);
    let at = raw.folder().display().to_string();
    let reserved = CString::new(format!("hsm-sim:store={at}/store;config={at}/hsm-sim.toml")).unwrap();
    let (list, slot, session) = (raw.list, raw.slot, raw.session);
    // The first step of the child that is not as it should be, as the number of an error of the system's.
    let in_child = move || {
        struct Part {
            list: CK_FUNCTION_LIST_3_2,
        }
        let part = Part { list };
        let steps = std::cell::Cell::new(100);
        let expect = |rv: CK_RV, expected: CK_RV| {
            steps.set(steps.get() + 1);
            if rv == expected { Ok(()) } else { Err(io::Error::from_raw_os_error(steps.get())) }
        };
        let (mut info, mut data, mut length, mut own) = (CK_INFO::default(), [0_u8; 32], 32, 0);
        let not_yet = CKR_CRYPTOKI_NOT_INITIALIZED;
        expect(call!(part, C_GetInfo(&raw mut info)), not_yet)?;
        let place = data.as_mut_ptr();
        expect(call!(part, C_Encrypt(session, place, 32, place, &raw mut length)), not_yet)?;
        expect(call!(part, C_CloseSession(session)), not_yet)?;
        expect(call!(part, C_Finalize(ptr::null_mut())), not_yet)?;
        let mut arguments = CK_C_INITIALIZE_ARGS {
            flags: CKF_OS_LOCKING_OK,
            pReserved: reserved.as_ptr().cast_mut().cast(),
            ..Default::default()
        };
        expect(call!(part, C_Initialize((&raw mut arguments).cast())), CKR_OK)?;
        expect(call!(part, C_CloseSession(1 << 30)), CKR_SESSION_HANDLE_INVALID)?;
        let flags = CKF_SERIAL_SESSION | CKF_RW_SESSION;
        expect(call!(part, C_OpenSession(slot, flags, ptr::null_mut(), None, &raw mut own)), CKR_OK)?;
        let pin = USER_PIN.as_ptr().cast_mut();
        expect(call!(part, C_Login(own, CKU_USER, pin, USER_PIN.len() as CK_ULONG)), CKR_OK)?;
        let (mut yes, mut bytes, mut made) = (CK_TRUE, 32_u64, 0);
        let mut template =
            [attribute(CKA_VALUE_LEN, &mut bytes), attribute(CKA_ENCRYPT, &mut yes), attribute(CKA_TOKEN, &mut yes)];
        let mut generate = mechanism(CKM_AES_KEY_GEN, &mut []);
        let place = template.as_mut_ptr();
        expect(call!(part, C_GenerateKey(own, &raw mut generate, place, 3, &raw mut made)), CKR_OK)?;
        let mut iv = [1_u8; 16];
        let mut cbc = mechanism_of(CKM_AES_CBC, &mut iv);
        expect(call!(part, C_EncryptInit(own, &raw mut cbc, made)), CKR_OK)?;
        expect(call!(part, C_Finalize(ptr::null_mut())), CKR_OK)
    };
    let mut command = Command::new("true");
    // SAFETY: the child calls the module only, whose locks no other thread of this process holds: the copy is this test's.
    unsafe { command.pre_exec(in_child) };
    let status = command.status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{status:?}");
    // The parent's session, operation and log-in are as they were, and it sees what the child made.
    assert_eq!(raw.encrypt(32, Some(32)), (CKR_OK, 32));
    let (mut class, mut token, mut found, mut count) = (CKO_SECRET_KEY, CK_TRUE, [0; 4], 0);
    let mut template = [attribute(CKA_CLASS, &mut class), attribute(CKA_TOKEN, &mut token)];
    assert_eq!(call!(raw, C_FindObjectsInit(raw.session, template.as_mut_ptr(), 2)), CKR_OK);
    assert_eq!(call!(raw, C_FindObjects(raw.session, found.as_mut_ptr(), 4, &raw mut count)), CKR_OK);
    assert_eq!(count, 1);
}
