//! Credentials (KMIP 1.0 §2.1.2, 2.1 §9.11): the type says which structure the value is.

use crate::attribute::Nonce;
use crate::codec::{Codec, DateTimeExtended, fields};
use crate::error::DecodeError;
use crate::fuzzing::{Sample, Seeds};
use crate::secret::{SecretBytes, SecretText};
use crate::spec::enums::{AttestationType, CredentialType, HashingAlgorithm, TicketType};
use crate::spec::tags::Tag;
use crate::ttlv::{Context, Item, Reader, Value, Writer};
use crate::version::{ProtocolVersion, VersionRange, versions};

fields! {
    /// A user name and, nearly always, a password.
    pub struct UsernameAndPassword {
        username: required String, [USERNAME V1_0..];
        password: optional SecretText, [PASSWORD V1_0..];
    }

    /// What identifies a device; at least one field is there.
    #[derive(Default)]
    pub struct Device {
        device_serial_number: optional String, [DEVICE_SERIAL_NUMBER V1_1..];
        password: optional SecretText, [PASSWORD V1_1..];
        device_identifier: optional String, [DEVICE_IDENTIFIER V1_1..];
        network_identifier: optional String, [NETWORK_IDENTIFIER V1_1..];
        machine_identifier: optional String, [MACHINE_IDENTIFIER V1_1..];
        media_identifier: optional String, [MEDIA_IDENTIFIER V1_1..];
    }

    /// A statement about the client's state, made for a nonce of the server.
    pub struct Attestation {
        nonce: required Nonce, [NONCE V1_2..];
        attestation_type: required AttestationType, [ATTESTATION_TYPE V1_2..];
        attestation_measurement: optional Vec<u8>, [ATTESTATION_MEASUREMENT V1_2..];
        attestation_assertion: optional Vec<u8>, [ATTESTATION_ASSERTION V1_2..];
    }

    /// A password that is good once.
    pub struct OneTimePassword {
        username: required String, [USERNAME V2_0..];
        password: optional SecretText, [PASSWORD V2_0..];
        one_time_password: required SecretText, [ONE_TIME_PASSWORD V2_0..];
    }

    /// Proof of a password without the password.
    pub struct HashedPassword {
        username: required String, [USERNAME V2_0..];
        time_stamp: required DateTimeExtended, [TIME_STAMP V2_0..];
        hashing_algorithm: optional HashingAlgorithm, [HASHING_ALGORITHM V2_0..];
        hashed_password: required SecretBytes, [HASHED_PASSWORD V2_0..];
    }

    /// A ticket in the place of a credential.
    pub struct TicketCredential {
        ticket: required Ticket, [TICKET V2_0..];
    }

    /// What Login returns and Logout ends (KMIP 2.0 §5.20).
    pub struct Ticket {
        ticket_type: required TicketType, [TICKET_TYPE V2_0..];
        ticket_value: required SecretBytes, [TICKET_VALUE V2_0..];
    }
}

macro_rules! credentials {
    ($($variant:ident $type:ident $credential_type:ident [$($versions:tt)+];)+) => {
        /// One credential.
        #[derive(PartialEq, Debug)]
        pub enum Credential {
            $(
                #[doc = concat!(stringify!($credential_type), ", ", stringify!($($versions)+), ".")]
                $variant($type),
            )+
            /// A type this version does not define; the value is kept as it is.
            Other(CredentialType, Value<'static>),
        }

        impl Credential {
            /// Type and versions of every credential.
            pub const ROWS: &'static [(CredentialType, VersionRange)] =
                &[$((CredentialType::$credential_type, versions!($($versions)+)),)+];

            /// The type of the credential.
            pub const fn credential_type(&self) -> CredentialType {
                match self {
                    $(Self::$variant(_) => CredentialType::$credential_type,)+
                    Self::Other(credential_type, _) => *credential_type,
                }
            }
        }

        impl Codec for Credential {
            fn decode(item: &Item<'_>, context: Context) -> Result<Self, DecodeError> {
                let mut reader = Reader::new(item, context)?;
                let credential_type = reader.required(Tag::CREDENTIAL_TYPE)?;
                let value = reader.required(Tag::CREDENTIAL_VALUE)?;
                let credential_type = CredentialType::decode(&credential_type, context);
                let credential = credential_type.and_then(|credential_type| match credential_type {
                    $(
                        CredentialType::$credential_type if versions!($($versions)+).contains(context.version) => {
                            Codec::decode(&value, context).map(Self::$variant)
                        }
                    )+
                    other => Codec::decode(&value, context).map(|value| Self::Other(other, value)),
                });
                let credential = credential.map_err(|error| reader.within(error))?;
                reader.finish()?;
                Ok(credential)
            }

            fn encode(&self, tag: Tag, writer: &mut Writer) {
                writer.structure(tag, |writer| {
                    self.credential_type().encode(Tag::CREDENTIAL_TYPE, writer);
                    match self {
                        $(Self::$variant(value) => value.encode(Tag::CREDENTIAL_VALUE, writer),)+
                        Self::Other(_, value) => value.encode(Tag::CREDENTIAL_VALUE, writer),
                    }
                });
            }
        }

        impl Sample for Credential {
            fn sample(seeds: &mut Seeds, version: ProtocolVersion) -> Self {
                let known: Vec<_> = Self::ROWS.iter().filter(|(_, versions)| versions.contains(version)).collect();
                match seeds.one_of(&known).map(|(credential_type, _)| *credential_type) {
                    $(Some(CredentialType::$credential_type) => Self::$variant(Sample::sample(seeds, version)),)+
                    _ => Self::UsernameAndPassword(Sample::sample(seeds, version)),
                }
            }
        }
    };
}

credentials! {
    UsernameAndPassword UsernameAndPassword USERNAME_AND_PASSWORD [V1_0..];
    Device              Device              DEVICE                [V1_1..];
    Attestation         Attestation         ATTESTATION           [V1_2..];
    OneTimePassword     OneTimePassword     ONE_TIME_PASSWORD     [V2_0..];
    HashedPassword      HashedPassword      HASHED_PASSWORD       [V2_0..];
    Ticket              TicketCredential    TICKET                [V2_0..];
}
