//! Carries an adoption out: keep what was, stop, mark. The node's first start does the rest: a
//! directory that is marked fresh becomes the cluster.

use std::fs::File;
use std::io::Read;

use anyhow::Context;
use howdah_base::{DirectoryId, NodeName, Redacted};
use howdah_postgres::directory::{self, DirectoryFile};
use howdah_postgres::install::Install;

use super::look::{Found, ask_as};
use super::{Before, look};
use crate::failure::Failure;
use crate::prepare::Prepared;
use crate::talk::say;

pub(super) const SUPERUSER: &str = "do $$ begin
  if exists (select from pg_roles where rolname = 'postgres') then
    alter role postgres superuser login;
  else
    create role postgres superuser login;
  end if;
end $$";

/// Stops the server that was there and gives its directory to `node`. After an error before the
/// stop nothing is changed; after one behind it, `howdah adopt --give-back` starts it again.
pub fn take(
    prepared: &Prepared,
    install: &Install,
    found: &Found,
    password: Option<&Redacted<String>>,
    node: &NodeName,
) -> anyhow::Result<()> {
    let state_dir = &prepared.spec.nodes[node].state_dir;
    let before = Before::of(found)?;
    prepared.server.act(|| before.keep(state_dir))?;
    if let Some(running) = &found.running {
        let place = (running.socket_dir.as_path(), running.port);
        let role = (running.asked_as.as_str(), password);
        let tell = |sql: &str| ask_as(install, &found.owner, role, place, sql);
        if !running.has_postgres {
            tell(SUPERUSER)?;
            say("there is a superuser postgres now");
        }
        // So that the shutdown has little left to write.
        tell("checkpoint")?;
        say("stopping the server");
        before.stop(install)?;
    }
    let after = look(install, &found.data_dir, None)?;
    if after.running.is_some() {
        return Err(Failure::failed("the server runs again: something else starts it")
            .hint("stop what starts it (systemd, a container, cron), then adopt it again")
            .into());
    }
    let file =
        DirectoryFile { id: identity(node)?, node: node.clone(), fresh: true, adopted: true };
    prepared.server.act(|| Ok(directory::write_file(&found.data_dir, &file)?))?;
    say(format!("the directory is node {node}'s: `{}`", found.data_dir.display()));
    Ok(())
}

/// A name for a directory that nobody has yet.
pub fn identity(node: &NodeName) -> anyhow::Result<DirectoryId> {
    let mut bytes = [0; 4];
    let mut source = File::open("/dev/urandom").context("draw a random number")?;
    source.read_exact(&mut bytes).context("draw a random number")?;
    Ok(DirectoryId::new(node, u32::from_ne_bytes(bytes)))
}
