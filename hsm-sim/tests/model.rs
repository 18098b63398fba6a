//! Random calls against a small model of sessions, log-in, attribute rules and where objects may be seen.
//!
//! The model is written from PKCS#11 3.1 §4 and §5 and knows nothing of the code under test. A few thousand calls by
//! default, 100 000 with `LONG=1`; a failure names its seed and the calls before it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

#[expect(dead_code, reason = "every test program uses its own part")]
#[path = "support/raw.rs"]
mod raw;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ptr,
};

use cryptoki_sys::*;
use raw::{Raw, attribute, call, mechanism};
use support::{SO_PIN, USER_PIN};

/// The flags that callers give, each with the only value that may be changed to later.
const FLAGS: [(CK_ATTRIBUTE_TYPE, Option<bool>); 7] = [
    (CKA_ENCRYPT, None),
    (CKA_SENSITIVE, Some(true)),
    (CKA_EXTRACTABLE, Some(false)),
    (CKA_WRAP_WITH_TRUSTED, Some(true)),
    (CKA_MODIFIABLE, Some(false)),
    (CKA_COPYABLE, Some(false)),
    (CKA_DESTROYABLE, Some(false)),
];

/// All that is read back.
const READ: [CK_ATTRIBUTE_TYPE; 12] = [
    CKA_TOKEN,
    CKA_PRIVATE,
    CKA_LOCAL,
    CKA_ALWAYS_SENSITIVE,
    CKA_NEVER_EXTRACTABLE,
    CKA_ENCRYPT,
    CKA_SENSITIVE,
    CKA_EXTRACTABLE,
    CKA_WRAP_WITH_TRUSTED,
    CKA_MODIFIABLE,
    CKA_COPYABLE,
    CKA_DESTROYABLE,
];

type Template = BTreeMap<CK_ATTRIBUTE_TYPE, bool>;

/// Numbers from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// A key as the model knows it.
#[derive(Clone)]
struct Known {
    attributes: Template,
    /// The session that made it.
    session: CK_SESSION_HANDLE,
    /// Which key material it has.
    material: usize,
}

impl Known {
    fn is(&self, attribute: CK_ATTRIBUTE_TYPE) -> bool {
        self.attributes[&attribute]
    }
}

/// An open session: whether it may write, and whether a running encryption's key is private.
#[derive(Clone, Copy)]
struct Open {
    is_read_write: bool,
    encrypts: Option<(bool, usize)>,
}

struct Model {
    raw: Raw,
    random: Random,
    seed: u64,
    sessions: BTreeMap<CK_SESSION_HANDLE, Open>,
    login: Option<CK_USER_TYPE>,
    objects: BTreeMap<CK_OBJECT_HANDLE, Known>,
    materials: usize,
    ciphertexts: HashMap<usize, [u8; 16]>,
    stale: Vec<CK_ULONG>,
    calls: Vec<String>,
}

impl Model {
    fn new(seed: u64) -> Self {
        let raw = Raw::new();
        assert_eq!(call!(raw, C_CloseAllSessions(raw.slot)), CKR_OK);
        Self {
            stale: vec![0, raw.session, CK_ULONG::MAX],
            raw,
            random: Random(seed),
            seed,
            sessions: BTreeMap::new(),
            login: None,
            objects: BTreeMap::new(),
            materials: 0,
            ciphertexts: HashMap::new(),
            calls: Vec::new(),
        }
    }

    /// Notes a call and compares its answer.
    #[track_caller]
    fn expect<T: PartialEq + std::fmt::Debug>(&mut self, call: &str, got: T, wanted: T) {
        self.calls.push(format!("{call} -> {wanted:?}"));
        let from = self.calls.len().saturating_sub(25);
        assert!(
            got == wanted,
            "seed {}: {got:?} but the model has {wanted:?} (login {:?}) after\n{}",
            self.seed,
            self.login,
            self.calls[from..].join("\n")
        );
    }

    /// A session's handle, sometimes one that is none.
    fn session(&mut self) -> CK_SESSION_HANDLE {
        if self.sessions.is_empty() || self.random.once_in(40) {
            return self.stale[self.random.below(self.stale.len())];
        }
        let place = self.random.below(self.sessions.len());
        *self.sessions.keys().nth(place).unwrap()
    }

