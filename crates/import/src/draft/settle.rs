//! From claims to a cluster file that its own parser takes: what is missing is completed, what
//! the parser refuses is struck out and told.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use howdah_spec::{Context, Mistake, Mistakes, parse_leniently};

use super::key::Key;
use super::value::Value;
use super::write::{Line, Written, write};
use super::{Claim, Draft};

/// A cluster file, and what could not be put right in it: nothing, unless an input has found a
/// way that nobody thought of.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) text: String,
    pub(crate) mistakes: Mistakes,
}

/// Rounds of striking out: each strikes out at least one claim, so that more would mean that
/// none of them is the cause.
const ROUNDS_MAX: usize = 1000;

impl Draft {
    pub(crate) fn settle(&mut self) -> Settled {
        self.resolve_nodes();
        self.complete();
        for _ in 0..ROUNDS_MAX {
            let written = write(self);
            let mistakes = mistakes(&written.text);
            let struck = mistakes.0.iter().filter(|m| self.strike(&written, m)).count();
            if struck == 0 {
                return Settled { text: written.text, mistakes };
            }
            // A node may have lost an address, or the store its endpoints.
            self.complete();
        }
        let text = write(self).text;
        Settled { mistakes: mistakes(&text), text }
    }

    /// Gives the keys of "the node", which some inputs do not name, to the one that there is.
    fn resolve_nodes(&mut self) {
        let named: BTreeSet<String> =
            self.claims.iter().filter(|c| !c.key.is_of_any_node()).filter_map(node_of).collect();
        let mut names = named.iter();
        let only = match (names.next(), names.next()) {
            (None, _) => Some("n1".to_owned()),
            (Some(only), None) => Some(only.clone()),
            _ => None,
        };
        for claim in self.claims.iter_mut().filter(|claim| claim.key.is_of_any_node()) {
            match &only {
                Some(name) => claim.key = claim.key.with_node(name),
                None => {
                    let why = "which node is meant? write it into its `[nodes.NAME]`";
                    claim.struck = Some(why.to_owned());
                }
            }
        }
    }

    fn complete(&mut self) {
        if self.winner(&Key::of(&["cluster"])).is_none() {
            self.claim(Claim::guess(
                Key::of(&["cluster"]),
                Value::text("main"),
                "no input names it",
            ));
        }
        let nodes: BTreeSet<String> =
            self.claims.iter().filter(|claim| claim.stands()).filter_map(node_of).collect();
        if nodes.is_empty() {
            let note = "no input names a node";
            self.claim(Claim::guess(Key::of(&["nodes", "n1"]), Value::Table, note));
        }
        for node in &nodes {
            self.complete_listen(node);
        }
        self.complete_store(&nodes);
    }

    /// A node that others know by an address of the network listens there.
    fn complete_listen(&mut self, node: &str) {
        let listen = Key::of(&["nodes", node, "listen"]);
        let Some(host) = self.host(node).filter(|host| !is_loopback(host)) else { return };
        let hears = self.winner(&listen).is_some_and(|claim| match &claim.value {
            Value::Texts(addresses) => addresses.iter().any(|address| !is_loopback(address)),
            _ => false,
        });
        if hears {
            return;
        }
        let addresses = match host.parse::<IpAddr>() {
            Ok(_) => vec![host, Ipv4Addr::LOCALHOST.to_string()],
            Err(_) => vec![Ipv4Addr::UNSPECIFIED.to_string()],
        };
        let why = "the node would listen on loopback only";
        let own = |claim: &&mut Claim| claim.key == listen && claim.stands();
        self.claims.iter_mut().filter(own).for_each(|claim| claim.struck = Some(why.to_owned()));
        let note = "so that the others reach it";
        self.claim(Claim::guess(listen, Value::Texts(addresses), note));
    }

    /// Nodes of several machines need a store that several machines reach.
    fn complete_store(&mut self, nodes: &BTreeSet<String>) {
        let hosts: BTreeSet<String> = nodes.iter().filter_map(|node| self.host(node)).collect();
        let apart = hosts.iter().filter(|host| !is_loopback(host)).count() > 1;
        let in_etcd = |claim: &Claim| {
            claim.stands() && claim.key.table().iter().map(String::as_str).eq(["store", "etcd"])
        };
        if apart && !self.claims.iter().any(in_etcd) {
            let note = "the nodes run etcd themselves, one member each";
            let key = Key::of(&["store", "etcd", "managed"]);
            self.claim(Claim::guess(key, Value::Flag(true), note));
        }
    }

    fn host(&self, node: &str) -> Option<String> {
        match &self.winner(&Key::of(&["nodes", node, "host"]))?.value {
            Value::Text(host) => Some(host.clone()),
            _ => None,
        }
    }

    /// Strikes out what `mistake` points to. False when that is nothing of ours.
    fn strike(&mut self, written: &Written, mistake: &Mistake) -> bool {
        let why = format!("{}; {}", mistake.what, mistake.hint);
        let line = mistake.line.checked_sub(1).and_then(|line| written.lines.get(line));
        let value = |key: &Key| self.winner(key).map(|claim| claim.value.clone());
        let (of_key, counts) = match line {
            Some(Line::Key(key)) => (Some(key), value(key)),
            _ => (None, None),
        };
        let is_meant = |claim: &Claim| match line {
            Some(Line::Key(_)) => {
                Some(&claim.key) == of_key && Some(&claim.value) == counts.as_ref()
            }
            Some(Line::Table(path)) => claim.key.parts().starts_with(path),
            Some(Line::Rule(rule)) => claim.key.is_rule() && claim.value == Value::text(rule),
            _ => false,
        };
        let all = self.claims.iter_mut().chain(&mut self.rules);
        let meant: Vec<&mut Claim> = all.filter(|c| c.stands() && is_meant(c)).collect();
        let any = !meant.is_empty();
        meant.into_iter().for_each(|claim| claim.struck = Some(why.clone()));
        any
    }
}

fn mistakes(text: &str) -> Mistakes {
    let context = Context { default_base: "/var/lib/howdah".into(), relative_to: "/".into() };
    parse_leniently("howdah.toml", text, &context).1
}

fn node_of(claim: &Claim) -> Option<String> {
    match claim.key.parts() {
        [nodes, name, ..] if nodes == "nodes" => Some(name.clone()),
        _ => None,
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
