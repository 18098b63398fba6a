//! What crosses between the gateway and the process of a module: one question and one answer at a time on each connection.
//!
//! A question is one step of a [`Session`](super::super::raw::Session), not one C function: an encryption crosses once and not
//! twice. Frames are a length and a postcard body, in zeroised buffers of exactly their size; a longer length than a module may
//! answer ends the process. A peer that is not the same program file cannot be here, so there is no version.

use std::{
    borrow::Cow,
    fmt,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use cryptoki_sys::{CK_ATTRIBUTE_TYPE, CK_RV, CK_SLOT_ID};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use super::super::{
    layout::{Attribute, Mechanism},
    raw::{Fault, Handle, OUTPUT_MAX, TokenInfo},
};

/// No frame is longer: the longest output, and what belongs to it.
const FRAME_MAX: usize = OUTPUT_MAX + (1 << 20);

/// Bytes that are asked with.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a [u8]>::deserialize(deserializer).map(Self)
    }
}

/// Byte strings that may be values: `#[serde(with = "secret_bytes")]`.
pub(in crate::hsm) mod secret_bytes {
    use super::{Deserializer, Serializer, Zeroizing, de, fmt};

    pub(in crate::hsm) fn serialize<S: Serializer>(value: &Zeroizing<Vec<u8>>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(value)
    }

    pub(in crate::hsm) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Zeroizing<Vec<u8>>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Zeroizing::new(bytes.to_vec()))
            }
        }
        from.deserialize_bytes(Visitor)
    }
}

