//! What the nodes say of themselves, in words.

use howdah_base::record::*;
use howdah_base::*;

use super::{World, directories, directory, history, node, place};

/// A node's record when all is well.
pub fn member(name: &str) -> Member {
    let leads = name == "n1";
    Member {
        node: node(name),
        host: "h".to_owned(),
        postgres_port: 1,
        peer_port: 2,
        http_port: 3,
        directory: Some(directory(name)),
        server: if leads { ServerState::Primary } else { ServerState::Streaming },
        position: Some(place("0/200")),
        history: Some(history(Timeline(1))),
        replayed: None,
        streaming_from: None,
        replay_lag_ms: None,
        report: None,
        ended: None,
        revokes: None,
        no_failover: false,
        no_load_balance: false,
        failover_priority: 0,
        rule: 0,
        reason: String::new(),
        pending_restart: Vec::new(),
        witness: false,
        clone_from: false,
        replicate_from: None,
        zone: None,
        started_unix_ms: None,
        sizes: Default::default(),
        answer: None,
        file_print: None,
        logical_slots: Default::default(),
        agent: None,
        disk: None,
        watchdog: None,
        commits: Default::default(),
        archived: None,
        archiver: None,
        long_transactions: 0,
        problems: Vec::new(),
        leaving: false,
        slots: if leads { directories(&["n2", "n3"]) } else { [].into() },
        no_sync: false,
        user_slots: [].into(),
        at_unix_ms: 0,
        version: None,
        tags: [].into(),
    }
}

impl World {
    /// `gone`, a state, `at 2:0/200`, `as n2b`, `report 0/200`, `ended 0/200`, `leaving`,
    /// `no_failover`, `slots n2`, `priority 2`.
    pub(super) fn member<'a>(&mut self, name: &str, mut words: &'a [&'a str]) {
        if words == ["gone"] {
            self.view.store.members.remove(&node(name));
            return;
        }
        let members = &mut self.view.store.members;
        let member = members.entry(node(name)).or_insert_with(|| member(name));
        while let [word, rest @ ..] = words {
            words = rest;
            words = apply(member, word, words);
        }
    }
}

fn apply<'a>(member: &mut Member, word: &str, rest: &'a [&'a str]) -> &'a [&'a str] {
    match word {
        "revokes" => member.revokes = Some(Revocation { term: Term(2), revision: 5 }),
        "leaving" => member.leaving = true,
        "no_failover" => member.no_failover = true,
        "no_sync" => member.no_sync = true,
        "full" => member.disk = Some("its disk is full: 3 MB are free".to_owned()),
        "clone_from" => member.clone_from = true,
        "zone" => {
            member.zone = Some(rest[0].to_owned());
            return &rest[1..];
        }
        "relayed" => {
            member.replicate_from = Some(node(rest[0]));
            member.streaming_from = Some(node(rest[0]));
            return &rest[1..];
        }
        "failing" => member.archiver.get_or_insert_default().failing = true,
        "at" | "report" | "promised" | "reported" | "ended" | "as" | "priority" | "waiting"
        | "long" | "replayed" => {
            valued(member, word, rest[0]);
            return &rest[1..];
        }
        "because" => {
            let ended = member.ended.as_mut().expect("ended");
            ended.why = Some(rest.join(" "));
            return &[];
        }
        "slots" => {
            member.slots = directories(rest);
            return &[];
        }
        state => member.server = server_state(state),
    }
    rest
}

fn valued(member: &mut Member, word: &str, value: &str) {
    let term = Term(2);
    match word {
        "as" => member.directory = Some(directory(value)),
        "priority" => member.failover_priority = value.parse().expect("a number"),
        "waiting" => {
            member.archiver.get_or_insert_default().waiting = value.parse().expect("a number");
        }
        "replayed" => member.replayed = Some(place(value).lsn),
        "long" => member.long_transactions = value.parse().expect("a number"),
        "at" => {
            member.position = Some(place(value));
            member.history = Some(history(place(value).timeline));
        }
        "report" | "promised" => {
            let position = place(value);
            let history = history(position.timeline);
            member.report = Some(Report { term, position, history, revision: Some(5) });
        }
        // From before the record was last written.
        "reported" => {
            let position = place(value);
            let history = history(position.timeline);
            member.report = Some(Report { term, position, history, revision: Some(4) });
        }
        _ => member.ended = Some(Ended { term, end: place(value), clean: false, why: None }),
    }
}

fn server_state(word: &str) -> ServerState {
    match word {
        "creating" => ServerState::Creating,
        "stopped" => ServerState::Stopped,
        "starting" => ServerState::Starting,
        "gated" => ServerState::PrimaryGated,
        "primary" => ServerState::Primary,
        "standby" => ServerState::Standby,
        "streaming" => ServerState::Streaming,
        other => panic!("not understood: {other}"),
    }
}
