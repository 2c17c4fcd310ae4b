//! The archive of a node: while its server is the primary, WAL goes from there into the repository.
//!
//! ```text
//!   agent ── Topology: leads? closing? ──► while_leading ── ship::keep ──► repository
//!          ── the file in force ─────────►      │
//!   problems, /metrics ◄──── Shipped ───────────┘
//! ```
//! And on every node, whatever its server is, what the schedule wants ([`scheduler`]).
//!
//! A thread of its own: what hangs in a storage delays neither the lease nor a client. A primary that
//! is about to be shut down is let go of at once: PostgreSQL waits for whoever holds a stream and
//! has not confirmed all of it.

mod behind;
pub mod door;
pub mod drill;
pub mod green;
pub mod lease;
pub mod lineages;
pub mod making;
pub mod metrics;
pub mod open;
pub mod opens;
pub mod progress;
pub mod remembered;
mod scheduler;
pub mod seen;
mod socket;
pub mod words;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use howdah_agent::{Channels, FileInForce, unix_ms};
use howdah_archive::ship::{self, Shipped, Source};
use howdah_base::NodeName;
use howdah_base::backups::Archived;
use howdah_base::topology::Topology;
use howdah_postgres::replication::Client;
use howdah_repo::name::Gap;
use howdah_repo::{Lineage, Repository};
use howdah_spec::ClusterSpec;
use howdah_spec::backup::{BackupSpec, Cipher};
use howdah_store::Store;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use behind::Behind;
use open::Owner;
use remembered::Remembered;
use scheduler::Scheduler;
use seen::Seen;

/// As `pg_stat_replication` shows it.
const APPLICATION: &str = "howdah archive";
const AGAIN_MIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(30);
const TELL_EVERY: Duration = Duration::from_secs(1);
/// What is under way is ended within this when the node ends.
const ENDS_WITHIN: Duration = Duration::from_secs(3);
const LOOK_FOR_GAPS_EVERY: Duration = Duration::from_secs(60);

/// What an archive is made of.
#[derive(Debug)]
pub struct ArchiveConfig {
    pub node: NodeName,
    /// Tells this cluster from others of its name.
    pub identity: String,
    /// Where it is written down which repository is the cluster's.
    pub store: Arc<dyn Store>,
    /// Where secrets lie that Howdah makes up.
    pub secrets: PathBuf,
    pub told: Told,
    /// What the status says of it.
    pub problems: watch::Sender<Vec<String>>,
}

/// What the status and `/metrics` read.
#[derive(Clone, Debug)]
pub struct Told {
    pub shipped: watch::Sender<Shipped>,
    /// What the other nodes hear of that.
    pub archived: watch::Sender<Option<Archived>>,
    pub seen: watch::Sender<Option<Arc<Seen>>>,
}

impl Told {
    pub fn new() -> Told {
        Told {
            shipped: watch::Sender::new(Shipped::default()),
            archived: watch::Sender::new(None),
            seen: watch::Sender::new(None),
        }
    }
}

impl Told {
    /// For `/metrics`.
    pub fn metrics(&self) -> String {
        let now = unix_ms();
        let since = self.archived.borrow().and_then(|archived| archived.since_unix_ms);
        let late = since.map_or(0, |since| now.saturating_sub(since));
        let shipped = metrics::page(&self.shipped.borrow(), late);
        let seen = self.seen.borrow().clone();
        shipped + &seen.map(|seen| metrics::backups(&seen, now)).unwrap_or_default()
    }
}

/// The thread, for who ends it.
#[derive(Debug)]
pub struct Archiving {
    ending: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
}

impl Archiving {
    /// What is under way is given up; whoever comes next need not find that out.
    pub fn stopper(&self) -> watch::Sender<bool> {
        self.ending.clone()
    }

    pub async fn end(mut self) {
        self.ending.send_replace(true);
        let _ = timeout(ENDS_WITHIN, self.ended.wait_for(|ended| *ended)).await;
    }
}

