//! The way to another node's WAL, for the agent: the peers' port.

use std::sync::Arc;

use howdah_agent::{Fetching, WalFrom, WalPart, WalSource};
use howdah_base::ClusterName;
use howdah_proxy::{WalAsk, fetch_wal};
use rustls::ClientConfig;
use tokio::fs::File;

/// Speaks as this node.
#[derive(Debug)]
pub struct PeerWal {
    pub cluster: ClusterName,
    pub tls: Arc<ClientConfig>,
}

impl WalSource for PeerWal {
    fn fetch(&self, source: WalFrom, part: WalPart) -> Fetching {
        let WalFrom { from, host, peer_port, term } = source;
        let WalPart { file, len, into } = part;
        let (tls, cluster) = (self.tls.clone(), self.cluster.clone());
        let ask = WalAsk { tls, cluster, from, host, peer_port, term, file, len };
        Box::pin(async move {
            let failed = |error| format!("cannot write, {error}: `{}`", into.display());
            let mut to = File::create(&into).await.map_err(failed)?;
            fetch_wal(&ask, &mut to).await
        })
    }
}
