//! Who is logged in, and every use of a PIN.

use std::sync::Arc;

use cryptoki_sys::*;

use super::{
    library::Library,
    rv::{Result, Rv},
    session::Session,
    token::Token,
};
use crate::store::{Role, SealKeys, StoreError, TokenKey};

/// Who is logged in to a token in this process.
#[derive(Default)]
pub(crate) struct Login {
    current: Option<(Role, TokenKey)>,
}

impl Login {
    /// The role that is logged in.
    pub(crate) fn role(&self) -> Option<Role> {
        self.current.as_ref().map(|current| current.0)
    }

    /// Whether the normal user is logged in.
    pub(crate) fn is_user(&self) -> bool {
        self.role() == Some(Role::User)
    }

    /// The keys of private objects, while the normal user is logged in.
    pub(crate) fn private_keys(&self) -> Option<Arc<SealKeys>> {
        self.current.as_ref().filter(|current| current.0 == Role::User).map(|current| Arc::clone(&current.1.seal))
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
        if role == Role::User {
            self.config.check_pin_form(pin)?;
        }
        let key = self.store.try_pin(role, pin)?;
        self.login.write().current = Some((role, key));
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
                token.store.try_pin(Role::User, pin)?;
                operations.logged_in();
                Ok(())
            }
            _ => Err(Rv(CKR_USER_TYPE_INVALID)),
        }
    }

    /// `C_LoginUser`: without a name the same as `C_Login`; this token's users have no names.
    pub(crate) fn log_in_user(&self, session: &Session, user: CK_USER_TYPE, pin: &[u8], name: &[u8]) -> Result<()> {
        if name.is_empty() { self.log_in(session, user, pin) } else { Err(Rv(CKR_USER_TYPE_INVALID)) }
    }

    /// `C_Logout`: also ends operations that use private objects, in every session.
    pub(crate) fn log_out(&self, session: &Session) -> Result<()> {
        let token = session.token();
        if !token.log_out() {
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
            Some((Role::So, key)) => key.clone(),
            _ => return Err(Rv(CKR_USER_NOT_LOGGED_IN)),
        };
        token.check_pin_length(pin)?;
        token.config.check_pin_form(pin).map_err(|_form| Rv(CKR_PIN_INVALID))?;
        Ok(token.store.set_pin(Role::User, pin, &key)?)
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
        let key = token.store.try_pin(role, old).map_err(|error| match error {
            StoreError::PinNotSet => Rv(CKR_PIN_INCORRECT),
            error => error.into(),
        })?;
        Ok(token.store.set_pin(role, new, &key)?)
    }
}
