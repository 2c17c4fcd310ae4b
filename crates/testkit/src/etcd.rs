//! Real etcd members for tests: a cluster on loopback, with or without TLS and a password, whose
//! members a test kills, freezes and brings back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};

use crate::{PortLease, Scratch, process, wait};

/// What the members ask of their clients.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EtcdSetup {
    /// TLS with certificates of a CA of the test's own; clients must show one too.
    pub tls: bool,
    /// Authentication by password: `root`, and [`EtcdCluster::USER`] who may touch only what
    /// lies below this prefix.
    pub only_below: Option<String>,
    /// Further arguments of every member.
    pub arguments: Vec<String>,
}

/// Members `0..n`, running as the current user. All are killed and their data removed on drop.
#[derive(Debug)]
pub struct EtcdCluster {
    members: Vec<Member>,
    setup: EtcdSetup,
    scratch: Scratch,
    _ports: PortLease,
}

#[derive(Debug)]
struct Member {
    name: String,
    client_port: u16,
    peer_port: u16,
    child: Option<Child>,
}

impl EtcdCluster {
    /// May read and write below [`EtcdSetup::only_below`], and nothing else.
    pub const USER: &'static str = "howdah";
    pub const PASSWORD: &'static str = "not-a-secret";

    /// Starts `members` members and waits until they have a leader.
    #[must_use]
    pub fn start(members: usize, setup: EtcdSetup) -> EtcdCluster {
        let scratch = Scratch::new();
        let mut ports = PortLease::take();
        let members = (0..members)
            .map(|number| Member {
                name: format!("e{number}"),
                client_port: ports.next_port(),
                peer_port: ports.next_port(),
                child: None,
            })
            .collect();
        let mut cluster = EtcdCluster { members, setup, scratch, _ports: ports };
        if cluster.setup.tls {
            make_certificates(&cluster.tls_directory());
        }
        (0..cluster.members.len()).for_each(|member| cluster.spawn(member));
        cluster.leader();
        if let Some(prefix) = cluster.setup.only_below.clone() {
            cluster.ask_for_passwords(&prefix);
        }
        cluster
    }

    /// Where clients connect, in the members' order: `http://` or, with TLS, `https://`.
    pub fn endpoints(&self) -> Vec<String> {
        (0..self.members.len()).map(|member| self.endpoint(member)).collect()
    }