/// Follows the agent until it is ended.
pub fn start(config: ArchiveConfig, channels: &Channels) -> anyhow::Result<Archiving> {
    let (ending, to_end) = watch::channel(false);
    let (has_ended, ended) = watch::channel(false);
    let (node, identity) = (config.node.clone(), config.identity.clone());
    let scheduler = Scheduler::new(node, identity, channels, config.told.seen.clone(), to_end);
    let archive = Archive {
        config,
        topology: channels.topology.clone(),
        spec: channels.spec.clone(),
        file: channels.file.clone(),
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().context("start the archive's thread")?;
    let thread = std::thread::Builder::new().name("archiving".to_owned());
    let (node, identity) = (archive.config.node.clone(), archive.config.identity.clone());
    let shipped = archive.config.told.shipped.subscribe();
    let socket = socket::serve(node, identity, archive.spec.clone(), shipped);
    let all = async move {
        let scheduled = async {
            scheduler.run().await;
            has_ended.send_replace(true);
        };
        tokio::join!(archive.run(), scheduled, socket);
    };
    thread.spawn(move || runtime.block_on(all)).context("start the archive's thread")?;
    Ok(Archiving { ending, ended })
}

struct Archive {
    config: ArchiveConfig,
    topology: watch::Receiver<Topology>,
    spec: watch::Receiver<Arc<ClusterSpec>>,
    file: watch::Receiver<Option<FileInForce>>,
}

/// Whether WAL is written here that nobody else ships.
fn leads(topology: &Topology) -> bool {
    topology.local.writable.is_some() && !topology.local.closing
}

impl Archive {
    async fn run(mut self) {
        loop {
            let backup = self.spec.borrow_and_update().backup.clone();
            let mut topology = self.topology.clone();
            let Some(backup) = backup else {
                self.config.problems.send_replace(Vec::new());
                let mut spec = self.spec.clone();
                let given_up = async {
                    self.give_slot_up(&mut topology).await;
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = given_up => {}
                    wanted = spec.wait_for(|spec| spec.backup.is_some()) => {
                        if wanted.is_err() {
                            return;
                        }
                    }
                }
                continue;
            };
            if topology.wait_for(leads).await.is_err() {
                return;
            }
            let mut spec = self.spec.clone();
            let changed = async {
                let other = |spec: &Arc<ClusterSpec>| spec.backup.as_ref() != Some(&backup);
                spec.wait_for(other).await.is_err()
            };
            tokio::select! {
                () = self.while_leading(&backup) => {}
                gone = topology.wait_for(|topology| !leads(topology)) => if gone.is_err() { return },
                gone = changed => if gone { return },
            }
            self.config.told.shipped.send_replace(Shipped::default());
            self.config.told.archived.send_replace(None);
        }
    }

    /// Without `[backup]` the slot would keep WAL that nobody fetches; the standbys' copies follow.
    async fn give_slot_up(&self, topology: &mut watch::Receiver<Topology>) {
        if topology.wait_for(leads).await.is_err() {
            return;
        }
        let source = self.source();
        let dropped = async {
            let mut client = Client::connect(&source.socket_dir, source.port, APPLICATION).await?;
            client.drop_slot(ship::SLOT).await
        };
        if let Err(error) = dropped.await {
            tracing::warn!("the slot `{}` may hold WAL that nobody fetches: {error}", ship::SLOT);
        }
    }

    /// Never ends by itself.
    async fn while_leading(&self, backup: &BackupSpec) {
        let mut again = AGAIN_MIN;
        loop {
            if let Err(error) = self.ship(backup).await {
                let text = format!("{error:#}");
                tracing::warn!("the repository cannot be used: {text}");
                self.tell(backup, Some(format!("WAL does not reach the repository: {text}")));
            }
            sleep(again).await;
            again = (again * 2).min(AGAIN_MAX);
        }
    }

    async fn ship(&self, backup: &BackupSpec) -> anyhow::Result<()> {
        let now = i64::try_from(unix_ms()).unwrap_or(i64::MAX);
        let repository = self.repository(backup, now).await?;
        let source = self.source();
        let mut client = Client::connect(&source.socket_dir, source.port, APPLICATION).await?;
        let system_identifier = client.identify().await?.system_identifier;
        let segment_bytes = u32::try_from(client.segment_size().await?)?;
        drop(client);
        let cluster = owner(&self.spec.borrow(), &self.config.identity);
        let owner = Owner { cluster, system_identifier, segment_bytes };
        let lineage = open::lineage(&repository, &owner, now).await?;
        self.tell(backup, None);
        let mut file = self.file.clone();
        let keep_file = async {
            loop {
                let text = file.borrow_and_update().as_ref().map(|file| file.config.text.clone());
                if let Some(text) = text
                    && let Err(error) = lineage.put_cluster_file(&text).await
                {
                    tracing::warn!("the repository has no copy of the cluster file: {error}");
                }
                if file.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = ship::keep(&lineage, &source, &self.config.told.shipped) => {}
            _ = async { tokio::join!(keep_file, self.watch(&lineage, backup), self.tell_others()) } => {}
        }
        Ok(())
    }

    /// The cluster's own, made where it never had one in this place.
    async fn repository(&self, backup: &BackupSpec, now: i64) -> anyhow::Result<Repository> {
        let place = remembered::place(backup);
        let seen =
            remembered::read(&self.config.store).await.context("read the cluster's record")?;
        let expected = remembered::expected(seen.as_ref().map(|(last, _)| last), &place);
        let repository = match &expected {
            None => open::open_or_make(backup, &self.config.secrets, now).await?,
            Some(id) => match open::open_there(backup).await? {
                None => return Err(remembered::gone(&place, id).into()),
                Some(found) if found.id() != id => {
                    return Err(remembered::other(&place, id, found.id()).into());
                }
                Some(repository) => repository,
            },
        };
        let found = Remembered { place, id: repository.id().to_owned() };
        let written = remembered::write(&self.config.store, seen.as_ref(), found).await;
        written.context("note the repository in the cluster's record")?;
        Ok(repository)
    }

    /// How far the repository is behind, once a second at most.
    async fn tell_others(&self) {
        let mut shipped = self.config.told.shipped.subscribe();
        let mut behind = Behind::default();
        loop {
            let now = behind.note(&shipped.borrow_and_update(), unix_ms());
            self.config.told.archived.send_replace(Some(now));
            if shipped.changed().await.is_err() {
                return;
            }
            sleep(TELL_EVERY).await;
        }
    }

    /// Tells what holds WAL up, and what is lost, while it is so.
    async fn watch(&self, lineage: &Lineage, backup: &BackupSpec) {
        let mut shipped = self.config.told.shipped.subscribe();
        let (found, mut gap) = watch::channel(None);
        let look = async {
            loop {
                if let Ok(open) = ship::open_gap(lineage).await {
                    found.send_if_modified(|known| std::mem::replace(known, open) != open);
                }
                sleep(LOOK_FOR_GAPS_EVERY).await;
            }
        };
        let tell = async {
            loop {
                let trouble = shipped.borrow_and_update().trouble.clone();
                let held_up =
                    trouble.map(|(why, _)| format!("WAL does not reach the repository: {why}"));
                let missing = gap.borrow_and_update().map(missing);
                self.tell(backup, held_up.into_iter().chain(missing));
                tokio::select! {
                    changed = shipped.changed() => if changed.is_err() { return },
                    changed = gap.changed() => if changed.is_err() { return },
                }
            }
        };
        tokio::select! { () = look => {} () = tell => {} }
    }

    fn source(&self) -> Source {
        let spec = self.spec.borrow();
        let own = &spec.nodes[&self.config.node];
        Source { socket_dir: own.state_dir.join("run"), port: own.postgres_port }
    }

    /// What the status says, where it has changed.
    fn tell(&self, backup: &BackupSpec, trouble: impl IntoIterator<Item = String>) {
        let plain = (backup.cipher == Cipher::None).then(|| {
            "the repository is not sealed: whoever reads it reads the data (`[backup]` cipher)"
                .to_owned()
        });
        let next: Vec<String> = plain.into_iter().chain(trouble).collect();
        self.config.problems.send_if_modified(|told| {
            let changed = *told != next;
            *told = next;
            changed
        });
    }
}

fn missing(gap: Gap) -> String {
    let Gap { timeline, from, to } = gap;
    format!(
        "WAL from {from} to {to} on timeline {timeline} is missing in the repository, and no backup has \
         begun since: howdah backup"
    )
}

/// How the repository calls this cluster.
pub fn owner(spec: &ClusterSpec, identity: &str) -> String {
    format!("{}-{identity}", spec.cluster)
}
