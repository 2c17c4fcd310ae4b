//! Every file of a backup out of packs, by several threads.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use howdah_repo::Manifest;
use howdah_repo::direct::{Buffer, Direct};
use howdah_repo::manifest::{Content, FileEntry, PackId, Piece};
use howdah_repo::pack::{self, Hash};
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::gather::Wanted;
use super::pages::{self, Pages};
use super::place::Places;
use super::{Progress, RestoreError};
use crate::packs::{OpenPacks, Part};
use crate::stop::Stop;
use crate::threads;
use crate::tree::{self, EXTENT, ExtentHasher};

const BUNDLE_BYTES: u64 = 8 << 20;
const BUNDLE_FILES: usize = 256;
/// Of shorter files the disk takes many at once, from the cache.
const DIRECT_BYTES_MIN: u64 = 1 << 20;
/// Whole frames, of which a full backup's lie one behind the other.
const WINDOW_BYTES: u64 = 2 << 20;

/// What all threads share.
#[derive(Debug)]
pub struct Work {
    pub manifest: Manifest,
    pub places: Places,
    pub packs: OpenPacks,
    pub handle: Handle,
    pub stop: Stop,
    pub told: watch::Sender<Progress>,
}

/// How a file comes to be what it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    Anew,
    /// Pages that are right where they lie stay.
    ByPages,
}

#[derive(Debug)]
pub enum Item {
    /// Small files, in [`Manifest::files`].
    Bundle(Vec<usize>),
    Extent(Arc<Large>, u32),
}

/// What is to be done yet, by whichever thread comes first.
pub type Queue = Mutex<VecDeque<Item>>;

/// A file that several threads work on.
#[derive(Debug)]
pub struct Large {
    pub index: usize,
    pub how: How,
    /// Loaded by the first thread that needs it.
    pub map: Mutex<Option<Arc<Pages>>>,
    /// That the file cannot be read was said.
    pub unread: AtomicBool,
    /// Its room on the disk is taken.
    room: Once,
    hashes: Mutex<(Vec<Hash>, u32)>,
}

/// Writes the files that `chosen` names; the first error ends it all.
pub async fn write(
    work: &Arc<Work>,
    jobs: usize,
    chosen: impl Fn(usize, &FileEntry) -> Option<How>,
) -> Result<(), RestoreError> {
    let queue = Arc::new(queue(&work.manifest, jobs, chosen));
    let shared = Arc::clone(work);
    threads::run(jobs, &work.stop, move || one_thread(&shared, &queue)).await
}

/// Small files by where they lie, so that those of one frame are written together.
pub fn queue(
    manifest: &Manifest,
    jobs: usize,
    chosen: impl Fn(usize, &FileEntry) -> Option<How>,
) -> Queue {
    let (mut extents, mut small) = (Vec::new(), Vec::new());
    for (index, file) in manifest.files.iter().enumerate() {
        let Some(how) = chosen(index, file) else { continue };
        match &file.content {
            Content::Folder => {}
            Content::Whole(pieces) if file.size <= EXTENT => {
                let first = pieces.first().map(|piece| (piece.pack, piece.frame));
                small.push((first, index));
            }
            _ => {
                let count = u32::try_from(file.size.div_ceil(EXTENT)).unwrap_or(u32::MAX).max(1);
                let hashes = Mutex::new((vec![[0; 32]; count as usize], count));
                let (map, unread, room) = (Mutex::default(), AtomicBool::default(), Once::new());
                let large = Arc::new(Large { index, how, map, unread, room, hashes });
                extents
                    .push((0..count).map(move |number| Item::Extent(Arc::clone(&large), number)));
            }
        }
    }
    let mut queue = in_turns(extents, jobs);
    small.sort_unstable();
    let (mut bundle, mut bytes) = (Vec::new(), 0);
    for (_, index) in small {
        let size = manifest.files[index].size;
        if !bundle.is_empty() && (bytes + size > BUNDLE_BYTES || bundle.len() >= BUNDLE_FILES) {
            queue.push_back(Item::Bundle(std::mem::take(&mut bundle)));
            bytes = 0;
        }
        bundle.push(index);
        bytes += size;
    }
    queue.push_back(Item::Bundle(bundle));
    Mutex::new(queue)
}

/// One extent of each of `width` files, and so on: a file system lets one thread write to a file at a time.
fn in_turns<T>(files: Vec<impl Iterator<Item = T>>, width: usize) -> VecDeque<T> {
    let (mut coming, mut queue) = (files.into_iter(), VecDeque::new());
    let mut open: VecDeque<_> = coming.by_ref().take(width.max(1)).collect();
    while let Some(mut file) = open.pop_front() {
        match file.next() {
            Some(extent) => {
                queue.push_back(extent);
                open.push_back(file);
            }
            None => open.extend(coming.next()),
        }
    }
    queue
}

impl Large {
    /// Of a file that is worked on extent by extent.
    pub fn ends(&self, number: u32, hash: Hash) -> Option<Hash> {
        let mut hashes = locked(&self.hashes);
        hashes.0[number as usize] = hash;
        hashes.1 -= 1;
        (hashes.1 == 0).then(|| tree::whole(&hashes.0))
    }
}

fn one_thread(work: &Work, queue: &Queue) -> Result<(), RestoreError> {
    let mut buffer = Buffer::default();
    loop {
        work.stop.check()?;
        let Some(item) = locked(queue).pop_front() else { return Ok(()) };
        match item {
            Item::Bundle(files) => bundle(work, &files, &mut buffer)?,
            Item::Extent(large, number) => extent(work, &large, number, &mut buffer)?,
        }
    }
}

