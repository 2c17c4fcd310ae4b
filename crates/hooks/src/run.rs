//! The loop that joins the core to attempts, the journal and the virtual IP.
//!
//! ```text
//! something is seen, an attempt has ended, a pause is over
//!   └► core: kills, carried out at once ─► the virtual IP has settled (bounded)
//!        ─► journal (bounded) ─► attempts begin
//! ```

use std::collections::HashMap;
use std::time::Duration;

use howdah_base::Tick;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::HooksConfig;
use crate::action::{self, Marks};
use crate::calls::{Attempt, Core, Ended, Outcome, Step, Why};
use crate::clock;
use crate::journal::Journal;
use crate::seen::Seen;
use crate::vip::Holder;

/// Attempts whose end waits to be taken in. Each hook has one at most.
const ENDS_MAX: usize = 64;
/// A picture that changes with each look is looked at so often; then the loop takes in what else
/// has happened.
const LOOKS_MAX: u32 = 8;
/// After being killed, an attempt has so long to say that it has ended.
const KILLED_WITHIN: Duration = Duration::from_secs(4);

/// An attempt's end.
struct End {
    hook: String,
    id: String,
    outcome: Outcome,
    took: Duration,
}

pub(crate) struct Run {
    config: HooksConfig,
    seen: watch::Receiver<Seen>,
    /// Nobody publishes what is seen any more.
    blind: bool,
    core: Core,
    journal: Journal,
    vip: Option<Holder>,
    /// By hook: what ends its attempt.
    running: HashMap<String, oneshot::Sender<()>>,
    end: mpsc::Sender<End>,
    ended: mpsc::Receiver<End>,
    problems: watch::Sender<Vec<String>>,
}

/// What the loop wakes up for.
enum Event {
    Seen,
    Ended(End),
    Vip,
    Due,
    /// Stop, after at most this long.
    Stop(Duration),
}

impl Run {
    /// The virtual IP is kept from the first moment, also while the journal's disk hangs.
    pub async fn new(
        config: HooksConfig,
        seen: watch::Receiver<Seen>,
        problems: watch::Sender<Vec<String>>,
    ) -> Option<Run> {
        let vip = config.vip.clone();
        let vip = vip.map(|vip| Holder::start(vip.socket, vip.spec, seen.clone()));
        let state_dir = config.state_dir.clone();
        let open = move || Journal::open(&state_dir, clock::unix_seconds());
        let (journal, kept) = tokio::task::spawn_blocking(open).await.ok()?;
        let core = Core::new(config.hooks.clone(), kept);
        let (end, ended) = mpsc::channel(ENDS_MAX);
        let (running, blind) = (HashMap::new(), false);
        Some(Run { config, seen, blind, core, journal, vip, running, end, ended, problems })
    }

