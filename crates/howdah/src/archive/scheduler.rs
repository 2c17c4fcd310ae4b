//! The schedule of a node: what is due is done by whoever gets the repository's lease for it.
//!
//! ```text
//! history (repository) ─► due? ─► is it this node's turn? ─► lease ─► history once more ─► begun
//!        ▲                        standbys at once,                                        │
//!        │                        the primary after a while                                ▼
//!        └──────────────────────────── ended ◄──────────────────────────── work: a process of its own
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use howdah_agent::Channels;
use howdah_api::when;
use howdah_archive::schedule::book::Book;
use howdah_archive::schedule::due::{self, Wanted};
use howdah_archive::schedule::{Outcome, Task};
use howdah_base::NodeName;
use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus};
use howdah_base::topology::Topology;
use howdah_repo::runs::{Begun, Ended};
use howdah_repo::{Lineage, RepoError};
use howdah_spec::backup::BackupSpec;
use howdah_spec::{ClusterSpec, NodeKind, SecretRef};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::lease::{Right, now_ms};
use super::seen::{Seen, name};
use super::work::{self, Came, Stop};
use super::{open, owner};

/// While nothing is due the repository is looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// While something is due that another node is to do, and while one has the lease.
const LOOK_WHILE_DUE: Duration = Duration::from_secs(5);
const LOOK_WHILE_BUSY: Duration = Duration::from_secs(15);
/// Before there is a lineage.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_AFTER_TROUBLE: Duration = Duration::from_secs(20);
/// So long the primary leaves to standbys what is due, where the file has any.
const PRIMARY_WAITS: Duration = Duration::from_secs(60);
/// So long a node on which it did not come off leaves it to others.
const UNLUCKY_WAITS: Duration = Duration::from_secs(20);
/// A standby that is further behind, bytes, has other work.
const LAG_MAX: u64 = 256 << 20;
/// A server may be away for a moment while its role changes.
const ROLE_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
pub struct Scheduler {
    pub node: NodeName,
    pub identity: String,
    pub topology: watch::Receiver<Topology>,
    pub status: watch::Receiver<Option<Arc<ClusterStatus>>>,
    pub spec: watch::Receiver<Arc<ClusterSpec>>,
    pub seen: watch::Sender<Option<Arc<Seen>>>,
    /// The node is about to end.
    pub ending: watch::Receiver<bool>,
}

/// What this node's server is to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Primary,
    Standby,
}

/// Something that is due, since when this node knows.
#[derive(Clone, Copy, Debug)]
struct Noticed {
    task: Task,
    due: u64,
    at: Instant,
}

impl Scheduler {
    pub fn new(
        node: NodeName,
        identity: String,
        channels: &Channels,
        seen: watch::Sender<Option<Arc<Seen>>>,
        ending: watch::Receiver<bool>,
    ) -> Scheduler {
        let (topology, status) = (channels.topology.clone(), channels.status.clone());
        Scheduler { node, identity, topology, status, spec: channels.spec.clone(), seen, ending }
    }

    /// Until the node ends.
    pub async fn run(self) {
        let mut spec = self.spec.clone();
        loop {
            let Some(backup) = spec.borrow_and_update().backup.clone() else {
                self.seen.send_replace(None);
                if spec.wait_for(|spec| spec.backup.is_some()).await.is_err() {
                    return;
                }
                continue;
            };
            self.keep(&backup).await;
            if *self.ending.borrow() || spec.has_changed().is_err() {
                return;
            }
        }
    }

    /// Until the file says something else of backups, or the node ends.
    async fn keep(&self, backup: &BackupSpec) {
        let mut book = Book::default();
        let mut lineage = None;
        let mut noticed = None;
        let mut trouble = String::new();
        loop {
            let wait = match self.turn(backup, &mut lineage, &mut book, &mut noticed).await {
                Ok(wait) => {
                    trouble.clear();
                    wait
                }
                Err(error) => {
                    let text = format!("{error:#}");
                    if trouble != text {
                        tracing::warn!("the schedule cannot look into the repository: {text}");
                        trouble.clone_from(&text);
                    }
                    self.tell_trouble(backup, text);
                    lineage = None;
                    AGAIN_AFTER_TROUBLE
                }
            };
            let mut spec = self.spec.clone();
            let mut ending = self.ending.clone();
            let other = |spec: &Arc<ClusterSpec>| spec.backup.as_ref() != Some(backup);
            tokio::select! {
                () = sleep(wait) => {}
                _ = spec.wait_for(other) => return,
                _ = ending.wait_for(|ending| *ending) => return,
            }
        }
    }

