//! Whether a server that runs uses what a directory links to: a copy of a directory has the links of the
//! one that it was copied from. Blocking.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use howdah_repo::Manifest;

use super::RestoreError;
use super::place::Places;
use super::strays::{Found, TABLESPACES};
use crate::backup::scan::CONTROL;

/// A folder, whatever it is called: another container calls it otherwise.
type Id = (u64, u64);

/// A folder that has one of them is a data directory.
const SIGNS: [&str; 3] = ["PG_VERSION", "postmaster.pid", CONTROL];

/// # Errors
/// What a restore would write to behind a link is used; or nobody can say, where that is not `force`d.
pub fn judge(
    manifest: &Manifest,
    places: &Places,
    found: &Found,
    force: bool,
) -> Result<(), RestoreError> {
    judge_servers(&followed(manifest, places, found), servers()?, force)
}

fn judge_servers(
    followed: &[PathBuf],
    servers: impl IntoIterator<Item = (i32, PathBuf)>,
    force: bool,
) -> Result<(), RestoreError> {
    let Some(first) = followed.first() else { return Ok(()) };
    for (pid, process) in servers {
        let Some(used) = used(&process) else {
            if force {
                continue;
            }
            return Err(RestoreError::PerhapsInUse { place: first.clone(), pid });
        };
        let in_use = |ours: &&PathBuf| used.iter().any(|theirs| overlap(ours, theirs));
        if let Some(place) = followed.iter().find(in_use) {
            return Err(RestoreError::InUse { place: place.clone(), pid });
        }
    }
    Ok(())
}

/// Folders behind links, of tablespaces only what is this server's own.
fn followed(manifest: &Manifest, places: &Places, found: &Found) -> Vec<PathBuf> {
    let mut followed = BTreeSet::new();
    let wal = places.data_dir.join("pg_wal");
    if wal.is_symlink() && wal.is_dir() {
        followed.insert(wal);
    }
    for oid in &found.linked {
        let root = format!("{TABLESPACES}/{oid}/");
        let inner = manifest.files.iter().filter_map(|file| file.path.strip_prefix(&root));
        let own = inner.filter_map(|rest| rest.split('/').next());
        followed.extend(own.map(|name| places.path(&format!("{root}{name}"))));
    }
    followed.into_iter().collect()
}

/// Processes that may be a server's, and their folders in `/proc`.
fn servers() -> Result<Vec<(i32, PathBuf)>, RestoreError> {
    let mut servers = Vec::new();
    let proc = Path::new("/proc");
    for entry in fs::read_dir(proc).map_err(RestoreError::io("read", proc))?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if ["postgres", "postmaster"].contains(&name.trim_end()) {
            servers.push((pid, entry.path()));
        }
    }
    Ok(servers)
}

/// What the process works in, and what that links to; `None`: it cannot be seen.
fn used(process: &Path) -> Option<Vec<PathBuf>> {
    let cwd = process.join("cwd");
    match fs::read_link(&cwd) {
        Ok(_) => {}
        // It has ended; of one that ends just now, the kernel says that it must not be seen.
        Err(error) if error.kind() == ErrorKind::NotFound => return Some(Vec::new()),
        Err(_) if !process.exists() => return Some(Vec::new()),
        Err(_) => return None,
    }
    // One that is just being started is where whoever starts it is.
    if !SIGNS.iter().any(|sign| cwd.join(sign).exists()) {
        return Some(Vec::new());
    }
    let mut used = vec![cwd.clone()];
    used.extend(target(process, &cwd.join("pg_wal")));
    let major = fs::read_to_string(cwd.join("PG_VERSION")).unwrap_or_default();
    // Servers of other versions may have theirs beside it.
    let own = format!("PG_{}_", major.trim_end());
    let links = fs::read_dir(cwd.join(TABLESPACES)).into_iter().flatten().flatten();
    for place in links.filter_map(|link| target(process, &link.path())) {
        let inner = fs::read_dir(&place).into_iter().flatten().flatten();
        let inner = inner.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own));
        used.extend(inner.map(|entry| entry.path()));
    }
    Some(used)
}

/// What a link shows to, as the process sees it.
fn target(process: &Path, link: &Path) -> Option<PathBuf> {
    let target = fs::read_link(link).ok()?;
    match target.strip_prefix("/") {
        Ok(below) => Some(process.join("root").join(below)),
        Err(_) => Some(link.parent()?.join(target)),
    }
}

/// Whether they are one folder, or one of them is in the other.
fn overlap(one: &Path, two: &Path) -> bool {
    let (ones, twos) = (ids(one), ids(two));
    let holds = |inner: &[Id], outer: &[Id]| outer.first().is_some_and(|id| inner.contains(id));
    holds(&ones, &twos) || holds(&twos, &ones)
}

/// Its own, and those of the folders above.
fn ids(place: &Path) -> Vec<Id> {
    let id = |place: &Path| fs::metadata(place).ok().map(|meta| (meta.dev(), meta.ino()));
    let Some(own) = id(place) else { return Vec::new() };
    let whole = fs::canonicalize(place).ok();
    let above = whole.iter().flat_map(|whole| whole.ancestors().skip(1)).filter_map(id);
    [own].into_iter().chain(above).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn make(folder: &Path) {
        fs::create_dir_all(folder).expect("made");
    }

    #[test]
    fn what_a_server_links_to_is_its_own_under_any_name() {
        let root = std::env::temp_dir().join(format!("howdah-used-{}", std::process::id()));
        let at = |name: &str| root.join(name);
        // A process of a container, which calls its folders otherwise.
        for name in ["box/wal/inner", "box/ts/PG_17_2/5", "ours/PG_16_1/5", "data/pg_tblspc"] {
            make(&at(name));
        }
        make(&at("proc/7"));
        symlink(at("data"), at("proc/7/cwd")).expect("linked");
        symlink(at("box"), at("proc/7/root")).expect("linked");
        symlink("/wal", at("data/pg_wal")).expect("linked");
        symlink("/ts", at("data/pg_tblspc/16400")).expect("linked");
        fs::write(at("data/PG_VERSION"), "17\n").expect("written");
        make(&at("box/ts/PG_16_1"));
        symlink(at("box/wal"), at("our_wal")).expect("linked");
        let judged = |followed: &str, process: &str, force| {
            judge_servers(&[at(followed)], [(7, at(process))], force)
        };
        let in_use = |place: &str| match judged(place, "proc/7", true) {
            Err(RestoreError::InUse { pid: 7, place: there }) => there == at(place),
            other => other.is_err(),
        };
        for place in ["our_wal", "box/wal", "box/wal/inner", "box", "box/ts/PG_17_2", "data"] {
            assert!(in_use(place), "{place}");
        }
        for place in ["ours", "ours/PG_16_1", "box/ts/PG_16_1"] {
            assert!(!in_use(place), "{place}");
        }
        // One that is being started has not gone to its directory yet.
        make(&at("proc/6"));
        symlink("/", at("proc/6/cwd")).expect("linked");
        assert!(judged("ours", "proc/6", false).is_ok(), "it uses nothing");
        // A link that cannot be read stands for a process of another user.
        make(&at("proc/8/cwd"));
        let hidden = judged("ours", "proc/8", false);
        assert!(matches!(hidden, Err(RestoreError::PerhapsInUse { .. })), "{hidden:?}");
        assert!(judged("ours", "proc/8", true).is_ok());
        assert!(judged("ours", "proc/9", false).is_ok(), "one that has ended");
        assert!(judge_servers(&[], [(8, at("proc/8"))], false).is_ok(), "no link is followed");
        fs::remove_dir_all(&root).expect("removed");
    }
}
