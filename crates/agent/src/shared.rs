//! What the loop and its jobs have in common.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use howdah_base::NodeName;
use howdah_base::record::Config;
use howdah_base::topology::Topology;
use howdah_postgres::conf;
use howdah_postgres::session::Session;
use howdah_spec::ClusterSpec;
use tokio::sync::{Notify, watch};

use crate::attempts::Counts;
use crate::closing::Closing;
use crate::config::AgentConfig;
use crate::disk::Watched;
use crate::guardian::Guardian;

/// Fixed facts, the cluster file in force, and the way to the guard.
#[derive(Debug)]
pub(crate) struct Shared {
    pub config: AgentConfig,
    pub guard: Guardian,
    pub closing: Closing,
    /// Order among writes of the server's configuration.
    pub writes: Writes,
    /// How often this node was mended.
    pub counts: Counts,
    /// What the disks are fit for.
    pub disk: Watched,
    /// What a directory is being made from, and how far that is; empty while none is.
    pub making: watch::Sender<String>,
    /// Order among readings of the data directory.
    pub readings: Writes,
    /// The file's roles and databases have just been made true.
    pub access: Notify,
    /// The cluster file in force; `apply` replaces it.
    spec: watch::Sender<Arc<ClusterSpec>>,
    /// The same with its text, once it has come from the store.
    file: watch::Sender<Option<FileInForce>>,
}

/// The cluster file in force, as text and as values.
#[derive(Clone, Debug)]
pub struct FileInForce {
    pub config: Arc<Config>,
    pub spec: Arc<ClusterSpec>,
}

/// Numbers the writes of one thing, so that a late one is dropped.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    begun: AtomicU64,
    done: Mutex<u64>,
}

impl Writes {
    /// The number of a write that begins now.
    pub fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The turn of write `number`, unless a later one has been done.
    pub fn turn(&self, number: u64) -> Result<MutexGuard<'_, u64>, String> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if *done > number {
            return Err("a later change of the configuration came first".to_owned());
        }
        *done = number;
        Ok(done)
    }
}

impl Shared {
    pub fn new(config: AgentConfig, guard: Guardian, topology: watch::Sender<Topology>) -> Shared {
        let closing = Closing::new(topology, config.arriving.clone());
        let spec = watch::Sender::new(Arc::clone(&config.spec));
        let counts = Counts::load(&config.own().state_dir);
        Shared {
            access: Notify::new(),
            config,
            guard,
            closing,
            writes: Writes::default(),
            counts,
            disk: Watched::default(),
            making: watch::Sender::new(String::new()),
            readings: Writes::default(),
            spec,
            file: watch::Sender::new(None),
        }
    }

    pub fn spec(&self) -> Arc<ClusterSpec> {
        Arc::clone(&self.spec.borrow())
    }

    pub fn replace_file(&self, config: Config, spec: ClusterSpec) {
        let spec = Arc::new(spec);
        self.file.send_replace(Some(FileInForce { config: config.into(), spec: spec.clone() }));
        self.spec.send_replace(spec);
    }

    /// What the postmaster says of itself on line 8 of `postmaster.pid` (`pidfile.h`); asking by a
    /// connection while it starts would leave a FATAL in its log each time.
    pub async fn ready(&self) -> bool {
        if self.disk.hangs() {
            return false;
        }
        let path = self.config.own().data_dir.join("postmaster.pid");
        let text = tokio::fs::read_to_string(path).await.unwrap_or_default();
        text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
    }

    /// A session with this node's own server.
    pub async fn session(&self) -> Result<Session, String> {
        let (sockets, port) = (self.config.socket_dir(), self.config.own().postgres_port);
        Session::connect(&sockets, port, "postgres").await.map_err(|e| e.to_string())
    }

    pub fn watch_spec(&self) -> watch::Receiver<Arc<ClusterSpec>> {
        self.spec.subscribe()
    }

    pub fn watch_file(&self) -> watch::Receiver<Option<FileInForce>> {
        self.file.subscribe()
    }

    /// The last complaint of a server that did not start: from its own log, else from what it
    /// printed before that began. Blocking.
    pub fn server_complaint(&self) -> String {
        let own = self.config.own();
        let newest = self.newest_log();
        let printed = own.state_dir.join("log/postgresql-start.log");
        let fatal = |line: &&str| line.contains("FATAL:") || line.contains("PANIC:");
        let complaint = newest.into_iter().chain([printed]).find_map(|path| {
            let text = end_of(&path).ok()?;
            text.lines().rev().find(fatal).map(str::to_owned)
        });
        complaint.unwrap_or_else(|| "it said nothing".to_owned())
    }

    fn newest_log(&self) -> Option<PathBuf> {
        let folder = self.config.own().data_dir.join("log");
        let logs = std::fs::read_dir(folder).into_iter().flatten().flatten();
        logs.map(|entry| entry.path()).max()
    }

    /// The end of the server's own log; empty when there is none. Blocking.
    pub fn server_log(&self) -> String {
        let newest = self.newest_log();
        newest.and_then(|path| end_of(&path).ok()).unwrap_or_default()
    }

    /// How each line of that log begins.
    pub fn line_prefix(&self) -> String {
        let (spec, config) = (self.spec(), &self.config);
        let mut all = howdah_spec::effective(&spec, &config.node, &config.machine, config.major());
        all.remove("log_line_prefix").map(|effective| effective.value).unwrap_or_default()
    }

    /// How this node reaches another one's server for replication.
    pub fn conninfo(&self, node: &NodeName, application: &str) -> Result<String, String> {
        let spec = self.spec();
        let target = spec
            .nodes
            .get(node)
            .ok_or_else(|| format!("the cluster file does not name the node: `{node}`"))?;
        let tls = &self.config.tls;
        Ok(conf::primary_conninfo(&conf::Upstream {
            host: &target.host,
            port: target.postgres_port,
            ca: &tls.ca,
            cert: &tls.replicator_cert,
            key: &tls.replicator_key,
            application,
        }))
    }
}

/// How much of a log's end is read, bytes.
const LOG_END: u64 = 64 << 10;

fn end_of(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(LOG_END);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_END).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
