//! The peer: Debian's Patroni with etcd and HAProxy, as their documents set them up.
//!
//! Defaults throughout (ttl 30, loop_wait 10, retry_timeout 10, asynchronous replication);
//! `haproxy.cfg` is the template that Patroni ships. HAProxy stays up when a node is lost, which
//! is kind to the peer; so does the one etcd member, unless every node has a machine of its own
//! and a member on it.

mod files;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use howdah_testkit::process::{self, Process};
use howdah_testkit::{Machines, Plan, PortLease, Scratch, http, wait, writer};
use nix::sys::signal::Signal;
use serde_json::Value;
use tokio_postgres::Config;

use crate::{Fault, GIVE_UP_AFTER, Stack};

const NODES: usize = 3;
const PASSWORD: &str = "bench";

/// A running Patroni cluster. Whatever it started ends with it: [`Scratch`] kills all that
/// works in its directory.
#[derive(Debug)]
pub struct Patroni {
    nodes: Vec<Node>,
    entry: u16,
    /// The node that [`Fault::HostLoss`] took away.
    lost: Option<usize>,
    children: Vec<Child>,
    members: Vec<Member>,
    /// One for each node, when they do not share this one.
    machines: Option<Machines>,
    scratch: Scratch,
    _ports: PortLease,
}

#[derive(Clone, Debug)]
struct Node {
    name: String,
    host: Ipv4Addr,
    postgres: u16,
    rest: u16,
}

impl Node {
    fn rest(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.rest))
    }
}

/// Of etcd, on the machine of the node of the same place.
#[derive(Clone, Debug)]
struct Member {
    name: String,
    host: Ipv4Addr,
    client: u16,
    peer: u16,
}

impl Patroni {
    /// Starts etcd, three nodes and HAProxy, and makes the client's role and database.
    pub fn start() -> Result<Patroni> {
        Patroni::start_at(None)
    }

