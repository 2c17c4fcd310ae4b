//! One PostgreSQL, and a pooler before it that is run from files.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use howdah_testkit::{PgNode, PortLease, Scratch, process, wait};
use nix::sys::signal::Signal;
use tokio_postgres::{Client, Config, NoTls};

const BINARY: &str = env!("CARGO_BIN_EXE_howdah");
pub const WITHIN: Duration = Duration::from_secs(30);

/// A server with a role `app`, whose password is `secret`.
pub struct Site {
    pub pg: PgNode,
    pub pg_port: u16,
    pub scratch: Scratch,
    _ports: PortLease,
    pub port: u16,
}

impl Site {
    /// Not in a runtime, and not in a thread that ends: the server ends with it.
    pub fn start() -> Site {
        let (scratch, mut ports) = (Scratch::new(), PortLease::take());
        let mut pg = PgNode::init();
        pg.start();
        let pg_port = pg.plan().hosts[0].get_ports()[0];
        let port = ports.next_port();
        let site = Site { pg, pg_port, scratch, _ports: ports, port };
        site.sql("CREATE ROLE app LOGIN PASSWORD 'secret'");
        site
    }

    /// Past the pooler, as the superuser.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        let plan = self.pg.plan();
        let asked = std::thread::scope(|scope| {
            scope.spawn(|| howdah_testkit::writer::query(&plan, sql)).join()
        });
        let rows = asked.expect("asked");
        rows.unwrap_or_else(|error| panic!("`{sql}`: {error:#}")).join("\n")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("written");
    }

    /// The ini: `[databases]` without and with `postgres`, and `[pgbouncer]` with these lines.
    pub fn ini(&self, databases: &str, lines: &str) -> String {
        let (pg, port, dir) = (self.pg_port, self.port, self.scratch.path().display());
        let databases = databases.replace("HOST", &format!("host=127.0.0.1 port={pg}"));
        format!(
            "[databases]\npostgres = host=127.0.0.1 port={pg}\n{databases}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {dir}\n\
             auth_file = {dir}/users.txt\n{lines}\n"
        )
    }

    /// Runs it, with `app` in the user list unless a list has been written.
    #[track_caller]
    pub fn pool(&self, databases: &str, lines: &str) -> Pooler<'_> {
        if !self.path("users.txt").exists() {
            self.write("users.txt", "\"app\" \"secret\"\n\"postgres\" \"test\"\n");
        }
        self.write("a.ini", &self.ini(databases, lines));
        let ini = self.path("a.ini").display().to_string();
        self.run(&[&ini], &[])
    }

    #[track_caller]
    pub fn run(&self, args: &[&str], variables: &[(&str, &str)]) -> Pooler<'_> {
        let log = fs::File::create(self.path("log")).expect("a log");
        let child = Command::new(BINARY)
            .arg("pgbouncer")
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("howdah runs");
        let mut pooler = Pooler { site: self, child };
        wait::until(
            "the pooler listens",
            WITHIN,
            || {
                (pooler.child.try_wait().ok()?.is_some() || self.log().contains("pooling"))
                    .then_some(())
            },
            || self.log(),
        );
        pooler
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// `howdah pgbouncer` that is to end by itself.
    pub fn ends(&self, args: &[&str]) -> Output {
        let command = Command::new(BINARY).arg("pgbouncer").args(args).env_clear().output();
        command.expect("howdah runs")
    }
}

/// Ends with its test.
pub struct Pooler<'a> {
    pub site: &'a Site,
    pub child: Child,
}

impl Drop for Pooler<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pooler<'_> {
    /// What `psql` says: the rows, or the error's lines.
    pub fn psql(&self, user: &str, password: &str, database: &str, sql: &str) -> String {
        self.psql_at("127.0.0.1", user, password, database, sql)
    }

    pub fn psql_at(
        &self,
        host: &str,
        user: &str,
        password: &str,
        database: &str,
        sql: &str,
    ) -> String {
        self.psql_to(&format!("host={host} user={user} dbname={database}"), password, sql)
    }

    pub fn psql_to(&self, conninfo: &str, password: &str, sql: &str) -> String {
        let conninfo = format!("{conninfo} port={} connect_timeout=20", self.site.port);
        let output = Command::new("timeout")
            .args(["60", "psql", "-XAtq", &conninfo, "-c", sql])
            .env("PGPASSWORD", password)
            .output()
            .expect("psql");
        let text = if output.status.success() { output.stdout } else { output.stderr };
        let text = String::from_utf8_lossy(&text);
        let text = text.trim();
        // Where it failed is the same in all of them.
        text.split_once("failed: ").map_or(text, |(_, error)| error).to_owned()
    }

    pub async fn connect(&self, database: &str) -> Client {
        self.try_connect(database).await.expect("let in")
    }

    pub async fn try_connect(&self, database: &str) -> Result<Client, String> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.site.port).user("app").password("secret");
        config.dbname(database);
        let connected = tokio::time::timeout(WITHIN, config.connect(NoTls)).await;
        let (client, session) = match connected.expect("an answer in time") {
            Ok(connected) => connected,
            Err(error) => return Err(said(&error)),
        };
        tokio::spawn(session);
        Ok(client)
    }

    pub fn signal(&self, signal: Signal) {
        process::signal(self.child.id().cast_signed(), signal);
    }

    /// How it has ended.
    #[track_caller]
    pub fn ended(&mut self) -> Option<i32> {
        let child = &mut self.child;
        wait::until(
            "the pooler has ended",
            WITHIN,
            || child.try_wait().expect("a child").map(|status| status.code()),
            || self.site.log(),
        )
    }
}

pub fn said(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}

/// Runs a test's clients. Their sessions have a thread of their own: a test may wait for a process.
pub fn run(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// The first column of the first row.
pub async fn value(client: &Client, sql: &str) -> Result<String, String> {
    let asked = tokio::time::timeout(WITHIN, client.simple_query(sql)).await;
    let messages = asked.expect("an answer in time").map_err(|error| said(&error))?;
    let row = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.unwrap_or_default().to_owned())
}
