//! What must hold whatever happens: kill -9 of eight writers, tries of a PIN across restarts, no key in memory or in a file
//! that should not have it, stores that are cut short, read-only or on a full disk.
//!
//! `LONG=1` kills a hundred times; otherwise a few.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use cryptoki::{
    error::RvError,
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass},
    session::UserType,
};
use hsm_sim::admin;
use support::{Hsm, USER_PIN, aes, load, load_only, login, new_store, pin, refusal};

const TASK: &str = "HSM_SIM_TEST_TASK";
const FOLDER: &str = "HSM_SIM_TEST_FOLDER";

fn start(task: &str, folder: &Path, more: &[(&str, &str)]) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(TASK, task)
        .env(FOLDER, folder)
        .envs(more.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "> {text}").unwrap();
    output.flush().unwrap();
}

/// The lines that a child said, without those of the test harness.
fn said(output: &mut impl BufRead) -> impl Iterator<Item = String> {
    output.lines().map_while(Result::ok).filter_map(|line| line.split_once("> ").map(|(_, said)| said.to_owned()))
}

#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    match task.as_str() {
        "write" => write_for_ever(&folder),
        "guess" => guess(&folder),
        "remember" => remember(&folder),
        "look" => look(&folder),
        other => panic!("no task {other}"),
    }
}

// --- kill -9 --------------------------------------------------------------------------------------------------------

/// Makes, renames and destroys objects, telling of each thing before and after.
fn write_for_ever(folder: &Path) {
    let pkcs11 = load(folder);
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = login(&pkcs11, slot);
    let process = std::process::id();
    for number in 0_u32.. {
        let id = [process.to_be_bytes(), number.to_be_bytes()].concat();
        let key = aes(&session, &[Attribute::Token(true), Attribute::Id(id)]);
        say(&format!("made {}", key.handle()));
        match number % 6 {
            2 => {
                session.update_attributes(key, &[Attribute::Label(format!("renamed {number}").into())]).unwrap();
                say(&format!("renamed {}", key.handle()));
            }
            5 => {
                say(&format!("destroying {}", key.handle()));
                session.destroy_object(key).unwrap();
                say(&format!("destroyed {}", key.handle()));
            }
            _ => {}
        }
    }
}

#[test]
fn eight_writers_that_are_killed_lose_nothing_that_was_acknowledged() {
    let rounds = if env::var_os("LONG").is_some() { 100 } else { 4 };
    let folder = new_store("");
    let (mut made, mut renamed, mut unsure, mut gone) =
        (HashSet::new(), HashSet::new(), HashSet::new(), HashSet::new());
    for round in 0..rounds {
        let mut writers: Vec<_> = (0..8).map(|_| start("write", folder.path(), &[])).collect();
        let mut lines = Vec::new();
        // Each has said something: all eight are at work.
        for (_, output) in &mut writers {
            lines.extend(said(&mut *output).next());
        }
        std::thread::sleep(Duration::from_millis(20 + 13 * (round % 10)));
        for (writer, _) in &mut writers {
            writer.kill().unwrap();
        }
        for (writer, output) in &mut writers {
            writer.wait().unwrap();
            lines.extend(said(output));
        }
        for line in lines {
            // A killed process leaves a line unfinished at most; what is unfinished was not acknowledged.
            let Some((word, handle)) = line.split_once(' ') else { continue };
            let Ok(handle) = handle.parse::<u64>() else { continue };
            match word {
                "made" => made.insert(handle),
                "renamed" => renamed.insert(handle),
                "destroying" => unsure.insert(handle),
                "destroyed" => gone.insert(handle),
                _ => continue,
            };
        }
        let pkcs11 = load(folder.path());
        let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
        let session = login(&pkcs11, slot);
        let found: HashSet<_> = session.find_objects(&[]).unwrap().iter().map(|object| object.handle()).collect();
        let lost: Vec<_> = made.iter().filter(|made| !found.contains(made) && !unsure.contains(made)).collect();
        let undead: Vec<_> = gone.iter().filter(|gone| found.contains(gone)).collect();
        assert!(lost.is_empty() && undead.is_empty(), "round {round}: lost {lost:?}, undead {undead:?}");
        for object in session.find_objects(&[]).unwrap().iter().filter(|object| renamed.contains(&object.handle())) {
            let label = session.get_attributes(*object, &[AttributeType::Label]).unwrap();
            assert!(matches!(&label[..], [Attribute::Label(label)] if label.starts_with(b"renamed")), "{object:?}");
        }
        drop(session);
        pkcs11.finalize().unwrap();
    }
    assert!(made.len() > 20, "{} made", made.len());
    let reports = admin::fsck(&folder.path().join("store"), Some("test"), Some(USER_PIN.as_bytes()), &mut |_, _| {});
    let report = &reports.unwrap()[0];
    assert_eq!((report.problems.as_slice(), report.unopened), (&[][..], 0));
    assert!(report.objects >= (made.len() - unsure.len()) as u64);
}

