//! Gives an adopted PostgreSQL back: as it was configured and run before, with all that was
//! written since.

use howdah_base::NodeName;
use howdah_postgres::install::Install;

use super::look::ask;
use super::{Before, look};
use crate::failure::Failure;
use crate::prepare::Prepared;
use crate::prepare::layout;
use crate::prepare::lock::Lock;
use crate::talk::say;

/// What Howdah leaves inside a server: slots would hold WAL back for ever.
const CLEAN: [&str; 3] = [
    "select pg_drop_replication_slot(slot_name) from pg_replication_slots
     where slot_name like 'howdah\\_%' and not active",
    "drop owned by howdah_replicator",
    "drop role howdah_replicator",
];

/// Legal only while the node does not run. Nothing that was written is lost.
pub fn give_back(prepared: &Prepared, install: &Install, node: &NodeName) -> anyhow::Result<()> {
    let own = &prepared.spec.nodes[node];
    let before = prepared.server.act(|| Before::read(&own.state_dir))?;
    if Lock::is_held(&layout::node_lock(own)) {
        return Err(Failure::failed(format!("node {node} runs")).hint("howdah down").into());
    }
    let found = look(install, &before.data_dir)?;
    if found.running.is_some() && !found.marked {
        return Err(Failure::failed("the server runs, and is nobody's node").into());
    }
    if found.running.is_some() {
        return Err(Failure::failed("its server still runs, under the guard of this node")
            .hint("howdah down, which stops it")
            .into());
    }
    if found.standby {
        return Err(Failure::failed("this directory follows another node now")
            .hint(format!("howdah switchover --to {node}, then howdah down, then give it back"))
            .into());
    }
    prepared.server.act(|| before.put_back(&own.state_dir))?;
    say("its configuration is what it was before");
    if before.was_running {
        let log = layout::log_dir(own).join("given-back.log");
        before.start(install, &log)?;
        let port = before.port.to_string();
        for sql in CLEAN {
            if let Err(error) = ask(install, &before.owner, &before.socket_dir, &port, sql) {
                say(format!("left in the server: {error:#}"));
            }
        }
        say(format!("it runs as before, on port {port}"));
    }
    prepared.server.act(|| Before::forget(&own.state_dir))
}
