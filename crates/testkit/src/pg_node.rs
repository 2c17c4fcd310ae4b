//! One plain PostgreSQL without Howdah, for what must be shown on a bare server.
//!
//! initdb runs once on a machine; every server is a copy of its result.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
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
    programs: PathBuf,
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
        PgNode::of(&bin_dir())
    }

    /// The same of another major, by where its programs are.
    #[track_caller]
    pub fn of(programs: &Path) -> PgNode {
        let node = PgNode::empty(programs);
        let copied =
            Command::new("cp").arg("-a").arg(template(programs)).arg(&node.data_dir).status();
        assert!(copied.expect("cp runs").success(), "copy the template");
        let hba = node.data_dir.join("pg_hba.conf");
        let rules = fs::read_to_string(&hba).expect("read the rules");
        // Its socket is in the data directory, where only its own user gets.
        let own = "local all postgres trust\nlocal replication postgres trust\n";
        fs::write(&hba, format!("{own}{rules}")).expect("write the rules");
        node
    }

    /// A standby of this server, as pg_basebackup makes one; not started.
    #[track_caller]
    pub fn standby(&self) -> PgNode {
        let node = PgNode::empty(&self.programs);
        // The copy is made by the server's user, who must be let in.
        fs::create_dir(&node.data_dir).expect("make the data directory");
        let own = fs::Permissions::from_mode(0o700);
        fs::set_permissions(&node.data_dir, own).expect("close the data directory");
        give_away(&node.data_dir);
        let output = as_postgres(&self.programs.join("pg_basebackup"))
            .args([
                "--write-recovery-conf",
                "--checkpoint=fast",
                "--no-sync",
                "--username=postgres",
            ])
            .arg("--host")
            .arg(self.socket_dir())
            .args(["--port", &self.port.to_string(), "--pgdata"])
            .arg(&node.data_dir)
            .output()
            .expect("run pg_basebackup");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        node
    }

    /// A server of the same programs on a data directory that `fill` makes; not started.
    #[track_caller]
    pub fn on_what(&self, fill: impl FnOnce(&Path)) -> PgNode {
        let node = PgNode::empty(&self.programs);
        fill(&node.data_dir);
        give_away_all(&node.data_dir);
        node
    }

    fn empty(programs: &Path) -> PgNode {
        let (scratch, mut lease) = (Scratch::new(), PortLease::take());
        let (data_dir, port) = (scratch.path().join("data"), lease.next_port());
        let programs = programs.to_owned();
        PgNode { programs, data_dir, port, child: None, scratch, _lease: lease }
    }

    /// Adds a line to its configuration.
    #[track_caller]
    pub fn set(&mut self, line: &str) -> &mut PgNode {
        let path = self.data_dir.join("postgresql.conf");
        let mut text = fs::read_to_string(&path).expect("read the configuration");
        text.push_str(&format!("\n{line}\n"));
        fs::write(&path, text).expect("write the configuration");
        self
    }

    /// Starts the server and waits until it answers.
    #[track_caller]
    pub fn start(&mut self) -> &mut PgNode {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log());
        let log = log.expect("open the server's log");
        let mut command = as_postgres(&self.programs.join("postgres"));
        command
            .arg("-D")
            .arg(&self.data_dir)
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1"])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", self.socket_dir().display()))
            .args(["-c", "shared_buffers=16MB"])
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

    /// A fast shutdown: standbys get everything before it ends.
    #[track_caller]
    pub fn stop(&mut self) {
        let pid = self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok());
        process::signal(pid.expect("it runs"), Signal::SIGINT);
        wait::until(
            "the server ends",
            Duration::from_secs(60),
            || self.processes().is_empty().then_some(()),
            || fs::read_to_string(self.log()).unwrap_or_default(),
        );
        self.collect();
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

    /// The first column of what it answers.
    #[track_caller]
    pub fn query(&self, sql: &str) -> Vec<String> {
        writer::query(&self.plan(), sql).unwrap_or_else(|error| panic!("{sql}: {error:#}"))
    }

    /// Where `postgres` and its kin are.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Where the superuser comes in without a password, on [`PgNode::port`].
    pub fn socket_dir(&self) -> &Path {
        &self.data_dir
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A client of this server.
    pub fn plan(&self) -> Plan {
        let mut host = Config::new();
        host.host("127.0.0.1").port(self.port).user("postgres").dbname("postgres");
        host.password(PASSWORD);
        Plan::to(vec![host])
    }

    /// What it has said.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
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
fn template(programs: &Path) -> PathBuf {
    let place = PathBuf::from(format!("/tmp/howdah-template-{}", nix::unistd::geteuid()));
    fs::create_dir_all(&place).expect("make the template's place");
    let file = fs::File::create(place.join("lock")).expect("make the template's lock");
    let _lock = Flock::lock(file, FlockArg::LockExclusive).expect("lock the template");
    let version = programs.parent().and_then(Path::file_name).expect("a version");
    let ready = place.join(version);
    if !ready.exists() {
        let made = place.join("half");
        fs::remove_dir_all(&made).ok();
        make_template(programs, &made, &place.join("password"));
        fs::rename(&made, &ready).expect("show the whole template");
    }
    ready
}

fn make_template(programs: &Path, home: &Path, password: &Path) {
    fs::create_dir(home).expect("make the template's directory");
    give_away(home);
    fs::write(password, PASSWORD).expect("write the password");
    let output = as_postgres(&programs.join("initdb"))
        .args(["--no-sync", "--auth=scram-sha-256", "--username=postgres", "--locale=C"])
        .arg(format!("--pwfile={}", password.display()))
        .arg("--pgdata")
        .arg(home)
        .output()
        .expect("run initdb");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn give_away(folder: &Path) {
    if let Some(user) = postgres_user() {
        chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("give it away");
    }
}

/// A folder and all that is in it, to the user that servers run as.
#[track_caller]
pub fn give_away_all(folder: &Path) {
    if postgres_user().is_some() {
        let given = Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder).status();
        assert!(given.expect("chown runs").success(), "give `{}` away", folder.display());
    }
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
