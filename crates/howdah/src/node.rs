//! One node: joins agent, proxy and API. Who listens to whom stands on this page.

use howdah_base::NodeName;

use crate::prepare::Prepared;

/// Runs the node until it is told to stop. The process is already the servers' user.
pub fn run(_prepared: &Prepared, node: &NodeName) -> anyhow::Result<()> {
    anyhow::bail!("not wired yet: `{node}`")
}
