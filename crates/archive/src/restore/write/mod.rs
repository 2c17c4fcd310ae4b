//! A backup into a directory: an empty one, or over what is left of a data directory.
//!
//! ```text
//! look: whose, room ─► mark, pg_control aside ─► strays, folders, links ─► what is right already?
//!   ─► the other files, by threads ─► recovery's files ─► sync ─► pg_control ─► no mark
//! ```
//! Every frame's seal is verified, and every file is held against its hash. pg_control comes last, by a rename: without it
//! no server starts on what is there. A restore that was interrupted, however, can be run again over
//! what it has left.

mod error;
mod files;
pub(crate) mod gather;
mod ground;
mod pages;
mod place;
mod recovery;
mod same;
mod strays;
mod unkept;
mod used;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use howdah_repo::manifest::{About, Content};
use howdah_repo::name::Label;
use howdah_repo::{Lineage, Manifest};
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use error::RestoreError;
pub use ground::{is_marked, no_server, unmark};
pub use recovery::{Action, Along, Recovery, forget as forget_recovery};

use crate::backup::scan::CONTROL;
use crate::packs::OpenPacks;
use crate::stop::Stop;
use files::{How, Work};
use ground::Ground;
use place::Places;
use strays::Found;
use unkept::Held;

/// Where a backup goes, and what becomes of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    pub data_dir: PathBuf,
    /// Tablespaces that move, by OID; the others go to their original places.
    pub tablespaces: BTreeMap<u32, PathBuf>,
    /// Threads that fetch, decompress and write.
    pub jobs: usize,
    pub recovery: Recovery,
}

/// What may lie in the directories beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// Nothing.
    Nothing,
    /// A restore that was interrupted, of the same system. It stays marked as one until
    /// [`unmark`]: what is to become of it is not done by then.
    Interrupted,
    /// A data directory of the same system, or a restore that was interrupted: what is right in it
    /// stays, what is not in the backup goes. Nothing is as good.
    Directory {
        /// It need not say whose it is.
        force: bool,
    },
}

/// How far it is, in bytes of files.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    pub done: u64,
    pub total: u64,
    /// Of what is done: what was right and stayed.
    pub kept: u64,
}

/// pg_control until everything else is on the disk.
const CONTROL_FRESH: &str = "global/pg_control.howdah-new";

/// Whether the backup `label` could be restored like that: nothing is touched.
pub async fn check(
    lineage: &Lineage,
    label: &Label,
    to: &Destination,
    over: Over,
) -> Result<(), RestoreError> {
    let manifest = lineage.get_manifest(label).await?;
    let places = Places::of(&manifest, &to.data_dir, &to.tablespaces)?;
    packs_are_there(lineage, &manifest).await?;
    let held = held(lineage, to, over).await?;
    let looked = tokio::task::spawn_blocking(move || look(&manifest, &places, over, &held)).await;
    looked.map_err(|error| RestoreError::Ended(error.to_string()))?.map(drop)
}

/// As long as they were: by one listing, nothing is read.
async fn packs_are_there(lineage: &Lineage, manifest: &Manifest) -> Result<(), RestoreError> {
    let listed = lineage.repository().storage().list(&lineage.id().backups(), None).await?;
    let sizes: HashMap<&str, u64> = listed.iter().map(|o| (o.name.as_str(), o.size)).collect();
    for pack in &manifest.packs {
        let id = &pack.id;
        let name = lineage.id().pack(&id.label, id.family, id.number).to_string();
        let what = match sizes.get(name.as_str()) {
            Some(size) if *size == pack.footing.size => continue,
            Some(size) => format!("has {size} bytes instead of {}", pack.footing.size),
            None => "is missing".to_owned(),
        };
        return Err(RestoreError::Pack { name, what });
    }
    Ok(())
}

/// Restores the backup `label` into empty directories; a server that is started on it then recovers.
///
/// Dropping the future gives it up; what was written stays, and no server starts on it.
pub async fn restore(
    lineage: &Lineage,
    label: &Label,
    to: &Destination,
    told: &watch::Sender<Progress>,
) -> Result<About, RestoreError> {
    restore_over(lineage, label, to, Over::Nothing, told).await
}

/// The same, perhaps over what lies there.
pub async fn restore_over(
    lineage: &Lineage,
    label: &Label,
    to: &Destination,
    over: Over,
    told: &watch::Sender<Progress>,
) -> Result<About, RestoreError> {
    let stop = Stop::default();
    let _given_up = stop.on_drop();
    let manifest = lineage.get_manifest(label).await?;
    let places = Places::of(&manifest, &to.data_dir, &to.tablespaces)?;
    let total = manifest.files.iter().map(|file| file.size).sum();
    told.send_modify(|progress| progress.total = total);
    let packs = OpenPacks::new(lineage, &manifest.packs);
    let (handle, told) = (Handle::current(), told.clone());
    let work = Arc::new(Work { manifest, places, packs, handle, stop, told });
    let held = held(lineage, to, over).await?;
    let found = beside(&work, move |work| look(&work.manifest, &work.places, over, &held)).await?;
    let (ground, found) = beside(&work, move |work| begin(work, found)).await?;
    let there = Arc::new(found.there);
    let same =
        if there.is_empty() { BTreeSet::new() } else { same::find(&work, to.jobs, &there).await? };
    files::write(&work, to.jobs, |index, file| {
        let apart = file.path == CONTROL || recovery::SIGNALS.contains(&file.path.as_str());
        let how = if there.contains_key(&file.path) { How::ByPages } else { How::Anew };
        (!apart && !same.contains(&index)).then_some(how)
    })
    .await?;
    let recovery = to.recovery.clone();
    beside(&work, move |work| recovery::write(&work.places, &work.manifest.about, &recovery))
        .await?;
    control(&work).await?;
    if over != Over::Interrupted {
        beside(&work, move |_| ground.done()).await?;
    }
    Ok(work.manifest.about.clone())
}

