//! The right to make a managed store: given where the cluster's CA is made, and nowhere else, so
//! that a store is made once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use howdah_base::NodeName;
use howdah_etcd::Founding;
use howdah_spec::{ClusterSpec, NodeSpec};

use super::account::Account;
use super::{Layout, dirs};
use crate::failure::Failure;
use crate::keeper;

/// Gives the right to the members of this machine, together, when the cluster is made here and
/// now: called before there is a CA.
pub fn grant(
    layout: &Layout,
    spec: &ClusterSpec,
    here: &BTreeMap<NodeName, NodeSpec>,
    server: &Account,
) -> anyhow::Result<()> {
    if keeper::managed(spec).is_none() || layout.ca().exists() {
        return Ok(());
    }
    let members = spec.store_members();
    let founders: BTreeSet<NodeName> =
        members.iter().filter(|name| here.contains_key(**name)).map(|n| (*n).clone()).collect();
    if founders.is_empty() {
        let names: Vec<&str> = members.iter().map(|name| name.as_str()).collect();
        return Err(Failure::failed("no node of this machine has a member of the store")
            .hint(format!("prepare first the machine of one of: {}", names.join(", ")))
            .into());
    }
    let right = Founding::of(founders.clone()).context("draw the new store's number")?;
    for founder in &founders {
        let path = layout.founding(founder);
        // Over one that a run has left which was cut short: without a CA it cannot be in use.
        server.act(|| dirs::write(&path, 0o600, right.text().as_bytes()))?;
    }
    Ok(())
}
