//! Servers for the tests: a data directory made once by the library's own initdb and copied,
//! certificates made once, started as the guard would start it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use howdah_base::{DirectoryId, Lsn, NodeName, Term};
use howdah_postgres::conf::{self, ServerConf, Upstream};
use howdah_postgres::directory::{self, DirectoryFile};
use howdah_postgres::install::{self, Install};
use howdah_postgres::session::Session;
use howdah_postgres::{basebackup, initdb, server};
use howdah_testkit::{PortLease, Scratch, process, wait};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use nix::unistd;

/// Everything but a test of time is over by then.
pub const SOON: Duration = Duration::from_secs(20);

/// One server on a directory of its own. Ends on drop.
pub struct Server {
    pub install: Install,
    pub data_dir: PathBuf,
    pub state_dir: PathBuf,
    pub port: u16,
    pub parameters: BTreeMap<String, String>,
    child: Option<Child>,
    _lease: PortLease,
    _scratch: Scratch,
}

impl Server {
    /// A directory of node `name` that nothing has been written to; nothing runs.
    pub fn bare(name: &str) -> Server {
        become_postgres();
        let (scratch, mut lease) = (Scratch::new(), PortLease::take());
        let home = scratch.path().join(name);
        let state_dir = home.join("state");
        fs::create_dir_all(state_dir.join("run")).expect("make the socket's directory");
        let mut server = Server {
            install: install(),
            data_dir: home.join("data"),
            state_dir,
            port: lease.next_port(),
            parameters: BTreeMap::new(),
            child: None,
            _lease: lease,
            _scratch: scratch,
        };
        server.parameters = server.usual_parameters();
        server
    }

    /// A copy of a directory that initdb made once, with an identity of its own.
    pub fn of(name: &str) -> Server {
        let server = Server::bare(name);
        let copied = Command::new("cp").arg("-a").arg(template()).arg(&server.data_dir).status();
        assert!(copied.expect("cp runs").success(), "copy the template");
        let file =
            DirectoryFile { id: server.id(), node: server.node(), fresh: false, adopted: false };
        directory::write_file(&server.data_dir, &file).expect("identity");
        server
    }

    /// A running primary with the replicator's role.
    pub async fn primary(name: &str) -> Server {
        let mut server = Server::of(name);
        server.configure(false);
        server.start().await;
        server.session().await.ensure_replicator().await.expect("replicator");
        server
    }

    /// A standby of `primary`, copied and streaming through its slot of term 1.
    pub async fn standby(name: &str, primary: &Server) -> Server {
        let mut server = Server::bare(name);
        server.copy_from(primary).await.expect("copies");
        server.follow(primary);
        server.start().await;
        primary.wait_streaming(&server).await;
        server
    }

    pub async fn copy_from(&self, primary: &Server) -> Result<(), howdah_postgres::PgError> {
        let slot = self.id().slot(Term(1));
        let session = primary.session().await;
        let there = session.slots().await.expect("slots");
        if !there.iter().any(|known| known.name == slot) {
            session.create_slot(&slot).await.expect("slot");
        }
        self.copy_through(primary, &slot).await
    }

    /// As `copy_from`, through a slot that may not be there.
    pub async fn copy_through(
        &self,
        primary: &Server,
        slot: &str,
    ) -> Result<(), howdah_postgres::PgError> {
        let file = DirectoryFile { id: self.id(), node: self.node(), fresh: false, adopted: false };
        let source = self.conninfo(primary);
        let copy = basebackup::Copy {
            source: &source,
            slot: Some(slot),
            data_dir: &self.data_dir,
            state_dir: &self.state_dir,
            file: &file,
        };
        basebackup::run(&self.install, &copy).await
    }

    /// Configures it as a standby of `primary`.
    pub fn follow(&mut self, primary: &Server) {
        let conninfo = self.conninfo(primary);
        self.set("primary_conninfo", &conninfo);
        let slot = self.id().slot(Term(1));
        self.set("primary_slot_name", &slot);
        self.configure(true);
    }

    pub fn set(&mut self, name: &str, value: &str) {
        self.parameters.insert(name.to_owned(), value.to_owned());
    }

