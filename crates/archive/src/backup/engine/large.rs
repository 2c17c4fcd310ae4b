//! A large file, extent by extent; whoever finishes the last one puts it together.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use howdah_repo::frame::PLAIN_BYTES_MAX;
use howdah_repo::manifest::{PackId, Span};
use howdah_repo::pack::Hash;
use howdah_repo::page_map::{encode_sums, page_sum};

use super::copy::{Copied, Stored, StoredPiece, Work, locked};
use super::earlier::{EarlierPages, MapBuilder};
use super::filler::{Filler, Placed};
use super::packs::frames;
use super::read::{self, Judge};
use super::{BackupError, small};
use crate::backup::page::PAGE;
use crate::backup::scan::Entry;
use crate::tree::{self, EXTENT, ExtentHasher};

/// Read at a time: what fits into the cache of one processor together with the pages that the system copies it
/// from. Whole pages.
const READ_BYTES: usize = 128 << 10;

/// Where one thread has what it reads.
#[derive(Debug)]
pub struct Room {
    /// For what is compared first.
    pub buffer: Vec<u8>,
    filler: Filler,
}

impl Room {
    pub fn new(work: &Work) -> Room {
        Room { buffer: vec![0; READ_BYTES], filler: Filler::new(&work.data) }
    }
}

/// A large file on its way.
#[derive(Debug)]
pub struct State {
    /// In [`Work::entries`].
    index: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    done: Vec<Option<Done>>,
    left: u32,
    /// It was dropped meanwhile.
    gone: bool,
    /// `None`: nobody has looked yet.
    earlier: Option<Option<Arc<EarlierPages>>>,
}

/// An extent that is in packs.
#[derive(Debug, Default)]
struct Done {
    hash: Hash,
    sums: Vec<u64>,
    new: Vec<Placed>,
    /// Pages that are as they were.
    kept: Vec<Range<u32>>,
}

impl State {
    pub fn new(index: usize, extents: u32) -> State {
        let done = (0..extents).map(|_| None).collect();
        let inner = Inner { done, left: extents, gone: false, earlier: None };
        State { index, inner: Mutex::new(inner) }
    }
}

/// Whether a file of no relation is what the earlier backup has; then it is kept.
pub fn is_kept(work: &Work, index: usize, buffer: &mut [u8]) -> Result<bool, BackupError> {
    let entry = &work.entries[index];
    let Some(file) = read::open(&work.data_dir.join(&entry.path))? else { return Ok(true) };
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < entry.size {
        let len = (entry.size - at).min(buffer.len() as u64);
        work.throttle.pass(len, &work.stop)?;
        let bytes = &mut buffer[..len as usize];
        read::fill(&file, at, bytes)?;
        hasher.update(bytes);
        at += len;
    }
    let mut copied = small::copied(entry, &[]);
    (copied.size, copied.hash) = (entry.size, *hasher.finalize().as_bytes());
    let Some(pieces) = small::kept(work, &copied) else { return Ok(false) };
    copied.content = Stored::Whole(pieces);
    work.told(entry.size);
    work.add(copied);
    Ok(true)
}

/// Copies one extent.
pub fn extent(work: &Work, state: &State, number: u32, room: &mut Room) -> Result<(), BackupError> {
    let entry = &work.entries[state.index];
    let file = read::open(&work.data_dir.join(&entry.path))?;
    let done = match &file {
        Some(file) => Some(store(work, state, entry, file, number, room)?),
        None => None,
    };
    let mut inner = locked(&state.inner);
    inner.gone |= done.is_none();
    inner.done[number as usize] = done;
    inner.left -= 1;
    if inner.left > 0 || inner.gone {
        return Ok(());
    }
    let extents: Vec<Done> = inner.done.drain(..).flatten().collect();
    let earlier = inner.earlier.take().flatten();
    drop(inner);
    let copied = assemble(work, entry, extents, earlier.as_deref())?;
    work.add(copied);
    Ok(())
}

fn store(
    work: &Work,
    state: &State,
    entry: &Entry,
    file: &File,
    number: u32,
    room: &mut Room,
) -> Result<Done, BackupError> {
    let earlier = if entry.pages { earlier(work, state, entry)? } else { None };
    let judge = Judge::of(&entry.path, work.start, work.pages_per_file);
    let mut hasher = ExtentHasher::new(number, entry.size);
    let mut done = Done::default();
    let begin = u64::from(number) * EXTENT;
    let end = (begin + EXTENT).min(entry.size);
    let Room { buffer, filler } = room;
    // What has no pages has a piece a frame.
    let most = if entry.pages { READ_BYTES } else { PLAIN_BYTES_MAX };
    let mut at = begin;
    while at < end {
        let len = (end - at).min(most as u64) as usize;
        work.throttle.pass(len as u64, &work.stop)?;
        if !filler.has_room_for(len) {
            done.new.extend(filler.seal()?);
        }
        let page = (at / PAGE as u64) as u32;
        // What is stored whatever it is, is read to where it is sealed.
        let bytes = match (entry.pages, &earlier) {
            (true, Some(_)) => &mut buffer[..len],
            (true, None) => filler.room(page.into(), len, true),
            (false, _) => filler.room(at, len, false),
        };
        let have = read::fill(file, at, bytes)?;
        if entry.pages && work.checksums {
            for (page, verdict) in judge.look(file, page, have, bytes)? {
                small::told(work, &entry.path, page, verdict);
            }
        }
        hasher.update(bytes);
        match &earlier {
            _ if !entry.pages => {}
            Some(earlier) => choose(&buffer[..len], page, earlier, filler, &mut done),
            None => done.sums.extend(bytes.chunks_exact(PAGE).map(page_sum)),
        }
        at += len as u64;
        work.told(len as u64);
    }
    done.new.extend(filler.seal()?);
    done.hash = hasher.end();
    work.add_new(done.new.iter().map(|placed| u64::from(placed.len)).sum());
    Ok(done)
}