async fn held(lineage: &Lineage, to: &Destination, over: Over) -> Result<Held, RestoreError> {
    match over {
        Over::Nothing => Ok(Held::default()),
        Over::Interrupted | Over::Directory { .. } => unkept::held(lineage, &to.data_dir).await,
    }
}

/// What there is, if it may be restored over.
fn look(
    manifest: &Manifest,
    places: &Places,
    over: Over,
    held: &Held,
) -> Result<Found, RestoreError> {
    let empty = || {
        let place = &places.data_dir;
        place::is_empty(place).map_err(RestoreError::io("look into", place))
    };
    let (force, hidden) = match over {
        Over::Directory { force } if !empty()? => (force, force),
        // Its links are a restore's own, which found nothing behind them.
        Over::Interrupted if is_marked(&places.data_dir) => (false, true),
        _ => return places.look(manifest).map(|()| Found::default()),
    };
    ground::judge(&places.data_dir, manifest.about.system_identifier, force)?;
    let found = strays::look(manifest, places, held)?;
    used::judge(manifest, places, &found, hidden)?;
    places.look_over(manifest, &found)?;
    Ok(found)
}

/// From here on it is no data directory any more, until it is one again.
fn begin(work: &Work, found: Found) -> Result<(Ground, Found), RestoreError> {
    let Work { places, manifest, .. } = work;
    make(&places.data_dir)?;
    let ground = Ground::take(&places.data_dir, manifest.about.system_identifier)?;
    unkept::put_aside(&found.unkept, &places.data_dir)?;
    strays::remove(&found)?;
    ground.forget_control()?;
    folders(places, manifest, &found.linked)?;
    Ok((ground, found))
}

async fn beside<T: Send + 'static>(
    work: &Arc<Work>,
    act: impl FnOnce(&Work) -> Result<T, RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    let work = Arc::clone(work);
    let done = tokio::task::spawn_blocking(move || act(&work)).await;
    done.map_err(|error| RestoreError::Ended(error.to_string()))?
}

/// All folders, and the links to tablespaces. In order of paths: a folder comes before what is in it.
fn folders(
    places: &Places,
    manifest: &Manifest,
    linked: &BTreeSet<u32>,
) -> Result<(), RestoreError> {
    for place in places.all() {
        make(place)?;
    }
    for file in manifest.files.iter().filter(|file| file.content == Content::Folder) {
        make(&places.path(&file.path))?;
    }
    for (oid, place) in places.tablespaces.iter().filter(|(oid, _)| !linked.contains(oid)) {
        let link = places.data_dir.join(format!("pg_tblspc/{oid}"));
        symlink(place, &link).map_err(RestoreError::io("link", &link))?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), RestoreError> {
    use std::os::unix::fs::PermissionsExt;
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(RestoreError::io("make", folder))?;
    // One that was there and empty may be open to others.
    let own = fs::Permissions::from_mode(0o700);
    fs::set_permissions(folder, own).map_err(RestoreError::io("close", folder))
}

/// pg_control, once all else is on the disk.
async fn control(work: &Arc<Work>) -> Result<(), RestoreError> {
    beside(work, |work| sync(&work.places)).await?;
    let mut last = work.manifest.files.iter().find(|file| file.path == CONTROL).cloned();
    let Some(file) = &mut last else {
        return Err(RestoreError::Differs(CONTROL.to_owned()));
    };
    file.path = CONTROL_FRESH.to_owned();
    let manifest = Manifest {
        about: work.manifest.about.clone(),
        packs: work.manifest.packs.clone(),
        files: last.into_iter().collect(),
    };
    let only = Work {
        packs: OpenPacks::new(work.packs.lineage(), &manifest.packs),
        manifest,
        places: work.places.clone(),
        handle: work.handle.clone(),
        stop: work.stop.clone(),
        told: work.told.clone(),
    };
    files::write(&Arc::new(only), 1, |_, _| Some(How::Anew)).await?;
    beside(work, |work| {
        let (fresh, path) = (work.places.path(CONTROL_FRESH), work.places.path(CONTROL));
        let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        sync(&fresh).map_err(RestoreError::io("fsync", &fresh))?;
        fs::rename(&fresh, &path).map_err(RestoreError::io("rename", &fresh))?;
        let folder = work.places.path("global");
        sync(&folder).map_err(RestoreError::io("fsync", &folder))
    })
    .await
}

/// Everything on the disks, and the folders' own entries above them.
fn sync(places: &Places) -> Result<(), RestoreError> {
    for place in places.all() {
        let folder = File::open(place).map_err(RestoreError::io("open", place))?;
        nix::unistd::syncfs(&folder)
            .map_err(|error| RestoreError::io("sync", place)(error.into()))?;
        if let Some(above) = place.parent() {
            let synced = File::open(above).and_then(|above| above.sync_all());
            synced.map_err(RestoreError::io("fsync", above))?;
        }
    }
    Ok(())
}
