//! Every file of the data directory into packs, by several threads.
//!
//! ```text
//! queue: extents of large files, bundles of small ones ─► threads ─┬─► packs of data
//!                                                                  ├─► packs of maps
//!                                                                  └─► Copied, one a file
//! ```
//! A thread takes 16 MiB at a time, so one huge file is read by all of them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use howdah_base::Lsn;
use howdah_repo::manifest::{BadPage, PackId, Span};
use howdah_repo::name::Label;
use howdah_repo::pack::Hash;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::earlier::Earlier;
use super::large::{Room, State};
use super::packs::Packs;
use super::throttle::Throttle;
use super::{BackupError, Progress, large, small, untouched};
use crate::backup::scan::Entry;
use crate::backup::summaries::Changes;
use crate::stop::Stop;
use crate::threads;
use crate::tree::EXTENT;

/// Files up to this are stored as a whole, many in a frame.
const SMALL_BYTES: u64 = 64 << 10;
/// One thread takes so much of small files at a time.
const BUNDLE_BYTES: u64 = 4 << 20;
const BUNDLE_FILES: usize = 256;

/// What all threads share.
#[derive(Debug)]
pub struct Work {
    pub data_dir: PathBuf,
    /// Where the backup's WAL begins.
    pub start: Lsn,
    pub checksums: bool,
    pub pages_per_file: u32,
    pub entries: Vec<Entry>,
    pub earlier: Option<Earlier>,
    /// Since that one, where the server knows it.
    pub changes: Option<Changes>,
    /// Of what is not read, so much is looked at nevertheless.
    pub audit_percent: u8,
    /// Whether what has changed without WAL can be nothing but a mistake somewhere.
    pub tells_silent: bool,
    pub label: Label,
    pub data: Arc<Packs>,
    pub maps: Arc<Packs>,
    pub throttle: Throttle,
    pub stop: Stop,
    pub handle: Handle,
    pub told: watch::Sender<Progress>,
    pub out: Mutex<Out>,
}

/// What the threads bring.
#[derive(Default, Debug)]
pub struct Out {
    pub copied: Vec<Copied>,
    pub bad: Vec<BadPage>,
    /// Unsound, and of this LSN: bad if the backup's end comes before it.
    pub suspects: Vec<(BadPage, Lsn)>,
    /// Changed though no WAL says so.
    pub silent: Vec<BadPage>,
    /// Of the files' bytes, those that were stored now.
    pub new: u64,
}

/// A file that is in packs.
#[derive(Clone, Debug)]
pub struct Copied {
    pub path: String,
    pub size: u64,
    pub mode: u32,
    pub mtime_ms: i64,
    pub hash: Hash,
    pub content: Stored,
}

/// Where.
#[derive(Clone, Debug)]
pub enum Stored {
    Whole(Vec<StoredPiece>),
    Pages {
        map: PackId,
        runs: Span,
        sums: Span,
        /// The packs that the map refers to.
        packs: Vec<PackId>,
    },
}

#[derive(Clone, Debug)]
pub struct StoredPiece {
    pub pack: PackId,
    pub frame: u32,
    pub at: u32,
    pub len: u32,
}

/// What one thread takes at a time.
#[derive(Debug)]
enum Item {
    Bundle(Vec<usize>),
    /// Of no relation, large, and as long as it was: perhaps it has not changed.
    Look(usize),
    /// Of a relation, and WAL says that it has not changed.
    Untouched(usize),
    Extent(Arc<State>, u32),
}

/// So many unsound pages are kept in mind.
const BAD_MAX: usize = 10_000;

impl Work {
    pub fn add_bad(&self, page: BadPage) {
        tracing::error!("a page is damaged on the server: page {} of `{}`", page.page, page.path);
        let mut out = locked(&self.out);
        if out.bad.len() < BAD_MAX {
            out.bad.push(page);
        }
    }

    pub fn add_suspect(&self, page: BadPage, lsn: Lsn) {
        let mut out = locked(&self.out);
        if out.suspects.len() < BAD_MAX {
            out.suspects.push((page, lsn));
        }
    }

    pub fn add_silent(&self, page: BadPage) {
        let BadPage { path, page: number } = &page;
        tracing::error!("a page has changed that no WAL tells of: page {number} of `{path}`");
        let mut out = locked(&self.out);
        if out.silent.len() < BAD_MAX {
            out.silent.push(page);
        }
    }

    pub fn add(&self, copied: Copied) {
        locked(&self.out).copied.push(copied);
    }

    pub fn add_new(&self, bytes: u64) {
        locked(&self.out).new += bytes;
    }

    pub fn told(&self, bytes: u64) {
        let stored = self.data.stored() + self.maps.stored();
        self.told.send_modify(|progress| {
            progress.done += bytes;
            progress.stored = stored;
        });
    }
}

/// Copies all of `work`, by `jobs` threads; the first error ends them all.
pub async fn copy(work: &Arc<Work>, jobs: usize) -> Result<(), BackupError> {
    let queue = Arc::new(Mutex::new(queue(work)));
    let shared = Arc::clone(work);
    threads::run(jobs, &work.stop, move || one_thread(&shared, &queue)).await
}

fn one_thread(work: &Arc<Work>, queue: &Mutex<VecDeque<Item>>) -> Result<(), BackupError> {
    let mut room = Room::new(work);
    loop {
        work.stop.check()?;
        let Some(item) = locked(queue).pop_front() else { return Ok(()) };
        match item {
            Item::Bundle(files) => small::bundle(work, &files)?,
            Item::Look(index) => {
                if !large::is_kept(work, index, &mut room.buffer)? {
                    extents(&work.entries[index], index, &mut locked(queue));
                }
            }
            Item::Untouched(index) => {
                if !untouched::keep(work, index, &mut room.buffer)? {
                    extents(&work.entries[index], index, &mut locked(queue));
                }
            }
            Item::Extent(state, number) => large::extent(work, &state, number, &mut room)?,
        }
    }
}

/// Large files first, extent by extent; then the small ones.
fn queue(work: &Work) -> VecDeque<Item> {
    let mut queue = VecDeque::new();
    let (mut bundle, mut bytes) = (Vec::new(), 0);
    let mut bundles = Vec::new();
    for (index, entry) in work.entries.iter().enumerate() {
        if entry.size > SMALL_BYTES {
            let earlier = work.earlier.as_ref().and_then(|earlier| earlier.file(&entry.path));
            match earlier {
                Some(_) if untouched::is_left(work, index) => {
                    queue.push_back(Item::Untouched(index));
                }
                Some(file) if file.size == entry.size && !entry.pages => {
                    queue.push_back(Item::Look(index));
                }
                _ => extents(entry, index, &mut queue),
            }
            continue;
        }
        bundle.push(index);
        bytes += entry.size;
        if bytes >= BUNDLE_BYTES || bundle.len() >= BUNDLE_FILES {
            bundles.push(Item::Bundle(std::mem::take(&mut bundle)));
            bytes = 0;
        }
    }
    bundles.push(Item::Bundle(bundle));
    queue.extend(bundles);
    queue
}

fn extents(entry: &Entry, index: usize, queue: &mut VecDeque<Item>) {
    let extents = u32::try_from(entry.size.div_ceil(EXTENT)).unwrap_or(u32::MAX);
    let state = Arc::new(State::new(index, extents));
    queue.extend((0..extents).map(|number| Item::Extent(Arc::clone(&state), number)));
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
