//! What the hooks of a cluster under test were told: a command that appends one line a call, and
//! the comparison of these lines with what was to be told.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use howdah_testkit::{Cluster, Scratch, Setup, wait};

/// Everything but problems, which come and go with each change.
const EVENTS: &str = "[\"on_start\", \"on_stop\", \"on_restart\", \"on_reload\", \"on_role_change\", \
     \"on_leader_change\", \"on_pause\", \"on_resume\", \"on_node_lost\", \"on_node_back\"]";
/// A change is told within this on a busy machine, once the cluster shows it.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// What comes late is watched for so long.
const QUIET: Duration = Duration::from_secs(3);

const SCRIPT: &str = "\
echo \"$HOWDAH_EVENT $HOWDAH_ROLE ${HOWDAH_TERM} ${HOWDAH_LEADER:--} ${HOWDAH_SUBJECT:--} \
$HOWDAH_NODE $HOWDAH_FIRING_ID $$\" >> \"$1/$HOWDAH_NODE\"\n";

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub event: String,
    pub role: String,
    pub term: u64,
    pub leader: String,
    pub subject: String,
    pub node: String,
    pub id: String,
    /// Of the command: a call that was carried out twice has two.
    pub pid: u32,
}

impl Line {
    fn read(text: &str) -> Line {
        let words: Vec<&str> = text.split(' ').collect();
        let [event, role, term, leader, subject, node, id, pid] = words[..] else {
            panic!("not a line of the hook: `{text}`")
        };
        let [event, role, leader, subject, node, id] =
            [event, role, leader, subject, node, id].map(str::to_owned);
        let (term, pid) = (term.parse().expect("a term"), pid.parse().expect("a number"));
        Line { event, role, term, leader, subject, node, id, pid }
    }

    /// The event, and of whom it speaks.
    fn words(&self) -> String {
        let whom = match self.event.as_str() {
            "on_leader_change" => &self.leader,
            "on_node_lost" | "on_node_back" => &self.subject,
            _ => &self.role,
        };
        format!("{} {whom}", self.event)
    }
}

/// The lines of all nodes, and how many of each have been accounted for.
pub struct Told {
    scratch: Scratch,
    taken: BTreeMap<String, usize>,
}

