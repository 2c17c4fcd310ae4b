//! A pooler that runs from a PgBouncer ini: PgBouncer itself, or Howdah.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::ground::{Ground, ROLE, run};

/// How long a pooler may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

/// By what a client reaches its pooler, and the pooler its server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Socket {
    Tcp,
    Unix,
    /// TCP with TLS from the client to the pooler.
    Tls,
}

#[derive(Debug)]
pub struct Pooler {
    pub name: String,
    /// It has no prepared statements in transaction mode.
    pub lacks_prepared: bool,
    pub port: u16,
    /// Its folder, where its Unix socket is.
    pub dir: PathBuf,
    child: Child,
}

impl Pooler {
    /// Debian's, or another one on the path that was named.
    pub fn pgbouncer(ground: &Ground, program: &Path, port: u16) -> Result<Pooler> {
        let output = Command::new(program).arg("--version").output().context("ask its version")?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = said.split_whitespace().nth(1).unwrap_or("unknown").to_owned();
        let minor = version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        let mut pooler = Pooler::start(ground, &format!("PgBouncer {version}"), port, |ini| {
            let mut command = Command::new(program);
            command.arg("-q").arg(ini);
            command
        })?;
        pooler.lacks_prepared = minor.is_none_or(|minor| minor < 21);
        Ok(pooler)
    }

    /// The binary of this repository, with so many threads that serve clients.
    pub fn howdah(ground: &Ground, port: u16, threads: u32) -> Result<Pooler> {
        let program = std::env::current_exe()?.with_file_name("howdah");
        let name = match threads {
            1 => "Howdah".to_owned(),
            more => format!("Howdah, {more} threads"),
        };
        Pooler::start(ground, &name, port, |ini| {
            let mut command = Command::new(&program);
            command.args(["pgbouncer", "--threads", &threads.to_string()]).arg(ini);
            command
        })
    }

    fn start(
        ground: &Ground,
        name: &str,
        port: u16,
        command: impl FnOnce(&Path) -> Command,
    ) -> Result<Pooler> {
        let dir = ground.dir.join(format!("pooler-{port}"));
        fs::create_dir(&dir)?;
        certificate(&dir)?;
        let ini = dir.join("pooler.ini");
        fs::write(&ini, text(ground, &dir, port))?;
        fs::write(dir.join("userlist.txt"), format!("\"{ROLE}\" \"\"\n"))?;
        run(Command::new("chown").arg("-R").arg("postgres").arg(&dir))?;
        let inner = command(&ini);
        let mut outer = Command::new("setpriv");
        outer.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]);
        outer.arg(inner.get_program()).args(inner.get_args());
        let log = fs::File::create(ground.dir.join(format!("pooler-{port}.log")))?;
        outer.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir("/tmp");
        let child = outer.spawn().with_context(|| format!("start {name}"))?;
        let mut pooler = Pooler { name: name.to_owned(), lacks_prepared: false, port, dir, child };
        let until = Instant::now() + START_MAX;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > until || pooler.child.try_wait()?.is_some() {
                let said = fs::read_to_string(ground.dir.join(format!("pooler-{port}.log")))?;
                bail!("{name} does not listen: {said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(pooler)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// libpq's host and database for a kind of socket.
    pub fn place(&self, socket: Socket) -> (String, &'static str) {
        match socket {
            Socket::Tcp | Socket::Tls => ("127.0.0.1".to_owned(), "over_tcp"),
            Socket::Unix => (self.dir.display().to_string(), "over_unix"),
        }
    }

    /// Processor time of all of its threads so far.
    pub fn processor(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid()));
        let nanos = tasks.into_iter().flatten().flatten().filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanos.sum())
    }

    /// Resident memory, kB.
    pub fn resident_kb(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(ground: &Ground, dir: &Path, port: u16) -> String {
    let (server, server_dir, dir) = (ground.port, ground.dir.display(), dir.display());
    format!(
        "[databases]\n\
         over_tcp = host=127.0.0.1 port={server} dbname=postgres\n\
         over_unix = host={server_dir} port={server} dbname=postgres\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir = {dir}\n\
         auth_type = trust\n\
         auth_file = {dir}/userlist.txt\n\
         pool_mode = transaction\n\
         default_pool_size = 8\n\
         max_client_conn = 20000\n\
         client_tls_sslmode = allow\n\
         client_tls_key_file = {dir}/key.pem\n\
         client_tls_cert_file = {dir}/cert.pem\n\
         log_connections = 0\n\
         log_disconnections = 0\n\
         ignore_startup_parameters = extra_float_digits\n"
    )
}

fn certificate(dir: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(dir.join("cert.pem"), made.cert.pem())?;
    let key = dir.join("key.pem");
    fs::write(&key, made.signing_key.serialize_pem())?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    Ok(())
}
