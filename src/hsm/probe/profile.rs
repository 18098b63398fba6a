//! What was measured, as the configuration names it: a file for one vendor and model.
//!
//! Its facts take the place of what is otherwise tried at first use, and of the vendor's row of quirks. They hold for the token
//! that they were measured on and others of its make: a profile of another model or firmware is not believed.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::abilities;
use crate::hsm::{quirks::Quirk, raw::TokenInfo};

/// A number of PKCS#11, written in hexadecimal; mechanisms are read by their names, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u64);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => abilities::code(&text),
        };
        number.map(Self).ok_or_else(|| {
            de::Error::custom(format!("`{text}` is neither a number such as 0x00001087 nor a CKM_ name"))
        })
    }
}

/// How RFC 5649 is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kwp {
    /// The mechanism; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<Code>,
    /// It fills values with zeros up to eight bytes first.
    #[serde(default)]
    pub fills: bool,
}

/// Of which make of token a profile is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Of {
    /// The token's manufacturer.
    pub manufacturer: String,
    /// The token's model.
    pub model: String,
    /// The token's firmware.
    pub firmware: String,
    /// The library, for people.
    pub library: String,
}

/// What is known; what is absent is found out when it is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Facts {
    /// Worker sessions when the configuration names none; nobody measures it, it is for you to set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Whether `C_CreateObject` takes secret keys in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear_import: Option<bool>,
    /// Whether templates do without `CKA_COPYABLE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_templates: Option<bool>,
    /// Whether Ed25519 is named by a PrintableString.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edwards_by_name: Option<bool>,
    /// `CK_GCM_PARAMS` without `ulIvBits`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short_gcm: Option<bool>,
    /// What `C_Decrypt` answers to data that do not decrypt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decrypt_failure: Option<Code>,
    /// What `C_UnwrapKey` answers to data that do not unwrap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unwrap_failure: Option<Code>,
    /// Longest generic secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generic_secret_bytes_max: Option<u32>,
    /// Mechanisms that are listed and do not work; the gateway does without them where it can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<Code>,
    /// RFC 5649.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kwp: Option<Kwp>,
}

/// A profile: whose, and what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Whose.
    pub token: Of,
    /// What.
    pub facts: Facts,
}

/// What stands above each fact in the file.
const COMMENTS: &[(&str, &str)] = &[
    ("clear_import", "The token takes secret keys in clear (C_CreateObject); otherwise they are brought wrapped."),
    ("bare_templates", "Templates do without CKA_COPYABLE."),
    ("edwards_by_name", "Ed25519 is named by a PrintableString instead of its object identifier."),
    ("short_gcm", "CK_GCM_PARAMS in the older layout, without ulIvBits."),
    ("decrypt_failure", "What C_Decrypt answers to data that were changed, where that is not what the standard says."),
    ("unwrap_failure", "What C_UnwrapKey answers to data that were changed, where that is not what the standard says."),
    ("generic_secret_bytes_max", "The longest generic secret that was taken, of 4096 bytes at most."),
    ("unusable", "Mechanisms that are listed but fail; the gateway composes or refuses what they would do."),
    (
        "[facts.kwp]",
        "AES key wrap with padding (RFC 5649): the mechanism, and whether it fills values with zeros first.",
    ),
];

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    /// The file.
    ///
    /// # Errors
    ///
    /// What cannot be written as TOML.
    pub fn to_text(&self) -> Result<String, String> {
        let plain = toml::to_string(self).map_err(|error| error.to_string())?;
        let mut text = String::from(
            "# What `portcullis hsm probe` measured; [hsm.<name>] names this file as `profile`. It is believed for tokens of this\n# \
             manufacturer, model and firmware only. A line that is removed is found out at the first use again. You may add\n# \
             `workers = N` below [facts]: worker sessions where the configuration names none.\n\n",
        );
        for line in plain.lines() {
            let comment = COMMENTS.iter().find(|(key, _)| line == *key || line.starts_with(&format!("{key} =")));
            if let Some((_, comment)) = comment {
                text.push_str(&format!("# {comment}\n"));
            }
            text.push_str(line);
            text.push('\n');
        }
        Ok(text)
    }

    /// Whether it was measured on such a token; why not otherwise.
    pub(in crate::hsm) fn fits(&self, info: &TokenInfo) -> Result<(), String> {
        let pairs = [
            ("manufacturer", &self.token.manufacturer, &info.manufacturer),
            ("model", &self.token.model, &info.model),
            ("firmware", &self.token.firmware, &info.firmware),
        ];
        match pairs.into_iter().find(|(_, profiled, shown)| profiled != shown) {
            None => Ok(()),
            Some((what, profiled, shown)) => Err(format!("its {what} is {profiled:?}, the token's is {shown:?}")),
        }
    }
}

