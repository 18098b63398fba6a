//! What one vendor's module needs: a small table, matched on what module and token say of themselves.
//!
//! Everything here is a default that the capability list or a configured value overrides; a row changes how we ask, never what
//! an answer means.

use cryptoki_sys::{CK_RV, CKR_DEVICE_ERROR, CKR_GENERAL_ERROR};

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Quirk {
    /// A part of "manufacturer description" of the module or "manufacturer model" of the token; empty matches all.
    part: &'static str,
    /// It is a simulator: no place for production keys.
    pub(super) simulated: bool,
    /// It says that it is software: whoever reads its files and PIN has every key.
    pub(super) software: bool,
    /// `CK_GCM_PARAMS` without `ulIvBits`.
    pub(super) short_gcm: bool,
    /// What `C_Decrypt` answers to data that do not decrypt, where it looks like a fault of the device.
    pub(super) decrypt_failure: Option<CK_RV>,
    /// The same of `C_UnwrapKey`.
    pub(super) unwrap_failure: Option<CK_RV>,
    /// Its own locking does not hold: it is called by one thread at a time.
    pub(super) one_call: bool,
    /// Worker sessions when the configuration names none.
    pub(super) workers: usize,
}

/// What holds where no row says otherwise.
const USUAL: Quirk = Quirk {
    part: "",
    simulated: false,
    software: false,
    short_gcm: false,
    decrypt_failure: None,
    unwrap_failure: None,
    one_call: false,
    workers: 16,
};

/// The first row that matches wins; the last one matches everything.
///
/// SoftHSM2 says that it locks. Up to 2.6.1, as Debian ships it, a search or a look at one object re-reads the folder while
/// another thread writes a new object there, and throws away what that thread has set: creations then fail with
/// `CKR_TEMPLATE_INCONSISTENT` or `CKR_GENERAL_ERROR`, objects show up twice, and the process may crash.
static QUIRKS: &[Quirk] = &[
    Quirk { part: "hsm-sim", simulated: true, software: true, workers: 32, ..USUAL },
    Quirk {
        part: "SoftHSM",
        software: true,
        unwrap_failure: Some(CKR_GENERAL_ERROR),
        one_call: true,
        workers: 8,
        ..USUAL
    },
    Quirk {
        part: "Kryoptic",
        software: true,
        decrypt_failure: Some(CKR_DEVICE_ERROR),
        unwrap_failure: Some(CKR_DEVICE_ERROR),
        workers: 8,
        ..USUAL
    },
    Quirk { part: "SmartCard-HSM", workers: 1, ..USUAL },
    Quirk { part: "Nitrokey", workers: 1, ..USUAL },
    Quirk { part: "YubiHSM", workers: 8, ..USUAL },
    USUAL,
];

/// What applies to a module and token of that description.
pub(super) fn find(description: &str) -> &'static Quirk {
    let description = description.to_ascii_lowercase();
    QUIRKS
        .iter()
        .find(|quirk| description.contains(&quirk.part.to_ascii_lowercase()))
        .expect("the last row of the table is contained in every text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_software_is_software_and_the_unknown_is_not() {
        let softhsm = find("SoftHSM project SoftHSM v2");
        assert!(softhsm.software && !softhsm.simulated);
        assert!(find("hsm-sim generic").simulated && find("hsm-sim generic").software);
        assert!(!find("Acme Vault").software && !find("Acme Vault").simulated);
        assert!(find("SoftHSM Implementation of PKCS11").one_call && !find("Acme Vault").one_call);
    }
}
