//! Golden cases of routing, in words: `t2 primary=a a=- b=10 c=2000 | me=a w2 r` is what the
//! node `a` knows in term 2, with the standbys' lags, and of its own server that it is writable
//! in term 2 and readable; `closing`, that it is about to be shut down.

use howdah_base::topology::Route as Reach;

use super::*;

fn name(text: &str) -> NodeName {
    text.parse().expect("a name")
}

/// What a node knows, and who it is.
fn knows(text: &str) -> (Topology, NodeName) {
    let mut now = Topology::default();
    let mut me = name("a");
    for word in text.split_whitespace().filter(|word| *word != "|") {
        match word.split_once('=') {
            Some(("primary", node)) => now.primary = Some(name(node)),
            Some(("me", node)) => me = name(node),
            Some((node, lag)) => {
                let standby_lag = lag.parse().ok();
                let reach =
                    Reach { host: String::new(), peer_port: 0, postgres_port: 0, standby_lag };
                now.nodes.insert(name(node), reach);
            }
            None if word == "r" => now.local.readable = true,
            None if word == "closing" => now.local.closing = true,
            None => {
                let term = Term(word[1..].parse().expect("a term"));
                if word.starts_with('t') {
                    now.term = term
                } else {
                    now.local.writable = Some(term)
                }
            }
        }
    }
    (now, me)
}

/// The candidates for rw, ro, ro with fallback, and any, with a lag limit of 1000.
fn chosen(text: &str) -> String {
    let (now, me) = knows(text);
    [(Endpoint::Rw, false), (Endpoint::Ro, false), (Endpoint::Ro, true), (Endpoint::Any, false)]
        .map(|(endpoint, fallback)| {
            let all = candidates(&now, &me, endpoint, 1000, fallback);
            let names: Vec<_> = all.iter().map(|(node, _)| node.as_str()).collect();
            names.join(",")
        })
        .join(" / ")
}

#[test]
fn each_endpoint_has_its_candidates() {
    for (known, want) in [
        ("t2 primary=a a=- b=10 c=2000 | me=a w2", "a / b / b / a,b,c"),
        ("t2 primary=a a=- b=10 c=1000 | me=c r", "a / b,c / b,c / a,b,c"),
        ("t2 primary=a a=- b=1001 c=- | me=c", "a /  / a / a,b"),
        ("t2 a=- b=10 | me=a", " / b / b / b"),
        // Its own server is not what the store says of it.
        ("t2 primary=a a=- b=10 | me=a w1", " / b / b / b"),
        ("t2 primary=a a=- b=10 | me=a", " / b / b / b"),
        ("t2 primary=a a=- b=10 | me=b", "a /  / a / a"),
        // A primary's own lag does not make it a standby, nor a stranger a primary.
        ("t2 primary=a a=0 | me=b", "a /  / a / a"),
        ("t2 primary=z b=10 | me=c", " / b / b / b"),
        // Nobody new is led to a server that is about to be shut down.
        ("t2 primary=a a=- b=10 | me=a w2 closing", " / b / b / b"),
        ("t2 primary=a a=- b=10 c=10 | me=b r closing", "a / c / c / a,c"),
        ("t0 | me=a", " /  /  / "),
    ] {
        assert_eq!(chosen(known), want, "{known}");
    }
}

#[test]
fn a_peer_gets_what_this_node_itself_knows_it_is() {
    for (known, term, want, ok) in [
        ("t2 | w2", 2, Want::Primary, true),
        ("t2 | w2", 1, Want::Primary, false),
        ("t2 | w2", 3, Want::Primary, false),
        ("t3 primary=a | w2", 2, Want::Primary, false),
        ("t2 primary=a |", 2, Want::Primary, false),
        ("t2 | r", 2, Want::Standby, true),
        ("t2 | r", 1, Want::Standby, false),
        ("t2 | r", 3, Want::Standby, true),
        ("t2 | w2", 2, Want::Standby, false),
        ("t2 | w2 closing", 2, Want::Primary, false),
        ("t2 | r closing", 2, Want::Standby, false),
        ("t9 |", 0, Want::Cancel, true),
        ("t9 | closing", 0, Want::Cancel, true),
    ] {
        assert_eq!(judge_peer(&knows(known).0, Term(term), want).is_ok(), ok, "{known} {term}");
    }
}

/// Plays what the node learns, one after the other; gives when the route to `a` was over.
fn over_at(local: bool, term: Option<u64>, learns: &[&str]) -> Option<usize> {
    let mut route = Route { node: name("a"), local, term: term.map(Term) };
    learns.iter().position(|text| route.is_over(&knows(text).0))
}

#[test]
fn a_route_to_a_primary_ends_with_its_term() {
    let over = |learns: &[&str]| over_at(false, Some(1), learns);
    assert_eq!(over(&["t1 primary=a", "t1", "t1 primary=a"]), None, "unknown is not down");
    assert_eq!(over(&["t1 primary=a", "t1 primary=b"]), Some(1));
    assert_eq!(over(&["t1 primary=a", "t2"]), Some(1), "somebody has a higher term");
    assert_eq!(over(&["t2 primary=b"]), Some(0), "already when it starts");
    assert_eq!(over(&["t2 primary=a"]), Some(0));
    let over = |learns: &[&str]| over_at(true, Some(1), learns);
    assert_eq!(over(&["t1 | w1", "t1 primary=b | w1"]), None, "it knows better itself");
    assert_eq!(over(&["t1 | w1", "t1 | w1 closing"]), None, "who is there stays");
    assert_eq!(over(&["t1 | w1", "t1 primary=a |"]), Some(1));
    assert_eq!(over(&["t1 | w1", "t2 | w1"]), Some(1));
    assert_eq!(over(&["t2 | w2"]), Some(0));
}

#[test]
fn a_reader_stays_on_a_new_primary_and_leaves_a_deposed_one() {
    for local in [true, false] {
        let over = |learns: &[&str]| over_at(local, None, learns);
        assert_eq!(over(&["t1 primary=b | r", "t2 |", "t2 primary=a | w2"]), None);
        assert_eq!(over(&["t1 primary=b | r", "t2 primary=a | w2", "t3 primary=b |"]), Some(2));
        assert_eq!(over(&["t1 primary=b | r", "t9 primary=c |", "t9 primary=c | r"]), None);
    }
}
