//! A view in words: the differences from a cluster of three nodes in which all is well.
//!
//! `n1` leads term 2 with its server open, `n2` and `n3` stream and are voters, one needed.
//! Places in the WAL are `0/200` on timeline 1, or `2:0/200`. Timeline 2 left 1 at 0/150,
//! timeline 3 left 2 at 0/180. Times are in seconds before now.

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_base::record::*;
use howdah_base::*;
use howdah_ha::*;

mod member;
mod server;

pub use member::member;

/// Now, in every case, ms.
const NOW: u64 = 1_000_000;

/// A view, what the node remembers, and now.
pub struct World {
    pub view: View,
    pub memory: Memory,
    pub now: Tick,
}

pub fn node(name: &str) -> NodeName {
    name.parse().expect("a node's name")
}

/// `n2` is the directory `n2_a`; `n2b` is another one of the same node.
pub fn directory(name: &str) -> DirectoryId {
    let id = if name.len() == 2 { format!("{name}_a") } else { format!("{}_b", &name[..2]) };
    id.parse().expect("a directory's id")
}

pub fn directories(words: &[&str]) -> BTreeSet<DirectoryId> {
    words.iter().map(|word| directory(word)).collect()
}

pub fn place(text: &str) -> Position {
    let (timeline, lsn) = text.split_once(':').unwrap_or(("1", text));
    let timeline = Timeline(timeline.parse().expect("a timeline"));
    Position { timeline, lsn: lsn.parse().expect("an LSN") }
}

pub fn history(timeline: Timeline) -> History {
    let forks = [(Timeline(1), Lsn(0x150)), (Timeline(2), Lsn(0x180))];
    let forks = forks.into_iter().take(timeline.0 as usize - 1).collect();
    History { timeline, forks }
}

fn ago(seconds: &str) -> Tick {
    let seconds: f64 = seconds.parse().expect("seconds");
    Tick(NOW - (seconds * 1000.0) as u64)
}

impl World {
    /// Applies `text`, one difference a line, to the cluster in which all is well.
    pub fn of(text: &str) -> World {
        let mut world = well();
        let lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        // Who looks is known before what is seen.
        for me in lines.iter().filter(|words| words.first() == Some(&"me")) {
            world.be(me[1]);
        }
        for words in lines.iter().filter(|words| !words.is_empty()) {
            world.differ(words);
        }
        if world.view.store.leader.is_some() {
            // Under a leader a report is no promise.
            for words in lines.iter().filter(|words| words.contains(&"report")) {
                let member = world.view.store.members.get_mut(&node(words[1]));
                let report = member.and_then(|member| member.report.as_mut());
                report.into_iter().for_each(|report| report.revision = None);
            }
        }
        if world.view.store.leader.is_none() && !lines.contains(&vec!["end", "unknown"]) {
            world.end_is_read();
        }
        world
    }

    /// A standby that has let go of the last leader has read where its WAL ends.
    fn end_is_read(&mut self) {
        let local = &mut self.view.local;
        if let Server::Running(running) = &local.server {
            local.end = local.end.or(Some(running.position));
        }
    }

    fn be(&mut self, name: &str) {
        self.view.me = node(name);
        self.view.store.leader_mine = name == "n1";
        self.view.local.announced = Some(directory(name));
        if name != "n1" {
            self.directory(&["standby"]);
            self.server(&["standby", "0/200", "from", "n1", "streaming"]);
            self.view.local.sync = None;
            self.view.local.slots.clear();
            self.memory.settled = false;
        }
    }