    /// An object's handle, sometimes one that is none.
    fn object(&mut self) -> CK_OBJECT_HANDLE {
        if self.objects.is_empty() || self.random.once_in(20) {
            return self.stale[self.random.below(self.stale.len())];
        }
        let place = self.random.below(self.objects.len());
        *self.objects.keys().nth(place).unwrap()
    }

    fn is_user(&self) -> bool {
        self.login == Some(CKU_USER)
    }

    /// The object of a handle, if it may be seen now.
    fn seen(&self, handle: CK_OBJECT_HANDLE) -> Option<&Known> {
        self.objects.get(&handle).filter(|known| !known.is(CKA_PRIVATE) || self.is_user())
    }

    fn template(&mut self, more: &[CK_ATTRIBUTE_TYPE], rarely: usize) -> Template {
        let mut template = Template::new();
        for attribute in FLAGS.iter().map(|flag| flag.0).chain(more.iter().copied()) {
            if self.random.once_in(if attribute == CKA_ENCRYPT { 2 } else { rarely }) {
                // Few objects are to stay for ever, and many to be of use.
                let is_often = matches!(attribute, CKA_DESTROYABLE | CKA_MODIFIABLE | CKA_ENCRYPT);
                let odds = if is_often { 4 } else { 2 };
                template.insert(attribute, !self.random.once_in(odds));
            }
        }
        template
    }

    fn forget(&mut self, is_gone: impl Fn(&Known) -> bool) {
        let gone: Vec<_> = self.objects.iter().filter(|(_, known)| is_gone(known)).map(|(handle, _)| *handle).collect();
        for handle in gone {
            self.objects.remove(&handle);
            self.stale.push(handle);
        }
    }

    fn end_login(&mut self) {
        self.login = None;
        self.forget(|known| known.is(CKA_PRIVATE) && !known.is(CKA_TOKEN));
        for open in self.sessions.values_mut() {
            open.encrypts = open.encrypts.filter(|(is_private, _)| !is_private);
        }
    }

    fn open(&mut self) {
        let is_read_write = !self.random.once_in(3);
        let wanted =
            if !is_read_write && self.login == Some(CKU_SO) { CKR_SESSION_READ_WRITE_SO_EXISTS } else { CKR_OK };
        let flags = CKF_SERIAL_SESSION | if is_read_write { CKF_RW_SESSION } else { 0 };
        let mut handle = 0;
        let rv = call!(self.raw, C_OpenSession(self.raw.slot, flags, ptr::null_mut(), None, &raw mut handle));
        self.expect(&format!("open {is_read_write} {handle}"), rv, wanted);
        if rv == CKR_OK {
            assert!(self.sessions.insert(handle, Open { is_read_write, encrypts: None }).is_none());
        }
    }

    fn close(&mut self) {
        let session = self.session();
        let wanted = if self.sessions.remove(&session).is_some() { CKR_OK } else { CKR_SESSION_HANDLE_INVALID };
        let rv = call!(self.raw, C_CloseSession(session));
        self.expect(&format!("close {session}"), rv, wanted);
        if rv == CKR_OK {
            self.stale.push(session);
            self.forget(|known| known.session == session && !known.is(CKA_TOKEN));
            if self.sessions.is_empty() {
                self.end_login();
            }
        }
    }

    fn log_in(&mut self) {
        let session = self.session();
        let user = if self.random.once_in(4) { CKU_SO } else { CKU_USER };
        let has_read_only = self.sessions.values().any(|open| !open.is_read_write);
        let wanted = match self.login {
            _ if !self.sessions.contains_key(&session) => CKR_SESSION_HANDLE_INVALID,
            Some(current) if current == user => CKR_USER_ALREADY_LOGGED_IN,
            Some(_) => CKR_USER_ANOTHER_ALREADY_LOGGED_IN,
            None if user == CKU_SO && has_read_only => CKR_SESSION_READ_ONLY_EXISTS,
            None => CKR_OK,
        };
        let pin = if user == CKU_SO { SO_PIN } else { USER_PIN };
        let rv = call!(self.raw, C_Login(session, user, pin.as_ptr().cast_mut(), pin.len() as CK_ULONG));
        self.expect(&format!("login {session} {user}"), rv, wanted);
        if rv == CKR_OK {
            self.login = Some(user);
        }
    }

