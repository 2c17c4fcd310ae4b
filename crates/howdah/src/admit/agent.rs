//! One agent a node. On one machine a lock sees to that; another machine that was given the same
//! name is seen by its living record.

use std::time::Duration;

use howdah_base::NodeName;
use howdah_base::record::{Member, key};
use howdah_spec::ClusterSpec;
use howdah_store::{Snapshot, Store};
use tokio::time::{Instant, sleep};

use super::kept::Kept;
use crate::failure::Failure;

/// Names of agents of this node: `machine/number`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgentName {
    pub own: String,
    /// The one that ran here before: what it left in the store is this one's.
    pub before: Option<String>,
}

/// Leases live for whole seconds, and end up to a second late.
const LATE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits until nobody else holds this node's record: a machine that was lost lets go of it within
/// a lease, or two: it may have led etcd, whose next leader gives all leases their whole length
/// anew. What is still there then is held by a living agent.
pub async fn check(
    spec: &ClusterSpec,
    node: &NodeName,
    store: &dyn Store,
    kept: &Kept,
) -> anyhow::Result<AgentName> {
    let own = format!("{}/{:016x}", host(), random()?);
    let before = kept.agent.clone();
    let within = spec.ha.lease.0 * 2 + LATE;
    let deadline = Instant::now() + within;
    let mut said = false;
    loop {
        let holder = holder(&store.snapshot().await?, node)?;
        let Some(other) = holder.filter(|holder| Some(holder) != before.as_ref()) else {
            return Ok(AgentName { own, before });
        };
        let machine = other.split('/').next().unwrap_or(&other);
        if Instant::now() >= deadline {
            return Err(Failure::failed(format!(
                "another agent of {node} runs on host `{machine}`"
            ))
            .hint(format!(
                "one machine a node: stop the other one, or start this one as the node that it \
                 is (howdah run --node NAME); here is `{}`",
                host()
            ))
            .into());
        }
        if !said {
            let seconds = within.as_secs();
            tracing::info!(
                "{node} was running on `{machine}`: waits up to {seconds} s for its lease to end"
            );
            said = true;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Who holds the node's record. One without a name is of an older version, and of this machine.
fn holder(snapshot: &Snapshot, node: &NodeName) -> anyhow::Result<Option<String>> {
    let member = snapshot.get::<Member>(&format!("{}{node}", key::MEMBERS))?;
    Ok(member.and_then(|(member, _)| member.agent))
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}

fn random() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}