impl Told {
    pub fn new() -> Told {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("hook.sh"), SCRIPT).expect("a script");
        let open = fs::Permissions::from_mode(0o777);
        fs::create_dir(scratch.path().join("told")).expect("a folder");
        fs::set_permissions(scratch.path().join("told"), open).expect("open to the hooks");
        Told { scratch, taken: BTreeMap::new() }
    }

    /// A folder that hooks may write to.
    pub fn folder(&self) -> PathBuf {
        self.scratch.path().join("told")
    }

    /// Has every call of every node written down.
    pub fn on(&self, setup: Setup) -> Setup {
        let (script, folder) = (self.scratch.path().join("hook.sh"), self.folder());
        let command = format!("[\"/bin/sh\", {script:?}, {folder:?}]");
        setup.set("hooks.record", "on", EVENTS).set("hooks.record", "command", &command)
    }

    /// All calls of a node so far, in order.
    pub fn lines(&self, node: &str) -> Vec<Line> {
        let text = fs::read_to_string(self.folder().join(node)).unwrap_or_default();
        // A line that is being written has no end yet.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(Line::read).collect()
    }

    fn new_words(&self, node: &str) -> Vec<String> {
        let taken = self.taken.get(node).copied().unwrap_or(0);
        self.lines(node)[taken..].iter().map(Line::words).collect()
    }

    /// Since the last time, every node was told this and nothing else, in this order: `wanted` by
    /// node, others nothing. Each step is `event of-whom`; `a|b` is either, `?a` perhaps.
    #[track_caller]
    pub fn expect(&mut self, cluster: &Cluster, what: &str, wanted: &[(&str, &[&str])]) {
        let nodes: Vec<&str> = cluster.nodes().iter().map(|node| node.name.as_str()).collect();
        let of = |node: &str| {
            let found = wanted.iter().find(|(name, _)| *name == node);
            found.map_or(&[] as &[&str], |(_, steps)| steps)
        };
        let all_there = || nodes.iter().all(|node| matches(&self.new_words(node), of(node)));
        wait::until(
            &format!("hooks are told of: {what}"),
            TOLD_WITHIN,
            || all_there().then_some(()),
            || format!("wanted {wanted:?}\n{}{}", self.seen(&nodes), cluster.seen()),
        );
        for node in nodes {
            let told = self.lines(node).len();
            self.taken.insert(node.to_owned(), told);
        }
    }

    /// No node has a call left in its journal: what has been told is known to be.
    #[track_caller]
    pub fn wait_known(&self, cluster: &Cluster) {
        let left = |node: &howdah_testkit::Node| {
            let text = fs::read_to_string(node.state_dir.join("hooks.json")).unwrap_or_default();
            let kept: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            let open = kept["open"].as_object().cloned();
            let is_empty = |queue: &serde_json::Value| queue.as_array().is_some_and(Vec::is_empty);
            open.is_none_or(|open| !open.values().all(is_empty))
        };
        cluster.wait_for("what was told is known", TOLD_WITHIN, || {
            (!cluster.nodes().iter().any(left)).then_some(())
        });
    }

    /// Nothing is told for a while.
    #[track_caller]
    pub fn expect_quiet(&mut self, cluster: &Cluster, what: &str) {
        self.expect(cluster, what, &[]);
        let nodes: Vec<&str> = cluster.nodes().iter().map(|node| node.name.as_str()).collect();
        let quiet = wait::stays(QUIET, || nodes.iter().all(|node| self.new_words(node).is_empty()));
        assert!(quiet, "{what}\n{}", self.seen(&nodes));
    }

    /// Over the whole story: no change was told twice, terms rise at each node, each line is of
    /// the node that wrote it, and each term had one primary.
    #[track_caller]
    pub fn judge(&self, cluster: &Cluster) {
        let mut ids = BTreeMap::new();
        let mut primaries = BTreeMap::new();
        for node in cluster.nodes() {
            let lines = self.lines(&node.name);
            let rise = lines.windows(2).all(|pair| pair[0].term <= pair[1].term);
            assert!(rise, "terms fall: {lines:#?}");
            for line in lines {
                assert_eq!(line.node, node.name);
                if line.event == "on_role_change" && line.role == "primary" {
                    let other = primaries.insert(line.term, line.clone());
                    assert_eq!(other, None, "two primaries of one term: {line:?}");
                    assert_eq!(line.leader, line.node, "{line:?}");
                }
                let identity = line.id.strip_prefix("test.").and_then(|id| id.split_once("-on_"));
                assert!(identity.is_some_and(|(ca, _)| ca.len() == 16), "whose is it? {line:?}");
                let other = ids.insert(line.id.clone(), line.clone());
                assert_eq!(other, None, "told twice: {line:?}");
            }
        }
    }

    fn seen(&self, nodes: &[&str]) -> String {
        let mut seen = String::new();
        for node in nodes {
            let taken = self.taken.get(*node).copied().unwrap_or(0);
            for (at, line) in self.lines(node).iter().enumerate() {
                let mark = if at < taken { "      " } else { "  new " };
                let (words, Line { term, id, pid, .. }) = (line.words(), line);
                seen += &format!("{node}{mark}{words} (term {term}, {id}, process {pid})\n");
            }
        }
        seen
    }
}

fn matches(told: &[String], wanted: &[&str]) -> bool {
    match (told.split_first(), wanted.split_first()) {
        (_, Some((step, rest))) if step.starts_with('?') => {
            let taken = told.first().is_some_and(|first| first == &step[1..]);
            matches(told, rest) || (taken && matches(&told[1..], rest))
        }
        (Some((first, told)), Some((step, rest))) => {
            step.split('|').any(|either| first == either) && matches(told, rest)
        }
        (None, None) => true,
        _ => false,
    }
}

#[test]
fn what_was_told_is_compared_step_by_step() {
    let told = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let wanted = ["?on_stop stopped", "on_start standby|on_restart standby", "on_reload standby"];
    for (words, same) in [
        (vec!["on_stop stopped", "on_start standby", "on_reload standby"], true),
        (vec!["on_restart standby", "on_reload standby"], true),
        (vec!["on_start standby"], false),
        (vec!["on_start standby", "on_reload standby", "on_reload standby"], false),
        (vec!["on_start standby", "on_stop stopped", "on_reload standby"], false),
        (vec![], false),
    ] {
        assert_eq!(matches(&told(&words), &wanted), same, "{words:?}");
    }
}