    fn log_out(&mut self) {
        let session = self.session();
        let wanted = match self.login {
            _ if !self.sessions.contains_key(&session) => CKR_SESSION_HANDLE_INVALID,
            None => CKR_USER_NOT_LOGGED_IN,
            Some(_) => CKR_OK,
        };
        let rv = call!(self.raw, C_Logout(session));
        self.expect(&format!("logout {session}"), rv, wanted);
        if rv == CKR_OK {
            self.end_login();
        }
    }

    fn state(&mut self) {
        let session = self.session();
        let wanted = self.sessions.get(&session).map(|open| match (self.login, open.is_read_write) {
            (None, false) => CKS_RO_PUBLIC_SESSION,
            (None, true) => CKS_RW_PUBLIC_SESSION,
            (Some(CKU_SO), _) => CKS_RW_SO_FUNCTIONS,
            (Some(_), false) => CKS_RO_USER_FUNCTIONS,
            (Some(_), true) => CKS_RW_USER_FUNCTIONS,
        });
        let mut info = CK_SESSION_INFO::default();
        let rv = call!(self.raw, C_GetSessionInfo(session, &raw mut info));
        self.expect(&format!("state {session}"), (rv == CKR_OK).then_some(info.state), wanted);
    }

    /// Where an object of a template may go.
    fn placed(&self, session: CK_SESSION_HANDLE, attributes: &Template) -> CK_RV {
        match self.sessions.get(&session) {
            None => CKR_SESSION_HANDLE_INVALID,
            Some(open) if attributes[&CKA_TOKEN] && !open.is_read_write => CKR_SESSION_READ_ONLY,
            Some(_) if attributes[&CKA_PRIVATE] && !self.is_user() => CKR_USER_NOT_LOGGED_IN,
            Some(_) => CKR_OK,
        }
    }

    fn make(&mut self) {
        let (session, is_generated) = (self.session(), self.random.once_in(2));
        let given = self.template(&[CKA_TOKEN, CKA_PRIVATE], 3);
        let mut attributes = Template::from([
            (CKA_TOKEN, false),
            (CKA_PRIVATE, self.is_user()),
            (CKA_LOCAL, is_generated),
            (CKA_ENCRYPT, false),
            (CKA_SENSITIVE, true),
            (CKA_EXTRACTABLE, false),
            (CKA_WRAP_WITH_TRUSTED, false),
            (CKA_MODIFIABLE, true),
            (CKA_COPYABLE, true),
            (CKA_DESTROYABLE, true),
        ]);
        attributes.extend(&given);
        attributes.insert(CKA_ALWAYS_SENSITIVE, is_generated && attributes[&CKA_SENSITIVE]);
        attributes.insert(CKA_NEVER_EXTRACTABLE, is_generated && !attributes[&CKA_EXTRACTABLE]);
        let wanted = self.placed(session, &attributes);
        let (mut class, mut kind, mut length) = (CKO_SECRET_KEY, CKK_AES, 16_u64);
        self.materials += 1;
        let mut value = [0; 16];
        value[..8].copy_from_slice(&self.materials.to_le_bytes());
        let mut bools: Vec<_> = given.iter().map(|(attribute, value)| (*attribute, u8::from(*value))).collect();
        let mut template: Vec<_> = bools.iter_mut().map(|(kind, value)| attribute(*kind, value)).collect();
        template.push(attribute(CKA_CLASS, &mut class));
        template.push(attribute(CKA_KEY_TYPE, &mut kind));
        template.push(if is_generated {
            attribute(CKA_VALUE_LEN, &mut length)
        } else {
            attribute(CKA_VALUE, &mut value)
        });
        let (pointer, count, mut handle) = (template.as_mut_ptr(), template.len() as CK_ULONG, 0);
        let mut generate = mechanism(CKM_AES_KEY_GEN, &mut []);
        let rv = if is_generated {
            call!(self.raw, C_GenerateKey(session, &raw mut generate, pointer, count, &raw mut handle))
        } else {
            call!(self.raw, C_CreateObject(session, pointer, count, &raw mut handle))
        };
        self.expect(&format!("make {session} {is_generated} {given:x?} {handle:#x}"), rv, wanted);
        if rv == CKR_OK {
            let known = Known { attributes, session, material: self.materials };
            assert!(self.objects.insert(handle, known).is_none(), "a handle is used again");
        }
    }

