//! The cluster file: where it is, and what is in it.
//!
//! `-f`, else `$HOWDAH_FILE`, else `./howdah.toml`, else that of the only cluster of this machine. Once `up` has run, the verbs that ask the
//! cluster read the resolved file below base_dir instead, because ports may have been replaced.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use howdah_spec::{ClusterSpec, Mistakes};
use nix::unistd::Uid;

use crate::archive::lease;
use crate::failure::{Failure, why};
use crate::prepare::Layout;
use crate::talk::say;

/// The cluster file to use, for the verbs that need one.
#[derive(clap::Args, Clone, Debug)]
pub struct FileArg {
    /// The cluster file [default: $HOWDAH_FILE, else ./howdah.toml, else this machine's cluster]
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// On a machine that is no node: folder with ca.crt, and with operator.crt and operator.key or
    /// token [default: $HOWDAH_CLIENT, else client/ in base_dir]
    #[arg(long, value_name = "DIR")]
    pub client: Option<PathBuf>,
}

/// A cluster file that has been read and is valid.
#[derive(Clone, Debug)]
pub struct ClusterFile {
    pub path: PathBuf,
    pub text: String,
    pub spec: ClusterSpec,
    /// What to add to a verb that is proposed, so that it means the same cluster: ` -f FILE`.
    pub typed: String,
    /// Where the secrets of whoever asks lie, when not in base_dir.
    pub client: Option<PathBuf>,
}

impl FileArg {
    /// The path of the file that the operator writes.
    pub fn find(&self) -> anyhow::Result<PathBuf> {
        let named = self.file.clone().or_else(|| std::env::var_os("HOWDAH_FILE").map(Into::into));
        let path = named.clone().unwrap_or_else(|| PathBuf::from(FILE_NAME));
        if path.exists() {
            return std::path::absolute(&path).context("find the working directory");
        }
        if named.is_none()
            && let Some(path) = only_cluster(&default_base())
        {
            return Ok(path);
        }
        Err(match named {
            Some(_) => Failure::bad_input(format!("no such cluster file: `{}`", path.display()))
                .hint(format!("howdah init --output {}", path.display())),
            None => Failure::bad_input(format!("no cluster file here: `{FILE_NAME}`"))
                .hint("howdah init --demo, or name one with -f"),
        }
        .into())
    }

    /// The file as the operator wrote it.
    pub fn load(&self) -> anyhow::Result<ClusterFile> {
        Ok(self.of(load(&self.find()?)?))
    }

    /// The cluster as it runs: the resolved file where there is one.
    pub fn load_running(&self) -> anyhow::Result<ClusterFile> {
        let written = self.load()?;
        if lease::is_lent() {
            // The file in force, from the node itself.
            return Ok(written);
        }
        let resolved = Layout::new(&written.spec.base_dir).file();
        if resolved == written.path || !resolved.exists() {
            return Ok(written);
        }
        Ok(self.of(load(&resolved)?))
    }

    /// The same, for a verb that goes by `[backup]`: what a file in somebody's folder says of it
    /// otherwise counts for nothing, and that is told.
    pub fn load_for_backups(&self) -> anyhow::Result<ClusterFile> {
        let running = self.load_running()?;
        let written = self.load()?;
        let place = |file: &ClusterFile| Some(file.spec.backup.as_ref()?.repository.place());
        if let (Some(written_place), Some(place)) = (place(&written), place(&running))
            && written_place != place
        {
            // Nobody is to look at one repository and be told of another.
            let file = shown(&written.path);
            let what =
                format!("`{file}` names another repository than the one in force, `{place}`");
            return Err(Failure::bad_input(what)
                .hint(format!(
                    "howdah apply{} takes it into force; howdah config shows what is",
                    running.typed
                ))
                .into());
        }
        if written.spec.backup != running.spec.backup {
            say(format!(
                "note: `{}` says otherwise of `[backup]` than what is in force, which counts here\n\
                 hint: howdah apply{} takes it into force; howdah config shows what is",
                shown(&written.path),
                running.typed
            ));
        }
        Ok(running)
    }

