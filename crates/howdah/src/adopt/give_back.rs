//! Gives an adopted PostgreSQL back: as it was configured and run before, with all that was
//! written since.

use std::fs;
use std::path::Path;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_postgres::install::Install;

use super::look::ask;
use super::{Before, look};
use crate::failure::Failure;
use crate::prepare::Prepared;
use crate::prepare::layout;
use crate::prepare::lock::Lock;
use crate::talk::say;

/// What Howdah leaves inside a server, besides slots.
pub(super) const CLEAN: [&str; 2] =
    ["drop owned by howdah_replicator", "drop role howdah_replicator"];

/// Legal only while the node does not run. Nothing that was written is lost.
pub fn give_back(prepared: &Prepared, install: &Install, node: &NodeName) -> anyhow::Result<()> {
    let own = &prepared.spec.nodes[node];
    let before = prepared.server.act(|| Before::read(&own.state_dir))?;
    if Lock::is_held(&layout::node_lock(own)) {
        return Err(Failure::failed(format!("node {node} runs")).hint("howdah down").into());
    }
    let found = look(install, &before.data_dir, None)?;
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
    prepared.server.act(|| {
        before.put_back(&own.state_dir)?;
        remove_slots(&before.data_dir)
    })?;
    say("its configuration is what it was before");
    if before.was_running {
        let log = layout::log_dir(own).join("given-back.log");
        before.start(install, &log)?;
        let place = (before.socket_dir.as_path(), before.port);
        for sql in CLEAN {
            if let Err(error) = ask(install, &before.owner, &before.superuser, place, sql) {
                say(format!("left in the server: {error:#}"));
            }
        }
        say(format!("it runs as before, on port {}", before.port));
    }
    prepared.server.act(|| Before::forget(&own.state_dir))
}

/// They would hold WAL back for ever, and with wal_level = minimal the server would not start.
/// A slot is a folder of its own; the server is down.
pub(super) fn remove_slots(data_dir: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(data_dir.join("pg_replslot")).context("read pg_replslot")?;
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with("howdah_") {
            fs::remove_dir_all(entry.path()).context("remove a slot of Howdah's")?;
        }
    }
    Ok(())
}
