//! The guard as a program of its own, for the tests: `howdah-guard-test guard --socket S
//! --data-dir D --log L`. Started as root it becomes `postgres`, as PostgreSQL demands.

use std::path::PathBuf;
use std::process::ExitCode;

use howdah_guard::Options;
use nix::unistd::{User, setgid, setgroups, setuid};

fn main() -> ExitCode {
    if nix::unistd::geteuid().is_root() {
        become_postgres();
    }
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name).expect("the option");
        PathBuf::from(&arguments[at + 1])
    };
    let options =
        Options { socket: value("--socket"), data_dir: value("--data-dir"), log: value("--log") };
    match howdah_guard::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            use std::io::Write;
            writeln!(std::io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn become_postgres() {
    let user = User::from_name("postgres").expect("users").expect("the user postgres");
    setgroups(&[user.gid]).expect("leave root's groups");
    setgid(user.gid).expect("the group postgres");
    setuid(user.uid).expect("the user postgres");
}