    fn of(&self, file: ClusterFile) -> ClusterFile {
        let client = self.client.clone();
        let client = client.or_else(|| std::env::var_os("HOWDAH_CLIENT").map(Into::into));
        ClusterFile { typed: self.typed(), client, ..file }
    }

    fn typed(&self) -> String {
        self.file.as_ref().map_or_else(String::new, |path| format!(" -f {}", path.display()))
    }
}

const FILE_NAME: &str = "howdah.toml";

/// Reads and checks one file; all its mistakes at once are bad input.
pub fn load(path: &Path) -> anyhow::Result<ClusterFile> {
    let text = read(path)?;
    let spec = parse(path, &text).map_err(|mistakes| rejected(&mistakes))?;
    let typed = format!(" -f {}", path.display());
    Ok(ClusterFile { path: path.to_path_buf(), text, spec, typed, client: None })
}

/// The text alone, for those that check it themselves.
pub fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).map_err(|error| {
        let why = why(&error);
        let message = format!("cannot read the cluster file, {why}: `{}`", path.display());
        let failure = Failure::bad_input(message);
        match error.kind() {
            ErrorKind::PermissionDenied => failure.hint("run it as the user who ran `howdah up`"),
            _ => failure,
        }
        .into()
    })
}

pub fn parse(path: &Path, text: &str) -> Result<ClusterSpec, Mistakes> {
    howdah_spec::parse(&shown(path), text, &context(path))
}

/// Where the file says what.
pub fn places(file: &ClusterFile) -> howdah_spec::Places {
    howdah_spec::parse_leniently(&shown(&file.path), &file.text, &context(&file.path)).0.places
}

/// What the file does not say itself.
pub fn context(path: &Path) -> howdah_spec::Context {
    let folder = path.parent().unwrap_or(Path::new("/"));
    howdah_spec::Context { default_base: default_base(), relative_to: folder.to_path_buf() }
}

/// The name by which messages call the file: as short as it was typed, usually.
pub fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let near = here.and_then(|here| path.strip_prefix(here).ok());
    near.unwrap_or(path).display().to_string()
}

/// Mistakes carry their own places and hints.
pub fn rejected(mistakes: &Mistakes) -> Failure {
    let count = mistakes.0.len();
    let plural = if count == 1 { "mistake" } else { "mistakes" };
    Failure::bad_input(format!("{count} {plural} in the cluster file\n{mistakes}"))
}

/// The cluster of a machine that has one: a node that joined has no other file.
fn only_cluster(base: &Path) -> Option<PathBuf> {
    let folders = fs::read_dir(base).ok()?.flatten();
    let mut files = folders.map(|dir| dir.path().join(FILE_NAME)).filter(|file| file.exists());
    let only = files.next()?;
    files.next().is_none().then_some(only)
}

/// Where clusters lie that do not name a base_dir.
pub fn default_base() -> PathBuf {
    if Uid::effective().is_root() {
        return PathBuf::from("/var/lib/howdah");
    }
    let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/".into()));
    data.unwrap_or_else(|| home().join(".local/share")).join("howdah")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_one_cluster_needs_no_file_named() {
        let base = std::env::temp_dir().join(format!("howdah-only-{}", std::process::id()));
        let make = |cluster: &str| {
            fs::create_dir_all(base.join(cluster)).expect("made");
            fs::write(base.join(cluster).join(FILE_NAME), "").expect("written");
        };
        assert_eq!(only_cluster(&base), None);
        make("shop");
        fs::create_dir_all(base.join("lost+found")).expect("made");
        assert_eq!(only_cluster(&base), Some(base.join("shop").join(FILE_NAME)));
        make("blog");
        assert_eq!(only_cluster(&base), None, "which one is meant?");
        fs::remove_dir_all(&base).expect("removed");
    }
}