    /// Looks, and does what is due; how long there is nothing to do then.
    async fn turn(
        &self,
        backup: &BackupSpec,
        lineage: &mut Option<Lineage>,
        book: &mut Book,
        noticed: &mut Option<Noticed>,
    ) -> anyhow::Result<Duration> {
        if lineage.is_none() {
            *lineage = self.lineage(backup).await?;
            *book = Book::default();
        }
        let Some(lineage) = lineage else { return Ok(AGAIN) };
        still_has_key(backup).await?;
        book.read(lineage).await?;
        self.tell(backup, book);
        let now = now();
        let next = self.next(backup, book, now);
        let Some(wanted) = next.filter(|wanted| wanted.at <= now) else {
            *noticed = None;
            let later = next.map_or(LOOK_EVERY, |wanted| Duration::from_millis(wanted.at - now));
            return Ok(later.min(LOOK_EVERY));
        };
        let known = noticed.filter(|known| (known.task, known.due) == (wanted.task, wanted.due));
        let new = Noticed { task: wanted.task, due: wanted.due, at: Instant::now() };
        let first = noticed.insert(known.unwrap_or(new)).at;
        let Some(wait) = self.patience(book, wanted, first) else { return Ok(LOOK_WHILE_DUE) };
        if wait > Duration::ZERO {
            return Ok(wait.min(LOOK_WHILE_DUE));
        }
        if self.attempt(backup, lineage, book).await? {
            return Ok(Duration::ZERO);
        }
        // Whoever is at it may not come to its end: then a standby is preferred once more.
        *noticed = Some(new);
        Ok(LOOK_WHILE_BUSY)
    }

    fn next(&self, backup: &BackupSpec, book: &Book, now: u64) -> Option<Wanted> {
        due::next(&backup.schedule, &book.history(), now)
    }

    /// `None`: there is none yet.
    async fn lineage(&self, backup: &BackupSpec) -> anyhow::Result<Option<Lineage>> {
        let storage = open::storage(backup)?;
        if howdah_repo::Repository::is_absent(&storage).await? {
            return Ok(None);
        }
        let repository = open::open(backup).await?;
        let cluster = owner(&self.spec.borrow(), &self.identity);
        for id in repository.lineages().await? {
            let lineage = repository.lineage(id);
            let about = match lineage.about().await {
                Err(error) if error.is_absent() => continue,
                about => about?,
            };
            if about.cluster == cluster {
                return Ok(Some(lineage));
            }
        }
        Ok(None)
    }

    fn tell(&self, backup: &BackupSpec, book: &Book) {
        self.seen.send_replace(Some(Arc::new(Seen::of(book, &backup.schedule, now()))));
    }

    /// What was seen stays, as old as it is.
    fn tell_trouble(&self, backup: &BackupSpec, why: String) {
        let last = self.seen.borrow().clone();
        let last = last.map_or_else(|| Seen::nothing(&backup.schedule), Arc::unwrap_or_clone);
        let trouble = Some(why.replace('\n', "; "));
        self.seen.send_replace(Some(Arc::new(Seen { trouble, ..last })));
    }

    /// How long this node still leaves to others what is due; `None`: it is in no state to do it.
    fn patience(&self, book: &Book, wanted: Wanted, first: Instant) -> Option<Duration> {
        let status = self.status.borrow().clone()?;
        let own = status.nodes.iter().find(|node| node.node == self.node)?;
        let role = role_of(own).filter(|_| !self.topology.borrow().local.closing)?;
        let history = book.history();
        let last = history.runs.iter().rfind(|run| run.task == wanted.task && run.end.is_some());
        let unlucky = last.filter(|run| run.begun >= wanted.due && run.node == self.node.as_str());
        let since_end = unlucky
            .and_then(|run| run.end.as_ref())
            .map(|end| Duration::from_millis(now().saturating_sub(end.at)));
        Some(match role {
            _ if self.is_alone() => Duration::ZERO,
            // It begins with a row on the primary, over its server's socket.
            Role::Primary if wanted.task == Task::Drill => Duration::ZERO,
            Role::Standby if wanted.task == Task::Drill => return None,
            Role::Primary => PRIMARY_WAITS.saturating_sub(first.elapsed()),
            Role::Standby => {
                since_end.map_or(Duration::ZERO, |ago| UNLUCKY_WAITS.saturating_sub(ago))
            }
        })
    }

    /// Whether the file has no other node with a server.
    fn is_alone(&self) -> bool {
        let spec = self.spec.borrow();
        let mut others = spec.nodes.iter().filter(|(name, _)| **name != self.node);
        others.all(|(_, node)| node.kind != NodeKind::Data)
    }

    /// Does what is due if the lease is to be had. Whether something was done.
    async fn attempt(
        &self,
        backup: &BackupSpec,
        lineage: &Lineage,
        book: &mut Book,
    ) -> anyhow::Result<bool> {
        let since = when::rfc3339(now());
        let holder = format!("the schedule of node {}, since {since}", self.node);
        let Some(mut right) = Right::take(lineage.repository(), holder).await? else {
            return Ok(false);
        };
        let done = self.with_right(backup, lineage, book, &mut right).await;
        right.release().await;
        if let Err(RepoError::Taken { .. }) = done {
            return Ok(false);
        }
        self.tell(backup, book);
        Ok(done?)
    }

