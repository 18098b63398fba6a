//! PKCS#11: a virtual library behind KMIP (KMIP 2.0 §6.1.38; PKCS#11 profile). No handle of a real token is ever reachable.
//!
//! The library knows how to be initialised, to tell of itself and to be finalised, as the profile asks. Function numbers are
//! places in `CK_FUNCTION_LIST`; structures are packed, big endian, numbers in eight bytes.

use kmip_codec::{
    payload::{Pkcs11Request, Pkcs11Response},
    secret::SecretBytes,
    spec::enums::{Pkcs11Function, Pkcs11ReturnCode, ResultReason},
};

use crate::kmip::{
    batch::Exchange,
    error::Refusal,
    streams::{Held, VALUE_BYTES},
};

const CKR_ARGUMENTS_BAD: u32 = 0x07;
const CKR_FUNCTION_NOT_SUPPORTED: u32 = 0x54;
const CKR_CRYPTOKI_NOT_INITIALIZED: u32 = 0x190;
const CKR_CRYPTOKI_ALREADY_INITIALIZED: u32 = 0x191;

/// How many functions PKCS#11 3.0 lists.
const FUNCTIONS: u32 = 92;
/// The interfaces that are this library: the default one by its names.
const INTERFACES: &[&str] = &["PKCS 11", "PKCS#11"];

pub(in crate::kmip) async fn pkcs11(on: &mut Exchange<'_>, request: Pkcs11Request) -> Result<Pkcs11Response, Refusal> {
    let Pkcs11Request { interface, function, correlation_value, input_parameters } = request;
    if interface.as_deref().is_some_and(|name| !INTERFACES.contains(&name)) {
        return Err(Refusal::new(ResultReason::PKCS_11_INVALID_INTERFACE, "there is no such interface"));
    }
    if !(1..=FUNCTIONS).contains(&function.number()) {
        return Err(Refusal::new(ResultReason::PKCS_11_INVALID_FUNCTION, "there is no such function"));
    }
    let answer = |code: u32, correlation_value, output: Option<Vec<u8>>| Pkcs11Response {
        interface: interface.clone(),
        function,
        correlation_value,
        output_parameters: output.map(SecretBytes::from),
        return_code: Pkcs11ReturnCode::from_number(code),
    };
    let initialised = match &correlation_value {
        None => false,
        Some(value) => {
            let (_, held) = on.service.streams.take(value, on.principal(), on.now(), on.version)?;
            matches!(held, Held::Pkcs11)
        }
    };
    let keep =
        |value: Vec<u8>| on.service.streams.keep(value, on.principal(), None, Held::Pkcs11, on.now(), on.version);
    match (function, initialised) {
        (Pkcs11Function::C_INITIALIZE, true) => {
            keep(correlation_value.unwrap_or_default())?;
            Ok(answer(CKR_CRYPTOKI_ALREADY_INITIALIZED, None, None))
        }
        (Pkcs11Function::C_INITIALIZE, false) => {
            // The argument is a presence byte and, where it says so, the structure.
            let present = input_parameters.as_ref().is_none_or(|it| !it.expose_secret().is_empty());
            if !present {
                return Ok(answer(CKR_ARGUMENTS_BAD, None, None));
            }
            let value = on.random(VALUE_BYTES);
            keep(value.clone())?;
            Ok(answer(0, Some(value), None))
        }
        (_, false) => Ok(answer(CKR_CRYPTOKI_NOT_INITIALIZED, None, None)),
        (Pkcs11Function::C_FINALIZE, true) => Ok(answer(0, None, None)),
        (function, true) => {
            keep(correlation_value.unwrap_or_default())?;
            Ok(match function {
                Pkcs11Function::C_GET_INFO => answer(0, None, Some(info())),
                _ => answer(CKR_FUNCTION_NOT_SUPPORTED, None, None),
            })
        }
    }
}

/// `CK_INFO`: version 2.40, manufacturer, no flags, description, version of the library.
fn info() -> Vec<u8> {
    let mut packed = vec![2, 40];
    packed.extend(padded("Portcullis"));
    packed.extend([0; 8]);
    packed.extend(padded("KMIP virtual library"));
    packed.extend([1, 0]);
    packed
}

/// Text in 32 bytes, filled with blanks.
fn padded(text: &str) -> [u8; 32] {
    let mut field = [b' '; 32];
    field.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
    field
}