    /// The same on three machines, each a network namespace with a member of etcd. For root.
    pub fn start_on_machines() -> Result<Patroni> {
        let names: Vec<String> = (0..NODES).map(|n| format!("node{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let machines = Machines::new(&names).context("network namespaces, which are for root")?;
        Patroni::start_at(Some(machines))
    }

    fn start_at(machines: Option<Machines>) -> Result<Patroni> {
        let host = |n: usize| {
            let machine = machines.as_ref().map(|machines| &machines.machines()[n]);
            machine.map_or(Ipv4Addr::LOCALHOST, |machine| machine.address)
        };
        let mut ports = PortLease::take();
        let scratch = Scratch::new();
        let user = postgres_user()?;
        chown(scratch.path(), Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        let nodes = (0..NODES)
            .map(|n| Node {
                name: format!("node{n}"),
                host: host(n),
                postgres: ports.next_port(),
                rest: ports.next_port(),
            })
            .collect();
        let members = (0..if machines.is_some() { NODES } else { 1 }).map(|n| Member {
            name: format!("etcd{n}"),
            host: host(n),
            client: ports.next_port(),
            peer: ports.next_port(),
        });
        let members = members.collect();
        let (entry, stats) = (ports.next_port(), ports.next_port());
        let (lost, children) = (None, Vec::new());
        let mut made =
            Patroni { nodes, entry, lost, children, members, machines, scratch, _ports: ports };
        made.write_files(stats)?;
        for n in 0..made.members.len() {
            made.start_member(n)?;
        }
        for n in 0..NODES {
            made.start_node(n)?;
        }
        let haproxy = made.path("haproxy.cfg");
        made.spawn(None, "haproxy", &["haproxy", "-db", "-f", &haproxy])?;
        made.wait_whole()?;
        made.make_client_role()?;
        Ok(made)
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// Its first start makes it, its next one finds what it left.
    fn start_member(&mut self, n: usize) -> Result<()> {
        let peer = |member: &Member| format!("http://{}:{}", member.host, member.peer);
        let all = self.members.iter().map(|member| format!("{}={}", member.name, peer(member)));
        let all = all.collect::<Vec<_>>().join(",");
        let Member { name, host, client, .. } = self.members[n].clone();
        let (client, peer) = (format!("http://{host}:{client}"), peer(&self.members[n]));
        let data = self.path(&name);
        #[rustfmt::skip]
        let command = [
            "etcd", "--name", &name, "--data-dir", &data,
            "--listen-client-urls", &client, "--advertise-client-urls", &client,
            "--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer,
            "--initial-cluster", &all,
        ];
        self.spawn(Some(n), &name, &command)
    }

    fn write_files(&self, stats: u16) -> Result<()> {
        let user = postgres_user()?;
        let mut files = vec![(
            PathBuf::from(self.path("haproxy.cfg")),
            files::haproxy(&self.nodes, self.entry, stats),
        )];
        for node in &self.nodes {
            let file = PathBuf::from(self.path(&format!("{}.yml", node.name)));
            files.push((file, files::node(node, self.scratch.path(), &self.members)));
        }
        for (path, text) in files {
            fs::write(&path, text)?;
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }

    fn start_node(&mut self, n: usize) -> Result<()> {
        let name = self.nodes[n].name.clone();
        let file = self.path(&format!("{name}.yml"));
        self.spawn(Some(n), &name, &["patroni", &file])
    }

    /// Starts a program as the user `postgres`, in the scratch directory, on that node's machine;
    /// it ends with us.
    fn spawn(&mut self, on: Option<usize>, log: &str, command: &[&str]) -> Result<()> {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path(&format!("{log}.log")))?;
        let machine = on.zip(self.machines.as_ref()).map(|(n, all)| &all.machines()[n]);
        let setpriv = machine.map_or_else(|| Command::new("setpriv"), |m| m.command("setpriv"));
        let child = { setpriv }
            .args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig=KILL"])
            .arg("--")
            .args(command)
            .current_dir(self.scratch.path())
            .env("PATH", "/usr/bin:/usr/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start `{}`", command[0]))?;
        self.children.push(child);
        Ok(())
    }

    fn make_client_role(&self) -> Result<()> {
        let mut admin = self.plan();
        for host in &mut admin.hosts {
            host.user("postgres").dbname("postgres");
        }
        for statement in [
            format!("CREATE ROLE app LOGIN PASSWORD '{PASSWORD}'"),
            "CREATE DATABASE app OWNER app".to_owned(),
        ] {
            let made = wait::found_within(Duration::from_secs(30), || {
                match writer::query(&admin, &statement) {
                    Ok(_) => Some(()),
                    Err(error) => format!("{error:?}").contains("42").then_some(()),
                }
            });
            ensure!(made.is_some(), "`{statement}` fails\n{}", self.logs());
        }
        Ok(())
    }

    fn wait_whole(&self) -> Result<()> {
        let bound = Duration::from_secs(120);
        let whole = wait::found_within(bound, || self.amiss().is_none().then_some(()));
        ensure!(whole.is_some(), "Patroni does not start: {:?}\n{}", self.amiss(), self.logs());
        Ok(())
    }

    /// `GET /cluster` of the first node that answers.
    fn members(&self) -> Option<Vec<Value>> {
        let answer =
            self.nodes.iter().find_map(|node| http::get_at(node.rest(), "/cluster").ok())?;
        let cluster: Value = serde_json::from_str(&answer.body).ok()?;
        cluster["members"].as_array().cloned()
    }

    fn leader(&self) -> Option<usize> {
        let members = self.members()?;
        let leader = members.iter().find(|member| member["role"] == "leader")?;
        self.nodes.iter().position(|node| leader["name"] == node.name.as_str())
    }

    fn data_dir(&self, n: usize) -> PathBuf {
        self.scratch.path().join("data").join(&self.nodes[n].name)
    }

    fn postmaster(&self, n: usize) -> Option<i32> {
        let pid = fs::read_to_string(self.data_dir(n).join("postmaster.pid")).ok()?;
        let pid = pid.lines().next()?.trim().parse().ok()?;
        process::is_alive(pid).then_some(pid)
    }

    /// Patroni itself and every process of its server.
    fn node_processes(&self, n: usize) -> Vec<Process> {
        let file = PathBuf::from(self.path(&format!("{}.yml", self.nodes[n].name)));
        let data = self.data_dir(n);
        if let Some(machines) = &self.machines {
            return machines.machines()[n].processes();
        }
        let working = process::working_on(self.scratch.path());
        working.into_iter().filter(|p| p.works_on(&file) || p.works_on(&data)).collect()
    }
}

impl Stack for Patroni {
    fn name(&self) -> &'static str {
        "Patroni"
    }

    fn description(&self) -> String {
        let version = |program: &str, flag: &str| {
            let output = Command::new(program).arg(flag).output();
            let text = output.map(|out| String::from_utf8_lossy(&out.stdout).into_owned());
            text.unwrap_or_default().lines().next().unwrap_or_default().to_owned()
        };
        let place = match self.machines {
            Some(_) => "three machines (network namespaces), a member of etcd on each; ",
            None => "",
        };
        format!(
            "{}, {}, {}; {place}ttl 30, loop_wait 10, retry_timeout 10, asynchronous; HAProxy \
             `inter 3s fall 3 rise 2` (the template of Patroni's documents)",
            version("/usr/bin/patroni", "--version"),
            version("/usr/bin/etcd", "--version"),
            version("/usr/sbin/haproxy", "-v"),
        )
    }

    fn plan(&self) -> Plan {
        let mut host = Config::new();
        host.host("127.0.0.1").port(self.entry).user("app").password(PASSWORD).dbname("app");
        let mut plan = Plan::to(vec![host]);
        if self.machines.is_some() {
            (plan.row_bound, plan.connect_bound) = (GIVE_UP_AFTER, GIVE_UP_AFTER);
        }
        plan
    }

    fn sit_down(&self) {
        self.machines.iter().for_each(Machines::sit_down);
    }

    fn amiss(&self) -> Option<String> {
        let Some(members) = self.members() else { return Some("no node answers".to_owned()) };
        let leaders: Vec<&Value> = members.iter().filter(|m| m["role"] == "leader").collect();
        let [leader] = leaders[..] else { return Some(format!("leaders: {members:?}")) };
        let well = |member: &&Value| {
            let role = member["role"] == "leader" || member["role"] == "replica";
            let state = member["state"] == "running" || member["state"] == "streaming";
            let follows = member["timeline"] == leader["timeline"];
            let lag = member["role"] == "leader" || member["lag"].as_u64() == Some(0);
            role && state && follows && lag
        };
        if members.len() < NODES || !members.iter().all(|member| well(&member)) {
            return Some(format!("members: {members:?}"));
        }
        (!haproxy_lets_in(self.entry)).then(|| "HAProxy has no server".to_owned())
    }

    fn incarnation(&self) -> Option<String> {
        let leader = self.leader()?;
        Some(format!("{leader} {}", self.postmaster(leader)?))
    }

    fn inflict(&mut self, fault: Fault) -> Result<()> {
        let leader = self.leader().context("a leader")?;
        match fault {
            Fault::Crash => {
                process::signal(self.postmaster(leader).context("a server")?, Signal::SIGKILL);
            }
            Fault::HostLoss => {
                if let Some(machines) = &self.machines {
                    machines.cables().go_dark(&self.nodes[leader].name);
                }
                process::kill_until_none("the node is gone", || self.node_processes(leader));
                self.lost = Some(leader);
            }
            Fault::Switchover => {
                let ask = format!("{{\"leader\": \"{}\"}}", self.nodes[leader].name);
                let answer = http::post_at(self.nodes[leader].rest(), "/switchover", &ask)?;
                ensure!(answer.code == 200, "switchover refused: {}", answer.body);
            }
        }
        Ok(())
    }

    fn bring_back(&mut self) -> Result<()> {
        let Some(lost) = self.lost.take() else { return Ok(()) };
        if let Some(machines) = &self.machines {
            machines.cables().come_back(&self.nodes[lost].name);
            self.start_member(lost)?;
        }
        self.start_node(lost)
    }

    fn keepers(&self) -> Vec<i32> {
        let servers = self.scratch.path().join("data");
        let Some(leader) = self.leader() else { return Vec::new() };
        let of_node = self.node_processes(leader).into_iter();
        let is_patroni = |process: &Process| {
            let etcd = process.arguments.first().is_some_and(|program| program.ends_with("etcd"));
            !etcd && !process.works_on(&servers)
        };
        of_node.filter(is_patroni).map(|process| process.pid).collect()
    }

    fn logs(&self) -> String {
        let names = self.nodes.iter().map(|node| &*node.name);
        let names = names.chain(self.members.iter().map(|member| &*member.name));
        names
            .chain(["haproxy"])
            .map(|name| tail(Path::new(&self.path(&format!("{name}.log")))))
            .collect()
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        process::kill_all(|| process::working_on(self.scratch.path()));
        for child in &mut self.children {
            child.wait().ok();
        }
    }
}

/// HAProxy accepts and closes at once when no server is up.
fn haproxy_lets_in(port: u16) -> bool {
    let mut host = Config::new();
    host.host("127.0.0.1").port(port).user("postgres").password(PASSWORD).dbname("postgres");
    writer::query(&Plan::to(vec![host]), "SELECT 1").is_ok()
}

fn postgres_user() -> Result<nix::unistd::User> {
    nix::unistd::User::from_name("postgres")?.context("a user `postgres`")
}

fn tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(12);
    format!("--- {}\n{}\n", path.display(), lines[from..].join("\n"))
}
