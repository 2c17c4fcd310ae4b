//! Patroni and Howdah side by side: the same question to both, and what their codes are.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use howdah_base::record::ServerState;
use howdah_testkit::process::{self, Process};
use howdah_testkit::{Cluster, wait};
use nix::sys::signal::Signal;

use crate::http;
use crate::peer::{self, Patroni};
use crate::questions::{METHODS, PATHS, Request};

/// One question and its two codes: Patroni's and Howdah's.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    pub state: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    pub body: String,
    pub codes: (u16, u16),
}

impl fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Case { state, method, path, body, codes: (theirs, ours) } = self;
        write!(f, "{state}: {method} {path} {body}: {theirs}, {ours}")
    }
}

/// Both, two nodes each; which node leads is each one's own affair.
#[derive(Debug)]
pub struct Pair {
    pub patroni: Patroni,
    pub howdah: Cluster,
    password: String,
    /// In which state they are, for whoever reads a difference.
    pub state: &'static str,
    pub differences: Vec<Case<'static>>,
    pub asked: usize,
    /// Patroni's codes, and how often each was given.
    pub codes: BTreeMap<u16, usize>,
    patronis_leader: usize,
}

/// Which node of the two is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whom {
    Leader,
    Standby,
}

impl Pair {
    #[track_caller]
    pub fn start() -> Pair {
        let howdah = crate::nodes(2)
            .set("nodes.n1.tags", "zone", "\"a\"")
            .set("nodes.n2.tags", "zone", "\"a\"")
            .start();
        let password = howdah.password("http");
        Pair {
            patroni: Patroni::start(),
            howdah,
            password,
            state: "",
            differences: Vec::new(),
            asked: 0,
            codes: BTreeMap::new(),
            patronis_leader: 0,
        }
    }

    /// Number and REST port of Patroni's node.
    pub fn of_patroni(&self, whom: Whom) -> usize {
        if whom == Whom::Leader { self.patronis_leader } else { 1 - self.patronis_leader }
    }

    /// Every path by every method, by somebody who may nothing.
    pub fn ask_everything(&mut self, state: &'static str, whom: Whom, names: &Names) {
        self.state = state;
        for path in PATHS {
            for method in METHODS {
                self.ask(whom, names, None, (method, path, Some("")));
            }
        }
    }

    /// Requests of somebody who may everything, one after the other.
    pub fn ask_all(&mut self, state: &'static str, whom: Whom, names: &Names, all: &[Request]) {
        self.state = state;
        for request in all {
            self.ask(whom, names, Some("admin"), *request);
        }
    }

    fn ask(
        &mut self,
        whom: Whom,
        names: &Names,
        user: Option<&'static str>,
        (method, path, body): Request,
    ) {
        let filled = |leader: &str, standby: &str| {
            body.map(|body| body.replace("{leader}", leader).replace("{standby}", standby))
        };
        let port = self.patroni.nodes[self.of_patroni(whom)].rest;
        let (leader, standby) = (self.of_patroni(Whom::Leader), self.of_patroni(Whom::Standby));
        let nodes = &self.patroni.nodes;
        let text = filled(&nodes[leader].name, &nodes[standby].name);
        let of_patroni = user.map(|user| (user, peer::PASSWORD));
        let theirs = http::ask(port, method, path, of_patroni, text.as_deref());

        let port = self.howdah.node(names.of(whom)).ports.http;
        let text = filled(&names.leader, &names.standby);
        let of_howdah = user.map(|user| (user, self.password.as_str()));
        let ours = http::ask(port, method, path, of_howdah, text.as_deref());
        assert!(
            theirs.code != 0,
            "Patroni gives no answer: {method} {path}\n{}",
            self.patroni.logs()
        );
        assert!(ours.code != 0, "Howdah gives no answer: {method} {path}\n{}", self.howdah.seen());
        self.asked += 1;
        *self.codes.entry(theirs.code).or_default() += 1;
        if theirs.code != ours.code {
            self.differences.push(Case {
                state: self.state,
                method,
                path,
                body: body.unwrap_or_default().to_owned(),
                codes: (theirs.code, ours.code),
            });
        }
    }

    /// Both leaders hand over to their standbys.
    #[track_caller]
    pub fn has_switched(&mut self) {
        self.patronis_leader = 1 - self.patronis_leader;
        self.patroni.wait_for(self.of_patroni(Whom::Standby), "/sync", WITHIN);
        self.howdah.wait_whole();
    }

