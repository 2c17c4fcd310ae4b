//! This node's own directory and server, in words.

use std::time::Duration;

use howdah_base::record::Revocation;
use howdah_base::*;
use howdah_ha::*;

use super::{NOW, World, directories, directory, history, node, place};

pub fn open_primary() -> Local {
    Local {
        directory: Directory::Ready(facts("n1", Timeline(1))),
        announced: Some(directory("n1")),
        server: Server::Running(Running {
            primary: true,
            history: history(Timeline(1)),
            position: place("0/200"),
            replayed: Lsn(0x200),
            upstream: None,
            streaming: false,
            senders: vec![sender("n2", "0/200"), sender("n3", "0/200")],
        }),
        observed_at: Tick(NOW),
        end: None,
        promise: Revocation::default(),
        held_back_until: None,
        unheard: None,
        redo: None,
        consistent: None,
        sync: Some(SyncSetting { names: directories(&["n2", "n3"]), needed: 1, since: Lsn(0x100) }),
        gate_open: true,
        slots: directories(&["n2", "n3"]),
        started_unix_ms: Some(1_000),
        pending_restart: false,
        version: Some("15.3".to_owned()),
        silent_for: Duration::ZERO,
        disk: Disk::default(),
        attempts: Attempts::default(),
        wal_gone: false,
    }
}

fn facts(name: &str, timeline: Timeline) -> DirectoryFacts {
    DirectoryFacts {
        id: directory(name),
        system_identifier: 1,
        fresh: false,
        was_primary: true,
        clean: false,
        history: history(timeline),
    }
}

fn sender(name: &str, lsn: &str) -> Sender {
    let flushed = lsn.parse().expect("an LSN");
    Sender { directory: directory(name), streaming: true, flushed }
}

impl World {
    /// `missing`, `refused`, `unusable`, or `primary`, `standby`, `fresh`, with `timeline 2`.
    pub(super) fn directory(&mut self, words: &[&str]) {
        let why = || "an operation was interrupted".to_owned();
        let me = self.view.me.as_str().to_owned();
        let timeline = match words {
            [_, "timeline", number] => Timeline(number.parse().expect("a timeline")),
            _ => Timeline(1),
        };
        let mut facts = facts(&me, timeline);
        self.view.local.directory = match words[0] {
            "missing" => Directory::Missing,
            "refused" => Directory::Refused("it belongs to another cluster".to_owned()),
            "unusable" => Directory::Unusable(why()),
            kind => {
                facts.was_primary = kind != "standby";
                facts.fresh = kind == "fresh";
                Directory::Ready(facts)
            }
        };
    }

    /// `down`, `stopping`, `starting`, `unknown primary`, `primary 0/200`, or
    /// `standby 0/200 [replayed 0/190] [from n1] [streaming]`.
    pub(super) fn server(&mut self, words: &[&str]) {
        let as_primary = words.last() == Some(&"primary");
        self.view.local.server = match words {
            ["down"] => Server::Down,
            ["stopping"] => Server::Stopping,
            ["starting", ..] => Server::Starting { as_primary },
            ["unknown", ..] => Server::Unknown { as_primary },
            [kind, at, rest @ ..] => self.running(*kind == "primary", place(at), rest),
            _ => panic!("not understood: server {words:?}"),
        };
    }

    fn running(&self, primary: bool, position: Position, mut words: &[&str]) -> Server {
        let senders = match &self.view.local.server {
            Server::Running(running) if primary => running.senders.clone(),
            _ => Vec::new(),
        };
        let mut running = Running {
            primary,
            history: history(position.timeline),
            position,
            replayed: position.lsn,
            upstream: None,
            streaming: false,
            senders,
        };
        while let [word, rest @ ..] = words {
            words = rest;
            match *word {
                "streaming" => running.streaming = true,
                "from" => {
                    running.upstream = Some((node(words[0]), Term(2)));
                    words = &words[1..];
                }
                "replayed" => {
                    running.replayed = place(words[0]).lsn;
                    words = &words[1..];
                }
                other => panic!("not understood: {other}"),
            }
        }
        Server::Running(running)
    }

    pub(super) fn senders(&mut self) -> &mut Vec<Sender> {
        match &mut self.view.local.server {
            Server::Running(running) => &mut running.senders,
            _ => panic!("nothing runs"),
        }
    }

    pub(super) fn sender(&mut self, name: &str, lsn: &str) {
        let id = directory(name);
        self.senders().retain(|sender| sender.directory != id);
        self.senders().push(sender(name, lsn));
    }

    /// `unknown`, `nothing`, or `n2 n3 since 0/100`.
    pub(super) fn in_force(&mut self, words: &[&str]) {
        self.view.local.sync = match words {
            ["unknown"] => None,
            ["nothing"] => Some(SyncSetting { names: [].into(), needed: 0, since: Lsn(0) }),
            [names @ .., "since", at] => {
                let (needed, names) = match names {
                    [needed, "of", names @ ..] => (needed.parse().expect("a number"), names),
                    names => (1, names),
                };
                Some(SyncSetting { names: directories(names), needed, since: place(at).lsn })
            }
            _ => panic!("not understood: in force {words:?}"),
        };
    }
}