    pub fn endpoint(&self, member: usize) -> String {
        let scheme = if self.setup.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.members[member].client_port)
    }

    /// The CA's certificate, and a client's certificate and key.
    pub fn ca(&self) -> PathBuf {
        self.tls_directory().join("ca.crt")
    }

    pub fn certificate(&self) -> PathBuf {
        self.tls_directory().join("client.crt")
    }

    pub fn key(&self) -> PathBuf {
        self.tls_directory().join("client.key")
    }

    /// Whether clients must log in by now.
    pub fn has_passwords(&self) -> bool {
        self.scratch.path().join("passwords").exists()
    }

    /// Kills a member with SIGKILL; its data stays.
    pub fn kill(&mut self, member: usize) {
        if let Some(mut child) = self.members[member].child.take() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Starts a killed member on the data that it left.
    pub fn restart(&mut self, member: usize) {
        assert!(self.members[member].child.is_none(), "member {member} runs");
        self.spawn(member);
    }

    /// Stops a member's process with SIGSTOP: its sockets stay open and nothing answers. Returns
    /// once it stands still, which takes its turn of a processor.
    pub fn freeze(&self, member: usize) {
        self.signal(member, Signal::SIGSTOP);
        let pid = self.pid(member).expect("the member runs");
        wait::until(
            "every thread is stopped",
            Duration::from_secs(10),
            || process::stands_still(pid).then_some(()),
            || format!("{:#?}", process::Process::read(pid)),
        );
    }

    pub fn thaw(&self, member: usize) {
        self.signal(member, Signal::SIGCONT);
    }

    /// The member that leads; waits for one. Asks only members that run.
    pub fn leader(&self) -> usize {
        wait::until(
            "etcd has a leader",
            Duration::from_secs(20),
            || (0..self.members.len()).find(|member| self.leads(*member)),
            || self.logs(),
        )
    }

    /// Waits until every member that runs follows the same leader.
    pub fn wait_until_whole(&self) {
        let follows = |member: &usize| self.status(*member).map(|(_, leader)| leader);
        let running = || (0..self.members.len()).filter(|m| self.members[*m].child.is_some());
        wait::until(
            "every member follows one leader",
            Duration::from_secs(20),
            || {
                let mut leaders = running().map(|member| follows(&member));
                let first = leaders.next().flatten().filter(|leader| *leader != 0)?;
                leaders.all(|leader| leader == Some(first)).then_some(())
            },
            || self.logs(),
        );
    }

    /// Hands the leadership to `member`.
    pub fn move_leader(&self, member: usize) {
        let leader = self.leader();
        if leader == member {
            return;
        }
        let id = self.status(member).map(|(id, _)| id).expect("the new leader answers");
        let endpoint = self.endpoint(leader);
        self.ctl(&["--endpoints", &endpoint, "move-leader", &format!("{id:x}")]);
    }

    /// Runs `etcdctl` against the first member that runs, unless `arguments` name endpoints,
    /// with all rights; its output. Panics when it fails.
    #[track_caller]
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.try_ctl(arguments).unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    /// As [`EtcdCluster::ctl`], with what it complained about.
    pub fn try_ctl(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--command-timeout=3s", "--dial-timeout=2s"]);
        if !arguments.contains(&"--endpoints") {
            let running = self.members.iter().position(|member| member.child.is_some());
            command.arg(format!("--endpoints={}", self.endpoint(running.unwrap_or(0))));
        }
        if self.setup.tls {
            command.arg("--cacert").arg(self.ca());
            command.arg("--cert").arg(self.certificate()).arg("--key").arg(self.key());
        }
        if self.has_passwords() {
            command.args(["--user", "root:root"]);
        }
        let output = command.args(arguments).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(format!("etcdctl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The process of a member that runs.
    pub fn pid(&self, member: usize) -> Option<i32> {
        i32::try_from(self.members[member].child.as_ref()?.id()).ok()
    }

    /// The last lines of each member's log.
    pub fn logs(&self) -> String {
        let tail = |member: &Member| {
            let text = fs::read_to_string(self.log(member)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
        };
        let logs = self.members.iter().map(|m| format!("--- {}\n{}", m.name, tail(m)));
        logs.collect::<Vec<_>>().join("\n")
    }

    fn spawn(&mut self, member: usize) {
        let scratch = self.scratch.path();
        let of = &self.members[member];
        let peers: Vec<String> = self
            .members
            .iter()
            .map(|m| format!("{}=http://127.0.0.1:{}", m.name, m.peer_port))
            .collect();
        let log = fs::File::options().create(true).append(true).open(self.log(of));
        let log = log.expect("open etcd's log");
        let peer = format!("http://127.0.0.1:{}", of.peer_port);
        let client = self.endpoint(member);
        let mut command = Command::new("etcd");
        command
            .args(["--name", &of.name, "--logger", "zap", "--log-outputs", "stderr"])
            .arg("--data-dir")
            .arg(scratch.join(&of.name))
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--initial-cluster", &peers.join(","), "--initial-cluster-state", "new"])
            .args(&self.setup.arguments);
        if self.setup.tls {
            let tls = self.tls_directory();
            command.arg("--client-cert-auth");
            command.arg("--trusted-ca-file").arg(tls.join("ca.crt"));
            command.arg("--cert-file").arg(tls.join("server.crt"));
            command.arg("--key-file").arg(tls.join("server.key"));
        }
        if self.setup.only_below.is_some() {
            // A login costs etcd a tenth of a second of a processor otherwise.
            command.args(["--bcrypt-cost", "4"]);
        }
        let child = command.current_dir(scratch).stdin(Stdio::null()).stdout(Stdio::null());
        let child = child.stderr(log).spawn().expect("etcd starts: install etcd-server");
        self.members[member].child = Some(child);
    }

    fn leads(&self, member: usize) -> bool {
        self.members[member].child.is_some()
            && self.status(member).is_some_and(|(id, leader)| id == leader)
    }

    /// A member's id and the id of whom it holds for the leader.
    fn status(&self, member: usize) -> Option<(u64, u64)> {
        let endpoint = self.endpoint(member);
        let state = self.pid(member).and_then(process::Process::read)?.state;
        if state == 'T' {
            return None;
        }
        let text = self.try_ctl(&["--endpoints", &endpoint, "endpoint", "status", "-w", "json"]);
        let status: serde_json::Value = serde_json::from_str(&text.ok()?).ok()?;
        let status = &status[0]["Status"];
        Some((status["header"]["member_id"].as_u64()?, status["leader"].as_u64()?))
    }

    fn ask_for_passwords(&self, prefix: &str) {
        self.ctl(&["user", "add", "root:root"]);
        self.ctl(&["user", "grant-role", "root", "root"]);
        self.ctl(&["user", "add", &format!("{}:{}", Self::USER, Self::PASSWORD)]);
        self.ctl(&["role", "add", "below"]);
        self.ctl(&["role", "grant-permission", "below", "--prefix=true", "readwrite", prefix]);
        self.ctl(&["user", "grant-role", Self::USER, "below"]);
        self.ctl(&["auth", "enable"]);
        fs::write(self.scratch.path().join("passwords"), "").expect("note that passwords are on");
    }

    fn signal(&self, member: usize, signal: Signal) {
        process::signal(self.pid(member).expect("the member runs"), signal);
    }

    fn tls_directory(&self) -> PathBuf {
        self.scratch.path().join("tls")
    }

    fn log(&self, member: &Member) -> PathBuf {
        self.scratch.path().join(format!("{}.log", member.name))
    }
}

impl Drop for EtcdCluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|member| self.kill(member));
    }
}

const LOG_LINES: usize = 12;

/// A CA, a server's pair for this machine, and a client's.
fn make_certificates(directory: &Path) {
    fs::create_dir_all(directory).expect("make the directory of certificates");
    let ca_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "etcd of a test");
    let ca = params.self_signed(&ca_key).expect("a CA").pem();
    let issuer = Issuer::from_ca_cert_pem(&ca, ca_key).expect("an issuer");
    fs::write(directory.join("ca.crt"), &ca).expect("write the CA");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    // etcd's gateway is a client of its own server, by the server's certificate.
    let server = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    issue(directory, &issuer, "server", &names, &server);
    issue(directory, &issuer, "client", &[], &[ExtendedKeyUsagePurpose::ClientAuth]);
}

