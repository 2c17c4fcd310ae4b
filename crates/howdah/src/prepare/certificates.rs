//! The cluster's CA and each node's certificate. The CA's key stays with whoever prepares;
//! a node needs only its own.

use std::time::SystemTime;

use anyhow::Context;
use howdah_spec::ClusterSpec;
use howdah_tls::{Authority, Owner};

use super::{Account, Layout};

pub fn make(layout: &Layout, spec: &ClusterSpec, server: &Account) -> anyhow::Result<()> {
    let owner = Some(Owner { uid: server.uid.as_raw(), gid: server.gid.as_raw() });
    let authority = Authority::open_or_create(&layout.tls(), &spec.cluster, SystemTime::now())
        .context("make the cluster's CA")?;
    for (name, node) in &spec.nodes {
        authority
            .node(name, &node.host, owner)
            .with_context(|| format!("make the certificate of {name}"))?;
    }
    authority.replicator(owner).context("make the standbys' certificate")?;
    Ok(())
}
