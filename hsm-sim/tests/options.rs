//! What single options change, and the few calls that only some models have: users with names, a PIN pad, keys with dates.

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

#[expect(dead_code, reason = "every test program uses its own part")]
#[path = "support/raw.rs"]
mod raw;

use std::{fs, ptr, time::Instant};

use cryptoki::{
    error::RvError,
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass},
    session::UserType,
};
use cryptoki_sys::*;
use raw::{Raw, attribute, call, mechanism, mechanism_of};
use support::{Hsm, SO_PIN, USER_PIN, aes, pin, refusal};

// --- keys with dates ------------------------------------------------------------------------------------------------

fn dated(raw: &Raw, start: &[u8; 8], end: &[u8; 8]) -> CK_OBJECT_HANDLE {
    let usages = [CKA_ENCRYPT, CKA_DECRYPT, CKA_SIGN, CKA_VERIFY, CKA_WRAP, CKA_UNWRAP, CKA_DERIVE];
    let mut numbers = [(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_AES)];
    let mut bytes = [(CKA_VALUE, vec![7; 32]), (CKA_START_DATE, start.to_vec()), (CKA_END_DATE, end.to_vec())];
    raw.create(&mut numbers, &usages, &mut bytes)
}

#[test]
fn dates_are_kept_and_only_enforced_when_asked() {
    let (past, future) = (b"20010203", b"29991231");
    let uses = |raw: &Raw, key| {
        let mut ecb = mechanism(CKM_AES_ECB, &mut []);
        let mut cmac = mechanism(CKM_AES_CMAC, &mut []);
        let mut kwp = mechanism(CKM_AES_KEY_WRAP_KWP, &mut []);
        let (mut wrapped, mut length) = (vec![0; 64], 64);
        let free = raw.key();
        [
            call!(raw, C_EncryptInit(raw.session, &raw mut ecb, key)),
            call!(raw, C_DecryptInit(raw.session, &raw mut ecb, key)),
            call!(raw, C_SignInit(raw.session, &raw mut cmac, key)),
            call!(raw, C_VerifyInit(raw.session, &raw mut cmac, key)),
            call!(raw, C_WrapKey(raw.session, &raw mut kwp, key, free, wrapped.as_mut_ptr(), &raw mut length)),
        ]
    };
    let no = CKR_KEY_FUNCTION_NOT_PERMITTED;
    for (lines, start, end, expected) in [
        ("", past, past, [CKR_OK; 5]),
        ("enforce_dates = true", past, future, [CKR_OK; 5]),
        ("enforce_dates = true", past, past, [no, CKR_OK, no, CKR_OK, no]),
        ("enforce_dates = true", future, future, [no; 5]),
    ] {
        let raw = Raw::with_config(lines);
        let key = dated(&raw, start, end);
        assert_eq!(uses(&raw, key), expected, "{lines} {start:?} {end:?}");
    }
}

// --- other shapes of the same thing ---------------------------------------------------------------------------------

#[test]
fn a_point_is_shown_in_der_or_as_it_is_and_taken_both_ways() {
    let p256 = Attribute::EcParams(vec![6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]);
    for (lines, bytes) in [("", 67), ("ec_point = \"raw\"", 65)] {
        let hsm = Hsm::with_config(lines);
        let session = hsm.user();
        let public = [p256.clone(), Attribute::Verify(true)];
        let pair = session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &[Attribute::Sign(true)]).unwrap();
        let Attribute::EcPoint(point) = session.get_attributes(pair.0, &[AttributeType::EcPoint]).unwrap().remove(0)
        else {
            panic!("another attribute")
        };
        assert_eq!(point.len(), bytes, "{lines}");
        let signature = session.sign(&Mechanism::Ecdsa, pair.1, &[7; 32]).unwrap();
        session.verify(&Mechanism::Ecdsa, pair.0, &[7; 32], &signature).unwrap();
        let again = [
            Attribute::Class(ObjectClass::PUBLIC_KEY),
            Attribute::KeyType(KeyType::EC),
            p256.clone(),
            Attribute::EcPoint(point.clone()),
            Attribute::Verify(true),
        ];
        let copy = session.create_object(&again).unwrap();
        session.verify(&Mechanism::Ecdsa, copy, &[7; 32], &signature).unwrap();
        assert_eq!(session.find_objects(&[Attribute::EcPoint(point)]).unwrap().len(), 2);
    }
}