/// The file as the earlier backup has it; loaded once.
fn earlier(
    work: &Work,
    state: &State,
    entry: &Entry,
) -> Result<Option<Arc<EarlierPages>>, BackupError> {
    let Some(earlier) = &work.earlier else { return Ok(None) };
    let mut inner = locked(&state.inner);
    if let Some(known) = &inner.earlier {
        return Ok(known.clone());
    }
    let pages = work.handle.block_on(earlier.pages(&entry.path))?.map(Arc::new);
    inner.earlier = Some(pages.clone());
    Ok(pages)
}

/// Pages that have changed, into the filler; the others stay where they are.
fn choose(bytes: &[u8], first: u32, earlier: &EarlierPages, filler: &mut Filler, done: &mut Done) {
    for (page, number) in bytes.chunks_exact(PAGE).zip(first..) {
        let sum = page_sum(page);
        done.sums.push(sum);
        let before = earlier.sums.get(number as usize);
        if before != Some(&sum) {
            filler.add_page(number, page);
        } else if let Some(last) = done.kept.last_mut().filter(|last| last.end == number) {
            last.end += 1;
        } else {
            done.kept.push(number..number + 1);
        }
    }
}

fn assemble(
    work: &Work,
    entry: &Entry,
    extents: Vec<Done>,
    earlier: Option<&EarlierPages>,
) -> Result<Copied, BackupError> {
    let hashes: Vec<Hash> = extents.iter().map(|done| done.hash).collect();
    let content = match (entry.pages, earlier) {
        (false, _) => {
            let placed = extents.iter().flat_map(|done| &done.new);
            let pieces: Vec<StoredPiece> =
                placed.flat_map(|placed| placed.pieces()).map(small::piece).collect();
            Stored::Whole(pieces)
        }
        (true, Some(earlier))
            if earlier.size == entry.size && extents.iter().all(|done| done.new.is_empty()) =>
        {
            let packs = earlier.map.packs.clone();
            let (runs, sums) = (earlier.at.runs, earlier.at.sums);
            Stored::Pages { map: earlier.map_pack.clone(), runs, sums, packs }
        }
        (true, earlier) => map(work, extents, earlier)?,
    };
    Ok(Copied {
        path: entry.path.clone(),
        size: entry.size,
        mode: entry.mode,
        mtime_ms: entry.mtime_ms,
        hash: tree::whole(&hashes),
        content,
    })
}

/// Writes the map and the sums of a file.
fn map(
    work: &Work,
    extents: Vec<Done>,
    earlier: Option<&EarlierPages>,
) -> Result<Stored, BackupError> {
    let mut builder = MapBuilder::default();
    let mut sums = Vec::new();
    for done in extents {
        lay(work, &done, earlier, &mut builder)?;
        sums.extend_from_slice(&done.sums);
    }
    let map = builder.end();
    let (runs, sums) = (map.encode(), encode_sums(&sums));
    let reserved = work.maps.put(&[&runs, &sums])?;
    let runs = Span { frame: reserved.first, count: frames(&runs) };
    let sums = Span { frame: runs.frame + runs.count, count: frames(&sums) };
    let packs: Vec<PackId> = map.packs;
    Ok(Stored::Pages { map: reserved.id().clone(), runs, sums, packs })
}

/// Runs of one extent, new and kept, in order of pages.
fn lay(
    work: &Work,
    done: &Done,
    earlier: Option<&EarlierPages>,
    builder: &mut MapBuilder,
) -> Result<(), BackupError> {
    let unit = PAGE as u32;
    let mut new = done.new.iter().peekable();
    let mut kept = done.kept.iter().peekable();
    loop {
        match (new.peek(), kept.peek()) {
            (Some(placed), other)
                if other.is_none_or(|range| placed.key < u64::from(range.start)) =>
            {
                builder.push(&placed.pack, placed.frame, placed.at / unit, placed.len / unit);
                new.next();
            }
            (_, Some(range)) => {
                if let (Some(before), Some(pages)) = (&work.earlier, earlier) {
                    let count = range.end - range.start;
                    work.handle.block_on(before.keep(pages, range.start, count, builder))?;
                }
                kept.next();
            }
            (_, None) => return Ok(()),
        }
    }
}