    /// Writes the files, gate open for a client on loopback.
    pub fn configure(&self, standby: bool) {
        let users = ["host all all 127.0.0.1/32 scram-sha-256".to_owned()];
        let user = unistd::User::from_uid(unistd::geteuid()).expect("users").expect("a user");
        let conf = ServerConf {
            parameters: self.parameters.clone(),
            hba: conf::hba_text(true, &users),
            ident: conf::ident_text(&user.name),
            standby,
        };
        conf::write(&self.data_dir, &conf).expect("configuration");
    }

    /// As `configure`, then the reload.
    pub async fn reconfigure(&self, standby: bool) {
        self.configure(standby);
        self.session().await.reload().await.expect("reload");
    }

    pub fn launch(&mut self) {
        let (program, args, env) = server::start_command(&self.install, &self.data_dir);
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path());
        let log = log.expect("open the log");
        let child = Command::new("setpriv")
            .args(["--pdeathsig=KILL", "--"])
            .arg(program)
            .args(args)
            .env_clear()
            .envs(env)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("start postgres"));
    }

    /// Launches it and waits until it answers.
    pub async fn start(&mut self) {
        self.launch();
        self.until("the server answers", async || self.try_session().await).await;
    }

    pub async fn try_session(&self) -> Option<Session> {
        Session::connect(&self.socket_dir(), self.port, "postgres").await.ok()
    }

    pub async fn session(&self) -> Session {
        let session = Session::connect(&self.socket_dir(), self.port, "postgres").await;
        session.unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// A client of its own for SQL that the library has no word for.
    pub async fn client(&self) -> tokio_postgres::Client {
        let mut config = tokio_postgres::Config::new();
        config.host_path(self.socket_dir()).port(self.port).user("postgres").dbname("postgres");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("connects");
        tokio::spawn(connection);
        client
    }

    pub async fn sql(&self, sql: &str) {
        self.client().await.batch_execute(sql).await.expect(sql);
    }

    /// The first column of the first row, as text.
    pub async fn value(&self, sql: &str) -> String {
        let messages = self.client().await.simple_query(sql).await.expect(sql);
        let row = messages.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default()),
            _ => None,
        });
        row.expect("a row").to_owned()
    }

    pub async fn wait_streaming(&self, standby: &Server) {
        let id = standby.id();
        self.until("the standby streams", async || {
            let probe = self.session().await.probe().await.ok()?;
            let is_it = |s: &&howdah_postgres::session::Sender| {
                s.application_name == id.as_str() && s.state == "streaming"
            };
            probe.senders.iter().find(is_it).map(drop)
        })
        .await;
    }

    pub async fn wait_replayed(&self, lsn: Lsn) {
        self.until("the standby has replayed", async || {
            let probe = self.session().await.probe().await.ok()?;
            (probe.replayed? >= lsn).then_some(())
        })
        .await;
    }

    /// Looks until there is something, at most [`SOON`], else prints the log.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let begun = tokio::time::Instant::now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            assert!(begun.elapsed() < SOON, "not within {SOON:?}: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// kill -9 of every process: the server is gone to the last.
    pub fn kill9(&mut self) {
        process::kill_until_none("the server is gone", || process::working_on(&self.data_dir));
        self.collect();
    }

    pub fn stop(&mut self, signal: Signal) {
        let pid = self.child.as_ref().expect("it runs").id();
        process::signal(i32::try_from(pid).expect("a pid"), signal);
        wait::until(
            "the server has stopped",
            SOON,
            || process::working_on(&self.data_dir).is_empty().then_some(()),
            || self.log(),
        );
        self.collect();
    }

    fn collect(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.wait().expect("collected");
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.state_dir.join("postgres.log")
    }

    pub fn socket_dir(&self) -> PathBuf {
        self.state_dir.join("run")
    }

    pub fn node(&self) -> NodeName {
        let home = self.state_dir.parent().and_then(Path::file_name).expect("a name");
        home.to_str().expect("text").parse().expect("a node's name")
    }

    pub fn id(&self) -> DirectoryId {
        DirectoryId::new(&self.node(), u32::from(self.port))
    }

    /// How this server reaches `upstream`.
    pub fn conninfo(&self, upstream: &Server) -> String {
        let tls = tls();
        conf::primary_conninfo(&Upstream {
            host: "127.0.0.1",
            port: upstream.port,
            ca: &tls.join("ca.crt"),
            cert: &tls.join("howdah_replicator.crt"),
            key: &tls.join("howdah_replicator.key"),
            application: self.id().as_str(),
        })
    }

    fn usual_parameters(&self) -> BTreeMap<String, String> {
        let tls = tls();
        let file = |name: &str| tls.join(name).display().to_string();
        let pairs = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("unix_socket_directories", self.socket_dir().display().to_string()),
            ("cluster_name", format!("it's a \\ test/{}", self.node())),
            ("ssl", "on".to_owned()),
            ("ssl_ca_file", file("ca.crt")),
            ("ssl_cert_file", file("server.crt")),
            ("ssl_key_file", file("server.key")),
            ("shared_buffers", "16MB".to_owned()),
            ("wal_log_hints", "on".to_owned()),
            ("wal_keep_size", "256MB".to_owned()),
            ("restart_after_crash", "off".to_owned()),
            ("wal_retrieve_retry_interval", "100ms".to_owned()),
            // No test cuts the power, and many run at once.
            ("fsync", "off".to_owned()),
            ("log_line_prefix", "%m [%p] ".to_owned()),
            ("autovacuum", "off".to_owned()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::kill_all(|| process::working_on(&self.data_dir));
        if let Some(mut child) = self.child.take() {
            child.wait().ok();
        }
    }
}