// --- tries of a PIN -------------------------------------------------------------------------------------------------

/// One wrong PIN, then the end.
fn guess(folder: &Path) {
    let pkcs11 = load(folder);
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = pkcs11.open_rw_session(slot).unwrap();
    let wrong = session.login(UserType::User, Some(&pin("wrong-pin")));
    say(match refusal(wrong) {
        RvError::PinIncorrect => "incorrect",
        RvError::PinLocked => "locked",
        other => panic!("{other}"),
    });
}

#[test]
fn fifty_wrong_pins_across_restarts_burn_what_there_was_and_no_more() {
    let folder = new_store("user_tries = 45");
    let left = || {
        let tokens = admin::tokens(&folder.path().join("store")).unwrap();
        tokens.iter().find_map(|token| token.user_tries_left).unwrap()
    };
    assert_eq!(left(), 45);
    let mut answers = Vec::new();
    for number in 0..50_u32 {
        let (mut process, mut output) = start("guess", folder.path(), &[]);
        answers.extend(said(&mut output).next());
        process.wait().unwrap();
        assert_eq!(left(), 45_u32.saturating_sub(number + 1));
    }
    assert_eq!(answers.iter().filter(|answer| *answer == "incorrect").count(), 45);
    assert_eq!(answers[45..], ["locked"; 5]);
    // Not even the right one opens it now.
    let pkcs11 = load(folder.path());
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    assert!(pkcs11.get_token_info(slot).unwrap().user_pin_locked());
    let session = pkcs11.open_rw_session(slot).unwrap();
    assert!(matches!(refusal(session.login(UserType::User, Some(&pin(USER_PIN)))), RvError::PinLocked));
}

// --- where a key is -------------------------------------------------------------------------------------------------

/// The marker, made anew from two halves, so that no program and no environment holds it in one piece.
fn marker(halves: &str) -> Vec<u8> {
    let (even, odd) = halves.split_once('-').unwrap();
    let bytes = |half: &str| {
        (0..half.len()).step_by(2).map(|at| u8::from_str_radix(&half[at..at + 2], 16).unwrap()).collect::<Vec<_>>()
    };
    bytes(even).into_iter().zip(bytes(odd)).flat_map(|(even, odd)| [even, odd]).collect()
}

/// Where a marker begins in this process's memory, but for the place given.
fn find_in_memory(process: u32, marker: &[u8]) -> Vec<u64> {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = fs::File::open(format!("/proc/{process}/mem")).unwrap();
    let mut places = Vec::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with('r'))) {
        let Some((from, to)) = line.split(' ').next().and_then(|range| range.split_once('-')) else { continue };
        let (from, to) = (u64::from_str_radix(from, 16).unwrap(), u64::from_str_radix(to, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // Some ranges of the kernel's cannot be read.
        if std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, from).is_ok() {
            let found = bytes.windows(marker.len()).enumerate().filter(|(_, window)| *window == marker);
            places.extend(found.map(|(at, _)| from + at as u64));
        }
    }
    places
}