    /// What a template makes of an object, if each attribute may go that way.
    fn changed(known: &Known, given: &Template) -> Option<Template> {
        let mut attributes = known.attributes.clone();
        for (attribute, value) in given {
            let way = FLAGS.iter().find(|flag| flag.0 == *attribute).and_then(|flag| flag.1);
            if way.is_some_and(|way| way != *value) && known.is(*attribute) != *value {
                return None;
            }
            attributes.insert(*attribute, *value);
        }
        Some(attributes)
    }

    fn copy(&mut self) {
        let (session, object) = (self.session(), self.object());
        let given = self.template(&[CKA_TOKEN, CKA_PRIVATE], 5);
        let source = self.seen(object).cloned();
        let changed = source.as_ref().and_then(|known| Self::changed(known, &given));
        let wanted = match (&source, &changed) {
            _ if !self.sessions.contains_key(&session) => CKR_SESSION_HANDLE_INVALID,
            (None, _) => CKR_OBJECT_HANDLE_INVALID,
            (Some(known), _) if !known.is(CKA_COPYABLE) => CKR_ACTION_PROHIBITED,
            (Some(known), _) if known.is(CKA_PRIVATE) && given.get(&CKA_PRIVATE) == Some(&false) => {
                CKR_TEMPLATE_INCONSISTENT
            }
            (Some(_), None) => CKR_ATTRIBUTE_READ_ONLY,
            (Some(_), Some(attributes)) => self.placed(session, attributes),
        };
        let mut bools: Vec<_> = given.iter().map(|(attribute, value)| (*attribute, u8::from(*value))).collect();
        let mut template: Vec<_> = bools.iter_mut().map(|(kind, value)| attribute(*kind, value)).collect();
        let (pointer, count, mut handle) = (template.as_mut_ptr(), template.len() as CK_ULONG, 0);
        let rv = call!(self.raw, C_CopyObject(session, object, pointer, count, &raw mut handle));
        self.expect(&format!("copy {session} {object:#x} {given:x?} {handle:#x}"), rv, wanted);
        if let (CKR_OK, Some(source), Some(attributes)) = (rv, source, changed) {
            let known = Known { attributes, session, material: source.material };
            assert!(self.objects.insert(handle, known).is_none(), "a handle is used again");
        }
    }

    fn set(&mut self) {
        let (session, object) = (self.session(), self.object());
        let given = self.template(&[], 5);
        let changed = self.seen(object).and_then(|known| Self::changed(known, &given));
        let wanted = match (self.sessions.get(&session), self.seen(object), &changed) {
            (None, ..) => CKR_SESSION_HANDLE_INVALID,
            (Some(_), None, _) => CKR_OBJECT_HANDLE_INVALID,
            (Some(open), Some(known), _) if known.is(CKA_TOKEN) && !open.is_read_write => CKR_SESSION_READ_ONLY,
            (_, Some(known), _) if !known.is(CKA_MODIFIABLE) => CKR_ACTION_PROHIBITED,
            (.., None) => CKR_ATTRIBUTE_READ_ONLY,
            (.., Some(_)) => CKR_OK,
        };
        let mut bools: Vec<_> = given.iter().map(|(attribute, value)| (*attribute, u8::from(*value))).collect();
        let mut template: Vec<_> = bools.iter_mut().map(|(kind, value)| attribute(*kind, value)).collect();
        let (pointer, count) = (template.as_mut_ptr(), template.len() as CK_ULONG);
        let rv = call!(self.raw, C_SetAttributeValue(session, object, pointer, count));
        self.expect(&format!("set {session} {object:#x} {given:x?}"), rv, wanted);
        if let (CKR_OK, Some(attributes)) = (rv, changed) {
            self.objects.get_mut(&object).unwrap().attributes = attributes;
        }
    }

    fn destroy(&mut self) {
        let (session, object) = (self.session(), self.object());
        let wanted = match (self.sessions.get(&session), self.seen(object)) {
            (None, _) => CKR_SESSION_HANDLE_INVALID,
            (Some(_), None) => CKR_OBJECT_HANDLE_INVALID,
            (Some(open), Some(known)) if known.is(CKA_TOKEN) && !open.is_read_write => CKR_SESSION_READ_ONLY,
            (Some(_), Some(known)) if !known.is(CKA_DESTROYABLE) => CKR_ACTION_PROHIBITED,
            (Some(_), Some(_)) => CKR_OK,
        };
        let rv = call!(self.raw, C_DestroyObject(session, object));
        self.expect(&format!("destroy {session} {object:#x}"), rv, wanted);
        if rv == CKR_OK {
            self.objects.remove(&object);
            self.stale.push(object);
        }
    }

