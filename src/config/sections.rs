//! Every section and key, with its type and default. `None` means that there is no default: the key is required, unless
//! its type is an `Option`, a list or a section.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use super::{
    reader::{Node, Reading, Setting},
    setting::{section, words},
};

pub use super::setting::Within;
use crate::domain::{CryptographicAlgorithm, algorithm::HashingAlgorithm, attributes::RngParameters};

/// Seconds, at least one, at most a day.
pub type Seconds = Within<1, 86_400>;
/// Bytes of a message or value.
pub type Bytes = Within<1_024, 1_073_741_824>;
/// How many of something there may be.
pub type Quantity = Within<1, 1_000_000>;

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

words! {
    /// An object type that a group takes.
    PlacedType {
        /// Symmetric keys.
        SymmetricKey = "symmetric-key",
        /// Private keys.
        PrivateKey = "private-key",
        /// Public keys.
        PublicKey = "public-key",
        /// Certificates.
        Certificate = "certificate",
        /// Secret data, passwords among them.
        SecretData = "secret-data",
        /// Opaque objects.
        OpaqueObject = "opaque-object",
        /// Parts of split keys.
        SplitKey = "split-key",
        /// PGP keys.
        PgpKey = "pgp-key",
    }

    /// Where a token's module runs.
    Isolation {
        /// In the gateway's own process.
        Thread = "thread",
        /// In a process of its own.
        Process = "process",
    }

    /// How strictly wrapped keys leave (design decision 20).
    Wrapping {
        /// Sensitive objects leave under strong keys only.
        Strict = "strict",
        /// As the published cases need.
        Standard = "standard",
    }

    /// Who Barbican clients are.
    AuthMode {
        /// Tokens are validated by Keystone.
        Keystone = "keystone",
        /// Tokens are those of `tokens`, and no others.
        Tokens = "tokens",
        /// Headers are taken as given; loopback only.
        Unauthenticated = "unauthenticated",
    }

    /// The built-in rules of the Barbican API (design decision 18).
    Rules {
        /// As Barbican 23.
        Secure = "secure",
        /// As older releases.
        Legacy = "legacy",
    }

    /// When audit records of uses and reveals are on disk (design decision 14).
    Durability {
        /// Within 100 ms.
        Normal = "normal",
        /// Before the answer.
        Strict = "strict",
    }

    /// How log lines look.
    LogFormat {
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }

    /// Who validated the HSM (KMIP 2.1 §11.64).
    ValidationAuthority {
        /// Nobody in particular.
        Unspecified = "unspecified",
        /// The cryptographic module validation programme of NIST.
        Nist = "NIST CMVP",
        /// Common Criteria.
        CommonCriteria = "Common Criteria",
    }

    /// What was validated (KMIP 2.1 §11.65).
    ValidationKind {
        /// Not told.
        Unspecified = "unspecified",
        /// Hardware.
        Hardware = "hardware",
        /// Software.
        Software = "software",
        /// Firmware.
        Firmware = "firmware",
        /// Several of them.
        Hybrid = "hybrid",
    }

    /// What a credential that nobody enrolled counts for.
    UnknownCredentials {
        /// Nothing: the certificate alone says who it is.
        Ignore = "ignore",
        /// A refusal.
        Refuse = "refuse",
    }

    /// What one-time passwords move with.
    OneTimePasswords {
        /// Time, in steps of 30 seconds (RFC 6238).
        Time = "time",
        /// A counter that begins at 0 (RFC 4226).
        Counter = "counter",
    }

    /// How much of what a client seeds the HSM's generator with is mixed in (KMIP 2.1 §6.1.48).
    RngSeed {
        /// All of it.
        All = "all",
        /// The first half.
        Half = "half",
        /// Nothing, and the client is told so.
        None = "none",
        /// Seeding is refused.
        Refuse = "refuse",
    }

    /// How a random number generator works (KMIP 2.1 §11.47).
    RngAlgorithm {
        /// Not told.
        Unspecified = "unspecified",
        /// FIPS 186-2.
        Fips186_2 = "FIPS 186-2",
        /// A deterministic generator of SP 800-90A.
        Drbg = "DRBG",
        /// A non-deterministic generator.
        Nrbg = "NRBG",
        /// ANSI X9.31.
        AnsiX9_31 = "ANSI X9.31",
        /// ANSI X9.62.
        AnsiX9_62 = "ANSI X9.62",
    }

    /// What a generator is built on.
    RngCipher {
        /// AES.
        Aes = "AES",
        /// Triple-DES.
        TripleDes = "3DES",
        /// HMAC with SHA-1.
        HmacSha1 = "HMAC-SHA1",
        /// HMAC with SHA-256.
        HmacSha256 = "HMAC-SHA256",
        /// HMAC with SHA-512.
        HmacSha512 = "HMAC-SHA512",
    }

    /// The hash of a generator.
    RngHash {
        /// SHA-1.
        Sha1 = "SHA-1",
        /// SHA-256.
        Sha256 = "SHA-256",
        /// SHA-384.
        Sha384 = "SHA-384",
        /// SHA-512.
        Sha512 = "SHA-512",
    }

    /// Which deterministic generator (KMIP 2.1 §11.19).
    DrbgAlgorithm {
        /// Not told.
        Unspecified = "unspecified",
        /// Hash_DRBG.
        Hash = "Hash",
        /// HMAC_DRBG.
        Hmac = "HMAC",
        /// CTR_DRBG.
        Ctr = "CTR",
    }

    /// A KMIP version.
    KmipVersion {
        /// 1.0
        V1_0 = "1.0",
        /// 1.1
        V1_1 = "1.1",
        /// 1.2
        V1_2 = "1.2",
        /// 1.3
        V1_3 = "1.3",
        /// 1.4
        V1_4 = "1.4",
        /// 2.0
        V2_0 = "2.0",
        /// 2.1
        V2_1 = "2.1",
        /// 3.0, whose text is a committee draft.
        V3_0 = "3.0",
    }
}