    fn differ(&mut self, words: &[&str]) {
        let (store, local) = (&mut self.view.store, &mut self.view.local);
        match words {
            ["me", _] => {}
            ["store", "away"] => store.reachable = false,
            ["initialize", "none"] => self.uninitialized(),
            ["initializing", name] => store.initializing = Some(node(name)),
            ["leader", "none"] => self.leaderless(),
            ["held", "for", seconds] => {
                let seconds: f64 = seconds.parse().expect("seconds");
                store.held_until = Some(Tick(NOW + (seconds * 1000.0) as u64));
            }
            // The picture still shows it, on a lease that is known to have ended.
            ["leader", "lost"] => store.leader_mine = false,
            ["leader", name] => self.led_by(name),
            ["beat", name, "term", term, seconds] => {
                let term = Term(term.parse().expect("a term"));
                let value = Leader { node: node(name), term };
                store.beat = Some(Versioned { value, revision: 70 });
                self.memory.beat = Some((70, ago(seconds)));
            }
            ["beat", "unseen"] => self.memory.beat = None,
            ["renewed", "never"] => store.renewed_at = None,
            ["renewed", seconds] => store.renewed_at = Some(ago(seconds)),
            ["reserved", timeline] => {
                store.timeline = Timeline(timeline.parse().expect("a timeline"));
            }
            ["sync", "none"] => store.sync = None,
            ["sync", rest @ ..] => self.sync(rest),
            ["handover", to, "end", end] => self.offer(to, end),
            ["intent", "sealed"] => {
                store.intent.as_mut().expect("an intent").value.sealed = true;
            }
            ["intent", rest @ ..] => self.intent(rest),
            ["setting", name] => self.setting(name),
            ["announced", name] => local.announced = Some(directory(name)),
            ["directory", rest @ ..] => self.directory(rest),
            ["server", rest @ ..] => self.server(rest),
            ["sender", name, lsn] => self.sender(name, lsn),
            ["senders", "none"] => self.senders().clear(),
            ["promised", "nothing"] => local.promise = Revocation::default(),
            ["promised", term, revision] => {
                let (term, revision) = (term.parse(), revision.parse());
                local.promise = Revocation {
                    term: Term(term.expect("a term")),
                    revision: revision.expect("a revision"),
                };
            }
            ["held", "back", "for", seconds] => {
                let seconds: u64 = seconds.parse().expect("seconds");
                local.held_back_until = Some(Tick(NOW + seconds * 1000));
            }
            ["unheard", seconds] => local.unheard = Some(ago(seconds)),
            ["failovers", at @ ..] => {
                store.failovers = at.iter().map(|at| at.parse().expect("a number")).collect();
            }
            ["end", "unknown"] => local.end = None,
            ["end", at] => local.end = Some(place(at)),
            ["redo", at] => local.redo = Some(place(at).lsn),
            ["needs", at] => local.consistent = Some(place(at)),
            ["gate", "closed"] => local.gate_open = false,
            ["in", "force", rest @ ..] => self.in_force(rest),
            ["slots", rest @ ..] => local.slots = directories(rest),
            ["disk", "stalled", seconds] => {
                let seconds = seconds.parse().expect("seconds");
                local.disk.stalled = Some(Duration::from_secs(seconds));
            }
            ["disk", "broken"] => local.disk.broken = Some("Read-only file system".to_owned()),
            ["disk", "full"] => local.disk.full = Some("3 MB are free".to_owned()),
            ["wal", "gone"] => local.wal_gone = true,
            ["rewinds", count] => local.attempts.rewinds = count.parse().expect("a number"),
            ["copies", count, "last", ms] => {
                local.attempts.copies = count.parse().expect("a number");
                local.attempts.last_unix_ms = ms.parse().expect("a number");
            }
            ["crashed", at @ ..] => {
                local.attempts.crashes =
                    at.iter().map(|ms| ms.parse().expect("a number")).collect();
            }
            ["silent", seconds] => {
                local.silent_for = Duration::from_secs(seconds.parse().expect("seconds"));
            }
            ["observed", seconds] => local.observed_at = ago(seconds),
            ["job", name] => self.view.job = Some(job(name)),
            ["failed", name, times, "times", seconds] => {
                let count = times.parse().expect("a number");
                self.view.failures.counts.insert(job(name), (count, ago(seconds)));
            }
            ["remembers", rest @ ..] => self.remember(rest),
            ["member", name, rest @ ..] => self.member(name, rest),
            ["paused"] => store.paused = true,
            ["fenced", name] => {
                store.fenced.insert(node(name));
            }
            ["wall", ms] => self.view.wall_ms = ms.parse().expect("a number"),
            ["pending"] => local.pending_restart = true,
            ["started", ms] => local.started_unix_ms = ms.parse().ok(),
            ["order", rest @ ..] => self.order(rest),
            ["planned", rest @ ..] => self.planned(rest),
            _ => panic!("not understood: {words:?}"),
        }
    }

    fn uninitialized(&mut self) {
        self.view.store = StoreView {
            reachable: true,
            renewed_at: self.view.store.renewed_at,
            ..StoreView::default()
        };
        self.directory(&["missing"]);
        self.view.local.server = Server::Down;
    }