    fn read(&mut self) {
        let (session, object) = (self.session(), self.object());
        let wanted = match (self.sessions.contains_key(&session), self.seen(object)) {
            (false, _) => Err(CKR_SESSION_HANDLE_INVALID),
            (true, None) => Err(CKR_OBJECT_HANDLE_INVALID),
            (true, Some(known)) => Ok(known.attributes.clone()),
        };
        let mut values = READ.map(|kind| (kind, 9_u8));
        let mut template: Vec<_> = values.iter_mut().map(|(kind, value)| attribute(*kind, value)).collect();
        let (pointer, count) = (template.as_mut_ptr(), template.len() as CK_ULONG);
        let rv = call!(self.raw, C_GetAttributeValue(session, object, pointer, count));
        let got = if rv == CKR_OK {
            Ok(values.iter().map(|(kind, value)| (*kind, *value == CK_TRUE)).collect())
        } else {
            Err(rv)
        };
        let is_open =
            wanted.as_ref().is_ok_and(|attributes| attributes[&CKA_EXTRACTABLE] && !attributes[&CKA_SENSITIVE]);
        let code = wanted.as_ref().map_or_else(|code| *code, |_| CKR_OK);
        self.expect(&format!("read {session} {object:#x}"), got, wanted);
        let (mut value, secret) =
            ([0xee_u8; 16], if code == CKR_OK && !is_open { CKR_ATTRIBUTE_SENSITIVE } else { code });
        let mut asked = attribute(CKA_VALUE, &mut value);
        let rv = call!(self.raw, C_GetAttributeValue(session, object, &raw mut asked, 1));
        self.expect(&format!("read value {session} {object:#x}"), (rv, value == [0xee; 16]), (secret, !is_open));
    }

    fn find(&mut self) {
        let session = self.session();
        let given = self.template(&[CKA_TOKEN, CKA_PRIVATE], 6);
        let wanted: BTreeSet<_> = self
            .objects
            .iter()
            .filter(|(handle, _)| self.seen(**handle).is_some())
            .filter(|(_, known)| given.iter().all(|(attribute, value)| known.is(*attribute) == *value))
            .map(|(handle, _)| *handle)
            .collect();
        let wanted = if self.sessions.contains_key(&session) { Ok(wanted) } else { Err(CKR_SESSION_HANDLE_INVALID) };
        let mut class = CKO_SECRET_KEY;
        let mut bools: Vec<_> = given.iter().map(|(attribute, value)| (*attribute, u8::from(*value))).collect();
        let mut template: Vec<_> = bools.iter_mut().map(|(kind, value)| attribute(*kind, value)).collect();
        template.push(attribute(CKA_CLASS, &mut class));
        let (pointer, count) = (template.as_mut_ptr(), template.len() as CK_ULONG);
        let rv = call!(self.raw, C_FindObjectsInit(session, pointer, count));
        let mut found = BTreeSet::new();
        let mut more = rv == CKR_OK;
        while more {
            let (mut handles, mut count) = ([0; 7], 0);
            assert_eq!(call!(self.raw, C_FindObjects(session, handles.as_mut_ptr(), 7, &raw mut count)), CKR_OK);
            let count = usize::try_from(count).unwrap();
            assert!(handles[..count].iter().all(|handle| found.insert(*handle)), "found twice");
            more = count > 0;
        }
        if rv == CKR_OK {
            assert_eq!(call!(self.raw, C_FindObjectsFinal(session)), CKR_OK);
        }
        self.expect(&format!("find {session} {given:x?}"), if rv == CKR_OK { Ok(found) } else { Err(rv) }, wanted);
    }

    fn encrypt_init(&mut self) {
        let (session, object) = (self.session(), self.object());
        let wanted = match (self.sessions.get(&session), self.seen(object)) {
            (None, _) => CKR_SESSION_HANDLE_INVALID,
            (Some(Open { encrypts: Some(_), .. }), _) => CKR_OPERATION_ACTIVE,
            (Some(_), None) => CKR_KEY_HANDLE_INVALID,
            (Some(_), Some(known)) if !known.is(CKA_ENCRYPT) => CKR_KEY_FUNCTION_NOT_PERMITTED,
            (Some(_), Some(_)) => CKR_OK,
        };
        let mut ecb = mechanism(CKM_AES_ECB, &mut []);
        let rv = call!(self.raw, C_EncryptInit(session, &raw mut ecb, object));
        self.expect(&format!("encrypt init {session} {object:#x}"), rv, wanted);
        if rv == CKR_OK {
            let known = &self.objects[&object];
            let encrypts = Some((known.is(CKA_PRIVATE), known.material));
            self.sessions.get_mut(&session).unwrap().encrypts = encrypts;
        }
    }

