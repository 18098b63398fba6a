//! What one vendor's module needs: a small table, matched on what module and token say of themselves.
//!
//! Everything here is a default that the capability list or a configured value overrides; a row changes how we ask, never what
//! an answer means.

use cryptoki_sys::{CK_RV, CKR_DEVICE_ERROR};

/// One row.
#[derive(Debug)]
pub(super) struct Quirk {
    /// A part of "manufacturer description" of the module or "manufacturer model" of the token; empty matches all.
    part: &'static str,
    /// It says that it is software: no place for production keys.
    pub(super) simulated: bool,
    /// `CK_GCM_PARAMS` without `ulIvBits`.
    pub(super) short_gcm: bool,
    /// What `C_Decrypt` answers to data that do not decrypt, where it looks like a fault of the device.
    pub(super) decrypt_failure: Option<CK_RV>,
    /// Worker sessions when the configuration names none.
    pub(super) workers: usize,
}

/// The first row that matches wins; the last one matches everything.
static QUIRKS: &[Quirk] = &[
    Quirk { part: "hsm-sim", simulated: true, short_gcm: false, decrypt_failure: None, workers: 32 },
    Quirk { part: "SoftHSM", simulated: true, short_gcm: false, decrypt_failure: None, workers: 8 },
    Quirk { part: "Kryoptic", simulated: true, short_gcm: false, decrypt_failure: Some(CKR_DEVICE_ERROR), workers: 8 },
    Quirk { part: "SmartCard-HSM", simulated: false, short_gcm: false, decrypt_failure: None, workers: 1 },
    Quirk { part: "Nitrokey", simulated: false, short_gcm: false, decrypt_failure: None, workers: 1 },
    Quirk { part: "YubiHSM", simulated: false, short_gcm: false, decrypt_failure: None, workers: 8 },
    Quirk { part: "", simulated: false, short_gcm: false, decrypt_failure: None, workers: 16 },
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
    fn known_software_is_simulated_and_the_unknown_is_not() {
        assert!(find("SoftHSM project SoftHSM v2").simulated);
        assert!(find("hsm-sim generic").simulated);
        assert!(!find("Acme Vault").simulated);
    }
}
