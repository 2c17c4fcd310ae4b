//! Debian's Patroni: two nodes and one etcd, set to react as fast as it can.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use howdah_testkit::{EtcdCluster, EtcdSetup, PortLease, Scratch, process, wait};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::http;

/// Of HTTP's user and of PostgreSQL's.
pub const PASSWORD: &str = "not-a-secret";
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Patroni takes a server that is dead and not collected for a living one, and leaves it to the
/// machine's first process to collect it; where that one does not, this does.
const INIT: &str = "
import ctypes, os, signal, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
child = subprocess.Popen(sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
while True:
    pid, status = os.wait()
    if pid == child.pid:
        sys.exit(os.waitstatus_to_exitcode(status))
";

/// A running cluster. Whatever it started ends with it: [`Scratch`] kills all that works in its
/// directory.
#[derive(Debug)]
pub struct Patroni {
    pub nodes: Vec<Node>,
    etcd: EtcdCluster,
    scratch: Scratch,
    _ports: PortLease,
}

/// One of its nodes.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub rest: u16,
    postgres: u16,
    pub data_dir: PathBuf,
    child: Option<Child>,
}

impl Patroni {
    /// Starts `n1`, which will lead, then `n2`.
    #[track_caller]
    pub fn start() -> Patroni {
        let (scratch, mut ports) = (Scratch::new(), PortLease::take());
        let user = nix::unistd::User::from_name("postgres").ok().flatten().expect("a user");
        chown(scratch.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
        let nodes = ["n1", "n2"].map(|name| Node {
            name: name.to_owned(),
            rest: ports.next_port(),
            postgres: ports.next_port(),
            data_dir: scratch.path().join("data").join(name),
            child: None,
        });
        let etcd = EtcdCluster::start(1, EtcdSetup::default());
        let mut made = Patroni { nodes: nodes.into(), etcd, scratch, _ports: ports };
        for number in 0..made.nodes.len() {
            made.write_file(number, false);
            made.start_node(number);
            let wanted = if number == 0 { "/primary" } else { "/sync" };
            made.wait_for(number, wanted, STARTS_WITHIN);
        }
        made
    }

    /// Writes the node's file; `nofailover` is its tag.
    pub fn write_file(&self, number: usize, nofailover: bool) {
        let node = &self.nodes[number];
        let path = self.path(&format!("{}.yml", node.name));
        let text = file(node, self.scratch.path(), &self.etcd.endpoint(0), nofailover);
        fs::write(&path, text).expect("write Patroni's file");
    }

    /// Starts the node as the user `postgres`, in the scratch directory.
    pub fn start_node(&mut self, number: usize) {
        let (name, path) = (self.nodes[number].name.clone(), self.scratch.path().to_owned());
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(path.join(format!("{name}.log")))
            .expect("open a log");
        let child = Command::new("setpriv")
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=KILL"])
            .args(["--", "python3", "-c", INIT, "patroni"])
            .arg(path.join(format!("{name}.yml")))
            .current_dir(&path)
            .env("PATH", "/usr/bin:/usr/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn();
        self.nodes[number].child = Some(child.expect("start Patroni: install patroni"));
    }

    /// SIGTERM, as a service manager stops it: the server is shut down, the lock given up.
    #[track_caller]
    pub fn stop_node(&mut self, number: usize) {
        let mut child = self.nodes[number].child.take().expect("it runs");
        process::signal(i32::try_from(child.id()).expect("a pid"), Signal::SIGTERM);
        let ended = wait::found_within(STARTS_WITHIN, || child.try_wait().ok().flatten());
        assert!(ended.is_some(), "Patroni does not stop\n{}", self.logs());
    }

    /// Waits until the node's check `path` says 200.
    #[track_caller]
    pub fn wait_for(&self, number: usize, path: &str, at_most: Duration) {
        let port = self.nodes[number].rest;
        wait::until(
            &format!("Patroni's {} says 200 to {path}", self.nodes[number].name),
            at_most,
            || (http::ask(port, "GET", path, None, None).code == 200).then_some(()),
            || self.logs(),
        );
    }

    /// Waits until what the node says of itself is as `is_so` wants it.
    #[track_caller]
    pub fn wait_until(&self, number: usize, what: &str, is_so: impl Fn(&Value) -> bool) {
        let port = self.nodes[number].rest;
        let body = || http::ask(port, "GET", "/patroni", None, None).body;
        wait::until(
            &format!("Patroni's {}: {what}", self.nodes[number].name),
            STARTS_WITHIN,
            || serde_json::from_str(&body()).ok().filter(|body| is_so(body)).map(drop),
            || format!("{}\n{}", body(), self.logs()),
        );
    }

    pub fn sql(&self, number: usize, sql: &str) {
        let port = self.nodes[number].postgres.to_string();
        let status = Command::new("psql")
            .args(["-X", "-q", "-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", sql])
            .env("PGPASSWORD", PASSWORD)
            .stdout(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "`{sql}` fails");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub fn logs(&self) -> String {
        let tail = |node: &Node| {
            let text = fs::read_to_string(self.path(&format!("{}.log", node.name)));
            let text = text.unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let from = lines.len().saturating_sub(15);
            format!("--- Patroni's {}\n{}\n", node.name, lines[from..].join("\n"))
        };
        self.nodes.iter().map(tail).collect()
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        process::kill_all(|| process::working_on(self.scratch.path()));
        for child in self.nodes.iter_mut().filter_map(|node| node.child.as_mut()) {
            child.wait().ok();
        }
    }
}

/// As `postgres0.yml` of Patroni's package, with synchronous replication and short times.
fn file(node: &Node, root: &Path, etcd: &str, nofailover: bool) -> String {
    let Node { name, rest, postgres, data_dir, .. } = node;
    let (root, data) = (root.display(), data_dir.display());
    let bin = bin_dir();
    let bin = bin.display();
    let etcd = etcd.trim_start_matches("http://");
    format!(
        "scope: test
name: {name}
restapi:
  listen: 127.0.0.1:{rest}
  connect_address: 127.0.0.1:{rest}
  authentication:
    username: admin
    password: {PASSWORD}
etcd3:
  host: {etcd}
bootstrap:
  dcs:
    ttl: 20
    loop_wait: 1
    retry_timeout: 3
    maximum_lag_on_failover: 1048576
    synchronous_mode: true
    postgresql:
      use_pg_rewind: true
  initdb:
  - encoding: UTF8
  - data-checksums
  pg_hba:
  - host replication replicator 127.0.0.1/32 md5
  - host all all 127.0.0.1/32 md5
postgresql:
  listen: 127.0.0.1:{postgres}
  connect_address: 127.0.0.1:{postgres}
  data_dir: {data}
  bin_dir: {bin}
  pgpass: {root}/pgpass-{name}
  authentication:
    replication:
      username: replicator
      password: {PASSWORD}
    superuser:
      username: postgres
      password: {PASSWORD}
    rewind:
      username: rewind_user
      password: {PASSWORD}
  parameters:
    unix_socket_directories: '{root}'
    shared_buffers: 32MB
tags:
  zone: a
  nofailover: {nofailover}
"
    )
}

/// The newest of Debian's server directories.
fn bin_dir() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.pop().unwrap_or_default()
}
