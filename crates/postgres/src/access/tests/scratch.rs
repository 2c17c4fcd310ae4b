//! A PostgreSQL of its own for one test, stopped and removed with it.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_postgres::{Client, Config, NoTls};

pub struct Server {
    directory: PathBuf,
    postmaster: Child,
}

impl Server {
    /// Starts a copy of a cluster that initdb made once.
    pub async fn start() -> Server {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let started = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("howdah-access-{}-{started}", std::process::id());
        let directory = PathBuf::from("/tmp").join(name);
        let template = template();
        made(&directory);
        run(as_postgres("cp").arg("-a").arg(template).arg(directory.join("data")));
        let postmaster = as_postgres(&program("postgres"))
            .arg("-D")
            .arg(directory.join("data"))
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "log_statement=all"])
            .args(["-c", "log_min_duration_statement=0", "-c", "logging_collector=off"])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", directory.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(directory.join("log")).expect("log"))
            .spawn()
            .expect("postgres");
        let server = Server { directory, postmaster };
        server.accepts().await;
        server
    }

    /// How the superuser connects.
    pub fn config(&self) -> Config {
        self.config_of("postgres", "postgres")
    }

    pub fn config_of(&self, user: &str, database: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.directory).port(5432).user(user).dbname(database);
        config
    }

    pub async fn connect(&self, config: &Config) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub fn log(&self) -> String {
        let mut log = String::new();
        let file = File::open(self.directory.join("log"));
        file.expect("log").read_to_string(&mut log).expect("text");
        log
    }

    async fn accepts(&self) {
        let deadline = Instant::now() + START_MAX;
        while self.connect(&self.config()).await.is_err() {
            let retry = timeout_at(deadline, sleep(Duration::from_millis(20))).await;
            assert!(retry.is_ok(), "postgres does not start: {}", self.log());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let postmaster = i32::try_from(self.postmaster.id()).expect("a pid");
        // Immediate shutdown: nobody reads this cluster again.
        let _ = kill(Pid::from_raw(postmaster), Signal::SIGQUIT);
        let _ = self.postmaster.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// The cluster that the others are copied from, made by whoever comes first.
fn template() -> PathBuf {
    let directory = PathBuf::from("/tmp/howdah-access-template-15");
    let lock = File::create("/tmp/howdah-access-template.lock").expect("lock");
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, e)| e).expect("lock");
    if !directory.join("ready").exists() {
        let _ = fs::remove_dir_all(&directory);
        made(&directory);
        let data = directory.join("data");
        run(as_postgres(&program("initdb"))
            .args(["--no-sync", "--encoding=UTF8", "--locale=C.UTF-8", "-U", "postgres", "-D"])
            .arg(&data));
        // The superuser of a scratch server is whoever reaches its socket; all others prove
        // who they are.
        let hba = "local all postgres trust\nlocal all all scram-sha-256\n";
        fs::write(data.join("pg_hba.conf"), hba).expect("hba");
        fs::write(directory.join("ready"), "").expect("mark");
    }
    directory.join("data")
}

/// An empty directory of the user that runs the server.
fn made(directory: &Path) {
    fs::create_dir_all(directory).expect("directory");
    fs::set_permissions(directory, Permissions::from_mode(0o755)).expect("mode");
    if nix::unistd::geteuid().is_root() {
        run(Command::new("chown").arg("postgres:").arg(directory));
    }
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &str) -> Command {
    if !nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", program]);
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("starts");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

fn program(name: &str) -> String {
    format!("/usr/lib/postgresql/15/bin/{name}")
}

const START_MAX: Duration = Duration::from_secs(30);