    /// Says 200 on both.
    #[track_caller]
    pub fn wait_for(&self, whom: Whom, names: &Names, path: &str) {
        self.patroni.wait_for(self.of_patroni(whom), path, WITHIN);
        let node = self.howdah.node(names.of(whom));
        self.howdah.wait_for(path, WITHIN, || (node.health(path) == Some(200)).then_some(()));
    }

    /// Runs it on both leaders or on both standbys.
    #[track_caller]
    pub fn sql(&self, whom: Whom, names: &Names, sql: &str) {
        self.patroni.sql(self.of_patroni(whom), sql);
        self.howdah.node(names.of(whom)).sql(sql).expect("an open server");
    }

    /// Ends both standbys' servers as an operator would; once more when a restart that was under
    /// way has put another one in its place.
    #[track_caller]
    pub fn shut_standbys_down(&self, names: &Names) {
        let number = self.of_patroni(Whom::Standby);
        let end_server = |data_dir: &std::path::Path| {
            if let Some(postmaster) = postmaster(data_dir) {
                process::signal(postmaster, Signal::SIGINT);
            }
        };
        self.patroni.wait_until(number, "stopped", |body| {
            end_server(&self.patroni.nodes[number].data_dir);
            body["state"] == "stopped"
        });
        let node = self.howdah.node(&names.standby);
        self.howdah.wait_for("the standby is stopped", WITHIN, || {
            end_server(&node.data_dir);
            (node.state() == Some(ServerState::Stopped)).then_some(())
        });
    }

    /// Kills both standbys' servers and freezes what replays their WAL when they start again: so
    /// they go on starting. Returns the frozen processes.
    #[track_caller]
    pub fn keep_standbys_starting(&self, names: &Names) -> Vec<i32> {
        let number = self.of_patroni(Whom::Standby);
        let theirs = self.patroni.nodes[number].data_dir.clone();
        let node = self.howdah.node(&names.standby);
        let mut frozen = Vec::new();
        for data_dir in [&theirs, &node.data_dir] {
            frozen.push(catch_starting(data_dir));
        }
        self.patroni.wait_until(number, "starting", |body| body["state"] == "starting");
        self.howdah.wait_for("the standby is starting", WITHIN, || {
            (node.state() == Some(ServerState::Starting)).then_some(())
        });
        frozen
    }
}

/// What is waited for happens within this.
pub const WITHIN: Duration = Duration::from_secs(60);

/// Howdah's nodes by what they are.
#[derive(Clone, Debug)]
pub struct Names {
    pub leader: String,
    pub standby: String,
}

impl Names {
    #[track_caller]
    pub fn of_now(howdah: &Cluster) -> Names {
        let leader = howdah.primary().name.clone();
        let standby = if leader == "n1" { "n2" } else { "n1" };
        Names { leader, standby: standby.to_owned() }
    }

    fn of(&self, whom: Whom) -> &str {
        if whom == Whom::Leader { &self.leader } else { &self.standby }
    }
}

fn postmaster(data_dir: &std::path::Path) -> Option<i32> {
    let text = std::fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse().ok()?;
    process::is_alive(pid).then_some(pid)
}

/// Kills the server of `data_dir` and stops the startup process of its successor before that
/// accepts connections. A server that was quicker is killed again: it replays the same WAL.
#[track_caller]
fn catch_starting(data_dir: &std::path::Path) -> i32 {
    const TRIES: u32 = 5;
    for _ in 0..TRIES {
        let old = postmaster(data_dir).expect("a server");
        process::signal(old, Signal::SIGKILL);
        let startup = wait::until(
            "the server replays its WAL",
            WITHIN,
            || freeze_startup(data_dir, old),
            || format!("{:#?}", process::working_on(data_dir)),
        );
        if is_starting(data_dir) {
            return startup;
        }
        process::signal(startup, Signal::SIGCONT);
    }
    panic!("the server of {} started {TRIES} times before it was caught", data_dir.display());
}

/// Whether the postmaster's file says so in its last line: it is written when the server accepts
/// connections.
fn is_starting(data_dir: &std::path::Path) -> bool {
    let text = std::fs::read_to_string(data_dir.join("postmaster.pid")).unwrap_or_default();
    text.lines().last().is_some_and(|status| status.trim() == "starting")
}

/// Stops the startup process of a server that is not `old`, as soon as there is one.
fn freeze_startup(data_dir: &std::path::Path, old: i32) -> Option<i32> {
    let new = postmaster(data_dir).filter(|new| *new != old)?;
    let is_it =
        |process: &Process| process.parent == new && process.title().contains("startup recovering");
    let found = process::all().into_iter().find(is_it)?;
    process::signal(found.pid, Signal::SIGSTOP);
    Some(found.pid)
}
