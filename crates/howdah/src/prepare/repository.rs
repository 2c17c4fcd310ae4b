//! What a repository of backups needs before a node can use it: its folder, where it is one, and a
//! key, where the file leaves that to Howdah.

use std::path::Path;

use anyhow::Context;
use howdah_repo::{RepoError, Repository};
use howdah_spec::backup::{BackupSpec, RepositorySpec};
use howdah_spec::{ClusterSpec, SecretRef};
use tokio::runtime::Builder;

use super::{Account, Layout, dirs, passwords};
use crate::archive::open;
use crate::failure::Failure;
use crate::talk::say;

pub fn prepare(
    layout: &Layout,
    spec: &ClusterSpec,
    server: &Account,
    invoker: &Account,
) -> anyhow::Result<()> {
    let Some(backup) = &spec.backup else { return Ok(()) };
    if let RepositorySpec::Directory(path) = &backup.repository {
        dirs::make_given(layout, path, server)?;
    }
    dirs::make_given(layout, &backup.drill.scratch, server)?;
    let Some(SecretRef::File(path)) = &backup.key else { return Ok(()) };
    if path.exists() {
        return passwords::check_server_reads(server, invoker, "the repository's key", path);
    }
    if path.parent() != Some(&layout.client_secrets()) {
        return Err(Failure::bad_input(format!(
            "the repository's key does not exist: `{}`",
            path.display()
        ))
        .hint(
            "write 32 bytes as hex or base64 into it (`openssl rand -hex 32`), or leave `key` out",
        )
        .into());
    }
    make_key(backup, path)?;
    passwords::share(server, invoker, path)?;
    say(format!(
        "howdah: made a key for the repository; without it no backup can be read\n\
         hint: keep a copy of it elsewhere: {}",
        path.display()
    ));
    Ok(())
}

/// Only for a repository that does not exist.
fn make_key(backup: &BackupSpec, path: &Path) -> anyhow::Result<()> {
    howdah_tls::install_provider();
    let runtime = Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    let storage = open::storage(backup)?;
    let place = storage.place().to_owned();
    match runtime.block_on(Repository::make_key_file(&storage, path)) {
        Ok(_) => Ok(()),
        Err(RepoError::Taken { .. }) => Err(Failure::refused(format!(
            "the repository's key is missing: `{}`; there is a repository already: `{place}`",
            path.display()
        ))
        .hint(
            "put the key that it was made with there, or name its file (`key = { file = ... }` in \
             `[backup]`); for a new repository name another place",
        )
        .into()),
        Err(error) => Err(error).context("make a key for the repository"),
    }
}
