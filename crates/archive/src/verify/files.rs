//! Files, put together as a restore would: maps that lead somewhere, pages with their sums, the hash of
//! the whole. What was opened on the way need not be opened again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use howdah_repo::RepoError;
use howdah_repo::manifest::{Content, FileEntry, MapRef, PackId, Piece, Span};
use howdah_repo::pack;
use howdah_repo::page_map::{PageMap, page_sum};

use super::{Marks, VerifyError, Work};
use crate::backup::page::PAGE;
use crate::packs::Part;
use crate::restore::write::gather::Wanted;
use crate::threads;

/// So much of a file is in memory at once, in each thread.
const PART_BYTES: u64 = 16 << 20;
const BUNDLE_FILES: usize = 256;

/// Small files that share frames, or one large one; places in the manifest.
type Item = Vec<usize>;

/// Verifies all files, unless a sample is wanted: then frames are looked at by themselves.
pub async fn verify(work: &Arc<Work>, jobs: usize) -> Result<Marks, VerifyError> {
    if !work.pick.is_all() {
        return Ok(Marks::default());
    }
    let queue = Arc::new(Mutex::new(queue(&work.manifest.files)));
    let marks: Arc<Mutex<Marks>> = Arc::default();
    let (shared, seen) = (Arc::clone(work), Arc::clone(&marks));
    threads::run(jobs, &work.stop, move || -> Result<(), VerifyError> {
        let mut buffer = Vec::new();
        loop {
            shared.stop.check()?;
            let Some(item) = locked(&queue).pop_front() else { return Ok(()) };
            let mut look = Look { work: &shared, buffer: &mut buffer, marks: &seen };
            match item[..] {
                [alone] => look.alone(&shared.manifest.files[alone])?,
                _ => look.bundle(&item)?,
            }
        }
    })
    .await?;
    let marks = std::mem::take(&mut *locked(&marks));
    Ok(marks)
}

/// Large files each alone, small ones by where they lie.
fn queue(files: &[FileEntry]) -> VecDeque<Item> {
    let mut queue = VecDeque::new();
    let mut small = Vec::new();
    for (index, file) in files.iter().enumerate() {
        match &file.content {
            Content::Folder => {}
            Content::Whole(pieces) if file.size <= PART_BYTES / 16 => {
                let first = pieces.first().map(|piece| (piece.pack, piece.frame));
                small.push((first, index));
            }
            _ => queue.push_back(vec![index]),
        }
    }
    small.sort_unstable();
    let (mut bundle, mut bytes) = (Vec::new(), 0);
    for (_, index) in small {
        if bundle.len() >= BUNDLE_FILES || bytes + files[index].size > PART_BYTES {
            queue.push_back(std::mem::take(&mut bundle));
            bytes = 0;
        }
        bundle.push(index);
        bytes += files[index].size;
    }
    if !bundle.is_empty() {
        queue.push_back(bundle);
    }
    queue
}

/// One thread at work.
struct Look<'w> {
    work: &'w Work,
    buffer: &'w mut Vec<u8>,
    marks: &'w Mutex<Marks>,
}

/// Frames that were read for something.
type Frames<'m> = Vec<(&'m PackId, u32)>;

impl<'w> Look<'w> {
    /// Together; where that fails, each by itself, so that each fault is told.
    fn bundle(&mut self, files: &[usize]) -> Result<(), VerifyError> {
        let files: Vec<&FileEntry> =
            files.iter().map(|index| &self.work.manifest.files[*index]).collect();
        let (mut wanted, mut frames, mut end) = (Wanted::default(), Frames::new(), 0);
        for file in &files {
            if let Content::Whole(pieces) = &file.content {
                self.want(pieces, end, end..end + file.size, 0, &mut wanted, &mut frames);
            }
            end += file.size;
        }
        match self.fetch(wanted, &frames, end) {
            Ok(()) => {}
            Err(VerifyError::Repository(_)) => {
                return files.iter().try_for_each(|file| self.alone(file));
            }
            Err(error) => return Err(error),
        }
        let mut at = 0;
        for file in files {
            let bytes = &self.buffer[at..at + file.size as usize];
            if pack::hash(bytes) != file.hash {
                self.work.faults.file(&file.path, "it has not the hash that it was stored with");
            }
            self.work.tell(|counts| counts.files += 1);
            at += file.size as usize;
        }
        Ok(())
    }

    fn alone(&mut self, file: &FileEntry) -> Result<(), VerifyError> {
        let looked = match &file.content {
            Content::Folder => return Ok(()),
            Content::Whole(pieces) => self.whole(file, pieces),
            Content::Pages(at) => self.pages(file, *at),
        };
        self.work.tell(|counts| counts.files += 1);
        match looked {
            Err(VerifyError::Repository(error)) => {
                self.work.faults.object(error, Some(&file.path))?;
                Ok(())
            }
            looked => looked,
        }
    }

