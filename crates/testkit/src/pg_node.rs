//! One plain PostgreSQL without Howdah, for what must be shown on a bare server.
//!
//! initdb runs once on a machine; every server is a copy of its result.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use tokio_postgres::Config;

use crate::process::{self, Process};
use crate::{Plan, PortLease, Scratch, wait, writer};

/// A server on a leased port; superuser `postgres`, password [`PASSWORD`]. It ends on drop.
#[derive(Debug)]
pub struct PgNode {
    data_dir: PathBuf,
    port: u16,
    child: Option<Child>,
    scratch: Scratch,
    _lease: PortLease,
}

pub const PASSWORD: &str = "test";

impl PgNode {
    /// A fresh data directory; nothing runs yet.
    #[track_caller]
    pub fn init() -> PgNode {
        let (scratch, mut lease) = (Scratch::new(), PortLease::take());
        let data_dir = scratch.path().join("data");
        let copied = Command::new("cp").arg("-a").arg(template()).arg(&data_dir).status();
        assert!(copied.expect("cp runs").success(), "copy the template");
        PgNode { data_dir, port: lease.next_port(), child: None, scratch, _lease: lease }
    }

    /// Starts the server and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) -> &mut PgNode {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.expect("open the server's log");
        let mut command = as_postgres(&bin_dir().join("postgres"));
        command
            .arg("-D")
            .arg(&self.data_dir)
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "shared_buffers=16MB"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log);
        self.child = Some(command.spawn().expect("start postgres"));
        let plan = self.plan();
        wait::until(
            "the server answers",
            Duration::from_secs(30),
            || writer::query(&plan, "SELECT 1").ok(),
            || fs::read_to_string(self.log()).unwrap_or_default(),
        );
        self
    }

    /// kill -9 of every process of the server.
    #[track_caller]
    pub fn kill9(&mut self) {
        process::kill_until_none("the server is gone", || self.processes());
        self.collect();
    }

    /// SIGSTOP of every process of the server: it is there, and does nothing.
    pub fn freeze(&self) {
        self.signal_all(Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&self, signal: Signal) {
        for process in self.processes() {
            process::signal(process.pid, signal);
        }
    }

    pub fn processes(&self) -> Vec<Process> {
        process::working_on(&self.data_dir)
    }

    /// A client of this server.
    pub fn plan(&self) -> Plan {
        let mut host = Config::new();
        host.host("127.0.0.1").port(self.port).user("postgres").dbname("postgres");
        host.password(PASSWORD);
        Plan::to(vec![host])
    }

    fn log(&self) -> PathBuf {
        self.scratch.path().join("postgres.log")
    }

    fn collect(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.wait().ok();
        }
    }
}

impl Drop for PgNode {
    fn drop(&mut self) {
        process::kill_all(|| self.processes());
        self.collect();
    }
}

/// A data directory to copy, made by whoever comes first and kept for the next run.
#[track_caller]
fn template() -> PathBuf {
    let place = PathBuf::from(format!("/tmp/howdah-template-{}", nix::unistd::geteuid()));
    fs::create_dir_all(&place).expect("make the template's place");
    let file = fs::File::create(place.join("lock")).expect("make the template's lock");
    let _lock = Flock::lock(file, FlockArg::LockExclusive).expect("lock the template");
    let programs = bin_dir();
    let version = programs.parent().and_then(Path::file_name).expect("a version");
    let ready = place.join(version);
    if !ready.exists() {
        let made = place.join("half");
        fs::remove_dir_all(&made).ok();
        make_template(&made, &place.join("password"));
        fs::rename(&made, &ready).expect("show the whole template");
    }
    ready
}

fn make_template(home: &Path, password: &Path) {
    fs::create_dir(home).expect("make the template's directory");
    if let Some(user) = postgres_user() {
        chown(home, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("give it away");
    }
    fs::write(password, PASSWORD).expect("write the password");
    let output = as_postgres(&bin_dir().join("initdb"))
        .args(["--no-sync", "--auth=scram-sha-256", "--username=postgres", "--locale=C"])
        .arg(format!("--pwfile={}", password.display()))
        .arg("--pgdata")
        .arg(home)
        .output()
        .expect("run initdb");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if postgres_user().is_none() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=KILL", "--"])
        .arg(program)
        .current_dir("/");
    command
}

/// The user to become, when this process is root.
fn postgres_user() -> Option<nix::unistd::User> {
    let is_root = nix::unistd::geteuid().is_root();
    is_root.then(|| nix::unistd::User::from_name("postgres").ok().flatten()).flatten()
}

/// The newest of Debian's server directories.
pub(crate) fn bin_dir() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |entry: &fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let newest = found.max_by_key(version).expect("a server below /usr/lib/postgresql");
    newest.path().join("bin")
}
