//! `howdah repository`: what is to be done about the repository itself.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use howdah_archive::proof;
use howdah_base::Redacted;
use howdah_repo::seal::Cipher;
use tokio::runtime::Builder;

use crate::archive::lease::now_ms;
use crate::archive::{door, open, words};
use crate::failure::{Failure, why};
use crate::file::{ClusterFile, FileArg};
use crate::prepare::account;
use crate::talk::{out, say};

/// Look after the repository of backups
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Key(KeyArgs),
}

/// Give the repository's key out, to be kept away from the cluster
#[derive(clap::Args, Debug)]
struct KeyArgs {
    /// Into this new file, which only you may read [default: printed]
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Of this lineage [default: this cluster's]
    #[arg(long)]
    lineage: Option<String>,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let What::Key(args) = &args.what;
    let file = args.file.load_for_backups()?;
    howdah_tls::install_provider();
    // Still as whoever asks: it is his file, and nobody else's.
    let runtime = || Builder::new_current_thread().enable_all().build().context("start a runtime");
    let key = runtime()?.block_on(key(&file))?;
    match &args.export {
        Some(path) => write(path, &key)?,
        None => out(key.expose()),
    }
    account::server_account(&file.spec.run_as)?.become_for_good()?;
    let noted = runtime()?.block_on(async {
        let lineage = door::lineage(&file, args.lineage.as_deref()).await?;
        Ok::<(), anyhow::Error>(proof::note_export(&lineage, now_ms(), &words::host()).await?)
    });
    noted.map_err(|error| {
        Failure::failed(format!("the key was given out, but that is not noted: {error:#}"))
            .hint("type it again when the repository answers; until then no backup is green")
    })?;
    if let Some(path) = &args.export {
        say(format!("howdah: the repository's key is in `{}`", path.display()));
    }
    say("hint: keep it where it is found when every machine of the cluster is lost");
    Ok(())
}

/// The key with which the repository was made, as hex.
async fn key(file: &ClusterFile) -> anyhow::Result<Redacted<String>> {
    let backup = door::backup(file)?;
    open::open(backup).await?;
    match open::key(backup).load().await? {
        Cipher::Aes256Gcm(key) => {
            let text = key.expose().iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(Redacted::new(text))
        }
        Cipher::None => Err(Failure::bad_input("the repository is not sealed: it has no key")
            .hint("`cipher` of `[backup]`")
            .into()),
    }
}

fn write(path: &Path, key: &Redacted<String>) -> anyhow::Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(key.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(|error| {
        let what = match error.kind() {
            ErrorKind::AlreadyExists => "a file is there already".to_owned(),
            _ => why(&error),
        };
        Failure::failed(format!("the key is not written, {what}: `{}`", path.display()))
            .hint("name a new file")
            .into()
    })
}
