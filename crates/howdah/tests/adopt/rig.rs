//! Debian's Patroni: three nodes, one etcd, HAProxy with the checks of Patroni's documents, and
//! the cluster file that `howdah import` makes of them.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use howdah_base::status::ClusterStatus;
use howdah_testkit::process::{self, Process};
use howdah_testkit::{
    EtcdCluster, EtcdSetup, Plan, PortLease, Scratch, Writer, http, wait, writer,
};
use serde_json::Value;
use tokio_postgres::Config;

use crate::files;

/// Of HTTP's user, of PostgreSQL's superuser and of the client.
pub const PASSWORD: &str = "not-a-secret";
const STARTS_WITHIN: Duration = Duration::from_secs(90);
pub const WITHIN: Duration = Duration::from_secs(60);

/// A running cluster. Whatever works in its directory ends with it.
#[derive(Debug)]
pub struct Rig {
    pub nodes: Vec<Node>,
    pub etcd: EtcdCluster,
    writes: u16,
    children: Vec<Child>,
    scratch: Scratch,
    _ports: PortLease,
}

/// One of its nodes.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub rest: u16,
    pub postgres: u16,
    /// For Howdah's own endpoints.
    pub free: [u16; 4],
    pub data_dir: PathBuf,
}

impl Rig {
    /// Three nodes that stream, HAProxy that leads to the leader, a role and a database.
    #[track_caller]
    pub fn start() -> Rig {
        let (scratch, mut ports) = (Scratch::new(), PortLease::take());
        let user = nix::unistd::User::from_name("postgres").ok().flatten().expect("a user");
        chown(scratch.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw())).expect("chown");
        let nodes = ["db1", "db2", "db3"].map(|name| Node {
            name: name.to_owned(),
            rest: ports.next_port(),
            postgres: ports.next_port(),
            free: [(); 4].map(|()| ports.next_port()),
            data_dir: scratch.path().join("data").join(name),
        });
        let writes = ports.next_port();
        let etcd = EtcdCluster::start(1, EtcdSetup::default());
        let mut rig =
            Rig { nodes: nodes.into(), etcd, writes, children: Vec::new(), scratch, _ports: ports };
        rig.write_files();
        for name in ["db1", "db2", "db3"] {
            let file = rig.path(&format!("{name}.yml"));
            rig.spawn(name, &["patroni", &file.display().to_string()]);
        }
        rig.wait_whole();
        for sql in [
            format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"),
            "CREATE DATABASE app OWNER app".to_owned(),
        ] {
            rig.sql(&rig.leader(), &sql);
        }
        let file = rig.path("haproxy.cfg").display().to_string();
        rig.spawn("haproxy", &["haproxy", "-db", "-f", &file]);
        rig.wait_for_haproxy();
        rig
    }

    /// HAProxy begins with all servers up, in turn, and takes standbys out after three checks.
    #[track_caller]
    fn wait_for_haproxy(&self) {
        let wanted = self.node(&self.leader()).postgres.to_string();
        let mut in_a_row = 0;
        self.wait_for("HAProxy leads to the leader alone", WITHIN, || {
            let found = writer::query(&self.plan(), "SELECT inet_server_port()::text").ok()?;
            in_a_row = if found == [wanted.as_str()] { in_a_row + 1 } else { 0 };
            (in_a_row >= 6).then_some(())
        });
    }

    fn write_files(&self) {
        let (root, etcd) = (self.scratch.path(), self.etcd.endpoint(0));
        for node in &self.nodes {
            let path = self.path(&format!("{}.yml", node.name));
            fs::write(path, files::patroni(node, root, &etcd)).expect("write Patroni's file");
        }
        let text = files::haproxy(&self.nodes, self.writes);
        fs::write(self.path("haproxy.cfg"), text).expect("write HAProxy's file");
        let mut import = self.command("import");
        import.arg("--output").arg(self.path("imported.toml"));
        import.args(self.nodes.iter().map(|node| self.path(&format!("{}.yml", node.name))));
        let output = import.output().expect("run howdah");
        assert!(output.status.success(), "{output:?}");
        let imported = fs::read_to_string(self.path("imported.toml")).expect("read");
        let text = files::howdah(&imported, &self.nodes, &self.path("howdah"));
        fs::write(self.path("howdah.toml"), text).expect("write the cluster file");
    }

    /// As the user `postgres`, in the scratch directory, with a variable to know it by.
    fn spawn(&mut self, log: &str, command: &[&str]) {
        let path = self.path(&format!("{log}.log"));
        let log = fs::File::options().create(true).append(true).open(path).expect("open a log");
        let child = Command::new("setpriv")
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"])
            .args(command)
            .current_dir(self.scratch.path())
            .env_clear()
            .envs([("PATH", "/usr/bin:/usr/sbin:/bin"), ("RIG", "as it was")])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the log"))
            .stderr(log)
            .spawn();
        self.children.push(child.expect("start it: install patroni and haproxy"));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        command.arg(verb).current_dir(self.scratch.path()).stdin(Stdio::null());
        command
    }

    /// `howdah adopt --patroni` on the node's machine, to its end.
    pub fn adopt(&self, node: &str, words: &[&str]) -> Output {
        self.adopting(node, words).output().expect("run howdah")
    }

    /// As [`Rig::adopt`]; it must succeed. What it said.
    #[track_caller]
    pub fn adopt_ok(&self, node: &str, words: &[&str]) -> String {
        let output = self.adopt(node, words);
        let said = said(&output);
        assert!(output.status.success(), "{node} {words:?}\n{said}\n{}", self.logs());
        said
    }

    /// As [`Rig::adopt`], going on by itself.
    pub fn adopt_meanwhile(&self, node: &str, words: &[&str]) -> Child {
        let log = fs::File::create(self.path(&format!("adopt-{node}.log"))).expect("a log");
        let mut command = self.adopting(node, words);
        command.stdout(log.try_clone().expect("share the log")).stderr(log);
        command.spawn().expect("run howdah")
    }

    fn adopting(&self, node: &str, words: &[&str]) -> Command {
        let mut command = self.command("adopt");
        command.arg("--file").arg(self.path("howdah.toml"));
        command.arg("--patroni").arg(self.path(&format!("{node}.yml"))).args(words);
        command
    }

    pub fn node(&self, name: &str) -> &Node {
        self.nodes.iter().find(|node| node.name == name).expect("a node")
    }

    /// What Patroni says of its members; nothing when no Patroni answers.
    pub fn members(&self) -> Vec<Value> {
        let ask = |node: &Node| {
            let answer = http::get(node.rest, "/cluster").ok()?;
            let body: Value = serde_json::from_str(&answer.body).ok()?;
            body["members"].as_array().cloned()
        };
        self.nodes.iter().find_map(ask).unwrap_or_default()
    }

    /// Patroni's configuration, as all its nodes share it.
    pub fn config(&self) -> Value {
        let mut answers = self.nodes.iter().filter_map(|node| http::get(node.rest, "/config").ok());
        serde_json::from_str(&answers.next().expect("an answer").body).expect("a configuration")
    }

    #[track_caller]
    pub fn leader(&self) -> String {
        let members = self.members();
        let leader = members.iter().find(|member| member["role"] == "leader").expect("a leader");
        leader["name"].as_str().expect("a name").to_owned()
    }

    /// Everybody but the leader, in order.
    #[track_caller]
    pub fn standbys(&self) -> Vec<String> {
        let leader = self.leader();
        let names = self.nodes.iter().map(|node| node.name.clone());
        names.filter(|name| *name != leader).collect()
    }

    /// Waits until one leads and two follow it, by Patroni's account and PostgreSQL's.
    #[track_caller]
    pub fn wait_whole(&self) {
        self.wait_for("Patroni's cluster is whole", STARTS_WITHIN, || {
            let members = self.members();
            let runs = |m: &&Value| m["state"] == "running" || m["state"] == "streaming";
            let led = members.iter().any(|member| member["role"] == "leader");
            let whole = members.iter().filter(runs).count() == 3;
            (led && whole && self.streaming(&self.leader()) == 2).then_some(())
        });
    }

    /// How many stream from the node.
    pub fn streaming(&self, node: &str) -> usize {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        self.try_sql(node, sql).and_then(|rows| rows.first()?.parse().ok()).unwrap_or(0)
    }

    fn try_sql(&self, node: &str, sql: &str) -> Option<Vec<String>> {
        let mut host = Config::new();
        host.host("127.0.0.1").port(self.node(node).postgres).user("postgres");
        writer::query(&Plan::to(vec![host.password(PASSWORD).dbname("postgres").clone()]), sql).ok()
    }

    /// The first column, of the superuser's question to this very node.
    #[track_caller]
    pub fn sql(&self, node: &str, sql: &str) -> Vec<String> {
        let found = wait::found_within(WITHIN, || self.try_sql(node, sql));
        found.unwrap_or_else(|| panic!("`{sql}` fails on {node}\n{}", self.logs()))
    }

    /// A client that writes through HAProxy.
    #[track_caller]
    pub fn writer(&self) -> Writer {
        Writer::start(self.plan())
    }

    pub fn plan(&self) -> Plan {
        let mut host = Config::new();
        host.host("127.0.0.1").port(self.writes).user("app").password(PASSWORD).dbname("app");
        Plan::to(vec![host])
    }

    /// Howdah's view, if one of its nodes runs.
    pub fn status(&self) -> Option<ClusterStatus> {
        let answers = self.nodes.iter().filter_map(|node| http::get(node.rest, "/status").ok());
        answers.filter_map(|answer| serde_json::from_str(&answer.body).ok()).next()
    }

    /// Patroni's processes, by what they were started with.
    pub fn daemon(&self, node: &str) -> Option<Process> {
        let file = self.path(&format!("{node}.yml"));
        let is_it =
            |process: &Process| process.title().contains("/patroni ") && process.works_on(&file);
        process::working_on(&file).into_iter().find(is_it)
    }

    /// A copy of the directory would have other files of the same names.
    pub fn inodes(&self, node: &str) -> [u64; 2] {
        let dir = &self.node(node).data_dir;
        let inode = |path: &Path| fs::metadata(path).expect("there").ino();
        [inode(dir), inode(&dir.join("PG_VERSION"))]
    }

    /// Keys in etcd below a prefix.
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let text = self.etcd.ctl(&["get", "--prefix", "--keys-only", prefix]);
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, at_most: Duration, look: impl FnMut() -> Option<T>) -> T {
        wait::until(what, at_most, look, || self.logs())
    }

    pub fn logs(&self) -> String {
        let mut text = format!("{:#?}\n", self.members());
        for Node { name, .. } in &self.nodes {
            let nodes = format!("howdah/nodes/{name}/state/log/howdah.log");
            for log in [format!("{name}.log"), format!("adopt-{name}.log"), nodes] {
                let said = fs::read_to_string(self.path(&log)).unwrap_or_default();
                let lines: Vec<&str> = said.lines().collect();
                let from = lines.len().saturating_sub(15);
                text += &format!("--- {log}\n{}\n", lines[from..].join("\n"));
            }
        }
        text
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        process::kill_all(|| process::working_on(self.scratch.path()));
        for child in &mut self.children {
            child.wait().ok();
        }
    }
}

/// Both streams of a command.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
