//! The guard as a program of its own, for the tests: `howdah-guard-test guard --socket S
//! --data-dir D --log L`. Started as root it becomes `postgres`, as PostgreSQL demands.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use howdah_guard::{Device, Options};
use nix::time::{ClockId, clock_gettime};
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
    let (socket, data_dir, log) = (value("--socket"), value("--data-dir"), value("--log"));
    let options = Options { socket, data_dir, log, watchdog: Noted::open };
    match howdah_guard::run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

/// A watchdog that writes down what becomes of it, into the file that takes its place: `open`,
/// `feed` and `stop`, each with the boot-time clock in milliseconds.
#[derive(Debug)]
struct Noted {
    file: File,
    timeout_s: u32,
}

impl Noted {
    fn open(path: &Path, timeout_s: u32) -> io::Result<Box<dyn Device>> {
        let file = OpenOptions::new().append(true).open(path)?;
        let mut device = Noted { file, timeout_s };
        device.note("open")?;
        Ok(Box::new(device))
    }

    fn note(&mut self, what: &str) -> io::Result<()> {
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(io::Error::from)?;
        let line = format!("{what} {}\n", Duration::from(now).as_millis());
        self.file.write_all(line.as_bytes())
    }
}

impl Device for Noted {
    fn timeout_s(&self) -> u32 {
        self.timeout_s
    }

    fn feed(&mut self) -> io::Result<()> {
        self.note("feed")
    }

    fn stop(&mut self) -> io::Result<()> {
        self.note("stop")
    }
}

fn become_postgres() {
    let user = User::from_name("postgres").expect("users").expect("the user postgres");
    setgroups(&[user.gid]).expect("leave root's groups");
    setgid(user.gid).expect("the group postgres");
    setuid(user.uid).expect("the user postgres");
}