impl KmipVersion {
    /// The published ones.
    pub const PUBLISHED: [Self; 7] =
        [Self::V1_0, Self::V1_1, Self::V1_2, Self::V1_3, Self::V1_4, Self::V2_0, Self::V2_1];

    /// Major and minor number.
    #[must_use]
    pub const fn numbers(self) -> (i32, i32) {
        match self {
            Self::V1_0 => (1, 0),
            Self::V1_1 => (1, 1),
            Self::V1_2 => (1, 2),
            Self::V1_3 => (1, 3),
            Self::V1_4 => (1, 4),
            Self::V2_0 => (2, 0),
            Self::V2_1 => (2, 1),
            Self::V3_0 => (3, 0),
        }
    }
}

section! {
    /// The whole configuration.
    Config {
        /// The KMIP listener.
        kmip: Kmip = None;
        /// The Barbican listener.
        rest: Rest = None;
        /// The listener for operators.
        ops: Ops = None;
        /// The metadata store.
        store: Store = None;
        /// The audit trail.
        audit: Audit = None;
        /// The tokens, by the name that records and metrics use.
        hsm: BTreeMap<String, Hsm> = None;
        /// Groups of tokens, by the name that records of replicated objects use.
        groups: BTreeMap<String, Group> = None;
        /// Log lines.
        log: Log = None;
        /// Limits of the gateway as a whole.
        limits: Limits = None;
        /// What is computed outside of the HSM where it cannot.
        software_fallback: Fallback = None;
    }

    /// What may be computed in the gateway, from a value that leaves the HSM for that moment, where the HSM has no way to do it.
    Fallback {
        /// Derive Key by the digest of key and data.
        hash: bool = Some(false);
        /// Derive Key by PBKDF2 over a password.
        pbkdf2: bool = Some(true);
        /// Derive Key by HKDF, on tokens without it.
        hkdf: bool = Some(false);
        /// Derive Key by AWS Signature, on tokens that cannot prefix a key.
        aws_signature: bool = Some(false);
    }

    /// The KMIP listener.
    Kmip {
        /// Where it listens.
        listen: SocketAddr = Some(loopback(5696));
        /// Where KMIP over HTTPS listens; absent: it is not served.
        https_listen: Option<SocketAddr> = None;
        /// PEM chain of the server, leaf first.
        certificate: PathBuf = None;
        /// PEM private key of the server.
        key: PathBuf = None;
        /// PEM of the CAs that sign client certificates.
        client_ca: PathBuf = None;
        /// PEM private key of that CA, for `portcullis client add` and Re-Provision.
        client_ca_key: Option<PathBuf> = None;
        /// Whether a client may trade its certificate for another by the operation Re-Provision.
        re_provision: bool = Some(false);
        /// The clients that `portcullis client` has enrolled; absent: `clients.toml` beside the store.
        clients_file: Option<PathBuf> = None;
        /// Protocol versions that are spoken.
        versions: Vec<KmipVersion> = Some(KmipVersion::PUBLISHED.to_vec());
        /// How strictly wrapped keys leave.
        wrapping: Wrapping = Some(Wrapping::Strict);
        /// Whether the Interop operation of conformance tests is answered.
        interop: bool = Some(false);
        /// Bytes of one message.
        message_bytes_max: Bytes = Some(Bytes::new(16 << 20));
        /// Batch items of one message.
        batch_items_max: Within<1, 100_000> = Some(Within::new(1024));
        /// Silence after which a connection is closed.
        idle_seconds: Seconds = Some(Seconds::new(900));
        /// From the first to the last byte of one message.
        message_seconds: Seconds = Some(Seconds::new(30));
        /// How far the time stamp of a message may be from the gateway's clock; absent: any.
        time_stamp_skew_seconds: Option<Seconds> = None;
        /// Open connections.
        connections_max: Quantity = Some(Quantity::new(4096));
        /// The name of the gateway's own issuer of certificates; absent: `CN=Portcullis KMIP issuer`.
        certificate_issuer: Option<String> = None;
        /// Days that a certificate made by Certify is valid when its attributes give no date.
        certificate_days: Within<1, 36_500> = Some(Within::new(365));
        /// What the generator of the HSM is, as Query and the attribute of new keys say it.
        rng: KmipRng = None;
        /// Validations of the HSM that Query Validations tells of.
        validations: Vec<KmipValidation> = None;
        /// What a user name or device that is not enrolled counts for.
        unknown_credentials: UnknownCredentials = Some(UnknownCredentials::Ignore);
        /// How much of a client's seed is mixed into the HSM's generator.
        rng_seed: RngSeed = Some(RngSeed::All);
        /// The enrolled clients.
        clients: Vec<KmipClient> = None;
        /// Users behind the clients, by the credential of their messages.
        users: Vec<KmipUser> = None;
        /// Devices behind the clients, by the credential of their messages.
        devices: Vec<KmipDevice> = None;
        /// Clients that are told of changes on a listener of their own.
        listeners: Vec<KmipListener> = None;
        /// Whether a client that has turned its connection is given new objects with their values.
        put: bool = Some(false);
    }

    /// The generator of the HSM, of which PKCS#11 says nothing.
    KmipRng {
        /// How it works.
        algorithm: RngAlgorithm = Some(RngAlgorithm::Unspecified);
        /// What it is built on.
        cryptographic_algorithm: Option<RngCipher> = None;
        /// Bits of that.
        cryptographic_length: Option<Within<8, 65_536>> = None;
        /// Its hash.
        hashing_algorithm: Option<RngHash> = None;
        /// Which deterministic generator.
        drbg_algorithm: Option<DrbgAlgorithm> = None;
        /// Whether it is seeded anew for each request.
        prediction_resistance: Option<bool> = None;
    }

    /// A validation of the HSM, in its operator's words.
    KmipValidation {
        /// Who validated it.
        authority: ValidationAuthority = Some(ValidationAuthority::Unspecified);
        /// Country of the authority.
        country: Option<String> = None;
        /// The authority's address.
        authority_uri: Option<String> = None;
        /// Version of the standard.
        version_major: Within<0, 1_000> = Some(Within::new(0));
        /// Its second number.
        version_minor: Option<Within<0, 1_000>> = None;
        /// What was validated.
        kind: ValidationKind = Some(ValidationKind::Unspecified);
        /// The level.
        level: Within<0, 1_000> = Some(Within::new(0));
        /// Number of the certificate.
        certificate_identifier: Option<String> = None;
        /// Where the certificate is.
        certificate_uri: Option<String> = None;
        /// The maker's address.
        vendor_uri: Option<String> = None;
        /// Names of protection profiles.
        profiles: Vec<String> = None;
    }

    /// A user behind a client: what it makes is its own within the client's project.
    KmipUser {
        /// The user name.
        name: String = None;
        /// The file with the password.
        password_file: Option<PathBuf> = None;
        /// The file with the secret of one-time passwords, in hexadecimal digits.
        one_time_password_file: Option<PathBuf> = None;
        /// What one-time passwords move with.
        one_time_passwords: OneTimePasswords = Some(OneTimePasswords::Time);
    }

    /// A device behind a client; all fields that a message gives must be these.
    KmipDevice {
        /// Its name: creator of its objects.
        name: String = None;
        /// Device Serial Number.
        serial_number: Option<String> = None;
        /// The file with the password.
        password_file: Option<PathBuf> = None;
        /// Device Identifier.
        device_identifier: Option<String> = None;
        /// Network Identifier.
        network_identifier: Option<String> = None;
        /// Machine Identifier.
        machine_identifier: Option<String> = None;
        /// Media Identifier.
        media_identifier: Option<String> = None;
    }

    /// A client's own listener, which is told of changes by Notify and Put.
    KmipListener {
        /// The name of the enrolled client.
        client: String = None;
        /// Host and port.
        address: String = None;
        /// What its certificate must be for; absent: the host of the address.
        server_name: Option<String> = None;
        /// PEM of the CAs that its certificate is verified by.
        ca: PathBuf = None;
        /// PEM chain that the gateway shows, leaf first; absent: that of its own listener.
        certificate: Option<PathBuf> = None;
        /// PEM private key of that.
        key: Option<PathBuf> = None;
        /// Protocol version that is spoken.
        version: KmipVersion = Some(KmipVersion::V1_4);
        /// Whether it is given new objects with their values.
        put: bool = Some(false);
    }

    /// An enrolled KMIP client (design decision 13).
    KmipClient {
        /// Its name: creator of its objects, initiator in audit records.
        name: String = None;
        /// SHA-256 of its certificate's public key.
        spki_sha256: KeyHash = None;
        /// The project its objects belong to.
        project: String = None;
        /// Its roles.
        roles: Vec<String> = Some(vec!["member".to_owned()]);
    }

    /// The Barbican listener.
    Rest {
        /// Where it listens.
        listen: SocketAddr = Some(loopback(9311));
        /// PEM chain of the server; without it the listener speaks plain HTTP.
        certificate: Option<PathBuf> = None;
        /// PEM private key of the server.
        key: Option<PathBuf> = None;
        /// Whether a proxy in front ends TLS.
        behind_proxy: bool = Some(false);
        /// What references begin with; absent: what the client called.
        host_href: Option<String> = None;
        /// Bytes of one request body.
        body_bytes_max: Bytes = Some(Bytes::new(25_000));
        /// Bytes of one payload.
        payload_bytes_max: Bytes = Some(Bytes::new(20_000));
        /// For one request, its body included.
        request_seconds: Seconds = Some(Seconds::new(60));
        /// How long the answer to a new order waits for the order to be done.
        order_wait_seconds: Within<0, 3600> = Some(Within::new(10));
        /// Open connections.
        connections_max: Quantity = Some(Quantity::new(4096));
        /// Other roots that clients may use in references to secrets.
        aliases: Vec<String> = None;
        /// Items of a page when none is asked for.
        page_default: Within<1, 10_000> = Some(Within::new(10));
        /// Most items of a page.
        page_max: Within<1, 10_000> = Some(Within::new(100));
        /// Whether blanks around a payload in JSON are kept.
        keep_payload_blanks: bool = Some(false);
        /// While this file exists the health check says that the service is disabled.
        healthcheck_disable_file: Option<PathBuf> = None;
        /// Pages of these origins may call the API from a browser.
        cors_origins: Vec<String> = None;
        /// Whether another project's objects look like missing ones.
        hide_foreign: bool = Some(false);
        /// Whether lists leave out private secrets and containers that the caller may not read.
        hide_private: bool = Some(false);
        /// How long an expired secret is kept.
        expired_hours: Within<0, 87_600> = Some(Within::new(24));
        /// How long the record of a deleted secret is kept.
        deleted_days: Within<0, 36_500> = Some(Within::new(90));
        /// How many of each resource a project may have.
        quotas: RestQuotas = None;
        /// Whether projects may choose a token.
        secret_stores: RestStores = None;
        /// Who clients are.
        auth: RestAuth = None;
        /// What they may do.
        policy: RestPolicy = None;
    }

    /// How many of each resource a project without quotas of its own may have; absent is no limit.
    RestQuotas {
        /// Secrets.
        secrets: Option<Within<0, 1_000_000_000_000>> = None;
        /// Orders.
        orders: Option<Within<0, 1_000_000_000_000>> = None;
        /// Containers.
        containers: Option<Within<0, 1_000_000_000_000>> = None;
        /// Consumers.
        consumers: Option<Within<0, 1_000_000_000_000>> = None;
    }

    /// Whether projects may choose a token.
    RestStores {
        /// Whether the API has secret stores: one for each token.
        enabled: bool = Some(false);
        /// The token for projects without a preference; absent: the first by name.
        default: Option<String> = None;
    }

    /// A static bearer token.
    RestToken {
        /// Who it is.
        name: String = None;
        /// SHA-256 of its text.
        sha256: KeyHash = None;
        /// For which project.
        project: String = None;
        /// With which roles.
        roles: Vec<String> = Some(vec!["member".to_owned()]);
    }

    /// Who Barbican clients are.
    RestAuth {
        /// The mode.
        mode: AuthMode = Some(AuthMode::Keystone);
        /// The Keystone service, for mode `keystone`.
        keystone: Option<Keystone> = None;
        /// Static bearer tokens, for mode `tokens`, or beside a Keystone.
        tokens: Vec<RestToken> = None;
    }

    /// A Keystone v3 service and our account there.
    Keystone {
        /// Its URL, up to `/v3` or without it.
        url: String = None;
        /// Our user, who may validate tokens.
        username: String = None;
        /// The user's domain.
        user_domain: String = Some("Default".to_owned());
        /// The file with the user's password.
        password_file: PathBuf = None;
        /// Our project.
        project: String = Some("service".to_owned());
        /// The project's domain.
        project_domain: String = Some("Default".to_owned());
        /// PEM of the CA of Keystone's certificate; absent: the system's.
        ca: Option<PathBuf> = None;
        /// What `WWW-Authenticate` names; absent: `url`.
        public_url: Option<String> = None;
        /// Roles that make a service token one.
        service_token_roles: Vec<String> = Some(vec!["service".to_owned()]);
        /// How long a validated token is believed.
        cache_seconds: Within<0, 3_600> = Some(Within::new(60));
        /// For one validation.
        request_seconds: Seconds = Some(Seconds::new(5));
        /// Where Keystone tells of deleted projects.
        notifications: Option<KeystoneNotifications> = None;
    }

    /// The message bus on which Keystone tells of deleted projects; for a program built with the feature `amqp`.
    KeystoneNotifications {
        /// The file with the URL of the broker, which holds a password.
        url_file: Option<PathBuf> = None;
        /// The environment variable with that URL.
        url_env: Option<String> = None;
        /// PEM of the CA of the broker's certificate, for `amqps`.
        ca: Option<PathBuf> = None;
        /// Keystone's exchange.
        exchange: String = Some("keystone".to_owned());
        /// The gateway's own queue.
        queue: String = Some("portcullis".to_owned());
        /// What Keystone's configuration calls the topic of its notifications.
        topic: String = Some("notifications".to_owned());
    }

    /// What Barbican clients may do.
    RestPolicy {
        /// The built-in rules.
        defaults: Rules = Some(Rules::Secure);
        /// An oslo.policy file that overrides single rules.
        file: Option<PathBuf> = None;
    }

    /// The listener for operators: metrics, health, readiness.
    Ops {
        /// Where it listens.
        listen: SocketAddr = Some(loopback(9380));
    }

    /// The metadata store.
    Store {
        /// Its folder.
        path: PathBuf = None;
        /// Less than this free on its file system, in MiB: changes are refused.
        free_mib_min: Within<1, 1_000_000_000> = Some(Within::new(64));
        /// What the journal of changes may take, in MiB, though no backup has them.
        journal_mib_max: Within<32, 1_000_000_000> = Some(Within::new(1_024));
        /// Tokens that are gone for good, with the values on them.
        abandoned_tokens: Vec<String> = None;
    }

    /// The audit trail.
    Audit {
        /// Its folder.
        path: PathBuf = None;
        /// When records of uses and reveals are on disk.
        durability: Durability = Some(Durability::Normal);
        /// How often the HSM signs the head of the chain.
        checkpoint_seconds: Seconds = Some(Seconds::new(300));
    }

    /// One token of one module.
    Hsm {
        /// Path of the PKCS#11 module, or `embedded`.
        module: Module = None;
        /// The token by its label.
        token_label: Option<String> = None;
        /// The token by its serial.
        token_serial: Option<String> = None;
        /// The token by its slot.
        slot_id: Option<Within<0, 18_446_744_073_709_551_615>> = None;
        /// The file with the user PIN.
        pin_file: Option<PathBuf> = None;
        /// The environment variable with the user PIN.
        pin_env: Option<String> = None;
        /// Worker threads, each with a session; absent: what the token allows, at most 32.
        workers: Option<Within<1, 1_024>> = None;
        /// Requests that may wait for a session.
        queue_max: Quantity = Some(Quantity::new(256));
        /// A call that takes longer counts as stuck.
        call_seconds: Seconds = Some(Seconds::new(30));
        /// How often an idle token is probed.
        probe_seconds: Seconds = Some(Seconds::new(10));
        /// Whether a PIN that was refused before, or the last try, may be used: once.
        retry_refused_pin: bool = Some(false);
        /// Longest value held as a generic secret; longer ones become data objects.
        generic_secret_bytes_max: Quantity = Some(Quantity::new(4096));
        /// What `hsm probe` measured on such tokens.
        profile: Option<PathBuf> = None;
        /// What the module's initialisation is given as its reserved text.
        reserved: Option<String> = None;
        /// The folder of the simulator's tokens, for `embedded`.
        simulated_store: Option<PathBuf> = None;
        /// The simulator's options file, for `embedded`.
        simulated_config: Option<PathBuf> = None;
        /// Whether a module that says it is a simulator may be used.
        allow_simulated_hsm: bool = Some(false);
        /// Where the module runs: in the gateway's process, or in one of its own.
        isolation: Isolation = Some(Isolation::Thread);
        /// Environment variables that the module reads.
        env: BTreeMap<String, String> = None;
    }

    /// Several tokens as one place for objects.
    Group {
        /// Names of its tokens.
        tokens: Vec<String> = None;
        /// On how many tokens an object is: one, or all of them.
        replicas: Within<1, 16> = Some(Within::new(1));
        /// On how many a new object must be before it is acknowledged.
        min_replicas: Within<1, 16> = Some(Within::new(1));
        /// Projects whose new objects it takes; empty: nobody's in particular.
        projects: Vec<String> = None;
        /// Object types whose new objects it takes; empty: none in particular.
        types: Vec<PlacedType> = None;
    }

    /// Log lines.
    Log {
        /// How they look.
        format: LogFormat = Some(LogFormat::Json);
        /// Which ones: a level, or a list such as `info,portcullis::hsm=debug`.
        level: String = Some("info".to_owned());
    }

    /// Limits of the gateway as a whole.
    Limits {
        /// For one HSM request, waiting included.
        hsm_seconds: Seconds = Some(Seconds::new(10));
        /// For the generation of a key pair.
        keygen_seconds: Seconds = Some(Seconds::new(120));
        /// Records that one list or Locate looks at.
        walk_records_max: Within<100, 100_000_000> = Some(Within::new(10_000));
        /// Random bytes of one request.
        random_bytes_max: Within<1, 1_073_741_824> = Some(Within::new(1 << 20));
        /// Requests that one client may make in a second, over both protocols; absent: as many as it likes. Each item of a batch is
        /// one. More are refused as *busy*, with the time after which to try again.
        client_requests_per_second: Option<Within<1, 1_000_000>> = None;
        /// The same for all clients of a project together.
        project_requests_per_second: Option<Within<1, 1_000_000>> = None;
        /// Seconds of a KMIP lease.
        lease_seconds: Seconds = Some(Seconds::new(3_600));
        /// For a TLS handshake.
        handshake_seconds: Seconds = Some(Seconds::new(10));
        /// From SIGTERM until open requests are cut off.
        drain_seconds: Within<0, 7> = Some(Within::new(7));
    }
}