#[test]
fn wrap_pad_is_rfc_5649_or_pkcs_7() {
    for (lines, other) in [("", CKM_AES_KEY_WRAP_KWP), ("wrap_pad = \"pkcs7\"", CKM_AES_KEY_WRAP_PKCS7)] {
        let raw = Raw::with_config(lines);
        let (wrapping, key) = (raw.key(), raw.key());
        let wrap = |number| {
            let (mut wrapped, mut length) = (vec![0; 64], 64);
            let mut way = mechanism(number, &mut []);
            let rv =
                call!(raw, C_WrapKey(raw.session, &raw mut way, wrapping, key, wrapped.as_mut_ptr(), &raw mut length));
            assert_eq!(rv, CKR_OK);
            wrapped.truncate(usize::try_from(length).unwrap());
            wrapped
        };
        let wrapped = wrap(CKM_AES_KEY_WRAP_PAD);
        assert_eq!(wrapped, wrap(other), "{lines}");
        let mut template = [(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_AES)];
        let mut template: Vec<_> = template.iter_mut().map(|(kind, value)| attribute(*kind, value)).collect();
        for (number, expected) in
            [(CKM_AES_KEY_WRAP_PAD, CKR_OK), (other, CKR_OK), (CKM_AES_KEY_WRAP, CKR_WRAPPED_KEY_INVALID)]
        {
            let (mut way, mut input, mut unwrapped) = (mechanism(number, &mut []), wrapped.clone(), 0);
            let bytes = input.len() as CK_ULONG;
            let rv = call!(
                raw,
                C_UnwrapKey(
                    raw.session,
                    &raw mut way,
                    wrapping,
                    input.as_mut_ptr(),
                    bytes,
                    template.as_mut_ptr(),
                    2,
                    &raw mut unwrapped
                )
            );
            // RFC 3394 alone opens PKCS#7's form, too, to a value of another length, which is no AES key.
            assert_eq!(rv == CKR_OK, expected == CKR_OK, "{lines} {number:#x}: {rv:#x}");
        }
    }
}

/// `CK_GCM_PARAMS` of version 2.20.
#[repr(C)]
struct Gcm220 {
    iv: *mut CK_BYTE,
    iv_length: CK_ULONG,
    aad: *mut CK_BYTE,
    aad_length: CK_ULONG,
    tag_bits: CK_ULONG,
}

#[test]
fn the_older_gcm_structure_is_taken_only_when_asked() {
    let mut sealed = Vec::new();
    for (lines, expected) in [("", CKR_MECHANISM_PARAM_INVALID), ("gcm_v220 = true", CKR_OK)] {
        let raw = Raw::with_config(lines);
        let key = dated(&raw, b"20010203", b"29991231");
        let mut iv = [9; 12];
        let mut old = Gcm220 { iv: iv.as_mut_ptr(), iv_length: 12, aad: ptr::null_mut(), aad_length: 0, tag_bits: 128 };
        let mut way = mechanism_of(CKM_AES_GCM, &mut old);
        assert_eq!(call!(raw, C_EncryptInit(raw.session, &raw mut way, key)), expected, "{lines}");
        let mut now =
            CK_GCM_PARAMS { pIv: iv.as_mut_ptr(), ulIvLen: 12, ulIvBits: 96, ulTagBits: 128, ..Default::default() };
        if expected != CKR_OK {
            let mut way = mechanism_of(CKM_AES_GCM, &mut now);
            assert_eq!(call!(raw, C_EncryptInit(raw.session, &raw mut way, key)), CKR_OK);
        }
        let (mut data, mut output, mut length) = ([3; 20], vec![0; 36], 36);
        let rv = call!(raw, C_Encrypt(raw.session, data.as_mut_ptr(), 20, output.as_mut_ptr(), &raw mut length));
        assert_eq!((rv, length), (CKR_OK, 36));
        sealed.push(output);
    }
    assert_eq!(sealed[0], sealed[1]);
}

