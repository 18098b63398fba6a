//! The C interface where the crate above it does not reach: lengths, null pointers, interfaces.

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

#[expect(dead_code, reason = "every test program uses its own part")]
#[path = "support/raw.rs"]
mod raw;

use std::ptr;

use cryptoki_sys::*;
use raw::{Raw, attribute, call, mechanism};

#[test]
fn a_length_query_and_a_small_buffer_leave_the_operation_as_it_was() {
    let raw = Raw::new();
    let key = raw.key();
    assert_eq!(raw.encrypt_init(CKM_AES_CBC_PAD, &mut [0; 16], key), CKR_OK);
    assert_eq!(raw.encrypt(20, None), (CKR_OK, 32));
    assert_eq!(raw.encrypt(20, Some(31)), (CKR_BUFFER_TOO_SMALL, 32));
    assert_eq!(raw.encrypt(20, Some(40)), (CKR_OK, 32));
    assert_eq!(raw.encrypt(20, Some(40)).0, CKR_OPERATION_NOT_INITIALIZED);
}

#[test]
fn a_plaintext_that_does_not_fit_waits_for_a_larger_buffer() {
    let raw = Raw::new();
    let key = raw.key();
    assert_eq!(raw.encrypt_init(CKM_AES_CBC_PAD, &mut [0; 16], key), CKR_OK);
    let (mut data, mut sealed, mut length) = ([7_u8; 20], [0_u8; 32], 32);
    assert_eq!(call!(raw, C_Encrypt(raw.session, data.as_mut_ptr(), 20, sealed.as_mut_ptr(), &raw mut length)), CKR_OK);
    let mut iv = [0; 16];
    let mut cbc = mechanism(CKM_AES_CBC_PAD, &mut iv);
    assert_eq!(call!(raw, C_DecryptInit(raw.session, &raw mut cbc, key)), CKR_OK);
    let mut decrypt = |room: usize| {
        let (mut output, mut length) = (vec![0; room], room as CK_ULONG);
        let rv = call!(raw, C_Decrypt(raw.session, sealed.as_mut_ptr(), 32, output.as_mut_ptr(), &raw mut length));
        output.truncate(usize::try_from(length).unwrap());
        (rv, length, output)
    };
    let (rv, length, _) = decrypt(19);
    assert_eq!((rv, length), (CKR_BUFFER_TOO_SMALL, 20));
    // Exactly as long as the plaintext, though less than the bound before unpadding.
    assert_eq!(decrypt(20), (CKR_OK, 20, vec![7; 20]));
}

