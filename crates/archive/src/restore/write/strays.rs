//! What lies in a directory that is restored over, and is not in the backup. Blocking.
//!
//! Links are never followed, but for those that PostgreSQL follows: `pg_wal`, and tablespaces that this
//! directory has already. In a tablespace's folder other servers may have theirs: only what lies
//! below this server's own folder there counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use howdah_repo::Manifest;
use howdah_repo::manifest::Content;

use super::RestoreError;
use super::ground::MARK;
use super::place::Places;
use super::recovery::SIGNALS;
use super::unkept::{ASIDE, Held};

/// Logs of the server that was there: they may say what has happened to it.
const LOGS: &str = "log";
pub const TABLESPACES: &str = "pg_tblspc";

/// What is found.
#[derive(Default, Debug)]
pub struct Found {
    /// To be removed, folders with all that is in them.
    pub strays: Vec<PathBuf>,
    /// What that frees, bytes by device.
    pub freed: BTreeMap<u64, u64>,
    /// Segments in `pg_wal` that are put aside.
    pub unkept: Vec<PathBuf>,
    /// Files of the backup that lie where they belong, by path, and how long they are.
    pub there: HashMap<String, u64>,
    /// Tablespaces that this directory has, where they are to be.
    pub linked: BTreeSet<u32>,
}

/// Looks; removes nothing.
pub fn look(manifest: &Manifest, places: &Places, held: &Held) -> Result<Found, RestoreError> {
    let wanted = manifest.files.iter().filter(|file| !SIGNALS.contains(&file.path.as_str()));
    let wanted = wanted.map(|file| (file.path.as_str(), file.content == Content::Folder));
    let mut look = Look { wanted: wanted.collect(), places, held, found: Found::default() };
    look.folder("", &places.data_dir)?;
    look.tablespaces()?;
    Ok(look.found)
}

/// Removes them.
pub fn remove(found: &Found) -> Result<(), RestoreError> {
    for stray in &found.strays {
        let is_folder = fs::symlink_metadata(stray).is_ok_and(|meta| meta.is_dir());
        let removed = if is_folder { fs::remove_dir_all(stray) } else { fs::remove_file(stray) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(RestoreError::io("remove", stray)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

struct Look<'a> {
    /// Whether it is a folder, by path.
    wanted: BTreeMap<&'a str, bool>,
    places: &'a Places,
    held: &'a Held,
    found: Found,
}

impl Look<'_> {
    fn folder(&mut self, path: &str, place: &Path) -> Result<(), RestoreError> {
        for entry in fs::read_dir(place).map_err(RestoreError::io("read", place))? {
            let entry = entry.map_err(RestoreError::io("read", place))?;
            let inner = entry.path();
            let name = entry.file_name();
            let below = |name: &str| match path {
                "" => name.to_owned(),
                path => format!("{path}/{name}"),
            };
            let meta = fs::symlink_metadata(&inner).map_err(RestoreError::io("look at", &inner))?;
            match name.to_str().map(below) {
                Some(path) => self.entry(&path, &inner, &meta)?,
                None => self.stray(&inner, &meta)?,
            }
        }
        Ok(())
    }

    fn entry(&mut self, path: &str, place: &Path, meta: &Metadata) -> Result<(), RestoreError> {
        if path == MARK || path == LOGS || path == ASIDE {
            return Ok(());
        }
        if let Some(oid) = path.strip_prefix("pg_tblspc/").and_then(|oid| oid.parse().ok()) {
            let wanted = self.places.tablespaces.get(&oid);
            let right = wanted.is_some_and(|to| fs::read_link(place).is_ok_and(|at| at == *to));
            if right {
                self.found.linked.insert(oid);
                return Ok(());
            }
            return self.stray(place, meta);
        }
        if let Some(name) = path.strip_prefix("pg_wal/")
            && meta.is_file()
            && self.held.lacks(name, place)
        {
            self.found.unkept.push(place.to_owned());
            return Ok(());
        }
        let wal = path == "pg_wal" && meta.is_symlink() && place.is_dir();
        match self.wanted.get(path) {
            Some(true) if meta.is_dir() || wal => self.folder(path, place),
            Some(false) if meta.is_file() => {
                self.found.there.insert(path.to_owned(), meta.len());
                Ok(())
            }
            _ => self.stray(place, meta),
        }
    }

    fn tablespaces(&mut self) -> Result<(), RestoreError> {
        for oid in self.found.linked.clone() {
            let root = format!("{TABLESPACES}/{oid}/");
            let own = self.wanted.keys().filter_map(|path| path.strip_prefix(&root));
            let own: BTreeSet<String> =
                own.filter_map(|rest| rest.split('/').next()).map(str::to_owned).collect();
            for name in own {
                let path = format!("{root}{name}");
                let place = self.places.path(&path);
                match fs::symlink_metadata(&place) {
                    Ok(meta) => self.entry(&path, &place, &meta)?,
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(RestoreError::io("look at", &place)(error)),
                }
            }
        }
        Ok(())
    }

    fn stray(&mut self, place: &Path, meta: &Metadata) -> Result<(), RestoreError> {
        add_bytes(place, meta, &mut self.found.freed)?;
        self.found.strays.push(place.to_owned());
        Ok(())
    }
}

/// What it takes on its disk, with all that is in it: something else may be mounted there.
fn add_bytes(
    place: &Path,
    meta: &Metadata,
    sums: &mut BTreeMap<u64, u64>,
) -> Result<(), RestoreError> {
    *sums.entry(meta.dev()).or_default() += meta.blocks() * 512;
    if meta.is_dir() {
        for entry in fs::read_dir(place).map_err(RestoreError::io("read", place))? {
            let inner = entry.map_err(RestoreError::io("read", place))?.path();
            let meta = fs::symlink_metadata(&inner).map_err(RestoreError::io("look at", &inner))?;
            add_bytes(&inner, &meta, sums)?;
        }
    }
    Ok(())
}