#[test]
fn slots_are_renumbered_at_the_next_start_as_softhsm_does() {
    let hsm = Hsm::with_config("slot_ids = \"softhsm\"");
    let blank = |module: &cryptoki::context::Pkcs11| {
        let slots = module.get_slots_with_token().unwrap();
        slots.into_iter().find(|slot| !module.get_token_info(*slot).unwrap().token_initialized()).unwrap()
    };
    let before = blank(&hsm.pkcs11);
    assert!(before.id() < 4, "a blank token is numbered by its place: {}", before.id());
    hsm.pkcs11.init_token(before, &pin(SO_PIN), "fresh").unwrap();
    assert_eq!(hsm.pkcs11.get_token_info(before).unwrap().label(), "fresh");
    let later = hsm.another();
    let moved = later
        .get_slots_with_initialized_token()
        .unwrap()
        .into_iter()
        .find(|slot| later.get_token_info(*slot).unwrap().label() == "fresh")
        .unwrap();
    assert!(moved.id() != before.id() && blank(&later).id() < 4);
}

// --- keys under AEADs with the structures of 3.2 --------------------------------------------------------------------

#[test]
fn a_key_wrapped_with_an_iv_of_the_token_comes_back_by_it() {
    let raw = Raw::new();
    let (wrapping, key) = (raw.key(), raw.key());
    let (mut aad, mut seen) = (*b"bound to this", Vec::new());
    let mut template = [(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_AES)];
    let mut template: Vec<_> = template.iter_mut().map(|(kind, value)| attribute(*kind, value)).collect();
    for round in 0..6 {
        let mut iv = [0xab; 12];
        let mut gcm = CK_GCM_WRAP_PARAMS {
            pIv: iv.as_mut_ptr(),
            ulIvLen: 12,
            ulIvFixedBits: 32,
            ivGenerator: CKG_GENERATE_COUNTER,
            pAAD: aad.as_mut_ptr(),
            ulAADLen: aad.len() as CK_ULONG,
            ulTagBits: 128,
        };
        let mut nonce = [0xcd; 12];
        let mut ccm = CK_CCM_WRAP_PARAMS {
            ulDataLen: if round == 1 { 32 } else { 0 },
            pNonce: nonce.as_mut_ptr(),
            ulNonceLen: 12,
            ulNonceFixedBits: 0,
            nonceGenerator: CKG_GENERATE_RANDOM,
            pAAD: aad.as_mut_ptr(),
            ulAADLen: aad.len() as CK_ULONG,
            ulMACLen: 12,
        };
        let (mut way, tag) = match round % 2 {
            0 => (mechanism_of(CKM_AES_GCM, &mut gcm), 16),
            _ => (mechanism_of(CKM_AES_CCM, &mut ccm), 12),
        };
        let mut length = 0;
        let rv = call!(raw, C_WrapKey(raw.session, &raw mut way, wrapping, key, ptr::null_mut(), &raw mut length));
        assert_eq!((rv, length), (CKR_OK, 32 + tag));
        let (mut wrapped, mut short) = (vec![0; 64], 31);
        let rv = call!(raw, C_WrapKey(raw.session, &raw mut way, wrapping, key, wrapped.as_mut_ptr(), &raw mut short));
        assert_eq!((rv, short), (CKR_BUFFER_TOO_SMALL, 32 + tag));
        // Neither question made an IV.
        assert_eq!((iv, nonce), ([0xab; 12], [0xcd; 12]));
        let mut length = 64;
        let rv = call!(raw, C_WrapKey(raw.session, &raw mut way, wrapping, key, wrapped.as_mut_ptr(), &raw mut length));
        assert_eq!((rv, length), (CKR_OK, 32 + tag));
        let used = if round % 2 == 0 { iv } else { nonce };
        assert!(!seen.contains(&used));
        seen.push(used);
        if round % 2 == 0 {
            assert_eq!(iv[..4], [0xab; 4]);
        }
        let mut unwrapped = 0;
        let mut unwrap = |wrapped: &mut [u8]| {
            let place = wrapped.as_mut_ptr();
            let given = template.as_mut_ptr();
            call!(raw, C_UnwrapKey(raw.session, &raw mut way, wrapping, place, length, given, 2, &raw mut unwrapped))
        };
        assert_eq!(unwrap(&mut wrapped), CKR_OK);
        wrapped[5] ^= 1;
        assert_eq!(unwrap(&mut wrapped), CKR_WRAPPED_KEY_INVALID);
    }
    // A length that is announced and not the key's; a tag longer than there are.
    let (mut nonce, mut length, mut wrapped) = ([1; 12], 64, vec![0; 64]);
    let mut ccm = CK_CCM_WRAP_PARAMS {
        ulDataLen: 31,
        pNonce: nonce.as_mut_ptr(),
        ulNonceLen: 12,
        ulMACLen: 12,
        ..Default::default()
    };
    for _ in 0..2 {
        let mut way = mechanism_of(CKM_AES_CCM, &mut ccm);
        let rv = call!(raw, C_WrapKey(raw.session, &raw mut way, wrapping, key, wrapped.as_mut_ptr(), &raw mut length));
        assert_eq!(rv, CKR_MECHANISM_PARAM_INVALID);
        (ccm.ulDataLen, ccm.ulMACLen) = (32, 1 << 40);
    }
}