impl KmipRng {
    /// KMIP's numbers.
    #[must_use]
    pub fn parameters(&self) -> RngParameters {
        let cipher = |cipher| match cipher {
            RngCipher::Aes => CryptographicAlgorithm::AES.0,
            RngCipher::TripleDes => CryptographicAlgorithm::TRIPLE_DES.0,
            RngCipher::HmacSha1 => CryptographicAlgorithm::HMAC_SHA1.0,
            RngCipher::HmacSha256 => CryptographicAlgorithm::HMAC_SHA256.0,
            RngCipher::HmacSha512 => CryptographicAlgorithm::HMAC_SHA512.0,
        };
        let hash = |hash| match hash {
            RngHash::Sha1 => HashingAlgorithm::SHA_1.0,
            RngHash::Sha256 => HashingAlgorithm::SHA_256.0,
            RngHash::Sha384 => HashingAlgorithm::SHA_384.0,
            RngHash::Sha512 => HashingAlgorithm::SHA_512.0,
        };
        RngParameters {
            algorithm: match self.algorithm {
                RngAlgorithm::Unspecified => 1,
                RngAlgorithm::Fips186_2 => 2,
                RngAlgorithm::Drbg => 3,
                RngAlgorithm::Nrbg => 4,
                RngAlgorithm::AnsiX9_31 => 5,
                RngAlgorithm::AnsiX9_62 => 6,
            },
            cryptographic_algorithm: self.cryptographic_algorithm.map(cipher),
            cryptographic_length: self.cryptographic_length.map(|bits| bits.small().cast_signed()),
            hashing_algorithm: self.hashing_algorithm.map(hash),
            drbg_algorithm: self.drbg_algorithm.map(|drbg| match drbg {
                DrbgAlgorithm::Unspecified => 1,
                DrbgAlgorithm::Hash => 3,
                DrbgAlgorithm::Hmac => 4,
                DrbgAlgorithm::Ctr => 5,
            }),
            prediction_resistance: self.prediction_resistance,
            ..RngParameters::unspecified()
        }
    }
}

/// A module: a file, or the simulator inside of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Module {
    /// The simulator inside of this program.
    Embedded,
    /// A PKCS#11 module.
    File(PathBuf),
}

impl Setting for Module {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        let text = String::read(node, at)?;
        Some(if text == "embedded" { Self::Embedded } else { Self::File(at.resolve(&text)) })
    }
}

/// A SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash(pub [u8; 32]);

impl Setting for KeyHash {
    fn read(node: Node, at: &mut Reading<'_>) -> Option<Self> {
        let origin = node.origin.clone();
        let text = String::read(node, at)?;
        match hex(&text) {
            Some(hash) => Some(Self(hash)),
            None => at.refuse(
                origin,
                "must be 64 hexadecimal digits: the SHA-256 of the certificate's SubjectPublicKeyInfo".to_owned(),
            ),
        }
    }
}

fn hex(text: &str) -> Option<[u8; 32]> {
    let mut digits = text.chars().filter(|digit| *digit != ':').map(|digit| digit.to_digit(16));
    let mut bytes = [0; 32];
    for byte in &mut bytes {
        *byte = u8::try_from(digits.next()?? * 16 + digits.next()??).ok()?;
    }
    digits.next().is_none().then_some(bytes)
}
