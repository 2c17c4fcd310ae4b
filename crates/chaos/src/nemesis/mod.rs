//! Does what the plan says, undoes it, and asks the system each time whether it took effect: a
//! signal that hit nobody, or a cut that lets packets through, is not counted.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use howdah_testkit::{Cluster, Disk, Node, wait};

use crate::clients::Shared;
use crate::manager::Manager;
use crate::plan::{Kind, Plan, Step, Whose};

mod machine;
mod signal;

/// One fault as it was.
#[derive(Clone, Debug)]
pub struct Done {
    pub kind: Kind,
    /// Whom it met, in words.
    pub whom: String,
    /// Since the run began.
    pub from: Duration,
    /// Whether it took effect, and if not, why not.
    pub effect: Result<(), String>,
}

/// What is needed to hurt a cluster.
#[derive(Debug)]
pub struct Nemesis<'c> {
    cluster: &'c Cluster,
    disks: &'c [Disk],
    shared: Arc<Shared>,
    manager: &'c Manager,
    done: Mutex<Vec<Done>>,
}

/// How to undo what was begun.
enum Undo {
    Nothing,
    /// SIGCONT to these.
    Continue(Vec<i32>),
    /// The service manager may start it again.
    Release(String),
    /// The machine has power and network again.
    Return(String),
    Heal(String, String),
    Rejoin(String),
    SpeedUp(String),
    Free(usize),
    Thaw(usize),
}

/// Whom it met, how it is undone, and whether it took effect.
type Begun = (String, Undo, Result<(), String>);

/// What took effect, how often: tries and hits by kind.
pub type Counts = BTreeMap<String, (usize, usize)>;