// --- users with names, and a PIN pad --------------------------------------------------------------------------------

/// `C_LoginUser` with a name.
fn log_in_user(raw: &Raw, name: &str, password: &str) -> CK_RV {
    let (pin, name) = (password.as_bytes().to_vec(), name.as_bytes().to_vec());
    let pins = (pin.as_ptr().cast_mut(), pin.len() as CK_ULONG);
    let names = (name.as_ptr().cast_mut(), name.len() as CK_ULONG);
    call!(raw, C_LoginUser(raw.session, CKU_USER, pins.0, pins.1, names.0, names.1))
}

fn log_out(raw: &Raw) {
    assert_eq!(call!(raw, C_Logout(raw.session)), CKR_OK);
}

#[test]
fn users_of_cloudhsm_have_names_and_tries_of_their_own() {
    let raw = Raw::with_pin("profile = \"cloudhsm\"\nsimulate_latency = false\nuser_tries = 3", "anna:first-secret");
    let key = {
        let mut numbers = [(CKA_CLASS, CKO_SECRET_KEY), (CKA_KEY_TYPE, CKK_AES)];
        let mut bytes = [(CKA_VALUE, vec![1; 32]), (CKA_LABEL, b"shared".to_vec())];
        raw.create(&mut numbers, &[CKA_TOKEN, CKA_ENCRYPT], &mut bytes)
    };
    log_out(&raw);
    // The SO makes a second user; the first one's PIN stays.
    let login =
        |user, pin: &str| call!(raw, C_Login(raw.session, user, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG));
    assert_eq!(login(CKU_SO, SO_PIN), CKR_OK);
    let second = "bert:second-secret";
    assert_eq!(call!(raw, C_InitPIN(raw.session, second.as_ptr().cast_mut(), second.len() as CK_ULONG)), CKR_OK);
    log_out(&raw);
    for (name, password) in [("anna", "first-secret"), ("bert", "second-secret")] {
        assert_eq!(log_in_user(&raw, name, password), CKR_OK, "{name}");
        assert_eq!(raw.encrypt_init(CKM_AES_ECB, &mut [], key), CKR_OK);
        log_out(&raw);
        assert_eq!(login(CKU_USER, &format!("{name}:{password}")), CKR_OK, "{name}");
        log_out(&raw);
    }
    // Who is not there costs nobody a try; each one's mistakes are their own.
    for _ in 0..5 {
        assert_eq!(log_in_user(&raw, "carl", "first-secret"), CKR_PIN_INCORRECT);
    }
    for _ in 0..3 {
        assert_eq!(log_in_user(&raw, "bert", "wrong"), CKR_PIN_INCORRECT);
    }
    assert_eq!(log_in_user(&raw, "bert", "second-secret"), CKR_PIN_LOCKED);
    assert_eq!(log_in_user(&raw, "anna", "first-secret"), CKR_OK);
    // A change of PIN is one of the password.
    let set = |old: &str, new: &str| {
        let (old, new) =
            ((old.as_ptr().cast_mut(), old.len() as CK_ULONG), (new.as_ptr().cast_mut(), new.len() as CK_ULONG));
        call!(raw, C_SetPIN(raw.session, old.0, old.1, new.0, new.1))
    };
    assert_eq!(set("anna:first-secret", "otto:third-secret"), CKR_PIN_INVALID);
    assert_eq!(set("anna:first-secret", "anna:third-secret"), CKR_OK);
    log_out(&raw);
    assert_eq!(log_in_user(&raw, "anna", "first-secret"), CKR_PIN_INCORRECT);
    assert_eq!(log_in_user(&raw, "anna", "third-secret"), CKR_OK);
}

