//! Small files: many to a frame; one that is as it was stays where it lies.

use std::io;

use howdah_repo::manifest::{BadPage, Content};
use howdah_repo::pack;

use super::BackupError;
use super::copy::{Copied, Stored, StoredPiece, Work};
use super::filler::{FILL_BYTES, Filler, Placed};
use super::read::{self, Judge, Verdict};
use crate::backup::scan::Entry;

/// Copies these files of `work`.
pub fn bundle(work: &Work, files: &[usize]) -> Result<(), BackupError> {
    let mut filler = Filler::new(&work.data);
    let mut waiting = Vec::new();
    for entry in files.iter().map(|index| &work.entries[*index]) {
        work.throttle.pass(entry.size, &work.stop)?;
        let Some(bytes) = read(work, entry)? else { continue };
        let mut copied = copied(entry, &bytes);
        if let Some(pieces) = kept(work, &copied) {
            copied.content = Stored::Whole(pieces);
            work.add(copied);
        } else {
            if !filler.has_room_for(bytes.len()) {
                place(work, &mut filler, &mut waiting)?;
            }
            if !bytes.is_empty() {
                filler.add(waiting.len() as u64, &bytes);
            }
            work.add_new(bytes.len() as u64);
            waiting.push(copied);
        }
        work.told(entry.size);
    }
    place(work, &mut filler, &mut waiting)
}

/// What a file holds now; `None` when it is gone.
fn read(work: &Work, entry: &Entry) -> Result<Option<Vec<u8>>, BackupError> {
    let Some(file) = read::open(&work.data_dir.join(&entry.path))? else { return Ok(None) };
    // What is no relation may have grown, a configuration say, and is read to its end.
    let now = file.metadata()?.len();
    let size = if entry.pages || now > FILL_BYTES as u64 { entry.size } else { now };
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    let have = read::fill(&file, 0, &mut bytes)?;
    if !entry.pages {
        bytes.truncate(have);
    } else if work.checksums {
        let judge = Judge::of(&entry.path, work.start, work.pages_per_file);
        for (page, verdict) in judge.look(&file, 0, have, &mut bytes)? {
            told(work, &entry.path, page, verdict);
        }
    }
    Ok(Some(bytes))
}

pub fn told(work: &Work, path: &str, page: u32, verdict: Verdict) {
    let page = BadPage { path: path.to_owned(), page };
    match verdict {
        Verdict::Bad => work.add_bad(page),
        Verdict::Unless(lsn) => work.add_suspect(page, lsn),
    }
}

/// Not stored yet.
pub fn copied(entry: &Entry, bytes: &[u8]) -> Copied {
    Copied {
        path: entry.path.clone(),
        size: bytes.len() as u64,
        mode: entry.mode,
        mtime_ms: entry.mtime_ms,
        hash: pack::hash(bytes),
        content: Stored::Whole(Vec::new()),
    }
}

/// Where the earlier backup has the same bytes under the same path.
pub fn kept(work: &Work, copied: &Copied) -> Option<Vec<StoredPiece>> {
    let earlier = work.earlier.as_ref()?;
    let file = earlier.file(&copied.path)?;
    let Content::Whole(pieces) = &file.content else { return None };
    let same = file.size == copied.size && file.hash == copied.hash;
    let piece = |piece: &howdah_repo::manifest::Piece| StoredPiece {
        pack: earlier.pack_id(piece.pack),
        frame: piece.frame,
        at: piece.at,
        len: piece.len,
    };
    same.then(|| pieces.iter().map(piece).collect())
}

/// Seals what is in the filler, and hands its files on.
fn place(work: &Work, filler: &mut Filler, waiting: &mut Vec<Copied>) -> Result<(), BackupError> {
    for placed in filler.seal()? {
        let pieces = placed.pieces().into_iter().map(piece);
        if let Stored::Whole(whole) = &mut waiting[placed.key as usize].content {
            whole.extend(pieces);
        }
    }
    waiting.drain(..).for_each(|copied| work.add(copied));
    Ok(())
}

/// As a manifest has it.
pub fn piece(placed: Placed) -> StoredPiece {
    StoredPiece { pack: placed.pack, frame: placed.frame, at: placed.at, len: placed.len }
}