fn bundle(work: &Work, files: &[usize], buffer: &mut Buffer) -> Result<(), RestoreError> {
    let files = files.iter().map(|index| &work.manifest.files[*index]);
    let mut wanted = Wanted::default();
    let mut end = 0;
    for file in files.clone() {
        if let Content::Whole(pieces) = &file.content {
            let mut at = end;
            for piece in pieces {
                wanted.add(pack_of(work, piece), part(piece), at);
                at += piece.len as usize;
            }
        }
        end += file.size as usize;
    }
    buffer.resize(end);
    wanted.fetch(&work.packs, &work.handle, &work.stop, buffer)?;
    let mut at = 0;
    for file in files {
        let bytes = &buffer[at..at + file.size as usize];
        if pack::hash(bytes) != file.hash {
            return Err(RestoreError::Differs(file.path.clone()));
        }
        let path = work.places.path(&file.path);
        open(&path)?.write_all_at(bytes, 0).map_err(RestoreError::io("write", &path))?;
        told(work, file.size);
        at += file.size as usize;
    }
    Ok(())
}

fn extent(
    work: &Work,
    large: &Large,
    number: u32,
    buffer: &mut Buffer,
) -> Result<(), RestoreError> {
    let file = &work.manifest.files[large.index];
    let (begin, window) = (u64::from(number) * EXTENT, window(work));
    let end = file.size.min(begin + EXTENT);
    let path = work.places.path(&file.path);
    let to = open(&path)?;
    let mut direct = direct(large, file, &to, &path);
    let mut hasher = ExtentHasher::new(number, file.size);
    let (mut at, mut fresh) = (begin, 0);
    while at < end {
        work.stop.check()?;
        buffer.resize((end - at).min(window) as usize);
        let written = match &file.content {
            Content::Folder => Vec::new(),
            Content::Whole(pieces) => {
                pieces_of(work, pieces, at, buffer)?;
                std::iter::once(0..buffer.len()).collect()
            }
            Content::Pages(map) => pages::bring(work, large, *map, at, &to, buffer)?,
        };
        hasher.update(buffer);
        for part in written {
            fresh += part.len() as u64;
            let here = at + part.start as u64;
            let put = direct.write_all_at(&to, &buffer[part], here);
            put.map_err(RestoreError::io("write", &path))?;
        }
        at += buffer.len() as u64;
        told(work, buffer.len() as u64);
    }
    let len = end - begin;
    if fresh == len && !direct.is_open() {
        to_the_disk(&to, begin, len);
    }
    work.told.send_modify(|progress| progress.kept += len - fresh);
    match large.ends(number, hasher.end()) {
        None => return Ok(()),
        Some(hash) if hash != file.hash => return Err(RestoreError::Differs(file.path.clone())),
        Some(_) => locked(&large.map).take(),
    };
    Ok(())
}

/// A file that is made anew is written past the cache; single pages here and there are not. All room that it
/// needs is taken at once: then several threads may write to it. Where that cannot be, it grows.
fn direct(large: &Large, file: &FileEntry, to: &File, path: &Path) -> Direct {
    if large.how != How::Anew || file.size < DIRECT_BYTES_MIN {
        return Direct::none();
    }
    large.room.call_once(|| {
        if let Ok(size) = i64::try_from(file.size) {
            let _ = fallocate(to, FallocateFlags::empty(), 0, size);
        }
    });
    Direct::open(path)
}

/// How much is brought, hashed and written at a time: what the processor's cache holds; or where each
/// request is a journey, all that is to be had by one.
fn window(work: &Work) -> u64 {
    if work.packs.lineage().repository().storage().is_near() { WINDOW_BYTES } else { EXTENT }
}

/// Lets the disk begin with what was just written: otherwise it waits for the sync at the end, and that for
/// the disk. Only a hint.
fn to_the_disk(file: &File, begin: u64, len: u64) {
    let range = i64::try_from(begin).ok().zip(i64::try_from(len).ok());
    if let Some((begin, len)) = range {
        let _ = posix_fadvise(file, begin, len, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

fn pieces_of(
    work: &Work,
    pieces: &[Piece],
    begin: u64,
    buffer: &mut [u8],
) -> Result<(), RestoreError> {
    let end = begin + buffer.len() as u64;
    let mut wanted = Wanted::default();
    let mut at = 0_u64;
    for piece in pieces {
        let (from, to) = (at.max(begin), (at + u64::from(piece.len)).min(end));
        if from < to {
            let skip = (from - at) as u32;
            let part = Part { frame: piece.frame, at: piece.at + skip, len: (to - from) as u32 };
            wanted.add(pack_of(work, piece), part, (from - begin) as usize);
        }
        at += u64::from(piece.len);
    }
    wanted.fetch(&work.packs, &work.handle, &work.stop, buffer)
}

fn pack_of<'w>(work: &'w Work, piece: &Piece) -> &'w PackId {
    &work.manifest.packs[piece.pack as usize].id
}

fn part(piece: &Piece) -> Part {
    Part { frame: piece.frame, at: piece.at, len: piece.len }
}

fn open(path: &Path) -> Result<File, RestoreError> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    options.open(path).map_err(RestoreError::io("write", path))
}

pub fn told(work: &Work, bytes: u64) {
    work.told.send_modify(|progress| progress.done += bytes);
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