    /// Standbys have let go of the last leader, unless a later line says otherwise.
    fn leaderless(&mut self) {
        let (store, local) = (&mut self.view.store, &mut self.view.local);
        (store.leader, store.leader_mine) = (None, false);
        local.promise = Revocation { term: Term(2), revision: 5 };
        if let Server::Running(running) = &mut local.server {
            (running.upstream, running.streaming) = (None, false);
        }
    }

    fn led_by(&mut self, name: &str) {
        let store = &mut self.view.store;
        store.leader_mine = node(name) == self.view.me;
        let leader = Leader { node: node(name), term: Term(2) };
        store.leader = Some(Versioned { value: leader, revision: 7 });
    }

    /// `needs 1 of n2 n3`, `alone`, `by n2` (its directory), `floor 0/100`, `term 1`.
    fn sync(&mut self, words: &[&str]) {
        let sync = &mut self.view.store.sync.as_mut().expect("a record").value;
        match words {
            ["alone"] => (sync.voters, sync.needed) = (BTreeSet::new(), 0),
            ["needs", needed, "of", voters @ ..] => {
                sync.needed = needed.parse().expect("a number");
                sync.voters = directories(voters);
            }
            ["by", name] => (sync.leader, sync.directory) = (node(&name[..2]), directory(name)),
            ["floor", at] => sync.floor = place(at),
            ["term", term] => sync.term = Term(term.parse().expect("a term")),
            _ => panic!("not understood: sync {words:?}"),
        }
    }

    fn offer(&mut self, to: &str, end: &str) {
        let from = node("n1");
        let value =
            Handover { term: Term(2), from, to: node(to), end: place(end), attempt: 1, behind: 0 };
        self.view.store.handover = Some(Versioned { value, revision: 9 });
    }

    fn intent(&mut self, words: &[&str]) {
        let (words, until_unix_ms) = match words {
            [words @ .., "until", ms] => (words, ms.parse().ok()),
            words => (words, None),
        };
        let kind = match words {
            ["switchover"] => IntentKind::Switchover { to: None },
            ["switchover", to] => IntentKind::Switchover { to: Some(node(to)) },
            ["failover", to] => IntentKind::Failover { to: node(to), accept_loss: false },
            ["failover", to, "accept-loss"] => {
                IntentKind::Failover { to: node(to), accept_loss: true }
            }
            _ => panic!("not understood: intent {words:?}"),
        };
        let by = "anna".to_owned();
        let value = Intent { id: "i".to_owned(), kind, by, sealed: false, until_unix_ms };
        self.view.store.intent = Some(Versioned { value, revision: 8 });
    }

    /// `restart`, `restart pending`, `restart role standby`, `restart older 15.4`,
    /// `restart at 9000`, `reinit`, `reinit n3`: to this node.
    fn order(&mut self, words: &[&str]) {
        let mut at_unix_ms = None;
        let kind = match words {
            ["reinit", "done"] => OrderKind::Reinit {
                from: None,
                directory: Some(directory("n2x")),
                repository: false,
            },
            ["reinit", "repository"] => OrderKind::Reinit {
                from: None,
                directory: Some(directory(self.view.me.as_str())),
                repository: true,
            },
            ["reinit", from @ ..] => OrderKind::Reinit {
                from: from.first().map(|from| node(from)),
                directory: Some(directory(self.view.me.as_str())),
                repository: false,
            },
            ["restart", rest @ ..] => {
                let mut conditions = Conditions::default();
                match rest {
                    [] => {}
                    ["pending"] => conditions.pending = true,
                    ["role", role] => conditions.role = Some((*role).to_owned()),
                    ["older", than] => conditions.older_than = Some((*than).to_owned()),
                    ["at", ms] => at_unix_ms = ms.parse().ok(),
                    _ => panic!("not understood: order {words:?}"),
                }
                OrderKind::Restart { conditions, started_unix_ms: Some(1_000) }
            }
            _ => panic!("not understood: order {words:?}"),
        };
        let value = Order { id: "o".to_owned(), kind, by: "anna".to_owned(), at_unix_ms };
        let me = self.view.me.clone();
        self.view.store.orders.insert(me, Versioned { value, revision: 11 });
    }

    fn planned(&mut self, words: &[&str]) {
        let [to, at] = words else { panic!("not understood: planned {words:?}") };
        let at_unix_ms = at.parse().expect("a number");
        let (id, by) = ("p".to_owned(), "anna".to_owned());
        let value = Planned { id, to: Some(node(to)), at_unix_ms, by };
        self.view.store.planned = Some(Versioned { value, revision: 12 });
    }