#[test]
fn null_arguments_end_the_operation() {
    let raw = Raw::new();
    let key = raw.key();
    assert_eq!(raw.encrypt_init(CKM_AES_ECB, &mut [], key), CKR_OK);
    let mut length = 16;
    let mut output = [0; 16];
    let rv = call!(raw, C_Encrypt(raw.session, ptr::null_mut(), 16, output.as_mut_ptr(), &raw mut length));
    assert_eq!(rv, CKR_ARGUMENTS_BAD);
    assert_eq!(raw.encrypt(16, Some(16)).0, CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(raw.encrypt_init(CKM_AES_ECB, &mut [], key), CKR_OK);
    let rv = call!(raw, C_Encrypt(raw.session, output.as_mut_ptr(), 16, output.as_mut_ptr(), ptr::null_mut()));
    assert_eq!(rv, CKR_ARGUMENTS_BAD);
    assert_eq!(raw.encrypt(16, Some(16)).0, CKR_OPERATION_NOT_INITIALIZED);
}

#[test]
fn a_whole_after_a_part_is_refused_and_ends() {
    let raw = Raw::new();
    let key = raw.key();
    assert_eq!(raw.encrypt_init(CKM_AES_ECB, &mut [], key), CKR_OK);
    let (mut data, mut output, mut length) = ([0; 16], [0; 32], 32);
    let rv = call!(raw, C_EncryptUpdate(raw.session, data.as_mut_ptr(), 16, output.as_mut_ptr(), &raw mut length));
    assert_eq!(rv, CKR_OK);
    assert_eq!(raw.encrypt(16, Some(16)).0, CKR_OPERATION_ACTIVE);
    assert_eq!(raw.encrypt(16, Some(16)).0, CKR_OPERATION_NOT_INITIALIZED);
    let mut sha = mechanism(CKM_SHA256, &mut []);
    assert_eq!(call!(raw, C_DigestInit(raw.session, &raw mut sha)), CKR_OK);
    assert_eq!(call!(raw, C_DigestUpdate(raw.session, data.as_mut_ptr(), 16)), CKR_OK);
    let mut length = 32;
    let digest = || call!(raw, C_Digest(raw.session, data.as_mut_ptr(), 16, output.as_mut_ptr(), &raw mut length));
    let mut digest = digest;
    assert_eq!((digest(), digest()), (CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED));
}

#[test]
fn input_and_output_may_be_the_same_memory() {
    let raw = Raw::new();
    let key = raw.key();
    assert_eq!(raw.encrypt_init(CKM_AES_CBC, &mut [0; 16], key), CKR_OK);
    let mut apart = [0; 64];
    let (mut data, mut length) = ([9; 64], 64);
    assert_eq!(call!(raw, C_Encrypt(raw.session, data.as_mut_ptr(), 64, apart.as_mut_ptr(), &raw mut length)), CKR_OK);
    assert_eq!(raw.encrypt_init(CKM_AES_CBC, &mut [0; 16], key), CKR_OK);
    assert_eq!(call!(raw, C_Encrypt(raw.session, data.as_mut_ptr(), 64, data.as_mut_ptr(), &raw mut length)), CKR_OK);
    assert_eq!(data, apart);
}

#[test]
fn mechanism_parameters_are_checked() {
    let raw = Raw::new();
    let key = raw.key();
    let sha = |parameter: &mut [u8]| {
        let mut sha = mechanism(CKM_SHA256, parameter);
        call!(raw, C_DigestInit(raw.session, &raw mut sha))
    };
    assert_eq!(sha(&mut [1]), CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(raw.encrypt_init(CKM_AES_CBC, &mut [0; 15], key), CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(raw.encrypt_init(CKM_AES_CBC, &mut [], key), CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(raw.encrypt_init(CKM_VENDOR_DEFINED + 1, &mut [], key), CKR_MECHANISM_INVALID);
    let mut iv = [0; 12];
    let good = CK_GCM_PARAMS { pIv: iv.as_mut_ptr(), ulIvLen: 12, ulTagBits: 128, ..Default::default() };
    let gcm = |mut params: CK_GCM_PARAMS| {
        let size = size_of::<CK_GCM_PARAMS>() as CK_ULONG;
        let mut gcm =
            CK_MECHANISM { mechanism: CKM_AES_GCM, pParameter: (&raw mut params).cast(), ulParameterLen: size };
        let rv = call!(raw, C_EncryptInit(raw.session, &raw mut gcm, key));
        // Null cancels what was started.
        assert_eq!(call!(raw, C_EncryptInit(raw.session, ptr::null_mut(), key)), CKR_OK);
        rv
    };
    assert_eq!(gcm(good), CKR_OK);
    for bad in [
        CK_GCM_PARAMS { pIv: ptr::null_mut(), ..good },
        CK_GCM_PARAMS { ulIvLen: 0, ..good },
        CK_GCM_PARAMS { ulTagBits: 0, ..good },
        CK_GCM_PARAMS { ulTagBits: 129, ..good },
        CK_GCM_PARAMS { pAAD: ptr::null_mut(), ulAADLen: 5, ..good },
        CK_GCM_PARAMS { ulIvLen: CK_ULONG::MAX, ..good },
    ] {
        assert_eq!(gcm(bad), CKR_MECHANISM_PARAM_INVALID, "{bad:?}");
    }
}

#[test]
fn attributes_are_filled_as_far_as_they_can_be() {
    let raw = Raw::new();
    let key = raw.key();
    let (mut class, mut value, mut small, mut modulus) = (0_u64, [0_u8; 32], 0_u8, [0_u8; 8]);
    let mut template = [
        attribute(CKA_VALUE, &mut value),
        attribute(CKA_KEY_TYPE, &mut small),
        attribute(CKA_MODULUS, &mut modulus),
        attribute(CKA_CLASS, &mut class),
        CK_ATTRIBUTE { type_: CKA_UNIQUE_ID, pValue: ptr::null_mut(), ulValueLen: 0 },
    ];
    let rv = call!(raw, C_GetAttributeValue(raw.session, key, template.as_mut_ptr(), 5));
    assert_eq!(rv, CKR_ATTRIBUTE_SENSITIVE);
    let lengths = template.map(|attribute| attribute.ulValueLen);
    let unknown = CK_UNAVAILABLE_INFORMATION;
    assert_eq!((lengths, class), ([unknown, unknown, unknown, 8, 36], CKO_SECRET_KEY));
    let rv = call!(raw, C_GetAttributeValue(raw.session, key, ptr::null_mut(), 1));
    assert_eq!(rv, CKR_ARGUMENTS_BAD);
}

#[test]
fn a_wrap_template_binds_what_is_wrapped_and_can_be_read_back() {
    let raw = Raw::new();
    let (mut yes, mut no, mut length) = (CK_TRUE, CK_FALSE, 32_u64);
    let mut nested = [attribute(CKA_DERIVE, &mut yes)];
    let generate = |template: &mut [CK_ATTRIBUTE]| {
        let (mut key, mut generate) = (0, mechanism(CKM_AES_KEY_GEN, &mut []));
        let count = template.len() as CK_ULONG;
        let rv = call!(raw, C_GenerateKey(raw.session, &raw mut generate, template.as_mut_ptr(), count, &raw mut key));
        assert_eq!(rv, CKR_OK);
        key
    };
    let mut yes_too = CK_TRUE;
    let kek = generate(&mut [
        attribute(CKA_VALUE_LEN, &mut length),
        attribute(CKA_WRAP, &mut yes_too),
        attribute(CKA_WRAP_TEMPLATE, &mut nested),
    ]);
    let mut extractable = CK_TRUE;
    let fitting = generate(&mut [
        attribute(CKA_VALUE_LEN, &mut length),
        attribute(CKA_EXTRACTABLE, &mut extractable),
        attribute(CKA_DERIVE, &mut yes_too),
    ]);
    let other = generate(&mut [
        attribute(CKA_VALUE_LEN, &mut length),
        attribute(CKA_EXTRACTABLE, &mut extractable),
        attribute(CKA_DERIVE, &mut no),
    ]);
    let wrap = |key| {
        let (mut wrap, mut blob, mut length) = (mechanism(CKM_AES_KEY_WRAP, &mut []), [0; 64], 64);
        call!(raw, C_WrapKey(raw.session, &raw mut wrap, kek, key, blob.as_mut_ptr(), &raw mut length))
    };
    assert_eq!((wrap(fitting), wrap(other)), (CKR_OK, CKR_KEY_HANDLE_INVALID));
    let mut read = [CK_ATTRIBUTE { type_: CKA_WRAP_TEMPLATE, pValue: ptr::null_mut(), ulValueLen: 0 }];
    assert_eq!(call!(raw, C_GetAttributeValue(raw.session, kek, read.as_mut_ptr(), 1)), CKR_OK);
    assert_eq!(read[0].ulValueLen, size_of::<CK_ATTRIBUTE>() as CK_ULONG);
    let mut value = 7_u8;
    let mut inner = [attribute(CKA_CLASS, &mut value)];
    read[0].pValue = inner.as_mut_ptr().cast();
    assert_eq!(call!(raw, C_GetAttributeValue(raw.session, kek, read.as_mut_ptr(), 1)), CKR_OK);
    assert_eq!((inner[0].type_, inner[0].ulValueLen, value), (CKA_DERIVE, 1, CK_TRUE));
}

#[test]
fn a_part_that_yields_nothing_yet_is_still_taken_by_callers_that_ask_for_its_length() {
    let raw = Raw::new();
    let key = raw.key();
    assert_eq!(raw.encrypt_init(CKM_AES_CBC, &mut [0; 16], key), CKR_OK);
    let (mut data, mut output, mut length) = ([1; 5], [0; 16], 0);
    let rv = call!(raw, C_EncryptUpdate(raw.session, data.as_mut_ptr(), 5, ptr::null_mut(), &raw mut length));
    assert_eq!((rv, length), (CKR_OK, 5));
    let rv = call!(raw, C_EncryptUpdate(raw.session, data.as_mut_ptr(), 5, output.as_mut_ptr(), &raw mut length));
    assert_eq!((rv, length), (CKR_OK, 0));
}

#[test]
fn a_label_may_be_a_c_string() {
    let raw = Raw::new();
    assert_eq!(call!(raw, C_CloseAllSessions(raw.slot)), CKR_OK);
    let mut label = *b"short\0\xff\xff garbage after the end ";
    let pin = support::SO_PIN.as_ptr().cast_mut();
    let rv = call!(raw, C_InitToken(raw.slot, pin, support::SO_PIN.len() as CK_ULONG, label.as_mut_ptr()));
    assert_eq!(rv, CKR_OK);
    let mut info = CK_TOKEN_INFO::default();
    assert_eq!(call!(raw, C_GetTokenInfo(raw.slot, &raw mut info)), CKR_OK);
    assert_eq!(info.label, *b"short                           ");
}

#[test]
fn absurd_lengths_are_refused() {
    let raw = Raw::new();
    let key = raw.key();
    let mut byte = 0_u8;
    let mut object = 0;
    let mut template = [CK_ATTRIBUTE { type_: CKA_LABEL, pValue: (&raw mut byte).cast(), ulValueLen: CK_ULONG::MAX }];
    let create = |template: *mut CK_ATTRIBUTE, count| {
        let mut object = 0;
        call!(raw, C_CreateObject(raw.session, template, count, &raw mut object))
    };
    assert_eq!(create(template.as_mut_ptr(), 1), CKR_ATTRIBUTE_VALUE_INVALID);
    assert_eq!(create(template.as_mut_ptr(), CK_ULONG::MAX), CKR_ARGUMENTS_BAD);
    assert_eq!(create(ptr::null_mut(), 1), CKR_ARGUMENTS_BAD);
    assert_eq!(call!(raw, C_CreateObject(raw.session, ptr::null_mut(), 0, ptr::null_mut())), CKR_ARGUMENTS_BAD);
    assert_eq!(create(ptr::null_mut(), 0), CKR_TEMPLATE_INCOMPLETE);
    let mut wrong = [CK_ATTRIBUTE { type_: CKA_TOKEN, pValue: ptr::null_mut(), ulValueLen: 1 }];
    assert_eq!(create(wrong.as_mut_ptr(), 1), CKR_ATTRIBUTE_VALUE_INVALID);
    assert_eq!(raw.encrypt_init(CKM_AES_ECB, &mut [], key), CKR_OK);
    let mut length = 16;
    let rv = call!(raw, C_Encrypt(raw.session, &raw mut byte, CK_ULONG::MAX, &raw mut byte, &raw mut length));
    assert_eq!(rv, CKR_ARGUMENTS_BAD);
    assert_eq!(call!(raw, C_GenerateRandom(raw.session, ptr::null_mut(), 8)), CKR_ARGUMENTS_BAD);
    assert_eq!(
        call!(raw, C_CopyObject(raw.session, 12345, ptr::null_mut(), 0, &raw mut object)),
        CKR_OBJECT_HANDLE_INVALID
    );
}

#[test]
fn every_interface_is_there_and_every_entry_answers() {
    let raw = Raw::new();
    let mut count = 0;
    assert_eq!(call!(raw, C_GetInterfaceList(ptr::null_mut(), &raw mut count)), CKR_OK);
    assert_eq!(count, 3);
    for (major, minor) in [(3, 2), (3, 0), (2, 40)] {
        let mut version = CK_VERSION { major, minor };
        let mut interface = ptr::null_mut();
        let name = c"PKCS 11".as_ptr().cast_mut().cast();
        assert_eq!(call!(raw, C_GetInterface(name, &raw mut version, &raw mut interface, 0)), CKR_OK);
        // SAFETY: every list begins with its version.
        let found = unsafe { *(*interface).pFunctionList.cast::<CK_VERSION>() };
        assert_eq!((found.major, found.minor), (major, minor));
    }
    let mut interface = ptr::null_mut();
    let mut version = CK_VERSION { major: 3, minor: 1 };
    let name = c"PKCS 11".as_ptr().cast_mut().cast();
    assert_eq!(call!(raw, C_GetInterface(name, &raw mut version, &raw mut interface, 0)), CKR_FUNCTION_FAILED);
    let name = c"Vendor".as_ptr().cast_mut().cast();
    assert_eq!(call!(raw, C_GetInterface(name, ptr::null_mut(), &raw mut interface, 0)), CKR_FUNCTION_FAILED);
    // SAFETY: the list is the version and pointers only, and a null pointer reads as `None`.
    let entries = unsafe { std::slice::from_raw_parts((&raw const raw.list.C_Initialize).cast::<Option<fn()>>(), 104) };
    assert!(entries.iter().all(Option::is_some));
    assert_eq!(
        call!(raw, C_GetOperationState(raw.session, ptr::null_mut(), &raw mut count)),
        CKR_OPERATION_NOT_INITIALIZED
    );
    assert_eq!(call!(raw, C_CancelFunction(raw.session)), CKR_FUNCTION_NOT_PARALLEL);
    let mut list = ptr::null_mut();
    // SAFETY: the place is writable.
    assert_eq!(unsafe { raw.library.C_GetFunctionList(&raw mut list) }, CKR_OK);
    // SAFETY: the module answers with a static.
    assert_eq!(unsafe { ((*list).version.major, (*list).version.minor) }, (2, 40));
}

#[test]
fn what_comes_before_and_after_is_refused() {
    let raw = Raw::new();
    let mut info = CK_INFO::default();
    assert_eq!(call!(raw, C_Finalize((&raw mut info).cast())), CKR_ARGUMENTS_BAD);
    let (mut session, mut token) = (0, CK_TOKEN_INFO::default());
    let rv = call!(raw, C_OpenSession(raw.slot, CKF_RW_SESSION, ptr::null_mut(), None, &raw mut session));
    assert_eq!(rv, CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    assert_eq!(call!(raw, C_GetTokenInfo(raw.slot + 1, &raw mut token)), CKR_SLOT_ID_INVALID);
    assert_eq!(call!(raw, C_SessionCancel(raw.session, CKF_ENCRYPT)), CKR_OK);
    assert_eq!(call!(raw, C_Finalize(ptr::null_mut())), CKR_OK);
    assert_eq!(call!(raw, C_GetInfo(&raw mut info)), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_eq!(call!(raw, C_Finalize(ptr::null_mut())), CKR_CRYPTOKI_NOT_INITIALIZED);
    let mut partial = CK_C_INITIALIZE_ARGS { LockMutex: Some(refuse), ..Default::default() };
    assert_eq!(call!(raw, C_Initialize((&raw mut partial).cast())), CKR_ARGUMENTS_BAD);
    let mut wrong =
        CK_C_INITIALIZE_ARGS { pReserved: c"other:store=/".as_ptr().cast_mut().cast(), ..Default::default() };
    assert_eq!(call!(raw, C_Initialize((&raw mut wrong).cast())), CKR_ARGUMENTS_BAD);
}

unsafe extern "C" fn refuse(_mutex: *mut std::ffi::c_void) -> CK_RV {
    CKR_GENERAL_ERROR
}
