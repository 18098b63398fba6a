//! Where a module is: in this process, or in one of its own.
//!
//! Everything above asks through [`Caller`] and [`Session`] and does not know which. There is one way to call a module, `raw`;
//! an isolated one is called by the same code on the other side of a socket.

use std::{path::Path, sync::Arc, time::Duration};

use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_MECHANISM_INFO, CK_MECHANISM_TYPE, CK_SLOT_ID, CK_ULONG};
use zeroize::Zeroizing;

use super::{
    Config, Isolation, Observer,
    layout::{Attribute, Mechanism},
    module::{Linked, Module, Start},
    process::{self, Host},
    raw::{self, Fault, Handle, Sealed, TokenInfo},
};
use crate::domain::TokenId;

type Result<T> = std::result::Result<T, Fault>;

/// A module that is used.
#[derive(Clone)]
pub(super) enum Home {
    /// In this process.
    Here(&'static Module),
    /// In a process of its own.
    There(Arc<Host>),
}

impl Home {
    /// Loads and initialises a module, or finds it loaded.
    ///
    /// # Errors
    ///
    /// A text for the operator: what is wrong with the file or the module, and what to do.
    pub(super) fn load(config: &Config, start: Start) -> std::result::Result<Self, String> {
        let (path, reserved) = (config.module.as_path(), config.reserved.as_deref());
        match &config.isolation {
            Isolation::Thread => Module::load(path, reserved, start).map(Self::Here),
            Isolation::Process(program) => {
                Host::load(path, reserved, program, start, config.call_limit).map(Self::There)
            }
        }
    }

    /// Initialises again where that is needed, in a new process where the last one has ended.
    pub(super) fn initialize(&self, limit: Duration) -> std::result::Result<(), String> {
        match self {
            Self::Here(module) => module.initialize(),
            Self::There(host) => host.initialize(limit).map_err(|unready| unready.why),
        }
    }

    /// Who calls it for a token.
    pub(super) fn caller(&self, token: TokenId, observer: Arc<dyn Observer>, limit: Duration) -> Arc<Caller> {
        Arc::new(match self {
            Self::Here(module) => Caller::Here(Arc::new(raw::Caller::new(module, token, observer))),
            Self::There(host) => {
                Caller::There(Arc::new(process::Caller::new(Arc::clone(host), token, observer, limit)))
            }
        })
    }

    /// A token that counts as linked as long as the value lives, so that its module is not initialised anew under it.
    pub(super) fn linked(&self) -> Option<Linked> {
        match self {
            Self::Here(module) => Some(module.linked()),
            Self::There(_) => None,
        }
    }

    /// The last resort where a token stays away: finalises and initialises the module, unless somebody is in it or another of its
    /// tokens serves. A process is simply ended; its tokens then begin with a new one. Whether anything was done.
    pub(super) fn last_resort(&self) -> bool {
        match self {
            Self::Here(module) => module.reinitialize(),
            Self::There(host) => host.renew(),
        }
    }

    /// Whether it has a process of its own.
    pub(super) const fn is_isolated(&self) -> bool {
        matches!(self, Self::There(_))
    }

    /// How its last process has ended: in a word, and for the operator.
    pub(super) fn last_end(&self) -> Option<(&'static str, String)> {
        match self {
            Self::Here(_) => None,
            Self::There(host) => host.last_end().map(|(end, why)| (end.word(), why)),
        }
    }

    /// Wakes that keeper when a process of it ends.
    pub(super) fn tell_of_ends(&self, waker: flume::Sender<()>) {
        if let Self::There(host) = self {
            host.tell_of_ends(waker);
        }
    }

    /// One pool fewer uses the module; the last one may finalise it.
    pub(super) fn release(&self, finalize: impl FnOnce()) {
        match self {
            Self::Here(module) => module.release(finalize),
            Self::There(host) => host.release(finalize),
        }
    }

    /// Whether only one thread may work with it.
    pub(super) fn is_for_one_thread(&self) -> bool {
        match self {
            Self::Here(module) => module.is_for_one_thread(),
            Self::There(host) => host.is_for_one_thread(),
        }
    }

    /// Where it is loaded from.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Here(module) => module.path(),
            Self::There(host) => host.path(),
        }
    }

    /// What the library says of itself, with its version and that of the standard.
    pub(super) fn library(&self) -> String {
        match self {
            Self::Here(module) => module.library(),
            Self::There(host) => host.library(),
        }
    }

    /// Manufacturer and description of the library, for the quirk table.
    pub(super) fn description(&self) -> String {
        match self {
            Self::Here(module) => module.description(),
            Self::There(host) => host.description(),
        }
    }
}