    fn setting(&mut self, name: &str) {
        match name {
            "async" => self.view.settings.durability = Durability::Async,
            "strict" => self.view.settings.strict = true,
            "witness" => self.view.settings.witness = true,
            "repository" => self.view.settings.standbys_from_repository = true,
            "first_node" => self.view.settings.first_node = Some(node("n2")),
            upstream if upstream.starts_with('n') => {
                self.view.settings.replicate_from = Some(node(upstream));
            }
            _ => panic!("not understood: setting {name}"),
        }
    }

    fn remember(&mut self, words: &[&str]) {
        let memory = &mut self.memory;
        match words {
            ["nothing"] => *memory = Memory::default(),
            ["down", seconds] => {
                memory.down_since = Some(ago(seconds));
                memory.ended_since = memory.down_since;
            }
            ["leaderless", seconds] => memory.leaderless = Some((Term(2), ago(seconds))),
            ["ended", seconds] => memory.leader_ended = Some((Term(2), ago(seconds))),
            ["offered", seconds] => memory.offered_since = Some(ago(seconds)),
            ["attempts", count] => memory.handover_attempts = count.parse().expect("a number"),
            ["reachable", seconds] => memory.reachable_since = Some(ago(seconds)),
            ["record", seconds] => memory.record_seen = Some((5, ago(seconds))),
            ["short", seconds] => memory.short_since = Some(ago(seconds)),
            ["enough", seconds] => memory.enough_since = Some(ago(seconds)),
            ["raising", seconds] => memory.raising_since = Some(ago(seconds)),
            ["voterless", seconds] => memory.voterless_since = Some(ago(seconds)),
            ["unstreamed", seconds] => memory.unstreamed_since = Some(ago(seconds)),
            ["starting", seconds] => memory.starting_since = Some(ago(seconds)),
            ["start", "ended"] => {
                memory.start_ended_for = Some(Revocation { term: Term(2), revision: 5 });
            }
            ["replaces", name] => memory.replaces = Some(directory(name)),
            ["handed", "over"] => memory.handed_over = true,
            ["begun"] => memory.switchover_begun = Some("i".to_owned()),
            ["leader", "at", lsn] => {
                memory.leader_seen = Some((Term(2), node("n1"), lsn.parse().expect("an LSN")));
            }
            _ => panic!("not understood: remembers {words:?}"),
        }
    }
}

fn job(name: &str) -> Job {
    use Job::*;
    let all = [
        Txn, Initdb, Copy, Rewind, ReadEnd, Start, Fetch, Promote, Stop, SetSync, Slots, Switchover,
    ];
    let found = all.into_iter().find(|job| format!("{job:?}") == name);
    found.expect("a job")
}

/// The cluster in which all is well, as its leader sees it.
fn well() -> World {
    let sync = Sync {
        revision: 5,
        term: Term(2),
        leader: node("n1"),
        directory: directory("n1"),
        floor: place("0/100"),
        voters: directories(&["n2", "n3"]),
        needed: 1,
    };
    let store = StoreView {
        reachable: true,
        leader_mine: true,
        renewed_at: Some(Tick(NOW - 100)),
        term: Term(2),
        timeline: Timeline(1),
        sync: Some(Versioned { value: sync, revision: 6 }),
        initialize: Some(Initialize { by: node("n1"), system_identifier: 1, major: 17 }),
        members: ["n1", "n2", "n3"].map(|name| (node(name), member(name))).into(),
        ..StoreView::default()
    };
    let memory = Memory { settled: true, sync_written: Some(5), ..Memory::default() };
    let view = View {
        me: node("n1"),
        settings: settings(),
        store,
        local: server::open_primary(),
        job: None,
        failures: Failures::default(),
        wall_ms: 5_000,
    };
    let mut world = World { view, memory, now: Tick(NOW) };
    world.led_by("n1");
    world
}

fn settings() -> Settings {
    Settings {
        durability: Durability::Quorum,
        strict: false,
        lease: Duration::from_secs(6),
        renew: Duration::from_secs(1),
        margin: Duration::from_millis(500),
        hung_after: Duration::from_secs(10),
        disk_stalled_after: Duration::from_secs(10),
        max_lag_on_failover: 0x40,
        no_failover: false,
        no_sync: false,
        failover_priority: 0,
        replicate_from: None,
        standbys_from_repository: false,
        first_node: None,
        witness: false,
        others: [node("n2"), node("n3")].into(),
    }
}
