//! A real S3 server for tests: moto's, which `scripts/setup.sh test` puts into `target/python`.
//! It keeps everything in memory, and all of it is gone with the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use rcgen::{CertificateParams, KeyPair};

use crate::{PortLease, Scratch, http, wait};

/// One server with one bucket. Any keys are good.
#[derive(Debug)]
pub struct S3Server {
    child: Child,
    port: u16,
    tls: bool,
    scratch: Scratch,
    _ports: PortLease,
}

impl S3Server {
    pub const BUCKET: &'static str = "backups";

    /// Starts a server that speaks in the clear, and makes the bucket.
    #[must_use]
    pub fn start() -> S3Server {
        let server = S3Server::spawn(false);
        wait::until(
            "S3 makes a bucket",
            START_MAX,
            || server.make_bucket().then_some(()),
            || server.log(),
        );
        server
    }

    /// The same behind TLS, with a certificate that only [`S3Server::certificate`] vouches for.
    /// It holds no bucket: what can be seen is whether it is spoken to.
    #[must_use]
    pub fn start_with_tls() -> S3Server {
        let server = S3Server::spawn(true);
        wait::until(
            "S3 listens",
            START_MAX,
            || std::net::TcpStream::connect(("127.0.0.1", server.port)).ok(),
            || server.log(),
        );
        server
    }

    fn spawn(tls: bool) -> S3Server {
        let (scratch, mut ports) = (Scratch::new(), PortLease::take());
        let port = ports.next_port();
        let log = fs::File::create(scratch.path().join("log")).expect("open the server's log");
        let mut command = Command::new(program());
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        if tls {
            let (certificate, key) = make_certificate(scratch.path());
            command.arg("-c").arg(certificate).arg("-k").arg(key);
        }
        command.current_dir(scratch.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(log).spawn().expect("moto_server starts");
        S3Server { child, port, tls, scratch, _ports: ports }
    }

    pub fn address(&self) -> std::net::SocketAddr {
        (std::net::Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub fn endpoint(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// The certificate of a server with TLS, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.scratch.path().join("server.crt")
    }

    /// Creates [`S3Server::BUCKET`]; whether that was done.
    pub fn make_bucket(&self) -> bool {
        self.request("PUT", Self::BUCKET)
    }

    /// Removes an empty bucket; whether that was done.
    pub fn remove_bucket(&self) -> bool {
        self.request("DELETE", Self::BUCKET)
    }

    /// Forgets every object and every bucket.
    pub fn forget_everything(&self) -> bool {
        self.request("POST", "moto-api/reset")
    }

    fn request(&self, method: &str, path: &str) -> bool {
        let answer = http::request(self.port, method, &format!("/{path}"), "", "");
        answer.is_ok_and(|answer| (200..300).contains(&answer.code))
    }

    /// Stops the process with SIGSTOP: it accepts and never answers.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        signal::kill(pid, signal).expect("the server is ours");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("log")).unwrap_or_default()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Python imports a great deal before it listens, and other tests run beside it.
const START_MAX: Duration = Duration::from_secs(60);

fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = root.join("target/python/bin/moto_server");
    assert!(path.exists(), "`{}` is missing; hint: scripts/setup.sh test", path.display());
    path
}

fn make_certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.self_signed(&key).expect("a certificate");
    let (certificate_path, key_path) = (folder.join("server.crt"), folder.join("server.key"));
    fs::write(&certificate_path, certificate.pem()).expect("write the certificate");
    fs::write(&key_path, key.serialize_pem()).expect("write the key");
    (certificate_path, key_path)
}