/// Makes a key of the marker, uses it in many ways, logs out, finalises, and waits to be looked through.
fn remember(folder: &Path) {
    let pkcs11 = load(folder);
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = login(&pkcs11, slot);
    {
        let mut value = marker(&env::var("MARKER").unwrap());
        let mut template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Token(true),
            Attribute::Label("marker".into()),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Extractable(true),
            Attribute::Value(value.clone()),
        ];
        session.create_object(&template).unwrap();
        value.fill(0);
        let Attribute::Value(copy) = &mut template[7] else { panic!() };
        copy.fill(0);
    }
    let key = session.find_objects(&[Attribute::Label("marker".into())]).unwrap()[0];
    let sealed = session.encrypt(&Mechanism::AesCbcPad([0; 16]), key, b"data").unwrap();
    session.decrypt(&Mechanism::AesCbcPad([0; 16]), key, &sealed).unwrap();
    let template = [Attribute::ValueLen(32.into()), Attribute::Wrap(true), Attribute::Unwrap(true)];
    let wrapping = session.generate_key(&Mechanism::AesKeyGen, &template).unwrap();
    let wrapped = session.wrap_key(&Mechanism::AesKeyWrapPad, wrapping, key).unwrap();
    let unwrapped = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Encrypt(true),
        Attribute::Token(true),
    ];
    let copy = session.unwrap_key(&Mechanism::AesKeyWrapPad, wrapping, &wrapped, &unwrapped).unwrap();
    session.encrypt(&Mechanism::AesEcb, copy, &[0; 16]).unwrap();
    session.update_attributes(copy, &[Attribute::Label("copy".into())]).unwrap();
    say("used");
    wait();
    session.logout().unwrap();
    drop(session);
    pkcs11.finalize().unwrap();
    say("gone");
    wait();
}

fn wait() {
    std::io::stdin().lines().next().unwrap().unwrap();
}

/// Looks through another process, so that the searcher's own copies are not found.
fn look(_folder: &Path) {
    let process = env::var("PROCESS").unwrap().parse().unwrap();
    say(&find_in_memory(process, &marker(&env::var("MARKER").unwrap())).len().to_string());
}

#[test]
fn a_key_is_in_no_memory_after_log_out_and_in_no_file_ever() {
    let folder = new_store("");
    let mut random = [0; 64];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let halves = format!("{}-{}", hexadecimal(&random[..16]), hexadecimal(&random[16..32]));
    let (mut process, mut output) = start("remember", folder.path(), &[("MARKER", &halves)]);
    let mut input = process.stdin.take().unwrap();
    let mut lines = said(&mut output);
    let number = process.id().to_string();
    let found = || {
        let (mut looker, mut output) = start("look", folder.path(), &[("MARKER", &halves), ("PROCESS", &number)]);
        let found = said(&mut output).next().unwrap();
        assert!(looker.wait().unwrap().success());
        found.parse::<usize>().unwrap()
    };
    assert_eq!(lines.next().as_deref(), Some("used"));
    // The search finds what is there: the key is in use.
    assert!(found() > 0);
    writeln!(input, "go on").unwrap();
    assert_eq!(lines.next().as_deref(), Some("gone"));
    assert_eq!(found(), 0);
    writeln!(input, "go on").unwrap();
    assert!(process.wait().unwrap().success());
    let marker = marker(&halves);
    let mut folders = vec![folder.path().join("store")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let content = fs::read(entry.path()).unwrap();
            assert!(!content.windows(32).any(|window| window == marker), "{}", entry.path().display());
        }
    }
    assert!(files > 5);
}

// --- stores in a bad way --------------------------------------------------------------------------------------------

fn token_folder(hsm: &Hsm) -> PathBuf {
    let serial = hsm.pkcs11.get_token_info(hsm.slot).unwrap().serial_number().to_owned();
    hsm.store().join("tokens").join(serial)
}