    fn whole(&mut self, file: &FileEntry, pieces: &[Piece]) -> Result<(), VerifyError> {
        let mut hasher = blake3::Hasher::new();
        let mut begin = 0;
        while begin < file.size {
            let end = (begin + PART_BYTES).min(file.size);
            let (mut wanted, mut frames) = (Wanted::default(), Frames::new());
            self.want(pieces, 0, begin..end, begin, &mut wanted, &mut frames);
            self.fetch(wanted, &frames, end - begin)?;
            hasher.update(self.buffer);
            begin = end;
        }
        self.judge(file, &hasher);
        Ok(())
    }

    fn pages(&mut self, file: &FileEntry, at: MapRef) -> Result<(), VerifyError> {
        let work = self.work;
        let id = &work.manifest.packs[at.pack as usize].id;
        let (map, sums) = work.handle.block_on(async {
            let maps = work.packs.get(id).await?;
            let map = work.lineage.page_map(&maps, at).await?;
            Ok::<_, RepoError>((map, work.lineage.page_sums(&maps, at).await?))
        })?;
        let of = |span: Span| (span.frame..span.frame + span.count).map(|frame| (id, frame));
        self.mark(&of(at.runs).chain(of(at.sums)).collect::<Frames<'_>>());
        let pages = map.pages();
        if u64::from(pages) * PAGE as u64 != file.size || sums.len() != pages as usize {
            work.faults.file(&file.path, "its map of pages is of another length than the file");
            return Ok(());
        }
        let mut hasher = blake3::Hasher::new();
        let step = (PART_BYTES / PAGE as u64) as u32;
        let mut first = 0;
        while first < pages {
            let end = (first + step).min(pages);
            self.read_pages(&map, first, end)?;
            let found = self.buffer.chunks_exact(PAGE).zip(&sums[first as usize..]);
            let wrong = found.zip(first..).find(|((page, sum), _)| page_sum(page) != **sum);
            if let Some((_, page)) = wrong {
                work.faults.file(&file.path, &format!("page {page} has not the sum noted of it"));
                return Ok(());
            }
            hasher.update(self.buffer);
            first = end;
        }
        self.judge(file, &hasher);
        Ok(())
    }

    fn read_pages(&mut self, map: &PageMap, first: u32, end: u32) -> Result<(), VerifyError> {
        let work = self.work;
        let (mut wanted, mut frames) = (Wanted::default(), Frames::new());
        let begin = map.runs.partition_point(|run| run.first + run.count <= first);
        for run in map.runs[begin..].iter().take_while(|run| run.first < end) {
            let skip = first.saturating_sub(run.first);
            let from = run.first + skip;
            let most = end.min(run.first + run.count) - from;
            let mut target = (from - first) as usize * PAGE;
            let id = &map.packs[run.pack as usize];
            for part in work.handle.block_on(work.packs.parts(map, run, skip, most))? {
                frames.push((id, part.frame));
                wanted.add(id, part, target);
                target += part.len as usize;
            }
        }
        self.fetch(wanted, &frames, u64::from(end - first) * PAGE as u64)
    }

    /// Of pieces that together begin at `origin` what lies in `range`; the buffer begins at `base`.
    fn want(
        &self,
        pieces: &[Piece],
        origin: u64,
        range: Range<u64>,
        base: u64,
        wanted: &mut Wanted<'w>,
        frames: &mut Frames<'w>,
    ) {
        let mut begin = origin;
        for piece in pieces {
            let end = begin + u64::from(piece.len);
            let (from, to) = (begin.max(range.start), end.min(range.end));
            if from < to {
                let id = &self.work.manifest.packs[piece.pack as usize].id;
                let skip = (from - begin) as u32;
                let len = (to - from) as u32;
                let part = Part { frame: piece.frame, at: piece.at + skip, len };
                frames.push((id, piece.frame));
                wanted.add(id, part, (from - base) as usize);
            }
            begin = end;
        }
    }

    fn fetch(
        &mut self,
        wanted: Wanted<'_>,
        frames: &Frames<'_>,
        bytes: u64,
    ) -> Result<(), VerifyError> {
        self.buffer.resize(bytes as usize, 0);
        let work = self.work;
        wanted.fetch(&work.packs, &work.handle, &work.stop, self.buffer)?;
        self.mark(frames);
        Ok(())
    }

    fn mark(&self, frames: &Frames<'_>) {
        let mut fresh = 0;
        let mut marks = locked(self.marks);
        for (id, frame) in frames {
            let opened = match marks.0.get_mut(*id) {
                Some(opened) => opened,
                None => marks.0.entry((*id).clone()).or_default(),
            };
            fresh += u64::from(opened.insert(*frame));
        }
        drop(marks);
        self.work.tell(|counts| {
            counts.frames += fresh;
            counts.bytes += self.buffer.len() as u64;
        });
    }

    fn judge(&self, file: &FileEntry, hasher: &blake3::Hasher) {
        if *hasher.finalize().as_bytes() != file.hash {
            self.work.faults.file(&file.path, "it has not the hash that it was stored with");
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
