//! The store's folder: device key, format, the shared page of faults and statistics, and the token folders.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::FlockOperation;
use zeroize::Zeroizing;

use super::{DeviceKey, Result, StoreError, TokenStore, seal, seal::StoreKey};
use crate::{abi::SharedPage, config::Config, crypto};

/// What the words of the store's page mean.
pub(crate) mod page {
    /// Grows by one with every plan that `ctl` installs.
    pub(crate) const PLAN: usize = 0;
    /// Grows by one with every `release`.
    pub(crate) const RELEASES: usize = 1;
    /// When the installed plan began, in milliseconds of the system's clock.
    pub(crate) const BEGAN: usize = 2;
    /// How often the store has been opened, while randomness comes again.
    #[cfg(feature = "deterministic")]
    pub(crate) const STARTS: usize = 3;
    /// First of [`RULES`] words: calls that matched a rule of the installed plan.
    pub(crate) const MATCHED: usize = 16;
    /// First of [`RULES`] words: times the rule fired.
    pub(crate) const FIRED: usize = MATCHED + RULES;
    /// Rules of a plan whose counts are shared.
    pub(crate) const RULES: usize = 64;
    /// First of [`FUNCTIONS`] words: calls by function, while counting is on.
    pub(crate) const CALLS: usize = FIRED + RULES;
    /// First of [`FUNCTIONS`] words: faults injected by function.
    pub(crate) const INJECTED: usize = CALLS + FUNCTIONS;
    /// Entries of the function list.
    pub(crate) const FUNCTIONS: usize = 104;
    /// First word of the answers by return code, in the order of the names table; vendor codes share the last word.
    pub(crate) const ANSWERS: usize = INJECTED + FUNCTIONS;
    /// Words for return codes.
    pub(crate) const CODES: usize = 112;
    /// First of [`MECHANISMS`] pairs of words: a mechanism's number plus one, and its calls.
    pub(crate) const BY_MECHANISM: usize = ANSWERS + CODES;
    /// Mechanisms that are told apart.
    pub(crate) const MECHANISMS: usize = 256;
    /// After the last word.
    pub(crate) const END: usize = BY_MECHANISM + 2 * MECHANISMS;
    const _: () = assert!(END <= crate::abi::PAGE_WORDS);
}

const FORMAT: u32 = 1;

/// An open store.
pub(crate) struct StoreFolder {
    root: PathBuf,
    device: DeviceKey,
    page: SharedPage,
}

#[derive(serde::Deserialize)]
struct StoreFile {
    version: u32,
}

