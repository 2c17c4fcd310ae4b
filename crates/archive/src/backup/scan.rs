//! What there is in a data directory and its tablespaces, by the rules of [`super::files`].
//!
//! A server writes meanwhile: what vanishes between two looks was dropped, and is no error. What is
//! created meanwhile may be missing here: its WAL is in the backup. Blocking.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use howdah_repo::page_map::PAGES_MAX;

use super::files::{self, Relation, Take};
use super::page::PAGE;

/// The server's control file; it is read last of all, apart from the others.
pub const CONTROL: &str = "global/pg_control";
const TABLESPACES: &str = "pg_tblspc";
/// The longest file that a page map is made of; PostgreSQL's own have an eighth of it.
const PAGES_BYTES_MAX: u64 = PAGES_MAX as u64 * PAGE as u64;

/// Everything that a backup takes, in order of paths.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    pub folders: Vec<Entry>,
    pub files: Vec<Entry>,
    /// Where the symlinks of `pg_tblspc` lead.
    pub tablespaces: BTreeMap<u32, PathBuf>,
    /// Neither files nor folders, or with names that are no text; they are left out.
    pub odd: Vec<PathBuf>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Below the data directory; tablespaces are below `pg_tblspc/<oid>`.
    pub path: String,
    pub size: u64,
    pub mode: u32,
    pub mtime_ms: i64,
    /// Whole pages, of a relation.
    pub pages: bool,
}

/// Looks through `data_dir`.
///
/// # Errors
/// What the file system says, with the path, unless it says that something is gone.
pub fn scan(data_dir: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        let place = data_dir.join(&folder);
        let Some(names) = passing(&place, names(&place, &mut found.odd))? else { continue };
        let unlogged = unlogged(&folder, &names);
        for name in names {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let place = data_dir.join(&path);
            let Some(meta) = passing(&place, fs::symlink_metadata(&place))? else { continue };
            let Some(meta) = followed(&path, &place, meta, &mut found)? else { continue };
            if meta.is_dir() {
                match files::folder(&path) {
                    Take::Nothing => continue,
                    Take::Empty => {}
                    _ => folders.push(path.clone()),
                }
                found.folders.push(entry(path, &meta, false));
            } else if meta.is_file() {
                let take = files::file(&path, &unlogged);
                // One that is being extended at this moment is no row of whole pages.
                let whole = meta.len() % PAGE as u64 == 0 && meta.len() <= PAGES_BYTES_MAX;
                let pages = take == Take::Pages && whole;
                if take != Take::Nothing && path != CONTROL {
                    found.files.push(entry(path, &meta, pages));
                }
            } else {
                found.odd.push(place);
            }
        }
    }
    found.folders.sort_by(|one, other| one.path.cmp(&other.path));
    found.files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// What a symlink leads to, where one may be: `pg_wal` and tablespaces.
fn followed(
    path: &str,
    place: &Path,
    meta: Metadata,
    found: &mut Found,
) -> io::Result<Option<Metadata>> {
    if !meta.is_symlink() {
        return Ok(Some(meta));
    }
    let number = path.strip_prefix(TABLESPACES).and_then(|rest| rest.strip_prefix('/'));
    let oid = number.and_then(|number| number.parse::<u32>().ok());
    if oid.is_none() && path != "pg_wal" {
        found.odd.push(place.to_owned());
        return Ok(None);
    }
    if let Some(oid) = oid {
        let Some(target) = passing(place, fs::read_link(place))? else { return Ok(None) };
        found.tablespaces.insert(oid, target);
    }
    passing(place, fs::metadata(place))
}

fn names(folder: &Path, odd: &mut Vec<PathBuf>) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        match entry?.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(name) => odd.push(folder.join(name)),
        }
    }
    Ok(names)
}

/// The relations of a folder that are emptied by a crash: those with an init fork.
fn unlogged(folder: &str, names: &[String]) -> BTreeSet<u32> {
    if !files::has_relations(folder) {
        return BTreeSet::new();
    }
    let relations = names.iter().filter_map(|name| Relation::named(name));
    relations.filter(|relation| relation.fork == "init").map(|relation| relation.number).collect()
}

/// Of a file or a folder, by what the file system says.
pub fn entry(path: String, meta: &Metadata, pages: bool) -> Entry {
    let mtime_ms = meta.mtime().saturating_mul(1000) + meta.mtime_nsec() / 1_000_000;
    let size = if meta.is_dir() { 0 } else { meta.len() };
    Entry { path, size, mode: meta.mode() & 0o7777, mtime_ms, pages }
}

/// `None` of what is gone.
fn passing<T>(place: &Path, looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{error}: `{}`", place.display()))),
    }
}
