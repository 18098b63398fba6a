//! The use cases by name, for policy, audit and metrics.

use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, $effect:ident;)*) => {
        /// A use case. The text is stable: it is a metric label and stands in audit records.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum OperationKind { $($(#[$meta])* $variant,)* }
        impl OperationKind {
            /// Every use case.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// The stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
            /// What it does to the world.
            #[must_use]
            pub const fn effect(self) -> Effect {
                match self { $(Self::$variant => Effect::$effect,)* }
            }
        }
    };
}

/// What a use case does to the world; decides how durable its audit record is before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Reads metadata.
    Read,
    /// Uses a key, or lets a value out.
    Use,
    /// Changes something.
    Change,
}

operations! {
    /// Makes a symmetric key or secret data inside the HSM.
    Create = "create", Change;
    /// Makes a key pair inside the HSM.
    CreateKeyPair = "create-key-pair", Change;
    /// Takes a client's value in.
    Register = "register", Change;
    /// Lets a value out, plain.
    Reveal = "reveal", Use;
    /// Lets a value out wrapped under another key.
    RevealWrapped = "reveal-wrapped", Use;
    /// Reads attributes or metadata.
    ReadAttributes = "read-attributes", Read;
    /// Adds, changes or deletes an attribute.
    ChangeAttributes = "change-attributes", Change;
    /// Finds objects.
    Locate = "locate", Read;
    /// Checks whether a use would be allowed.
    Check = "check", Read;
    /// Activates.
    Activate = "activate", Change;
    /// Revokes.
    Revoke = "revoke", Change;
    /// Destroys.
    Destroy = "destroy", Change;
    /// Barbican's DELETE: revokes where needed and destroys, one record.
    Retire = "retire", Change;
    /// Barbican's late payload.
    SetValue = "set-value", Change;
    /// Encrypts.
    Encrypt = "encrypt", Use;
    /// Decrypts.
    Decrypt = "decrypt", Use;
    /// Signs.
    Sign = "sign", Use;
    /// Verifies a signature.
    SignatureVerify = "signature-verify", Use;
    /// Makes a MAC.
    Mac = "mac", Use;
    /// Verifies a MAC.
    MacVerify = "mac-verify", Use;
    /// Random bytes of the HSM.
    RngRetrieve = "rng-retrieve", Use;
    /// Mixes bytes into the HSM's generator.
    RngSeed = "rng-seed", Change;
    /// Hashes without a key.
    Hash = "hash", Read;
    /// Lists secrets.
    ListSecrets = "list-secrets", Read;
    /// Reads user metadata of a secret.
    ReadMetadata = "read-metadata", Read;
    /// Changes user metadata of a secret.
    ChangeMetadata = "change-metadata", Change;
    /// Reads an access list.
    ReadGrants = "read-grants", Read;
    /// Changes an access list.
    ChangeGrants = "change-grants", Change;
    /// Reads consumers.
    ReadConsumers = "read-consumers", Read;
    /// Adds or removes a consumer.
    ChangeConsumers = "change-consumers", Change;
    /// Makes a container.
    CreateGroup = "create-container", Change;
    /// Reads a container.
    ReadGroup = "read-container", Read;
    /// Lists containers.
    ListGroups = "list-containers", Read;
    /// Adds or removes a member of a container.
    ChangeGroupMembers = "change-container-members", Change;
    /// Deletes a container.
    DeleteGroup = "delete-container", Change;
    /// Reads the access list of a container.
    ReadGroupGrants = "read-container-grants", Read;
    /// Changes the access list of a container.
    ChangeGroupGrants = "change-container-grants", Change;
    /// Reads consumers of a container.
    ReadGroupConsumers = "read-container-consumers", Read;
    /// Adds or removes a consumer of a container.
    ChangeGroupConsumers = "change-container-consumers", Change;
    /// Stores an order.
    SubmitJob = "submit-order", Change;
    /// Reads an order.
    ReadJob = "read-order", Read;
    /// Lists orders.
    ListJobs = "list-orders", Read;
    /// Deletes an order.
    DeleteJob = "delete-order", Change;
    /// Does the work of an order.
    RunJob = "run-order", Change;
    /// Asks what the server can do.
    Query = "query", Read;
    /// Reads quotas of the own project.
    ReadQuotas = "read-quotas", Read;
    /// Repairs what a crash left.
    Reconcile = "reconcile", Change;
    /// Opens a connection; recorded when the client behind it is refused.
    Connect = "connect", Read;
    /// Archives or recovers.
    Archive = "archive", Change;
    /// Asks for a lease or a usage allocation.
    Lease = "lease", Change;
    /// Replaces a key by a new one.
    Rekey = "re-key", Change;
    /// Derives a key.
    Derive = "derive", Change;
    /// Makes a certificate for a public key, or renews one.
    Certify = "certify", Change;
    /// Checks a chain of certificates.
    Validate = "validate", Read;
    /// Splits a key into parts.
    SplitKey = "split-key", Change;
    /// Joins the parts of a key.
    JoinKey = "join-split-key", Change;
    /// Unwraps a client's key under a key that is here.
    Unwrap = "unwrap", Use;
    /// Takes an object in with its identifier and every attribute.
    Import = "import", Change;
    /// Lets an object out with every attribute.
    Export = "export", Use;
    /// Reads the quotas that were set for projects.
    ReadProjectQuotas = "read-project-quotas", Read;
    /// Sets or removes the quotas of a project.
    ChangeProjectQuotas = "change-project-quotas", Change;
    /// Reads which secret stores there are.
    ReadSecretStores = "read-secret-stores", Read;
    /// Sets or removes the secret store that a project prefers.
    ChangePreferredStore = "change-preferred-store", Change;
    /// Reads transport keys.
    ReadTransportKeys = "read-transport-keys", Read;
    /// Stores or deletes a transport key.
    ChangeTransportKeys = "change-transport-keys", Change;
    /// Removes everything of a project.
    PurgeProject = "purge-project", Change;
    /// Removes what is past its time: expired secrets and old tombstones.
    PurgeExpired = "purge-expired", Change;
    /// A request of the Barbican API that ended before any use case.
    Refuse = "refuse", Read;
    /// Removes an object with its value and every attribute.
    Obliterate = "obliterate", Change;
    /// Ends an object's active life, without a reason to distrust it.
    Deactivate = "deactivate", Change;
    /// Makes a user, group or credential.
    CreateAccount = "create-account", Change;
    /// Derives a key from a value outside of the HSM, which cannot do it: never asked for, but what a derivation turns out to be.
    DeriveInSoftware = "derive-in-software", Change;
    /// Gives a client another certificate to connect with.
    ReProvision = "re-provision", Change;
    /// Takes a key that stands on a token already into a project.
    Adopt = "adopt", Change;
    /// Moves the value of an object to another token.
    Migrate = "migrate", Change;
}
