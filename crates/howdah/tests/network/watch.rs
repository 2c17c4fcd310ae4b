//! A client at every server at once, past the endpoints: it finds out who accepts writes when,
//! so that two writers at the same time are seen.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use howdah_base::record::ServerState;
use howdah_testkit::{Cluster, Writer, writer};

/// Direct clients of all servers, and one of the endpoints.
pub struct Watch<'c> {
    cluster: &'c Cluster,
    client: Writer,
    direct: Vec<(String, Writer)>,
    terms_before: usize,
}

/// Between two tries of a direct client: a standby refuses each of them.
const TRY_EVERY: Duration = Duration::from_millis(50);

impl<'c> Watch<'c> {
    /// The cluster is whole; the clients are let in.
    #[track_caller]
    pub fn start(cluster: &'c Cluster) -> Watch<'c> {
        let client = Writer::start(cluster.plan());
        client.wait_for_rows(100, crate::ROWS_WITHIN);
        let has_server = |line: &&howdah_base::status::NodeStatus| {
            matches!(line.state, ServerState::Primary | ServerState::Streaming)
        };
        let status = cluster.status();
        let served = status.nodes.iter().filter(has_server).map(|line| line.node.as_str());
        let direct = served.map(|name| {
            let mut plan = cluster.plan_direct(cluster.node(name));
            plan.every = TRY_EVERY;
            plan.connect_bound = Duration::from_secs(1);
            (name.to_owned(), Writer::start_on_table(plan))
        });
        let direct = direct.collect();
        let watch = Watch { cluster, client, direct, terms_before: terms(cluster) };
        let primary = &cluster.primary().name;
        cluster.wait_for("the primary lets its direct client write", crate::ROWS_WITHIN, || {
            watch.last_at(primary)
        });
        watch
    }

    /// Waits until so many more rows are acknowledged through the endpoints.
    #[track_caller]
    pub fn wait_for_rows(&self, rows: usize, at_most: Duration) {
        let from = Instant::now();
        self.cluster.wait_for(&format!("{rows} more rows are acknowledged"), at_most, || {
            (self.client.acknowledged_after(from) >= rows).then_some(())
        });
    }

    /// When the direct client of a server was told of its last commit.
    pub fn last_at(&self, node: &str) -> Option<Instant> {
        let (_, writer) = self.direct.iter().find(|(name, _)| name == node)?;
        writer.journal().acknowledged.last().map(|row| row.at)
    }

    /// The cluster is whole again: every acknowledged row is there, and the servers that
    /// accepted writes took turns, one turn a term. Hands over the longest time in which the
    /// client of the endpoints could not write after `since`.
    #[track_caller]
    pub fn judge(self, since: Instant) -> Duration {
        let Watch { cluster, client, direct, terms_before } = self;
        let terms = terms(cluster) - terms_before + 1;
        let journal = client.stop();
        let direct: Vec<_> =
            direct.into_iter().map(|(name, writer)| (name, writer.stop())).collect();
        let present = writer::rows(&cluster.plan()).expect("read the rows back");
        check(&journal.missing_from(&present), "through the endpoints", cluster);
        let mut told = Vec::new();
        for (name, journal) in direct {
            check(&journal.missing_from(&present), &name, cluster);
            // By when they were asked for: the answer of a host that was cut off comes late, when it
            // is back, and its row is there all the same.
            let asked = journal.acknowledged.iter().map(|row| row.at - row.took);
            told.extend(asked.map(|at| (at, name.clone())));
        }
        let turns = turns(told);
        let writers: BTreeSet<&String> = turns.iter().collect();
        assert!(
            turns.len() <= terms,
            "{} servers accepted writes in {} turns within {terms} terms: {turns:?}\n{}",
            writers.len(),
            turns.len(),
            cluster.seen()
        );
        let gap = journal.longest_gap(since).expect("rows after the fault").length;
        eprintln!("no row for {gap:?}; turns: {turns:?}");
        gap
    }
}

#[track_caller]
fn check(missing: &[i64], whose: &str, cluster: &Cluster) {
    assert!(
        missing.is_empty(),
        "acknowledged rows are lost, {whose}: {missing:?}\n{}",
        cluster.seen()
    );
}

/// How often the leader changed so far.
fn terms(cluster: &Cluster) -> usize {
    usize::try_from(cluster.status().term.0).expect("a number")
}

/// Whose commits were acknowledged, in the order in which they were asked for, each server once a
/// turn.
fn turns(mut told: Vec<(Instant, String)>) -> Vec<String> {
    told.sort();
    let mut turns: Vec<String> = told.into_iter().map(|(_, name)| name).collect();
    turns.dedup();
    turns
}

#[test]
fn two_writers_at_the_same_time_are_seen() {
    let start = Instant::now();
    let at = |ms: u64, name: &str| (start + Duration::from_millis(ms), name.to_owned());
    let peaceful = turns(vec![at(1, "a"), at(5, "b"), at(2, "a"), at(6, "b")]);
    assert_eq!(peaceful, ["a", "b"]);
    let both = turns(vec![at(1, "a"), at(2, "b"), at(3, "a"), at(4, "b")]);
    assert_eq!(both.len(), 4);
}
