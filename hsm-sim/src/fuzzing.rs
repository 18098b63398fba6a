//! What the fuzz targets call; not part of the API and free to change. None of it may panic on any bytes.

use crate::{
    abi,
    core::{attributes::Attributes, object::Object},
    fault::{FaultsConfig, check, socket},
};

/// A template as a C program hands it over.
pub fn template(bytes: &[u8]) {
    abi::fuzzing::template(bytes);
}

/// A mechanism's parameter as a C program hands it over, and what is done with it.
pub fn parameters(bytes: &[u8]) {
    abi::fuzzing::parameters(bytes);
}

/// An object's body as the store gives it back: read, shown and made a key.
///
/// # Panics
///
/// When a body that was accepted is written differently: that is the finding.
pub fn record(bytes: &[u8]) {
    let Ok(attributes) = Attributes::decode(bytes) else { return };
    assert_eq!(attributes.encode().as_slice(), bytes, "a body changed by being read");
    let Ok(object) = Object::new([0; 16], 1, attributes) else { return };
    // The standard's own attributes, and whatever the body has.
    for attribute in (0..0x700).chain(object.attributes.iter().map(|entry| entry.0)) {
        let _shown = object.read(attribute);
    }
    let _key = object.key().map(drop);
}

/// A request of the control protocol, or a plan.
pub fn control(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    socket::read(&text);
    if let Ok(plan) = FaultsConfig::parse(&text) {
        let _refused = check(&plan);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every target takes noise, short and long.
    #[test]
    fn noise_is_refused_quietly() {
        let mut state = 1_u64;
        for length in 0..400 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    u8::try_from(state >> 56).unwrap()
                })
                .collect();
            for target in [template, parameters, record, control] {
                target(&bytes);
            }
        }
        control(br#"{"do":"set","plan":"[[faults.rule]]\naction = { return = \"CKR_DEVICE_ERROR\" }"}"#);
        record(&[1]);
    }
}
