//! One node under test: started, asked, and hurt the way an operator's bad day would.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus};
use nix::sys::signal::Signal;

use crate::file::Ports;
use crate::machines::Space;
use crate::process::{self, Process};
use crate::time_of_day::TimeOfDay;
use crate::{http, wait};

/// A stop reaches a process when it gets its turn.
const STILL_WITHIN: Duration = Duration::from_secs(10);

/// A node of a [`crate::Cluster`].
#[derive(Debug)]
pub struct Node {
    pub name: String,
    /// Where it listens.
    pub host: Ipv4Addr,
    pub ports: Ports,
    /// The network of its machine, when it has one of its own.
    pub(crate) space: Option<Space>,
    /// Where Howdah keeps its files; on one machine all nodes share it.
    pub base_dir: PathBuf,
    pub data_dir: PathBuf,
    pub state_dir: PathBuf,
    /// What the agent prints.
    pub log: PathBuf,
    pub(crate) binary: PathBuf,
    pub(crate) file: PathBuf,
    /// The agent, when this test started it.
    pub(crate) agent: Mutex<Option<Child>>,
    /// Its own time of day, where a test sets one.
    pub(crate) time_of_day: Option<TimeOfDay>,
}

impl Node {
    /// Starts `howdah run` for this node. It stays in the test's process group, so that a test
    /// runner that gives up on the test ends it too.
    #[track_caller]
    pub fn start(&self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.expect("open the node's log");
        let mut agent = self.agent();
        if let Some(previous) = agent.as_mut() {
            previous.try_wait().ok();
        }
        let child =
            self.run_command().stdout(log.try_clone().expect("share the log")).stderr(log).spawn();
        *agent = Some(child.expect("start `howdah run`"));
    }