/// Methods that are the same on both sides, with the documentation of `raw`.
macro_rules! either {
    ($($(#[$meta:meta])* fn $name:ident(&$($mutable:ident)?; $($argument:ident: $kind:ty),*) -> $answer:ty;)*) => { $(
        $(#[$meta])*
        pub(super) fn $name(& $($mutable)? self, $($argument: $kind),*) -> $answer {
            match self {
                Self::Here(here) => here.$name($($argument),*),
                Self::There(there) => there.$name($($argument),*),
            }
        }
    )* };
}

/// Who calls: one token's pool, for the module's functions that need no session.
pub(super) enum Caller {
    /// A module in this process.
    Here(Arc<raw::Caller>),
    /// One in a process of its own.
    There(Arc<process::Caller>),
}

impl Caller {
    either! {
        /// The slots that hold a token.
        fn slots(&;) -> Result<Vec<CK_SLOT_ID>>;
        /// What the token in that slot says of itself.
        fn token_info(&; slot: CK_SLOT_ID) -> Result<TokenInfo>;
        /// Every mechanism of the token, unknown ones included.
        fn mechanisms(&; slot: CK_SLOT_ID) -> Result<Vec<CK_MECHANISM_TYPE>>;
        /// Key sizes and flags of a mechanism.
        fn mechanism_info(&; slot: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE) -> Result<CK_MECHANISM_INFO>;
        /// All sessions opened until now are void.
        fn void_sessions(&;) -> ();
        /// Closes whatever sessions this process has with the token.
        fn close_all(&; slot: CK_SLOT_ID) -> Result<()>;
        /// Ends the module's use.
        fn finalize(&;) -> Result<()>;
    }

    /// Opens a read-write session.
    pub(super) fn open(&self, slot: CK_SLOT_ID) -> Result<Session> {
        match self {
            Self::Here(here) => here.open(slot).map(Session::Here),
            Self::There(there) => there.open(slot).map(Session::There),
        }
    }

    /// The token is about to be linked: what is opened from now on belongs to the module's present process. Whether that is
    /// another one than before.
    pub(super) fn bind(&self) -> bool {
        match self {
            Self::Here(_) => false,
            Self::There(there) => there.bind(),
        }
    }
}

/// One session, closed on drop.
pub(super) enum Session {
    /// With a module in this process.
    Here(raw::Session),
    /// With one in a process of its own.
    There(process::Session),
}

impl Session {
    either! {
        /// Its `CKS_…` state.
        fn state(&;) -> Result<CK_ULONG>;
        /// Logs the application in as `CKU_USER`; without a PIN for a protected authentication path.
        fn login(&; pin: Option<&[u8]>) -> Result<()>;
        /// Ends whatever operation is active, where the module can.
        fn cancel(&mut;) -> Result<()>;
        /// Random bytes.
        fn random(&mut; count: usize) -> Result<Zeroizing<Vec<u8>>>;
        /// Mixes bytes into the generator.
        fn seed(&mut; seed: &[u8]) -> Result<()>;
        /// Makes an object from its attributes.
        fn create(&mut; template: &[Attribute]) -> Result<Handle>;
        /// Destroys an object.
        fn destroy(&mut; object: Handle) -> Result<()>;
        /// Finds the objects that match, at most `max`.
        fn find(&mut; template: &[Attribute], max: usize) -> Result<Vec<Handle>>;
        /// Reads one attribute into a buffer of `guess` bytes, or of the length the module names.
        fn attribute(&mut; object: Handle, kind: CK_ATTRIBUTE_TYPE, guess: usize) -> Result<Zeroizing<Vec<u8>>>;
        /// Changes attributes of an object.
        fn set(&mut; object: Handle, template: &[Attribute]) -> Result<()>;
        /// Reads two truth values in one call.
        fn flags(&mut; object: Handle, kinds: [CK_ATTRIBUTE_TYPE; 2]) -> Result<[bool; 2]>;
        /// Reads a number.
        fn number(&mut; object: Handle, kind: CK_ATTRIBUTE_TYPE) -> Result<CK_ULONG>;
        /// Makes a secret key.
        fn generate(&mut; mechanism: &Mechanism, template: &[Attribute]) -> Result<Handle>;
        /// Makes a key pair: the public and the private handle.
        fn generate_pair(&mut; mechanism: &Mechanism, public: &[Attribute], private: &[Attribute])
            -> Result<(Handle, Handle)>;
        /// Wraps `key` under `wrapping`.
        fn wrap(&mut; mechanism: &Mechanism, wrapping: Handle, key: Handle, guess: usize) -> Result<Zeroizing<Vec<u8>>>;
        /// Derives a new object from `base`.
        fn derive(&mut; mechanism: &Mechanism, base: Handle, template: &[Attribute]) -> Result<Handle>;
        /// Unwraps `blob` under `unwrapping` into a new object.
        fn unwrap(&mut; mechanism: &Mechanism, unwrapping: Handle, blob: &[u8], template: &[Attribute])
            -> Result<Handle>;
        /// Encrypts in one part.
        fn encrypt(&mut; mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Zeroizing<Vec<u8>>>;
        /// As [`Self::encrypt`]; and the IV that the module used where it makes one itself, in whichever of the two calls.
        fn encrypt_back(&mut; mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Sealed>;
        /// Decrypts in one part.
        fn decrypt(&mut; mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Zeroizing<Vec<u8>>>;
        /// Signs, or makes a MAC, in one part.
        fn sign(&mut; mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Vec<u8>>;
        /// Whether the signature holds.
        fn verify(&mut; mechanism: &Mechanism, key: Handle, data: &[u8], signature: &[u8]) -> Result<bool>;
    }

    /// Lets the session go without closing it: its number may be somebody else's by now.
    pub(super) fn abandon(self) {
        match self {
            Self::Here(here) => here.abandon(),
            Self::There(there) => there.abandon(),
        }
    }

    /// Whether the module's process is still there, where it has one.
    pub(super) fn is_alive(&self) -> bool {
        match self {
            Self::Here(_) => true,
            Self::There(there) => there.is_alive(),
        }
    }
}
