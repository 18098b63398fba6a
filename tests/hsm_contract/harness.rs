//! Parent and children: one process a case and module.

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use crate::{
    cases::{CASES, Case},
    differences,
    modules::{self, Kind, TestModule},
};

/// What a case may know.
pub(crate) struct Context {
    pub(crate) module: PathBuf,
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) label: String,
    pub(crate) pin: Vec<u8>,
}

const CASE_LIMIT: Duration = Duration::from_secs(600);

/// Runs every chosen case on every module.
pub(crate) fn parent(arguments: &[String]) -> ExitCode {
    let modules = modules::discover(arguments);
    let words: Vec<&String> = arguments.iter().take_while(|word| !word.starts_with("--")).collect();
    let (mut passed, mut skipped, mut failed) = (0, 0, Vec::new());
    let differences = differences::list();
    for wrong in differences.iter().filter_map(|difference| difference.refers_to_nothing(CASES)) {
        println!("differences.txt … FAILED\n{wrong}");
        failed.push("differences.txt".to_owned());
    }
    for module in &modules {
        for case in CASES {
            let title = format!("{}::{}", module.name, case.name);
            if case.simulator.is_some() && module.kind != Kind::Simulator {
                continue;
            }
            if !words.is_empty() && !words.iter().any(|word| title.contains(word.as_str())) {
                continue;
            }
            let start = Instant::now();
            let difference = differences.iter().find(|difference| difference.is(&module.name, case.name));
            let outcome = match (run(module, case), difference) {
                (Outcome::Failed(_), Some(difference)) => {
                    skipped += 1;
                    println!("skipped, because {title}: {}", difference.reason);
                    continue;
                }
                (_, Some(_)) => {
                    failed.push(title.clone());
                    println!("{title} … FAILED\nit no longer fails: its line in differences.txt is out of date");
                    continue;
                }
                (outcome, None) => outcome,
            };
            match outcome {
                Outcome::Passed => {
                    passed += 1;
                    println!("{title} … ok ({:.1} s)", start.elapsed().as_secs_f32());
                }
                Outcome::Skipped(why) => {
                    skipped += 1;
                    println!("skipped, because {title}: {why}");
                }
                Outcome::Failed(output) => {
                    println!("{title} … FAILED\n{output}");
                    failed.push(title);
                }
            }
        }
    }
    // Named once more where the end of a long log is all that is shown.
    for title in &failed {
        println!("test {title} ... FAILED");
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "test result: {word}. {passed} passed; {} failed; 0 ignored; {skipped} skipped; {} modules",
        failed.len(),
        modules.len()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

fn run(module: &TestModule, case: &Case) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let (label, pin) = match &module.kind {
        Kind::Given(..) if case.spoils_token => {
            return Outcome::Skipped("it would spoil a token that is in use".into());
        }
        Kind::Given(label, file) => (label.clone(), fs::read(file).unwrap().trim_ascii_end().to_vec()),
        _ => ("contract".to_owned(), module.pin().into_bytes()),
    };
    let options = case.simulator.unwrap_or_default();
    for number in 0..case.tokens {
        if let Err(why) = module.make_token(folder.path(), options, &label) {
            return if number == 0 {
                Outcome::Failed(why)
            } else {
                Outcome::Skipped(format!("it has one slot ({})", why.trim()))
            };
        }
    }
    let pin_file = folder.path().join("pin");
    fs::write(&pin_file, pin).unwrap();
    let output = folder.path().join("output");
    let file = fs::File::create(&output).unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--child", case.name])
        .envs(module.environment(folder.path(), options))
        .env("RUST_BACKTRACE", "0")
        .env("CONTRACT_MODULE", &module.path)
        .env("CONTRACT_NAME", &module.name)
        .env("CONTRACT_FOLDER", folder.path())
        .env("CONTRACT_LABEL", label)
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let output = fs::read_to_string(&output).unwrap_or_default();
            return match output.lines().find_map(|line| line.strip_prefix("skipped, because ")) {
                Some(why) if status.success() => Outcome::Skipped(why.to_owned()),
                _ if status.success() => Outcome::Passed,
                _ => Outcome::Failed(format!("{output}it ended with {status}")),
            };
        }
        if start.elapsed() > CASE_LIMIT {
            child.kill().unwrap();
            child.wait().unwrap();
            return Outcome::Failed(format!("no end after {CASE_LIMIT:?}"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs one case in this process.
pub(crate) fn child(name: &str) -> ExitCode {
    let Some(case) = CASES.iter().find(|case| case.name == name) else { return ExitCode::FAILURE };
    tracing_subscriber::fmt().with_env_filter("portcullis=debug").with_ansi(false).with_writer(std::io::stderr).init();
    let variable = |name: &str| env::var(name).unwrap();
    let folder = PathBuf::from(variable("CONTRACT_FOLDER"));
    let context = Context {
        module: variable("CONTRACT_MODULE").into(),
        name: variable("CONTRACT_NAME"),
        label: variable("CONTRACT_LABEL"),
        pin: fs::read(folder.join("pin")).unwrap(),
        folder,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on((case.run)(context));
    ExitCode::SUCCESS
}
