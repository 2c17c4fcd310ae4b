//! All members of etcd: who is asked, and who next when no answer comes.
//!
//! ```text
//!   ask    0 ms ─▶ A (the one that answered last) ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─ ─▶ still welcome
//!        500 ms ──────▶ B, beside it ──▶ answer: B is asked first from now on
//!       1000 ms ───────────▶ C
//!       2000 ms  the bound: an error that says what each of them said
//! ```
//!
//! So a member that hangs costs a quarter of the bound, once; a cluster that is merely slow is
//! still waited for. Only what may be done twice is asked in this way. A write is sent once, to a
//! member that has just answered.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::fault::Fault;
use super::keys;
use super::link::{Link, Member};
use super::options::EtcdOptions;
use crate::StoreError;

#[derive(Debug)]
pub(super) struct Members {
    options: Arc<EtcdOptions>,
    all: Vec<Arc<Member>>,
    /// The number of the one that answered last.
    preferred: watch::Sender<usize>,
}

impl Members {
    pub(super) fn new(options: Arc<EtcdOptions>) -> Members {
        let cluster = Arc::new(OnceLock::new());
        let member = |(number, endpoint): (usize, &String)| {
            let (options, cluster) = (Arc::clone(&options), Arc::clone(&cluster));
            Arc::new(Member::new(number, endpoint, options, cluster))
        };
        let all = options.endpoints.iter().enumerate().map(member).collect();
        Members { options, all, preferred: watch::Sender::new(0) }
    }

    /// Changes when another member becomes the one that is asked first.
    pub(super) fn preferred(&self) -> watch::Receiver<usize> {
        self.preferred.subscribe()
    }

    pub(super) fn member(&self, number: usize) -> &Arc<Member> {
        &self.all[number % self.all.len()]
    }

    /// Another member is asked first, unless that has changed already.
    pub(super) fn leave(&self, number: usize) {
        self.member(number).forget();
        let next = (number + 1) % self.all.len();
        self.preferred.send_if_modified(|preferred| {
            let mine = *preferred == number && next != number;
            *preferred = if mine { next } else { *preferred };
            mine
        });
    }

    /// The first good answer to `question`, which several members may be asked, more than once.
    pub(super) async fn ask<T, F>(&self, question: impl Fn(Arc<Link>) -> F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Fault>> + Send + 'static,
    {
        // The link is there only after a wait, so the question is put together in two steps.
        let deadline = Instant::now() + self.options.timeout;
        let mut round = Round::new(self, deadline);
        loop {
            round.connect_next();
            let wakes_at = round.wakes_at();
            tokio::select! {
                biased;
                Some(linked) = round.linking.join_next() => match linked {
                    Ok((member, Ok(link))) => {
                        let answer = question(link);
                        round.asking.spawn(async move { (member, answer.await) });
                    }
                    Ok((member, Err(fault))) => round.failed(member, fault),
                    Err(_) => {}
                },
                Some(answered) = round.asking.join_next() => match answered {
                    Ok((member, Ok(answer))) => {
                        round.won(member);
                        return Ok(answer);
                    }
                    Ok((member, Err(fault))) => round.failed(member, fault),
                    Err(_) => {}
                },
                () = sleep_until(wakes_at) => {}
            }
            if let Some(error) = round.lost() {
                return Err(error);
            }
        }
    }

    /// A member that has answered within the last moments, for what must not be sent twice.
    /// Waits at most the bound of a call.
    pub(super) async fn awake(&self) -> Result<Arc<Link>, StoreError> {
        let preferred = self.member(*self.preferred.borrow()).present();
        if let Some(link) = preferred.filter(|link| link.silent_for() < AWAKE) {
            return Ok(link);
        }
        let prefix = self.options.prefix.clone();
        let look = |link: Arc<Link>| {
            let prefix = prefix.clone();
            async move { link.get(&prefix, keys::count()).await.map(|_| link) }
        };
        self.ask(look).await
    }

    /// The one answer to `question`, which is sent to one member, once.
    pub(super) async fn tell<T, F>(
        &self,
        link: &Link,
        deadline: Instant,
        question: F,
    ) -> Result<Result<T, Fault>, StoreError>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let fault = match timeout_at(deadline, question).await {
            Ok(Err(fault)) if fault.ends_connection() => fault,
            Ok(answer) => return Ok(answer),
            Err(_) => Fault::away(no_answer(self.options.timeout)),
        };
        self.leave(link.member);
        Err(self.error(&BTreeMap::from([(link.member, fault)])))
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout
    }

