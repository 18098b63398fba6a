//! The engine numbers algorithms, curves and formats as KMIP does, in a table of its own; the codec's tables are the
//! standard's. Whatever the engine has a name for must have the same name at the same number there.

use kmip_codec::spec::enums::{self, EnumRow};
use portcullis::domain::{CryptographicAlgorithm, algorithm};

/// The letters and digits of a name: the two tables spell word boundaries differently.
fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn compare(rows: &[EnumRow], name: impl Fn(u32) -> Option<&'static str>) -> usize {
    let named: Vec<_> = (0..0x200).filter_map(|number| name(number).map(|name| (number, name))).collect();
    for (number, name) in &named {
        // The standard calls 3DES both, 3DES in its text and DES3 where a name may not begin with a digit.
        let ours = letters(if *name == "3DES" { "DES3" } else { name });
        let theirs: Vec<_> = rows.iter().filter(|row| row.number == *number).map(|row| letters(row.name)).collect();
        assert!(theirs.contains(&ours), "{number:#x} is {name} here and {theirs:?} in KMIP");
    }
    named.len()
}

#[test]
fn the_engine_and_the_standard_agree_on_every_number() {
    let mut all = 0;
    all += compare(enums::CryptographicAlgorithm::ROWS, |number| CryptographicAlgorithm(number).name());
    all += compare(enums::HashingAlgorithm::ROWS, |number| algorithm::HashingAlgorithm(number).name());
    all += compare(enums::BlockCipherMode::ROWS, |number| algorithm::BlockCipherMode(number).name());
    all += compare(enums::PaddingMethod::ROWS, |number| algorithm::PaddingMethod(number).name());
    all +=
        compare(enums::DigitalSignatureAlgorithm::ROWS, |number| algorithm::DigitalSignatureAlgorithm(number).name());
    all += compare(enums::KeyFormatType::ROWS, |number| algorithm::KeyFormatType(number).name());
    all += compare(enums::RecommendedCurve::ROWS, |number| algorithm::RecommendedCurve(number).name());
    assert!(all > 100, "only {all} names were compared");
}
