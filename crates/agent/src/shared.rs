//! What the loop and its jobs have in common.

use std::sync::Arc;

use howdah_base::NodeName;
use howdah_postgres::conf;
use howdah_postgres::session::Session;
use howdah_spec::ClusterSpec;
use tokio::sync::watch;

use crate::config::AgentConfig;
use crate::guardian::Guardian;

/// Fixed facts, the cluster file in force, and the way to the guard.
#[derive(Debug)]
pub(crate) struct Shared {
    pub config: AgentConfig,
    pub guard: Guardian,
    /// The cluster file in force; `apply` replaces it.
    spec: watch::Sender<Arc<ClusterSpec>>,
}

impl Shared {
    pub fn new(config: AgentConfig, guard: Guardian) -> Shared {
        let spec = watch::Sender::new(Arc::clone(&config.spec));
        Shared { config, guard, spec }
    }

    pub fn spec(&self) -> Arc<ClusterSpec> {
        Arc::clone(&self.spec.borrow())
    }

    pub fn replace_spec(&self, spec: ClusterSpec) {
        self.spec.send_replace(Arc::new(spec));
    }

    /// A session with this node's own server.
    pub async fn session(&self) -> Result<Session, String> {
        let (sockets, port) = (self.config.socket_dir(), self.config.own().postgres_port);
        Session::connect(&sockets, port, "postgres").await.map_err(|e| e.to_string())
    }

    pub fn watch_spec(&self) -> watch::Receiver<Arc<ClusterSpec>> {
        self.spec.subscribe()
    }

    /// The last complaint of a server that did not start: from its own log, else from what it
    /// printed before that began. Blocking.
    pub fn server_complaint(&self) -> String {
        let own = self.config.own();
        let logs = std::fs::read_dir(own.data_dir.join("log")).into_iter().flatten().flatten();
        let newest = logs.map(|entry| entry.path()).max();
        let printed = own.state_dir.join("log/postgresql-start.log");
        let fatal = |line: &&str| line.contains("FATAL:") || line.contains("PANIC:");
        let complaint = newest.into_iter().chain([printed]).find_map(|path| {
            let text = std::fs::read_to_string(path).ok()?;
            text.lines().rev().find(fatal).map(str::to_owned)
        });
        complaint.unwrap_or_else(|| "it said nothing".to_owned())
    }

    /// How this node reaches another one's server for replication.
    pub fn conninfo(&self, node: &NodeName, application: &str) -> Result<String, String> {
        let target = self
            .config
            .nodes_of()
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
