//! Two machines on one: each has its own base directory; the store's file stands in for etcd.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus};
use howdah_testkit::file::{ClusterFile, Ports};
use howdah_testkit::{PortLease, Scratch, http, wait};
use howdah_tls::Certificate;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub const BINARY: &str = env!("CARGO_BIN_EXE_howdah");
/// A node starts, or a standby is copied, within this on a busy machine.
pub const WITHIN: Duration = Duration::from_secs(90);

pub struct Site {
    pub ports: [Ports; 2],
    children: Mutex<Vec<Child>>,
    scratch: Scratch,
    _lease: PortLease,
}

impl Site {
    /// Nodes `n1` and `n2` in a file whose base directory is machine 1's; nothing is made yet.
    pub fn new() -> Site {
        let (scratch, mut lease) = (Scratch::new(), PortLease::take());
        let ports = [Ports::lease(&mut lease), Ports::lease(&mut lease)];
        let site = Site { ports, children: Mutex::default(), scratch, _lease: lease };
        let nodes = [("n1".to_owned(), ports[0]), ("n2".to_owned(), ports[1])];
        let mut file = ClusterFile::new(&site.base(1), &nodes);
        let store = site.path("store").display().to_string();
        file.set("", "store", &format!("{{ path = {store:?} }}"));
        fs::write(site.file(), file.text()).expect("write the cluster file");
        site
    }

    /// The same, with machine 1 prepared.
    pub fn prepared() -> Site {
        let site = Site::new();
        site.ok(&["prepare", "--node", "n1", "-f", &site.file()]);
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The file as an operator wrote it.
    pub fn file(&self) -> String {
        self.path("howdah.toml").display().to_string()
    }

    pub fn base(&self, machine: u8) -> PathBuf {
        self.path(&format!("machine{machine}"))
    }

    /// The resolved file of a machine.
    pub fn resolved(&self, machine: u8) -> String {
        self.base(machine).join("howdah.toml").display().to_string()
    }

    pub fn howdah(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(BINARY);
        command.args(arguments).current_dir(self.scratch.path()).stdin(Stdio::null());
        command.output().expect("run howdah")
    }

    /// What it prints on standard output; it must succeed.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.howdah(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {}\n{out}{err}", output.status);
        out
    }

    /// What it says on standard error; it must fail.
    #[track_caller]
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.howdah(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success(), "{arguments:?} was to fail\n{out}{err}");
        assert!(err.contains("hint: "), "a refusal says what to do next\n{err}");
        err
    }

    /// Starts a node of one machine and leaves it running; its process.
    pub fn run(&self, node: &str, machine: u8) -> i32 {
        let log = self.path(&format!("{node}.log"));
        let log = File::options().create(true).append(true).open(log).expect("open a log");
        let child = Command::new(BINARY)
            .args(["run", "--node", node, "-f", &self.resolved(machine)])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn();
        let child = child.expect("start howdah run");
        let pid = i32::try_from(child.id()).expect("a pid");
        self.children.lock().expect("lock").push(child);
        pid
    }

    /// Waits for the end of a node that was started here.
    #[track_caller]
    pub fn wait_for_end(&self, pid: i32) -> std::process::ExitStatus {
        self.wait("the node ends", || {
            let mut children = self.children.lock().expect("lock");
            let child = children.iter_mut().find(|child| child.id().cast_signed() == pid)?;
            child.try_wait().expect("its end")
        })
    }

    /// The cluster as node `n1` or `n2` sees it.
    pub fn status(&self, of: usize) -> Option<ClusterStatus> {
        let answer = http::get(self.ports[of - 1].http, "/status").ok()?;
        serde_json::from_str(&answer.body).ok()
    }

    pub fn line(&self, seen_by: usize, node: &str) -> Option<NodeStatus> {
        self.status(seen_by)?.nodes.into_iter().find(|line| line.node.as_str() == node)
    }

    #[track_caller]
    pub fn wait_for(&self, node: &str, state: ServerState) {
        self.wait(&format!("{node} is {state:?}"), || {
            self.line(1, node).filter(|line| line.alive && line.state == state).map(|_| ())
        });
    }

    #[track_caller]
    pub fn wait<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait::until(what, WITHIN, look, || self.seen())
    }

    fn seen(&self) -> String {
        let log = |name: &str| {
            let log = fs::read_to_string(self.path(&format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            format!("{name}:\n{}\n", lines[lines.len().saturating_sub(25)..].join("\n"))
        };
        format!("{:#?}\n{}{}", self.status(1).map(|s| s.nodes), log("n1"), log("n2"))
    }

    /// The word that machine 1 prints for a node.
    #[track_caller]
    pub fn token(&self, node: &str, more: &[&str]) -> String {
        let file = self.resolved(1);
        let words = [&["token", "create", node, "-f", &file], more].concat();
        let printed = self.ok(&words);
        let word = printed.trim().strip_prefix("howdah join ").expect("a command");
        word.to_owned()
    }

    /// Whose certificate, with which serial, a TLS port shows; after PostgreSQL's own request
    /// for encryption where `postgres` says so.
    pub fn shown(&self, port: u16, postgres: bool) -> Option<Certificate> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let mut tcp = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
            if postgres {
                // SSLRequest: its length, and the code 80877103.
                tcp.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).await.ok()?;
                if tcp.read_u8().await.ok()? != b'S' {
                    return None;
                }
            }
            let tls = TlsConnector::from(Arc::new(self.trusting()));
            let name = ServerName::try_from("127.0.0.1").expect("a name");
            let tls = tls.connect(name, tcp).await.ok()?;
            let first = tls.get_ref().1.peer_certificates()?.first()?;
            Certificate::of(first).ok()
        })
    }

    fn trusting(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.base(1).join("tls/ca.crt")).expect("a CA");
        roots.add(ca).expect("a root");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What they started dies with the scratch directory.
        for child in self.children.get_mut().expect("lock") {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).permissions().mode()
        & 0o7777
}
