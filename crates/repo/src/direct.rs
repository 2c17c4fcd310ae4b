//! Large writes past the page cache. What a backup or a restore writes nobody reads soon: in the cache it
//! would take the place of the server's own pages, and each fresh page of cache costs more than to fill it.
//!
//! Never more than a shorter way: file systems that know nothing of it (O_DIRECT), and what is no whole
//! block of an aligned buffer, are written as always. Whoever writes fsyncs in the end either way.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

/// What every disk's blocks are parts of: where a write begins, in memory and in the file, and how long it is.
const BLOCK: usize = 4096;
/// What is smaller may be read soon: a segment of WAL, by a standby that fell behind.
const LARGE_BYTES: usize = 20 << 20;
/// Through memory that is not aligned: so much at a time.
const BOUNCE_BYTES: usize = 1 << 20;

/// A file that is there, open for such writes.
#[derive(Debug)]
pub struct Direct(Option<File>);

impl Direct {
    pub fn open(path: &Path) -> Direct {
        let flags = OFlag::O_DIRECT.bits();
        Direct(OpenOptions::new().write(true).custom_flags(flags).open(path).ok())
    }

    /// For what is written in another way.
    pub fn none() -> Direct {
        Direct(None)
    }

    /// Whether nothing has gone wrong so far.
    pub fn is_open(&self) -> bool {
        self.0.is_some()
    }

    /// Writes all of `bytes` to `at`, what it cannot by itself through `file`, which is the same one.
    ///
    /// # Errors
    /// Those of `file`.
    pub fn write_all_at(&mut self, file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        let done = self.write_blocks(bytes, at);
        file.write_all_at(&bytes[done..], at + done as u64)
    }

    /// From the beginning, as many as it can. After an error never again: what was wrong is told by whoever
    /// writes the rest.
    fn write_blocks(&mut self, bytes: &[u8], at: u64) -> usize {
        let aligned = bytes.as_ptr().align_offset(BLOCK) == 0 && at.is_multiple_of(BLOCK as u64);
        let len = if aligned { bytes.len() / BLOCK * BLOCK } else { 0 };
        let mut done = 0;
        while done < len {
            let Some(file) = &self.0 else { break };
            match file.write_at(&bytes[done..len], at + done as u64) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A part of a block is written once more, with the rest.
                Ok(more) if more >= BLOCK => done += more / BLOCK * BLOCK,
                Ok(_) | Err(_) => self.0 = None,
            }
        }
        done
    }
}

/// Fills the new file `file` at `path` with `content`; the caller fsyncs.
///
/// # Errors
/// What the system says.
pub fn write_whole(file: &File, path: &Path, content: &[u8]) -> io::Result<()> {
    match content.len() < LARGE_BYTES {
        true => file.write_all_at(content, 0),
        false => write_in_parts(file, path, content),
    }
}

fn write_in_parts(file: &File, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut direct = Direct::open(path);
    let mut bounce = Buffer::default();
    let mut at = 0;
    for part in content.chunks(BOUNCE_BYTES) {
        match direct.is_open() {
            true => {
                bounce.resize(part.len());
                bounce.copy_from_slice(part);
                direct.write_all_at(file, &bounce, at)?;
            }
            false => file.write_all_at(part, at)?,
        }
        at += part.len() as u64;
    }
    Ok(())
}

/// Memory that begins where a block does.
#[derive(Default, Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    begin: usize,
    len: usize,
}

impl Buffer {
    /// What is in it then is of no meaning.
    pub fn resize(&mut self, len: usize) {
        if self.bytes.len() < len + BLOCK {
            self.bytes = vec![0; len + BLOCK];
            // Should nobody know, it is not aligned, and written as always.
            self.begin = self.bytes.as_ptr().align_offset(BLOCK).min(BLOCK);
        }
        self.len = len;
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.begin..self.begin + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.begin..self.begin + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_in_whole_blocks_or_not() {
        let root = std::env::temp_dir().join(format!("howdah-direct-{}", std::process::id()));
        std::fs::create_dir_all(&root).expect("made");
        let content: Vec<u8> = (0..3 * BOUNCE_BYTES + 77).map(|at| (at * 7 % 253) as u8).collect();
        for (number, len) in
            [0, 1, BOUNCE_BYTES, 2 * BOUNCE_BYTES + 4097, content.len()].iter().enumerate()
        {
            let path = root.join(number.to_string());
            let file = File::create_new(&path).expect("made");
            write_in_parts(&file, &path, &content[..*len]).expect("written");
            assert!(std::fs::read(&path).expect("read") == content[..*len], "{len}");
        }
        let path = root.join("parts");
        let file = File::create_new(&path).expect("made");
        let mut buffer = Buffer::default();
        for (at, len) in
            [(0, 3 * BLOCK), (3 * BLOCK, 100), (3 * BLOCK + 100, 2 * BLOCK), (8 * BLOCK, 2 * BLOCK)]
        {
            buffer.resize(len);
            buffer.copy_from_slice(&content[at..at + len]);
            let mut direct = Direct::open(&path);
            direct.write_all_at(&file, &buffer, at as u64).expect("written");
        }
        let written = std::fs::read(&path).expect("read");
        assert!(written[..5 * BLOCK + 100] == content[..5 * BLOCK + 100]);
        assert!(written[8 * BLOCK..] == content[8 * BLOCK..10 * BLOCK]);
        std::fs::remove_dir_all(&root).expect("removed");
    }

    #[test]
    fn where_there_is_no_such_way_it_is_written_as_always() {
        let root = std::env::temp_dir().join(format!("howdah-indirect-{}", std::process::id()));
        std::fs::create_dir_all(&root).expect("made");
        let path = root.join("file");
        let file = File::create_new(&path).expect("made");
        // A descriptor that refuses every write.
        let mut direct = Direct(Some(File::open(&path).expect("opened")));
        let mut buffer = Buffer::default();
        buffer.resize(2 * BLOCK);
        buffer.fill(7);
        direct.write_all_at(&file, &buffer, 0).expect("written");
        assert!(!direct.is_open());
        assert_eq!(std::fs::read(&path).expect("read"), [7; 2 * BLOCK]);
        std::fs::remove_dir_all(&root).expect("removed");
    }
}