    async fn with_right(
        &self,
        backup: &BackupSpec,
        lineage: &Lineage,
        book: &mut Book,
        right: &mut Right,
    ) -> Result<bool, RepoError> {
        // Others may have been quicker, and some may have gone away in the middle.
        book.read(lineage).await?;
        book.end_lost(lineage, now_ms()).await?;
        let now = now();
        let Some(wanted) = self.next(backup, book, now).filter(|wanted| wanted.at <= now) else {
            return Ok(false);
        };
        let begun = Begun {
            task: wanted.task.word().to_owned(),
            node: self.node.to_string(),
            begun_ms: now_ms(),
            due_ms: i64::try_from(wanted.due).unwrap_or(i64::MAX),
        };
        let number = book.begin(lineage, begun).await?;
        self.tell(backup, book);
        tracing::info!("{} begins, run {number} of the schedule", name(wanted.task));
        let came = self.carry_out(backup, wanted.task, right).await;
        let ended = ended(&came);
        match came.outcome {
            Outcome::Done => tracing::info!("{} is done", name(wanted.task)),
            other => tracing::warn!("{} {}: {}", name(wanted.task), other.word(), came.why),
        }
        book.end(lineage, number, ended).await?;
        book.tidy(lineage).await?;
        book.read(lineage).await?;
        Ok(true)
    }

    async fn carry_out(&self, backup: &BackupSpec, task: Task, right: &mut Right) -> Came {
        let spec = self.spec.borrow().clone();
        let file = match in_force(&spec, &self.node) {
            Ok(file) => file,
            Err(error) => {
                let why = format!("the cluster file cannot be handed on: {error}");
                return Came { outcome: Outcome::Failed, why, report: Value::Null };
            }
        };
        let holder = right.holder().to_owned();
        let at_most = backup.schedule.at_most;
        let stop = async {
            tokio::select! {
                why = self.has_to_stop() => Stop { outcome: Outcome::Interrupted, why },
                why = right.keep() => Stop { outcome: Outcome::Interrupted, why },
                () = sleep(at_most.0) => Stop {
                    outcome: Outcome::Failed,
                    why: format!("it was not done within {at_most} (`backup.schedule.at_most`)"),
                },
            }
        };
        work::run(task, &self.node, &file, &holder, stop).await
    }

    /// This node has something else to do.
    async fn has_to_stop(&self) -> String {
        let (mut ending, mut topology) = (self.ending.clone(), self.topology.clone());
        let begun = role_here(&topology.borrow_and_update());
        let other = |topology: &Topology| {
            topology.local.closing || role_here(topology) != begun && role_here(topology).is_some()
        };
        let gone = async {
            let mut topology = self.topology.clone();
            loop {
                let _ = topology.wait_for(|topology| role_here(topology).is_none()).await;
                tokio::select! {
                    () = sleep(ROLE_WITHIN) => return,
                    _ = topology.wait_for(|topology| role_here(topology).is_some()) => {}
                }
            }
        };
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => "its node was stopped".to_owned(),
            _ = topology.wait_for(other) => "the role of its server changes".to_owned(),
            () = gone => "its server is down".to_owned(),
        }
    }
}

/// A file that has the repository's key may go, or become another one, long after it was read: then nobody
/// could restore on this node. (A command is not run again for that, and an environment does not change.)
async fn still_has_key(backup: &BackupSpec) -> anyhow::Result<()> {
    if let Some(SecretRef::File(_)) = &backup.key {
        open::open(backup).await?;
    }
    Ok(())
}

fn role_of(node: &NodeStatus) -> Option<Role> {
    match node.state {
        ServerState::Primary => Some(Role::Primary),
        ServerState::Streaming => {
            node.lag_bytes.is_none_or(|lag| lag <= LAG_MAX).then_some(Role::Standby)
        }
        _ => None,
    }
}

fn role_here(topology: &Topology) -> Option<Role> {
    let standby = topology.local.readable.then_some(Role::Standby);
    topology.local.writable.map(|_| Role::Primary).or(standby)
}

/// The cluster file in force, for a process of this node; it may have been applied elsewhere.
pub(super) fn in_force(spec: &ClusterSpec, node: &NodeName) -> std::io::Result<PathBuf> {
    let path = spec.nodes[node].state_dir.join("backup.toml");
    let new = path.with_extension("toml.new");
    std::fs::write(&new, howdah_spec::to_toml(spec))?;
    std::fs::rename(&new, &path)?;
    Ok(path)
}

/// What a verb's report says of it, where it says anything.
fn ended(came: &Came) -> Ended {
    let report = &came.report;
    let backup = &report["backup"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    // A backup tells all of itself, a drill the label of what it restored.
    let label = text(&backup["label"]).or_else(|| text(backup));
    let number = |key: &str| report["drilled"][key].as_u64();
    Ended {
        ended_ms: now_ms(),
        outcome: came.outcome.word().to_owned(),
        why: came.why.clone(),
        label,
        bytes: backup["statistics"]["stored"].as_u64().or_else(|| number("bytes")),
        rpo_ms: number("rpo_ms"),
        rto_ms: number("rto_ms"),
    }
}

fn now() -> u64 {
    u64::try_from(now_ms()).unwrap_or(0)
}