fn issue(
    directory: &Path,
    issuer: &Issuer<'_, KeyPair>,
    name: &str,
    names: &[String],
    uses: &[ExtendedKeyUsagePurpose],
) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = uses.to_vec();
    let certificate = params.signed_by(&key, issuer).expect("a certificate").pem();
    fs::write(directory.join(format!("{name}.crt")), certificate).expect("write a certificate");
    fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).expect("write a key");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_dies_and_comes_back_and_all_leave_with_the_cluster() {
        let mut etcd = EtcdCluster::start(3, EtcdSetup::default());
        let first = etcd.leader();
        etcd.ctl(&["put", "key", "value"]);
        etcd.kill(first);
        assert_ne!(etcd.leader(), first);
        etcd.restart(first);
        etcd.move_leader(first);
        assert_eq!(etcd.leader(), first);
        assert_eq!(etcd.ctl(&["get", "key", "--print-value-only"]), "value\n");
        let place = etcd.scratch.path().to_owned();
        drop(etcd);
        assert!(process::working_on(&place).is_empty());
    }

    #[test]
    fn strangers_are_refused() {
        let setup =
            EtcdSetup { tls: true, only_below: Some("/a/".to_owned()), ..Default::default() };
        let etcd = EtcdCluster::start(1, setup);
        assert!(etcd.try_ctl(&["put", "/b/key", "value"]).is_ok(), "root may");
        let login = format!("{}:{}", EtcdCluster::USER, EtcdCluster::PASSWORD);
        assert!(etcd.try_ctl(&["--user", &login, "put", "/a/key", "value"]).is_ok());
        let refused = etcd.try_ctl(&["--user", &login, "put", "/b/key", "value"]);
        assert!(refused.is_err_and(|error| error.contains("permission denied")));
    }
}
