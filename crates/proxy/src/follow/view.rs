//! What several nodes say at once, and which of them is believed. Pure.
//!
//! The highest term wins, whoever says it; in one term the primary itself, because it knows first that
//! it is about to hand over; else whoever was heard last. A term that was once seen is never gone
//! behind: a node that is cut off from its cluster may tell of an old one for as long as it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_base::topology::Topology;
use howdah_base::{NodeName, Term};

use crate::tell::{News, Rules};

/// What was said longer ago leads nobody anywhere: nodes speak once a second.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(5);
/// Whoever was heard within this is taken for connected.
const FRESH: Duration = Duration::from_secs(2);
/// Between two looks when nothing is heard.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Views {
    said: BTreeMap<NodeName, Said>,
    /// The highest term that anybody has ever told of.
    term: Term,
    /// Where nodes were when somebody told last.
    last: Topology,
}

#[derive(Debug)]
struct Said {
    topology: Topology,
    rules: Arc<Rules>,
    heard: Instant,
}

impl Views {
    pub fn hear(&mut self, from: NodeName, news: News, now: Instant) {
        let News { topology, rules } = news;
        self.term = self.term.max(topology.term);
        let before = self.said.get(&from).map(|said| said.rules.clone());
        // The first news has them.
        let Some(rules) = rules.map(Arc::new).or(before) else { return };
        self.said.insert(from, Said { topology, rules, heard: now });
        if let Some((_, best)) = self.best(now) {
            self.last = best.topology.clone();
        }
        self.said
            .retain(|node, _| self.last.nodes.contains_key(node) || self.last.nodes.is_empty());
    }

    /// What the proxy goes by. Where nobody is to be believed, whoever is connected stays where it
    /// is, and nobody is led anywhere.
    pub fn topology(&self, now: Instant) -> Topology {
        if let Some((_, said)) = self.best(now) {
            return said.topology.clone();
        }
        let mut held = Topology { term: self.term, primary: None, ..self.last.clone() };
        held.nodes.values_mut().for_each(|node| node.standby_lag = None);
        held
    }

    pub fn rules(&self, now: Instant) -> Option<Arc<Rules>> {
        self.best(now).map(|(_, said)| said.rules.clone())
    }

    /// Where all nodes' peer ports are.
    pub fn addresses(&self) -> BTreeSet<String> {
        let nodes = self.last.nodes.values();
        nodes.map(|node| address(&node.host, node.peer_port)).collect()
    }

    /// How many nodes tell something that counts.
    pub fn telling(&self, now: Instant) -> usize {
        self.counting(now).count()
    }

    pub fn next_look(&self, now: Instant) -> Instant {
        now + LOOK
    }

    fn counting(&self, now: Instant) -> impl Iterator<Item = (&NodeName, &Said)> {
        self.said.iter().filter(move |(_, said)| {
            said.topology.term == self.term
                && !said.topology.nodes.is_empty()
                && now.saturating_duration_since(said.heard) < GOOD_FOR
        })
    }

    fn best(&self, now: Instant) -> Option<(&NodeName, &Said)> {
        self.counting(now).max_by_key(|(node, said)| {
            let fresh = now.saturating_duration_since(said.heard) < FRESH;
            (fresh && said.topology.primary.as_ref() == Some(node), said.heard)
        })
    }
}