/// The vendor's row with the measured facts laid over it.
pub(in crate::hsm) fn overlaid(usual: &Quirk, facts: &Facts) -> Quirk {
    let mut quirk = usual.clone();
    quirk.short_gcm = facts.short_gcm.unwrap_or(usual.short_gcm);
    quirk.decrypt_failure = facts.decrypt_failure.map_or(usual.decrypt_failure, |code| Some(code.0));
    quirk.unwrap_failure = facts.unwrap_failure.map_or(usual.unwrap_failure, |code| Some(code.0));
    quirk.workers = facts.workers.unwrap_or(usual.workers);
    quirk
}

/// Every quirk: its value, and who says so.
pub(super) fn quirks(usual: &Quirk, facts: &Facts, profiled: bool) -> Vec<(String, String, String)> {
    let now = overlaid(usual, facts);
    let code = |code: Option<u64>| code.map_or_else(|| "-".to_owned(), |code| Code(code).to_string());
    let flag = |flag: bool| if flag { "yes".to_owned() } else { "no".to_owned() };
    let rows = [
        ("short_gcm", flag(now.short_gcm), facts.short_gcm.is_some()),
        ("decrypt_failure", code(now.decrypt_failure), facts.decrypt_failure.is_some()),
        ("unwrap_failure", code(now.unwrap_failure), facts.unwrap_failure.is_some()),
        ("one_call", flag(now.one_call), false),
        ("workers", now.workers.to_string(), false),
        ("software", flag(now.software), false),
        ("simulated", flag(now.simulated), false),
    ];
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|(name, value, measured)| {
            let source = if measured { "measured" } else { "table of vendors" };
            (name.to_owned(), value, source.to_owned())
        })
        .collect();
    let profile = if profiled { "believed" } else { "none, or of another make" };
    rows.push(("profile".to_owned(), profile.to_owned(), "configuration".to_owned()));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile() -> Profile {
        Profile {
            token: Of {
                manufacturer: "Acme".into(),
                model: "Vault".into(),
                firmware: "1.2".into(),
                library: "Acme PKCS#11 3.4".into(),
            },
            facts: Facts {
                clear_import: Some(false),
                decrypt_failure: Some(Code(0x40)),
                unusable: vec![Code(0x1086)],
                kwp: Some(Kwp { mechanism: Some(Code(0x210B)), fills: true }),
                ..Facts::default()
            },
        }
    }

    #[test]
    fn a_profile_is_read_as_it_was_written() {
        let text = profile().to_text().unwrap();
        assert!(text.contains("decrypt_failure = \"0x00000040\""), "{text}");
        assert_eq!(Profile::parse(&text).unwrap(), profile());
    }

    #[test]
    fn mechanisms_may_be_named_and_unknown_keys_are_refused() {
        let text = profile().to_text().unwrap();
        let named = text.replace("\"0x00001086\"", "\"CKM_AES_CTR\"");
        assert_ne!(text, named);
        assert_eq!(Profile::parse(&named).unwrap(), profile());
        assert!(Profile::parse(&text.replace("clear_import", "clear_inport")).is_err());
        assert!(Profile::parse(&text.replace("\"0x00001086\"", "\"CKM_NONE\"")).unwrap_err().contains("CKM_NONE"));
    }

    #[test]
    fn measured_facts_win_over_the_table_and_only_they() {
        let usual = crate::hsm::quirks::find("Kryoptic");
        let now = overlaid(usual, &profile().facts);
        assert_eq!(now.decrypt_failure, Some(0x40));
        assert_eq!(now.unwrap_failure, usual.unwrap_failure);
        assert_eq!(now.workers, usual.workers);
    }
}
