//! Bytes of the data directory as they are at this moment, and whether its pages are sound.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use howdah_base::Lsn;

use crate::backup::files::Relation;
use crate::backup::page::{self, PAGE};

/// Opens a file; `None` when it is gone.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{error}: `{}`", path.display()))),
    }
}

/// Fills `buffer` from `offset` on. What was cut off meanwhile is zeros, as PostgreSQL's own base
/// backup has it: replay cuts it off again. How many bytes there really were.
pub fn fill(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match file.read_at(&mut buffer[have..], offset + have as u64) {
            Ok(0) => break,
            Ok(more) => have += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer[have..].fill(0);
    Ok(have)
}

/// How pages of one file are judged.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// Pages from here on may be half written: WAL brings them whole.
    pub start: Lsn,
    /// The number, in its fork, of the file's first page.
    pub first: u32,
}

/// What is wrong with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Bad,
    /// It says that it is newer than the backup's start. Only one from after its end lies.
    Unless(Lsn),
}

impl Judge {
    pub fn of(path: &str, start: Lsn, pages_per_file: u32) -> Judge {
        let name = path.rsplit('/').next().unwrap_or(path);
        let segment = Relation::named(name).map_or(0, |relation| relation.segment);
        Judge { start, first: segment.wrapping_mul(pages_per_file) }
    }

    /// The pages of `buffer`, which begins with page `at` of the file, that are not sound. Each is
    /// read once more, for the server may have been writing it, and the newer bytes are kept.
    pub fn look(
        &self,
        file: &File,
        at: u32,
        have: usize,
        buffer: &mut [u8],
    ) -> io::Result<Vec<(u32, Verdict)>> {
        let mut found = Vec::new();
        let whole = have / PAGE * PAGE;
        let (pages, _) = buffer[..whole].as_chunks_mut::<PAGE>();
        for (bytes, number) in pages.iter_mut().zip(at..) {
            if page::is_sound(bytes, self.first.wrapping_add(number)) {
                continue;
            }
            let again = fill(file, u64::from(number) * PAGE as u64, bytes)?;
            // Cut off, or written whole by now.
            if again < PAGE || page::is_sound(bytes, self.first.wrapping_add(number)) {
                continue;
            }
            let lsn = page::lsn(bytes);
            let verdict = if lsn < self.start { Verdict::Bad } else { Verdict::Unless(lsn) };
            found.push((number, verdict));
        }
        Ok(found)
    }
}