    /// Runs `howdah run` to its end, for a node that must refuse to start. Panics when it has
    /// not ended after `at_most`.
    #[track_caller]
    pub fn start_refused(&self, at_most: Duration) -> Output {
        let mut child = self
            .run_command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("start `howdah run`");
        let ended = wait::found_within(at_most, || child.try_wait().ok().flatten());
        if ended.is_none() {
            child.kill().ok();
        }
        let output = child.wait_with_output().expect("collect `howdah run`");
        assert!(
            ended.is_some(),
            "`howdah run` goes on although it should refuse\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn run_command(&self) -> Command {
        let mut command = self.command(&self.binary);
        command.args(["run", "--node", &self.name, "-f"]).arg(&self.file);
        if let Some(time_of_day) = &self.time_of_day {
            time_of_day.put_into(&mut command);
        }
        command
    }

    /// A program that will run where this node does.
    pub fn command(&self, program: &Path) -> Command {
        match &self.space {
            Some(space) => space.command(program),
            None => {
                let mut command = Command::new(program);
                command.stdin(Stdio::null());
                command
            }
        }
    }

    fn agent(&self) -> MutexGuard<'_, Option<Child>> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the time of day of everything that runs here so many seconds ahead of the true one,
    /// or behind it. Needs [`crate::Setup::times_of_day`].
    #[track_caller]
    pub fn set_time_of_day(&self, seconds: i64) {
        self.time_of_day.as_ref().expect("a time of day of its own").set(seconds);
    }

    /// How the agent that the test started ended, if it did.
    pub fn agent_end(&self) -> Option<std::process::ExitStatus> {
        self.agent().as_mut()?.try_wait().ok().flatten()
    }

    /// Waits for the end of the agent, which has been killed.
    pub(crate) fn collect(&self) {
        if let Some(child) = self.agent().as_mut() {
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// The agent's process, while it lives. Collects it when it has ended.
    pub fn agent_pid(&self) -> Option<i32> {
        if let Some(child) = self.agent().as_mut()
            && child.try_wait().is_ok_and(|ended| ended.is_none())
        {
            return i32::try_from(child.id()).ok();
        }
        // Under `up`, it is the supervisor's child.
        let runs = |p: &Process| {
            let words: Vec<&str> = p.arguments.iter().map(String::as_str).collect();
            words.windows(2).any(|pair| pair == ["--node", self.name.as_str()])
        };
        let found =
            process::working_on(&self.base_dir).into_iter().find(|p| is_verb(p, "run") && runs(p));
        found.map(|process| process.pid)
    }

    /// PostgreSQL's parent.
    pub fn guard_pid(&self) -> Option<i32> {
        let found = process::all().into_iter();
        found.filter(|p| is_verb(p, "guard") && p.works_on(&self.data_dir)).map(|p| p.pid).next()
    }

    pub fn postmaster_pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.data_dir.join("postmaster.pid")).ok()?;
        let pid = text.lines().next()?.trim().parse().ok()?;
        Process::read(pid).filter(|p| p.cwd.starts_with(&self.data_dir)).map(|p| p.pid)
    }

    /// The process that keeps this node's member of a managed store.
    pub fn keeper_pid(&self) -> Option<i32> {
        let found = self.processes().into_iter();
        found.filter(|p| is_verb(p, "keep-store")).map(|p| p.pid).next()
    }

    /// This node's etcd.
    pub fn etcd_pid(&self) -> Option<i32> {
        let found = self.processes().into_iter();
        found.filter(|p| is_verb(p, &format!("--name={}", self.name))).map(|p| p.pid).next()
    }

    /// As [`Node::etcd_pid`]. A cluster is whole once two of three members are there: the third may
    /// still be on its way.
    #[track_caller]
    pub fn etcd_there(&self) -> i32 {
        let seen = || format!("{:#?}\n{}", self.processes(), self.log_tail(20));
        wait::until("an etcd", Duration::from_secs(30), || self.etcd_pid(), seen)
    }

    #[track_caller]
    pub fn kill9_etcd(&self) {
        process::signal(self.etcd_there(), Signal::SIGKILL);
    }

    /// SIGSTOP: its sockets stay open and nothing answers.
    #[track_caller]
    pub fn freeze_etcd(&self) {
        process::signal(self.etcd_there(), Signal::SIGSTOP);
    }

    #[track_caller]
    pub fn thaw_etcd(&self) {
        process::signal(self.etcd_there(), Signal::SIGCONT);
    }

    /// Every process of the server: they stand in its data directory.
    pub fn server_processes(&self) -> Vec<Process> {
        process::all().into_iter().filter(|p| p.cwd.starts_with(&self.data_dir)).collect()
    }

    /// The standby's process that receives WAL.
    pub fn wal_receiver_pid(&self) -> Option<i32> {
        let of_server = self.server_processes().into_iter();
        of_server.filter(|p| p.title().contains("walreceiver")).map(|p| p.pid).next()
    }

    /// The server process behind a session.
    #[track_caller]
    pub fn kill9_backend(&self, backend: i32) {
        assert!(self.server_processes().iter().any(|p| p.pid == backend), "a backend of ours");
        process::signal(backend, Signal::SIGKILL);
    }

    /// The postmaster alone: its children notice on their own, some only after a while.
    #[track_caller]
    pub fn kill9_postmaster(&self) {
        process::signal(self.postmaster_pid().expect("a postmaster"), Signal::SIGKILL);
    }

    /// The agent alone; the guard and PostgreSQL stay.
    #[track_caller]
    pub fn kill9_agent(&self) {
        let pid = self.agent_pid().expect("an agent");
        process::signal(pid, Signal::SIGKILL);
        self.wait_gone("the agent", || process::is_alive(pid) && self.agent_pid() == Some(pid));
    }

    #[track_caller]
    pub fn kill9_guard(&self) {
        process::signal(self.guard_pid().expect("a guard"), Signal::SIGKILL);
    }

    /// The process of `verb` that this node's schedule has started, while it lives.
    pub fn scheduled_pid(&self, verb: &str) -> Option<i32> {
        let of_agent = process::descendants(&[self.agent_pid()?]).into_iter();
        of_agent.filter(|p| is_verb(p, verb)).map(|p| p.pid).next()
    }

    /// SIGSTOP: it is in the middle of its work until it is killed.
    pub fn freeze_scheduled(&self, verb: &str) -> Option<i32> {
        let pid = self.scheduled_pid(verb)?;
        process::signal(pid, Signal::SIGSTOP);
        Some(pid)
    }

    #[track_caller]
    pub fn kill9_scheduled(&self, verb: &str) {
        let pid = self.scheduled_pid(verb).expect("a process of the schedule");
        process::signal(pid, Signal::SIGKILL);
        // Whoever looks for the next one must not find this one dying.
        wait::until(
            "the process of the schedule is gone",
            Duration::from_secs(10),
            || (self.scheduled_pid(verb) != Some(pid)).then_some(()),
            || self.log_tail(20),
        );
    }

    /// The loss of the host: agent, guard and every process of the server, at once. All are
    /// stopped first, the agent before the others, so that none reacts to another's end.
    #[track_caller]
    pub fn kill9_everything(&self) {
        if let Some(agent) = self.agent_pid() {
            process::signal(agent, Signal::SIGSTOP);
        }
        process::kill_until_none("every process of the node is gone", || self.processes());
    }

    /// Agent, guard, server, and programs that they run on the node's directories; a managed
    /// store's member too.
    pub fn processes(&self) -> Vec<Process> {
        let home = self.data_dir.parent().unwrap_or(&self.data_dir);
        let mut found = process::working_on(home);
        found.extend(self.agent_pid().and_then(Process::read));
        found
    }

    /// SIGSTOP: alive for everyone who only asks whether the process exists.
    #[track_caller]
    pub fn freeze_agent(&self) {
        process::signal(self.agent_pid().expect("an agent"), Signal::SIGSTOP);
    }

    #[track_caller]
    pub fn thaw_agent(&self) {
        process::signal(self.agent_pid().expect("an agent"), Signal::SIGCONT);
    }

    /// Everything of the node stands still at once, as with its machine. Several rounds: a server
    /// may start a process while the others are being stopped.
    #[track_caller]
    pub fn suspend(&self) {
        wait::until(
            "every process of the node stands still",
            STILL_WITHIN,
            || {
                let all = self.processes();
                let still = !all.is_empty() && all.iter().all(|p| process::stands_still(p.pid));
                all.iter().for_each(|p| process::signal(p.pid, Signal::SIGSTOP));
                still.then_some(())
            },
            || format!("{:#?}", self.processes()),
        );
    }

    /// All go on. The server first, which is the worst order: nobody is there yet to end it.
    #[track_caller]
    pub fn resume(&self) {
        let (agent, guard) = (self.agent_pid(), self.guard_pid());
        let last = |pid: i32| Some(pid) == agent || Some(pid) == guard;
        let mut all = self.processes();
        all.sort_by_key(|process| last(process.pid));
        all.iter().for_each(|process| process::signal(process.pid, Signal::SIGCONT));
    }

    /// SIGTERM, as a service manager stops it; waits for the end of all its processes but those
    /// of the store, which goes on.
    #[track_caller]
    pub fn stop(&self) {
        process::signal(self.agent_pid().expect("an agent"), Signal::SIGTERM);
        let stays =
            |p: &Process| is_verb(p, "keep-store") || is_verb(p, &format!("--name={}", self.name));
        self.wait_gone("the stopped node", || !self.processes().iter().all(stays));
    }

    #[track_caller]
    fn wait_gone(&self, what: &str, is_there: impl Fn() -> bool) {
        wait::until(
            &format!("{what} of {} is gone", self.name),
            Duration::from_secs(60),
            || (!is_there()).then_some(()),
            || format!("{:#?}\n{}", self.processes(), self.log_tail(20)),
        );
    }

    fn http_address(&self) -> SocketAddr {
        SocketAddr::from((self.host, self.ports.http))
    }

    /// The cluster as this node sees it.
    pub fn status(&self) -> Result<ClusterStatus> {
        let answer = http::get_at(self.http_address(), "/status")?;
        ensure!(answer.code == 200, "status code {}: {}", answer.code, answer.body);
        serde_json::from_str(&answer.body).context("read the status")
    }

    /// What this node says of itself.
    pub fn own_status(&self) -> Result<NodeStatus> {
        let status = self.status()?;
        let own = status.nodes.into_iter().find(|node| node.node.as_str() == self.name);
        own.context("the node's own line")
    }

    pub fn state(&self) -> Option<ServerState> {
        self.own_status().ok().map(|own| own.state)
    }

    /// The status code of a health check, such as `/primary`; `None` when nobody answers.
    pub fn health(&self, path: &str) -> Option<u16> {
        http::get_at(self.http_address(), path).ok().map(|answer| answer.code)
    }

    /// Runs SQL as the superuser, over the server's own socket; rows as lines, columns
    /// separated by `|`.
    pub fn sql(&self, sql: &str) -> Result<String> {
        self.sql_in("postgres", sql)
    }

    pub fn sql_in(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = as_owner_of(&self.state_dir, "psql")?;
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", sql])
            .args(["-U", "postgres", "-p", &self.ports.postgres.to_string(), "-h"])
            .arg(self.state_dir.join("run"))
            .env("PGCONNECT_TIMEOUT", "5")
            .env("PGOPTIONS", "-c statement_timeout=30s")
            .stdin(Stdio::null())
            .current_dir("/");
        let output = psql.output().context("run psql")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{sql}` on {}: {}", self.name, error.trim());
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// The last lines of the agent's log.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        let from = all.len().saturating_sub(lines);
        format!("--- log of {}\n{}\n", self.name, all[from..].join("\n"))
    }

    /// What the agent said: here when the test started it, in its state directory when `up` did.
    pub fn log_text(&self) -> String {
        let under_up = self.state_dir.join("log/howdah.log");
        let read = |path: &Path| fs::read(path).unwrap_or_default();
        let bytes = [read(&under_up), read(&self.log)].concat();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn is_verb(process: &Process, verb: &str) -> bool {
    process.arguments.get(1).is_some_and(|word| word == verb)
}

/// A program that runs as the user who owns `path`, which the peer rule of the server wants.
fn as_owner_of(path: &Path, program: &str) -> Result<Command> {
    let owner = fs::metadata(path).with_context(|| format!("look at `{}`", path.display()))?.uid();
    if owner == nix::unistd::geteuid().as_raw() {
        return Ok(Command::new(program));
    }
    let user = nix::unistd::User::from_uid(owner.into())?.context("the owner's name")?;
    let mut command = Command::new("runuser");
    command.args(["-u", &user.name, "--", program]);
    Ok(command)
}