/// A question. Those from `Close` on are for the session that the connection holds.
#[derive(Serialize, Deserialize)]
pub(super) enum Ask<'a> {
    /// Load the module and initialise it, or initialise it anew where it has forgotten that it was.
    Load {
        /// Its path; `None`: the file that was handed over.
        path: Option<Cow<'a, str>>,
        reserved: Option<Cow<'a, str>>,
    },
    Slots,
    TokenInfo(CK_SLOT_ID),
    Mechanisms(CK_SLOT_ID),
    MechanismInfo(CK_SLOT_ID, u64),
    Open(CK_SLOT_ID),
    CloseAll(CK_SLOT_ID),
    Finalize,
    Close,
    /// Let the session go without closing it. There is no answer.
    Abandon,
    State,
    Login(#[serde(borrow)] Option<Bytes<'a>>),
    Cancel,
    Random(u64),
    Seed(#[serde(borrow)] Bytes<'a>),
    Create(Cow<'a, [Attribute]>),
    Destroy(Handle),
    Find(Cow<'a, [Attribute]>, u64),
    Attribute(Handle, CK_ATTRIBUTE_TYPE, u64),
    Set(Handle, Cow<'a, [Attribute]>),
    Flags(Handle, [CK_ATTRIBUTE_TYPE; 2]),
    Generate(Cow<'a, Mechanism>, Cow<'a, [Attribute]>),
    GeneratePair(Cow<'a, Mechanism>, Cow<'a, [Attribute]>, Cow<'a, [Attribute]>),
    Wrap {
        mechanism: Cow<'a, Mechanism>,
        wrapping: Handle,
        key: Handle,
        guess: u64,
    },
    Derive(Cow<'a, Mechanism>, Handle, Cow<'a, [Attribute]>),
    Unwrap {
        mechanism: Cow<'a, Mechanism>,
        unwrapping: Handle,
        #[serde(borrow)]
        blob: Bytes<'a>,
        template: Cow<'a, [Attribute]>,
    },
    Encrypt(Cow<'a, Mechanism>, Handle, #[serde(borrow)] Bytes<'a>),
    EncryptBack(Cow<'a, Mechanism>, Handle, #[serde(borrow)] Bytes<'a>),
    Decrypt(Cow<'a, Mechanism>, Handle, #[serde(borrow)] Bytes<'a>),
    Sign(Cow<'a, Mechanism>, Handle, #[serde(borrow)] Bytes<'a>),
    Verify {
        mechanism: Cow<'a, Mechanism>,
        key: Handle,
        #[serde(borrow)]
        data: Bytes<'a>,
        #[serde(borrow)]
        signature: Bytes<'a>,
    },
}

impl Ask<'_> {
    /// The function that stands for the step where the process does not answer.
    pub(super) const fn function(&self) -> &'static str {
        match self {
            Self::Load { .. } => "C_Initialize",
            Self::Slots => "C_GetSlotList",
            Self::TokenInfo(_) => "C_GetTokenInfo",
            Self::Mechanisms(_) => "C_GetMechanismList",
            Self::MechanismInfo(..) => "C_GetMechanismInfo",
            Self::Set(..) => "C_SetAttributeValue",
            Self::Open(_) => "C_OpenSession",
            Self::CloseAll(_) => "C_CloseAllSessions",
            Self::Finalize => "C_Finalize",
            Self::Close | Self::Abandon => "C_CloseSession",
            Self::State => "C_GetSessionInfo",
            Self::Login(_) => "C_Login",
            Self::Cancel => "C_SessionCancel",
            Self::Random(_) => "C_GenerateRandom",
            Self::Seed(_) => "C_SeedRandom",
            Self::Create(_) => "C_CreateObject",
            Self::Destroy(_) => "C_DestroyObject",
            Self::Find(..) => "C_FindObjects",
            Self::Attribute(..) | Self::Flags(..) => "C_GetAttributeValue",
            Self::Generate(..) => "C_GenerateKey",
            Self::GeneratePair(..) => "C_GenerateKeyPair",
            Self::Wrap { .. } => "C_WrapKey",
            Self::Derive(..) => "C_DeriveKey",
            Self::Unwrap { .. } => "C_UnwrapKey",
            Self::Encrypt(..) | Self::EncryptBack(..) => "C_Encrypt",
            Self::Decrypt(..) => "C_Decrypt",
            Self::Sign(..) => "C_Sign",
            Self::Verify { .. } => "C_Verify",
        }
    }

    /// How long its answer is waited for, where a call may take `limit`.
    pub(super) const fn patience(&self, limit: Duration) -> Duration {
        match self {
            // Making keys takes longer, and so may a first connection to a device, or a person at one.
            Self::Load { .. } | Self::Generate(..) | Self::GeneratePair(..) | Self::Login(None) => {
                limit.saturating_mul(10)
            }
            Self::Finalize => Duration::from_secs(5),
            _ => limit,
        }
    }
}

/// What was answered.
#[derive(Serialize, Deserialize)]
pub(super) enum Told {
    Done,
    Number(u64),
    Numbers(Vec<u64>),
    Pair(Handle, Handle),
    Flags([bool; 2]),
    Verdict(bool),
    Bytes(#[serde(with = "secret_bytes")] Zeroizing<Vec<u8>>),
    Sealed(#[serde(with = "secret_bytes")] Zeroizing<Vec<u8>>, Option<Vec<u8>>),
    Token(TokenInfo),
    /// The module is loaded and initialised.
    Loaded {
        one_thread: bool,
        description: String,
        library: String,
    },
    /// It is not; where it is not even a module, waiting does not help.
    Refused {
        is_module: bool,
        why: String,
    },
}

/// A call that the module has answered, for the one who counts.
#[derive(Serialize, Deserialize)]
pub(super) struct Call {
    function: u8,
    rv: CK_RV,
    nanos: u64,
}

impl Call {
    pub(super) fn new(function: &'static str, rv: CK_RV, took: Duration) -> Self {
        Self { function: number(function), rv, nanos: u64::try_from(took.as_nanos()).unwrap_or(u64::MAX) }
    }

    pub(super) fn parts(&self) -> (&'static str, CK_RV, Duration) {
        (name(self.function), self.rv, Duration::from_nanos(self.nanos))
    }
}

/// An answer, or what the module answered instead; and the calls that it took.
#[derive(Serialize, Deserialize)]
pub(super) struct Reply {
    told: Result<Told, (u8, CK_RV)>,
    pub(super) calls: Vec<Call>,
}

impl Reply {
    pub(super) fn new(told: Result<Told, Fault>, calls: Vec<Call>) -> Self {
        Self { told: told.map_err(|fault| (number(fault.function), fault.rv)), calls }
    }

    pub(super) fn told(self) -> Result<Told, Fault> {
        self.told.map_err(|(function, rv)| Fault { function: name(function), rv })
    }
}

/// What `raw` names in a fault or to its observer; a number crosses, and comes back as one of these texts.
static FUNCTIONS: &[&str] = &[
    "C_Initialize",
    "C_Finalize",
    "C_GetSlotList",
    "C_GetTokenInfo",
    "C_GetMechanismList",
    "C_GetMechanismInfo",
    "C_SetAttributeValue",
    "C_OpenSession",
    "C_CloseSession",
    "C_CloseAllSessions",
    "C_GetSessionInfo",
    "C_Login",
    "C_SessionCancel",
    "C_GenerateRandom",
    "C_SeedRandom",
    "C_CreateObject",
    "C_DestroyObject",
    "C_FindObjectsInit",
    "C_FindObjects",
    "C_FindObjectsFinal",
    "C_GetAttributeValue",
    "C_GenerateKey",
    "C_GenerateKeyPair",
    "C_WrapKey",
    "C_UnwrapKey",
    "C_DeriveKey",
    "C_EncryptInit",
    "C_Encrypt",
    "C_DecryptInit",
    "C_Decrypt",
    "C_SignInit",
    "C_Sign",
    "C_VerifyInit",
    "C_Verify",
    "output length",
    "C_InitToken",
    "C_InitPIN",
    "C_Logout",
];

/// A name that is not in the table.
const UNKNOWN: &str = "PKCS#11";

fn number(function: &str) -> u8 {
    FUNCTIONS.iter().position(|name| *name == function).and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

fn name(number: u8) -> &'static str {
    FUNCTIONS.get(usize::from(number)).copied().unwrap_or(UNKNOWN)
}

fn malformed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Writes one frame.
pub(super) fn send<T: Serialize>(mut stream: &UnixStream, message: &T) -> io::Result<()> {
    const HEAD: usize = size_of::<u32>();
    let size = postcard::experimental::serialized_size(message).map_err(malformed)?;
    let length = u32::try_from(size).ok().filter(|_| size <= FRAME_MAX).ok_or_else(|| malformed("a frame too long"))?;
    let mut frame = Zeroizing::new(vec![0; HEAD + size]);
    let (head, body) = frame.split_at_mut(HEAD);
    head.copy_from_slice(&length.to_le_bytes());
    postcard::to_slice(message, body).map_err(malformed)?;
    stream.write_all(&frame)
}

/// Reads one frame's body; `until` is when the peer must have sent all of it.
pub(super) fn receive(stream: &UnixStream, until: Option<Instant>) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut head = [0; 4];
    fill(stream, &mut head, until)?;
    let length = usize::try_from(u32::from_le_bytes(head)).map_err(malformed)?;
    if length > FRAME_MAX {
        return Err(malformed("a frame too long"));
    }
    let mut body = Zeroizing::new(vec![0; length]);
    fill(stream, &mut body, until)?;
    Ok(body)
}

fn fill(mut stream: &UnixStream, mut rest: &mut [u8], until: Option<Instant>) -> io::Result<()> {
    while !rest.is_empty() {
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
        }
        match stream.read(rest) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => rest = rest.get_mut(count..).unwrap_or_default(),
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::layout::{Mechanism, Parameter},
        *,
    };

    #[test]
    fn every_function_that_raw_calls_has_a_number() {
        let source = include_str!("../raw.rs");
        let called = source.match_indices("C_").map(|(at, _)| {
            let rest = &source[at..];
            &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())]
        });
        let called: std::collections::BTreeSet<&str> = called.collect();
        // How a module is found and loaded is over before anything crosses.
        let before = ["C_", "C_GetFunctionList", "C_GetInterface"];
        let lacking: Vec<&&str> =
            called.iter().filter(|name| !before.contains(*name) && !FUNCTIONS.contains(*name)).collect();
        assert!(called.len() > 30 && lacking.is_empty(), "{lacking:?}");
        assert!(FUNCTIONS.iter().all(|function| name(number(function)) == *function));
        assert_eq!(name(number("C_Unheard")), UNKNOWN);
    }

    #[test]
    fn a_question_and_its_answer_cross() {
        let (one, other) = UnixStream::pair().unwrap();
        let mechanism = Mechanism {
            code: 0x1087,
            parameter: Parameter::Gcm { iv: vec![1; 12], aad: vec![2; 3], tag_bits: 128, short: false },
        };
        let template = [Attribute::flag(1, true), Attribute::number(2, 3), Attribute::bytes(4, vec![5; 300])];
        let ask = Ask::Unwrap {
            mechanism: Cow::Borrowed(&mechanism),
            unwrapping: 7,
            blob: Bytes(&[8; 1000]),
            template: Cow::Borrowed(&template),
        };
        send(&one, &ask).unwrap();
        let frame = receive(&other, Some(Instant::now() + Duration::from_secs(60))).unwrap();
        let Ask::Unwrap { mechanism, unwrapping: 7, blob: Bytes(blob), template } =
            postcard::from_bytes(&frame).unwrap()
        else {
            panic!("another question")
        };
        assert!(matches!(&mechanism.parameter, Parameter::Gcm { iv, aad, .. } if iv.len() == 12 && aad == &[2; 3]));
        assert_eq!((blob, template.len()), (&[8; 1000][..], 3));
        assert!(template[2].same(&Attribute::bytes(4, vec![5; 300])));

        let calls = vec![Call::new("C_UnwrapKey", 5, Duration::from_micros(9))];
        send(&other, &Reply::new(Err(Fault { function: "C_UnwrapKey", rv: 5 }), calls)).unwrap();
        let frame = receive(&one, None).unwrap();
        let reply: Reply = postcard::from_bytes(&frame).unwrap();
        assert_eq!(reply.calls[0].parts(), ("C_UnwrapKey", 5, Duration::from_micros(9)));
        assert_eq!(reply.told().err(), Some(Fault { function: "C_UnwrapKey", rv: 5 }));
    }

    #[test]
    fn silence_an_end_and_a_lie_about_the_length_are_errors() {
        let (one, mut other) = UnixStream::pair().unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(20));
        assert_eq!(receive(&one, soon()).unwrap_err().kind(), io::ErrorKind::TimedOut);
        other.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert_eq!(receive(&one, soon()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        other.write_all(&[9, 0, 0, 0, 1]).unwrap();
        drop(other);
        assert_eq!(receive(&one, None).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