#[test]
fn a_database_that_is_cut_short_or_overwritten_is_a_code_and_never_a_crash() {
    for damage in [0_usize, 1, 100, 4096, 5000] {
        let hsm = Hsm::new();
        let path = token_folder(&hsm).join("token.db");
        {
            let session = hsm.user();
            for _ in 0..30 {
                aes(&session, &[Attribute::Token(true)]);
            }
        }
        hsm.pkcs11.clone().finalize().unwrap();
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..damage.min(content.len())]).unwrap();
        refused_politely(&hsm);
        let mut noise = content.clone();
        noise.iter_mut().skip(damage).step_by(7).for_each(|byte| *byte = byte.wrapping_add(77));
        fs::write(&path, noise).unwrap();
        refused_politely(&hsm);
        for name in ["token.db-wal", "token.db-shm", "state"] {
            fs::write(&path, &content).unwrap();
            fs::write(path.with_file_name(name), &content[..damage.min(content.len())]).unwrap();
            refused_politely(&hsm);
        }
    }
}

/// Whatever is answered, it is answered, and other slots still work.
fn refused_politely(hsm: &Hsm) {
    let again = load_only(hsm.folder.path());
    if support::initialise(&again, hsm.folder.path()).is_err() {
        return;
    }
    assert!(again.get_slots_with_token().unwrap().contains(&hsm.slot));
    if let Ok(session) = again.open_rw_session(hsm.slot)
        && session.login(UserType::User, Some(&pin(USER_PIN))).is_ok()
    {
        let template = [Attribute::ValueLen(32.into()), Attribute::Token(true)];
        // Each call may fail, none may crash.
        let made = session.generate_key(&Mechanism::AesKeyGen, &template);
        let found = session.find_objects(&[]).unwrap_or_default();
        for object in found.into_iter().chain(made) {
            let _read = session.get_attributes(object, &[AttributeType::Id]);
        }
    }
    again.finalize().unwrap();
}

#[test]
fn a_full_disk_and_a_read_only_one_are_codes_and_lose_nothing() {
    let place = tempfile::tempdir().unwrap();
    let disk = place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&disk).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !mount("size=700k") {
        println!("skipped, because this user cannot mount a small file system");
        return;
    }
    let unmount = Unmount(disk.clone());
    let source = new_store("");
    let store = disk.join("store");
    let copied = admin::backup(&source.path().join("store"), &store, &mut |_, _| {}).unwrap();
    assert!(!copied.tokens.is_empty());
    fs::copy(source.path().join("hsm-sim.toml"), disk.join("hsm-sim.toml")).unwrap();
    // The module itself does not fit on that disk, so it is loaded from elsewhere.
    let module = load_only(place.path());
    support::initialise(&module, &disk).unwrap();
    let slot = module.get_slots_with_initialized_token().unwrap()[0];
    let session = login(&module, slot);
    let make =
        || session.generate_key(&Mechanism::AesKeyGen, &[Attribute::ValueLen(32.into()), Attribute::Token(true)]);
    let mut made = Vec::new();
    let error = loop {
        match make() {
            Ok(key) => made.push(key),
            Err(error) => break error,
        }
        assert!(made.len() < 20_000);
    };
    assert!(matches!(refusal::<()>(Err(error)), RvError::DeviceMemory | RvError::DeviceError));
    assert_eq!(session.find_objects(&[]).unwrap(), made);
    for key in made.iter().rev().take(3) {
        session.get_attributes(*key, &[AttributeType::Id]).unwrap();
    }
    drop(session);
    module.finalize().unwrap();
    // The same store where nothing can be written: a code, at the start or at the first use.
    let frozen = place.path().join("frozen");
    fs::create_dir(&frozen).unwrap();
    let run = |arguments: &[&str]| Command::new("mount").args(arguments).arg(&frozen).status().unwrap().success();
    assert!(run(&["--bind", &disk.display().to_string()]));
    let frozen_too = Unmount(frozen.clone());
    assert!(run(&["-o", "remount,bind,ro"]));
    let module = load_only(place.path());
    assert!(support::initialise(&module, &frozen).is_err() || module.open_rw_session(slot).is_err());
    drop(frozen_too);
    drop(unmount);
}

/// Unmounts at the end of a test, however it ends.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
