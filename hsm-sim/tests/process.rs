//! Several processes on one store, and processes that die.
//!
//! A test starts this same program again with an environment variable that names what the child is to do; `child` is that
//! part and does nothing when the variable is not there.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use cryptoki::{
    error::RvError,
    mechanism::Mechanism,
    object::{Attribute, AttributeType, ObjectHandle},
    session::UserType,
};
use hsm_sim::admin;
use support::{Hsm, SO_PIN, USER_PIN, aes, load, login, new_store, pin, refusal};

const TASK: &str = "HSM_SIM_TEST_TASK";
const FOLDER: &str = "HSM_SIM_TEST_FOLDER";

/// A child that is told line by line what to do and answers line by line.
struct Other {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Other {
    fn start(task: &str, folder: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(TASK, task)
            .env(FOLDER, folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        Self { child, to, from }
    }

    /// The next line that a task printed; the test harness prints others.
    fn answer(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.from.read_line(&mut line).unwrap() > 0 {
            if let Some((_, answer)) = line.trim_end().split_once("> ") {
                return Some(answer.to_owned());
            }
            line.clear();
        }
        None
    }

    fn ask(&mut self, line: &str) -> String {
        writeln!(self.to, "{line}").unwrap();
        self.answer().unwrap()
    }

    fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.answer()).collect()
    }
}

fn say(text: &str) {
    let mut output = std::io::stdout().lock();
    writeln!(output, "> {text}").unwrap();
    output.flush().unwrap();
}

#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let folder = PathBuf::from(env::var_os(FOLDER).unwrap());
    match task.as_str() {
        "obey" => obey(&folder),
        "write" => write_for_ever(&folder),
        other => panic!("no task {other}"),
    }
}

/// Does as it is told.
fn obey(folder: &Path) {
    let pkcs11 = load(folder);
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = pkcs11.open_rw_session(slot).unwrap();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let result = match word {
            "login" => session.login(UserType::User, Some(&pin(rest))).map(|()| String::new()),
            "make" => {
                Ok(aes(&session, &[Attribute::Token(true), Attribute::Label(rest.into()), Attribute::Encrypt(true)])
                    .handle()
                    .to_string())
            }
            "find" => session.find_objects(&[Attribute::Label(rest.into())]).map(|found| found.len().to_string()),
            "use" => session
                .find_objects(&[Attribute::Label(rest.into())])
                .and_then(|found| session.encrypt(&Mechanism::AesEcb, found[0], &[0; 16]))
                .map(|sealed| format!("{sealed:02x?}")),
            "destroy" => session
                .find_objects(&[Attribute::Label(rest.into())])
                .and_then(|found| session.destroy_object(found[0]))
                .map(|()| String::new()),
            "rename" => {
                let (from, to) = rest.split_once(' ').unwrap();
                session
                    .find_objects(&[Attribute::Label(from.into())])
                    .and_then(|found| session.update_attributes(found[0], &[Attribute::Label(to.into())]))
                    .map(|()| String::new())
            }
            other => panic!("no command {other}"),
        };
        match result {
            Ok(answer) => say(format!("ok {answer}").trim_end()),
            Err(error) => say(&format!("error {error}")),
        }
    }
}

/// Makes, changes and destroys token objects from several threads, telling of each thing that was acknowledged.
fn write_for_ever(folder: &Path) {
    let pkcs11 = load(folder);
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let _anchor = login(&pkcs11, slot);
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let session = login(&pkcs11, slot);
            scope.spawn(move || {
                for number in 0_u32.. {
                    let id = [thread.to_be_bytes(), number.to_be_bytes()].concat();
                    let key = aes(&session, &[Attribute::Token(true), Attribute::Id(id)]);
                    say(&format!("made {}", key.handle()));
                    if number % 5 == 4 {
                        say(&format!("destroying {}", key.handle()));
                        session.destroy_object(key).unwrap();
                        say(&format!("destroyed {}", key.handle()));
                    }
                }
            });
        }
    });
}

