//! Key material as the mechanisms take it.
//!
//! A [`Key`] is cheap to clone: it shares one zeroising copy of the value and, beside it, the contexts prepared from it
//! (expanded AES keys, parsed RSA keys), so a cached key costs no set-up per operation. It knows nothing of PKCS#11
//! objects; `core` translates attributes to and from the components here and checks usage before it comes here.

mod secret;

pub use secret::SecretKey;

use super::error::Result;

/// A key of any type the token holds.
#[derive(Debug, Clone)]
pub enum Key {
    /// A secret key: AES, DES3, generic secret, HMAC.
    Secret(SecretKey),
}

impl Key {
    pub(super) fn secret(&self) -> Result<&SecretKey> {
        match self {
            Self::Secret(key) => Ok(key),
        }
    }
}

impl From<SecretKey> for Key {
    fn from(key: SecretKey) -> Self {
        Self::Secret(key)
    }
}

/// A value made on first use and shared from then on; two threads may both make it, one of the results stays.
struct Prepared<T>(std::sync::OnceLock<T>);

impl<T> Prepared<T> {
    const fn new() -> Self {
        Self(std::sync::OnceLock::new())
    }

    fn get_or_try(&self, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        if let Some(value) = self.0.get() {
            return Ok(value);
        }
        let made = make()?;
        Ok(self.0.get_or_init(|| made))
    }
}
