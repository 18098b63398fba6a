//! Who is logged in, and every use of a PIN.

use std::sync::Arc;

use cryptoki_sys::*;
use zeroize::Zeroizing;

use super::{
    library::Library,
    rv::{Result, Rv},
    session::Session,
    token::Token,
};
use crate::{
    config::PinPad,
    store::{Holder, Role, SealKeys, StoreError, TokenKey},
};

/// Who is logged in to a token in this process.
#[derive(Default)]
pub(crate) struct Login {
    current: Option<(Holder, TokenKey)>,
}

impl Login {
    /// The role that is logged in.
    pub(crate) fn role(&self) -> Option<Role> {
        self.current.as_ref().map(|current| current.0.role)
    }

    /// Whether the normal user is logged in.
    pub(crate) fn is_user(&self) -> bool {
        self.role() == Some(Role::User)
    }

    /// Whose PIN it was.
    fn holder(&self) -> Option<Holder> {
        self.current.as_ref().map(|current| current.0.clone())
    }

    /// The keys of private objects, while the normal user is logged in.
    pub(crate) fn private_keys(&self) -> Option<Arc<SealKeys>> {
        self.current.as_ref().filter(|current| current.0.role == Role::User).map(|current| Arc::clone(&current.1.seal))
    }
}

impl Token {
    /// The role that is logged in.
    pub(crate) fn role(&self) -> Option<Role> {
        self.login.read().role()
    }

    /// Whether the normal user is logged in.
    pub(crate) fn is_user(&self) -> bool {
        self.login.read().is_user()
    }

    fn check_pin_length(&self, pin: &[u8]) -> Result<()> {
        if (self.config.min_pin..=self.config.max_pin).contains(&pin.len()) {
            Ok(())
        } else {
            Err(Rv(CKR_PIN_LEN_RANGE))
        }
    }

    /// Logs in.
    pub(crate) fn log_in(&self, role: Role, pin: &[u8]) -> Result<()> {
        let _turn = self.login_turn.lock();
        match self.role() {
            Some(current) if current == role => return Err(Rv(CKR_USER_ALREADY_LOGGED_IN)),
            Some(_) => return Err(Rv(CKR_USER_ANOTHER_ALREADY_LOGGED_IN)),
            None => {}
        }
        if role == Role::So && self.session_counts().1 > 0 {
            return Err(Rv(CKR_SESSION_READ_ONLY_EXISTS));
        }
        let holder = match role {
            Role::So => role.into(),
            Role::User => {
                self.config.check_pin_form(pin)?;
                self.store.user(pin)?
            }
        };
        let key = self.store.try_pin(holder.clone(), pin)?;
        self.login.write().current = Some((holder, key));
        Ok(())
    }

    /// Ends the log-in; answers whether there was one.
    pub(super) fn log_out(&self) -> bool {
        let was = self.login.write().current.take().is_some();
        if was {
            self.forget_private();
        }
        was
    }

    /// Initialises the token. No session is open in this process.
    pub(super) fn initialise(&self, label: &str, so_pin: &[u8]) -> Result<()> {
        let _turn = self.login_turn.lock();
        if self.store.meta()?.is_initialised {
            self.store.try_pin(Role::So, so_pin)?;
        } else {
            self.check_pin_length(so_pin)?;
        }
        self.store.initialise(label, so_pin, None)?;
        self.forget_all();
        Ok(())
    }
}

impl Library {
    /// `C_Login`
    pub(crate) fn log_in(&self, session: &Session, user: CK_USER_TYPE, pin: &[u8]) -> Result<()> {
        let token = session.token();
        match user {
            CKU_SO => token.log_in(Role::So, pin),
            CKU_USER => token.log_in(Role::User, pin),
            CKU_CONTEXT_SPECIFIC => {
                let mut operations = session.operations();
                if !operations.wants_login() {
                    return Err(Rv(CKR_OPERATION_NOT_INITIALIZED));
                }
                let _turn = token.login_turn.lock();
                if !token.is_user() {
                    return Err(Rv(CKR_USER_NOT_LOGGED_IN));
                }
                let holder = token.login.read().holder().ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
                token.store.try_pin(holder, pin)?;
                operations.logged_in();
                Ok(())
            }
            _ => Err(Rv(CKR_USER_TYPE_INVALID)),
        }
    }