impl StoreFolder {
    /// Opens a store, making what is missing.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        make_folder(root)?;
        make_folder(&root.join("tokens"))?;
        let format = root.join("store.toml");
        if let Ok(text) = fs::read_to_string(&format) {
            let found: StoreFile =
                toml::from_str(&text).map_err(|_malformed| StoreError::Corrupt("store.toml does not parse"))?;
            if found.version > FORMAT {
                return Err(StoreError::NewerVersion { found: found.version, known: FORMAT });
            }
        } else {
            publish(&format, format!("version = {FORMAT}\n").as_bytes())?;
        }
        let state = root.join("state");
        let page = SharedPage::map(&open_shared(&state)?).map_err(StoreError::io(&state))?;
        #[cfg(feature = "deterministic")]
        crypto::deterministic::begin(page.word(page::STARTS).fetch_add(1, std::sync::atomic::Ordering::AcqRel));
        let device = device_key(&root.join("device.key"))?;
        Ok(Self { root: root.to_path_buf(), device, page })
    }

    /// Opens a store that is there; looking for one must not make one.
    pub(crate) fn open_existing(root: &Path) -> Result<Self> {
        if !root.join("device.key").exists() {
            return Err(StoreError::Refused("there is no store in this folder"));
        }
        Self::open(root)
    }

    /// Makes an empty store in another folder that has this one's device key.
    pub(crate) fn copy_frame(&self, to: &Path) -> Result<Self> {
        make_folder(to)?;
        publish(&to.join("device.key"), self.device.0.as_slice())?;
        Self::open(to)
    }

    /// Makes the folder of a token that is about to be copied here.
    pub(crate) fn make_token_folder(&self, serial: &str) -> Result<PathBuf> {
        let folder = self.root.join("tokens").join(serial);
        make_folder(&folder)?;
        Ok(folder)
    }

    /// Refuses a network file system, on which locks between processes may not hold and mapped pages are not shared.
    pub(crate) fn check_is_local(&self) -> Result<()> {
        let found = rustix::fs::statfs(&self.root).map_err(StoreError::errno(&self.root))?;
        // The kernel's magic numbers: NFS, SMB 1, CIFS, SMB 2, AFS, Coda, Ceph, GFS2, OCFS2, Lustre.
        const NETWORK: [u32; 10] = [
            0x6969,
            0x517b,
            0xff53_4d42,
            0xfe53_4d42,
            0x5346_414f,
            0x7375_7245,
            0x00c3_6400,
            0x0116_1970,
            0x7461_636f,
            0x0bd0_0bd0,
        ];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "magic numbers have 32 bits")]
        let kind = found.f_type as u32;
        if NETWORK.contains(&kind) {
            return Err(StoreError::Refused(
                "the store is on a network file system, where its locks may not hold (allow_network_store = true if you know)",
            ));
        }
        Ok(())
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The page of faults and statistics.
    pub(crate) fn page(&self) -> &SharedPage {
        &self.page
    }

    /// The serials of all tokens, in order of their names.
    pub(crate) fn serials(&self) -> Result<Vec<String>> {
        serials_in(&self.root.join("tokens"))
    }

    /// Opens one token.
    pub(crate) fn token(&self, serial: &str, config: &Config) -> Result<TokenStore> {
        TokenStore::open(&self.root.join("tokens").join(serial), serial, &self.device, config)
    }

    /// Makes an uninitialised token with a new serial. The caller holds [`Self::lock`].
    ///
    /// The folder is made under another name and renamed, so that nobody sees a half-made token.
    pub(crate) fn create_token(&self, taken_slots: &[u64], config: &Config) -> Result<String> {
        let serial = new_serial()?;
        let slot = Self::slot_id(&serial, taken_slots)?;
        make_token(&self.root.join("tokens"), &serial, slot, config)?;
        Ok(serial)
    }

    /// Ends what faults do to tokens from outside: away, restarting, replaced.
    pub(crate) fn put_tokens_back(&self) -> Result<()> {
        for serial in self.serials()? {
            let state = self.root.join("tokens").join(serial).join("state");
            let page = SharedPage::map(&open_shared(&state)?).map_err(StoreError::io(&state))?;
            super::token::put_back(&page);
        }
        Ok(())
    }

    /// The token that a fault puts into the slot of another: made at the first look, in a folder of the other one's. It is
    /// blank, or initialised with the same label and with PINs that nobody knows.
    pub(crate) fn replacement(
        &self,
        original: &TokenStore,
        turn: u64,
        is_blank: bool,
        config: &Config,
    ) -> Result<TokenStore> {
        let folder = original.folder().join(format!("replacement-{turn}"));
        let _lock = self.lock()?;
        make_folder(&folder)?;
        let serial = match serials_in(&folder)?.pop() {
            Some(serial) => serial,
            None => {
                let serial = new_serial()?;
                make_token(&folder, &serial, original.slot(), config)?;
                serial
            }
        };
        let token = TokenStore::open(&folder.join(&serial), &serial, &self.device, config)?;
        if !is_blank && !token.meta()?.is_initialised {
            token.initialise(&original.meta()?.label, seal::random_key()?.as_slice(), None)?;
        }
        Ok(token)
    }

    /// A slot id below 2^31 from the serial, stepping over those that are taken (`hsm-sim.md` §3).
    pub(crate) fn slot_id(serial: &str, taken: &[u64]) -> Result<u64> {
        let [a, b, c, d, ..] = seal::mac(b"slot", &[serial.as_bytes()])?;
        let mut slot = u64::from(u32::from_be_bytes([a, b, c, d]) >> 1);
        while taken.contains(&slot) {
            slot = (slot + 1) & 0x7fff_ffff;
        }
        Ok(slot)
    }

    /// Takes the lock under which tokens are made; held until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.root.join("lock");
        let file = open_shared(&path)?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive).map_err(StoreError::errno(&path))?;
        Ok(file)
    }
}

fn new_serial() -> Result<String> {
    let mut random = [0; 8];
    crypto::random(&mut random)?;
    Ok(random.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}")))
}

fn make_token(tokens: &Path, serial: &str, slot: u64, config: &Config) -> Result<()> {
    let making = tokens.join(format!(".making-{serial}"));
    make_folder(&making)?;
    TokenStore::create(&making, serial, slot, config)?;
    let made = tokens.join(serial);
    fs::rename(&making, &made).map_err(StoreError::io(&made))?;
    sync_folder(tokens)
}

fn serials_in(folder: &Path) -> Result<Vec<String>> {
    let mut serials = Vec::new();
    for entry in fs::read_dir(folder).map_err(StoreError::io(folder))? {
        let entry = entry.map_err(StoreError::io(folder))?;
        match entry.file_name().into_string() {
            Ok(name) if is_serial(&name) => serials.push(name),
            _ => {}
        }
    }
    serials.sort_unstable();
    Ok(serials)
}

fn is_serial(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn make_folder(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io(path))
}

/// Opens a file that several processes map or lock.
pub(super) fn open_shared(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::io(path))
}

/// Puts a whole file in place at once and durably; what is already there stays.
fn publish(path: &Path, content: &[u8]) -> Result<()> {
    let mut random = [0; 8];
    crypto::random(&mut random)?;
    let draft = path.with_extension(format!("draft-{:016x}", u64::from_le_bytes(random)));
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(StoreError::io(&draft))?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(StoreError::io(&draft))?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).map_err(StoreError::io(&draft))?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(StoreError::io(path)(error)),
        _ => path.parent().map_or(Ok(()), sync_folder),
    }
}

fn sync_folder(path: &Path) -> Result<()> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(StoreError::io(path))
}

fn device_key(path: &Path) -> Result<DeviceKey> {
    if !path.exists() {
        publish(path, seal::random_key()?.as_slice())?;
    }
    let bytes = Zeroizing::new(fs::read(path).map_err(StoreError::io(path))?);
    let mut key = StoreKey::zero();
    if bytes.len() != key.as_slice().len() {
        return Err(StoreError::Corrupt("device.key is not 32 bytes long"));
    }
    key.as_mut_slice().copy_from_slice(&bytes);
    Ok(DeviceKey(key))
}
