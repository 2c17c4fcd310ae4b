//! Where a backup's files go, and whether they may: looked at before anything is touched. Blocking.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use howdah_repo::Manifest;
use nix::sys::statvfs::statvfs;

use super::RestoreError;
use super::strays::Found;

const MB: u64 = 1 << 20;
/// Beyond the files: what a server writes before it can be asked.
const ROOM_BYTES: u64 = 64 * MB;

/// The folders that are filled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Places {
    pub data_dir: PathBuf,
    /// Every tablespace of the backup.
    pub tablespaces: BTreeMap<u32, PathBuf>,
}

impl Places {
    /// Those of `manifest`, moved as `mapped` says.
    pub fn of(
        manifest: &Manifest,
        data_dir: &Path,
        mapped: &BTreeMap<u32, PathBuf>,
    ) -> Result<Places, RestoreError> {
        let there = &manifest.about.tablespaces;
        let original = there.iter().map(|there| (there.oid, PathBuf::from(&there.path)));
        let mut tablespaces: BTreeMap<u32, PathBuf> = original.collect();
        for (oid, place) in mapped {
            let oids: Vec<String> = there.iter().map(|there| there.oid.to_string()).collect();
            let hint = || format!("it has these: `{}`", oids.join(" "));
            let known = tablespaces.get_mut(oid);
            *known.ok_or_else(|| RestoreError::NoTablespace(*oid, hint()))? = place.clone();
        }
        let mut used = vec![data_dir.to_owned()];
        for place in tablespaces.values() {
            let inside = |used: &PathBuf| place.starts_with(used) || used.starts_with(place);
            if !place.is_absolute() || used.iter().any(inside) || has_line(place) {
                return Err(RestoreError::BadPlace(place.clone()));
            }
            used.push(place.clone());
        }
        Ok(Places { data_dir: data_dir.to_owned(), tablespaces })
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        [self.data_dir.as_path()].into_iter().chain(self.tablespaces.values().map(PathBuf::as_path))
    }

    /// Where a path of a manifest goes.
    pub fn path(&self, path: &str) -> PathBuf {
        match self.of_tablespace(path) {
            Some((place, "")) => place.to_owned(),
            Some((place, rest)) => place.join(rest),
            None => self.data_dir.join(path),
        }
    }

    fn of_tablespace<'p>(&self, path: &'p str) -> Option<(&Path, &'p str)> {
        let rest = path.strip_prefix("pg_tblspc/")?;
        let (oid, rest) = rest.split_once('/').unwrap_or((rest, ""));
        Some((self.tablespaces.get(&oid.parse().ok()?)?, rest))
    }

    /// Nothing is in any of them, and the files fit.
    pub fn look(&self, manifest: &Manifest) -> Result<(), RestoreError> {
        self.all().try_for_each(must_be_empty)?;
        self.look_for_room(manifest, &Found::default())
    }

    /// The same where a data directory is: tablespaces that it has not yet are empty.
    pub fn look_over(&self, manifest: &Manifest, found: &Found) -> Result<(), RestoreError> {
        let others = self.tablespaces.iter().filter(|(oid, _)| !found.linked.contains(oid));
        others.map(|(_, place)| place.as_path()).try_for_each(must_be_empty)?;
        self.look_for_room(manifest, found)
    }

    fn look_for_room(&self, manifest: &Manifest, found: &Found) -> Result<(), RestoreError> {
        let mut needed: BTreeMap<u64, (PathBuf, u64)> = BTreeMap::new();
        for place in self.all() {
            needed.entry(device(&standing(place))?).or_insert((standing(place), ROOM_BYTES));
        }
        for file in &manifest.files {
            let place = self.of_tablespace(&file.path).map_or(&*self.data_dir, |(place, _)| place);
            if let Some((_, bytes)) = needed.get_mut(&device(&standing(place))?) {
                *bytes +=
                    file.size.saturating_sub(found.there.get(&file.path).copied().unwrap_or(0));
            }
        }
        for (device, (place, needed)) in needed {
            let system = statvfs(&place)
                .map_err(|error| RestoreError::io("look at", &place)(error.into()))?;
            let free = system.blocks_available().saturating_mul(system.fragment_size());
            let free = free + found.freed.get(&device).copied().unwrap_or(0);
            if free < needed {
                let (needed, free) = (needed.div_ceil(MB), free / MB);
                return Err(RestoreError::NoRoom { place, needed, free });
            }
        }
        Ok(())
    }
}

fn must_be_empty(place: &Path) -> Result<(), RestoreError> {
    match is_empty(place).map_err(RestoreError::io("look into", place))? {
        true => Ok(()),
        false => Err(RestoreError::NotEmpty(place.to_owned())),
    }
}

fn device(place: &Path) -> Result<u64, RestoreError> {
    let meta = fs::metadata(place).map_err(RestoreError::io("look at", place))?;
    Ok(meta.dev())
}

fn has_line(place: &Path) -> bool {
    place.to_str().is_none_or(|place| place.contains(['\n', '\r']))
}

pub fn is_empty(place: &Path) -> std::io::Result<bool> {
    match fs::read_dir(place) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// The place, or the nearest folder above that is there.
fn standing(place: &Path) -> PathBuf {
    let there = place.ancestors().find(|place| place.is_dir());
    there.unwrap_or(Path::new("/")).to_owned()
}