#[test]
fn what_one_process_does_the_other_sees() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let mut other = Other::start("obey", hsm.folder.path());
    assert_eq!(other.ask("find first"), "ok 0");
    assert_eq!(other.ask(&format!("login {USER_PIN}")), "ok");
    let first = aes(&session, &[Attribute::Token(true), Attribute::Label("first".into()), Attribute::Encrypt(true)]);
    let sealed = session.encrypt(&Mechanism::AesEcb, first, &[0; 16]).unwrap();
    assert_eq!(other.ask("use first"), format!("ok {sealed:02x?}"));

    let second: u64 = other.ask("make second")["ok ".len()..].parse().unwrap();
    let found = session.find_objects(&[Attribute::Label("second".into())]).unwrap();
    assert_eq!(found.iter().map(ObjectHandle::handle).collect::<Vec<_>>(), [second]);
    session.encrypt(&Mechanism::AesEcb, found[0], &[0; 16]).unwrap();

    assert_eq!(other.ask("rename second third"), "ok");
    let label = session.get_attributes(found[0], &[AttributeType::Label]).unwrap();
    assert_eq!(label, [Attribute::Label("third".into())]);
    assert_eq!(session.find_objects(&[Attribute::Label("second".into())]).unwrap(), []);

    assert_eq!(other.ask("destroy third"), "ok");
    assert!(matches!(refusal(session.encrypt(&Mechanism::AesEcb, found[0], &[0; 16])), RvError::KeyHandleInvalid));
    session.destroy_object(first).unwrap();
    assert_eq!(other.ask("find first"), "ok 0");
    other.kill();
}

#[test]
fn processes_share_the_tries_of_a_pin_and_each_has_its_own_log_in() {
    let hsm = Hsm::new();
    let session = hsm.public();
    let mut other = Other::start("obey", hsm.folder.path());
    assert!(other.ask("login wrong-pin").contains("error"));
    assert!(other.ask("login wrong-pin").contains("error"));
    assert!(hsm.pkcs11.get_token_info(hsm.slot).unwrap().user_pin_count_low());
    assert!(matches!(refusal(session.login(UserType::User, Some(&pin("wrong-pin")))), RvError::PinIncorrect));
    other.kill();
    drop(session);
    hsm.pkcs11.clone().finalize().unwrap();
    let tokens = admin::tokens(&hsm.store()).unwrap();
    assert_eq!(tokens.iter().find_map(|token| token.user_tries_left), Some(7));
}

#[test]
fn a_token_is_initialised_only_when_no_living_process_has_a_session() {
    let hsm = Hsm::new();
    let mut other = Other::start("obey", hsm.folder.path());
    assert_eq!(other.ask("find x"), "ok 0");
    assert!(matches!(refusal(hsm.pkcs11.init_token(hsm.slot, &pin(SO_PIN), "new")), RvError::SessionExists));
    other.kill();
    hsm.pkcs11.init_token(hsm.slot, &pin(SO_PIN), "new").unwrap();
}

#[test]
fn nothing_acknowledged_is_lost_when_the_writer_is_killed() {
    let folder = new_store("");
    // A reader that lives through it all must never be left with what it has cached.
    let reader = load(folder.path());
    let slot = reader.get_slots_with_initialized_token().unwrap()[0];
    let session = login(&reader, slot);
    let (mut made, mut gone, mut unsure) = (HashSet::new(), HashSet::new(), HashSet::new());
    for round in 0..10 {
        let mut writer = Other::start("write", folder.path());
        let mut said: Vec<_> = (0..20 + round).map(|_| writer.answer().unwrap()).collect();
        std::thread::sleep(Duration::from_millis(7 * round));
        said.extend(writer.kill());
        for line in said {
            let (word, handle) = line.split_once(' ').unwrap();
            let Ok(handle) = handle.parse::<u64>() else { continue };
            match word {
                "made" => made.insert(handle),
                "destroying" => unsure.insert(handle),
                "destroyed" => gone.insert(handle),
                other => panic!("no word {other}"),
            };
        }
        let found: HashSet<_> = session.find_objects(&[]).unwrap().iter().map(ObjectHandle::handle).collect();
        let lost: Vec<_> = made.iter().filter(|handle| !found.contains(handle) && !unsure.contains(handle)).collect();
        let undead: Vec<_> = gone.iter().filter(|handle| found.contains(handle)).collect();
        assert!(lost.is_empty() && undead.is_empty(), "round {round}: lost {lost:?}, undead {undead:?}");
    }
    assert!(made.len() > 200 && gone.len() > 20, "{} made, {} destroyed", made.len(), gone.len());
    // Every body opens.
    for handle in session.find_objects(&[]).unwrap() {
        assert_eq!(session.get_attributes(handle, &[AttributeType::Id]).unwrap().len(), 1);
    }
}
