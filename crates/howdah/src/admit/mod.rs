//! Whether this node may take part: asked once, before its agent starts, and before anything is
//! changed here or in the store.
//!
//! | question | no: |
//! |---|---|
//! | is it this cluster's store? | another cluster's keys lie at the prefix |
//! | is it this cluster's file? | nodes, addresses, store or lease differ from the file in force |
//! | is the clock right? | a new node whose clock is far behind the others' |
//! | is there no other agent of this node? | one lives on another machine |

mod agent;
mod clock;
mod file;
mod identity;
mod kept;

use std::sync::Arc;

use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, NodeSpec};
use howdah_store::{Snapshot, Store};

use crate::prepare::Prepared;

pub use agent::AgentName;
pub use identity::{identity_at, short_identity};

use kept::Kept;

/// What a node that may take part goes on with.
#[derive(Debug)]
pub struct Admitted {
    /// The file in force, or this node's own where there is none yet.
    pub spec: ClusterSpec,
    pub agent: AgentName,
    /// Fingerprint of what all nodes' files must share.
    pub file_print: String,
}

/// The part of it that this machine can tell by itself, before anything is written: `known` is its
/// copy of what was in force, `node` a node that may have been admitted with the file that there
/// was then.
pub fn check_local(own: &ClusterSpec, known: &ClusterSpec, node: &NodeSpec) -> anyhow::Result<()> {
    match Kept::read(node).file {
        Some(admitted) if admitted != file::print(&file::shared(own)) => {
            file::check_copy(own, known)
        }
        _ => Ok(()),
    }
}

/// Asks all of it; the error says what is to be done.
pub async fn admit(
    prepared: &Prepared,
    node: &NodeName,
    store: &Arc<dyn Store>,
    snapshot: &Snapshot,
) -> anyhow::Result<Admitted> {
    identity::check(prepared, store.as_ref(), snapshot).await?;
    let kept = Kept::read(&prepared.spec.nodes[node]);
    let (spec, file_print) = file::check(prepared, node, snapshot, &kept)?;
    if kept == Kept::default() {
        clock::check(node, snapshot)?;
    }
    let agent = agent::check(&spec, node, store.as_ref(), &kept).await?;
    let accepted = file::print(&file::shared(&prepared.spec));
    Kept { agent: Some(agent.own.clone()), file: Some(accepted) }.write(&prepared.spec.nodes[node]);
    Ok(Admitted { spec, agent, file_print })
}