    fn encrypt(&mut self) {
        let session = self.session();
        let wanted = match self.sessions.get(&session) {
            None => CKR_SESSION_HANDLE_INVALID,
            Some(Open { encrypts: None, .. }) => CKR_OPERATION_NOT_INITIALIZED,
            Some(_) => CKR_OK,
        };
        let (mut data, mut cipher, mut length) = ([5; 16], [0; 16], 16);
        let rv = call!(self.raw, C_Encrypt(session, data.as_mut_ptr(), 16, cipher.as_mut_ptr(), &raw mut length));
        self.expect(&format!("encrypt {session}"), rv, wanted);
        if rv == CKR_OK {
            let (_, material) = self.sessions.get_mut(&session).unwrap().encrypts.take().unwrap();
            let before = *self.ciphertexts.entry(material).or_insert(cipher);
            self.expect(&format!("encrypted {material}"), cipher, before);
        }
    }

    /// Initialises the token anew, which takes all objects away.
    fn start_over(&mut self) {
        let mut label = [b' '; 32];
        let (so, user) = (SO_PIN.as_ptr().cast_mut(), USER_PIN.as_ptr().cast_mut());
        let (so_bytes, user_bytes) = (SO_PIN.len() as CK_ULONG, USER_PIN.len() as CK_ULONG);
        if !self.sessions.is_empty() {
            let rv = call!(self.raw, C_InitToken(self.raw.slot, so, so_bytes, label.as_mut_ptr()));
            self.expect("init token", rv, CKR_SESSION_EXISTS);
        }
        let slot = self.raw.slot;
        assert_eq!(call!(self.raw, C_CloseAllSessions(slot)), CKR_OK);
        self.stale.extend(std::mem::take(&mut self.sessions).into_keys());
        self.end_login();
        let rv = call!(self.raw, C_InitToken(slot, so, so_bytes, label.as_mut_ptr()));
        self.expect("init token", rv, CKR_OK);
        self.forget(|_| true);
        let (mut session, flags) = (0, CKF_SERIAL_SESSION | CKF_RW_SESSION);
        assert_eq!(call!(self.raw, C_OpenSession(slot, flags, ptr::null_mut(), None, &raw mut session)), CKR_OK);
        assert_eq!(call!(self.raw, C_Login(session, CKU_USER, user, user_bytes)), CKR_USER_PIN_NOT_INITIALIZED);
        assert_eq!(call!(self.raw, C_Login(session, CKU_SO, so, so_bytes)), CKR_OK);
        assert_eq!(call!(self.raw, C_InitPIN(session, user, user_bytes)), CKR_OK);
        assert_eq!(call!(self.raw, C_CloseSession(session)), CKR_OK);
        self.stale.push(session);
    }

    fn step(&mut self) {
        if self.objects.len() > 60 {
            return self.start_over();
        }
        match self.random.below(40) {
            0..=2 if self.sessions.len() < 6 => self.open(),
            3 => self.close(),
            0..=4 => self.state(),
            5..=6 => self.log_in(),
            7 if self.random.once_in(2) => self.log_out(),
            7..=12 => self.make(),
            13..=16 => self.copy(),
            17..=20 => self.set(),
            21..=23 => self.destroy(),
            24..=27 => self.read(),
            28..=29 => self.find(),
            30..=34 => self.encrypt_init(),
            _ => self.encrypt(),
        }
        // Handles are never given out twice, so that one that was something stays nothing.
        if self.stale.len() > 64 {
            let place = self.random.below(self.stale.len());
            self.stale.swap_remove(place);
        }
    }
}

#[test]
fn random_calls_are_answered_as_the_model_has_them() {
    let (seeds, steps) = if std::env::var_os("LONG").is_some() { (20, 5000) } else { (3, 800) };
    for seed in 1..=seeds {
        let mut model = Model::new(seed);
        for _ in 0..steps {
            model.step();
        }
        assert!(model.ciphertexts.len() > 5, "seed {seed} does little");
    }
}
