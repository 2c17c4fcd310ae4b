//! Gives an adopted PostgreSQL back: as it was configured and run before, with all that was
//! written since.

use std::fs;
use std::path::Path;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_postgres::install::Install;
use howdah_spec::{ClusterSpec, NodeSpec};

use super::judge::check;
use super::look::ask;
use super::{Before, Check, Level, look};
use crate::facts;
use crate::prepare::lock::Lock;
use crate::prepare::{Account, account, layout};
use crate::talk::say;

/// What Howdah leaves inside a server, besides slots.
pub(super) const CLEAN: [&str; 2] =
    ["drop owned by howdah_replicator", "drop role howdah_replicator"];

/// A node that was adopted, and what giving it back means.
#[derive(Debug)]
pub struct GiveBack<'a> {
    pub node: &'a NodeName,
    own: &'a NodeSpec,
    server: Account,
    install: Install,
    before: Before,
}

impl GiveBack<'_> {
    /// `None` when it was given back already.
    ///
    /// # Errors
    /// Nothing was adopted here.
    pub fn of<'a>(
        spec: &'a ClusterSpec,
        node: &'a NodeName,
    ) -> anyhow::Result<Option<GiveBack<'a>>> {
        let own = &spec.nodes[node];
        let server = account::server_account(&spec.run_as)?;
        if server.act(|| Ok(Before::is_given_back(&own.state_dir)))? {
            return Ok(None);
        }
        let before = server.act(|| Before::read(&own.state_dir))?;
        let install = facts::install(spec, &own.data_dir)?;
        Ok(Some(GiveBack { node, own, server, install, before }))
    }

    pub fn title(&self) -> String {
        format!("{} is given back by node {}:", self.before.data_dir.display(), self.node)
    }

    /// What is done, and what stands in the way. Changes nothing.
    pub fn plan(&self) -> anyhow::Result<Vec<Check>> {
        let found = look(&self.install, &self.before.data_dir, None)?;
        let (node, before) = (self.node, &self.before);
        let mut checks = vec![
            check(Level::Well, "what was written since stays", ""),
            check(Level::Change, format!("as they were before: {}", before.files.join(", ")), ""),
            check(Level::Change, "Howdah's slots and its role are removed", ""),
        ];
        let then = match (&before.unit, before.was_running) {
            (Some(unit), true) => format!("its unit {unit} is enabled and started"),
            (None, true) => format!("the server is started as it ran, on port {}", before.port),
            (_, false) => "the server stays down, as it was found".to_owned(),
        };
        checks.push(check(Level::Change, then, ""));
        checks.push(check(
            Level::Warning,
            "the cluster's other nodes do not follow it any more",
            "what they have is a copy of its own",
        ));
        let mut stop = |what: String, then: String| checks.push(check(Level::Stop, what, then));
        if Lock::is_held(&layout::node_lock(self.own)) {
            stop(format!("node {node} runs"), "howdah down".to_owned());
        } else if found.running.is_some() && !found.marked {
            stop("the server runs, and is nobody's node".to_owned(), String::new());
        } else if found.running.is_some() {
            let what = "its server still runs, under the guard of this node".to_owned();
            stop(what, "howdah down, which stops it".to_owned());
        } else if found.standby {
            let then =
                format!("howdah switchover --to {node}, then howdah down, then give it back");
            stop("this directory follows another node now".to_owned(), then);
        }
        Ok(checks)
    }

    /// Legal only when nothing stands in the way. Nothing that was written is lost.
    pub fn carry_out(&self) -> anyhow::Result<()> {
        let GiveBack { own, server, install, before, .. } = self;
        server.act(|| {
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
        server.act(|| Before::forget(&own.state_dir))
    }
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