    /// Until it is told to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<Option<Duration>>) {
        self.end_what_is_left().await;
        loop {
            self.turn().await;
            match self.wait(&mut stop).await {
                Event::Ended(end) => self.take(end),
                Event::Stop(patience) => return self.stop(patience).await,
                Event::Seen | Event::Vip | Event::Due => {}
            }
        }
    }

    /// An agent that was killed leaves its hooks running: they are ended before they are repeated.
    async fn end_what_is_left(&self) {
        for (hook, queue) in &self.core.kept().open {
            for id in queue.ids() {
                action::end_marked(Marks::new(hook, id)).await;
            }
        }
    }

    async fn wait(&mut self, stop: &mut watch::Receiver<Option<Duration>>) -> Event {
        let now = clock::now();
        let due = self.core.wake_at(now).into_iter().chain(self.journal.again_at(now)).min();
        let vip = async {
            match &mut self.vip {
                Some(vip) => vip.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            patience = stop.wait_for(Option::is_some) => {
                Event::Stop(patience.ok().and_then(|patience| *patience).unwrap_or_default())
            }
            changed = self.seen.changed(), if !self.blind => {
                // The agent has ended; what it asked for last may go on until the node stops.
                self.blind = changed.is_err();
                Event::Seen
            }
            Some(end) = self.ended.recv() => Event::Ended(end),
            () = vip => Event::Vip,
            () = until(due, now) => Event::Due,
        }
    }

    /// What has waited for the address and the disk is begun only if it still holds then.
    async fn turn(&mut self) {
        for _ in 0..LOOKS_MAX {
            let seen = self.seen.borrow_and_update().clone();
            for (hook, step) in self.core.see(&seen, clock::now()) {
                self.carry_out(&hook, step);
            }
            if let Some(vip) = &self.vip
                && self.core.is_due(&seen, clock::now())
            {
                vip.settled(&seen).await;
            }
            self.journal.write(self.core.kept()).await;
            if self.seen.has_changed().unwrap_or(false) {
                continue;
            }
            for attempt in self.core.next(&seen, clock::now()) {
                self.begin(attempt);
            }
            break;
        }
        self.publish();
    }

    fn carry_out(&mut self, hook: &str, step: Step) {
        match step {
            Step::Kill { id, why } => {
                let why = words(why);
                tracing::info!(hook, id, "ended before its time: {why}");
                if let Some(kill) = self.running.remove(hook) {
                    let _ = kill.send(());
                }
            }
            Step::Dropped { id, why } => {
                let why = words(why);
                tracing::info!(hook, id, "not called any more: {why}");
            }
        }
    }

    fn begin(&mut self, attempt: Attempt) {
        let Some(spec) = self.core.spec(&attempt.hook).cloned() else { return };
        let (kill, killed) = oneshot::channel();
        let (hook, id) = (attempt.hook.clone(), attempt.firing.id.clone());
        let of = spec.attempts;
        tracing::info!(hook, id, "called, attempt {} of {of}", attempt.number);
        self.running.insert(hook.clone(), kill);
        let (ca_file, end) = (self.config.ca_file.clone(), self.end.clone());
        tokio::spawn(async move {
            let begun = clock::now();
            let outcome = action::attempt(spec, attempt, ca_file, killed).await;
            let took = clock::now().since(begun);
            let _ = end.send(End { hook, id, outcome, took }).await;
        });
    }

    fn take(&mut self, end: End) {
        let End { hook, id, outcome, took } = end;
        self.running.remove(&hook);
        let ended = self.core.ended(&hook, &id, &outcome, clock::now());
        let why = match &outcome {
            Outcome::Failed(why) => why.as_str(),
            Outcome::Succeeded | Outcome::Killed => "",
        };
        let ms = took.as_millis();
        match ended {
            Some(Ended::Done) => tracing::info!(hook, id, "succeeded in {ms} ms"),
            Some(Ended::Again { after }) => {
                tracing::warn!(hook, id, "failed after {ms} ms, again in {after:?}: {why}");
            }
            Some(Ended::GaveUp { attempts }) => {
                tracing::error!(hook, id, "failed {attempts} times, given up: {why}");
            }
            Some(Ended::Halted) => {
                tracing::info!(hook, id, "ended after {ms} ms, called again when it holds: {why}");
            }
            Some(Ended::Dropped) | None => tracing::info!(hook, id, "ended after {ms} ms: {why}"),
        }
    }

    fn publish(&self) {
        let vip = self.vip.as_ref().and_then(Holder::problem);
        let journal = self.journal.problem().map(str::to_owned);
        let problems: Vec<_> = self.core.problems().into_iter().chain(vip).chain(journal).collect();
        self.problems.send_if_modified(|last| {
            let changed = *last != problems;
            *last = problems;
            changed
        });
    }

    /// What the last picture asks for is still done, within `patience`; the rest is killed and
    /// stays in the journal.
    async fn stop(mut self, patience: Duration) {
        let drain = async {
            self.turn().await;
            while !self.core.is_idle() {
                let now = clock::now();
                let due = self.core.wake_at(now);
                if due.is_none() && self.running.is_empty() {
                    return;
                }
                tokio::select! {
                    Some(end) = self.ended.recv() => self.take(end),
                    () = until(due, now) => {}
                }
                self.turn().await;
            }
        };
        let _ = timeout(patience, drain).await;
        for (_, kill) in self.running.drain() {
            let _ = kill.send(());
        }
        // Once the last attempt has ended, there is no other sender.
        self.end = mpsc::channel(1).0;
        let collect = async {
            while let Some(end) = self.ended.recv().await {
                self.take(end);
            }
        };
        let _ = timeout(KILLED_WITHIN, collect).await;
        self.journal.write(self.core.kept()).await;
    }
}

async fn until(due: Option<Tick>, now: Tick) {
    match due {
        Some(due) => sleep(now.until(due)).await,
        None => std::future::pending().await,
    }
}

fn words(why: Why) -> &'static str {
    match why {
        Why::Superseded => "something newer has happened",
        Why::Outdated => "what it says is not so any more",
        Why::Halted => "what it says is not so now",
        Why::TooMany => "too many wait; hint: the hook is slower than what it is told of",
    }
}
