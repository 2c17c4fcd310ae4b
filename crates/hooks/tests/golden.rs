//! The core in words: stories below `golden/`, what is seen and how attempts end at the margin,
//! what follows from it indented. `HOWDAH_BLESS=1` writes what follows anew; read the diff.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_base::{NodeName, Span, Term, Tick, Timeline};
use howdah_hooks::calls::{Core, Ended, Kept, Outcome, State, Step};
use howdah_hooks::{Leader, Reason, Role, Seen};
use howdah_spec::{HookAction, HookEvent, HookSpec};

#[test]
fn stories() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = fs::read_dir(&folder).expect("golden");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    assert!(files.len() >= 8, "the stories were not found: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a story");
        let told = Story::new().tell(&text);
        if std::env::var_os("HOWDAH_BLESS").is_some() {
            fs::write(&file, &told).expect("bless");
            continue;
        }
        assert!(told == text, "{}\n\nit is now:\n\n{told}", file.display());
    }
}

struct Story {
    hooks: BTreeMap<String, HookSpec>,
    core: Option<Core>,
    seen: Seen,
    now: Tick,
    running: BTreeMap<String, String>,
    out: String,
}

impl Story {
    fn new() -> Story {
        Story {
            hooks: BTreeMap::new(),
            core: None,
            seen: Seen {
                cluster: "shop".parse().expect("a name"),
                identity: "c0ffee".to_owned(),
                node: name("n1"),
                role: Role::Unknown,
                term: Term(1),
                timeline: Some(Timeline(1)),
                leader: None,
                paused: false,
                reason: Reason::default(),
                server_started_unix_ms: None,
                restarting: false,
                reloads: 0,
                others: BTreeMap::new(),
                store_away: false,
                problems: Vec::new(),
                leads_until: None,
            },
            now: Tick(1_000_000),
            running: BTreeMap::new(),
            out: String::new(),
        }
    }

    fn tell(mut self, text: &str) -> String {
        for line in text.lines().filter(|line| !line.starts_with("  ")) {
            writeln!(self.out, "{line}").expect("text");
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] | ["#", ..] => {}
                ["hook", name, rest @ ..] => {
                    self.hooks.insert((*name).to_owned(), hook(rest));
                }
                ["node", node] => self.seen.node = name(node),
                ["seen", changes @ ..] => {
                    changes.iter().for_each(|change| self.change(change));
                    self.look();
                }
                ["problem", ..] => {
                    self.seen.problems.push(line["problem ".len()..].to_owned());
                    self.look();
                }
                ["no", "problem"] => {
                    self.seen.problems.clear();
                    self.look();
                }
                ["after", span] => {
                    self.now = self.now + span.parse::<Span>().expect("a span").0;
                    self.look();
                }
                ["the", "agent", "is", "restarted"] => self.restart(),
                [hook, "succeeds"] => self.end(hook, &Outcome::Succeeded),
                [hook, "fails"] => self.end(hook, &Outcome::Failed("exit status 1".to_owned())),
                [hook, "is", "dead"] => self.end(hook, &Outcome::Killed),
                other => panic!("not a line of a story: {other:?}"),
            }
        }
        self.out
    }

    fn core(&mut self) -> &mut Core {
        let hooks = &self.hooks;
        self.core.get_or_insert_with(|| {
            Core::new(hooks.clone(), Kept { state: State::new(1), ..Kept::default() })
        })
    }

    fn change(&mut self, change: &str) {
        let (key, value) = change.split_once('=').expect("key=value");
        let list = || value.split(',').filter(|part| !part.is_empty()).map(name);
        match key {
            "role" => {
                let json = format!("\"{value}\"");
                self.seen.role = serde_json::from_str(&json).expect("a role");
            }
            "term" => self.seen.term = Term(value.parse().expect("a term")),
            "leader" => {
                self.seen.leader = (value != "-").then(|| Leader {
                    node: name(value),
                    host: format!("{value}.example.com"),
                    postgres_port: 5433,
                    rw_port: 6432,
                });
            }
            "alive" => self.seen.others.extend(list().map(|node| (node, true))),
            "lost" => self.seen.others.extend(list().map(|node| (node, false))),
            "store" => self.seen.store_away = value == "away",
            "paused" => self.seen.paused = value == "yes",
            "restarting" => self.seen.restarting = value == "yes",
            "started" => self.seen.server_started_unix_ms = Some(value.parse().expect("a time")),
            "reloads" => self.seen.reloads = value.parse().expect("a count"),
            _ => panic!("nothing that can be seen: `{key}`"),
        }
    }

    fn look(&mut self) {
        let (seen, now) = (self.seen.clone(), self.now);
        for (hook, step) in self.core().see(&seen, now) {
            match step {
                Step::Kill { id, why } => self.say(&hook, &format!("kill {id}: {why:?}")),
                Step::Dropped { id, why } => self.say(&hook, &format!("drop {id}: {why:?}")),
            }
        }
        self.begin();
    }

    fn begin(&mut self) {
        let (seen, now) = (self.seen.clone(), self.now);
        for attempt in self.core().next(&seen, now) {
            let firing = &attempt.firing;
            let again = match attempt.number {
                1 => String::new(),
                number => format!(" (attempt {number})"),
            };
            self.running.insert(attempt.hook.clone(), firing.id.clone());
            let sentence = firing.sentence();
            self.say(&attempt.hook, &format!("begin {}{again}: {sentence}", firing.id));
        }
    }

    fn end(&mut self, hook: &str, outcome: &Outcome) {
        let now = self.now;
        let id = self.running.remove(hook).expect("an attempt is running");
        let ended = self.core().ended(hook, &id, outcome, now).expect("known");
        match ended {
            Ended::Done => {}
            Ended::Again { after } => self.say(hook, &format!("again after {after:?}")),
            other => self.say(hook, &format!("{other:?}")),
        }
        for problem in self.core().problems() {
            writeln!(self.out, "  problem: {problem}").expect("text");
        }
        self.begin();
    }

    /// What is kept goes through its form on disk.
    fn restart(&mut self) {
        let text = serde_json::to_string(self.core().kept()).expect("json");
        let kept: Kept = serde_json::from_str(&text).expect("read back");
        self.core = Some(Core::new(self.hooks.clone(), kept));
        self.running.clear();
    }

    fn say(&mut self, hook: &str, what: &str) {
        writeln!(self.out, "  {hook}: {what}").expect("text");
    }
}

fn hook(words: &[&str]) -> HookSpec {
    let event = |word: &&str| HookEvent::WORDS.iter().find(|(name, _)| name == word);
    let value = |key: &str| words.iter().find_map(|word| word.strip_prefix(key));
    let nodes = value("nodes=").map(|nodes| nodes.split(',').map(name).collect());
    HookSpec {
        on: words.iter().filter_map(event).map(|(_, event)| *event).collect(),
        action: HookAction::Command(vec!["true".to_owned()]),
        timeout: Span(Duration::from_secs(10)),
        attempts: value("attempts=").map_or(3, |n| n.parse().expect("a number")),
        nodes: nodes.unwrap_or_default(),
        every_node: words.contains(&"every_node"),
        patroni_arguments: false,
    }
}

fn name(text: &str) -> NodeName {
    text.parse().expect("a node's name")
}
