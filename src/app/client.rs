//! `portcullis kmip …`: a small KMIP client, for people and smoke tests.
//!
//! One connection, one request, one answer. With `--dir` it is the enrolled client of a `dev` folder.

use std::{
    fs,
    io::{self, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand, ValueEnum};
use kmip_codec::{
    Limits, Tag, UniqueIdentifier,
    attribute::{
        Attribute, AttributeList, AttributeValue, Attributes, CryptographicParameters, Name, RevocationReason,
    },
    message::{RequestHeader, RequestItem, RequestMessage, ResponseMessage},
    object::{KeyBlock, KeyMaterial, KeyValue, ManagedObject, OpaqueObject, SecretData, SymmetricKey},
    payload::{
        ActivateRequest, CreateRequest, DecryptRequest, DestroyRequest, DiscoverVersionsRequest, EncryptRequest,
        GetRequest, LocateRequest, RegisterRequest, Request, Response, RevokeRequest,
    },
    spec::{
        enums::{
            BlockCipherMode, CryptographicAlgorithm, KeyFormatType, ObjectType, OpaqueDataType, ResultStatus,
            RevocationReasonCode, SecretDataType,
        },
        masks::CryptographicUsageMask,
    },
    ttlv::{HEADER_BYTES, MessageKind, message_length},
    version::V2_1,
};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::{
    command,
    problem::{Explain, Problem},
};
use crate::{
    crypto::hash::to_hex,
    tls::{self, DevFiles, Identity},
};

/// For the connection, and for the answer.
const PATIENCE: Duration = Duration::from_secs(150);

#[derive(Debug, Args)]
pub(super) struct ClientArguments {
    #[command(flatten)]
    server: Server,
    /// Prints JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

/// Which server, and as whom.
#[derive(Debug, Args)]
struct Server {
    /// The folder of a `portcullis dev`.
    #[arg(long, global = true, default_value = "./portcullis-dev", value_name = "DIR")]
    dir: PathBuf,
    /// A configuration whose server is asked; needs --ca, --certificate and --key.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Another address than the folder's or configuration's.
    #[arg(long, global = true, value_name = "ADDRESS")]
    address: Option<SocketAddr>,
    /// PEM of the CA that signs the server's certificate.
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM of the client's certificate.
    #[arg(long, global = true, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// PEM of the client's private key.
    #[arg(long, global = true, value_name = "FILE")]
    key: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lists the protocol versions of the server.
    Discover,
    /// Makes an AES key inside the HSM and prints its identifier.
    Create {
        /// Its length.
        #[arg(long, default_value_t = 256, value_name = "BITS")]
        bits: i32,
        /// Its name.
        #[arg(long)]
        name: Option<String>,
        /// Leaves it inactive: it cannot be used before `activate`.
        #[arg(long)]
        inactive: bool,
    },
    /// Puts the bytes of a file into the HSM and prints the object's identifier.
    Register {
        /// The file; `-` is standard input.
        file: PathBuf,
        /// What the bytes are.
        #[arg(long, value_enum, default_value_t = Kind::Secret)]
        kind: Kind,
        /// Its name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Lets a value out: in hex, or raw into a file.
    Get {
        /// Which object.
        id: String,
        /// The file; only its owner can read it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Prints the identifiers of objects.
    Locate {
        /// Only those with this name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Lets an object be used.
    Activate {
        /// Which object.
        id: String,
    },
    /// Ends the use of an object.
    Revoke {
        /// Which object.
        id: String,
        /// Says that others may know the value.
        #[arg(long)]
        compromised: bool,
    },
    /// Destroys an object for good; an active one must be revoked before.
    Destroy {
        /// Which object.
        id: String,
    },
    /// Encrypts standard input by AES-GCM and prints JSON for `decrypt`.
    Encrypt {
        /// With which key.
        id: String,
    },
    /// Decrypts what `encrypt` printed, from standard input.
    Decrypt {
        /// With which key.
        id: String,
    },
}

/// What registered bytes are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// A password or other secret that is no key.
    Secret,
    /// An AES key.
    Aes,
    /// Bytes that the server does not look into.
    Opaque,
}

/// Runs one action.
pub(super) fn run(arguments: ClientArguments) -> Result<ExitCode, Problem> {
    let ClientArguments { server, json, action } = arguments;
    let request = request(&action)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.explain("PC-RUNTIME", "no thread can be started", "")?;
    let response = runtime.block_on(server.ask(request))?;
    show(&action, response, json)?;
    Ok(ExitCode::SUCCESS)
}

fn request(action: &Action) -> Result<Request, Problem> {
    let id = |id: &str| Some(UniqueIdentifier::Text(id.to_owned()));
    Ok(match action {
        Action::Discover => DiscoverVersionsRequest::default().into(),
        Action::Create { bits, name, inactive } => {
            let mut items = vec![
                Attribute::new(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(*bits)),
                usage(CryptographicUsageMask::ENCRYPT | CryptographicUsageMask::DECRYPT),
                algorithm(),
            ];
            items.extend(name.as_deref().map(named));
            if !inactive {
                // The epoch: active from the beginning, whatever the clocks say.
                let date = kmip_codec::codec::DateTime(0);
                items.push(Attribute::new(Tag::ACTIVATION_DATE, AttributeValue::DateTime(date)));
            }
            let attributes = Attributes { templates: Vec::new(), items };
            CreateRequest { object_type: ObjectType::SYMMETRIC_KEY, attributes, protection_storage_masks: None }.into()
        }
        Action::Register { file, kind, name } => register(file, *kind, name.as_deref())?,
        Action::Get { id: of, .. } => GetRequest { unique_identifier: id(of), ..GetRequest::default() }.into(),
        Action::Locate { name } => {
            let attributes =
                Attributes { templates: Vec::new(), items: name.as_deref().map(named).into_iter().collect() };
            LocateRequest { attributes: AttributeList(attributes), ..LocateRequest::default() }.into()
        }
        Action::Activate { id: of } => ActivateRequest { unique_identifier: id(of) }.into(),
        Action::Revoke { id: of, compromised } => {
            let code = if *compromised {
                RevocationReasonCode::KEY_COMPROMISE
            } else {
                RevocationReasonCode::CESSATION_OF_OPERATION
            };
            let revocation_reason = RevocationReason { code, message: None };
            RevokeRequest { unique_identifier: id(of), revocation_reason, compromise_occurrence_date: None }.into()
        }
        Action::Destroy { id: of } => DestroyRequest { unique_identifier: id(of) }.into(),
        Action::Encrypt { id: of } => EncryptRequest {
            unique_identifier: id(of),
            cryptographic_parameters: Some(gcm()),
            data: Some(read(Path::new("-"))?.to_vec().into()),
            ..EncryptRequest::default()
        }
        .into(),
        Action::Decrypt { id: of } => {
            let remedy = "give what `portcullis kmip encrypt` printed";
            let sealed: Value =
                serde_json::from_slice(&read(Path::new("-"))?).explain("PC-KMIP-INPUT", "standard input", remedy)?;
            let part = |name: &str| {
                let text = sealed.get(name).and_then(Value::as_str).unwrap_or_default();
                STANDARD.decode(text).explain("PC-KMIP-INPUT", name, remedy)
            };
            DecryptRequest {
                unique_identifier: id(of),
                cryptographic_parameters: Some(gcm()),
                data: Some(part("data")?.into()),
                iv_counter_nonce: Some(part("iv")?),
                authenticated_encryption_tag: Some(part("tag")?),
                ..DecryptRequest::default()
            }
            .into()
        }
    })
}

fn register(file: &Path, kind: Kind, name: Option<&str>) -> Result<Request, Problem> {
    let bytes = read(file)?;
    let block = |format| KeyBlock {
        key_format_type: format,
        key_compression_type: None,
        key_value: Some(KeyValue::bytes(bytes.to_vec())),
        cryptographic_algorithm: None,
        cryptographic_length: None,
        key_wrapping_data: None,
    };
    let mut items: Vec<Attribute> = name.map(named).into_iter().collect();
    let (object_type, object) = match kind {
        Kind::Secret => {
            items.push(usage(CryptographicUsageMask::EMPTY));
            let secret =
                SecretData { secret_data_type: SecretDataType::PASSWORD, key_block: block(KeyFormatType::OPAQUE) };
            (ObjectType::SECRET_DATA, ManagedObject::SecretData(secret))
        }
        Kind::Aes => {
            items.push(usage(CryptographicUsageMask::ENCRYPT | CryptographicUsageMask::DECRYPT));
            let bits = i32::try_from(bytes.len() * 8).explain(
                "PC-KMIP-INPUT",
                file.display(),
                "an AES key has 16, 24 or 32 bytes",
            )?;
            let key_block = KeyBlock {
                cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
                cryptographic_length: Some(bits),
                ..block(KeyFormatType::RAW)
            };
            (ObjectType::SYMMETRIC_KEY, ManagedObject::SymmetricKey(SymmetricKey { key_block }))
        }
        Kind::Opaque => {
            // KMIP names no other type of opaque data; the first number for extensions stands for ours.
            let opaque_data_type = OpaqueDataType::from_number(0x8000_0000);
            let opaque = OpaqueObject { opaque_data_type, opaque_data_value: bytes.to_vec().into() };
            (ObjectType::OPAQUE_OBJECT, ManagedObject::OpaqueObject(opaque))
        }
    };
    let attributes = Attributes { templates: Vec::new(), items };
    Ok(RegisterRequest { object_type, attributes, object: Some(object), protection_storage_masks: None }.into())
}

fn named(name: &str) -> Attribute {
    Attribute::new(Tag::NAME, AttributeValue::Name(Name::text(name)))
}

fn usage(mask: CryptographicUsageMask) -> Attribute {
    Attribute::new(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(mask.bits()))
}

fn algorithm() -> Attribute {
    Attribute::new(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::AES.number()))
}

fn gcm() -> CryptographicParameters {
    CryptographicParameters {
        block_cipher_mode: Some(BlockCipherMode::GCM),
        cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
        random_iv: Some(true),
        iv_length: Some(12),
        tag_length: Some(16),
        ..CryptographicParameters::default()
    }
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut bytes = Zeroizing::new(Vec::new());
    let taken = if file == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes)
    } else {
        fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    taken.explain("PC-KMIP-INPUT", file.display(), "check the path")?;
    Ok(bytes)
}

impl Server {
    async fn ask(&self, request: Request) -> Result<Response, Problem> {
        let operation = request.operation();
        let message =
            RequestMessage { header: RequestHeader::new(V2_1), items: vec![RequestItem::new(operation, request)] };
        let bytes = message.encode().explain("PC-KMIP-INPUT", "the request", "it is too large")?;
        let answer = self.exchange(&bytes).await?;
        let broken = "the server's answer is not KMIP; is this the right address?";
        let message =
            ResponseMessage::decode(&answer, &Limits::default()).explain("PC-KMIP-ANSWER", "the answer", broken)?;
        let item =
            message.items.into_iter().next().ok_or("no batch item").explain("PC-KMIP-ANSWER", "the answer", broken)?;
        if item.status != ResultStatus::SUCCESS {
            let reason = item.reason.map_or_else(|| "no reason".to_owned(), |reason| reason.to_string());
            let text = item.message.unwrap_or_default();
            return Err(Problem::new("PC-KMIP-REFUSED", format!("the server refuses: {reason}: {text}"), ""));
        }
        let payload = item.payload.ok_or("no payload").explain("PC-KMIP-ANSWER", "the answer", broken)?;
        Response::decode(operation, message.header.protocol_version, &payload).explain(
            "PC-KMIP-ANSWER",
            "the answer",
            broken,
        )
    }

    async fn exchange(&self, request: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let address = self.address()?;
        let (ca, identity) = self.identity()?;
        let config = tls::client_config(&ca, identity)?;
        let remedy = format!("is the gateway running, and does it listen on {address}?");
        let conversation = async {
            let tcp = TcpStream::connect(address).await?;
            tcp.set_nodelay(true)?;
            let mut stream = TlsConnector::from(config).connect(ServerName::from(address.ip()), tcp).await?;
            stream.write_all(request).await?;
            stream.flush().await?;
            let mut header = [0; HEADER_BYTES];
            stream.read_exact(&mut header).await?;
            let length =
                message_length(&header, MessageKind::Response, &Limits::default()).map_err(io::Error::other)?;
            let mut answer = Zeroizing::new(vec![0; length]);
            let (front, rest) = answer.split_at_mut(HEADER_BYTES);
            front.copy_from_slice(&header);
            stream.read_exact(rest).await?;
            Ok::<_, io::Error>(answer)
        };
        let late = |_elapsed| io::Error::from(io::ErrorKind::TimedOut);
        let answer = timeout(PATIENCE, conversation).await.map_err(late).and_then(|answer| answer);
        answer.explain("PC-KMIP-CONNECT", address, &remedy)
    }

    fn address(&self) -> Result<SocketAddr, Problem> {
        if let Some(address) = self.address {
            return Ok(address);
        }
        if let Some(config) = &self.config {
            return Ok(command::configuration(config)?.kmip.listen);
        }
        let path = self.dir.join("addresses.json");
        let remedy = "start `portcullis dev` first, and name its folder with --dir";
        let text = fs::read(&path).explain("PC-KMIP-FOLDER", path.display(), remedy)?;
        let addresses: Value = serde_json::from_slice(&text).explain("PC-KMIP-FOLDER", path.display(), remedy)?;
        let address = addresses.get("kmip").and_then(Value::as_str).unwrap_or_default();
        address.parse().explain("PC-KMIP-FOLDER", path.display(), remedy)
    }

    fn identity(&self) -> Result<(PathBuf, Identity), Problem> {
        let dev = DevFiles::within(&self.dir.join("tls"));
        let given = |path: &Option<PathBuf>, name: &str, fallback: PathBuf| match path {
            Some(path) => Ok(path.clone()),
            None if self.config.is_none() => Ok(fallback),
            None => Err(Problem::new(
                "PC-KMIP-IDENTITY",
                format!("--{name} is missing"),
                "with --config name --ca, --certificate and --key",
            )),
        };
        let ca = given(&self.ca, "ca", dev.ca)?;
        let certificate = given(&self.certificate, "certificate", dev.client)?;
        let key = given(&self.key, "key", dev.client_key)?;
        Ok((ca, Identity::read(&certificate, &key)?))
    }
}

/// Prints the answer.
fn show(action: &Action, response: Response, as_json: bool) -> Result<(), Problem> {
    let text = |id: &UniqueIdentifier| id.as_text().unwrap_or_default().to_owned();
    let (plain, structured) = match response {
        Response::DiscoverVersions(answer) => {
            let versions: Vec<String> = answer.protocol_versions.iter().map(ToString::to_string).collect();
            (versions.join("\n"), json!({ "versions": versions }))
        }
        Response::Create(answer) => identified(&text(&answer.unique_identifier)),
        Response::Register(answer) => identified(&text(&answer.unique_identifier)),
        Response::Activate(answer) => identified(&text(&answer.unique_identifier)),
        Response::Revoke(answer) => identified(&text(&answer.unique_identifier)),
        Response::Destroy(answer) => identified(&text(&answer.unique_identifier)),
        Response::Locate(answer) => {
            let ids: Vec<String> = answer.unique_identifiers.iter().map(text).collect();
            (ids.join("\n"), json!({ "ids": ids, "located": answer.located_items }))
        }
        Response::Get(answer) => {
            let id = text(&answer.unique_identifier);
            let value = value(answer.object)?;
            if let Action::Get { out: Some(path), .. } = action {
                tls::write_private(path, &value).explain("PC-OUTPUT", path.display(), "check the path")?;
                (String::new(), json!({ "id": id, "file": path }))
            } else {
                (to_hex(&value), json!({ "id": id, "type": answer.object_type.to_string(), "hex": to_hex(&value) }))
            }
        }
        Response::Encrypt(answer) => {
            let base64 = |bytes: Option<&[u8]>| bytes.map(|bytes| STANDARD.encode(bytes));
            let sealed = json!({
                "data": base64(answer.data.as_ref().map(|data| data.expose_secret())),
                "iv": base64(answer.iv_counter_nonce.as_deref()),
                "tag": base64(answer.authenticated_encryption_tag.as_deref()),
            });
            (sealed.to_string(), sealed)
        }
        Response::Decrypt(answer) => {
            let data = answer.data.map(|data| data.expose_secret().to_vec()).unwrap_or_default();
            if !as_json {
                return io::stdout().write_all(&data).explain("PC-OUTPUT", "standard output", "");
            }
            (String::new(), json!({ "data": STANDARD.encode(data) }))
        }
        other => return Err(Problem::new("PC-KMIP-ANSWER", format!("an answer to {}", other.operation()), "")),
    };
    let line = if as_json { structured.to_string() } else { plain };
    if line.is_empty() {
        return Ok(());
    }
    writeln!(io::stdout(), "{line}").explain("PC-OUTPUT", "standard output", "")
}

fn identified(id: &str) -> (String, Value) {
    (id.to_owned(), json!({ "id": id }))
}

/// The bytes of an object.
fn value(object: ManagedObject) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let block = match object {
        ManagedObject::SymmetricKey(key) => key.key_block,
        ManagedObject::PublicKey(key) => key.key_block,
        ManagedObject::PrivateKey(key) => key.key_block,
        ManagedObject::SecretData(secret) => secret.key_block,
        ManagedObject::OpaqueObject(opaque) => {
            return Ok(Zeroizing::new(opaque.opaque_data_value.expose_secret().to_vec()));
        }
        ManagedObject::Certificate(certificate) => return Ok(Zeroizing::new(certificate.certificate_value)),
        _ => return Err(Problem::new("PC-KMIP-ANSWER", "an object of a type this client does not show", "")),
    };
    match block.key_value {
        Some(KeyValue::Plain { material: KeyMaterial::Bytes(bytes), .. } | KeyValue::Wrapped(bytes)) => {
            Ok(Zeroizing::new(bytes.expose_secret().to_vec()))
        }
        _ => Err(Problem::new("PC-KMIP-ANSWER", "an object without bytes", "")),
    }
}
