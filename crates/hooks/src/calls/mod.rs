//! The pure part: from what is seen and how attempts ended to what is to be done.
//!
//! ```text
//! Seen ──► plan ──► offer to each hook's queue ──┐
//!                   review what is open ─────────┼─► kills, then attempts to begin
//! an attempt's end ─► ended ─────────────────────┘
//! ```

mod plan;
mod queue;
mod standing;

use std::collections::BTreeMap;

use howdah_base::Tick;
use howdah_spec::HookSpec;
use serde::{Deserialize, Serialize};

pub use plan::{PROBLEM_STANDS, State, plan};
pub use queue::{BACKOFF_FIRST, BACKOFF_MAX, Ended, Outcome, QUEUE_MAX, Queue, Step, Why};
pub use standing::{Standing, standing};

use crate::firing::Firing;
use crate::seen::Seen;

/// What is kept over the end of the agent, also of an older version: a field that is added to
/// anything in here needs a default.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    pub state: State,
    /// By hook.
    pub open: BTreeMap<String, Queue>,
}

/// All hooks of a node.
#[derive(Clone, Debug)]
pub struct Core {
    hooks: BTreeMap<String, HookSpec>,
    kept: Kept,
    /// Hooks whose last firing failed to the end, and why.
    failed: BTreeMap<String, String>,
}

/// One attempt to begin.
#[derive(Clone, PartialEq, Debug)]
pub struct Attempt {
    pub hook: String,
    pub firing: Firing,
    /// From 1.
    pub number: u32,
}

impl Core {
    /// Firings of a hook that the file does not have any more are forgotten.
    pub fn new(hooks: BTreeMap<String, HookSpec>, mut kept: Kept) -> Core {
        kept.open.retain(|name, _| hooks.contains_key(name));
        Core { hooks, kept, failed: BTreeMap::new() }
    }

    /// What the journal is to hold.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    pub fn spec(&self, hook: &str) -> Option<&HookSpec> {
        self.hooks.get(hook)
    }

    /// Whether no firing is open.
    pub fn is_idle(&self) -> bool {
        self.kept.open.values().all(Queue::is_empty)
    }

    /// Takes in what is seen now. What follows is to be done before [`Core::next`] is asked.
    pub fn see(&mut self, seen: &Seen, now: Tick) -> Vec<(String, Step)> {
        let firings = plan(&mut self.kept.state, seen, now);
        let mut steps = Vec::new();
        for (name, spec) in &self.hooks {
            let queue = self.kept.open.entry(name.clone()).or_default();
            let mut all = Vec::new();
            for firing in &firings {
                all.extend(queue.supersede(firing));
                all.extend(is_meant(spec, firing).then(|| queue.offer(firing.clone())).flatten());
            }
            all.extend(queue.review(seen));
            steps.extend(all.into_iter().map(|step| (name.clone(), step)));
        }
        steps
    }

    /// Whether [`Core::next`] would begin something.
    pub fn is_due(&self, seen: &Seen, now: Tick) -> bool {
        self.kept.open.values().any(|queue| queue.is_due(seen, now))
    }

    /// The attempts to begin now: of each hook one at most.
    pub fn next(&mut self, seen: &Seen, now: Tick) -> Vec<Attempt> {
        let attempt = |(name, queue): (&String, &mut Queue)| {
            let (firing, number) = queue.next(seen, now)?;
            Some(Attempt { hook: name.clone(), firing, number })
        };
        self.kept.open.iter_mut().filter_map(attempt).collect()
    }

    /// An attempt has ended.
    pub fn ended(&mut self, hook: &str, id: &str, outcome: &Outcome, now: Tick) -> Option<Ended> {
        let attempts = self.hooks.get(hook)?.attempts;
        let ended = self.kept.open.get_mut(hook)?.ended(id, outcome, attempts, now)?;
        match (ended, outcome) {
            (Ended::Done, _) => {
                self.failed.remove(hook);
            }
            (Ended::GaveUp { attempts }, Outcome::Failed(why)) => {
                let times = if attempts == 1 { "once" } else { &format!("{attempts} times") };
                self.failed.insert(hook.to_owned(), format!("hook `{hook}` failed {times}: {why}"));
            }
            _ => {}
        }
        Some(ended)
    }

    /// Hooks that could not tell what they were to tell.
    pub fn problems(&self) -> Vec<String> {
        self.failed.values().cloned().collect()
    }

    /// When to call [`Core::see`] and [`Core::next`] although nothing has changed.
    pub fn wake_at(&self, now: Tick) -> Option<Tick> {
        let queues = self.kept.open.values().filter_map(|queue| queue.wake_at(now));
        queues.chain(self.kept.state.wake_at(now)).min()
    }
}

fn is_meant(spec: &HookSpec, firing: &Firing) -> bool {
    spec.on.contains(&firing.event)
        && (spec.nodes.is_empty() || spec.nodes.contains(&firing.node))
        && (firing.teller || spec.every_node || !firing.is_of_cluster())
}
