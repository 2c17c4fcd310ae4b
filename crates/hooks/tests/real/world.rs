//! A node's hooks under test: what it sees, what its hooks wrote down.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_base::{NodeName, Span, Term, Timeline};
use howdah_hooks::{HooksConfig, Leader, Reason, Role, Running, Seen};
use howdah_spec::{HookAction, HookEvent, HookSpec};
use howdah_testkit::Scratch;
use tokio::sync::watch;

/// How long anything here may take, apart from what a test sets itself.
pub const AT_MOST: Duration = Duration::from_secs(15);

pub struct World {
    pub scratch: Scratch,
    pub seen: watch::Sender<Seen>,
    pub hooks: BTreeMap<String, HookSpec>,
    pub ca_file: Option<PathBuf>,
}

impl World {
    /// Node n1, about which nothing is known yet.
    pub fn new() -> World {
        let seen = Seen::unknown("shop".parse().expect("a name"), name("n1"));
        World {
            scratch: Scratch::new(),
            seen: watch::Sender::new(seen),
            hooks: BTreeMap::new(),
            ca_file: None,
        }
    }

    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// A hook that runs a shell script with these lines, in which `$here` is the test's folder.
    pub fn script(&mut self, hook: &str, on: &[HookEvent], lines: &str) -> &mut HookSpec {
        let file = self.path().join(format!("{hook}.sh"));
        let here = self.path().display();
        fs::write(&file, format!("here={here}\n{lines}\n")).expect("a script");
        let words = vec!["/bin/sh".to_owned(), file.display().to_string()];
        self.hook(hook, on, HookAction::Command(words))
    }

    pub fn hook(&mut self, hook: &str, on: &[HookEvent], action: HookAction) -> &mut HookSpec {
        let spec = HookSpec {
            on: on.to_vec(),
            action,
            timeout: Span(Duration::from_secs(10)),
            attempts: 3,
            nodes: Vec::new(),
            every_node: false,
            patroni_arguments: false,
        };
        self.hooks.entry(hook.to_owned()).or_insert(spec)
    }

    pub fn start(&self) -> Running {
        let config = HooksConfig {
            hooks: self.hooks.clone(),
            state_dir: self.path().to_owned(),
            vip: None,
            ca_file: self.ca_file.clone(),
        };
        howdah_hooks::start(config, self.seen.subscribe())
    }

    /// n1 leads in `term`.
    pub fn leads(&self, term: u64) {
        self.is(Role::Primary, term, Some("n1"));
    }

    /// n1 follows `leader`.
    pub fn follows(&self, leader: &str, term: u64) {
        self.is(Role::Standby, term, Some(leader));
    }

    pub fn is(&self, role: Role, term: u64, leader: Option<&str>) {
        self.seen.send_modify(|seen| {
            seen.role = role;
            seen.term = Term(term);
            seen.timeline = Some(Timeline(3));
            seen.reason = Reason { rule: 101, text: "leads; renews in time".to_owned() };
            seen.leader = leader.map(|node| Leader {
                node: name(node),
                host: format!("{node}.example.com"),
                postgres_port: 5433,
                rw_port: 6432,
            });
        });
    }

    /// The lines of a file in the test's folder; none while it is not there.
    pub fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until the file has this many lines.
    pub async fn has_lines(&self, file: &str, count: usize) -> Vec<String> {
        let what = format!("`{file}` has {count} lines");
        until(&what, || self.lines(file).len() >= count, || format!("{:#?}", self.lines(file)))
            .await;
        self.lines(file)
    }

    /// What the journal says is still open, by hook; `None` before it was written.
    pub fn open(&self) -> Option<BTreeMap<String, usize>> {
        let text = fs::read_to_string(self.path().join("hooks.json")).ok()?;
        let kept: serde_json::Value = serde_json::from_str(&text).expect("json");
        let open = kept["open"].as_object().expect("a map").iter();
        Some(open.map(|(hook, list)| (hook.clone(), list.as_array().map_or(0, Vec::len))).collect())
    }

    /// Waits until nothing is open in the journal.
    pub async fn is_idle(&self) {
        let idle = || self.open().is_some_and(|open| open.values().all(|count| *count == 0));
        until("nothing is open", idle, || format!("{:?}", self.open())).await;
    }
}

pub fn name(text: &str) -> NodeName {
    text.parse().expect("a node's name")
}

/// Until `is_so`, at most [`AT_MOST`], else prints what was seen.
#[track_caller]
pub fn until(
    what: &str,
    mut is_so: impl FnMut() -> bool,
    seen: impl Fn() -> String,
) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let begun = std::time::Instant::now();
        while !is_so() {
            let late = begun.elapsed() > AT_MOST;
            assert!(!late, "{caller}: not within {AT_MOST:?}: {what}\n{}", seen());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