/// `host:port`, as [`std::net::SocketAddr`] reads it.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use howdah_base::topology::Route;
    use howdah_base::{Bytes, Span};

    use super::*;
    use crate::policy::Policy;

    /// What each says, in turn: who, when (ms), term, primary.
    type Word<'a> = (&'a str, u64, u64, Option<&'a str>);

    fn rules() -> Rules {
        let span = Span(Duration::from_secs(1));
        Rules {
            known_as: Ipv4Addr::LOCALHOST.into(),
            hba: Vec::new(),
            policy: Policy::default(),
            operators: crate::Operators::default(),
            ro_max_lag: Bytes(0),
            ro_primary_fallback: false,
            clients_max: 1,
            connect_wait: span,
            keepalive: span,
            user_timeout: span,
        }
    }

    fn topology(term: u64, primary: Option<&str>) -> Topology {
        let name = |text: &str| text.parse::<NodeName>().expect("a name");
        let route = |node: &str| Route {
            host: node.to_owned(),
            peer_port: 7433,
            postgres_port: 5432,
            standby_lag: (primary != Some(node)).then_some(0),
        };
        Topology {
            term: Term(term),
            primary: primary.map(name),
            nodes: ["a", "b", "c"].map(|node| (name(node), route(node))).into(),
            ..Topology::default()
        }
    }

    /// Whom clients are led to at `at` (ms), in which term, and how many nodes may be read.
    fn check(words: &[Word<'_>], at: u64) -> String {
        let start = Instant::now();
        let moment = |ms| start + Duration::from_millis(ms);
        let mut views = Views::default();
        for (from, ms, term, primary) in words {
            let news = News { topology: topology(*term, *primary), rules: Some(rules()) };
            views.hear(from.parse().expect("a name"), news, moment(*ms));
        }
        let now = views.topology(moment(at));
        let reads = now.nodes.values().filter(|node| node.standby_lag.is_some()).count();
        let primary = now.primary.map_or("nobody".to_owned(), |node| node.to_string());
        format!("{primary} in {}, {reads} read, {} tell", now.term, views.telling(moment(at)))
    }

    #[test]
    fn nobody_is_led_anywhere_before_somebody_tells() {
        assert_eq!(check(&[], 0), "nobody in 0, 0 read, 0 tell");
    }

    #[test]
    fn the_highest_term_wins_whoever_says_it_and_whenever() {
        let words = [("a", 0, 1, Some("a")), ("b", 1, 2, Some("b")), ("a", 2, 1, Some("a"))];
        assert_eq!(check(&words, 3), "b in 2, 2 read, 1 tell");
        let none_yet = [("a", 0, 1, Some("a")), ("c", 1, 2, None)];
        assert_eq!(check(&none_yet, 3), "nobody in 2, 3 read, 1 tell");
    }

    #[test]
    fn an_old_term_is_not_gone_back_to_when_the_new_one_falls_silent() {
        let words = [("b", 0, 2, Some("b")), ("a", 5_500, 1, Some("a"))];
        assert_eq!(check(&words, 5_501), "nobody in 2, 0 read, 0 tell");
    }

    #[test]
    fn in_one_term_the_primary_knows_best_as_long_as_it_speaks() {
        let words = [("a", 0, 1, Some("a")), ("b", 10, 1, None)];
        assert_eq!(check(&words, 20), "a in 1, 2 read, 2 tell");
        assert_eq!(check(&words, 2_005), "nobody in 1, 3 read, 2 tell");
    }

    #[test]
    fn what_was_said_long_ago_leads_nobody_anywhere() {
        let words = [("a", 0, 1, Some("a")), ("b", 100, 1, Some("a"))];
        assert_eq!(check(&words, 5_050), "a in 1, 2 read, 1 tell");
        assert_eq!(check(&words, 5_100), "nobody in 1, 0 read, 0 tell");
    }

    #[test]
    fn a_node_that_has_left_the_cluster_is_followed_no_more() {
        let mut views = Views::default();
        let now = Instant::now();
        let news = |topology| News { topology, rules: Some(rules()) };
        views.hear("c".parse().expect("a name"), news(topology(1, Some("a"))), now);
        let mut without = topology(2, Some("a"));
        without.nodes.pop_last();
        views.hear("a".parse().expect("a name"), news(without), now);
        assert_eq!(views.addresses(), ["a:7433".to_owned(), "b:7433".to_owned()].into());
        assert_eq!(views.said.len(), 1);
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        assert_eq!(address("fd00::1", 7433), "[fd00::1]:7433");
        assert_eq!(address("db1.example", 7433), "db1.example:7433");
    }
}