    /// What the members said, as one error: hopeless only when every one of those asked is.
    pub(super) fn error(&self, faults: &BTreeMap<usize, Fault>) -> StoreError {
        let said = faults
            .iter()
            .map(|(member, fault)| format!("{}: {}", self.member(*member).endpoint, fault.why()));
        let why = said.collect::<Vec<_>>().join("; ");
        let store = self.options.name();
        let hints: Vec<_> = faults.values().map(hint).collect();
        match hints.first().copied().flatten() {
            Some(hint) if hints.iter().all(Option::is_some) => {
                StoreError::Unusable { store, why, hint }
            }
            _ => StoreError::Unreachable { store, why },
        }
    }
}

fn hint(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Refused { hint, .. } => Some(hint),
        _ => None,
    }
}

fn no_answer(bound: Duration) -> String {
    format!("no answer within {bound:?}")
}

/// One question on its way.
struct Round<'a, T> {
    members: &'a Members,
    deadline: Instant,
    /// Who is asked next, each not before its time.
    waiting: VecDeque<(Instant, usize)>,
    /// When the next one is asked although others have not answered yet.
    next_at: Instant,
    linking: JoinSet<(usize, Result<Arc<Link>, Fault>)>,
    asking: JoinSet<(usize, Result<T, Fault>)>,
    /// Since when each that has not answered has been asked.
    asked: BTreeMap<usize, Instant>,
    faults: BTreeMap<usize, Fault>,
}

impl<'a, T: Send + 'static> Round<'a, T> {
    fn new(members: &'a Members, deadline: Instant) -> Round<'a, T> {
        let now = Instant::now();
        let (first, count) = (*members.preferred.borrow(), members.all.len());
        Round {
            members,
            deadline,
            waiting: (0..count).map(|next| (now, (first + next) % count)).collect(),
            next_at: now,
            linking: JoinSet::new(),
            asking: JoinSet::new(),
            asked: BTreeMap::new(),
            faults: BTreeMap::new(),
        }
    }

    fn connect_next(&mut self) {
        let now = Instant::now();
        if self.next_at > now || self.waiting.front().is_none_or(|(at, _)| *at > now) {
            return;
        }
        let Some((_, number)) = self.waiting.pop_front() else { return };
        self.next_at = now + self.members.options.timeout / TRIES_BESIDE;
        self.asked.insert(number, now);
        let member = Arc::clone(self.members.member(number));
        self.linking.spawn(async move { (number, member.link().await) });
    }

    fn wakes_at(&self) -> Instant {
        let next = self.waiting.front().map(|(at, _)| (*at).max(self.next_at));
        next.map_or(self.deadline, |next| next.min(self.deadline))
    }

    /// It is asked again after all others, and the next one at once.
    fn failed(&mut self, number: usize, fault: Fault) {
        if fault.ends_connection() {
            self.members.member(number).forget();
        }
        self.asked.remove(&number);
        self.faults.insert(number, fault);
        self.next_at = Instant::now();
        self.waiting.push_back((self.next_at + PAUSE, number));
    }

    /// Who had enough time and did not answer is connected to anew when it is needed again.
    fn won(&self, number: usize) {
        self.members.preferred.send_if_modified(|preferred| {
            let changed = *preferred != number;
            *preferred = number;
            changed
        });
        let patience = self.members.options.timeout / TRIES_BESIDE;
        let slow = self.asked.iter().filter(|(n, at)| **n != number && at.elapsed() >= patience);
        slow.for_each(|(number, _)| self.members.member(*number).forget());
    }

    /// The error, once there is no hope: all refuse for good, or the time is over.
    fn lost(&mut self) -> Option<StoreError> {
        let refused = self.faults.values().all(|fault| hint(fault).is_some());
        let all = self.faults.len() == self.members.all.len() && self.asked.is_empty();
        if !(all && refused) && Instant::now() < self.deadline {
            return None;
        }
        for number in self.asked.keys() {
            self.members.member(*number).forget();
            // What it answered before, within this call, says more than that it is asked once more.
            let silent = || Fault::away(no_answer(self.members.options.timeout));
            self.faults.entry(*number).or_insert_with(silent);
        }
        Some(self.members.error(&self.faults))
    }
}

/// The bound of a call is divided into this many starts.
const TRIES_BESIDE: u32 = 4;
/// Before a member that has answered with an error is asked again.
const PAUSE: Duration = Duration::from_millis(100);
/// A connection that answered this recently is taken to be good.
const AWAKE: Duration = Duration::from_millis(300);