#[test]
fn elsewhere_a_user_has_no_name() {
    let raw = Raw::new();
    log_out(&raw);
    assert_eq!(log_in_user(&raw, "anna", USER_PIN), CKR_USER_TYPE_INVALID);
    assert_eq!(log_in_user(&raw, "", USER_PIN), CKR_OK);
}

#[test]
fn a_pin_pad_enters_the_pin_that_the_call_leaves_out() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        fs::write(&path, format!("{text}\n")).unwrap();
        path.display().to_string()
    };
    let files =
        format!("pinpad_pin_file = \"{}\"\npinpad_so_pin_file = \"{}\"\n", file("user", USER_PIN), file("so", SO_PIN));
    let hsm = Hsm::with_config(&format!("pinpad = \"approve\"\n{files}"));
    assert!(hsm.pkcs11.get_token_info(hsm.slot).unwrap().protected_authentication_path());
    let session = hsm.public();
    session.login(UserType::User, None).unwrap();
    aes(&session, &[Attribute::Token(true)]);
    session.logout().unwrap();
    session.login(UserType::So, None).unwrap();
    session.logout().unwrap();
    session.login(UserType::User, Some(&pin(USER_PIN))).unwrap();
    for (pad, expected) in [("deny", RvError::FunctionRejected), ("timeout:40", RvError::FunctionCanceled)] {
        let hsm = Hsm::with_config(&format!("pinpad = \"{pad}\"\n{files}"));
        let session = hsm.public();
        let start = Instant::now();
        assert_eq!(refusal(session.login(UserType::User, None)), expected);
        assert!(!pad.starts_with("timeout") || start.elapsed().as_millis() >= 40);
    }
    let hsm = Hsm::new();
    assert!(!hsm.pkcs11.get_token_info(hsm.slot).unwrap().protected_authentication_path());
    assert_eq!(refusal(hsm.public().login(UserType::User, None)), RvError::ArgumentsBad);
}

#[test]
fn validations_are_looked_for_and_none_are_found() {
    let raw = Raw::new();
    let (mut class, mut found, mut count) = (CKO_VALIDATION, 0, 9);
    let mut template = [attribute(CKA_CLASS, &mut class)];
    assert_eq!(call!(raw, C_FindObjectsInit(raw.session, template.as_mut_ptr(), 1)), CKR_OK);
    assert_eq!(call!(raw, C_FindObjects(raw.session, &raw mut found, 1, &raw mut count)), CKR_OK);
    assert_eq!((found, count), (0, 0));
    assert_eq!(call!(raw, C_FindObjectsFinal(raw.session)), CKR_OK);
    let mut flags = 7;
    let rv = call!(raw, C_GetSessionValidationFlags(raw.session, CKS_LAST_VALIDATION_OK, &raw mut flags));
    assert_eq!((rv, flags), (CKR_OK, 0));
    let mut object = 0;
    let rv = call!(raw, C_CreateObject(raw.session, template.as_mut_ptr(), 1, &raw mut object));
    assert_eq!(rv, CKR_ATTRIBUTE_VALUE_INVALID);
}