impl<'c> Nemesis<'c> {
    pub fn new(
        cluster: &'c Cluster,
        disks: &'c [Disk],
        shared: &Arc<Shared>,
        manager: &'c Manager,
    ) -> Nemesis<'c> {
        let (shared, done) = (Arc::clone(shared), Mutex::new(Vec::new()));
        Nemesis { cluster, disks, shared, manager, done }
    }

    /// Carries the plan out, begun now. Everything is undone at the end; `stop` ends it early.
    pub fn work(&self, plan: &Plan, stop: &dyn Fn() -> bool) {
        let began = Instant::now();
        thread::scope(|scope| {
            let mut undo: Vec<(Duration, Kind, Undo)> = Vec::new();
            for step in &plan.steps {
                while !stop() && began.elapsed() < step.at {
                    undo_due(self, &mut undo, began.elapsed());
                    thread::sleep(LOOK_EVERY);
                }
                if stop() {
                    break;
                }
                self.begin(scope, step, &mut undo, began);
            }
            while !stop() && !undo.is_empty() {
                undo_due(self, &mut undo, began.elapsed());
                thread::sleep(LOOK_EVERY);
            }
            undo_due(self, &mut undo, Duration::MAX);
        });
        self.heal_all();
        for kind in self.without_effect(plan) {
            self.try_again(kind, stop);
        }
        self.heal_all();
    }

    /// Among many faults one may find nobody to hurt: it comes again to a whole cluster.
    fn try_again(&self, kind: Kind, stop: &dyn Fn() -> bool) {
        for attempt in 0..TRIES_AGAIN_MAX {
            let whole = || (stop() || self.cluster.amiss().is_none()).then_some(());
            if wait::found_within(WHOLE_WITHIN, whole).is_none() || stop() {
                return;
            }
            let from = Duration::from_micros(self.shared.now());
            let (whose, lasts) = (Whose::Primary, kind.lasts_at_least());
            let step = Step { at: from, kind, whose, lasts, chance: attempt };
            let (whom, back, effect) = self.struck(&step);
            let hit = effect.is_ok();
            self.note(Done { kind, whom, from, effect });
            wait::found_within(lasts, || stop().then_some(()));
            undo_due(self, &mut vec![(Duration::ZERO, kind, back)], Duration::MAX);
            if hit {
                return;
            }
        }
    }

    /// Kinds that were planned and have hurt nobody.
    fn without_effect(&self, plan: &Plan) -> Vec<Kind> {
        let counts = counts(plan, &self.done());
        let idle = |kind: &&Kind| counts.get(kind.word()).is_some_and(|(_, hits)| *hits == 0);
        Kind::ALL.iter().filter(idle).copied().collect()
    }

    fn begin<'s>(
        &'s self,
        scope: &'s Scope<'s, '_>,
        step: &Step,
        undo: &mut Vec<(Duration, Kind, Undo)>,
        began: Instant,
    ) where
        'c: 's,
    {
        let step = *step;
        let from = Duration::from_micros(self.shared.now());
        if step.kind == Kind::Switchover {
            // It answers when it is done, and the other faults do not wait for it.
            scope.spawn(move || {
                let (whom, _, effect) = self.switchover();
                self.note(Done { kind: step.kind, whom, from, effect });
            });
            return;
        }
        let (whom, back, effect) = self.struck(&step);
        self.note(Done { kind: step.kind, whom, from, effect });
        undo.push((began.elapsed() + step.lasts, step.kind, back));
    }

    /// A panic on the way is no effect.
    fn struck(&self, step: &Step) -> Begun {
        catch_unwind(AssertUnwindSafe(|| self.strike(step))).unwrap_or_else(|panic| {
            (String::new(), Undo::Nothing, Err(panic_words(panic.as_ref())))
        })
    }

    fn strike(&self, step: &Step) -> Begun {
        let node = self.whom(step.whose);
        match step.kind {
            Kind::KillAgent
            | Kind::KillGuard
            | Kind::KillPostmaster
            | Kind::KillBackend
            | Kind::KillEtcd => self.kill(step.kind, node, step.chance),
            Kind::StopAgent
            | Kind::StopGuard
            | Kind::StopBoth
            | Kind::StopPostmaster
            | Kind::StopBackend
            | Kind::StopEtcd => self.freeze(step.kind, node, step.chance),
            Kind::StopReceivers => self.freeze_receivers(),
            Kind::CutOneWay | Kind::Cut => self.cut(step.kind, node, step.chance),
            Kind::Isolate | Kind::IsolateOneWay => self.isolate(step.kind, node),
            Kind::HostLoss => self.lose_host(node),
            Kind::SlowLink => self.slow_link(node, step.chance),
            Kind::FullDisk | Kind::StalledDisk => self.disk(step.kind, node, step.chance),
            Kind::Switchover => self.switchover(),
        }
    }

    /// The primary is who made the last acknowledged write.
    fn whom(&self, whose: Whose) -> &'c Node {
        let nodes = self.cluster.nodes();
        let primary = self.shared.primary();
        let at = nodes.iter().position(|node| Some(&node.name) == primary.as_ref()).unwrap_or(0);
        let further = match whose {
            Whose::Primary => 0,
            Whose::Other(n) => 1 + usize::try_from(n).unwrap_or(0) % (nodes.len() - 1).max(1),
        };
        &nodes[(at + further) % nodes.len()]
    }

    /// Another machine than that of `node`.
    fn other(&self, node: &Node, chance: u64) -> &'c Node {
        let nodes = self.cluster.nodes();
        let at = nodes.iter().position(|each| each.name == node.name).unwrap_or(0);
        let others = (nodes.len() - 1).max(1) as u64;
        &nodes[(at + 1 + usize::try_from(chance % others).unwrap_or(0)) % nodes.len()]
    }

    fn note(&self, done: Done) {
        let effect = done
            .effect
            .as_ref()
            .map_or_else(|why| format!("no effect: {why}"), |()| String::from("took effect"));
        tell(&format!("{:7.1} s  {} {}: {effect}", done.from.as_secs_f64(), done.kind, done.whom));
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    }

    /// Every fault that was tried, in the order of their ends.
    pub fn done(&self) -> Vec<Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// So often a kind of fault that had no effect comes again.
const TRIES_AGAIN_MAX: u64 = 5;
/// Each time the cluster gets this long to be whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(150);

/// Between two looks at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(50);

fn undo_due(nemesis: &Nemesis<'_>, undo: &mut Vec<(Duration, Kind, Undo)>, now: Duration) {
    let mut at = 0;
    while at < undo.len() {
        if undo[at].0 <= now {
            let (_, kind, back) = undo.swap_remove(at);
            let undone = catch_unwind(AssertUnwindSafe(|| nemesis.undo(back)));
            if let Err(panic) = undone {
                tell(&format!("{kind} could not be undone: {}", panic_words(panic.as_ref())));
            }
        } else {
            at += 1;
        }
    }
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    text.lines().next().unwrap_or_default().to_owned()
}

/// Tries and hits by kind, also of those that were planned and never tried.
pub fn counts(plan: &Plan, done: &[Done]) -> Counts {
    let mut counts = Counts::new();
    for step in &plan.steps {
        counts.entry(step.kind.word().to_owned()).or_default();
    }
    for one in done {
        let count = counts.entry(one.kind.word().to_owned()).or_default();
        count.0 += 1;
        count.1 += usize::from(one.effect.is_ok());
    }
    counts
}

/// One line for who watches.
#[expect(clippy::print_stderr, reason = "a program for the screen")]
pub fn tell(text: &str) {
    eprintln!("{text}");
}
