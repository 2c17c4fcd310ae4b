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

    /// The last lines that the server printed before its own log began, for an error.
    pub fn server_log_tail(&self) -> String {
        let path = self.config.own().state_dir.join("log/postgresql-start.log");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
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