pub fn install() -> Install {
    become_postgres();
    let found = install::find(None, "");
    install::choose(&found, None, Path::new("/nowhere")).expect("a PostgreSQL is installed")
}

/// Every thread of the process, for good: what the library starts then runs as it does in
/// production.
pub fn become_postgres() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if unistd::geteuid().is_root() {
            let user = unistd::User::from_name("postgres").expect("users").expect("postgres");
            unistd::setgroups(&[user.gid]).expect("setgroups");
            unistd::setgid(user.gid).expect("setgid");
            unistd::setuid(user.uid).expect("setuid");
        }
        std::env::set_current_dir("/").expect("a directory that it may enter");
    });
}

/// A directory to copy, made by whoever comes first and kept for the next run.
fn template() -> PathBuf {
    let place = place();
    let ready = place.join(format!("data-{}", install().major));
    let _lock = lock(&place);
    if !ready.exists() {
        let made = place.join("made");
        fs::remove_dir_all(&made).ok();
        let node: NodeName = "template".parse().expect("a name");
        let file =
            DirectoryFile { id: DirectoryId::new(&node, 0), node, fresh: true, adopted: false };
        // A test has a runtime already: this one is a thread's own.
        let making = made.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let install = install();
            let making = initdb::run(&install, &making, "C.UTF-8", &file);
            runtime.expect("a runtime").block_on(making)
        });
        thread.join().expect("no panic").expect("initdb");
        fs::rename(&made, &ready).expect("show the whole template");
    }
    ready
}

/// A CA, a server's certificate for 127.0.0.1, and the replicator's.
pub fn tls() -> PathBuf {
    let place = place();
    let ready = place.join("tls");
    let _lock = lock(&place);
    if !ready.exists() {
        let made = place.join("tls-made");
        fs::remove_dir_all(&made).ok();
        fs::create_dir(&made).expect("make it");
        openssl(
            &made,
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
                 -subj /CN=test-ca -keyout ca.key -out ca.crt",
        );
        fs::write(made.join("san"), "subjectAltName=IP:127.0.0.1\n").expect("write");
        for name in ["server", "howdah_replicator"] {
            openssl(
                &made,
                &format!(
                    "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} \
                 -keyout {name}.key -out {name}.csr"
                ),
            );
            openssl(
                &made,
                &format!(
                    "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 \
                 -extfile san -out {name}.crt"
                ),
            );
        }
        fs::rename(&made, &ready).expect("show the whole folder");
    }
    ready
}

fn openssl(folder: &Path, words: &str) {
    let output =
        Command::new("openssl").args(words.split_whitespace()).current_dir(folder).output();
    let output = output.expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn place() -> PathBuf {
    become_postgres();
    let place = PathBuf::from(format!("/tmp/howdah-postgres-template-{}", unistd::geteuid()));
    fs::create_dir_all(&place).expect("make the template's place");
    place
}

fn lock(place: &Path) -> Flock<fs::File> {
    let file = fs::File::create(place.join("lock")).expect("make the lock");
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e).expect("lock")
}