    /// `C_LoginUser`: without a name the same as `C_Login`. Only the users of some profiles have names; there a PIN is name
    /// and password, which come apart here.
    pub(crate) fn log_in_user(&self, session: &Session, user: CK_USER_TYPE, pin: &[u8], name: &[u8]) -> Result<()> {
        if name.is_empty() {
            return self.log_in(session, user, pin);
        }
        if !self.config.has_user_names() || user == CKU_SO || name.contains(&b':') {
            return Err(Rv(CKR_USER_TYPE_INVALID));
        }
        let whole = Zeroizing::new([name, b":", pin].concat());
        self.log_in(session, user, &whole)
    }

    /// What is entered at the PIN pad when a call leaves the PIN out (`CKF_PROTECTED_AUTHENTICATION_PATH`).
    pub(crate) fn entered_pin(&self, user: CK_USER_TYPE) -> Result<Zeroizing<Vec<u8>>> {
        match self.config.pinpad {
            None => Err(Rv(CKR_ARGUMENTS_BAD)),
            Some(PinPad::Deny) => Err(Rv(CKR_FUNCTION_REJECTED)),
            Some(PinPad::Timeout(time)) => {
                std::thread::sleep(time);
                Err(Rv(CKR_FUNCTION_CANCELED))
            }
            Some(PinPad::Approve) => {
                let file = if user == CKU_SO { &self.config.pinpad_so_pin_file } else { &self.config.pinpad_pin_file };
                // Nobody is there who knows the PIN.
                let path = file.as_ref().ok_or(Rv(CKR_FUNCTION_CANCELED))?;
                let mut pin = Zeroizing::new(std::fs::read(path).map_err(|_unreadable| Rv(CKR_FUNCTION_CANCELED))?);
                let end = pin.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
                pin.truncate(end);
                Ok(pin)
            }
        }
    }

    /// `C_Logout`: also ends operations that use private objects, in every session. Programs that expect what they did not
    /// ask for also log out in case somebody was logged in.
    pub(crate) fn log_out(&self, session: &Session) -> Result<()> {
        let token = session.token();
        if !token.log_out() && token.config.needs_login_to_log_out() {
            return Err(Rv(CKR_USER_NOT_LOGGED_IN));
        }
        for other in self.sessions.of_slot(token.slot()) {
            other.operations().end_private();
        }
        Ok(())
    }

    /// `C_InitPIN`: the SO sets the user's PIN, which also lifts its lock.
    pub(crate) fn init_pin(&self, session: &Session, pin: &[u8]) -> Result<()> {
        let token = session.token();
        let key = match &token.login.read().current {
            Some((holder, key)) if holder.role == Role::So => key.clone(),
            _ => return Err(Rv(CKR_USER_NOT_LOGGED_IN)),
        };
        token.check_pin_length(pin)?;
        token.config.check_pin_form(pin).map_err(|_form| Rv(CKR_PIN_INVALID))?;
        let holder = token.store.place_for(pin)?;
        Ok(token.store.set_pin(&holder, pin, &key)?)
    }

    /// `C_SetPIN`: changes the PIN of who is logged in, or the user's from a public session.
    pub(crate) fn set_pin(&self, session: &Session, old: &[u8], new: &[u8]) -> Result<()> {
        if !session.read_write {
            return Err(Rv(CKR_SESSION_READ_ONLY));
        }
        let token = session.token();
        token.check_pin_length(new)?;
        let role = token.role().unwrap_or(Role::User);
        if role == Role::User {
            token.config.check_pin_form(new).map_err(|_form| Rv(CKR_PIN_INVALID))?;
        }
        let _turn = token.login_turn.lock();
        let logged_in = token.login.read().holder();
        let holder = match (logged_in, role) {
            (Some(holder), _) => holder,
            (None, Role::So) => role.into(),
            (None, Role::User) => token.store.user(old)?,
        };
        if role == Role::User && token.config.user_name(old) != token.config.user_name(new) {
            return Err(Rv(CKR_PIN_INVALID));
        }
        let key = token.store.try_pin(holder.clone(), old).map_err(|error| match error {
            StoreError::PinNotSet => Rv(CKR_PIN_INCORRECT),
            error => error.into(),
        })?;
        Ok(token.store.set_pin(&holder, new, &key)?)
    }
}
